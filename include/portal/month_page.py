"""One month: what it left behind, how complete its window is, and the button that runs it again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from include.carm.errors import DataError
from include.carm.period import Period
from include.portal.airflow_runs import MONTH_DAG
from include.portal.month_facts import coverage_years, shadow_differences
from include.portal.month_records import read_records
from include.portal.months import MonthRuns, row_of
from include.portal.pages import HEADERS, CheckedForm, InWorkspace, OfMonth, render
from include.portal.staff import Reader
from include.portal.stages import STAGES
from include.portal.started_runs import post_run
from include.workspace import Workspace

router = APIRouter()


@router.get("/months/{period}", response_class=HTMLResponse)
def show_month(request: Request, staff: Reader, ws: InWorkspace, month: OfMonth, runs: MonthRuns) -> HTMLResponse:
    """A month in detail. 404 for one that neither the record nor Airflow knows."""
    from include.coverage import coverage_grid
    from include.month import read_summary
    from include.parking import REASONS, retry
    from include.status import gap_sentences

    period = str(month)
    record, run = read_records(ws, [period])[period], runs.newest_by_period().get(period)
    if not record.rows and run is None:
        raise DataError(f"{period} was not run: start {MONTH_DAG} with it first")
    grid = coverage_grid(ws, month) if record.rows else []
    summary, beside = (read_summary(ws, month, area) for area in ("lake", "shadow"))
    return render(
        request,
        "month.html",
        staff=staff,
        period=period,
        row=row_of(record, run, runs, request.app.state.moment()),
        runs=[run for run in runs.runs if run.period == period],
        problem=runs.problem,
        stages=STAGES,
        summary=summary,
        parked=(summary or {}).get("parked", {}),
        parking_reasons=REASONS,
        parking_retry=retry(month, is_issued=record.is_issued),
        unreachable=(summary or {}).get("unreachable_notices", {}),
        coverage=coverage_years(grid),
        gaps=list(gap_sentences(grid)),
        beside=beside,
        differences=shadow_differences(summary, beside) if summary and beside else [],
        may_run=staff.may_start(MONTH_DAG),
        **_tables_now(ws, month),
    )


def _tables_now(ws: Workspace, month: Period) -> dict[str, Any]:
    """What the pipeline's own tables say of the month now, whatever its summary said when it was closed."""
    from include.month import count_outbox
    from include.notice_intents import count_owed_of_acts, still_owed

    period = str(month)
    with ws.operations.connect() as connection:
        return {
            "owed": still_owed(connection, period),
            "owed_of_acts": count_owed_of_acts(connection, period),
            "seals": [seal for seal in ws.lake().seals(connection=connection) if seal.period == period],
            "outbox": count_outbox(ws, month),
        }


@router.post("/months/{period}/run", dependencies=[CheckedForm])
async def run_month(
    staff: Reader, month: OfMonth, effects: Annotated[Literal["shadow", "live"], Form()] = "shadow"
) -> RedirectResponse:
    """Start the month again, in the name of whoever asks; the run shows on the month's page."""
    period = str(month)
    conf = {"period": period, "effects": effects}
    status, answer = await post_run(staff, MONTH_DAG, conf, partition_key=period)
    if status != 200:
        detail = answer.get("detail") if isinstance(answer, dict) else None
        said = detail if isinstance(detail, str) else "it gave no reason"
        raise HTTPException(403 if status == 403 else 409, f"Airflow did not start {MONTH_DAG} ({status}): {said}")
    return RedirectResponse(f"../{period}", 303, HEADERS)
