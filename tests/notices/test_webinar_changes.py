"""Who is told of a session that is added, moved or cancelled after the notice of its month was written."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from include.carm.errors import Unavailable, UsageError
from include.carm.recipients import recipient_key
from include.database import write_transaction
from include.lake import sha256_of
from include.mail import UNSUBSCRIBE_MARK
from include.notices import count_true_notices
from include.operations_notice_tables import OUTBOX, SUPPRESSIONS, WEBINAR_TELLINGS
from include.outbox import folder_of, read_parts
from include.webinar_notices import publish_webinar_notices
from include.webinar_tellings import call_off, read_tellings, record_tellings
from tests.notices.calendar_reader import Calendar, read_entry
from tests.notices.months import HASH_KEY, Month, subscriber, webinar

READER = "reader@example.org"
LATER = "2022-01-19T13:00:00-05:00"
FEBRUARY = "2022-02-09T13:00:00-05:00"


class Office:
    """A distribution list and its webinars, and what its runs put into the outbox."""

    def __init__(self, folder: Path, *people: dict[str, Any]) -> None:
        self.month = Month(folder, effects="live")
        self.month.hold("subscribers", people or (subscriber(READER),))
        self.rows: list[dict[str, Any]] = []

    @property
    def ws(self) -> Any:
        return self.month.ws

    def enter(self, *rows: dict[str, Any]) -> Office:
        """Let the source have further rows of webinars; the first ones are what the month's extract has."""
        if not self.rows:
            self.month.seal("webinars", rows)
        self.rows += rows
        self.month.enter("webinars", self.rows)
        return self

    def run(self, *, period: str = "2021-12", effects: str = "live", area: str = "lake") -> dict[str, Any]:
        facts = {"period": period, "effects": effects, "area": area, "run_id": f"run {period} {effects}"}
        return publish_webinar_notices(self.ws, facts, recipient_hash_key=HASH_KEY)

    def next_month(self) -> None:
        """Let the extract of 2022-01 be what the source has now."""
        self.month.period = self.month.period.next()
        for dataset in ("webinars", "quarantine"):
            self.month.seal(dataset, self.rows if dataset == "webinars" else [])

    def messages(self, address: str = READER) -> list[dict[str, Any]]:
        """What the outbox has for somebody, by period and version, the notice of a month first."""
        query = select(OUTBOX).where(OUTBOX.c.recipient_key == recipient_key(address, HASH_KEY))
        with self.ws.operations.connect() as connection:
            rows = connection.execute(
                query.order_by(OUTBOX.c.period, OUTBOX.c.version, OUTBOX.c.about.desc())
            ).mappings()
            return [dict(row) for row in rows]

    def subjects(self, address: str = READER) -> list[str]:
        return [row["subject"] for row in self.messages(address)]

    def entries(self, address: str = READER) -> list[bytes]:
        return [entry for row in self.messages(address) for entry in read_parts(self.ws, row).calendars]

    def calendar(self, address: str = READER) -> dict[str, datetime]:
        return Calendar().take(*self.entries(address)).shown()

    def told(self) -> list[tuple[str, int, str]]:
        telling = WEBINAR_TELLINGS.c
        query = select(telling.webinar_id, telling.revision, telling.method)
        with self.ws.operations.connect() as connection:
            return sorted(tuple(row) for row in connection.execute(query))

    def set_state(self, state: str, *which: Any) -> None:
        with write_transaction(self.ws.operations) as connection:
            connection.execute(update(OUTBOX).where(*which).values(state=state))


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


JANUARY = "CARM Client Portal webinars in January 2022: dates, times and how to join"
MOVED = "Changed: English title of W1, 2022-01-19"


