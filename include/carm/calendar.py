"""Statement months and their days, from the dated table ``include/config/calendar.yaml``.

Two cycles are known: the Accounts Receivable Ledger with Release 1 (25th of the month before to the 24th) and
Release 2 (18th to 17th, first statement on 2024-11-25). Every day lies in exactly one period. All days are local
days in America/Toronto; a period is never read from a UTC instant.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Self

from include.carm.errors import UsageError
from include.carm.period import Period
from include.carm.settings_file import CONFIG_FOLDER, Settings

ONE_DAY = timedelta(days=1)
SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Cycle:
    """One row of the table: how statement months run from ``first_period`` on."""

    first_period: Period
    regime: str
    start_day: int
    end_day: int
    issue_day: int
    due: str


@dataclass(frozen=True)
class Calendar:
    """Answers every question about the days of a statement month.

    Methods raise ``UsageError`` for a period or a day before the table's first row.
    """

    timezone: str
    dormancy_years: int
    cycles: tuple[Cycle, ...]
    exceptions: dict[Period, tuple[date, date]]
    deferred: dict[Period, date]

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read the table; raises ``UsageError`` naming the key for a wrong value, or days that do not join."""
        settings = Settings.load(path or CONFIG_FOLDER / "calendar.yaml")
        settings.allow("timezone", "dormancy_years", "cycles", "exceptions", "deferred_due_dates")
        calendar = cls(
            timezone=settings.text("timezone"),
            dormancy_years=settings.count("dormancy_years", least=1),
            cycles=tuple(_read_cycle(row) for row in settings.sections("cycles")),
            exceptions=dict(_read_exception(row) for row in settings.sections("exceptions")),
            deferred=dict(_read_deferral(row) for row in settings.sections("deferred_due_dates")),
        )
        calendar._require_order(settings)
        calendar._require_joined_days(settings)
        return calendar

    def regime(self, period: Period) -> str:
        """``arl`` or ``release_2``: whose rules for due dates and off-setting hold."""
        return self._cycle(period).regime

    def start(self, period: Period) -> date:
        if period in self.exceptions:
            return self.exceptions[period][0]
        before = period.previous()
        return date(before.year, before.month, self._cycle(period).start_day)

    def end(self, period: Period) -> date:
        """The period's last day, included in it."""
        if period in self.exceptions:
            return self.exceptions[period][1]
        return date(period.year, period.month, self._cycle(period).end_day)

    def as_of(self, period: Period) -> date:
        """The day for which accounts are judged: the period's last day."""
        return self.end(period)

    def effective_on(self, period: Period) -> date:
        """The day from which a change decided in the period holds: the day after its last."""
        return self.end(period) + ONE_DAY

    def issued_on(self, period: Period) -> date:
        return date(period.year, period.month, self._cycle(period).issue_day)

    def due_on(self, period: Period) -> date:
        """The day on which the statement is payable.

        ARL: last business day of the month, SOR/86-1062 (2014). Release 2: tenth weekday after the period's end,
        holidays counted, SOR/86-1062 s. 10.3. A published deferral wins over both.
        """
        if period in self.deferred:
            return self.deferred[period]
        if self._cycle(period).due == "last_business_day":
            return _last_business_day(period)
        return _nth_weekday_after(self.end(period), 10)

    def cutoff(self, period: Period) -> date:
        """The dormancy cutoff: activity on this day or later keeps an account open."""
        return subtract_years(self.as_of(period), self.dormancy_years)

    def window(self, period: Period) -> list[Period]:
        """Every statement month from the one that holds the cutoff day to ``period``: 49 for four years."""
        return Period.range(self.period_of(self.cutoff(period)), period)

    def period_of(self, day: date) -> Period:
        """The one period that holds the day."""
        period = Period(day.year, day.month)
        # The day may lie in the period before or after the one of its own month: walk to the neighbour.
        while day < self.start(period):
            period = period.previous()
        while day > self.end(period):
            period = period.next()
        return period

    def bounds_table(self, first: Period, last: Period) -> list[tuple[str, date, date]]:
        """Rows ``(period, first day, last day)`` from ``first`` to ``last``, for joining in SQL; both days included."""
        return [(str(period), self.start(period), self.end(period)) for period in Period.range(first, last)]

    def _cycle(self, period: Period) -> Cycle:
        for cycle in reversed(self.cycles):
            if cycle.first_period <= period:
                return cycle
        raise UsageError(
            f"period {period} is before the calendar's first month {self.cycles[0].first_period}: "
            "add its row to include/config/calendar.yaml"
        )

    def _require_order(self, settings: Settings) -> None:
        first_periods = [cycle.first_period for cycle in self.cycles]
        if not first_periods or first_periods != sorted(set(first_periods)):
            raise settings.wrong("cycles", "must have at least one row, the oldest first_period first")
        early = sorted(p for p in (*self.exceptions, *self.deferred) if p < first_periods[0])
        if early:
            raise settings.wrong("cycles", f"begin with {first_periods[0]}, but there is an entry for {early[0]}")

    def _require_joined_days(self, settings: Settings) -> None:
        # Within one row all months join alike, so one of its months and every change of rule prove the whole.
        changes = {cycle.first_period.next() for cycle in self.cycles}
        changes |= {cycle.first_period for cycle in self.cycles[1:]}
        changes |= {period for exception in self.exceptions for period in (exception, exception.next())}
        for period in sorted(changes - {self.cycles[0].first_period}):
            if self.start(period) != self.effective_on(period.previous()):
                raise settings.wrong(
                    "cycles",
                    f"do not join: {period.previous()} ends on {self.end(period.previous())} "
                    f"and {period} starts on {self.start(period)}",
                )


def subtract_years(day: date, years: int) -> date:
    """The same day of the year, ``years`` earlier; 29 February becomes 28 where the earlier year has none."""
    try:
        return day.replace(year=day.year - years)
    except ValueError:
        return day.replace(year=day.year - years, day=28)


def _last_business_day(period: Period) -> date:
    following = period.next()
    day = date(following.year, following.month, 1) - ONE_DAY
    while day.weekday() >= SATURDAY or day in _federal_holidays(day.year):
        day -= ONE_DAY
    return day


def _nth_weekday_after(day: date, count: int) -> date:
    while count:
        day += ONE_DAY
        count -= day.weekday() < SATURDAY
    return day


@cache
def _federal_holidays(year: int) -> frozenset[date]:
    # The import takes longer than all else here, and only due dates need it.
    from holidays import country_holidays

    # The default category misses Victoria Day, 30 September, Thanksgiving and 11 November.
    return frozenset(country_holidays("CA", categories=("government", "public"), years=year))


def _read_cycle(row: Settings) -> Cycle:
    row.allow("first_period", "regime", "start_day", "end_day", "issue_day", "due")
    return Cycle(
        first_period=row.period("first_period"),
        regime=row.choice("regime", "arl", "release_2"),
        # Every month has a 28th, so no row can name a day that some month lacks.
        start_day=row.count("start_day", least=1, most=28),
        end_day=row.count("end_day", least=1, most=28),
        issue_day=row.count("issue_day", least=1, most=28),
        due=row.choice("due", "last_business_day", "tenth_weekday_after_end"),
    )


def _read_exception(row: Settings) -> tuple[Period, tuple[date, date]]:
    row.allow("period", "start", "end")
    start, end = row.day("start"), row.day("end")
    if end < start:
        raise row.wrong("end", f"is {end}, before the start {start}")
    return row.period("period"), (start, end)


def _read_deferral(row: Settings) -> tuple[Period, date]:
    row.allow("period", "due")
    return row.period("period"), row.day("due")
