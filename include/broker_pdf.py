"""The PDF of a customs broker's statement: tagged, conforming to PDF/UA-1, set by Typst from the words of the page.

``include/templates/broker/broker.typ`` shares its parts with a client's statement, and this module the way in which
values become printable text: see :mod:`include.statement_pdf`.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import typst

from include.broker_page import TEMPLATE_FOLDER, FirmWords, document_title, page_label, read_texts
from include.carm.broker import BrokerStatement, languages_of
from include.carm.contacts import Contacts
from include.carm.errors import UsageError
from include.statement_page import LANGUAGES
from include.statement_pdf import TEXT_NAME, make_pdf, printable_json

TEMPLATE = TEMPLATE_FOLDER / "broker.typ"

MOST_ROWS = 20_000
"""Lines and open items of a statement that is still set as PDF: some seven hundred sheets a language."""

# What the parts that are taken from a client's statement name besides.
_OF_SHARED_PARTS = (
    "document_title",
    "account_heading",
    "ageing",
    "ageing_current",
    "ageing_30",
    "ageing_60",
    "ageing_90",
    "ageing_over_90",
    "ageing_total",
    "ageing_note",
)
_NOTHING = json.dumps({"title": "", "page_label": "", "versions": []})


class BrokerPdfs:
    """Makes the PDFs of the brokers' statements of one issue date. One compiler with its fonts, made once a process."""

    def __init__(self, contacts: Contacts, issued_on: date) -> None:
        names = sorted({*TEXT_NAME.findall(TEMPLATE.read_text(encoding="utf-8")), *_OF_SHARED_PARTS})
        self._words = {language: FirmWords(language, contacts, issued_on) for language in LANGUAGES}
        # A text that the template names and texts.yaml lacks stops the start.
        self._texts = {language: [(name, read_texts()[language][name]) for name in names] for language in LANGUAGES}
        self._compiler = typst.Compiler(TEMPLATE, root=TEMPLATE_FOLDER.parent, ignore_system_fonts=True)

    def render(self, statement: BrokerStatement) -> bytes:
        """The PDF, in the broker's language or in both, one whole version after the other; always the same bytes.

        Raises ``UsageError`` for a statement of more than :data:`MOST_ROWS` rows: see :func:`is_too_long`.
        """
        head = statement.head
        if is_too_long(statement):
            raise UsageError(
                f"the statement of broker {head.bn9} for {head.period} has more than {MOST_ROWS:,} rows and is not "
                "made as PDF: ask for html or csv"
            )
        data = {
            "title": document_title(statement),
            "page_label": page_label(statement),
            "versions": [self._version(language, statement) for language in languages_of(statement)],
        }
        inputs = {"broker": printable_json(data), "statement": _NOTHING}
        return make_pdf(self._compiler, inputs, head.issued_on, f"a broker's statement of {head.period}")

    def _version(self, language: str, statement: BrokerStatement) -> dict[str, Any]:
        context = self._words[language].context_of(statement)
        texts = {name: text.format_map(context) for name, text in self._texts[language]}
        return {"lang": language, "texts": texts, **context}


def is_too_long(statement: BrokerStatement) -> bool:
    """Whether a statement has more rows than are set as PDF: Typst holds the whole document in memory."""
    return statement.head.line_count + statement.head.item_count > MOST_ROWS
