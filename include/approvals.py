"""Approvals: who may decide about a plan, what was decided, and what a person is shown before.

An approval is a row about one hash. It is written only after the answer was given, by somebody who neither made the
plan nor asked for its approval, and only while the decisions in the lake still have that hash. An answer that may not
count is recorded too, as refused, so that it can be seen and never read as an approval.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from include import engine
from include.airflow_records import CONNECTION, SCHEDULE, UNKNOWN, Answer
from include.audit import append_link
from include.carm.errors import DataError, Refused, UsageError
from include.carm.period import Period
from include.database import write_transaction
from include.operations_plan_tables import APPROVALS, PLAN_MAKERS, PLANS
from include.plan import hash_plan
from include.statement_registry import is_issued

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from include.workspace import Workspace

APPROVED, REJECTED, REFUSED = "approved", "rejected", "refused"
_DECISIONS = {"Approve": APPROVED, "Reject": REJECTED}  # The options of Airflow's form.


def approver_of(connection: Connection, plan_hash: str) -> str | None:
    """Who approved the plan, by the last answer that counts; None where nobody did or somebody rejected it after."""
    answers = select(APPROVALS).where(APPROVALS.c.plan_hash == plan_hash, APPROVALS.c.decision != REFUSED)
    last = connection.execute(answers.order_by(APPROVALS.c.approval_no.desc()).limit(1)).first()
    return str(last.decided_by) if last is not None and last.decision == APPROVED else None


# --- Who made it ------------------------------------------------------------------------------------------------


def makers_of(connection: Connection, plan_hash: str) -> tuple[str, ...]:
    """Everyone on record as a maker of the plan, sorted; ``unknown`` where nobody is."""
    query = select(PLAN_MAKERS.c.maker).distinct().where(PLAN_MAKERS.c.plan_hash == plan_hash)
    return tuple(sorted(connection.execute(query).scalars())) or (UNKNOWN,)


def record_makers(connection: Connection, plan_hash: str, run_id: str, makers: Iterable[str]) -> None:
    """Add who stands behind a run that built the plan, with a link of the audit chain that tells all of that run.

    Nobody is ever taken from the list: whoever built the plan once, made it.
    """
    of_run = (PLAN_MAKERS.c.plan_hash == plan_hash) & (PLAN_MAKERS.c.run_id == run_id)
    known = set(connection.execute(select(PLAN_MAKERS.c.maker).where(of_run)).scalars())
    _write_makers(connection, plan_hash, run_id, known, known | (set(makers) or {UNKNOWN}))


def renew_makers(ws: Workspace, plan_hash: str, ask: Callable[[str], Iterable[str]]) -> tuple[str, ...]:
    """Ask once more who stands behind each run that built the plan, for somebody may have cleared one since.

    ``ask`` gives the makers of a run by its id. Who is on record stays there; only an ``unknown`` of a run is replaced
    by what is known of it now. Returns the makers of the plan.
    """
    of_plan = PLAN_MAKERS.c.plan_hash == plan_hash
    with ws.operations.connect() as connection:
        runs = connection.execute(select(PLAN_MAKERS.c.run_id).distinct().where(of_plan)).scalars().all()
    found = {run_id: set(ask(run_id)) for run_id in runs}
    with write_transaction(ws.operations) as connection:
        for run_id, now in found.items():
            of_run = of_plan & (PLAN_MAKERS.c.run_id == run_id)
            known = set(connection.execute(select(PLAN_MAKERS.c.maker).where(of_run)).scalars())
            makers = ((known - {UNKNOWN}) | now) - {SCHEDULE} or {SCHEDULE}
            _write_makers(connection, plan_hash, run_id, known, makers)
        return makers_of(connection, plan_hash)


def _write_makers(connection: Connection, plan_hash: str, run_id: str, known: set[str], makers: set[str]) -> None:
    if makers == known:
        return
    connection.execute(delete(PLAN_MAKERS).where(PLAN_MAKERS.c.plan_hash == plan_hash, PLAN_MAKERS.c.run_id == run_id))
    rows = [{"plan_hash": plan_hash, "run_id": run_id, "maker": maker} for maker in sorted(makers)]
    connection.execute(insert(PLAN_MAKERS), rows)
    append_link(connection, "makers", plan_hash, {"run_id": run_id, "makers": sorted(makers)})


# --- The answer -------------------------------------------------------------------------------------------------


def require_decidable(ws: Workspace, plan_hash: str) -> dict[str, Any]:
    """Refuse before a person is asked what would be refused afterwards; returns the plan's hash, period and changes.

    Raises ``Refused`` where there is no such plan, its month is not closed, it does not wait for an approval, one of
    its makers is unknown, or the decisions in the lake are not the ones that it was made from.
    """
    with ws.operations.connect() as connection:
        plan = _find_plan(connection, plan_hash)
        reason = _why_not_asked(ws, connection, plan) or _why_maker_unknown(makers_of(connection, plan_hash))
    reason = reason or _why_not_the_same(ws, plan)
    if reason:
        raise Refused(f"plan {plan_hash[:12]} of {plan.period} cannot be approved: {reason}")
    return {"plan_hash": plan_hash, "period": plan.period, "changes": plan.changes}


def why_not_asked(ws: Workspace, plan_hash: str) -> str | None:
    """Why nobody can be asked about a plan, as far as its row tells; None where nothing is in the way.

    Raises ``Refused`` where there is no such live plan.
    """
    with ws.operations.connect() as connection:
        return _why_not_asked(ws, connection, _find_plan(connection, plan_hash))


def record_answer(
    ws: Workspace,
    plan_hash: str,
    *,
    decision: str,
    decided_by: str,
    decided_at: str,
    asked_by: str,
    run_id: str,
    also_asked_by: Collection[str] = (),
) -> dict[str, Any]:
    """Record what a person answered, with its link of the audit chain; the same answer again is recorded once.

    ``decision`` is ``approved`` or ``rejected``; ``decided_at`` is when Airflow recorded it. ``asked_by`` started the
    run that asked, ``also_asked_by`` cleared tasks of it. Raises ``Refused``, after recording the answer as refused,
    where the plan does not wait for an approval, and for an approval by one of its makers or of those who asked, with a
    maker unknown, or of a plan whose decisions in the lake have changed. Everybody who is known may reject.
    Returns ``{"plan_hash", "decision", "decided_by", "approval_no"}``.
    """
    if decision not in (APPROVED, REJECTED):
        raise UsageError(f"the answer '{decision}' is neither {APPROVED} nor {REJECTED}")
    with ws.operations.connect() as connection:
        plan = _find_plan(connection, plan_hash)
    # Read before the transaction: it takes a while, and a sealed file cannot become another one unseen, for apply
    # recomputes the hash again.
    not_the_same = _why_not_the_same(ws, plan) if decision == APPROVED else None
    answer = {
        "plan_hash": plan_hash,
        "decided_by": decided_by,
        "decided_at": decided_at,
        "asked_by": asked_by,
        "run_id": run_id,
    }
    with write_transaction(ws.operations) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"LOCK TABLE {APPROVALS.name} IN EXCLUSIVE MODE")
        plan = _find_plan(connection, plan_hash)
        number = _recorded(connection, {**answer, "decision": decision})
        if number is not None:
            return {"plan_hash": plan_hash, "decision": decision, "decided_by": decided_by, "approval_no": number}
        makers = makers_of(connection, plan_hash)
        refusal = _why_not_waiting(ws, connection, plan) or _why_unnamed(decided_by)
        if decision == APPROVED:
            refusal = refusal or _why_not_this_person(decided_by, makers, {asked_by, *also_asked_by}) or not_the_same
        number = _insert(connection, {**answer, "decision": REFUSED if refusal else decision}, makers, refusal)
        if not refusal:
            # A plan that was rejected may be approved after all, by a further answer: it waits again.
            state = "rejected" if decision == REJECTED else "held" if plan.state == "rejected" else plan.state
            of_plan = (PLANS.c.plan_hash == plan_hash) & (PLANS.c.effects == "live")
            connection.execute(update(PLANS).where(of_plan).values(state=state))
    if refusal:
        raise Refused(
            f"the answer of {decided_by or 'nobody'} to plan {plan_hash[:12]} does not count, and nothing was changed: "
            f"{refusal}"
        )
    return {"plan_hash": plan_hash, "decision": decision, "decided_by": decided_by, "approval_no": number}


def settle_answer(
    ws: Workspace, plan_hash: str, answer: Answer | None, *, asked_by: str, also_asked_by: Collection[str], run_id: str
) -> dict[str, Any]:
    """Record the answer of Airflow's form, and go on only with an approval.

    Raises ``Refused`` where nobody answered in time, where the plan was rejected, and where :func:`record_answer` does.
    """
    if answer is None:
        raise Refused(
            f"nobody answered whether plan {plan_hash[:12]} may be applied, so it may not: nothing was changed; "
            "trigger carm_apply_plan again to ask again"
        )
    recorded = record_answer(
        ws,
        plan_hash,
        decision=_DECISIONS.get(answer.chosen, answer.chosen),
        decided_by=answer.by,
        decided_at=answer.at,
        asked_by=asked_by,
        also_asked_by=also_asked_by,
        run_id=run_id,
    )
    if recorded["decision"] == REJECTED:
        raise Refused(f"plan {plan_hash[:12]} was rejected by {answer.by}: nothing was changed")
    return recorded


def month_of_plan(ws: Workspace, plan_hash: str, run_id: str) -> dict[str, Any]:
    """The plan's month, as steps of the run ``run_id`` take it: live, and in the record."""
    with ws.operations.connect() as connection:
        period = _find_plan(connection, plan_hash).period
    return {"period": period, "effects": "live", "area": "lake", "run_id": run_id}


