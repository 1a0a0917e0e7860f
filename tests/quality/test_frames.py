"""Arrow to pandas: nothing is lost on the way to a rule."""

import datetime

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.carm.errors import DataError
from include.quality.frames import to_frame, to_row_numbers


def _column(values: pa.Array) -> pd.Series:
    return to_frame(pa.RecordBatch.from_pydict({"x": values}), ["x"])["x"]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))))
def test_whole_numbers_come_through_as_they_are(numbers: list[int | None]) -> None:
    column = _column(pa.array(numbers, pa.int64()))
    assert [None if pd.isna(number) else int(number) for number in column] == numbers
    assert str(column.dtype) in {"int64", "Int64"}


@given(st.lists(st.one_of(st.none(), st.dates()), min_size=2))
def test_days_keep_their_order_with_every_bound_and_between_1700_and_2261_themselves(
    days: list[datetime.date | None],
) -> None:
    column = _column(pa.array(days, pa.date32()))
    assert str(column.dtype) == "datetime64[ns]"
    for day, instant in zip(days, column, strict=True):
        assert (day is None) == pd.isna(instant)
        if day is None:
            continue
        if 1700 <= day.year < 2262:
            assert instant.date() == day
        for bound in (datetime.date(1980, 1, 1), datetime.date(2021, 12, 24), datetime.date(2199, 12, 31)):
            assert (instant.date() < bound, instant.date() > bound) == (day < bound, day > bound)


@given(st.lists(st.one_of(st.none(), st.booleans())))
def test_flags_stay_flags(flags: list[bool | None]) -> None:
    column = _column(pa.array(flags, pa.bool_()))
    assert [None if pd.isna(flag) else bool(flag) for flag in column] == flags


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.string_view()])
def test_text_stays_text_whatever_its_layout(type_: pa.DataType) -> None:
    column = _column(pa.array(["é", None, ""], pa.string()).cast(type_))
    assert [None if pd.isna(text) else text for text in column] == ["é", None, ""]


def test_categories_are_the_values_that_they_stand_for() -> None:
    assert list(_column(pa.array(["B3", "PMT", "B3"]).dictionary_encode())) == ["B3", "PMT", "B3"]


def test_a_column_of_nothing_but_null_is_empty_text() -> None:
    assert _column(pa.nulls(3)).isna().all()


def test_a_sql_sum_of_cents_is_a_whole_number() -> None:
    column = _column(pa.array([2**53 + 1, -1], pa.int64()).cast(pa.decimal128(38, 0)))
    assert (str(column.dtype), list(column)) == ("int64", [2**53 + 1, -1])


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (pa.array([0.1]), "double"),
        (pa.array([1], pa.decimal128(10, 2)), r"decimal128\(10, 2\)"),
        (pa.array([datetime.datetime(2021, 12, 24, tzinfo=datetime.UTC)]), "timestamp"),
    ],
)
def test_a_type_that_could_lose_cents_or_days_is_refused(values: pa.Array, named: str) -> None:
    with pytest.raises(DataError, match=f"column x comes as {named}"):
        _column(values)


def test_a_number_that_does_not_fit_is_refused_without_being_quoted() -> None:
    with pytest.raises(DataError, match="column x has a number that does not fit") as caught:
        _column(pa.array([2**63], pa.decimal128(38, 0)))
    assert str(2**63) not in f"{caught.value} {caught.value.__cause__}"


def test_a_row_without_a_number_is_refused() -> None:
    batch = pa.RecordBatch.from_pydict({"row_no": pa.array([0, None], pa.int64())})
    with pytest.raises(DataError, match="has no row_no"):
        to_row_numbers(batch)
