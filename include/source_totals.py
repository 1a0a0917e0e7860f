"""What the source holds, without its rows: the days on which it posted, and counts and sums by day, kind and status.

The sums are of **all** rows, at every run: by them a month that was edited, or came late, is found. So their cost grows
with the source. The days are looked up in the index of the posting day where there is one, and cost nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from include import engine
from include.carm.errors import DataError
from include.carm.period import Period
from include.feeds import LEDGER_FEEDS, LedgerFeed
from include.postgresql_rows import travels_as_text
from include.source_rows import Columns, present_columns, require_columns, source_snapshot

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.workspace import Workspace

UNDATED = "undated"
EXPORT_KIND = "EXPORT"
"""Control totals go by kind; export declarations have one only."""
MOST_STEPS = 20_000
"""Days looked up one by one: 54 years of them. A column of instants would have as many steps as rows."""

Totals = dict[tuple[str, str, str], tuple[int, int]]
"""Count and sum in cents by posting month, kind and status."""

_WHOLE_NUMBER = "^(0|-?[1-9][0-9]{0,16})$"
"""The texts that are their own number, as ``whole_number`` asks of them; a longer one is unreadable to it too."""

_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})( 00:00:00(\.0+)?)?")


def readable_day(text: str | None) -> date | None:
    """The day that a source text means, or None; the twin of the same rule in ``stage_*.sql``."""
    match = _DAY.fullmatch(text or "")
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def posted_period(ws: Workspace, day: date | None) -> str:
    """The statement month of a posting day, as control totals name it; ``undated`` where there is none."""
    if day is None:
        return UNDATED
    first = ws.calendar.cycles[0].first_period
    return str(ws.calendar.period_of(day)) if day >= ws.calendar.start(first) else before_calendar(ws)


def before_calendar(ws: Workspace) -> str:
    """The name under which postings older than the calendar's first month are counted."""
    return f"before {ws.calendar.cycles[0].first_period}"


# The days.


def posting_days(ws: Workspace) -> list[date]:
    """The days on which anything was posted, of all ledger feeds, oldest first."""
    days: set[date] = set()
    with source_snapshot(ws) as connection:
        present = present_columns(connection)
        for feed in LEDGER_FEEDS:
            if feed.posted in present.get(feed.name, {}):
                found = map(readable_day, _posting_texts(connection, feed, present[feed.name]))
                days |= {day for day in found if day is not None}
    return sorted(days)


def require_posting_days(ws: Workspace) -> list[date]:
    """The same days; raises ``DataError`` where there is none."""
    if days := posting_days(ws):
        return days
    raise DataError("the source has no posting yet: load data first (carm load FOLDER, or make run FROM=folder)")


def last_complete_period(ws: Workspace) -> Period:
    """The last month whose last day has been reached by the newest posting of any ledger feed.

    Raises ``DataError`` when the source has no posting at all, or none that completes a month.
    """
    days = require_posting_days(ws)
    # The newest month that holds postings itself: a single date far ahead is a slip, not a calendar.
    for day in reversed(days):
        period = ws.calendar.period_of(day)
        if ws.calendar.end(period) <= days[-1]:
            return period
    return ws.calendar.period_of(days[0]).previous()


def _posting_texts(connection: Connection, feed: LedgerFeed, present: Columns) -> list[str | None]:
    """The texts of the posting days in the source, each once."""
    if _has_index_of_days(connection, feed, present):
        texts = list(connection.execute(_walk_days(feed).limit(MOST_STEPS + 1)).scalars())
        if len(texts) <= MOST_STEPS:
            return texts
    day: sa.ColumnElement[Any] = sa.cast(sa.column(feed.posted), sa.Text)
    return list(connection.execute(sa.select(day).select_from(sa.table(feed.name)).distinct()).scalars())


def _walk_days(feed: LedgerFeed) -> sa.Select[Any]:
    """From each day to the next one by the index, where DISTINCT would read every row."""
    day: sa.ColumnElement[Any] = sa.column(feed.posted)
    first = sa.select(sa.func.min(day).label("day")).select_from(sa.table(feed.name))
    days = first.cte("days", recursive=True)
    following = sa.select(sa.func.min(day)).select_from(sa.table(feed.name)).where(day > days.c.day)
    days = days.union_all(sa.select(following.scalar_subquery()).where(days.c.day.is_not(None)))
    return sa.select(sa.cast(days.c.day, sa.Text)).where(days.c.day.is_not(None))


