"""The portal over a small demo world, asked by people whom the tests invent; Airflow is a plain table of answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import HTTPException
from fastapi.testclient import TestClient

from include.portal.app import create_app
from include.portal.staff import Staff, current_staff
from include.workspace import Workspace
from tests.prepared import Prepared, january

SECRET = "a secret for the tests of the portal alone"
NOW = datetime(2022, 2, 1, 12, 0, tzinfo=UTC)
"""The moment at which all pages are asked for."""


@dataclass
class Airflow:
    """Says what a test wants it to say, by method and the path before any question mark; remembers what was asked."""

    answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, Any]:
        self.asked.append((method, path, body))
        return self.answers.get((method, path.partition("?")[0]), (404, None))


class Portal(TestClient):
    """A client that is somebody: ``who`` names the person, ``may_start`` the Dags that person may start."""

    def __init__(self, ws: Workspace) -> None:
        self.airflow = Airflow({("GET", "/dags/carm_month/dagRuns"): (200, {"dag_runs": [], "total_entries": 0})})
        self.ws = ws
        self.who: str | None = "approver"
        self.may_start: frozenset[str] | None = None
        app = create_app(lambda: ws, SECRET, lambda: NOW)
        app.dependency_overrides[current_staff] = self._staff
        super().__init__(app, follow_redirects=False, raise_server_exceptions=False)

    def _staff(self) -> Staff:
        if self.who is None:
            raise HTTPException(401, "log in to Airflow first")
        return Staff(self.who, self._may, self.airflow.ask)

    def _may(self, dag_id: str) -> bool:
        return self.may_start is None or dag_id in self.may_start

    def become(self, who: str | None, *may_start: str) -> None:
        """Go on as somebody else, who may start these Dags alone; None is nobody who is logged in."""
        self.who, self.may_start = who, frozenset(may_start)

    def token(self, page: str) -> str:
        """The token that stands in the forms of a page."""
        found = re.search(r'name="token" value="([^"]+)"', self.get(page).text)
        assert found, f"{page} has no form"
        return found[1]


@pytest.fixture
def world(prepared: Prepared, tmp_path: Path) -> Workspace:
    """The demo world after 2021-12 and 2022-01 were issued; a test may change it."""
    return prepared.copy(tmp_path / "data", january)


@pytest.fixture
def portal(world: Workspace) -> Iterator[Portal]:
    """The portal over :func:`world`, asked by somebody who may do everything."""
    with Portal(world) as client:
        yield client
