"""The gate as the steps call it: what it gives back, what it refuses, and what it keeps to itself."""

import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from include.carm.errors import DataError, UsageError
from include.quality.gate import FAILURES, check, check_by
from include.quality.judge import RuleNotEvaluated
from include.quality.suites import load_suite, read_suite
from tests.quality.staged import AS_OF, batch, day, schema

CANARY = "Zebrafinch-4711"


def _check(dataset: str, *batches: pa.RecordBatch, docs_folder: Path | None = None) -> Any:
    return check(dataset, iter(batches), docs_folder=docs_folder, run_name="2021-12", as_of=AS_OF)


def test_clean_rows_pass_without_a_word() -> None:
    result = _check("transactions", batch("transactions", {}, {}, {}))
    assert (result.failures.num_rows, result.warnings, result.table_failures, result.evaluated_rows) == (0, {}, [], 3)
    assert result.failures.schema == FAILURES


def test_a_row_stands_under_each_rule_it_breaks_in_the_order_of_the_suite() -> None:
    worst = {"unreadable": "amount_cents", "amount_cents": None, "bn15": "x", "kind": "?", "account_state": "missing"}
    result = _check("transactions", batch("transactions", {}, worst, {"status": "?"}))
    assert result.failures.to_pylist() == [
        {"row_no": 1, "expectation": "values_are_readable", "reason": "unreadable_value"},
        {"row_no": 1, "expectation": "bn15_is_valid", "reason": "invalid_bn15"},
        {"row_no": 1, "expectation": "kind_is_known", "reason": "unknown_kind"},
        {"row_no": 1, "expectation": "amount_cents_is_present", "reason": "amount_missing"},
        {"row_no": 1, "expectation": "account_is_found", "reason": "account_missing"},
        {"row_no": 2, "expectation": "status_is_known", "reason": "unknown_status"},
    ]
    assert result.table_failures == []


def test_all_failing_rows_come_back_and_not_a_sample_of_them() -> None:
    rows = [{"kind": "?"}] * 1_000
    assert _check("transactions", batch("transactions", *rows)).failures["row_no"].to_pylist() == list(range(1_000))


def test_batches_are_judged_one_by_one_and_counted_together() -> None:
    dirty = {"kind": "?"}
    late = {"due_on": day("2200-01-01")}
    whole = _check("transactions", batch("transactions", {}, dirty, late, dirty, late, {}))
    parts = _check(
        "transactions",
        batch("transactions", {}, dirty, late),
        batch("transactions", first_row_no=3),
        batch("transactions", dirty, first_row_no=3),
        batch("transactions", late, {}, first_row_no=4),
    )
    assert whole == parts
    assert parts.failures["row_no"].to_pylist() == [1, 3]
    assert (parts.warnings, parts.evaluated_rows) == ({"due_on_is_plausible": 2}, 6)


def test_a_batch_may_have_numbers_with_gaps_and_in_any_order() -> None:
    rows = batch("transactions", {"kind": "?"}, {}, {"kind": "?"})
    numbers = pa.array([2**53 + 1, 7, 5], pa.int64())
    result = _check("transactions", rows.set_column(0, "row_no", numbers))
    assert result.failures["row_no"].to_pylist() == [5, 2**53 + 1]


@pytest.mark.parametrize("dataset", ["transactions", "accounts", "webinars", "account_decisions", "statements"])
def test_no_rows_pass(dataset: str) -> None:
    empty = pa.RecordBatchReader.from_batches(schema(dataset), iter([]))
    for batches in (empty, iter([]), iter([batch(dataset)])):
        result = check(dataset, batches, docs_folder=None, run_name="r")
        assert (result.failures.num_rows, result.table_failures, result.evaluated_rows) == (0, [], 0)


def test_a_missing_column_stops_the_month_and_says_which() -> None:
    rows = batch("transactions", {"kind": "?"}).drop_columns(["posted_on", "bn15"])
    reader = pa.RecordBatchReader.from_batches(rows.schema, iter([rows]))
    for batches in (iter([rows]), reader):
        result = check("transactions", batches, docs_folder=None, run_name="r")
        assert result.table_failures == [
            "transactions: missing columns bn15, posted_on. A rule about a column that is not there would judge "
            "nothing; the month stops before that."
        ]
        assert (result.failures.num_rows, result.evaluated_rows) == (0, 0)


def test_a_column_more_is_none_of_the_gates_business() -> None:
    rows = batch("subscribers", {}).append_column("score", pa.array([0.5]))
    assert _check("subscribers", rows).table_failures == []


def test_a_broken_table_rule_stops_the_month_with_a_count_and_the_why() -> None:
    decisions = batch("account_decisions", {}, {"balance_cents": 1}, {"balance_cents": -1})
    result = _check("account_decisions", decisions)
    assert result.table_failures == [
        "account_decisions: 2 of 3 rows fail 'closed_account_balance_is_zero'. An account that owes or is owed a "
        "single cent is held, not closed."
    ]
    assert result.failures.num_rows == 0


def test_a_warning_is_counted_and_lets_the_row_go_on() -> None:
    result = _check("accounts", batch("accounts", {"opened_on": None}, {"opened_on": None, "language": "de"}))
    assert result.warnings == {"opened_on_is_present": 2, "language_is_known": 1}
    assert (result.failures.num_rows, result.table_failures) == (0, [])


