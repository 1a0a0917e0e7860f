"""Ledgers that change under the pipeline's hands, month after month, against a replay of all facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from include.carm.period import Period
from include.feeds import LEDGER_FEEDS
from include.published import published_files, register_published
from include.workspace import Workspace
from tests.oracle.ledger_replay import Ledger, control_totals, months_of, replay, write_source
from tests.pipeline import extract_only, new_workspace


def balances_of(ws: Workspace, period: str) -> dict[str, tuple[int, int]]:
    """Balance and amount under review of every account that ever had a row, from the lake."""
    from include import engine

    lake = ws.lake()
    up_to = [label for label in lake.periods("activity") if str(label) <= period]
    with engine.connect() as con:
        engine.register(con, "activity", lake.files("activity", up_to))
        engine.register(con, "baseline", lake.files("baseline"))
        rows = con.execute(
            "SELECT bn15, sum(balance)::BIGINT, sum(review)::BIGINT FROM ("
            "SELECT bn15, effect_cents AS balance, under_review_effect_cents AS review FROM activity "
            "UNION ALL SELECT bn15, balance_cents, under_review_cents FROM baseline) GROUP BY bn15"
        ).fetchall()
    return {bn15: (balance, review) for bn15, balance, review in rows}


def known_totals(ws: Workspace, period: str) -> dict[tuple[str, str], tuple[int, int]]:
    totals: dict[tuple[str, str], tuple[int, int]] = {}
    for row in pq.read_table(ws.lake().file("control_totals", Period.parse(period))).to_pylist():
        if row["dataset"] == "transactions":
            rows, cents = totals.get((row["kind"], row["status"]), (0, 0))
            totals[(row["kind"], row["status"])] = (rows + row["row_count"], cents + row["sum_cents"])
    return totals


def last_days(ws: Workspace, period: Period) -> dict[int, list[Any]]:
    """The last activity of every account up to the month's end, from all rows ever published and nothing derived."""
    from include import engine

    with engine.connect() as con:
        for feed in LEDGER_FEEDS:
            register_published(con, feed, published_files(ws.lake(), feed, str(period)))
            con.execute(f"CREATE TEMP TABLE all_{feed.name} AS SELECT * FROM published_items")
        rows = con.execute(
            "WITH items AS (SELECT * FROM all_transactions UNION ALL BY NAME SELECT * FROM all_export_declarations), "
            "keys AS (SELECT * FROM items WHERE arrival NOT IN ('moved', 'restored') QUALIFY row_number() OVER "
            "(PARTITION BY kind = 'EXPORT', item_id, revision ORDER BY version DESC) = 1), "
            "states AS (SELECT * FROM keys WHERE arrival <> 'vanished' QUALIFY row_number() OVER "
            "(PARTITION BY kind = 'EXPORT', item_id ORDER BY revision DESC) = 1) "
            "SELECT account_key, max(activity_on) FILTER (WHERE activity = 'import'), "
            "max(activity_on) FILTER (WHERE activity = 'export'), max(activity_on) FILTER (WHERE activity = 'other') "
            "FROM states WHERE is_counted AND activity_on <= $as_of GROUP BY account_key",
            {"as_of": ws.calendar.as_of(period)},
        ).fetchall()
    return {key: days for key, *days in rows if any(days)}


def days_of_facts(ws: Workspace, period: Period) -> dict[int, list[Any]]:
    """The same as the month's facts have it, which fold what was derived month by month."""
    names = ["account_key", "last_import_on", "last_export_on", "last_other_on"]
    rows = pq.read_table(ws.lake().file("account_facts", period), columns=names).to_pylist()
    found = {row["account_key"]: [row[name] for name in names[1:]] for row in rows}
    return {key: days for key, days in found.items() if any(days)}


@pytest.mark.parametrize("seed", range(3))
def test_balances_equal_a_replay_of_all_facts_after_every_month(seed: int, tmp_path: Path) -> None:
    ws = new_workspace(tmp_path / "data")
    ledger = Ledger(seed)
    for period, observations in months_of(ledger):
        write_source(ledger, ws.source)
        extract_only(ws, str(period))
        expected = {bn15: state for bn15, state in replay(observations).items() if state != (0, 0)}
        actual = {bn15: state for bn15, state in balances_of(ws, str(period)).items() if state != (0, 0)}
        assert expected == actual, f"seed {seed}, {period}"
        assert control_totals(observations[-1]) == known_totals(ws, str(period)), f"seed {seed}, {period}"
        assert last_days(ws, Period.parse(period)) == days_of_facts(ws, Period.parse(period)), f"seed {seed}, {period}"
