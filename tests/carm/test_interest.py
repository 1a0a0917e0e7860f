"""Interest to the cent: the published fixtures, the edges of days, what has no rate."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from include.carm.errors import UsageError
from include.carm.interest import InterestRates, Piece, RateMissing
from include.carm.settings_file import CONFIG_FOLDER

RATES = InterestRates.load()
WHOLE = Decimal(0)


def piece(cents: int, first: date, days: int, sima_share: Decimal = WHOLE) -> Piece:
    """A debt that was due on the day before ``first``."""
    return Piece(cents, sima_share, first - timedelta(days=1), first, first + timedelta(days=days - 1))


def test_ten_thousand_dollars_for_25_days_of_the_last_quarter_of_2021() -> None:
    assert RATES.interest([piece(10_000_00, date(2021, 11, 1), 25)]) == 42_34


def test_ten_thousand_dollars_across_a_change_of_quarter() -> None:
    """30 days of the third quarter, then 15 of the fourth."""
    assert RATES.interest([piece(10_000_00, date(2021, 9, 1), 45)]) == 75_77


def test_what_is_carried_compounds_on_what_it_bore_before() -> None:
    """Two months apart bear what they bear together, but for the rounding of each."""
    due, middle, end = date(2021, 10, 31), date(2021, 11, 24), date(2021, 12, 24)
    first = Piece(50_000_00, WHOLE, due, date(2021, 11, 1), middle)
    second = Piece(50_000_00, WHOLE, due, middle + timedelta(days=1), end)
    both = RATES.interest([first, second])
    assert both == RATES.interest([Piece(50_000_00, WHOLE, due, date(2021, 11, 1), end)])
    assert abs(both - RATES.interest([first]) - RATES.interest([second])) <= 1


def test_duties_of_the_special_import_measures_act_are_not_compounded() -> None:
    first = date(2021, 10, 1)
    plain = Fraction(10_000_00) * 92 * Fraction("6.1696") / 36_500
    assert RATES.interest([piece(10_000_00, first, 92, Decimal(1))]) == round(plain)
    half = RATES.interest([piece(10_000_00, first, 92, Decimal("0.5"))])
    whole = RATES.interest([piece(10_000_00, first, 92)])
    assert round(plain) < half < whole


def test_a_piece_that_was_paid_before_it_bore_anything_bears_nothing() -> None:
    assert RATES.interest([piece(10_000_00, date(2021, 11, 1), 0)]) == 0
    assert RATES.interest([]) == 0


def test_nothing_accrues_on_a_holiday_and_no_rate_is_asked_for() -> None:
    assert RATES.interest([piece(10_000_00, date(2024, 10, 21), 467)]) == 0
    with pytest.raises(RateMissing, match="2024-Q4") as missing:
        RATES.interest([piece(10_000_00, date(2024, 10, 20), 2)])
    assert missing.value.quarter == "2024-Q4"
    with pytest.raises(RateMissing, match="2026-Q1"):
        RATES.interest([piece(10_000_00, date(2026, 1, 30), 2)])


def test_a_missing_quarter_before_the_month_is_missing_too() -> None:
    """What a debt bore while no rate is known is what it compounds on."""
    carried = Piece(10_000_00, WHOLE, date(2021, 6, 29), date(2021, 7, 1), date(2021, 7, 31))
    with pytest.raises(RateMissing, match="2021-Q2"):
        RATES.interest([carried])
    # Asked again it answers the same, whatever was asked between.
    RATES.interest([piece(10_000_00, date(2021, 7, 1), 10)])
    with pytest.raises(RateMissing, match="2021-Q2"):
        RATES.interest([carried])


def test_invented_rates_are_those_of_the_demo_world_alone() -> None:
    with pytest.raises(RateMissing):
        RATES.daily_rate(date(2020, 5, 1))
    demo = InterestRates.load(demo=True)
    assert demo.daily_rate(date(2020, 5, 1)) > 0
    # A published figure is never replaced by an invented one.
    assert demo.daily_rate(date(2021, 12, 1)) == RATES.daily_rate(date(2021, 12, 1))


@given(st.integers(1, 10**12), st.integers(0, 90), st.integers(0, 40))
def test_cents_are_those_of_exact_fractions_rounded_half_up(cents: int, wait: int, days: int) -> None:
    due = date(2021, 7, 1)
    first = due + timedelta(days=1 + wait)
    last = first + timedelta(days=days)
    growth = {due: Fraction(1)}
    for offset in range((last - due).days):
        day = due + timedelta(days=offset)
        rate = Fraction("6.1001") if day + timedelta(days=1) <= date(2021, 9, 30) else Fraction("6.1696")
        growth[day + timedelta(days=1)] = growth[day] * (1 + rate / 36_500)
    exact = cents * (growth[last] - growth[first - timedelta(days=1)])
    expected = (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)
    assert RATES.interest([Piece(cents, WHOLE, due, first, last)]) == expected


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("margin", "six", r"margin is 'six': write percent as text"),
        ("margin", 6, r"margin is 6: write a text"),
        ("margin", "-1", "margin is '-1': write percent"),
        ("day_count", 12, "day_count is 12: write a whole number from 360 to 366"),
        ("prescribed", {"2021-Q5": "1"}, "prescribed.2021-Q5 is no quarter: write it like 2021-Q4"),
        ("prescribed", {"2021-Q4": "NaN"}, "prescribed.2021-Q4 is 'NaN': write percent"),
        ("holidays", [{"from": date(2024, 2, 1), "to": date(2024, 1, 1)}], "is 2024-01-01, before 2024-02-01"),
        ("rates", {}, "rates is unknown"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(tmp_path: Path, key: str, value: object, said: str) -> None:
    values = yaml.safe_load((CONFIG_FOLDER / "interest.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "interest.yaml"
    path.write_text(yaml.safe_dump(values | {key: value}), encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        InterestRates.load(path)
