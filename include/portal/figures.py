"""How figures stand on a page: counts, cents, shares, instants, and what is masked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from include.carm.counts import tell_count

MASKED = "•••"
"""In place of what is shown only after it was asked for."""

_TORONTO = ZoneInfo("America/Toronto")


def write_count(value: int | None) -> str:
    """``1,234``; a figure that nobody knows is a dash."""
    return "–" if value is None else f"{value:,}"


def write_cents(value: int | None) -> str:
    """``$1,234.56``, a credit as ``-$1,234.56``."""
    if value is None:
        return "–"
    dollars, cents = divmod(abs(value), 100)
    return f"{'-' if value < 0 else ''}${dollars:,}.{cents:02d}"


def write_instant(value: datetime | None) -> str:
    """``2021-12-25 06:00``, Toronto's time; a dash where there is none."""
    return "–" if value is None else value.astimezone(_TORONTO).strftime("%Y-%m-%d %H:%M")


def write_span(value: timedelta | None) -> str:
    """How long something took or is ago, in its largest unit: ``40 s``, ``7 min``, ``5 h``, ``12 days``."""
    if value is None:
        return "–"
    seconds = max(0, int(value.total_seconds()))
    for size, unit in ((86_400, "day"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            number = seconds // size
            return tell_count(number, unit) if unit == "day" else f"{number} {unit}"
    return f"{seconds} s"


def write_word(value: str | None) -> str:
    """A stable word as people read it: ``no_activity_4_years`` becomes ``no activity 4 years``."""
    return "–" if not value else value.replace("_", " ")


FILTERS: Mapping[str, Callable[..., Any]] = {
    "count": write_count,
    "cents": write_cents,
    "instant": write_instant,
    "span": write_span,
    "word": write_word,
    "tell_count": tell_count,
}
"""The names that templates know them by."""
