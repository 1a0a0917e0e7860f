"""The change file: handed over once, whole or told from a whole one, and answered by the extracts that follow."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import event, insert, update

from include.apply import apply_plan
from include.audit import read_links
from include.carm.errors import DataError, Refused, Unavailable
from include.carm.period import Period
from include.change_file import change_file_lines, change_file_path, confirm_changes, read_change_file
from include.datasets import schema_of
from include.decide import publish_decisions
from include.journal import applied_changes, journal_sha256
from include.lake import sha256_of
from include.operations import migrate
from include.operations_plan_tables import ACCOUNT_CHANGES
from include.plan_step import publish_plan
from tests.decide.accounts import AS_OF, account_facts, an_account, bn15_of
from tests.decide.month import ACCOUNTS, AFTER_DECEMBER, DECEMBER, Register, month_of

DORMANT = an_account()
EXPORTS = an_account(program_type="dual", activities=(("export", AS_OF),))
ACTIVE = an_account(activities=(("import", AS_OF),))
WORLD = [DORMANT, EXPORTS, ACTIVE, DORMANT, DORMANT]
CLOSED, CONVERTED, _, NOT_DONE, MISSING = (bn15_of(position) for position in range(len(WORLD)))
JANUARY, FEBRUARY = Period(2022, 1), Period(2022, 2)


@pytest.fixture
def register(tmp_path: Path, database_url: str) -> Register:
    register = Register.make(tmp_path, database_url).with_policy(apply="file")
    register.fill(WORLD)
    return register


def plan(register: Register, period: Period = DECEMBER) -> str:
    publish_decisions(register.ws, month_of(period))
    return register.record_plan(month_of(period), "ready")


def hand_over(register: Register) -> tuple[str, Path]:
    plan_hash = plan(register)
    apply_plan(register.ws, month_of(), plan_hash)
    return plan_hash, change_file_path(register.ws, DECEMBER, plan_hash)


def extract(register: Register, period: Period, answers: dict[str, dict[str, Any]]) -> None:
    """Seal the accounts of a month as its extract has them: the register's, but for the columns in ``answers``."""
    columns = ("bn15", "account_key", "valid_from", "program_type", "status")
    rows = [
        {**{name: row[name] for name in columns}, **answers[row["bn15"]]}
        for row in account_facts(WORLD).to_pylist()
        if row["bn15"] in answers
    ]
    accounts = pa.Table.from_pylist(rows, schema=schema_of("accounts"))
    register.ws.lake().publish_and_seal("accounts", period, accounts, run_id="extract")


ANSWERS: dict[str, dict[str, Any]] = {
    CLOSED: {"status": "closed"},
    CONVERTED: {"program_type": "exporter"},
    NOT_DONE: {"status": "open"},
}


def links(register: Register, what: str) -> list[dict[str, Any]]:
    with register.ws.operations.connect() as connection:
        return [json.loads(link.facts) for link in read_links(connection) if link.event == what]


# Handing over.


def test_the_changes_are_handed_over_and_the_register_is_not_written(register: Register) -> None:
    before = register.versions()
    plan_hash = plan(register)
    result = apply_plan(register.ws, month_of(), plan_hash)
    counts = {"applied": 0, "announced": 0, "handed_over": 4, "dropped": 0, "changed_now": 4}
    assert {"plan_hash": plan_hash, "state": "handed_over", **counts} == result
    assert before == register.versions()
    assert {"handed_over"} == {row["outcome"] for row in register.journal()}
    assert "handed_over" == register.plans()[0]["state"]
    assert 0 == applied_changes(register.ws, DECEMBER).num_rows


def test_the_file_has_a_line_for_each_change_and_a_control_record(register: Register) -> None:
    plan_hash, path = hand_over(register)
    assert f"plan-{plan_hash[:16]}.csv" == path.name
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [
        "record,bn15,action,effective_on,valid_from,program_type,new_program_type,rule_id,reason",
        f"change,{CLOSED},close,2021-12-25,2005-06-01,importer,,importer_none,no_activity_4_years",
        f"change,{CONVERTED},convert,2021-12-25,2005-06-01,dual,exporter,dual_export,only_export_activity",
        f"change,{NOT_DONE},close,2021-12-25,2005-06-01,importer,,importer_none,no_activity_4_years",
        f"change,{MISSING},close,2021-12-25,2005-06-01,importer,,importer_none,no_activity_4_years",
    ] == lines[:-1]
    control = lines[-1].split(",")
    assert ["control", plan_hash, "2021-12", "4"] == control[:4]
    assert [CLOSED, CONVERTED, NOT_DONE, MISSING] == [row["bn15"] for row in read_change_file(path)]
    assert [0o700, 0o600] == [file.stat().st_mode & 0o777 for file in (path.parent, path)]
    assert sha256_of(path) == links(register, "apply")[0]["change_file_sha256"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[: content.rindex(b"control")],
        lambda content: content[: content.rindex(b"change,")],
        lambda content: b"\n".join(content.splitlines()[:2] + content.splitlines()[3:]) + b"\n",
        lambda content: content.replace(b",close,", b",keep!,", 1),
        lambda content: content.replace(b",4,", b",5,"),
        lambda content: content + b"more\n",
        lambda content: b"",
        lambda content: b"\xff\xfe",
    ],
)
def test_a_file_that_was_cut_off_or_edited_is_told_from_a_whole_one(register: Register, damage: Any) -> None:
    _, path = hand_over(register)
    content = path.read_bytes()
    assert content != damage(content)
    path.write_bytes(damage(content))
    with pytest.raises(DataError, match="is not whole"):
        read_change_file(path)


