"""The unsubscribe page: a small ASGI app of its own, that needs the tables of the pipeline and nothing of Airflow.

``docs/adr/0056-unsubscribing-is-an-app-of-its-own.md`` tells why. Only a POST acts (RFC 8058), because scanners of mail
follow every link: a mail program sends ``List-Unsubscribe=One-Click``, the button of the page ``answer=unsubscribe``.
What is answered depends on the token alone, and not on whether anybody is known by it. ``carm-unsubscribe``
(``include/cli/serving.py``) serves it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import date
from email.parser import BytesParser
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from include.carm.contacts import Contacts
from include.carm.errors import CarmError, UsageError
from include.database import write_transaction
from include.unsubscribe import read_token, unsubscribe
from include.unsubscribe_page import Pages

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

log = logging.getLogger(__name__)

MOST_BODY_BYTES = 4_096
SECONDS_FOR_BODY = 10.0
SECONDS_TO_RETRY = 300

_METHODS = ("GET", "HEAD", "POST")
_PAGE_OF_STATUS = {404: "missing", 500: "unavailable", 503: "unavailable"}
# Which field, with which value, says who sent the POST.
_SOURCES = {("List-Unsubscribe", "One-Click"): "one_click", ("answer", "unsubscribe"): "page"}


def create_app(engine: Engine, key: bytes, today: Callable[[], date]) -> Starlette:
    """The app over the tables behind ``engine``; ``key`` is the one that hashes recipients, ``today`` says the day."""
    pages = Pages.render(Contacts.load())

    def answer(status: int, name: str, headers: Mapping[str, str] | None = None) -> Response:
        return HTMLResponse(pages.html[name], status, {**_headers(pages), **(headers or {})})

    async def serve(request: Request) -> Response:
        try:
            recipient = read_token(request.path_params["token"], key)
        except UsageError:
            return answer(404, "missing")
        if request.method != "POST":
            return answer(200, "ask")
        source = _source_of(request.headers.get("content-type", ""), await _read_body(request))
        if source is None:
            return answer(400, "refused")
        try:
            await run_in_threadpool(_record, engine, recipient, today(), source)
        except CarmError as error:
            log.error("an unsubscription was not recorded: %s", error)
            return answer(503, "unavailable", {"Retry-After": str(SECONDS_TO_RETRY)})
        return answer(200, "done")

    async def explain(_: Request, error: Exception) -> Response:
        status, headers = 500, {}
        if isinstance(error, HTTPException):
            status, headers = error.status_code, dict(error.headers or {})
        if status == 405:
            headers["Allow"] = ", ".join(_METHODS)
        return answer(status, _PAGE_OF_STATUS.get(status, "refused"), headers)

    app = Starlette(
        routes=[Route("/u/{token}", serve, methods=_METHODS)],
        exception_handlers={HTTPException: explain, Exception: explain},
    )
    # It would build an address out of what the caller says that this host is called.
    app.router.redirect_slashes = False
    return app


def _record(engine: Engine, recipient: str, on: date, source: str) -> None:
    with write_transaction(engine) as connection:
        unsubscribe(connection, recipient, on=on, source=source)


def _headers(pages: Pages) -> dict[str, str]:
    policy = (
        f"default-src 'none'; style-src {pages.style_source}; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Content-Language": "en, fr",
        "Cache-Control": "no-store",
        # The address of the page is its secret: it goes to nobody else.
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "X-Robots-Tag": "noindex, nofollow",
    }


async def _read_body(request: Request) -> bytes:
    """The body, which has room for an answer and for nothing else; raises ``HTTPException`` 408 and 413."""
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS_FOR_BODY):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BODY_BYTES:
                    raise HTTPException(413)
    except (TimeoutError, ClientDisconnect):
        raise HTTPException(408) from None
    return bytes(body)


def _source_of(content_type: str, body: bytes) -> str | None:
    """Who sent the POST, one_click or page; None where the body asks for nothing.

    RFC 8058 lets a mail program send its field as a part of ``multipart/form-data`` or URL-encoded.
    """
    if content_type.lower().startswith("multipart/form-data"):
        head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
        message = BytesParser().parsebytes(head + body)
        parts = message.get_payload() if message.is_multipart() else []
        fields = [
            (part.get_param("name", header="content-disposition"), content)
            for part in parts
            # A part that is made of parts itself has no text.
            if not isinstance(part, str) and isinstance(content := part.get_payload(), str)
        ]
    else:
        try:
            fields = list(parse_qsl(body.decode("ascii").strip(), max_num_fields=10))
        except ValueError:
            return None
    return next((_SOURCES[field] for field in fields if field in _SOURCES), None)