def test_the_notice_of_a_month_has_an_entry_for_each_session_that_it_offers(tmp_path: Path) -> None:
    office = Office(tmp_path, subscriber(READER), subscriber("lecteur@example.org", language="fr"))
    office.enter(webinar("W1"), webinar("W2", LATER, language="en"), webinar("W3", language="fr")).run()
    assert sorted(office.calendar()) == ["English title of W1", "English title of W2"]
    assert sorted(office.calendar("lecteur@example.org")) == ["Titre français de W1", "Titre français de W3"]
    assert [read_entry(entry).method for entry in office.entries()] == ["PUBLISH", "PUBLISH"]
    (row,) = office.messages()
    assert f"{READER}" not in "".join(entry.decode() for entry in office.entries())
    assert row["calendar_sha256"] == read_parts(office.ws, row).calendar_sha256
    assert office.told() == [("W1", 1, "publish")] * 2 + [("W2", 1, "publish"), ("W3", 1, "publish")]


def test_a_moved_session_is_told_once_to_those_who_know_of_it(tmp_path: Path) -> None:
    office = Office(tmp_path, subscriber(READER), subscriber("lecteur@example.org", language="fr"))
    office.enter(webinar("W1", language="en"), webinar("W2", language="fr")).run()
    outcome = office.enter(webinar("W1", LATER, language="en", revision=2)).run()
    assert outcome["changes"] == {"changed": 1, "cancelled": 0, "added": 0}
    assert office.subjects() == [JANUARY, MOVED]
    assert office.calendar() == {"English title of W1": datetime(2022, 1, 19, 18, tzinfo=UTC)}
    assert len(office.subjects("lecteur@example.org")) == 1
    assert office.run()["changes"] == {"changed": 0, "cancelled": 0, "added": 0}
    assert len(office.messages()) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"title_en": "Another title"},
        {"join_url": "https://example.org/other"},
        {"language": "fr"},
        {"duration_minutes": 90},
    ],
)
def test_any_change_with_a_higher_revision_is_told(office: Office, changed: dict[str, Any]) -> None:
    office.enter(webinar("W1")).run()
    office.enter(webinar("W1", revision=2, **changed)).run()
    assert office.subjects()[1].startswith("Changed: ")


@pytest.mark.parametrize("revision", [0, 1])
def test_a_change_without_a_higher_revision_is_not_told(office: Office, revision: int) -> None:
    office.enter(webinar("W1")).run()
    office.enter(webinar("W1", LATER, revision=revision)).run()
    assert office.subjects() == [JANUARY]


def test_a_cancelled_session_is_called_off(office: Office) -> None:
    office.enter(webinar("W1"), webinar("W2", LATER)).run()
    office.enter(webinar("W1", revision=2, status="cancelled")).run()
    assert office.subjects() == [JANUARY, "Cancelled: English title of W1, 2022-01-12"]
    assert [read_entry(entry).method for entry in office.entries()] == ["PUBLISH", "PUBLISH", "CANCEL"]
    assert list(office.calendar()) == ["English title of W2"]
    assert office.told()[1] == ("W1", 2, "cancel")


def test_a_session_that_was_cancelled_before_anybody_was_told_is_no_news(office: Office) -> None:
    office.enter(webinar("W1"), webinar("W2"), webinar("W2", revision=2, status="cancelled")).run()
    office.enter(webinar("W3"), webinar("W3", revision=2, status="cancelled")).run()
    assert office.subjects() == [JANUARY]


def test_a_session_that_was_called_off_and_is_held_after_all_is_told(office: Office) -> None:
    office.enter(webinar("W1")).run()
    office.enter(webinar("W1", revision=2, status="cancelled")).run()
    office.enter(webinar("W1", LATER, revision=3)).run()
    assert office.subjects()[2] == MOVED
    assert list(office.calendar()) == ["English title of W1"]


def test_a_revision_that_was_skipped_is_not_told(office: Office) -> None:
    office.enter(webinar("W1")).run()
    office.enter(webinar("W1", "2022-01-14T13:00:00-05:00", revision=2), webinar("W1", LATER, revision=5)).run()
    assert [(row["subject"], row["version"]) for row in office.messages()] == [(JANUARY, 1), (MOVED, 5)]


