"""``docs/statements.md`` and its pictures: the golden statements, shown.

A picture says in its own text of which bytes of PDF it was made, so that a test can tell whether it is still current
without comparing a pixel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pypdfium2
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from include.carm.allocation import AllocationRules
from include.carm.contacts import Contacts
from include.carm.money import format_money
from include.carm.period import Period
from include.statement_pdf import StatementPdfs
from tests.statements.ledger import DAYS
from tests.statements.samples import SAMPLES

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "statements.md"
PICTURES = DOCS / "pictures" / "statements"
GOLDEN = "../tests/statements/golden"
LANGUAGES = {"en": "English", "fr": "French", "both": "both"}

# A picture of about 30 kB on which the small print can be read.
_PIXELS_A_POINT = 1.3
_COLOURS = 16
_MADE_FROM = "made from the PDF with the SHA-256"

SHOWS = {
    "every-section": "A line of each section, all ten components, a broker, and every remark that a line may carry.",
    "credit": "A payment on an account that owed nothing. The account was closed during the period.",
    "zero": "A payment of exactly what was owed: nothing is payable.",
    "nothing-posted": "A small debt carried over, and no transaction. The type of program is not recorded.",
    "all-under-review": "All that was posted is under review: there is a balance, and nothing is payable for now.",
    "credit-under-review": "A debt beside a credit under review, which does not lower what is payable.",
    "overdue": "Debts of every age beside a payment that is too small, and the interest that they bear.",
    "restated": "A second version, with the box that says what changed and why.",
    "issued-late": "A first version that was issued late, because its account had been parked.",
    "long": "Three hundred transactions.",
}
"""What each sample is there to show."""

_INTRODUCTION = """\
# Statements of Account, as clients receive them

Samples derived from a few postings by the same steps that a month takes. Names and numbers are invented. `make golden`
writes this page and its pictures anew, and a test fails when they are not current.

A **page** is the HTML that stands in the documents of a month: save it and open it in a browser, because GitHub shows
its source. A **sheet** is a picture of a sheet of the PDF, US Letter. **Data** is the CSV, the same in every language.
A client whose language is not known receives both, one whole version after the other; the picture is the sheet on
which the French one begins. Amounts in the table are in Canadian dollars; a credit is in brackets.

[Record 0041](adr/0041-statement-page.md) says why the page is built like this, [0044](adr/0044-statement-pdf.md) why
the PDF, and [0047](adr/0047-accessibility-is-checked-by-machines.md) how both are checked.
"""


class Sheet(NamedTuple):
    """One picture: which sample, in which language, which sheet counted from 1 of how many."""

    name: str
    language: str
    number: int
    count: int

    @property
    def path(self) -> Path:
        return PICTURES / f"{self.name}-{self.language}-{self.number}.png"


@cache
def _pdfs() -> StatementPdfs:
    rule = AllocationRules.load().disbursement_of(Period(2021, 12))
    return StatementPdfs(Contacts.load(), DAYS["issued_on"], rule)


@cache
def pdf_of(name: str, language: str) -> bytes:
    return _pdfs().render(SAMPLES[name](None if language == "both" else language))


@cache
def _count_of(name: str, language: str) -> int:
    with pypdfium2.PdfDocument(pdf_of(name, language)) as document:
        return len(document)


def sheets_of(name: str, language: str) -> list[Sheet]:
    """The sheets that are shown: all, or the first and the last of many; in both languages the first French one."""
    count = _count_of(name, language)
    if language == "both":
        numbers = [_count_of(name, "en") + 1]
    else:
        numbers = list(range(1, count + 1)) if count <= 3 else [1, count]
    return [Sheet(name, language, number, count) for number in numbers]


def every_sheet() -> Iterator[Sheet]:
    """Every sheet that the page shows."""
    for name in SAMPLES:
        for language in LANGUAGES:
            yield from sheets_of(name, language)


def fingerprint(sheet: Sheet) -> str:
    """The SHA-256 of the PDF to which a sheet belongs."""
    return hashlib.sha256(pdf_of(sheet.name, sheet.language)).hexdigest()


def fingerprint_in(picture: Path) -> str:
    """The SHA-256 of the PDF of which a picture says that it was made; empty where it says nothing."""
    with Image.open(picture) as image:
        return str(image.info.get(_MADE_FROM, ""))


def write_pictures() -> None:
    """Draws every sheet anew, and leaves no picture that is not shown."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    shown = list(every_sheet())
    for left in set(PICTURES.glob("*.png")) - {sheet.path for sheet in shown}:
        left.unlink()
    for sheet in shown:
        made_from = PngInfo()
        made_from.add_text(_MADE_FROM, fingerprint(sheet))
        with pypdfium2.PdfDocument(pdf_of(sheet.name, sheet.language)) as document:
            drawn = document[sheet.number - 1].render(scale=_PIXELS_A_POINT).to_pil().convert("RGB")
        drawn.quantize(_COLOURS).save(sheet.path, optimize=True, pnginfo=made_from)


def render_page() -> str:
    """The page as Markdown: a table of all samples, then the pictures of each."""
    head = ("sample", "lines", "closing balance", "payable", *LANGUAGES.values(), "data")
    return "\n".join(
        [
            _INTRODUCTION,
            _row(*head),
            _row("---", "---:", "---:", "---:", *["---"] * (len(LANGUAGES) + 1)),
            *(_sample_row(name) for name in SAMPLES),
            *(line for name in SAMPLES for line in _pictures_of(name)),
            "",
        ]
    )


def _sample_row(name: str) -> str:
    head = SAMPLES[name]("en").head
    amounts = (format_money(cents, "en") for cents in (head.closing_cents, head.total_payable_cents))
    versions = (_links(name, language) for language in LANGUAGES)
    return _row(f"[{name}](#{name})", f"{head.line_count:,}", *amounts, *versions, f"[CSV]({GOLDEN}/{name}.csv)")


def _links(name: str, language: str) -> str:
    shown = sheets_of(name, language)
    sheets = ", ".join(f"[{sheet.number}]({sheet.path.relative_to(DOCS).as_posix()})" for sheet in shown)
    return f"[page]({GOLDEN}/{name}-{language}.html), sheet {sheets} of {shown[0].count}"


def _pictures_of(name: str) -> Iterator[str]:
    yield from (f"\n## {name}\n", SHOWS[name])
    for language in ("en", "fr"):
        yield ""
        for sheet in sheets_of(name, language):
            words = f"{LANGUAGES[language]}, sheet {sheet.number} of {sheet.count}. {SHOWS[name]}"
            yield f'<img src="{sheet.path.relative_to(DOCS).as_posix()}" width="270" alt="{words}">'


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
