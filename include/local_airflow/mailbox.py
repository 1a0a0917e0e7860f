"""A mail server of one's own for a local Airflow: what is sent to it lies in a Maildir, and goes nowhere else."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from include.airflow_settings import AirflowSettings, ConnectionSettings
from include.carm.errors import UsageError
from include.local_airflow.environment import HOST, choose_port

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, Envelope, Session

CONNECTION = "carm_smtp"
SETTING = "local_mailbox"
"""The key in the extra of the connection that asks for such a server, at whatever port is free."""


def mailbox_of(data: Path) -> Path:
    """Where the mails lie, each a file below ``new/``."""
    return data / "mailbox"


def local_connection(settings: AirflowSettings) -> ConnectionSettings | None:
    """The connection of the settings file, if mail goes to the local mailbox by it; None where it goes elsewhere.

    A variable AIRFLOW_CONN_CARM_SMTP goes over the file, as in Airflow. Raises ``UsageError`` where it cannot be read,
    and where it asks for the local mailbox: nobody could lead it to the server's port.
    """
    if (of_file := settings.connections.get(CONNECTION)) is None:
        return None
    connection = settings.connection(CONNECTION)
    if connection.extra.get(SETTING) is not True:
        return None
    if connection is not of_file:
        raise UsageError(
            f"AIRFLOW_CONN_{CONNECTION.upper()} cannot ask for {SETTING}, only airflow_settings.yaml can: take the "
            "variable away, or that key out of it"
        )
    return connection


@contextmanager
def serve_mailbox(data: Path, settings: AirflowSettings) -> Iterator[AirflowSettings]:
    """Serve the mailbox of the data folder until the end of the block, if the connection asks for it.

    Yields the settings, with the connection led to the server. Raises ``UsageError`` as :func:`local_connection` does.
    """
    connection = local_connection(settings)
    if connection is None:
        yield settings
        return
    from aiosmtpd.controller import Controller

    # It would tell each command, and with it each address, on the terminal.
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    port = choose_port("")
    controller = Controller(_Maildir(mailbox_of(data)), hostname=HOST, port=port, server_hostname="localhost")
    controller.start()
    try:
        led_here = replace(connection, host=HOST, port=port)
        yield replace(settings, connections={**settings.connections, CONNECTION: led_here})
    finally:
        controller.stop()


class _Maildir:
    """Lays each mail into a Maildir. The library's own waits for the disk with every one, and nothing depends on it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._names = folder, count(1)
        for name in ("new", "cur", "tmp"):
            (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 the server's
        name = f"{os.getpid()}.{next(self._names):06d}.{secrets.token_hex(6)}"
        path = self._folder / "tmp" / name
        try:
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                file.write(envelope.original_content or b"")
            path.rename(self._folder / "new" / name)
        except OSError:
            return "452 no room in the mailbox"
        return "250 OK"


def count_mails(data: Path) -> int:
    """How many mails lie in the mailbox, read or not."""
    return sum(1 for folder in ("new", "cur") for _ in (mailbox_of(data) / folder).glob("*"))
