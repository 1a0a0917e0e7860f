"""One frame judged by one suite through Great Expectations: the only module that talks to it."""

from __future__ import annotations

import datetime
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from include.carm.errors import DataError
from include.quality.suites import Rule, Suite

if TYPE_CHECKING:
    import pandas as pd

# COMPLETE gives every failing row and not a sample of them; what failed is named by its row number, never by a value.
_RESULT_FORMAT = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": ["row_no"],
    "exclude_unexpected_values": True,
    "return_unexpected_index_query": False,
    "partial_unexpected_count": 0,
}


_HEADERS_JUDGED: dict[tuple[str, tuple[str, ...]], bool] = {}


class RuleNotEvaluated(DataError):
    """A rule gave no answer. Nothing was judged by it, so nothing may pass on its word."""


@dataclass(frozen=True)
class Verdict:
    """What one rule says of one frame: ``row_numbers`` (int64) of the failing rows, out of ``evaluated`` ones."""

    rule: Rule
    evaluated: int
    row_numbers: np.ndarray


class Judge:
    """Holds a suite ready for Great Expectations; ``judge`` may be called for frame after frame."""

    def __init__(self, suite: Suite, as_of: datetime.date) -> None:
        """``as_of``, the period's last day, is the one bound that a suite leaves open."""
        _import_quietly()
        self._suite = suite
        # A bound is compared with a column of instants only where it is an instant itself.
        self._parameters = {"as_of": datetime.datetime.combine(as_of, datetime.time.min)}

    def judge_header(self, columns: Sequence[str]) -> bool:
        """Whether the columns are those that the suite expects. A process that asks again gets the answer it had."""
        import pandas as pd

        asked = (json.dumps([self._suite.header.type, self._suite.header.kwargs], sort_keys=True), tuple(columns))
        if asked not in _HEADERS_JUDGED:
            result = self._validate(_new_context(), pd.DataFrame(columns=list(columns)), [self._suite.header])
            (answer,) = result.values()
            _HEADERS_JUDGED[asked] = bool(answer.success)
        return _HEADERS_JUDGED[asked]

    def judge(self, frame: pd.DataFrame) -> list[Verdict]:
        """The verdict of every rule about rows, in the suite's order.

        Raises ``RuleNotEvaluated`` where Great Expectations raised inside, or left a rule out.
        """
        context, found = _new_context(), {}
        for clause, rules in self._rules_by_condition.items():
            # Great Expectations would filter the whole frame anew for every metric of every rule.
            rows = frame.query(clause) if clause else frame
            # Where no row meets the condition no row can fail.
            answers = self._validate(context, rows, rules) if len(rows) else {}
            for rule in rules:
                result = answers[rule.name].result if answers else {"unexpected_count": 0}
                found[rule.name] = _read_verdict(rule, result, len(frame))
        return [found[rule.name] for rule in self._suite.rules]

    @cached_property
    def _rules_by_condition(self) -> dict[str, list[Rule]]:
        """The rules by their condition as a query of pandas; an empty one for those without."""
        from great_expectations.execution_engine import PandasExecutionEngine
        from great_expectations.expectations.row_conditions import deserialize_row_condition

        engine = PandasExecutionEngine()
        grouped: dict[str, list[Rule]] = {}
        for rule in self._suite.rules:
            condition = rule.kwargs.get("row_condition")
            clause = engine.condition_to_filter_clause(deserialize_row_condition(condition)) if condition else ""
            grouped.setdefault(clause, []).append(rule)
        return grouped

    def _validate(self, context: Any, frame: pd.DataFrame, rules: Sequence[Rule]) -> dict[str, Any]:
        """Great Expectations' answer by rule name, for rows that meet the condition of all of them."""
        import great_expectations as gx

        documents = {item["meta"]["name"]: item for item in self._suite.document["expectations"]}
        wanted = [documents[rule.name] | {"kwargs": _without_condition(rule)} for rule in rules]
        name = f"{self._suite.dataset} {rules[0].name}"
        suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=wanted))
        asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
        batch = asset.add_batch_definition_whole_dataframe("batch").get_batch({"dataframe": frame})
        outcome = batch.validate(suite, result_format=_RESULT_FORMAT, expectation_parameters=self._parameters)
        configurations = [(answer.expectation_config, answer) for answer in outcome.results]
        answers = {configuration.meta["name"]: answer for configuration, answer in configurations if configuration}
        for rule in rules:
            if rule.name not in answers:
                raise RuleNotEvaluated(
                    f"{self._suite.dataset}: the rule '{rule.name}' was left out, so nothing is known"
                )
            _refuse_exception(self._suite.dataset, rule, answers[rule.name])
        return answers


def _new_context() -> Any:
    """A context for one frame: one that is used again keeps every frame it has seen."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    return gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(),
            progress_bars=ProgressBarsConfig(globally=False),
            analytics_enabled=False,
        ),
    )


def _without_condition(rule: Rule) -> dict[str, Any]:
    return {name: value for name, value in rule.kwargs.items() if name != "row_condition"}


def _refuse_exception(dataset: str, rule: Rule, answer: Any) -> None:
    """Raise where Great Expectations caught an exception: it reports one as a failed rule without failing rows."""
    info = answer.exception_info or {}
    # Either one report, or one for each metric that broke.
    reports = [info] if "raised_exception" in info else list(info.values())
    broken = [report for report in reports if report["raised_exception"]]
    if broken:
        raise RuleNotEvaluated(
            f"{dataset}: the rule '{rule.name}' could not be evaluated ({_find_cause(broken[0])}): "
            f"correct it in expectations/{dataset}.json, or the staged columns {', '.join(rule.columns)}"
        )


def _find_cause(report: Mapping[str, Any]) -> str:
    """The class of the error below Great Expectations' own, and not its message, which may quote a value."""
    names = re.findall(r"^([\w.]+(?:Error|Exception))\b", str(report["exception_traceback"]), re.MULTILINE)
    foreign = [name for name in names if not name.startswith("great_expectations.")]
    return (foreign or names or ["an error without a name"])[-1]


def _read_verdict(rule: Rule, result: Mapping[str, Any], row_count: int) -> Verdict:
    failing = result["unexpected_count"]
    row_numbers = np.array(
        [number for entry in result.get("unexpected_index_list") or [] for number in entry["row_no"]], dtype=np.int64
    )
    if len(row_numbers) != failing:
        raise RuleNotEvaluated(
            f"'{rule.name}' counts {failing} failing rows and names {len(row_numbers)}: they cannot be set apart"
        )
    return Verdict(rule=rule, evaluated=row_count, row_numbers=row_numbers)


def _import_quietly() -> None:
    """Import Great Expectations without its log and its analytics.

    Its loggers are silenced altogether: an error there quotes the value that caused it, and every exception comes back
    in the result, where the gate raises it.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    import include.quality.expectations  # noqa: F401 registers our own expectations
