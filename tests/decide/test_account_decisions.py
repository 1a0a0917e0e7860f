"""The decision on one account: what it rests on, what holds it back and in which order, and the oracle over all of it.

Every cell at every boundary stands in ``test_boundaries.py``.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import product
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.carm.period import Period
from include.coverage import needed_feeds
from include.program_type_rules import RuleTable, rules_relation
from tests.decide.accounts import (
    AS_OF,
    CUTOFF,
    LONG_AGO,
    MONTH,
    account_facts,
    an_account,
    bn15_of,
    coverage,
    decide_by_sql,
    decisions_of,
    policy_of,
    problems_of,
    run_decisions,
)
from tests.decide.cells import BOTH, CELLS, CHANGES, EVIDENCE, EXPORTS, IMPORTS, account_in, world_of
from tests.decide.oracle import GAP, Account, Decision, World, decide, four_years_before

DAY = timedelta(days=1)


def decide_one(account: Account, world: World = MONTH) -> Decision:
    return decide_by_sql([account], world)[0]


@pytest.mark.parametrize(("program_type", "seen"), CELLS)
def test_each_decision_names_the_cell_that_it_rests_on(program_type: str, seen: str) -> None:
    table = run_decisions([account_in(program_type, seen)], world_of(seen))
    assert [f"{program_type}_{seen}"] == table["rule_id"].to_pylist()


@pytest.mark.parametrize(
    ("what", "if_seen"),
    [
        ("import", CELLS["importer", "import"]),
        ("export", CELLS["importer", "export"]),
        ("other", Decision("none", "keep", "active")),
    ],
)
@pytest.mark.parametrize(("days", "is_seen"), [(-1, True), (0, True), (1, False)])
def test_activity_counts_up_to_the_last_day_of_the_period(
    what: str, if_seen: Decision, days: int, is_seen: bool
) -> None:
    account = an_account(activities=((what, AS_OF + days * DAY),))
    assert (if_seen if is_seen else CELLS["importer", "none"]) == decide_one(account)


def test_the_window_of_mixed_evidence_is_looked_at_for_each_kind_apart() -> None:
    account = an_account(program_type="dual", activities=(("import", CUTOFF), ("export", CUTOFF - DAY)))
    assert CELLS["dual", "import"] == decide_one(account)


# The clock: latest of activity, opening and reinstatement.


def test_opened_three_years_and_364_days_ago_without_activity_is_kept() -> None:
    account = an_account(activities=(), opened_on=date(2017, 12, 25))
    assert Decision("none", "keep", "younger_than_4_years") == decide_one(account)


def test_a_payment_is_no_activity_so_a_dual_account_with_only_payments_is_not_converted() -> None:
    # Payments never reach the facts: what is left is an account without activity.
    young = an_account(program_type="dual", activities=(), opened_on=CUTOFF)
    assert ["keep", "close"] == [d.action for d in decide_by_sql([young, replace(young, opened_on=LONG_AGO)])]


@pytest.mark.parametrize("program_type", ["importer", "exporter", "dual"])
@pytest.mark.parametrize(("days", "is_kept"), [(-1, False), (0, True), (1, True)])
def test_a_drawback_claim_keeps_an_account_open(program_type: str, days: int, is_kept: bool) -> None:
    account = an_account(program_type=program_type, activities=(("other", CUTOFF + days * DAY),))
    expected = Decision("none", "keep", "active") if is_kept else CELLS[program_type, "none"]
    assert expected == decide_one(account)


@pytest.mark.parametrize(("program_type", "seen"), CHANGES)
def test_a_drawback_claim_says_nothing_of_the_program_type(program_type: str, seen: str) -> None:
    account = an_account(program_type=program_type, activities=(*EVIDENCE[seen], ("other", AS_OF)))
    expected = Decision("none", "keep", "active") if seen == "none" else CELLS[program_type, seen]
    assert expected == decide_one(account)


def test_without_any_known_date_a_person_looks_at_the_account() -> None:
    account = an_account(activities=(), opened_on=None)
    assert Decision("none", "review", "unknown_open_date") == decide_one(account)


@pytest.mark.parametrize(
    ("known", "action"),
    [
        ({"reinstated_on": CUTOFF}, "keep"),
        ({"reinstated_on": CUTOFF - DAY}, "close"),
        ({"activities": (("import", CUTOFF - DAY),)}, "close"),
        ({"activities": (("other", CUTOFF),)}, "keep"),
    ],
)
def test_one_known_date_is_enough_for_the_clock(known: dict[str, object], action: str) -> None:
    assert action == decide_one(replace(an_account(activities=(), opened_on=None), **known)).action  # type: ignore[arg-type]


@pytest.mark.parametrize("program_type", [None, "", "broker", "Importer"])
@pytest.mark.parametrize("activities", [(), IMPORTS, EXPORTS, BOTH])
def test_an_unknown_program_type_goes_to_a_person(program_type: str | None, activities: tuple) -> None:
    account = an_account(program_type=program_type, activities=activities)
    decision = decide_one(account, replace(MONTH, exports_covered=False))
    assert ("review", "unknown_program_type", None) == (decision.action, decision.reason, decision.new_program_type)


# Evidence of absence.

COVERED = list(product([True, False], [True, False]))


@pytest.mark.parametrize(("program_type", "seen"), CHANGES)
@pytest.mark.parametrize(("transactions", "exports"), COVERED)
def test_a_change_needs_the_feeds_whose_silence_it_rests_on(
    program_type: str, seen: str, transactions: bool, exports: bool
) -> None:
    decision = decide_one(
        account_in(program_type, seen), replace(MONTH, transactions_covered=transactions, exports_covered=exports)
    )
    needed = {
        "none": ["export_declarations", "transactions"],
        "export": ["transactions"],
        "import": ["export_declarations"],
    }
    there = {"transactions": transactions, "export_declarations": exports}
    missing = "; ".join(f"{feed} {GAP}" for feed in needed[seen] if not there[feed])
    if not missing:
        assert CELLS[program_type, seen] == decision
    else:
        seen_or_not = "unknown" if seen == "none" else seen
        assert Decision(seen_or_not, "unknown", "coverage_incomplete", missing=missing) == decision


@pytest.mark.parametrize("program_type", ["importer", "exporter", "dual"])
@pytest.mark.parametrize(
    "needs", [("transactions",), ("export_declarations",), ("transactions", "export_declarations")]
)
@pytest.mark.parametrize(("transactions", "exports"), COVERED)
def test_each_type_is_closed_on_the_feeds_that_the_policy_names_for_it(
    program_type: str, needs: tuple[str, ...], transactions: bool, exports: bool
) -> None:
    world = replace(MONTH, transactions_covered=transactions, exports_covered=exports)
    world = replace(world, **{f"{program_type}_needs": needs})
    account = account_in(program_type, "none")
    there = {"transactions": transactions, "export_declarations": exports}
    is_told = all(there[feed] for feed in needs)
    assert ("close" if is_told else "unknown") == decide_one(account, world).action
    assert decide(account, world) == decide_one(account, world)
    # What is seen and does not fit is corrected on the evidence that it needs, whatever closing needs.
    fitting = account_in("dual", "import")
    assert ("convert" if exports else "unknown") == decide_one(fitting, world).action


def test_the_months_that_are_missing_are_named() -> None:
    months = coverage(replace(MONTH, transactions_covered=False, exports_covered=False))
    months = months.set_column(2, "missing", pa.array(["2018-03", "2020-05,2020-06"]))
    table = run_decisions([account_in("importer", "none"), account_in("dual", "export")], months=months)
    assert ["export_declarations 2020-05, 2020-06; transactions 2018-03", "transactions 2018-03"] == (
        table["missing"].to_pylist()
    )


def test_an_account_of_which_nobody_knows_whether_rows_are_in_quarantine_is_not_closed() -> None:
    facts = account_facts([an_account()])
    facts = facts.set_column(
        facts.schema.get_field_index("has_open_quarantine"), "has_open_quarantine", pa.array([None])
    )
    assert [Decision("unknown", "unknown", "row_in_quarantine")] == decide_by_sql([an_account()], facts=facts)


@pytest.mark.parametrize(
    ("account", "decision"),
    [
        (an_account(activities=IMPORTS), Decision("import", "keep", "active")),
        (an_account(activities=BOTH), Decision("both", "review", "mixed_activity")),
        (an_account(activities=(), opened_on=CUTOFF), Decision("unknown", "keep", "younger_than_4_years")),
        (an_account(activities=(("other", CUTOFF),)), Decision("unknown", "keep", "active")),
        (an_account(activities=(), opened_on=None), Decision("unknown", "review", "unknown_open_date")),
    ],
)
def test_a_gap_does_not_touch_what_proposes_no_change(account: Account, decision: Decision) -> None:
    nothing_covered = replace(MONTH, transactions_covered=False, exports_covered=False)
    assert decision == decide_one(replace(account, has_open_quarantine=True), nothing_covered)


@pytest.mark.parametrize(
    ("months", "missing"),
    [
        (coverage(MONTH).slice(0, 0), "export_declarations every month; transactions every month"),
        (coverage(MONTH).slice(0, 1), "export_declarations every month"),
        (coverage(MONTH).slice(1, 1), "transactions every month"),
        (coverage(MONTH).set_column(1, "covered", pa.array([True, None])), "export_declarations every month"),
    ],
    ids=["no feed at all", "no row for the exports", "no row for the transactions", "unknown for the exports"],
)
def test_a_feed_that_is_not_named_is_not_there(months: pa.Table, missing: str) -> None:
    expected = Decision("unknown", "unknown", "coverage_incomplete", missing=missing)
    assert [expected] == decide_by_sql([an_account()], months=months)


def test_a_feed_that_only_the_policy_names_is_not_there() -> None:
    needed = needed_feeds(policy_of(MONTH))
    third = pa.table({"program_type": ["dual"], "change": ["close"], "feed": ["rulings"]})
    accounts = [an_account(), an_account(program_type="dual"), account_in("dual", "import")]
    decisions = decide_by_sql(accounts, needed=pa.concat_tables([needed, third.cast(needed.schema)]))
    assert ["close", "unknown", "convert"] == [decision.action for decision in decisions]
    assert "rulings every month" == decisions[1].missing


def test_a_type_of_which_the_policy_names_no_feed_is_never_closed() -> None:
    needed = needed_feeds(policy_of(MONTH)).slice(0, 0)
    assert ["unknown"] == [decision.action for decision in decide_by_sql([an_account()], needed=needed)]


def test_a_feed_named_twice_is_covered_only_where_both_rows_say_so() -> None:
    twice = pa.concat_tables([coverage(MONTH), coverage(replace(MONTH, transactions_covered=False))])
    expected = Decision("export", "unknown", "coverage_incomplete", missing=f"transactions {GAP}")
    assert [expected] == decide_by_sql([an_account(activities=EXPORTS)], months=twice)


# What holds a change back.


@pytest.mark.parametrize(("program_type", "seen"), CHANGES)
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("balance_cents", None, "balance_not_zero"),
        ("under_review_items", None, "under_review"),
    ],
)
def test_money_that_nobody_knows_stops_what_open_money_stops(
    program_type: str, seen: str, field: str, value: None, reason: str
) -> None:
    account = an_account(program_type=program_type, activities=EVIDENCE[seen], **{field: value})
    becomes_importer = CELLS[program_type, seen].new_program_type == "importer"
    expected = CELLS[program_type, seen] if becomes_importer else Decision(seen, "hold", reason)
    assert expected == decide_one(account)


# The order of the tests: each one is broken, and the first in the order is the reason.

ORDER = [
    ("coverage_incomplete", {}, {"transactions_covered": False, "exports_covered": False}),
    ("row_in_quarantine", {"has_open_quarantine": True}, {}),
    ("undone_by_person", {"undone": tuple((*cell, AS_OF) for cell in CHANGES)}, {}),
    ("on_hold", {"hold_reason": "legal"}, {}),
    ("under_review", {"under_review_items": 1}, {}),
    ("balance_not_zero", {"balance_cents": 5}, {}),
]


@pytest.mark.parametrize(("program_type", "seen"), CHANGES)
@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_first_test_that_fails_gives_the_reason(program_type: str, seen: str, first: int) -> None:
    account, world = an_account(program_type=program_type, activities=EVIDENCE[seen]), MONTH
    for _, of_account, of_world in ORDER[first:]:
        account, world = replace(account, **of_account), replace(world, **of_world)  # type: ignore[arg-type]
    decision = decide_one(account, world)
    if CELLS[program_type, seen].new_program_type == "importer" and first > 3:
        assert CELLS[program_type, seen] == decision
    else:
        assert ORDER[first][0] == decision.reason


# The policy for exporters whose exports need no declaration.

REFERRED = [("exporter", "none"), ("dual", "none"), ("exporter", "import"), ("dual", "import")]


@pytest.mark.parametrize(("program_type", "seen"), CELLS)
def test_policy_refers_exporters_without_export_evidence_to_a_person(program_type: str, seen: str) -> None:
    account = an_account(program_type=program_type, activities=EVIDENCE[seen])
    world = replace(MONTH, exporter_without_evidence="review", transactions_covered=seen != "unknown")
    expected = CELLS[program_type, seen]
    if (program_type, seen) in REFERRED:
        expected = Decision(seen, "review", expected.reason)
    assert expected == decide_one(account, world)


@pytest.mark.parametrize(("program_type", "seen"), REFERRED)
def test_evidence_is_asked_for_before_a_person_and_a_hold_only_after(program_type: str, seen: str) -> None:
    account = an_account(program_type=program_type, activities=EVIDENCE[seen], hold_reason="appeal", balance_cents=1)
    world = replace(MONTH, exporter_without_evidence="review")
    assert Decision(seen, "review", CELLS[program_type, seen].reason) == decide_one(account, world)
    assert "coverage_incomplete" == decide_one(account, replace(world, exports_covered=False)).reason


# The dataset as a whole.


def test_only_open_accounts_are_decided_and_each_once_in_the_order_of_its_key() -> None:
    facts = account_facts([an_account()] * 6)
    status = pa.array(["open", "closed", "open", None, "open", "suspended"])
    facts = facts.set_column(facts.schema.get_field_index("status"), "status", status)
    table = run_decisions([], facts=facts.take([4, 5, 2, 0, 1, 3]))
    assert [bn15_of(0), bn15_of(2), bn15_of(4)] == table["bn15"].to_pylist()


def test_the_last_activity_and_the_clock_are_kept_as_evidence() -> None:
    activities = (("import", date(2010, 1, 1)), ("export", date(2011, 1, 1)), ("other", date(2012, 1, 1)))
    table = run_decisions([an_account(activities=activities, reinstated_on=date(2013, 1, 1))])
    row = table.to_pylist()[0]
    assert (date(2012, 1, 1), date(2013, 1, 1), CUTOFF) == (row["last_activity_on"], row["clock_on"], row["cutoff_on"])


def test_what_was_proposed_stays_visible_where_it_was_stopped() -> None:
    stopped = an_account(program_type="dual", activities=EXPORTS, balance_cents=1)
    row = run_decisions([stopped]).to_pylist()[0]
    assert ("convert", "exporter", "hold", None) == (
        row["proposed_action"],
        row["proposed_program_type"],
        row["action"],
        row["new_program_type"],
    )


def test_on_its_own_result_the_rule_changes_nothing() -> None:
    for program_type, seen in CHANGES:
        account = an_account(program_type=program_type, activities=EVIDENCE[seen])
        decision = decide_one(account)
        if decision.action == "convert":
            assert "keep" == decide_one(replace(account, program_type=decision.new_program_type)).action


def test_a_changed_cell_changes_the_decision() -> None:
    rules = RuleTable.load().valid_on(AS_OF)
    changed = [
        replace(rule, action="review", new_program_type="", reason="mixed_activity")
        if rule.cell == ("dual", "export")
        else rule
        for rule in rules
    ]
    account = an_account(program_type="dual", activities=EXPORTS)
    decisions = decide_by_sql([account], rules=rules_relation(changed))
    assert [Decision("export", "review", "mixed_activity")] == decisions


# The oracle, over everything near a boundary and over what Hypothesis finds.


def test_every_combination_near_a_boundary_is_decided_as_the_oracle_decides() -> None:
    def days(what: str, *on: date | None) -> list[tuple[tuple[str, date], ...]]:
        return [() if day is None else ((what, day),) for day in on]

    accounts = [
        Account(program_type, imports + exports + others, opened, reinstated, balance, 0, items, *hold, quarantine)
        for program_type, imports, exports, others, opened, reinstated, balance, items, hold, quarantine in product(
            [None, "importer", "exporter", "dual"],
            days("import", None, CUTOFF - DAY, CUTOFF),
            days("export", None, CUTOFF - DAY, CUTOFF, AS_OF + DAY),
            days("other", None, CUTOFF - DAY, CUTOFF),
            [None, CUTOFF - DAY, CUTOFF],
            [None, CUTOFF],
            [-1, 0, 1],
            [0, 1],
            [(None, None), ("appeal", None), ("appeal", AS_OF), ("appeal", AS_OF - DAY)],
            [False, True],
        )
    ]
    for transactions, exports, policy in product([True, False], [True, False], ["close", "review"]):
        assert_as_the_oracle(accounts, World(AS_OF, transactions, exports, policy))


def test_every_combination_of_what_persons_recorded_is_decided_as_the_oracle_decides() -> None:
    accounts = [
        account_in(
            *cell, balance_cents=balance, hold_reason=hold, holds=holds, reviews=reviews, undone=undone, announced=told
        )
        for cell, balance, hold, holds, reviews, undone, told in product(
            CELLS,
            [0, 1],
            [None, "appeal"],
            [(), ((1, AS_OF - DAY),), ((1, AS_OF - DAY), (2, AS_OF)), ((3, None),)],
            [(), ((1, AS_OF - DAY),), ((1, AS_OF - DAY), (2, AS_OF))],
            [(), tuple((*cell, LONG_AGO) for cell in CELLS), tuple((*cell, date(2013, 1, 1)) for cell in CELLS)],
            [(), ("2021-11",), ("2021-10",), ("2021-09", "2021-11")],
        )
    ]
    for notice, policy, transactions in [(0, "close", True), (2, "close", True), (1, "review", True), (1, "close", 0)]:
        world = World(AS_OF, bool(transactions), True, policy, notice_months=notice)
        # And the check on the other path has nothing to say of it.
        assert set() == problems_of(assert_as_the_oracle(accounts, world), accounts, world)


def assert_as_the_oracle(accounts: list[Account], world: World) -> pa.Table:
    table = run_decisions(accounts, world)
    differing = [
        (account, expected, decision)
        for account, decision in zip(accounts, decisions_of(table), strict=True)
        if (expected := decide(account, world)) != decision
    ]
    assert [] == differing[:3]
    return table


@st.composite
def months_with_accounts(draw: st.DrawFn) -> tuple[World, list[Account]]:
    as_of = draw(st.dates(date(1996, 1, 1), date(2035, 12, 31)) | st.sampled_from([date(2024, 2, 29), AS_OF]))
    cutoff, period = four_years_before(as_of), f"{as_of:%Y-%m}"
    feeds = st.sampled_from([("transactions",), ("transactions", "export_declarations"), ("export_declarations",)])
    world = World(
        as_of,
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.sampled_from(["close", "review"])),
        period,
        draw(st.sampled_from([0, 0, 1, 2, 3, 13])),
        draw(feeds),
        draw(feeds),
        draw(feeds),
    )
    near = st.sampled_from([cutoff - DAY, cutoff, cutoff + DAY, as_of - DAY, as_of])
    day = near | st.dates(date(1980, 1, 1), as_of)
    last_day = near | st.just(as_of + DAY)
    cents = st.sampled_from([0, 0, 0, 1, -1]) | st.integers(-(10**15), 10**15)
    number = st.integers(1, 9)
    what = st.sampled_from(["import", "export", "other"])
    months = st.integers(1, 15).map(lambda ago: str(Period.parse(period).plus(-ago)))
    evidence = st.fixed_dictionaries(
        {
            "program_type": st.sampled_from(["importer", "exporter", "dual", "dual", None, "Dual"]),
            "activities": st.lists(st.tuples(what, day), max_size=4).map(tuple),
            "opened_on": st.none() | day,
            "reinstated_on": st.none() | day,
        }
    )
    holding = st.fixed_dictionaries(
        {
            "balance_cents": cents,
            "under_review_cents": cents,
            "under_review_items": st.sampled_from([0, 0, 0, 1, 2]),
            "hold_reason": st.sampled_from([None, None, "appeal"]),
            "hold_until": st.none() | last_day,
            "has_open_quarantine": st.sampled_from([False, False, True]),
        }
    )
    recorded = st.fixed_dictionaries(
        {
            "holds": st.lists(st.tuples(number, st.none() | last_day), max_size=2).map(tuple),
            "reviews": st.lists(st.tuples(number, last_day), max_size=2).map(tuple),
            "undone": st.lists(st.tuples(st.sampled_from(sorted(CELLS)), day), max_size=2).map(
                lambda found: tuple((*cell, on) for cell, on in found)
            ),
            "announced": st.lists(months, max_size=2).map(tuple),
        }
    )

    def some(strategy: st.SearchStrategy[dict[str, Any]], most: int) -> list[dict[str, Any]]:
        return draw(st.lists(strategy, min_size=3, max_size=most))

    # Each with each: what Hypothesis finds of one kind meets all that it finds of the others.
    parts = product(some(evidence, 8), some(holding, 6), some(recorded, 6))
    return world, [Account(**seen, **held, **said) for seen, held, said in parts]


def test_any_account_is_decided_as_the_oracle_decides() -> None:
    decided = 0

    @settings(max_examples=200, deadline=None, database=None)
    @given(months_with_accounts())
    def run(month: tuple[World, list[Account]]) -> None:
        nonlocal decided
        world, accounts = month
        assert [decide(account, world) for account in accounts] == decide_by_sql(accounts, world)
        decided += len(accounts)

    run()
    assert decided >= 10_000