def test_without_a_period_in_hand_no_posting_is_too_late() -> None:
    rows = batch("transactions", {"posted_on": day("2031-01-01")})
    assert check("transactions", [rows], docs_folder=None, run_name="r").failures.num_rows == 0
    assert check("transactions", [rows], docs_folder=None, run_name="r", as_of=AS_OF).failures.num_rows == 1


def test_cents_beyond_the_reach_of_float_are_told_apart_even_beside_nulls() -> None:
    big = 2**53 + 1
    rows = batch(
        "transactions",
        {"amount_cents": None},
        {"amount_cents": big, "components_sum_cents": big},
        {"amount_cents": big, "components_sum_cents": big - 1},
    )
    assert [(row["row_no"], row["reason"]) for row in _check("transactions", rows).failures.to_pylist()] == [
        (0, "amount_missing"),
        (2, "components_do_not_add_up"),
    ]


def test_batches_of_two_shapes_are_refused() -> None:
    first = batch("subscribers", {})
    second = batch("subscribers", {}, first_row_no=1).append_column("more", pa.array(["x"]))
    with pytest.raises(DataError, match="two batches of one check have different columns"):
        _check("subscribers", first, second)


def test_a_dataset_without_a_suite_is_refused() -> None:
    with pytest.raises(UsageError, match=r"write expectations/holidays\.json"):
        check("holidays", [], docs_folder=None, run_name="r")


def _broken_suite(formula: str) -> Any:
    document = load_suite("statements").document
    broken = {
        "type": "expect_rows_to_satisfy_formula",
        "kwargs": {"column_list": ["bn15", "closing_cents"], "formula": formula, "ignore_row_if": "never"},
        "severity": "critical",
        "meta": {"name": "broken", "scope": "table", "why": "It is broken."},
    }
    return read_suite({**document, "expectations": [*document["expectations"], broken]})


@pytest.mark.parametrize(
    ("formula", "cause"),
    [
        ("bn15 > closing_cents", "TypeError"),
        ("no_such_column == 1", "UndefinedVariableError"),
        ("closing_cents >", "SyntaxError"),
    ],
)
def test_a_rule_that_raises_inside_is_an_error_and_never_a_pass(
    formula: str, cause: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    rows = batch("statements", {"bn15": CANARY})
    with caplog.at_level(logging.DEBUG), pytest.raises(RuleNotEvaluated) as caught:
        check_by(_broken_suite(formula), [rows], docs_folder=None, run_name="r")
    assert "the rule 'broken' could not be evaluated" in str(caught.value)
    assert cause in str(caught.value)
    assert CANARY not in str(caught.value) + caplog.text + "".join(capfd.readouterr())


def test_no_value_of_a_failing_row_reaches_logs_pages_or_the_result(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    amount = 987_654_321
    rows = batch(
        "transactions",
        dict.fromkeys(("transaction_id", "bn15", "kind", "status", "broker_bn9", "transaction_number"), CANARY)
        | {"amount_cents": amount, "posted_on": day("1955-05-05"), "activity_on": day("1966-06-06")},
    )
    people = dict.fromkeys(("bn15", "email", "role", "name", "provider_bn9"), CANARY)
    with caplog.at_level(logging.DEBUG):
        results = [
            _check("transactions", rows, docs_folder=tmp_path),
            _check("delegations", batch("delegations", people), docs_folder=tmp_path),
            _check("statements", batch("statements", {"bn15": CANARY, "closing_cents": amount}), docs_folder=tmp_path),
        ]
    assert results[0].failures.num_rows >= 6
    pages = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file()]
    everything = "\n".join([*pages, *map(repr, results), caplog.text, *capfd.readouterr()])
    for value in (CANARY, str(amount), f"{amount:,}", "1955-05-05", "1966-06-06"):
        assert value not in everything


def test_the_gate_asks_nobody_on_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the gate opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert _check("subscribers", batch("subscribers", {"email": "?"})).failures.num_rows == 1


def test_a_fresh_process_that_logs_everything_hears_nothing_from_the_gate() -> None:
    # The import of Great Expectations logs hundreds of lines, so this has to be the first one.
    program = (
        "import logging; logging.basicConfig(level=logging.INFO)\n"
        "from include.quality.gate import check\n"
        "from tests.quality.staged import batch\n"
        "check('subscribers', [batch('subscribers', {'email': '?'})], docs_folder=None, run_name='r')\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True, timeout=120
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_importing_the_gate_does_not_import_great_expectations() -> None:
    program = "import include.quality.gate, sys; sys.exit(bool({'great_expectations', 'pandas'} & set(sys.modules)))"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False, timeout=60).returncode == 0


def test_only_one_batch_is_held_at_a_time() -> None:
    rows = 20_000
    held: list[int] = []

    def stream() -> Iterator[pa.RecordBatch]:
        for index in range(6):
            held.append(pa.total_allocated_bytes())
            yield batch("subscribers", *([{"email": f"reader{index}@example.com"}] * rows), first_row_no=index * rows)

    before = pa.total_allocated_bytes()
    assert check("subscribers", stream(), docs_folder=None, run_name="r").evaluated_rows == 6 * rows
    one_batch = batch("subscribers", *([{}] * rows)).nbytes
    # The batch before is still in hand when the next is asked for; what the collector has not seen yet is small.
    assert max(held) - before < 3 * one_batch, held
