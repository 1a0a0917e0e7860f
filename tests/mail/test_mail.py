"""What is handed over: headers that nobody can add to, parts that say the same, and links of list mail alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.mail import UNSUBSCRIBE_MARK, Sender, compose_mail
from include.outbox import LIST_KINDS, Parts
from tests.mail.post import LETTERHEAD

SENDER = Sender("notices@example.org", LETTERHEAD, "list@example.org", lambda key: f"https://list.example.org/u/{key}")
SENT_AT = datetime(2022, 1, 5, 12, 30, tzinfo=UTC)
PARTS = Parts("Your déclaration\n.\nFrom here\n".encode(), "<p>Your déclaration</p>\n".encode())
CALENDAR = b"BEGIN:VCALENDAR\r\nMETHOD:CANCEL\r\nSUMMARY:R\xc3\xa9union\r\nEND:VCALENDAR\r\n"


def message(**changed: Any) -> dict[str, Any]:
    row = {"message_key": "0123456789abcdef0123456789abcdef", "kind": "closure", "recipient_key": "ab12"}
    return row | {"address": "one@example.org", "language": "en", "subject": "Your account is closed"} | changed


def composed(parts: Parts = PARTS, sender: Sender = SENDER, **changed: Any) -> EmailMessage:
    mail = message_from_bytes(compose_mail(message(**changed), parts, sender, SENT_AT), policy=policy.SMTP)
    assert isinstance(mail, EmailMessage)
    return mail


def test_the_headers_say_who_writes_to_whom_and_that_no_machine_shall_answer() -> None:
    mail = composed(language="fr")
    told = {name: str(mail[name]) for name in mail if name not in ("Content-Type", "MIME-Version")}
    assert told == {
        "From": '"GCRA (essai)" <notices@example.org>',
        "To": "one@example.org",
        "Reply-To": "answers@example.org",
        "Subject": "Your account is closed",
        "Date": "Wed, 05 Jan 2022 12:30:00 +0000",
        "Message-ID": "<0123456789abcdef0123456789abcdef@example.org>",
        "Content-Language": "fr",
        "Auto-Submitted": "auto-generated",
    }


def test_the_parts_come_over_as_they_are_planned() -> None:
    text, html = composed().iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert text.get_content().replace("\r\n", "\n").encode() == PARTS.text
    assert html.get_content().replace("\r\n", "\n").encode() == PARTS.html


def test_every_line_is_short_and_of_ascii() -> None:
    long = Parts(("é" * 5_000 + "\n").encode(), ("<p>" + "é" * 5_000 + "</p>\n").encode(), (CALENDAR,))
    mail = compose_mail(message(subject="é" * 300, language="both"), long, SENDER, SENT_AT)
    assert mail.isascii()
    assert max(map(len, mail.split(b"\r\n"))) <= 78
    assert mail.count(b"\n") == mail.count(b"\r\n")


def test_an_entry_of_the_calendar_comes_with_its_method() -> None:
    body, entry = composed(Parts(PARTS.text, PARTS.html, (CALENDAR,)), kind="webinar").iter_parts()
    assert body.get_content_type() == "multipart/alternative"
    assert (entry.get_content_type(), entry.get_param("method"), entry.get_filename()) == (
        "text/calendar",
        "CANCEL",
        "session.ics",
    )
    assert entry.get_content().encode() == CALENDAR


@pytest.mark.parametrize("kind", ["closure", "statement", "digest", *LIST_KINDS])
def test_only_list_mail_can_be_unsubscribed_from(kind: str) -> None:
    marked = Parts(f"Stop: {UNSUBSCRIBE_MARK}\n".encode(), f'<a href="{UNSUBSCRIBE_MARK}">Stop</a>\n'.encode())
    mail = composed(marked, kind=kind)
    is_list = kind in LIST_KINDS
    assert (mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click") == is_list
    if is_list:
        assert "<https://list.example.org/u/ab12>" in mail["List-Unsubscribe"]
        assert [("https://list.example.org/u/ab12" in part.get_content()) for part in mail.iter_parts()] == [True] * 2
    else:
        assert mail["List-Unsubscribe"] is None


def test_without_a_page_list_mail_names_the_mailbox() -> None:
    mail = composed(sender=replace(SENDER, unsubscribe_link=None), kind="webinar")
    assert mail["List-Unsubscribe"] == "<mailto:list@example.org?subject=Unsubscribe>"
    assert mail["List-Unsubscribe-Post"] is None


def test_the_same_message_at_the_same_time_has_the_same_bytes() -> None:
    mails = {compose_mail(message(), PARTS, SENDER, SENT_AT) for _ in range(3)}
    assert len(mails) == 1


@given(st.text(min_size=1))
def test_no_subject_adds_a_header_or_ends_them(subject: str) -> None:
    mail = composed(subject=subject)
    assert list(mail) == list(composed())
    assert len(list(mail.iter_parts())) == 2


@pytest.mark.parametrize("written", ["Hello\r\nBcc: all@example.org", "Hello\n\nbody", "A\u2028Bcc: x@example.org"])
def test_a_line_break_in_a_subject_begins_nothing(written: str) -> None:
    mail = composed(subject=written)
    assert (mail["Bcc"], len(str(mail["Subject"]).splitlines())) == (None, 1)


# The bytes


def by_the_library(mail: bytes) -> bytes:
    """The mail as the standard library writes it: it folds the headers and joins the parts anew."""
    written = policy.compat32.clone(linesep="\r\n", mangle_from_=False)

    def copy(part: Message) -> Message:
        own = Message(written)
        for name, value in part.items():
            own[name] = value.replace("\r\n", "")
        inner = part.get_payload()
        own.set_payload([copy(one) for one in inner] if isinstance(inner, list) else inner)
        return own

    return copy(message_from_bytes(mail)).as_bytes(policy=written)


@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=160),
    st.integers(1, 80).map(lambda length: "a" * length + "@example.org"),
    st.text("aé =.\t\n\r", max_size=200),
    st.integers(0, 2),
)
def test_a_mail_has_the_bytes_of_the_library(subject: str, address: str, text: str, calendars: int) -> None:
    parts = Parts(text.encode(), PARTS.html, (CALENDAR,) * calendars)
    for kind in ("closure", "webinar"):
        mail = compose_mail(message(subject=subject, address=address, kind=kind), parts, SENDER, SENT_AT)
        assert mail == by_the_library(mail)
