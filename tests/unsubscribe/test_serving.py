"""``carm-unsubscribe`` as it runs: a real server on this machine, reached over HTTP."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from sqlalchemy.engine import Engine

from include.cli.group import HASH_KEY_VARIABLE
from include.cli.serving import serve_unsubscribe
from include.operations_notice_tables import SUBSCRIPTION_EVENTS
from include.unsubscribe import make_token
from tests.unsubscribe.outbox import ADDRESS, HASH_KEY, READER, message, post, rows, states

TOKEN = make_token(READER, HASH_KEY)
SECONDS_TO_START = 60


@pytest.fixture
def server(tables: Engine, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a running server, and the file with all that it prints."""
    post(tables, message())
    said = tmp_path / "said.txt"
    environment = {**os.environ, "CARM_DATA": str(tmp_path), HASH_KEY_VARIABLE: HASH_KEY.decode()}
    for variable in ("CARM_APPLY_URL", "CARM_SOURCE_URL"):
        environment.pop(variable, None)
    command = [sys.executable, "-c", "from include.cli.serving import main; main()", "--port", "0"]
    with said.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield _wait_for(process, said), said
    finally:
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()


def _wait_for(process: subprocess.Popen[bytes], said: Path) -> str:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        assert process.poll() is None, said.read_text()
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", said.read_text()):
            try:
                socket.create_connection(("127.0.0.1", int(found[1])), timeout=1).close()
            except OSError:
                pass
            else:
                return found[0]
        time.sleep(0.05)
    raise AssertionError(f"the server did not start: {said.read_text()}")


def test_a_reader_and_a_mail_program_unsubscribe_over_http(server: tuple[str, Path], tables: Engine) -> None:
    address, said = server
    link = f"{address}/u/{TOKEN}"
    with httpx.Client() as client:
        assert client.head(link).status_code == 200
        page = client.get(link)
        assert (page.status_code, page.http_version) == (200, "HTTP/1.1")
        assert "server" not in page.headers
        assert rows(tables, SUBSCRIPTION_EVENTS) == []
        assert client.post(link, files={"List-Unsubscribe": (None, "One-Click")}).status_code == 200
        assert client.post(link, data={"answer": "unsubscribe"}).status_code == 200
        assert client.get(f"{address}/u/{TOKEN[:-1]}A").status_code == 404
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        client.get(link, headers={**upgrade, "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="})
    assert [event["source"] for event in rows(tables, SUBSCRIPTION_EVENTS)] == ["one_click"]
    assert states(tables) == {("webinar", "webinars/2022-01"): "suppressed"}
    log = said.read_text()
    assert not {secret for secret in (TOKEN, TOKEN[:20], READER, ADDRESS, HASH_KEY.decode()) if secret in log}


def serve(*arguments: str, **environment: str | None) -> tuple[int, str]:
    cleared = dict.fromkeys(("CARM_APPLY_URL", "CARM_SOURCE_URL", "CARM_DATA"))
    result = CliRunner(env={**cleared, HASH_KEY_VARIABLE: HASH_KEY.decode(), **environment}).invoke(
        serve_unsubscribe, list(arguments), prog_name="carm-unsubscribe"
    )
    assert isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.stderr


def test_what_keeps_it_from_serving_is_said_in_one_line(tables: Engine, tmp_path: Path) -> None:
    data = str(tmp_path)
    code, said = serve("--data", data, **{HASH_KEY_VARIABLE: None})
    assert (code, "set CARM_RECIPIENT_HASH_KEY" in said) == (2, True)
    code, said = serve("--data", str(tmp_path / "nowhere"))
    assert (code, "there is no data folder" in said) == (2, True)
    code, said = serve(CARM_APPLY_URL="postgresql://somebody:secret@127.0.0.1:1/customs")
    assert (code, "cannot be reached" in said, "secret" in said) == (1, True, False)
    code, said = serve(CARM_APPLY_URL=f"sqlite:///{tmp_path / 'none.db'}")
    assert (code, "there is no database at" in said) == (1, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = serve("--data", data, "--port", str(taken.getsockname()[1]))
    assert (code, "name another with --host and --port" in said) == (1, True)
    code, said = serve("--data", data, "--host", "no.such.host.invalid")
    assert (code, "cannot listen on no.such.host.invalid" in said) == (1, True)
    post(tables, message())
    code, said = serve("--data", data, **{HASH_KEY_VARIABLE: "another key of these tests"})
    assert (code, "is not the one with which messages were written" in said) == (2, True)
    code, said = serve("--port", "99999")
    assert code == 2
    assert CliRunner().invoke(serve_unsubscribe, ["--help"]).exit_code == 0