def test_a_plan_without_changes_is_a_file_of_its_control_record(register: Register) -> None:
    register.fill([ACTIVE])
    plan_hash, path = hand_over(register)
    assert [] == read_change_file(path)
    assert ["record", "control"] == [line.split(",")[0] for line in path.read_text().splitlines()]
    assert "handed_over" == register.plans()[0]["state"]
    assert [] == register.journal()
    assert plan_hash == register.plans()[0]["plan_hash"]


def test_twice_is_once_and_a_file_that_was_lost_is_written_again(register: Register) -> None:
    plan_hash, path = hand_over(register)
    before, content = register.everything(), path.read_bytes()
    path.unlink()
    again = apply_plan(register.ws, month_of(run_id="run-2"), plan_hash)
    assert ("handed_over", 4, 0) == (again["state"], again["handed_over"], again["changed_now"])
    assert (before, content) == (register.everything(), path.read_bytes())


def test_an_account_that_moved_is_not_in_the_file(register: Register) -> None:
    plan_hash = plan(register)
    register.change(update(ACCOUNTS).where(ACCOUNTS.c.bn15 == CLOSED).values(hold_reason="appeal"))
    result = apply_plan(register.ws, month_of(), plan_hash)
    assert (3, 1) == (result["handed_over"], result["dropped"])
    path = change_file_path(register.ws, DECEMBER, plan_hash)
    assert [CONVERTED, NOT_DONE, MISSING] == [row["bn15"] for row in read_change_file(path)]


def test_a_register_that_may_not_be_written_is_only_read(tmp_path: Path, sqlite_url: str) -> None:
    """The pipeline's tables lie in a database of their own, and the accounts in one that it may only read."""
    own = f"sqlite:///{tmp_path / 'own.db'}"
    register = Register.make(tmp_path, sqlite_url).with_policy(apply="file")
    register.fill(WORLD)
    migrate(own)
    apart = Register(replace(register.ws, apply_url=own))
    apart.seal_facts(account_facts(WORLD))
    register.change(update(ACCOUNTS).where(ACCOUNTS.c.bn15 == CLOSED).values(hold_reason="appeal"))
    written = []
    event.listen(apart.ws.source, "before_cursor_execute", lambda *given: written.append(given[2].split()[0]))
    publish_decisions(apart.ws, month_of())
    plan_hash = apart.record_plan(month_of(), "ready")
    result = apply_plan(apart.ws, month_of(), plan_hash)
    assert (3, 1) == (result["handed_over"], result["dropped"])
    assert {"BEGIN", "PRAGMA", "SELECT"} >= set(written)


def test_a_folder_that_cannot_be_written_says_so_and_the_next_call_completes(register: Register) -> None:
    plan_hash = plan(register)
    folder = register.ws.data / "changes"
    folder.write_text("in the way")
    with pytest.raises(Unavailable, match="handed over on record"):
        apply_plan(register.ws, month_of(), plan_hash)
    folder.unlink()
    assert "handed_over" == apply_plan(register.ws, month_of(), plan_hash)["state"]
    assert 4 == len(read_change_file(change_file_path(register.ws, DECEMBER, plan_hash)))


# What the register answers.


def test_the_next_extract_confirms_each_change_or_says_that_it_was_not_made(register: Register) -> None:
    plan_hash, path = hand_over(register)
    content = path.read_bytes()
    extract(register, JANUARY, ANSWERS)
    counts = confirm_changes(register.ws, month_of(JANUARY))
    assert {"confirmed": 2, "not_done": 1, "open": 1} == counts
    assert {
        CLOSED: ("confirmed", "2022-01"),
        CONVERTED: ("confirmed", "2022-01"),
        NOT_DONE: ("not_done", "2022-01"),
        # An account that is not in the extract answers nothing.
        MISSING: ("handed_over", None),
    } == {row["bn15"]: (row["outcome"], row["settled_in"]) for row in register.journal()}
    assert "handed_over" == register.plans()[0]["state"]
    (link,) = links(register, "confirmation")
    with register.ws.operations.connect() as connection:
        journal = journal_sha256(connection, plan_hash)
    told = {"plan_hash": plan_hash, "period": "2022-01", **counts, "journal_sha256": journal}
    assert told == link
    assert ["Changes handed over before: 2 confirmed, 1 not done, 1 not to be told"] == change_file_lines(counts)

    extract(register, FEBRUARY, {MISSING: {"status": "closed"}})
    assert {"confirmed": 1, "not_done": 0, "open": 0} == confirm_changes(register.ws, month_of(FEBRUARY))
    row = register.plans()[0]
    assert ("applied", 3, 1) == (row["state"], row["applied_count"], row["dropped_count"])
    # What the file said is not changed by what became of it.
    assert "applied" == apply_plan(register.ws, month_of(), plan_hash)["state"]
    assert content == path.read_bytes()


