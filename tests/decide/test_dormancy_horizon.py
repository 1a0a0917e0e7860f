"""The dormancy horizon: in which of the next months a clock runs out, on the day it would."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from include.carm.calendar import Calendar
from include.carm.period import Period
from include.decide import publish_decisions
from tests.decide.accounts import AS_OF, an_account
from tests.decide.month import DECEMBER, Register, month_of
from tests.decide.oracle import Account, four_years_before

DAY = timedelta(days=1)
MONTHS = [DECEMBER.plus(ahead) for ahead in range(1, 13)]


@pytest.fixture
def register(tmp_path: Path, sqlite_url: str) -> Register:
    return Register.make(tmp_path / "data", sqlite_url)


def horizon(register: Register, accounts: list[Account]) -> dict[tuple[str, str | None], int]:
    register.fill(accounts)
    publish_decisions(register.ws, month_of())
    rows = pq.read_table(register.ws.lake().file("dormancy_horizon", DECEMBER), partitioning=None).to_pylist()
    return {(row["month"], row["program_type"]): row["accounts"] for row in rows}


def active_on(day: date, **changes: object) -> Account:
    return an_account(activities=(("import", day),), **changes)


def test_every_coming_month_and_type_has_a_row(register: Register) -> None:
    found = horizon(register, [an_account()])
    assert [(str(month), kind) for month in MONTHS for kind in ("dual", "exporter", "importer")] == list(found)
    assert {0} == set(found.values())


@pytest.mark.parametrize("month", [MONTHS[0], MONTHS[1], MONTHS[-1]])
@pytest.mark.parametrize(
    ("days", "months_later"),
    [(-1, 0), (0, 1), (1, 1)],
    ids=["the day before the cutoff", "the cutoff day", "the day after"],
)
def test_a_clock_runs_out_in_the_first_month_whose_cutoff_lies_after_it(
    register: Register, month: Period, days: int, months_later: int
) -> None:
    clock = four_years_before(Calendar.load().as_of(month)) + days * DAY
    found = horizon(register, [active_on(clock)])
    expected = month.plus(months_later)
    counted = {(str(expected), "importer"): 1} if expected in MONTHS else {}
    assert counted == {cell: accounts for cell, accounts in found.items() if accounts}


def test_who_is_dormant_now_or_for_long_active_is_in_no_coming_month(register: Register) -> None:
    cutoff = four_years_before(AS_OF)
    found = horizon(register, [active_on(cutoff - DAY), active_on(AS_OF), an_account(activities=(), opened_on=None)])
    assert {0} == set(found.values())


def test_each_open_account_counts_whatever_would_hold_its_closure_back(register: Register) -> None:
    soon = four_years_before(AS_OF) + DAY
    accounts = [
        active_on(soon),
        active_on(soon, hold_reason="appeal"),
        active_on(soon, program_type="dual"),
        an_account(activities=(), reinstated_on=soon, program_type="exporter"),
        active_on(soon, program_type=None),
    ]
    found = horizon(register, accounts)
    assert {("2022-01", "importer"): 2, ("2022-01", "dual"): 1, ("2022-01", "exporter"): 1, ("2022-01", None): 1} == {
        cell: count for cell, count in found.items() if count
    }
