"""Arrow batches judged by one suite through Great Expectations: the only module that talks to it."""

from __future__ import annotations

import datetime
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.carm.errors import DataError
from include.quality.frames import to_frame, to_frame_of_values, to_plain, to_row_numbers
from include.quality.suites import DATASETS, Rule, Suite

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.validator.metric_configuration import MetricConfiguration

# COMPLETE gives every failing row and not a sample of them; what failed is named by its position, never by a value.
_RUNTIME = {
    "result_format": {
        "result_format": "COMPLETE",
        "exclude_unexpected_values": True,
        "return_unexpected_index_query": False,
        "include_unexpected_rows": False,
        "partial_unexpected_count": 0,
    },
    "catch_exceptions": True,
}

_HEADERS_JUDGED: dict[tuple[str, tuple[str, ...]], bool] = {}


class RuleNotEvaluated(DataError):
    """A rule gave no answer. Nothing was judged by it, so nothing may pass on its word."""


@dataclass(frozen=True)
class Verdict:
    """What one rule says of one batch: ``row_numbers`` (int64) of the failing rows, out of ``evaluated`` ones."""

    rule: Rule
    evaluated: int
    row_numbers: np.ndarray


@dataclass(frozen=True)
class _Question:
    """What Great Expectations is asked about a rule: how many rows of its frame fail, and at which positions."""

    rule: Rule
    clause: str
    """The rule's condition as a query of pandas; empty where it has none."""
    count: MetricConfiguration
    positions: MetricConfiguration

    @property
    def frame_id(self) -> str:
        return _frame_id(self.rule.columns, self.clause)


class _Distinct:
    """The distinct values of one column. A rule about a value needs to see each of them only once."""

    def __init__(self, name: str, values: pa.Array, row_numbers: np.ndarray) -> None:
        self._values, self._distinct, self._row_numbers = values, values.unique(), row_numbers
        self.frame = to_frame_of_values(name, self._distinct)

    def row_numbers_at(self, positions: Sequence[int]) -> np.ndarray:
        failing = self._distinct.take(pa.array(positions, pa.int64()))
        return self._row_numbers[pc.is_in(self._values, value_set=failing).to_numpy(zero_copy_only=False)]


class _Rows:
    """Rows of a batch as they are, for rules that compare columns or have a condition."""

    def __init__(self, frame: pd.DataFrame, row_numbers: np.ndarray) -> None:
        self.frame, self._row_numbers = frame, row_numbers

    def row_numbers_at(self, positions: Sequence[int]) -> np.ndarray:
        return self._row_numbers[np.asarray(positions, dtype=np.int64)]


