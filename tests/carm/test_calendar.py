from datetime import date, timedelta
from itertools import pairwise

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from include.carm.calendar import Calendar, subtract_years
from include.carm.errors import UsageError
from include.carm.period import Period
from include.carm.settings_file import CONFIG_FOLDER

CALENDAR = Calendar.load()
ONE_DAY = timedelta(days=1)


def day(text: str) -> date:
    return date.fromisoformat(text)


def period(text: str) -> Period:
    return Period.parse(text)


@pytest.mark.parametrize(
    ("month", "start", "end", "regime"),
    [
        ("2021-12", "2021-11-25", "2021-12-24", "arl"),
        ("2022-01", "2021-12-25", "2022-01-24", "arl"),  # across the new year
        ("2024-02", "2024-01-25", "2024-02-24", "arl"),
        ("2024-09", "2024-08-25", "2024-09-24", "arl"),  # the last whole month of the ledger's cycle
        ("2024-10", "2024-09-25", "2024-10-17", "arl"),  # the transitional statement: our choice, ADR 0004
        ("2024-11", "2024-10-18", "2024-11-17", "release_2"),  # the first of Release 2
        ("2025-01", "2024-12-18", "2025-01-17", "release_2"),
    ],
)
def test_a_statement_month_runs_from_its_first_to_its_last_day(month, start, end, regime):
    found = (CALENDAR.start(period(month)), CALENDAR.end(period(month)), CALENDAR.regime(period(month)))
    assert found == (day(start), day(end), regime)
    assert CALENDAR.as_of(period(month)) == day(end)
    assert CALENDAR.effective_on(period(month)) == day(end) + ONE_DAY


@pytest.mark.parametrize(
    ("month", "issued"),
    [("2021-12", "2021-12-25"), ("2024-10", "2024-10-25"), ("2024-11", "2024-11-25"), ("2025-02", "2025-02-25")],
)
def test_every_statement_is_issued_on_the_25th(month, issued):
    assert CALENDAR.issued_on(period(month)) == day(issued)


@pytest.mark.parametrize(
    ("month", "due"),
    [
        # Published by the CBSA: last business day of the month.
        ("2012-06", "2012-06-29"),
        ("2012-09", "2012-09-28"),
        ("2012-12", "2012-12-31"),
        ("2014-02", "2014-02-28"),
        ("2014-08", "2014-08-29"),
        ("2014-11", "2014-11-28"),
        ("2014-12", "2014-12-31"),
        ("2017-02", "2017-02-28"),
        ("2017-04", "2017-04-28"),
        ("2017-06", "2017-06-30"),
        ("2017-09", "2017-09-29"),
        ("2017-12", "2017-12-29"),
        # Good Friday on 29 March 2024 and on 30 March 2018.
        ("2024-03", "2024-03-28"),
        ("2018-03", "2018-03-29"),
        # Easter Monday is no federal holiday for this rule: 31 March 1986 was one.
        ("1986-03", "1986-03-31"),
        # 30 September is a holiday from 2021 on, and no day earlier.
        ("2020-09", "2020-09-30"),
        ("2021-09", "2021-09-29"),
        ("2021-12", "2021-12-31"),
        ("2024-10", "2024-10-31"),
        # Deferred by notice.
        ("2021-01", "2021-02-01"),
        ("2021-02", "2021-03-03"),
        ("2021-03", "2021-04-01"),
        ("2021-04", "2021-04-30"),
        ("2021-06", "2021-06-30"),
        ("2021-07", "2021-08-03"),
        ("2021-08", "2021-08-31"),
        ("2021-10", "2021-11-01"),
        ("2021-11", "2021-11-30"),
        # Release 2, published: tenth weekday after the 17th.
        ("2024-11", "2024-11-29"),
        ("2025-03", "2025-03-31"),
        ("2026-01", "2026-01-30"),
        # Release 2, computed; a holiday is a legal due date.
        ("2025-02", "2025-03-03"),
        ("2025-04", "2025-05-01"),
        ("2025-06", "2025-07-01"),
        ("2025-11", "2025-12-01"),
    ],
)
def test_the_statement_is_due_on_the_published_day(month, due):
    assert CALENDAR.due_on(period(month)) == day(due)


def test_release_2_gives_twelve_to_fourteen_days_and_ten_of_them_are_weekdays():
    for month in Period.range(period("2024-11"), period("2035-12")):
        end, due = CALENDAR.end(month), CALENDAR.due_on(month)
        days = [end + ONE_DAY * n for n in range(1, (due - end).days + 1)]
        assert 12 <= len(days) <= 14, month
        assert sum(d.weekday() < 5 for d in days) == 10, month
        assert days[-1].weekday() < 5, month


def test_every_day_from_2010_to_2030_lies_in_exactly_one_period():
    bounds = [(start, end) for _, start, end in CALENDAR.bounds_table(period("2009-11"), period("2031-02"))]
    found: dict[date, int] = {}
    for start, end in bounds:
        for number in range((end - start).days + 1):
            found[start + ONE_DAY * number] = found.get(start + ONE_DAY * number, 0) + 1

    first = day("2010-01-01")
    days = [first + ONE_DAY * number for number in range((day("2030-12-31") - first).days + 1)]
    assert len(days) == 7670
    assert [] == [each for each in days if found.get(each) != 1]


