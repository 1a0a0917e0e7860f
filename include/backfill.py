"""What a backfill would do, said before it does anything: month by month, which effects, why, and what is refused.

It asks what the Dag's first step will ask, in the same order and of the same functions, but locks and writes nothing.
Where one month of a live backfill is refused, so are those after it, for live months go in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from include import statement_registry
from include.backfill_approvals import THE_WAY, Months, versions_now, why_not_approved
from include.carm.counts import tell_count
from include.carm.errors import CarmError, Refused, UsageError
from include.carm.period import Period
from include.extract import why_not_posted
from include.known import known_now
from include.month import EFFECTS, newest_issued, why_out_of_order
from include.month_locks import locked_months
from include.operations import bring_up_to_date
from include.operations_plan_tables import PLANS
from include.operations_statement_tables import ISSUED_MONTHS
from include.source_totals import require_posting_days

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.workspace import Workspace

# Of several plans of a month, the one that says most of what is in force.
_STATES = ("applied", "handed_over", "undone", "held", "ready", "rejected", "shadow", "superseded")


def preview_backfill(
    ws: Workspace, months: Months, effects: str = "auto", *, as_if_approved: bool = False
) -> dict[str, Any]:
    """What a backfill of ``months`` with ``effects`` would do; of the pipeline's tables at most missing ones are made.

    ``as_if_approved`` leaves out whether somebody approved that it runs live, for who is to decide about just that.

    Returns ``{"from", "to", "effects", "newest_issued", "months": [...]}``, each month ``{"period", "effects", "area",
    "why", "refused", "issued", "plan", "changed_since", "known_now"}``: ``effects`` is ``live`` or ``shadow``; ``area``
    is ``shadow`` where it writes beside an issued month; ``refused`` is the sentence with which its first steps would
    stop, else None; ``plan`` is the plan in force, ``{"plan_hash", "state", "changes", "reason"}``; ``changed_since``
    names what decides otherwise now than then (``rules``, ``policy``); ``known_now`` counts, of an issued month, the
    accounts whose statement would differ. Raises ``UsageError`` for other ``effects``, ``DataError`` where the source
    has no posting.
    """
    if effects not in EFFECTS:
        raise UsageError(f"effects '{effects}' is none of {', '.join(EFFECTS)}")
    bring_up_to_date(ws.operations)
    newest = newest_issued(ws)
    days = require_posting_days(ws)
    with ws.operations.connect() as connection:
        found = [_find_month(ws, connection, period, days) for period in months.each()]
    at = newest
    for month in found:
        _tell_effects(month, is_live=effects == "live")
        if effects == "live":
            at = _follow_live(ws, month, newest=at, as_if_approved=as_if_approved)
    return {
        "from": str(months.first),
        "to": str(months.last),
        "effects": effects,
        "newest_issued": str(newest) if newest else None,
        "months": found,
    }


def _find_month(ws: Workspace, connection: Connection, period: Period, days: list[date]) -> dict[str, Any]:
    """What is known of a month before it runs; ``refused`` where neither effect could run it."""
    issued = connection.execute(select(ISSUED_MONTHS).where(ISSUED_MONTHS.c.period == str(period))).mappings().first()
    plan = _plan_in_force(connection, period)
    lock = locked_months(connection).get(str(period))
    month: dict[str, Any] = {
        "period": str(period),
        "issued": None,
        "is_closed": False,
        "plan": None if plan is None else {name: plan[name] for name in ("plan_hash", "state", "changes", "reason")},
        "changed_since": [],
        "known_now": None,
        "refused": _why_no_window(ws, period) or why_not_posted(ws, days, period),
    }
    if plan is not None:
        now = versions_now(ws)
        month["changed_since"] = [name for name, version in now.items() if plan[f"{name}_version"] != version]
    if issued is not None:
        month["issued"] = {name: issued[name] for name in ("issued_on", "statements")}
        month["is_closed"] = statement_registry.is_closed(connection, period)
        month["known_now"] = _count_known_now(ws, period)
    elif lock is not None:
        month["refused"] = f"{period} is locked ({lock.reason}, by {lock.recorded_by})"
    return month


def _plan_in_force(connection: Connection, period: Period) -> dict[str, Any] | None:
    rows = connection.execute(select(PLANS).where(PLANS.c.period == str(period))).mappings().all()
    if not rows:
        return None
    return dict(min(rows, key=lambda row: (_STATES.index(row["state"]), row["plan_hash"])))


def _why_no_window(ws: Workspace, period: Period) -> str | None:
    try:
        ws.calendar.window(period)
    except UsageError as error:
        return str(error)
    return None


def _count_known_now(ws: Workspace, period: Period) -> dict[str, int] | str:
    """How many statements would differ, and by what; a sentence where the record cannot be read."""
    try:
        accounts = known_now(ws, period)["accounts"]
    except CarmError as error:
        return str(error)
    return {
        "accounts": len(accounts),
        "printed_otherwise": sum(bool(row["changed"]) for row in accounts),
        "with_later_postings": sum(row["later_postings"] > 0 for row in accounts),
    }


def _tell_effects(month: dict[str, Any], *, is_live: bool) -> None:
    is_beside = month["issued"] is not None and not (is_live and not month["is_closed"])
    month["effects"] = "live" if is_live else "shadow"
    month["area"] = "shadow" if is_beside else "lake"
    month["why"] = _tell_why(is_live=is_live, is_beside=is_beside)


def _follow_live(ws: Workspace, month: dict[str, Any], *, newest: Period | None, as_if_approved: bool) -> Period | None:
    """Note why the month cannot run live; returns which month is the newest issued one after it."""
    period = Period.parse(month["period"])
    reason = None if as_if_approved else why_not_approved(ws, period)
    unapproved = f"it may not run live, for {reason}: {THE_WAY}" if reason else None
    month["refused"] = month["refused"] or unapproved or why_out_of_order(period, newest)
    return newest if month["refused"] else period


def _tell_why(*, is_live: bool, is_beside: bool) -> str:
    if is_live and not is_beside:
        return "accounts are changed by what the policy lets pass, statements issued, messages planned"
    if is_live:
        return "it is issued and closed: what it holds is compared, and stays"
    if is_beside:
        return "it is issued: written beside the record, below shadow/, and can be compared with it"
    return "it is not issued: decided and drawn up, and nothing applied, issued or sent"


# For people.


def preview_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """What :func:`preview_backfill` found."""
    months = facts["months"]
    refused = [month for month in months if month["refused"]]
    yield (
        f"A backfill of {facts['from']} to {facts['to']} with effects {facts['effects']}: "
        f"{tell_count(len(months) - len(refused), 'month')} would run, {len(refused)} would be refused; "
        + (
            f"the newest issued month is {facts['newest_issued']}"
            if facts["newest_issued"]
            else "no month is issued yet"
        )
    )
    for month in months:
        yield f"  {month['period']}  {'refused' if month['refused'] else month['effects']:<8} {_state(month)}"
        yield f"           {month['refused'] or month['why']}"
        yield from (f"           {line}" for line in _notes(month))
    if facts["effects"] != "live":
        issued = any(month["area"] == "shadow" for month in months)
        yield "Nothing is applied, issued or sent." + (
            f" Afterwards: carm backfill differences --from {facts['from']} --to {facts['to']}" if issued else ""
        )


def _state(month: Mapping[str, Any]) -> str:
    issued = month["issued"]
    if issued is None:
        return "not issued"
    return f"issued on {issued['issued_on']}, {tell_count(issued['statements'], 'statement')}"


def _notes(month: Mapping[str, Any]) -> Iterator[str]:
    plan, known = month["plan"], month["known_now"]
    if plan is not None:
        yield f"plan {plan['plan_hash'][:12]}, {plan['state']}: {plan['reason']}"
    if month["changed_since"]:
        changed = " and the ".join(month["changed_since"])
        yield f"the {changed} changed since it was planned: it may be decided otherwise"
    if isinstance(known, str):
        yield f"what is known of it now cannot be told: {known}"
    elif known and known["accounts"]:
        yield (
            f"as known now the statements of {tell_count(known['accounts'], 'account')} would differ "
            f"({known['printed_otherwise']:,} in what is printed, {known['with_later_postings']:,} by postings known "
            f"later): carm known now {month['period']}"
        )


def require_worth_asking(ws: Workspace, months: Months) -> dict[str, Any]:
    """Refuse before a person is asked what a live backfill would refuse even with an approval.

    Raises ``Refused`` with the first month that could not run. Returns ``{"from", "to", "months": how many}``.
    """
    facts = preview_backfill(ws, months, "live", as_if_approved=True)
    for month in facts["months"]:
        if month["refused"]:
            raise Refused(f"a live backfill of {months} cannot be approved: {month['refused']}")
    return {"from": facts["from"], "to": facts["to"], "months": len(facts["months"])}


def approval_form(ws: Workspace, months: Months, reason: str) -> str:
    """What the person who decides reads, as Markdown: what would happen, month by month, and by which rules."""
    facts = preview_backfill(ws, months, "live", as_if_approved=True)
    rows = ["| month | issued | plan so far | what it does |", "| --- | --- | --- | --- |"]
    for month in facts["months"]:
        plan = f"{month['plan']['state']}, {month['plan']['changes']:,} changes" if month["plan"] else "none yet"
        issued = month["issued"]["issued_on"] if month["issued"] else "no"
        rows.append(f"| {month['period']} | {issued} | {plan} | {month['refused'] or month['why']} |")
    versions = ", ".join(f"{name} `{version[:12]}`" for name, version in versions_now(ws).items())
    newest = (
        f"The newest issued month is {facts['newest_issued']}." if facts["newest_issued"] else "No month is issued."
    )
    return "\n\n".join(
        (
            f"**{tell_count(len(facts['months']), 'month')}, {months}, would run live:** accounts are changed, "
            f"statements issued and mail planned, month after month. {newest}",
            f"**Why:** {reason}",
            "\n".join(rows),
            "A plan that changes more than the policy lets pass is held in these months too, and asked about alone.",
            "**Before you approve:** look at a shadow run of the same months, and at gaps of coverage (`carm status`). "
            "Whoever asked cannot approve it. *Reject*, or no answer in time, leaves the months shadow.",
            f"Your answer holds under these: {versions}.",
        )
    )
