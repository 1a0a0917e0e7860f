"""Where published rows of the ledger lie: which files of the lake hold what is asked for, without reading the others.

A month asks whether a row that it read was published before. Each partition has a companion of the same month that
holds the keys of its rows as numbers (ADR 0075): numbers are held against numbers, and rows are read only of the months
in which one is found.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow.parquet as pq

from include import engine
from include.carm.period import Period
from include.feeds import LedgerFeed
from include.lake import Lake, Seal
from include.transaction_kinds import transaction_kinds_relation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


Month: TypeAlias = tuple[str, str]
"""A dataset, the feed's own or its baseline, and the label of a partition of it."""

KEY, NUMBER = QUESTIONS = ("key", "number")
"""What published rows are asked for: by their own key, or by the number that a payment and its NSF share."""


def items_statement(feed: LedgerFeed) -> str:
    """The statement that reads published rows of ``feed`` in the words all ledger feeds share."""
    return f"select_{feed.name.removesuffix('s')}_items"


def published_files(lake: Lake, feed: LedgerFeed, up_to: str | None) -> list[Path]:
    """All files of a feed published up to ``up_to``, the baseline's first."""
    return month_files(lake, published_months(lake, feed, up_to))


def register_published(con: DuckDBPyConnection, feed: LedgerFeed, files: list[Path]) -> None:
    """Make ``published_<feed>`` and ``published_items`` readable over ``files``."""
    engine.register(con, "transaction_kinds", transaction_kinds_relation())
    engine.register(con, f"published_{feed.name}", files, like=feed.name)
    engine.create_view(con, "published_items", items_statement(feed))


def keys_dataset(dataset: str) -> str:
    """The dataset that holds the keys of a ledger dataset as numbers."""
    return f"{dataset}_key_hashes"


def publish_keys(lake: Lake, con: DuckDBPyConnection, feed: LedgerFeed, dataset: str, label: str) -> Seal:
    """Publish the keys of a partition that was just written."""
    engine.register(con, "partition_rows", [lake.path(dataset, label)])
    engine.create_view(con, "keyed", f"select_{feed.name.removesuffix('s')}_keys")
    return lake.publish(keys_dataset(dataset), label, engine.run(con, "derive_keys"))


def find_months(con: DuckDBPyConnection, lake: Lake, feed: LedgerFeed, up_to: str | None) -> dict[str, list[Month]]:
    """By question: the months of a feed, published up to ``up_to``, with a number of what ``wanted`` asks for.

    Reads the relation ``wanted (question, asked_for)``. All questions are asked in one reading, for that is what grows
    with history. A month may be among them in vain; those of an older release, which have no numbers, always are.
    """
    months = published_months(lake, feed, up_to)
    sealed = {(seal.dataset, seal.period) for seal in lake.seals()}
    numbered = [month for month in months if (keys_dataset(month[0]), month[1]) in sealed]
    numbers = month_files(lake, [(keys_dataset(dataset), label) for dataset, label in numbered])
    engine.register(con, "key_numbers", numbers, like=keys_dataset(feed.name))
    found: dict[str, set[str]] = {question: set() for question in QUESTIONS}
    for row in engine.run_table(con, "select_months_of_keys").to_pylist():
        found[row["question"]].add(row["period"])
    return {
        question: [month for month in months if month not in numbered or month[1] in labels]
        for question, labels in found.items()
    }


def concerned_files(con: DuckDBPyConnection, lake: Lake, feed: LedgerFeed, months: Sequence[Month]) -> list[Path]:
    """The files of a feed, published in ``months``, with a row of an item in ``asked``, or posted in ``moved``.

    Leaves the relation ``concerned``: the items, and the months in which a row of them was published.
    """
    files = month_files(lake, months)
    engine.register(con, f"published_{feed.name}", files, like=feed.name)
    con.execute(
        f"CREATE OR REPLACE TEMP VIEW published_keys AS SELECT {feed.key} AS item_id, {feed.posted} AS posted_on, "  # noqa: S608
        f"period AS placed_in FROM published_{feed.name}"
    )
    engine.create_table(con, "concerned", "select_concerned_items")
    labels = {f"period={label}" for (label,) in con.sql("SELECT DISTINCT placed_in FROM concerned").fetchall()}
    return [path for path in files if path.parent.name in labels]


def month_files(lake: Lake, months: Sequence[Month]) -> list[Path]:
    """The proved files of datasets and months, a dataset's together."""
    by_dataset: dict[str, list[Period]] = {}
    for dataset, label in months:
        by_dataset.setdefault(dataset, []).append(Period.parse(label))
    return [path for dataset, labels in by_dataset.items() for path in lake.files(dataset, labels)]


def published_months(lake: Lake, feed: LedgerFeed, up_to: str | None) -> list[Month]:
    """Every dataset and month up to ``up_to`` in which rows of a feed were published, the baseline's first."""
    return [
        (dataset, str(period))
        for dataset in (f"baseline_{feed.name}", feed.name)
        for period in lake.periods(dataset)
        if up_to is not None and str(period) <= up_to
    ]


def hinted_files(lake: Lake, feed: LedgerFeed, up_to: str | None, may: Callable[[pq.FileMetaData], bool]) -> list[Path]:
    """The files of a feed, published up to ``up_to``, whose statistics pass ``may``: they may hold what is asked for.

    Only they are proved and read. Statistics are a hint and no proof: whoever asks holds what he finds against the
    source's own counts.
    """
    found = []
    for dataset, label in published_months(lake, feed, up_to):
        path = lake.path(dataset, label)
        if not path.exists() or may(pq.read_metadata(path)):
            found += lake.files(dataset, [Period.parse(label)])
    return found


def has_later_version(metadata: pq.FileMetaData) -> bool:
    """Whether a row of the file may be a later publication of its key."""
    return may_hold(metadata, "version", [(2, sys.maxsize)])


def may_hold(metadata: pq.FileMetaData, column: str, bounds: Sequence[tuple[Any, Any]]) -> bool:
    """Whether a value of the column may lie between two bounds, both included."""
    number = metadata.schema.names.index(column)
    for group in range(metadata.num_row_groups):
        found = metadata.row_group(group).column(number).statistics
        if found is None or not found.has_min_max:
            return True
        if any(found.min <= end and start <= found.max for start, end in bounds):
            return True
    return False
