from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.notice_page import DARK, LANGUAGES, LIGHT, DigestNotice, Message, Notice, NoticePages, one_line, safe_link
from tests.notices.samples import (
    CONTACTS,
    SAMPLES,
    Page,
    closure,
    closure_coming,
    conversion,
    digest,
    figures,
    line,
    mfa,
    named_digest,
    pages,
    reinstatement,
    restored_type,
    session,
    statement,
    webinar,
    without_colons,
    words_of_text,
)

GOLDEN = Path(__file__).parent / "golden"
EVERY_SAMPLE = pytest.mark.parametrize("notice", SAMPLES.values(), ids=SAMPLES)
EVERY_LANGUAGE = pytest.mark.parametrize("language", LANGUAGES)


def text_of(notice: Notice, language: str) -> str:
    return pages().render(notice, language).text.decode()


def facts_of(notice: Notice, language: str) -> dict[str, str]:
    """The labelled facts of the text part; a line that is continued counts as one."""
    lines = text_of(notice, language).replace("\n    ", " ").splitlines()
    pairs = (re.split(r"\s?: ", line.strip(), maxsplit=1) for line in lines if re.match(r"  [^ -].*: ", line))
    return dict(pairs)


# What a person receives


@pytest.mark.parametrize("language", ["en", "fr"])
@EVERY_SAMPLE
def test_a_message_is_what_was_reviewed(notice: Notice, language: str, request: pytest.FixtureRequest) -> None:
    name = next(name for name, sample in SAMPLES.items() if sample is notice)
    message = pages().render(notice, language)
    for part, content in (("txt", message.subject.encode() + b"\n\n" + message.text), ("html", message.html)):
        path = GOLDEN / f"{name}-{language}.{part}"
        if os.environ.get("CARM_REWRITE_GOLDEN"):
            path.write_bytes(content)
        assert path.read_bytes() == content, f"{path.name} differs: see the diff, then CARM_REWRITE_GOLDEN=1"


@EVERY_LANGUAGE
@EVERY_SAMPLE
def test_the_same_notice_gives_the_same_bytes(notice: Notice, language: str) -> None:
    assert pages().render(notice, language) == pages().render(notice, language)


@EVERY_LANGUAGE
@pytest.mark.parametrize("make", [statement, closure, closure_coming, conversion], ids=lambda make: make.__name__)
@given(names=st.lists(st.text(max_size=120).map(one_line), min_size=2, max_size=6))
def test_a_message_that_was_filled_in_is_the_one_that_the_template_makes(
    make: Callable[..., Notice], language: str, names: list[str]
) -> None:
    """A name of any length and any letters; the first one makes the shape."""
    rendered = pages()
    rendered._shapes.clear()
    for number, legal_name in enumerate(names):
        notice = make(bn15=f"{number:09d}RM0001", legal_name=legal_name)
        assert rendered._render(notice, language) == rendered.render(notice, language)
    assert all(shape for _, shape in rendered._shapes.values())


