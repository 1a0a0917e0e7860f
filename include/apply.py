"""Apply a plan: end the version of each account that it changes, begin the next one, and journal it.

All of it is one transaction on the database behind ``carm_apply``, and a handful of statements whatever the number of
accounts. The journal is written first and is what the accounts are joined with; an account that moved since the plan
was made is marked there as dropped and left alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import ColumnElement, and_, case, exists, func, insert, literal, null, or_, select, update

from include import engine
from include.carm.errors import DataError, Refused
from include.carm.period import Period
from include.database import write_transaction
from include.operations_plan_tables import ACCOUNT_CHANGES, PLANS
from include.plan import hash_plan
from include.source_schema import TABLES

if TYPE_CHECKING:
    from sqlalchemy import FromClause
    from sqlalchemy.engine import Connection, Row

    from include.workspace import Workspace

ACCOUNTS = TABLES["accounts"]
MOVED = "moved_since_plan"
BATCH_ROWS = 5_000


def apply_plan(ws: Workspace, month: Mapping[str, Any], plan_hash: str) -> dict[str, Any]:
    """Change the accounts as the ready live plan ``plan_hash`` of the month says; once, however often it is called.

    A shadow run and a held plan change nothing. Raises ``Refused`` when there is no such plan, when the decisions in
    the lake are not the ones that it was made from, or when a later period was applied before it.
    Returns ``{"plan_hash", "state", "applied", "dropped", "changed_now"}``; ``changed_now`` is 0 the second time.
    """
    period = Period.parse(month["period"])
    if month["effects"] != "live":
        return _outcome(plan_hash, "shadow")
    with ws.operations.connect() as connection:
        plan = _find_plan(connection, period, plan_hash)
    if plan.state != "ready":
        return _outcome(plan_hash, plan.state, plan)
    changes = _read_changes(ws, month, plan)
    with write_transaction(ws.operations) as connection:
        _shut_out_other_writers(connection)
        # Asked again, now that nobody else can answer it differently.
        plan = _find_plan(connection, period, plan_hash)
        if plan.state != "ready":
            return _outcome(plan_hash, plan.state, plan)
        _require_newest(connection, period)
        _journal(connection, plan, changes, run_id=month["run_id"])
        _drop_moved(connection, plan)
        applied = _replace_versions(connection, plan)
        dropped = changes.num_rows - applied
        connection.execute(
            update(PLANS)
            .where(PLANS.c.plan_hash == plan_hash, PLANS.c.effects == "live")
            .values(state="applied", applied_run_id=month["run_id"], applied_count=applied, dropped_count=dropped)
        )
    return {
        "plan_hash": plan_hash,
        "state": "applied",
        "applied": applied,
        "dropped": dropped,
        "changed_now": applied,
    }


def applied_changes(ws: Workspace, period: Period) -> pa.Table:
    """The changes that live plans made in the period, one row an account by its key.

    Columns ``bn15, action (close, convert), program_type, new_program_type``.
    """
    change = ACCOUNT_CHANGES.c
    columns = (change.bn15, change.action, change.program_type, change.new_program_type)
    query = select(*columns).where(change.period == str(period), change.outcome == "applied")
    with ws.operations.connect() as connection:
        rows = connection.execute(query.order_by(change.account_key)).mappings().all()
    schema = pa.schema([(column.name, pa.string()) for column in columns])
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def _outcome(plan_hash: str, state: str, plan: Row[Any] | None = None) -> dict[str, Any]:
    """What is said where nothing is changed now."""
    applied, dropped = (plan.applied_count, plan.dropped_count) if plan is not None and state == "applied" else (0, 0)
    return {"plan_hash": plan_hash, "state": state, "applied": applied, "dropped": dropped, "changed_now": 0}


def _find_plan(connection: Connection, period: Period, plan_hash: str) -> Row[Any]:
    query = select(PLANS).where(
        PLANS.c.plan_hash == plan_hash, PLANS.c.effects == "live", PLANS.c.period == str(period)
    )
    plan = connection.execute(query).one_or_none()
    if plan is None:
        raise Refused(f"there is no live plan {plan_hash[:12]} of {period}: run {period} live first")
    return plan


def _read_changes(ws: Workspace, month: Mapping[str, Any], plan: Row[Any]) -> pa.Table:
    """The changes among the sealed decisions, after proving that these are the plan's."""
    period = Period.parse(plan.period)
    decisions = ws.lake(month["area"]).file("account_decisions", period)
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        engine.register(con, "account_decisions", [decisions])
        found = hash_plan(con, period, plan.effective_on)
        if found != plan.plan_hash:
            raise Refused(
                f"the decisions of {period} are no longer those of plan {plan.plan_hash[:12]} (now {found[:12]}): "
                "nothing was changed; run the month again to make a plan of them"
            )
        return engine.run_table(con, "select_planned_changes")


def _shut_out_other_writers(connection: Connection) -> None:
    # SQLite has one writer, and it is us. In PostgreSQL a lock on the accounts' rows would not keep out a new version
    # of an account; readers go on.
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"LOCK TABLE {ACCOUNTS.name} IN SHARE ROW EXCLUSIVE MODE")


def _require_newest(connection: Connection, period: Period) -> None:
    applied = PLANS.c.state == "applied", PLANS.c.effects == "live"
    newest = connection.execute(select(func.max(PLANS.c.period)).where(*applied)).scalar()
    if newest is not None and newest > str(period):
        raise Refused(
            f"the plan of {period} cannot be applied: {newest} was applied after it. Whatever is still due is in the "
            "plan of the open month"
        )


