"""The why-card of an account in the month of a plan: what was decided, and all that it rests on."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from include.carm.period import Period
from include.portal.figures import MASKED, write_cents
from include.portal.pages import CheckedForm, InWorkspace
from include.portal.review_plans import APPLY_DAG, Bn15, MonthPlan, show
from include.portal.staff import Reader, Staff
from include.portal.unmasking import record_unmasking
from include.workspace import Workspace

router = APIRouter()

Recorded = Literal["hold", "lift", "review"]


@router.get("/review/{period}/accounts/{bn15}", response_class=HTMLResponse)
def show_card(
    request: Request, staff: Reader, ws: InWorkspace, plan: MonthPlan, bn15: Bn15, recorded: Recorded | None = None
) -> HTMLResponse:
    """The card, its amounts masked; ``recorded`` is what a form of the page has just recorded."""
    return _card(request, staff, ws, plan, bn15, is_masked=True, recorded=recorded)


@router.post("/review/{period}/accounts/{bn15}", response_class=HTMLResponse, dependencies=[CheckedForm])
def unmask_card(request: Request, staff: Reader, ws: InWorkspace, plan: MonthPlan, bn15: Bn15) -> HTMLResponse:
    """The card with its amounts, after it was recorded who sees them."""
    card = _card(request, staff, ws, plan, bn15, is_masked=False)
    record_unmasking(ws, staff, bn15, f"why-card {plan['period']}")
    return card


def _card(
    request: Request,
    staff: Staff,
    ws: Workspace,
    plan: dict[str, Any],
    bn15: str,
    *,
    is_masked: bool,
    recorded: Recorded | None = None,
) -> HTMLResponse:
    from include.explain import card_parts, explain
    from include.person_records import first_end_day
    from include.plans import decisions_of

    def tell_money(cents: int) -> str:
        return MASKED if is_masked else write_cents(cents)

    area, decisions = decisions_of(ws, plan)
    card = explain(ws, bn15, Period.parse(plan["period"]), area, tell_money=tell_money)
    return show(
        request,
        "review_card.html",
        staff,
        plan,
        section="accounts",
        card=card,
        parts=list(card_parts(card, tell_money)),
        is_masked=is_masked,
        # The card is of the decisions as they are; the plan may rest on earlier ones.
        is_newer=not decisions.is_relative_to(ws.lake(area).root),
        may_record=staff.may_start(APPLY_DAG),
        stands_held=any(hold["by"] == "person" and not hold["lifted_from"] for hold in card["holds"]),
        first_end_day=first_end_day(ws),
        recorded=recorded,
    )
