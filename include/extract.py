"""Reads the source: the month's new rows, late ones, revisions, and months that moved since they were extracted.

All feeds are read in one snapshot, so that a posting is never seen without its account. The rows go as text to
Parquet files below ``work/``; nothing is decided here but *which* rows to look at:

* every row posted in the months being extracted, and in a first run everything earlier (the baseline);
* every row of an earlier month whose count or sum, by kind and status, is not what the lake knows (late rows, edited
  and deleted ones);
* every row without a readable date or key, and every row whose key stands in quarantine.

``include.validate`` compares them with what was published and publishes the difference.
"""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from include import engine
from include.carm.calendar import ONE_DAY
from include.carm.errors import DataError, UsageError
from include.carm.period import Period
from include.database import read_snapshot
from include.feeds import ACCOUNTS, EXPORT_DECLARATIONS, LEDGER_FEEDS, SNAPSHOT_FEEDS, TRANSACTIONS, Feed, LedgerFeed
from include.lake import Lake, state_digest
from include.month_locks import require_unlocked
from include.source_schema import canonical_bn15

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.workspace import Workspace

log = logging.getLogger(__name__)

FETCH_ROWS = 20_000
KEYS_A_QUERY = 500
UNDATED = "undated"
EXPORT_KIND = "EXPORT"
"""Control totals go by kind; export declarations have one only."""

_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})( 00:00:00(\.0+)?)?")


@dataclass(frozen=True)
class ExtractPlan:
    """What an extraction looked at, for the step that publishes it. Periods are ``YYYY-MM``.

    ``batch`` are the months being extracted, the run's own month last. ``baseline`` is set in a first run: the label
    under which everything older is kept. ``prior`` is the newest month the lake knew before. ``state`` is the hash
    of what was sealed at that moment: publishing is refused when it has changed.
    """

    period: str
    batch: list[str]
    baseline: str | None
    prior: str | None
    state: str
    feed_states: dict[str, str] = field(default_factory=dict)
    first_days: dict[str, str | None] = field(default_factory=dict)
    moved: dict[str, list[str]] = field(default_factory=dict)
    snapshots_only: bool = False

    def write(self, folder: Path) -> None:
        (folder / "plan.json").write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> ExtractPlan:
        return cls(**json.loads((folder / "plan.json").read_text(encoding="utf-8")))


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


def last_complete_period(ws: Workspace) -> Period:
    """The last month whose last day has been reached by the newest posting of any ledger feed.

    Raises ``DataError`` when the source has no posting at all, or none that completes a month.
    """
    days = _posting_days(ws)
    if not days:
        raise DataError("the source has no posting yet: load data first (carm load FOLDER, or make run FROM=folder)")
    # The newest month that holds postings itself: a single date far ahead is a slip, not a calendar.
    for day in reversed(days):
        period = ws.calendar.period_of(day)
        if ws.calendar.end(period) <= days[-1]:
            return period
    return ws.calendar.period_of(days[0]).previous()


def extract_month(ws: Workspace, month: dict[str, Any]) -> dict[str, Any]:
    """Read what the month needs into ``work/``; returns counts only.

    Raises ``UsageError`` when the source has nothing of the month, ``DataError`` when a table or column is missing, and
    ``Refused`` when it would extract a locked month.
    """
    period = Period.parse(month["period"])
    folder = ws.staging(month["run_id"], "extract")
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lake = ws.lake()
    _require_month_in_source(ws, lake, period)
    plan = _plan(ws, lake, period)
    if plan is None:
        log.info("%s has its extract already; an issued or built-upon month has one for ever", period)
        return {"period": str(period), "state": "final", "rows": {}}
    with ws.operations.connect() as connection:
        for extracted in plan.batch:
            # The run's own month was asked about when it began; these are the months that it would fill in.
            require_unlocked(connection, Period.parse(extracted))

    counts: dict[str, int] = {}
    with source_snapshot(ws) as connection:
        present = _present_columns(connection)
        for feed in SNAPSHOT_FEEDS:
            counts[feed.name] = _extract_snapshot(connection, feed, present.get(feed.name), folder)
        if not plan.snapshots_only:
            for ledger_feed in LEDGER_FEEDS:
                counts[ledger_feed.name] = _extract_ledger(
                    ws, lake, connection, ledger_feed, present.get(ledger_feed.name), plan, folder
                )
    plan.write(folder)
    return {
        "period": str(period),
        "state": "extracted",
        "months": len(plan.batch),
        "moved": {name: months for name, months in plan.moved.items() if months},
        "rows": counts,
    }