class Judge:
    """Holds a suite ready for Great Expectations; ``judge`` may be called for batch after batch.

    A rule is asked for its metrics and not for a report: how many rows are unexpected and which ones, computed by the
    graph of metrics that Great Expectations' own validator builds. A report of 30 rules takes ten times as long to
    put together as to find out what it says.
    """

    def __init__(self, suite: Suite, as_of: datetime.date) -> None:
        """``as_of``, the period's last day, is the one bound that a suite leaves open."""
        _import_quietly()
        from great_expectations.execution_engine import PandasExecutionEngine
        from great_expectations.validator.metrics_calculator import MetricsCalculator

        self._suite = suite
        # Its cache would keep what was found out about the rows of the last batch.
        self._engine = PandasExecutionEngine(caching=False)
        self._calculator = MetricsCalculator(self._engine, show_progress_bars=False)
        self._questions = _prepare(json.dumps(suite.document), as_of)

    def judge_header(self, columns: Sequence[str]) -> bool:
        """Whether the columns are those that the suite expects. A process that asks again gets the answer it had."""
        header = self._suite.header
        asked = (json.dumps([header.type, header.kwargs], sort_keys=True), tuple(columns))
        if asked not in _HEADERS_JUDGED:
            _HEADERS_JUDGED[asked] = self._is_met(header, columns)
        return _HEADERS_JUDGED[asked]

    def judge(self, batch: pa.RecordBatch) -> list[Verdict]:
        """The verdict of every rule about rows, in the suite's order.

        Raises ``RuleNotEvaluated`` where Great Expectations raised inside, and ``DataError`` for a column of a wrong
        type or a row without its number.
        """
        views = self._view(batch)
        loaded = self._engine.batch_manager.batch_data_cache
        try:
            for frame_id, view in views.items():
                self._engine.load_batch_data(frame_id, view.frame)
            counts, _ = self._calculator.resolve_validation_graph(self._graph, _RUNTIME)
            return [
                Verdict(question.rule, batch.num_rows, self._find_failing(question, counts, views[question.frame_id]))
                for question in self._questions
            ]
        finally:
            loaded.clear()

    @cached_property
    def _graph(self) -> Any:
        counts = [question.count for question in self._questions]
        return self._calculator.build_metric_dependency_graph(counts, _RUNTIME)

    def _view(self, batch: pa.RecordBatch) -> dict[str, _Distinct | _Rows]:
        """What each rule has to look at, by the name of its frame.

        A frame holds the columns of its rules and no more: Great Expectations copies it for every metric.
        """
        row_numbers = to_row_numbers(batch)
        views: dict[str, _Distinct | _Rows] = {}
        for clause, rules in self._rules_by_condition.items():
            if clause:
                # Great Expectations would filter the whole frame anew for every metric of every rule.
                rows = to_frame(batch, tuple(dict.fromkeys(column for rule in rules for column in rule.columns)))
                rows = rows.query(clause)
                for rule in rules:
                    views[_frame_id(rule.columns, clause)] = _Rows(rows[list(rule.columns)], row_numbers)
                continue
            for columns in dict.fromkeys(rule.columns for rule in rules):
                view: _Distinct | _Rows
                if len(columns) == 1:
                    view = _Distinct(columns[0], to_plain(columns[0], batch.column(columns[0])), row_numbers)
                else:
                    view = _Rows(to_frame(batch, columns), row_numbers)
                views[_frame_id(columns, "")] = view
        return views

    @cached_property
    def _rules_by_condition(self) -> dict[str, list[Rule]]:
        grouped: dict[str, list[Rule]] = {}
        for question in self._questions:
            grouped.setdefault(question.clause, []).append(question.rule)
        return grouped

    def _find_failing(self, question: _Question, counts: Mapping[Any, Any], view: _Distinct | _Rows) -> np.ndarray:
        """The numbers of the rows that fail; most rules name none, so only who counts some is asked for them."""
        failing = self._answer(question, question.count, counts)
        if not failing:
            return np.array([], dtype=np.int64)
        positions = self._answer(question, question.positions, {})
        if len(positions) != failing:
            raise RuleNotEvaluated(
                f"'{question.rule.name}' counts {failing} failing rows and names {len(positions)}: "
                "they cannot be set apart"
            )
        return view.row_numbers_at(positions)

    def _answer(self, question: _Question, metric: MetricConfiguration, known: Mapping[Any, Any]) -> Any:
        """The value of a metric, from ``known`` or computed alone; never a pass where there is none."""
        if metric.id in known:
            return known[metric.id]
        found, aborted = self._calculator.compute_metrics([metric], _RUNTIME)
        if metric.id in found:
            return found[metric.id]
        rule, dataset = question.rule, self._suite.dataset
        raise RuleNotEvaluated(
            f"{dataset}: the rule '{rule.name}' could not be evaluated ({_find_cause(aborted)}): "
            f"correct it in expectations/{dataset}.json, or the staged columns {', '.join(rule.columns)}"
        )

    def _is_met(self, header: Rule, columns: Sequence[str]) -> bool:
        import pandas as pd

        expectation = _to_expectation(header.type, {**header.kwargs, "batch_id": "header"})
        self._engine.load_batch_data("header", pd.DataFrame(columns=list(columns)))
        dependencies = expectation.get_validation_dependencies(self._engine, dict(_RUNTIME))
        metrics, _ = self._calculator.compute_metrics(dependencies.get_metric_configurations(), _RUNTIME)
        return bool(expectation.metrics_validate(metrics, dict(_RUNTIME), self._engine).success)


# A process judges a few months by the same suites, and a period's last day stands in some of them.
@lru_cache(maxsize=2 * len(DATASETS))
def _prepare(document: str, as_of: datetime.date) -> tuple[_Question, ...]:
    """What to ask about each rule of the suite, in its order: what Great Expectations says the rule depends on."""
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.expectations.row_conditions import deserialize_row_condition

    from include.quality.suites import read_suite

    engine = PandasExecutionEngine()
    # A bound is compared with a column of instants only where it is an instant itself.
    parameters = {"as_of": datetime.datetime.combine(as_of, datetime.time.min)}
    questions = []
    for rule in read_suite(json.loads(document)).rules:
        condition = rule.kwargs.get("row_condition")
        clause = engine.condition_to_filter_clause(deserialize_row_condition(condition)) if condition else ""
        kwargs = {
            name: parameters[value["$PARAMETER"]] if isinstance(value, dict) and "$PARAMETER" in value else value
            for name, value in rule.kwargs.items()
            if name != "row_condition"
        }
        expectation = _to_expectation(rule.type, {**kwargs, "batch_id": _frame_id(rule.columns, clause)})
        metrics = expectation.get_validation_dependencies(engine, dict(_RUNTIME))
        questions.append(
            _Question(
                rule,
                clause,
                count=metrics.get_metric_configuration(f"{expectation.map_metric}.unexpected_count"),
                positions=metrics.get_metric_configuration(f"{expectation.map_metric}.unexpected_index_list"),
            )
        )
    return tuple(questions)


def _to_expectation(type_: str, kwargs: dict[str, Any]) -> Any:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    return ExpectationConfiguration(type=type_, kwargs=kwargs).to_domain_obj()


def _frame_id(columns: Sequence[str], clause: str) -> str:
    return f"{', '.join(columns)} where {clause}"


def _find_cause(aborted: Mapping[Any, Any]) -> str:
    """The class of the error below Great Expectations' own, and not its message, which may quote a value."""
    traceback = "\n".join(str(info["exception_info"]["exception_traceback"]) for info in aborted.values())
    names = re.findall(r"^([\w.]+(?:Error|Exception))\b", traceback, re.MULTILINE)
    foreign = [name for name in names if not name.startswith("great_expectations.")]
    return (foreign or names or ["an error without a name"])[-1]


def _import_quietly() -> None:
    """Import Great Expectations without its log and its analytics.

    Its loggers are silenced altogether: an error there quotes the value that caused it, and every exception comes back
    in the result, where the gate raises it.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    import include.quality.expectations  # noqa: F401 registers our own expectations
