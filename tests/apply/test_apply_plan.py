"""Applying a plan, on SQLite and on PostgreSQL: once, whole or not at all, and only to accounts that did not move."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import event, insert, text, update

from include.apply import applied_changes, apply_plan
from include.carm.errors import DataError, Refused
from include.carm.period import Period
from include.database import connect_engine, write_transaction
from include.decide import publish_decisions
from include.operations_plan_tables import ACCOUNT_CHANGES, PLANS
from include.plan_step import publish_plan
from tests.decide.accounts import AS_OF, LONG_AGO, account_facts, an_account, bn15_of
from tests.decide.month import ACCOUNTS, AFTER_DECEMBER, DECEMBER, Register, month_of

DAY = timedelta(days=1)
# A server that has imported once what each process needs, and never had a thread or a connection.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["include.apply", "psycopg"])
DORMANT = an_account()
ONLY_EXPORTS = an_account(program_type="dual", activities=(("export", AS_OF),))
ONLY_IMPORTS = an_account(program_type="exporter", activities=(("import", AS_OF),))
ACTIVE = an_account(activities=(("import", AS_OF),))
WORLD = [DORMANT, ONLY_EXPORTS, ONLY_IMPORTS, ACTIVE]
DORMANT_BN15, EXPORTS_BN15, IMPORTS_BN15, ACTIVE_BN15 = (bn15_of(position) for position in range(4))


@pytest.fixture
def register(tmp_path: Path, database_url: str) -> Register:
    register = Register.make(tmp_path, database_url)
    register.fill(WORLD)
    return register


def plan(register: Register, *, state: str = "ready", **changes: Any) -> str:
    """Decide, and record the plan as ``publish_plan`` leaves it; its checks take a second and have their own tests."""
    month = month_of(**changes)
    publish_decisions(register.ws, month)
    return register.record_plan(month, state)


def apply(register: Register, plan_hash: str, **changes: Any) -> dict[str, Any]:
    return apply_plan(register.ws, month_of(**changes), plan_hash)


# What a change is.


def test_a_dormant_account_ends_and_goes_on_closed_from_the_day_after_the_period(register: Register) -> None:
    before = register.versions(DORMANT_BN15)
    apply(register, plan(register))
    ended = {**before[0], "valid_to": AFTER_DECEMBER}
    begun = {**before[0], "valid_from": AFTER_DECEMBER, "status": "closed", "closed_on": AFTER_DECEMBER}
    assert date(2021, 12, 25) == AFTER_DECEMBER
    assert [ended, begun] == register.versions(DORMANT_BN15)


@pytest.mark.parametrize(("bn15", "new_type"), [(EXPORTS_BN15, "exporter"), (IMPORTS_BN15, "importer")])
def test_a_converted_account_goes_on_in_its_new_type(register: Register, bn15: str, new_type: str) -> None:
    before = register.versions(bn15)
    apply(register, plan(register))
    ended = {**before[0], "valid_to": AFTER_DECEMBER}
    begun = {**before[0], "valid_from": AFTER_DECEMBER, "program_type": new_type}
    assert [ended, begun] == register.versions(bn15)


def test_every_other_column_of_the_version_is_carried_over(register: Register) -> None:
    carried = {
        "operating_name": "Doing business",
        "closed_on": date(2007, 1, 1),
        "hold_reason": "appeal",
        "hold_until": AS_OF - DAY,
        "portal_registered_on": date(2021, 6, 1),
        "mfa_registered_on": date(2021, 11, 9),
    }
    register.change(update(ACCOUNTS).values(**carried))
    apply(register, plan(register))
    old, new = register.versions(EXPORTS_BN15)
    differing = {name for name in old if old[name] != new[name]}
    assert {"valid_from", "valid_to", "program_type"} == differing


def test_an_account_without_a_change_is_left_alone(register: Register) -> None:
    before = register.versions(ACTIVE_BN15)
    apply(register, plan(register))
    assert before == register.versions(ACTIVE_BN15)


def test_each_change_stands_in_the_journal_with_its_evidence(register: Register) -> None:
    plan_hash = plan(register)
    result = apply(register, plan_hash)
    counts = {"applied": 3, "announced": 0, "handed_over": 0, "dropped": 0, "changed_now": 3}
    assert {"plan_hash": plan_hash, "state": "applied", **counts} == result
    rows = {row["bn15"]: row for row in register.journal()}
    closed = rows[DORMANT_BN15]
    evidence = {
        "activity_seen": "none",
        "announced_in": None,
        "balance": "zero",
        "clock_on": "2012-03-01",
        "coverage_id": "the coverage",
        "cutoff_on": "2017-12-24",
        "last_activity_on": "2012-03-01",
        "last_export_on": None,
        "last_import_on": "2012-03-01",
        "last_other_on": None,
        "opened_on": "2005-06-01",
        "reinstated_on": None,
        "rule_id": "importer_none",
        "rules_version": "the rules",
        "under_review_items": 0,
    }
    assert evidence == json.loads(closed.pop("evidence"))
    assert {
        "plan_hash": plan_hash,
        "bn15": DORMANT_BN15,
        "account_key": 180001,
        "period": "2021-12",
        "effective_on": AFTER_DECEMBER,
        "action": "close",
        "rule_id": "importer_none",
        "reason": "no_activity_4_years",
        "valid_from": LONG_AGO,
        "program_type": "importer",
        "new_program_type": None,
        "old_version": '{"program_type": "importer", "status": "open", "valid_from": "2005-06-01"}',
        "new_version": '{"closed_on": "2021-12-25", "program_type": "importer", "status": "closed", '
        '"valid_from": "2021-12-25"}',
        "outcome": "applied",
        "outcome_reason": None,
        "settled_in": None,
        "approved_by": None,
        "run_id": "run-1",
    } == closed
    assert {"program_type": "exporter", "status": "open", "valid_from": "2021-12-25"} == json.loads(
        rows[EXPORTS_BN15]["new_version"]
    )
    assert {DORMANT_BN15, EXPORTS_BN15, IMPORTS_BN15} == set(rows)


def test_no_name_and_no_address_is_in_the_journal(register: Register) -> None:
    apply(register, plan(register))
    written = str(register.journal())
    assert "Firm" not in written
    assert "example.org" not in written


def test_the_plan_tells_that_it_was_applied_and_by_which_run(register: Register) -> None:
    plan_hash = plan(register)
    apply(register, plan_hash, run_id="run-2")
    row = register.plans()[0]
    assert ("applied", "run-1", "run-2", 3, 0) == (
        row["state"],
        row["run_id"],
        row["applied_run_id"],
        row["applied_count"],
        row["dropped_count"],
    )


def test_the_notices_learn_what_was_applied(register: Register) -> None:
    apply(register, plan(register))
    told = [
        {"bn15": DORMANT_BN15, "action": "close", "program_type": "importer", "new_program_type": None},
        {"bn15": EXPORTS_BN15, "action": "convert", "program_type": "dual", "new_program_type": "exporter"},
        {"bn15": IMPORTS_BN15, "action": "convert", "program_type": "exporter", "new_program_type": "importer"},
    ]
    from_then_on = {"effective_on": date(2021, 12, 25)}
    assert [{**row, **from_then_on} for row in told] == applied_changes(register.ws, DECEMBER).to_pylist()
    assert 0 == applied_changes(register.ws, DECEMBER.next()).num_rows


# Once.


def test_twice_is_once(register: Register) -> None:
    plan_hash = plan(register)
    first = apply(register, plan_hash)
    after = register.everything()
    second = apply(register, plan_hash, run_id="run-2")
    assert {**first, "changed_now": 0} == second
    assert after == register.everything()


def test_the_month_made_again_after_it_was_applied_is_the_same_plan_and_changes_nothing(register: Register) -> None:
    publish_decisions(register.ws, month_of())
    plan_hash = publish_plan(register.ws, month_of())["plan_hash"]
    assert 3 == apply(register, plan_hash)["changed_now"]
    after = register.everything()
    again = month_of(run_id="run-2", area="shadow")
    publish_decisions(register.ws, again)
    made = publish_plan(register.ws, again)
    assert (plan_hash, "applied") == (made["plan_hash"], made["state"])
    assert 0 == apply(register, plan_hash, run_id="run-2")["changed_now"]
    assert after == register.everything()


def test_an_applied_plan_stays_applied_whatever_becomes_of_the_decisions(register: Register) -> None:
    plan_hash = plan(register)
    first = apply(register, plan_hash)
    after = register.everything()
    register.ws.lake().path("account_decisions", DECEMBER).unlink()
    assert {**first, "changed_now": 0} == apply(register, plan_hash)
    assert after == register.everything()


def test_a_plan_without_changes_is_applied_too(register: Register) -> None:
    register.fill([ACTIVE])
    before = register.versions()
    assert {"state": "applied", "applied": 0, "dropped": 0} == {
        key: value for key, value in apply(register, plan(register)).items() if key in ("state", "applied", "dropped")
    }
    assert before == register.versions()


# Not at all.


def test_a_shadow_run_changes_nothing(register: Register) -> None:
    plan_hash = plan(register, effects="shadow")
    before = register.everything()
    assert "shadow" == apply(register, plan_hash, effects="shadow")["state"]
    assert before == register.everything()


def test_a_plan_made_in_shadow_cannot_be_applied_live(register: Register) -> None:
    plan_hash = plan(register, effects="shadow")
    before = register.everything()
    with pytest.raises(Refused, match="there is no live plan"):
        apply(register, plan_hash)
    assert before == register.everything()


def test_a_held_plan_changes_nothing(register: Register) -> None:
    plan_hash = plan(register, state="held")
    before = register.everything()
    nothing = dict.fromkeys(("applied", "announced", "handed_over", "dropped", "changed_now"), 0)
    assert {"plan_hash": plan_hash, "state": "held", **nothing} == apply(register, plan_hash)
    assert before == register.everything()


def test_another_hash_than_the_plans_is_refused(register: Register) -> None:
    plan(register)
    with pytest.raises(Refused, match="there is no live plan"):
        apply(register, "0" * 64)


def test_a_plan_of_another_period_is_refused(register: Register) -> None:
    plan_hash = plan(register)
    with pytest.raises(Refused, match="there is no live plan"):
        apply(register, plan_hash, period=Period(2022, 1))


def test_decisions_that_were_changed_after_the_plan_are_refused(register: Register) -> None:
    plan_hash = plan(register)
    lake = register.ws.lake()
    table = pq.read_table(lake.file("account_decisions", DECEMBER), partitioning=None)
    position = table.schema.get_field_index("balance_cents")
    changed = table.set_column(position, "balance_cents", [[1, 0, 0, 0]])
    before = register.everything()
    # Even with a seal that fits: whoever can write the file could write the seal.
    lake.publish_and_seal("account_decisions", DECEMBER, changed, run_id="run-2")
    with pytest.raises(Refused, match="no longer those of plan"):
        apply(register, plan_hash)
    assert before == register.everything()


def test_a_file_that_was_changed_without_its_seal_is_refused(register: Register) -> None:
    plan_hash = plan(register)
    path = register.ws.lake().path("account_decisions", DECEMBER)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="not the file that was sealed"):
        apply(register, plan_hash)


def test_a_plan_is_refused_once_a_later_period_was_applied(register: Register) -> None:
    december = plan(register)
    january = Period(2022, 1)
    register.seal_facts(facts_again(register), january)
    apply(register, plan(register, period=january), period=january)
    before = register.everything()
    with pytest.raises(Refused, match="2022-01 was applied after it"):
        apply(register, december)
    assert before == register.everything()


def test_a_later_period_that_is_only_planned_does_not_stand_in_the_way(register: Register) -> None:
    december = plan(register)
    january = Period(2022, 1)
    register.seal_facts(facts_again(register), january)
    plan(register, period=january)
    plan(register, period=january, effects="shadow")
    assert 3 == apply(register, december)["applied"]


def test_a_second_plan_of_a_period_changes_only_who_was_not_changed_yet(register: Register) -> None:
    apply(register, plan(register))
    after, journal = register.versions(), register.journal()
    register.seal_facts(account_facts([*WORLD[:3], DORMANT]))
    # Such a plan is held; a person who lets it pass makes it ready.
    result = apply(register, plan(register))
    assert (1, 3) == (result["applied"], result["dropped"])
    assert ["open", "closed"] == [row["status"] for row in register.versions(ACTIVE_BN15)]
    assert after[:-1] == register.versions()[:-2]
    first = journal[0]["plan_hash"]
    assert journal == [row for row in register.journal() if row["plan_hash"] == first]


def facts_again(register: Register) -> Any:
    return pq.read_table(register.ws.lake().file("account_facts", DECEMBER), partitioning=None)


# Each account is looked at again.

MOVES: dict[str, Callable[[], Any]] = {
    "it has another program type": lambda: update(ACCOUNTS).values(program_type="importer"),
    "its type is unknown": lambda: update(ACCOUNTS).values(program_type=None),
    "it was closed": lambda: update(ACCOUNTS).values(status="closed"),
    "its version ended": lambda: update(ACCOUNTS).values(valid_to=AFTER_DECEMBER + DAY),
    "its version ended before the change": lambda: update(ACCOUNTS).values(valid_to=AS_OF),
    "its version begins another day": lambda: update(ACCOUNTS).values(valid_from=LONG_AGO + DAY),
    "a hold without an end was put on record": lambda: update(ACCOUNTS).values(hold_reason="appeal"),
    "a hold that still holds was put on record": lambda: update(ACCOUNTS).values(
        hold_reason="appeal", hold_until=AS_OF
    ),
}


@pytest.mark.parametrize("move", MOVES)
def test_an_account_that_moved_since_the_plan_is_dropped_and_the_others_change(register: Register, move: str) -> None:
    plan_hash = plan(register)
    register.change(MOVES[move]().where(ACCOUNTS.c.bn15 == EXPORTS_BN15))
    before = register.versions(EXPORTS_BN15)
    result = apply(register, plan_hash)
    assert (2, 1) == (result["applied"], result["dropped"])
    assert before == register.versions(EXPORTS_BN15)
    row = next(row for row in register.journal() if row["bn15"] == EXPORTS_BN15)
    assert ("dropped", "moved_since_plan", None) == (row["outcome"], row["outcome_reason"], row["new_version"])
    assert ["closed"] == [row["status"] for row in register.versions(DORMANT_BN15) if row["valid_to"] is None]
    assert EXPORTS_BN15 not in applied_changes(register.ws, DECEMBER)["bn15"].to_pylist()


def test_a_hold_that_has_expired_is_no_move(register: Register) -> None:
    plan_hash = plan(register)
    register.change(update(ACCOUNTS).values(hold_reason="appeal", hold_until=AS_OF - DAY))
    assert 3 == apply(register, plan_hash)["applied"]


def test_an_account_that_left_the_register_is_dropped(register: Register) -> None:
    plan_hash = plan(register)
    register.change(ACCOUNTS.delete().where(ACCOUNTS.c.bn15 == DORMANT_BN15))
    assert (2, 1) == (lambda result: (result["applied"], result["dropped"]))(apply(register, plan_hash))
    assert [] == register.versions(DORMANT_BN15)


@pytest.mark.parametrize("valid_from", [LONG_AGO, LONG_AGO + DAY, AS_OF, AFTER_DECEMBER, AFTER_DECEMBER + DAY])
@pytest.mark.parametrize("valid_to", [None, AFTER_DECEMBER, AFTER_DECEMBER + 9 * DAY])
def test_an_account_that_got_another_version_is_dropped(
    register: Register, valid_from: date, valid_to: date | None
) -> None:
    plan_hash = plan(register)
    version = {**register.versions(DORMANT_BN15)[0], "valid_from": valid_from, "valid_to": valid_to, "province": "ON"}
    register.change(insert(ACCOUNTS).values(**version))
    before = register.versions(DORMANT_BN15)
    assert 1 == apply(register, plan_hash)["dropped"]
    assert before == register.versions(DORMANT_BN15)


@pytest.mark.parametrize("valid_to", [None, AFTER_DECEMBER + DAY])
def test_an_account_whose_earlier_version_reaches_over_the_change_is_dropped(
    register: Register, valid_to: date | None
) -> None:
    plan_hash = plan(register)
    earlier = {**register.versions(DORMANT_BN15)[0], "valid_from": date(2001, 1, 1), "valid_to": valid_to}
    register.change(insert(ACCOUNTS).values(**earlier))
    assert 1 == apply(register, plan_hash)["dropped"]


@pytest.mark.parametrize("difference", [{"hold_reason": "legal"}, {"legal_name": "Another"}, {"operating_name": "X"}])
def test_a_differing_copy_of_the_version_drops_the_account(register: Register, difference: dict[str, str]) -> None:
    plan_hash = plan(register)
    copy = {**register.versions(DORMANT_BN15)[0], **difference}
    register.change(insert(ACCOUNTS).values(**copy))
    before = register.versions(DORMANT_BN15)
    assert 1 == apply(register, plan_hash)["dropped"]
    assert before == register.versions(DORMANT_BN15)


def test_identical_copies_of_a_version_end_together_and_one_goes_on(register: Register) -> None:
    plan_hash = plan(register)
    register.change(insert(ACCOUNTS).values(**register.versions(DORMANT_BN15)[0]))
    apply(register, plan_hash)
    assert [(LONG_AGO, AFTER_DECEMBER), (LONG_AGO, AFTER_DECEMBER), (AFTER_DECEMBER, None)] == [
        (row["valid_from"], row["valid_to"]) for row in register.versions(DORMANT_BN15)
    ]


def test_a_register_that_writes_versions_by_itself_stops_the_whole_apply(tmp_path: Path, sqlite_url: str) -> None:
    register = Register.make(tmp_path, sqlite_url)
    register.fill(WORLD)
    plan_hash = plan(register)
    register.change(
        text(
            "CREATE TRIGGER twin AFTER INSERT ON accounts WHEN new.status = 'closed' BEGIN"
            " INSERT INTO accounts (bn15, valid_from) VALUES (new.bn15, new.valid_from); END"
        )
    )
    before = register.everything()
    with pytest.raises(DataError, match="1 accounts would not have exactly one version from 2021-12-25 on"):
        apply(register, plan_hash)
    assert before == register.everything()


def test_earlier_versions_of_an_account_are_history_and_stay(register: Register) -> None:
    plan_hash = plan(register)
    earlier = {**register.versions(DORMANT_BN15)[0], "valid_from": date(2001, 1, 1), "valid_to": LONG_AGO}
    register.change(insert(ACCOUNTS).values(**earlier))
    assert 3 == apply(register, plan_hash)["applied"]
    assert earlier == register.versions(DORMANT_BN15)[0]


# Whole or not at all.


def fresh(register: Register) -> Any:
    """The workspace without its open engines, so that it can be handed to another process."""
    return replace(register.ws)


def test_two_at_once_apply_once(register: Register) -> None:
    plan_hash = plan(register)
    processes = [
        PROCESSES.Process(target=apply_plan, args=(fresh(register), month_of(run_id=f"run-{number}"), plan_hash))
        for number in (1, 2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [0, 0] == [process.exitcode for process in processes]
    assert 3 == len(register.journal())
    assert 7 == len(register.versions())


def test_while_a_plan_is_applied_nobody_else_writes_the_accounts(register: Register) -> None:
    plan_hash = plan(register)
    impatient = connect_engine(register.ws.apply_url, wait_seconds=0.2)
    refusals = []

    def write_meanwhile(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith(("INSERT INTO carm_account_changes", "INSERT INTO accounts", "UPDATE accounts")):
            with pytest.raises(Exception, match="locked"), write_transaction(impatient) as connection:
                connection.execute(update(ACCOUNTS).values(legal_name="Meanwhile"))
            refusals.append(statement)

    event.listen(register.ws.operations, "before_cursor_execute", write_meanwhile)
    apply(register, plan_hash)
    assert 3 == len(refusals)
    assert "Meanwhile" not in str(register.versions())


def test_the_journal_holds_one_row_for_each_change_of_a_plan(register: Register) -> None:
    apply(register, plan(register))
    row = register.journal()[0]
    with pytest.raises(Exception, match=r"(?i)unique"):
        register.change(insert(ACCOUNT_CHANGES).values(**row))


def test_plans_are_told_apart_by_their_hash_and_effects(register: Register) -> None:
    live, shadow = plan(register), plan(register, effects="shadow")
    assert live == shadow
    assert [("live", "ready"), ("shadow", "shadow")] == [(row["effects"], row["state"]) for row in register.plans()]
    assert {live} == {row["plan_hash"] for row in register.plans()}
    with pytest.raises(Exception, match=r"(?i)unique"):
        register.change(insert(PLANS).values(**register.plans()[0]))
