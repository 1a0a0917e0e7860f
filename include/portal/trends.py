"""Trends: what the months say one after the other; each point leads to its month or its run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from include.portal import plots
from include.portal.airflow_runs import Run, Runs
from include.portal.figures import write_cents, write_count, write_span
from include.portal.months import MonthRuns
from include.portal.pages import InWorkspace, render
from include.portal.plots import Plot, Point
from include.portal.staff import Reader
from include.portal.trend_figures import MonthTrend, Trends, read_trends

router = APIRouter()

_MOST_MONTHS = 24


@router.get("/trends", response_class=HTMLResponse)
def show_trends(request: Request, staff: Reader, ws: InWorkspace, runs: MonthRuns) -> HTMLResponse:
    """The plots of the newest two years of months."""
    trends = read_trends(ws, _MOST_MONTHS)
    found = [plot for plot in [*_of_months(trends, runs), _run_times(runs)] if plot.points]
    return render(request, "trends.html", staff=staff, plots=found, size=plots, problem=runs.problem)


def _of_months(trends: Trends, runs: Runs) -> Iterator[Plot]:
    months, known = trends.months, {run.run_id: run for run in runs.runs}

    def plot(title: str, about: str, figure: Callable[[MonthTrend], int | None], write: Callable[[int], str]) -> Plot:
        return Plot(title, about, title, _points(months, figure, known), write)

    yield plot(
        "Registered clients", "registered on the portal by the month's end", lambda month: month.clients, write_count
    )
    yield plot("Closures", "accounts closed in the month", lambda month: month.closed, write_count)
    yield plot("Conversions", "program types corrected in the month", lambda month: month.converted, write_count)
    yield plot(
        "Quarantine rate",
        "rows of the ledger set apart, among all of the month",
        lambda month: month.quarantine_rate,
        write_rate,
    )
    yield plot("Statements", "drawn up for the month", lambda month: month.statements, write_count)
    yield plot(
        "Closing balances", "of all statements of the month together", lambda month: month.closing_cents, write_cents
    )
    if trends.horizon:
        newest = months[-1].period
        yield Plot(
            "Dormancy horizon",
            f"open accounts that reach four years if nothing more happens, as known in {newest}",
            "Accounts",
            [Point(name, accounts, f"months/{newest}") for name, accounts in trends.horizon.items()],
            write_count,
        )


def _points(
    months: Sequence[MonthTrend], figure: Callable[[MonthTrend], int | None], known: Mapping[str, Run]
) -> list[Point]:
    """Each leads to the run that closed its month; where Airflow does not remember that one, to the month."""
    points = []
    for month in months:
        if (value := figure(month)) is None:
            continue
        run = known.get(month.run_id or "")
        points.append(
            Point(month.period, value, run.page if run else f"months/{month.period}", is_airflow=run is not None)
        )
    return points


def _run_times(runs: Runs) -> Plot:
    """How long the newest run of each month took that ended well."""
    return Plot("Run times", "of the newest run of each month that ended well", "Took", [*_ended(runs)], write_seconds)


def _ended(runs: Runs) -> Iterable[Point]:
    for period, run in sorted(runs.newest_by_period().items())[-_MOST_MONTHS:]:
        if run.state == "success" and run.started_at and run.ended_at:
            seconds = int((run.ended_at - run.started_at).total_seconds())
            yield Point(period, seconds, run.page, is_airflow=True)


def write_rate(hundredths: int) -> str:
    """``117`` as ``1.17 %``."""
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def write_seconds(seconds: int) -> str:
    """As :func:`include.portal.figures.write_span` has it."""
    return write_span(timedelta(seconds=seconds))