def test_an_added_session_is_told_by_a_message_of_its_own(tmp_path: Path) -> None:
    office = Office(tmp_path, subscriber(READER), subscriber("lecteur@example.org", language="fr"))
    office.enter(webinar("W1", language="en")).run()
    assert office.subjects("lecteur@example.org") == []
    outcome = office.enter(webinar("W2", LATER)).run()
    assert office.subjects() == [JANUARY, "New: English title of W2, 2022-01-19"]
    # Who had nothing of the month gets its notice, with what is current.
    assert len(office.subjects("lecteur@example.org")) == 1
    assert "janvier 2022" in office.subjects("lecteur@example.org")[0]
    assert outcome["changes"] == {"changed": 0, "cancelled": 0, "added": 1}
    assert outcome["without_session"] == 0
    office.set_state("sent")
    office.enter(webinar("W2", FEBRUARY, revision=2)).run()
    assert office.subjects()[-1] == "Changed: English title of W2, 2022-02-09"


def test_a_session_that_moves_to_the_next_month_is_changed_and_not_offered_anew(office: Office) -> None:
    office.enter(webinar("W1"), webinar("W2")).run()
    office.enter(webinar("W1", FEBRUARY, revision=2), webinar("W3", FEBRUARY)).next_month()
    office.run(period="2022-01")
    february = [row for row in office.messages() if row["period"] == "2022-01"]
    assert sorted(row["subject"] for row in february) == [
        "CARM Client Portal webinars in February 2022: dates, times and how to join",
        "Changed: English title of W1, 2022-02-09",
    ]
    assert office.told() == [("W1", 1, "publish"), ("W1", 2, "publish"), ("W2", 1, "publish"), ("W3", 1, "publish")]
    assert len(office.calendar()) == 3


def test_who_was_not_told_of_a_session_that_moved_is_invited_to_it(tmp_path: Path) -> None:
    fresh = subscriber("fresh@example.org", subscribed_on=date(2022, 1, 10))
    office = Office(tmp_path, subscriber(READER), fresh)
    office.enter(webinar("W1")).run()
    assert office.subjects("fresh@example.org") == []
    office.enter(webinar("W1", FEBRUARY, revision=2)).next_month()
    office.run(period="2022-01")
    assert office.subjects() == [JANUARY, "Changed: English title of W1, 2022-02-09"]
    (invited,) = office.messages("fresh@example.org")
    assert invited["about"] == "webinars/2022-02"


def test_what_is_over_by_the_day_of_issue_is_no_news(office: Office) -> None:
    office.enter(webinar("W1"), webinar("W2", "2022-01-27T13:00:00-05:00")).run()
    office.enter(webinar("W1", revision=2, title_en="Late"), webinar("W2", LATER, revision=2)).next_month()
    office.run(period="2022-01")
    # W2 was ahead, by what its readers know, when it was moved to before the day of issue.
    assert office.subjects()[1:] == ["Changed: English title of W2, 2022-01-19"]


def test_who_left_the_list_is_told_of_no_change(office: Office) -> None:
    office.enter(webinar("W1")).run()
    office.month.enter("subscribers", [subscriber(READER, unsubscribed_on=date(2022, 1, 3))])
    office.enter(webinar("W1", revision=2, status="cancelled"), webinar("W2")).run()
    assert office.subjects() == [JANUARY]


def test_who_is_not_written_to_any_more_is_told_of_no_change(office: Office) -> None:
    office.enter(webinar("W1")).run()
    wish = {"recipient_key": recipient_key(READER, HASH_KEY), "scope": "list", "reason": "unsubscribed"}
    with write_transaction(office.ws.operations) as connection:
        connection.execute(insert(SUPPRESSIONS), {**wish, "since": date(2022, 1, 3), "source": "one_click"})
    office.enter(webinar("W1", LATER, revision=2)).run()
    assert len(office.messages()) == 1


