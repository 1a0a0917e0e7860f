"""The facts of one month's page: the coverage of its window as a grid, and what a shadow run beside it came to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.portal.figures import write_cents, write_count, write_word

_TONES = {"covered": "good", "not_expected": ""}


@dataclass(frozen=True)
class Mark:
    """A month of a feed: the sign that ``carm status`` has for it, what it means, and how urgent it is."""

    sign: str
    meaning: str
    tone: str


@dataclass(frozen=True)
class FeedYear:
    """A year of a feed; of a month outside the window there is no mark."""

    feed: str
    year: str
    marks: tuple[Mark | None, ...]


def coverage_years(grid: Sequence[Mapping[str, Any]]) -> list[FeedYear]:
    """A row a feed and year, a column a month."""
    from include.status import MARKS

    found = {(cell["feed"], cell["period"]): cell["word"] for cell in grid}
    years = sorted({cell["period"][:4] for cell in grid})
    rows = []
    for feed in dict.fromkeys(cell["feed"] for cell in grid):
        for year in years:
            words = [found.get((feed, f"{year}-{month:02d}")) for month in range(1, 13)]
            marks = tuple(Mark(*MARKS[word], _TONES.get(word, "warn")) if word else None for word in words)
            rows.append(FeedYear(feed, year, marks))
    return rows


@dataclass(frozen=True)
class Difference:
    """A figure that a shadow run found otherwise than it stands on record."""

    what: str
    record: str
    shadow: str


def shadow_differences(record: Mapping[str, Any], shadow: Mapping[str, Any]) -> list[Difference]:
    """The figures of two summaries of a month that are not the same."""
    ours, theirs = dict(_figures(record)), dict(_figures(shadow))
    # In the order of the record, and after it what only the shadow run has.
    names = [*ours, *(name for name in theirs if name not in ours)]
    return [
        Difference(name, ours.get(name, "none"), theirs.get(name, "none"))
        for name in names
        if ours.get(name) != theirs.get(name)
    ]


def _figures(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for row in summary["decisions"]:
        yield f"Accounts: {row['action']}, {write_word(row['reason'])}", write_count(row["accounts"])
    for row in summary["quarantine"]:
        yield f"Quarantined {write_word(row['dataset'])}: {write_word(row['reason'])}", write_count(row["row_count"])
    for name, value in summary["statements"].items():
        yield f"Statements: {_name(name)}", _write(name, value)
    for name, value in summary["interest"].items():
        yield f"Interest: {_name(name)}", _write(name, value)
    # A summary of an earlier release says nothing of them.
    for reason, accounts in summary.get("parked", {}).items():
        yield f"Parked: {write_word(reason)}", write_count(accounts)
    for kind, notices in summary["notices"].items():
        yield f"Notices: {write_word(kind)}", write_count(notices)
    for row in summary["control_totals"]:
        yield f"Rows of {write_word(row['dataset'])}", write_count(row["row_count"])
        yield f"Sum of {write_word(row['dataset'])}", write_cents(row["sum_cents"])


def _name(name: str) -> str:
    return write_word(name.removesuffix("_cents"))


def _write(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value or "none"
    return write_cents(value) if name.endswith("_cents") else write_count(value)
