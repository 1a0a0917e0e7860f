"""Airflow's REST API, as far as this project speaks to it: log in, ask, page by page, and once more when it is busy."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from include.carm.errors import Unavailable, UsageError

TRIES = 8
ANSWER_SECONDS = 60
_BUSY = (500, 502, 503, 504)  # Over SQLite there is one writer; while the scheduler writes, a request comes too early.


def _go_on() -> None:
    """The check of a caller that has nothing to watch."""


@dataclass
class AirflowApi:
    """The API behind ``address``, for example ``http://127.0.0.1:8080``; a path after the port is kept.

    ``check`` is called before something is tried again; it may raise when waiting is in vain.
    """

    address: str
    check: Callable[[], None] = _go_on
    token: str = ""

    def log_in(self, user: str, password: str) -> None:
        self.token = self.send("POST", "/auth/token", {"username": user, "password": password})["access_token"]

    def get(self, path: str, *, accept: tuple[int, ...] = (), **query: Any) -> Any:
        """The answer to a GET of ``/api/v2<path>``; None for a status in ``accept``."""
        written = urlencode({name: value for name, value in query.items() if value is not None}, doseq=True)
        return self.send("GET", f"/api/v2{path}?{written}", accept=accept)

    def entries(self, path: str, key: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every entry below ``key``, page by page."""
        offset = 0
        while True:
            page = self.get(path, limit=100, offset=offset, **query)
            yield from page[key]
            offset += len(page[key])
            if not page[key] or offset >= page["total_entries"]:
                return

    def send(self, method: str, path: str, body: dict[str, Any] | None = None, *, accept: tuple[int, ...] = ()) -> Any:
        """The answer to a request, as JSON; None for a status in ``accept``.

        Raises ``Unavailable`` with Airflow's own words when it refuses, and whatever ``check`` raises.
        """
        for attempt in range(1, TRIES + 1):
            try:
                status, text = self._exchange(method, path, body)
            except OSError as error:
                status, text = 503, str(error)
            if status < 300:
                return json.loads(text) if text else None
            if status in accept:
                return None
            self.check()
            if status not in _BUSY or attempt == TRIES:
                raise Unavailable(f"Airflow refused {method} {path.partition('?')[0]} with {status}: {_detail(text)}")
            time.sleep(attempt / 2)
        raise AssertionError

    def connection(self) -> http.client.HTTPConnection:
        """A connection to the server, not opened yet. Raises ``UsageError`` for an address that is none."""
        parts = urlsplit(self.address)
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        if parts.scheme not in kinds or not parts.hostname:
            raise UsageError(f"'{self.address}' is not the address of an Airflow: write http://host:port")
        return kinds[parts.scheme](parts.hostname, parts.port, timeout=ANSWER_SECONDS)

    def _exchange(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, str]:
        connection = self.connection()
        try:
            headers = {"Content-Type": "application/json"}
            if self.token:
                headers["Authorization"] = f"Bearer {self.token}"
            whole_path = urlsplit(self.address).path.rstrip("/") + path
            connection.request(method, whole_path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()


def run_path(dag_id: str, run_id: str) -> str:
    """The path of a run below ``/api/v2``."""
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _detail(text: str) -> str:
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        detail = text
    return " ".join(str(detail).split())[:300]