def test_who_left_in_the_source_after_the_day_of_issue_is_invited_by_no_run(tmp_path: Path) -> None:
    """The month is issued on 2021-12-25, its notices of webinars are written on the 26th at the earliest."""
    office = Office(tmp_path, subscriber(READER, unsubscribed_on=date(2021, 12, 26)))
    office.enter(webinar("W1")).run()
    assert office.messages() == []


def test_who_left_after_the_day_of_issue_and_came_back_is_invited(tmp_path: Path) -> None:
    again = subscriber(READER, subscribed_on=date(2021, 12, 28))
    office = Office(tmp_path, subscriber(READER, unsubscribed_on=date(2021, 12, 26)), again)
    office.enter(webinar("W1")).run()
    assert office.subjects() == [JANUARY]


@pytest.mark.parametrize(("state", "becomes"), [("planned", "suppressed"), ("failed", "suppressed"), ("sent", "sent")])
def test_what_waits_for_who_left_in_the_source_is_stopped(office: Office, state: str, becomes: str) -> None:
    office.enter(webinar("W1")).run()
    office.set_state(state)
    office.month.enter("subscribers", [subscriber(READER, unsubscribed_on=date(2021, 12, 28))])
    office.run(effects="shadow", area="shadow")
    assert [row["state"] for row in office.messages()] == [state]
    office.run()
    assert [row["state"] for row in office.messages()] == [becomes]


def test_by_another_hash_key_nobody_is_written_to(office: Office) -> None:
    """Every unsubscription would be forgotten, and everybody be a stranger who is told all of it again."""
    office.enter(webinar("W1")).run(effects="shadow")
    other = b"another key, as long as one must be"
    office.run()
    facts = {"period": "2021-12", "effects": "live", "area": "lake", "run_id": "run under another key"}
    with pytest.raises(UsageError, match="is not the one with which messages were written"):
        publish_webinar_notices(office.ws, facts, recipient_hash_key=other)


def test_a_look_by_the_key_of_the_demo_keeps_nobody_from_using_another(office: Office) -> None:
    office.enter(webinar("W1"))
    facts = {"period": "2021-12", "effects": "shadow", "area": "lake", "run_id": "a first look"}
    publish_webinar_notices(office.ws, facts, recipient_hash_key="demo-only-not-a-secret")
    office.run()
    assert office.subjects() == [JANUARY]


# What cannot be told


