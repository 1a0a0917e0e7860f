"""What a month's transforms come to, in whichever way they are made: three results, and what they are held against.

Every way writes decisions, balances and lines as Parquet files; their counts, sums and a hash over the lines must be
the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from bench.world import LAST, World
from include.carm.calendar import Calendar
from include.datasets import COMPONENTS
from include.feeds import ACCOUNTS, EXPORT_DECLARATIONS, TRANSACTIONS

RESULTS = ("decisions", "balances", "lines")
IMPORTS = ("B3", "CAD", "RS", "LVS", "B2")
COUNTED = ("accepted", "under_review")
PRINTED = (
    *("bn15", "transaction_id", "revision", "kind", "transaction_number", "activity_on", "posted_on", "due_on"),
    *("status", "broker_bn9", *COMPONENTS, "amount_cents"),
)

# One read of each way's results, after its clock has stopped.
ANSWERS = {
    "decisions": "SELECT action || ' ' || reason, count(*) FROM decisions GROUP BY ALL ORDER BY ALL",
    "balances": "SELECT count(*), sum(opening_cents), sum(closing_cents) FROM balances",
    "lines": "SELECT count(*), sum(amount_cents), "
    "sum(CAST(hash(bn15, CAST(line_no AS BIGINT), transaction_id, CAST(running_balance_cents AS BIGINT)) AS HUGEINT)) "
    "FROM lines",
}


def answer_of(files: Mapping[str, Path]) -> dict[str, Any]:
    """What the results of a way come to; each is a Parquet file."""
    with duckdb.connect() as con:
        for name, path in files.items():
            con.read_parquet(str(path)).create_view(name)
        return {name: con.execute(statement).fetchall() for name, statement in ANSWERS.items()}


def days() -> dict[str, Any]:
    """The days of the month that the rules ask for."""
    calendar = Calendar.load()
    return {
        "period_start": calendar.start(LAST),
        "as_of": calendar.as_of(LAST),
        "cutoff": calendar.cutoff(LAST),
        "due_on": calendar.due_on(LAST),
    }


def raw_files(world: World) -> dict[str, list[Path]]:
    """The files of all raw rows, by feed."""
    ledger = {feed.name: world.all_rows(feed) for feed in (TRANSACTIONS, EXPORT_DECLARATIONS)}
    return {**ledger, ACCOUNTS.name: [world.rows(ACCOUNTS)]}