@contextmanager
def source_snapshot(ws: Workspace) -> Iterator[Connection]:
    """One consistent view of the source, in which a day reads as ISO text whatever the database."""
    with read_snapshot(ws.source) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SET LOCAL datestyle = 'ISO, YMD'"))
        yield connection


def read_texts(connection: Connection, feed: Feed, wanted: Collection[str], *, bn15: str | None = None) -> pa.Table:
    """All rows of a snapshot feed, or those of one account, as the texts that ``stage_*.sql`` reads, in memory.

    Only the columns ``wanted`` are asked for; the others are NULL. Raises ``DataError`` as :func:`extract_month` does.
    """
    present = _required_columns(feed, _present_columns(connection).get(feed.name))
    schema = _raw_schema(feed)
    if not present:
        return schema.empty_table()
    query = _select_texts(feed, [name for name in present if name in wanted])
    if bn15 is not None:
        query = query.where(canonical_bn15(sa.column("bn15")) == bn15)
    return pa.Table.from_batches(_batches(_stream(connection, query), schema, "snapshot"), schema)


def extracted_periods(lake: Lake) -> list[Period]:
    """The months whose ledger extract is sealed, oldest first."""
    return lake.periods("transactions")


def is_final(ws: Workspace, lake: Lake, period: Period) -> bool:
    """Whether the month's ledger extract may never change: it was issued, or a later month stands on it."""
    from include.month import is_issued

    known = extracted_periods(lake)
    return period in known and (period < known[-1] or is_issued(ws, period))


def _plan(ws: Workspace, lake: Lake, period: Period) -> ExtractPlan | None:
    from include.ledger import extend_back

    window = ws.calendar.window(period)
    known = extracted_periods(lake)
    if known and window[0] < known[0]:
        extend_back(ws, lake, window[0])
        known = extracted_periods(lake)
    state = state_digest(lake.seals())
    if known and period <= known[-1] and is_final(ws, lake, period):
        if lake.has("accounts", period):
            return None
        return ExtractPlan(str(period), [], None, None, state, snapshots_only=True)
    if not known:
        return ExtractPlan(str(period), [str(p) for p in window], str(window[0].previous()), None, state)
    first = period if period == known[-1] else known[-1].next()
    batch = Period.range(first, period)
    return ExtractPlan(str(period), [str(p) for p in batch], None, str(first.previous()), state)


def _present_columns(connection: Connection) -> dict[str, list[str]]:
    inspector = sa.inspect(connection)
    tables = set(inspector.get_table_names()) | set(inspector.get_view_names())
    return {
        feed.name: [column["name"] for column in inspector.get_columns(feed.name)]
        for feed in (*LEDGER_FEEDS, *SNAPSHOT_FEEDS)
        if feed.name in tables
    }


def _require_columns(feed: Feed, present: list[str] | None) -> None:
    if present is None:
        raise DataError(f"the source has no table {feed.name}: load it first (carm load FOLDER) or create it empty")
    missing = [column for column in feed.columns if column not in present and column not in feed.optional]
    if missing:
        raise DataError(f"the source table {feed.name} lacks the column {missing[0]}: see docs for the columns")


def _required_columns(feed: Feed, present: list[str] | None) -> list[str]:
    """The columns of a snapshot feed, none where its table is absent: only the accounts must be there."""
    if present is not None or feed is ACCOUNTS:
        _require_columns(feed, present)
    return present or []


def _select_texts(feed: Feed, present: Collection[str]) -> sa.Select[Any]:
    # Everything is read as text: what the source holds must reach validation as it stands, dirty or not.
    texts: list[sa.ColumnElement[Any]] = [
        sa.cast(sa.column(name), sa.Text).label(name) for name in feed.columns if name in present
    ]
    return sa.select(*texts).select_from(sa.table(feed.name))


def _raw_schema(feed: Feed) -> pa.Schema:
    texts = [pa.field(name, pa.string()) for name in feed.columns]
    return pa.schema([pa.field("row_no", pa.int64()), pa.field("fetched_by", pa.string()), *texts])


