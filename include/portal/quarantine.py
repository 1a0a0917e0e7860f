"""Quarantine: which rows of the source were refused, by which rule, and reading a month again when they are mended."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

from include.carm.business_number import is_valid_bn15
from include.carm.period import Period
from include.portal.airflow_runs import MONTH_DAG
from include.portal.csv_file import send_csv
from include.portal.pages import HEADERS, CheckedForm, InWorkspace, OfMonth, render
from include.portal.quarantine_rows import (
    PAGE_ROWS,
    Filter,
    count_rows,
    explain_rule,
    find_feed,
    find_rule,
    is_masked,
    page_rows,
    read_row,
    stream_rows,
    tell_final,
)
from include.portal.staff import Reader, Staff
from include.portal.started_runs import StartedRun, start_run
from include.portal.unmasking import record_unmasking
from include.workspace import Workspace

router = APIRouter()

STATES = {"open": "warn", "released": "good", "judged_anew": ""}
"""The states of a refused row, each with its class of the style sheet."""
_WORD = r"^([a-z0-9_]{1,80})?$"
_PLAIN = (
    "row_id", "dataset", "row_key", "reason", "expectation", "bn15", "kind", "status", "posted_on",
    "replaces_published", "state", "released_in", "how",
)  # fmt: skip
_WHOLE = (*_PLAIN, "amount_cents", "row_json")


RowId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


def _filter(feed: str, reason: str, expectation: str, state: str) -> Filter:
    return Filter(feed or None, reason or None, expectation or None, state or None)


def read_filter(
    feed: Annotated[str, Query(pattern=_WORD)] = "",
    reason: Annotated[str, Query(pattern=_WORD)] = "",
    expectation: Annotated[str, Query(pattern=_WORD)] = "",
    state: Annotated[str, Query(pattern=_WORD)] = "",
) -> Filter:
    """Which rows the address asks for."""
    return _filter(feed, reason, expectation, state)


def read_form_filter(
    feed: Annotated[str, Form(pattern=_WORD)] = "",
    reason: Annotated[str, Form(pattern=_WORD)] = "",
    expectation: Annotated[str, Form(pattern=_WORD)] = "",
    state: Annotated[str, Form(pattern=_WORD)] = "",
) -> Filter:
    """Which rows the form asks for."""
    return _filter(feed, reason, expectation, state)


# Months


@router.get("/quarantine", response_class=HTMLResponse)
def list_months(request: Request, staff: Reader, ws: InWorkspace) -> HTMLResponse:
    """All months that have refused rows, the newest first, with counts by feed and reason."""
    return render(request, "quarantine.html", staff=staff, counts=_by_reason(count_rows(ws)))


def _by_reason(counted: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The counts of all rules of a month, a feed and a reason together, and how many of the rows are open."""
    rows: Counter[tuple[str, str, str]] = Counter()
    still_open: Counter[tuple[str, str, str]] = Counter()
    for row in counted:
        of = (row["period"], row["dataset"], row["reason"])
        rows[of] += row["row_count"]
        still_open[of] += row["row_count"] if row["state"] == "open" else 0
    return [
        {"period": of[0], "dataset": of[1], "reason": of[2], "rows": many, "open": still_open[of]}
        for of, many in rows.items()
    ]


