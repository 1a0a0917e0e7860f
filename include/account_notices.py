"""What there is to tell about accounts in a month, to whom, and as which notice. Nothing is rendered or sent here.

An *occasion* is something that happened to one account: its statement is ready, it was closed, it will be. Who is told
of it is policy (``recipients`` in ``include/config/notices.yaml``): the address on file for the account, and delegates
by their role. ``docs/adr/0057-who-is-told-and-digests.md`` tells why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from include import engine
from include.addresses import account_addresses, delegate_addresses
from include.carm.contacts import Contacts
from include.carm.notice_policy import NoticePolicy
from include.carm.period import Period
from include.carm.quarter import Quarter
from include.notice_intents import owed_events
from include.notice_page import (
    MULTI_FACTOR_SINCE,
    ClosureComingNotice,
    ClosureNotice,
    ConversionNotice,
    MfaNotice,
    Notice,
    ReinstatementNotice,
    StatementNotice,
    one_line,
)
from include.tellings import told_elsewhere

if TYPE_CHECKING:
    import duckdb
    from sqlalchemy.engine import Connection

    from include.carm.calendar import Calendar
    from include.lake import Lake
    from include.workspace import Workspace

Row = Mapping[str, Any]

NOTICES_OWED = pa.schema(
    [
        ("kind", pa.string()),
        ("about", pa.string()),
        ("version", pa.int64()),
        ("bn15", pa.string()),
        ("effective_on", pa.date32()),
        ("undoes", pa.string()),
        ("program_type", pa.string()),
        ("new_program_type", pa.string()),
    ]
)
"""What :func:`include.notice_intents.owed_events` reads."""

OCCASIONS = pa.schema(
    [
        ("kind", pa.string()),
        ("bn15", pa.string()),
        ("about", pa.string()),
        ("version", pa.int64()),
        ("period_start", pa.date32()),
        ("period_end", pa.date32()),
        ("issued_on", pa.date32()),
        ("due_on", pa.date32()),
        ("program_type", pa.string()),
        ("new_program_type", pa.string()),
        ("effective_on", pa.date32()),
        ("undoes", pa.string()),
    ]
)


def owed_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows of :func:`include.notice_intents.owed_events` as ``NOTICES_OWED``."""
    return pa.Table.from_pylist(rows, NOTICES_OWED)


def find_occasions(
    ws: Workspace,
    con: duckdb.DuckDBPyConnection,
    connection: Connection,
    lake: Lake,
    period: Period,
    policy: NoticePolicy,
    *,
    account_changes: pa.Table,
    is_live: bool,
) -> pa.Table:
    """What there is to tell in the month, as ``OCCASIONS``.

    A live run tells what happened: the journal's ``account_changes``, and the notices that are owed for closures to
    come and for accounts that are open again. A shadow run tells what would happen, from ``account_decisions``.
    Raises ``DataError`` when a dataset that it reads was never sealed.
    """
    calendar, quarter = ws.calendar, str(Quarter.of(period))
    owed = owed_events(connection, str(period)) if is_live else []
    relations: dict[str, engine.Relation] = {
        "accounts": [lake.file("accounts", period)],
        "statements": [lake.file("statements", period)],
        "account_decisions": [lake.file("account_decisions", period)],
        "account_changes": account_changes,
        "notices_owed": owed_table(owed),
        # A shadow run too: beside an issued month it comes to what that month told.
        "told_elsewhere": told_elsewhere(connection, str(period), f"/{quarter}"),
    }
    as_of = calendar.as_of(period)
    parameters = {
        "period": str(period),
        "is_live": is_live,
        "as_of": as_of,
        "effective_on": calendar.effective_on(period),
        "closes_on": closes_on(ws, period),
        "quarter": quarter,
        "reminds_of_mfa": policy.reminds_of_mfa and as_of >= MULTI_FACTOR_SINCE,
    }
    return engine.run_table(con, "derive_notice_occasions", relations, parameters).cast(OCCASIONS)


def closes_on(ws: Workspace, period: Period) -> date:
    """The first day on which an account may be closed whose closure the month announces."""
    return ws.calendar.effective_on(period.plus(ws.policy.closure.notice_months))


def find_recipients(
    ws: Workspace,
    con: duckdb.DuckDBPyConnection,
    lake: Lake,
    period: Period,
    policy: NoticePolicy,
    occasions: pa.Table,
    *,
    bn15: str | None = None,
) -> pa.Table:
    """The occasions, once for each person who is told of them (of one account: ``bn15``), with address and language."""
    roles = [(kind, role) for kind, roles in policy.recipients.items() for role in roles]
    relations: dict[str, engine.Relation] = {
        "accounts": [lake.file("accounts", period)],
        "account_addresses": account_addresses(ws, period, bn15=bn15),
        "delegate_addresses": delegate_addresses(ws, lake, period, bn15=bn15),
        "notice_occasions": occasions,
        "recipient_roles": pa.table({"kind": [kind for kind, _ in roles], "role": [role for _, role in roles]}),
    }
    return engine.run_table(con, "derive_account_notices", relations)


@dataclass(frozen=True)
class AccountNotices:
    """Makes the notices of a month of the rows of :func:`find_recipients`; ``written_on`` is the day they bear."""

    period: Period
    calendar: Calendar
    contacts: Contacts
    written_on: date

    @classmethod
    def of_month(cls, ws: Workspace, period: Period, contacts: Contacts) -> AccountNotices:
        """The notices of the month itself, which bear its day of issue."""
        return cls(period, ws.calendar, contacts, ws.calendar.issued_on(period))

    def notice_of(self, row: Row) -> Notice:
        """The notice that tells the row's occasion."""
        bn15, legal_name, effective_on = row["bn15"], one_line(row["legal_name"]), row["effective_on"]
        years, kind = self.calendar.dormancy_years, row["kind"]
        if kind == "statement":
            return StatementNotice(
                bn15,
                legal_name,
                issued_on=row["issued_on"],
                period_start=row["period_start"],
                period_end=row["period_end"],
                due_on=row["due_on"],
                version=row["version"],
            )
        if kind == "closure":
            return ClosureNotice(
                bn15,
                legal_name,
                issued_on=self.written_on,
                effective_on=effective_on,
                cutoff_on=self.calendar.cutoff(self.period),
                as_of=self.calendar.as_of(self.period),
                years=years,
                reinstatement=self.contacts.reinstatement_on(self.written_on),
            )
        if kind == "closure_coming":
            return ClosureComingNotice(
                bn15,
                legal_name,
                issued_on=self.written_on,
                closes_on=effective_on,
                cutoff_on=self.calendar.cutoff(self.period),
                as_of=self.calendar.as_of(self.period),
                years=years,
            )
        if kind == "conversion":
            return ConversionNotice(
                bn15, legal_name, self.written_on, effective_on, years, row["program_type"], row["new_program_type"]
            )
        if kind == "reinstatement":
            was, became = row["program_type"], row["new_program_type"]
            types = (was, became) if row["undoes"] == "convert" else (None, None)
            return ReinstatementNotice(bn15, legal_name, self.written_on, effective_on, *types)
        return MfaNotice(
            bn15,
            legal_name,
            issued_on=self.written_on,
            as_of=self.calendar.as_of(self.period),
            asked_since=MULTI_FACTOR_SINCE,
            portal_registered_on=effective_on,
        )
