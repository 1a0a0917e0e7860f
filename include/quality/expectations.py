"""The expectations that Great Expectations does not have; importing this module registers them.

Only for pandas, the engine of the gate. Each is one metric (which rows meet it) and one class that gives it its name
in the suites.
"""

from __future__ import annotations

import datetime
from typing import Any, ClassVar

import pandas as pd
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnMapExpectation, MulticolumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider import (
    ColumnMapMetricProvider,
    MulticolumnMapMetricProvider,
    column_condition_partial,
    multicolumn_condition_partial,
)

from include.carm import business_number


def is_written_bn15(text: str) -> bool:
    """Whether the text is a valid BN15 in its one spelling, ``000000018RM0001``.

    Another spelling of a valid number does not pass: the lake joins and cuts numbers as text, so whoever extracts
    has to normalise them first.
    """
    return business_number.is_valid_bn15(text) and business_number.normalise(text) == text


def is_written_bn9(text: str) -> bool:
    """Whether the text is a valid BN9, nine digits that pass the Luhn check."""
    return is_written_bn15(f"{text}RM0001")


def is_instant(text: str) -> bool:
    """Whether the text is an ISO 8601 date and time with its offset from UTC."""
    try:
        return datetime.datetime.fromisoformat(text).utcoffset() is not None
    except ValueError:
        return False


class ColumnValuesValidBn15(ColumnMapMetricProvider):
    """Rows whose number is a valid BN15; each distinct number is looked at once."""

    condition_metric_name = "column_values.valid_bn15"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: pd.Series, **_: Any) -> pd.Series:  # noqa: N805 as Great Expectations calls it
        return column.isin([text for text in column.unique() if is_written_bn15(text)])


class ExpectColumnValuesToBeValidBn15(ColumnMapExpectation):
    """Expect every value to be the number of an RM account: right length, right check digit, one spelling."""

    map_metric: ClassVar[str] = "column_values.valid_bn15"


class ColumnValuesValidBn9(ColumnMapMetricProvider):
    """Rows whose number is a valid BN9; each distinct number is looked at once."""

    condition_metric_name = "column_values.valid_bn9"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: pd.Series, **_: Any) -> pd.Series:  # noqa: N805 as Great Expectations calls it
        return column.isin([text for text in column.unique() if is_written_bn9(text)])


class ExpectColumnValuesToBeValidBn9(ColumnMapExpectation):
    """Expect every value to be the nine-digit number of a firm with a right check digit."""

    map_metric: ClassVar[str] = "column_values.valid_bn9"


class ColumnValuesInstantsWithOffset(ColumnMapMetricProvider):
    """Rows whose text is an ISO 8601 instant with an offset."""

    condition_metric_name = "column_values.instants_with_offset"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: pd.Series, **_: Any) -> pd.Series:  # noqa: N805 as Great Expectations calls it
        return column.isin([text for text in column.unique() if is_instant(text)])


class ExpectColumnValuesToBeInstantsWithOffset(ColumnMapExpectation):
    """Expect every value to be a date, a time and an offset from UTC, in ISO 8601."""

    map_metric: ClassVar[str] = "column_values.instants_with_offset"


class MulticolumnValuesSatisfyFormula(MulticolumnMapMetricProvider):
    """Rows for which a formula over the columns is true. A formula without an answer (a null) is not true."""

    condition_metric_name = "multicolumn_values.satisfy_formula"
    condition_domain_keys = ("batch_id", "table", "column_list", "row_condition", "condition_parser", "ignore_row_if")
    condition_value_keys = ("formula",)

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: pd.DataFrame, **kwargs: Any) -> pd.Series:  # noqa: N805 as Great Expectations calls it
        # The python engine computes int64 as int64; numexpr may be missing and is not needed for one line.
        answers: Any = column_list.eval(kwargs["formula"], engine="python")
        true: pd.Series = answers.fillna(False).astype(bool)
        return true


class ExpectRowsToSatisfyFormula(MulticolumnMapExpectation):
    """Expect a formula over the columns of one row, such as ``c == a + b``, to be true for every row.

    The formula is pandas' ``eval`` and comes from a suite in this repository, never from data.
    """

    formula: str
    map_metric: ClassVar[str] = "multicolumn_values.satisfy_formula"
    domain_keys: ClassVar[tuple[str, ...]] = (
        "batch_id",
        "column_list",
        "row_condition",
        "condition_parser",
        "ignore_row_if",
    )
    success_keys: ClassVar[tuple[str, ...]] = ("formula", "mostly")
    args_keys: ClassVar[tuple[str, ...]] = ("column_list", "formula")
