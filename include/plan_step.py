"""Make the plan of a month's changes: check the decisions on other paths, weigh them against the policy, record it.

It changes no account (see :mod:`include.apply`).
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, func, insert, select, update

from include import engine
from include.approvals import record_makers
from include.audit import append_link, facts_told
from include.breaker import History, PastMonth, PlanSize, Size, Verdict, judge
from include.carm.errors import DataError
from include.carm.period import Period
from include.change_file import confirm_changes
from include.coverage import coverage_id
from include.database import write_transaction
from include.decide import find_unborne, opened
from include.operations_plan_tables import PLANS
from include.plan import CHANGES, LIVE_FOR_GOOD, hash_plan
from include.program_type_rules import RuleTable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from duckdb import DuckDBPyConnection
    from sqlalchemy.engine import Connection

    from include.lake import Lake
    from include.workspace import Workspace

WAITING = ("ready", "held")
"""The states of a plan that may still be applied."""


def publish_plan(ws: Workspace, month: Mapping[str, Any], *, makers: Collection[str] = ("unknown",)) -> dict[str, Any]:
    """Check the month's decisions, and record them as a plan that is ready, held or a shadow's.

    ``makers`` are the users who stand behind the run, ``schedule`` where nobody does. A live run that finds changes
    handed over in earlier months first notes what the register made of them. Raises ``DataError`` when a check fails:
    then there is no plan. Returns ``{"plan_hash", "state", "reason", "approval", "changes", "counts": {action:
    accounts}, "reasons": {action: {reason: accounts}}}``; the same decisions give the same plan and leave it as it is,
    an applied one too.
    """
    period, lake = Period.parse(month["period"]), ws.lake(month["area"])
    confirm_changes(ws, month)
    with opened(ws) as con:
        engine.register(con, "account_decisions", [lake.file("account_decisions", period)])
        _require_borne_out(ws, con, lake, period)
        _require_gate(ws, con, period)
        reasons: dict[str, dict[str, int]] = {}
        for row in engine.run_table(con, "select_plan_counts").to_pylist():
            reasons.setdefault(row["action"], {})[row["reason"]] = row["accounts"]
        strata = _count_strata(con, period)
        plan_hash = hash_plan(con, period, ws.calendar.effective_on(period))
    rules = RuleTable.load()
    values = {
        "plan_hash": plan_hash,
        "effects": month["effects"],
        "period": str(period),
        "as_of": ws.calendar.as_of(period),
        "effective_on": ws.calendar.effective_on(period),
        "open_accounts": sum(sum(of_action.values()) for of_action in reasons.values()),
        "changes": sum(_changes(actions) for actions in strata["program_type"].values()),
        "counts": json.dumps(reasons, sort_keys=True),
        "strata": json.dumps(strata, sort_keys=True),
        "coverage_id": coverage_id(ws, period),
        "rules_version": rules.version,
        "policy_version": ws.policy.version,
    }
    decisions = next(seal.sha256 for seal in lake.seals("account_decisions") if seal.period == str(period))
    rests_on = {"decisions_sha256": decisions, "rules_sha256": rules.valid_sha256(ws.calendar.as_of(period))}
    row = _record(ws, month, values, makers=makers, rests_on=rests_on)
    return {
        "plan_hash": plan_hash,
        "state": row["state"],
        "reason": row["reason"],
        "approval": row["approval"],
        "changes": row["changes"],
        "counts": {action: sum(of_action.values()) for action, of_action in reasons.items()},
        "reasons": reasons,
    }


def _require_borne_out(ws: Workspace, con: DuckDBPyConnection, lake: Lake, period: Period) -> None:
    problems = find_unborne(ws, con, lake, period)
    if problems.num_rows:
        found = Counter(problems.column("problem").to_pylist())
        told = "; ".join(f"{problem} ({accounts:,} accounts)" for problem, accounts in sorted(found.items()))
        raise DataError(
            f"the decisions of {period} do not hold: {told}. No plan was made; compare account_decisions with "
            "account_facts and the rule table, then run the month again"
        )


def _require_gate(ws: Workspace, con: DuckDBPyConnection, period: Period) -> None:
    from include.quality.gate import check

    result = check(
        "account_decisions",
        engine.run(con, "stage_account_decisions"),
        docs_folder=ws.data / "data_docs",
        run_name=str(period),
        as_of=ws.calendar.as_of(period),
    )
    if result.table_failures:
        raise DataError(" ".join(result.table_failures) + " No plan was made.")


def _count_strata(con: DuckDBPyConnection, period: Period) -> dict[str, dict[str, dict[str, int]]]:
    """The accounts by column of strata, value and action, as ``carm_plans`` keeps them."""
    strata: dict[str, dict[str, dict[str, int]]] = {"program_type": {}, "province": {}}
    for row in engine.run_table(con, "select_plan_strata", parameters={"period": str(period)}).to_pylist():
        strata[row["stratum"]].setdefault(row["stratum_value"], {})[row["action"]] = row["accounts"]
    return strata


def _changes(actions: Mapping[str, int]) -> int:
    return sum(actions.get(action, 0) for action in CHANGES)


# What becomes of the plan.


def _record(
    ws: Workspace,
    month: Mapping[str, Any],
    values: dict[str, Any],
    *,
    makers: Collection[str],
    rests_on: Mapping[str, str],
) -> dict[str, Any]:
    """Write the plan's row, or bring the one that is there up to date; returns it."""
    with write_transaction(ws.operations) as connection:
        record_makers(connection, values["plan_hash"], month["run_id"], makers)
        row = _find(connection, values)
        is_late = values["effects"] == "live" and month["area"] != "lake"
        if row is not None and (
            row["state"] in (*LIVE_FOR_GOOD, "rejected") or (is_late and row["state"] not in WAITING)
        ):
            return {**row, "reason": _tell_settled(row)}
        if is_late and row is None:
            # The month is issued: its clients were told what its plan did. It never gets another one that counts.
            values = {**values, "effects": "shadow"}
            row = _find(connection, values)
        verdict = _judge(ws, connection, values, is_late=is_late)
        values = {
            **values,
            "state": verdict.state,
            "reason": verdict.reason,
            "margins": json.dumps(verdict.margin_rows(), sort_keys=True),
            "approval": _approval(ws, verdict.state),
        }
        this = (PLANS.c.plan_hash == values["plan_hash"]) & (PLANS.c.effects == values["effects"])
        if row is None:
            connection.execute(insert(PLANS).values(**values, run_id=month["run_id"]))
        elif any(row[name] != value for name, value in values.items()):
            connection.execute(update(PLANS).where(this).values(**values, run_id=month["run_id"]))
        _link(connection, values, rests_on)
        if values["state"] in WAITING:
            _supersede(connection, values)
    return values


