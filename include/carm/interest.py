"""Interest on overdue amounts, calculated for comparison with what the ledger posts; it never becomes a posting.

Specified rate = prescribed rate of the quarter + margin, compounded daily, from the day after the due date to the day
of payment (D11-6-5; Customs Act s. 3.1, 33.4). The part of a debt that is anti-dumping or countervailing duty bears
interest that is not compounded. On interest holidays nothing accrues. Everything is exact decimal; cents are rounded
half up once a posting.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple, Self

from include.carm.settings_file import CONFIG_FOLDER, Settings

_ONE_DAY = timedelta(days=1)
# Significant digits of a growth factor: decades of days lose nothing that could reach a cent.
_EXACT = Context(prec=40)
_CENT = Decimal(1)


class RateMissing(Exception):
    """No prescribed rate is known for ``quarter``, such as ``2020-Q2``: nothing may be calculated with it."""

    def __init__(self, quarter: str) -> None:
        super().__init__(f"no prescribed rate is known for {quarter}")
        self.quarter = quarter


class Piece(NamedTuple):
    """A part of a debt with one fate: ``cents`` that bear interest from ``first`` to ``last``, both days included.

    ``due_on`` is the last day without interest, from which compounding counts; ``sima_share`` (0 to 1) is the part that
    is not compounded.
    """

    cents: int
    sima_share: Decimal
    due_on: date
    first: date
    last: date


@dataclass(frozen=True)
class InterestRates:
    """The dated table: prescribed rates in percent by quarter, the margin, the day count and the holidays."""

    prescribed: dict[str, Decimal]
    margin: Decimal
    day_count: int
    holidays: tuple[tuple[date, date], ...]
    # A month asks for the same few days for very many debts.
    _growths: dict[date, dict[date, Decimal]] = field(default_factory=dict, repr=False, compare=False)
    _factors: dict[tuple[date, date, date], tuple[Decimal, Decimal] | str] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def load(cls, path: Path | None = None, *, demo: bool = False) -> Self:
        """Read the table; with ``demo`` also the rates that were invented for the demo world.

        Raises ``UsageError`` that names the file and the key of a wrong value.
        """
        settings = Settings.load(path or CONFIG_FOLDER / "interest.yaml")
        settings.allow("margin", "day_count", "prescribed", "holidays", "demo_prescribed")
        known = _read_rates(settings.section("prescribed"))
        invented = _read_rates(settings.section("demo_prescribed"))
        return cls(
            prescribed=invented | known if demo else known,
            margin=_percent(settings, "margin"),
            day_count=settings.count("day_count", least=360, most=366),
            holidays=tuple(_read_holiday(row) for row in settings.sections("holidays")),
        )

    def daily_rate(self, day: date) -> Decimal:
        """What one dollar bears on that day; zero on a holiday. Raises :class:`RateMissing`."""
        if any(first <= day <= last for first, last in self.holidays):
            return Decimal(0)
        quarter = f"{day.year}-Q{(day.month + 2) // 3}"
        if quarter not in self.prescribed:
            raise RateMissing(quarter)
        return _EXACT.divide(self.prescribed[quarter] + self.margin, Decimal(100 * self.day_count))

    def interest(self, pieces: Iterable[Piece]) -> int:
        """The interest of one posting in cents: of all its pieces together, rounded half up once.

        Raises :class:`RateMissing` where a day of a piece, or of the time since it was due, has no known rate.
        """
        exact = Decimal(0)
        for piece in pieces:
            exact = _EXACT.add(exact, _EXACT.multiply(piece.cents, self._factor(piece)))
        return int(exact.quantize(_CENT, ROUND_HALF_UP, _EXACT))

    def _factor(self, piece: Piece) -> Decimal:
        if piece.last < piece.first:
            return Decimal(0)
        key = (piece.due_on, piece.first, piece.last)
        found = self._factors.get(key)
        if found is None:
            found = self._factors[key] = self._factors_of(*key)
        if isinstance(found, str):
            raise RateMissing(found)
        compounded, plain = found
        if not piece.sima_share:
            return compounded
        simple = _EXACT.multiply(_EXACT.subtract(plain, compounded), piece.sima_share)
        return _EXACT.add(compounded, simple)

    def _factors_of(self, due_on: date, first: date, last: date) -> tuple[Decimal, Decimal] | str:
        """What a dollar bears from ``first`` to ``last``, compounded and not; or the quarter whose rate is missing."""
        try:
            growth = self._growth_since(due_on, last)
            plain = Decimal(0)
            for number in range((last - first).days + 1):
                plain = _EXACT.add(plain, self.daily_rate(first + timedelta(days=number)))
            return _EXACT.subtract(growth[last], growth[first - _ONE_DAY]), plain
        except RateMissing as error:
            return error.quarter

    def _growth_since(self, due_on: date, last: date) -> dict[date, Decimal]:
        """What one dollar that was due on a day has become at the end of each day since, up to ``last`` at least."""
        growth = self._growths.setdefault(due_on, {due_on: Decimal(1)})
        day = max(growth)
        while day < last:
            before, day = day, day + _ONE_DAY
            growth[day] = _EXACT.multiply(growth[before], _EXACT.add(_CENT, self.daily_rate(day)))
        return growth


def _read_rates(row: Settings) -> dict[str, Decimal]:
    return {_require_quarter(row, str(name)): _percent(row, name) for name in row.values}


def _require_quarter(row: Settings, name: str) -> str:
    year, _, quarter = name.partition("-Q")
    if not (len(year) == 4 and year.isdecimal() and quarter in ("1", "2", "3", "4")):
        raise row.wrong(name, "is no quarter: write it like 2021-Q4")
    return name


def _percent(row: Settings, name: str) -> Decimal:
    text = row.text(name)
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not (value.is_finite() and 0 <= value <= 100):
        raise row.wrong(name, f'is {text!r}: write percent as text, for example "0.1696"')
    return value


def _read_holiday(row: Settings) -> tuple[date, date]:
    row.allow("from", "to")
    first, last = row.day("from"), row.day("to")
    if last < first:
        raise row.wrong("to", f"is {last}, before {first}")
    return first, last
