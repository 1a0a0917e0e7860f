"""The plans of all months, one plan with its evidence, what differs from the month before, and how it is approved."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from sqlalchemy import update

from include.carm.period import Period
from include.operations_plan_tables import PLANS
from include.plans import diff_plans
from include.portal.review_plans import tell_breaker, tell_margin
from tests.decide.accounts import AS_OF, an_account, bn15_of
from tests.portal.review_world import ACCOUNTS, ACTIVE, CONVERTED, DORMANT, START, Held

JANUARY = Period(2022, 1)


@pytest.fixture
def held(tmp_path: Path, sqlite_url: str) -> Held:
    made = Held.make(tmp_path, sqlite_url)
    made.plan(ACCOUNTS)
    return made


def words(html: str) -> str:
    """What a person reads."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


# The list, and one plan.


def test_all_plans_are_listed_the_newest_month_first(held: Held) -> None:
    held.plan([ACTIVE, ACTIVE], JANUARY)
    told = words(held.portal.get("/review").text)
    newer, older = (held.plans[month][:12] for month in ("2022-01", "2021-12"))
    assert f"2022-01 {newer} of 2022-01 ready live 0 2 all limits kept" in told
    assert f"2021-12 {older} of 2021-12 superseded live 3 5 1 limit passed" in told
    assert told.index(newer) < told.index(older)


def test_without_a_plan_the_list_says_so(tmp_path: Path, sqlite_url: str) -> None:
    portal = Held.make(tmp_path, sqlite_url).portal
    assert "No plan was made yet" in portal.get("/review").text
    assert portal.get("/review/2021-12").status_code == 404


def test_a_held_plan_is_shown_with_its_evidence(held: Held) -> None:
    answer = held.portal.get("/review/2021-12")
    assert answer.status_code == 200
    told = words(answer.text)
    assert held.plans["2021-12"] in told
    assert "held 3 of 5 open accounts would change (60.0 %); the policy lets 1 pass in a month." in told
    assert "1 limit passed" in told
    assert "number of changes all accounts 3 1 -2 passed" in told
    assert "close no activity 4 years 2" in told
    assert "convert only export activity 1" in told
    assert "province QC 2 1 1 1" in told  # close, convert, keep, review
    assert "No month before has a plan." in told
    assert 'href="../../dags/carm_month/runs/run-1"' in answer.text


def test_words_from_data_are_shown_as_text(held: Held) -> None:
    for page in ("", "/accounts?action=all", "/sample"):
        html = held.portal.get(f"/review/2021-12{page}").text
        assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in held.portal.get("/review/2021-12").text


@pytest.mark.parametrize(
    ("changes", "allowed", "told"),
    [(9, 10, ("kept", "good")), (10, 10, ("reached", "warn")), (11, 10, ("passed", "bad")), (0, 0, ("kept", "good"))],
)
def test_a_limit_may_be_reached_and_not_passed(changes: int, allowed: int, told: tuple[str, str]) -> None:
    margin = {"changes": changes, "allowed": allowed}
    assert tell_margin(margin) == told
    assert tell_breaker([margin])[1] == ("bad" if told[0] == "passed" else "good")
    assert tell_breaker([]) == ("no limit applies", "")


def test_a_plan_is_named_by_its_hash_and_only_in_its_month(held: Held) -> None:
    plan_hash = held.plans["2021-12"]
    assert plan_hash in held.portal.get(f"/review/2021-12?plan={plan_hash[:12]}").text
    assert held.portal.get(f"/review/2022-01?plan={plan_hash[:12]}").status_code == 404
    assert held.portal.get("/review/2021-12?plan=" + "0" * 12).status_code == 404
    for wrong in ("2021-13", "2021-1", "..%2f..%2fetc", "2021-12'--"):
        assert held.portal.get(f"/review/{wrong}").status_code in (404, 422)
    assert held.portal.get("/review/2021-12?plan=%27%20OR%201=1").status_code == 422


def test_a_second_plan_of_the_month_is_linked(held: Held) -> None:
    first = held.plans["2021-12"]
    held.register.fill([DORMANT, ACTIVE])
    second = held.plan([DORMANT, ACTIVE], effects="shadow")
    assert f"review/2021-12?plan={second[:12]}" in held.portal.get(f"/review/2021-12?plan={first[:12]}").text
    told = words(held.portal.get(f"/review/2021-12?plan={second[:12]}").text)
    assert "Nobody is asked about this plan: a shadow run applies nothing." in told


