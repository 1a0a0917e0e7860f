"""A small world with ledger feeds: every feed has its rows in every month, and accounts that lie dormant beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from include.apply import apply_plan
from include.carm.period import Period
from include.database import connect_engine, write_transaction
from include.datasets import COMPONENTS
from include.decide import publish_decisions
from include.operations_plan_tables import ACCOUNT_CHANGES
from include.plan_step import publish_plan
from include.source_schema import TABLES, create_indexes, create_tables
from include.workspace import Workspace
from tests.decide.accounts import bn15_of
from tests.pipeline import extract_only, new_workspace

BUSY = bn15_of(9_000)
"""An account with an import and an export in every month, so that every month of both feeds is covered."""

LONG_AGO = date(2010, 1, 4)


def account(bn15: str, **others: Any) -> dict[str, Any]:
    values = {
        **dict.fromkeys(TABLES["accounts"].c.keys()),
        "bn15": bn15,
        "valid_from": LONG_AGO,
        "legal_name": "A firm",
        "program_type": "importer",
        "status": "open",
        "opened_on": LONG_AGO,
        "language": "en",
        "province": "QC",
    }
    return values | others


def transaction(key: str, bn15: str, posted_on: date, cents: int = 10_000, **others: Any) -> dict[str, Any]:
    values = {
        **dict.fromkeys(TABLES["transactions"].c.keys()),
        **dict.fromkeys(COMPONENTS, 0),
        "transaction_id": key,
        "revision": 1,
        "bn15": bn15,
        "kind": "B3",
        "activity_on": posted_on,
        "posted_on": posted_on,
        "status": "accepted",
        "customs_duty_cents": cents,
        "amount_cents": cents,
    }
    return values | others


def declaration(key: str, bn15: str, reported_on: date, **others: Any) -> dict[str, Any]:
    values = {
        "declaration_id": key,
        "revision": 1,
        "bn15": bn15,
        "exported_on": reported_on,
        "reported_on": reported_on,
        "status": "accepted",
        "value_cents": 500_000,
    }
    return values | others


@dataclass(frozen=True)
class LedgerWorld:
    """The workspace over it, and what a test does with the source."""

    ws: Workspace

    @classmethod
    def make(cls, folder: Path, url: str, numbers: Sequence[str], *, last: str = "2021-12") -> LedgerWorld:
        """Accounts ``numbers``, each with an import of 2012 that was paid, and nothing since."""
        ws = new_workspace(folder, url)
        transactions, declarations = [], []
        for period in Period.range(Period(2017, 11), Period.parse(last)):
            day = ws.calendar.end(period)
            transactions.append(transaction(f"busy-{period}", BUSY, day))
            transactions.append(payment(f"busy-paid-{period}", BUSY, day))
            declarations.append(declaration(f"busy-{period}", BUSY, day))
        for bn15 in numbers:
            transactions.append(transaction(f"old-{bn15}", bn15, date(2012, 3, 1)))
            transactions.append(payment(f"old-paid-{bn15}", bn15, date(2012, 3, 2)))
        names = ["accounts", "transactions", "export_declarations"]
        with write_transaction(connect_engine(url)) as connection:
            create_tables(connection, names)
            create_indexes(connection, names)
            accounts = [account(BUSY, program_type="dual"), *(account(bn15) for bn15 in numbers)]
            connection.execute(insert(TABLES["accounts"]), accounts)
            connection.execute(insert(TABLES["transactions"]), transactions)
            connection.execute(insert(TABLES["export_declarations"]), declarations)
        return cls(ws)

    def with_policy(self, **changes: Any) -> LedgerWorld:
        return LedgerWorld(replace(self.ws, policy=replace(self.ws.policy, **changes)))

    def plan(self, period: str = "2021-12", *, effects: str = "live", run_id: str = "run-1") -> dict[str, Any]:
        """Extract, decide and plan a month; returns the month, with its plan's hash."""
        month, _ = extract_only(self.ws, period, effects=effects, run_id=run_id)
        publish_decisions(self.ws, month)
        made = publish_plan(self.ws, month)
        return {**month, "plan_hash": made["plan_hash"], "state": made["state"], "counts": made["counts"]}

    def apply(self, month: dict[str, Any]) -> dict[str, Any]:
        return apply_plan(self.ws, month, month["plan_hash"])

    def add(self, table: str, *rows: dict[str, Any]) -> None:
        self.execute(insert(TABLES[table]), list(rows))

    def execute(self, *statement: Any) -> None:
        with write_transaction(self.ws.operations) as connection:
            connection.execute(*statement)

    def rows(self, query: Any) -> list[dict[str, Any]]:
        with self.ws.operations.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def journal(self) -> dict[str, dict[str, Any]]:
        """The journal by account."""
        return {row["bn15"]: row for row in self.rows(select(ACCOUNT_CHANGES))}

    def statuses(self) -> dict[str, str]:
        accounts = TABLES["accounts"]
        return {row["bn15"]: row["status"] for row in self.rows(select(accounts).where(accounts.c.valid_to.is_(None)))}


def payment(key: str, bn15: str, posted_on: date, cents: int = -10_000) -> dict[str, Any]:
    return transaction(key, bn15, posted_on, cents, kind="PMT", customs_duty_cents=0)
