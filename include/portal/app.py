"""The app as a whole: its routes, what every answer has in common, and how it says that something went wrong."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

from include.carm.errors import CarmError, DataError, Refused, Unavailable, UsageError
from include.portal import (
    accounts,
    accounts_reinstate,
    accounts_statements,
    certificates,
    dag_run,
    data_docs,
    month_page,
    months,
    outbox,
    quarantine,
    review,
    trends,
)
from include.portal.pages import HEADERS, TEMPLATE_FOLDER, render
from include.portal.staff import Reader
from include.workspace import Workspace

log = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[CarmError], int], ...] = (
    (UsageError, 400),
    (DataError, 404),
    (Refused, 409),
    (Unavailable, 503),
)
_TITLES = {
    400: "That cannot be asked",
    401: "Not logged in",
    403: "Not allowed",
    404: "Not found",
    405: "Not allowed here",
    409: "Not now",
    422: "That cannot be asked",
    503: "Not available",
}
ROUTERS = (
    months.router,
    month_page.router,
    certificates.router,
    dag_run.router,
    trends.router,
    data_docs.router,
    review.router,
    accounts.router,
    accounts_statements.router,
    accounts_reinstate.router,
    quarantine.router,
    outbox.router,
)
"""What the portal consists of, a module a room."""


def create_app(open_workspace: Callable[[], Workspace], secret: str, now: Callable[[], datetime]) -> FastAPI:
    """The portal over the workspace that ``open_workspace`` gives; ``secret`` signs the tokens of forms.

    ``now`` tells the moment, in UTC, from which pages count how long ago something was. The app lets nobody in before
    ``app.dependency_overrides[current_staff]`` says who asks.
    """
    # An address with a slash too many is none: the redirect would be sent before anybody asks who it is.
    app = FastAPI(title="CARM portal", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.open_workspace, app.state.secret, app.state.moment = open_workspace, secret, now
    for router in ROUTERS:
        app.include_router(router)
    app.add_api_route("/", show_months, include_in_schema=False)
    app.add_api_route("/openapi.json", describe, include_in_schema=False)
    app.add_api_route("/static/{name}", send_static)
    app.add_exception_handler(StarletteHTTPException, refuse)
    app.add_exception_handler(RequestValidationError, refuse_values)
    app.add_exception_handler(CarmError, tell_error)
    app.add_exception_handler(Exception, tell_fault)
    return app


def show_months(_: Reader) -> RedirectResponse:
    """The portal's first page."""
    return RedirectResponse("months", 307, HEADERS)


def describe(request: Request, _: Reader) -> JSONResponse:
    """What the portal can be asked, as OpenAPI."""
    return JSONResponse(request.app.openapi(), headers=HEADERS)


def send_static(_: Reader, name: Literal["portal.css", "portal.js"]) -> FileResponse:
    """The style sheet and the script of all pages."""
    return FileResponse(Path(TEMPLATE_FOLDER, name), headers={**HEADERS, "Cache-Control": "private, max-age=300"})


# What is said where something cannot be done


async def refuse(request: Request, error: Any) -> Response:
    """A refusal by a route, or by the app because there is no such page."""
    detail = "there is no such page" if error.status_code == 404 and error.detail == "Not Found" else error.detail
    return _say(request, error.status_code, str(detail), error.headers)


async def refuse_values(request: Request, error: Any) -> Response:
    """Values that no page of ours sends; what they were is not repeated."""
    fields = sorted({".".join(str(part) for part in fault["loc"][1:]) for fault in error.errors()})
    return _say(request, 422, f"not a valid value: {', '.join(fields)}")


async def tell_error(request: Request, error: Any) -> Response:
    """An error that people can act upon."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    return _say(request, status, str(error))


async def tell_fault(request: Request, error: Exception) -> Response:
    """A fault of the software: its traceback is in the server's log, by the server itself."""
    return _say(request, 500, "the portal failed: the api-server's log says where")


def _say(request: Request, status: int, text: str, headers: Any = None) -> Response:
    title = _TITLES.get(status, "Something went wrong")
    return render(request, "refusal.html", staff=None, status=status, headers=headers, title=title, text=text)
