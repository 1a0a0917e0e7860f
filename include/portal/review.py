"""Review: the plans of all months, and one plan with all that a person must see before it is approved."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from include.carm.errors import DataError
from include.portal import review_accounts, review_approval, review_card, review_records
from include.portal.airflow_runs import MONTH_DAG
from include.portal.pages import InWorkspace, render
from include.portal.review_approval import AskedQuestions, tell_approval
from include.portal.review_plans import (
    LIMITS,
    SHORT_HASH,
    STATE_CLASSES,
    MonthPlan,
    PageNumber,
    plan_before,
    show,
    tell_breaker,
    tell_margin,
)
from include.portal.staff import Reader
from include.workspace import Workspace

router = APIRouter()

Difference = Literal["entered", "left", "changed"]
DIFFERENCES: tuple[Difference, ...] = ("entered", "left", "changed")


@router.get("/review", response_class=HTMLResponse)
def list_plans(request: Request, staff: Reader, ws: InWorkspace) -> HTMLResponse:
    """All plans, the newest month first."""
    from include import plans

    found = plans.list_plans(ws)
    return render(
        request,
        "review.html",
        staff=staff,
        plans=[{**plan, "breaker": tell_breaker(plan["margins"]), "page": _run_page(plan)} for plan in found],
        state_classes=STATE_CLASSES,
        short=SHORT_HASH,
    )


@router.get("/review/{period}", response_class=HTMLResponse)
def show_plan(
    request: Request,
    staff: Reader,
    ws: InWorkspace,
    plan: MonthPlan,
    questions: AskedQuestions,
    asked: Literal["yes"] | None = None,
) -> HTMLResponse:
    """One plan; ``asked`` says that its approval has just been asked for."""
    from include.plans import told_of_plan

    with ws.operations.connect() as connection:
        told = told_of_plan(connection, plan)
    return show(
        request,
        "review_plan.html",
        staff,
        plan,
        section="",
        told={**told, "answers": [_answer(row) for row in told["answers"]]},
        margins=[
            {**margin, "words": LIMITS[margin["limit"]], "told": tell_margin(margin)} for margin in plan["margins"]
        ],
        breaker=tell_breaker(plan["margins"]),
        strata=_strata(plan),
        others=_other_plans(ws, plan),
        difference=_difference(ws, plan),
        approval=tell_approval(ws, staff, plan, questions),
        run_page=_run_page(plan),
        has_just_asked=asked is not None,
    )


@router.get("/review/{period}/difference", response_class=HTMLResponse)
def show_difference(
    request: Request,
    staff: Reader,
    ws: InWorkspace,
    plan: MonthPlan,
    what: Difference = "entered",
    page: PageNumber = 1,
) -> HTMLResponse:
    """Whose change entered the plan, left it or is another one, compared with the plan of the month before."""
    from include.plan_accounts import PAGE_ROWS

    difference = _difference(ws, plan, what, page)
    found = difference["totals"][what] if difference else 0
    return show(
        request,
        "review_difference.html",
        staff,
        plan,
        section="difference",
        difference=difference,
        what=what,
        found=found,
        page=page,
        last_page=max(1, -(-found // PAGE_ROWS)),
    )


def _run_page(plan: Mapping[str, Any]) -> str:
    """The run that made the plan, below the address of Airflow."""
    return f"dags/{MONTH_DAG}/runs/{quote(plan['run_id'], safe='')}"


def _margin(margin: Mapping[str, Any]) -> dict[str, Any]:
    return {**margin, "words": LIMITS[margin["limit"]], "told": tell_margin(margin)}


def _answer(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "decided_at": datetime.fromisoformat(row["decided_at"])}


def _strata(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The accounts by stratum and action, as a table has them."""
    actions = sorted({action for values in plan["strata"].values() for of in values.values() for action in of})
    rows = [
        {"column": column, "value": value, "cells": [of.get(action, 0) for action in actions]}
        for column, values in sorted(plan["strata"].items())
        for value, of in sorted(values.items())
    ]
    return {"actions": actions, "rows": rows}


def _other_plans(ws: Workspace, plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The month's plans beside this one."""
    from include import plans
    from include.carm.period import Period

    found = plans.list_plans(ws, Period.parse(plan["period"]))
    return [other for other in found if other["plan_hash"] != plan["plan_hash"]]


def _difference(
    ws: Workspace, plan: Mapping[str, Any], what: Difference | None = None, page: int = 1
) -> dict[str, Any] | None:
    """How the plan differs from the one of the month before, with a page of ``what``; None where there is none.

    ``problem`` says why it cannot be told.
    """
    from include.plan_accounts import compare_plans

    before = plan_before(ws, plan)
    if before is None:
        return None
    try:
        found = compare_plans(ws, before, plan, what, page)
    except DataError as error:
        return {"before": before, "problem": str(error), "totals": dict.fromkeys(DIFFERENCES, 0)}
    totals = {difference: found.total(difference) for difference in DIFFERENCES}
    return {"before": before, "problem": None, "totals": totals, "counts": found.counts, "rows": found.rows}


for part in (review_approval, review_accounts, review_card, review_records):
    router.include_router(part.router)
