"""What stands over a mail: a name that every program reads, and what is kept to compose the same mail again."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.utils import parseaddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.carm.mail_settings import Letterhead, MailSettings
from include.mail import Sender, compose_again, compose_mail, kept_headers
from include.outbox import LIST_KINDS
from tests.mail.test_mail import PARTS, SENDER, SENT_AT, message

SHIPPED = Sender("no-reply@example.com", MailSettings.load().letterhead, "list@example.org")


def head_of(mail: bytes) -> bytes:
    return mail.partition(b"\r\n\r\n")[0]


def assert_every_program_reads_it(mail: bytes, name: str, address: str) -> None:
    head = head_of(mail)
    words = re.findall(rb"=\?[^?\s]+\?[bqBQ]\?[^?\s]*\?=", head)
    assert max(map(len, words), default=0) <= 75
    assert max(map(len, head.split(b"\r\n"))) <= 78
    # The library's newer parser keeps the space between two encoded words, against RFC 2047, section 6.2.
    written, read_address = parseaddr(message_from_bytes(mail)["From"].replace("\r\n", ""))
    assert (str(make_header(decode_header(written))), read_address) == (name, address)


@pytest.mark.parametrize("language", ["en", "fr", "both"])
def test_the_names_as_shipped_are_read_by_every_program(language: str) -> None:
    names = SHIPPED.letterhead.from_name
    name = " / ".join(names.values()) if language == "both" else names[language]
    mail = compose_mail(message(language=language), PARTS, SHIPPED, SENT_AT)
    assert_every_program_reads_it(mail, name, SHIPPED.address)


@given(st.text('aé ô"(),.:;<>@[]\\=?_😀\n', min_size=1, max_size=200), st.sampled_from(["en", "both"]))
def test_whatever_the_name_the_address_is_the_only_one(written: str, language: str) -> None:
    sender = replace(SENDER, letterhead=Letterhead({"en": written, "fr": "GCRA"}, "answers@example.org", ""))
    mail = compose_mail(message(language=language), PARTS, sender, SENT_AT)
    read = message_from_bytes(mail, policy=policy.SMTP)
    (address,) = read["From"].addresses
    assert address.addr_spec == sender.address
    assert list(read) == list(message_from_bytes(compose_mail(message(), PARTS, SENDER, SENT_AT)))
    if not written.isascii():
        assert max(map(len, re.findall(rb"=\?utf-8\?[bq]\?[^?\s]*\?=", head_of(mail)))) <= 75
    assert parseaddr(message_from_bytes(mail)["From"].replace("\r\n", ""))[1] == sender.address


# Composed again


@pytest.mark.parametrize("language", ["en", "fr", "both"])
@pytest.mark.parametrize("kind", ["closure", *LIST_KINDS])
@pytest.mark.parametrize("sender", [SENDER, replace(SENDER, unsubscribe_link=None), SHIPPED])
def test_what_is_kept_composes_the_same_bytes(kind: str, language: str, sender: Sender) -> None:
    row = message(kind=kind, language=language)
    sent_at = datetime(2022, 1, 5, 8, 30, 12, 345_678, tzinfo=timezone(timedelta(hours=-5)))
    mail = compose_mail(row, PARTS, sender, sent_at)
    assert compose_again({**row, "headers": kept_headers(row, sender, sent_at)}, PARTS) == mail


def test_of_account_mail_nothing_of_the_list_is_kept() -> None:
    kept = json.loads(kept_headers(message(), SENDER, datetime(2022, 1, 5, tzinfo=UTC)))
    assert kept == {
        "date": "2022-01-05T00:00:00+00:00",
        "from": "notices@example.org",
        "from_name": {"en": "CARM (test)"},
        "reply_to": "answers@example.org",
    }
