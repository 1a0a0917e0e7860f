"""Every route, whatever room it is of: who may call it, what it makes of hostile values, and that nothing breaks it.

A room adds its routes, and they are walked here without being named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import schemathesis
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given, settings
from sqlalchemy import select

from include.operations_metadata import METADATA
from include.operations_notice_tables import OUTBOX
from include.operations_statement_tables import STATEMENT_REGISTRY
from include.portal.pages import check_form
from tests.portal.conftest import Portal

HOSTILE = (
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "' OR 1=1 --",
    "'; DROP TABLE carm_plans; --",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "\x00",
    "9" * 10_000,
    "2021-13",
    "é" * 300,
)
"""Traversal, injection into SQL, pages and templates, and what is too long or no text at all."""

SEARCHES = {"/accounts/search"}
"""What is posted only because a name must not stand in an address: whoever may read may ask."""


def routes(portal: Portal, method: str) -> Iterator[APIRoute]:
    for route in portal.app.routes:
        if isinstance(route, APIRoute) and method in route.methods:
            yield route


def fill(path: str, value: str) -> str:
    return re.sub(r"\{[^}]+\}", quote(value, safe=""), path)


def test_there_are_routes_to_walk(portal):
    assert len(list(routes(portal, "GET"))) > 3


def test_nobody_who_is_not_logged_in_gets_an_answer(portal):
    portal.become(None)
    answers = {
        (method, route.path): portal.request(method, fill(route.path, "2021-12")).status_code
        for method in ("GET", "POST")
        for route in routes(portal, method)
    }
    # A value that is none may be refused before anybody is asked for.
    assert {key: status for key, status in answers.items() if status not in (401, 422)} == {}
    assert 401 in answers.values()


def test_no_form_is_taken_without_its_token(portal):
    taken = {}
    for route in routes(portal, "POST"):
        assert any(dependency.call is check_form for dependency in route.dependant.dependencies), route.path
        answer = portal.post(fill(route.path, "2021-12"), data={"token": "made up"})
        if answer.status_code not in (403, 422):
            taken[route.path] = answer.status_code
    assert taken == {}


REASON = {"reason": "a reason in words"}
FORMS = {
    "/review/{period}/approval": {"plan_hash": "0" * 64},
    "/review/{period}/holds": {"bn15": "100000009RM0001", **REASON},
    "/review/{period}/lifted-holds": {"bn15": "100000009RM0001", **REASON},
    "/review/{period}/reviews": {"bn15": "100000009RM0001", "decision": "keep", **REASON},
    "/accounts/{bn15}/reinstate": {"effective_on": "2022-01-10", **REASON},
    "/outbox/unknown/arrived": {"key": "0" * 32, **REASON},
    "/outbox/unknown/again": {"key": "0" * 32, **REASON},
    "/outbox/messages/{key}/arrived": REASON,
    "/outbox/messages/{key}/again": REASON,
    "/outbox/failed/again": {"period": "2022-01", **REASON},
}
"""What a form must hold to be read at all; the others need nothing."""


def test_whoever_may_only_read_changes_nothing(portal):
    """With whole forms and a token of their own: what stops them is that they may start no Dag."""
    ((bn15,),) = rows_of(
        portal, select(STATEMENT_REGISTRY.c.bn15).where(STATEMENT_REGISTRY.c.period == "2022-01").limit(1)
    )
    ((key,),) = rows_of(portal, select(OUTBOX.c.message_key).limit(1))
    row_id = re.search(r"/rows/([0-9a-f]{32})", portal.get("/quarantine/2022-01").text)[1]
    given = {"period": "2022-01", "bn15": bn15, "feed": "transactions", "key": key, "row_id": row_id}
    portal.become("viewer")
    portal.app.dependency_overrides[check_form] = lambda: None
    before = everything(portal)
    answers = {}
    for route in routes(portal, "POST"):
        address = re.sub(r"\{([^}]+)\}", lambda part: given[part[1]], route.path)
        answers[route.path] = portal.post(address, data=FORMS.get(route.path, {})).status_code
    assert {path: status for path, status in answers.items() if status != 403 and path not in SEARCHES} == {}
    assert everything(portal) == before
    assert [asked for asked in portal.airflow.asked if asked[0] != "GET"] == []


def rows_of(portal, query):
    with portal.ws.operations.connect() as connection:
        return connection.execute(query).all()


def everything(portal):
    """Every row of the pipeline's tables."""
    return {table.name: sorted(map(repr, rows_of(portal, select(table)))) for table in METADATA.tables.values()}


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_in_an_address_is_refused_and_not_repeated(portal, value):
    for route in routes(portal, "GET"):
        if "{" not in route.path:
            continue
        answer = portal.get(fill(route.path, value))
        assert 400 <= answer.status_code < 500, (route.path, answer.status_code)
        assert value not in answer.text
        assert "root:" not in answer.text


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_of_a_query_breaks_nothing(portal, value):
    for route in routes(portal, "GET"):
        if "{" in route.path:
            continue
        names = [field.alias for field in route.dependant.query_params]
        for name in names:
            answer = portal.get(f"{route.path}?{quote(name)}={quote(value, safe='')}")
            assert answer.status_code < 500, (route.path, name, answer.status_code)
            assert "<script>alert" not in answer.text
            assert "<img src=x" not in answer.text


def test_no_request_that_the_description_allows_breaks_a_route(portal):
    portal.app.dependency_overrides[check_form] = lambda: None
    description = schemathesis.openapi.from_dict(portal.app.openapi())
    walked = set()
    for found in description.get_all_operations():
        operation = found.ok()
        walked.add(operation.path)

        @settings(
            max_examples=20,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case):
            sent = case.as_transport_kwargs(base_url="http://testserver")
            answer = portal.request(
                sent["method"],
                sent["url"],
                params=sent.get("params"),
                data=sent.get("data") if isinstance(sent.get("data"), dict) else None,
            )
            assert answer.status_code < 500, answer.text

        ask()
    assert walked == {
        route.path for route in portal.app.routes if isinstance(route, APIRoute) and route.include_in_schema
    }
