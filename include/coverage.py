"""What the months of a feed cover: the facts that extraction recorded, judged by the policy as it is now.

``carm_feed_coverage`` keeps what was found (state, rows, first day, the hash of the file) and never a verdict. So a
changed policy, an ``exists``, a ``minimum_rows`` or a ``first_period``, holds for the months before it as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import select

from include.carm.period import Period
from include.feeds import LEDGER_FEEDS
from include.operations_schema import COVERAGE, FEED_COVERAGE

if TYPE_CHECKING:
    from include.carm.policy import Feed, Policy
    from include.workspace import Workspace

FORMAT = "carm coverage 1"
COVERED = ("covered", "not_expected")
"""The words of a month whose silence means something. Every other word is a gap, and says what is missing."""

# What a correction of the program type rests on: that nothing was seen of the type that is taken away.
CONVERSION_NEEDS = {"exporter": "transactions", "importer": "export_declarations"}


def coverage_grid(ws: Workspace, period: Period) -> list[dict[str, Any]]:
    """Every feed and month of the window as known at ``period``, in order, ready for JSON.

    ``word`` is ``covered``, ``not_expected`` (the policy says that the feed does not exist), or the first thing that is
    missing: ``not_extracted``, ``not_received``, ``not_validated``, ``not_reconciled``, ``not_sealed`` (the file is not
    the one whose rows were counted), ``before_first_period``, ``too_few_rows``. Beside it stand ``feed, period`` and
    the figures: ``rows, quarantined, minimum_rows, first_period, observed_in``, and ``files``, the hash of each
    published file that brought rows of the month, by the month in which they became known.
    """
    return coverage_grids(ws, [period])[period]


def coverage_grids(ws: Workspace, periods: Sequence[Period]) -> dict[Period, list[dict[str, Any]]]:
    """:func:`coverage_grid` of several months, read at once."""
    names = [feed.name for feed in LEDGER_FEEDS]
    query = select(FEED_COVERAGE).where(FEED_COVERAGE.c.known_in <= str(max(periods)), FEED_COVERAGE.c.feed.in_(names))
    sealed = select(COVERAGE.c.dataset, COVERAGE.c.period, COVERAGE.c.sha256).where(
        COVERAGE.c.area == "lake", COVERAGE.c.dataset.in_(names)
    )
    found: dict[tuple[str, str], list[Any]] = {}
    with ws.operations.connect() as connection:
        for row in connection.execute(query.order_by(FEED_COVERAGE.c.known_in)):
            found.setdefault((row.feed, row.period), []).append(row)
        hashes = {(row.dataset, row.period): row.sha256 for row in connection.execute(sealed)}
    return {period: _judge_window(ws, period, found, hashes) for period in periods}


def _judge_window(
    ws: Workspace, period: Period, found: Mapping[tuple[str, str], list[Any]], hashes: dict[tuple[str, str], str]
) -> list[dict[str, Any]]:
    window = [str(month) for month in ws.calendar.window(period)]
    grid = []
    for feed in LEDGER_FEEDS:
        known = {
            month: [row for row in found.get((feed.name, month), ()) if row.known_in <= str(period)] for month in window
        }
        # A feed that brought rows exists, whatever the policy says of it.
        was_received = any(row.state == "received" for rows in known.values() for row in rows)
        for month, rows in known.items():
            judged = _FeedMonth(ws, ws.policy.feeds[feed.name], month, rows).judged(hashes, was_received=was_received)
            grid.append({"feed": feed.name, "period": month, **judged})
    return grid


class _FeedMonth:
    """What is known of one feed and month: a row for each month in which rows of it became known."""

    def __init__(self, ws: Workspace, policy: Feed, month: str, rows: Sequence[Any]) -> None:
        self.ws, self.policy, self.month, self.rows = ws, policy, month, rows
        self.received = [row for row in rows if row.state in ("received", "empty")]
        self.count = sum(row.rows for row in self.received)

    def judged(self, hashes: dict[tuple[str, str], str], *, was_received: bool) -> dict[str, Any]:
        firsts = [first for row in self.received if (first := self._first_period(row)) is not None]
        return {
            "word": self._word(hashes, max(firsts, default=None), was_received=was_received),
            "rows": self.count,
            "quarantined": sum(row.quarantined for row in self.rows),
            "minimum_rows": self._minimum(),
            "first_period": max(firsts, default=None),
            "observed_in": max((row.observed_in for row in self.rows), default=None),
            "files": {row.known_in: row.sha256 for row in self.rows},
        }

    def _word(self, hashes: dict[tuple[str, str], str], first: str | None, *, was_received: bool) -> str:
        if not self.rows:
            return "not_extracted"
        if not self.received:
            return "not_received" if self.policy.exists or was_received else "not_expected"
        if not all(row.validated for row in self.received):
            return "not_validated"
        if not all(row.reconciled for row in self.received):
            return "not_reconciled"
        # Rows of the first release have no hash of their own; the lake proves each file that it hands out anyway.
        if any(row.sha256 not in (None, hashes.get((row.feed, row.known_in))) for row in self.received):
            return "not_sealed"
        if first is not None and self.month < first:
            return "before_first_period"
        return "covered" if self.count >= self._minimum() else "too_few_rows"

    def _minimum(self) -> int:
        minimums = (
            self.policy.minimum_rows_header_only if row.state == "empty" else self.policy.minimum_rows
            for row in self.received
        )
        return min(minimums, default=self.policy.minimum_rows)

    def _first_period(self, row: Any) -> str | None:
        """The first month from which the feed is complete: the policy's, else that of the feed's first row."""
        if self.policy.first_period is not None:
            return str(self.policy.first_period)
        if row.first_day is None:
            # A row of the first release kept the month alone.
            return row.first_period if row.state == "received" else None
        # A day before there were postings is a slip of the pen, not the feed's beginning.
        return str(self.ws.calendar.period_of(date.fromisoformat(row.first_day))) if row.first_day >= "1980" else None


def gap_stretches(grid: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The rows of a grid that are gaps: together where months of a feed that follow each other lack the same thing."""
    stretch: list[dict[str, Any]] = []
    for row in grid:
        if row["word"] in COVERED:
            continue
        goes_on = (
            stretch
            and (row["feed"], row["word"]) == (stretch[-1]["feed"], stretch[-1]["word"])
            and Period.parse(stretch[-1]["period"]).next() == Period.parse(row["period"])
        )
        if stretch and not goes_on:
            yield stretch
            stretch = []
        stretch.append(row)
    if stretch:
        yield stretch


