"""Outbox: what waits, what was sent, what became of it, and whom nothing reaches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from include.portal import outbox_decisions, outbox_message
from include.portal.outbox_parts import KEY, MONTH, PAGE_ROWS, STATES, listed, state_class
from include.portal.pages import InWorkspace, render
from include.portal.staff import Reader
from include.portal.started_runs import StartedRun

router = APIRouter()

_KIND = r"^([a-z_]{1,40})?$"
_PLACE = rf"^({MONTH}\.[a-z_]{{1,40}}\.[a-z_]{{1,20}}\.{KEY})?$"

AskedMonth = Annotated[str, Query(pattern=rf"^({MONTH})?$")]


@router.get("/outbox", response_class=HTMLResponse)
def show_outbox(
    request: Request,
    staff: Reader,
    ws: InWorkspace,
    period: AskedMonth = "",
    started: StartedRun = "",
) -> HTMLResponse:
    """How many messages there are, by month, kind and state; ``started`` names a run that was just asked to send."""
    from include.outbox import count_by_month

    with ws.operations.connect() as connection:
        counted = count_by_month(connection)
    shown = [row for row in counted if period in ("", row["period"])]
    return render(
        request,
        "outbox.html",
        staff=staff,
        period=period,
        started=started,
        months=list(dict.fromkeys(row["period"] for row in counted)),
        months_table=_cross(shown, "period"),
        kinds_table=_cross(shown, "kind"),
        unknown=sum(row["messages"] for row in counted if row["state"] == "unknown"),
        waiting=sum(row["messages"] for row in counted if row["state"] == "planned"),
        state_class=state_class,
    )


def _cross(counted: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """The messages by ``name`` and state, as a table has them; only states that some message has."""
    cells: Counter[tuple[str, str]] = Counter()
    for row in counted:
        cells[row[name], row["state"]] += row["messages"]
    states = [state for state in STATES if any(own == state for _, own in cells)]
    names = dict.fromkeys(row[name] for row in counted)
    rows = [{"name": one, "cells": [(state, cells[one, state]) for state in states]} for one in names]
    return {"states": states, "rows": rows}


@router.get("/outbox/messages", response_class=HTMLResponse)
def list_messages(
    request: Request,
    staff: Reader,
    ws: InWorkspace,
    state: Annotated[str, Query(pattern=_KIND)] = "",
    kind: Annotated[str, Query(pattern=_KIND)] = "",
    period: AskedMonth = "",
    after: Annotated[str, Query(pattern=_PLACE)] = "",
    done: Annotated[str, Query(pattern=r"^[0-9]{0,9}$")] = "",
) -> HTMLResponse:
    """A page of messages, the newest month first; ``after`` is the place of the last one on the page before."""
    from include.outbox import count_by_month, page_messages

    which = {name: value for name, value in (("period", period), ("kind", kind), ("state", state)) if value}
    with ws.operations.connect() as connection:
        counted = count_by_month(connection)
        cells = [row for row in counted if all(row[name] == value for name, value in which.items())]
        rows = page_messages(connection, cells, after.split(".") if after else None, PAGE_ROWS + 1)
    return render(
        request,
        "outbox_messages.html",
        staff=staff,
        asked={"state": state, "kind": kind, "period": period},
        choices={
            "state": STATES,
            "kind": sorted({row["kind"] for row in counted}),
            "period": list(dict.fromkeys(row["period"] for row in counted)),
        },
        found=sum(cell["messages"] for cell in cells),
        rows=[listed(row) for row in rows[:PAGE_ROWS]],
        next_place=_place(rows[PAGE_ROWS - 1]) if len(rows) > PAGE_ROWS else "",
        is_first=not after,
        done=done,
    )


def _place(row: Mapping[str, Any]) -> str:
    from include.outbox import PLACE

    return ".".join(row[name] for name in PLACE)


@router.get("/outbox/unreached", response_class=HTMLResponse)
def list_unreached(request: Request, staff: Reader, ws: InWorkspace, period: AskedMonth = "") -> HTMLResponse:
    """The notices of a month (default: the newest) that reach nobody, the first thousand of them, and why."""
    from include import tellings

    with ws.operations.connect() as connection:
        months = tellings.list_months(connection)
        shown = period or (months[0] if months else "")
        rows = tellings.list_unreached(connection, shown, most=_MOST_UNREACHED) if shown else []
        counted = tellings.count_unreached_by_reason(connection, shown) if shown else {}
    counts = [(kind, reason, many) for kind, reasons in counted.items() for reason, many in reasons.items()]
    return render(
        request,
        "outbox_unreached.html",
        staff=staff,
        months=months,
        period=shown,
        counts=[{"kind": kind, "reason": reason, "notices": many} for kind, reason, many in counts],
        found=sum(many for _, _, many in counts),
        rows=rows,
    )


_MOST_UNREACHED = 1_000

# Before the page of one message, which would take "unknown" for a key.
for part in (outbox_decisions, outbox_message):
    router.include_router(part.router)
