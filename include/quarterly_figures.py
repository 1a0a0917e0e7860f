"""The figures of a quarter: what its statement months published and recorded, and nothing that they did not.

A month counts where its datasets are sealed; for a live issue only where it is issued, because nobody outside is told
of what was not. The figures of any other month are None, and so is every sum that would need them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import func, select

from include.carm.period import Period
from include.carm.quarter import Quarter
from include.operations_plan_tables import REINSTATEMENTS
from include.person_records import BEFORE_ANY_MONTH

if TYPE_CHECKING:
    from include.workspace import Workspace

ONE_DAY, ONE_WEEK = timedelta(days=1), timedelta(days=7)

MONTHS = pa.schema([("period", pa.string()), ("as_of", pa.date32())])
WEEKS = pa.schema([("period", pa.string()), ("starts_on", pa.date32()), ("ends_before", pa.date32())])


@dataclass(frozen=True)
class MonthFigures:
    """What one statement month tells; every count is None where the month is not available.

    ``clients`` had registered on the portal by the month's last day; ``statements`` were issued with the month;
    ``closed`` and ``converted`` accounts are those of the journal; ``reinstated`` ones had been closed.
    """

    period: Period
    clients: int | None = None
    statements: int | None = None
    closed: int | None = None
    converted: int | None = None
    reinstated: int | None = None


@dataclass(frozen=True)
class WeekFigures:
    """The clients that registered on the portal in one week; None where the month in which it ends is missing."""

    starts_on: date
    ends_on: date
    clients: int | None = None


@dataclass(frozen=True)
class Bar:
    """One bar, in units of the plot; ``height`` is counted from the foot."""

    x: int
    middle: int
    width: int
    height: int
    label: str


@dataclass(frozen=True)
class Bars:
    """A plot of bars in whole units, so that no machine writes a number otherwise."""

    width: int
    height: int
    foot: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class QuarterFigures:
    """All that an issue says in figures. ``start`` and ``end`` are the first and last day of the quarter."""

    quarter: Quarter
    start: date
    end: date
    months: tuple[MonthFigures, ...]
    missing: tuple[Period, ...]
    weeks: tuple[WeekFigures, ...]

    def of_quarter(self, name: str) -> int | None:
        """The sum of a figure over the quarter, or of ``clients`` the last count; None where a month it needs lacks."""
        counts = [getattr(month, name) for month in self.months]
        if name == "clients":
            last: int | None = counts[-1]
            return last
        return None if None in counts else sum(counts)

    @cached_property
    def known_weeks(self) -> tuple[WeekFigures, ...]:
        return tuple(week for week in self.weeks if week.clients is not None)

    @property
    def fewest(self) -> WeekFigures:
        """The first of the weeks with the fewest registrations."""
        return min(self.known_weeks, key=lambda week: week.clients or 0)

    @property
    def most(self) -> WeekFigures:
        """The first of the weeks with the most registrations."""
        return max(self.known_weeks, key=lambda week: week.clients or 0)

    @property
    def bars(self) -> Bars:
        """The weeks as bars; one that is not known has none."""
        return lay_out_bars(self.weeks)


def lay_out_bars(weeks: Sequence[WeekFigures]) -> Bars:
    """Place a bar for each week, the highest as high as the plot allows."""
    width, height, foot, highest = 552, 180, 156, 132
    most = max((week.clients or 0 for week in weeks), default=0) or 1
    bars = []
    for place, week in enumerate(weeks):
        left, right = (width * edge // len(weeks) for edge in (place, place + 1))
        bar_width = (right - left) * 3 // 5
        bars.append(
            Bar(
                x=left + (right - left - bar_width) // 2,
                middle=(left + right) // 2,
                width=bar_width,
                height=highest * (week.clients or 0) // most,
                label=f"{week.starts_on:%m-%d}",
            )
        )
    return Bars(width, height, foot, tuple(bars))


def whole_weeks(start: date, end: date) -> list[tuple[date, date]]:
    """The weeks from Monday to Sunday that lie between two days, both included: part of a week shows no trend."""
    monday = start + timedelta(days=-start.weekday() % 7)
    weeks = []
    while monday + ONE_WEEK - ONE_DAY <= end:
        weeks.append((monday, monday + ONE_WEEK - ONE_DAY))
        monday += ONE_WEEK
    return weeks


def read_figures(ws: Workspace, quarter: Quarter, *, is_live: bool) -> QuarterFigures:
    """The figures of a quarter from its months of the record. Raises ``DataError`` for a file that was not sealed."""
    from include import engine
    from include.month import is_issued

    lake, calendar = ws.lake(), ws.calendar
    start, end = calendar.start(quarter.months[0]), calendar.end(quarter.last)
    statements = {seal.period: seal.rows for seal in lake.seals("statements")}
    extracted = set(lake.own_periods("accounts"))
    known = [
        month
        for month in quarter.months
        if month in extracted and str(month) in statements and (not is_live or is_issued(ws, month))
    ]
    weeks = [(first, last, calendar.period_of(last)) for first, last in whole_weeks(start, end)]
    relations: dict[str, engine.Relation] = {
        "accounts": lake.files("accounts", known),
        "months": pa.Table.from_pylist(
            [{"period": str(month), "as_of": calendar.as_of(month)} for month in known], MONTHS
        ),
        "weeks": pa.Table.from_pylist(
            [
                {"period": str(month), "starts_on": first, "ends_before": last + ONE_DAY}
                for first, last, month in weeks
                if month in known
            ],
            WEEKS,
        ),
    }
    with closing(engine.connect()) as con:
        by_month = engine.run_table(con, "select_registered_clients", relations).to_pylist()
        by_week = engine.run_table(con, "select_weekly_registrations").to_pylist()
    clients = {row["period"]: row["clients"] for row in by_month}
    registered = {row["starts_on"]: row["clients"] for row in by_week}
    reinstated = _count_reinstated(ws)
    months = []
    for month in quarter.months:
        if month not in known:
            months.append(MonthFigures(month))
            continue
        changes = _count_changes(ws, month)
        months.append(
            MonthFigures(
                month,
                clients=clients[str(month)],
                statements=statements[str(month)],
                closed=changes["close"],
                converted=changes["convert"],
                reinstated=reinstated[str(month)],
            )
        )
    return QuarterFigures(
        quarter=quarter,
        start=start,
        end=end,
        months=tuple(months),
        missing=tuple(month for month in quarter.months if month not in known),
        weeks=tuple(WeekFigures(first, last, registered.get(first)) for first, last, _ in weeks),
    )


def _count_changes(ws: Workspace, month: Period) -> Counter[str]:
    """What came true in the month, by action: what was applied, and what a register of others confirmed."""
    from include.journal import applied_changes

    counted = pc.value_counts(applied_changes(ws, month)["action"]).to_pylist()
    return Counter({row["values"]: row["counts"] for row in counted})


def _count_reinstated(ws: Workspace) -> Counter[str]:
    """Closed accounts that were opened again, by the first statement month that knows of it.

    So a month that was issued never gets another count. What was recorded before any month counts by its own day.
    """
    row = REINSTATEMENTS.c
    query = select(row.known_from, row.effective_on, func.count().label("accounts")).where(row.undoes == "close")
    counted: Counter[str] = Counter()
    with ws.operations.connect() as connection:
        for found in connection.execute(query.group_by(row.known_from, row.effective_on)):
            is_before = found.known_from == BEFORE_ANY_MONTH
            month = str(ws.calendar.period_of(found.effective_on)) if is_before else found.known_from
            counted[month] += found.accounts
    return counted
