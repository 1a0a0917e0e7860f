"""Two applies at once, and approvals: one waits for the other, and nothing passes that nobody let pass."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from include.announcements import announcements_sha256
from include.apply import apply_plan
from include.audit import read_links
from include.carm.errors import Refused
from include.carm.period import Period
from include.decide import publish_decisions
from include.journal import journal_sha256
from include.operations_plan_tables import ACCOUNT_CHANGES, APPROVALS, PLAN_MAKERS, PLANS
from tests.decide.accounts import account_facts, an_account
from tests.decide.month import DECEMBER, Register, month_of

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["include.apply", "psycopg"])
DORMANT = an_account()
JANUARY = Period(2022, 1)


@pytest.fixture
def register(tmp_path: Path, database_url: str) -> Register:
    register = Register.make(tmp_path, database_url)
    register.fill([DORMANT] * 3)
    return register


def plan(register: Register, period: Period = DECEMBER, state: str = "ready") -> str:
    register.seal_facts(account_facts([DORMANT] * 3), period)
    publish_decisions(register.ws, month_of(period))
    return register.record_plan(month_of(period), state)


def try_to_apply(ws: Any, month: dict[str, Any], plan_hash: str) -> None:
    """Runs in a process of its own; ends with 3 where the plan was refused."""
    try:
        apply_plan(ws, month, plan_hash)
    except Refused:
        raise SystemExit(3) from None


@pytest.mark.parametrize("round_", range(3))
def test_two_months_at_once_are_applied_one_after_the_other_or_the_earlier_is_refused(
    register: Register, round_: int
) -> None:
    plans = [(DECEMBER, plan(register)), (JANUARY, plan(register, JANUARY))]
    if round_ == 1:
        plans.reverse()
    processes = [
        PROCESSES.Process(target=try_to_apply, args=(replace(register.ws), month_of(period), plan_hash))
        for period, plan_hash in plans
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    ended = {str(period): process.exitcode for (period, _), process in zip(plans, processes, strict=True)}
    states = {row["period"]: row["state"] for row in register.plans()}
    outcomes = sorted((row["period"], row["outcome"]) for row in register.journal())
    assert 0 == ended["2022-01"]
    if ended["2021-12"] == 0:
        # December came first: January found the accounts in another version.
        assert {"2021-12": "applied", "2022-01": "applied"} == states
        assert [("2021-12", "applied")] * 3 + [("2022-01", "dropped")] * 3 == outcomes
    else:
        assert 3 == ended["2021-12"]
        assert {"2021-12": "ready", "2022-01": "applied"} == states
        assert [("2022-01", "applied")] * 3 == outcomes
    assert 6 == len(register.versions())
    with register.ws.operations.connect() as connection:
        numbers = [link.link_no for link in read_links(connection)]
    assert list(range(1, len(numbers) + 1)) == numbers


# Approvals.


def answer(
    register: Register, plan_hash: str, decision: str = "approved", number: int = 1, by: str = "colleague"
) -> None:
    values = {
        "approval_no": number,
        "plan_hash": plan_hash,
        "decision": decision,
        "decided_by": by,
        "decided_at": "2021-12-27T09:00:00+00:00",
        "asked_by": "requester",
        "run_id": "asked",
    }
    register.change(insert(APPROVALS).values(**values))


def held(register: Register, maker: str = "clerk") -> str:
    plan_hash = plan(register, state="held")
    register.change(update(PLANS).values(approval="needed"))
    register.change(insert(PLAN_MAKERS).values(plan_hash=plan_hash, run_id="run-1", maker=maker))
    return plan_hash


def test_a_held_plan_is_applied_once_it_is_approved_and_the_journal_says_by_whom(register: Register) -> None:
    plan_hash = held(register)
    before = register.everything()
    assert "held" == apply_plan(register.ws, month_of(), plan_hash)["state"]
    assert before == register.everything()
    answer(register, plan_hash)
    result = apply_plan(register.ws, month_of(run_id="run-9"), plan_hash)
    assert ("applied", 3) == (result["state"], result["applied"])
    assert {("colleague", "run-9")} == {(row["approved_by"], row["run_id"]) for row in register.journal()}


def test_a_plan_that_needs_nobody_has_no_approver(register: Register) -> None:
    apply_plan(register.ws, month_of(), plan(register))
    assert {None} == {row["approved_by"] for row in register.journal()}


@pytest.mark.parametrize("answers", [["rejected"], ["approved", "rejected"], ["refused"]])
def test_without_an_approval_that_stands_a_held_plan_changes_nothing(register: Register, answers: list[str]) -> None:
    plan_hash = held(register)
    for number, decision in enumerate(answers, start=1):
        answer(register, plan_hash, decision, number)
    before = register.everything()
    assert "held" == apply_plan(register.ws, month_of(), plan_hash)["state"]
    assert before == register.everything()


def test_an_approval_is_of_one_hash(register: Register) -> None:
    plan_hash = held(register)
    answer(register, "0" * 64)
    assert "held" == apply_plan(register.ws, month_of(), plan_hash)["state"]


@pytest.mark.parametrize("maker", ["colleague", " Colleague", "unknown"])
def test_an_approval_counts_no_longer_when_its_giver_or_a_stranger_made_the_plan_again(
    register: Register, maker: str
) -> None:
    plan_hash = held(register)
    answer(register, plan_hash)
    register.change(insert(PLAN_MAKERS).values(plan_hash=plan_hash, run_id="run-2", maker=maker))
    before = register.everything()
    with pytest.raises(Refused, match="counts no longer"):
        apply_plan(register.ws, month_of(), plan_hash)
    assert before == register.everything()


def test_where_the_policy_lets_nobody_approve_an_answer_lets_nothing_pass(register: Register) -> None:
    plan_hash = held(register)
    register.change(update(PLANS).values(approval="not_allowed"))
    answer(register, plan_hash)
    before = register.everything()
    with pytest.raises(Refused, match="the policy lets nobody approve it"):
        apply_plan(register.ws, month_of(), plan_hash)
    assert before == register.everything()


@pytest.mark.parametrize("state", ["superseded", "undone", "rejected"])
def test_a_plan_that_waits_for_nobody_changes_nothing_even_when_it_is_approved(register: Register, state: str) -> None:
    plan_hash = held(register)
    answer(register, plan_hash)
    register.change(update(PLANS).values(state=state))
    before = register.everything()
    assert state == apply_plan(register.ws, month_of(), plan_hash)["state"]
    assert before == register.everything()


def test_an_apply_is_a_link_of_the_audit_chain_with_the_hash_of_its_journal(register: Register) -> None:
    plan_hash = held(register)
    answer(register, plan_hash)
    apply_plan(register.ws, month_of(run_id="run-9"), plan_hash)
    with register.ws.operations.connect() as connection:
        (link,) = [link for link in read_links(connection) if link.event == "apply"]
        journal = journal_sha256(connection, plan_hash)
        hashes = {"journal_sha256": journal, "announcements_sha256": announcements_sha256(connection)}
    facts = {"plan_hash": plan_hash, "run_id": "run-9", "approved_by": "colleague", **hashes}
    counts = {"applied": 3, "announced": 0, "handed_over": 0, "dropped": 0}
    assert (plan_hash, facts | counts) == (link.subject, json.loads(link.facts))
    for column, value in (("evidence", "{}"), ("approved_by", "intruder"), ("outcome", "dropped")):
        register.change(update(ACCOUNT_CHANGES).values({column: value}))
        with register.ws.operations.connect() as connection:
            tampered = journal_sha256(connection, plan_hash)
        assert journal != tampered
        journal = tampered
