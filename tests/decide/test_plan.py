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
from sqlalchemy import insert, select, update

from include import engine
from include.apply import apply_plan
from include.audit import read_links
from include.carm.errors import DataError
from include.carm.period import Period
from include.carm.policy import Policy
from include.coverage import coverage_id
from include.decide import publish_decisions
from include.operations_plan_tables import PLAN_MAKERS, PLANS
from include.plan import hash_plan
from include.plan_step import publish_plan
from include.program_type_rules import RuleTable
from tests.decide.accounts import AS_OF, LONG_AGO, account_facts, an_account, changed, run_decisions
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


def test_closures_and_corrections_are_changes_and_nothing_else_is(tmp_path: Path, sqlite_url: str) -> None:
    register = Register.make(tmp_path, sqlite_url)
    register.fill([DORMANT, CONVERTED, CONVERTED, ACTIVE, replace(CONVERTED, balance_cents=-1)])
    made = make_plan(register)
    assert ({"close": 1, "convert": 2, "keep": 1, "hold": 1}, 3) == (made["counts"], made["changes"])


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
            "strata": '{"program_type": {"importer": {"close": 6, "keep": 54}}, '
            '"province": {"QC": {"close": 6, "keep": 54}}}',
            "margins": '[{"allowed": 6, "changes": 6, "limit": "first_run_max_share", "stratum": "all"}, '
            '{"allowed": 15, "changes": 6, "limit": "max_share", "stratum": "program type importer"}, '
            '{"allowed": 15, "changes": 6, "limit": "max_share", "stratum": "province QC"}]',
            "approval": "not_needed",
            "coverage_id": coverage_id(register.ws, DECEMBER),
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
    strict = register.with_policy(breaker=replace(NO_LIMIT, first_run_max_share=0))
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


def states(register: Register) -> list[tuple[str, str, str]]:
    return [(row["period"], row["effects"], row["state"]) for row in register.plans()]


def links(register: Register, event: str = "plan") -> list[dict[str, Any]]:
    with register.ws.operations.connect() as connection:
        return [json.loads(link.facts) for link in read_links(connection) if link.event == event]


def makers(register: Register, plan_hash: str) -> list[tuple[str, str]]:
    with register.ws.operations.connect() as connection:
        rows = connection.execute(select(PLAN_MAKERS).where(PLAN_MAKERS.c.plan_hash == plan_hash))
        return sorted((row.run_id, row.maker) for row in rows)


def test_everyone_who_stands_behind_a_run_that_made_the_plan_is_a_maker_of_it(register: Register) -> None:
    publish_decisions(register.ws, month_of())
    made = publish_plan(register.ws, month_of(), makers=("clerk", "colleague"))
    publish_plan(register.ws, month_of(), makers=("clerk",))
    publish_plan(register.ws, month_of(run_id="run-2"), makers=("schedule",))
    publish_plan(register.ws, month_of(run_id="run-3", effects="shadow"), makers=())
    expected = [("run-1", "clerk"), ("run-1", "colleague"), ("run-2", "schedule"), ("run-3", "unknown")]
    assert expected == makers(register, made["plan_hash"])
    # Each run is told of once, whole, and again only when somebody joined it.
    assert [("run-1", ["clerk", "colleague"]), ("run-2", ["schedule"]), ("run-3", ["unknown"])] == [
        (link["run_id"], link["makers"]) for link in links(register, "makers")
    ]


def test_a_plan_is_a_link_of_the_audit_chain_whenever_it_is_another_one_than_before(register: Register) -> None:
    made = make_plan(register)
    make_plan(register, run_id="run-2")
    (first,) = links(register)
    plan = register.plans()[0]
    seal = register.ws.lake().seals("account_decisions")[0]
    read = {name: json.loads(plan[name]) for name in ("counts", "strata", "margins")}
    row = {
        name: value for name, value in plan.items() if name not in ("applied_run_id", "applied_count", "dropped_count")
    }
    days = {name: row[name].isoformat() for name in ("as_of", "effective_on")}
    told = {"decisions_sha256": seal.sha256, "rules_sha256": RuleTable.load().valid_sha256(plan["as_of"])}
    assert {**row, **days, **read, **told} == first
    make_plan(register.with_policy(approval="always"), run_id="run-3")
    make_plan(register, effects="shadow")
    assert [("live", "ready"), ("live", "held"), ("shadow", "shadow")] == [
        (link["effects"], link["state"]) for link in links(register)
    ]
    assert {made["plan_hash"]} == {link["plan_hash"] for link in links(register)}


