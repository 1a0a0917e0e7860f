"""Looks at plans: which there are, what one of them says, and what changed from one to another."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from include import engine
from include.approvals import approver_of, makers_of
from include.audit import facts_told
from include.carm.counts import tell_count
from include.carm.errors import DataError, UsageError
from include.carm.period import Period
from include.journal import count_outcomes
from include.lake import Seal
from include.operations_notice_tables import NOTICE_INTENTS
from include.operations_plan_tables import APPROVALS, PLANS, REINSTATEMENTS
from include.tellings import count_unreached_by_reason

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, RowMapping

    from include.workspace import Workspace

# Which plan stands for its month, where a month is named and not a plan: the one that had its effect, else the one that
# may still have it.
_STATES = ("applied", "handed_over", "undone", "held", "ready", "rejected", "superseded", "shadow")
_HASH = re.compile(r"[0-9a-f]{4,64}")
_PERIOD = re.compile(r"[0-9]{4}-[0-9]{2}")
SHORT = 12
"""How many characters of a hash a person is shown; enough to name the plan again."""
MONTHS_SHOWN = 5
LEFT_WORDS = {"changed_since": "changed since", "undone_before": "undone before", "dropped": "never changed"}
"""Why the undoing of a plan left an account as it is."""


def list_plans(ws: Workspace, period: Period | None = None) -> list[dict[str, Any]]:
    """All plans (of one month), the newest month first, each as :func:`find_plan` gives it."""
    query = select(PLANS).order_by(PLANS.c.period.desc(), PLANS.c.effects, PLANS.c.plan_hash)
    if period is not None:
        query = query.where(PLANS.c.period == str(period))
    with ws.operations.connect() as connection:
        return [_described(row) for row in connection.execute(query).mappings()]


def planned_months(ws: Workspace) -> list[str]:
    """The months that have a plan, the newest first."""
    query = select(PLANS.c.period).distinct().order_by(PLANS.c.period.desc())
    with ws.operations.connect() as connection:
        return list(connection.execute(query).scalars())


def show_plan(ws: Workspace, name: str) -> dict[str, Any]:
    """What :func:`find_plan` finds, with the ``answers`` of persons and the ``outcomes`` of its changes, counted.

    ``undone`` are the undoings of the whole plan, each with ``recorded_by``, ``reason``, ``effective_on``,
    ``known_from`` and the counts ``undone``, ``withdrawn`` and ``left``; ``reinstated`` counts the accounts that were
    undone one by one. ``unreached`` counts the notices of its changes that reach nobody, by kind and reason.
    """
    plan = find_plan(ws, name)
    with ws.operations.connect() as connection:
        return plan | told_of_plan(connection, plan) | {"unreached": _unreached(connection, plan)}


def told_of_plan(connection: Connection, plan: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`show_plan` tells of answers, outcomes and undoings, without the notices, of which there are many."""
    answers = select(APPROVALS).where(APPROVALS.c.plan_hash == plan["plan_hash"]).order_by(APPROVALS.c.approval_no)
    return {
        "answers": [dict(row) for row in connection.execute(answers).mappings()],
        "outcomes": count_outcomes(connection, plan["plan_hash"]) if plan["effects"] == "live" else {},
        **_undoings(connection, plan),
    }


