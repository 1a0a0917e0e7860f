"""A workspace in which a month has been extracted: accounts in the database, sealed facts, and covered feeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, select

from include import engine
from include.carm.calendar import Calendar
from include.carm.period import Period
from include.carm.policy import Breaker, Limits, Policy
from include.database import connect_engine, write_transaction
from include.operations_metadata import METADATA
from include.operations_plan_tables import ACCOUNT_CHANGES, PLANS
from include.operations_schema import FEED_COVERAGE
from include.plan import hash_plan
from include.source_schema import TABLES, create_indexes, create_tables
from include.workspace import Workspace
from tests.decide.accounts import account_facts
from tests.decide.oracle import Account

ACCOUNTS = TABLES["accounts"]
DECEMBER = Period(2021, 12)
NO_LIMIT = Breaker(
    whole=Limits(max_share=1, max_changes=None, max_times_median=None),
    first_run_max_share=1,
    min_accounts_for_percent=50,
    median_months=12,
    min_median_months=3,
    min_changes_for_median=20,
    strata=(),
    stratum=Limits(max_share=1, max_changes=None, max_times_median=None),
)


def month_of(period: Period = DECEMBER, *, effects: str = "live", area: str = "lake", run_id: str = "run-1") -> dict:
    return {"period": str(period), "effects": effects, "area": area, "run_id": run_id}


@dataclass(frozen=True)
class Register:
    """The workspace, and what a test asks of its database."""

    ws: Workspace

    @classmethod
    def make(cls, data: Path, url: str, *, breaker: Breaker = NO_LIMIT) -> Register:
        policy = replace(Policy.load(), breaker=breaker)
        with write_transaction(connect_engine(url, create=True)) as connection:
            METADATA.create_all(connection)
            create_tables(connection, ["accounts"])
            create_indexes(connection, ["accounts"])
        return cls(Workspace(data, url, url, Calendar.load(), policy))

    def with_policy(self, **changes: Any) -> Register:
        return Register(replace(self.ws, policy=replace(self.ws.policy, **changes)))

    def fill(
        self, accounts: Sequence[Account], period: Period = DECEMBER, *, missing: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Put ``accounts`` into the register and seal the facts about them; ``missing``: (feed, month) not received."""
        facts = account_facts(accounts)
        self.seal_facts(facts, period, missing=missing)
        names = set(facts.column_names) & {column.name for column in ACCOUNTS.columns}
        rows = [
            {
                **dict.fromkeys(column.name for column in ACCOUNTS.columns),
                **{name: row[name] for name in names},
                "legal_name": f"Firm {number}",
                "language": "en",
                "email": f"firm{number}@example.org",
            }
            for number, row in enumerate(facts.to_pylist())
        ]
        with write_transaction(self.ws.operations) as connection:
            connection.execute(delete(ACCOUNTS))
            if rows:
                connection.execute(insert(ACCOUNTS), rows)

    def seal_facts(self, facts: Any, period: Period = DECEMBER, *, missing: Sequence[tuple[str, str]] = ()) -> None:
        self.ws.lake().publish_and_seal("account_facts", period, facts, run_id="extract")
        window = [str(month) for month in self.ws.calendar.window(period)]
        rows = [
            {
                "feed": feed,
                "period": month,
                "known_in": month,
                "observed_in": str(period),
                "state": "not_received" if (feed, month) in missing else "received",
                "rows": 10,
                "quarantined": 0,
                "minimum_rows": 1,
                "first_period": None,
                "validated": True,
                "reconciled": True,
                "first_day": "2010-01-04",
                "sha256": None,
            }
            for feed in ("transactions", "export_declarations")
            for month in window
        ]
        with write_transaction(self.ws.operations) as connection:
            connection.execute(delete(FEED_COVERAGE))
            connection.execute(insert(FEED_COVERAGE), rows)

    def record_plan(self, month: dict[str, str], state: str) -> str:
        """A plan row over the sealed decisions, without the checks on them (a shadow's is ``shadow``); its hash."""
        period, calendar = Period.parse(month["period"]), self.ws.calendar
        with engine.connect() as con:
            engine.register(con, "account_decisions", [self.ws.lake().file("account_decisions", period)])
            plan_hash = hash_plan(con, period, calendar.effective_on(period))
        values = {
            "plan_hash": plan_hash,
            "effects": month["effects"],
            "period": str(period),
            "as_of": calendar.as_of(period),
            "effective_on": calendar.effective_on(period),
            "state": state if month["effects"] == "live" else "shadow",
            "reason": "a test",
            "open_accounts": 0,
            "changes": 0,
            "counts": "{}",
            "strata": "{}",
            "margins": "{}",
            "approval": "not_needed",
            "coverage_id": "the coverage",
            "rules_version": "the rules",
            "policy_version": "",
            "run_id": month["run_id"],
        }
        self.change(insert(PLANS).values(**values))
        return plan_hash

    def versions(self, bn15: str | None = None) -> list[dict[str, Any]]:
        """All versions of all accounts (of one), oldest first."""
        query = select(ACCOUNTS).order_by(ACCOUNTS.c.bn15, ACCOUNTS.c.valid_from, ACCOUNTS.c.valid_to)
        if bn15 is not None:
            query = query.where(ACCOUNTS.c.bn15 == bn15)
        return self._rows(query)

    def journal(self) -> list[dict[str, Any]]:
        return self._rows(select(ACCOUNT_CHANGES).order_by(ACCOUNT_CHANGES.c.plan_hash, ACCOUNT_CHANGES.c.bn15))

    def plans(self) -> list[dict[str, Any]]:
        return self._rows(select(PLANS).order_by(PLANS.c.period, PLANS.c.effects, PLANS.c.plan_hash))

    def everything(self) -> tuple[Any, ...]:
        return self.versions(), self.journal(), self.plans()

    def change(self, statement: Any) -> None:
        with write_transaction(self.ws.operations) as connection:
            connection.execute(statement)

    def _rows(self, query: Any) -> list[dict[str, Any]]:
        with self.ws.operations.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]


AFTER_DECEMBER = Calendar.load().as_of(DECEMBER) + timedelta(days=1)
