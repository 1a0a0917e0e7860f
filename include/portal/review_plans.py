"""What the pages about a plan have in common: which plan is meant, and how its states and limits are said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, HTTPException, Query, Request
from fastapi import Path as PathPart
from fastapi.responses import HTMLResponse, RedirectResponse

from include.carm.counts import tell_count
from include.carm.errors import UsageError
from include.portal.pages import BN15_PATTERN, HEADERS, MONTH_PATTERN, InWorkspace, render
from include.portal.staff import Reader, Staff
from include.workspace import Workspace

APPLY_DAG = "carm_apply_plan"
"""Whoever may start it may ask for an approval, and record holds and reviews."""

SHORT_HASH = 12

STATE_CLASSES: Mapping[str, str] = {
    "applied": "good",
    "handed_over": "good",
    "ready": "good",
    "held": "warn",
    "undone": "warn",
    "rejected": "bad",
    "superseded": "",
    "shadow": "",
}
LIMITS: Mapping[str, str] = {
    "first_run_max_share": "share of the open accounts, first live run",
    "max_share": "share of the open accounts",
    "max_changes": "number of changes",
    "max_times_median": "multiple of past months' median",
}
"""The breaker's limits, in words."""

Month = Annotated[str, PathPart(pattern=MONTH_PATTERN)]
Bn15 = Annotated[str, PathPart(pattern=BN15_PATTERN)]
PlanName = Annotated[str | None, Query(pattern=r"^[0-9a-f]{4,64}$")]
PageNumber = Annotated[int, Query(ge=1, le=100_000)]


def plan_of_month(_: Reader, ws: InWorkspace, period: Month, plan: PlanName = None) -> dict[str, Any]:
    """The plan of the month that is asked for by its hash, else the one that stands for the month. Raises 404."""
    from include.plans import find_plan

    try:
        found = find_plan(ws, plan or period)
    except UsageError as error:
        raise HTTPException(404, f"{period} has no such plan: Review lists the plans that there are") from error
    if found["period"] != period:
        raise HTTPException(404, f"plan {plan} is of {found['period']} and not of {period}")
    return found


MonthPlan = Annotated[dict[str, Any], Depends(plan_of_month)]


def plan_before(ws: Workspace, plan: Mapping[str, Any]) -> dict[str, Any] | None:
    """The plan that stands for the last month before with a plan; None where there is none."""
    from include.plans import find_plan, planned_months

    month = next((month for month in planned_months(ws) if month < plan["period"]), None)
    return None if month is None else find_plan(ws, month)


def show(
    request: Request, template: str, staff: Staff, plan: Mapping[str, Any], *, section: str, **context: Any
) -> HTMLResponse:
    """A page about ``plan``; ``section`` is its address below the month's page."""
    return render(
        request,
        template,
        staff=staff,
        plan=plan,
        plan_name=plan["plan_hash"][:SHORT_HASH],
        state_class=STATE_CLASSES.get(plan["state"], ""),
        section=section,
        **context,
    )


def go_to(address: str, **query: str | None) -> RedirectResponse:
    """On to a page, after a form was dealt with; ``address`` is relative to the form's."""
    given = urlencode({name: value for name, value in query.items() if value})
    return RedirectResponse(f"{address}?{given}" if given else address, 303, HEADERS)


def tell_margin(margin: Mapping[str, Any]) -> tuple[str, str]:
    """How a limit stands: its word, and the class of its colour. A limit may be reached and not passed."""
    room = margin["allowed"] - margin["changes"]
    if room < 0:
        return "passed", "bad"
    return ("reached", "warn") if room == 0 and margin["changes"] else ("kept", "good")


def tell_breaker(margins: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """What the breaker found of a plan as a whole: its words, and the class of their colour."""
    if not margins:
        return "no limit applies", ""
    passed = sum(tell_margin(margin)[0] == "passed" for margin in margins)
    return (f"{tell_count(passed, 'limit')} passed", "bad") if passed else ("all limits kept", "good")
