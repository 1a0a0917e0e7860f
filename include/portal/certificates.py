"""The certificate of a month, as it was written when the month was closed: to read, to print, and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from include.carm.errors import DataError
from include.portal.pages import DOCUMENT_HEADERS, HEADERS, InWorkspace, OfMonth, render
from include.portal.staff import Reader

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
    beside = find_certificate(ws, month, "shadow") if area == "lake" else None
    return render(
        request,
        "certificate.html",
        staff=staff,
        period=str(month),
        area=area,
        certificate=found,
        has_beside=beside is not None,
    )


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
