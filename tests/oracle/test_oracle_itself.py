"""The oracle is held against what was worked out by hand, so that it may be held against the pipeline."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stdnum.ca import bn

from tests.fixtures.hand_written.cases import (
    BACKGROUND_EXPORTER,
    BACKGROUND_IMPORTER,
    CASES,
    FOLDER,
    PERIOD,
    SMALL,
    Case,
    bn15_of,
    write_folders,
)
from tests.oracle import oracle
from tests.oracle.ledger_replay import Ledger, Observation, control_totals, months_of, replay, write_folder
from tests.oracle.oracle import (
    ACCOUNT_DECISION_COLUMNS,
    STATEMENT_COLUMNS,
    Facts,
    brute_force,
    comparable,
    decide,
    due_on,
    is_valid_bn15,
    period_end,
    period_of,
    period_start,
    quarantined_rows,
)
from tests.oracle.worlds import PERIODS, random_world, transaction

Row = dict[str, Any]


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


# Calendar ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "published",
    [
        "2012-06-29 2012-09-28 2012-12-31 2014-02-28 2014-08-29 2014-11-28 2014-12-31 2017-02-28",
        "2017-04-28 2017-06-30 2017-09-29 2017-12-29 2024-03-28 2021-09-29",
        # Deferred by the CBSA, told by the month in which the statement was issued.
        "2021-01:2021-02-01 2021-02:2021-03-03 2021-03:2021-04-01 2021-07:2021-08-03 2021-10:2021-11-01",
        # Release 2: the tenth weekday after the 17th, 1 July too.
        "2024-11:2024-11-29 2025-03:2025-03-31 2026-01:2026-01-30",
        "2025-02:2025-03-03 2025-04:2025-05-01 2025-06:2025-07-01 2025-11:2025-12-01",
    ],
)
def test_due_dates_are_the_published_ones(published: str) -> None:
    for entry in published.split():
        period, _, due = entry.rpartition(":")
        assert due_on(period or due[:7]) == day(due)


def test_every_day_lies_in_exactly_one_period() -> None:
    current = day("2019-12-25")
    while current < day("2026-01-01"):
        period = period_of(current)
        assert period_start(period) <= current <= period_end(period)
        current += dt.timedelta(days=1)
    # The regime changes without a gap.
    assert [str(period_start(p)) for p in ("2024-10", "2024-11", "2024-12")] == [
        "2024-09-25",
        "2024-10-18",
        "2024-11-18",
    ]


def test_the_window_is_49_months() -> None:
    assert [len(oracle.window(period)) for period in PERIODS] == [49] * len(PERIODS)
    assert (oracle.window(PERIOD)[0], oracle.cutoff_of(period_end(PERIOD))) == ("2017-12", day("2017-12-24"))


# Business numbers -------------------------------------------------------------


@pytest.mark.parametrize(
    ("bn15", "expected"),
    [
        ("123026635RM0001", True),
        ("000000018RM0001", True),
        ("000123455-rm 9999", True),
        ("123456789RM0001", False),
        ("000000018RM0000", False),
        ("000000000RM0001", False),
        ("000000018RC0001", False),
        ("00000018RM0001", False),
        ("00000001８RM0001", False),
        ("", False),
        (None, False),
    ],
)
def test_business_numbers(bn15: str | None, expected: bool) -> None:
    assert is_valid_bn15(bn15) is expected


def test_made_up_numbers_are_real_numbers_to_a_library() -> None:
    made_up = [bn15_of(case) for case in CASES if case.bn15 is None]
    assert all(bn.is_valid(bn15) and bn15.startswith("0") for bn15 in made_up)
    assert len(set(made_up)) == len(made_up)


# Decisions --------------------------------------------------------------------

LEAP = Facts("importer", as_of=day("2024-02-29"), opened_on=day("2010-01-01"))


def test_from_29_february_the_cutoff_is_29_february_four_years_earlier() -> None:
    assert decide(replace(LEAP, last_import_on=day("2020-02-29")))[0] == "keep"
    assert decide(replace(LEAP, last_import_on=day("2020-02-28")))[0] == "close"
    # 2100 is no leap year: 2104-02-29 minus four years clamps to 28 February.
    assert oracle.cutoff_of(day("2104-02-29")) == day("2100-02-28")


@pytest.mark.parametrize(
    ("program_type", "expected"),
    [
        # only import, only export, both, none
        ("importer", "keep exporter review close"),
        ("exporter", "importer keep review close"),
        ("dual", "importer exporter keep close"),
        ("carrier", "review review review review"),
    ],
)
def test_the_cells_of_the_program_type_rule(program_type: str, expected: str) -> None:
    seen = day("2021-06-01")
    facts = replace(LEAP, program_type=program_type, as_of=day("2021-12-24"))
    results = []
    evidence: tuple[dict[str, Any], ...] = (
        {"last_import_on": seen},
        {"last_export_on": seen},
        {"last_import_on": seen, "last_export_on": seen},
        {},
    )
    for columns in evidence:
        action, new_type, _ = decide(replace(facts, **columns))
        results.append(new_type or action)
        if new_type:
            # On its own result the rule is a no-op.
            assert decide(replace(facts, program_type=new_type, **columns))[0] == "keep"
    assert " ".join(results) == expected


def test_what_a_change_rests_on() -> None:
    dormant = replace(LEAP, as_of=day("2021-12-24"))
    to_importer = replace(dormant, program_type="dual", last_import_on=day("2021-06-01"))
    to_exporter = replace(dormant, program_type="dual", last_export_on=day("2021-06-01"))
    no_exports: dict[str, Any] = {"exports_covered": False}
    no_imports: dict[str, Any] = {"transactions_covered": False}
    unknown = ("unknown", None, "coverage_incomplete")
    assert decide(replace(dormant, **no_exports)) == unknown
    assert decide(replace(dormant, **no_imports)) == unknown
    assert decide(replace(to_importer, **no_exports)) == unknown
    assert decide(replace(to_importer, **no_imports))[0] == "convert"
    assert decide(replace(to_exporter, **no_exports))[0] == "convert"
    assert decide(replace(to_exporter, **no_imports)) == unknown
    # What the data do not reach is named before a quarantined row, that before a hold.
    everything: dict[str, Any] = {
        "exports_covered": False,
        "has_open_quarantine": True,
        "hold_reason": "legal",
        "has_item_under_review": True,
        "balance_cents": 1,
    }
    reasons = []
    while everything:
        reasons.append(decide(replace(dormant, **everything))[2])
        del everything[next(iter(everything))]
    assert reasons == ["coverage_incomplete", "row_in_quarantine", "on_hold", "under_review", "balance_not_zero"]
    assert decide(dormant) == ("close", None, "no_activity_4_years")


# The hand-written world -------------------------------------------------------


@pytest.fixture(scope="module")
def complete() -> tuple[dict[str, Row], dict[str, Row]]:
    decisions, statements = brute_force(FOLDER / "complete", PERIOD)
    return by_bn15(decisions, ACCOUNT_DECISION_COLUMNS), by_bn15(statements, STATEMENT_COLUMNS)


def by_bn15(table: Any, columns: tuple[str, ...]) -> dict[str, Row]:
    return {row[0]: dict(zip(columns, row, strict=True)) for row in comparable(table, columns)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_case_is_decided_and_billed_as_worked_out(
    case: Case, complete: tuple[dict[str, Row], dict[str, Row]]
) -> None:
    decisions, statements = complete
    decision, statement = decisions.get(bn15_of(case)), statements.get(bn15_of(case))
    if case.decision is None:
        assert decision is None
    else:
        assert decision is not None
        assert (
            tuple(decision[name] for name in ("action", "reason", "activity_seen", "last_activity_on")) == case.decision
        )
        assert decision["new_program_type"] == case.new_program_type
        assert decision["cutoff_on"] == "2017-12-24"
        # The balance decided on is the one that is billed.
        assert decision["balance_cents"] == (statement["closing_cents"] if statement else 0)
    if case.statement is None:
        assert statement is None
    else:
        assert statement is not None
        names = ("opening", "debits", "credits", "closing", "under_review")
        assert (*(statement[f"{name}_cents"] for name in names), statement["line_count"]) == case.statement


def test_the_background_is_billed_each_month(complete: tuple[dict[str, Row], dict[str, Row]]) -> None:
    decisions, statements = complete
    assert {bn15_of(case) for case in CASES} | {BACKGROUND_IMPORTER, BACKGROUND_EXPORTER} >= set(decisions) | set(
        statements
    )
    assert decisions[BACKGROUND_EXPORTER]["action"] == decisions[BACKGROUND_IMPORTER]["action"] == "keep"
    # The 49th month, on 2021-12-03: B3 5,048 and its payment.
    assert statements[BACKGROUND_IMPORTER] == {
        "bn15": BACKGROUND_IMPORTER,
        "period": "2021-12",
        "version": 1,
        "period_start": "2021-11-25",
        "period_end": "2021-12-24",
        "issued_on": "2021-12-25",
        # 31 December 2021 is a Friday and no holiday.
        "due_on": "2021-12-31",
        "language": "en",
        "opening_cents": 0,
        "debits_cents": 5_048,
        "credits_cents": 5_048,
        "closing_cents": 0,
        "under_review_cents": 0,
        "total_payable_cents": 0,
        "line_count": 2,
    }


def test_total_payable_and_language(complete: tuple[dict[str, Row], dict[str, Row]]) -> None:
    statements = {case.name: complete[1].get(bn15_of(case)) for case in CASES}

    def billed(name: str) -> tuple[int, str]:
        statement = statements[name]
        assert statement is not None
        return statement["total_payable_cents"], statement["language"]

    # 12,000 - 5,000 under review; 7,500 - 9,000 and -500 are below zero.
    assert billed("part under review") == (7_000, "en")
    assert billed("review begins in the month") == (0, "en")
    assert billed("debt secured by a broker, and a credit in French") == (0, "fr")
    assert billed("no language on record") == (2_000, "both")
    assert billed("another language on record") == (2_000, "both")


def test_what_goes_to_quarantine() -> None:
    rows = quarantined_rows(FOLDER / "complete", PERIOD)
    assert Counter(zip(rows.dataset, rows.reason, strict=True)) == {
        ("accounts", "duplicate_copy"): 1,
        ("accounts", "duplicate_key_differs"): 2,
        ("accounts", "invalid_bn15"): 1,
        ("accounts", "overlapping_versions"): 2,
        ("export_declarations", "duplicate_copy"): 1,
        ("export_declarations", "unknown_status"): 1,
        ("transactions", "account_missing"): 1,
        ("transactions", "account_quarantined"): 2,
        ("transactions", "amount_missing"): 1,
        ("transactions", "components_do_not_add_up"): 1,
        ("transactions", "date_missing"): 1,
        ("transactions", "date_out_of_range"): 2,
        ("transactions", "duplicate_copy"): 1,
        ("transactions", "duplicate_key_differs"): 2,
        ("transactions", "invalid_bn15"): 1,
        ("transactions", "key_missing"): 1,
        ("transactions", "reversed_twice"): 1,
        ("transactions", "unknown_kind"): 1,
        ("transactions", "unknown_status"): 1,
    }


# A gap in the exports: nothing is closed, and no exporter or dual becomes an importer.
REST_ON_EXPORTS = {
    "never active",
    "hold without an end",
    "debt of one cent",
    "exporter with imports only",
    "dual with imports only",
}
# Its own broken row is the reason in every folder.
BROKEN_ROW = {"unknown kind in the window"}


@pytest.mark.parametrize(
    ("folder", "unknown", "mixed", "exporting"),
    [
        # Without a row of exports, the importer that only exports looks dormant, the mixed one imports.
        ("exports_absent", REST_ON_EXPORTS | BROKEN_ROW | {"importer with exports only"}, "keep", "unknown"),
        # A feed received empty is covered.
        ("exports_header_only", BROKEN_ROW, "keep", "close"),
        # Becoming an exporter rests on the transactions, and those are complete.
        ("month_missing", REST_ON_EXPORTS | BROKEN_ROW, "review", "convert"),
    ],
)
def test_the_small_folders_differ_by_what_is_covered(
    folder: str, unknown: set[str], mixed: str, exporting: str
) -> None:
    decisions, _ = brute_force(FOLDER / folder, PERIOD)
    decided = dict(zip(decisions.bn15, decisions.action, strict=True))
    actions = {case.name: decided[bn15_of(case)] for case in CASES if case.name in SMALL}
    assert {name for name, action in actions.items() if action == "unknown"} == unknown
    assert (actions["importer with both"], actions["importer with exports only"]) == (mixed, exporting)


def test_the_folders_are_what_the_cases_say(tmp_path: Path) -> None:
    write_folders(tmp_path)
    written = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.csv")}
    kept = {path.relative_to(FOLDER): path.read_bytes() for path in FOLDER.rglob("*.csv")}
    assert kept == written, "run python -m tests.fixtures.hand_written.cases and look at the difference"


# Rows no case of the folder can hold ------------------------------------------


def one_account(folder: Path, transactions: list[Row], **columns: Any) -> None:
    ledger = Ledger(seed=0, accounts=1)
    ledger.accounts[0].update(columns)
    ledger.rows = transactions
    write_folder(ledger, folder)


def b3(cents: int, posted_on: str | None, revision: int | None = 1, **columns: Any) -> Row:
    """A revision of one item of the one account; undated where ``posted_on`` is None."""
    row = transaction("000005017RM0001", "item", "B3", cents, day("2021-01-01"), day(posted_on or "2021-01-01"))
    return {**row, "posted_on": posted_on and day(posted_on), "revision": revision, **columns}


def test_an_item_that_moves_to_another_account_has_no_rule(tmp_path: Path) -> None:
    ledger = Ledger(seed=0, accounts=2)
    ledger.rows = [b3(1, "2021-12-01"), b3(1, "2021-12-02", revision=2, bn15=ledger.bn15s[1])]
    write_folder(ledger, tmp_path)
    with pytest.raises(oracle.Unspecified):
        brute_force(tmp_path, PERIOD)


def test_a_lower_revision_posted_later_changes_nothing(tmp_path: Path) -> None:
    one_account(tmp_path, [b3(500, "2021-10-01", revision=2), b3(300, "2021-12-01", revision=None)])
    _, statements = brute_force(tmp_path, PERIOD)
    assert statements.closing_cents.tolist() == [500]
    assert statements.debits_cents.tolist() == [0]


def test_a_copy_posted_after_the_period_is_not_looked_at(tmp_path: Path) -> None:
    one_account(tmp_path, [b3(500, "2021-12-01"), b3(500, "2021-12-25")])
    _, statements = brute_force(tmp_path, PERIOD)
    assert statements.closing_cents.tolist() == [500]
    _, statements = brute_force(tmp_path, "2022-01")
    assert statements.empty


def test_a_value_of_another_type_is_refused(tmp_path: Path) -> None:
    one_account(tmp_path, [b3(500, "2021-12-01", amount_cents="12.50")])
    with pytest.raises(ValueError, match=r"12\.50"):
        brute_force(tmp_path, PERIOD)


# Random worlds ----------------------------------------------------------------


def test_a_world_is_a_function_of_its_seed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        random_world(7, accounts=40).write(tmp_path / name)
    one, two = (sorted((tmp_path / name).iterdir()) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_worlds_reach_every_decision_and_every_quarantine_and_stay_under_the_limits(tmp_path: Path) -> None:
    decided: Counter[tuple[str, str]] = Counter()
    quarantined: Counter[tuple[str, str]] = Counter()
    for seed in range(20):
        folder = tmp_path / str(seed)
        world = random_world(seed)
        world.write(folder)
        decisions, statements = brute_force(folder, world.period)
        decided.update(zip(decisions.action, decisions.reason, strict=True))
        rows = quarantined_rows(folder, world.period)
        quarantined.update(zip(rows.dataset, rows.reason, strict=True))
        assert max(Counter(rows.dataset).values(), default=0) <= 20
        assert decisions.bn15.is_unique
        assert statements.bn15.is_unique
    assert len(decided) == 13, "one of the decisions that one month can give never occurs"
    assert {reason for dataset, reason in quarantined if dataset == "transactions"} == {
        "key_missing",
        "invalid_bn15",
        "unknown_kind",
        "unknown_status",
        "date_missing",
        "date_out_of_range",
        "amount_missing",
        "components_do_not_add_up",
        "account_missing",
        "account_quarantined",
        "duplicate_copy",
        "duplicate_key_differs",
        "reversed_twice",
    }


# A ledger that changes --------------------------------------------------------

ACCOUNT: Row = {
    "bn15": "000005017RM0001",
    "valid_from": day("2008-01-01"),
    "valid_to": None,
    "legal_name": "Firm",
}


def seen(period: str, *rows: Row) -> Observation:
    return Observation(period, (ACCOUNT,), rows)


def balance(*observations: Observation) -> tuple[int, int]:
    return replay(observations)[ACCOUNT["bn15"]]


def test_the_highest_revision_counts_and_the_one_below_when_it_is_gone() -> None:
    first, second = b3(100, "2021-10-01"), b3(250, "2021-11-01", revision=2, status="under_review")
    assert balance(seen("2021-10", first)) == (100, 0)
    assert balance(seen("2021-10", first), seen("2021-11", first, second)) == (250, 250)
    assert balance(seen("2021-11", first, second), seen("2021-12", first)) == (100, 0)
    assert balance(seen("2021-11", first, second), seen("2021-12", second)) == (250, 250)
    assert balance(seen("2021-11", first, second), seen("2021-12")) == (0, 0)


def test_a_row_that_breaks_keeps_its_last_valid_content() -> None:
    right, broken = b3(100, "2021-10-01"), b3(170, "2021-10-01", kind="B33")
    undated, mended = b3(170, None), b3(180, "2021-10-01")
    assert balance(seen("2021-10", right), seen("2021-11", broken)) == (100, 0)
    assert balance(seen("2021-10", right), seen("2021-11", broken), seen("2021-12", undated)) == (100, 0)
    assert balance(seen("2021-10", right), seen("2021-11", broken), seen("2021-12", mended)) == (180, 0)
    assert balance(seen("2021-10", right), seen("2021-11", broken), seen("2021-12")) == (0, 0)
    # Never seen right: it does not count until it is.
    assert balance(seen("2021-10", broken)) == (0, 0)
    assert balance(seen("2021-10", broken), seen("2021-11", right)) == (100, 0)


def test_a_broken_revision_leaves_the_one_below_standing() -> None:
    first, second = b3(100, "2021-10-01"), b3(250, "2021-11-01", revision=2, status="pending")
    assert balance(seen("2021-10", first), seen("2021-11", first, second)) == (100, 0)


def test_copies_count_once_and_unlike_copies_as_before() -> None:
    row, other = b3(100, "2021-10-01"), b3(107, "2021-10-01")
    assert balance(seen("2021-10", row, dict(row))) == (100, 0)
    assert balance(seen("2021-10", row, other)) == (0, 0)
    assert balance(seen("2021-10", row), seen("2021-11", row, other)) == (100, 0)
    assert balance(seen("2021-10", row), seen("2021-11", row, other), seen("2021-12", other)) == (107, 0)


def test_what_is_overwritten_counts_as_it_is_now_and_what_is_early_not_yet() -> None:
    row = b3(100, "2021-10-01")
    assert balance(seen("2021-10", row), seen("2021-11", {**row, "amount_cents": 40})) == (40, 0)
    assert balance(seen("2021-10", row), seen("2021-11", {**row, "status": "cancelled"})) == (0, 0)
    assert balance(seen("2021-09", row)) == (0, 0)
    assert control_totals(seen("2021-09", row, b3(5, None))) == {("B3", "accepted"): (1, 5)}


def test_without_misbehaviour_a_replay_is_what_the_month_is_billed(tmp_path: Path) -> None:
    ledger = Ledger(seed=3, accounts=8)
    months = ["2020-01", "2020-02", "2020-03", "2020-04", "2020-05"]
    for month in months:
        for _ in range(10):
            ledger.add_row(ledger.day_of(month))
            ledger.revise(month, [month])
    write_folder(ledger, tmp_path)
    _, statements = brute_force(tmp_path, "2020-05")
    amounts = zip(statements.closing_cents, statements.under_review_cents, strict=True)
    billed = dict(zip(statements.bn15, amounts, strict=True))
    replayed = replay([ledger.observe("2020-05")])
    assert {bn15: billed.get(bn15, (0, 0)) for bn15 in ledger.bn15s} == replayed
    assert any(cents for cents, _ in replayed.values())


def test_a_ledger_is_a_function_of_its_seed_and_does_all_that_it_says() -> None:
    done: Counter[str] = Counter()
    twins = Ledger(seed=5), Ledger(seed=5)
    period = twins[0].first_period
    while period <= twins[0].last_period:
        one, two = (twin.advance(period) for twin in twins)
        assert one == two
        done.update(what.split()[0] for what in one)
        period = oracle.plus_months(period, 1)
    assert set(done) == {"on", "late", "early", "revised", "overwrote", "deleted", "broke", "mended", "doubled", "took"}
    assert twins[0].rows == twins[1].rows


@pytest.mark.parametrize("seed", range(3))
def test_a_ledger_stays_under_the_limits_of_quarantine(seed: int) -> None:
    for _period, observations in months_of(Ledger(seed)):
        last = observations[-1]
        judged = oracle.judge(oracle.Folder(list(last.accounts), list(last.rows), None), last.period)
        assert len(judged.transactions.quarantined) <= 20
