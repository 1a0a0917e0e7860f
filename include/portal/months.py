"""Months: how far each has come, and where to look further."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from include.portal.airflow_runs import Runs, list_runs
from include.portal.pages import InWorkspace, render
from include.portal.staff import Reader

router = APIRouter()


async def month_runs(staff: Reader) -> Runs:
    """The runs of ``carm_month`` that Airflow remembers."""
    return await list_runs(staff)


@router.get("/months", response_class=HTMLResponse)
def show_months(
    request: Request, staff: Reader, ws: InWorkspace, runs: Annotated[Runs, Depends(month_runs)]
) -> HTMLResponse:
    """All months, the newest first."""
    from include.status import status

    facts = status(ws)
    return render(
        request, "months.html", staff=staff, months=facts["months"][::-1], runs=runs.newest_by_period(), facts=facts
    )