def _find(connection: Connection, values: Mapping[str, Any]) -> dict[str, Any] | None:
    row = connection.execute(_this_plan(values)).mappings().one_or_none()
    return None if row is None else dict(row)


def _this_plan(values: Mapping[str, Any]) -> Select[Any]:
    return select(PLANS).where(PLANS.c.plan_hash == values["plan_hash"], PLANS.c.effects == values["effects"])


def _tell_settled(row: Mapping[str, Any]) -> str:
    """What is said of a plan that is no longer weighed."""
    told = {
        "applied": "the plan was applied: {applied_count:,} accounts changed",
        "handed_over": "the plan was handed over as a change file, and waits for the register",
        "undone": "the plan was applied and undone: a person decides what comes next",
        "rejected": "a person rejected the plan",
    }
    return told.get(row["state"], "{reason}").format(**row)


def _judge(ws: Workspace, connection: Connection, values: Mapping[str, Any], *, is_late: bool) -> Verdict:
    verdict = judge(_size(values), _history(connection, values["period"]), ws.policy.breaker)
    if values["effects"] != "live":
        told = "the month is issued and keeps the plan that it had" if is_late else "a shadow run applies nothing"
        return replace(verdict, state="shadow", reason=f"{told}; live it would be {verdict.state}: {verdict.reason}")
    applied = select(PLANS.c.plan_hash).where(
        PLANS.c.effects == "live", PLANS.c.period == values["period"], PLANS.c.state.in_(LIVE_FOR_GOOD)
    )
    other = connection.execute(applied.where(PLANS.c.plan_hash != values["plan_hash"])).scalar()
    if not values["changes"] or verdict.state == "held":
        return verdict
    if other is not None:
        reason = (
            f"plan {other[:12]} of {values['period']} was applied before, and rules, policy or data have changed since"
        )
        return replace(verdict, state="held", reason=reason)
    if ws.policy.approval == "always":
        return replace(verdict, state="held", reason="the policy asks for an approval of every plan")
    return verdict


