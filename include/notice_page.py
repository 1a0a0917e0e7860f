"""Turns one notice into a subject, a plain text and an HTML page, in English, French or both.

Every kind of notice is one template (``include/templates/notice/<kind>.jinja``) that is compiled twice: once over
the macros of ``page.html``, once over those of ``page.txt``; what is also printed, a third time over those of
``page.json``. So all parts say the same by construction, and so do both languages: the sentences of the template are
English, ``include/locale/fr`` holds each in French.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property, lru_cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from babel.dates import format_date
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, pass_eval_context, select_autoescape
from jinja2.nodes import EvalContext
from markupsafe import Markup, escape

from include.carm.contacts import Contacts, ReinstatementContact
from include.notice_shapes import MessageShape, wrapped

if TYPE_CHECKING:
    from include.newsletter_text import Block
    from include.quarterly_figures import QuarterFigures

TEMPLATE_FOLDER = Path(__file__).parent / "templates" / "notice"
LOCALE_FOLDER = Path(__file__).parent / "locale"

KINDS = (
    "statement",
    "withdrawal",
    "closure",
    "closure_coming",
    "conversion",
    "reinstatement",
    "mfa",
    "digest",
    "webinar",
    "webinar_change",
    "quarterly",
)
PARTS = ("txt", "html", "letter")
"""What every kind is compiled to: the two parts of a message, and the blocks of a printed letter."""
PRINTED_KINDS = ("quarterly",)
"""Kinds that are set in print too: their template is compiled once more, over the macros of ``page.json``."""
LANGUAGES: Mapping[str, tuple[str, ...]] = MappingProxyType({"en": ("en",), "fr": ("fr",), "both": ("en", "fr")})
"""Which versions a message of each language holds, in their order."""

EASTERN = ZoneInfo("America/Toronto")
UTC = ZoneInfo("UTC")
MULTI_FACTOR_SINCE = date(2021, 11, 9)
"""From this day every portal asks for multi-factor authentication (CARM Quarterly, end of 2021)."""

_LOCALES = {"en": "en_CA", "fr": "fr_CA"}
# Unicode categories: control characters and separators of lines end a word; format characters (they turn the direction
# of writing, or are not seen at all) and lone surrogates are left out.
_BREAKS, _INVISIBLE = {"Cc", "Zl", "Zp"}, {"Cf", "Cs"}

# Contrast of every pair is at least 4.5 in both palettes; a test computes it.
LIGHT: Mapping[str, str] = MappingProxyType(
    {
        "around": "#f1f3f5",
        "paper": "#ffffff",
        "ink": "#1d2733",
        "muted": "#4d5966",
        "rule": "#c9d1d9",
        "link": "#0b4f8f",
    }
)
DARK: Mapping[str, str] = MappingProxyType(
    {
        "around": "#0f1419",
        "paper": "#18202a",
        "ink": "#e9edf1",
        "muted": "#b3bdc8",
        "rule": "#3b4754",
        "link": "#8cc2ff",
    }
)


def one_line(text: str | None) -> str:
    """A text from the source on one line: a name with a line break must not begin a line, or a header, of its own."""
    if not text:
        return ""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    return " ".join(visible(text).split())


def visible(text: str) -> str:
    """A text with a space for whatever ends a line, and without what turns the direction of writing or is not seen."""
    kept = []
    for character in text:
        category = unicodedata.category(character)
        if category not in _INVISIBLE:
            kept.append(" " if category in _BREAKS else character)
    return "".join(kept)


def safe_link(url: str | None) -> str | None:
    """The address of a web page as it may stand in a message, or None where it is none: no script, no half address."""
    if not url or not url.isascii() or not url.isprintable() or any(character in url for character in ' "<>\\^`{|}'):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    # Credentials in front of the host are how a link pretends to lead elsewhere.
    usable = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    return url if usable else None


@dataclass(frozen=True)
class Message:
    """A rendered notice: the subject line, the two parts, and the calendar entries that come with it, as UTF-8."""

    subject: str
    text: bytes
    html: bytes
    calendars: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class StatementNotice:
    """A statement is ready in the portal. There is no place for an amount here, on purpose.

    A version that was issued after its month has the day of this notice, ``written_on``, and why by language.
    """

    bn15: str
    legal_name: str
    issued_on: date
    period_start: date
    period_end: date
    due_on: date
    version: int
    written_on: date | None = None
    reason: Mapping[str, str] | None = None


@dataclass(frozen=True)
class WithdrawalNotice:
    """A version of a statement was issued wrongly; ``reason`` says why by language."""

    bn15: str
    legal_name: str
    issued_on: date
    period_start: date
    period_end: date
    version: int
    written_on: date
    reason: Mapping[str, str]


@dataclass(frozen=True)
class ClosureNotice:
    """An account was closed; ``cutoff_on`` and ``as_of`` are the first and last day of the years looked at."""

    bn15: str
    legal_name: str
    issued_on: date
    effective_on: date
    cutoff_on: date
    as_of: date
    years: int
    reinstatement: ReinstatementContact


@dataclass(frozen=True)
class ConversionNotice:
    """A program type (importer, exporter, dual) was corrected."""

    bn15: str
    legal_name: str
    issued_on: date
    effective_on: date
    years: int
    program_type: str
    new_program_type: str


@dataclass(frozen=True)
class ClosureComingNotice:
    """An account will be closed on ``closes_on`` at the earliest, unless there is activity on it before.

    ``cutoff_on`` and ``as_of`` are the first and last day of the years looked at.
    """

    bn15: str
    legal_name: str
    issued_on: date
    closes_on: date
    cutoff_on: date
    as_of: date
    years: int


@dataclass(frozen=True)
class ReinstatementNotice:
    """A closed account is open again, or a program type that was corrected is put back to ``program_type``.

    ``corrected_program_type`` is what it had been corrected to; both are None where the account was closed.
    """

    bn15: str
    legal_name: str
    written_on: date
    effective_on: date
    program_type: str | None = None
    corrected_program_type: str | None = None


@dataclass(frozen=True)
class MfaNotice:
    """A client of the portal had not registered for multi-factor authentication on ``as_of``."""

    bn15: str
    legal_name: str
    issued_on: date
    as_of: date
    asked_since: date
    portal_registered_on: date


@dataclass(frozen=True)
class DigestLine:
    """One event of one account. ``kind`` is that of a notice, or ``restored_type``, a program type that is put back.

    ``program_type`` is what the account is now registered as, where that is what happened.
    """

    bn15: str
    legal_name: str
    kind: str
    happened_on: date
    program_type: str | None = None


@dataclass(frozen=True)
class DigestNotice:
    """What one person would have been told in many messages. As in those, there is no place for an amount.

    The period and the due date are those of the statements, and None where no line is about one. A further digest of
    the same month holds only what is new.
    """

    issued_on: date
    period_start: date | None
    period_end: date | None
    due_on: date | None
    lines: tuple[DigestLine, ...]
    version: int
    years: int
    reinstatement: ReinstatementContact

    @cached_property
    def kinds(self) -> frozenset[str]:
        return frozenset(line.kind for line in self.lines)

    @cached_property
    def accounts(self) -> int:
        return len({line.bn15 for line in self.lines})


@dataclass(frozen=True)
class Session:
    """One webinar. ``minutes`` is None where the source names no usable duration, ``link`` where it names no link."""

    title_en: str
    title_fr: str
    language: str
    starts_at: datetime
    minutes: int | None
    link: str | None

    def title(self, language: str) -> tuple[str, str]:
        """The title for a reader of ``language``, and the language it is in: the other one where only that exists."""
        titles = {"en": self.title_en, "fr": self.title_fr}
        other = "fr" if language == "en" else "en"
        return (titles[language], language) if titles[language] else (titles[other], other)

    @cached_property
    def eastern(self) -> tuple[datetime, datetime]:
        """Start and end on the clock of Toronto; the end is reckoned in UTC, so that a change of clocks is in it."""
        start, end = self.utc
        return start.astimezone(EASTERN), end.astimezone(EASTERN)

    @cached_property
    def utc(self) -> tuple[datetime, datetime]:
        start = self.starts_at.astimezone(UTC)
        return start, start + timedelta(minutes=self.minutes or 0)


@dataclass(frozen=True)
class WebinarNotice:
    """The sessions of one calendar month for one person on the distribution list.

    ``unsubscribe_url`` is for a link that unsubscribes by itself; while it is None the notice names the mailbox alone.
    """

    issued_on: date
    month: date
    sessions: tuple[Session, ...]
    subscribed_on: date
    asks_for_multi_factor: bool
    unsubscribe_url: str | None = None


@dataclass(frozen=True)
class WebinarChangeNotice:
    """One session for one person who knows of it, or of its month: ``change`` is changed, cancelled or added.

    ``unsubscribe_url`` as in :class:`WebinarNotice`.
    """

    issued_on: date
    session: Session
    change: str
    subscribed_on: date
    unsubscribe_url: str | None = None


@dataclass(frozen=True)
class QuarterlyNotice:
    """An issue of the newsletter: what persons wrote, by language, the quarter's figures, and the coming sessions.

    For one person on the distribution list it has ``subscribed_on``, and ``unsubscribe_url`` as a webinar notice has;
    without them it is the document that everybody may read. ``sessions`` is None where they are not known.
    """

    issued_on: date
    text: Mapping[str, tuple[Block, ...]]
    figures: QuarterFigures
    sessions_month: date
    sessions: tuple[Session, ...] | None
    subscribed_on: date | None = None
    unsubscribe_url: str | None = None


Notice = (
    StatementNotice
    | WithdrawalNotice
    | ClosureNotice
    | ClosureComingNotice
    | ConversionNotice
    | ReinstatementNotice
    | MfaNotice
    | DigestNotice
    | WebinarNotice
    | WebinarChangeNotice
    | QuarterlyNotice
)
_SHAPED = (StatementNotice, ClosureNotice, ClosureComingNotice, ConversionNotice)
"""What is told of many accounts at once, in the same words but for their numbers and names."""
_Shaped = StatementNotice | ClosureNotice | ClosureComingNotice | ConversionNotice
_KIND_OF: Mapping[type, str] = MappingProxyType(
    {
        StatementNotice: "statement",
        WithdrawalNotice: "withdrawal",
        ClosureNotice: "closure",
        ClosureComingNotice: "closure_coming",
        ConversionNotice: "conversion",
        ReinstatementNotice: "reinstatement",
        MfaNotice: "mfa",
        DigestNotice: "digest",
        WebinarNotice: "webinar",
        WebinarChangeNotice: "webinar_change",
        QuarterlyNotice: "quarterly",
    }
)


class _EitherPart(FileSystemLoader):
    """Finds ``closure.html`` and ``closure.txt`` both in ``closure.jinja``; the asked name decides about escaping."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        stem, _, _ = template.rpartition(".")
        is_either = stem in (*KINDS, "session")
        source, file, is_fresh = super().get_source(environment, f"{stem}.jinja" if is_either else template)
        return source, str(file), is_fresh