def coverage_id(ws: Workspace, period: Period) -> str:
    """The SHA-256 of the grid: the same evidence under the same policy has the same name."""
    text = json.dumps([FORMAT, str(period), coverage_grid(ws, period)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def window_coverage(ws: Workspace, period: Period) -> pa.Table:
    """The relation ``coverage``: per feed whether every month of the window is covered, and which are not.

    Columns ``feed, covered, missing`` (months, comma-separated), as known at ``period``.
    """
    missing: dict[str, list[str]] = {feed.name: [] for feed in LEDGER_FEEDS}
    for row in coverage_grid(ws, period):
        if row["word"] not in COVERED:
            missing[row["feed"]].append(row["period"])
    rows = [{"feed": feed, "covered": not months, "missing": ",".join(months)} for feed, months in missing.items()]
    return pa.Table.from_pylist(rows)


def needed_feeds(policy: Policy) -> pa.Table:
    """The relation ``needed_feeds``: the feeds whose silence a change rests on.

    Columns ``program_type, change, feed``. ``change`` is ``close``, or the program type that an account would get. What
    closing a type needs is the policy's; what a conversion needs follows from what it takes away.
    """
    rows = []
    for program_type, feeds in sorted(policy.closure.needs_feeds.items()):
        rows += [{"program_type": program_type, "change": "close", "feed": feed} for feed in feeds]
        rows += [{"program_type": program_type, "change": new, "feed": feed} for new, feed in CONVERSION_NEEDS.items()]
    return pa.Table.from_pylist(rows)
