"""One message: what is known of it, what became of it, and, for those who may see it, what it says and to whom."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import select

from include.portal.outbox_parts import MEANINGS, MessageKey, listed
from include.portal.pages import DOCUMENT_HEADERS, CheckedForm, InWorkspace, render
from include.portal.staff import Reader, Staff
from include.portal.unmasking import record_unmasking
from include.workspace import Workspace

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.outbox import Parts

router = APIRouter()


@router.get("/outbox/messages/{key}", response_class=HTMLResponse)
def show_message(request: Request, staff: Reader, ws: InWorkspace, key: MessageKey, done: str = "") -> HTMLResponse:
    """A message without its address and its text; ``done`` says that somebody just decided about it."""
    return _show(request, staff, ws, _require_message(ws, key), None, has_just_decided=bool(done))


@router.post("/outbox/messages/{key}", dependencies=[CheckedForm], response_class=HTMLResponse)
def show_unmasked_message(request: Request, staff: Reader, ws: InWorkspace, key: MessageKey) -> HTMLResponse:
    """The same with its address, its text and its headers."""
    from include.outbox import read_parts

    message = _require_message(ws, key)
    parts = read_parts(ws, message)
    record_unmasking(ws, staff, key, "message: address, text and headers")
    return _show(request, staff, ws, message, _content(message, parts))


@router.post("/outbox/messages/{key}/html", dependencies=[CheckedForm])
def show_html(staff: Reader, ws: InWorkspace, key: MessageKey) -> HTMLResponse:
    """The HTML of a message as its reader sees it, for the frame of its page."""
    from include.outbox import read_parts

    html = read_parts(ws, _require_message(ws, key)).html.decode()
    record_unmasking(ws, staff, key, "message: HTML")
    return HTMLResponse(html, headers=DOCUMENT_HEADERS)


def _require_message(ws: Workspace, key: str) -> dict[str, Any]:
    from include.carm.errors import UsageError
    from include.outbox import find_message

    with ws.operations.connect() as connection:
        try:
            return find_message(connection, key)
        except UsageError:
            raise HTTPException(404, f"the outbox has no message {key}") from None


def _show(
    request: Request,
    staff: Staff,
    ws: Workspace,
    message: Mapping[str, Any],
    content: Mapping[str, Any] | None,
    *,
    has_just_decided: bool = False,
) -> HTMLResponse:
    with ws.operations.connect() as connection:
        history, tells = _history(connection, message["message_key"]), _tells(connection, message["message_key"])
    return render(
        request,
        "outbox_message.html",
        staff=staff,
        message=listed(message),
        meaning=MEANINGS[message["state"]],
        content=content,
        history=history,
        tells=tells,
        may_decide=staff.may_start("carm_deliver"),
        has_just_decided=has_just_decided,
    )


def _content(message: Mapping[str, Any], parts: Parts) -> dict[str, Any]:
    """What a message says; ``headers`` of the very mail that was handed over, None where none was."""
    from include.mail import handed_over

    given = handed_over(message, parts)
    return {
        "address": message["address"],
        "headers": given[0].partition(b"\r\n\r\n")[0].decode().replace("\r\n", "\n") if given else None,
        "is_proved": bool(given and given[1]),
        "text": parts.text.decode(),
        "calendars": [calendar.decode().replace("\r\n", "\n") for calendar in parts.calendars],
    }


def _history(connection: Connection, key: str) -> list[dict[str, Any]]:
    """What the audit chain tells of a message, the newest first."""
    from include.operations_plan_tables import AUDIT_CHAIN

    link = AUDIT_CHAIN.c
    query = select(link.link_no, link.event, link.facts).where(link.subject == key).order_by(link.link_no.desc())
    return [{**row, "facts": json.loads(row["facts"])} for row in connection.execute(query).mappings()]


def _tells(connection: Connection, key: str) -> list[dict[str, Any]]:
    """What a digest tells in the place of messages of their own."""
    from include.operations_notice_tables import DIGEST_TELLINGS

    line = DIGEST_TELLINGS.c
    query = select(line.kind, line.about, line.version).where(line.message_key == key)
    return [dict(row) for row in connection.execute(query.order_by(line.kind, line.about)).mappings()]
