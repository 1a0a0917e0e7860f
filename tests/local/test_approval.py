"""A held plan, from the breaker to the register, through a real Airflow and its REST API, by the people of ``make ui``.

Airflow is started once. The tests go one after the other over one data folder, as the people who decide would.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from include.airflow_api import run_path
from include.airflow_records import AirflowRecords
from include.approvals import makers_of
from include.backfill_approvals import require_approved
from include.carm.errors import Refused, Unavailable
from include.carm.period import Period
from include.database import connect_engine
from include.demo import fill_demo
from include.month import read_summary
from include.operations_backfill_tables import BACKFILL_APPROVALS
from include.operations_notice_tables import NOTICE_INTENTS
from include.operations_plan_tables import ACCOUNT_CHANGES, PLANS, REINSTATEMENTS
from tests.office import ACCOUNTS, Office, open_office
from tests.pipeline import hashes

PERIOD = Period(2021, 12)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    data = tmp_path_factory.mktemp("data")
    url = f"sqlite:///{data / 'source.db'}"
    fill_demo(connect_engine(url, create=True), accounts=300, months=60, broken_dates=60)
    with open_office(data) as office:
        yield office


@pytest.fixture(scope="module")
def plan(office: Office) -> dict[str, Any]:
    """The month that admin ran live, and its plan."""
    run_id = office.trigger("admin", "carm_month", {"effects": "live"}, str(PERIOD))
    assert office.wait_for_end("carm_month", run_id) == "success"
    (row,) = office.rows(select(PLANS).where(PLANS.c.effects == "live"))
    return {**row._mapping, "run_id": run_id}


def test_the_breaker_holds_the_plan_and_nobody_is_changed(office, plan):
    assert plan["state"] == "held"
    assert "policy lets" in plan["reason"]
    assert office.rows(select(ACCOUNT_CHANGES)) == []
    with office.workspace.operations.connect() as connection:
        assert makers_of(connection, plan["plan_hash"]) == ("admin",)


def test_the_person_on_call_gets_a_mail_about_the_held_plan(office, plan):
    told = office.mail_about(f"[CARM] 2021-12: the plan is held, {plan['changes']:,} changes")
    for part in (plan["plan_hash"], plan["reason"], f"{office.address}/carm/review/2021-12"):
        assert part in told
    assert re.search(r"[0-9]{9}RM[0-9]{4}", told) is None


def test_a_task_leads_to_the_page_of_what_it_made(office, plan):
    path = f"{run_path('carm_month', plan['run_id'])}/taskInstances/clean_up.plan/links"
    assert office.as_user("viewer").get(path)["extra_links"] == {"Review": "/carm/review/2021-12"}


def test_the_one_who_ran_the_month_asks_and_cannot_approve(office, plan):
    before = office.effects()
    run_id = office.ask("admin", plan["plan_hash"])
    question = office.as_user("viewer").get(office.question(run_id).removeprefix("/api/v2"))
    assert (question["options"], question["defaults"]) == (["Approve", "Reject"], None)
    for told in (plan["plan_hash"], plan["reason"], "| close | no_activity_4_years |", f"/runs/{plan['run_id'][:8]}"):
        assert told in question["body"]

    with pytest.raises(Unavailable, match="403"):
        office.answer("viewer", run_id, "Approve")
    assert office.answer("admin", run_id, "Approve") == "failed"
    assert "the same person started or cleared a run that made the plan" in office.complaint(run_id, "record_answer")
    assert office.answers() == [("admin", "refused")]
    assert office.effects() == before


def test_a_rejected_plan_fails_the_run_and_is_recorded(office, plan):
    run_id = office.ask("admin", plan["plan_hash"])
    before = office.effects()
    assert office.answer("approver", run_id, "Reject") == "failed"
    assert office.states(run_id)["apply_plan"] == "upstream_failed"
    assert "was rejected by approver: nothing was changed" in office.complaint(run_id, "record_answer")
    assert office.mail_about("[CARM] carm_apply_plan failed: record_answer", "was rejected by approver")
    assert office.answers()[-1] == ("approver", "rejected")
    assert office.effects()[:2] == before[:2]
    assert [row.state for row in office.effects()[2]] == ["rejected"]


def test_after_the_decisions_were_changed_an_approval_applies_nothing(office, plan):
    run_id = office.ask("admin", plan["plan_hash"])
    before = office.effects()
    file = office.workspace.lake().path("account_decisions", PERIOD)
    kept = file.read_bytes()
    table = pq.read_table(file)
    try:
        pq.write_table(table.slice(1), file)
        assert office.answer("approver", run_id, "Approve") == "failed"
    finally:
        file.write_bytes(kept)
    assert "is not the file that was sealed" in office.complaint(run_id, "record_answer")
    assert office.answers()[-1] == ("approver", "refused")
    assert office.effects() == before


@pytest.fixture(scope="module")
def approved(office: Office, plan: dict[str, Any]) -> str:
    """The run in which somebody else approved."""
    run_id = office.ask("admin", plan["plan_hash"])
    assert office.answer("approver", run_id, "Approve") == "success", office.states(run_id)
    return run_id


def test_the_approval_of_another_person_applies_exactly_that_plan(office, plan, approved):
    decisions = pq.read_table(office.workspace.lake().file("account_decisions", PERIOD)).to_pylist()
    planned = {row["bn15"] for row in decisions if row["action"] in ("close", "convert")}
    changes = office.rows(select(ACCOUNT_CHANGES))
    assert {row.bn15 for row in changes} == planned
    assert {(row.plan_hash, row.run_id, row.approved_by) for row in changes} == {
        (plan["plan_hash"], approved, "approver")
    }
    assert office.answers()[-1] == ("approver", "approved")
    (row,) = office.rows(select(PLANS))
    assert (row.state, row.applied_run_id) == ("applied", approved)


def test_the_month_says_what_came_of_the_plan(office, plan, approved):
    summary = read_summary(office.workspace, PERIOD, "lake")
    is_applied = ACCOUNT_CHANGES.c.outcome == "applied"
    closed = office.rows(select(ACCOUNT_CHANGES.c.bn15).where(ACCOUNT_CHANGES.c.action == "close", is_applied))
    assert summary["plan"]["state"] == "applied"
    assert summary["applied_changes"] == len(office.rows(select(ACCOUNT_CHANGES).where(is_applied)))
    # One closure may be told to several people; of each account it is told, or known to reach nobody.
    intent = NOTICE_INTENTS.c
    owed = office.rows(select(intent.bn15).where(intent.kind == "closure", intent.state.in_(("told", "unreachable"))))
    assert sorted(owed) == sorted(closed)
    assert summary["notices"]["closure"] > 0
    assert summary["run_id"] == plan["run_id"]


def test_clearing_a_finished_run_does_nothing_a_second_time(office, approved):
    before = office.effects(), office.answers(), hashes(office.data / "lake"), hashes(office.data / "documents")
    assert office.clear("admin", "carm_apply_plan", approved, "record_answer") == "success"
    after = office.effects(), office.answers(), hashes(office.data / "lake"), hashes(office.data / "documents")
    assert after == before


def test_an_applied_plan_is_not_asked_about_again(office, plan, approved):
    run_id = office.trigger("admin", "carm_apply_plan", {"plan_hash": plan["plan_hash"]})
    assert office.wait_for_end("carm_apply_plan", run_id) == "failed"
    assert "it is applied and does not wait for an approval" in office.complaint(run_id, "check_plan")


def test_who_cleared_a_task_of_the_month_is_a_maker_from_then_on(office, plan, approved):
    records = AirflowRecords(office.as_user("service"))
    assert records.makers_of("carm_month", plan["run_id"]) == ("admin",)
    assert office.clear("approver", "carm_month", plan["run_id"], "close_month") == "success"
    assert records.makers_of("carm_month", plan["run_id"]) == ("admin", "approver")


def test_a_closed_account_is_reinstated_through_its_dag(office, plan, approved):
    is_closed = (ACCOUNT_CHANGES.c.action == "close") & (ACCOUNT_CHANGES.c.outcome == "applied")
    (closed, *_) = office.rows(select(ACCOUNT_CHANGES).where(is_closed))
    asked = {"bn15": closed.bn15, "reason": "still trading, says the client", "effective_on": "2022-01-10"}
    with pytest.raises(Unavailable, match="403"):
        office.trigger("viewer", "carm_reinstate_account", asked)
    run_id = office.trigger("approver", "carm_reinstate_account", asked)
    assert office.wait_for_end("carm_reinstate_account", run_id) == "success"
    versions = office.rows(select(ACCOUNTS).where(ACCOUNTS.c.bn15 == closed.bn15, ACCOUNTS.c.valid_to.is_(None)))
    assert [(row.status, str(row.valid_from), row.closed_on) for row in versions] == [("open", "2022-01-10", None)]
    (recorded,) = office.rows(select(REINSTATEMENTS))
    assert (recorded.bn15, recorded.recorded_by, recorded.run_id) == (closed.bn15, "approver", run_id)


BACKFILL = {"from_period": "2021-12", "to_period": "2021-12", "reason": "the schedule was off"}


def test_a_live_backfill_is_let_by_another_person_and_by_nobody_else(office, plan):
    dag_id = "carm_approve_backfill"
    run_id = office.ask_by("admin", dag_id, BACKFILL, "check_months")
    question = office.as_user("viewer").get(office.question(run_id, dag_id).removeprefix("/api/v2"))
    assert question["subject"] == "Let a backfill of 2021-12 to 2021-12 run live?"
    for told in ("| 2021-12 | 2021-12-25 |", "**Why:** the schedule was off", "The newest issued month is 2021-12."):
        assert told in question["body"]
    assert office.answer("admin", run_id, "Approve", dag_id) == "failed"
    with pytest.raises(Refused, match="nobody approved it"):
        require_approved(office.workspace, PERIOD)

    run_id = office.ask_by("admin", dag_id, BACKFILL, "check_months")
    assert office.answer("approver", run_id, "Approve", dag_id) == "success"
    require_approved(office.workspace, PERIOD)
    rows = office.rows(select(BACKFILL_APPROVALS).order_by("approval_no"))
    assert [(row.decided_by, row.decision) for row in rows] == [("admin", "refused"), ("approver", "approved")]


def test_nobody_is_asked_about_months_that_could_not_run_live(office, plan):
    asked = {**BACKFILL, "from_period": "2021-11"}
    run_id = office.trigger("admin", "carm_approve_backfill", asked)
    assert office.wait_for_end("carm_approve_backfill", run_id) == "failed"
    complaint = office.complaint(run_id, "check_months", "carm_approve_backfill")
    assert "cannot be approved: 2021-11 cannot run live: 2021-12 was issued after it" in complaint


def test_the_watcher_of_the_day_of_issue_asks_the_record(office, plan):
    run_id = office.trigger("admin", "carm_deadline", {}, str(PERIOD))
    assert office.wait_for_end("carm_deadline", run_id) == "success"
    run_id = office.trigger("admin", "carm_deadline", {"period": str(PERIOD.next())})
    assert office.wait_for_end("carm_deadline", run_id) == "failed"
    told = office.mail_about("[CARM] carm_deadline 2022-01 failed: require_issued")
    assert "2022-01 was due on 2022-01-25 and is not issued" in told


def test_the_service_user_may_read_and_nothing_else(office):
    with pytest.raises(Unavailable, match="403"):
        office.trigger("service", "carm_month", {}, str(PERIOD))
