"""Months: how far each has come, and where to look further."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from include.portal.airflow_runs import Run, Runs, list_month_runs
from include.portal.month_records import MonthRecord, read_records, run_periods
from include.portal.pages import MONTH_PATTERN, InWorkspace, render
from include.portal.staff import Reader
from include.portal.stages import STAGES, Cell, cells_of, stage_of

router = APIRouter()

MONTHS_A_PAGE = 24

_TONES = {"success": "good", "failed": "bad", "running": "warn", "queued": "warn"}


@dataclass(frozen=True)
class LastRun:
    """The newest run of a month, as a page shows it; ``beside`` says that it writes beside the record, not on it."""

    run: Run
    tone: str
    age: timedelta | None
    since: datetime | None
    stages: tuple[str, ...]
    beside: bool


@dataclass(frozen=True)
class Row:
    """A month of the grid; ``run`` is None where Airflow remembers none."""

    record: MonthRecord
    cells: Mapping[str, Cell]
    run: LastRun | None


async def month_runs(staff: Reader) -> Runs:
    """The runs of ``carm_month`` that Airflow remembers."""
    return await list_month_runs(staff)


MonthRuns = Annotated[Runs, Depends(month_runs)]


@router.get("/months", response_class=HTMLResponse)
def show_months(
    request: Request,
    staff: Reader,
    ws: InWorkspace,
    runs: MonthRuns,
    before: Annotated[str | None, Query(pattern=MONTH_PATTERN)] = None,
) -> HTMLResponse:
    """A page of months, the newest first; ``before`` a month, where one is given."""
    newest = runs.newest_by_period()
    with ws.operations.connect() as connection:
        known = sorted({*run_periods(connection), *newest}, reverse=True)
    asked = [period for period in known if not before or period < before]
    shown = asked[:MONTHS_A_PAGE]
    records = read_records(ws, shown)
    now = request.app.state.moment()
    return render(
        request,
        "months.html",
        staff=staff,
        stages=STAGES,
        rows=[row_of(records[period], newest.get(period), runs, now) for period in shown],
        before=before,
        older=shown[-1] if len(asked) > len(shown) else None,
        problem=runs.problem,
    )


def row_of(record: MonthRecord, run: Run | None, runs: Runs, now: datetime) -> Row:
    """The row of a month, from its record and its newest run."""
    tasks = runs.tasks.get(run.run_id, {}) if run else {}
    last = last_run(record, run, tasks, now) if run else None
    # What a run computes beside the record changes nothing of what the record says.
    return Row(record, cells_of(record, {} if last and last.beside else tasks), last)


def last_run(record: MonthRecord, run: Run, tasks: Mapping[str, str], now: datetime) -> LastRun:
    """The run as a page shows it, with how long ago it ended, or how long it has been working."""
    since = run.started_at if run.is_running else run.ended_at
    return LastRun(
        run=run,
        tone=_TONES.get(run.state, ""),
        age=now - since if since else None,
        since=since,
        stages=tuple(stage for stage in STAGES if stage in {stage_of(task) for task in tasks if task != "watcher"}),
        beside=record.is_issued and run.is_shadow,
    )
