"""Who gets in, and what every answer has in common."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from include.portal.app import create_app
from include.portal.staff import current_staff
from tests.portal.conftest import NOW, SECRET

PROJECT = Path(__file__).parents[2]


def routes(app):
    return [route for route in app.routes if isinstance(route, APIRoute)]


def depends_on(dependant, wanted):
    return dependant.call is wanted or any(depends_on(below, wanted) for below in dependant.dependencies)


def test_every_route_asks_who_it_is(portal):
    assert [route.path for route in routes(portal.app) if not depends_on(route.dependant, current_staff)] == []


def test_an_app_that_was_not_told_who_asks_lets_nobody_in(world):
    client = TestClient(create_app(lambda: world, SECRET, lambda: NOW))
    assert client.get("/months").status_code == 401


@pytest.mark.parametrize("path", ["/", "/months", "/openapi.json", "/static/portal.css"])
def test_who_is_not_logged_in_sees_nothing(portal, path):
    portal.become(None)
    assert portal.get(path).status_code == 401


def test_every_answer_forbids_what_pages_do_not_need(portal):
    for path, status in (("/months", 200), ("/nothing", 404), ("/", 307)):
        answer = portal.get(path)
        assert answer.status_code == status
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


def test_links_are_relative_and_lead_to_the_root_from_every_depth(portal):
    assert 'href="months"' in portal.get("/months").text
    assert 'href="../months"' in portal.get("/no/thing").text


def test_behind_a_prefix_links_are_the_same(portal):
    """A proxy hands on the whole path, and Airflow says which part of it is the prefix."""
    behind = TestClient(portal.app, root_path="/ops/airflow/carm")
    for page in ("/months", "/months/2022-01"):
        answer = behind.get(f"/ops/airflow/carm{page}")
        assert answer.status_code == 200
        assert set(links(answer.text)) == set(links(portal.get(page).text))


def links(html):
    return re.findall(r' (?:href|src|action)="([^"]*)"', html)


def test_no_page_has_a_link_that_leaves_out_the_way_up(portal):
    for page in ("/months", "/months/2022-01", "/trends", "/data-docs/", "/months/2022-01/certificate"):
        found = links(portal.get(page).text)
        assert len(found) > 8
        assert [link for link in found if link.startswith(("/", "http"))] == []


def test_the_portal_is_imported_without_what_only_a_page_needs():
    """The api-server imports it with the first request, which should not wait for engines that it may not use."""
    code = "import sys, include.portal.app; print(sorted({'duckdb', 'pyarrow', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
