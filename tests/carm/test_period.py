import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.carm.errors import UsageError
from include.carm.period import LAST_YEAR, Period

periods = st.builds(Period, year=st.integers(1000, 3000), month=st.integers(1, 12))


@given(periods)
def test_what_is_written_is_read_again(period):
    assert Period.parse(str(period)) == period


@pytest.mark.parametrize(
    "text",
    ["2021-13", "2021-00", "2021-1", "21-12", "2021-12-24", "202112", "2021-12 ", "", "0000-01", "٢٠٢١-١٢"],
)
def test_what_is_no_month_is_refused_with_an_example(text):
    with pytest.raises(UsageError) as refused:
        Period.parse(text)
    assert str(refused.value) == f"period '{text}' is not a month: write YYYY-MM, for example 2021-12"
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("start", "months", "expected"),
    [
        ("2021-12", 1, "2022-01"),
        ("2021-12", 0, "2021-12"),
        ("2021-01", -1, "2020-12"),
        ("2021-12", -48, "2017-12"),
        ("2021-12", 13, "2023-01"),
        ("2021-01", -13, "2019-12"),
    ],
)
def test_months_are_counted_across_years(start, months, expected):
    assert Period.parse(start).plus(months) == Period.parse(expected)


@given(periods)
def test_next_and_previous_undo_each_other(period):
    assert period.next().previous() == period
    assert period.previous() < period < period.next()


@given(periods, st.integers(0, 100))
def test_a_range_holds_every_month_once_and_in_order(first, months):
    found = Period.range(first, first.plus(months))
    assert found == sorted(set(found))
    assert len(found) == months + 1
    assert (found[0], found[-1]) == (first, first.plus(months))


def test_a_range_that_runs_backwards_is_empty():
    assert Period.range(Period(2021, 12), Period(2021, 11)) == []


@pytest.mark.parametrize("impossible", [(2021, 0), (2021, 13), (0, 1), (LAST_YEAR + 1, 1)])
def test_a_month_outside_the_calendar_cannot_be_built(impossible):
    with pytest.raises(UsageError):
        Period(*impossible)


def test_the_months_after_the_last_year_are_refused():
    with pytest.raises(UsageError):
        Period(LAST_YEAR, 12).next()
