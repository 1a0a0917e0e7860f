"""What persons say of accounts: holds and reviews, listed and entered, each with its reason and its last day."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from include.carm.errors import UsageError
from include.portal.pages import CheckedForm, InWorkspace
from include.portal.review_card import Recorded
from include.portal.review_plans import APPLY_DAG, Month, MonthPlan, PageNumber, go_to, show
from include.portal.staff import Reader

router = APIRouter()

_Account = Annotated[str, Form(max_length=40)]
_Reason = Annotated[str, Form(max_length=2000)]
_Day = Annotated[str, Form(max_length=10)]
_Plan = Annotated[str, Form(pattern=r"^[0-9a-f]{0,64}$")]
_Back = Annotated[Literal["card", "list"], Form()]


@router.get("/review/{period}/records", response_class=HTMLResponse)
def show_records(
    request: Request,
    staff: Reader,
    ws: InWorkspace,
    plan: MonthPlan,
    kind: Literal["hold", "review"] = "hold",
    page: PageNumber = 1,
    recorded: Recorded | None = None,
) -> HTMLResponse:
    """The holds or the reviews that stand in the month or will count later, and the forms that enter them."""
    from include.carm.period import Period
    from include.person_records import first_end_day, tell_known_from
    from include.standing_records import PAGE_ROWS, find_records

    found = find_records(ws, Period.parse(plan["period"]), kind, page)
    return show(
        request,
        "review_records.html",
        staff,
        plan,
        section="records",
        kind=kind,
        rows=found.rows,
        found=found.found,
        page=page,
        last_page=max(1, -(-found.found // PAGE_ROWS)),
        may_record=staff.may_start(APPLY_DAG),
        first_end_day=first_end_day(ws),
        tell_known_from=tell_known_from,
        recorded=recorded,
    )


@router.post("/review/{period}/holds", dependencies=[CheckedForm])
def enter_hold(
    staff: Reader,
    ws: InWorkspace,
    period: Month,
    bn15: _Account,
    reason: _Reason = "",
    until: _Day = "",
    plan: _Plan = "",
    back: _Back = "list",
) -> RedirectResponse:
    """Hold every change of an account back, until a day or until the hold is lifted."""
    from include.person_records import record_hold

    staff.require_start(APPLY_DAG)
    facts = record_hold(ws, bn15, until=_read_day(until), reason=reason, recorded_by=staff.name)
    return _back_to(back, facts["bn15"], plan, "hold")


@router.post("/review/{period}/lifted-holds", dependencies=[CheckedForm])
def lift_holds(
    staff: Reader,
    ws: InWorkspace,
    period: Month,
    bn15: _Account,
    reason: _Reason = "",
    plan: _Plan = "",
    back: _Back = "list",
) -> RedirectResponse:
    """Lift the holds that persons put on an account."""
    from include.person_records import lift_hold

    staff.require_start(APPLY_DAG)
    facts = lift_hold(ws, bn15, reason=reason, recorded_by=staff.name)
    return _back_to(back, facts["bn15"], plan, "lift")


@router.post("/review/{period}/reviews", dependencies=[CheckedForm])
def enter_review(
    staff: Reader,
    ws: InWorkspace,
    period: Month,
    bn15: _Account,
    decision: Annotated[Literal["keep", "handled_elsewhere"], Form()],
    reason: _Reason = "",
    until: _Day = "",
    plan: _Plan = "",
    back: _Back = "list",
) -> RedirectResponse:
    """Settle what the rules refer to a person about an account."""
    from include.person_records import record_review

    staff.require_start(APPLY_DAG)
    last = _read_day(until)
    if last is None:
        raise UsageError("a review needs its last day: a person looks at the account again after it")
    facts = record_review(ws, bn15, decision=decision, until=last, reason=reason, recorded_by=staff.name)
    return _back_to(back, facts["bn15"], plan, "review")


def _read_day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise UsageError("the last day is no day: write YYYY-MM-DD, for example 2022-12-31") from None


def _back_to(back: str, bn15: str, plan: str, recorded: Recorded) -> RedirectResponse:
    kind = "review" if recorded == "review" and back == "list" else None
    return go_to(f"accounts/{bn15}" if back == "card" else "records", plan=plan, kind=kind, recorded=recorded)
