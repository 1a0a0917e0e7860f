"""Staged closure: announced first, closed after the months of the policy, called off by what speaks against it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from include.apply import apply_plan
from include.carm.period import Period
from include.decide import publish_decisions
from include.operations_plan_tables import CLOSURE_ANNOUNCEMENTS
from include.reinstate import undo_plan
from tests.decide.accounts import AS_OF, account_facts, an_account, bn15_of
from tests.decide.month import ACCOUNTS, AFTER_DECEMBER, DECEMBER, Register, month_of
from tests.decide.oracle import Account

DORMANT = an_account()
ACTIVE = an_account(activities=(("import", AS_OF),))
FIRST, SECOND, THIRD = (bn15_of(position) for position in range(3))
JANUARY, FEBRUARY, MARCH = (DECEMBER.plus(months) for months in (1, 2, 3))


@pytest.fixture
def register(tmp_path: Path, database_url: str) -> Register:
    register = Register.make(tmp_path, database_url)
    register = register.with_policy(closure=replace(register.ws.policy.closure, notice_months=2))
    register.fill([DORMANT, DORMANT, ACTIVE])
    return register


def plan(
    register: Register, period: Period, accounts: list[Account] | None = None, **others: Any
) -> tuple[dict[str, str], str]:
    """Decide a month about ``accounts`` as they are; returns the month, and the hash of the plan that waits."""
    month = month_of(period, **others)
    if accounts is not None:
        register.seal_facts(account_facts(accounts), period)
    publish_decisions(register.ws, month)
    return month, register.record_plan(month, "ready")


def run(register: Register, period: Period, accounts: list[Account] | None = None, **others: Any) -> dict[str, Any]:
    """The same, and the plan is applied."""
    return apply_plan(register.ws, *plan(register, period, accounts, **others))


def announcements(register: Register) -> list[tuple[Any, ...]]:
    told = CLOSURE_ANNOUNCEMENTS.c
    query = select(told.bn15, told.announced_in, told.cleared_in).order_by(told.bn15, told.announced_in)
    with register.ws.operations.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_a_closure_is_announced_and_no_account_changes_yet(register: Register) -> None:
    before = register.versions()
    result = run(register, DECEMBER)
    assert (0, 2, 2) == (result["applied"], result["announced"], result["changed_now"])
    assert before == register.versions()
    assert [(FIRST, "2021-12", None), (SECOND, "2021-12", None)] == announcements(register)
    assert [("candidate", "announced", None, "2021-12")] * 2 == [
        (row["action"], row["outcome"], row["new_version"], json.loads(row["evidence"])["announced_in"])
        for row in register.journal()
    ]
    plan = register.plans()[0]
    assert ("applied", 2, 0) == (plan["state"], plan["applied_count"], plan["dropped_count"])


def test_it_is_announced_once_and_closed_when_its_months_have_passed(register: Register) -> None:
    world = [DORMANT, DORMANT, ACTIVE]
    run(register, DECEMBER)
    result = run(register, JANUARY, world)
    assert (0, 0, 0) == (result["applied"], result["announced"], result["changed_now"])
    assert [(FIRST, "2021-12", None), (SECOND, "2021-12", None)] == announcements(register)
    result = run(register, FEBRUARY, world)
    assert (2, 0) == (result["applied"], result["announced"])
    assert [(FIRST, "2021-12", "2022-02"), (SECOND, "2021-12", "2022-02")] == announcements(register)
    assert ["open", "closed"] == [row["status"] for row in register.versions(FIRST)]
    closed = next(row for row in register.journal() if row["action"] == "close")
    assert "2021-12" == json.loads(closed["evidence"])["announced_in"]


def test_activity_in_between_calls_it_off_and_a_new_closure_is_announced_anew(register: Register) -> None:
    run(register, DECEMBER)
    run(register, JANUARY, [replace(DORMANT, activities=(("import", date(2022, 1, 7)),)), DORMANT, ACTIVE])
    assert [(FIRST, "2021-12", "2022-01"), (SECOND, "2021-12", None)] == announcements(register)
    # The activity was cancelled: the account is dormant after all, and its client is told again.
    result = run(register, FEBRUARY, [DORMANT, DORMANT, ACTIVE])
    assert (1, 1) == (result["applied"], result["announced"])
    assert [
        (FIRST, "2021-12", "2022-01"),
        (FIRST, "2022-02", None),
        (SECOND, "2021-12", "2022-02"),
    ] == announcements(register)
    assert ["open"] == [row["status"] for row in register.versions(FIRST)]


@pytest.mark.parametrize(
    ("state", "cleared_in"),
    [
        # Still to be closed, though not now: the announcement stands.
        (replace(DORMANT, balance_cents=1), None),
        (replace(DORMANT, hold_reason="appeal"), None),
        # What is not proposed any more is called off.
        (replace(DORMANT, reinstated_on=date(2020, 1, 1)), "2022-01"),
        (replace(DORMANT, program_type=None), "2022-01"),
        # The evidence has a gap: the client is told again when it has none.
        (replace(DORMANT, has_open_quarantine=True), "2022-01"),
    ],
)
def test_an_announcement_stands_as_long_as_the_closure_is_proposed(
    register: Register, state: Account, cleared_in: str | None
) -> None:
    run(register, DECEMBER)
    run(register, JANUARY, [state, DORMANT, ACTIVE])
    assert (FIRST, "2021-12", cleared_in) == announcements(register)[0]


def test_an_account_that_is_not_open_any_more_has_no_announcement(register: Register) -> None:
    run(register, DECEMBER)
    facts = account_facts([DORMANT, DORMANT, ACTIVE]).slice(1)
    register.seal_facts(facts, JANUARY)
    run(register, JANUARY)
    assert [(FIRST, "2021-12", "2022-01"), (SECOND, "2021-12", None)] == announcements(register)


def test_a_candidate_that_moved_is_not_told(register: Register) -> None:
    waiting = plan(register, DECEMBER)
    register.change(update(ACCOUNTS).where(ACCOUNTS.c.bn15 == FIRST).values(hold_reason="appeal"))
    result = apply_plan(register.ws, *waiting)
    assert (1, 1) == (result["announced"], result["dropped"])
    assert [(SECOND, "2021-12", None)] == announcements(register)


def test_a_closure_that_is_dropped_stays_announced(register: Register) -> None:
    world = [DORMANT, DORMANT, ACTIVE]
    run(register, DECEMBER)
    run(register, JANUARY, world)
    waiting = plan(register, FEBRUARY, world)
    register.change(update(ACCOUNTS).where(ACCOUNTS.c.bn15 == FIRST).values(hold_reason="appeal"))
    result = apply_plan(register.ws, *waiting)
    assert (1, 1) == (result["applied"], result["dropped"])
    assert [(FIRST, "2021-12", None), (SECOND, "2021-12", "2022-02")] == announcements(register)


def test_a_plan_that_was_not_applied_announces_nothing(register: Register) -> None:
    month = month_of()
    publish_decisions(register.ws, month)
    apply_plan(register.ws, month, register.record_plan(month, "held"))
    run(register, JANUARY, [DORMANT, DORMANT, ACTIVE], effects="shadow")
    assert [] == announcements(register)


def test_twice_is_once(register: Register) -> None:
    plan_hash = run(register, DECEMBER)["plan_hash"]
    before = register.everything(), announcements(register)
    assert 0 == apply_plan(register.ws, month_of(run_id="run-2"), plan_hash)["changed_now"]
    assert before == (register.everything(), announcements(register))


def test_another_plan_of_the_month_announces_it_once(register: Register) -> None:
    first = run(register, DECEMBER)["plan_hash"]
    second = run(register, DECEMBER, [DORMANT, DORMANT, DORMANT])
    assert first != second["plan_hash"]
    assert 3 == second["announced"]
    assert [(bn15, "2021-12", None) for bn15 in (FIRST, SECOND, THIRD)] == announcements(register)


def test_a_closure_that_waits_to_be_applied_falls_with_its_announcement(register: Register) -> None:
    world = [DORMANT, DORMANT, ACTIVE]
    run(register, DECEMBER)
    run(register, JANUARY, world)
    month, waiting = plan(register, FEBRUARY, world)
    announced = register.plans()[0]["plan_hash"]
    undo_plan(
        register.ws, announced, reason="a slip", effective_on=AFTER_DECEMBER, recorded_by="clerk", run_id="by hand"
    )
    before = register.versions()

    result = apply_plan(register.ws, month, waiting)

    assert (result["applied"], result["dropped"]) == (0, 2)
    moved = [json.loads(row["evidence"])["moved"] for row in register.journal() if row["plan_hash"] == waiting]
    assert moved == ["announcement_withdrawn"] * 2
    assert before == register.versions()
