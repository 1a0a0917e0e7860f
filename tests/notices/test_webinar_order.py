"""The last mail that anybody gets about a session says what is true of it, whatever was put off, lost or sent again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from include.database import write_transaction
from include.deliver import plan_again
from include.operations_notice_tables import OUTBOX
from tests.mail.post import PostOffice, open_post
from tests.notices.months import subscriber, webinar
from tests.notices.test_webinar_changes import JANUARY, LATER, READER, Office

READERS = [f"reader{number}@example.org" for number in range(12)]
MOVED, CANCELLED = "Changed: English title of W1, 2022-01-19", "Cancelled: English title of W1, 2022-01-19"
# What the sender writes where the server answers 450.
PUT_OFF = {"attempts": 1, "next_attempt_at": "2022-01-05T13:00:00.000000Z", "reply": "450"}


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path, *(subscriber(reader) for reader in (READER, *READERS)))


@pytest.fixture
def post(office: Office, tmp_path: Path) -> Iterator[PostOffice]:
    with open_post(tmp_path, office.ws.apply_url) as opened:
        yield opened


def subjects(post: PostOffice, address: str = READER) -> list[str]:
    return [str(mail["Subject"]) for mail in post.taken.parsed() if str(mail["To"]) == address]


def note(office: Office, *which: object, **values: object) -> None:
    """Let messages of the outbox be as a sender or a server left them."""
    with write_transaction(office.ws.operations) as connection:
        connection.execute(update(OUTBOX).where(*which).values(**values))


def test_a_cancellation_comes_after_the_invitation_where_both_wait(office: Office, post: PostOffice) -> None:
    """The order of keys is that of chance, so many readers are asked."""
    office.enter(webinar("W1", LATER)).run()
    office.enter(webinar("W1", LATER, revision=2, status="cancelled")).run()
    assert post.send()["waiting"] == 0
    assert {reader: subjects(post, reader) for reader in READERS} == {
        reader: [JANUARY, CANCELLED] for reader in READERS
    }


def test_a_cancellation_waits_for_an_invitation_that_was_put_off(office: Office, post: PostOffice) -> None:
    office.enter(webinar("W1", LATER)).run()
    note(office, **PUT_OFF)
    office.enter(webinar("W1", LATER, revision=2, status="cancelled")).run()
    post.send()
    assert subjects(post) == []
    post.clock.wait(7_200)
    post.send()
    assert subjects(post) == [JANUARY, CANCELLED]


def test_a_change_that_was_put_off_does_not_come_after_the_cancellation(office: Office, post: PostOffice) -> None:
    office.enter(webinar("W1")).run()
    post.send()
    office.enter(webinar("W1", LATER, revision=2)).run()
    note(office, OUTBOX.c.version == 2, **PUT_OFF)
    office.enter(webinar("W1", LATER, revision=3, status="cancelled")).run()
    post.send()
    post.clock.wait(7_200)
    assert post.send()["waiting"] == 0
    assert subjects(post) == [JANUARY, CANCELLED]


def test_a_change_that_is_put_off_while_the_next_one_is_planned_goes_first(office: Office, post: PostOffice) -> None:
    office.enter(webinar("W1")).run()
    post.send()
    office.enter(webinar("W1", LATER, revision=2)).run()
    note(office, OUTBOX.c.version == 2, state="sending", claimed_by="another", mime_sha256="0" * 64)
    office.enter(webinar("W1", LATER, revision=3, status="cancelled")).run()
    note(office, OUTBOX.c.version == 2, state="planned", **PUT_OFF)
    post.send()
    assert subjects(post) == [JANUARY]
    post.clock.wait(7_200)
    post.send()
    assert subjects(post) == [JANUARY, MOVED, CANCELLED]


def test_who_never_got_the_invitation_hears_of_no_cancellation_before_it_is_sent_after_all(
    office: Office, post: PostOffice
) -> None:
    office.enter(webinar("W1", LATER)).run()
    office.enter(webinar("W1", LATER, revision=2, status="cancelled")).run()
    invitation = office.messages()[0]["message_key"]
    note(office, OUTBOX.c.message_key == invitation, state="failed", reply="550")
    post.send()
    assert subjects(post) == []
    plan_again(office.ws, invitation, reason="the server was wrong", recorded_by="somebody")
    post.send()
    assert subjects(post) == [JANUARY, CANCELLED]


def test_what_its_reader_knows_better_is_called_off_where_a_person_sends_it_again(
    office: Office, post: PostOffice
) -> None:
    office.enter(webinar("W1")).run()
    post.send()
    office.enter(webinar("W1", LATER, revision=2)).run()
    changed = office.messages()[1]["message_key"]
    note(office, OUTBOX.c.version == 2, state="unknown")
    office.enter(webinar("W1", LATER, revision=3, status="cancelled")).run()
    post.send()
    plan_again(office.ws, changed, reason="it did not arrive", recorded_by="somebody")
    post.send()
    assert subjects(post) == [JANUARY, CANCELLED]
    assert post.row(changed)["state"] == "called_off"
