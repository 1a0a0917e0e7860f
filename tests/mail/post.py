"""A post office for tests: an outbox with messages, a real mail server that can fail, and a clock that stands still.

What the server does with a mail is written into the local part of its address: ``later-rcpt``, ``never-rcpt``,
``drop-rcpt``, ``drop-data``, ``later-data``, ``never-data``, ``lost`` (taken, and the connection breaks), ``garbled``,
``slow-rcpt`` and ``slow-data`` (no answer comes, and the connection stays).
"""

from __future__ import annotations

import json
from asyncio import Event
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from threading import Condition
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy import select

from include.carm.mail_settings import Delivery, Letterhead
from include.carm.recipients import message_key, recipient_key
from include.database import write_transaction
from include.deliver import Who, deliver
from include.documents import write_pack
from include.mail import Sender
from include.mail_server import MailServer, ServerSettings
from include.operations import migrate
from include.operations_notice_tables import OUTBOX
from include.outbox import Parts, keep_pack, plan_messages
from include.workspace import Workspace

HASH_KEY = b"a key for the tests, of no account"
NAMES = {"en": "CARM (test)", "fr": "GCRA (essai)"}
LETTERHEAD = Letterhead(NAMES, "answers@example.org", "")
RULES = Delivery(
    messages_a_second=1e9,
    messages_a_run=10_000,
    seconds_to_wait=5,
    seconds_to_accept=5,
    attempts=3,
    first_retry_minutes=5,
    failed_connections=3,
    refusals_in_a_row=10,
)
SENDER = Sender("notices@example.org", LETTERHEAD, "list@example.org")


