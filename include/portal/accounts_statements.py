"""Statements of an account: each in a frame of its own that can do nothing, or as a file.

A statement shows balances, so that opening one is recorded like any other unmasking. The document that was issued is
shown byte by byte; in a language that the client did not get it is made anew from the same lines, and is none of the
issued documents.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from include.carm.errors import DataError
from include.carm.period import Period
from include.portal.accounts import Bn15
from include.portal.accounts_records import read_statements
from include.portal.pages import DOCUMENT_HEADERS, HEADERS, MONTH_PATTERN, CheckedForm, InWorkspace, render
from include.portal.staff import Reader
from include.portal.unmasking import record_unmasking
from include.workspace import Workspace

if TYPE_CHECKING:
    from include.carm.allocation import Disbursement
    from include.carm.statement import Statement
    from include.statement_page import StatementPages
    from include.statement_pdf import StatementPdfs

router = APIRouter()

Month = Annotated[str, Path(pattern=MONTH_PATTERN)]
Format = Literal["html", "pdf", "csv"]
Language = Literal["issued", "en", "fr"]

_TYPES = {"html": "text/html; charset=utf-8", "pdf": "application/pdf", "csv": "text/csv; charset=utf-8"}


@router.get("/accounts/{bn15}/statements/{period}", response_class=HTMLResponse)
def show_frame(
    request: Request,
    staff: Reader,
    ws: InWorkspace,
    bn15: Bn15,
    period: Month,
    version: Annotated[int | None, Query(ge=1, le=1000)] = None,
) -> HTMLResponse:
    """The versions of a statement, and the frame in which one is shown; nothing of the statement itself."""
    versions = [row for row in read_statements(ws, bn15) if row["period"] == period]
    chosen = next((row for row in versions if version in (None, row["version"])), None)
    if version is not None and chosen is None:
        raise DataError(f"the statement of {bn15} for {period} has no version {version}")
    return render(
        request, "account_statement.html", staff=staff, bn15=bn15, period=period, versions=versions, chosen=chosen
    )


@router.post("/accounts/{bn15}/statements/{period}", dependencies=[CheckedForm])
def open_statement(
    staff: Reader,
    ws: InWorkspace,
    bn15: Bn15,
    period: Month,
    format: Annotated[Format, Form()] = "html",
    language: Annotated[Language, Form()] = "issued",
    version: Annotated[int | None, Form(ge=1, le=1000)] = None,
) -> Response:
    """One document, after it was recorded who opens it: HTML for the frame, PDF and CSV to be kept."""
    content = read_document(ws, Period.parse(period), bn15, format, language, version)
    name = f"{bn15}-{period}" + (f"-v{version}" if version else "") + ("" if language == "issued" else f"-{language}")
    told = f" v{version}" if version else ""
    record_unmasking(ws, staff, bn15, f"statement {period}{told}, {format}, {language}")
    if format == "html":
        return Response(content, media_type=_TYPES[format], headers=dict(DOCUMENT_HEADERS))
    disposition = f'attachment; filename="{name}.{format}"'
    return Response(content, media_type=_TYPES[format], headers={**HEADERS, "Content-Disposition": disposition})


def read_document(
    ws: Workspace, period: Period, bn15: str, format: Format, language: Language, version: int | None
) -> bytes:
    """A statement as it was issued, or in one language; a CSV has none.

    Raises as ``read_statement`` does.
    """
    from include.statement_reader import read_statement

    if language == "issued" or format == "csv":
        return read_statement(ws, period, bn15, format, version=version)
    from include.carm.statement import read_json

    # As its own object says, so that a later version has its own reasons and days.
    statement = read_json(read_statement(ws, period, bn15, "json", version=version))
    if statement.languages == (language,):
        return read_statement(ws, period, bn15, format, version=version)
    return _render_in(ws, period, statement, language, format)


def _render_in(ws: Workspace, period: Period, statement: Statement, language: Language, format: Format) -> bytes:
    from include.statement_rendering import wording_of

    _, issued_on, disbursement = wording_of(ws, period)
    if statement.reissue is not None:
        issued_on = date.fromisoformat(statement.reissue.issued_on)
    said = statement._replace(head=statement.head._replace(language=language))
    make = _pages if format == "html" else _pdfs
    return make(issued_on, disbursement).render(said)


@lru_cache(maxsize=4)
def _pages(issued_on: date, disbursement: Disbursement) -> StatementPages:
    from include.carm.contacts import Contacts
    from include.statement_page import StatementPages

    return StatementPages(Contacts.load(), issued_on, disbursement)


@lru_cache(maxsize=2)
def _pdfs(issued_on: date, disbursement: Disbursement) -> StatementPdfs:
    from include.carm.contacts import Contacts
    from include.statement_pdf import StatementPdfs

    return StatementPdfs(Contacts.load(), issued_on, disbursement)