@router.get("/quarantine/{period}", response_class=HTMLResponse)
def show_month(
    request: Request,
    staff: Reader,
    ws: InWorkspace,
    period: OfMonth,
    which: Annotated[Filter, Depends(read_filter)],
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    started: StartedRun = "",
) -> HTMLResponse:
    """A page of the rows that a month refused, and why; ``started`` names a run that was just asked for."""
    counted = count_rows(ws, period)
    found = sum(row["row_count"] for row in counted if _is_asked(row, which))
    return render(
        request,
        "quarantine_month.html",
        staff=staff,
        period=str(period),
        rules=_rules(counted),
        states=STATES,
        asked={"feed": which.dataset, "reason": which.reason, "expectation": which.expectation, "state": which.state},
        choices={
            "feed": sorted({row["dataset"] for row in counted}),
            "reason": sorted({row["reason"] for row in counted}),
            "expectation": sorted({row["expectation"] for row in counted}),
            "state": list(STATES),
        },
        found=found,
        refused=sum(row["row_count"] for row in counted),
        rows=page_rows(ws, period, which, page) if found else [],
        page=page,
        last_page=max(1, -(-found // PAGE_ROWS)),
        started=started,
        is_final=tell_final(ws, period),
        may_start=staff.may_start(MONTH_DAG),
    )


def _is_asked(row: Mapping[str, Any], which: Filter) -> bool:
    return all(value in (None, row[name]) for name, value in vars(which).items())


def _rules(counted: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rules that refused rows, by reason, with what each asks and why."""
    rows: Counter[tuple[str, str, str]] = Counter()
    for row in counted:
        rows[row["reason"], row["dataset"], row["expectation"]] += row["row_count"]
    return [
        {"reason": reason, "feed": feed, "expectation": name, "rows": many, **explain_rule(feed, name)}
        for (reason, feed, name), many in sorted(rows.items())
    ]


# Files


@router.get("/quarantine/{period}/rows.csv")
def export_rows(
    _: Reader, ws: InWorkspace, period: OfMonth, which: Annotated[Filter, Depends(read_filter)]
) -> StreamingResponse:
    """The rows as a file, without amounts and without what they hold."""
    count_rows(ws, period)  # A month that has none is refused before the file begins.
    return send_csv(f"quarantine-{period}.csv", _PLAIN, stream_rows(ws, period, which, whole=False))


@router.post("/quarantine/{period}/rows.csv", dependencies=[CheckedForm])
def export_whole_rows(
    staff: Reader, ws: InWorkspace, period: OfMonth, which: Annotated[Filter, Depends(read_form_filter)]
) -> StreamingResponse:
    """The same with amounts, and with all that a row holds, as JSON: names and addresses too."""
    count_rows(ws, period)
    record_unmasking(ws, staff, str(period), "quarantine: whole rows as CSV")
    return send_csv(f"quarantine-{period}-whole.csv", _WHOLE, stream_rows(ws, period, which, whole=True))


# One row


@router.get("/quarantine/{period}/rows/{row_id}", response_class=HTMLResponse)
def show_row(request: Request, staff: Reader, ws: InWorkspace, period: OfMonth, row_id: RowId) -> HTMLResponse:
    """A refused row, without amounts and without what names a person."""
    return _show_row(request, staff, ws, period, read_row(ws, period, row_id), is_unmasked=False)


@router.post("/quarantine/{period}/rows/{row_id}", dependencies=[CheckedForm], response_class=HTMLResponse)
def show_unmasked_row(request: Request, staff: Reader, ws: InWorkspace, period: OfMonth, row_id: RowId) -> HTMLResponse:
    """The whole row."""
    row = read_row(ws, period, row_id)
    record_unmasking(ws, staff, row_id, f"quarantined row of {period}")
    return _show_row(request, staff, ws, period, row, is_unmasked=True)


def _show_row(
    request: Request, staff: Staff, ws: Workspace, period: Period, row: Mapping[str, Any], *, is_unmasked: bool
) -> HTMLResponse:
    from include.quality.offending import offending_columns

    content: dict[str, Any] = json.loads(row["row_json"])
    rule = find_rule(row["dataset"], row["expectation"])
    offending = offending_columns(rule, find_feed(row["dataset"]), content) if rule else []
    return render(
        request,
        "quarantine_row.html",
        staff=staff,
        period=str(period),
        row=row,
        row_state_class=STATES[row["state"]],
        has_account=bool(row["bn15"]) and is_valid_bn15(row["bn15"]),
        fields=[
            {
                "column": column,
                "value": value,
                "is_masked": value is not None and is_masked(column) and not is_unmasked,
                "is_offending": column in offending,
            }
            for column, value in content.items()
        ],
        offending=offending,
        is_unmasked=is_unmasked,
        told=explain_rule(row["dataset"], row["expectation"]),
    )


# Again


@router.post("/quarantine/{period}/extract", dependencies=[CheckedForm])
async def extract_again(
    staff: Reader, period: OfMonth, effects: Annotated[Literal["shadow", "live"], Form()] = "shadow"
) -> RedirectResponse:
    """Start a run of the month, which reads it from the source again where its extract is not final."""
    run = await start_run(staff, MONTH_DAG, {"period": str(period), "effects": effects})
    return RedirectResponse(f"../{period}?started={run}", 303, HEADERS)
