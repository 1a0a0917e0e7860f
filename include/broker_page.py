"""The pages of a customs broker's statement and of a provider's index: the look, the words and the rules of a client's.

The templates lie in ``include/templates/broker/``; the frame of the page, the style sheet and every text that says the
same are those of ``include/templates/statement/``. ``docs/adr/0048-broker-statements-and-client-indexes.md`` says what
these documents tell, and what they keep to themselves.
"""

from __future__ import annotations

import hashlib
import io
from datetime import date
from functools import cache
from typing import Any

import yaml
from jinja2 import Environment, FunctionLoader, StrictUndefined

from include import statement_page
from include.carm.allocation import Disbursement
from include.carm.broker import (
    BrokerItem,
    BrokerLine,
    BrokerStatement,
    ClientIndex,
    ClientPart,
    FirmDocument,
    languages_of,
)
from include.carm.contacts import Contacts
from include.carm.money import format_amount, format_money
from include.statement_page import LANGUAGES, StatementWords, make_frames, printable

TEMPLATE_FOLDER = statement_page.TEMPLATE_FOLDER.with_name("broker")

_PIECES_AT_ONCE = 500

# Of a client's statement alone.
_NO_DISBURSEMENT = Disbursement(over_cents=None, after_months=None)


@cache
def read_texts() -> dict[str, dict[str, str]]:
    """Every text by language and key: those of a client's statement, and over them those of ``broker/texts.yaml``."""
    pairs = yaml.safe_load((TEMPLATE_FOLDER / "texts.yaml").read_text(encoding="utf-8"))
    common = statement_page.read_texts()
    return {language: common[language] | {key: pair[language] for key, pair in pairs.items()} for language in LANGUAGES}


