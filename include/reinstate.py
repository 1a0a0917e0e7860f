"""Counter-actions: a closed account is opened again, a corrected program type is put back, a whole plan is undone.

Nothing is taken out of the register: the version that a plan began ends, and another one begins. Each counter-action is
a row of ``carm_reinstatements`` and a link of the audit chain, and the months that are still to be decided know of it:
they do not propose the same change again before the evidence changes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, case, exists, func, insert, literal, null, or_, select, update

from include.announcements import announcements_sha256, withdraw_announcements
from include.audit import append_link
from include.carm.business_number import account_key, require_bn15
from include.carm.counts import tell_count
from include.carm.errors import DataError, Refused, UsageError
from include.carm.period import Period
from include.database import write_transaction
from include.notice_intents import about_change, owe_reinstatements
from include.operations_plan_tables import ACCOUNT_CHANGES, PLANS, REINSTATEMENTS
from include.person_records import BEFORE_ANY_MONTH, next_known_from, next_number, require_person, require_reason
from include.plans import LEFT_WORDS, find_plan
from include.source_schema import TABLES, canonical_bn15
from include.tellings import call_off

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, RowMapping

    from include.workspace import Workspace

ACCOUNTS = TABLES["accounts"]
ANOTHER_HAND = {"plan_hash": None, "rule_id": None}
BATCH_ROWS = 5_000


def reinstate_account(
    ws: Workspace, bn15: str, *, reason: str, effective_on: date, recorded_by: str, run_id: str
) -> dict[str, Any]:
    """Undo what the clean-up last did to one account, from ``effective_on`` on.

    A closed account is open again and its dormancy clock starts on that day; a corrected one has its program type back.
    An account that another hand closed is opened as well. Raises ``UsageError`` for a number or a day that cannot be,
    ``DataError`` for an account that the register does not have, ``Refused`` where there is nothing to undo, or where
    the account changed since and somebody must look at it.
    Returns ``{"reinstatement_no", "bn15", "undoes", "plan_hash", "effective_on", "known_from"}``.
    """
    number, told, recorded_by = require_bn15(bn15), require_reason(reason), require_person(recorded_by)
    _require_database(ws)
    with write_transaction(ws.operations) as connection:
        _shut_out_other_writers(connection)
        known_from = next_known_from(connection)
        change = _find_change(connection, number)
        begins = change["effective_on"] if change["effective_on"] is not None else change["valid_from"]
        _require_day(ws, effective_on, begins, known_from)
        common = {"reason": told, "effective_on": effective_on, "known_from": known_from}
        numbers = _reinstate(connection, [change], {**common, "recorded_by": recorded_by, "run_id": run_id})
        facts = {
            "reinstatements": [numbers[0], numbers[0]],
            "reinstatements_sha256": reinstatements_sha256(connection, numbers),
            "undoes": change["action"],
            "plan_hash": change["plan_hash"],
            "rule_id": change["rule_id"],
            **common,
            "effective_on": effective_on.isoformat(),
            "recorded_by": recorded_by,
            "run_id": run_id,
        }
        append_link(connection, "reinstatement", number, facts)
    return {
        "reinstatement_no": numbers[0],
        "bn15": number,
        "undoes": change["action"],
        "plan_hash": change["plan_hash"],
        "effective_on": effective_on,
        "known_from": known_from,
    }


def find_undoable(ws: Workspace, bn15: str) -> dict[str, Any]:
    """What :func:`reinstate_account` would undo now, with its ``plan_hash`` and ``action``; raises as it does."""
    _require_database(ws)
    with ws.operations.connect() as connection:
        return _find_change(connection, require_bn15(bn15))


def undo_plan(
    ws: Workspace, plan_hash: str, *, reason: str, effective_on: date, recorded_by: str, run_id: str
) -> dict[str, Any]:
    """Undo every change of an applied plan, account by account, but for those that changed since.

    ``plan_hash`` is the hash or its beginning. Closures that the plan only announced are withdrawn. Raises as
    :func:`reinstate_account`; ``Refused`` too where the plan was never applied, or nothing of it is left to undo.
    Returns ``{"plan_hash", "undone": n, "withdrawn": n, "left": {reason: n}, "effective_on", "known_from"}``; the
    reasons are ``changed_since``, ``undone_before`` and ``dropped``.
    """
    plan_hash, told = find_plan(ws, plan_hash)["plan_hash"], require_reason(reason)
    recorded_by = require_person(recorded_by)
    _require_database(ws)
    with write_transaction(ws.operations) as connection:
        _shut_out_other_writers(connection)
        known_from = next_known_from(connection)
        plan = _find_applied_plan(connection, plan_hash)
        _require_day(ws, effective_on, plan["effective_on"], known_from)
        changes = _read_changes(connection, ACCOUNT_CHANGES.c.plan_hash == plan_hash)
        left = Counter(_why_left(change) for change in changes)
        undoable = [change for change in changes if _why_left(change) is None]
        del left[None]
        withdrawn = withdraw_announcements(connection, plan_hash)
        if not undoable and not withdrawn:
            raise Refused(
                f"nothing of plan {plan_hash[:12]} is left to undo: {_tell_left(left)}; see carm explain for a single "
                "account"
            )
        common = {"reason": told, "effective_on": effective_on, "known_from": known_from}
        numbers = _reinstate(connection, undoable, {**common, "recorded_by": recorded_by, "run_id": run_id})
        connection.execute(
            update(PLANS).where(PLANS.c.plan_hash == plan_hash, PLANS.c.effects == "live").values(state="undone")
        )
        facts = {
            "plan_hash": plan_hash,
            "undone": len(undoable),
            "withdrawn": withdrawn,
            "left": dict(sorted(left.items())),
            **common,
            "effective_on": effective_on.isoformat(),
            "recorded_by": recorded_by,
            "run_id": run_id,
            "reinstatements": [min(numbers), max(numbers)] if numbers else [],
            "reinstatements_sha256": reinstatements_sha256(connection, numbers),
            "announcements_sha256": announcements_sha256(connection),
        }
        append_link(connection, "reinstatement", plan_hash, facts)
    return {name: facts[name] for name in ("plan_hash", "undone", "withdrawn", "left", "known_from")} | {
        "effective_on": effective_on
    }


def reinstatements_sha256(connection: Connection, numbers: Sequence[int]) -> str:
    """SHA-256 of the rows with these numbers (first to last): each a JSON array of its columns, and a line feed."""
    digest = hashlib.sha256()
    if numbers:
        number = REINSTATEMENTS.c.reinstatement_no
        query = select(REINSTATEMENTS).where(number.between(min(numbers), max(numbers))).order_by(number)
        for row in connection.execute(query):
            values = [value.isoformat() if isinstance(value, date) else value for value in row]
            digest.update((json.dumps(values, separators=(",", ":"), ensure_ascii=False) + "\n").encode())
    return digest.hexdigest()


# May it be undone.


def _require_database(ws: Workspace) -> None:
    if ws.policy.apply == "file":
        raise Refused(
            "the policy hands changes over as a file, so the register is not written from here: undo the change in the "
            "register, and put a hold on the account with carm hold, so that it is not proposed again"
        )


def _require_day(ws: Workspace, effective_on: date, begins: date, known_from: str) -> None:
    if effective_on < begins:
        raise UsageError(
            f"{effective_on} is before {begins}, the day from which the change holds: write that day or later"
        )
    if known_from != BEFORE_ANY_MONTH:
        # A slip of the pen in the year would leave the account closed for a century.
        last = ws.calendar.end(Period.parse(known_from).next())
        if effective_on > last:
            raise UsageError(
                f"{effective_on} lies beyond {last}, the end of the month after the next to be decided: write an "
                "earlier day"
            )


def _find_change(connection: Connection, bn15: str) -> dict[str, Any]:
    """What is to be undone: the last change of a plan, or else the closing of the account by another hand."""
    changes = _read_changes(connection, ACCOUNT_CHANGES.c.bn15 == bn15)
    standing = [change for change in changes if _why_left(change) not in ("dropped", "undone_before")]
    if standing:
        last = max(standing, key=lambda change: (change["effective_on"], change["period"]))
        if _why_left(last) is not None:
            raise Refused(
                f"{bn15} changed since plan {last['plan_hash'][:12]} {_DONE[last['action']]} it: look at its versions, "
                "and correct the account in the register"
            )
        return last
    versions = connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15)).mappings().all()
    if not versions:
        raise DataError(f"the register has no account {bn15}: look at the number again")
    current = [version for version in versions if version["valid_to"] is None]
    if len(current) != 1 or current[0]["status"] != "closed":
        raise Refused(f"there is nothing to undo for {bn15}: it is open, and no change of a plan stands on it")
    return {
        **ANOTHER_HAND,
        "bn15": bn15,
        "action": "close",
        "effective_on": None,
        "valid_from": current[0]["valid_from"],
        "program_type": current[0]["program_type"],
    }


_DONE = {"close": "closed", "convert": "converted"}


def _find_applied_plan(connection: Connection, plan_hash: str) -> RowMapping:
    query = select(PLANS).where(PLANS.c.plan_hash == plan_hash, PLANS.c.effects == "live")
    plan = connection.execute(query).mappings().one_or_none()
    if plan is None:
        raise Refused(f"there is no live plan {plan_hash[:12]}: carm plan list shows the plans")
    if plan["state"] not in ("applied", "undone"):
        raise Refused(f"plan {plan_hash[:12]} is {plan['state']} and changed no account: there is nothing to undo")
    return plan


def _read_changes(connection: Connection, which: ColumnElement[bool]) -> list[dict[str, Any]]:
    """The journal's changes of accounts, each with how many current versions the account has and whether it is ours."""
    change = ACCOUNT_CHANGES.c
    current = and_(
        # In whatever spelling: another version under another one is a change as well.
        canonical_bn15(ACCOUNTS.c.bn15) == change.bn15,
        or_(ACCOUNTS.c.valid_to.is_(None), ACCOUNTS.c.valid_to > change.effective_on),
    )
    is_ours = and_(
        ACCOUNTS.c.bn15 == change.bn15,
        ACCOUNTS.c.valid_from == change.effective_on,
        ACCOUNTS.c.valid_to.is_(None),
        ACCOUNTS.c.status == case((change.action == "close", "closed"), else_="open"),
        ACCOUNTS.c.program_type == func.coalesce(change.new_program_type, change.program_type),
    )
    ours = func.count().filter(is_ours)
    undone = exists().where(REINSTATEMENTS.c.plan_hash == change.plan_hash, REINSTATEMENTS.c.bn15 == change.bn15)
    columns = (
        change.plan_hash,
        change.bn15,
        change.period,
        change.action,
        change.rule_id,
        change.effective_on,
        change.program_type,
        change.new_program_type,
        change.outcome,
    )
    query = (
        select(*columns, func.count(ACCOUNTS.c.bn15).label("versions"), ours.label("ours"), undone.label("undone"))
        .outerjoin_from(ACCOUNT_CHANGES, ACCOUNTS, current)
        .where(which, change.action.in_(tuple(_DONE)))
        .group_by(*columns)
        .order_by(change.bn15)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _why_left(change: Mapping[str, Any]) -> str | None:
    """Why a change is not undone; None where it may be."""
    if change["outcome"] in ("dropped", "not_done", "handed_over"):
        return "dropped"
    if change["undone"]:
        return "undone_before"
    return None if (change["versions"], change["ours"]) == (1, 1) else "changed_since"


def _tell_left(left: Mapping[str | None, int]) -> str:
    told = [f"{accounts:,} {LEFT_WORDS[str(reason)]}" for reason, accounts in sorted(left.items(), key=str)]
    return ", ".join(told) or "it changed no account"


# The counter-action.


def _shut_out_other_writers(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        for table in (PLANS, ACCOUNTS):
            connection.exec_driver_sql(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE")


def _reinstate(connection: Connection, changes: Sequence[Mapping[str, Any]], common: Mapping[str, Any]) -> list[int]:
    """Record a counter-action for each change, and write the versions from the records; returns their numbers."""
    first = next_number(connection, REINSTATEMENTS.c.reinstatement_no)
    rows = [
        {
            **common,
            **_versions(change, common["effective_on"]),
            "reinstatement_no": number,
            "bn15": change["bn15"],
            "account_key": account_key(change["bn15"]),
            "plan_hash": change["plan_hash"],
            "undoes": change["action"],
            "rule_id": change["rule_id"],
        }
        for number, change in enumerate(changes, start=first)
    ]
    for start in range(0, len(rows), BATCH_ROWS):
        connection.execute(insert(REINSTATEMENTS), rows[start : start + BATCH_ROWS])
    owe_reinstatements(connection, rows)
    # Of a change by another hand nothing was told.
    ours = [change for change in changes if change["plan_hash"]]
    told = [
        about_change(change["action"], change["bn15"], change["effective_on"], change["new_program_type"])
        for change in ours
    ]
    call_off(connection, told)
    if rows:
        these = REINSTATEMENTS.c.reinstatement_no.between(first, first + len(rows) - 1)
        _write_versions(connection, these, common["effective_on"])
        _require_one_version(connection, these, common["effective_on"])
    return [row["reinstatement_no"] for row in rows]


def _write_versions(connection: Connection, these: ColumnElement[bool], effective_on: date) -> None:
    """End the current version of each account and begin the next one; a version of the same day is put right."""
    undo, change = REINSTATEMENTS.c, ACCOUNT_CHANGES.c
    is_closing = undo.undoes == "close"
    former_type = (
        select(change.program_type)
        .where(undo.undoes == "convert", change.plan_hash == undo.plan_hash, change.bn15 == undo.bn15)
        .scalar_subquery()
    )
    decided: dict[str, ColumnElement[Any]] = {
        "valid_from": literal(effective_on),
        "status": literal("open"),
        "program_type": func.coalesce(former_type, ACCOUNTS.c.program_type),
        "closed_on": case((is_closing, null()), else_=ACCOUNTS.c.closed_on),
        "reinstated_on": case((is_closing, effective_on), else_=ACCOUNTS.c.reinstated_on),
    }
    is_current = and_(ACCOUNTS.c.bn15 == undo.bn15, ACCOUNTS.c.valid_to.is_(None))
    # A version that began on the same day was never in force: it becomes the new one, for one key is one version.
    is_same_day = ACCOUNTS.c.valid_from == effective_on
    of_this = exists().where(these, is_current)
    same_day = {
        name: select(column).where(these, undo.bn15 == ACCOUNTS.c.bn15).correlate(ACCOUNTS).scalar_subquery()
        for name, column in decided.items()
        if name != "valid_from"
    }
    connection.execute(update(ACCOUNTS).where(of_this, is_same_day).values(**same_day))
    columns = [column for column in ACCOUNTS.columns if column is not ACCOUNTS.c.valid_to]
    versions = (
        select(*(decided.get(column.name, column).label(column.name) for column in columns))
        .join_from(REINSTATEMENTS, ACCOUNTS, and_(is_current, ACCOUNTS.c.valid_from < effective_on))
        .where(these)
    )
    connection.execute(insert(ACCOUNTS).from_select([column.name for column in columns], versions))
    ended = update(ACCOUNTS).where(of_this, ACCOUNTS.c.valid_from < effective_on)
    connection.execute(ended.values(valid_to=effective_on))


def _require_one_version(connection: Connection, these: ColumnElement[bool], effective_on: date) -> None:
    """Prove that every account has exactly one version from the effective day on."""
    version = ACCOUNTS.alias("version")
    from_then_on = or_(version.c.valid_to.is_(None), version.c.valid_to > effective_on)
    begun = (
        select(REINSTATEMENTS.c.bn15, func.count(version.c.bn15).label("versions"))
        .outerjoin_from(REINSTATEMENTS, version, and_(version.c.bn15 == REINSTATEMENTS.c.bn15, from_then_on))
        .where(these)
        .group_by(REINSTATEMENTS.c.bn15)
        .subquery()
    )
    wrong = connection.execute(select(func.count()).select_from(begun).where(begun.c.versions != 1)).scalar_one()
    if wrong:
        raise DataError(
            f"{tell_count(wrong, 'account')} would not have exactly one version from {effective_on} on: nothing was "
            "changed; look at the versions in the register"
        )


def _versions(change: Mapping[str, Any], effective_on: date) -> dict[str, str]:
    """Old and new version as JSON: the columns that the counter-action touches."""
    begins = change["effective_on"] or change["valid_from"]
    if change["action"] == "close":
        old = {"valid_from": str(begins), "status": "closed"}
        new = {"valid_from": str(effective_on), "status": "open", "reinstated_on": str(effective_on)}
    else:
        old = {"valid_from": str(begins)}
        new = {"valid_from": str(effective_on), "program_type": change["program_type"]}
    return {"old_version": json.dumps(old, sort_keys=True), "new_version": json.dumps(new, sort_keys=True)}
