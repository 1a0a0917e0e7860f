"""One month of one or several accounts for the tests of the statements: builders with one good default each."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa

from include import engine
from include.carm.business_number import account_key
from include.carm.period import Period
from include.datasets import schema_of
from include.open_items import allocate, keep_labelled_items
from include.parking import RELATION
from include.transaction_kinds import transaction_kinds_relation

PERIOD = "2021-12"
DAYS: dict[str, Any] = {
    "period": PERIOD,
    "period_start": date(2021, 11, 25),
    "period_end": date(2021, 12, 24),
    "issued_on": date(2021, 12, 25),
    "due_on": date(2021, 12, 31),
}
BN15 = "000000018RM0001"
OTHER_BN15 = "000000026RM0001"

Row = dict[str, Any]


def account(bn15: str = BN15, **changed: Any) -> Row:
    """An open importer that reads English."""
    row = {
        "valid_from": date(2010, 1, 1),
        "legal_name": "Example Trading Ltd.",
        "program_type": "importer",
        "status": "open",
        "opened_on": date(2010, 1, 1),
        "language": "en",
    }
    return _of_account(bn15, row | changed)


def posting(amount_cents: int = 10_000, *, bn15: str = BN15, **changed: Any) -> Row:
    """A B3 of the month, accepted and on time, without components. Its effect follows from amount and status."""
    row: Row = {
        "transaction_id": "T1",
        "revision": 1,
        "version": 1,
        "kind": "B3",
        "transaction_number": "12345000000001",
        "activity_on": date(2021, 12, 1),
        "posted_on": date(2021, 12, 3),
        "status": "accepted",
        "amount_cents": amount_cents,
        "origin": "source",
        "arrival": "on_time",
        "is_late": False,
        **changed,
    }
    row.setdefault("is_counted", row["status"] in ("accepted", "under_review"))
    row.setdefault("effect_cents", amount_cents if row["is_counted"] else 0)
    row.setdefault("under_review_effect_cents", row["effect_cents"] if row["status"] == "under_review" else 0)
    return _of_account(bn15, row)


def earlier(effect_cents: int = 0, *, bn15: str = BN15, period: str = "2021-11", under_review: int = 0) -> Row:
    """What an earlier month did to the balance: a row of ``activity``."""
    row = {"period": period, "effect_cents": effect_cents, "under_review_effect_cents": under_review}
    return _of_account(bn15, row)


def brought_forward(balance_cents: int, *, bn15: str = BN15, under_review: int = 0) -> Row:
    """What was posted before the first extracted month: a row of ``baseline``."""
    return _of_account(bn15, {"balance_cents": balance_cents, "under_review_cents": under_review})


def _of_account(bn15: str, row: Row) -> Row:
    return {"bn15": bn15, "account_key": account_key(bn15), **row}


@dataclass(frozen=True)
class Month:
    """What the statements of a month are derived from."""

    postings: Sequence[Row] = ()
    accounts: Sequence[Row] = (account(),)
    activity: Sequence[Row] = ()
    baseline: Sequence[Row] = ()
    interest: Sequence[Row] = ()
    parking: Sequence[Row] = ()


@dataclass(frozen=True)
class Derived:
    """The relations that came out, and what the checks found; ``problems`` is empty for a sound month."""

    heads: pa.Table
    lines: pa.Table
    parked: pa.Table
    problems: list[str]

    @property
    def head(self) -> Row:
        (row,) = self.heads.to_pylist()
        return row

    @property
    def sections(self) -> dict[str, str]:
        return {row["transaction_id"]: row["section"] for row in self.lines.to_pylist()}


def table(dataset: str, rows: Sequence[Row], *extra: pa.Field) -> pa.Table:
    """Rows as the Arrow table of a dataset; what a row does not say is NULL."""
    schema = schema_of(dataset)
    for field in extra:
        schema = schema.append(field)
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)


def activity_of(postings: Sequence[Row]) -> list[Row]:
    """The rows of ``activity`` that the month itself leaves behind."""
    sums: dict[str, list[int]] = {}
    for row in postings:
        held = sums.setdefault(row["bn15"], [0, 0])
        held[0] += row["effect_cents"]
        held[1] += row["under_review_effect_cents"]
    return [earlier(held[0], bn15=bn15, period=PERIOD, under_review=held[1]) for bn15, held in sums.items()]


@cache
def connection() -> duckdb.DuckDBPyConnection:
    """One for all tests: each of them puts its own relations in place of those before."""
    return engine.connect()


# An engine that is still open when the interpreter ends complains about it at length.
atexit.register(connection.cache_clear)


def _open_items(con: duckdb.DuckDBPyConnection, month: Month, items: Sequence[Row] | None) -> None:
    """The open items of the month, where all that was before it is one item an account, or ``items``; no interest."""
    before: dict[str, int] = {}
    for row in month.baseline:
        before[row["bn15"]] = before.get(row["bn15"], 0) + row["balance_cents"]
    for row in month.activity:
        if row["period"] < PERIOD:
            before[row["bn15"]] = before.get(row["bn15"], 0) + row["effect_cents"]
    due = date(2021, 11, 30)
    carried = [
        _of_account(
            bn15,
            {
                "item_id": "brought forward",
                "kind": "BFW",
                "posted_on": due,
                "due_on": due,
                "placed_in": "2021-11",
                "is_under_review": False,
                "amount_cents": cents,
                "sima_cents": 0,
                "remaining_cents": cents,
            },
        )
        for bn15, cents in before.items()
    ]
    con.register("carried_rows", table("open_items", carried if items is None else items))
    con.execute("CREATE OR REPLACE TEMP TABLE carried_items AS SELECT * FROM carried_rows")
    con.unregister("carried_rows")
    days = {"period": PERIOD, "statement_due_on": DAYS["due_on"]}
    engine.create_table(con, "items", "derive_items", None, days)
    allocate(con, Period.parse(PERIOD))
    engine.create_table(con, "open_items", "derive_open_items", None, {"carried_since": "2021-11"})
    engine.create_table(con, "ageing", "derive_ageing", None, {"issued_on": DAYS["issued_on"]})
    con.register("interest", table("interest", month.interest))
    keep_labelled_items(con)


def derive(
    month: Month,
    *,
    heads: pa.Table | None = None,
    lines: pa.Table | None = None,
    previous: Sequence[Row] | None = None,
    carried: Sequence[Row] | None = None,
) -> Derived:
    """Run the SQL of a month and its checks. ``heads`` and ``lines`` put something else before the checks.

    ``carried`` are the open items that the month begins with (default: one an account, of its whole balance).
    """
    period = pa.field("period", pa.string())
    activity = table("activity", [*month.activity, *activity_of(month.postings)], period)
    con = connection()
    con.register("transactions", table("transactions", month.postings))
    con.register("accounts", table("accounts", month.accounts))
    con.register("activity", activity)
    con.register("baseline", table("baseline", month.baseline))
    con.register("transaction_kinds", transaction_kinds_relation())
    con.register("parking", pa.Table.from_pylist(list(month.parking), schema=RELATION))
    _open_items(con, month, carried)
    heads = engine.run_table(con, "derive_statement_heads", None, DAYS) if heads is None else heads
    con.register("statement_heads", heads)
    lines = engine.run_table(con, "derive_statement_lines") if lines is None else lines
    con.register("statement_lines", lines)
    parked = engine.run_table(con, "derive_parked_statements")
    offenders = [
        *engine.run_table(con, "check_statement_cover").to_pylist(),
        *engine.run_table(con, "check_statement_balances", None, {"period": PERIOD}).to_pylist(),
    ]
    if previous is not None:
        closings = pa.Table.from_pylist(
            list(previous),
            schema=pa.schema({"bn15": pa.string(), "account_key": pa.int64(), "closing_cents": pa.int64()}),
        )
        con.register("previous_statements", closings)
        con.register("previous_parked", closings.slice(0, 0))
        offenders += engine.run_table(con, "check_statement_chain").to_pylist()
    return Derived(heads, lines, parked, [row["problem"] for row in offenders])
