"""The quarter of a newsletter: three statement months, named by the calendar year and quarter that they end in."""

import re
from dataclasses import dataclass
from typing import Self

from include.carm.errors import UsageError
from include.carm.period import Period

_WRITTEN = re.compile(r"([0-9]{4})-Q([1-4])")


@dataclass(frozen=True, order=True, slots=True)
class Quarter:
    """One quarter, such as 2021-Q4: the statement months 2021-10 to 2021-12."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``YYYY-Qn``; raises ``UsageError`` for everything else."""
        written = _WRITTEN.fullmatch(text)
        if written is None:
            raise UsageError(f"'{text}' is not a quarter: write YYYY-Qn, for example 2021-Q4")
        quarter = cls(int(written[1]), int(written[2]))
        # A year that has no months has no quarters.
        Period(quarter.year, 1)
        return quarter

    @classmethod
    def of(cls, period: Period) -> Self:
        """The quarter that a statement month belongs to."""
        return cls(period.year, (period.month + 2) // 3)

    def __str__(self) -> str:
        return f"{self.year:04d}-Q{self.number}"

    @property
    def months(self) -> tuple[Period, Period, Period]:
        """Its statement months, the earliest first."""
        first = Period(self.year, 3 * self.number - 2)
        return first, first.plus(1), first.plus(2)

    @property
    def last(self) -> Period:
        """The month that closes the quarter, under which its newsletter is published."""
        return self.months[-1]
