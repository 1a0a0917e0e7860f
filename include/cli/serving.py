"""``carm-unsubscribe``: serves the unsubscribe page, beside Airflow and without it."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from include.carm.errors import Unavailable
from include.cli.group import PlainErrors, require_hash_key
from include.system_clock import read_day

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

WAIT_SECONDS = 10
"""How long a click waits for another writer before its reader is asked to come again."""


@click.command(
    "carm-unsubscribe",
    cls=PlainErrors,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8090, show_default=True, help="0: any that is free.")
@click.option("--apply", "apply_", metavar="URL", envvar="CARM_APPLY_URL", help="URL of the database of carm_apply.")
@click.option("--data", metavar="FOLDER", type=Path, help="Data folder  [default: CARM_DATA, else data]")
def serve_unsubscribe(host: str, port: int, apply_: str | None, data: Path | None) -> None:
    """Serve the page that the unsubscribe link of a message opens. Put a proxy with TLS before it.

    The secret that signs the links is read from CARM_RECIPIENT_HASH_KEY: the recipient_hash_key of carm_smtp. Where a
    database is named, no data folder is needed. Nothing is logged of who asks: the path of a request is a secret.
    """
    import uvicorn

    from include.carm.mail_settings import MailSettings
    from include.unsubscribe import require_secret
    from include.unsubscribe_app import create_app

    key = require_hash_key()
    require_secret(key, MailSettings.load().letterhead.unsubscribe_url)
    engine = _open_tables(apply_ or os.environ.get("CARM_SOURCE_URL"), data, key)
    app = create_app(engine, key, read_day)
    with _listen(host, port) as listener:
        click.echo(f"unsubscribe page: http://{host}:{listener.getsockname()[1]}/u/TOKEN (end with Ctrl-C)", err=True)
        config = uvicorn.Config(
            app,
            # The access log would hold the paths, and the one of web sockets too.
            access_log=False,
            ws="none",
            log_level="warning",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            limit_concurrency=100,
            timeout_graceful_shutdown=WAIT_SECONDS,
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _open_tables(url: str | None, data: Path | None, key: bytes) -> Engine:
    """The database of ``carm_apply``, proved to have the tables and to know people by this key."""
    from include.database import connect_engine
    from include.unsubscribe import require_true_key
    from include.workspace import Workspace

    target = url or Workspace.open(data, create=False).apply_url
    engine = connect_engine(target, wait_seconds=WAIT_SECONDS)
    with engine.connect() as connection:
        require_true_key(connection, key)
    return engine


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise Unavailable(
            f"cannot listen on {host}, port {port} ({error.strerror}): name another with --host and --port"
        ) from error


def main() -> None:
    """Run the command; the console script ``carm-unsubscribe`` calls it."""
    serve_unsubscribe(prog_name="carm-unsubscribe")
