"""Make the plan of a month's changes: check the decisions on other paths, weigh them against the policy, record it.

It changes no account (see :mod:`include.apply`).
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from include import engine
from include.carm.errors import DataError
from include.carm.period import Period
from include.database import write_transaction
from include.decide import find_unborne, opened
from include.operations_plan_tables import PLANS
from include.plan import Verdict, hash_plan, judge_size
from include.program_type_rules import RuleTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from duckdb import DuckDBPyConnection
    from sqlalchemy.engine import Connection

    from include.lake import Lake
    from include.workspace import Workspace

CHANGES = ("close", "convert")


def publish_plan(ws: Workspace, month: Mapping[str, Any]) -> dict[str, Any]:
    """Check the month's decisions, and record them as a plan that is ready, held or a shadow's.

    Raises ``DataError`` when a check fails: then there is no plan. Returns ``{"plan_hash", "state", "reason",
    "changes", "counts": {action: accounts}, "reasons": {action: {reason: accounts}}}``; the same decisions give the
    same plan and leave it as it is, an applied one too.
    """
    period, lake = Period.parse(month["period"]), ws.lake(month["area"])
    with opened(ws) as con:
        engine.register(con, "account_decisions", [lake.file("account_decisions", period)])
        _require_borne_out(ws, con, lake, period)
        _require_gate(ws, con, period)
        reasons: dict[str, dict[str, int]] = {}
        for row in engine.run_table(con, "select_plan_counts").to_pylist():
            reasons.setdefault(row["action"], {})[row["reason"]] = row["accounts"]
        plan_hash = hash_plan(con, period, ws.calendar.effective_on(period))
    counts = {action: sum(of_action.values()) for action, of_action in reasons.items()}
    changes = sum(counts.get(action, 0) for action in CHANGES)
    values = {
        "plan_hash": plan_hash,
        "effects": month["effects"],
        "period": str(period),
        "as_of": ws.calendar.as_of(period),
        "effective_on": ws.calendar.effective_on(period),
        "open_accounts": sum(counts.values()),
        "changes": changes,
        "counts": json.dumps(reasons, sort_keys=True),
        "strata": "{}",
        "margins": "{}",
        "approval": "not_needed",
        "coverage_id": "",
        "rules_version": RuleTable.load().version,
        "policy_version": ws.policy.version,
    }
    verdict = _record(ws, values, run_id=month["run_id"])
    return {
        "plan_hash": plan_hash,
        "state": verdict.state,
        "reason": verdict.reason,
        "changes": changes,
        "counts": counts,
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


def _record(ws: Workspace, values: dict[str, Any], *, run_id: str) -> Verdict:
    """Write the plan's row, or bring the one that is there up to date; returns its state."""
    this = (PLANS.c.plan_hash == values["plan_hash"]) & (PLANS.c.effects == values["effects"])
    with write_transaction(ws.operations) as connection:
        row = connection.execute(select(PLANS).where(this)).mappings().one_or_none()
        if row is not None and row["state"] == "applied":
            return Verdict("applied", f"the plan was applied: {row['applied_count']:,} accounts changed")
        verdict = _judge(ws, connection, values)
        values = {**values, "state": verdict.state, "reason": verdict.reason}
        if row is None:
            connection.execute(insert(PLANS).values(**values, run_id=run_id))
        elif any(row[name] != value for name, value in values.items()):
            connection.execute(update(PLANS).where(this).values(**values, run_id=run_id))
    return verdict


def _judge(ws: Workspace, connection: Connection, values: Mapping[str, Any]) -> Verdict:
    applied = select(PLANS.c.plan_hash).where(PLANS.c.effects == "live", PLANS.c.state == "applied")
    # A plan that changed nobody taught nobody anything: the next one is still the first.
    is_first = connection.execute(applied.where(PLANS.c.applied_count > 0)).first() is None
    verdict = judge_size(values["changes"], values["open_accounts"], ws.policy.breaker, is_first=is_first)
    if values["effects"] != "live":
        return Verdict("shadow", f"a shadow run applies nothing; live it would be {verdict.state}: {verdict.reason}")
    other = connection.execute(applied.where(PLANS.c.period == values["period"])).scalar()
    if other is not None and values["changes"]:
        return Verdict(
            "held",
            f"plan {other[:12]} of {values['period']} was applied before, and rules, policy or data have changed since",
        )
    return verdict
