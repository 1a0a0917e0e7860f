"""The PDF of a Statement of Account: tagged, conforming to PDF/UA-1, set by Typst.

It says what the page says: the values are those of :class:`include.statement_page.StatementWords`, the fixed texts
those of ``texts.yaml``, and ``statement.typ`` puts them in the order of the page. ``docs/adr/0044-statement-pdf.md``
says why Typst, and what it cannot do.
"""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import UTC, date, datetime, time
from importlib.metadata import version
from typing import Any

import typst

from include.carm.allocation import Disbursement
from include.carm.contacts import Contacts
from include.carm.statement import Statement
from include.statement_page import (
    LANGUAGES,
    TEMPLATE_FOLDER,
    StatementWords,
    document_title,
    page_label,
    read_texts,
)

TYPESETTER_VERSION = f"typst {version('typst')}"
TEMPLATE = TEMPLATE_FOLDER / "statement.typ"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# Characters that both weights of the font have: Latin, Greek, Cyrillic, Hebrew, and the signs that stand in names.
# PDF/UA forbids a character without a glyph, and Typst then makes no document at all. Two things that have a glyph are
# left out, because Typst tells what a glyph means once for the whole document: a soft hyphen at the end of a line would
# make soft hyphens of those in every date, a digit under an accent would put the accent on that digit in every amount.
GLYPHS = (
    " -~\u00a0-\u00ac\u00ae-\u023f\u0384-\u038a\u038c\u038e-\u03a1\u03a3-\u03ce\u0400-\u045f\u0490-\u04c4"
    "\u05d0-\u05ea\u1e00-\u1e9b\u1e9e\u1ea0-\u1ef9\u2010-\u2027\u202f-\u2037\u2039\u203a\u20ac\u2116\u2122"
    "\u2153-\u215e\ufffd"
)
# In JSON text a character is itself or an escape; pairs of backslashes are taken together, so that no half of one is
# mistaken for the beginning of an escape.
_SUSPECT = re.compile(rf"\\(?:u[0-9a-f]{{4}}|.)|[^{GLYPHS}]")
_BLANK_ESCAPES = ("\\n", "\\t", "\\r")
# More would not fit into the narrowest place of a name, were they all capital W. The keys of the JSON are left alone.
_LONG_WORD = re.compile(r'(?:[^\s"\\]|\\["\\]){24}(?=[^\s"])(?!\w*":)')
# The same where no character is escaped, as in nearly every statement: a twentieth of the time of the whole document
# goes into the pattern above.
_LONG_PLAIN_WORD = re.compile(r'[^\s"]{24}(?=[^\s"])(?!\w*":)')
TEXT_NAME = re.compile(r"\btexts\.([a-z0-9_]+)")


class StatementPdfs:
    """Makes the PDFs of the statements of one issue date. One compiler with its fonts, made once a process."""

    def __init__(self, contacts: Contacts, issued_on: date, disbursement: Disbursement) -> None:
        names = sorted(set(TEXT_NAME.findall(TEMPLATE.read_text(encoding="utf-8"))))
        self._words = {language: StatementWords(language, contacts, issued_on, disbursement) for language in LANGUAGES}
        # A text that the template names and texts.yaml lacks stops the start.
        self._texts = {language: [(name, read_texts()[language][name]) for name in names] for language in LANGUAGES}
        self._compiler = typst.Compiler(TEMPLATE, root=TEMPLATE_FOLDER, ignore_system_fonts=True)

    def render(self, statement: Statement) -> bytes:
        """The PDF, in the client's language or in both, one whole version after the other.

        The same statement gives the same bytes in every process: the date in the document is the day of issue.
        Raises ``KeyError`` for a statement whose language is none of ``en``, ``fr``, ``both``.
        """
        head = statement.head
        data = {
            "title": document_title(statement),
            "page_label": page_label(head),
            "versions": [self._version(language, statement) for language in statement.languages],
        }
        return make_pdf(
            self._compiler, {"statement": printable_json(data)}, head.issued_on, f"a statement of {head.period}"
        )

    def _version(self, language: str, statement: Statement) -> dict[str, Any]:
        context = self._words[language].context(statement)
        texts = {name: text.format_map(context) for name, text in self._texts[language]}
        return {"lang": language, "texts": texts, **context}


def make_pdf(compiler: typst.Compiler, inputs: dict[str, str], issued_on: str, what: str) -> bytes:
    """Compile a PDF/UA-1 that is dated by its day of issue, and by nothing else.

    Raises ``RuntimeError`` that names ``what`` was to be made, where Typst makes none.
    """
    # Noon, so that it is the same day in every part of Canada.
    made_at = datetime.combine(date.fromisoformat(issued_on), time(12), UTC)
    try:
        made = compiler.compile(sys_inputs=inputs, format="pdf", pdf_standards="ua-1", timestamp=made_at)
    except typst.TypstError:
        # Its message would quote the text that could not be shown, and a name may not stand in a log.
        raise RuntimeError(f"Typst made no PDF/UA-1 of {what}") from None
    assert isinstance(made, bytes)
    return made


def printable_json(data: dict[str, Any]) -> str:
    """The data as JSON that holds only characters with a glyph, and places to break in words that are too long.

    A letter and its accent become the one letter that they are, where there is one.
    """
    text = unicodedata.normalize("NFC", json.dumps(data, ensure_ascii=False))
    text = _SUSPECT.sub(_with_a_glyph, text)
    long_word = _LONG_WORD if "\\" in text else _LONG_PLAIN_WORD
    return long_word.sub("\\g<0>\N{ZERO WIDTH SPACE}", text)


def _with_a_glyph(found: re.Match[str]) -> str:
    """What is shown in place of a character that the font lacks: nothing where it is invisible anyhow, else a mark."""
    shown = found[0]
    if shown.startswith("\\"):
        if shown in _BLANK_ESCAPES:
            return " "
        return shown if shown in ('\\"', "\\\\") else REPLACEMENT
    # Marks of direction, joiners and variants of emoji.
    is_invisible = unicodedata.category(shown) == "Cf" or "\ufe00" <= shown <= "\ufe0f"
    return "" if is_invisible else REPLACEMENT
