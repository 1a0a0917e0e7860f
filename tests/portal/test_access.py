"""Who gets in, and what every answer has in common."""

import pytest
from fastapi.routing import APIRoute

from include.portal.app import create_app
from include.portal.staff import current_staff
from tests.portal.conftest import NOW, SECRET


def routes(app):
    return [route for route in app.routes if isinstance(route, APIRoute)]


def depends_on(dependant, wanted):
    return dependant.call is wanted or any(depends_on(below, wanted) for below in dependant.dependencies)


def test_every_route_asks_who_it_is(portal):
    assert [route.path for route in routes(portal.app) if not depends_on(route.dependant, current_staff)] == []


def test_an_app_that_was_not_told_who_asks_lets_nobody_in(world):
    from fastapi.testclient import TestClient

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
