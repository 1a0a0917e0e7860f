"""Closures that are announced to the client before they come, where the policy asks for a notice.

An announcement is written in the transaction that applies the plan in which the account became a candidate. It ends
when the account is closed, and as soon as closing it is no longer proposed; should the account become dormant again,
its client is told again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import and_, delete, exists, insert, select, update

from include import engine
from include.audit import digest_rows
from include.carm.period import Period
from include.operations_plan_tables import ACCOUNT_CHANGES, CLOSURE_ANNOUNCEMENTS
from include.tellings import call_off_coming

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from include.workspace import Workspace

_KEYS_A_QUERY = 5_000


def record_announcements(ws: Workspace, connection: Connection, plan: Row[Any]) -> None:
    """End the announcements that the plan's month settles, and write the new ones from the journal of the plan."""
    told, change = CLOSURE_ANNOUNCEMENTS.c, ACCOUNT_CHANGES.c
    of_plan = change.plan_hash == plan.plan_hash
    closed = and_(of_plan, change.bn15 == told.bn15, change.action == "close", change.outcome != "dropped")
    is_open = told.cleared_in.is_(None)
    connection.execute(
        update(CLOSURE_ANNOUNCEMENTS).where(is_open, exists().where(closed)).values(cleared_in=plan.period)
    )
    lapsed = _find_lapsed(ws, connection, plan)
    for start in range(0, len(lapsed), _KEYS_A_QUERY):
        is_lapsed = told.bn15.in_(lapsed[start : start + _KEYS_A_QUERY])
        connection.execute(update(CLOSURE_ANNOUNCEMENTS).where(is_open, is_lapsed).values(cleared_in=plan.period))
    announced = and_(of_plan, change.outcome == "announced")
    # Another plan of the same month may have announced it before; no month knows its own announcements.
    again = exists().where(announced, change.bn15 == told.bn15)
    connection.execute(delete(CLOSURE_ANNOUNCEMENTS).where(told.announced_in == plan.period, again))
    connection.execute(
        insert(CLOSURE_ANNOUNCEMENTS).from_select(
            ["bn15", "announced_in", "account_key", "plan_hash"],
            select(change.bn15, change.period, change.account_key, change.plan_hash).where(announced),
        )
    )


def _find_lapsed(ws: Workspace, connection: Connection, plan: Row[Any]) -> list[str]:
    """The accounts with an open announcement whose closing the plan's month no longer proposes."""
    query = select(CLOSURE_ANNOUNCEMENTS.c.bn15).where(CLOSURE_ANNOUNCEMENTS.c.cleared_in.is_(None))
    numbers = connection.execute(query).scalars().all()
    if not numbers:
        return []
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        decisions = ws.lake().file("account_decisions", Period.parse(plan.period))
        engine.register(con, "account_decisions", [decisions])
        engine.register(con, "announced", pa.table({"bn15": pa.array(numbers, pa.string())}))
        return [str(bn15) for bn15 in engine.run_table(con, "select_lapsed_announcements").column("bn15").to_pylist()]


def announcements_sha256(connection: Connection) -> str:
    """SHA-256 over all announcements, as :func:`include.audit.digest_rows` hashes rows."""
    told = CLOSURE_ANNOUNCEMENTS.c
    return digest_rows(connection, select(CLOSURE_ANNOUNCEMENTS).order_by(told.bn15, told.announced_in))


def withdraw_announcements(connection: Connection, plan_hash: str) -> int:
    """End the announcements of a plan that a person undoes, as if they had never been; returns how many."""
    told = CLOSURE_ANNOUNCEMENTS.c
    call_off_coming(connection, plan_hash)
    # Cleared in the month that made them: no later month knows of them.
    result = connection.execute(
        update(CLOSURE_ANNOUNCEMENTS)
        .where(told.plan_hash == plan_hash, told.cleared_in.is_(None))
        .values(cleared_in=told.announced_in)
    )
    return int(result.rowcount)
