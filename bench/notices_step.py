"""Notices: rendered and put into the outbox, and sent to a mail server on this machine.

What is sent is real in all but its recipients: composed, claimed, handed over and recorded, one connection for all. A
server in a process of its own takes every mail and keeps none. Beside it stand a loop as one would write it (a mail, a
connection, nothing recorded), and the same bytes handed over on one connection, which nobody can leave out.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import smtplib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import select

from bench.measure import Answer, Clock, Limit, Stage, Target, Way, contest
from bench.world import LAST, World
from include.carm.business_number import bn9_with_check_digit
from include.carm.calendar import Calendar
from include.carm.contacts import Contacts
from include.carm.mail_settings import Delivery, MailSettings
from include.carm.policy import Policy
from include.carm.recipients import message_key, recipient_key
from include.database import connect_engine
from include.deliver import Who, deliver
from include.mail import Sender, compose_mail
from include.mail_server import MailServer, ServerSettings
from include.notice_intents import about_statement
from include.notice_page import Message, NoticePages, StatementNotice
from include.notices import publish_messages
from include.operations import migrate
from include.operations_notice_tables import OUTBOX
from include.outbox import read_parts
from include.workspace import Workspace

HASH_KEY = b"a key for the benchmarks, of no account"
SENDER_ADDRESS = "notices@example.org"
MANY, FEW = (100_000, 10_000), (2_000, 1_000)
"""How many are written and how many are sent: as promised, and in the small profile."""
MOST_SECONDS, A_SECOND = 120, 200
SENT_AT = datetime(2022, 1, 5, 12, tzinfo=UTC)


def measure(world: World, folder: Path, rounds: int, say: Callable[[str], None]) -> list[Stage]:
    """Measure writing and sending."""
    written, sent = _sizes(world)
    is_promised = (written, sent) == MANY
    writing = contest(world, [Way("rendered, packed, queued", "ours", write_and_queue)], rounds, say)
    floor = Way("the same mails over one connection, nothing recorded", "floor", hand_over_alone)
    ways = [
        Way("composed, claimed, handed over, recorded", "ours", send),
        floor,
        Way("EmailMessage and a connection a mail, nothing recorded", "peer", send_plainly),
    ]
    sending = contest(world, ways, rounds, say)
    limits = (Limit("seconds", MOST_SECONDS),) if is_promised else ()
    # So many a second, whatever the floor.
    targets = (Target(floor.name, 1.0, or_a_second=A_SECOND),) if is_promised else ()
    return [
        Stage("notices written into the outbox", "notices", written, writing, limits=limits),
        Stage("notices sent to a server on this machine", "mails", sent, sending, targets),
    ]


def _sizes(world: World) -> tuple[int, int]:
    return FEW if world.profile.name == "small" else MANY


def write_and_queue(world: World, clock: Clock) -> Answer:
    """Render so many notices of statements, pack them, and put them into the outbox."""
    ws = _workspace(world.scratch("notices"))
    messages, render = _messages(ws, _sizes(world)[0])
    with clock:
        _publish(ws, messages, render)
    return None


def send(world: World, clock: Clock) -> Answer:
    """Send what is planned, as the Dag does but for the limit of its speed."""
    ws, count = _planned(world, "sent"), _sizes(world)[1]
    rules = MailSettings.load().delivery
    unhindered = Delivery(**{**vars(rules), "messages_a_second": 1e9, "messages_a_run": count})
    with _taking() as port, clock:
        server = MailServer(ServerSettings("127.0.0.1", port, "none", None, None, 30, 30, SENDER_ADDRESS))
        found = deliver(ws, server, _sender(), unhindered, who=Who("bench", lambda _: False), clock=_StandingClock())
    return {"mails": found["sent"]}


def hand_over_alone(world: World, clock: Clock) -> Answer:
    """Hand over mails that are composed already."""
    ws = _planned(world, "floor")
    mails = [(row["address"], compose_mail(row, read_parts(ws, row), _sender(), SENT_AT)) for row in _rows(ws)]
    with _taking() as port, clock, smtplib.SMTP("127.0.0.1", port) as client:
        for address, mail in mails:
            client.sendmail(SENDER_ADDRESS, address, mail)
    return {"mails": len(mails)}


def send_plainly(world: World, clock: Clock) -> Answer:
    """A loop as one would write it."""
    ws = _planned(world, "plain")
    texts = [(row, read_parts(ws, row)) for row in _rows(ws)]
    with _taking() as port, clock:
        for row, parts in texts:
            mail = EmailMessage()
            mail["From"], mail["To"], mail["Subject"] = SENDER_ADDRESS, row["address"], row["subject"]
            mail.set_content(parts.text.decode())
            mail.add_alternative(parts.html.decode(), subtype="html")
            with smtplib.SMTP("127.0.0.1", port) as client:
                client.send_message(mail)
    return {"mails": len(texts)}


# The messages


def _workspace(folder: Path) -> Workspace:
    url = f"sqlite:///{folder / 'operations.db'}"
    connect_engine(url, create=True).connect().close()
    migrate(url)
    return Workspace(folder, url, url, Calendar.load(), Policy.load())


def _planned(world: World, name: str) -> Workspace:
    ws = _workspace(world.scratch(f"notices-{name}"))
    _publish(ws, *_messages(ws, _sizes(world)[1]))
    return ws


def _publish(ws: Workspace, messages: pa.Table, render: Callable[[Mapping[str, Any]], Message]) -> None:
    month = {"period": str(LAST), "effects": "live", "area": "lake", "run_id": "bench"}
    publish_messages(ws, month, "notices", {"statement": "statement"}, messages, [], render)


def _messages(ws: Workspace, count: int) -> tuple[pa.Table, Callable[[Mapping[str, Any]], Message]]:
    """So many recipients, and what renders the notice of each; one in four is written to in French."""
    rows = []
    for number in range(1, count + 1):
        bn15 = bn9_with_check_digit(f"{number:08d}") + "RM0001"
        address, about = f"client{number}@example.org", about_statement(bn15, LAST)
        recipient = recipient_key(address, HASH_KEY)
        key = message_key("statement", recipient, about, 1)
        who = {"address": address, "recipient_key": recipient, "language": "fr" if number % 4 == 0 else "en"}
        rows.append({"message_key": key, "kind": "statement", "about": about, "version": 1, "bn15": bn15, **who})
    pages, issued_on, due_on = NoticePages(Contacts.load()), ws.calendar.issued_on(LAST), ws.calendar.due_on(LAST)
    start, end = ws.calendar.start(LAST), ws.calendar.end(LAST)

    def render(row: Mapping[str, Any]) -> Message:
        name = f"Importer of {row['bn15']} Ltd."
        notice = StatementNotice(row["bn15"], name, issued_on, start, end, due_on, version=1)
        return pages.render(notice, row["language"])

    return pa.Table.from_pylist(rows).sort_by("message_key"), render


def _rows(ws: Workspace) -> list[dict[str, Any]]:
    with ws.operations.connect() as connection:
        query = select(OUTBOX).order_by(OUTBOX.c.message_key)
        return [dict(row) for row in connection.execute(query).mappings()]


def _sender() -> Sender:
    return Sender(SENDER_ADDRESS, MailSettings.load().letterhead, Contacts.load().engagement_email)


class _StandingClock:
    """What is measured is the work, so nobody waits."""

    def instant(self) -> datetime:
        return SENT_AT

    def wait(self, seconds: float) -> None:
        assert seconds >= 0


# The server


@contextmanager
def _taking() -> Iterator[int]:
    """The port of a server on this machine that takes every mail, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_take, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("enough")
        process.join()


def _take(pipe: Connection) -> None:
    import logging

    from aiosmtpd.controller import Controller
    from aiosmtpd.handlers import Sink

    class AnyPort(Controller):
        def _trigger_server(self) -> None:
            assert isinstance(self.server, asyncio.Server)
            self.port = self.server.sockets[0].getsockname()[1]
            super()._trigger_server()

    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    controller = AnyPort(Sink(), hostname="127.0.0.1", port=0)
    controller.start()
    pipe.send(controller.port)
    pipe.recv()
    controller.stop()