# What differs from the month before.


def test_the_difference_is_that_of_the_command_line(held: Held) -> None:
    turned_active = an_account(activities=(("import", AS_OF),))
    after = [turned_active, CONVERTED, DORMANT, DORMANT, ACTIVE]
    held.plan(after, JANUARY)
    expected = diff_plans(held.register.ws, held.plans["2021-12"], held.plans["2022-01"])
    assert [[row["bn15"] for row in expected[word]] for word in ("entered", "left", "changed")] == [
        [bn15_of(2)],
        [bn15_of(0)],
        [],
    ]
    told = words(held.portal.get("/review/2022-01").text)
    assert "1 account entered 1 account left 0 accounts changed in it" in told
    for word in ("entered", "left", "changed"):
        html = held.portal.get(f"/review/2022-01/difference?what={word}").text
        assert re.findall(r"accounts/(\d{9}RM\d{4})", html) == [row["bn15"] for row in expected[word]]
    told = words(held.portal.get("/review/2022-01/difference?what=left").text)
    assert f"{bn15_of(0)} importer close, no activity 4 years keep, active" in told


def test_without_a_month_before_there_is_no_difference(held: Held) -> None:
    answer = held.portal.get("/review/2021-12/difference")
    assert answer.status_code == 200
    assert "No month before 2021-12 has a plan" in answer.text


def test_decisions_that_are_gone_are_missed_in_words(held: Held) -> None:
    held.plan([ACTIVE], JANUARY)
    held.register.ws.lake().path("account_decisions", Period(2021, 12)).unlink()
    told = words(held.portal.get("/review/2022-01").text)
    assert "It cannot be compared" in told
    assert "restore account_decisions of that month from a backup" in told
    for page in ("accounts", "accounts.csv", "sample", f"accounts/{bn15_of(0)}"):
        assert held.portal.get(f"/review/2021-12/{page}").status_code == 404
    assert held.portal.get("/review/2021-12").status_code == 200


# Approval.


def test_who_made_the_plan_is_told_that_another_must_approve(held: Held) -> None:
    told = words(held.portal.get("/review/2021-12").text)
    assert "except who made the plan (analyst) and whoever asks for the approval" in told
    assert "You made this plan" not in told
    held.portal.become("Analyst", "carm_apply_plan")
    assert "You made this plan" in words(held.portal.get("/review/2021-12").text)


def test_asking_starts_the_run_that_asks_a_second_person(held: Held) -> None:
    plan_hash = held.plans["2021-12"]
    token = held.portal.token("/review/2021-12")
    answer = held.portal.post("/review/2021-12/approval", data={"token": token, "plan_hash": plan_hash})
    assert answer.status_code == 303
    asked = {"logical_date": None, "dag_run_id": f"portal__{plan_hash[:12]}__1", "conf": {"plan_hash": plan_hash}}
    assert held.portal.airflow.asked[-1] == (*START, asked)
    held.asked(plan_hash, "running", "manual__2022-01-04T15:02:11+00:00")
    shown = held.portal.get(str(answer.next_request.url)).text
    assert "The approval is asked for" in shown
    run = "dags/carm_apply_plan/runs/manual__2022-01-04T15%3A02%3A11%2B00%3A00"
    assert f'href="../../{run}/tasks/approval/required_actions" target="_top">Answer in Airflow' in shown
    assert "Ask for approval</button>" not in shown


def test_a_question_that_is_open_is_not_asked_twice(held: Held) -> None:
    plan_hash = held.plans["2021-12"]
    form = {"token": held.portal.token("/review/2021-12"), "plan_hash": plan_hash}
    held.asked(plan_hash, "queued")
    answer = held.portal.post("/review/2021-12/approval", data=form)
    assert answer.status_code == 409
    assert "is asked about plan" in answer.text
    assert START not in [asked[:2] for asked in held.portal.airflow.asked]
    held.asked("0" * 64, "running")
    assert held.portal.post("/review/2021-12/approval", data=form).status_code == 303
    held.asked(plan_hash, "failed")
    assert held.portal.post("/review/2021-12/approval", data=form).status_code == 303
    assert "(failed)" in held.portal.get("/review/2021-12").text


