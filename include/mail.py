"""Composes a mail from a message of the outbox: headers and parts as bytes, the same for the same message and time.

Every line is of ASCII and short enough for any server (quoted-printable), and a header cannot be added by what a name
or a subject holds: a text is brought to one line before it becomes a header.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from include.carm.mail_settings import Letterhead
from include.notice_page import LANGUAGES, one_line
from include.outbox import LIST_KINDS, Parts

UNSUBSCRIBE_MARK = "https://unsubscribe.invalid/u/"
"""Stands in the stored parts of list mail where each recipient's own link belongs: a pack holds nobody's token."""

_POLICY = SMTP.clone(max_line_length=76)


@dataclass(frozen=True)
class Sender:
    """Who sends: the address that the server knows, what stands beside it, and how an unsubscribe link is made.

    ``unsubscribe_link`` makes the link of a recipient's key; None where no page is configured.
    """

    address: str
    letterhead: Letterhead
    mailbox: str
    unsubscribe_link: Any = None

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
    mail = EmailMessage(policy=_POLICY)
    name = " / ".join(sender.letterhead.from_name[language] for language in languages)
    mail["From"] = Address(one_line(name), addr_spec=sender.address)
    mail["To"] = Address(addr_spec=message["address"])
    mail["Reply-To"] = Address(addr_spec=sender.letterhead.reply_to)
    mail["Subject"] = one_line(message["subject"])
    mail["Date"] = format_datetime(sent_at)
    mail["Message-ID"] = f"<{message['message_key']}@{sender.domain}>"
    mail["Content-Language"] = ", ".join(languages)
    # RFC 3834: no machine answers to it.
    mail["Auto-Submitted"] = "auto-generated"
    if is_list:
        mail["List-Id"] = f"<carm-distribution-list.{sender.domain}>"
        by_mail = f"<mailto:{sender.mailbox}?subject=Unsubscribe>"
        mail["List-Unsubscribe"] = f"<{link}>, {by_mail}" if link else by_mail
        if link:
            mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    text, html = (_fill_in(part, link) for part in (parts.text, parts.html))
    mail.set_content(text, cte="quoted-printable")
    mail.add_alternative(html, subtype="html", cte="quoted-printable")
    for number, calendar in enumerate(parts.calendars, start=1):
        _attach(mail, calendar, f"session-{number}.ics" if len(parts.calendars) > 1 else "session.ics")
    _set_boundaries(mail, message["message_key"])
    return mail.as_bytes()


def _fill_in(part: bytes, link: str | None) -> str:
    return part.decode().replace(UNSUBSCRIBE_MARK, link) if link else part.decode()


def _attach(mail: EmailMessage, calendar: bytes, name: str) -> None:
    text = calendar.decode()
    method = next((line[7:] for line in text.splitlines() if line.startswith("METHOD:")), "PUBLISH")
    mail.add_attachment(text, subtype="calendar", cte="quoted-printable", filename=name, params={"method": method})


def _set_boundaries(mail: EmailMessage, key: str) -> None:
    """Boundaries from the key of the message and not from chance, so that the same mail has the same bytes."""
    for number, part in enumerate(part for part in mail.walk() if part.is_multipart()):
        part.set_boundary(f"=_{key}_{number}")
