"""What the Dags take from Airflow: the month of a run, what kind of run it is, and the databases behind it."""

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert, update

from include import airflow_api
from include.carm.errors import Refused, UsageError
from include.carm.period import Period
from include.carm.quarter import Quarter
from include.database import write_transaction
from include.operations_notice_tables import OUTBOX
from include.operations_statement_tables import ISSUED_MONTHS
from include.workspace import Workspace
from tests.pipeline import new_workspace


def context(
    *, period: str | None = None, effects: str = "auto", partition_key: str | None = None, run_type: str = "manual"
) -> dict[str, Any]:
    """A task's context, as far as the Dags look at it."""
    return {
        "params": {"period": period, "effects": effects},
        "dag_run": SimpleNamespace(partition_key=partition_key, run_type=run_type, run_id=f"{run_type}__1"),
        "dag": SimpleNamespace(dag_id="carm_month"),
    }


@pytest.mark.parametrize(
    ("period", "partition_key", "expected"),
    [
        ("2021-12", None, Period(2021, 12)),
        (None, "2021-11", Period(2021, 11)),
        ("2021-12", "2021-11", Period(2021, 12)),  # what a person wrote goes first
    ],
)
def test_the_month_is_the_parameter_else_the_partition(run_context, period, partition_key, expected):
    assert run_context.period_of(context(period=period, partition_key=partition_key)) == expected


@pytest.mark.parametrize("partition_key", [None, ""])
def test_a_run_without_a_month_is_refused_with_the_way_out(run_context, partition_key):
    with pytest.raises(UsageError, match=r"^this run has no period: trigger it with period=YYYY-MM$"):
        run_context.period_of(context(partition_key=partition_key))


def test_a_partition_that_is_no_month_is_refused(run_context):
    with pytest.raises(UsageError, match="period '2021-13' is not a month"):
        run_context.period_of(context(partition_key="2021-13"))


@pytest.mark.parametrize(
    ("quarter", "partition_key", "expected"),
    [
        ("2021-Q4", None, Quarter(2021, 4)),
        (None, "2021-12", Quarter(2021, 4)),
        (None, "2022-01", Quarter(2022, 1)),
        ("2021-Q3", "2021-12", Quarter(2021, 3)),
    ],
)
def test_the_quarter_is_the_parameter_else_that_of_the_partition(run_context, quarter, partition_key, expected):
    run = context(partition_key=partition_key)
    run["params"] = {"quarter": quarter, "effects": "auto"}
    assert run_context.quarter_of(run) == expected


def test_a_run_without_a_quarter_is_refused_with_the_way_out(run_context):
    run = {**context(), "params": {"quarter": None, "effects": "auto"}}
    with pytest.raises(UsageError, match=r"^this run has no quarter: trigger it with quarter=YYYY-Qn$"):
        run_context.quarter_of(run)


@pytest.mark.parametrize(
    ("run_type", "expected"),
    [
        ("scheduled", "scheduled"),
        ("backfill", "backfill"),
        ("manual", "manual"),
        ("operator_triggered", "manual"),
        ("asset_triggered", "manual"),
        ("asset_materialization", "manual"),
    ],
)
def test_only_the_schedule_makes_a_scheduled_run(run_context, run_type, expected):
    from airflow.utils.types import DagRunType

    for written in (run_type, DagRunType(run_type)):
        facts = run_context.run_facts(context(run_type=written, effects="live"))
        assert (facts["run_type"], facts["effects"]) == (expected, "live")


@pytest.mark.parametrize(
    ("at_work", "expected"), [(("carm_month",), True), (("carm_apply_plan",), True), (("carm_deliver",), False)]
)
def test_a_run_of_a_dag_that_locks_months_is_active_while_it_is_queued_or_running(run_context, at_work, expected):
    def get_dr_count(dag_id: str, run_ids: list[str], states: list[str]) -> int:
        assert (run_ids, states) == (["manual__1"], ["queued", "running"])
        return int(dag_id in at_work)

    states = run_context.RunStates({**context(), "ti": SimpleNamespace(get_dr_count=get_dr_count)})
    assert states.is_active("manual__1") is expected


