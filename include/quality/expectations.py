"""The expectations that Great Expectations does not have; importing this module registers them.

Only for pandas, the engine of the gate. Each is one metric (which rows meet it) and one class that gives it its name
in the suites.
"""

from __future__ import annotations

import datetime
import re
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnMapExpectation, MulticolumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider import (
    ColumnMapMetricProvider,
    MulticolumnMapMetricProvider,
    column_condition_partial,
    multicolumn_condition_partial,
)

_TENS = 10 ** np.arange(9, dtype=np.int64)[::-1]
# By Luhn every second digit, from the last but one on, counts twice, and the sum of the digits of that.
_COUNTS_ONCE = np.arange(10)
_COUNTS_TWICE = np.array([0, 2, 4, 6, 8, 1, 3, 5, 7, 9])


def are_written_bn15(texts: pd.Series) -> np.ndarray:
    """For each text (none is null) whether it is a valid BN15 in its one spelling, ``000000018RM0001``.

    Another spelling of a valid number does not pass: the lake joins and cuts numbers as text, so whoever extracts
    has to normalise them first. The rule is that of :mod:`include.carm.business_number`, here for a million texts at
    once; a test holds the two together.
    """
    numbers = pa.array(texts, pa.string())
    # RE2, which Arrow uses, ends a text with a small z and knows no other digits by 0-9 than these.
    has_form = pc.match_substring_regex(numbers, r"\A[0-9]{9}RM[0-9]{4}\z").to_numpy(zero_copy_only=False)
    formed = numbers.filter(pa.array(has_form))
    bn9 = pc.utf8_slice_codeunits(formed, 0, 9).cast(pa.int64()).to_numpy()
    reference = pc.utf8_slice_codeunits(formed, 11, 15).cast(pa.int64()).to_numpy()
    is_valid = has_form.copy()
    is_valid[has_form] = (bn9 > 0) & (reference > 0) & (_luhn_sums(bn9) % 10 == 0)
    return is_valid


def are_written_bn9(texts: pd.Series) -> np.ndarray:
    """For each text (none is null) whether it is a valid BN9: nine digits that pass the Luhn check, not all zeros."""
    return are_written_bn15(texts + "RM0001")


def _luhn_sums(bn9: np.ndarray) -> np.ndarray:
    total = np.zeros(len(bn9), dtype=np.int64)
    for place, ten in enumerate(_TENS):
        total += (_COUNTS_TWICE if place % 2 else _COUNTS_ONCE)[bn9 // ten % 10]
    return total


# As derive_webinar_notice_sessions.sql reads it: what the gate passes must be told later.
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
    r"(Z|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])"
)
_FIRST_INSTANT = datetime.datetime(1980, 1, 1, tzinfo=datetime.UTC)
_END_OF_INSTANTS = datetime.datetime(2200, 1, 1, tzinfo=datetime.UTC)


def is_instant(text: str) -> bool:
    """Whether the text is an ISO 8601 date and time with its offset from UTC, from 1980 to the end of 2199.

    At the ends of time an instant has no day in another zone.
    """
    if not _INSTANT.fullmatch(text):
        return False
    try:
        return _FIRST_INSTANT <= datetime.datetime.fromisoformat(text) < _END_OF_INSTANTS
    except ValueError:
        return False


class ColumnValuesValidBn15(ColumnMapMetricProvider):
    """Rows whose number is a valid BN15."""

    condition_metric_name = "column_values.valid_bn15"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: pd.Series, **_: Any) -> pd.Series:  # noqa: N805 as Great Expectations calls it
        return pd.Series(are_written_bn15(column), index=column.index)


class ExpectColumnValuesToBeValidBn15(ColumnMapExpectation):
    """Expect every value to be the number of an RM account: right length, right check digit, one spelling."""

    map_metric: ClassVar[str] = "column_values.valid_bn15"


class ColumnValuesValidBn9(ColumnMapMetricProvider):
    """Rows whose number is a valid BN9."""

    condition_metric_name = "column_values.valid_bn9"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: pd.Series, **_: Any) -> pd.Series:  # noqa: N805 as Great Expectations calls it
        return pd.Series(are_written_bn9(column), index=column.index)


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
    """Expect every value to be a date, a time and an offset from UTC, in ISO 8601, from 1980 to 2199."""

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
