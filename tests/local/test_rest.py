"""The runner's words with Airflow's API, against a real server that says what the test wants."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from include import airflow_api
from include.carm.errors import Unavailable
from include.carm.period import Period
from include.local_airflow.rest import RestApi, path_of
from tests.local.airflow_server import Airflow


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Airflow]:
    monkeypatch.setattr(airflow_api.time, "sleep", lambda seconds: None)
    with Airflow() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def api(airflow: Airflow) -> RestApi:
    return RestApi(f"http://127.0.0.1:{airflow.server_address[1]}", check=lambda: None)


def test_a_busy_answer_is_asked_for_again(airflow, api):
    airflow.answers = [(503, {"detail": "database is locked"}), (500, {}), (200, {"ok": 1})]
    assert api.get("/version") == {"ok": 1}
    assert len(airflow.asked) == 3


def test_a_refusal_is_told_in_airflows_words(airflow, api):
    airflow.answers = [(422, {"detail": "Backfill cannot be\n executed for future dates."})]
    expected = r"^Airflow refused POST /api/v2/backfills with 422: Backfill cannot be executed for future dates\.$"
    with pytest.raises(Unavailable, match=expected):
        api.send("POST", "/api/v2/backfills", {})


def test_waiting_ends_when_airflow_is_gone(airflow, api):
    def gone() -> None:
        raise Unavailable("Airflow's scheduler was killed")

    airflow.answers = [(503, {})]
    api.check = gone
    with pytest.raises(Unavailable, match="scheduler was killed"):
        api.get("/version")


def test_long_lists_are_read_page_by_page(airflow, api):
    airflow.answers = [
        (200, {"dag_runs": [{"n": 1}, {"n": 2}], "total_entries": 3}),
        (200, {"dag_runs": [{"n": 3}], "total_entries": 3}),
    ]
    assert [run["n"] for run in api.entries("/dags/~/dagRuns", "dag_runs", state=["queued", "running"])] == [1, 2, 3]
    assert [path for _, path, _ in airflow.asked] == [
        "/api/v2/dags/~/dagRuns?limit=100&offset=0&state=queued&state=running",
        "/api/v2/dags/~/dagRuns?limit=100&offset=2&state=queued&state=running",
    ]


def test_the_name_of_a_run_is_quoted_in_its_path():
    run = {"dag_id": "carm_month", "dag_run_id": "manual__2021-12-25T06:00:00+00:00__x"}
    expected = "/api/v2/dags/carm_month/dagRuns/manual__2021-12-25T06%3A00%3A00%2B00%3A00__x"
    assert path_of(run) == expected


def test_a_month_is_triggered_by_its_partition(airflow, api):
    airflow.answers = [(200, {}), (200, {"dag_run_id": "manual__1"})]
    assert api.trigger("carm_month", "2021-12", {"effects": "shadow"}) == {"dag_run_id": "manual__1"}
    assert airflow.asked == [
        ("PATCH", "/api/v2/dags/carm_month", {"is_paused": False}),
        (
            "POST",
            "/api/v2/dags/carm_month/dagRuns",
            {"logical_date": None, "partition_key": "2021-12", "conf": {"effects": "shadow"}},
        ),
    ]


def backfill_answers(*keys: str) -> list[tuple[int, Any]]:
    runs = [{"partition_key": key} for key in keys]
    return [(200, {}), (200, {"id": 7}), (200, {"dag_runs": runs, "total_entries": 99})]


def test_a_backfill_covers_its_months_and_gives_their_runs_in_order(airflow, api):
    airflow.answers = backfill_answers("2021-12", "2021-11", "2021-10", "2020-01")
    number, runs = api.create_backfill("carm_month", Period(2021, 10), Period(2021, 12), {"effects": "auto"})
    assert (number, [run["partition_key"] for run in runs]) == (7, ["2021-10", "2021-11", "2021-12"])
    body = airflow.asked[1][2]
    assert (body["from_date"], body["to_date"]) == ("2021-10-01T00:00:00Z", "2021-12-28T23:59:59Z")
    assert (body["max_active_runs"], body["reprocess_behavior"]) == (1, "completed")


def test_a_backfill_with_a_month_missing_is_refused(airflow, api):
    airflow.answers = backfill_answers("2021-12", "2021-10", "2021-09")
    with pytest.raises(Unavailable, match="made no run for some month from 2021-10 to 2021-12"):
        api.create_backfill("carm_month", Period(2021, 10), Period(2021, 12), {})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [((200, {"value": {"a": 1}}), {"a": 1}), ((200, {"value": '{"a": 1}'}), {"a": 1}), ((404, {}), None)],
)
def test_a_result_is_read_however_airflow_keeps_it(airflow, api, answer, expected):
    airflow.answers = [answer]
    instance = {"dag_id": "d", "dag_run_id": "r", "task_id": "g.t", "map_index": -1}
    assert api.result(instance) == expected


def test_a_run_that_waits_for_a_person_is_not_taken_for_an_interrupted_one(airflow, api):
    runs = [{"dag_id": "d", "dag_run_id": run_id} for run_id in ("waits", "died")]
    airflow.answers = [
        (200, {"dags": [], "total_entries": 0}),
        (200, {"dag_runs": runs, "total_entries": 2}),
        (200, {"task_instances": [{"state": "success"}, {"state": "awaiting_input"}], "total_entries": 2}),
        (200, {"task_instances": [{"state": "success"}, {"state": "running"}], "total_entries": 2}),
        (200, {}),
    ]
    assert api.end_unfinished() == ["died"]
    assert [path for method, path, _ in airflow.asked if method == "PATCH"] == ["/api/v2/dags/d/dagRuns/died"]
