"""The second path: what ``check_account_decisions.sql`` finds in decisions that facts, records or rules do not bear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pytest

from include.coverage import needed_feeds
from tests.decide.accounts import (
    AS_OF,
    CUTOFF,
    LONG_AGO,
    MONTH,
    account_facts,
    an_account,
    changed,
    coverage,
    policy_of,
    problems_of,
    run_decisions,
)
from tests.decide.month import AFTER_DECEMBER
from tests.decide.oracle import Account

DAY = timedelta(days=1)
DORMANT = an_account()
ACTIVE = an_account(activities=(("import", AS_OF),))
TO_EXPORTER = an_account(program_type="dual", activities=(("export", AS_OF),), reinstated_on=LONG_AGO)
TO_IMPORTER = an_account(program_type="exporter", activities=(("import", AS_OF),))
EVERY_CHANGE = [DORMANT, TO_EXPORTER, TO_IMPORTER]
EVERY_KIND = [DORMANT, ACTIVE, TO_EXPORTER, replace(TO_EXPORTER, balance_cents=-1), replace(DORMANT, program_type="x")]
STAGED = replace(MONTH, notice_months=2)

ARROW = "a change is not an arrow of the rule table"
NOT_OPEN = "a decision is not about an open account in the version and type of the facts"
UNCOVERED = "a change rests on a feed that is not covered"
QUARANTINED = "a change rests on an account with a row in quarantine"
NOT_DORMANT = "an account that is not dormant would be closed"
NOT_SEEN = "a program type would be corrected to one that was not the only one seen"
REFERRED = "an exporter would change for lack of export evidence, against the policy"
ON_HOLD = "an account with a hold on record would change"
OPEN_MONEY = "an account with open money would be closed or lose the right to import"
UNDONE = "a change that a person undid would be made again on the same evidence"
ANNOUNCED = "a closure is announced, or is not, against the policy"
MISUSED = "a record settles or holds what it does not speak of"


def test_sound_decisions_have_no_problem() -> None:
    reviewed = replace(EVERY_KIND[4], reviews=((1, AS_OF),))
    accounts = [*EVERY_KIND, TO_IMPORTER, reviewed, replace(DORMANT, holds=((2, None),))]
    assert set() == problems_of(run_decisions(accounts), accounts)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda table: table.slice(1), "an open account has no decision"),
        (lambda table: changed(table, 0, program_type="dual", rule_id="dual_none"), NOT_OPEN),
        (lambda table: changed(table, 0, valid_from=AS_OF), NOT_OPEN),
        (lambda table: changed(table, 0, bn15="000000026RM0001"), NOT_OPEN),
        (lambda table: changed(table, 0, account_key=1), NOT_OPEN),
        (lambda table: changed(table, 0, rule_id="dual_none"), ARROW),
        (lambda table: changed(table, 0, rule_id=None), ARROW),
        (lambda table: changed(table, 0, reason="active"), ARROW),
        (lambda table: changed(table, 0, reason="closure_announced"), ARROW),
        (lambda table: changed(table, 0, action="candidate"), ARROW),
        (lambda table: changed(table, 2, action="candidate", reason="closure_announced"), ARROW),
        (lambda table: changed(table, 0, activity_seen="import"), ARROW),
        (lambda table: changed(table, 1, action="close", reason="no_activity_4_years"), ARROW),
        (lambda table: changed(table, 1, action="close"), ARROW),
        (lambda table: changed(table, 2, new_program_type="importer"), ARROW),
        (lambda table: changed(table, 2, new_program_type=None), ARROW),
    ],
)
def test_a_decision_that_its_facts_do_not_bear_is_found(change: Callable[[pa.Table], pa.Table], problem: str) -> None:
    assert problem in problems_of(change(run_decisions(EVERY_KIND)), EVERY_KIND)


@pytest.mark.parametrize(
    ("transactions", "exports", "found"),
    [
        (True, True, [False, False, False]),
        (True, False, [True, False, True]),
        (False, True, [True, True, False]),
        (None, None, [True, True, True]),
    ],
)
def test_a_change_on_an_uncovered_feed_is_found(
    transactions: bool | None, exports: bool | None, found: list[bool]
) -> None:
    months = coverage(MONTH).set_column(1, "covered", pa.array([transactions, exports]))
    assert found == [
        UNCOVERED in problems_of(run_decisions([account]), [account], months=months) for account in EVERY_CHANGE
    ]


@pytest.mark.parametrize("named", [(0, 0), (0, 1), (1, 1)])
def test_a_feed_that_coverage_does_not_name_is_not_covered(named: tuple[int, int]) -> None:
    months = coverage(MONTH).slice(*named)
    assert {UNCOVERED} == problems_of(run_decisions([DORMANT]), [DORMANT], months=months)


def test_a_closure_needs_the_feeds_that_the_policy_names_for_the_type_and_no_other() -> None:
    world = replace(MONTH, importer_needs=("transactions",), exports_covered=False)
    exporter = replace(DORMANT, program_type="exporter")
    closed = run_decisions([DORMANT, exporter])
    assert {UNCOVERED} == problems_of(closed, [DORMANT, exporter], world)
    assert set() == problems_of(closed.slice(0, 1), [DORMANT], world)


def test_a_type_that_the_policy_does_not_name_may_not_change() -> None:
    needed = needed_feeds(policy_of(MONTH))
    needed = needed.filter(pa.compute.not_equal(needed["program_type"], "importer"))
    assert {UNCOVERED} == problems_of(run_decisions([DORMANT]), [DORMANT], needed=needed)


@pytest.mark.parametrize("account", EVERY_CHANGE)
def test_a_change_of_an_account_with_a_row_in_quarantine_is_found(account: Account) -> None:
    dirty = replace(account, has_open_quarantine=True)
    assert {QUARANTINED} == problems_of(run_decisions([account]), [dirty])


@pytest.mark.parametrize(
    ("known", "is_found"),
    [
        ({"activities": (("import", CUTOFF - DAY),)}, False),
        ({"activities": (("import", CUTOFF),)}, True),
        ({"activities": (("other", CUTOFF),)}, True),
        ({"opened_on": CUTOFF - DAY}, False),
        ({"opened_on": CUTOFF}, True),
        ({"reinstated_on": CUTOFF}, True),
        ({"opened_on": None, "activities": ()}, True),
    ],
)
def test_the_closure_of_an_account_that_is_not_dormant_is_found(known: dict[str, Any], is_found: bool) -> None:
    assert is_found == (NOT_DORMANT in problems_of(run_decisions([DORMANT]), [replace(DORMANT, **known)]))


@pytest.mark.parametrize("account", [TO_EXPORTER, TO_IMPORTER])
@pytest.mark.parametrize(
    ("others", "own", "is_found"),
    [(CUTOFF - DAY, CUTOFF, False), (CUTOFF, CUTOFF, True), (None, CUTOFF - DAY, True), (None, CUTOFF, False)],
)
def test_a_correction_against_what_was_seen_is_found(
    account: Account, others: date | None, own: date, is_found: bool
) -> None:
    seen = account.activities[0][0]
    other = "import" if seen == "export" else "export"
    facts = replace(account, activities=((seen, own), *(((other, others),) if others else ())))
    assert is_found == (NOT_SEEN in problems_of(run_decisions([account]), [facts]))


@pytest.mark.parametrize(
    ("account", "is_found"),
    [
        (DORMANT, False),
        (replace(DORMANT, program_type="exporter"), True),
        (replace(DORMANT, program_type="dual"), True),
        (TO_IMPORTER, True),
        (TO_EXPORTER, False),
    ],
)
def test_a_change_that_the_policy_refers_to_a_person_is_found(account: Account, is_found: bool) -> None:
    world = replace(MONTH, exporter_without_evidence="review")
    assert is_found == (REFERRED in problems_of(run_decisions([account]), [account], world))


@pytest.mark.parametrize("account", EVERY_CHANGE)
@pytest.mark.parametrize(("until", "is_found"), [(None, True), (AS_OF, True), (AS_OF - DAY, False)])
def test_a_change_of_an_account_on_hold_is_found(account: Account, until: date | None, is_found: bool) -> None:
    decisions = run_decisions([account])
    registers = [replace(account, hold_reason="appeal", hold_until=until)]
    persons = [replace(account, holds=((1, until),))]
    assert [is_found] * 2 == [ON_HOLD in problems_of(decisions, held) for held in (registers, persons)]


@pytest.mark.parametrize("opened", [{"balance_cents": 1}, {"balance_cents": -1}, {"under_review_items": 1}])
def test_a_change_of_an_account_with_open_money_is_found(opened: dict[str, int]) -> None:
    for account, is_found in ((DORMANT, True), (TO_EXPORTER, True), (TO_IMPORTER, False)):
        found = problems_of(run_decisions([account]), [replace(account, **opened)])  # type: ignore[arg-type]
        assert is_found == (OPEN_MONEY in found)


@pytest.mark.parametrize(
    ("account", "cell", "speaks_against"),
    [
        (DORMANT, ("importer", "none"), "import"),
        (TO_EXPORTER, ("dual", "export"), "import"),
        (TO_IMPORTER, ("exporter", "import"), "export"),
    ],
)
@pytest.mark.parametrize(("days", "is_found"), [(None, True), (-1, True), (0, False), (1, False)])
def test_a_change_that_a_person_undid_is_found(
    account: Account, cell: tuple[str, str], speaks_against: str, days: int | None, is_found: bool
) -> None:
    undone_on = date(2013, 5, 6)
    signs = () if days is None else ((speaks_against, undone_on + days * DAY),)
    facts = replace(account, activities=account.activities + signs, undone=((*cell, undone_on),))
    assert is_found == (UNDONE in problems_of(run_decisions([account]), [facts]))
    other = replace(facts, undone=(("importer", "export", undone_on),))
    assert UNDONE not in problems_of(run_decisions([account]), [other])


@pytest.mark.parametrize(
    ("world", "announced", "action", "announced_in", "is_found"),
    [
        (MONTH, (), "close", None, False),
        (MONTH, (), "close", "2021-10", True),
        (MONTH, ("2021-10",), "close", None, False),
        (MONTH, (), "candidate", "2021-12", True),
        (STAGED, (), "close", None, True),
        (STAGED, (), "close", "2021-10", True),
        (STAGED, ("2021-11",), "close", "2021-11", True),
        (STAGED, ("2021-10",), "close", "2021-10", False),
        (STAGED, ("2021-09",), "close", "2021-09", False),
        (STAGED, ("2021-10",), "close", "2021-09", True),
        (STAGED, ("2021-09", "2021-11"), "close", "2021-09", True),
        (STAGED, (), "candidate", "2021-12", False),
        (STAGED, (), "candidate", "2021-11", True),
        (STAGED, (), "candidate", None, True),
        (STAGED, ("2021-11",), "candidate", "2021-11", False),
        (STAGED, ("2021-11",), "candidate", "2021-12", True),
        (STAGED, ("2021-10",), "candidate", "2021-10", True),
    ],
)
def test_a_closure_before_its_time_or_without_its_notice_is_found(
    world: Any, announced: tuple[str, ...], action: str, announced_in: str | None, is_found: bool
) -> None:
    account = replace(DORMANT, announced=announced)
    reason = "no_activity_4_years" if action == "close" else "closure_announced"
    decided = changed(run_decisions([account]), 0, action=action, reason=reason, announced_in=announced_in)
    assert ({ANNOUNCED} if is_found else set()) == problems_of(decided, [account], world)


def test_a_conversion_is_not_announced() -> None:
    decided = changed(run_decisions([TO_EXPORTER]), 0, announced_in="2021-10")
    assert {ANNOUNCED} == problems_of(decided, [TO_EXPORTER], STAGED)


@pytest.mark.parametrize(
    ("account", "values", "is_found"),
    [
        (replace(DORMANT, program_type="x", reviews=((3, AS_OF),)), {}, False),
        (replace(DORMANT, program_type="x", reviews=((3, AS_OF),)), {"review_no": 4}, True),
        (replace(DORMANT, program_type="x", reviews=((3, AS_OF),)), {"action": "review"}, True),
        (replace(DORMANT, program_type="x", reviews=((3, AS_OF - DAY),)), {"action": "keep", "review_no": 3}, True),
        (replace(DORMANT, program_type="x", holds=((3, None),)), {"action": "keep", "review_no": 3}, True),
        (replace(DORMANT, holds=((3, None),)), {}, False),
        (replace(DORMANT, holds=((3, None),)), {"hold_no": 4}, True),
        (replace(DORMANT, holds=((3, None),)), {"action": "keep"}, True),
        (replace(DORMANT, holds=((3, AS_OF - DAY),), balance_cents=1), {"hold_no": 3}, True),
        (replace(DORMANT, holds=((3, None),), reviews=((5, AS_OF),)), {"review_no": 5, "action": "keep"}, True),
    ],
)
def test_a_record_that_is_named_must_be_there_and_speak_of_it(
    account: Account, values: dict[str, Any], is_found: bool
) -> None:
    decided = changed(run_decisions([account]), 0, **values)
    assert ({MISUSED} if is_found else set()) == problems_of(decided, [account])


@pytest.mark.parametrize("what", ["import", "export", "other"])
def test_facts_of_activity_after_the_period_are_found(what: str) -> None:
    later = [replace(DORMANT, activities=((what, AFTER_DECEMBER),))]
    found = problems_of(run_decisions(later), later)
    assert "a fact tells of activity after the period, which may hide an earlier one" in found


def test_a_decision_about_a_closed_account_is_found() -> None:
    facts = account_facts([DORMANT])
    closed = facts.set_column(facts.schema.get_field_index("status"), "status", pa.array(["closed"]))
    assert {NOT_OPEN} == problems_of(run_decisions([DORMANT]), [DORMANT], facts=closed)
