"""Notices with one good default each, and what a reader finds in a message."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cache
from html.parser import HTMLParser
from typing import Any

from include.carm.contacts import Contacts
from include.notice_page import (
    ClosureComingNotice,
    ClosureNotice,
    ConversionNotice,
    DigestLine,
    DigestNotice,
    MfaNotice,
    Notice,
    NoticePages,
    ReinstatementNotice,
    Session,
    StatementNotice,
    WebinarChangeNotice,
    WebinarNotice,
    WithdrawalNotice,
)

CONTACTS = Contacts.load()


@cache
def pages() -> NoticePages:
    return NoticePages(CONTACTS)


def statement(**changed: Any) -> StatementNotice:
    december = StatementNotice(
        bn15="000000018RM0001",
        legal_name="Example Trading Ltd.",
        issued_on=date(2021, 12, 25),
        period_start=date(2021, 11, 25),
        period_end=date(2021, 12, 24),
        due_on=date(2021, 12, 31),
        version=1,
    )
    return replace(december, **changed)


REASON = {"en": "the name was recorded wrongly", "fr": "le nom avait été mal consigné"}


def withdrawal(**changed: Any) -> WithdrawalNotice:
    december = WithdrawalNotice(
        bn15="000000018RM0001",
        legal_name="Example Trading Ltd.",
        issued_on=date(2021, 12, 25),
        period_start=date(2021, 11, 25),
        period_end=date(2021, 12, 24),
        version=1,
        written_on=date(2022, 1, 10),
        reason=REASON,
    )
    return replace(december, **changed)


def closure(**changed: Any) -> ClosureNotice:
    december = ClosureNotice(
        bn15="000000026RM0001",
        legal_name="Exemple d’importation ltée",
        issued_on=date(2021, 12, 25),
        effective_on=date(2021, 12, 25),
        cutoff_on=date(2017, 12, 24),
        as_of=date(2021, 12, 24),
        years=4,
        reinstatement=CONTACTS.reinstatement_on(date(2021, 12, 25)),
    )
    return replace(december, **changed)


def conversion(**changed: Any) -> ConversionNotice:
    december = ConversionNotice(
        bn15="000123455RM0002",
        legal_name="Example Exports Inc.",
        issued_on=date(2021, 12, 25),
        effective_on=date(2021, 12, 25),
        years=4,
        program_type="dual",
        new_program_type="exporter",
    )
    return replace(december, **changed)


def closure_coming(**changed: Any) -> ClosureComingNotice:
    december = ClosureComingNotice(
        bn15="000000026RM0001",
        legal_name="Exemple d’importation ltée",
        issued_on=date(2021, 12, 25),
        closes_on=date(2022, 3, 25),
        cutoff_on=date(2017, 12, 24),
        as_of=date(2021, 12, 24),
        years=4,
    )
    return replace(december, **changed)


def reinstatement(**changed: Any) -> ReinstatementNotice:
    january = ReinstatementNotice(
        bn15="000000026RM0001",
        legal_name="Exemple d’importation ltée",
        written_on=date(2022, 1, 25),
        effective_on=date(2022, 1, 10),
    )
    return replace(january, **changed)


def restored_type(**changed: Any) -> ReinstatementNotice:
    return reinstatement(**{"program_type": "dual", "corrected_program_type": "exporter"} | changed)


def mfa(**changed: Any) -> MfaNotice:
    december = MfaNotice(
        bn15="000000018RM0001",
        legal_name="Example Trading Ltd.",
        issued_on=date(2021, 12, 25),
        as_of=date(2021, 12, 24),
        asked_since=date(2021, 11, 9),
        portal_registered_on=date(2021, 6, 14),
    )
    return replace(december, **changed)


def line(**changed: Any) -> DigestLine:
    ready = DigestLine("000000018RM0001", "Example Trading Ltd.", "statement", date(2021, 12, 25))
    return replace(ready, **changed)


EVENTS = {
    "statement": date(2021, 12, 25),
    "closure": date(2021, 12, 26),
    "closure_coming": date(2022, 3, 25),
    "conversion": date(2021, 12, 27),
    "reinstatement": date(2022, 1, 10),
    "restored_type": date(2022, 1, 11),
    "mfa": date(2021, 6, 14),
}


def digest(*lines: DigestLine, **changed: Any) -> DigestNotice:
    december = DigestNotice(
        issued_on=date(2021, 12, 25),
        period_start=date(2021, 11, 25),
        period_end=date(2021, 12, 24),
        due_on=date(2021, 12, 31),
        lines=lines
        or tuple(
            line(
                bn15=f"000000018RM{number:04d}",
                legal_name=f"Example {number} Ltd.",
                kind=kind,
                happened_on=day,
                program_type={"conversion": "exporter", "restored_type": "dual"}.get(kind),
            )
            for number, (kind, day) in enumerate(EVENTS.items(), start=1)
        ),
        version=1,
        years=4,
        reinstatement=CONTACTS.reinstatement_on(date(2021, 12, 25)),
    )
    return replace(december, **changed)


def named_digest(**changed: Any) -> DigestNotice:
    """A digest whose first line has what is changed."""
    return digest(line(**changed), line(bn15="000000026RM0001", legal_name="Another Ltd."))


def session(**changed: Any) -> Session:
    onboarding = Session(
        title_en="Onboarding to the CARM Client Portal",
        title_fr="Intégration au portail client de la GCRA",
        language="both",
        starts_at=datetime(2022, 1, 12, 18, 0, tzinfo=UTC),
        minutes=60,
        link="https://example.org/join?session=1&lang=any",
    )
    return replace(onboarding, **changed)


def webinar(*sessions: Session, **changed: Any) -> WebinarNotice:
    january = WebinarNotice(
        issued_on=date(2021, 12, 25),
        month=date(2022, 1, 1),
        sessions=sessions
        or (
            session(),
            session(
                title_en="Open mic",
                title_fr="",
                language="en",
                starts_at=datetime(2022, 1, 20, 3, 30, tzinfo=UTC),
                link=None,
            ),
        ),
        subscribed_on=date(2021, 10, 4),
        asks_for_multi_factor=True,
    )
    return replace(january, **changed)


def webinar_change(change: str = "changed", **changed: Any) -> WebinarChangeNotice:
    january = WebinarChangeNotice(date(2021, 12, 25), session(), change, subscribed_on=date(2021, 10, 4))
    return replace(january, **changed)


SAMPLES: dict[str, Notice] = {
    "statement": statement(),
    "statement-version-2": statement(version=2, written_on=date(2022, 1, 10), reason=REASON),
    "withdrawal": withdrawal(),
    "closure": closure(),
    "conversion": conversion(),
    "conversion-to-importer": conversion(program_type="exporter", new_program_type="importer"),
    "closure-coming": closure_coming(),
    "reinstatement": reinstatement(),
    "reinstatement-of-type": restored_type(),
    "mfa": mfa(),
    "digest": digest(),
    "digest-2-without-statements": digest(
        *(line(bn15=f"000000026RM{number:04d}", legal_name="", kind="closure") for number in (1, 2)),
        period_start=None,
        period_end=None,
        due_on=None,
        version=2,
    ),
    "webinar": webinar(),
    "webinar-changed": webinar_change(),
    "webinar-cancelled": webinar_change("cancelled"),
    "webinar-added": webinar_change("added", session=session(title_fr="", link=None)),
}


@dataclass
class Page(HTMLParser):
    """An HTML part as its reader has it: the words, the links, the language of each word."""

    words: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str | None]] = field(default_factory=list)
    languages: dict[str, list[str]] = field(default_factory=dict)

    VOID = frozenset({"meta", "br"})

    def __post_init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []

    @classmethod
    def read(cls, html: bytes) -> Page:
        page = cls()
        page.feed(html.decode())
        page.close()
        assert not page.open, f"never closed: {page.open}"
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        language = self.open[-1][1] if self.open else ""
        language = dict(attrs).get("lang") or language
        if tag not in self.VOID:
            self.open.append((tag, language))
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self.open.pop()
        assert opened == tag, f"<{opened}> is closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        if data.strip() and not {"style", "title"} & {tag for tag, _ in self.open}:
            self.words += data.split()
            self.languages.setdefault(self.open[-1][1], []).extend(data.split())


_RULE_LINE = re.compile(r"^[=-]+$", re.MULTILINE)
_LINK_LINE = re.compile(r"^https?://\S+$", re.MULTILINE)


def words_of_text(text: bytes) -> list[str]:
    """The words of a text part, without the lines that only draw and the links that HTML hides behind a label."""
    kept = _LINK_LINE.sub("", _RULE_LINE.sub("", text.decode()))
    return [word for word in kept.split() if word != "-"]


def without_colons(words: list[str]) -> list[str]:
    """Words to compare: text writes ``label: value`` where HTML puts the value on a line of its own."""
    return [bare for word in words if (bare := word.rstrip(":"))]


def figures(text: str) -> Counter[str]:
    """Every number, date and hour in ``text``, with how often it stands there."""
    return Counter(re.findall(r"\d+(?:[-:.,\s]\d+)*", text.replace("\n", " ")))
