"""The documents of statements, rendered from their objects: with their month, again, and as a later version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from include.carm.allocation import AllocationRules, Disbursement
from include.carm.contacts import Contacts
from include.carm.money import LOCALE_VERSION
from include.carm.period import Period
from include.carm.statement import Statement, render_csv, render_json, stream_csv
from include.documents import read_member, read_sums
from include.statement_objects import read_objects
from include.statement_page import StatementPages, template_version
from include.statement_pdf import TYPESETTER_VERSION, StatementPdfs
from include.statement_versions import read_version

if TYPE_CHECKING:
    from sqlalchemy import Row

    from include.workspace import Workspace

OBJECTS_NAME = "OBJECTS"
"""The member of a pack that lists the hash of the object that each statement's documents were made from."""


def render_documents(
    statements: Iterable[Statement], pages: StatementPages, pdfs: StatementPdfs | None, *, only_payable: bool = False
) -> Iterator[tuple[str, bytes | Iterator[bytes]]]:
    """The members of a pack: each statement as CSV and HTML, and as PDF by ``pdfs``; last :data:`OBJECTS_NAME`.

    With ``only_payable`` there is a PDF only where something is to be paid.
    """
    objects = []
    for statement in statements:
        number = statement.head.bn15
        objects.append(f"{statement.digest()}  {number}\n")
        yield f"{number}.csv", stream_csv(statement)
        yield f"{number}.html", pages.stream(statement)
        if pdfs is not None and (statement.head.total_payable_cents > 0 or not only_payable):
            yield f"{number}.pdf", pdfs.render(statement)
    yield OBJECTS_NAME, "".join(objects).encode()


def render_reissue(ws: Workspace, statement: Statement) -> Iterator[tuple[str, bytes]]:
    """The members of the pack of a version that is issued after its month: every format, and its object."""
    assert statement.reissue is not None
    period, number = Period.parse(statement.head.period), statement.head.bn15
    # Whom to ask is who is in charge on the day of this version.
    wording = (Contacts.load(), date.fromisoformat(statement.reissue.issued_on), _disbursement(period))
    rendered = render_documents([statement], StatementPages(*wording), StatementPdfs(*wording))
    documents = {name: content if isinstance(content, bytes) else b"".join(content) for name, content in rendered}
    documents[f"{number}.json"] = render_json(statement)
    yield from sorted(documents.items())


def read_again(ws: Workspace, period: Period, rows: Sequence[Row[Any]]) -> Iterator[tuple[Row[Any], dict[str, bytes]]]:
    """Render issued versions again, each with its row of the registry: by format, HTML and CSV, and PDF if it had one.

    The rows of the month come first, in the order of accounts.
    """
    wording = wording_of(ws, period)
    pages, pdfs = StatementPages(*wording), StatementPdfs(*wording)
    of_month = {row.bn15: row for row in rows if row.act_no is None}
    for statement in read_objects(ws.lake(), period, 0, len(of_month)):
        row = of_month[statement.head.bn15]
        documents = {"html": pages.render(statement), "csv": render_csv(statement)}
        if row.pdf_sha256 is not None:
            documents["pdf"] = pdfs.render(statement)
        yield row, documents
    for row in rows:
        if row.act_no is not None:
            members = dict(render_reissue(ws, read_version(ws, period, row).statement))
            yield row, {format: members[f"{row.bn15}.{format}"] for format in ("html", "csv", "pdf")}


def versions_now() -> dict[str, str]:
    """What documents are made with at this moment, as the registry keeps it."""
    return {
        "template_version": template_version(),
        "locale_version": LOCALE_VERSION,
        "typesetter_version": TYPESETTER_VERSION,
    }


def wording_of(ws: Workspace, period: Period) -> tuple[Contacts, date, Disbursement]:
    """Whom a statement of the month names, and by which rules, as valid on its day of issue."""
    return Contacts.load(), ws.calendar.issued_on(period), _disbursement(period)


def _disbursement(period: Period) -> Disbursement:
    return AllocationRules.load().disbursement_of(period)


def read_rendered(packs: Iterable[Path]) -> pa.Table:
    """One row a statement in the packs: ``bn15`` and the hashes of its documents and its object, NULL where none is."""
    hashes: dict[str, dict[str, str]] = {}
    for path in packs:
        for name, digest in read_sums(path):
            number, _, format = name.partition(".")
            if format:
                hashes.setdefault(number, {})["document" if format == "html" else format] = digest
        for digest, number in read_listed_objects(path):
            hashes.setdefault(number, {})["object"] = digest
    columns = {
        f"{name}_sha256": pa.array([of.get(name) for of in hashes.values()], pa.string())
        for name in ("document", "csv", "pdf", "object")
    }
    return pa.table({"bn15": pa.array(hashes.keys(), pa.string()), **columns})


def read_listed_objects(pack: Path) -> Iterator[tuple[str, str]]:
    """Hash and account of each object that a pack was made from; nothing for a pack of an earlier release."""
    for line in (read_member(pack, OBJECTS_NAME) or b"").decode().splitlines():
        digest, _, number = line.partition("  ")
        yield digest, number