def test_a_template_that_changes_a_name_is_asked_for_each_message(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = NoticePages(CONTACTS)
    plain = rendered._render

    def shout(notice: Notice, language: str) -> Message:
        message = plain(notice, language)
        return replace(message, html=message.html.upper())

    monkeypatch.setattr(rendered, "_render", shout)
    for name in ("One Ltd.", "Two Ltd."):
        assert name.upper() in rendered.render(statement(legal_name=name), "en").html.decode()


# English and French


@EVERY_SAMPLE
def test_english_and_french_have_the_same_numbers_dates_and_links(notice: Notice) -> None:
    english, french = (pages().render(notice, language) for language in ("en", "fr"))
    assert figures(english.subject) == figures(french.subject)
    assert figures(english.text.decode()) == figures(french.text.decode())
    assert Page.read(english.html).links == Page.read(french.html).links


@EVERY_SAMPLE
def test_a_message_in_both_languages_holds_both_whole_versions(notice: Notice) -> None:
    both, english, french = (pages().render(notice, language) for language in ("both", "en", "fr"))
    assert both.text.decode().startswith("Le français suit.\n")
    assert english.text in both.text
    assert french.text in both.text
    assert both.text.index(english.text) < both.text.index(french.text)
    assert both.subject == f"{english.subject} / {french.subject}"
    alone = [Page.read(message.html).words for message in (english, french)]
    assert Page.read(both.html).words == ["Le", "français", "suit.", *alone[0], *alone[1]]


def test_the_language_of_each_version_is_marked() -> None:
    spoken = Page.read(pages().render(statement(), "both").html).languages
    assert "ready" in spoken["en"]
    assert "disponible" in spoken["fr"]
    assert spoken["fr"][:3] == ["Le", "français", "suit."]


def test_a_title_that_exists_in_one_language_is_marked_as_such() -> None:
    spoken = Page.read(pages().render(webinar(session(title_fr="")), "fr").html).languages
    assert spoken["en"] == ["Onboarding", "to", "the", "CARM", "Client", "Portal"]


def test_a_session_without_a_title_is_called_a_session() -> None:
    untitled = webinar(session(title_fr="", title_en=""))
    assert "CARM Client Portal session" in text_of(untitled, "en")
    assert "Séance sur le portail client de la GCRA" in text_of(untitled, "fr")


@EVERY_SAMPLE
def test_french_typography_keeps_a_colon_with_its_word(notice: Notice) -> None:
    french = text_of(notice, "fr")
    assert not re.search(r"[^\d\s]:(?!//)", french), "a colon without a space before it"
    assert not re.search(r"[ \n]:", french), "a colon that may begin a line"


# Text and HTML


@EVERY_LANGUAGE
@EVERY_SAMPLE
def test_text_and_html_say_the_same(notice: Notice, language: str) -> None:
    message = pages().render(notice, language)
    assert without_colons(words_of_text(message.text)) == without_colons(Page.read(message.html).words)
    for link in Page.read(message.html).links:
        shown = link.removeprefix("tel:").removeprefix("mailto:").partition("?subject=")[0]
        assert shown in message.text.decode()


@EVERY_LANGUAGE
@EVERY_SAMPLE
def test_html_needs_no_image_no_script_and_nothing_from_elsewhere(notice: Notice, language: str) -> None:
    page = Page.read(pages().render(notice, language).html)
    assert {"img", "script", "link", "iframe", "form"}.isdisjoint(page.tags)
    # A table is for what is one: only a digest lists accounts by what happened to them.
    assert page.tags.count("table") == (len(LANGUAGES[language]) if isinstance(notice, DigestNotice) else 0)
    assert {"src", "background", "srcset", "onclick"}.isdisjoint(name for name, _ in page.attributes)
    assert not any("url(" in (value or "") for _, value in page.attributes)


@EVERY_SAMPLE
def test_text_lines_fit_a_terminal(notice: Notice) -> None:
    long = [line for line in text_of(notice, "both").splitlines() if len(line) > 72]
    assert not [line for line in long if " " in line.strip()]


def _luminance(colour: str) -> float:
    channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("foreground", ["ink", "muted", "link"])
def test_contrast_is_enough_in_light_and_in_dark(palette: dict[str, str], foreground: str) -> None:
    lighter, darker = sorted((_luminance(palette[foreground]), _luminance(palette["paper"])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


# What must not stand in a message


@EVERY_LANGUAGE
@pytest.mark.parametrize(
    "notice", [statement(), statement(version=2), digest(), mfa()], ids=["first", "second", "digest", "mfa"]
)
def test_a_notice_of_a_statement_names_no_amount_and_links_nowhere(language: str, notice: Notice) -> None:
    message = pages().render(notice, language)
    assert "$" not in message.text.decode()
    assert Page.read(message.html).links == []
    assert not re.search(r"https?:|www\.|@", message.text.decode())


HOSTILE_NAMES = [
    '<script>alert("1")</script>',
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }} {% raw %}",
    "%(bn15)s %s 100 %",
    "Ltd.\r\nBcc: other@example.org\r\n\r\nPay now",
    "Ltd.\u2028Pay now\x85\x0b\x0cto us",
    "safe\u202eexe.ediug",
    "&amp; &lt;",
    "</title></style><h1>x",
]


@EVERY_LANGUAGE
@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize(
    "build",
    [statement, closure, closure_coming, conversion, reinstatement, restored_type, mfa, named_digest],
)
def test_a_hostile_name_comes_out_as_text(build: type, name: str, language: str) -> None:
    plain, hostile = (pages().render(build(legal_name=text), language) for text in ("Example", one_line(name)))
    assert Page.read(hostile.html).tags == Page.read(plain.html).tags
    shown = one_line(name)
    assert shown in " ".join(Page.read(hostile.html).words)
    assert shown in " ".join(hostile.text.decode().split())
    assert hostile.subject == plain.subject


@pytest.mark.parametrize("title", HOSTILE_NAMES)
def test_a_hostile_title_comes_out_as_text(title: str) -> None:
    plain, hostile = (pages().render(webinar(session(title_en=text)), "en") for text in ("Example", one_line(title)))
    assert Page.read(hostile.html).tags == Page.read(plain.html).tags
    assert one_line(title) in " ".join(hostile.text.decode().split())


@given(st.text(max_size=60))
def test_a_name_is_always_one_line_of_the_page(name: str) -> None:
    shown = one_line(name)
    assert shown.splitlines() in ([], [shown])
    message = pages().render(statement(legal_name=shown), "both")
    assert Page.read(message.html).tags.count("h1") == 2
    assert message.text.decode().count("\n===") == 3  # under two titles, and between the versions


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.org/join?a=1&b=2", True),
        ("http://example.org", True),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("//example.org/x", False),
        ("https://", False),
        ("https://example.org/\nx", False),
        ("https://example.org/a b", False),
        ('https://example.org/"onclick=x', False),
        ("https://bank.example@evil.example/", False),
        ("https://exämple.org/", False),
        ("http://[::1", False),
        ("", False),
        (None, False),
    ],
)
def test_only_the_address_of_a_web_page_becomes_a_link(url: str | None, expected: bool) -> None:
    assert (url if expected else None) == safe_link(url)


