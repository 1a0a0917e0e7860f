"""A block of accounts: what each of them is, as arrays with one place an account. Everything else follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import numpy as np

from include.carm.business_number import bn9_with_check_digit
from include.carm.calendar import Calendar
from include.carm.period import Period
from include.demo.cases import CASES, case_of
from include.demo.draw import Draw, Flags, Integers

BLOCK_ACCOUNTS = 5_000
"""Accounts made at a time. Part of what the world is: the rows of a block lie in the database by day."""

MOST_ACCOUNTS = 5_000_000
LAST_PERIOD = Period(2021, 12)
NO_DAY = 0
"""Days are ordinals of the proleptic calendar; this one stands for NULL."""

IMPORTER, EXPORTER, DUAL = 0, 1, 2
PROGRAM_TYPES = ("importer", "exporter", "dual", "broker", None)

# BN9s beginning with 0 have seven free digits; the first is left out, because nine zeros are no business number.
FIRMS = 9_999_999
FIRM_STRIDE = 6_180_338  # coprime to the count, so that every firm has its own number
FIRST_BROKER, _FIRST_STRANGER = 9_900_000, 9_950_000
BROKERS = 40
# Every 20th account is the second account of the firm that has the first of the twenty.
_ACCOUNTS_OF_19_FIRMS = 20


class DayTexts(dict[int, str | None]):
    """The ISO text of a day by its ordinal, made once; None for ``NO_DAY``."""

    def __init__(self) -> None:
        super().__init__({NO_DAY: None})

    def __missing__(self, day: int) -> str:
        text = self[day] = date.fromordinal(day).isoformat()
        return text


@dataclass(frozen=True)
class World:
    """What a demo world is made from, and its days. ``months`` statement months end with ``last_period``.

    Of ``broken_dates`` accounts of a hundred the dates are broken (:mod:`include.demo.breakage`).
    """

    accounts: int = 5_000
    months: int = 55
    seed: int = 2021
    last_period: Period = LAST_PERIOD
    broken_dates: int = 0
    calendar: Calendar = field(default_factory=Calendar.load, compare=False, repr=False)

    @cached_property
    def draw(self) -> Draw:
        return Draw(self.seed)

    @cached_property
    def periods(self) -> list[Period]:
        return Period.range(self.last_period.plus(1 - self.months), self.last_period)

    @cached_property
    def starts(self) -> Integers:
        """First day of each month."""
        return np.array([self.calendar.start(period).toordinal() for period in self.periods])

    @cached_property
    def ends(self) -> Integers:
        """Last day of each month."""
        return np.array([self.calendar.end(period).toordinal() for period in self.periods])

    @cached_property
    def dues(self) -> Integers:
        """Day on which each month's statement is due."""
        return np.array([self.calendar.due_on(period).toordinal() for period in self.periods])

    @property
    def first_day(self) -> int:
        return int(self.starts[0])

    @property
    def last_day(self) -> int:
        return int(self.ends[-1])

    @cached_property
    def cutoff(self) -> int:
        """The dormancy cutoff of the last month."""
        return self.calendar.cutoff(self.last_period).toordinal()

    @cached_property
    def cutoff_month(self) -> int:
        """Index of the month that holds the cutoff day; negative where the world begins later."""
        holds_cutoff, first = self.calendar.period_of(date.fromordinal(self.cutoff)), self.periods[0]
        return (holds_cutoff.year - first.year) * 12 + holds_cutoff.month - first.month

    def month_of(self, days: Integers) -> Integers:
        """Index of the month that holds each day."""
        return np.searchsorted(self.starts, days, side="right") - 1


@dataclass(frozen=True)
class Block:
    """Accounts ``number`` (counted from 0 through the whole world). All arrays have one place an account.

    ``*_from`` and ``*_to`` are the first and last month, as index, in which an account is active; the last is below
    the first where it never is. The first activity lies in ``*_sure`` to ``*_to`` and is never taken back.
    """

    number: Integers
    bn9: list[str]
    bn15: list[str]
    case: Integers
    is_ordinary: Flags
    program: Integers
    firm: Integers
    opened_on: Integers
    closed_on: Integers
    residual: Integers
    imports_from: Integers
    imports_sure: Integers
    imports_to: Integers
    exports_from: Integers
    exports_sure: Integers
    exports_to: Integers

    @cached_property
    def siblings(self) -> tuple[Integers, Integers]:
        """Positions of the first and of the second account of each firm that has two in this block."""
        second = np.flatnonzero(firm_of(self.number)[1])
        return second - (_ACCOUNTS_OF_19_FIRMS - 1), second

    def with_event(self, event: str) -> Integers:
        """Positions of the accounts whose case has this event."""
        return np.flatnonzero(np.array([case.event == event for case in CASES])[self.case])