def _batches(
    result: sa.CursorResult[Any], schema: pa.Schema, fetched_by: str, first_row: int = 0
) -> Iterator[pa.RecordBatch]:
    """The rows of a query as texts, numbered from ``first_row``; a column that was not asked for is NULL."""
    names = list(result.keys())
    for rows in result.partitions(FETCH_ROWS):
        columns = {
            "row_no": pa.array(range(first_row, first_row + len(rows)), pa.int64()),
            "fetched_by": pa.array([fetched_by] * len(rows), pa.string()),
        }
        for name, texts in zip(names, zip(*rows, strict=True), strict=True):
            columns[name] = pa.array(texts, pa.string())
        absent = pa.nulls(len(rows), pa.string())
        yield pa.record_batch([columns.get(name, absent) for name in schema.names], schema=schema)
        first_row += len(rows)


class _RawFile:
    """One raw Parquet file of a feed, written as rows arrive."""

    def __init__(self, folder: Path, feed: Feed, number: int = 1, first_row: int = 0) -> None:
        self.schema, self.rows = _raw_schema(feed), first_row
        self.path = folder / f"{feed.name}-{number}.parquet"
        self.writer = pq.ParquetWriter(self.path, self.schema, compression="zstd")

    def add(self, result: sa.CursorResult[Any], fetched_by: str) -> None:
        for batch in _batches(result, self.schema, fetched_by, self.rows):
            self.writer.write_batch(batch)
            self.rows += batch.num_rows

    def close(self) -> None:
        self.writer.close()


def _stream(connection: Connection, query: sa.Select[Any]) -> sa.CursorResult[Any]:
    return connection.execution_options(stream_results=True, max_row_buffer=FETCH_ROWS).execute(query)


def _extract_snapshot(connection: Connection, feed: Feed, present: list[str] | None, folder: Path) -> int:
    raw = _RawFile(folder, feed)
    columns = _required_columns(feed, present)
    if columns:
        raw.add(_stream(connection, _select_texts(feed, columns)), "snapshot")
    raw.close()
    log.info("%s: %d rows read", feed.name, raw.rows)
    return raw.rows


def _distinct_days(feed: LedgerFeed) -> sa.Select[Any]:
    day: sa.ColumnElement[Any] = sa.cast(sa.column(feed.posted), sa.Text)
    return sa.select(day).select_from(sa.table(feed.name)).distinct()


def readable_amount(connection: Connection, feed: LedgerFeed) -> sa.ColumnElement[Any]:
    """The amount of a source row in cents where staging can read it, else 0."""
    amount: sa.ColumnElement[Any] = sa.column(feed.amount)
    if connection.dialect.name == "sqlite":
        # SQLite keeps what it is given: only what reads as a whole number counts, as in staging.
        whole = sa.cast(amount, sa.Integer)
        amount = sa.case((sa.cast(whole, sa.Text) == sa.cast(amount, sa.Text), whole), else_=0)
    # Beyond this an amount is unreadable to `whole_number` too: a sum of such amounts fits no integer.
    return sa.case((amount.between(-engine.LARGEST_NUMBER, engine.LARGEST_NUMBER), amount), else_=0)


def _source_totals(connection: Connection, feed: LedgerFeed) -> Iterator[tuple[str | None, str, str, int, int]]:
    """Rows of ``(posting day as text, kind, status, count, sum in cents)`` over the whole table."""
    kind = sa.column("kind") if "kind" in feed.columns else sa.literal(EXPORT_KIND)
    amount = readable_amount(connection, feed)
    day = sa.cast(sa.column(feed.posted), sa.Text)
    status: sa.ColumnElement[Any] = sa.column("status")
    query = (
        sa.select(day, kind, status, sa.func.count(), sa.func.coalesce(sa.func.sum(amount), 0))
        .select_from(sa.table(feed.name))
        .group_by(*([day, sa.column("kind"), status] if "kind" in feed.columns else [day, status]))
    )
    for text, kind_value, status_value, rows, total in connection.execute(query):
        yield text, kind_value or "", status_value or "", int(rows), int(total)