@pytest.mark.parametrize(
    ("approval", "dormant", "state", "needed", "reason"),
    [
        ("when_held", 6, "ready", "not_needed", "6 of 60"),
        ("when_held", 7, "held", "needed", "7 of 60"),
        ("always", 6, "held", "needed", "the policy asks for an approval of every plan"),
        ("always", 7, "held", "needed", "7 of 60"),
        # Nobody is asked about nothing.
        ("always", 0, "ready", "not_needed", "0 of 60"),
        ("never", 6, "ready", "not_needed", "6 of 60"),
        ("never", 7, "held", "not_allowed", "7 of 60"),
    ],
)
def test_the_policy_says_which_plans_need_an_approval(
    register: Register, approval: str, dormant: int, state: str, needed: str, reason: str
) -> None:
    register.fill([DORMANT] * dormant + [ACTIVE] * (60 - dormant))
    made = make_plan(register.with_policy(approval=approval))
    assert (state, needed) == (made["state"], made["approval"])
    assert made["reason"].startswith(reason)
    assert needed == register.plans()[0]["approval"]


def test_a_new_plan_takes_the_place_of_those_that_wait(register: Register) -> None:
    january = Period(2022, 1)
    first = make_plan(register)
    register.fill([DORMANT] * 5 + [ACTIVE] * 55)
    second = make_plan(register)
    assert {first["plan_hash"]: "superseded", second["plan_hash"]: "ready"} == {
        row["plan_hash"]: row["state"] for row in register.plans()
    }
    replaced = next(row for row in register.plans() if row["state"] == "superseded")
    assert f"plan {second['plan_hash'][:12]} of 2021-12 took its place" == replaced["reason"]
    assert "superseded" == links(register)[-1]["state"]
    # A shadow run takes nobody's place, a later month does.
    register.fill([DORMANT] * 5 + [ACTIVE] * 55, january)
    make_plan(register, period=january, effects="shadow")
    assert [("2021-12", "live", "ready"), ("2021-12", "live", "superseded")] == sorted(states(register)[:2])
    make_plan(register, period=january)
    assert [("2021-12", "live", "superseded")] * 2 == states(register)[:2]
    assert ("2022-01", "live", "ready") in states(register)


def test_a_plan_that_was_superseded_waits_again_when_it_is_made_again(register: Register) -> None:
    first = make_plan(register)
    register.fill([DORMANT] * 5 + [ACTIVE] * 55)
    make_plan(register)
    register.fill([DORMANT] * 6 + [ACTIVE] * 54)
    again = make_plan(register)
    assert (first["plan_hash"], "ready") == (again["plan_hash"], again["state"])
    assert ["ready", "superseded"] == sorted(row["state"] for row in register.plans())


@pytest.mark.parametrize("state", ["applied", "handed_over", "undone", "rejected"])
def test_a_plan_that_had_its_effect_or_was_rejected_is_not_weighed_again(register: Register, state: str) -> None:
    made = make_plan(register)
    register.change(update(PLANS).values(state=state, applied_count=6))
    before = register.plans()
    again = make_plan(register, run_id="run-2")
    assert (made["plan_hash"], state) == (again["plan_hash"], again["state"])
    assert before == register.plans()
    assert 1 == len(links(register))


def test_an_issued_month_never_gets_another_plan_that_counts(register: Register) -> None:
    make_plan(register)
    register.fill([DORMANT] * 5 + [ACTIVE] * 55)
    late = month_of(area="shadow", run_id="run-2")
    made = make_plan(register, area="shadow", run_id="run-2")
    assert "shadow" == made["state"]
    assert made["reason"].startswith("the month is issued and keeps the plan that it had; live it would be ready: 5 of")
    assert [("2021-12", "live", "ready"), ("2021-12", "shadow", "shadow")] == states(register)
    assert "shadow" == apply_plan(register.ws, late, made["plan_hash"])["state"]


