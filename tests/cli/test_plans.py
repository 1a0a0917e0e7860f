"""``carm plan`` and ``carm reinstate``: looking at plans, comparing them, and taking back what they did."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update

from include.apply import apply_plan
from include.carm.period import Period
from include.cli import carm
from include.decide import publish_decisions
from include.plan_step import publish_plan
from tests.decide.accounts import AS_OF, an_account, bn15_of
from tests.decide.month import ACCOUNTS, AFTER_DECEMBER, Register, month_of

DORMANT, ACTIVE = an_account(), an_account(activities=(("import", AS_OF),))
ONLY_EXPORTS = an_account(program_type="dual", activities=(("export", AS_OF),))
JANUARY = Period(2022, 1)
CLOSED, CONVERTED, KEPT = (bn15_of(position) for position in range(3))
SELF = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def register(tmp_path: Path, sqlite_url: str) -> Register:
    register = Register.make(tmp_path, sqlite_url)
    register.fill([DORMANT, ONLY_EXPORTS, ACTIVE])
    return register


@pytest.fixture
def run(register: Register, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("CARM_DATA", str(register.ws.data))
    monkeypatch.setenv("CARM_SOURCE_URL", register.ws.source_url)
    return lambda *arguments: CliRunner().invoke(carm, [str(argument) for argument in arguments], prog_name="carm")


@pytest.fixture
def applied(register: Register) -> str:
    """The hash of a plan that closed one account and converted another."""
    publish_decisions(register.ws, month_of())
    plan_hash: str = publish_plan(register.ws, month_of(), makers=("clerk",))["plan_hash"]
    assert apply_plan(register.ws, month_of(), plan_hash)["applied"] == 2
    return plan_hash


def test_plans_are_listed_by_month_and_one_is_shown(run: Any, applied: str) -> None:
    told = run("plan", "list").stdout.splitlines()
    assert told[1].startswith(f"2021-12  {applied[:12]} live    applied")
    assert run("plan", "list", "--period", "2021-11").stdout == "2021-11 has no plan; 2021-12 has one\n"
    assert json.loads(run("plan", "list", "--period", "2021-11", "--json").stdout) == {"plans": []}
    facts = json.loads(run("plan", "list", "--json").stdout)
    assert [plan["plan_hash"] for plan in facts["plans"]] == [applied]

    shown: Result = run("plan", "show", applied[:8])
    assert shown.stdout.splitlines()[0] == f"Plan {applied}"
    assert "Made by: clerk" in shown.stdout
    assert json.loads(run("plan", "show", "2021-12", "--json").stdout)["changes"] == 2


def test_two_plans_are_compared_account_by_account(run: Any, register: Register, applied: str) -> None:
    register.seal_facts(register_facts([DORMANT, ACTIVE, DORMANT]))
    publish_decisions(register.ws, month_of(run_id="run-2", effects="shadow"))
    other = publish_plan(register.ws, month_of(run_id="run-2", effects="shadow"))["plan_hash"]
    told = run("plan", "diff", applied[:12], other[:12]).stdout
    assert f"From plan {applied[:12]}" in told
    assert f"  {KEPT} keep (active) -> close (no_activity_4_years)" in told.splitlines()
    facts = json.loads(run("plan", "diff", applied, other, "--json").stdout)
    assert [[row["bn15"] for row in facts[word]] for word in ("entered", "left", "changed")] == [
        [KEPT],
        [CONVERTED],
        [],
    ]


def register_facts(accounts: list[Any]) -> Any:
    from tests.decide.accounts import account_facts

    return account_facts(accounts)


def test_a_plan_is_undone_but_for_who_changed_since(run: Any, register: Register, applied: str) -> None:
    first = run("reinstate", CLOSED, "--effective-on", AFTER_DECEMBER, "--reason", "still in business")
    assert first.stdout == f"{CLOSED} is opened again from {AFTER_DECEMBER} on, recorded by {SELF}\n"
    undone = run(
        "plan", "undo", applied[:12], "--effective-on", AFTER_DECEMBER, "--reason", "a broken feed", "--by", "analyst"
    )
    assert undone.stdout.splitlines() == [
        "accounts undone: 1",
        "accounts left as they are, undone before: 1",
    ]
    assert {row["status"] for row in register.versions() if row["valid_to"] is None} == {"open"}
    shown = run("plan", "show", applied[:12]).stdout.splitlines()
    assert f"Undone by analyst from {AFTER_DECEMBER} on: a broken feed" in shown
    assert "  undone 1 account, left 1 undone before" in shown
    again = run("plan", "undo", applied[:12], "--effective-on", AFTER_DECEMBER, "--reason", "x")
    assert (again.exit_code, again.stdout) == (1, "")
    assert "left to undo" in again.stderr


def test_a_converted_account_gets_its_type_back(run: Any, register: Register, applied: str) -> None:
    told = run("reinstate", CONVERTED, "--effective-on", AFTER_DECEMBER, "--reason", "imports by a broker", "--json")
    assert json.loads(told.stdout)["undoes"] == "convert"
    assert [row["program_type"] for row in register.versions(CONVERTED) if row["valid_to"] is None] == ["dual"]


def test_the_card_names_the_command_that_the_program_takes(run: Any, register: Register, applied: str) -> None:
    card = json.loads(run("explain", CLOSED, "--json").stdout)
    (step,) = card["commands"]
    program, verb, *arguments = step["command"].replace('"..."', "why").split()
    assert (program, run(verb, *arguments).exit_code) == ("carm", 0)
    card = json.loads(run("explain", CLOSED, "--json").stdout)
    assert (card["commands"], card["undone"][0]["reason"]) == ([], "why")


def test_an_account_that_another_hand_changed_is_not_offered_what_would_be_refused(
    run: Any, register: Register, applied: str
) -> None:
    moved = update(ACCOUNTS).where(ACCOUNTS.c.bn15 == CLOSED, ACCOUNTS.c.valid_to.is_(None))
    register.change(moved.values(program_type="dual"))
    card = json.loads(run("explain", CLOSED, "--json").stdout)
    refused = run("reinstate", CLOSED, "--effective-on", AFTER_DECEMBER, "--reason", "x")
    assert (card["commands"], f"{card['refused']}\n", refused.exit_code) == ([], refused.stderr, 1)
    told = " ".join(run("explain", CLOSED).stdout.split())
    assert told.endswith(f"To undo not with carm reinstate: {card['refused']}")


def test_a_change_that_a_later_plan_followed_points_to_the_later_card(
    run: Any, register: Register, applied: str
) -> None:
    facts = register_facts([ACTIVE, an_account(program_type="exporter")])
    rows = facts.to_pylist()[1:]
    rows[0]["valid_from"] = AFTER_DECEMBER
    register.seal_facts(facts.from_pylist(rows, schema=facts.schema), JANUARY)
    publish_decisions(register.ws, month_of(JANUARY))
    apply_plan(register.ws, month_of(JANUARY), register.record_plan(month_of(JANUARY), "ready"))
    assert [row["status"] for row in register.versions(CONVERTED)] == ["open", "open", "closed"]
    card = json.loads(run("explain", CONVERTED, "--period", "2021-12", "--json").stdout)
    assert (card["commands"], card["refused"]) == (
        [],
        f"a later plan changed it too, see carm explain {CONVERTED} --period 2022-01",
    )
    later = json.loads(run("explain", CONVERTED, "--json").stdout)
    assert [step["to"] for step in later["commands"]] == ["undo it"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["plan", "show", "zz"], 2, "names no plan"),
        (["plan", "show", "ffff"], 2, "there is no plan ffff"),
        (["plan", "diff", "2021-12"], 2, "Missing argument 'P2'"),
        (["plan", "undo", "ffff", "--effective-on", "2021-12-25", "--reason", "x"], 2, "there is no plan ffff"),
        (["plan", "undo", "ffff", "--reason", "x"], 2, "Missing option '--effective-on'"),
        (["reinstate", KEPT, "--effective-on", "2021-12-25", "--reason", "x"], 1, "there is nothing to undo"),
        (["reinstate", CLOSED, "--effective-on", "2021-12-24", "--reason", "x"], 2, "is before 2021-12-25"),
        (["reinstate", CLOSED, "--effective-on", "25 December", "--reason", "x"], 2, "is not a day"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    run: Any, applied: str, arguments: list[str], code: int, message: str
) -> None:
    result: Result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