def source_totals(ws: Workspace, period: Period) -> dict[str, dict[tuple[str, str, str], tuple[int, int]]]:
    """Count and sum of all source rows up to the period's end, by feed, then posting month, kind and status."""
    last_day = ws.calendar.end(period)
    found: dict[str, dict[tuple[str, str, str], tuple[int, int]]] = {}
    with read_snapshot(ws.source) as connection:
        for feed in LEDGER_FEEDS:
            totals: dict[tuple[str, str, str], tuple[int, int]] = {}
            if sa.inspect(connection).has_table(feed.name):
                for text, kind, status, rows, cents in _source_totals(connection, feed):
                    day = readable_day(text)
                    if day is None or day <= last_day:
                        key = (posted_period(ws, day), kind, status)
                        before = totals.get(key, (0, 0))
                        totals[key] = (before[0] + rows, before[1] + cents)
            found[feed.name] = totals
    return found


def _extract_ledger(
    ws: Workspace,
    lake: Lake,
    connection: Connection,
    feed: LedgerFeed,
    present: list[str] | None,
    plan: ExtractPlan,
    folder: Path,
) -> int:
    if present is None and feed is EXPORT_DECLARATIONS:
        expected = ws.policy.feeds[feed.name].exists
        plan.feed_states[feed.name] = "not_received" if expected else "not_expected"
        plan.first_days[feed.name] = None
        _write_totals(folder, feed, {})
        _RawFile(folder, feed).close()
        log.info("%s: no such table, so its months are %s", feed.name, plan.feed_states[feed.name])
        return 0
    _require_columns(feed, present)
    assert present is not None
    period = Period.parse(plan.period)
    last_day = ws.calendar.end(period)

    totals: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    first_day, newest, unreadable = None, None, set()
    for text, kind, status, rows, total in _source_totals(connection, feed):
        day = readable_day(text)
        if day is None:
            unreadable.add(text)
        else:
            first_day = min(first_day or day, day)
            newest = max(newest or day, day)
            if day > last_day:
                continue
        counted = totals[(posted_period(ws, day), kind, status)]
        counted[0] += rows
        counted[1] += total
    plan.feed_states[feed.name] = "received" if totals or newest else "empty"
    plan.first_days[feed.name] = first_day.isoformat() if first_day else None
    _write_totals(folder, feed, totals)

    moved = _moved_periods(lake, feed, plan, totals)
    raw = _RawFile(folder, feed)
    query = _select_texts(feed, present)
    posted: sa.ColumnElement[Any] = sa.column(feed.posted)
    key: sa.ColumnElement[Any] = sa.cast(sa.column(feed.key), sa.Text)
    undated = [text for text in unreadable if text is not None]
    # SQLite sorts text by its characters, so an unreadable date may lie inside a range and be read there as well.
    raw.add(_stream(connection, query.where(posted.is_(None))), "undated")
    for chunk in _chunks(undated, KEYS_A_QUERY):
        raw.add(_stream(connection, query.where(sa.cast(posted, sa.Text).in_(chunk))), "undated")
    raw.add(_stream(connection, query.where(sa.column(feed.key).is_(None))), "keys")
    asked = set(open_quarantine_keys(ws, lake, feed, plan.prior))
    for chunk in _chunks(asked, KEYS_A_QUERY):
        raw.add(_stream(connection, query.where(key.in_(chunk))), "keys")
    raw.close()

    moved = sorted({*moved, *_months_of_missing_quarantine(ws, lake, feed, plan, raw)})
    plan.moved[feed.name] = moved
    if moved:
        log.info("%s: %s moved since extracted, compared row by row", feed.name, ", ".join(moved))
    ranged = _RawFile(folder, feed, number=2, first_row=raw.rows)
    for start, end in _ranges(ws, plan, moved):
        # Half-open, because SQLite may hold a day as the text of an instant, which sorts after its day.
        condition = posted < _bind(connection, end + ONE_DAY)
        if start is not None:
            condition = sa.and_(posted >= _bind(connection, start), condition)
        ranged.add(_stream(connection, query.where(condition)), "range")
        log.info("%s: %d rows read up to %s", feed.name, ranged.rows, end)
    ranged.close()

    again = _RawFile(folder, feed, number=3, first_row=ranged.rows)
    for chunk in _chunks(_keys_to_look_for(ws, lake, feed, plan, [raw, ranged]) - asked, KEYS_A_QUERY):
        again.add(_stream(connection, query.where(key.in_(chunk))), "keys")
    again.close()
    return again.rows


