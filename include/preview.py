"""What would be sent, as files to open and, where a person asks for it, as marked mails to a test address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from include.airflow_settings import AirflowSettings
from include.carm.errors import DataError, Unavailable, UsageError
from include.carm.recipients import address_problem
from include.deliver import Clock
from include.documents import write_file
from include.local_airflow.mailbox import serve_mailbox
from include.mail import compose_mail
from include.mail_route import MailRoute
from include.mail_server import MailError, MailServer, NotConnected
from include.operations_notice_tables import OUTBOX
from include.outbox import read_parts

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.engine import Connection

    from include.carm.period import Period
    from include.workspace import Workspace

_MARK = "[TEST] "


def count_by_language(
    connection: Connection, period: Period, kind: str | None, address: str | None
) -> list[dict[str, Any]]:
    """``kind, language, state, messages`` of the month, of one kind and recipient where these are given."""
    columns = (OUTBOX.c.kind, OUTBOX.c.language, OUTBOX.c.state)
    query = select(*columns, func.count().label("messages")).where(*_wanted(period, kind, address))
    return [dict(row) for row in connection.execute(query.group_by(*columns).order_by(*columns)).mappings()]


def choose_samples(
    connection: Connection, period: Period, kind: str | None, address: str | None, samples: int
) -> list[dict[str, Any]]:
    """The first messages of each kind and language by their keys, which are as good as chance and always the same."""
    number = func.row_number().over(partition_by=(OUTBOX.c.kind, OUTBOX.c.language), order_by=OUTBOX.c.message_key)
    numbered = select(OUTBOX, number.label("number")).where(*_wanted(period, kind, address)).subquery()
    query = select(numbered).where(numbered.c.number <= samples)
    query = query.order_by(numbered.c.kind, numbered.c.language, numbered.c.number)
    return [dict(row) for row in connection.execute(query).mappings()]


def _wanted(period: Period, kind: str | None, address: str | None) -> list[ColumnElement[bool]]:
    wanted = [OUTBOX.c.period == str(period)]
    if kind:
        wanted.append(OUTBOX.c.kind == kind)
    if address:
        wanted.append(OUTBOX.c.address == address.strip().lower())
    return wanted


def write_samples(ws: Workspace, messages: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write the parts of each message as files that a browser, a reader and a calendar open; returns the files.

    Raises ``Unavailable`` where the folder cannot be written.
    """
    files = []
    for message in messages:
        name = f"{message['kind']}-{message['language']}-{message['message_key'][:8]}"
        parts = read_parts(ws, message)
        contents = {f"{name}.html": parts.html, f"{name}.txt": parts.text}
        contents |= {f"{name}-{number}.ics": calendar for number, calendar in enumerate(parts.calendars, start=1)}
        for file, content in contents.items():
            try:
                write_file(folder / file, content)
            except OSError as error:
                raise Unavailable(f"cannot write {folder / file} ({error.strerror or error})") from error
            files.append(folder / file)
    return files


def send_samples(ws: Workspace, messages: Sequence[Mapping[str, Any]], address: str, clock: Clock) -> int:
    """Send the messages to ``address`` as tests: marked in the subject, with ids of their own, and not recorded.

    Returns how many. Raises ``UsageError`` for an address that is none, ``DataError`` where the server refuses it.
    """
    if address_problem(address):
        raise UsageError("the test address cannot be written to: give one like name@example.org")
    with serve_mailbox(ws.data, AirflowSettings.load()) as settings:
        route = MailRoute.of(settings.connection("carm_smtp"))
        with MailServer(route.server) as server:
            for number, message in enumerate(messages, start=1):
                now = clock.instant()
                test = {
                    **message,
                    "address": address,
                    "subject": _MARK + message["subject"],
                    "message_key": f"test-{number}-{now:%Y%m%d%H%M%S%f}-{message['message_key'][:12]}",
                    # No link of somebody else's: a click would unsubscribe who never saw it.
                    "recipient_key": "0" * 64,
                }
                mail = compose_mail(test, read_parts(ws, message), route.sender, now)
                try:
                    server.connect()
                    server.address(address)
                    server.hand_over(mail)
                except NotConnected as error:
                    raise Unavailable(f"{error}: {number - 1} samples were sent") from error
                except MailError as error:
                    raise DataError(f"{error} to sample {number}: the ones before it were sent") from None
    return len(messages)