def test_a_relative_database_lies_in_the_data_folder(run_context, tmp_path, monkeypatch):
    monkeypatch.setenv("CARM_DATA", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_CARM_SOURCE", '{"conn_type": "sqlite", "host": "source.db"}')
    monkeypatch.setenv("AIRFLOW_CONN_CARM_APPLY", "postgres://writer:p%40ss@db.example:5433/ledger?sslmode=require")
    workspace = run_context.open_workspace()
    assert workspace.data == tmp_path
    assert workspace.source_url == f"sqlite:///{tmp_path}/source.db"
    assert workspace.apply_url == "postgresql://writer:p%40ss@db.example:5433/ledger?sslmode=require"


def test_the_key_of_recipients_comes_from_the_mail_connection(run_context, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_CARM_SMTP", '{"conn_type": "smtp", "extra": {"recipient_hash_key": "a long one"}}')
    assert run_context.recipient_hash_key() == "a long one"


def test_without_the_key_of_recipients_no_notice_is_written(run_context, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_CARM_SMTP", '{"conn_type": "smtp"}')
    with pytest.raises(UsageError, match="has no recipient_hash_key"):
        run_context.recipient_hash_key()


@pytest.mark.parametrize(
    ("effects", "run_type", "expected"),
    [
        ("auto", "manual", "shadow"),
        ("auto", "scheduled", "live"),
        ("live", "manual", "live"),
        ("shadow", "scheduled", "shadow"),
    ],
)
def test_a_dag_beside_the_month_writes_to_the_record_of_a_month_that_is_not_issued(
    run_context, tmp_path, effects, run_type, expected
):
    asked = context(period="2021-12", effects=effects, run_type=run_type)
    month = run_context.unlocked_month(new_workspace(tmp_path), asked)
    assert month == {"period": "2021-12", "effects": expected, "area": "lake", "run_id": f"{run_type}__1"}


@pytest.mark.parametrize(("effects", "area"), [("live", "lake"), ("shadow", "shadow"), ("auto", "shadow")])
def test_an_issued_month_is_told_live_and_looked_at_beside_its_record(run_context, tmp_path, effects, area):
    workspace = issued(new_workspace(tmp_path), "2021-12")
    assert run_context.unlocked_month(workspace, context(period="2021-12", effects=effects))["area"] == area


def test_a_shadow_run_does_not_write_over_what_a_live_run_told_before_the_month_was_issued(run_context, tmp_path):
    workspace = new_workspace(tmp_path)
    with write_transaction(workspace.operations) as connection:
        connection.execute(insert(OUTBOX), message(period="2021-12", state="planned"))
    assert run_context.unlocked_month(workspace, context(period="2021-12", effects="shadow"))["area"] == "shadow"
    with write_transaction(workspace.operations) as connection:
        connection.execute(update(OUTBOX).values(state="sealed"))
    assert run_context.unlocked_month(workspace, context(period="2021-12", effects="shadow"))["area"] == "lake"


def test_an_older_month_is_not_told_live_and_the_newest_is_named(run_context, tmp_path):
    workspace = issued(new_workspace(tmp_path), "2022-01")
    with pytest.raises(Refused, match=r"trigger it with period=2022-01"):
        run_context.unlocked_month(workspace, context(period="2021-12", effects="live"))
    assert run_context.unlocked_month(workspace, context(period="2021-12", effects="shadow"))["effects"] == "shadow"


def issued(workspace: Workspace, period: str) -> Workspace:
    """The workspace with ``period`` on record as issued."""
    row = {"period": period, "issued_on": f"{period}-25", "statements": 0, "statements_sha256": "-", "run_id": "test"}
    with write_transaction(workspace.operations) as connection:
        connection.execute(insert(ISSUED_MONTHS), row)
    return workspace


def message(**changed: Any) -> dict[str, Any]:
    """A message about the webinars of a month, filled in by the types of its columns."""
    fillers: dict[type, Any] = {int: 1, str: "-"}
    row = {column.name: fillers[column.type.python_type] for column in OUTBOX.columns if not column.nullable}
    return row | {"kind": "webinar", "address": "reader@example.org"} | changed


# --- Who stands behind a run ------------------------------------------------------------------------------------


def run_of(**changes: Any) -> dict[str, Any]:
    facts = {"dag_id": "carm_month", "run_id": "manual__1", "clear_number": 0, "triggering_user_name": "analyst"}
    return {"dag_run": SimpleNamespace(**{**facts, **changes})}


def test_without_the_connection_the_makers_are_unknown_and_the_way_out_is_told(run_context, monkeypatch, caplog):
    monkeypatch.delenv("AIRFLOW_CONN_CARM_AIRFLOW", raising=False)
    with pytest.raises(UsageError, match=r"^there is no connection carm_airflow, so who made a plan cannot be told: "):
        run_context.airflow_records()
    assert run_context.makers_of_run(run_of()) == ("unknown",)
    assert "add one with host, port, login and password" in caplog.text


def test_where_airflow_does_not_answer_the_month_goes_on_with_unknown_makers(run_context, monkeypatch, caplog):
    monkeypatch.setattr(airflow_api.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("AIRFLOW_CONN_CARM_AIRFLOW", "http://service:hidden@127.0.0.1:1")
    assert run_context.makers_of_run(run_of()) == ("unknown",)
    assert "hidden" not in caplog.text


@pytest.mark.parametrize("name", [None, ""])
def test_a_counter_action_needs_a_person(run_context, name):
    with pytest.raises(UsageError, match="nobody is known to have asked for this"):
        run_context.starter_of(run_of(triggering_user_name=name))


def test_a_reinstatement_is_recorded_with_who_asked_for_it(run_context):
    params = {"bn15": "123456782RM0001", "reason": "still trading", "effective_on": "2022-01-10"}
    assert run_context.reinstatement_of({"params": params, **run_of(dag_id="carm_reinstate_account")}) == {
        **params,
        "effective_on": date(2022, 1, 10),
        "recorded_by": "analyst",
        "run_id": "manual__1",
    }
