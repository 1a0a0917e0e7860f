"""Locked months: no act about their statements and no new extract, until somebody else approves that they are unlocked.

Whoever closes the books of a month locks it. Unlocking takes two: who asks for it, and another person who approves it
in Airflow (``carm_unlock_month``). Each is a row of ``carm_month_locks`` and a link of the audit chain.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from include.airflow_records import SCHEDULE, UNKNOWN, Answer
from include.audit import append_link
from include.carm.errors import Refused
from include.carm.period import Period
from include.database import write_transaction
from include.operations import bring_up_to_date
from include.operations_statement_tables import MONTH_LOCKS
from include.person_records import next_number, require_person, require_reason

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from include.workspace import Workspace


def locked_months(connection: Connection) -> dict[str, Row[Any]]:
    """The months that are locked now, each with the row that locked it."""
    last: dict[str, Row[Any]] = {}
    for row in connection.execute(select(MONTH_LOCKS).order_by(MONTH_LOCKS.c.lock_no)):
        last[row.period] = row
    return {period: row for period, row in last.items() if row.is_locked}


def require_unlocked(connection: Connection, period: Period) -> None:
    """Raise ``Refused`` where the month is locked."""
    row = locked_months(connection).get(str(period))
    if row is not None:
        raise Refused(
            f"{period} is locked ({row.reason}, by {row.recorded_by}): trigger carm_unlock_month, and let another "
            "person approve it"
        )


def lock_month_for_good(ws: Workspace, period: Period, *, reason: str, recorded_by: str) -> dict[str, Any]:
    """Lock a month whose books are closed; one that is locked stays so. Returns the lock, with ``is_new``."""
    signed = {"reason": require_reason(reason), "recorded_by": require_person(recorded_by)}
    # As before an act: a lock may be the first that a new release does.
    bring_up_to_date(ws.operations)
    with write_transaction(ws.operations) as connection:
        row = locked_months(connection).get(str(period))
        if row is not None:
            return {**row._mapping, "is_new": False}
        return {**_record(connection, period, is_locked=True, **signed), "is_new": True}


def unlock_month(
    ws: Workspace,
    period: Period,
    answer: Answer | None,
    *,
    reason: str,
    asked_by: str,
    also_asked_by: Collection[str],
    run_id: str,
) -> dict[str, Any]:
    """Unlock a month once another person than who asked for it approved it.

    Raises ``Refused`` where nobody answered, the answer was no, its giver asked for it too, the month is not locked, or
    was locked again since this run unlocked it. Returns the row of the unlocking; a run that did it gets its own again.
    """
    told = require_reason(reason)
    if answer is None or answer.chosen != "Approve":
        raise Refused(f"{period} stays locked: " + ("nobody answered" if answer is None else f"{answer.by} said no"))
    askers = {person.strip().casefold() for person in (asked_by, *also_asked_by)}
    approver = answer.by.strip().casefold()
    if approver in ("", UNKNOWN, SCHEDULE) or {UNKNOWN, SCHEDULE} & askers:
        raise Refused(f"{period} stays locked: who asked, or who approved, is not known")
    if approver in askers:
        raise Refused(f"{period} stays locked: {answer.by} asked for it, so another person must approve it")
    with write_transaction(ws.operations) as connection:
        is_locked = str(period) in locked_months(connection)
        used = (MONTH_LOCKS.c.period == str(period)) & (MONTH_LOCKS.c.run_id == run_id)
        done = connection.execute(select(MONTH_LOCKS).where(used)).first()
        if done is not None and not is_locked:
            return dict(done._mapping)
        if done is not None:
            # Else whoever clears the task would open what was locked since, on an answer that was about another lock.
            raise Refused(f"{period} stays locked: an answer counts once, and it was locked again since; trigger anew")
        require_locked(connection, period)
        return _record(
            connection,
            period,
            is_locked=False,
            reason=told,
            recorded_by=asked_by,
            approved_by=answer.by,
            run_id=run_id,
        )


def require_locked(connection: Connection, period: Period) -> None:
    """Raise ``Refused`` where the month is not locked: nobody need be asked."""
    if str(period) not in locked_months(connection):
        raise Refused(f"{period} is not locked: nothing stands in the way")


def _record(connection: Connection, period: Period, **said: Any) -> dict[str, Any]:
    row = {"lock_no": next_number(connection, MONTH_LOCKS.c.lock_no), "period": str(period)}
    row |= {"approved_by": None, "run_id": None, **said}
    connection.execute(insert(MONTH_LOCKS).values(row))
    append_link(connection, "month_lock", str(period), row)
    return row