# Digests


def test_the_table_of_a_digest_can_be_read_by_ear() -> None:
    html = pages().render(digest(), "en").html.decode()
    assert "<caption " in html
    assert html.count('<th scope="col"') == 2
    assert html.count('<th scope="row"') == len(digest().lines)
    assert html.index("<caption ") < html.index("<thead>") < html.index("<tbody>")


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("clients", [500, 5_000])
def test_a_digest_of_many_clients_names_every_one_once(clients: int, language: str) -> None:
    numbers = [f"{number:09d}RM0001" for number in range(1, clients + 1)]
    lines = (line(bn15=bn15, legal_name=f"Client {bn15[:9]}") for bn15 in numbers)
    message = pages().render(digest(*lines), language)
    text, words = message.text.decode(), Page.read(message.html).words
    assert numbers == re.findall(r"^  (\d{9}RM\d{4})$", text, re.MULTILINE)
    assert numbers == [word for word in words if re.fullmatch(r"\d{9}RM\d{4}", word)]
    assert f"({clients})" in message.subject


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_digest_that_a_reader_cuts_off_has_lost_no_advice(language: str) -> None:
    """Gmail shows the first 102 kB of a message."""
    numbers = [f"{number:09d}RM0001" for number in range(1, 501)]
    lines = [line(bn15=bn15, legal_name=f"Client {bn15} Importations et Exports") for bn15 in numbers]
    closed = line(kind="closure", bn15="999999999RM0001", legal_name="The last one")
    message = pages().render(digest(*lines, closed), language)
    assert len(message.html) < 102_000
    for part in (message.html.decode(), message.text.decode()):
        assert part.index("1-800-959-5525") < part.index(numbers[0])
        assert numbers[-1] not in part[: part.index(numbers[0])]


def test_an_account_with_two_events_has_two_lines_and_counts_once() -> None:
    message = pages().render(digest(line(), line(kind="mfa")), "en")
    assert message.subject.endswith("about your RM accounts (1)")
    assert message.text.decode().count("000000018RM0001") == 2


def test_a_digest_advises_on_what_it_tells_and_on_nothing_else() -> None:
    told = text_of(digest(line(), line(kind="mfa")), "en")
    assert "Statement period" in told
    assert "Multi-factor authentication not registered: " in told
    assert "To reinstate" not in told
    closed = text_of(digest(line(kind="closure"), period_start=None, period_end=None, due_on=None), "en")
    assert "1-800-959-5525" in closed
    assert "Due date" not in closed
    assert "Sign in" not in closed


# Whom to ask


def test_a_closure_names_the_office_that_reinstates_on_the_day_of_the_notice() -> None:
    before, after = (
        closure(issued_on=day, reinstatement=CONTACTS.reinstatement_on(day))
        for day in (date(2024, 5, 12), date(2024, 5, 13))
    )
    assert "1-800-959-5525" in text_of(before, "en")
    assert "Agence du revenu du Canada (ARC)" in text_of(before, "fr")
    assert "1-800-959-5525" not in text_of(after, "en")
    assert "Canada Revenue Agency" not in text_of(after, "en")
    assert (
        "Canada Border Services Agency" in text_of(after, "en").partition("To reinstate")[2].partition("Questions")[0]
    )


def test_a_conversion_says_what_stays_the_same() -> None:
    said = " ".join(text_of(conversion(), "en").split())
    assert "You use the same RM number." in said
    assert "CARM Client Portal stays the same." in said
    assert "Canadian Export Reporting System (CERS) stays the same." in said
    assert "CARM Client Support Helpdesk (CCSH)" in said


def test_a_webinar_notice_says_why_one_gets_it_and_how_to_end_it() -> None:
    message = pages().render(webinar(), "en")
    said = " ".join(message.text.decode().split())
    assert "you asked to be added to the CARM distribution list (2021-10-04)" in said
    assert CONTACTS.engagement_email in said
    assert "Canada Border Services Agency Ottawa, Ontario" in said
    mails = [link for link in Page.read(message.html).links if link.startswith("mailto:")]
    assert mails[-1].startswith(f"mailto:{CONTACTS.engagement_email}?subject=Unsubscribe")