class FakeClock:
    """Stands still but for the waits that are asked of it."""

    def __init__(self) -> None:
        self.time = datetime(2022, 1, 5, 12, tzinfo=UTC)

    def instant(self) -> datetime:
        return self.time

    def wait(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class InterruptedClock(FakeClock):
    """Something happens once, between two mails of a sender."""

    def __init__(self, happens: Callable[[], object]) -> None:
        super().__init__()
        self.happens: Callable[[], object] | None = happens

    def wait(self, seconds: float) -> None:
        super().wait(seconds)
        if self.happens is not None:
            happens, self.happens = self.happens, None
            happens()


class _Moody(SMTP):
    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 as the server calls it
        recipient = self.envelope.rcpt_tos[0] if self.envelope and self.envelope.rcpt_tos else ""
        if recipient.startswith("drop-data"):
            await self.push("354 go on")
            self.transport.abort()
            return
        await super().smtp_DATA(arg)


class Taken:
    """What the server took, in its order; and how often it was asked for each recipient."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, bytes]] = []
        self.asked: Counter[str] = Counter()
        self.connections = 0
        self.is_busy = ""
        self._news = Condition()

    def wait_for(self, count: int, goes_on: Callable[[], bool]) -> None:
        """Wait until so many mails are taken, or nobody sends any more."""
        with self._news:
            while len(self.mails) < count and goes_on():
                self._news.wait(0.05)

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.connections += 1
        return responses

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.is_busy:
            return self.is_busy
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.asked[address] += 1
        mood = address.partition("@")[0]
        if mood.startswith("later-rcpt"):
            return "450 4.2.0 later, please"
        if mood.startswith("never-rcpt"):
            return f"550 5.1.1 <{address}> is nobody here"
        if mood.startswith("drop-rcpt"):
            server.transport.abort()
        if mood.startswith("slow-rcpt"):
            await Event().wait()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        address, content = envelope.rcpt_tos[0], envelope.content
        assert isinstance(content, bytes)
        mood = address.partition("@")[0]
        if mood.startswith("later-data"):
            return "451 4.3.0 later, please"
        if mood.startswith("never-data"):
            return "554 5.6.0 not this"
        with self._news:
            self.mails.append((address, content))
            self._news.notify_all()
        if mood.startswith("slow-data"):
            await Event().wait()
        if mood.startswith("lost"):
            server.transport.abort()
        return "what did you say" if mood.startswith("garbled") else "250 OK"

    @property
    def addresses(self) -> list[str]:
        return [address for address, _ in self.mails]

    def parsed(self) -> list[EmailMessage]:
        return [message_from_bytes(content, policy=policy.SMTP) for _, content in self.mails]  # type: ignore[misc]


class _Controller(Controller):
    def factory(self) -> SMTP:
        return _Moody(self.handler, hostname="test", data_size_limit=None)

    def _trigger_server(self) -> None:
        # It was given port 0, and waits for an answer from the one that it got.
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class PostOffice:
    """An outbox in a folder of its own, and the server that :func:`open_post` started."""

    def __init__(self, folder: Path, url: str, port: int, taken: Taken) -> None:
        migrate(url)
        self.ws, self.url = Workspace.open(folder, source_url=url, apply_url=url), url
        self.port, self.taken, self.clock, self.seconds = port, taken, FakeClock(), 5.0
        self._packs = 0

    def plan(self, *addresses: str, kind: str = "closure", is_live: bool = True, **changed: Any) -> list[str]:
        """Put a message a recipient into the outbox; returns their keys in the order of the addresses."""
        self._packs += 1
        rows, members = [], []
        for address in addresses:
            recipient = recipient_key(address, HASH_KEY)
            row: dict[str, Any] = {"kind": kind, "recipient_key": recipient, "about": "000000018RM0001/2022-01-25"}
            row |= {"version": 1, "period": "2021-12", "address": address, "language": "en", "subject": "A notice"}
            row |= changed
            key = message_key(row["kind"], recipient, row["about"], row["version"])
            parts = Parts(b"Text of a notice.\n.\n", b"<p>Text of a notice.</p>\n")
            hashes = {"body_sha256": parts.body_sha256, "calendar_sha256": parts.calendar_sha256}
            rows.append({"message_key": key, **row, **hashes})
            members += list(parts.members(key))
        pack = write_pack(self.ws.data / "packs" / f"test-{self._packs:04d}.zip", sorted(members))
        kept = keep_pack(self.ws, pack.path, pack.sha256)
        with write_transaction(self.ws.operations) as connection:
            plan_messages(connection, [{**row, "pack": kept} for row in rows], is_live=is_live, run_id="test")
        return [row["message_key"] for row in rows]

    def server(self, **changed: Any) -> MailServer:
        settings = {"host": "127.0.0.1", "port": self.port, "security": "none", "login": None, "password": None}
        return MailServer(
            ServerSettings(
                **{
                    **settings,
                    "seconds": self.seconds,
                    "seconds_to_accept": self.seconds,
                    "sender": SENDER.address,
                    **changed,
                }
            )
        )

    def connection(self) -> str:
        """What makes this server the one of the connection carm_smtp: the value of AIRFLOW_CONN_CARM_SMTP."""
        extra = {"from_email": "now@example.com", "disable_ssl": True, "disable_tls": True}
        return json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": self.port, "extra": extra})

    def send(self, name: str = "sender 1", *, active: tuple[str, ...] = (), **changed: Any) -> dict[str, int]:
        """One run of a sender."""
        rules = Delivery(**{**vars(RULES), **changed})
        who = Who(name, lambda other: other in active, boot="boot")
        return deliver(self.ws, self.server(), SENDER, rules, who=who, clock=self.clock)

    def states(self) -> dict[str, str]:
        """State by address."""
        with self.ws.operations.connect() as connection:
            rows = connection.execute(select(OUTBOX.c.address, OUTBOX.c.state).order_by(OUTBOX.c.address))
            return {row.address: row.state for row in rows}

    def row(self, key: str) -> dict[str, Any]:
        with self.ws.operations.connect() as connection:
            query = select(OUTBOX).where(OUTBOX.c.message_key == key)
            return dict(connection.execute(query).mappings().one())


@contextmanager
def open_post(folder: Path, url: str) -> Iterator[PostOffice]:
    """A post office whose server listens on a free port of this machine until the end of the block."""
    taken = Taken()
    controller = _Controller(taken, hostname="127.0.0.1", port=0)
    controller.start()
    try:
        yield PostOffice(folder, url, controller.port, taken)
    finally:
        controller.stop()


def send_from(folder: Path, url: str, port: int, name: str) -> None:
    """One run of a sender, for a process of its own: whoever sent before is gone."""
    ws = Workspace.open(folder, source_url=url, apply_url=url)
    settings = ServerSettings("127.0.0.1", port, "none", None, None, 5, 5, SENDER.address)
    who = Who(name, lambda _: False, boot="boot")
    deliver(ws, MailServer(settings), SENDER, RULES, who=who, clock=FakeClock())
