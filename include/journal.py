"""The journal: a row for each account that a live plan was to touch, written in the transaction of the change.

It says what the account was, what it became, by which rule and on which evidence, and who let it pass. It holds no
name, no address and no amount.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import and_, func, insert, or_, select

from include.operations_plan_tables import ACCOUNT_CHANGES

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from include.carm.period import Period
    from include.workspace import Workspace

MOVED = "moved_since_plan"
BATCH_ROWS = 5_000

_EVIDENCE = (
    "activity_seen",
    "last_import_on",
    "last_export_on",
    "last_other_on",
    "last_activity_on",
    "opened_on",
    "reinstated_on",
    "clock_on",
    "cutoff_on",
    "balance",
    "under_review_items",
    "announced_in",
)


def write_journal(
    connection: Connection,
    plan: Row[Any],
    planned: pa.Table,
    *,
    moved: Mapping[str, str],
    done: str,
    run_id: str,
    approved_by: str | None,
) -> None:
    """Insert a row for each of ``planned``: dropped where the account is in ``moved``, else with the outcome ``done``.

    ``done`` is ``applied`` or ``handed_over``; a closure that is only announced is ``announced``.
    """
    common = {
        "plan_hash": plan.plan_hash,
        "period": plan.period,
        "effective_on": plan.effective_on,
        "approved_by": approved_by,
        "run_id": run_id,
    }
    names = ("bn15", "account_key", "valid_from", "program_type", "action", "new_program_type", "rule_id", "reason")
    for batch in planned.to_batches(BATCH_ROWS):
        rows = []
        for change in batch.to_pylist():
            of_change = {name: change[name] for name in names}
            what_moved = moved.get(change["bn15"])
            rows.append({**common, **of_change, **_outcome(change, plan, what_moved=what_moved, done=done)})
        connection.execute(insert(ACCOUNT_CHANGES), rows)
    if connection.dialect.name == "postgresql":
        # The planner would take the table for empty, and compare each account with each change.
        connection.exec_driver_sql(f"ANALYZE {ACCOUNT_CHANGES.name}")


def _outcome(change: Mapping[str, Any], plan: Row[Any], *, what_moved: str | None, done: str) -> dict[str, Any]:
    evidence = {name: _plain(change[name]) for name in _EVIDENCE} | {
        "rule_id": change["rule_id"],
        "coverage_id": plan.coverage_id,
        "rules_version": plan.rules_version,
    }
    old = {"valid_from": str(change["valid_from"]), "status": "open", "program_type": change["program_type"]}
    new = _new_version(change, old, plan.effective_on)
    if what_moved is not None:
        outcome, evidence["moved"] = "dropped", what_moved
    else:
        outcome = done if new else "announced"
    return {
        "evidence": json.dumps(evidence, sort_keys=True),
        "old_version": json.dumps(old, sort_keys=True),
        "new_version": json.dumps(new, sort_keys=True) if new and what_moved is None else None,
        "outcome": outcome,
        "outcome_reason": MOVED if what_moved is not None else None,
    }


def _new_version(change: Mapping[str, Any], old: Mapping[str, Any], effective_on: date) -> dict[str, Any] | None:
    """The columns that the change touches, and what finds the version again; None where nothing is changed yet."""
    begins = str(effective_on)
    if change["action"] == "close":
        return {**old, "valid_from": begins, "status": "closed", "closed_on": begins}
    if change["action"] == "convert":
        return {**old, "valid_from": begins, "program_type": change["new_program_type"]}
    return None


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def applied_changes(ws: Workspace, period: Period) -> pa.Table:
    """The changes that came true in the period, one row an account by its key.

    That is what live plans of the period applied, and what the register confirmed in it of changes handed over before.
    Columns ``bn15, action (close, convert), program_type, new_program_type, effective_on``.
    """
    change = ACCOUNT_CHANGES.c
    columns = (change.bn15, change.action, change.program_type, change.new_program_type, change.effective_on)
    came_true = or_(
        and_(change.outcome == "applied", change.period == str(period)),
        and_(change.outcome == "confirmed", change.settled_in == str(period)),
    )
    with ws.operations.connect() as connection:
        rows = connection.execute(select(*columns).where(came_true).order_by(change.account_key)).mappings().all()
    fields = [(column.name, pa.date32() if column is change.effective_on else pa.string()) for column in columns]
    return pa.Table.from_pylist([dict(row) for row in rows], schema=pa.schema(fields))


def count_applied_changes(connection: Connection) -> dict[tuple[str, str], int]:
    """How many changes came true, by statement month and action, as :func:`applied_changes` has them of one month."""
    change = ACCOUNT_CHANGES.c
    counts: dict[tuple[str, str], int] = {}
    for outcome, month in (("applied", change.period), ("confirmed", change.settled_in)):
        query = select(month, change.action, func.count()).where(change.outcome == outcome)
        for period, action, accounts in connection.execute(query.group_by(month, change.action)):
            counts[period, action] = counts.get((period, action), 0) + accounts
    return counts


def count_outcomes(connection: Connection, plan_hash: str) -> dict[str, int]:
    """The plan's rows by outcome."""
    query = select(ACCOUNT_CHANGES.c.outcome, func.count()).where(ACCOUNT_CHANGES.c.plan_hash == plan_hash)
    rows = connection.execute(query.group_by(ACCOUNT_CHANGES.c.outcome))
    return {row[0]: row[1] for row in rows}


def journal_sha256(connection: Connection, plan_hash: str) -> str:
    """SHA-256 of the plan's rows as they are now: each a JSON array of all columns in their order, and a line feed."""
    query = select(ACCOUNT_CHANGES).where(ACCOUNT_CHANGES.c.plan_hash == plan_hash)
    digest = hashlib.sha256()
    for row in connection.execute(query.order_by(ACCOUNT_CHANGES.c.account_key, ACCOUNT_CHANGES.c.bn15)):
        line = json.dumps([_plain(value) for value in row], separators=(",", ":"), ensure_ascii=False)
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()