def apply_approved_plan(
    ws: Workspace, plan_hash: str, run_id: str, is_run_active: Callable[[str], bool]
) -> dict[str, Any]:
    """Lock the plan's month and apply the plan, as :func:`include.apply.apply_plan` does; it stays locked.

    Raises ``Refused`` where another run works on the month, and for a plan that is neither applied now nor was before.
    """
    from include.apply import apply_plan
    from include.month import lock_month

    month = month_of_plan(ws, plan_hash, run_id)
    lock_month(ws, Period.parse(month["period"]), run_id, is_run_active)
    outcome = apply_plan(ws, month, plan_hash)
    if outcome["state"] not in ("applied", "handed_over"):
        raise Refused(f"plan {plan_hash[:12]} is {outcome['state']} and not approved: nothing was changed")
    return outcome


def _find_plan(connection: Connection, plan_hash: str) -> Row[Any]:
    query = select(PLANS).where(PLANS.c.plan_hash == plan_hash, PLANS.c.effects == "live")
    plan = connection.execute(query).one_or_none()
    if plan is None:
        raise Refused(f"there is no live plan {plan_hash[:12]}: `carm status` shows the plans, with their hashes")
    return plan


def _why_not_asked(ws: Workspace, connection: Connection, plan: Row[Any]) -> str | None:
    if not is_issued(connection, Period.parse(plan.period)):
        return f"{plan.period} is not issued yet; let carm_month finish it first"
    return _why_not_waiting(ws, connection, plan)


