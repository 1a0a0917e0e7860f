"""Open items: every unpaid debt and every unused credit, carried forward from month to month.

A month begins with the open items of the month before, adds its postings to them, and lets credits pay debts in the
order that the dated table of allocation gives (:mod:`include.carm.allocation`). What is left is what the next month
begins with, and it adds up to the closing balance. Nothing here posts: the ledger alone does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from include import engine
from include.carm.allocation import AllocationRules
from include.month import is_issued

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from include.carm.period import Period
    from include.lake import Lake
    from include.workspace import Workspace


def carry_forward(ws: Workspace, con: DuckDBPyConnection, period: Period, run_id: str) -> None:
    """Publish ``open_items`` of the extracted months before ``period`` that lack them, the oldest first.

    The first run extracts the whole window and makes a statement of its last month alone; every month of it has its
    place in the chain all the same. When a window reaches further back than the ledger did, months that were not issued
    are carried anew from the new beginning; an issued one keeps what it has.
    """
    lake = ws.lake()
    known = set(lake.periods("open_items"))
    extracted = lake.periods("transactions")
    missing: list[Period] = []
    for month in reversed([month for month in extracted if month < period]):
        if month in known and (is_issued(ws, month) or _begins_with(lake, month, extracted[0])):
            break
        missing.append(month)
    for month in reversed(missing):
        derive_open_items(ws, con, lake, month)
        rows = con.table("open_items").to_arrow_reader(engine.BATCH_ROWS)
        lake.publish_and_seal("open_items", month, rows, run_id=run_id)


def _begins_with(lake: Lake, month: Period, first: Period) -> bool:
    """Whether the month's items were carried forward from this first month; of no items nothing was carried."""
    begun = pq.read_table(lake.file("open_items", month), columns=["carried_since"]).column("carried_since").unique()
    return begun.to_pylist() in ([], [str(first)])


def derive_open_items(ws: Workspace, con: DuckDBPyConnection, lake: Lake, period: Period) -> None:
    """Make the relations ``items``, ``allocations`` and ``open_items`` of the month.

    Raises ``DataError`` where the open items of the month before are not sealed: see :func:`carry_forward`.
    """
    before = period.previous()
    first = lake.periods("transactions")[0]
    is_first = period == first
    previous = [] if is_first else [lake.file("open_items", before)]
    engine.register(con, "previous_open_items", previous, like="open_items")
    engine.register(con, "baseline", lake.files("baseline") if is_first else [])
    brought_forward = {"baseline_due_on": ws.calendar.due_on(before), "baseline_placed_in": str(before)}
    engine.create_table(con, "carried_items", "derive_carried_items", None, brought_forward)
    engine.register(con, "transactions", [lake.file("transactions", period)])
    days = {"period": str(period), "statement_due_on": ws.calendar.due_on(period)}
    engine.create_table(con, "items", "derive_items", None, days)
    allocate(con, period)
    engine.create_table(con, "open_items", "derive_open_items", None, {"carried_since": str(first)})


def allocate(con: DuckDBPyConnection, period: Period) -> None:
    """Make the relation ``allocations`` out of ``items``, pass after pass, by the rules of the month."""
    engine.create_empty(con, "allocations")
    engine.create_view(con, "allocated_items", "select_allocated_cents")
    for number, one in enumerate(AllocationRules.load().passes_of(period), start=1):
        parameters = {
            "credits": one.credits,
            "in_cycle": str(period) if one.in_cycle else "",
            "newest_first": one.newest_first,
            "pass_no": number,
        }
        engine.create_table(con, "allocations_of_pass", "derive_allocations", None, parameters)
        con.execute("INSERT INTO allocations SELECT * FROM allocations_of_pass")


def keep_labelled_items(con: DuckDBPyConnection) -> None:
    """Of the relations that :func:`derive_open_items` made keep what brokers are told of, but all of ``open_items``.

    Every item of the month with its allocations takes a gigabyte of a nation's, and few of them name a broker. What is
    to be published of them must have been written before.
    """
    engine.create_table(con, "labelled_items", "select_labelled_items")
    for table in ("carried_items", "items"):
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {table}.* FROM {table} SEMI JOIN labelled_items "  # noqa: S608
            f"ON {table}.account_key = labelled_items.account_key AND {table}.item_id = labelled_items.item_id"
        )
    # Both sides of an allocation, for either may be the one that names a broker.
    con.execute(
        "CREATE OR REPLACE TEMP TABLE allocations AS SELECT * FROM allocations "
        "WHERE (account_key, debt_id) IN (FROM labelled_items) OR (account_key, credit_id) IN (FROM labelled_items)"
    )
