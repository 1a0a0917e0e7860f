from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.carm.errors import UsageError
from include.notice_page import LANGUAGES, Session, one_line
from include.webinar_calendar import CalendarIdentity, EntryTexts, session_token, write_entry
from tests.notices.calendar_reader import Calendar, read_calendar, read_entry
from tests.notices.samples import CONTACTS, figures, pages, session

IDENTITY = CalendarIdentity("example.com", CONTACTS.engagement_email)
DAY = date(2021, 12, 25)


def texts(of: Session, language: str = "en", *, is_cancelled: bool = False) -> EntryTexts:
    summary, description = pages().describe(of, language, is_cancelled=is_cancelled)
    return EntryTexts(summary, description, "CARM", None if language == "both" else language)


def entry(of: Session | None = None, **changed: Any) -> bytes:
    of = of or session()
    method = changed.get("method", "publish")
    given = {
        "identity": IDENTITY,
        "webinar_id": "W1",
        "revision": 1,
        "method": method,
        "session": of,
        "texts": texts(of, changed.pop("language", "en"), is_cancelled=method == "cancel"),
        "issued_on": DAY,
    }
    return write_entry(**given | changed)


def at(month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2022, month, day, hour, minute, tzinfo=UTC)


# What an entry is


def test_an_entry_has_exactly_its_properties() -> None:
    calendar = read_calendar(entry())
    assert calendar.names() == ["CALSCALE", "METHOD", "PRODID", "VERSION"]
    assert [part.name for part in calendar.parts] == ["VTIMEZONE", "VEVENT"]
    expected = "DESCRIPTION DTEND DTSTAMP DTSTART ORGANIZER SEQUENCE STATUS SUMMARY UID URL"
    assert expected.split() == calendar.part("VEVENT").names()


