"""A mail server of one's own for a local Airflow: what is sent to it lies in a Maildir, and goes nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from include.airflow_settings import AirflowSettings
from include.local_airflow.environment import HOST, choose_port

CONNECTION = "carm_smtp"
SETTING = "local_mailbox"
"""The key in the extra of the connection that asks for such a server, at whatever port is free."""


def mailbox_of(data: Path) -> Path:
    """Where the mails lie, each a file below ``new/``."""
    return data / "mailbox"


@contextmanager
def serve_mailbox(data: Path, settings: AirflowSettings) -> Iterator[AirflowSettings]:
    """Serve the mailbox of the data folder until the end of the block, if the connection asks for it.

    Yields the settings, with the connection led to the server.
    """
    connection = settings.connections.get(CONNECTION)
    if connection is None or connection.extra.get(SETTING) is not True:
        yield settings
        return
    from aiosmtpd.controller import Controller
    from aiosmtpd.handlers import Mailbox

    # It would tell each command, and with it each address, on the terminal.
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    port = choose_port("")
    controller = Controller(Mailbox(mailbox_of(data)), hostname=HOST, port=port, server_hostname="localhost")
    controller.start()
    try:
        led_here = replace(connection, host=HOST, port=port)
        yield replace(settings, connections={**settings.connections, CONNECTION: led_here})
    finally:
        controller.stop()


def count_mails(data: Path) -> int:
    """How many mails lie in the mailbox, read or not."""
    return sum(1 for folder in ("new", "cur") for _ in (mailbox_of(data) / folder).glob("*"))
