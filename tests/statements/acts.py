"""A world of two issued months, the acts about its statements, and what tests of them ask and change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from click.testing import CliRunner, Result
from sqlalchemy import delete, func, insert, select, update

from include.airflow_records import Answer
from include.carm.calendar import Calendar
from include.carm.period import Period
from include.cli import carm
from include.database import write_transaction
from include.demo import fill_demo
from include.operations_statement_tables import STATEMENT_REGISTRY
from include.source_schema import TABLES
from include.statement_acts import Order
from include.workspace import Workspace
from tests.pipeline import new_workspace, run_month
from tests.prepared import Prepared

DECEMBER, JANUARY = Period.parse("2021-12"), Period.parse("2022-01")
ACCOUNTS = TABLES["accounts"]
ORDER = Order.of(
    "the name was recorded wrongly", "le nom avait été mal consigné", date(2022, 2, 1), "clerk", "manual restate"
)


def two_issued_months(prepared: Prepared, data: Path) -> None:
    """A demo world with two live months: in January an account is parked, and two postings of December came late."""
    ws = new_workspace(data)
    fill_demo(ws.source, accounts=120, months=51, seed=7, last_period=str(JANUARY))
    run_month(ws, str(DECEMBER), effects="live", run_id="manual december")
    overlap(ws, in_debt(ws))
    post_late(ws, statement_accounts(ws, DECEMBER)[4:6])
    run_month(ws, str(JANUARY), effects="live", run_id="manual january")


def in_debt(ws: Workspace) -> str:
    rows = pq.read_table(ws.lake().file("statements", DECEMBER)).to_pylist()
    return next(row["bn15"] for row in reversed(rows) if row["closing_cents"] > 0)


def overlap(ws: Workspace, bn15: str) -> None:
    """A second version of the account that holds on the same days: nobody can tell which one is right."""
    with write_transaction(ws.source) as connection:
        current = select(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15, ACCOUNTS.c.valid_to.is_(None))
        row = dict(connection.execute(current).mappings().one())
        connection.execute(insert(ACCOUNTS).values({**row, "valid_from": row["valid_from"] + timedelta(days=1)}))


def post_late(ws: Workspace, accounts: Sequence[str]) -> None:
    """Postings of December that the source gets to know only after December was issued."""
    transactions = TABLES["transactions"]
    with write_transaction(ws.source) as connection:
        rows = connection.execute(select(transactions).where(transactions.c.kind == "PMT").limit(len(accounts)))
        late = [
            {
                **row,
                "transaction_id": f"LATE{number}",
                "transaction_number": f"1111100000000{number}",
                "bn15": bn15,
                "activity_on": date(2021, 12, 10),
                "posted_on": date(2021, 12, 10),
                "amount_cents": -5_000 - number,
                "status": "accepted",
            }
            for number, (bn15, row) in enumerate(zip(accounts, rows.mappings(), strict=True))
        ]
        connection.execute(insert(transactions), late)


def mend(ws: Workspace, bn15: str) -> None:
    with write_transaction(ws.source) as connection:
        newest = select(func.max(ACCOUNTS.c.valid_from)).where(ACCOUNTS.c.bn15 == bn15).scalar_subquery()
        connection.execute(delete(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15, ACCOUNTS.c.valid_from == newest))


def parked_account(ws: Workspace) -> str:
    (row,) = pq.read_table(ws.lake().file("parked", JANUARY)).to_pylist()
    return str(row["bn15"])


def statement_accounts(ws: Workspace, period: Period) -> list[str]:
    rows = pq.read_table(ws.lake().file("statements", period), columns=["bn15", "line_count", "language"])
    return [row["bn15"] for row in rows.to_pylist() if row["line_count"] and row["language"] == "en"]


def rename(ws: Workspace, bn15: str, **values: Any) -> None:
    """The register is put right, in every version of the account."""
    with write_transaction(ws.source) as connection:
        connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15).values(values))


def registry(ws: Workspace, period: Period, bn15: str) -> list[Any]:
    where = (STATEMENT_REGISTRY.c.period == str(period)) & (STATEMENT_REGISTRY.c.bn15 == bn15)
    with ws.operations.connect() as connection:
        return list(connection.execute(select(STATEMENT_REGISTRY).where(where).order_by(STATEMENT_REGISTRY.c.version)))


def later(ws: Workspace, period: Period, day: date) -> Workspace:
    """The same place with another due date of a month, as the dated table would give it."""

    class Deferred(Calendar):
        def due_on(self, asked: Period) -> date:
            return day if asked == period else super().due_on(asked)

    return replace(ws, calendar=Deferred(**vars(ws.calendar)))


def answer(by: str, chosen: str = "Approve") -> Answer:
    return Answer(chosen=chosen, by=by, at="2022-02-01T12:00:00Z")


def carm_on(ws: Workspace, *arguments: str) -> Result:
    return CliRunner().invoke(carm, [*arguments, "--data", str(ws.data)])
