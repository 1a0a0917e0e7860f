"""Apply a plan: end the version of each account that it changes, begin the next one, and journal it.

All of it is one transaction on the database behind ``carm_apply``. Every account is looked at again first; one that
moved since the plan was made is journalled as dropped and left alone. Where the policy hands changes over as a file,
the same is done and no account is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import ColumnElement, and_, case, exists, func, insert, literal, or_, select, update

from include import engine
from include.announcements import announcements_sha256, record_announcements
from include.approvals import approver_of, makers_of
from include.audit import append_link
from include.carm.errors import DataError, Refused
from include.carm.period import Period
from include.change_file import change_file_sha256, publish_change_file
from include.database import write_transaction
from include.journal import applied_changes, count_outcomes, journal_sha256, write_journal
from include.moved_accounts import count_known, find_moved
from include.notice_intents import owe_changes
from include.operations_plan_tables import ACCOUNT_CHANGES, PLANS
from include.plan import LIVE_FOR_GOOD, hash_plan
from include.source_rows import source_snapshot
from include.source_schema import TABLES

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from include.workspace import Workspace

__all__ = ["applied_changes", "apply_plan"]

ACCOUNTS = TABLES["accounts"]


def apply_plan(ws: Workspace, month: Mapping[str, Any], plan_hash: str) -> dict[str, Any]:
    """Change the accounts as the live plan ``plan_hash`` of the month says; once, however often it is called.

    A plan that is ready is applied, one that is held only with the approval of a person who had no hand in it. A shadow
    run, and a plan in any other state, change nothing. Raises ``Refused`` when there is no such plan, when the
    decisions in the lake are not the ones that it was made from, or when a later period was applied before it.
    Returns ``{"plan_hash", "state", "applied", "announced", "handed_over", "dropped", "changed_now"}``;
    ``changed_now`` is 0 the second time.
    """
    period = Period.parse(month["period"])
    if month["effects"] != "live":
        return _outcome(plan_hash, "shadow")
    with ws.operations.connect() as connection:
        plan = _find_plan(connection, period, plan_hash, month)
        if plan is None or not _may_pass(ws, connection, plan):
            return _settled(ws, connection, plan_hash, plan)
    planned = _read_planned(ws, plan)
    known = count_known(ws, plan, planned)
    with _register_locked(ws) as (connection, register):
        # Asked again, now that nobody else can answer it differently.
        plan = _find_plan(connection, period, plan_hash, month)
        if plan is None or not _may_pass(ws, connection, plan):
            return _settled(ws, connection, plan_hash, plan)
        _require_newest(connection, period)
        with source_snapshot(ws) as source:
            moved = find_moved(ws, connection, register or source, source, plan, planned, known)
        approved_by = approver_of(connection, plan_hash)
        done = "applied" if register is not None else "handed_over"
        write_journal(
            connection, plan, planned, moved=moved, done=done, run_id=month["run_id"], approved_by=approved_by
        )
        if register is not None:
            _replace_versions(connection, plan)
            _require_one_successor(connection, plan)
        record_announcements(ws, connection, plan)
        owe_changes(connection, plan_hash, str(period), plan.effective_on, month["run_id"])
        counts = _finish(connection, plan, done=done, run_id=month["run_id"])
        facts = {"plan_hash": plan_hash, "run_id": month["run_id"], "approved_by": approved_by, **counts}
        facts["journal_sha256"] = journal_sha256(connection, plan_hash)
        facts["announcements_sha256"] = announcements_sha256(connection)
        if register is None:
            facts["change_file_sha256"] = change_file_sha256(connection, plan_hash)
        append_link(connection, "apply", plan_hash, facts)
    if register is None:
        publish_change_file(ws, plan_hash)
    touched = counts["applied"] + counts["handed_over"] + counts["announced"]
    return {"plan_hash": plan_hash, "state": done, **counts, "changed_now": touched}


# May it pass.


def _find_plan(connection: Connection, period: Period, plan_hash: str, month: Mapping[str, Any]) -> Row[Any] | None:
    """The live plan; None where a live run of an issued month made none."""
    query = select(PLANS).where(
        PLANS.c.plan_hash == plan_hash, PLANS.c.effects == "live", PLANS.c.period == str(period)
    )
    plan = connection.execute(query).one_or_none()
    if plan is None and month["area"] == "lake":
        raise Refused(f"there is no live plan {plan_hash[:12]} of {period}: run {period} live first")
    return plan


def _may_pass(ws: Workspace, connection: Connection, plan: Row[Any]) -> bool:
    """Whether the plan is ready, or held and approved; raises ``Refused`` for an approval that no longer counts."""
    if plan.state != "held":
        return bool(plan.state == "ready")
    approver = approver_of(connection, plan.plan_hash)
    if approver is None:
        return False
    if plan.approval != "needed" or ws.policy.approval == "never":
        raise Refused(
            f"plan {plan.plan_hash[:12]} is held and the policy lets nobody approve it: nothing was changed; what is "
            "due stands in the next month's plan"
        )
    # Somebody may have run the month again after the answer was given.
    makers = {maker.strip().casefold() for maker in makers_of(connection, plan.plan_hash)}
    if approver.strip().casefold() in makers or "unknown" in makers:
        raise Refused(
            f"the approval of plan {plan.plan_hash[:12]} counts no longer, and nothing was changed: since then it was "
            "made again by its approver, or by somebody who is not known; another person must approve it"
        )
    return True


def _require_newest(connection: Connection, period: Period) -> None:
    of_effect = PLANS.c.state.in_(LIVE_FOR_GOOD), PLANS.c.effects == "live"
    newest = connection.execute(select(func.max(PLANS.c.period)).where(*of_effect)).scalar()
    if newest is not None and newest > str(period):
        raise Refused(
            f"the plan of {period} cannot be applied: {newest} was applied after it. Whatever is still due is in the "
            "plan of the open month"
        )


def _settled(ws: Workspace, connection: Connection, plan_hash: str, plan: Row[Any] | None) -> dict[str, Any]:
    """What is said where nothing is changed now."""
    if plan is None:
        return _outcome(plan_hash, "shadow")
    if plan.state == "handed_over":
        # The run that handed it over may have died before its file was in place.
        publish_change_file(ws, plan_hash)
    counts = _tell_outcomes(connection, plan_hash) if plan.state in ("applied", "handed_over") else {}
    return _outcome(plan_hash, plan.state, **counts)


def _outcome(plan_hash: str, state: str, **counts: int) -> dict[str, Any]:
    nothing = dict.fromkeys(("applied", "announced", "handed_over", "dropped"), 0)
    return {"plan_hash": plan_hash, "state": state, **nothing, **counts, "changed_now": 0}


def _read_planned(ws: Workspace, plan: Row[Any]) -> pa.Table:
    """The changes among the sealed decisions, after proving that these are the plan's."""
    period = Period.parse(plan.period)
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        engine.register(con, "account_decisions", [ws.lake().file("account_decisions", period)])
        found = hash_plan(con, period, plan.effective_on)
        if found != plan.plan_hash:
            raise Refused(
                f"the decisions of {period} are no longer those of plan {plan.plan_hash[:12]} (now {found[:12]}): "
                "nothing was changed; run the month again to make a plan of them"
            )
        return engine.run_table(con, "select_planned_changes", parameters={"period": plan.period})


