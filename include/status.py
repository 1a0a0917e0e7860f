"""``carm status`` and ``carm explain``: what the months left behind, and why an account got its decision."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from sqlalchemy import select

from include.carm.business_number import is_valid_bn15, normalise
from include.carm.errors import DataError, UsageError
from include.carm.period import Period
from include.ledger import window_coverage
from include.operations_plan_tables import ACCOUNT_CHANGES, PLANS
from include.operations_statement_tables import ISSUED_MONTHS

if TYPE_CHECKING:
    from include.workspace import Workspace


def status(ws: Workspace) -> dict[str, Any]:
    """Every month that has more than its ledger extract: decisions, statements, plans, and gaps of coverage."""
    lake = ws.lake()
    seals = {(seal.dataset, seal.period): seal.rows for seal in lake.seals()}
    with ws.operations.connect() as connection:
        plans = {row.period: row for row in connection.execute(select(PLANS).order_by(PLANS.c.effects.desc()))}
        issued = set(connection.execute(select(ISSUED_MONTHS.c.period)).scalars())
    months = []
    for period in lake.periods("account_facts"):
        plan = plans.get(str(period))
        months.append(
            {
                "period": str(period),
                "decisions": seals.get(("account_decisions", str(period))),
                "statements": seals.get(("statements", str(period))),
                "quarantined": seals.get(("quarantine", str(period))),
                "plan": plan and {"hash": plan.plan_hash, "state": plan.state, "changes": plan.changes},
                "issued": str(period) in issued,
                "not_covered": {
                    row["feed"]: row["missing"].split(",")
                    for row in window_coverage(ws, period).to_pylist()
                    if not row["covered"]
                },
            }
        )
    extracted = lake.periods("transactions")
    return {
        "extracted_from": str(extracted[0]) if extracted else None,
        "extracted_to": str(extracted[-1]) if extracted else None,
        "months": months,
    }


def status_lines(facts: dict[str, Any]) -> list[str]:
    """What :func:`status` found, for people."""
    if facts["extracted_from"] is None:
        return ["nothing was extracted yet: run a month first (make run)"]
    lines = [f"Extracted: {facts['extracted_from']} to {facts['extracted_to']}"]
    lines.append(f"{'month':<8} {'decisions':>10} {'statements':>11} {'quarantined':>12}  {'plan':<20} issued")
    for month in facts["months"]:
        plan = f"{month['plan']['state']}, {month['plan']['changes']:,} changes" if month["plan"] else "none"
        figures = (month["decisions"], month["statements"], month["quarantined"])
        decisions, statements, quarantined = ("-" if figure is None else f"{figure:,}" for figure in figures)
        lines.append(
            f"{month['period']:<8} {decisions:>10} {statements:>11} {quarantined:>12}  {plan:<20} "
            f"{'yes' if month['issued'] else 'no'}"
        )
        for feed, missing in month["not_covered"].items():
            shown = ", ".join(missing[:6]) + (f" and {len(missing) - 6} more" if len(missing) > 6 else "")
            lines.append(f"         {feed} not covered: {shown}")
    return lines


def explain(ws: Workspace, bn15: str, period: Period | None = None) -> dict[str, Any]:
    """The decision about one account in a month (default: the newest), with the facts that it rests on.

    Raises ``UsageError`` for a number that is no BN15, ``DataError`` when the month or the account has no decision.
    """
    number = normalise(bn15)
    if not is_valid_bn15(number):
        raise UsageError(f"'{bn15}' is not a BN15 (RM) account number: nine digits, RM and four digits")
    lake = ws.lake()
    months = lake.periods("account_decisions")
    if not months:
        raise DataError("no month was decided yet: run one first (make run)")
    month = period or months[-1]
    table = pq.read_table(lake.file("account_decisions", month), filters=[("bn15", "=", number)])
    if not table.num_rows:
        raise DataError(f"{number} has no decision in {month}: it was not open on {ws.calendar.as_of(month)}")
    decision = table.to_pylist()[0]
    facts = pq.read_table(lake.file("account_facts", month), filters=[("bn15", "=", number)]).to_pylist()[0]
    with ws.operations.connect() as connection:
        query = select(ACCOUNT_CHANGES).where(ACCOUNT_CHANGES.c.bn15 == number, ACCOUNT_CHANGES.c.period == str(month))
        changes = [dict(row) for row in connection.execute(query).mappings()]
    return {
        "period": str(month),
        "as_of": ws.calendar.as_of(month),
        "window": [str(ws.calendar.window(month)[0]), str(month)],
        "decision": decision,
        "facts": facts,
        "rule": _rule(decision["rule_id"], ws.calendar.as_of(month)),
        "coverage": window_coverage(ws, month).to_pylist(),
        "changes": changes,
    }


def _rule(rule_id: str | None, as_of: date) -> dict[str, Any] | None:
    from include.program_type_rules import RuleTable

    rules = {rule.rule_id: rule for rule in RuleTable.load().valid_on(as_of)}
    return asdict(rules[rule_id]) if rule_id in rules else None


def explain_lines(facts: dict[str, Any]) -> list[str]:
    """What :func:`explain` found, for people."""
    decision, seen = facts["decision"], facts["facts"]
    lines = [
        f"{decision['bn15']} in {facts['period']} (as of {facts['as_of']})",
        f"Decision: {decision['action']}"
        + (f" to {decision['new_program_type']}" if decision["new_program_type"] else "")
        + f", because {decision['reason']}",
        f"Registered as {decision['program_type'] or 'no known type'}, seen in the window: {decision['activity_seen']}",
        f"Last import {seen['last_import_on'] or 'none'}, last export {seen['last_export_on'] or 'none'}, other "
        f"{seen['last_other_on'] or 'none'}; opened {seen['opened_on'] or 'unknown'}, reinstated "
        f"{seen['reinstated_on'] or 'never'}",
        f"Dormant when the last of these is before {decision['cutoff_on']}",
    ]
    for row in facts["coverage"]:
        told = "the whole window is covered" if row["covered"] else f"missing {row['missing']}"
        lines.append(f"{row['feed']}: {told}")
    if seen["has_open_quarantine"]:
        lines.append("A row of the account stands in quarantine")
    if facts["rule"]:
        lines.append(f"Rule {facts['rule']['rule_id']}: {facts['rule']['source_en']}")
    for change in facts["changes"]:
        lines.append(f"Plan {change['plan_hash'][:12]}: {change['outcome']}, effective {change['effective_on']}")
    return lines