def _require_month_in_source(ws: Workspace, lake: Lake, period: Period) -> None:
    """Refuse a month that the source cannot speak of, before anything is laid out for it."""
    days = _posting_days(ws)
    if not days:
        raise DataError("the source has no posting yet: load data first (carm load FOLDER, or make run FROM=folder)")
    first_day, newest = min(days), max(days)
    if ws.calendar.end(period) < first_day:
        raise UsageError(
            f"{period} ends before the first posting in the source ({first_day}): "
            f"choose a month from {posted_period(ws, first_day)} on"
        )
    if ws.calendar.start(period) > newest:
        raise UsageError(
            f"the source has nothing posted in {period}, its last posting is of {newest}: "
            f"load that month first, or choose {posted_period(ws, newest)}"
        )
    known = extracted_periods(lake)
    if known and period > known[-1].next():
        # Such a month would be sealed empty, and what comes for it later would be late for ever.
        posted = {posted_period(ws, day) for day in days}
        for between in Period.range(known[-1].next(), period.previous()):
            if str(between) not in posted:
                raise UsageError(
                    f"the source has nothing posted in {between}, after {known[-1]}, the last month that was "
                    f"extracted: load it first, or run a month before it"
                )


def _posting_days(ws: Workspace) -> list[date]:
    """The days on which anything was posted, of all ledger feeds."""
    days: set[date] = set()
    with source_snapshot(ws) as connection:
        present = _present_columns(connection)
        for feed in LEDGER_FEEDS:
            if feed.posted in present.get(feed.name, []):
                found = (readable_day(text) for (text,) in connection.execute(_distinct_days(feed)))
                days |= {day for day in found if day is not None}
    return sorted(days)


def _bind(connection: Connection, day: date) -> date | str:
    return day.isoformat() if connection.dialect.name == "sqlite" else day


def _chunks(values: Iterable[str], size: int) -> Iterator[list[str]]:
    ordered = sorted(values)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def _ranges(ws: Workspace, plan: ExtractPlan, moved: list[str]) -> list[tuple[date | None, date]]:
    """The day ranges to read, both days included, neighbours joined; a first run reads everything up to its end."""
    calendar = ws.calendar
    ranges: list[tuple[date | None, date]] = []
    if plan.baseline is not None:
        ranges.append((None, calendar.end(Period.parse(plan.baseline))))
    for name in (*(name for name in moved if name != UNDATED), *plan.batch):
        if name == before_calendar(ws):
            ranges.append((None, calendar.start(calendar.cycles[0].first_period) - ONE_DAY))
        else:
            ranges.append((calendar.start(Period.parse(name)), calendar.end(Period.parse(name))))
    joined: list[tuple[date | None, date]] = []
    for start, end in sorted(ranges, key=lambda found: (found[0] or date.min, found[1])):
        if joined and start is not None and start == joined[-1][1] + ONE_DAY:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _write_totals(folder: Path, feed: LedgerFeed, totals: dict[tuple[str, str, str], list[int]]) -> None:
    rows = [
        {"posted_period": p, "kind": k, "status": s, "row_count": count, "sum_cents": total}
        for (p, k, s), (count, total) in sorted(totals.items())
    ]
    schema = pa.schema(
        [
            ("posted_period", pa.string()),
            ("kind", pa.string()),
            ("status", pa.string()),
            ("row_count", pa.int64()),
            ("sum_cents", pa.int64()),
        ]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / f"{feed.name}-totals.parquet")


def _moved_periods(
    lake: Lake, feed: LedgerFeed, plan: ExtractPlan, totals: dict[tuple[str, str, str], list[int]]
) -> list[str]:
    """Posting months before the batch whose source totals are not those that the lake knows."""
    if plan.prior is None:
        return []
    known: dict[str, dict[tuple[str, str], tuple[int, int]]] = defaultdict(dict)
    table = pq.read_table(lake.file("control_totals", Period.parse(plan.prior)))
    for row in table.to_pylist():
        if row["dataset"] == feed.name:
            known[row["posted_period"]][(row["kind"], row["status"])] = (row["row_count"], row["sum_cents"])
    found: dict[str, dict[tuple[str, str], tuple[int, int]]] = defaultdict(dict)
    for (posted, kind, status), (count, total) in totals.items():
        found[posted][(kind, status)] = (count, total)
    # The batch is read anyway. What the lake knows of it can only be rows that arrived early in an older extract.
    return sorted(
        name for name in {*known, *found} - set(plan.batch) - {UNDATED} if known.get(name, {}) != found.get(name, {})
    )


