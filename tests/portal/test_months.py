"""The grid of months: what the record says, where a run stands, and what Airflow alone knows."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import update

from include.database import write_transaction
from include.operations_notice_tables import NOTICE_INTENTS, OUTBOX
from include.operations_plan_tables import PLANS
from include.operations_schema import COVERAGE, FEED_COVERAGE
from include.portal.stages import STAGES, stage_of

RUNS = ("GET", "/dags/carm_month/dagRuns")
TASKS = ("POST", "/dags/~/dagRuns/~/taskInstances/list")


def a_run(period="2022-01", state="success", run_id=None, effects="live", **values):
    run = {
        "dag_run_id": run_id or f"manual {period}",
        "dag_id": "carm_month",
        "conf": {"period": period, "effects": effects},
        "partition_key": None,
        "state": state,
        "start_date": "2022-02-01T06:00:00Z",
        "end_date": None if state in ("running", "queued") else "2022-02-01T07:00:00Z",
    }
    return run | values


def let_airflow_know(portal, *runs, tasks=()):
    portal.airflow.answers[RUNS] = 200, {"dag_runs": list(runs), "total_entries": len(runs)}
    instances = [{"dag_run_id": run_id, "task_id": task, "state": state} for run_id, task, state in tasks]
    portal.airflow.answers[TASKS] = 200, {"task_instances": instances, "total_entries": len(instances)}


def change(portal, *statements):
    with write_transaction(portal.ws.operations) as connection:
        for statement in statements:
            connection.execute(statement)


def grid(portal, page="/months"):
    """The words of the page's table: by month, the text of each cell in the order of the columns."""
    answer = portal.get(page)
    assert answer.status_code == 200
    rows = re.findall(r'<th scope="row"><a href="months/([0-9-]+)">.*?</th>(.*?)</tr>', answer.text, re.DOTALL)
    return {period: [text_of(cell) for cell in re.findall(r"<td>(.*?)</td>", row, re.DOTALL)] for period, row in rows}


def text_of(html):
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_a_month_says_what_each_stage_left_behind(portal):
    assert grid(portal)["2022-01"][:7] == [
        "done 337 rows",
        "done 4 quarantined",
        "done 5 changes",
        "applied 5 applied",
        "issued 132 statements",
        "waiting 303 messages 303 to be sent",
        "no gap",
    ]


def test_the_newest_month_comes_first(portal):
    assert list(grid(portal)) == ["2022-01", "2021-12"]


def test_a_page_leads_on_to_the_months_before_it(portal, monkeypatch):
    monkeypatch.setattr("include.portal.months.MONTHS_A_PAGE", 1)
    assert list(grid(portal)) == ["2022-01"]
    assert 'href="months?before=2022-01"' in portal.get("/months").text
    assert list(grid(portal, "/months?before=2022-01")) == ["2021-12"]
    assert "before=2021-12" not in portal.get("/months?before=2022-01").text


@pytest.mark.parametrize("before", ["2022-1", "2022-13", "", "x"])
def test_what_is_no_month_is_refused(portal, before):
    assert portal.get(f"/months?before={before}").status_code == 422


def test_a_gap_of_coverage_is_counted_and_leads_to_the_month(portal):
    lack = FEED_COVERAGE.c.feed == "export_declarations", FEED_COVERAGE.c.period.in_(["2020-05", "2020-06"])
    change(portal, update(FEED_COVERAGE).where(*lack).values(state="not_received"))
    assert grid(portal)["2022-01"][6] == "2 gaps"
    assert 'href="months/2022-01#coverage"' in portal.get("/months").text


@pytest.mark.parametrize(
    ("state", "approval", "plan", "apply"),
    [
        ("held", "needed", "held 5 changes", "waits for a person 5 applied"),
        ("ready", "needed", "done 5 changes", "waits for a person"),
        ("ready", "not_needed", "done 5 changes", "not yet"),
        ("rejected", "needed", "rejected 5 changes", "nothing applied 5 applied"),
        ("superseded", "needed", "superseded 5 changes", "nothing applied 5 applied"),
        ("shadow", "not_needed", "done 5 changes", "shadow 5 applied"),
        ("handed_over", "not_needed", "done 5 changes", "handed over 5 applied"),
        ("undone", "not_needed", "done 5 changes", "undone 5 applied"),
    ],
)
def test_a_plan_says_how_far_it_came(portal, state, approval, plan, apply):
    change(portal, update(PLANS).where(PLANS.c.period == "2022-01").values(state=state, approval=approval))
    assert grid(portal)["2022-01"][2:4] == [plan, apply]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("sent", "done 303 messages"),
        ("suppressed", "done 303 messages"),
        ("sending", "waiting 303 messages 303 to be sent"),
        ("failed", "see to it 303 messages 303 failed"),
        ("unknown", "see to it 303 messages 303 unknown"),
    ],
)
def test_messages_say_whether_a_person_must_see_to_them(portal, state, said):
    change(portal, update(OUTBOX).where(OUTBOX.c.period == "2022-01").values(state=state))
    assert grid(portal)["2022-01"][5] == said


