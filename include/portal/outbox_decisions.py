"""What a person decides about messages: those of unknown fate, those that failed, and that it is time to send."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from include.portal.outbox_parts import KEY, MONTH, MessageKey, listed
from include.portal.pages import HEADERS, CheckedForm, InWorkspace, render
from include.portal.staff import Reader
from include.portal.started_runs import start_run

router = APIRouter()

DELIVER_DAG = "carm_deliver"
AT_ONCE = 200
"""How many messages of unknown fate stand on one page, and can be decided about at once."""

Reason = Annotated[str, Form(min_length=3, max_length=500)]
Keys = Annotated[list[Annotated[str, Form(pattern=f"^{KEY}$")]], Form(max_length=AT_ONCE)]


@router.get("/outbox/unknown", response_class=HTMLResponse)
def show_unknown(
    request: Request,
    staff: Reader,
    ws: InWorkspace,
    done: Annotated[str, Query(pattern=r"^[0-9]{0,9}$")] = "",
) -> HTMLResponse:
    """The messages that were handed over and not answered for; those that are decided about make room for the next."""
    from include.outbox import count_by_month, page_messages

    with ws.operations.connect() as connection:
        cells = count_by_month(connection, {"state": "unknown"})
        rows = page_messages(connection, cells, None, AT_ONCE)
    return render(
        request,
        "outbox_unknown.html",
        staff=staff,
        rows=[listed(row) for row in rows],
        found=sum(cell["messages"] for cell in cells),
        done=done,
        may_decide=staff.may_start(DELIVER_DAG),
    )


@router.post("/outbox/unknown/arrived", dependencies=[CheckedForm])
def take_for_sent(staff: Reader, ws: InWorkspace, reason: Reason, key: Keys) -> RedirectResponse:
    """Record of these messages that they did arrive: all of them or none."""
    from include.deliver import take_all_for_sent

    staff.require_start(DELIVER_DAG)
    taken = take_all_for_sent(ws, key, reason=reason, recorded_by=staff.name)
    return _see(f"../unknown?done={len(taken)}")


@router.post("/outbox/unknown/again", dependencies=[CheckedForm])
def plan_unknown_again(staff: Reader, ws: InWorkspace, reason: Reason, key: Keys) -> RedirectResponse:
    """Have a message of unknown fate sent again: one alone, for it may arrive twice."""
    from include.deliver import plan_again

    staff.require_start(DELIVER_DAG)
    if len(key) != 1:
        raise HTTPException(400, "a message that may arrive twice is sent again by itself alone: choose one message")
    plan_again(ws, key[0], reason=reason, recorded_by=staff.name)
    return _see("../unknown?done=1")


@router.post("/outbox/messages/{key}/arrived", dependencies=[CheckedForm])
def take_one_for_sent(staff: Reader, ws: InWorkspace, key: MessageKey, reason: Reason) -> RedirectResponse:
    """Record of one message that it did arrive."""
    from include.deliver import take_for_sent

    staff.require_start(DELIVER_DAG)
    take_for_sent(ws, key, reason=reason, recorded_by=staff.name)
    return _see(f"../{key}?done=1")


@router.post("/outbox/messages/{key}/again", dependencies=[CheckedForm])
def plan_one_again(staff: Reader, ws: InWorkspace, key: MessageKey, reason: Reason) -> RedirectResponse:
    """Plan one message again: one that failed, is of unknown fate, or was suppressed."""
    from include.deliver import plan_again

    staff.require_start(DELIVER_DAG)
    plan_again(ws, key, reason=reason, recorded_by=staff.name)
    return _see(f"../{key}?done=1")


@router.post("/outbox/failed/again", dependencies=[CheckedForm])
def plan_failed_again(
    staff: Reader, ws: InWorkspace, reason: Reason, period: Annotated[str, Form(pattern=f"^{MONTH}$")]
) -> RedirectResponse:
    """Plan all messages of a month again that failed."""
    from include import deliver

    staff.require_start(DELIVER_DAG)
    planned = deliver.plan_failed_again(ws, reason=reason, recorded_by=staff.name, period=period)
    return _see(f"../messages?state=failed&period={period}&done={len(planned)}")


@router.post("/outbox/send", dependencies=[CheckedForm])
async def send_now(staff: Reader) -> RedirectResponse:
    """Start a run that sends what is due, in the name of who asks."""
    run = await start_run(staff, DELIVER_DAG, {})
    return _see(f"../outbox?started={run}")


def _see(address: str) -> RedirectResponse:
    return RedirectResponse(address, 303, HEADERS)