def template_version() -> str:
    """SHA-256 over all that shapes these documents beside their objects: the templates and texts of both folders."""
    digest = hashlib.sha256(statement_page.template_version().encode())
    for path in sorted(TEMPLATE_FOLDER.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


class FirmPages:
    """Renders the documents of one issue date. One environment, compiled templates, made once a process."""

    def __init__(self, contacts: Contacts, issued_on: date) -> None:
        environment = Environment(
            autoescape=True, undefined=StrictUndefined, loader=FunctionLoader(_specialised), keep_trailing_newline=True
        )
        self._frames = make_frames(environment)
        self._bodies = {
            (name, language): environment.get_template(f"{name}.{language}")
            for name in ("body", "index")
            for language in LANGUAGES
        }
        self._words = {language: FirmWords(language, contacts, issued_on) for language in LANGUAGES}

    def render(self, document: FirmDocument) -> bytes:
        """The page as UTF-8 HTML: one document, in the firm's language or in both, one after the other.

        It is put together piece by piece: a broker of a hundred thousand lines fills a hundred megabytes.
        """
        languages = languages_of(document)
        name = "index" if isinstance(document, ClientIndex) else "body"
        before, after = self._frames[languages].around(document_title(document), page_label(document))
        page = io.BytesIO()
        page.write(before)
        for language in languages:
            pieces = self._bodies[name, language].stream(self._words[language].context_of(document))
            pieces.enable_buffering(_PIECES_AT_ONCE)
            for piece in pieces:
                page.write(piece.encode())
        page.write(after)
        return page.getvalue()


class FirmWords(StatementWords):
    """Turns a broker's statement or a provider's index into the words of one language, for the page as for the PDF."""

    def __init__(self, language: str, contacts: Contacts, issued_on: date) -> None:
        super().__init__(language, contacts, issued_on, _NO_DISBURSEMENT)
        self.texts = read_texts()[language]

    def context_of(self, document: FirmDocument) -> dict[str, Any]:
        """The values that a template of this language fills in."""
        head = document.head
        common = {
            **self._fixed,
            "bn9": head.bn9,
            "legal_name": printable(head.legal_name or head.bn9),
            "period_start": head.period_start,
            "period_end": head.period_end,
            "issued_on": head.issued_on,
            "clients_told": str(head.clients),
        }
        if isinstance(document, ClientIndex):
            return {**common, "entries": self._entries(document)}
        return {**common, **self._totals(document), "parts": [self._part(part) for part in document.parts]}

    def _totals(self, statement: BrokerStatement) -> dict[str, Any]:
        head = statement.head
        past_due = sum(head.ageing[1:])
        return {
            "opening": format_money(head.opening_cents, self.language),
            "debits": format_money(head.debits_cents, self.language),
            "credits": format_money(-head.credits_cents, self.language),
            "moved": self._money_or_nothing(head.moved_cents),
            "settled": format_money(-head.settled_cents, self.language),
            "closing": format_money(head.closing_cents, self.language),
            "under_review": self._money_or_nothing(head.under_review_cents),
            "is_review_credit": head.under_review_cents < 0,
            "is_past_due": past_due > 0,
            "past_due": format_money(past_due, self.language),
            "ageing": [format_money(cents, self.language) for cents in (*head.ageing, head.closing_cents)]
            if any(head.ageing)
            else [],
            "totals": self._amounts(head),
            "moved_amount": self._change(head.moved_cents),
        }

    def _part(self, part: ClientPart) -> tuple[Any, ...]:
        client, lines, items = part
        return (
            printable(client.legal_name or client.bn15),
            client.bn15,
            self._change(client.moved_cents),
            self._amounts(client),
            [self._line(line) for line in lines],
            format_amount(client.debits_cents - client.credits_cents, self.language),
            [self._item(item) for item in items],
            format_amount(client.closing_cents, self.language),
        )

    def _amounts(self, sums: Any) -> list[str]:
        """The columns of a client or of the total: they add up from left to right, but for a change of broker."""
        cents = (sums.opening_cents, sums.debits_cents, -sums.credits_cents, -sums.settled_cents, sums.closing_cents)
        return [format_amount(amount, self.language) for amount in cents]

    def _change(self, cents: int) -> str:
        return self.texts["client_moved"].format(moved=format_money(cents, self.language)) if cents else ""

    def _line(self, line: BrokerLine) -> tuple[str, ...]:
        remarks = (self._remark(line), self.texts["line_under_review"] if line.status == "under_review" else "")
        return (
            self._kind(line.kind),
            self._number(line),
            self._dated(line),
            self._parts(line),
            " · ".join(filter(None, remarks)),
            line.posted_on,
            line.due_on or "",
            format_amount(line.amount_cents, self.language),
        )

    def _item(self, item: BrokerItem) -> tuple[str, ...]:
        return (
            self._kind(item.kind),
            self._number(item),
            self._dated(item),
            "",
            self._age(item),
            item.posted_on,
            item.due_on or "",
            format_amount(item.remaining_cents, self.language),
        )

    def _age(self, item: BrokerItem) -> str:
        if item.is_under_review:
            return self.texts["line_under_review"]
        if not item.days_past_due:
            return ""
        text = self.texts["line_past_due_one" if item.days_past_due == 1 else "line_past_due"]
        return text.format(days=item.days_past_due)

    def _entries(self, index: ClientIndex) -> list[tuple[str, ...]]:
        return [
            (
                entry.bn15,
                printable(entry.legal_name or entry.bn15),
                str(entry.version),
                entry.issued_on,
                entry.due_on,
                self.texts[f"language_{entry.language}"],
            )
            for entry in index.entries
        ]


def document_title(document: FirmDocument) -> str:
    """The title of the whole document: its name in each of its languages, the month and the firm."""
    key = "index_title" if isinstance(document, ClientIndex) else "document_title"
    names = " / ".join(read_texts()[language][key] for language in languages_of(document))
    return f"{names}, {document.head.period}, {document.head.bn9}"


def page_label(document: FirmDocument) -> str:
    """What stands at the foot of each sheet beside the number of the page. A BN9 is nine digits and needs no escape."""
    return f"{document.head.bn9} · {document.head.period}"


def _specialised(name: str) -> str:
    """The source of template ``<file>.<language>``; the frame of the page is that of a client's statement."""
    file, language = name.rsplit(".", 1)
    folder = statement_page.TEMPLATE_FOLDER if file == "page" else TEMPLATE_FOLDER
    source = (folder / f"{file}.html.j2").read_text(encoding="utf-8")
    return statement_page.specialise(source, language, read_texts()[language], _stylesheet())


@cache
def _stylesheet() -> str:
    files = (statement_page.TEMPLATE_FOLDER / "statement.css", TEMPLATE_FOLDER / "broker.css")
    return statement_page.shorten_css("\n".join(path.read_text(encoding="utf-8") for path in files), read_texts())
