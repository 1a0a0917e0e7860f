"""Who is told what of a run: by the notifiers that hang on the tasks, over a real mail server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert

from include.carm.errors import DataError
from include.carm.period import Period
from include.database import write_transaction
from include.operations_plan_tables import PLANS
from include.operations_statement_tables import ISSUED_MONTHS
from tests.mail.post import PostOffice, open_post

HASH = "ab" * 32
PERIOD = Period(2021, 12)
PLAN: dict[str, Any] = {
    **dict.fromkeys(("counts", "strata"), "{}"),
    **dict.fromkeys(("coverage_id", "rules_version", "policy_version", "run_id"), "-"),
    "plan_hash": HASH,
    "effects": "live",
    "period": "2021-12",
    "state": "held",
    "reason": "too many",
    "open_accounts": 10,
    "changes": 9,
    "margins": "[]",
    "approval": "needed",
}


@pytest.fixture
def post(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostOffice]:
    """A mail server that is the one of ``carm_smtp``, and somebody on call."""
    with open_post(tmp_path / "data", sqlite_url) as opened:
        source = f'{{"conn_type": "sqlite", "host": "{opened.ws.operations.url.database}"}}'
        for name, value in {
            "CARM_DATA": str(opened.ws.data),
            "AIRFLOW_CONN_CARM_SMTP": opened.connection(),
            "AIRFLOW_CONN_CARM_SOURCE": source,
            "AIRFLOW_CONN_CARM_APPLY": source,
            "AIRFLOW_VAR_CARM_ON_CALL_ADDRESS": "on-call@example.org",
            "AIRFLOW__API__BASE_URL": "https://airflow.example/prefix",
        }.items():
            monkeypatch.setenv(name, value)
        yield opened


def context(task_id: str = "extract.extract_feeds", *, clear_number: int = 0, **others: Any) -> dict[str, Any]:
    """What a callback gets of a task of ``carm_month``."""
    run = SimpleNamespace(
        dag_id="carm_month", run_id="manual__1", partition_key=None, clear_number=clear_number, run_type="manual"
    )
    instance = SimpleNamespace(task_id=task_id, try_number=3, xcom_pull=lambda task_ids: others.get("result"))
    return {"dag_run": run, "ti": instance, "params": {"period": "2021-12"}, "exception": others.get("exception")}


def subjects(post: PostOffice) -> list[str]:
    return [mail["Subject"] for mail in post.taken.parsed()]


def test_a_failure_is_told_once_a_run_and_again_after_it_was_cleared(post: PostOffice, notifiers: Any) -> None:
    tell = notifiers.TellFailure()
    tell(context("statements.render_shard", exception=DataError("a pack is not whole")))
    tell(context("statements.render_shard", exception=DataError("another pack is not whole")))
    tell(context("notices.publish_notices", exception=DataError("and this")))
    assert subjects(post) == ["[CARM] carm_month 2021-12 failed: render_shard"]
    (mail,) = post.taken.parsed()
    assert mail["To"] == "on-call@example.org"
    assert "It says: a pack is not whole" in mail.get_content()
    assert "https://airflow.example/prefix/dags/carm_month/runs/manual__1" in mail.get_content()

    tell(context("close_month", clear_number=1, exception=DataError("and still")))
    assert subjects(post)[1:] == ["[CARM] carm_month 2021-12 failed: close_month"]


def test_a_task_that_was_killed_is_told_without_an_error(post: PostOffice, notifiers: Any) -> None:
    told = context()
    del told["exception"]  # So it comes from the Dag processor.
    notifiers.TellFailure()(told)
    assert "it ended without a word" in post.taken.parsed()[0].get_content()


def test_a_data_folder_that_cannot_be_used_keeps_nobody_from_being_told(
    post: PostOffice, notifiers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_CARM_APPLY")
    notifiers.TellFailure()(context(exception=DataError("no connection")))
    assert len(subjects(post)) == 1


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("AIRFLOW_VAR_CARM_ON_CALL_ADDRESS", "", "nobody is told: the variable carm_on_call_address is empty"),
        ("AIRFLOW_VAR_CARM_ON_CALL_ADDRESS", "not one", "nobody on call is told: the variable carm_on_call_address is"),
        ("AIRFLOW_CONN_CARM_SMTP", '{"conn_type": "smtp"}', "nobody on call is told: connection carm_smtp names no"),
    ],
)
def test_who_cannot_be_told_is_a_line_in_the_log_and_no_failure(
    post: PostOffice,
    notifiers: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variable: str,
    value: str,
    said: str,
) -> None:
    monkeypatch.setenv(variable, value)
    with caplog.at_level(logging.INFO, logger="notifiers"):
        notifiers.TellFailure()(context(exception=DataError("bad")))
    assert said in caplog.text
    assert "on-call@example.org" not in caplog.text
    assert subjects(post) == []


def test_a_mail_server_that_is_gone_fails_nothing(
    post: PostOffice, notifiers: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CARM_SMTP", post.connection().replace(f'"port": {post.port}', '"port": 1'))
    notifiers.TellFailure()(context(exception=DataError("bad")))
    assert "nobody on call is told: the mail server 127.0.0.1:1 cannot be reached" in caplog.text


def test_a_failure_that_could_be_told_to_nobody_is_told_by_the_next(
    post: PostOffice, notifiers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell, connection = notifiers.TellFailure(), post.connection()
    monkeypatch.setenv("AIRFLOW_CONN_CARM_SMTP", connection.replace(f'"port": {post.port}', '"port": 1'))
    tell(context("extract.extract_feeds", exception=DataError("while the mail server is gone")))
    monkeypatch.setenv("AIRFLOW_CONN_CARM_SMTP", connection)
    tell(context("statements.render_shard", exception=DataError("it is back")))
    tell(context("notices.publish_notices", exception=DataError("and this is told already")))
    assert subjects(post) == ["[CARM] carm_month 2021-12 failed: render_shard"]


def test_an_error_on_the_way_leaves_no_mark(post: PostOffice, notifiers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> bool:
        raise OSError("nobody foresaw it")

    tell = notifiers.TellFailure()
    with monkeypatch.context() as patch:
        patch.setattr(notifiers, "tell_on_call", fail)
        with pytest.raises(OSError, match="foresaw"):
            tell(context(exception=DataError("bad")))
    tell(context("close_month", exception=DataError("worse")))
    assert subjects(post) == ["[CARM] carm_month 2021-12 failed: close_month"]


def record_plan(post: PostOffice, **changed: Any) -> None:
    days = {"as_of": post.ws.calendar.as_of(PERIOD), "effective_on": post.ws.calendar.effective_on(PERIOD)}
    with write_transaction(post.ws.operations) as connection:
        connection.execute(insert(PLANS).values({**PLAN, **days, **changed}))


def test_a_held_plan_is_told_and_no_other(post: PostOffice, notifiers: Any) -> None:
    record_plan(post)
    tell = notifiers.TellHeldPlan()
    for state in ("ready", "applied", "shadow", "rejected"):
        tell(context("clean_up.plan", result={"state": state, "plan_hash": HASH}))
    assert subjects(post) == []
    tell(context("clean_up.plan", result={"state": "held", "plan_hash": HASH}))
    assert subjects(post) == ["[CARM] 2021-12: the plan is held, 9 changes"]
    assert "https://airflow.example/prefix/carm/review/2021-12" in post.taken.parsed()[0].get_content()


def late(**changed: Any) -> dict[str, Any]:
    run = {
        "dag_id": "carm_month",
        "dag_run_id": "scheduled__1",
        "partition_key": "2021-12",
        "conf": {},
        "run_type": "scheduled",
        "state": "running",
    }
    return {"dag_run": {**run, **changed}, "deadline": {"id": "1", "deadline_time": "2021-12-26 05:00:00+00:00"}}


def test_a_run_that_is_still_at_work_at_its_deadline_is_told(post: PostOffice, notifiers: Any) -> None:
    notifiers.tell_late_run(late())
    assert subjects(post) == ["[CARM] carm_month 2021-12 is late"]


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "failed"},
        {"state": "success"},
        {"conf": {"effects": "shadow"}},
        {"run_type": "backfill", "conf": {"effects": "auto"}},
    ],
)
def test_what_has_ended_or_issues_nothing_is_not_late(
    post: PostOffice, notifiers: Any, changed: dict[str, Any]
) -> None:
    notifiers.tell_late_run(late(**changed))
    assert subjects(post) == []


def test_a_callback_that_airflow_gives_no_connection_says_so_and_fails_nothing(
    post: PostOffice, notifiers: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied

    class Server:
        """The server of Airflow 3.3.2, as a deadline's callback meets it."""

        def get(self, *_: object, **__: object) -> None:
            raise AirflowSecretsBackendAccessDenied("Access denied for connection 'carm_source' by Execution API")

    monkeypatch.setattr(notifiers, "Variable", Server())
    notifiers.tell_late_run(late())
    assert "nobody on call is told: Access denied for connection" in caplog.text
    assert subjects(post) == []


def test_an_issued_month_is_not_late(post: PostOffice, notifiers: Any) -> None:
    row = {"period": "2021-12", "issued_on": "2021-12-25", "statements": 0, "statements_sha256": "-", "run_id": "test"}
    with write_transaction(post.ws.operations) as connection:
        connection.execute(insert(ISSUED_MONTHS), row)
    notifiers.tell_late_run(late())
    assert subjects(post) == []
