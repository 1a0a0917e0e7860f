"""Who stands behind a run, as told by Airflow's run and its event log.

What the requests of a real Airflow leave in its log is proved by ``test_approval.py``; here is what is made of it.
"""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from include import airflow_api
from include.airflow_api import AirflowApi
from include.airflow_records import AirflowRecords, Answer
from include.airflow_settings import ConnectionSettings
from include.carm.errors import Unavailable, UsageError
from tests.local.airflow_server import Airflow

RUN_ID = "manual__2021-12-25T06:00:00+00:00"
OTHER_RUN = "manual__2021-12-26T06:00:00+00:00"


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Airflow]:
    monkeypatch.setattr(airflow_api.time, "sleep", lambda seconds: None)
    with Airflow() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def records(airflow: Airflow) -> AirflowRecords:
    return AirflowRecords(AirflowApi(f"http://127.0.0.1:{airflow.server_address[1]}"))


def a_run(**changes: Any) -> dict[str, Any]:
    facts = {"run_after": "2021-12-25T06:00:00Z", "run_type": "manual", "triggered_by": "ui"}
    return {**facts, "triggering_user_name": "analyst", **changes}


def an_event(
    event: str, owner: str | None = "reviewer", run_id: str | None = RUN_ID, **asked_for: Any
) -> dict[str, Any]:
    return {"event": event, "owner": owner, "run_id": run_id, "extra": json.dumps({"method": "POST", **asked_for})}


def a_command(command: str) -> dict[str, Any]:
    extra = json.dumps({"host_name": "vm", "full_command": f"['airflow', {command}]"})
    return {"event": "cli_tasks", "owner": "root", "run_id": None, "extra": extra}


def makers(
    airflow: Airflow,
    records: AirflowRecords,
    *events: dict[str, Any],
    clear_number: int | None = None,
    **run: Any,
) -> tuple[str, ...]:
    of_run = [event for event in events if event["run_id"] == RUN_ID]
    airflow.answers = [
        (200, a_run(**run)),
        (200, {"event_logs": of_run, "total_entries": len(of_run)}),
        (200, {"event_logs": list(events), "total_entries": len(events)}),
    ]
    return records.makers_of("carm_month", RUN_ID, clear_number=clear_number)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ({"triggered_by": "ui"}, ("analyst",)),
        ({"triggered_by": "rest_api"}, ("analyst",)),
        ({"triggered_by": "rest_api", "triggering_user_name": None}, ("unknown",)),
        (
            {"triggered_by": "timetable", "run_type": "scheduled", "triggering_user_name": None},
            ("schedule",),
        ),
        ({"triggered_by": "timetable", "run_type": "manual"}, ("unknown",)),
        ({"triggered_by": "cli"}, ("unknown",)),  # analyst is a user of the machine there
        ({"triggered_by": "operator"}, ("unknown",)),
        ({"triggered_by": "asset", "triggering_user_name": None}, ("unknown",)),
        ({"triggered_by": "test"}, ("unknown",)),
        ({"triggered_by": None}, ("unknown",)),
    ],
)
def test_who_started_the_run_is_its_maker(airflow, records, run, expected):
    assert makers(airflow, records, **run) == expected


def test_a_run_that_airflow_does_not_know_has_an_unknown_maker(airflow, records):
    airflow.answers = [(404, {"detail": "not found"})]
    assert records.makers_of("carm_month", RUN_ID) == ("unknown",)


@pytest.mark.parametrize(
    "event",
    [
        an_event("post_clear_task_instances", dry_run=False),
        an_event("clear_dag_run", dry_run=False),
        an_event("patch_task_instance", new_state="success"),
        an_event("patch_dag_run", state="failed"),
        an_event("update_xcom_entry"),
        # About several runs at once, of which this may be one.
        an_event("clear_dag_runs", run_id=None),
        an_event("post_clear_task_instances", run_id=None, start_date="2021-12-01"),
        an_event("bulk_dag_runs", run_id=None),
        an_event("create_backfill", run_id=None),
        an_event("post_clear_task_instances", run_id=OTHER_RUN, include_future=True),
        an_event("patch_task_instance", run_id=OTHER_RUN, include_past=True),
    ],
    ids=lambda event: event["event"],
)
def test_who_reached_into_the_run_is_a_maker_too(airflow, records, event):
    assert makers(airflow, records, event) == ("analyst", "reviewer")


@pytest.mark.parametrize(
    "event",
    [
        an_event("get_task_instances_batch"),
        an_event("clear_dag_runs", run_id=None, dry_run=True),
        an_event("update_hitl_detail"),
        an_event("patch_dag", run_id=None, is_paused=False),
        an_event("trigger_dag_run", run_id=None),
        an_event("post_clear_task_instances", run_id=OTHER_RUN),
        {"event": "running", "owner": "carm", "run_id": RUN_ID, "extra": '{"host_name": "vm"}'},
        {"event": "state mismatch", "owner": None, "run_id": RUN_ID, "extra": "Executor reported that"},
        {"event": "paused", "owner": "scheduler", "run_id": None, "extra": "[('is_paused', True)]"},
        a_command("'dags', 'details', 'carm_month'"),
    ],
    ids=lambda event: event["event"],
)
def test_who_only_looked_or_answered_is_not_and_airflow_itself_neither(airflow, records, event):
    assert makers(airflow, records, event) == ("analyst",)