def _tally(count: int | None, number: Callable[[int], str], unknown: str) -> str:
    return unknown if count is None else number(count)


def _environment() -> Environment:
    environment = Environment(
        loader=_EitherPart(TEMPLATE_FOLDER),
        autoescape=select_autoescape(enabled_extensions=("html",), default=False),
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # Most sentences are the same in all messages of a month, and breaking them takes long.
    environment.filters["wrapped"] = lru_cache(maxsize=4096)(wrapped)
    environment.filters["without_scheme"] = lambda url: url.removeprefix("mailto:")
    environment.filters["tally"] = _tally
    environment.filters["as_data"] = asdict
    return environment


def load_french() -> GNUTranslations:
    """The French catalog, compiled in memory, so that no compiled file can lag behind the one people edit."""
    with (LOCALE_FOLDER / "fr" / "LC_MESSAGES" / "notices.po").open("rb") as file:
        catalog = read_po(file, locale="fr")
    compiled = BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return GNUTranslations(compiled)


def translator(catalog: NullTranslations) -> Callable[..., str]:
    """What a template calls ``_``: the sentence in the language of the catalog, with its values filled in."""

    @pass_eval_context
    def translate(context: EvalContext, sentence: str, **values: object) -> str:
        translated = catalog.gettext(sentence)
        if context.autoescape:
            # The sentence is escaped first, then each value as it is filled in.
            return escape(translated) % values if values else escape(translated)
        return translated % values if values else translated

    return translate


def _clock(instant: datetime, beside: datetime | None = None) -> str:
    """``13:00``, followed by the day where it is another than that of the start."""
    if beside is not None and beside.date() != instant.date():
        return f"{instant:%H:%M} ({instant:%Y-%m-%d})"
    return f"{instant:%H:%M}"


def _offset(instant: datetime) -> str:
    """The distance from UTC, with the minus sign that belongs between figures: ``UTC−05:00``."""
    written = f"{instant:%z}"
    sign = "−" if written[0] == "-" else "+"
    return f"UTC{sign}{written[1:3]}:{written[3:5]}"


class NoticePages:
    """Renders notices; make one and use it for all, for compiling the templates costs more than using them."""

    def __init__(self, contacts: Contacts) -> None:
        environment = _environment()
        catalogs: dict[str, NullTranslations] = {"en": NullTranslations(), "fr": load_french()}
        self._templates: dict[tuple[str, str], Template] = {
            (kind, part): environment.get_template(f"{kind}.{part}") for kind in KINDS for part in PARTS
        } | {(kind, "json"): environment.get_template(f"{kind}.json") for kind in PRINTED_KINDS}
        self._frames = {part: environment.get_template(f"frame.{part}") for part in ("txt", "html")}
        self._entry = environment.get_template("entry.txt")
        self._common: dict[tuple[str, str], dict[str, Any]] = {}
        self._shapes: dict[tuple[_Shaped, str], tuple[str, MessageShape | None]] = {}
        for language, catalog in catalogs.items():
            texts = {
                "_": translator(catalog),
                "language": language,
                "clock": _clock,
                "offset": _offset,
                "weekday": lambda day, locale=_LOCALES[language]: format_date(day, "EEEE", locale=locale),
                "month_name": lambda day, locale=_LOCALES[language]: format_date(day, "MMMM y", locale=locale),
                "number": lambda count, locale=_LOCALES[language]: format_decimal(count, locale=locale),
                "letterhead": contacts.letterhead,
                "helpdesk": contacts.helpdesk_name[language],
                "mailbox": contacts.engagement_email,
                "unsubscribe_mail": f"mailto:{contacts.engagement_email}?subject="
                + quote("Unsubscribe – Désabonnement"),
                "colour": LIGHT,
            }
            for part in (*PARTS, "json"):
                page = environment.get_template(f"page.{part}").make_module(texts)
                sessions = environment.get_template(f"session.{part}").make_module({**texts, "page": page})
                self._common[language, part] = {**texts, "page": page, "sessions": sessions}

    def render(self, notice: Notice, language: str) -> Message:
        """The message for ``notice`` in ``language``: ``en``, ``fr``, or ``both`` (one whole version after the other).

        The same notice gives the same bytes.
        """
        if not isinstance(notice, _SHAPED) or not notice.legal_name:
            return self._render(notice, language)
        about_nobody = replace(notice, bn15="", legal_name="")
        try:
            found = self._shapes.get((about_nobody, language))
        except TypeError:
            # What is told of an act has its reason in a dictionary: there are few of those.
            return self._render(notice, language)
        if found is None:
            self._shapes[about_nobody, language] = found = self._shape(notice, language)
        subject, shape = found
        if shape is None:
            return self._render(notice, language)
        return Message(subject, *shape.fill(notice.bn15, notice.legal_name))

    def _shape(self, notice: _Shaped, language: str) -> tuple[str, MessageShape | None]:
        """The subject of all notices like this one, and their shape; None where the template does more than print.

        A shape is believed when it gives what the template gives.
        """
        bn15, legal_name = MessageShape.places
        plain = self._render(notice, language)
        placed = self._render(replace(notice, bn15=bn15, legal_name=legal_name), language)
        try:
            shape = MessageShape(placed.text.decode(), placed.html.decode())
        except ValueError:
            return plain.subject, None
        is_true = placed.subject == plain.subject
        is_true &= (plain.text, plain.html) == shape.fill(notice.bn15, notice.legal_name)
        return plain.subject, shape if is_true else None

    def _render(self, notice: Notice, language: str) -> Message:
        kind = _KIND_OF[type(notice)]
        languages = LANGUAGES[language]
        subjects = [self._block("subject", kind, one, "txt", notice) for one in languages]
        subject = one_line(" / ".join(subjects))
        texts = [self._block("body", kind, one, "txt", notice) for one in languages]
        text = self._frames["txt"].render(versions=texts)
        pages = [(one, Markup(self._block("body", kind, one, "html", notice))) for one in languages]  # noqa: S704
        html = self._frames["html"].render(
            versions=pages, language=languages[0], subject=subject, light=LIGHT, dark=DARK
        )
        # Macros leave blank lines behind, more or fewer by what a notice contains.
        return Message(subject, re.sub(r"\n{3,}", "\n\n", text).lstrip("\n").encode(), html.encode())

    def describe(self, session: Session, language: str, *, is_cancelled: bool) -> tuple[str, str]:
        """What the calendar entry of a session says: its summary, and its description in lines of any length.

        In both languages it says it in English, then in French.
        """
        said: dict[str, list[str]] = {"summary": [], "description": []}
        for one in LANGUAGES[language]:
            context = self._entry.new_context(
                {**self._common[one, "txt"], "session": session, "is_cancelled": is_cancelled}
            )
            for block, texts in said.items():
                texts.append("".join(self._entry.blocks[block](context)).strip())
        # A title that exists in one language alone is said once.
        return " / ".join(dict.fromkeys(said["summary"])), "\n\n".join(said["description"])

    def blocks(self, notice: Notice, language: str) -> list[dict[str, Any]]:
        """What the notice says in ``en`` or ``fr``, block by block, for a letter: ``{"block": "paragraph", ...}``.

        Only kinds about one account are letters: what a letter cannot have, a table or a link, has no block.
        """
        body = self._block("body", _KIND_OF[type(notice)], language, "letter", notice)
        return [json.loads(block) for block in body.splitlines() if block.strip()]

    def elements(self, notice: Notice, language: str) -> tuple[str, list[dict[str, Any]]]:
        """The subject and what the notice is made of, one element after the other, in one language, for print."""
        kind = _KIND_OF[type(notice)]
        subject = one_line(self._block("subject", kind, language, "txt", notice))
        body = self._block("body", kind, language, "json", notice)
        return subject, [json.loads(line) for line in body.splitlines() if line.strip()]

    def _block(self, block: str, kind: str, language: str, part: str, notice: Notice) -> str:
        template = self._templates[kind, part]
        context = template.new_context({**self._common[language, part], "notice": notice})
        return "".join(template.blocks[block](context))
