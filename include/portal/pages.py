"""How a page is made: its frame, its links, its headers, and the token that every form carries.

Links are relative (``up`` leads from a page to the portal's root), so that a prefix that a proxy adds never matters.
Nothing of a person stands in an address. Pages work without script; ``portal.js`` only makes some handier.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Form, HTTPException, Request
from fastapi.responses import HTMLResponse
from itsdangerous import URLSafeSerializer
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from include.portal.figures import FILTERS
from include.portal.staff import Reader, Staff
from include.workspace import Workspace

TEMPLATE_FOLDER = Path(__file__).parents[1] / "templates" / "portal"

NAVIGATION = (
    ("months", "Months"),
    ("review", "Review"),
    ("accounts", "Accounts"),
    ("quarantine", "Quarantine"),
    ("outbox", "Outbox"),
    ("trends", "Trends"),
    ("data-docs/", "Data Docs"),
)
"""Each page's address below the portal's root, and its name."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # Without an origin the check of a form's origin would see nothing.
    "Referrer-Policy": "same-origin",
}
"""What every answer carries. No style and no script stands in a page itself."""

DOCUMENT_HEADERS: Mapping[str, str] = {
    **HEADERS,
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; sandbox; "
    "base-uri 'none'; frame-ancestors 'self'",
}
"""For a document that is shown as it was written: it runs nothing, sends nothing, and is of no origin."""


@cache
def environment() -> Environment:
    """The templates of the portal, compiled once a process."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATE_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    return made


def way_up(request: Request) -> str:
    """From the page that was asked for to the portal's root: ``""``, ``"../"``, ``"../../"`` …"""
    path: str = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return "../" * (path.count("/") - 1)


def render(
    request: Request,
    template: str,
    *,
    staff: Staff | None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """A page from ``template``; ``staff`` is None only on pages that say why somebody was not let in."""
    up = way_up(request)
    html = (
        environment()
        .get_template(template)
        .render(
            up=up,
            # From the portal's root, which lies below the server's, to a page of Airflow itself.
            airflow=f"{up}../",
            staff=staff,
            token=form_token(request, staff) if staff else "",
            navigation=NAVIGATION,
            **context,
        )
    )
    return HTMLResponse(html, status, {**HEADERS, **(headers or {})})


# Forms


def form_token(request: Request, staff: Staff) -> str:
    """What a form must bring back: it is of this person and this Airflow, and no other site can read it."""
    return str(URLSafeSerializer(request.app.state.secret, salt="carm portal form").dumps(staff.name))


def check_form(request: Request, staff: Reader, token: Annotated[str, Form(max_length=500)] = "") -> None:
    """Raises 403 for a form that was not sent from a page of ours, made for the person who sends it."""
    if not hmac.compare_digest(token.encode(), form_token(request, staff).encode()):
        raise HTTPException(403, "this form is not from a page that was opened by you: open the page again")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "this form was sent from another site")


CheckedForm = Depends(check_form)
"""Every route that changes something, or that shows what is masked, has it among its dependencies."""


# Surroundings


def open_workspace(request: Request) -> Workspace:
    """The workspace that the app was made with."""
    workspace: Workspace = request.app.state.open_workspace()
    return workspace


InWorkspace = Annotated[Workspace, Depends(open_workspace)]