@pytest.mark.parametrize("starts_at", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00"])
def test_a_session_at_the_end_of_time_keeps_nobody_from_the_others(office: Office, starts_at: str) -> None:
    outcome = office.enter(webinar("W1"), webinar("W2", starts_at)).run()
    assert office.subjects() == [JANUARY]
    assert office.told() == [("W1", 1, "publish")]
    assert outcome["sessions"]["unreadable"] == 1


@pytest.mark.parametrize(
    "forged",
    [
        {"join_url": f"{UNSUBSCRIBE_MARK}../away"},
        {"join_url": f"https://example.org/?to={UNSUBSCRIBE_MARK}"},
        {"title_en": f"Read {UNSUBSCRIBE_MARK}"},
        {"title_fr": UNSUBSCRIBE_MARK.replace("b", "b\u200b")},
    ],
)
def test_no_session_holds_what_becomes_the_link_of_its_reader(office: Office, forged: dict[str, str]) -> None:
    outcome = office.enter(webinar("W1"), webinar("W2", **forged)).run()
    assert office.told() == [("W1", 1, "publish")]
    assert outcome["sessions"]["unreadable"] == 1


# What is called off before anybody has it


def test_a_change_that_was_not_sent_is_called_off_by_the_next(office: Office) -> None:
    office.enter(webinar("W1")).run()
    office.set_state("sent")
    office.enter(webinar("W1", LATER, revision=2)).run()
    office.enter(webinar("W1", LATER, revision=3, status="cancelled")).run()
    told = [(row["subject"].partition(":")[0], row["state"]) for row in office.messages()]
    assert told[1:] == [("Changed", "called_off"), ("Cancelled", "planned")]
    assert office.run()["outbox"] == {"planned": 0, "suppressed": 0}
    assert count_true_notices(office.ws, "lake") == 3


@pytest.mark.parametrize("state", ["planned", "failed"])
def test_a_session_of_which_nobody_heard_is_not_cancelled_but_offered_again(office: Office, state: str) -> None:
    office.enter(webinar("W1")).run()
    office.set_state("sent")
    office.enter(webinar("W2")).run()
    office.set_state(state, OUTBOX.c.about.like("webinar/%"))
    office.enter(webinar("W2", revision=2, status="cancelled")).run()
    assert [row["state"] for row in office.messages()] == ["sent", "called_off"]
    office.enter(webinar("W2", LATER, revision=3)).run()
    assert office.subjects()[2] == "New: English title of W2, 2022-01-19"


def test_a_change_whose_sending_begins_meanwhile_is_not_called_off(office: Office) -> None:
    office.enter(webinar("W1")).run()
    office.set_state("sent")
    office.enter(webinar("W1", LATER, revision=2)).run()
    with office.ws.operations.connect() as connection:
        _, overtaken = read_tellings(connection, {"W1": 3}, "2021-12")
    assert overtaken == [office.messages()[1]["message_key"]]
    office.set_state("unknown", OUTBOX.c.version == 2)
    with pytest.raises(Unavailable, match="is being sent"), write_transaction(office.ws.operations) as connection:
        call_off(connection, overtaken)


# What counts as told


@pytest.mark.parametrize("state", ["planned", "sending", "sent", "unknown"])
def test_who_may_have_read_it_was_told(office: Office, state: str) -> None:
    office.enter(webinar("W1")).run()
    office.set_state(state)
    office.enter(webinar("W1", LATER, revision=2)).run()
    assert office.subjects() == [JANUARY, MOVED]


@pytest.mark.parametrize("state", ["failed", "suppressed"])
def test_whom_no_message_reached_is_told_of_no_change_until_one_does(office: Office, state: str) -> None:
    office.enter(webinar("W1")).run()
    office.set_state(state)
    office.enter(webinar("W1", LATER, revision=2)).run()
    assert office.subjects() == [JANUARY]
    # The failed one is tried again, and arrives: the change is told then.
    office.set_state("sent")
    office.run()
    assert office.subjects() == [JANUARY, MOVED]


def test_a_change_that_failed_is_not_written_again_and_the_next_one_is(office: Office) -> None:
    office.enter(webinar("W1")).run()
    office.enter(webinar("W1", LATER, revision=2)).run()
    office.set_state("failed", OUTBOX.c.version == 2)
    assert office.run()["changes"]["changed"] == 0
    office.enter(webinar("W1", revision=3, status="cancelled")).run()
    assert office.subjects()[2] == "Cancelled: English title of W1, 2022-01-12"


def test_whom_the_notice_of_a_month_did_not_reach_is_invited_by_the_next(office: Office) -> None:
    office.enter(webinar("W1")).run()
    office.set_state("failed")
    office.enter(webinar("W1", FEBRUARY, revision=2)).next_month()
    office.run(period="2022-01")
    assert [row["about"] for row in office.messages()] == ["webinars/2022-01", "webinars/2022-02"]


def test_a_shadow_run_tells_nobody(office: Office) -> None:
    office.enter(webinar("W1")).run(effects="shadow")
    assert office.told() == []
    office.enter(webinar("W1", LATER, revision=2)).run()
    # The live run plans the notice under its key, with what is current.
    assert [(row["subject"], row["state"]) for row in office.messages()] == [(JANUARY, "planned")]
    assert office.told() == [("W1", 2, "publish")]
    assert list(office.calendar().values()) == [datetime(2022, 1, 19, 18, tzinfo=UTC)]


def test_a_message_that_is_sealed_has_told_nothing(office: Office) -> None:
    office.enter(webinar("W1")).run()
    with office.ws.operations.connect() as connection:
        assert list(read_tellings(connection, {"W1": 1}, "2021-12")[0]) == [recipient_key(READER, HASH_KEY)]
    office.set_state("sealed")
    with office.ws.operations.connect() as connection:
        assert read_tellings(connection, {"W1": 1}, "2021-12") == ({}, [])


def test_a_shadow_run_beside_the_record_shows_what_a_live_one_would_tell(office: Office) -> None:
    office.enter(webinar("W1")).run()
    office.enter(webinar("W1", LATER, revision=2))
    shown = office.run(effects="shadow", area="shadow")
    assert shown["changes"]["changed"] == 1
    assert [row["state"] for row in office.messages()] == ["planned", "sealed"]
    assert len(office.told()) == 1
    told = office.run()
    assert (told["changes"], told["sha256"]) == (shown["changes"], shown["sha256"])
    assert [row["state"] for row in office.messages()] == ["planned", "planned"]
    assert count_true_notices(office.ws, "shadow") == count_true_notices(office.ws, "lake") == 2


# What lies where


def test_a_further_run_adds_to_the_dataset_and_leaves_what_was_told(office: Office) -> None:
    office.enter(webinar("W1")).run()
    (first,) = office.month.rows("webinar_notices")
    folder = office.month.folder / "documents" / "notices" / "period=2021-12"
    pack = sha256_of(folder / "webinar-0001.zip")
    before = {path.name for path in folder_of(office.ws).iterdir()}
    outcome = office.enter(webinar("W1", LATER, revision=2), webinar("W2")).run()
    rows = office.month.rows("webinar_notices")
    assert first in rows
    assert (len(rows), outcome["notices"], outcome["packs"]) == (3, 3, 2)
    assert [row["message_key"] for row in rows] == sorted(row["message_key"] for row in office.messages())
    assert sha256_of(folder / "webinar-0001.zip") == pack
    assert sorted(path.name for path in folder.iterdir()) == ["webinar-0001.zip", "webinar-0002.zip"]
    assert before < {path.name for path in folder_of(office.ws).iterdir()}
    assert count_true_notices(office.ws, "lake") == 3


def test_a_further_run_with_the_same_data_writes_nothing_new(office: Office) -> None:
    office.enter(webinar("W1")).run()
    first = office.enter(webinar("W1", LATER, revision=2)).run()
    left, outbox, told = office.month.files(), office.messages(), office.told()
    again = office.run()
    assert (left, outbox, told) == (office.month.files(), office.messages(), office.told())
    assert again["outbox"] == {"planned": 0, "suppressed": 0}
    assert {**first, "outbox": 0, "changes": 0} == {**again, "outbox": 0, "changes": 0}


def test_a_shadow_run_over_the_record_keeps_what_was_told(office: Office) -> None:
    office.enter(webinar("W1")).run()
    (first,) = office.month.rows("webinar_notices")
    office.enter(webinar("W1", LATER, revision=2)).run(effects="shadow")
    assert first in office.month.rows("webinar_notices")
    office.run()
    assert count_true_notices(office.ws, "lake") == 2


def test_a_pack_that_a_run_left_behind_when_it_died_is_replaced(office: Office) -> None:
    office.enter(webinar("W1")).run()
    folder = office.month.folder / "documents" / "notices" / "period=2021-12"
    for name in ("webinar-0002.zip", "webinar-0003.zip"):
        (folder / name).write_bytes(b"half of a pack")
    office.enter(webinar("W1", LATER, revision=2)).run()
    assert count_true_notices(office.ws, "lake") == 2


def test_two_runs_at_once_do_not_tell_twice(office: Office) -> None:
    office.enter(webinar("W1")).run()
    (row,) = office.messages()
    with (
        pytest.raises(Unavailable, match="another run wrote webinar notices of this month meanwhile"),
        write_transaction(office.ws.operations) as connection,
    ):
        record_tellings(connection, {row["message_key"]: [("W2", 1, "publish")]})
    assert office.told() == [("W1", 1, "publish")]


def test_rows_that_do_not_pass_the_gate_are_counted_and_told_to_nobody(office: Office) -> None:
    office.enter(webinar("W1"), webinar("W2")).run()
    refused = [webinar("W1", revision=2, status="postponed"), webinar("W2", "soon", revision=2)]
    outcome = office.enter(*refused, webinar("W2", LATER, revision=3)).run()
    assert outcome["refused_revisions"] == 2
    assert office.subjects() == [JANUARY, "Changed: English title of W2, 2022-01-19"]


@pytest.mark.parametrize("webinar_id", ["a|b", "../../x", "W\r\nBcc: x", "é😀", "x" * 500])
def test_a_hostile_id_is_harmless(office: Office, webinar_id: str) -> None:
    link = "https://example.org/W"
    office.enter(webinar(webinar_id, join_url=link)).run()
    office.enter(webinar(webinar_id, LATER, revision=2, join_url=link)).run()
    first, second = (read_entry(entry) for entry in office.entries())
    assert (first.uid, first.sequence, second.sequence) == (second.uid, 1, 2)
    assert all(row["about"].isascii() and len(row["about"]) < 50 for row in office.messages())


steps = st.lists(
    st.tuples(
        st.sampled_from(["W1", "W2", "W3"]),
        st.sampled_from(["2022-01-12T13:00:00-05:00", LATER, FEBRUARY]),
        st.sampled_from(["scheduled", "scheduled", "cancelled"]),
        st.sampled_from(["en", "fr", "both"]),
        st.sampled_from(["live", "live", "shadow", "none"]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=10, deadline=None)
@given(steps)
def test_whatever_happens_everybody_ends_with_what_is_current_and_hears_it_once(
    tmp_path_factory: pytest.TempPathFactory, happened: Iterable[tuple[str, ...]]
) -> None:
    people = {READER: "en", "lecteur@example.org": "fr", "any@example.org": None}
    office = Office(
        tmp_path_factory.mktemp("office"), *(subscriber(one, language=spoken) for one, spoken in people.items())
    )
    last: dict[str, dict[str, Any]] = {}
    for webinar_id, starts_at, status, language, effects in happened:
        revision = last.get(webinar_id, {"revision": 0})["revision"] + 1
        last[webinar_id] = webinar(webinar_id, starts_at, status=status, language=language, revision=revision)
        office.enter(last[webinar_id])
        if effects != "none":
            office.run(effects=effects, area="shadow" if effects == "shadow" else "lake")
    office.run()
    for address, spoken in people.items():
        live = [row for row in office.messages(address) if row["state"] not in ("sealed", "called_off")]
        entries = [read_entry(entry) for row in live for entry in read_parts(office.ws, row).calendars]
        heard = [(entry.uid, entry.sequence) for entry in entries]
        assert len(set(heard)) == len(heard)
        calendar = {entry.uid: entry for entry in sorted(entries, key=lambda entry: entry.sequence)}
        for one in last.values():
            offered = one["status"] == "scheduled" and one["starts_at"].startswith("2022-01")
            mine = offered and (spoken is None or one["language"] in (spoken, "both"))
            held = [entry for entry in calendar.values() if entry.summary.split(" / ")[0].endswith(one["webinar_id"])]
            assert not mine or held
            for entry in held:
                assert entry.sequence == one["revision"]
                assert entry.method == ("PUBLISH" if one["status"] == "scheduled" else "CANCEL")
                assert entry.start == datetime.fromisoformat(one["starts_at"])
    assert count_true_notices(office.ws, "lake") == len(office.month.rows("webinar_notices"))
