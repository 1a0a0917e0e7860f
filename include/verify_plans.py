"""Proves plans from the lake: their decisions hash to them, and follow again from what was sealed.

A plan's link names the file of its decisions. The file is found (in its place, or where superseded files are kept) and
hashed anew as a plan. Where these are still the decisions of the month, they are derived again from the sealed facts
and records, the coverage and the rules, and must come out as the same plan.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, exists, func, select

from include import engine
from include.carm.errors import DataError
from include.carm.period import Period
from include.coverage import coverage_id
from include.decide import decision_parameters, opened, register_grounds
from include.lake import Lake, Seal
from include.operations_plan_tables import ACCOUNT_CHANGES, REINSTATEMENTS
from include.operations_statement_tables import ISSUED_MONTHS
from include.plan import hash_plan
from include.program_type_rules import RuleTable
from include.source_schema import TABLES
from include.verify_chain import Chain, describe_link

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.audit import Link
    from include.workspace import Workspace

ACCOUNTS = TABLES["accounts"]
AREAS = ("lake", "shadow")


@dataclass
class Proof:
    """How many plans were hashed anew and how many decided again; and what a person should know, though no fault."""

    hashed: int = 0
    decided_again: int = 0
    notes: list[str] = field(default_factory=list)


def verify_plans(ws: Workspace, chain: Chain, up_to: Period | None) -> Proof:
    """Prove every plan of the chain (with ``up_to``, those of months up to it).

    Raises ``DataError`` naming the plan whose decisions are gone, are other ones, or do not follow from what is sealed.
    """
    proof = Proof()
    _verify_rules(ws, chain, up_to)
    with ws.operations.connect() as connection:
        issued = set(connection.execute(select(ISSUED_MONTHS.c.period)).scalars())
    applied = {link.subject for link, _ in chain.of("apply")}
    last = {(link.subject, facts["decisions_sha256"]): (link, facts) for link, facts in chain.of("plan")}
    newest = {facts["period"]: link.link_no for link, facts in last.values()}
    for link, facts in last.values():
        if up_to is not None and facts["period"] > str(up_to):
            continue
        must_be_there = link.subject in applied or newest[facts["period"]] == link.link_no
        found = _find_decisions(ws, facts)
        if found is None:
            if must_be_there:
                raise DataError(
                    f"the decisions that {describe_link(link)} tells of are not in the data folder: somebody replaced "
                    f"account_decisions of {facts['period']}; restore it from a backup"
                )
            proof.notes.append(f"plan {link.subject[:12]} of {facts['period']}: its decisions are no longer kept")
            continue
        _verify_hash(ws, link, facts, found)
        proof.hashed += 1
        area = _area_of_record(ws, facts)
        if area is not None:
            _decide_again(ws, ws.lake(area), link, facts, proof, is_issued=facts["period"] in issued)
        # Before its issue a month may have been extracted anew, which takes the seals of what rests on it.
        elif facts["period"] in issued and newest[facts["period"]] == link.link_no:
            raise DataError(
                f"account_decisions of {facts['period']} are no longer sealed as the file that {describe_link(link)} "
                "tells of: restore the lake and the database from a backup"
            )
    return proof


def _verify_rules(ws: Workspace, chain: Chain, up_to: Period | None) -> None:
    """The cells that held when an issued month was decided are those that hold for it now, under any policy."""
    issues = {link.subject: link.link_no for link, _ in chain.of("issue")}
    # What was planned after the issue did not decide the month.
    decided = {
        facts["period"]: (link, facts)
        for link, facts in chain.of("plan")
        if facts["effects"] == "live" and link.link_no < issues.get(facts["period"], 0)
    }
    rules = RuleTable.load()
    for label, (link, facts) in decided.items():
        period = Period.parse(label)
        if up_to is not None and period > up_to:
            continue
        if facts["rules_sha256"] != rules.valid_sha256(ws.calendar.as_of(period)):
            raise DataError(
                f"plan {link.subject[:12]} of {period} was decided by other cells of the rule table than those that "
                "hold for that month now: put the changed cell back, for a new rule is a new row with a later "
                "valid_from"
            )


def _find_decisions(ws: Workspace, facts: dict[str, Any]) -> Path | None:
    seal = Seal("account_decisions", facts["period"], 0, facts["decisions_sha256"])
    return next((file for area in AREAS if (file := ws.lake(area).sealed_file(seal)) is not None), None)


def _area_of_record(ws: Workspace, facts: dict[str, Any]) -> str | None:
    """The area in which these are the decisions that count; None where others took their place."""
    for area in AREAS:
        for seal in ws.lake(area).seals("account_decisions"):
            if (seal.period, seal.sha256) == (facts["period"], facts["decisions_sha256"]):
                return area
    return None


def _verify_hash(ws: Workspace, link: Link, facts: dict[str, Any], file: Path) -> None:
    period = Period.parse(facts["period"])
    with opened(ws) as con:
        engine.register(con, "account_decisions", [file])
        found = hash_plan(con, period, ws.calendar.effective_on(period))
    if found != link.subject:
        raise DataError(
            f"the decisions of {period} hash to {found[:12]}, and not to the plan that {describe_link(link)} tells of: "
            "restore account_decisions and the database from a backup"
        )


def _decide_again(
    ws: Workspace, lake: Lake, link: Link, facts: dict[str, Any], proof: Proof, *, is_issued: bool
) -> None:
    period, name = Period.parse(facts["period"]), f"plan {link.subject[:12]} of {facts['period']}"
    is_same_policy = facts["policy_version"] == ws.policy.version
    has_same_coverage = facts["coverage_id"] == coverage_id(ws, period)
    is_same = _derive_hash(ws, lake, period) == link.subject
    if is_same:
        proof.decided_again += 1
    if is_same_policy and not (is_same and has_same_coverage):
        if not is_issued:
            proof.notes.append(
                f"{name}: what it was decided from has changed since; run {period} again for a plan of what is there"
            )
            return
        raise DataError(_why_otherwise(name, period, has_same_coverage=has_same_coverage))
    if not is_same:
        proof.notes.append(f"{name}: the policy has changed since, and would decide otherwise now")


def _why_otherwise(name: str, period: Period, *, has_same_coverage: bool) -> str:
    if not has_same_coverage:
        return (
            f"{name} rests on another coverage than carm_feed_coverage shows now: somebody changed what was received "
            f"up to {period}; restore the database from a backup"
        )
    return (
        f"{name} does not follow from the facts and records that are sealed for {period}: somebody replaced a file and "
        "its seal; restore the lake and the database from a backup"
    )


def _derive_hash(ws: Workspace, lake: Lake, period: Period) -> str:
    parameters = decision_parameters(ws.calendar, ws.policy, period)
    with opened(ws) as con:
        register_grounds(ws, con, lake, period)
        engine.create_table(con, "account_decisions", "derive_account_decisions", None, parameters)
        return hash_plan(con, period, ws.calendar.effective_on(period))


def note_register(connection: Connection) -> list[str]:
    """Plans whose accounts no longer have, in the register, the version that the journal says the plan began.

    Whoever keeps the register may correct it, so this is told and is no fault. ``connection`` must see the accounts.
    """
    change, version = ACCOUNT_CHANGES.c, ACCOUNTS.c
    stands = exists().where(
        version.bn15 == change.bn15,
        version.valid_from == change.effective_on,
        version.program_type == func.coalesce(change.new_program_type, change.program_type),
        version.status == case((change.action == "close", "closed"), else_="open"),
    )
    # A counter-action of the same day takes the place of the version that it undoes.
    replaced = exists().where(
        and_(REINSTATEMENTS.c.bn15 == change.bn15, REINSTATEMENTS.c.effective_on == change.effective_on)
    )
    query = (
        select(change.plan_hash, change.period, func.count())
        .where(change.outcome == "applied", ~stands, ~replaced)
        .group_by(change.plan_hash, change.period)
        .order_by(change.period, change.plan_hash)
    )
    return [
        f"plan {plan_hash[:12]} of {period}: {accounts:,} accounts no longer stand in the register as it left them"
        for plan_hash, period, accounts in connection.execute(query)
    ]