def test_a_change_comes_true_in_the_month_that_confirms_it(register: Register) -> None:
    hand_over(register)
    extract(register, JANUARY, ANSWERS)
    confirm_changes(register.ws, month_of(JANUARY))
    assert [CLOSED, CONVERTED] == applied_changes(register.ws, JANUARY)["bn15"].to_pylist()
    assert 0 == applied_changes(register.ws, DECEMBER).num_rows


def test_an_answer_is_taken_once(register: Register) -> None:
    hand_over(register)
    extract(register, JANUARY, ANSWERS)
    confirm_changes(register.ws, month_of(JANUARY))
    before = register.everything(), links(register, "confirmation")
    assert {"confirmed": 0, "not_done": 0, "open": 1} == confirm_changes(register.ws, month_of(JANUARY, run_id="run-2"))
    assert before == (register.everything(), links(register, "confirmation"))
    assert [] == change_file_lines({"confirmed": 0, "not_done": 0, "open": 0})


@pytest.mark.parametrize(
    "month",
    [
        month_of(DECEMBER),
        month_of(JANUARY, effects="shadow"),
        month_of(JANUARY, area="shadow"),
    ],
)
def test_only_a_live_run_of_a_later_month_asks(register: Register, month: dict[str, Any]) -> None:
    hand_over(register)
    for period in (DECEMBER, JANUARY):
        extract(register, period, ANSWERS)
    before = register.everything()
    assert {"confirmed": 0, "not_done": 0, "open": 0} == confirm_changes(register.ws, month)
    assert before == register.everything()


def test_the_next_plan_asks_first_and_proposes_again_what_was_not_done(register: Register) -> None:
    hand_over(register)
    extract(register, JANUARY, ANSWERS | {MISSING: {"status": "closed"}})
    facts = account_facts(WORLD)
    still_open = facts.take([2, 3])
    register.seal_facts(still_open, JANUARY)
    publish_decisions(register.ws, month_of(JANUARY))
    made = publish_plan(register.ws, month_of(JANUARY))
    assert {"close": 1, "keep": 1} == made["counts"]
    first = register.plans()[0]
    assert ("applied", 3, 1) == (first["state"], first["applied_count"], first["dropped_count"])
    assert "handed_over" == apply_plan(register.ws, month_of(JANUARY), made["plan_hash"])["state"]
    assert {"2021-12": "not_done", "2022-01": "handed_over"} == {
        row["period"]: row["outcome"] for row in register.journal() if row["bn15"] == NOT_DONE
    }


def test_a_later_plan_that_was_handed_over_stands_before_an_earlier_one(register: Register) -> None:
    december = plan(register)
    register.seal_facts(account_facts(WORLD), JANUARY)
    apply_plan(register.ws, month_of(JANUARY), plan(register, JANUARY))
    with pytest.raises(Refused, match="2022-01 was applied after it"):
        apply_plan(register.ws, month_of(), december)


def test_the_journal_of_another_plan_is_not_in_the_file(register: Register) -> None:
    plan_hash, path = hand_over(register)
    row = next(row for row in register.journal() if row["bn15"] == CLOSED)
    register.change(insert(ACCOUNT_CHANGES).values(**{**row, "plan_hash": "another", "bn15": bn15_of(99)}))
    path.unlink()
    apply_plan(register.ws, month_of(), plan_hash)
    assert 4 == len(read_change_file(path))
    assert AFTER_DECEMBER.isoformat() in path.read_text()


def test_a_change_is_handed_over_once_whichever_plan_has_it(register: Register) -> None:
    first, _ = hand_over(register)
    register.seal_facts(account_facts([DORMANT, ACTIVE, DORMANT, DORMANT, DORMANT]))
    second = plan(register)
    assert second != first
    result = apply_plan(register.ws, month_of(), second)
    # Only the account that no file has yet.
    assert (result["handed_over"], result["dropped"]) == (1, 3)
    moved = {
        row["bn15"]: json.loads(row["evidence"])["moved"]
        for row in register.journal()
        if row["plan_hash"] == second and row["outcome"] == "dropped"
    }
    assert moved == dict.fromkeys((CLOSED, NOT_DONE, MISSING), "handed_over_before")
