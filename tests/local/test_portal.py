"""The portal in a real Airflow: who gets in, in whose name it asks, and that a run it starts is a run of Airflow."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

import pytest

from include.airflow_api import AirflowApi
from tests.office import PATIENCE_SECONDS, Office, open_office
from tests.prepared import Prepared, december

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def office(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    data = tmp_path_factory.mktemp("portal") / "data"
    prepared.copy(data, december)
    with open_office(data) as office:
        yield office


def ask(office: Office, path: str, headers: dict[str, str], form: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Status, text and ``Location`` of the answer to a request to the portal."""
    connection = http.client.HTTPConnection("127.0.0.1", office.port, timeout=PATIENCE_SECONDS)
    try:
        body = None if form is None else urlencode(form)
        method = "GET" if form is None else "POST"
        connection.request(method, f"/carm/{path}", body, headers | ({"Content-Type": FORM} if body else {}))
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.getheader("Location") or ""
    finally:
        connection.close()


def bearer(api: AirflowApi) -> dict[str, str]:
    return {"Authorization": f"Bearer {api.token}"}


def token_of(page: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found, "the page has no form"
    return found[1]


def test_without_a_log_in_nobody_gets_in(office: Office) -> None:
    for headers, status in (({}, 401), ({"Cookie": "_token=made-up"}, 403), ({"Authorization": "Bearer made-up"}, 403)):
        for path in ("months", "static/portal.css", "openapi.json"):
            assert ask(office, path, headers)[0] == status, (headers, path)


def test_a_viewer_gets_in_by_header_and_by_cookie_and_reads_only(office: Office) -> None:
    viewer = office.as_user("viewer")
    for headers in (bearer(viewer), {"Cookie": f"_token={viewer.token}"}):
        status, page, _ = ask(office, "months", headers)
        assert status == 200
        assert "2021-12" in page
    _, page, _ = ask(office, "months/2021-12", bearer(viewer))
    assert "Run this month again" not in page


def test_a_month_that_an_approver_starts_is_a_run_in_that_name_and_leads_back(office: Office) -> None:
    approver, viewer = office.as_user("approver"), office.as_user("viewer")
    _, page, _ = ask(office, "months/2021-12", bearer(approver))
    form = {"token": token_of(page), "effects": "shadow"}
    # The token is of the approver; to anybody else it is none.
    assert ask(office, "months/2021-12/run", bearer(viewer), form)[0] == 403
    assert ask(office, "months/2021-12/run", bearer(approver), form)[::2] == (303, "../2021-12")
    (run,) = approver.get("/dags/carm_month/dagRuns")["dag_runs"]
    assert (run["triggering_user_name"], run["partition_key"], run["conf"]) == (
        "approver",
        "2021-12",
        {"period": "2021-12", "effects": "shadow"},
    )
    _, page, _ = ask(office, "months", bearer(viewer))
    assert f"dags/carm_month/runs/{run['dag_run_id'].replace(':', '%3A').replace('+', '%2B')}" in page
    # It has only begun, so it leads to the month, where it shows.
    lead = urlencode({"dag_id": "carm_month", "run_id": run["dag_run_id"]})
    assert ask(office, f"dag-run?{lead}", bearer(viewer))[::2] == (303, "months/2021-12")


def test_airflow_shows_the_portal_in_its_navigation_and_beside_each_run(office: Office) -> None:
    plugins = office.as_user("admin").get("/plugins")["plugins"]
    (portal,) = [plugin for plugin in plugins if plugin["name"] == "carm_portal"]
    views = {view["destination"]: view["href"] for view in portal["external_views"]}
    assert views == {"nav": "carm/months", "dag_run": "carm/dag-run?dag_id={DAG_ID}&run_id={RUN_ID}"}
    # Relative to the page's base, so that a prefix is kept.
    assert not any(urlsplit(href).netloc or href.startswith("/") for href in views.values())