def _unreached(connection: Connection, plan: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    if plan["effects"] != "live":
        return {}
    intent, cause = NOTICE_INTENTS.c, f"plan {plan['plan_hash']}"
    kinds = ("closure", "closure_coming", "conversion")
    months = select(intent.period).where(intent.kind.in_(kinds), intent.cause == cause).distinct()
    counted: dict[str, dict[str, int]] = {}
    for month in connection.execute(months).scalars().all():
        for kind, reasons in count_unreached_by_reason(connection, month, cause).items():
            of_kind = counted.setdefault(kind, {})
            of_kind |= {reason: of_kind.get(reason, 0) + notices for reason, notices in reasons.items()}
    return counted


def _undoings(connection: Connection, plan: Mapping[str, Any]) -> dict[str, Any]:
    if plan["effects"] != "live":
        return {"undone": [], "reinstated": 0}
    names = ("recorded_by", "reason", "effective_on", "known_from", "undone", "withdrawn", "left")
    links = facts_told(connection, "reinstatement", plan["plan_hash"])
    undone = [{name: facts[name] for name in names} for facts in reversed(links)]
    counted = select(func.count()).where(REINSTATEMENTS.c.plan_hash == plan["plan_hash"])
    accounts = connection.execute(counted).scalar_one()
    return {"undone": undone, "reinstated": accounts - sum(facts["undone"] for facts in undone)}


def find_plan(ws: Workspace, name: str) -> dict[str, Any]:
    """The plan whose hash begins with ``name``, or that stands for the month ``name``.

    The columns of ``carm_plans`` with their JSON read, ``makers`` and ``approved_by``. Where the same plan was made
    live and in shadow, the live one. Raises ``UsageError`` for a name that is neither, or that no plan or several have.
    """
    query = select(PLANS)
    if _PERIOD.fullmatch(name):
        query = query.where(PLANS.c.period == str(Period.parse(name)))
    elif _HASH.fullmatch(name):
        query = query.where(PLANS.c.plan_hash.startswith(name))
    else:
        raise UsageError(f"'{name}' names no plan: write a month (2021-12) or at least 4 characters of a plan's hash")
    with ws.operations.connect() as connection:
        rows = connection.execute(query).mappings().all()
        if not rows:
            raise UsageError(f"there is no plan {name}: carm plan list shows the plans")
        if not _PERIOD.fullmatch(name) and len({row["plan_hash"] for row in rows}) > 1:
            raise UsageError(f"{name} is the beginning of several plans: write more of the hash")
        row = min(rows, key=lambda row: (row["effects"] != "live", _STATES.index(row["state"]), row["plan_hash"]))
        makers = makers_of(connection, row["plan_hash"])
        return _described(row) | {"makers": list(makers), "approved_by": approver_of(connection, row["plan_hash"])}


def _described(row: RowMapping) -> dict[str, Any]:
    return dict(row) | {name: json.loads(row[name]) for name in ("counts", "strata", "margins")}


def diff_plans(ws: Workspace, before: str, after: str) -> dict[str, Any]:
    """Which accounts' changes differ from the plan ``before`` to the plan ``after`` (each a month or a hash).

    Returns ``{"before", "after"}`` with each plan's hash and period, and the accounts that ``entered`` the plan,
    ``left`` it or ``changed`` in it: rows ``{"bn15", "program_type", "before", "after"}``, the last two with
    ``action``, ``new_program_type``, ``reason`` and ``rule_id`` (None where the account has no decision). Raises
    ``UsageError`` as :func:`find_plan`, ``DataError`` where the decisions of a plan are no longer there.
    """
    plans = {"before": find_plan(ws, before), "after": find_plan(ws, after)}
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        for side, plan in plans.items():
            engine.register(con, f"decisions_{side}", [decisions_of(ws, plan)[1]])
        rows = engine.run_table(con, "select_plan_differences").to_pylist()
    found: dict[str, list[dict[str, Any]]] = {"entered": [], "left": [], "changed": []}
    for row in rows:
        sides = {
            side: {name: row[f"{name}_{side}"] for name in ("action", "new_program_type", "reason", "rule_id")}
            if row[f"action_{side}"]
            else None
            for side in plans
        }
        found[row["difference"]].append({"bn15": row["bn15"], "program_type": row["program_type"], **sides})
    named = {side: {name: plan[name] for name in ("plan_hash", "period", "state")} for side, plan in plans.items()}
    return {**named, **found}


def decisions_of(ws: Workspace, plan: Mapping[str, Any]) -> tuple[str, Path]:
    """The area and the file of the decisions that the plan was made from, wherever it was put since.

    Raises ``DataError`` where they are no longer there.
    """
    with ws.operations.connect() as connection:
        links = facts_told(connection, "plan", plan["plan_hash"])
    for sha256 in {link["decisions_sha256"]: None for link in links}:
        for area in ("lake", "shadow"):
            file = ws.lake(area).sealed_file(Seal("account_decisions", plan["period"], 0, sha256))
            if file is not None:
                return area, file
    raise DataError(
        f"the decisions of plan {plan['plan_hash'][:SHORT]} of {plan['period']} are no longer in the data folder: "
        "restore account_decisions of that month from a backup"
    )


# For people.


def plan_list_lines(
    plans: Sequence[Mapping[str, Any]], period: Period | None = None, months: Sequence[str] = ()
) -> list[str]:
    """What :func:`list_plans` found (of ``period``); without a plan, some of the ``months`` that have one."""
    if not plans and months:
        others = f" and {len(months) - MONTHS_SHOWN} more" if len(months) > MONTHS_SHOWN else ""
        have = "has one" if len(months) == 1 else "have one"
        return [f"{period} has no plan; {', '.join(months[:MONTHS_SHOWN])}{others} {have}"]
    if not plans:
        return ["no plan was made yet: run a month first (make run)"]
    lines = [f"{'month':<8} {'plan':<{SHORT}} {'effects':<7} {'state':<11} {'changes':>9} {'open':>10}  why"]
    for plan in plans:
        lines.append(
            f"{plan['period']:<8} {plan['plan_hash'][:SHORT]} {plan['effects']:<7} {plan['state']:<11} "
            f"{plan['changes']:>9,} {plan['open_accounts']:>10,}  {plan['reason']}"
        )
    return lines


def plan_lines(plan: Mapping[str, Any]) -> list[str]:
    """What :func:`show_plan` found."""
    lines = [
        f"Plan {plan['plan_hash']}",
        f"Month {plan['period']}, as of {plan['as_of']}, effective {plan['effective_on']}, effects {plan['effects']}",
        f"State: {plan['state']}. {plan['reason']}",
        f"Approval: {plan['approval'].replace('_', ' ')}"
        + (f", given by {plan['approved_by']}" if plan["approved_by"] else ""),
        *(f"  {row['decision']} by {row['decided_by']} at {row['decided_at']}" for row in plan["answers"]),
        f"Made by: {', '.join(plan['makers'])}",
        f"Coverage {plan['coverage_id'][:SHORT]}, rules {plan['rules_version'][:SHORT]}, "
        f"policy {plan['policy_version'][:SHORT]}",
    ]
    for action, reasons in sorted(plan["counts"].items()):
        lines += [f"  {action:<10} {reason:<24} {accounts:>9,}" for reason, accounts in sorted(reasons.items())]
    if plan["outcomes"]:
        told = ", ".join(f"{outcome.replace('_', ' ')} {rows:,}" for outcome, rows in sorted(plan["outcomes"].items()))
        lines.append(f"What became of its changes: {told}")
    for kind, reasons in plan["unreached"].items():
        told = ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items()))
        lines.append(f"Notices that reach nobody: {kind} {sum(reasons.values()):,} ({told})")
    for undoing in plan["undone"]:
        lines += _undoing_lines(undoing)
    if plan["reinstated"]:
        lines.append(f"Undone one by one: {tell_count(plan['reinstated'], 'account')}")
    if plan["margins"]:
        lines.append(f"{'limit':<20} {'of':<24} {'changes':>9} {'allowed':>9}")
    for margin in plan["margins"]:
        passed = "  passed" if margin["changes"] > margin["allowed"] else ""
        lines.append(
            f"{margin['limit']:<20} {margin['stratum']:<24} {margin['changes']:>9,} {margin['allowed']:>9,}{passed}"
        )
    return lines