@pytest.mark.parametrize(
    ("some_day", "own"),
    [
        ("2024-09-24", "2024-09"),
        ("2024-09-25", "2024-10"),
        ("2024-10-17", "2024-10"),
        ("2024-10-18", "2024-11"),
        # The last and the first day of the cycle that was not any more.
        ("2024-10-24", "2024-11"),
        ("2024-10-25", "2024-11"),
        ("2024-11-17", "2024-11"),
        ("2024-11-18", "2024-12"),
    ],
)
def test_a_day_beside_the_change_of_cycles_has_the_period_that_holds_it(some_day, own):
    assert CALENDAR.period_of(day(some_day)) == period(own)


@given(st.dates(day("2010-01-01"), day("2030-12-31")))
def test_the_period_of_a_day_holds_it_and_its_neighbours_do_not(some_day):
    own = CALENDAR.period_of(some_day)
    around = Period.range(own.plus(-3), own.plus(3))
    assert [p for p in around if CALENDAR.start(p) <= some_day <= CALENDAR.end(p)] == [own]


def test_periods_join_without_gap_from_1980_to_2035():
    table = CALENDAR.bounds_table(period("1980-01"), period("2035-12"))
    assert len(table) == 56 * 12
    assert all(end + ONE_DAY == start for (_, _, end), (_, start, _) in pairwise(table))
    assert table[0] == ("1980-01", day("1979-12-25"), day("1980-01-24"))


@pytest.mark.parametrize(
    ("month", "cutoff", "oldest"),
    [
        ("2021-12", "2017-12-24", "2017-12"),
        ("2024-02", "2020-02-24", "2020-02"),
        ("2024-10", "2020-10-17", "2020-10"),
        ("2024-11", "2020-11-17", "2020-11"),
        ("2028-10", "2024-10-17", "2024-10"),  # the cutoff on the last day of the transitional month
        ("2028-11", "2024-11-17", "2024-11"),
    ],
)
def test_the_window_reaches_from_the_month_of_the_cutoff_day(month, cutoff, oldest):
    assert CALENDAR.cutoff(period(month)) == day(cutoff)
    assert CALENDAR.window(period(month)) == Period.range(period(oldest), period(month))


def test_the_window_is_49_months_and_the_cutoff_1461_days_back():
    for month in Period.range(period("2010-01"), period("2035-12")):
        assert len(CALENDAR.window(month)) == 49, month
        assert CALENDAR.as_of(month) - CALENDAR.cutoff(month) == timedelta(days=1461), month


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [
        ("2021-12-24", "2017-12-24"),
        ("2024-02-28", "2020-02-28"),
        ("2024-02-29", "2020-02-29"),
        ("2024-03-01", "2020-03-01"),
        ("1904-02-29", "1900-02-28"),  # 1900 had no 29 February
    ],
)
def test_four_calendar_years_are_taken_off_and_29_february_is_clamped(as_of, expected):
    assert subtract_years(day(as_of), 4) == day(expected)


def test_a_month_before_the_table_is_refused_by_name():
    with pytest.raises(UsageError, match="period 1979-12 is before the calendar's first month 1980-01"):
        CALENDAR.start(period("1979-12"))


def test_a_table_without_the_transitional_row_has_a_gap_and_is_refused(tmp_path):
    with pytest.raises(UsageError, match="2024-10 ends on 2024-10-24 and 2024-11 starts on 2024-10-18"):
        load_changed(tmp_path, exceptions=[])


@pytest.mark.parametrize("end", ["2024-10-16", "2024-10-18"])
def test_a_transitional_row_that_leaves_or_doubles_a_day_is_refused(tmp_path, end):
    with pytest.raises(UsageError, match="cycles do not join"):
        load_changed(tmp_path, exceptions=[{"period": "2024-10", "start": day("2024-09-25"), "end": day(end)}])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dormancy_years": 0}, "dormancy_years is 0: write a whole number of at least 1"),
        ({"dormancy": 4}, "dormancy is unknown"),
        ({"cycles": []}, "cycles must have at least one row"),
        ({"deferred_due_dates": [{"period": "2021-13", "due": day("2021-02-01")}]}, "is not a month"),
        ({"deferred_due_dates": [{"period": "2021-01", "due": "soon"}]}, r"deferred_due_dates\[0\].due is 'soon'"),
        (
            {"exceptions": [{"period": "2024-10", "start": day("2024-10-17"), "end": day("2024-09-25")}]},
            "before the start",
        ),
    ],
)
def test_a_wrong_value_in_the_table_is_named(tmp_path, change, message):
    with pytest.raises(UsageError, match=message):
        load_changed(tmp_path, **change)


def load_changed(folder, **changes):
    """The shipped calendar with some of its keys replaced."""
    shipped = yaml.safe_load((CONFIG_FOLDER / "calendar.yaml").read_text(encoding="utf-8"))
    file = folder / "calendar.yaml"
    file.write_text(yaml.safe_dump(shipped | changes), encoding="utf-8")
    return Calendar.load(file)
