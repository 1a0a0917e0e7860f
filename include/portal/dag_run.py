"""From a run in Airflow to its page here: the tab that Airflow shows beside each run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import select

from include.portal.airflow_runs import MONTH_DAG, Run, find_run
from include.portal.pages import BN15_PATTERN, HASH_PATTERN, HEADERS, MONTH_PATTERN, InWorkspace, render
from include.portal.staff import Reader
from include.workspace import Workspace

router = APIRouter()


async def asked_run(
    staff: Reader,
    dag_id: Annotated[str, Query(pattern=r"^[A-Za-z0-9_.~:+-]+$", max_length=250)],
    run_id: Annotated[str, Query(min_length=1, max_length=250)],
) -> Run:
    """The run that the address names, as Airflow shows it to this person."""
    # Neither names a run, and as a part of a path they would ask Airflow for something else.
    is_name = "/" not in run_id and {"."} not in (set(run_id), set(dag_id))
    run = await find_run(staff, dag_id, run_id) if is_name else None
    if run is None:
        raise HTTPException(404, "Airflow knows no such run, or does not show it to you")
    return run


@router.get("/dag-run", response_class=HTMLResponse)
def lead_from_run(
    request: Request, staff: Reader, ws: InWorkspace, run: Annotated[Run, Depends(asked_run)]
) -> Response:
    """Lead to the page of what the run is about; a run that has none gets a page that says so."""
    page = page_of_run(ws, run)
    if page is None:
        return render(request, "dag_run.html", staff=staff, dag_id=run.dag_id)
    return RedirectResponse(page, 303, HEADERS)


def page_of_run(ws: Workspace, run: Run) -> str | None:
    """The address below the portal's root that a run leads to, or None where it is about nothing that has a page."""
    find = _PAGES.get(run.dag_id)
    return find(ws, run) if find else None


def _month(ws: Workspace, run: Run) -> str | None:
    """The plan of the month; of a run that drew up none the month itself, where the failure shows."""
    from include.operations_plan_tables import PLANS

    period = _given(run.period, MONTH_PATTERN)
    if period is None:
        return None
    with ws.operations.connect() as connection:
        plans = connection.execute(select(PLANS).where(PLANS.c.period == period)).all()
    if not plans or run.state != "success":
        return f"months/{period}"
    # A run that came to the plan of an earlier one left that plan as it was.
    its_own = [plan.plan_hash for plan in plans if plan.run_id == run.run_id]
    alike = its_own or [plan.plan_hash for plan in plans if plan.effects == run.effects]
    return f"review/{period}?plan={alike[0]}" if len(alike) == 1 else f"review/{period}"


def _plan(ws: Workspace, run: Run) -> str | None:
    from include.operations_plan_tables import PLANS

    plan_hash = _given(run.conf.get("plan_hash"), HASH_PATTERN)
    if plan_hash is None:
        return None
    with ws.operations.connect() as connection:
        period = connection.execute(select(PLANS.c.period).where(PLANS.c.plan_hash == plan_hash)).scalar()
    return f"review/{period}?plan={plan_hash}" if period else None


def _account(ws: Workspace, run: Run) -> str | None:
    bn15 = _given(run.conf.get("bn15"), BN15_PATTERN)
    return f"accounts/{bn15}" if bn15 else None


def _month_page(ws: Workspace, run: Run) -> str | None:
    period = _given(run.period, MONTH_PATTERN)
    return f"months/{period}" if period else None


def _messages(ws: Workspace, run: Run) -> str:
    period = _given(run.period, MONTH_PATTERN)
    return f"outbox?period={period}" if period else "outbox"


_PAGES: Mapping[str, Callable[[Workspace, Run], str | None]] = {
    MONTH_DAG: _month,
    "carm_apply_plan": _plan,
    "carm_reinstate_account": _account,
    "carm_restate": _account,
    "carm_unlock_month": _month_page,
    "carm_webinar_notices": _messages,
    "carm_deliver": _messages,
}


def _given(value: object, pattern: str) -> str | None:
    """What a run was started with, where it is what the Dag takes: anybody may write anything into a conf."""
    return value if isinstance(value, str) and re.fullmatch(pattern, value) else None
