"""In which order payments and credits pay debts, from the dated table ``include/config/allocation.yaml``."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from include.carm.errors import UsageError
from include.carm.period import Period
from include.carm.settings_file import CONFIG_FOLDER, Settings


@dataclass(frozen=True)
class AllocationPass:
    """One pass over the debts and credits of a month.

    ``credits`` is ``payments``, ``offsets`` (credits that are no payment) or ``all``; ``in_cycle``: only what was
    placed in the month itself; ``newest_first``: debts by day of posting, the newest first, else by due date.
    """

    credits: str
    in_cycle: bool
    newest_first: bool


@dataclass(frozen=True)
class Disbursement:
    """When a credit without debts is paid out; None: no rule is published."""

    over_cents: int | None
    after_months: int | None


@dataclass(frozen=True)
class AllocationRules:
    """The whole table, by the first month in which a row holds."""

    passes: dict[Period, tuple[AllocationPass, ...]]
    disbursements: dict[Period, Disbursement]

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read the table; raises ``UsageError`` that names the file and the key of a wrong value."""
        settings = Settings.load(path or CONFIG_FOLDER / "allocation.yaml")
        settings.allow("allocation", "disbursement")
        rules = cls(
            passes=_read_dated(settings, "allocation", _read_passes),
            disbursements=_read_dated(settings, "disbursement", _read_disbursement),
        )
        for period, passes in rules.passes.items():
            met = {taken for one in passes if not one.in_cycle for taken in _TAKES[one.credits]}
            # Else a credit and a debt of one account would stand beside each other for ever.
            for credits in sorted({"payments", "offsets"} - met):
                raise settings.wrong("allocation", f"of {period} has no pass in which {credits} meet all debts")
        return rules

    def passes_of(self, period: Period) -> tuple[AllocationPass, ...]:
        """The passes of a month, in their order."""
        return _holding(self.passes, period)

    def disbursement_of(self, period: Period) -> Disbursement:
        """The rule of disbursement that holds in a month."""
        return _holding(self.disbursements, period)


_Row = TypeVar("_Row")
_TAKES = {"payments": ("payments",), "offsets": ("offsets",), "all": ("payments", "offsets")}


def _holding(rows: dict[Period, _Row], period: Period) -> _Row:
    begun = [first for first in rows if first <= period]
    if not begun:
        raise UsageError(f"no row holds for {period}: add one to include/config/allocation.yaml")
    return rows[begun[-1]]


def _read_dated(settings: Settings, name: str, read: Callable[[Settings], tuple[Period, _Row]]) -> dict[Period, _Row]:
    rows = [read(row) for row in settings.sections(name)]
    periods = [period for period, _ in rows]
    if not periods or periods != sorted(set(periods)):
        raise settings.wrong(name, "must have at least one row, the oldest first_period first")
    return dict(rows)


def _read_passes(row: Settings) -> tuple[Period, tuple[AllocationPass, ...]]:
    row.allow("first_period", "passes")
    return row.period("first_period"), tuple(_read_pass(one) for one in row.sections("passes"))


def _read_pass(row: Settings) -> AllocationPass:
    row.allow("credits", "debts", "order")
    return AllocationPass(
        credits=row.choice("credits", *_TAKES),
        in_cycle=row.choice("debts", "cycle", "all") == "cycle",
        newest_first=row.choice("order", "newest_first", "oldest_first") == "newest_first",
    )


def _read_disbursement(row: Settings) -> tuple[Period, Disbursement]:
    row.allow("first_period", "over_cents", "after_months")
    return row.period("first_period"), Disbursement(
        over_cents=None if row.is_null("over_cents") else row.count("over_cents"),
        after_months=None if row.is_null("after_months") else row.count("after_months", least=1),
    )
