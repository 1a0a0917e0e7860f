"""Delivery reports as servers write them; each says only what a test is about."""

from __future__ import annotations

import mailbox
from pathlib import Path

from tests.unsubscribe.outbox import ADDRESS


def fate(address: str = ADDRESS, status: str = "5.1.1", action: str = "failed", kind: str = "rfc822") -> str:
    """The block of a report about one recipient."""
    return f"Final-Recipient: {kind}; {address}\nAction: {action}\nStatus: {status}\n"


def returned(message_key: str | None, content_type: str = "message/rfc822") -> str:
    """The part with what is returned: a message of ours, or its headers."""
    message_id = f"Message-ID: <{message_key}@mail.example.org>\n" if message_key else ""
    body = "" if "headers" in content_type else "\nHello\n"
    return f"Content-Type: {content_type}\n\nFrom: sender@example.org\n{message_id}Subject: Webinars\n{body}"


def report(*fates: str, back: str = "", kind: str = "message/delivery-status", head: str = "") -> bytes:
    """A whole report; ``back`` is the part with what it returns, ``head`` more headers of the part that reports."""
    parts = [
        "Content-Type: text/plain; charset=utf-8\n\nYour message could not be delivered.\n",
        f"Content-Type: {kind}\n{head}\nReporting-MTA: dns; mx.example.net\n"
        "Arrival-Date: Mon, 10 Jan 2022 13:00:00 -0500\n\n" + "\n".join(fates),
        *([back] if back else []),
    ]
    content = "".join(f"--=_x\n{part}\n" for part in parts)
    return (
        "From: MAILER-DAEMON@mx.example.net\nSubject: Undelivered Mail Returned to Sender\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="=_x"\n\n'
        f"{content}--=_x--\n"
    ).encode()


def put_into_folder(folder: Path, *messages: bytes) -> Path:
    """A folder of .eml files."""
    folder.mkdir(exist_ok=True)
    for number, content in enumerate(messages, start=1):
        (folder / f"{number:02d}.eml").write_bytes(content)
    return folder


def put_into_mbox(file: Path, *messages: bytes) -> Path:
    box = mailbox.mbox(file)
    for content in messages:
        box.add(content)
    box.close()
    return file


def put_into_maildir(folder: Path, *messages: bytes) -> Path:
    box = mailbox.Maildir(folder)
    for content in messages:
        box.add(content)
    box.close()
    return folder