def _undoing_lines(undoing: Mapping[str, Any]) -> list[str]:
    told = [f"undone {tell_count(undoing['undone'], 'account')}"]
    if undoing["withdrawn"]:
        told.append(f"withdrawn {tell_count(undoing['withdrawn'], 'announcement')}")
    told += [f"left {accounts:,} {LEFT_WORDS[why]}" for why, accounts in undoing["left"].items()]
    return [
        f"Undone by {undoing['recorded_by']} from {undoing['effective_on']} on: {undoing['reason']}",
        f"  {', '.join(told)}",
    ]


def diff_lines(difference: Mapping[str, Any]) -> list[str]:
    """What :func:`diff_plans` found."""
    before, after = difference["before"], difference["after"]
    lines = [
        f"From plan {before['plan_hash'][:SHORT]} of {before['period']} ({before['state']}) "
        f"to plan {after['plan_hash'][:SHORT]} of {after['period']} ({after['state']})"
    ]
    for word in ("entered", "left", "changed"):
        lines.append(f"{word}: {tell_count(len(difference[word]), 'account')}")
        for row in difference[word]:
            lines.append(f"  {row['bn15']} {_tell(row['before'])} -> {_tell(row['after'])}")
    return lines


def _tell(side: Mapping[str, Any] | None) -> str:
    if side is None:
        return "no decision"
    to = f" to {side['new_program_type']}" if side["new_program_type"] else ""
    return f"{side['action']}{to} ({side['reason']})"
