"""Composes a mail from a message of the outbox: headers and parts as bytes, the same for the same message and time.

Every line is of ASCII and short enough for any server (quoted-printable), and a header cannot be added by what a name
or a subject holds: a text is brought to one line before it becomes a header.
"""

from __future__ import annotations

import hashlib
import json
from binascii import b2a_qp
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.policy import compat32
from email.utils import format_datetime, formataddr
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from include.carm.mail_settings import Letterhead
from include.notice_page import LANGUAGES, one_line
from include.outbox import LIST_KINDS, Parts

UNSUBSCRIBE_MARK = "https://unsubscribe.invalid/u/"
"""Stands in the stored parts of list mail where each recipient's own link belongs: a pack holds nobody's token."""

# The older of the library's two: the newer one parses each header that it is given, which takes longer than all else.
_POLICY = compat32.clone(linesep="\r\n", mangle_from_=False)
_LONGEST_LINE = 78 + len("\r\n")
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Sender:
    """Who sends: the address that the server knows, what stands beside it, and how an unsubscribe link is made.

    ``unsubscribe_link`` makes the link of a recipient's key; None where no page is configured.
    """

    address: str
    letterhead: Letterhead
    mailbox: str
    unsubscribe_link: Callable[[str], str] | None = None

    @property
    def domain(self) -> str:
        """The domain behind the sender's address, for the ids of messages."""
        return self.address.rpartition("@")[2]


def compose_mail(message: Mapping[str, Any], parts: Parts, sender: Sender, sent_at: datetime) -> bytes:
    """The mail as it is handed over, with CRLF at the end of each line.

    ``message`` is a row of the outbox, ``sent_at`` an instant with its zone.
    """
    languages, is_list = LANGUAGES[message["language"]], message["kind"] in LIST_KINDS
    link = sender.unsubscribe_link(message["recipient_key"]) if is_list and sender.unsubscribe_link else None
    headers = {
        "From": _from(sender, languages),
        "To": message["address"],
        "Reply-To": sender.letterhead.reply_to,
        "Subject": _written(message["subject"]),
        "Date": format_datetime(sent_at),
        "Message-ID": f"<{message['message_key']}@{sender.domain}>",
        "Content-Language": ", ".join(languages),
        # RFC 3834: no machine answers to it.
        "Auto-Submitted": "auto-generated",
    }
    if is_list:
        by_mail = f"<mailto:{sender.mailbox}?subject=Unsubscribe>"
        headers["List-Id"] = f"<carm-distribution-list.{sender.domain}>"
        headers["List-Unsubscribe"] = f"<{link}>, {by_mail}" if link else by_mail
        if link:
            headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    for field, value in headers.items():
        if any(character in value.replace("\n ", "") for character in "\r\n"):
            raise ValueError(f"the header {field} would begin another one")
    key = message["message_key"]
    texts = [_text(_fill_in(parts.text, link), "plain"), _text(_fill_in(parts.html, link), "html")]
    if not parts.calendars:
        return _multipart("alternative", f"=_{key}_1", texts, headers)
    body = _multipart("alternative", f"=_{key}_1", texts)
    return _multipart("mixed", f"=_{key}_0", [body, *_calendars(parts.calendars)], headers)


def kept_headers(message: Mapping[str, Any], sender: Sender, sent_at: datetime) -> str:
    """What the headers of a mail hold beside its row, as JSON: kept with the row, it composes the same bytes again.

    The settings of the day are in it, for they may be others when somebody asks what was sent.
    """
    languages = LANGUAGES[message["language"]]
    kept: dict[str, Any] = {
        "date": sent_at.isoformat(timespec="seconds"),
        "from": sender.address,
        "from_name": {language: sender.letterhead.from_name[language] for language in languages},
        "reply_to": sender.letterhead.reply_to,
    }
    if message["kind"] in LIST_KINDS:
        link = sender.unsubscribe_link
        kept |= {"mailbox": sender.mailbox, "link": link(message["recipient_key"]) if link else None}
    return json.dumps(kept, ensure_ascii=False)