def firm_of(number: Integers) -> tuple[Integers, Flags]:
    """The firm of each account number, and whether the account is its second one."""
    group, place = np.divmod(number, _ACCOUNTS_OF_19_FIRMS)
    second = place == _ACCOUNTS_OF_19_FIRMS - 1
    return group * (_ACCOUNTS_OF_19_FIRMS - 1) + np.where(second, 0, place), second


def bn9_of(firm: int, offset: int) -> str:
    """The BN9 of firm number ``firm``: valid, with a leading zero, its own for each firm."""
    return bn9_with_check_digit(f"0{(firm * FIRM_STRIDE + offset) % FIRMS + 1:07d}")


def firm_offset(world: World) -> int:
    """Where the world's BN9s begin, so that another seed has other firms."""
    return int(world.draw.below("firm_offset", FIRMS)[0])


def broker_bn9s(world: World) -> list[str]:
    """The BN9s of the customs brokers, none of which has an account of its own."""
    offset = firm_offset(world)
    return [bn9_of(FIRST_BROKER + broker, offset) for broker in range(BROKERS)]


def stranger_bn15s(world: World, count: int) -> list[str]:
    """Valid BN15s that no account of the world has."""
    offset = firm_offset(world)
    return [f"{bn9_of(_FIRST_STRANGER + stranger, offset)}RM0001" for stranger in range(count)]


def make_block(world: World, first: int) -> Block:
    """The block of accounts that begins with account number ``first``."""
    number = np.arange(first, min(first + BLOCK_ACCOUNTS, world.accounts), dtype=np.int64)
    case = case_of(number)
    program = _draw_programs(world, number, case)
    firm, second = firm_of(number)
    offset = firm_offset(world)
    bn9 = [bn9_of(one, offset) for one in firm.tolist()]
    opened_on, active_from = _draw_opening(world, number, case)
    closed_on = _draw_closing(world, number, case)
    reach = {
        direction: _reach(world, number, case, direction, opposite, program, active_from, closed_on)
        for direction, opposite in (("imports", EXPORTER), ("exports", IMPORTER))
    }
    return Block(
        number=number,
        bn9=bn9,
        bn15=[f"{one}RM{1 + is_second:04d}" for one, is_second in zip(bn9, second.tolist(), strict=True)],
        case=case,
        is_ordinary=case == 0,
        program=program,
        firm=firm,
        opened_on=opened_on,
        closed_on=closed_on,
        residual=np.array([case.residual_cents for case in CASES])[case],
        imports_from=reach["imports"][0],
        imports_sure=reach["imports"][1],
        imports_to=reach["imports"][2],
        exports_from=reach["exports"][0],
        exports_sure=reach["exports"][1],
        exports_to=reach["exports"][2],
    )


def _draw_programs(world: World, number: Integers, case: Integers) -> Integers:
    # 163,881 importing, 48,718 exporting, 31,326 both (StatCan, The Daily, 2024-05-16).
    chance = world.draw.below("program", 100, number)
    drawn = np.select([chance < 73, chance < 83], [IMPORTER, EXPORTER], DUAL)
    # The world's first two accounts see to it that every month has imports and exports, however small it is.
    drawn = np.select([number == 0, number == 1], [IMPORTER, DUAL], drawn)
    fixed = np.array(
        [-1 if case.program_type == "drawn" else PROGRAM_TYPES.index(case.program_type) for case in CASES]
    )[case]
    return np.where(fixed < 0, drawn, fixed)


def _draw_opening(world: World, number: Integers, case: Integers) -> tuple[Integers, Integers]:
    """The day on which each account was opened, and the index of the first month in which it may be active."""
    draw, last = world.draw, world.months - 1
    opened = np.array([case.opened for case in CASES])[case]
    early = min(world.first_day, world.cutoff) - 400
    long_ago = draw.between("opened", date(1996, 1, 2).toordinal(), early, number)
    new_month = draw.between("opened_month", 1, max(last - 2, 1), number)
    is_new = (opened == "drawn") & draw.happens("opened_recently", 3_000, number) & (number > 1) & (last >= 3)
    last_months = draw.between("opened_lately", max(last - 9, 0), last, number)
    new_month = np.minimum(np.where(opened == "last_months", last_months, new_month), last)
    in_month = world.starts[new_month] + draw.below("opened_day", 28, number)
    opened_on = np.select(
        [
            is_new | (opened == "last_months"),
            opened == "on_cutoff",
            opened == "day_before_cutoff",
            opened == "day_after_cutoff",
            opened == "missing",
        ],
        [np.minimum(in_month, world.last_day), world.cutoff, world.cutoff - 1, world.cutoff + 1, NO_DAY],
        long_ago,
    )
    return opened_on, np.where(is_new, new_month + 1, 0)