def _journal(connection: Connection, plan: Row[Any], changes: pa.Table, *, run_id: str) -> None:
    common = {"plan_hash": plan.plan_hash, "period": plan.period, "effective_on": plan.effective_on, "run_id": run_id}
    for batch in changes.to_batches(BATCH_ROWS):
        rows = [{**common, **row, **_versions(row, plan.effective_on)} for row in batch.to_pylist()]
        connection.execute(insert(ACCOUNT_CHANGES), rows)
    if connection.dialect.name == "postgresql":
        # The planner would take the table for empty, and compare each account with each change.
        connection.exec_driver_sql(f"ANALYZE {ACCOUNT_CHANGES.name}")


def _versions(change: Mapping[str, Any], effective_on: date) -> dict[str, Any]:
    """Old and new version as JSON: the columns that the change touches, and what finds the old one again."""
    old = {"valid_from": str(change["valid_from"]), "status": "open", "program_type": change["program_type"]}
    if change["action"] == "close":
        new = {**old, "valid_from": str(effective_on), "status": "closed", "closed_on": str(effective_on)}
    else:
        new = {**old, "valid_from": str(effective_on), "program_type": change["new_program_type"]}
    return {
        "old_version": json.dumps(old, sort_keys=True),
        "new_version": json.dumps(new, sort_keys=True),
        "outcome": "applied",
        "outcome_reason": None,
        "evidence": "{}",
        "approved_by": None,
    }


def _is_planned(version: FromClause, plan: Row[Any]) -> ColumnElement[bool]:
    """Whether ``version`` is the one that its change was planned for, untouched since; never unknown."""
    is_same = and_(
        version.c.valid_from == ACCOUNT_CHANGES.c.valid_from,
        version.c.valid_to.is_(None),
        version.c.status == "open",
        version.c.program_type == ACCOUNT_CHANGES.c.program_type,
        or_(version.c.hold_reason.is_(None), version.c.hold_until < plan.as_of),
    )
    return case((is_same, 1), else_=0) == 1


def _drop_moved(connection: Connection, plan: Row[Any]) -> None:
    """Mark the changes whose account is not, or not only, in the version that the plan looked at.

    Identical copies of that version are one version; copies that differ in any column are not.
    """
    planned = ACCOUNTS.alias("planned")
    other = ACCOUNTS.alias("other")
    is_there = exists().where(planned.c.bn15 == ACCOUNT_CHANGES.c.bn15, _is_planned(planned, plan))
    is_changed = exists().where(
        other.c.bn15 == ACCOUNT_CHANGES.c.bn15,
        or_(
            other.c.valid_from >= ACCOUNT_CHANGES.c.valid_from,
            other.c.valid_to.is_(None),
            other.c.valid_to > plan.effective_on,
        ),
        ~_is_planned(other, plan),
    )
    is_ambiguous = exists().where(
        planned.c.bn15 == ACCOUNT_CHANGES.c.bn15,
        other.c.bn15 == ACCOUNT_CHANGES.c.bn15,
        _is_planned(planned, plan),
        _is_planned(other, plan),
        or_(*(planned.c[column.name].is_distinct_from(other.c[column.name]) for column in ACCOUNTS.columns)),
    )
    connection.execute(
        update(ACCOUNT_CHANGES)
        .where(ACCOUNT_CHANGES.c.plan_hash == plan.plan_hash, or_(~is_there, is_changed, is_ambiguous))
        .values(outcome="dropped", outcome_reason=MOVED, new_version=null())
    )


def _replace_versions(connection: Connection, plan: Row[Any]) -> int:
    """End the planned versions and begin the new ones; returns how many accounts changed."""
    is_applied = and_(ACCOUNT_CHANGES.c.plan_hash == plan.plan_hash, ACCOUNT_CHANGES.c.outcome == "applied")
    is_closed = ACCOUNT_CHANGES.c.action == "close"
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
        .join_from(ACCOUNT_CHANGES, ACCOUNTS, ACCOUNTS.c.bn15 == ACCOUNT_CHANGES.c.bn15)
        .where(is_applied, _is_planned(ACCOUNTS, plan))
    )
    connection.execute(insert(ACCOUNTS).from_select([column.name for column in columns], versions))
    connection.execute(
        update(ACCOUNTS)
        .where(
            ACCOUNTS.c.valid_to.is_(None),
            exists().where(
                is_applied,
                ACCOUNT_CHANGES.c.bn15 == ACCOUNTS.c.bn15,
                ACCOUNT_CHANGES.c.valid_from == ACCOUNTS.c.valid_from,
            ),
        )
        .values(valid_to=plan.effective_on)
    )
    return _require_one_successor(connection, plan)


def _require_one_successor(connection: Connection, plan: Row[Any]) -> int:
    """The number of accounts applied, each proved to have exactly one version from the effective day on."""
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
    applied, wrong = connection.execute(
        select(func.count(), func.count().filter(begun.c.versions != 1)).select_from(begun)
    ).one()
    if wrong:
        raise DataError(
            f"{wrong:,} accounts would not have exactly one version from {plan.effective_on} on: nothing was changed; "
            "look for a trigger or a rule of the database that writes accounts by itself"
        )
    return int(applied)