def test_an_entry_is_what_was_reviewed() -> None:
    lines = entry(language="fr").decode().replace("\r\n ", "").split("\r\n")
    event = lines[lines.index("BEGIN:VEVENT") : lines.index("END:VEVENT") + 1]
    assert sorted(event[1:-1]) == [
        "DESCRIPTION;LANGUAGE=fr:Langue\u00a0: Anglais et français\\nS’inscrire à la séance du 2022-01-12 ou y "
        "participer\u00a0: https://example.org/join?session=1&lang=any",
        "DTEND;TZID=America/Toronto:20220112T140000",
        "DTSTAMP:20211225T050000Z",
        "DTSTART;TZID=America/Toronto:20220112T130000",
        "ORGANIZER;CN=CARM:mailto:CBSA.CARM_Engagement-Engagement_de_la_GCRA.ASFC@cbsa-asfc.gc.ca",
        "SEQUENCE:1",
        "STATUS:CONFIRMED",
        "SUMMARY;LANGUAGE=fr:Intégration au portail client de la GCRA",
        f"UID:{session_token('W1')}@example.com",
        "URL:https://example.org/join?session=1&lang=any",
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_revision_gives_the_same_bytes(language: str) -> None:
    assert entry(language=language) == entry(language=language)


def test_an_entry_names_nobody_who_gets_it() -> None:
    content = entry().decode().replace("\r\n ", "")
    assert "ATTENDEE" not in content
    assert set(re.findall(r"[\w.-]+@[\w.-]+", content)) == {f"{session_token('W1')}@example.com", IDENTITY.mailbox}


def test_a_cancelled_session_is_cancelled_by_method_and_by_status() -> None:
    held, cancelled = read_entry(entry()), read_entry(entry(method="cancel", revision=2))
    assert (held.method, held.status, held.sequence) == ("PUBLISH", "CONFIRMED", 1)
    assert (cancelled.method, cancelled.status, cancelled.sequence) == ("CANCEL", "CANCELLED", 2)
    assert cancelled.uid == held.uid
    assert cancelled.summary == f"Cancelled: {held.summary}"


@pytest.mark.parametrize("revision", [-1, 2**31])
def test_a_revision_that_no_calendar_takes_is_refused(revision: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 2147483647"):
        entry(revision=revision)


def test_a_link_that_is_no_web_page_is_left_out() -> None:
    assert read_entry(entry(session(link="javascript:alert(1)"))).url is None
    assert read_entry(entry(session(link=None))).url is None
    assert IDENTITY.mailbox in read_entry(entry(session(link=None))).description


# The languages


def test_english_and_french_have_the_same_figures_and_links() -> None:
    english, french = (read_entry(entry(language=language)) for language in ("en", "fr"))
    assert (english.uid, english.start, english.end, english.url) == (french.uid, french.start, french.end, french.url)
    for part in ("summary", "description"):
        assert figures(getattr(english, part)) == figures(getattr(french, part))


def test_an_entry_in_both_languages_is_english_and_then_french() -> None:
    both, english, french = (read_entry(entry(language=language)) for language in ("both", "en", "fr"))
    assert both.summary == f"{english.summary} / {french.summary}"
    assert both.description == f"{english.description}\n\n{french.description}"
    assert "LANGUAGE" not in both.component.part("VEVENT").one("SUMMARY").parameters


def test_a_title_in_one_language_is_said_once() -> None:
    assert read_entry(entry(session(title_fr=""), language="both")).summary == "Onboarding to the CARM Client Portal"


# The clock


@pytest.mark.parametrize(
    ("starts_at", "minutes", "written"),
    [
        (at(1, 12, 18), 60, "20220112T130000"),
        (at(7, 12, 17), 60, "20220712T130000"),
        # Clocks go forward on 2022-03-13 at 02:00: the hour before, through the missing one, and after.
        (at(3, 13, 5, 30), 60, "20220313T003000"),
        (at(3, 13, 6, 30), 60, "20220313T013000"),
        (at(3, 13, 6, 59), 1, "20220313T015900"),
        (at(3, 13, 7), 60, "20220313T030000"),
        # Clocks go back on 2022-11-06 at 02:00: 01:30 comes twice, and the second has a name in UTC alone.
        (at(11, 6, 4, 30), 60, "20221106T003000"),
        (at(11, 6, 5, 30), 29, "20221106T013000"),
        (at(11, 6, 5, 30), 30, "20221106T053000Z"),
        (at(11, 6, 5, 30), 120, "20221106T013000"),
        (at(11, 6, 6, 30), 60, "20221106T063000Z"),
        (at(11, 6, 7), 60, "20221106T020000"),
        # Over the end of a year.
        (datetime(2023, 1, 1, 4, 30, tzinfo=UTC), 60, "20221231T233000"),
    ],
)
def test_a_session_is_as_long_as_it_is_and_stands_at_its_eastern_hour(
    starts_at: datetime, minutes: int, written: str
) -> None:
    content = entry(session(starts_at=starts_at, minutes=minutes))
    found = read_entry(content)
    assert found.component.part("VEVENT").one("DTSTART").value == written
    assert found.start == starts_at
    assert found.end == starts_at + timedelta(minutes=minutes)


@given(
    st.integers(int(at(1, 1, 5).timestamp()) - 14 * 366 * 86_400, 2**31).map(
        lambda one: datetime.fromtimestamp(one, UTC)
    ),
    st.integers(1, 1440),
)
def test_any_session_is_read_back_at_its_instants(starts_at: datetime, minutes: int) -> None:
    found = read_entry(entry(session(starts_at=starts_at, minutes=minutes)))
    assert (found.start, found.end) == (starts_at, starts_at + timedelta(minutes=minutes))


def test_a_session_without_a_duration_has_a_start_and_no_end() -> None:
    found = read_entry(entry(session(minutes=None)))
    assert (found.start, found.end) == (at(1, 12, 18), None)


# Hostile input


NASTY = st.text(
    st.one_of(
        st.characters(exclude_categories=("Cs",)),
        st.sampled_from('\r\n\\;,:"\t\x00\x7f\x85\u2028\u202e\u2066\ufeff\u200d😀é'),
        st.sampled_from("BEGIN:VEVENT\r\nATTENDEE"),
    ),
    max_size=200,
)


@given(NASTY, NASTY, NASTY)
def test_no_title_and_no_id_adds_a_property_or_changes_another(webinar_id: str, title: str, french: str) -> None:
    hostile = session(title_en=one_line(title), title_fr=one_line(french))
    raw = EntryTexts(title, f"{title}\n{french}", french, None)
    plain = read_calendar(entry(session()))
    for content in (
        entry(hostile, webinar_id=webinar_id, language="both"),
        entry(hostile, webinar_id=webinar_id, texts=raw),
    ):
        found = read_calendar(content)
        assert found.names() == plain.names()
        assert [part.name for part in found.parts] == [part.name for part in plain.parts]
        event = found.part("VEVENT")
        assert event.names() == plain.part("VEVENT").names()
        assert re.fullmatch(r"[0-9a-f]{32}@example\.com", event.one("UID").text)
        assert event.one("DTSTART") == plain.part("VEVENT").one("DTSTART")
    assert one_line(event.one("SUMMARY").text) == one_line(title)


@given(st.lists(st.text(max_size=20), unique=True, max_size=20))
def test_no_two_webinars_share_a_name(webinar_ids: list[str]) -> None:
    assert len({session_token(webinar_id) for webinar_id in webinar_ids}) == len(webinar_ids)


# A calendar that takes entries in


def test_a_change_and_a_cancellation_in_order_leave_nothing_to_attend() -> None:
    first, moved = entry(), entry(session(starts_at=at(1, 19, 15)), revision=2)
    cancelled = entry(session(starts_at=at(1, 19, 15)), revision=3, method="cancel")
    calendar = Calendar().take(first)
    assert calendar.shown() == {"Onboarding to the CARM Client Portal": at(1, 12, 18)}
    assert calendar.take(moved).shown() == {"Onboarding to the CARM Client Portal": at(1, 19, 15)}
    assert calendar.take(cancelled).shown() == {}
    assert len(calendar.events) == 1


def test_an_entry_that_comes_late_does_not_bring_back_what_was_cancelled() -> None:
    first, cancelled = entry(), entry(revision=2, method="cancel")
    assert Calendar().take(cancelled, first).shown() == {}


def test_a_cancelled_session_that_is_held_after_all_comes_back() -> None:
    calendar = Calendar().take(entry(), entry(revision=2, method="cancel"), entry(revision=3))
    assert len(calendar.shown()) == 1


# The domain


def test_the_domain_is_a_setting(tmp_path: Path) -> None:
    assert CalendarIdentity.load("a@example.org").domain == "example.com"
    for wrong in ("''", "nodots", "two words.com", "UPPER.com", "a..b", '"x.com\\r\\nX:y"'):
        (tmp_path / "notices.yaml").write_text(f"mail:\n  calendar_domain: {wrong}\n")
        with pytest.raises(UsageError, match=r"notices.yaml: mail.calendar_domain is "):
            CalendarIdentity.load("a@example.org", tmp_path / "notices.yaml")