def _draw_closing(world: World, number: Integers, case: Integers) -> Integers:
    """The day from which an account is closed: the first day of a month, as a clean-up would have it."""
    history = np.array([case.history for case in CASES])[case]
    last = world.months - 1
    month = np.where(
        history == "closed", world.draw.between("closed_month", min(1, last), max(last - 1, 0), number), last
    )
    return np.where((history == "closed") | (history == "closed_in_last_period"), world.starts[month], NO_DAY)


def _reach(
    world: World,
    number: Integers,
    case: Integers,
    direction: str,
    opposite: int,
    program: Integers,
    active_from: Integers,
    closed_on: Integers,
) -> tuple[Integers, Integers, Integers]:
    """First month, first sure month and last month of activity in one direction, as indexes."""
    draw, last = world.draw, world.months - 1
    reach = np.array([getattr(case, direction) for case in CASES])[case]
    by_type = np.where(program == opposite, "none", "window")
    reach = np.where(reach == "by_type", by_type, reach)
    sure = np.maximum(active_from, max(world.cutoff_month + 1, 0))
    # Some ordinary accounts fall silent inside the window: not dormant yet.
    falls_silent = (case == 0) & draw.happens(f"{direction}_end", 1_200, number) & (number > 1)
    silent_from = draw.between(f"{direction}_end_month", np.minimum(sure + 3, last), last, number)
    # Accounts that keep a residual must have paid everything else by the end.
    settled = np.array([case.residual_cents != 0 for case in CASES])[case]
    to = np.select([falls_silent, settled], [silent_from, np.maximum(sure, last - 2)], last)
    to = np.where(reach == "before", world.cutoff_month - 1, to)
    to = np.where(closed_on != NO_DAY, np.minimum(to, world.month_of(closed_on) - 3), to)
    to = np.where(reach == "none", -1, to)
    return active_from, np.where(reach == "window", sure, active_from), to


def spread(
    world: World, block: Block, purpose: str, counts: Integers, first: Integers, sure: Integers, last: Integers
) -> tuple[Integers, Integers, Integers, Integers, Integers]:
    """Spread ``counts`` happenings of each account over its months.

    Returns, one place a happening: position of the account, number within the account (0 is the sure one), month,
    day on which it was posted, day on which it happened. The world's first two accounts have one on the last day of
    every month.
    """
    draw = world.draw
    counts = np.where(last >= first, counts, 0)
    account = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(account)) - np.repeat(np.cumsum(counts) - counts, counts)
    who = block.number[account]
    low = np.where(nth == 0, np.minimum(sure, last)[account], first[account])
    month = draw.between(f"{purpose}_month", low, last[account], who, nth)
    is_steady = (who < 2) & (nth > 0)
    month = np.where(is_steady, (nth - 1) % world.months, month)
    length = world.ends[month] - world.starts[month] + 1
    day = draw.below(f"{purpose}_day", length, who, nth)
    day = np.where(is_steady & (nth <= world.months), length - 1, day)
    # The first day of all belongs to balances brought forward, which come before any other posting.
    posted_on = np.maximum(world.starts[month] + day, world.first_day + 1)
    lag = draw.below(f"{purpose}_lag", 5, who, nth)
    is_late = draw.happens(f"{purpose}_late", 100, who, nth) & (nth > 0)
    lag = np.where(is_late, draw.between(f"{purpose}_late_lag", 45, 200, who, nth), lag)
    # Nothing happens before the account is opened, and nothing sure before the month that makes it sure.
    earliest = np.where(nth == 0, world.starts[month], block.opened_on[account])
    return account, nth, month, posted_on, np.minimum(np.maximum(posted_on - lag, earliest), posted_on)


def day_within(world: World, month: Integers, purpose: str, who: Integers) -> Integers:
    """A day of each month, but not the world's first: that one belongs to balances brought forward."""
    length = world.ends[month] - world.starts[month] + 1
    return np.maximum(world.starts[month] + world.draw.below(purpose, length, who, month), world.first_day + 1)
