"""The judge's short way through Great Expectations comes to what its own report says, row by row."""

import datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from include.carm import business_number
from include.quality.frames import to_frame
from include.quality.judge import Judge, RuleNotEvaluated
from include.quality.suites import DATASETS, Suite, load_suite, read_suite
from tests.quality.staged import AS_OF, GOOD, batch
from tests.quality.test_rules import CASES

Failing = dict[str, list[int]]


def _by_the_judge(suite: Suite, rows: pa.RecordBatch) -> Failing:
    return {verdict.rule.name: sorted(verdict.row_numbers) for verdict in Judge(suite, AS_OF).judge(rows)}


def _by_the_book(suite: Suite, rows: pa.RecordBatch) -> Failing:
    """As the documentation has it: a context, the whole suite, one frame, and the report on every row."""
    import great_expectations as gx

    frame = to_frame(rows, suite.columns).set_index("row_no")
    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("source").add_dataframe_asset("asset")
    whole = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
    document = {
        **suite.document,
        "expectations": [item for item in suite.document["expectations"] if item["meta"]["name"] != suite.header.name],
    }
    report: Any = whole.validate(
        context.suites.add(gx.ExpectationSuite(**document)),
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["row_no"]},
        expectation_parameters={"as_of": datetime.datetime.combine(AS_OF, datetime.time.min)},
    )
    assert all(answer.exception_info["raised_exception"] is False for answer in report.results)
    return {
        answer.expectation_config.meta["name"]: sorted(
            entry["row_no"] for entry in answer.result.get("unexpected_index_list") or []
        )
        for answer in report.results
    }


def _values(dataset: str) -> dict[str, list[Any]]:
    """What the boundary cases of the dataset put into each column, beside the good value."""
    found: dict[str, list[Any]] = {column: [value] for column, value in GOOD[dataset].items()}
    for changes, _ in CASES[dataset]:
        for column, value in changes.items():
            if value not in found[column]:
                found[column].append(value)
    return found


@st.composite
def _dirty_rows(draw: st.DrawFn, dataset: str) -> list[dict[str, Any]]:
    """Rows of which any columns are changed, to values at the boundaries of the rules; some rows stand there twice."""
    choices = {column: st.sampled_from(values) for column, values in _values(dataset).items()}
    rows = draw(st.lists(st.fixed_dictionaries({}, optional=choices), min_size=1, max_size=40))
    return [*rows, *draw(st.lists(st.sampled_from(rows), max_size=10))]


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_judge_comes_to_what_the_report_of_great_expectations_says(dataset: str) -> None:
    suite = load_suite(dataset)

    # A report takes a good part of a second, so there are few of them, of many rows, and none to find a smaller one.
    @settings(max_examples=3, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(_dirty_rows(dataset))
    def compare(rows: list[dict[str, Any]]) -> None:
        staged = batch(dataset, *rows, first_row_no=7)
        assert _by_the_judge(suite, staged) == _by_the_book(suite, staged)

    compare()


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_boundary_case_is_judged_as_the_report_says(dataset: str) -> None:
    suite = load_suite(dataset)
    staged = batch(dataset, *(changes for changes, _ in CASES[dataset]))
    found = _by_the_judge(suite, staged)
    assert sum(map(len, found.values())) > 0
    assert found == _by_the_book(suite, staged)


def test_a_second_batch_is_not_answered_by_the_first() -> None:
    judge = Judge(load_suite("transactions"), AS_OF)
    clean = batch("transactions", {})
    dirty = batch("transactions", {"kind": "?", "amount_cents": 1})
    failing = ["kind_is_known", "components_add_up"]
    for rows, expected in ((clean, []), (dirty, failing), (clean, []), (dirty, failing)):
        assert [verdict.rule.name for verdict in judge.judge(rows) if len(verdict.row_numbers)] == expected


def test_two_months_judge_by_their_own_last_day() -> None:
    rows = batch("transactions", {"posted_on": AS_OF, "activity_on": AS_OF})
    suite = load_suite("transactions")
    for last_day, failing in ((AS_OF, 0), (AS_OF - datetime.timedelta(days=1), 1), (AS_OF, 0)):
        verdicts = Judge(suite, last_day).judge(rows)
        assert sum(len(verdict.row_numbers) for verdict in verdicts) == failing


def test_a_judge_holds_no_rows_once_it_has_judged_them_or_failed_to() -> None:
    document = load_suite("subscribers").document
    broken = {
        "type": "expect_rows_to_satisfy_formula",
        "kwargs": {"column_list": ["email", "language"], "formula": "no_such_column == 1", "ignore_row_if": "never"},
        "severity": "critical",
        "meta": {"name": "broken", "scope": "table", "why": "It is broken."},
    }
    rows = batch("subscribers", {})
    whole = Judge(read_suite(document), AS_OF)
    failing = Judge(read_suite({**document, "expectations": [*document["expectations"], broken]}), AS_OF)
    whole.judge(rows)
    with pytest.raises(RuleNotEvaluated):
        failing.judge(rows)
    for judge in (whole, failing):
        assert judge._engine.batch_manager.loaded_batch_ids == []


def test_rows_that_meet_no_condition_are_judged_by_the_other_rules() -> None:
    rows = batch("account_decisions", {"action": "keep", "reason": "?"})
    verdicts = Judge(load_suite("account_decisions"), AS_OF).judge(rows)
    assert "reason_is_known" in {verdict.rule.name for verdict in verdicts if len(verdict.row_numbers)}
    assert {verdict.evaluated for verdict in verdicts} == {1}


_LIKE_A_BN15 = st.from_regex(r"\A[0-9]{8,10}(RM|RC|rm)[0-9]{3,5}\Z") | st.builds(
    lambda eight, digit, reference: f"{eight:08d}{digit}RM{reference:04d}",
    st.integers(0, 99_999_999),
    st.integers(0, 9),
    st.integers(0, 9_999) | st.just(0),
)


@given(st.lists(_LIKE_A_BN15 | st.text(max_size=20), max_size=30))
def test_numbers_are_judged_together_as_they_are_one_by_one(texts: list[str]) -> None:
    from include.quality.expectations import are_written_bn9, are_written_bn15

    column = pd.Series(texts, dtype="str")
    one_by_one = [business_number.is_valid_bn15(text) and business_number.normalise(text) == text for text in texts]
    assert are_written_bn15(column).tolist() == one_by_one
    assert are_written_bn9(column).tolist() == [business_number.is_written_bn9(text) for text in texts]


@pytest.mark.parametrize("text", ["000000018RM0001", "123026635RM9999", "000000018RM0001\n", "٠٠٠٠٠٠٠١٨RM0001"])
def test_a_number_at_the_edge_of_its_form_is_judged_as_it_is_alone(text: str) -> None:
    from include.quality.expectations import are_written_bn15

    expected = business_number.is_valid_bn15(text) and business_number.normalise(text) == text
    assert are_written_bn15(pd.Series([text], dtype="str")).tolist() == [expected]