def _has_index_of_days(connection: Connection, feed: LedgerFeed, present: Columns) -> bool:
    """Whether an index of all rows begins with the posting day, so that the next day is one look into it."""
    if connection.dialect.name == "postgresql" and not _is_day(present[feed.posted]):
        return False  # An index of texts need not be in the order in which texts are compared.
    for index in sa.inspect(connection).get_indexes(feed.name):
        options = index.get("dialect_options", {})
        is_whole = not any(name.endswith("_where") for name in options)
        is_sorted = options.get("postgresql_using", "btree") == "btree"
        if index["column_names"][:1] == [feed.posted] and is_whole and is_sorted:
            return True
    return False


def _is_day(column_type: sa.types.TypeEngine[Any]) -> bool:
    return type(column_type) is sa.DATE


# The totals.


def readable_word(connection: Connection, present: Columns, name: str) -> sa.ColumnElement[Any]:
    """The kind or the status of a source row as staging reads it: a ``char(n)`` without its blanks."""
    word: sa.ColumnElement[Any] = sa.column(name)
    is_text_anyway = connection.dialect.name != "postgresql" or travels_as_text(present[name])
    return word if is_text_anyway else sa.cast(word, sa.Text)


def readable_amount(connection: Connection, feed: LedgerFeed, present: Columns) -> sa.ColumnElement[Any]:
    """The amount of a source row in cents where staging can read it, else 0."""
    amount: sa.ColumnElement[Any] = sa.column(feed.amount)
    if connection.dialect.name == "sqlite":
        # SQLite keeps what it is given: only what reads as a whole number counts, as in staging.
        whole = sa.cast(amount, sa.Integer)
        amount = sa.case((sa.cast(whole, sa.Text) == sa.cast(amount, sa.Text), whole), else_=0)
    elif connection.dialect.name == "postgresql" and not isinstance(present[feed.amount], sa.Integer):
        # Nor does its `numeric` keep fractions out. Of whole numbers no text is made: it would cost seconds a run.
        text = sa.cast(amount, sa.Text)
        amount = sa.case((text.regexp_match(_WHOLE_NUMBER), sa.cast(text, sa.BigInteger)), else_=0)
    # Beyond this an amount is unreadable to `whole_number` too: a sum of such amounts fits no integer.
    return sa.case((amount.between(-engine.LARGEST_NUMBER, engine.LARGEST_NUMBER), amount), else_=0)


def count_by_day(
    connection: Connection, feed: LedgerFeed, present: Columns
) -> Iterator[tuple[str | None, str, str, int, int]]:
    """Rows of ``(posting day as text, kind, status, count, sum in cents)`` over the whole table."""
    status = readable_word(connection, present, "status")
    kind = readable_word(connection, present, "kind") if "kind" in feed.columns else sa.literal(EXPORT_KIND)
    posted: sa.ColumnElement[Any] = sa.column(feed.posted)
    text: sa.ColumnElement[Any] = sa.cast(posted, sa.Text)
    # A text a group costs less than a text a row; but where equal values may have different texts, texts are grouped.
    is_day = connection.dialect.name == "postgresql" and _is_day(present[feed.posted])
    groups = [posted if is_day else text, *([kind] if "kind" in feed.columns else []), status]
    total = sa.func.coalesce(sa.func.sum(readable_amount(connection, feed, present)), 0)
    query = sa.select(text, kind, status, sa.func.count(), total).select_from(sa.table(feed.name)).group_by(*groups)
    for day, kind_value, status_value, rows, cents in connection.execute(query):
        yield day, kind_value or "", status_value or "", int(rows), int(cents)


def source_totals(ws: Workspace, period: Period) -> dict[str, Totals]:
    """Count and sum of all source rows up to the period's end, by feed, then posting month, kind and status."""
    last_day = ws.calendar.end(period)
    found: dict[str, Totals] = {}
    with source_snapshot(ws) as connection:
        present = present_columns(connection)
        for feed in LEDGER_FEEDS:
            totals: Totals = defaultdict(lambda: (0, 0))
            if feed.name in present:
                columns = require_columns(feed, present[feed.name])
                for text, kind, status, rows, cents in count_by_day(connection, feed, columns):
                    day = readable_day(text)
                    if day is None or day <= last_day:
                        add_total(totals, (posted_period(ws, day), kind, status), rows, cents)
            found[feed.name] = dict(totals)
    return found


def add_total(totals: Totals, key: tuple[str, str, str], rows: int, cents: int) -> None:
    """Add rows and cents to those that ``totals`` (a ``defaultdict`` of zeros) has of a month, kind and status."""
    before = totals[key]
    totals[key] = (before[0] + rows, before[1] + cents)