def test_the_plan_of_an_issued_month_is_weighed_again_while_it_waits(register: Register) -> None:
    register.fill([DORMANT] * 7 + [ACTIVE] * 53)
    held = make_plan(register)
    relaxed = register.with_policy(breaker=replace(register.ws.policy.breaker, first_run_max_share=0.2))
    again = make_plan(relaxed, area="shadow", run_id="run-2")
    assert (held["plan_hash"], "held", "ready") == (again["plan_hash"], held["state"], again["state"])
    register.change(update(PLANS).values(state="superseded", reason="a later plan took its place"))
    over = make_plan(relaxed, area="shadow", run_id="run-3")
    assert ("superseded", "a later plan took its place") == (over["state"], over["reason"])


def past_month(register: Register, month: str, importers: int, **others: Any) -> None:
    """A live plan of an earlier month that closed ``importers``."""
    strata = {"program_type": {"importer": {"close": importers}}, "province": {"QC": {"close": importers}}}
    values = {
        **register.plans()[0],
        "plan_hash": month,
        "period": month,
        "changes": importers,
        "strata": json.dumps(strata),
        "state": "applied",
        "applied_count": importers,
        **others,
    }
    register.change(insert(PLANS).values(**values))


MEDIAN = replace(
    NO_LIMIT,
    whole=replace(NO_LIMIT.whole, max_times_median=3.0),
    min_changes_for_median=0,
    strata=("program_type",),
    stratum=replace(NO_LIMIT.stratum, max_times_median=2.0),
)


@pytest.mark.parametrize(
    ("past", "state", "reason"),
    [
        ((3, 3, 3), "ready", ""),
        ((2, 2, 2), "held", "6 of 60 open accounts of program type importer"),
        ((1, 1, 1), "held", "6 of 60 open accounts would change"),
        ((1, 1), "ready", ""),
        ((1, 3, 9), "ready", ""),
    ],
)
def test_a_plan_is_held_against_the_months_that_were_applied(
    register: Register, past: tuple[int, ...], state: str, reason: str
) -> None:
    strict = register.with_policy(breaker=MEDIAN)
    make_plan(strict)
    for number, importers in enumerate(past, start=1):
        past_month(strict, f"2021-{number:02}", importers)
    made = make_plan(strict, run_id="run-2")
    assert state == made["state"]
    assert made["reason"].startswith(reason)


@pytest.mark.parametrize(
    "others",
    [{"state": "undone"}, {"state": "superseded"}, {"state": "held"}, {"effects": "shadow"}, {"period": "2022-01"}],
)
def test_only_months_before_whose_live_plan_had_its_effect_are_a_measure(
    register: Register, others: dict[str, Any]
) -> None:
    strict = register.with_policy(breaker=MEDIAN)
    make_plan(strict)
    for number in (1, 2):
        past_month(strict, f"2021-{number:02}", 1)
    past_month(strict, "2021-03", 1, **others)
    assert "ready" == make_plan(strict, run_id="run-2")["state"]
    past_month(strict, "2021-04", 1)
    assert "held" == make_plan(strict, run_id="run-3")["state"]


def test_two_plans_of_one_month_are_one_month(register: Register) -> None:
    strict = register.with_policy(breaker=replace(MEDIAN, min_median_months=1))
    make_plan(strict)
    past_month(strict, "2021-03", 1)
    past_month(strict, "2021-03", 2, plan_hash="second")
    assert "ready" == make_plan(strict, run_id="run-2")["state"]
    assert [{"limit": "max_times_median", "stratum": "all", "changes": 6, "allowed": 9}] == [
        margin
        for margin in json.loads(next(p for p in strict.plans() if p["period"] == "2021-12")["margins"])
        if margin["stratum"] == "all" and margin["limit"] == "max_times_median"
    ]


def test_an_announcement_is_a_change_once(register: Register) -> None:
    staged = register.with_policy(closure=replace(register.ws.policy.closure, notice_months=2))
    made = make_plan(staged)
    assert {"candidate": 6, "keep": 54} == made["counts"]
    assert 6 == made["changes"]
    apply_plan(staged.ws, month_of(), made["plan_hash"])
    january = Period(2022, 1)
    staged.seal_facts(account_facts([DORMANT] * 6 + [ACTIVE] * 54), january)
    later = make_plan(staged, period=january)
    assert ({"candidate": 6, "keep": 54}, 0) == (later["counts"], later["changes"])
    strata = json.loads(staged.plans()[-1]["strata"])
    assert {"importer": {"waiting": 6, "keep": 54}} == strata["program_type"]


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
