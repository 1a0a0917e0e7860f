"""Where the rows of some accounts lie, and those of the items that stood on them, so that no others are read.

``activity`` has a row of each account for every month in which anything of it was published, and ``baseline`` one for
what came before: they are small, and say which of the large files hold a row of an account at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from include import engine
from include.feeds import LEDGER_FEEDS
from include.published import KEY, Month, find_months, month_files, published_months, register_published

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from include.feeds import LedgerFeed
    from include.lake import Lake

ACTIVITY, BASELINE = "activity", "baseline"


def register_activity(con: DuckDBPyConnection, lake: Lake, up_to: str) -> None:
    """Make ``activity`` and ``baseline`` readable, as they are sealed up to the month ``up_to``."""
    for dataset in (ACTIVITY, BASELINE):
        labels = [period for period in lake.periods(dataset) if str(period) <= up_to]
        engine.register(con, dataset, lake.files(dataset, labels))


def months_of_accounts(con: DuckDBPyConnection, lake: Lake, feed: LedgerFeed, up_to: str) -> list[Month]:
    """The months of a feed, published up to ``up_to``, that may hold a row of an account in ``asked_accounts``.

    Activity does not tell the feeds apart, so a month with a row of another feed is among them in vain; one whose
    activity was not derived yet always is.
    """
    register_activity(con, lake, up_to)
    return _months_that_may(lake, feed, up_to, engine.run_table(con, "select_months_of_accounts"))


def months_of_latest_activity(
    con: DuckDBPyConnection, lake: Lake, up_to: str, last: Mapping[str, Any]
) -> list[tuple[LedgerFeed, list[Month]]]:
    """The months of each feed that may hold a row behind the latest activity of an account that lost none.

    ``last`` has its ``account_key``, and the days ``last_import_on``, ``last_export_on`` and ``last_other_on``.
    """
    register_activity(con, lake, up_to)
    found = engine.run_table(con, "select_months_of_latest_activity", None, dict(last))
    return [(feed, _months_that_may(lake, feed, up_to, found)) for feed in LEDGER_FEEDS]


def _months_that_may(lake: Lake, feed: LedgerFeed, up_to: str, found: pa.Table) -> list[Month]:
    """The published months of a feed whose activity is among ``found``, or was not derived yet."""
    asked = set(_of_feed(feed, [(row["dataset"], row["period"]) for row in found.to_pylist()]))
    derived = set(_of_feed(feed, [(name, str(label)) for name in (ACTIVITY, BASELINE) for label in lake.periods(name)]))
    return [month for month in published_months(lake, feed, up_to) if month in asked or month not in derived]


def keep_no_items(con: DuckDBPyConnection, feed: LedgerFeed) -> None:
    """Make ``<feed>_again`` an empty relation, for :func:`keep_items_of_accounts` to add to."""
    con.execute("CREATE OR REPLACE TEMP TABLE asked_items (item_id VARCHAR)")
    register_published(con, feed, [])
    engine.create_table(con, f"{feed.name}_again", "select_rows_of_items")


def keep_items_of_accounts(
    con: DuckDBPyConnection, lake: Lake, feed: LedgerFeed, up_to: str, months: Sequence[Month]
) -> None:
    """Add to ``<feed>_again`` the items with a row of an account in ``asked_accounts`` in ``months`` of activity.

    All rows of these items, published up to ``up_to``: the others may stand in any month, and on other accounts, so
    they are found by the numbers of their keys.
    """
    kept = f"{feed.name}_again"
    register_published(con, feed, month_files(lake, _of_feed(feed, months)))
    engine.create_table(con, "asked_items", "select_items_of_accounts")
    con.execute(f"DELETE FROM asked_items WHERE item_id IN (SELECT item_id FROM {kept})")  # noqa: S608
    if con.execute("SELECT count(*) FROM asked_items").fetchall() == [(0,)]:
        return
    con.execute("CREATE OR REPLACE TEMP VIEW wanted AS SELECT 'key' AS question, item_id AS asked_for FROM asked_items")
    register_published(con, feed, month_files(lake, find_months(con, lake, feed, up_to)[KEY]))
    engine.create_table(con, "found_again", "select_rows_of_items")
    con.execute(f"INSERT INTO {kept} SELECT * FROM found_again")  # noqa: S608


def _of_feed(feed: LedgerFeed, months: Iterable[Month]) -> list[Month]:
    """The months of a feed that months of activity and baseline were derived from."""
    return [(feed.name if dataset == ACTIVITY else f"baseline_{feed.name}", label) for dataset, label in months]