def test_a_link_that_unsubscribes_has_its_place() -> None:
    message = pages().render(webinar(unsubscribe_url="https://example.org/u/opaque"), "both")
    assert Page.read(message.html).links.count("https://example.org/u/opaque") == 2


# The clock


def at(year: int, month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("starts_at", "minutes", "day", "eastern", "utc"),
    [
        # Winter, five hours behind.
        (at(2022, 1, 12, 18), 60, "Wednesday 2022-01-12", "13:00 to 14:00, Eastern Standard Time (EST), UTC−05:00",
         "2022-01-12, 18:00 to 19:00"),
        # The Friday before clocks go forward on 2022-03-13, and the Monday after.
        (at(2022, 3, 11, 18), 60, "Friday 2022-03-11", "13:00 to 14:00, Eastern Standard Time (EST), UTC−05:00",
         "2022-03-11, 18:00 to 19:00"),
        (at(2022, 3, 14, 17), 60, "Monday 2022-03-14", "13:00 to 14:00, Eastern Daylight Time (EDT), UTC−04:00",
         "2022-03-14, 17:00 to 18:00"),
        # Through the missing hour, and through the hour that comes twice on 2022-11-06.
        (at(2022, 3, 13, 6, 30), 60, "Sunday 2022-03-13",
         "01:30, Eastern Standard Time (EST), to 03:30, Eastern Daylight Time (EDT)", "2022-03-13, 06:30 to 07:30"),
        (at(2022, 11, 6, 4, 30), 90, "Sunday 2022-11-06",
         "00:30, Eastern Daylight Time (EDT), to 01:00, Eastern Standard Time (EST)", "2022-11-06, 04:30 to 06:00"),
        # An evening: the next day in UTC, and past midnight.
        (at(2022, 1, 20, 1), 60, "Wednesday 2022-01-19", "20:00 to 21:00, Eastern Standard Time (EST), UTC−05:00",
         "2022-01-20, 01:00 to 02:00"),
        (at(2022, 1, 20, 3, 30), 120, "Wednesday 2022-01-19",
         "22:30 to 00:30 (2022-01-20), Eastern Standard Time (EST), UTC−05:00", "2022-01-20, 03:30 to 05:30"),
        (at(2022, 7, 5, 23, 30), 60, "Tuesday 2022-07-05", "19:30 to 20:30, Eastern Daylight Time (EDT), UTC−04:00",
         "2022-07-05, 23:30 to 00:30 (2022-07-06)"),
        # No usable duration: a start, and nothing made up.
        (at(2022, 1, 12, 18), None, "Wednesday 2022-01-12", "13:00, Eastern Standard Time (EST), UTC−05:00",
         "2022-01-12, 18:00"),
    ],
)  # fmt: skip
def test_a_session_is_told_in_eastern_time_and_in_utc(
    starts_at: datetime, minutes: int | None, day: str, eastern: str, utc: str
) -> None:
    notice = webinar(session(starts_at=starts_at, minutes=minutes))
    facts = facts_of(notice, "en")
    assert facts["Date"] == day
    assert facts["Eastern time"] == eastern
    assert facts["Coordinated Universal Time (UTC)"] == utc
    assert facts.get("Duration") == (f"{minutes} minutes" if minutes else None)
    assert figures(text_of(notice, "en")) == figures(text_of(notice, "fr"))


def test_french_names_the_zone_and_the_day_in_french() -> None:
    facts = facts_of(webinar(session(starts_at=at(2022, 8, 9, 17))), "fr")
    assert facts["Date"] == "mardi 2022-08-09"
    assert facts["Heure de l’Est"] == "de 13:00 à 14:00, heure avancée de l’Est (HAE), UTC−04:00"
    assert facts["Temps universel coordonné (UTC)"] == "2022-08-09, de 17:00 à 18:00"


def test_an_offset_in_the_source_changes_nothing_but_how_it_is_written() -> None:
    written = datetime.fromisoformat("2022-01-12T13:00:00-05:00")
    assert pages().render(webinar(session(starts_at=written)), "en") == pages().render(
        webinar(session(starts_at=at(2022, 1, 12, 18))), "en"
    )


@pytest.mark.parametrize("part", ["text", "html"])
def test_multi_factor_authentication_is_named_once_it_exists(part: str) -> None:
    def said(asks: bool) -> bytes:
        message: Message = pages().render(webinar(asks_for_multi_factor=asks), "en")
        return bytes(getattr(message, part))

    assert b"multi-factor" in said(True)
    assert b"multi-factor" not in said(False)
