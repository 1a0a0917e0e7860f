"""A server that stands in the place of Airflow and says what the test wants."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Airflow(HTTPServer):
    """Gives the prepared answers in their order and remembers what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, str, Any]] = []


class Answering(BaseHTTPRequestHandler):
    server: Airflow

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, json.loads(body) if body else None))
        status, answer = self.server.answers.pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    do_POST = do_PATCH = do_PUT = do_GET  # noqa: N815

    def log_message(self, format: str, *words: Any) -> None:
        pass
