"""Which mail a run sends, where it lies, and what is said of it at the end."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.airflow_settings import AirflowSettings
from include.carm.errors import UsageError
from include.local_airflow import __main__ as command
from include.local_airflow.dag_runs import RunOutcome
from include.local_airflow.mailbox import mailbox_of, serve_mailbox
from include.local_airflow.progress import Progress
from include.mail_route import MailRoute
from include.mail_server import MailServer
from tests.mail.post import PostOffice, open_post

VARIABLE = "AIRFLOW_CONN_CARM_SMTP"
ELSEWHERE = {"conn_type": "smtp", "host": "mail.example.org", "extra": {"from_email": "notices@example.org"}}
SUMMARY: dict[str, Any] = {
    "period": "2021-12",
    "as_of": "2021-12-24",
    "effects": "live",
    "result": "done",
    "decisions": [],
    "quarantine": [],
    "statements": dict.fromkeys(
        ("statements", "line_count", "opening_cents", "debits_cents", "credits_cents", "closing_cents"), 0
    ),
    "interest": dict.fromkeys(
        ("calculated_cents", "accounts", "posted_cents", "difference_cents", "missing_quarters"), 0
    ),
    "control_totals": [],
    "notices": {},
    "outbox": {"closure": {"planned": 3}},
    "plan": None,
    "dormancy_horizon": {},
    "issued": True,
    "audit_chain_head": None,
    "places": {"lake": "lake", "documents": "documents", "data_docs": "data_docs"},
}


@pytest.fixture
def post(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostOffice]:
    monkeypatch.delenv(VARIABLE, raising=False)
    with open_post(tmp_path / "data", sqlite_url) as opened:
        yield opened


# What is started


def work(effects: str, failing: str = "") -> list[str]:
    """The Dags that a run starts when its month comes out with ``effects``, and one of them fails."""
    started: list[str] = []

    def follow(dag_id: str) -> RunOutcome:
        return RunOutcome({}, "failed" if dag_id == failing else "success", {"close_month": {"effects": effects}})

    def trigger(dag_id: str, *_: object) -> str:
        started.append(dag_id)
        return dag_id

    airflow: Any = SimpleNamespace(
        progress=Progress(io.StringIO()), api=SimpleNamespace(trigger=trigger), follower=SimpleNamespace(follow=follow)
    )
    outcomes = command._work(airflow, "2021-12", "auto")
    assert len(outcomes) == len(started)
    return started


def test_a_live_month_sends_its_mail_and_a_shadow_one_sends_nobodys() -> None:
    assert work("live") == ["carm_month", "carm_webinar_notices", "carm_deliver"]
    assert work("shadow") == ["carm_month", "carm_webinar_notices"]


@pytest.mark.parametrize("failing", ["carm_month", "carm_webinar_notices", "carm_deliver"])
def test_nothing_is_started_after_what_failed(failing: str) -> None:
    assert work("live", failing)[-1] == failing


# What is said


def told(post: PostOffice, counts: dict[str, int] | None) -> list[str]:
    """The lines about mail at the end of a run that sent ``counts``, or nothing."""
    written = io.StringIO()
    month = RunOutcome({}, "success", {"close_month": json.loads(json.dumps(SUMMARY))})
    outcomes = [month, RunOutcome({}, "success", {"publish_webinar_notices": {"by_kind": {}}})]
    if counts is not None:
        outcomes.append(RunOutcome({}, "success", {"deliver_messages": counts}))
    assert command._tell_run(outcomes, Progress(written), post.ws, AirflowSettings.load()) == "done"
    lines = written.getvalue().splitlines()
    (outbox,) = [line for line in lines if line.startswith("Outbox of")]
    first = next(number for number, line in enumerate(lines) if line.startswith("Mail:"))
    return [outbox, *lines[first:-1]]


def test_what_was_sent_and_what_stands_is_told(post: PostOffice) -> None:
    post.plan("one@example.org", "lost@example.org", "never-rcpt@example.org", "later-rcpt@example.org")
    post.plan("sealed@example.org", is_live=False)
    counts = post.send()
    standing = [
        "  Refused for good, of all months: 1; see carm outbox list --state failed",
        "  Nobody knows of 1, of all months, whether they arrived, and a person has to find out: "
        "carm outbox list --state unknown",
    ]
    outbox = "Outbox of 2021-12: planned 1, sent 1, failed 1, unknown 1, suppressed 0, sealed 1"
    assert told(post, counts) == [outbox, "Mail: sent 1, put off 1, failed 1, unknown 1, still planned 1", *standing]
    # A further run has nothing to send yet, and what stands is said all the same.
    assert told(post, post.send()) == [outbox, "Mail: still planned 1", *standing]


def test_what_stands_of_other_months_is_told(post: PostOffice) -> None:
    post.plan("never-rcpt@example.org", period="2021-11")
    post.send()
    assert told(post, post.send()) == [
        "Outbox of 2021-12: planned 0, sent 0, failed 0, unknown 0, suppressed 0",
        "Mail: nothing to send",
        "  Refused for good, of all months: 1; see carm outbox list --state failed",
    ]


def test_a_shadow_run_says_what_it_sealed(post: PostOffice) -> None:
    post.plan("one@example.org", "two@example.org", is_live=False)
    assert told(post, None) == [
        "Outbox of 2021-12: planned 0, sent 0, failed 0, unknown 0, suppressed 0, sealed 2",
        "Mail: nothing is sent after a shadow run; what it would have sent is sealed (carm notices preview)",
    ]


# Where it lies


def test_mail_lies_in_the_local_mailbox_only_if_it_is_sent_there(
    post: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_mailbox(post.ws.data, AirflowSettings.load()) as settings:
        route = MailRoute.of(settings.connection("carm_smtp"))
        assert route.server.port != AirflowSettings.load().connections["carm_smtp"].port
        with MailServer(route.server) as server:
            server.connect()
            server.address("one@example.org")
            server.hand_over(b"Subject: A notice\r\n\r\nText\r\n")
    lies = f"  1 mail in the local mailbox {mailbox_of(post.ws.data)}, each a file below new/"
    assert told(post, {"sent": 1})[-1] == lies
    # A server of one's own by the variable: what lies there is of an earlier day.
    monkeypatch.setenv(VARIABLE, json.dumps(ELSEWHERE))
    assert told(post, {"sent": 1})[-1] == "Mail: sent 1"


def test_a_variable_goes_over_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, json.dumps(ELSEWHERE))
    with serve_mailbox(tmp_path, AirflowSettings.load()) as settings:
        assert settings.connection("carm_smtp").host == "mail.example.org"
    assert list(tmp_path.iterdir()) == []


def test_a_variable_cannot_ask_for_a_mailbox_to_which_nothing_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = {**ELSEWHERE, "extra": {**ELSEWHERE["extra"], "local_mailbox": True}}
    monkeypatch.setenv(VARIABLE, json.dumps(asks))
    with (
        pytest.raises(UsageError, match=f"{VARIABLE} cannot ask for local_mailbox, only airflow_settings.yaml can"),
        serve_mailbox(tmp_path, AirflowSettings.load()),
    ):
        pass


def test_settings_without_the_connection_serve_nothing(tmp_path: Path) -> None:
    with serve_mailbox(tmp_path, AirflowSettings({}, {}, {})) as settings:
        assert settings.connections == {}