# The change.


@contextmanager
def _register_locked(ws: Workspace) -> Iterator[tuple[Connection, Connection | None]]:
    """A transaction that nobody else's apply runs beside, and the same as the register where accounts are written."""
    is_written = ws.policy.apply == "database"
    with write_transaction(ws.operations) as connection:
        if connection.dialect.name == "postgresql":
            # SQLite has one writer, and it is us. A lock on the accounts' rows would not keep out a new version of an
            # account; readers go on.
            tables = (PLANS, ACCOUNTS) if is_written else (PLANS,)
            for table in tables:
                connection.exec_driver_sql(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE")
            connection.exec_driver_sql("SET LOCAL datestyle = 'ISO, YMD'")
        yield connection, connection if is_written else None


def _replace_versions(connection: Connection, plan: Row[Any]) -> None:
    """End the planned versions and begin the new ones."""
    is_applied = and_(ACCOUNT_CHANGES.c.plan_hash == plan.plan_hash, ACCOUNT_CHANGES.c.outcome == "applied")
    is_closed = ACCOUNT_CHANGES.c.action == "close"
    # What find_moved let pass: the version is there, it is current, and whatever copies it has are the same.
    is_planned = and_(
        ACCOUNT_CHANGES.c.bn15 == ACCOUNTS.c.bn15,
        ACCOUNT_CHANGES.c.valid_from == ACCOUNTS.c.valid_from,
        ACCOUNTS.c.valid_to.is_(None),
    )
    decided: dict[str, ColumnElement[Any]] = {
        "valid_from": literal(plan.effective_on),
        "status": case((is_closed, "closed"), else_=ACCOUNTS.c.status),
        "program_type": func.coalesce(ACCOUNT_CHANGES.c.new_program_type, ACCOUNTS.c.program_type),
        "closed_on": case((is_closed, plan.effective_on), else_=ACCOUNTS.c.closed_on),
    }
    columns = [column for column in ACCOUNTS.columns if column is not ACCOUNTS.c.valid_to]
    # Distinct, because the register may hold identical copies of a version: they end together, one goes on.
    versions = (
        select(*(decided.get(column.name, column).label(column.name) for column in columns))
        .distinct()
        .join_from(ACCOUNT_CHANGES, ACCOUNTS, is_planned)
        .where(is_applied)
    )
    connection.execute(insert(ACCOUNTS).from_select([column.name for column in columns], versions))
    connection.execute(
        update(ACCOUNTS)
        .where(ACCOUNTS.c.valid_to.is_(None), exists().where(is_applied, is_planned))
        .values(valid_to=plan.effective_on)
    )


def _require_one_successor(connection: Connection, plan: Row[Any]) -> None:
    """Prove that every applied account has exactly one version from the effective day on."""
    successor = ACCOUNTS.alias("successor")
    begun = (
        select(ACCOUNT_CHANGES.c.bn15, func.count(successor.c.bn15).label("versions"))
        .outerjoin_from(
            ACCOUNT_CHANGES,
            successor,
            and_(
                successor.c.bn15 == ACCOUNT_CHANGES.c.bn15,
                or_(successor.c.valid_to.is_(None), successor.c.valid_to > plan.effective_on),
            ),
        )
        .where(ACCOUNT_CHANGES.c.plan_hash == plan.plan_hash, ACCOUNT_CHANGES.c.outcome == "applied")
        .group_by(ACCOUNT_CHANGES.c.bn15)
        .subquery()
    )
    wrong = connection.execute(select(func.count()).select_from(begun).where(begun.c.versions != 1)).scalar_one()
    if wrong:
        raise DataError(
            f"{wrong:,} accounts would not have exactly one version from {plan.effective_on} on: nothing was changed; "
            "look for a trigger or a rule of the database that writes accounts by itself"
        )


def _finish(connection: Connection, plan: Row[Any], *, done: str, run_id: str) -> dict[str, int]:
    counts = _tell_outcomes(connection, plan.plan_hash)
    connection.execute(
        update(PLANS)
        .where(PLANS.c.plan_hash == plan.plan_hash, PLANS.c.effects == "live")
        .values(
            state=done,
            applied_run_id=run_id,
            applied_count=counts["applied"] + counts["announced"],
            dropped_count=counts["dropped"],
        )
    )
    return counts


def _tell_outcomes(connection: Connection, plan_hash: str) -> dict[str, int]:
    """What became of the plan's changes; what the register confirmed or did not do counts as handed over."""
    found = count_outcomes(connection, plan_hash)
    handed_over = sum(found.get(outcome, 0) for outcome in ("handed_over", "confirmed", "not_done"))
    return {
        "applied": found.get("applied", 0),
        "announced": found.get("announced", 0),
        "handed_over": handed_over,
        "dropped": found.get("dropped", 0),
    }