def open_quarantine_keys(ws: Workspace, lake: Lake, feed: LedgerFeed, prior: str | None) -> list[str]:
    """The source keys of the rows of ``feed`` that stand in quarantine after ``prior``."""
    if prior is None:
        return []
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        rows = engine.run_table(
            con, "select_open_quarantine", open_quarantine_relations(lake, prior), {"dataset": feed.name}
        )
    return sorted({key.rsplit("#", 1)[0] for key in rows.column("row_key").to_pylist()})


def open_quarantine_relations(lake: Lake, up_to: str) -> dict[str, list[Path]]:
    """The quarantine and its releases as known at ``up_to``."""
    return {
        name: lake.files(name, [p for p in lake.periods(name) if str(p) <= up_to])
        for name in ("quarantine", "quarantine_released")
    }


def _months_of_missing_quarantine(
    ws: Workspace, lake: Lake, feed: LedgerFeed, plan: ExtractPlan, raw: _RawFile
) -> set[str]:
    """Posting months of quarantined rows that their keys no longer lead to: they may stand there under another."""
    if plan.prior is None:
        return set()
    # Only the rows' own keys and hashes are asked for, and they do not depend on what this relation says.
    no_states = pa.table({"bn15": pa.array([], pa.string()), "state": pa.array([], pa.string())})
    no_kinds = pa.table({"kind": pa.array([], pa.string()), "activity": pa.array([], pa.string())})
    relations: dict[str, engine.Relation] = {
        f"raw_{feed.name}": [raw.path],
        "fetched_ranges": _as_relation([]),
        "account_states": no_states,
    }
    if feed is TRANSACTIONS:
        relations["transaction_kinds"] = no_kinds
    last_day = {"last_day": ws.calendar.end(Period.parse(plan.period))}
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        quarantine = dict(open_quarantine_relations(lake, plan.prior))
        engine.create_table(con, "open_quarantine", "select_open_quarantine", quarantine, {"dataset": feed.name})
        engine.create_table(con, "staged", f"stage_{feed.name}", relations, last_day)
        days = engine.run_table(con, "select_missing_quarantine").column("posted_on").to_pylist()
    return {posted_period(ws, day) for day in days} - set(plan.batch)


def _keys_to_look_for(ws: Workspace, lake: Lake, feed: LedgerFeed, plan: ExtractPlan, raws: list[_RawFile]) -> set[str]:
    """Keys whose rows may stand where nobody has looked: gone from a moved month, or read here and published there."""
    if plan.prior is None:
        return set()
    from include.ledger import concerned_files, register_published

    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        tables = [pq.read_table(raw.path, columns=[feed.key, "revision"]) for raw in raws]
        engine.register(con, "raw_keys", pa.concat_tables(tables).rename_columns(["item_id", "revision"]))
        engine.register(con, "asked", pa.concat_tables(tables).select([feed.key]).rename_columns(["item_id"]))
        engine.register(con, "moved", moved_ranges(ws, plan, feed))
        has_moved = bool(plan.moved[feed.name])
        register_published(con, feed, concerned_files(con, lake, feed, plan.prior, has_moved=has_moved))
        engine.register(con, "fetched_ranges", fetched_ranges(ws, plan, feed))
        found = engine.run_table(con, "select_keys_read_elsewhere").column("item_id").to_pylist()
        if has_moved:
            found += engine.run_table(con, "select_missing_keys").column("item_id").to_pylist()
    return set(found)


def fetched_ranges(ws: Workspace, plan: ExtractPlan, feed: LedgerFeed) -> pa.Table:
    """The day ranges that were read of a feed, as a relation ``(start_on, end_on)``, both days included."""
    return _as_relation(_ranges(ws, plan, plan.moved.get(feed.name, [])))


def moved_ranges(ws: Workspace, plan: ExtractPlan, feed: LedgerFeed) -> pa.Table:
    """The posting months of a feed that moved since they were extracted, as a relation ``(start_on, end_on)``."""
    nothing_new = ExtractPlan(plan.period, [], None, plan.prior, plan.state)
    return _as_relation(_ranges(ws, nothing_new, plan.moved.get(feed.name, [])))


def _as_relation(ranges: Iterable[tuple[date | None, date]]) -> pa.Table:
    days = [(start or date.min, end) for start, end in ranges]
    return pa.table(
        {
            "start_on": pa.array([start for start, _ in days], pa.date32()),
            "end_on": pa.array([end for _, end in days], pa.date32()),
        }
    )
