"""The statement month, the unit in which everything is computed, replaced and named."""

import re
from dataclasses import dataclass
from datetime import MINYEAR
from typing import Self

from include.carm.errors import UsageError

LAST_YEAR = 9998  # A period's neighbours must still be dates, and year 9999 has no next month.
_WRITTEN = re.compile(r"([0-9]{4})-([0-9]{2})")


@dataclass(frozen=True, order=True, slots=True)
class Period:
    """One statement month, such as 2021-12. Which days it holds is the calendar's business.

    Raises ``UsageError`` for a month outside 1..12 or a year outside 1..9998.
    """

    year: int
    month: int

    def __post_init__(self) -> None:
        if not (MINYEAR <= self.year <= LAST_YEAR and 1 <= self.month <= 12):
            raise UsageError(_not_a_month(f"{self.year:04d}-{self.month:02d}"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``YYYY-MM``. Nothing else is guessed: a wrong month is worse than a question."""
        written = _WRITTEN.fullmatch(text)
        if written is None:
            raise UsageError(_not_a_month(text))
        try:
            return cls(int(written[1]), int(written[2]))
        except UsageError:
            raise UsageError(_not_a_month(text)) from None

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    def plus(self, months: int) -> Self:
        """The period ``months`` later, or earlier where ``months`` is negative."""
        years, month = divmod(self.month - 1 + months, 12)
        return type(self)(self.year + years, month + 1)

    def next(self) -> Self:
        return self.plus(1)

    def previous(self) -> Self:
        return self.plus(-1)

    @staticmethod
    def range(first: "Period", last: "Period") -> list["Period"]:
        """Every period from ``first`` to ``last``, both included; empty where ``last`` comes before ``first``."""
        months = (last.year - first.year) * 12 + last.month - first.month
        return [first.plus(offset) for offset in range(months + 1)]


def _not_a_month(text: str) -> str:
    return f"period '{text}' is not a month: write YYYY-MM, for example 2021-12"
