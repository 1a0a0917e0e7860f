"""The pages that links lead to, over both kinds of database: none is missing, and to each of the portal's leads one."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute

from bench.portal_step import Walk
from include.demo import fill_demo
from include.workspace import Workspace
from tests.pipeline import new_workspace, run_month
from tests.prepared import DEMO

OF_AIRFLOW = {"/dag-run"}
"""A tab of Airflow's: no page of ours leads to it."""


@pytest.fixture(params=["world", "postgresql_world"])
def any_world(request: pytest.FixtureRequest) -> Workspace:
    """The same world in SQLite and in PostgreSQL."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def postgresql_world(tmp_path: Path, postgresql_url: str) -> Workspace:
    ws = new_workspace(tmp_path / "data", postgresql_url)
    fill_demo(ws.source, **DEMO)
    for period in ("2021-12", "2022-01"):
        run_month(ws, period, effects="auto")
    return ws


def test_every_page_can_be_reached_by_links_and_answers(any_world: Workspace) -> None:
    walk = Walk.of(any_world, times=1)
    pages = {
        route.path
        for route in walk.app.routes
        if isinstance(route, APIRoute) and route.response_class is HTMLResponse and "GET" in route.methods
    }
    assert pages - set(walk.asked) == OF_AIRFLOW