def _approval(ws: Workspace, state: str) -> str:
    if state != "held":
        return "not_needed"
    return "not_allowed" if ws.policy.approval == "never" else "needed"


def _size(values: Mapping[str, Any]) -> PlanSize:
    strata = json.loads(values["strata"])
    return PlanSize(
        Size(values["changes"], values["open_accounts"]),
        {
            column: {value: Size(_changes(actions), sum(actions.values())) for value, actions in of_column.items()}
            for column, of_column in strata.items()
        },
    )


def _history(connection: Connection, before: str) -> History:
    """The months before whose live plan had its effect, newest first. A plan that was undone is no measure."""
    of_past = PLANS.c.effects == "live", PLANS.c.state.in_(("applied", "handed_over")), PLANS.c.period < before
    months: dict[str, PastMonth] = {}
    for row in connection.execute(select(PLANS).where(*of_past).order_by(PLANS.c.period.desc())):
        strata = {
            column: {value: _changes(actions) for value, actions in of_column.items()}
            for column, of_column in json.loads(row.strata).items()
        }
        months[row.period] = _add(months.get(row.period), PastMonth(row.changes, strata))
    # A plan that changed nobody taught nobody anything: the next one is still the first.
    changed = (
        select(func.count())
        .select_from(PLANS)
        .where(PLANS.c.effects == "live", PLANS.c.state == "applied", PLANS.c.applied_count > 0)
    )
    return History(tuple(months.values()), has_changed=connection.execute(changed).scalar_one() > 0)


def _add(month: PastMonth | None, plan: PastMonth) -> PastMonth:
    """A month that had a second plan, which a person let pass, has the changes of both."""
    if month is None:
        return plan
    strata = {
        column: dict(Counter(month.strata[column]) + Counter(plan.strata[column]))
        for column in month.strata.keys() & plan.strata.keys()
    }
    return PastMonth(month.changes + plan.changes, strata)


def _link(connection: Connection, values: Mapping[str, Any], rests_on: Mapping[str, str]) -> None:
    """Record in the audit chain the plan's whole row as it is now, unless its last link says the same."""
    row = dict(connection.execute(_this_plan(values)).mappings().one())
    told = {
        name: value for name, value in row.items() if name not in ("applied_run_id", "applied_count", "dropped_count")
    }
    told |= {name: json.loads(row[name]) for name in ("counts", "strata", "margins")}
    facts = json.loads(json.dumps({**told, **rests_on}, default=str))
    if _last_told(connection, facts["plan_hash"], facts["effects"]) != facts:
        append_link(connection, "plan", facts["plan_hash"], facts)


def _last_told(connection: Connection, plan_hash: str, effects: str) -> dict[str, Any] | None:
    links = facts_told(connection, "plan", plan_hash)
    return next((facts for facts in links if facts["effects"] == effects), None)


def _supersede(connection: Connection, values: Mapping[str, Any]) -> None:
    """Take older plans that wait for nobody any more: what is still due in them stands in this one."""
    older = (
        (PLANS.c.effects == "live")
        & PLANS.c.state.in_(WAITING)
        & (PLANS.c.period <= values["period"])
        & (PLANS.c.plan_hash != values["plan_hash"])
    )
    for row in connection.execute(select(PLANS).where(older)).mappings().all():
        reason = f"plan {values['plan_hash'][:12]} of {values['period']} took its place"
        this = (PLANS.c.plan_hash == row["plan_hash"]) & (PLANS.c.effects == "live")
        connection.execute(update(PLANS).where(this).values(state="superseded", reason=reason))
        if facts := _last_told(connection, row["plan_hash"], "live"):
            append_link(connection, "plan", row["plan_hash"], {**facts, "state": "superseded", "reason": reason})
