"""Counter-actions: what a plan did is undone from a day on, once, and only where the account is as the plan left it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from include.apply import apply_plan
from include.audit import read_links
from include.carm.errors import DataError, Refused, UsageError
from include.carm.period import Period
from include.decide import publish_decisions
from include.operations_plan_tables import CLOSURE_ANNOUNCEMENTS, PLANS, REINSTATEMENTS
from include.operations_statement_tables import ISSUED_MONTHS
from include.plan_step import publish_plan
from include.reinstate import reinstate_account, reinstatements_sha256, undo_plan
from tests.decide.accounts import AS_OF, LONG_AGO, account_facts, an_account, bn15_of
from tests.decide.month import ACCOUNTS, AFTER_DECEMBER, Register, month_of

DAY = timedelta(days=1)
DORMANT = an_account()
ONLY_EXPORTS = an_account(program_type="dual", activities=(("export", AS_OF),))
ACTIVE = an_account(activities=(("import", AS_OF),))
WORLD = [DORMANT, ONLY_EXPORTS, ACTIVE, DORMANT]
CLOSED, CONVERTED, UNTOUCHED, CLOSED_TOO = (bn15_of(position) for position in range(len(WORLD)))
JANUARY = Period(2022, 1)


@pytest.fixture
def register(tmp_path: Path, database_url: str) -> Register:
    """A register to which the plan of December was applied."""
    register = Register.make(tmp_path, database_url)
    register.fill(WORLD)
    apply(register)
    return register


def apply(register: Register, **changes: Any) -> str:
    month = month_of(**changes)
    publish_decisions(register.ws, month)
    plan_hash = register.record_plan(month, "ready")
    apply_plan(register.ws, month, plan_hash)
    return plan_hash


def reinstate(register: Register, bn15: str, effective_on: date = AFTER_DECEMBER, **others: Any) -> dict[str, Any]:
    arguments = {"reason": "the client called", "recorded_by": "clerk", "run_id": "by hand"} | others
    return reinstate_account(register.ws, bn15, effective_on=effective_on, **arguments)


def undo(register: Register, plan_hash: str, effective_on: date = AFTER_DECEMBER, **others: Any) -> dict[str, Any]:
    arguments = {"reason": "a broken feed", "recorded_by": "clerk", "run_id": "by hand"} | others
    return undo_plan(register.ws, plan_hash, effective_on=effective_on, **arguments)


def rows(register: Register, table: Any = REINSTATEMENTS) -> list[dict[str, Any]]:
    with register.ws.operations.connect() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def links(register: Register) -> list[tuple[str, dict[str, Any]]]:
    with register.ws.operations.connect() as connection:
        found = [link for link in read_links(connection) if link.event == "reinstatement"]
        return [(link.subject, json.loads(link.facts)) for link in found]


def everything(register: Register) -> Any:
    return register.everything(), rows(register), links(register)


# What a counter-action is.


@pytest.mark.parametrize("effective_on", [AFTER_DECEMBER + DAY, date(2022, 2, 1)])
def test_a_closed_account_is_open_again_and_its_clock_starts_that_day(register: Register, effective_on: date) -> None:
    before = register.versions(CLOSED)
    result = reinstate(register, CLOSED, effective_on)
    ended = {**before[1], "valid_to": effective_on}
    begun = {
        **before[1],
        "valid_from": effective_on,
        "status": "open",
        "closed_on": None,
        "reinstated_on": effective_on,
    }
    assert [before[0], ended, begun] == register.versions(CLOSED)
    plan_hash = register.plans()[0]["plan_hash"]
    assert {
        "reinstatement_no": 1,
        "bn15": CLOSED,
        "undoes": "close",
        "plan_hash": plan_hash,
        "effective_on": effective_on,
        "known_from": "0001-01",
    } == result


@pytest.mark.parametrize("effective_on", [AFTER_DECEMBER + DAY, date(2022, 2, 1)])
def test_a_converted_account_has_its_type_back_and_keeps_its_clock(register: Register, effective_on: date) -> None:
    register.change(update(ACCOUNTS).values(reinstated_on=date(2008, 1, 1)))
    before = register.versions(CONVERTED)
    assert "convert" == reinstate(register, CONVERTED, effective_on)["undoes"]
    ended = {**before[1], "valid_to": effective_on}
    begun = {**before[1], "valid_from": effective_on, "program_type": "dual"}
    assert [before[0], ended, begun] == register.versions(CONVERTED)


@pytest.mark.parametrize(
    ("bn15", "change"),
    [
        (CLOSED, {"status": "open", "closed_on": None, "reinstated_on": AFTER_DECEMBER}),
        (CONVERTED, {"program_type": "dual"}),
    ],
)
def test_a_change_undone_from_its_own_day_on_was_never_in_force(
    register: Register, bn15: str, change: dict[str, Any]
) -> None:
    before = register.versions(bn15)
    reinstate(register, bn15)
    # Two versions of one first day would be one key with two contents.
    assert [before[0], {**before[1], **change}] == register.versions(bn15)


def test_no_other_account_is_touched(register: Register) -> None:
    before = [row for row in register.versions() if row["bn15"] != CLOSED]
    reinstate(register, CLOSED, AFTER_DECEMBER + DAY)
    reinstate_back = [row for row in register.versions() if row["bn15"] != CLOSED]
    assert before == reinstate_back


def test_it_is_on_record_with_its_reason_and_a_link_of_the_audit_chain(register: Register) -> None:
    reinstate(register, CLOSED, AFTER_DECEMBER + DAY)
    plan_hash = register.plans()[0]["plan_hash"]
    (row,) = rows(register)
    assert {
        "reinstatement_no": 1,
        "bn15": CLOSED,
        "account_key": 180001,
        "plan_hash": plan_hash,
        "undoes": "close",
        "rule_id": "importer_none",
        "reason": "the client called",
        "effective_on": AFTER_DECEMBER + DAY,
        "known_from": "0001-01",
        "old_version": '{"status": "closed", "valid_from": "2021-12-25"}',
        "new_version": '{"reinstated_on": "2021-12-26", "status": "open", "valid_from": "2021-12-26"}',
        "recorded_by": "clerk",
        "run_id": "by hand",
    } == row
    with register.ws.operations.connect() as connection:
        sha256 = reinstatements_sha256(connection, [1])
    assert [
        (
            CLOSED,
            {
                "reinstatements": [1, 1],
                "reinstatements_sha256": sha256,
                "undoes": "close",
                "plan_hash": plan_hash,
                "rule_id": "importer_none",
                "reason": "the client called",
                "effective_on": "2021-12-26",
                "known_from": "0001-01",
                "recorded_by": "clerk",
                "run_id": "by hand",
            },
        )
    ] == links(register)
    register.change(update(REINSTATEMENTS).values(reason="another"))
    with register.ws.operations.connect() as connection:
        assert sha256 != reinstatements_sha256(connection, [1])


def test_the_number_may_be_spelled_in_any_way(register: Register) -> None:
    assert CLOSED == reinstate(register, f"{CLOSED[:9]} rm-{CLOSED[11:]}")["bn15"]


def test_an_account_that_another_hand_closed_is_opened_too(register: Register) -> None:
    register.change(update(ACCOUNTS).where(ACCOUNTS.c.bn15 == UNTOUCHED).values(status="closed", closed_on=LONG_AGO))
    with pytest.raises(UsageError, match="before 2005-06-01"):
        reinstate(register, UNTOUCHED, LONG_AGO - DAY)
    result = reinstate(register, UNTOUCHED, date(2022, 1, 3))
    assert ("close", None) == (result["undoes"], result["plan_hash"])
    assert ["closed", "open"] == [row["status"] for row in register.versions(UNTOUCHED)]
    assert (None, None) == (rows(register)[0]["plan_hash"], rows(register)[0]["rule_id"])


def test_the_last_change_of_several_is_undone(register: Register) -> None:
    dormant_exporter = an_account(program_type="exporter", activities=(("export", LONG_AGO),))
    facts = account_facts([ACTIVE, dormant_exporter]).to_pylist()
    facts[1] |= {"valid_from": AFTER_DECEMBER}
    register.seal_facts(account_facts([ACTIVE]).from_pylist(facts[1:], schema=account_facts([ACTIVE]).schema), JANUARY)
    apply(register, period=JANUARY)
    assert ["open", "open", "closed"] == [row["status"] for row in register.versions(CONVERTED)]
    result = reinstate(register, CONVERTED, date(2022, 3, 1))
    assert "close" == result["undoes"]
    assert [("open", "exporter")] == [
        (row["status"], row["program_type"]) for row in register.versions(CONVERTED) if row["valid_to"] is None
    ]
    with pytest.raises(Refused, match="changed since plan"):
        reinstate(register, CONVERTED, date(2022, 4, 1))


# What the months to come know.


def test_it_is_known_from_the_first_month_that_is_not_issued(register: Register) -> None:
    issued = {"issued_on": "2021-12-25", "statements": 0, "statements_sha256": "", "run_id": "run-1"}
    register.change(insert(ISSUED_MONTHS).values(period="2021-12", **issued))
    assert "2022-01" == reinstate(register, CLOSED)["known_from"]


def test_the_next_month_neither_closes_nor_converts_the_account_again(register: Register) -> None:
    for bn15 in (CLOSED, CONVERTED):
        reinstate(register, bn15, AFTER_DECEMBER)
    facts = account_facts(WORLD).to_pylist()
    facts[0] |= {"valid_from": AFTER_DECEMBER, "reinstated_on": AFTER_DECEMBER}
    facts[1] |= {"valid_from": AFTER_DECEMBER}
    schema = account_facts(WORLD).schema
    register.seal_facts(account_facts(WORLD).from_pylist(facts, schema=schema), JANUARY)
    month = month_of(period=JANUARY)
    publish_decisions(register.ws, month)
    assert {
        "keep": {"active": 1, "younger_than_4_years": 1},
        "review": {"undone_by_person": 1},
        "close": {"no_activity_4_years": 1},
    } == publish_plan(register.ws, month)["reasons"]


# Not at all.


def test_twice_is_once(register: Register) -> None:
    reinstate(register, CLOSED, AFTER_DECEMBER + DAY)
    before = everything(register)
    with pytest.raises(Refused, match="there is nothing to undo"):
        reinstate(register, CLOSED, AFTER_DECEMBER + 2 * DAY)
    assert before == everything(register)


REFUSED: dict[str, tuple[Callable[[Register], Any], type[Exception], str]] = {
    "a day before the change": (
        lambda register: reinstate(register, CLOSED, AS_OF),
        UsageError,
        "2021-12-24 is before 2021-12-25",
    ),
    "an account without a change": (lambda register: reinstate(register, UNTOUCHED), Refused, "nothing to undo"),
    "an account that nobody has": (
        lambda register: reinstate(register, bn15_of(77)),
        DataError,
        "the register has no account",
    ),
    "a number that is none": (lambda register: reinstate(register, "12"), UsageError, "is not a BN15"),
    "a reason that is none": (lambda register: reinstate(register, CLOSED, reason=" "), UsageError, "needs its reason"),
    "a plan that nobody made": (lambda register: undo(register, "f" * 64), UsageError, "there is no plan"),
    "a plan from a day before it": (
        lambda register: undo(register, register.plans()[0]["plan_hash"], AS_OF),
        UsageError,
        "2021-12-24 is before 2021-12-25",
    ),
    "a reason that cannot be seen": (
        lambda register: reinstate(register, CLOSED, reason="asked\x1b[2K for"),
        UsageError,
        "the reason has a character that cannot be seen",
    ),
    "a name that cannot be seen": (
        lambda register: reinstate(register, CLOSED, recorded_by="clerk\u202e"),
        UsageError,
        "the name of who records has a character that cannot be seen",
    ),
    "a plan, by a name that cannot be seen": (
        lambda register: undo(register, register.plans()[0]["plan_hash"], recorded_by="\u200b"),
        UsageError,
        "the name of who records has a character that cannot be seen",
    ),
    "a register that is not written": (
        lambda register: reinstate(register.with_policy(apply="file"), CLOSED),
        Refused,
        "undo the change in the register",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_undone_is_refused_and_nothing_changes(register: Register, what: str) -> None:
    before = everything(register)
    act, error, message = REFUSED[what]
    with pytest.raises(error, match=message):
        act(register)
    assert before == everything(register)


def test_a_day_far_ahead_is_a_slip_of_the_pen(register: Register) -> None:
    issued = {"issued_on": "2021-12-25", "statements": 0, "statements_sha256": "", "run_id": "run-1"}
    register.change(insert(ISSUED_MONTHS).values(period="2021-12", **issued))
    last = register.ws.calendar.end(Period(2022, 2))
    with pytest.raises(UsageError, match=f"lies beyond {last}"):
        reinstate(register, CLOSED, last + DAY)
    reinstate(register, CLOSED, last)


SINCE: dict[str, Callable[[Register, str], None]] = {
    "a further version": lambda register, bn15: register.change(
        insert(ACCOUNTS).values(**{**register.versions(bn15)[-1], "valid_from": AFTER_DECEMBER + DAY})
    ),
    "a version that ended later": lambda register, bn15: register.change(
        update(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15).values(valid_to=date(2022, 5, 1))
    ),
    "another status": lambda register, bn15: register.change(
        update(ACCOUNTS)
        .where(ACCOUNTS.c.bn15 == bn15)
        .values(status="open" if bn15 == CLOSED else "closed", closed_on=None)
    ),
    "another program type": lambda register, bn15: register.change(
        update(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15).values(program_type="importer", status="suspended")
    ),
    "a version under another spelling": lambda register, bn15: register.change(
        insert(ACCOUNTS).values(**{**register.versions(bn15)[-1], "bn15": bn15.replace("RM", " RM "), "status": "open"})
    ),
}


@pytest.mark.parametrize("since", SINCE)
@pytest.mark.parametrize("bn15", [CLOSED, CONVERTED])
def test_an_account_that_changed_since_is_left_to_a_person(register: Register, since: str, bn15: str) -> None:
    SINCE[since](register, bn15)
    before = everything(register)
    with pytest.raises(Refused, match="changed since plan"):
        reinstate(register, bn15, AFTER_DECEMBER + 9 * DAY)
    assert before == everything(register)


# A whole plan.


def test_a_plan_is_undone_account_by_account_but_for_those_that_moved(register: Register) -> None:
    plan_hash = register.plans()[0]["plan_hash"]
    later = AFTER_DECEMBER + 9 * DAY
    SINCE["a further version"](register, CLOSED_TOO)
    moved = register.versions(CLOSED_TOO)
    result = undo(register, plan_hash[:10], later)
    assert {
        "plan_hash": plan_hash,
        "undone": 2,
        "withdrawn": 0,
        "left": {"changed_since": 1},
        "known_from": "0001-01",
        "effective_on": later,
    } == result
    assert moved == register.versions(CLOSED_TOO)
    current = {row["bn15"]: row for row in register.versions() if row["valid_to"] is None and row["bn15"] != CLOSED_TOO}
    assert [("open", "importer", later), ("open", "dual", later)] == [
        (current[bn15]["status"], current[bn15]["program_type"], current[bn15]["valid_from"])
        for bn15 in (CLOSED, CONVERTED)
    ]
    assert "undone" == register.plans()[0]["state"]
    ((subject, facts),) = links(register)
    assert (plan_hash, 2, {"changed_since": 1}, [1, 2]) == (
        subject,
        facts["undone"],
        facts["left"],
        facts["reinstatements"],
    )


def test_a_plan_is_undone_once(register: Register) -> None:
    plan_hash = register.plans()[0]["plan_hash"]
    reinstate(register, CLOSED)
    result = undo(register, plan_hash)
    assert (2, {"undone_before": 1}) == (result["undone"], result["left"])
    before = everything(register)
    with pytest.raises(Refused, match=r"nothing of plan .* is left to undo: 3 undone before"):
        undo(register, plan_hash)
    assert before == everything(register)


def test_a_plan_that_was_undone_is_neither_applied_nor_made_ready_again(register: Register) -> None:
    plan_hash = register.plans()[0]["plan_hash"]
    undo(register, plan_hash)
    before = register.versions()
    made = publish_plan(register.ws, month_of(run_id="run-2"))
    assert (plan_hash, "undone") == (made["plan_hash"], made["state"])
    assert "undone" == apply_plan(register.ws, month_of(run_id="run-2"), plan_hash)["state"]
    assert before == register.versions()


@pytest.mark.parametrize("state", ["ready", "held", "superseded", "handed_over"])
def test_a_plan_that_changed_nobody_cannot_be_undone(register: Register, state: str) -> None:
    register.change(update(PLANS).values(state=state))
    with pytest.raises(Refused, match=f"is {state} and changed no account"):
        undo(register, register.plans()[0]["plan_hash"])


def test_the_announcements_of_a_plan_are_withdrawn_with_it(tmp_path: Path, database_url: str) -> None:
    register = Register.make(tmp_path, database_url)
    register = register.with_policy(closure=replace(register.ws.policy.closure, notice_months=3))
    register.fill(WORLD)
    plan_hash = apply(register)
    result = undo(register, plan_hash)
    assert (1, 2) == (result["undone"], result["withdrawn"])
    assert ["2021-12", "2021-12"] == [row["cleared_in"] for row in rows(register, CLOSURE_ANNOUNCEMENTS)]
    # No later month takes them for a notice that was given.
    register.seal_facts(account_facts(WORLD), JANUARY)
    publish_decisions(register.ws, month_of(period=JANUARY))
    apply_plan(register.ws, month_of(period=JANUARY), register.record_plan(month_of(period=JANUARY), "ready"))
    assert ["2021-12", "2022-01", "2021-12", "2022-01"] == [
        row["announced_in"] for row in sorted(rows(register, CLOSURE_ANNOUNCEMENTS), key=lambda row: row["bn15"])
    ]