def _why_not_waiting(ws: Workspace, connection: Connection, plan: Row[Any]) -> str | None:
    if plan.state not in ("ready", "held", "rejected") or plan.approval == "not_needed":
        return f"it is {plan.state} and does not wait for an approval"
    if plan.approval != "needed" or ws.policy.approval == "never":
        return "the policy lets no plan be approved"
    later = select(func.max(PLANS.c.period)).where(PLANS.c.effects == "live", PLANS.c.period > plan.period)
    newest = connection.execute(later).scalar()
    return f"{newest} has a plan already, with everything that is still due" if newest else None


def _why_unnamed(decided_by: str) -> str | None:
    is_named = decided_by.strip().casefold() not in ("", UNKNOWN, SCHEDULE)
    return None if is_named else "Airflow does not tell who answered"


def _why_maker_unknown(makers: Iterable[str]) -> str | None:
    if UNKNOWN not in makers:
        return None
    return (
        f"somebody who made it is not known. Let connection {CONNECTION} name a user of this Airflow who may read the "
        "event log, and trigger carm_apply_plan again; who used Airflow's command line stays unknown, and then what is "
        "still due stands in the next month's plan"
    )


def _why_not_this_person(decided_by: str, makers: Iterable[str], askers: Iterable[str]) -> str | None:
    unknown = _why_maker_unknown(makers)
    if unknown:
        return unknown
    if UNKNOWN in askers or SCHEDULE in askers:
        return "who asked for the approval is not known; trigger carm_apply_plan in the UI or over REST"
    person = decided_by.strip().casefold()
    if person in (maker.strip().casefold() for maker in makers):
        return "the same person started or cleared a run that made the plan; another one must approve it"
    if person in (asker.strip().casefold() for asker in askers):
        return "the same person started or cleared the run that asks; another one must approve it"
    return None


