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

MONTHS_COUNTED = 6
_FEW = ("unknown", "sending", "failed")

AskedMonth = Annotated[str, Query(pattern=rf"^({MONTH})?$")]


@router.get("/outbox", response_class=HTMLResponse)
def show_outbox(
    request: Request,
    staff: Reader,
    ws: InWorkspace,
    period: AskedMonth = "",
    started: StartedRun = "",
) -> HTMLResponse:
    """How many messages there are, by month, kind and state; ``started`` names a run that was just asked to send.

    Of a month that is asked for, else of the newest ones; what waits or is unknown of all.
    """
    from include.outbox import count_by_month, count_by_state, list_months

    with ws.operations.connect() as connection:
        months = list_months(connection)
        which = {"period": period} if period else {}
        shown = count_by_month(connection, which, since="" if period else _first_counted(months))
        in_state = count_by_state(connection, ("unknown", "planned"))
    return render(
        request,
        "outbox.html",
        staff=staff,
        period=period,
        started=started,
        months=months,
        counted=len({row["period"] for row in shown}),
        months_table=_cross(shown, "period"),
        kinds_table=_cross(shown, "kind"),
        unknown=in_state.get("unknown", 0),
        waiting=in_state.get("planned", 0),
        state_class=state_class,
    )


def _first_counted(months: Sequence[str]) -> str:
    """From which month on messages are counted where nobody asks for one: to count all of history takes seconds."""
    return months[MONTHS_COUNTED - 1] if len(months) > MONTHS_COUNTED else ""


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
    """A page of messages, the newest month first; ``after`` is the place of the last one on the page before.

    Of a month or of one of the states that few are in all are counted and listed, else those of the newest months.
    """
    from include.notice_page import KINDS
    from include.outbox import count_by_month, list_months, page_messages

    which = {name: value for name, value in (("period", period), ("kind", kind), ("state", state)) if value}
    with ws.operations.connect() as connection:
        months = list_months(connection)
        since = "" if period or state in _FEW else _first_counted(months)
        cells = count_by_month(connection, which, since=since)
        rows = page_messages(connection, cells, after.split(".") if after else None, PAGE_ROWS + 1)
    return render(
        request,
        "outbox_messages.html",
        staff=staff,
        asked={"state": state, "kind": kind, "period": period},
        choices={
            "state": STATES,
            "kind": sorted(KINDS),
            "period": months,
        },
        since=since,
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