def test_of_two_who_ask_at_once_airflow_takes_one(held: Held) -> None:
    plan_hash = held.plans["2021-12"]
    form = {"token": held.portal.token("/review/2021-12"), "plan_hash": plan_hash}
    ask, airflow = held.portal.airflow.ask, held.portal.airflow

    async def somebody_was_quicker(method, path, body):
        if (method, path) == START:
            held.asked(plan_hash, "queued")
            airflow.asked.append((method, path, body))
            return 409, None
        return await ask(method, path, body)

    airflow.ask = somebody_was_quicker
    answer = held.portal.post("/review/2021-12/approval", data=form)
    assert answer.status_code == 409
    assert "is asked about plan" in answer.text
    assert [asked[:2] for asked in airflow.asked].count(START) == 1


def test_a_name_that_an_older_question_has_is_not_taken_again(held: Held) -> None:
    form = {"token": held.portal.token("/review/2021-12"), "plan_hash": held.plans["2021-12"]}
    ask, names = held.portal.airflow.ask, []

    async def one_is_taken(method, path, body):
        if (method, path) != START:
            return await ask(method, path, body)
        names.append(body["dag_run_id"].rpartition("__")[2])
        return (409, None) if names == ["1"] else (200, {})

    held.portal.airflow.ask = one_is_taken
    assert held.portal.post("/review/2021-12/approval", data=form).status_code == 303
    assert names == ["1", "2"]


def test_a_plan_is_asked_about_in_its_own_month(held: Held) -> None:
    form = {"token": held.portal.token("/review/2021-12"), "plan_hash": held.plans["2021-12"]}
    answer = held.portal.post("/review/2022-01/approval", data=form)
    assert answer.status_code == 400
    assert "is not of 2022-01" in answer.text


@pytest.mark.parametrize(("status", "told"), [(403, 403), (404, 503), (409, 503), (500, 503)])
def test_what_airflow_refuses_is_said(held: Held, status: int, told: int) -> None:
    held.portal.airflow.answers[START] = (status, None)
    form = {"token": held.portal.token("/review/2021-12"), "plan_hash": held.plans["2021-12"]}
    answer = held.portal.post("/review/2021-12/approval", data=form)
    assert answer.status_code == told
    assert "carm_apply_plan" in answer.text


def test_only_a_plan_that_waits_is_asked_about(held: Held) -> None:
    plan_hash = held.plans["2021-12"]
    token = held.portal.token("/review/2021-12")
    held.register.change(update(PLANS).where(PLANS.c.plan_hash == plan_hash).values(state="applied"))
    told = words(held.portal.get("/review/2021-12").text)
    assert "Nobody is asked about this plan: it is applied and does not wait for an approval." in told
    assert "Ask for approval" not in told
    answer = held.portal.post("/review/2021-12/approval", data={"token": token, "plan_hash": plan_hash})
    assert answer.status_code == 409
    assert held.portal.post("/review/2021-12/approval", data={"token": token, "plan_hash": "0" * 64}).status_code == 409
    assert START not in [asked[:2] for asked in held.portal.airflow.asked]


def test_a_plan_is_shown_though_airflow_tells_of_no_runs(held: Held) -> None:
    held.portal.airflow.answers = {}
    told = words(held.portal.get("/review/2021-12").text)
    assert "Airflow does not tell of the runs of carm_apply_plan (status 404)" in told


def test_who_may_not_start_the_dag_reads_and_does_not_ask(held: Held) -> None:
    token = held.portal.token("/review/2021-12")
    form = {"token": token, "plan_hash": held.plans["2021-12"]}
    assert held.portal.post("/review/2021-12/approval", data={**form, "token": ""}).status_code == 403
    held.portal.become("somebody else", "carm_apply_plan")
    assert held.portal.post("/review/2021-12/approval", data=form).status_code == 403
    held.portal.become("viewer")
    shown = held.portal.get("/review/2021-12").text
    assert "<form" not in shown
    assert "you may not" in shown
    held.portal.become("approver")
    assert held.portal.post("/review/2021-12/approval", data=form).status_code == 403
    assert START not in [asked[:2] for asked in held.portal.airflow.asked]


@pytest.mark.parametrize(
    "path",
    ["/review", *(f"/review/2021-12{page}" for page in ("", "/accounts", "/accounts.csv", "/sample", "/records"))],
)
def test_a_viewer_reads_and_who_is_not_logged_in_does_not(held: Held, path: str) -> None:
    held.portal.become("viewer")
    assert held.portal.get(path).status_code == 200
    held.portal.become(None)
    assert held.portal.get(path).status_code == 401
