"""The plan: its text and hash, the breaker, its record, and the checks without which there is no plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import update

from include import engine
from include.carm.errors import DataError
from include.carm.period import Period
from include.carm.policy import Breaker, Policy
from include.decide import publish_decisions
from include.operations_plan_tables import PLANS
from include.plan import hash_plan, judge_size
from include.plan_step import publish_plan
from include.program_type_rules import RuleTable
from tests.decide.accounts import AS_OF, LONG_AGO, an_account, changed, run_decisions
from tests.decide.month import AFTER_DECEMBER, DECEMBER, NO_LIMIT, Register, month_of
from tests.decide.oracle import Account

DORMANT = an_account()
ACTIVE = an_account(activities=(("import", AS_OF),))
CONVERTED = an_account(program_type="dual", activities=(("export", AS_OF),), reinstated_on=LONG_AGO)
EVERY_KIND = [DORMANT, ACTIVE, CONVERTED, replace(CONVERTED, balance_cents=-1), replace(DORMANT, program_type='d"ua\n')]


def decisions_of(accounts: list[Account]) -> pa.Table:
    return run_decisions(accounts)


def hash_of(decisions: pa.Table, period: Period = DECEMBER, effective_on: date = AFTER_DECEMBER) -> str:
    with engine.connect() as con:
        engine.register(con, "account_decisions", decisions)
        return hash_plan(con, period, effective_on)


# The text and its hash.


def test_the_hash_is_that_of_one_line_of_json_for_each_decision() -> None:
    decisions = decisions_of(EVERY_KIND)
    lines: list[list[Any]] = [["carm plan 2", "2021-12", "2021-12-25"]]
    for row in decisions.to_pylist():
        lines.append([value.isoformat() if isinstance(value, date) else value for value in row.values()])
    text = "".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in lines)
    assert hashlib.sha256(text.encode()).hexdigest() == hash_of(decisions)


def test_the_hash_does_not_hang_on_the_order_of_the_rows() -> None:
    decisions = decisions_of(EVERY_KIND)
    assert hash_of(decisions) == hash_of(decisions.take([3, 1, 4, 0, 2]))


@pytest.mark.parametrize("column", decisions_of([DORMANT]).column_names)
def test_any_other_value_makes_another_hash(column: str) -> None:
    decisions = decisions_of(EVERY_KIND)
    position = decisions.schema.get_field_index(column)
    values = decisions[column].to_pylist()
    kind = decisions.schema.field(column).type
    others = {pa.string(): "x", pa.int64(): 7, pa.date32(): date(1999, 9, 9), pa.bool_(): True}
    changed = decisions.set_column(position, column, pa.array([*values[:-1], others[kind]], kind))
    assert hash_of(decisions) != hash_of(changed)
    if values[0] is not None:
        emptied = decisions.set_column(position, column, pa.array([None, *values[1:]], kind))
        assert hash_of(decisions) != hash_of(emptied)


def test_another_period_or_day_makes_another_hash_and_so_does_a_missing_row() -> None:
    decisions = decisions_of(EVERY_KIND)
    assert 4 == len(
        {
            hash_of(decisions),
            hash_of(decisions, Period(2022, 1)),
            hash_of(decisions, effective_on=AS_OF),
            hash_of(decisions.slice(1)),
        }
    )


# The breaker.

TEN_PERCENT = replace(NO_LIMIT, first_run_max_share=0.10, whole=replace(NO_LIMIT.whole, max_share=0.05))


def limited(**limits: float) -> Breaker:
    return replace(TEN_PERCENT, whole=replace(TEN_PERCENT.whole, **limits))


@pytest.mark.parametrize(
    ("changes", "accounts", "is_first", "breaker", "state"),
    [
        (500, 5000, True, TEN_PERCENT, "ready"),
        (501, 5000, True, TEN_PERCENT, "held"),
        (250, 5000, False, TEN_PERCENT, "ready"),
        (251, 5000, False, TEN_PERCENT, "held"),
        (5, 50, True, TEN_PERCENT, "ready"),
        (6, 50, True, TEN_PERCENT, "held"),
        (49, 49, True, TEN_PERCENT, "ready"),
        (0, 0, True, TEN_PERCENT, "ready"),
        (0, 5000, True, replace(TEN_PERCENT, first_run_max_share=0), "ready"),
        (1, 5000, True, replace(TEN_PERCENT, first_run_max_share=0), "held"),
        (7, 100, False, limited(max_share=0.07), "ready"),
        (29, 100, False, limited(max_share=0.29), "ready"),
        (30, 100, False, limited(max_share=0.29), "held"),
        (3, 40, False, limited(max_changes=3), "ready"),
        (4, 40, False, limited(max_changes=3), "held"),
        (4, 5000, False, limited(max_changes=3), "held"),
        (0, 5000, False, limited(max_changes=0), "ready"),
        (1, 5000, False, limited(max_changes=0), "held"),
        (0, 0, True, replace(TEN_PERCENT, min_accounts_for_percent=0), "ready"),
    ],
)
def test_a_plan_may_reach_its_limits_and_not_pass_them(
    changes: int, accounts: int, is_first: bool, breaker: Breaker, state: str
) -> None:
    assert state == judge_size(changes, accounts, breaker, is_first=is_first).state


def test_the_reason_is_one_sentence_with_the_numbers() -> None:
    assert "600 of 5,000 open accounts would change (12.0 %); the policy lets 500 pass in a first live run" == (
        judge_size(600, 5000, TEN_PERCENT, is_first=True).reason
    )
    assert "40 of 5,000 open accounts would change (0.8 %); the policy lets up to 250 pass in a run" == (
        judge_size(40, 5000, TEN_PERCENT, is_first=False).reason
    )
    assert "12 of 30 open accounts would change; with so few accounts no share limits them" == (
        judge_size(12, 30, TEN_PERCENT, is_first=True).reason
    )
    assert "12 of 30 open accounts would change; the policy lets 9 pass in a month" == (
        judge_size(12, 30, limited(max_changes=9), is_first=True).reason
    )


# The record.


@pytest.fixture
def register(tmp_path: Path, sqlite_url: str) -> Register:
    register = Register.make(tmp_path, sqlite_url, breaker=Policy.load().breaker)
    register.fill([DORMANT] * 6 + [ACTIVE] * 54)
    return register


def make_plan(register: Register, **changes: Any) -> dict[str, Any]:
    month = month_of(**changes)
    publish_decisions(register.ws, month)
    return publish_plan(register.ws, month)


def test_a_plan_is_recorded_once_with_its_counts_and_versions(register: Register) -> None:
    made = make_plan(register)
    assert made == make_plan(register, run_id="run-2")
    assert {"keep": 54, "close": 6} == made["counts"]
    assert {"keep": {"active": 54}, "close": {"no_activity_4_years": 6}} == made["reasons"]
    assert [
        {
            "plan_hash": made["plan_hash"],
            "effects": "live",
            "period": "2021-12",
            "as_of": AS_OF,
            "effective_on": AFTER_DECEMBER,
            "state": "ready",
            "reason": "6 of 60 open accounts would change (10.0 %); the policy lets up to 6 pass in a first live run",
            "open_accounts": 60,
            "changes": 6,
            "counts": '{"close": {"no_activity_4_years": 6}, "keep": {"active": 54}}',
            "strata": "{}",
            "margins": "{}",
            "approval": "not_needed",
            "coverage_id": "",
            "rules_version": RuleTable.load().version,
            "policy_version": register.ws.policy.version,
            "run_id": "run-1",
            "applied_run_id": None,
            "applied_count": None,
            "dropped_count": None,
        }
    ] == register.plans()


def test_a_first_live_run_over_its_share_is_held_until_the_policy_lets_it_pass(register: Register) -> None:
    register.fill([DORMANT] * 7 + [ACTIVE] * 53)
    held = make_plan(register)
    assert ("held", "held") == (held["state"], register.plans()[0]["state"])
    relaxed = register.with_policy(breaker=replace(register.ws.policy.breaker, first_run_max_share=0.2), version="2")
    ready = make_plan(relaxed, run_id="run-2")
    assert (held["plan_hash"], "ready") == (ready["plan_hash"], ready["state"])
    assert [("ready", "2", "run-2")] == [(p["state"], p["policy_version"], p["run_id"]) for p in register.plans()]


@pytest.mark.parametrize(("applied_count", "state"), [(0, "held"), (1, "ready")])
def test_a_run_is_the_first_until_an_earlier_one_changed_an_account(
    register: Register, applied_count: int, state: str
) -> None:
    strict = register.with_policy(breaker=replace(limited(max_share=0.10), first_run_max_share=0))
    publish_decisions(strict.ws, month_of())
    earlier = strict.record_plan(month_of(), "applied")
    this = update(PLANS).where(PLANS.c.plan_hash == earlier)
    strict.change(this.values(plan_hash="earlier", period="2021-11", applied_count=applied_count))
    assert state == make_plan(strict)["state"]


def test_a_shadow_plan_says_what_a_live_one_would_be(register: Register) -> None:
    made = make_plan(register, effects="shadow")
    assert "shadow" == made["state"]
    assert made["reason"].startswith("a shadow run applies nothing; live it would be ready: 6 of 60 open accounts")


def test_a_second_plan_for_an_applied_period_is_held(register: Register) -> None:
    publish_decisions(register.ws, month_of())
    first = register.record_plan(month_of(), "applied")
    register.change(update(PLANS).values(applied_count=6))
    stricter = register.with_policy(exporter_without_evidence="review")
    register.fill([DORMANT] * 5 + [ACTIVE] * 55)
    made = make_plan(stricter)
    assert (
        "held",
        f"plan {first[:12]} of 2021-12 was applied before, and rules, policy or data have changed since",
    ) == (
        made["state"],
        made["reason"],
    )


def test_the_decisions_are_the_same_bytes_again(register: Register) -> None:
    first = publish_decisions(register.ws, month_of())
    assert first == publish_decisions(register.ws, month_of(run_id="run-2"))
    assert 60 == first["accounts"]


def test_a_feed_with_a_missing_month_closes_nobody(register: Register) -> None:
    register.fill([DORMANT] * 6 + [ACTIVE] * 54, missing=[("export_declarations", "2019-02")])
    made = make_plan(register)
    assert {"keep": {"active": 54}, "unknown": {"coverage_incomplete": 6}} == made["reasons"]
    assert 0 == made["changes"]


# Without the checks there is no plan. What they find stands in test_decision_checks.py.


def tampered(register: Register, change: Callable[[pa.Table], pa.Table]) -> None:
    publish_decisions(register.ws, month_of())
    decisions = change(decisions_of([DORMANT] * 6 + [ACTIVE] * 54))
    register.ws.lake().publish_and_seal("account_decisions", DECEMBER, decisions, run_id="run-2")


def test_decisions_that_do_not_hold_make_no_plan(register: Register) -> None:
    tampered(register, lambda table: changed(table, 59, action="close", reason="no_activity_4_years"))
    with pytest.raises(DataError, match=r"a change is not an arrow of the rule table \(1 accounts\);"):
        publish_plan(register.ws, month_of())
    assert [] == register.plans()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda table: changed(table, 0, balance_cents=1), "closed_account_balance_is_zero"),
        (lambda table: pa.concat_tables([table, table.slice(0, 1)]), "bn15_is_unique"),
        (lambda table: changed(table, 0, clock_on=date(2017, 12, 24)), "closed_account_clock_is_before_cutoff"),
    ],
)
def test_decisions_that_the_second_gate_refuses_make_no_plan(
    register: Register, change: Callable[[pa.Table], pa.Table], rule: str
) -> None:
    tampered(register, change)
    with pytest.raises(DataError, match=rule):
        publish_plan(register.ws, month_of())
    assert [] == register.plans()


def test_no_column_of_the_dataset_is_left_out_of_the_hash() -> None:
    # A column that joins the decisions must join the text too, and with it the name of the format.
    statement = engine.load_statement("select_plan_lines")
    columns = decisions_of([DORMANT]).column_names
    assert [] == [column for column in columns if column not in statement]
    assert 28 == len(columns)