def compose_again(message: Mapping[str, Any], parts: Parts) -> bytes:
    """The mail of a row whose ``headers`` were kept when it was about to be handed over."""
    kept = json.loads(message["headers"])
    letterhead, link = Letterhead(kept["from_name"], kept["reply_to"], ""), kept.get("link")
    sender = Sender(kept["from"], letterhead, kept.get("mailbox", ""), (lambda _: link) if link else None)
    return compose_mail(message, parts, sender, datetime.fromisoformat(kept["date"]))


_GIVEN = ("sending", "sent", "failed", "unknown")
"""States of a message that the server was given, if its ``mime_sha256`` says so: planned again, it will be another."""


def handed_over(message: Mapping[str, Any], parts: Parts) -> tuple[bytes, bool] | None:
    """The mail as the server was given it, and whether its SHA-256 is the recorded one; None where it was given none.

    It is another one where the row was changed, or where another release composed it.
    """
    if not (message["mime_sha256"] and message["state"] in _GIVEN):
        return None
    mail = compose_again(message, parts)
    return mail, hashlib.sha256(mail).hexdigest() == message["mime_sha256"]


def _fill_in(part: bytes, link: str | None) -> str:
    return part.decode().replace(UNSUBSCRIBE_MARK, link) if link else part.decode()


def _from(sender: Sender, languages: Sequence[str]) -> str:
    name = one_line(" / ".join(sender.letterhead.from_name[language] for language in languages))
    if name.isascii():
        return formataddr((name, sender.address))
    # Not by formataddr: it makes one word of the name, however long.
    return f"{_encoded(name, 'From')} <{sender.address}>"


def _written(subject: str) -> str:
    """A subject as a header: as it is, or encoded where it is not of ASCII alone."""
    line = one_line(subject)
    return line if line.isascii() else _encoded(line, "Subject")


@lru_cache(maxsize=256)
def _encoded(line: str, name: str) -> str:
    """A text as words that every mail program reads, each of 75 characters at most (RFC 2047, section 2)."""
    return Header(line, "utf-8", maxlinelen=75, header_name=name).encode()


# The parts, written here: the library's own message and generator take most of the time of a sender for the same bytes.


def _multipart(subtype: str, boundary: str, parts: Sequence[bytes], headers: Mapping[str, str] = _NONE) -> bytes:
    """A whole mail, or a part of one, that consists of ``parts``."""
    line = f"--{boundary}".encode("ascii")
    content = b"\r\n".join([*(line + b"\r\n" + part for part in parts), line + b"--\r\n"])
    return _entity(f'multipart/{subtype}; boundary="{boundary}"', headers, content)


def _text(content: str, subtype: str, parameters: str = "", headers: Mapping[str, str] = _NONE) -> bytes:
    """A part of text, as quoted-printable."""
    written = b2a_qp(content.replace("\r\n", "\n").encode(), istext=True)
    lines = written.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    headers = {"Content-Transfer-Encoding": "quoted-printable", **headers}
    return _entity(f'text/{subtype}; charset="utf-8"{parameters}', headers, lines)


def _calendars(calendars: Sequence[bytes]) -> Iterator[bytes]:
    for number, calendar in enumerate(calendars, start=1):
        content = calendar.decode()
        name = f"session-{number}.ics" if len(calendars) > 1 else "session.ics"
        method = next((line[7:] for line in content.splitlines() if line.startswith("METHOD:")), "PUBLISH")
        placed = {"Content-Disposition": f'attachment; filename="{name}"'}
        yield _text(content, "calendar", f'; method="{method}"; name="{name}"', placed)


def _entity(content_type: str, headers: Mapping[str, str], content: bytes) -> bytes:
    lines = [_header("Content-Type", content_type), _header("MIME-Version", "1.0")]
    lines += (_header(field, value) for field, value in headers.items())
    return b"".join([*lines, b"\r\n", content])


def _header(field: str, value: str) -> bytes:
    """A header in lines of at most 78 characters, where there is a place to fold it."""
    line = f"{field}: {value}\r\n"
    if len(line) <= _LONGEST_LINE and value.isascii() and value.isprintable():
        # What the library would write too, in a twentieth of its time.
        return line.encode("ascii")
    return _POLICY.fold_binary(field, value)