def test_notices_that_are_owed_come_before_messages_that_wait(portal):
    change(portal, update(NOTICE_INTENTS).where(NOTICE_INTENTS.c.kind == "closure").values(state="owed"))
    assert grid(portal)["2022-01"][5].startswith("owed 303 messages 303 to be sent")


def test_parked_accounts_are_counted_beside_the_statements(portal):
    change(portal, update(COVERAGE).where(COVERAGE.c.dataset == "parked").values(rows=2))
    assert grid(portal)["2022-01"][4] == "issued 132 statements 2 parked"


# Runs


def test_a_run_that_ended_says_how_long_ago_and_leads_to_airflow(portal):
    let_airflow_know(portal, a_run(end_date="2022-01-27T12:00:00Z"))
    assert grid(portal)["2022-01"][7] == "success 5 days ago"
    assert 'href="../dags/carm_month/runs/manual%202022-01" target="_top"' in portal.get("/months").text


def test_only_the_newest_run_of_a_month_is_told(portal):
    let_airflow_know(portal, a_run(run_id="second"), a_run(run_id="first", state="failed"))
    assert "second" in portal.get("/months").text
    assert "first" not in portal.get("/months").text


def test_a_run_at_work_shows_in_the_stage_where_it_is(portal):
    run = a_run("2022-02", "running", start_date="2022-02-01T11:53:00Z")
    let_airflow_know(portal, run, tasks=[("manual 2022-02", "validate.validate_and_seal", "running")])
    assert grid(portal)["2022-02"] == [
        "not yet",
        "running",
        *["not yet"] * 4,
        "not known",
        "running for 7 min",
    ]


def test_a_month_whose_first_step_failed_is_shown_though_nothing_is_on_record(portal):
    failed = [("manual 2022-03", "open_month", "failed"), ("manual 2022-03", "watcher", "failed")]
    let_airflow_know(portal, a_run("2022-03", "failed"), tasks=failed)
    row = grid(portal)["2022-03"]
    assert row[:6] == ["failed", *["not yet"] * 5]
    assert row[7] == "failed 5 h ago"


def test_a_failure_hides_what_goes_on_beside_it_in_the_same_stage(portal):
    both = [("manual 2022-01", "statements.render_shard", "running"), ("manual 2022-01", "statements.lines", "failed")]
    let_airflow_know(portal, a_run(state="running"), tasks=both)
    assert grid(portal)["2022-01"][4] == "failed 132 statements"


def test_a_backfill_of_an_issued_month_is_beside_it_unless_it_is_a_live_one(portal):
    for effects, beside in (("auto", True), (None, True), ("live", False)):
        let_airflow_know(portal, a_run(state="failed", effects=effects, run_type="backfill"))
        assert ("beside the record" in portal.get("/months").text) is beside, effects
    let_airflow_know(portal, a_run(state="failed", effects="auto", run_type="manual"))
    assert "beside the record" not in portal.get("/months").text


def test_a_shadow_run_of_an_issued_month_does_not_change_what_the_record_says(portal):
    tasks = [("manual 2022-01", "statements.render_shard", "failed")]
    let_airflow_know(portal, a_run(state="failed", effects="shadow"), tasks=tasks)
    row = grid(portal)["2022-01"]
    assert row[4] == "issued 132 statements"
    assert row[7] == "failed 5 h ago in shadow, beside the record: statements"


def test_the_month_of_a_scheduled_run_is_its_partition_key(portal):
    let_airflow_know(portal, a_run(conf={}, partition_key="2022-01"))
    assert grid(portal)["2022-01"][7] == "success 5 h ago"


def test_runs_that_ended_well_are_not_asked_about_again(portal):
    let_airflow_know(portal, a_run("2022-01"), a_run("2022-02", "failed"))
    portal.get("/months")
    assert [asked[:2] for asked in portal.airflow.asked if asked[0] == "POST"] == [TASKS]
    assert portal.airflow.asked[-1][2]["dag_run_ids"] == ["manual 2022-02"]


def test_without_airflow_the_record_is_shown_and_the_page_says_so(portal):
    portal.airflow.answers[RUNS] = 503, None
    answer = portal.get("/months")
    assert "Airflow does not tell of the runs of carm_month (status 503)" in answer.text
    assert grid(portal)["2022-01"][7] == "not known to Airflow"


def test_a_hostile_name_of_a_run_stays_text(portal):
    let_airflow_know(portal, a_run(run_id='"><script>alert(1)</script>'))
    for page in ("/months", "/months/2022-01"):
        assert "<script>alert" not in portal.get(page).text


@pytest.mark.parametrize(
    ("task_id", "stage"),
    [
        ("open_month", "extract"),
        ("extract.extract_feeds", "extract"),
        ("publish_activity", "plan"),
        ("clean_up.plan", "plan"),
        ("clean_up.apply_plan", "apply"),
        ("statements.render_shard", "statements"),
        ("notices.publish_notices", "notices"),
        ("close_month", "notices"),
    ],
)
def test_every_task_stands_in_a_stage(task_id, stage):
    assert stage_of(task_id) == stage
    assert stage in STAGES