def _why_not_the_same(ws: Workspace, plan: Row[Any]) -> str | None:
    """Why the decisions in the lake are not the plan's; None where their hash is the same."""
    period = Period.parse(plan.period)
    try:
        decisions = ws.lake().file("account_decisions", period)
    except DataError as error:
        return str(error)
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        engine.register(con, "account_decisions", [decisions])
        found = hash_plan(con, period, plan.effective_on)
    return None if found == plan.plan_hash else f"the decisions of {period} are other ones now ({found[:12]})"


def _recorded(connection: Connection, answer: Mapping[str, Any]) -> int | None:
    query = select(APPROVALS.c.approval_no).where(*(APPROVALS.c[name] == value for name, value in answer.items()))
    return connection.execute(query.limit(1)).scalar()


def _insert(connection: Connection, answer: Mapping[str, Any], makers: Collection[str], refusal: str | None) -> int:
    number = int(connection.execute(select(func.coalesce(func.max(APPROVALS.c.approval_no), 0))).scalar_one()) + 1
    connection.execute(insert(APPROVALS).values(approval_no=number, **answer))
    facts = {name: value for name, value in answer.items() if name != "plan_hash"}
    append_link(
        connection,
        "approval",
        answer["plan_hash"],
        {**facts, "approval_no": number, "makers": list(makers), "refused_because": refusal},
    )
    return number


# --- What a person is shown -------------------------------------------------------------------------------------


def describe_plan(ws: Workspace, plan_hash: str) -> dict[str, Any]:
    """The plan as its row has it, JSON columns read, with its makers; counts and hashes, nothing about one account.

    Raises ``Refused`` where there is no such live plan.
    """
    with ws.operations.connect() as connection:
        plan = _find_plan(connection, plan_hash)
        makers = makers_of(connection, plan_hash)
    written = {name: json.loads(getattr(plan, name)) for name in ("counts", "strata", "margins")}
    return {**plan._mapping, **written, "makers": list(makers)}


def approval_form(plan: Mapping[str, Any], links: Mapping[str, str]) -> str:
    """What :func:`describe_plan` tells as Markdown, for the person who decides; ``links`` maps a text to an address."""
    decisions = [
        (action, reason, n) for action, of in sorted(plan["counts"].items()) for reason, n in sorted(of.items())
    ]
    parts = [
        f"**{plan['changes']:,} of {plan['open_accounts']:,} open accounts** would change on {plan['effective_on']}, "
        f"as of {plan['as_of']} (statement month {plan['period']}).",
        f"**Why a person is asked:** {plan['reason']}.",
        f"**Plan** `{plan['plan_hash']}`, made by {', '.join(plan['makers'])}. Your answer holds for this hash alone.",
        _markdown_table(("decision", "reason", "accounts"), decisions),
    ]
    margins = [(row["limit"], row["stratum"], row["changes"], row["allowed"]) for row in plan["margins"]]
    if margins:
        parts.append(_markdown_table(("limit", "of", "changes", "allowed"), margins))
    actions = sorted({action for values in plan["strata"].values() for of in values.values() for action in of})
    strata = [
        (f"{column.replace('_', ' ')} {value}", *(of.get(action, 0) for action in actions))
        for column, values in sorted(plan["strata"].items())
        for value, of in sorted(values.items())
    ]
    if strata:
        parts.append(_markdown_table(("stratum", *actions), strata))
    parts.append(
        "**Before you approve:** a broken feed looks just like this, so look for gaps (`carm status`), drift and "
        "quarantine, and at some of the accounts (`carm explain BN15`). Whoever made the plan or asked for this "
        "approval cannot give it. *Reject*, or no answer in time, changes no account."
    )
    parts.append(
        f"Coverage `{plan['coverage_id'][:12]}`, rules `{plan['rules_version'][:12]}`, policy "
        f"`{plan['policy_version'][:12]}`. " + " · ".join(f"[{text}]({address})" for text, address in links.items())
    )
    return "\n\n".join(parts)


def _markdown_table(heads: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    def line(cells: Iterable[Any]) -> str:
        return "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells) + " |"

    return "\n".join([line(heads), line(["---"] * len(heads)), *map(line, rows)])
