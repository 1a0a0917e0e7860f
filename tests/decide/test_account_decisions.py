"""The decision on one account: every cell of the rule table, every boundary, and each test that holds a change back."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import product

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    run_decisions,
)
from tests.decide.oracle import Account, Decision, World, decide, four_years_before

DAY = timedelta(days=1)
IMPORTS = (("import", AS_OF),)
EXPORTS = (("export", AS_OF),)
BOTH = IMPORTS + EXPORTS
LEAP_DAY = World(as_of=date(2024, 2, 29))


def decide_one(account: Account, world: World = MONTH) -> Decision:
    return decide_by_sql([account], world)[0]


# The cells, as the domain's table gives them.

CELLS = {
    ("importer", "none"): Decision("none", "close", "no_activity_4_years"),
    ("importer", "import"): Decision("import", "keep", "active"),
    ("importer", "export"): Decision("export", "convert", "only_export_activity", "exporter"),
    ("importer", "both"): Decision("both", "review", "mixed_activity"),
    ("importer", "unknown"): Decision("unknown", "unknown", "coverage_incomplete"),
    ("exporter", "none"): Decision("none", "close", "no_activity_4_years"),
    ("exporter", "import"): Decision("import", "convert", "only_import_activity", "importer"),
    ("exporter", "export"): Decision("export", "keep", "active"),
    ("exporter", "both"): Decision("both", "review", "mixed_activity"),
    ("exporter", "unknown"): Decision("unknown", "unknown", "coverage_incomplete"),
    ("dual", "none"): Decision("none", "close", "no_activity_4_years"),
    ("dual", "import"): Decision("import", "convert", "only_import_activity", "importer"),
    ("dual", "export"): Decision("export", "convert", "only_export_activity", "exporter"),
    ("dual", "both"): Decision("both", "keep", "active"),
    ("dual", "unknown"): Decision("unknown", "unknown", "coverage_incomplete"),
}
EVIDENCE = {"none": (), "import": IMPORTS, "export": EXPORTS, "both": BOTH, "unknown": ()}
CHANGES = [cell for cell, decision in CELLS.items() if decision.action in ("close", "convert")]


@pytest.mark.parametrize(("program_type", "seen"), CELLS)
def test_each_cell_of_the_rule_table_decides_as_the_domain_says(program_type: str, seen: str) -> None:
    account = an_account(program_type=program_type, activities=EVIDENCE[seen])
    world = replace(MONTH, transactions_covered=seen != "unknown")
    assert CELLS[program_type, seen] == decide_one(account, world)


@pytest.mark.parametrize(("program_type", "seen"), CELLS)
def test_each_decision_names_the_cell_that_it_rests_on(program_type: str, seen: str) -> None:
    account = an_account(program_type=program_type, activities=EVIDENCE[seen])
    world = replace(MONTH, transactions_covered=seen != "unknown")
    assert [f"{program_type}_{seen}"] == run_decisions(account_facts([account]), world)["rule_id"].to_pylist()


# The window: activity on the cutoff day counts, on the day before it does not.


@pytest.mark.parametrize("program_type", ["importer", "exporter", "dual"])
@pytest.mark.parametrize("what", ["import", "export"])
@pytest.mark.parametrize(("days", "is_seen"), [(-1, False), (0, True), (1, True)])
def test_activity_counts_from_the_cutoff_day_on(program_type: str, what: str, days: int, is_seen: bool) -> None:
    account = an_account(program_type=program_type, activities=((what, CUTOFF + days * DAY),))
    assert CELLS[program_type, what if is_seen else "none"] == decide_one(account)


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


@pytest.mark.parametrize(
    ("last_on", "action"), [(date(2020, 2, 28), "close"), (date(2020, 2, 29), "keep"), (date(2020, 3, 1), "keep")]
)
def test_the_cutoff_of_29_february_is_29_february(last_on: date, action: str) -> None:
    assert action == decide_one(an_account(activities=(("import", last_on),)), LEAP_DAY).action


def test_the_window_of_mixed_evidence_is_looked_at_for_each_kind_apart() -> None:
    account = an_account(program_type="dual", activities=(("import", CUTOFF), ("export", CUTOFF - DAY)))
    assert CELLS["dual", "import"] == decide_one(account)


# The clock: latest of activity, opening and reinstatement.


@pytest.mark.parametrize("program_type", ["importer", "exporter", "dual"])
@pytest.mark.parametrize("field", ["opened_on", "reinstated_on"])
@pytest.mark.parametrize(("days", "is_young"), [(-1, False), (0, True), (1, True)])
def test_an_account_younger_than_four_years_is_kept(program_type: str, field: str, days: int, is_young: bool) -> None:
    account = an_account(program_type=program_type, activities=(), **{field: CUTOFF + days * DAY})
    expected = Decision("none", "keep", "younger_than_4_years") if is_young else CELLS[program_type, "none"]
    assert expected == decide_one(account)


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
    account = an_account(program_type=program_type, activities=EVIDENCE[seen])
    decision = decide_one(account, replace(MONTH, transactions_covered=transactions, exports_covered=exports))
    is_told = {"none": transactions and exports, "export": transactions, "import": exports}[seen]
    if is_told:
        assert CELLS[program_type, seen] == decision
    else:
        seen_or_not = "unknown" if seen == "none" else seen
        assert Decision(seen_or_not, "unknown", "coverage_incomplete") == decision


@pytest.mark.parametrize(("program_type", "seen"), CHANGES)
def test_an_open_quarantined_row_is_a_gap_for_every_change(program_type: str, seen: str) -> None:
    account = an_account(program_type=program_type, activities=EVIDENCE[seen], has_open_quarantine=True)
    seen_or_not = "unknown" if seen == "none" else seen
    assert Decision(seen_or_not, "unknown", "row_in_quarantine") == decide_one(account)


def test_an_account_of_which_nobody_knows_whether_rows_are_in_quarantine_is_not_closed() -> None:
    facts = account_facts([an_account()])
    facts = facts.set_column(
        facts.schema.get_field_index("has_open_quarantine"), "has_open_quarantine", pa.array([None])
    )
    assert [Decision("unknown", "unknown", "row_in_quarantine")] == decisions_of(run_decisions(facts, MONTH))


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
    "months",
    [
        pytest.param(coverage(MONTH).slice(0, 0), id="no feed at all"),
        pytest.param(coverage(MONTH).slice(0, 1), id="no row for the export declarations"),
        pytest.param(coverage(MONTH).slice(1, 1), id="no row for the transactions"),
        pytest.param(
            coverage(MONTH).set_column(1, "covered", pa.array([True, None])), id="unknown for the export declarations"
        ),
        pytest.param(
            pa.concat_tables(
                [coverage(MONTH), pa.table({"feed": ["rulings"], "covered": [False], "missing": ["all"]})]
            ),
            id="a third feed that is not covered",
        ),
    ],
)
def test_closing_needs_every_feed_and_a_feed_that_is_not_named_is_not_there(months: pa.Table) -> None:
    decisions = decisions_of(run_decisions(account_facts([an_account()]), MONTH, months=months))
    assert [Decision("unknown", "unknown", "coverage_incomplete")] == decisions


def test_a_feed_named_twice_is_covered_only_where_both_rows_say_so() -> None:
    twice = pa.concat_tables([coverage(MONTH), coverage(replace(MONTH, transactions_covered=False))])
    account = an_account(activities=EXPORTS)
    decisions = decisions_of(run_decisions(account_facts([account]), MONTH, months=twice))
    assert [Decision("export", "unknown", "coverage_incomplete")] == decisions


# What holds a change back.


@pytest.mark.parametrize(("program_type", "seen"), CHANGES)
@pytest.mark.parametrize(
    ("hold", "is_held"),
    [
        ({"hold_reason": "appeal", "hold_until": None}, True),
        ({"hold_reason": "appeal", "hold_until": AS_OF + DAY}, True),
        ({"hold_reason": "appeal", "hold_until": AS_OF}, True),
        ({"hold_reason": "appeal", "hold_until": AS_OF - DAY}, False),
        ({"hold_reason": None, "hold_until": AS_OF + DAY}, False),
    ],
)
def test_a_hold_on_record_stops_every_change_up_to_its_last_day(
    program_type: str, seen: str, hold: dict[str, object], is_held: bool
) -> None:
    account = an_account(program_type=program_type, activities=EVIDENCE[seen], **hold)
    expected = Decision(seen, "hold", "on_hold") if is_held else CELLS[program_type, seen]
    assert expected == decide_one(account)


@pytest.mark.parametrize(("program_type", "seen"), CHANGES)
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("balance_cents", -1, "balance_not_zero"),
        ("balance_cents", 0, None),
        ("balance_cents", 1, "balance_not_zero"),
        ("balance_cents", None, "balance_not_zero"),
        ("under_review_items", 0, None),
        # Whatever they sum up to: two that cancel out are still open.
        ("under_review_items", 1, "under_review"),
        ("under_review_items", 2, "under_review"),
        ("under_review_items", None, "under_review"),
    ],
)
def test_open_money_stops_closing_and_the_loss_of_the_right_to_import(
    program_type: str, seen: str, field: str, value: int | None, reason: str
) -> None:
    account = an_account(program_type=program_type, activities=EVIDENCE[seen], **{field: value})
    becomes_importer = CELLS[program_type, seen].new_program_type == "importer"
    is_held = reason is not None and not becomes_importer
    assert (Decision(seen, "hold", reason) if is_held else CELLS[program_type, seen]) == decide_one(account)


# The order of the tests: each one is broken, and the first in the order is the reason.

ORDER = [
    ("coverage_incomplete", {}, {"transactions_covered": False, "exports_covered": False}),
    ("row_in_quarantine", {"has_open_quarantine": True}, {}),
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
    if CELLS[program_type, seen].new_program_type == "importer" and first > 2:
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
    table = run_decisions(facts.take([4, 5, 2, 0, 1, 3]), MONTH)
    assert [bn15_of(0), bn15_of(2), bn15_of(4)] == table["bn15"].to_pylist()


def test_the_last_activity_and_the_clock_are_kept_as_evidence() -> None:
    activities = (("import", date(2010, 1, 1)), ("export", date(2011, 1, 1)), ("other", date(2012, 1, 1)))
    table = run_decisions(account_facts([an_account(activities=activities, reinstated_on=date(2013, 1, 1))]), MONTH)
    row = table.to_pylist()[0]
    assert (date(2012, 1, 1), date(2013, 1, 1), CUTOFF) == (row["last_activity_on"], row["clock_on"], row["cutoff_on"])


def test_what_was_proposed_stays_visible_where_it_was_stopped() -> None:
    stopped = an_account(program_type="dual", activities=EXPORTS, balance_cents=1)
    row = run_decisions(account_facts([stopped]), MONTH).to_pylist()[0]
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
    table = run_decisions(account_facts([account]), MONTH, rules=rules_relation(changed))
    assert [Decision("export", "review", "mixed_activity")] == decisions_of(table)


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
    facts = account_facts(accounts)
    for transactions, exports, policy in product([True, False], [True, False], ["close", "review"]):
        world = World(AS_OF, transactions, exports, policy)
        decisions = decisions_of(run_decisions(facts, world))
        differing = [
            (account, expected, decision)
            for account, decision in zip(accounts, decisions, strict=True)
            if (expected := decide(account, world)) != decision
        ]
        assert [] == differing[:3]


@st.composite
def months_with_accounts(draw: st.DrawFn) -> tuple[World, list[Account]]:
    as_of = draw(st.dates(date(1996, 1, 1), date(2035, 12, 31)) | st.sampled_from([date(2024, 2, 29), AS_OF]))
    cutoff = four_years_before(as_of)
    world = World(as_of, draw(st.booleans()), draw(st.booleans()), draw(st.sampled_from(["close", "review"])))
    near = st.sampled_from([cutoff - DAY, cutoff, cutoff + DAY, as_of - DAY, as_of])
    day = near | st.dates(date(1980, 1, 1), as_of)
    cents = st.sampled_from([0, 0, 0, 1, -1]) | st.integers(-(10**15), 10**15)
    account = st.builds(
        Account,
        program_type=st.sampled_from(["importer", "exporter", "dual", "dual", None, "Dual"]),
        activities=st.lists(st.tuples(st.sampled_from(["import", "export", "other"]), day), max_size=4).map(tuple),
        opened_on=st.none() | day,
        reinstated_on=st.none() | day,
        balance_cents=cents,
        under_review_cents=cents,
        under_review_items=st.sampled_from([0, 0, 0, 1, 2]),
        hold_reason=st.sampled_from([None, None, "appeal"]),
        hold_until=st.none() | near | st.just(as_of + DAY),
        has_open_quarantine=st.sampled_from([False, False, True]),
    )
    return world, draw(st.lists(account, min_size=1, max_size=60))


@settings(max_examples=150, deadline=None)
@given(months_with_accounts())
def test_any_account_is_decided_as_the_oracle_decides(month: tuple[World, list[Account]]) -> None:
    world, accounts = month
    assert [decide(account, world) for account in accounts] == decide_by_sql(accounts, world)
