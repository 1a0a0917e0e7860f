"""Composes a mail from a message of the outbox: headers and parts as bytes, the same for the same message and time.

Every line is of ASCII and short enough for any server (quoted-printable), and a header cannot be added by what a name
or a subject holds: a text is brought to one line before it becomes a header.
"""

from __future__ import annotations

import json
from binascii import b2a_qp
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import compat32
from email.utils import format_datetime, formataddr
from typing import Any

from include.carm.mail_settings import Letterhead
from include.notice_page import LANGUAGES, one_line
from include.outbox import LIST_KINDS, Parts

UNSUBSCRIBE_MARK = "https://unsubscribe.invalid/u/"
"""Stands in the stored parts of list mail where each recipient's own link belongs: a pack holds nobody's token."""

# The older of the library's two: the newer one parses each header that it is given, which takes longer than all else.
_POLICY = compat32.clone(linesep="\r\n", mangle_from_=False)


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
    text, html = (_fill_in(part, link) for part in (parts.text, parts.html))
    body = MIMEMultipart("alternative", f"=_{message['message_key']}_1", policy=_POLICY)
    body.attach(_part(text, "plain"))
    body.attach(_part(html, "html"))
    mail = body
    if parts.calendars:
        mail = MIMEMultipart("mixed", f"=_{message['message_key']}_0", policy=_POLICY)
        mail.attach(body)
        for number, calendar in enumerate(parts.calendars, start=1):
            name = f"session-{number}.ics" if len(parts.calendars) > 1 else "session.ics"
            mail.attach(_calendar(calendar.decode(), name))
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
        mail[field] = value
    return mail.as_bytes(policy=_POLICY)


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


def _encoded(line: str, name: str) -> str:
    """A text as words that every mail program reads, each of 75 characters at most (RFC 2047, section 2)."""
    return Header(line, "utf-8", maxlinelen=75, header_name=name).encode()


def _part(content: str, subtype: str, **parameters: str) -> MIMENonMultipart:
    part = MIMENonMultipart("text", subtype, policy=_POLICY, charset="utf-8", **parameters)
    part["Content-Transfer-Encoding"] = "quoted-printable"
    part.set_payload(b2a_qp(content.replace("\r\n", "\n").encode(), istext=True).decode("ascii"))
    return part


def _calendar(content: str, name: str) -> MIMENonMultipart:
    method = next((line[7:] for line in content.splitlines() if line.startswith("METHOD:")), "PUBLISH")
    part = _part(content, "calendar", method=method, name=name)
    part["Content-Disposition"] = f'attachment; filename="{name}"'
    return part
