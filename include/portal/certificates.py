"""The certificate of a month, as it was written when the month was closed: to read, to print, and for programs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.exc import SQLAlchemyError

from include.carm.errors import CarmError, DataError
from include.portal.pages import DOCUMENT_HEADERS, HEADERS, InWorkspace, OfMonth, render
from include.portal.staff import Reader

if TYPE_CHECKING:
    from include.carm.period import Period
    from include.certificate import Certificate
    from include.workspace import Workspace

log = logging.getLogger(__name__)
router = APIRouter()

_KINDS: Mapping[str, str] = {"html": "text/html; charset=utf-8", "pdf": "application/pdf", "json": "application/json"}
Area = Literal["lake", "shadow"]


@router.get("/months/{period}/certificate", response_class=HTMLResponse)
def show_certificate(
    request: Request, staff: Reader, ws: InWorkspace, month: OfMonth, area: Area = "lake"
) -> HTMLResponse:
    """The certificate in a frame, or that there is none yet; ``area`` is the record, or a shadow run beside it."""
    from include.certificate import find_certificate

    found = find_certificate(ws, month, area)
    has_beside, beside_fault = _look_beside(ws, month) if area == "lake" else (False, None)
    return render(
        request,
        "certificate.html",
        staff=staff,
        period=str(month),
        area=area,
        certificate=found,
        since=_tell_since(ws, found) if found else None,
        has_beside=has_beside,
        beside_fault=beside_fault,
    )


def _look_beside(ws: Workspace, month: Period) -> tuple[bool, str | None]:
    """Whether a shadow run left a certificate, and what is wrong with it: the record's is shown all the same."""
    from include.certificate import find_certificate

    try:
        return find_certificate(ws, month, "shadow") is not None, None
    except DataError as error:
        return False, str(error)


def _tell_since(ws: Workspace, certificate: Certificate) -> dict[str, Any]:
    """What has changed since the certificate was written, as ``carm certificate`` tells; or why that is not known.

    ``{"fault", "changes", "looked_at", "has_head"}``. The page is shown whatever is found, so no fault is raised.
    """
    from include.certificate_since import LOOKED_AT, find_changes, find_head, tell_change

    told: dict[str, Any] = {"fault": None, "changes": [], "looked_at": LOOKED_AT, "has_head": True}
    try:
        changes = [tell_change(change) for change in find_changes(ws, certificate)]
        return told | {"changes": changes, "has_head": find_head(ws, certificate)["has_head_of_certificate"]}
    except CarmError as error:
        # Some errors name a file by its place on the server.
        return told | {"fault": str(error).replace(f"{ws.data}/", "")}
    except (AttributeError, LookupError, OSError, SQLAlchemyError, TypeError, ValueError):
        log.exception("cannot tell what has changed since the certificate of %s", certificate.period)
        return told | {"fault": "the api-server's log says why"}


@router.get("/months/{period}/certificate.{format}")
def send_certificate(
    _: Reader, ws: InWorkspace, month: OfMonth, format: Literal["html", "pdf", "json"], area: Area = "lake"
) -> Response:
    """A file of the certificate, proved against the hash that the audit chain tells."""
    from include.certificate import find_certificate

    found = find_certificate(ws, month, area)
    if found is None:
        raise DataError(f"{month} has no certificate: the run that closes the month writes it")
    headers = dict(DOCUMENT_HEADERS if format == "html" else HEADERS)
    if format != "html":
        # A frame of Airflow shows no PDF; it may be saved.
        headers["Content-Disposition"] = f'attachment; filename="certificate-{month}.{format}"'
    return Response(found.read(format), media_type=_KINDS[format], headers=headers)