def test_who_cleared_by_the_command_line_is_a_user_of_the_machine_and_so_unknown(airflow, records):
    assert makers(airflow, records, a_command("'tasks', 'clear', 'carm_month'")) == ("analyst", "unknown")


def test_a_request_without_a_user_is_of_somebody_unknown(airflow, records):
    assert makers(airflow, records, an_event("clear_dag_run", owner=None)) == ("analyst", "unknown")


def test_a_scheduled_run_that_somebody_cleared_is_that_persons(airflow, records):
    run = {"triggered_by": "timetable", "run_type": "scheduled", "triggering_user_name": None}
    assert makers(airflow, records, an_event("clear_dag_run"), **run) == ("reviewer",)


@pytest.mark.parametrize(("owner", "expected"), [("analyst", ("analyst",)), ("reviewer", ("reviewer", "unknown"))])
def test_a_backfill_is_of_the_user_whose_request_made_it(airflow, records, owner, expected):
    event = an_event("create_backfill", owner=owner, run_id=None)
    assert makers(airflow, records, event, triggered_by="backfill", run_type="backfill") == expected


@pytest.mark.parametrize(
    ("clear_number", "events", "expected"),
    [
        (0, (), ("analyst",)),
        (1, (), ("analyst", "unknown")),
        (1, (an_event("clear_dag_run"),), ("analyst", "reviewer")),
        (2, (an_event("clear_dag_run"),), ("analyst", "reviewer", "unknown")),
        (1, (an_event("update_xcom_entry"),), ("analyst", "reviewer", "unknown")),  # this cleared nothing
    ],
)
def test_a_clearing_that_the_log_does_not_show_was_somebodys(airflow, records, clear_number, events, expected):
    assert makers(airflow, records, *events, clear_number=clear_number) == expected


def test_the_log_is_asked_for_the_run_and_for_what_came_after_it_began(airflow, records):
    makers(airflow, records)
    of_run, since = (path for _, path, _ in airflow.asked[1:])
    assert "dag_id=carm_month" in of_run
    assert "dag_id=carm_month" in since
    assert "run_id=manual__2021-12-25T06%3A00%3A00%2B00%3A00" in of_run
    assert "after=2021-12-25T06%3A00%3A00Z" in since


# --- Answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            (
                200,
                {
                    "response_received": True,
                    "responded_by_user": {"id": "7", "name": "reviewer"},
                    "responded_at": "2022-01-04T15:02:11Z",
                    "chosen_options": ["Approve"],
                },
            ),
            Answer("Approve", "reviewer", "2022-01-04T15:02:11Z"),
        ),
        ((200, {"response_received": False, "responded_by_user": None}), None),
        # A default that Airflow put there when the time was up is nobody's answer.
        ((200, {"response_received": True, "responded_by_user": None}), None),
        ((404, {"detail": "Human-in-the-loop detail does not exist"}), None),
    ],
)
def test_an_answer_is_a_persons_or_none(airflow, records, answer, expected):
    airflow.answers = [answer]
    assert records.answer_to("carm_apply_plan", RUN_ID, "approval") == expected


# --- The connection ---------------------------------------------------------------------------------------------


def test_the_tasks_log_in_as_the_user_of_the_connection(airflow):
    airflow.answers = [(201, {"access_token": "t"})]
    connection = ConnectionSettings("carm_airflow", "http", "127.0.0.1", login="service", password="secret")
    opened = AirflowRecords.open(ConnectionSettings(**{**vars(connection), "port": airflow.server_address[1]}))
    assert opened.api.token == "t"
    assert airflow.asked == [("POST", "/auth/token", {"username": "service", "password": "secret"})]


@pytest.mark.parametrize("missing", ["host", "login", "password"])
def test_a_connection_that_is_not_complete_is_refused_with_what_it_needs(missing):
    fields = {"host": "airflow.example", "login": "service", "password": "secret", missing: None}
    with pytest.raises(UsageError, match="carm_airflow is not complete: write host, port, login and password"):
        AirflowRecords.open(ConnectionSettings("carm_airflow", "http", **fields))


def test_a_wrong_password_is_told_without_it(airflow):
    airflow.answers = [(401, {"detail": "Invalid credentials"})]
    port = airflow.server_address[1]
    connection = ConnectionSettings("carm_airflow", "http", "127.0.0.1", login="s", password="hidden", port=port)
    with pytest.raises(Unavailable, match="with 401: Invalid credentials") as refusal:
        AirflowRecords.open(connection)
    assert "hidden" not in str(refusal.value)
