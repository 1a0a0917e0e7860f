"""Looking at plans: which there are, which one a name means, and what changed from one to another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from include.apply import apply_plan
from include.carm.errors import DataError, UsageError
from include.carm.period import Period
from include.decide import publish_decisions
from include.operations_plan_tables import PLANS
from include.plan_step import publish_plan
from include.plans import (
    diff_lines,
    diff_plans,
    find_plan,
    list_plans,
    plan_lines,
    plan_list_lines,
    planned_months,
    show_plan,
)
from include.reinstate import reinstate_account, undo_plan
from tests.decide.accounts import AS_OF, an_account, bn15_of
from tests.decide.month import AFTER_DECEMBER, Register, month_of

DORMANT = an_account()
ACTIVE = an_account(activities=(("import", AS_OF),))
EXPORTS = an_account(program_type="dual", activities=(("export", AS_OF),))
OTHER_TYPE = an_account(program_type="dual", activities=(("import", AS_OF),))
JANUARY = Period(2022, 1)


@pytest.fixture
def register(tmp_path: Path, sqlite_url: str) -> Register:
    return Register.make(tmp_path, sqlite_url)


def make(register: Register, accounts: list[Any], **changes: Any) -> str:
    month = month_of(**changes)
    register.fill(accounts, Period.parse(month["period"]))
    publish_decisions(register.ws, month)
    plan_hash: str = publish_plan(register.ws, month, makers=("clerk",))["plan_hash"]
    return plan_hash


def test_plans_are_listed_the_newest_month_first(register: Register) -> None:
    assert [] == list_plans(register.ws)
    assert ["no plan was made yet: run a month first (make run)"] == plan_list_lines([])
    december = make(register, [DORMANT, ACTIVE])
    january = make(register, [DORMANT], period=JANUARY)
    listed = list_plans(register.ws)
    assert [(january, "ready"), (december, "superseded")] == [(plan["plan_hash"], plan["state"]) for plan in listed]
    assert {"close": {"no_activity_4_years": 1}, "keep": {"active": 1}} == listed[1]["counts"]
    assert [december] == [plan["plan_hash"] for plan in list_plans(register.ws, Period(2021, 12))]
    assert ["2021-12", "2022-01"] == sorted(planned_months(register.ws))
    lines = plan_list_lines(listed)
    assert ["2022-01", january[:12], "live", "ready", "1", "1"] == lines[1].split()[:6]


@pytest.mark.parametrize(
    ("months", "told"),
    [
        ([], "no plan was made yet: run a month first (make run)"),
        (["2021-12"], "2021-11 has no plan; 2021-12 has one"),
        (["2021-12", "2021-10"], "2021-11 has no plan; 2021-12, 2021-10 have one"),
        (
            [f"2021-{month:02d}" for month in (12, 10, 9, 8, 7, 6)],
            "2021-11 has no plan; 2021-12, 2021-10, 2021-09, 2021-08, 2021-07 and 1 more have one",
        ),
    ],
)
def test_a_month_without_a_plan_names_the_months_that_have_one(months: list[str], told: str) -> None:
    assert [told] == plan_list_lines([], Period(2021, 11), months)


def test_an_undone_plan_says_who_undid_it_from_when_and_why(register: Register) -> None:
    plan_hash = make(register, [DORMANT] * 3)
    apply_plan(register.ws, month_of(), plan_hash)
    assert ([], 0) == tuple(show_plan(register.ws, plan_hash)[name] for name in ("undone", "reinstated"))
    by = {"effective_on": AFTER_DECEMBER, "run_id": "by hand"}
    reinstate_account(register.ws, bn15_of(1), reason="still in business", recorded_by="clerk", **by)
    undo_plan(register.ws, plan_hash, reason="a broken feed", recorded_by="reviewer", **by)
    plan = show_plan(register.ws, plan_hash)
    assert {
        "recorded_by": "reviewer",
        "reason": "a broken feed",
        "effective_on": str(AFTER_DECEMBER),
        "known_from": "0001-01",
        "undone": 2,
        "withdrawn": 0,
        "left": {"undone_before": 1},
    } == plan["undone"][0]
    lines = plan_lines(plan)
    first = lines.index("What became of its changes: applied 3")
    assert [
        f"Undone by reviewer from {AFTER_DECEMBER} on: a broken feed",
        "  undone 2 accounts, left 1 undone before",
        "Undone one by one: 1 account",
    ] == lines[first + 1 : first + 4]
    shadow = make(register, [DORMANT], effects="shadow", area="shadow", run_id="run-2")
    assert [] == show_plan(register.ws, shadow)["undone"]


def test_a_plan_is_named_by_its_hash_or_by_the_beginning_of_it_or_by_its_month(register: Register) -> None:
    plan_hash = make(register, [DORMANT])
    for name in (plan_hash, plan_hash[:4], "2021-12"):
        assert plan_hash == find_plan(register.ws, name)["plan_hash"]
    for name in ("ffff", "0" * 64, "2022-01"):
        if not plan_hash.startswith(name):
            with pytest.raises(UsageError, match=f"there is no plan {name}"):
                find_plan(register.ws, name)
    for name in (plan_hash[:3], "", "the plan", f"{plan_hash}0"):
        with pytest.raises(UsageError, match="names no plan"):
            find_plan(register.ws, name)
    with pytest.raises(UsageError, match="2021-13"):
        find_plan(register.ws, "2021-13")


def test_a_beginning_that_two_plans_share_names_neither(register: Register) -> None:
    first, second = make(register, [DORMANT]), make(register, [DORMANT, ACTIVE])
    for plan_hash, new in ((first, "abcd1"), (second, "abcd2")):
        register.change(update(PLANS).where(PLANS.c.plan_hash == plan_hash).values(plan_hash=new))
    with pytest.raises(UsageError, match="abcd is the beginning of several plans"):
        find_plan(register.ws, "abcd")
    assert "abcd2" == find_plan(register.ws, "abcd2")["plan_hash"]


def test_a_month_means_the_plan_that_had_its_effect_or_may_have_it(register: Register) -> None:
    first = make(register, [DORMANT])
    make(register, [DORMANT, ACTIVE], effects="shadow")
    second = make(register, [DORMANT, DORMANT])
    assert second == find_plan(register.ws, "2021-12")["plan_hash"]
    register.change(update(PLANS).where(PLANS.c.plan_hash == first).values(state="applied"))
    assert first == find_plan(register.ws, "2021-12")["plan_hash"]


def test_a_plan_made_live_and_in_shadow_is_the_live_one(register: Register) -> None:
    shadow = make(register, [DORMANT], effects="shadow")
    assert "shadow" == find_plan(register.ws, shadow)["effects"]
    assert shadow == make(register, [DORMANT])
    assert "live" == find_plan(register.ws, shadow)["effects"]


def test_a_plan_is_shown_with_who_made_it_what_limits_it_and_what_became_of_it(register: Register) -> None:
    plan_hash = make(register, [DORMANT] * 10 + [ACTIVE] * 50)
    apply_plan(register.ws, month_of(), plan_hash)
    plan = show_plan(register.ws, plan_hash)
    assert (["clerk"], None, {"applied": 10}, []) == (
        plan["makers"],
        plan["approved_by"],
        plan["outcomes"],
        plan["answers"],
    )
    text = "\n".join(plan_lines(plan))
    for told in (plan_hash, "Made by: clerk", "What became of its changes: applied 10", "first_run_max_share", "60"):
        assert told in text
    assert bn15_of(0) not in text


def test_two_plans_differ_in_who_entered_left_and_changed(register: Register) -> None:
    december = make(register, [DORMANT, DORMANT, EXPORTS, ACTIVE, EXPORTS])
    january = make(register, [DORMANT, ACTIVE, OTHER_TYPE, DORMANT], period=JANUARY)
    difference = diff_plans(register.ws, december, "2022-01")
    assert (december, january) == (difference["before"]["plan_hash"], difference["after"]["plan_hash"])
    close = {"action": "close", "new_program_type": None, "reason": "no_activity_4_years", "rule_id": "importer_none"}
    keep = {"action": "keep", "new_program_type": None, "reason": "active", "rule_id": "importer_import"}
    to_exporter = {
        "action": "convert",
        "new_program_type": "exporter",
        "reason": "only_export_activity",
        "rule_id": "dual_export",
    }
    to_importer = {
        "action": "convert",
        "new_program_type": "importer",
        "reason": "only_import_activity",
        "rule_id": "dual_import",
    }
    assert [{"bn15": bn15_of(3), "program_type": "importer", "before": keep, "after": close}] == difference["entered"]
    assert [
        {"bn15": bn15_of(1), "program_type": "importer", "before": close, "after": keep},
        # The account is not open any more.
        {"bn15": bn15_of(4), "program_type": "dual", "before": to_exporter, "after": None},
    ] == difference["left"]
    assert [{"bn15": bn15_of(2), "program_type": "dual", "before": to_exporter, "after": to_importer}] == difference[
        "changed"
    ]
    lines = diff_lines(difference)
    assert f"  {bn15_of(4)} convert to exporter (only_export_activity) -> no decision" in lines
    assert f"  {bn15_of(3)} keep (active) -> close (no_activity_4_years)" in lines
    assert "changed: 1 account" in lines


def test_a_plan_does_not_differ_from_itself(register: Register) -> None:
    plan_hash = make(register, [DORMANT, EXPORTS])
    difference = diff_plans(register.ws, plan_hash, plan_hash)
    assert [[], [], []] == [difference[word] for word in ("entered", "left", "changed")]


def test_the_decisions_of_a_plan_are_found_after_others_took_their_place(register: Register) -> None:
    first = make(register, [DORMANT, ACTIVE])
    second = make(register, [DORMANT, DORMANT])
    beside = make(register, [ACTIVE, DORMANT], area="shadow", run_id="run-2")
    assert [bn15_of(1)] == [row["bn15"] for row in diff_plans(register.ws, first, second)["entered"]]
    assert [bn15_of(0)] == [row["bn15"] for row in diff_plans(register.ws, second, beside)["left"]]


def test_a_plan_whose_decisions_are_gone_cannot_be_compared(register: Register) -> None:
    plan_hash = make(register, [DORMANT])
    register.ws.lake().path("account_decisions", "2021-12").unlink()
    with pytest.raises(DataError, match="are no longer in the data folder"):
        diff_plans(register.ws, plan_hash, plan_hash)
