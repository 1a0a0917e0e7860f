"""The page of a Statement of Account: HTML for the screen, the telephone and the printer.

The templates in ``include/templates/statement/`` are specialised by language when they are compiled: every fixed
text is put in place once, so that rendering only fills in what differs between statements. That is also when a
missing text is found. ``docs/adr/0041-statement-page.md`` says why the page is built like this.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from itertools import count, islice
from pathlib import Path
from typing import Any, Protocol

import yaml
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import escape

from include.carm.allocation import Disbursement
from include.carm.contacts import Contacts
from include.carm.money import NO_BREAK_SPACE, format_amount, format_money
from include.carm.statement import COMPONENTS, MOST_UNPACKED_LINES, Statement, StatementHead, StatementLine
from include.page_shapes import Frame, Place, Shape, harmless, is_harmless
from include.transaction_kinds import kind_labels, read_transaction_kinds

TEMPLATE_FOLDER = Path(__file__).parent / "templates" / "statement"
LANGUAGES = ("en", "fr")

# Characters that HTML forbids.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# And those that turn the direction of whatever follows in the same paragraph.
_CONTROLS_AND_TURNS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_TEXT_MARK = re.compile(r"\[\[([a-z0-9_]+)\]\]")
_CSS_TEXT_MARK = re.compile(r"\[\[(en|fr)\.([a-z0-9_]+)\]\]")
_PLACEHOLDER = re.compile(r"\{([a-z0-9_]+)\}")
_NOT_BN15 = re.compile(r"[^0-9A-Z]")

_BETWEEN_PARTS = f"{NO_BREAK_SPACE}· "
# HTML forbids this character, so nothing else on a page can be taken for it.
_PLACE_OF_ROWS = "\1"
_ROWS_A_PART = 500
_MOST_SHAPES = 1_000
# What the template of a row calls the cells that `StatementWords` makes of a line.
_CELLS = ("label", "number", "dated", "components", "broker", "remark", "posted", "due", "amount", "balance")


@cache
def read_texts() -> dict[str, dict[str, str]]:
    """Every text by language and key, from ``texts.yaml``."""
    pairs = yaml.safe_load((TEMPLATE_FOLDER / "texts.yaml").read_text(encoding="utf-8"))
    return {language: {key: pair[language] for key, pair in pairs.items()} for language in LANGUAGES}


def template_version() -> str:
    """SHA-256 over all that shapes a page beside the statement itself: templates, texts, labels of kinds."""
    digest = hashlib.sha256()
    for path in sorted(TEMPLATE_FOLDER.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for row in read_transaction_kinds():
        digest.update(repr(sorted(row.items())).encode())
    return digest.hexdigest()


class Numbered(Protocol):
    """What a transaction is called by: a line of a statement, or an open item."""

    @property
    def transaction_id(self) -> str: ...
    @property
    def transaction_number(self) -> str | None: ...
    @property
    def activity_on(self) -> str: ...
    @property
    def posted_on(self) -> str: ...


class Printed(Numbered, Protocol):
    """A line with its amounts: of a client's statement, or of its broker's."""

    @property
    def kind(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def arrival(self) -> str: ...
    @property
    def interest_cents(self) -> int: ...
    @property
    def amount_cents(self) -> int: ...
    @property
    def posted_amount_cents(self) -> int: ...
    @property
    def components(self) -> tuple[int, ...]: ...


class StatementPages:
    """Renders the statements of one issue date. One environment, compiled templates, made once a process."""

    def __init__(self, contacts: Contacts, issued_on: date, disbursement: Disbursement) -> None:
        environment = Environment(
            autoescape=True, undefined=StrictUndefined, loader=FunctionLoader(_specialised), keep_trailing_newline=True
        )
        self._frames = make_frames(environment)
        words = (StatementWords(language, contacts, issued_on, disbursement) for language in LANGUAGES)
        self._bodies = {own.language: _Bodies(environment, own) for own in words}

    def render(self, statement: Statement) -> bytes:
        """The page as UTF-8 HTML: one document, in the client's language or in both, one after the other.

        Raises ``KeyError`` for a statement whose language is none of ``en``, ``fr``, ``both``.
        """
        return b"".join(self.stream(statement))

    def stream(self, statement: Statement) -> Iterator[bytes]:
        """The same in parts, so that nobody has to hold the whole page of a statement with very many lines."""
        languages = statement.languages
        before, after = self._frames[languages].around(document_title(statement), page_label(statement.head))
        yield before
        for language in languages:
            pieces = self._bodies[language].stream(statement)
            if statement.head.line_count <= MOST_UNPACKED_LINES:
                yield "".join(pieces).encode()
                continue
            for piece in pieces:
                yield piece.encode()
        yield after


def make_frames(environment: Environment) -> dict[tuple[str, ...], Frame]:
    """What stands around the bodies of a page, by the languages of the document; the first is that of the page."""
    return {
        languages: Frame(environment, languages[0], has_language_choice=len(languages) > 1)
        for languages in (*((language,) for language in LANGUAGES), LANGUAGES)
    }


class _Bodies:
    """The bodies of pages in one language. Their template is rendered once for each shape that a statement has."""

    def __init__(self, environment: Environment, words: StatementWords) -> None:
        self._words = words
        self._template = environment.get_template(f"body.{words.language}")
        self._template_of_rows = environment.get_template(f"row.{words.language}")
        self._shapes: dict[object, list[Shape]] = {}
        self._shapes_of_rows: dict[tuple[bool, ...], Shape] = {}

    def stream(self, statement: Statement) -> Iterator[str]:
        """The body in pieces: what is around the rows of the sections, and the rows, so many at a time."""
        context = self._words.context(statement, streamed=True)
        sections, own = context["sections"], tuple(context.values())
        # What a list holds comes behind, so that each value has a position.
        values = harmless((*own, *context["reissue"], *context["ageing"], *[section[3] for section in sections]))
        key = (*map(bool, own), len(context["reissue"]), *[section[0] for section in sections])
        shapes = self._shapes.get(key) or self._learn(key, context)
        for shape, section in zip(shapes, sections, strict=False):
            yield shape.fill(values)
            yield from self._rows(section[-1])
        yield shapes[-1].fill(values)

    def _rows(self, rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
        rows = iter(rows)
        while part := list(islice(rows, _ROWS_A_PART)):
            cells: Iterable[Sequence[str]] = part
            if not is_harmless("".join(map("".join, part))):
                cells = map(harmless, part)
            yield "".join([self._shape_of(row).fill(row) for row in cells])

    def _learn(self, key: object, context: Mapping[str, Any]) -> list[Shape]:
        """Render the template for a shape that comes for the first time, and cut it where the rows of a section go."""
        places = map(Place, count(len(context)))
        own = {
            name: Place(position) if value and isinstance(value, str) else value
            for position, (name, value) in enumerate(context.items())
        }
        own["reissue"] = list(islice(places, len(context["reissue"])))
        own["ageing"] = list(islice(places, len(context["ageing"])))
        own["sections"] = [(*section[:3], next(places), _PLACE_OF_ROWS) for section in context["sections"]]
        if len(self._shapes) >= _MOST_SHAPES:
            self._shapes.clear()
        shapes = self._shapes[key] = [Shape(text) for text in self._template.render(own).split(_PLACE_OF_ROWS)]
        return shapes

    def _shape_of(self, row: Sequence[str]) -> Shape:
        key = tuple(map(bool, row))
        shape = self._shapes_of_rows.get(key)
        if shape is None:
            places = [Place(position) if cell else "" for position, cell in enumerate(row)]
            text = self._template_of_rows.render(zip(_CELLS, places, strict=True))
            shape = self._shapes_of_rows[key] = Shape(text)
        return shape


class StatementWords:
    """Turns a statement into the words of one language, for the page as for the PDF.

    Everything it returns is text; to make it harmless is the business of the template that shows it.
    """

    def __init__(self, language: str, contacts: Contacts, issued_on: date, disbursement: Disbursement) -> None:
        reinstatement = contacts.reinstatement_on(issued_on)
        self.language = language
        self.texts = read_texts()[language]
        self._kinds = kind_labels(language)
        # What each line says, cut at its one value.
        self._number_of = self.texts["line_number"].split("{number}")
        self._reference_of = self.texts["line_reference"].split("{reference}")
        self._activity_of = self.texts["line_activity"].split("{activity_on}")
        self._components = [_unbroken(self.texts[name]) + NO_BREAK_SPACE for name in COMPONENTS]
        self._fixed = {
            "letterhead_name": contacts.letterhead.name[language],
            "letterhead_programme": contacts.letterhead.programme[language],
            "letterhead_address": contacts.letterhead.address[language],
            "helpdesk": contacts.helpdesk_name[language],
            "reinstatement": reinstatement.name[language],
            "reinstatement_telephone": reinstatement.telephone or "",
            "disbursed_over": self._money_or_nothing(disbursement.over_cents),
            "disbursed_after": str(disbursement.after_months or ""),
        }

    def context(self, statement: Statement, *, streamed: bool = False) -> dict[str, Any]:
        """The values that a template of this language fills in; ``streamed``: rows are made while it goes over them."""
        head, lines = statement.head, statement.lines
        money = {
            name: format_money(cents, self.language)
            for name, cents in (
                ("opening", head.opening_cents),
                ("debits", head.debits_cents),
                ("credits", -head.credits_cents),
                ("closing", head.closing_cents),
                ("under_review", head.under_review_cents),
                ("total", head.total_payable_cents),
            )
        }
        sections = [self._section(section, own, streamed=streamed) for section, own in statement.sections()]
        return {
            **self._fixed,
            **money,
            **self._headline(head, money),
            "bn15": head.bn15,
            "legal_name": printable(head.legal_name or head.bn15),
            "operating_name": printable(head.operating_name) if head.operating_name else "",
            "period_start": head.period_start,
            "period_end": head.period_end,
            "issued_on": head.issued_on,
            "due_on": head.due_on,
            "program": self.texts.get(f"program_{head.program_type}", self.texts["program_unknown"]),
            "account_status": self._account_status(head),
            "closed_on": head.closed_on or "",
            "reissue": self._reissue(statement),
            "sections": sections,
            "ageing": self._ageing(head),
            "calculated_interest": self._money_or_nothing(head.calculated_interest_cents),
            "is_payable": head.total_payable_cents > 0,
            "is_credit": head.closing_cents < 0,
            "has_under_review": head.under_review_cents != 0,
            "is_review_credit": head.under_review_cents < 0,
            "has_other": any(section[0] == "other" for section in sections),
            "has_broker": any(line.broker_bn9 for line in lines),
        }

    def _reissue(self, statement: Statement) -> list[str]:
        """The heading and the sentences of the box; none for what was issued with its month."""
        told, texts = statement.reissue, self.texts
        if told is None:
            return []
        days = {"reissued_on": told.issued_on, "replaces": told.replaces, "replaces_issued_on": told.replaces_issued_on}
        box = [
            texts[f"reissue_{told.act}"].format(version=statement.head.version),
            texts["reissue_late" if told.replaces is None else "reissue_replaces"].format(**days),
        ]
        if told.changed:
            changed = ", ".join(texts[f"changed_{name}"] for name in told.changed)
            box.append(texts["reissue_changed"].format(changed=changed))
        return [*box, texts["reissue_why"].format(reason=printable(told.reason(self.language)))]

    def _headline(self, head: StatementHead, money: dict[str, str]) -> dict[str, str]:
        texts = self.texts
        if head.total_payable_cents > 0:
            return {
                "headline": texts["total_payable"],
                "headline_amount": money["total"],
                "headline_action": texts["pay_by"].format(due_on=head.due_on),
            }
        if head.closing_cents < 0:
            return {
                "headline": texts["credit_balance"],
                "headline_amount": money["closing"],
                "headline_action": texts["no_payment"],
            }
        action = "no_payment_for_now" if head.closing_cents > 0 else "no_payment"
        return {
            "headline": texts["total_payable"],
            "headline_amount": money["total"],
            "headline_action": texts[action],
        }

    def _ageing(self, head: StatementHead) -> list[str]:
        """The buckets and their sum; none for an account on which nothing is open."""
        if not any(head.ageing):
            return []
        return [format_money(cents, self.language) for cents in (*head.ageing, head.closing_cents)]

    def _money_or_nothing(self, cents: int | None) -> str:
        return format_money(cents, self.language) if cents else ""

    def _account_status(self, head: StatementHead) -> str:
        if head.account_status != "closed":
            return ""
        if head.closed_on is None:
            return self.texts["account_closed"]
        return self.texts["account_closed_on"].format(closed_on=head.closed_on)

    def _section(
        self, section: str, lines: Sequence[StatementLine], *, streamed: bool
    ) -> tuple[str, str, str, str, Iterable[tuple[str, ...]]]:
        total = format_amount(sum(line.amount_cents for line in lines), self.language)
        rows = map(self._row, lines)
        note = self.texts.get(f"note_{section}", "")
        return section, self.texts[f"section_{section}"], note, total, rows if streamed else list(rows)

    def _row(self, line: StatementLine) -> tuple[str, ...]:
        language, texts = self.language, self.texts
        return (
            self._kind(line.kind),
            self._number(line),
            self._dated(line),
            self._parts(line),
            texts["line_broker"].format(broker=printable_code(line.broker_bn9)) if line.broker_bn9 else "",
            self._remark(line),
            line.posted_on,
            line.due_on or "",
            format_amount(line.amount_cents, language),
            format_amount(line.running_balance_cents, language),
        )

    def _kind(self, code: str) -> str:
        return self._kinds.get(code) or printable_code(code)

    def _parts(self, line: Printed) -> str:
        # Interest that is all interest says so already.
        if line.kind == "INT" and line.interest_cents == line.amount_cents:
            return ""
        language = self.language
        parts = zip(self._components, line.components)  # noqa: B905  The check would take a tenth of the time.
        return _BETWEEN_PARTS.join([name + format_amount(cents, language) for name, cents in parts if cents])

    def _number(self, line: Numbered) -> str:
        if line.transaction_number:
            before, after = self._number_of
            return before + printable_code(line.transaction_number) + after
        before, after = self._reference_of
        return before + printable_code(line.transaction_id) + after

    def _dated(self, line: Numbered) -> str:
        if line.activity_on == line.posted_on:
            return ""
        before, after = self._activity_of
        return before + line.activity_on + after

    def _remark(self, line: Printed) -> str:
        """What a line must say when its amount is not simply the amount of its transaction."""
        if line.arrival == "moved":
            return self.texts["line_moved"]
        if line.status == "cancelled":
            return self.texts["line_cancelled"]
        if line.status == "reversed":
            return self.texts["line_reversed"]
        if line.amount_cents == line.posted_amount_cents:
            return ""
        text = self.texts["line_amount_now" if line.amount_cents else "line_no_effect"]
        return text.format(amount=format_money(line.posted_amount_cents, self.language))


def document_title(statement: Statement) -> str:
    """The title of the whole document: its name in each of its languages, the month and the account."""
    names = " / ".join(read_texts()[language]["document_title"] for language in statement.languages)
    return f"{names}, {statement.head.period}, {_plain_bn15(statement.head)}"


def page_label(head: StatementHead) -> str:
    """What stands at the foot of each sheet beside the number of the page."""
    return f"{_plain_bn15(head)} · {head.period}"


def _plain_bn15(head: StatementHead) -> str:
    # It is also put into the style sheet, for the foot of the printed page, where HTML's escaping does not hold.
    return _NOT_BN15.sub("", head.bn15)


def _unbroken(text: str) -> str:
    """The text on one line: an amount never stands on another line than its name."""
    return text.replace(" ", NO_BREAK_SPACE).replace("-", "\N{NON-BREAKING HYPHEN}")


def printable(text: str) -> str:
    """A name without control characters (each becomes U+FFFD), for a place of its own: ``bdi`` keeps its direction in.

    Escaping is the template's business.
    """
    return text if _is_plain(text) else _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def printable_code(text: str) -> str:
    """A number or a code, for the middle of a line; what would turn the words after it becomes U+FFFD too."""
    return text if _is_plain(text) else _CONTROLS_AND_TURNS.sub("\N{REPLACEMENT CHARACTER}", text)


def _is_plain(text: str) -> bool:
    """Nearly every text is, and a look at it is quicker than a search."""
    return text.isascii() and text.isprintable()


def _specialised(name: str) -> str:
    """The source of template ``<file>.<language>`` with every fixed text of that language in place."""
    file, language = name.rsplit(".", 1)
    source = (TEMPLATE_FOLDER / f"{file}.html.j2").read_text(encoding="utf-8")
    return specialise(source, language, read_texts()[language], _stylesheet())


def specialise(source: str, language: str, texts: Mapping[str, str], css: str) -> str:
    """The source of a template with the texts of a language in place of their marks, and ``css`` in place of its own.

    Raises ``KeyError`` for a mark without a text.
    """
    marks = {"lang": language, "css": css}
    for key, text in texts.items():
        marks[key] = _PLACEHOLDER.sub(r'<span class="whole">{{ \1 }}</span>', str(escape(text)))
    return _TEXT_MARK.sub(lambda mark: marks[mark[1]], source)


def _stylesheet() -> str:
    return shorten_css((TEMPLATE_FOLDER / "statement.css").read_text(encoding="utf-8"), read_texts())


def shorten_css(source: str, texts: Mapping[str, Mapping[str, str]]) -> str:
    """The style sheet on few lines: it is part of every document, so what only its readers need is left out."""
    source = _CSS_TEXT_MARK.sub(lambda mark: texts[mark[1]][mark[2]], source)
    source = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)
    return re.sub(r"\s*([{};:,>~])\s+|\s+([{}])", r"\1\2", " ".join(source.split())).strip()
