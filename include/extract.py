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
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from include import engine
from include.carm.calendar import ONE_DAY
from include.carm.errors import DataError, Unavailable, UsageError
from include.carm.period import Period
from include.feeds import EXPORT_DECLARATIONS, LEDGER_FEEDS, SNAPSHOT_FEEDS, TRANSACTIONS, Feed, LedgerFeed
from include.lake import Lake, state_digest
from include.month_locks import require_unlocked
from include.published import (
    KEY,
    NUMBER,
    Month,
    concerned_files,
    find_months,
    hinted_files,
    may_hold,
    register_published,
)
from include.source_rows import (
    Columns,
    RawFile,
    present_columns,
    require_columns,
    select_texts,
    snapshot_columns,
    source_snapshot,
)
from include.source_totals import (
    UNDATED,
    Totals,
    add_total,
    before_calendar,
    count_by_day,
    posted_period,
    readable_day,
    require_posting_days,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from sqlalchemy.engine import Connection

    from include.workspace import Workspace

log = logging.getLogger(__name__)

KEYS_A_QUERY = 500


@dataclass(frozen=True)
class ExtractPlan:
    """What an extraction looked at, for the step that publishes it. Periods are ``YYYY-MM``.

    ``batch`` are the months being extracted, the run's own month last. ``baseline`` is set in a first run: the label
    under which everything older is kept. ``prior`` is the newest month the lake knew before. ``state`` is the hash
    of what was sealed at that moment: publishing is refused when it has changed. ``published_in`` says, by feed and
    question of :mod:`include.published`, in which months something was published before of what was read.
    """

    period: str
    batch: list[str]
    baseline: str | None
    prior: str | None
    state: str
    feed_states: dict[str, str] = field(default_factory=dict)
    first_days: dict[str, str | None] = field(default_factory=dict)
    moved: dict[str, list[str]] = field(default_factory=dict)
    published_in: dict[str, dict[str, list[Month]]] = field(default_factory=dict)
    snapshots_only: bool = False

    def write(self, folder: Path) -> None:
        (folder / "plan.json").write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> ExtractPlan:
        plan = cls(**json.loads((folder / "plan.json").read_text(encoding="utf-8")))
        for questions in plan.published_in.values():
            for question, months in questions.items():
                questions[question] = [(dataset, label) for dataset, label in months]
        return plan

    def months_of(self, feed: LedgerFeed, question: str) -> list[Month]:
        """In which months something was published before of what was read of ``feed``; none in a first run.

        Raises ``Unavailable`` where the question was not asked, as by an earlier release.
        """
        if self.prior is None:
            return []
        try:
            return self.published_in[feed.name][question]
        except KeyError:
            raise Unavailable(
                f"what was read of {feed.name} was not held against the months before {self.period}, as an earlier "
                "release read it: clear extract_feeds to read it again"
            ) from None


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
        present = present_columns(connection)
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


def _extract_snapshot(connection: Connection, feed: Feed, present: Columns | None, folder: Path) -> int:
    columns = snapshot_columns(feed, present)
    with RawFile(folder, feed) as raw:
        if columns:
            raw.add(connection, select_texts(connection, feed, columns), "snapshot")
    log.info("%s: %d rows read", feed.name, raw.rows)
    return raw.rows


def _extract_ledger(
    ws: Workspace,
    lake: Lake,
    connection: Connection,
    feed: LedgerFeed,
    present: Columns | None,
    plan: ExtractPlan,
    folder: Path,
) -> int:
    if present is None and feed is EXPORT_DECLARATIONS:
        expected = ws.policy.feeds[feed.name].exists
        plan.feed_states[feed.name] = "not_received" if expected else "not_expected"
        plan.first_days[feed.name] = None
        _write_totals(folder, feed, {})
        with RawFile(folder, feed) as nothing:
            log.info("%s: no such table, so its months are %s", feed.name, plan.feed_states[feed.name])
        refused = open_quarantine_keys(ws, lake, feed, plan.prior)
        with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
            _ask_published(ws, con, lake, feed, plan, [nothing], refused)
        return 0
    columns = require_columns(feed, present)
    totals, undated = _count_source(ws, connection, feed, columns, plan)
    _write_totals(folder, feed, totals)

    asked = set(open_quarantine_keys(ws, lake, feed, plan.prior))
    with RawFile(folder, feed) as raw:
        for query, fetched_by in _select_doubtful(connection, feed, columns, undated, asked):
            raw.add(connection, query, fetched_by)

    moved = _moved_periods(lake, feed, plan, totals)
    moved = sorted({*moved, *_months_of_missing_quarantine(ws, lake, feed, plan, raw)})
    plan.moved[feed.name] = moved
    if moved:
        log.info("%s: %s moved since extracted, compared row by row", feed.name, ", ".join(moved))
    with RawFile(folder, feed, number=2, first_row=raw.rows) as ranged:
        for start, end in _ranges(ws, plan, moved):
            ranged.add(connection, select_posted(connection, feed, columns, start, end), "range")
            log.info("%s: %d rows read up to %s", feed.name, ranged.rows, end)

    elsewhere = _keys_to_look_for(ws, lake, feed, plan, [raw, ranged], asked) - asked
    with RawFile(folder, feed, number=3, first_row=ranged.rows) as again:
        for query in _select_keys(connection, feed, columns, elsewhere):
            again.add(connection, query, "keys")
    _ask_numbers_again(ws, lake, feed, plan, [raw, ranged], again)
    return again.rows


def _count_source(
    ws: Workspace, connection: Connection, feed: LedgerFeed, columns: Columns, plan: ExtractPlan
) -> tuple[Totals, list[str]]:
    """The totals of the source up to the period's end, and the texts that are no day; notes the feed's state."""
    last_day = ws.calendar.end(Period.parse(plan.period))
    totals: Totals = defaultdict(lambda: (0, 0))
    days: set[date] = set()
    undated: set[str] = set()
    for text, kind, status, rows, cents in count_by_day(connection, feed, columns):
        day = readable_day(text)
        if day is not None:
            days.add(day)
        elif text is not None:
            undated.add(text)
        if day is None or day <= last_day:
            add_total(totals, (posted_period(ws, day), kind, status), rows, cents)
    plan.feed_states[feed.name] = "received" if totals or days else "empty"
    plan.first_days[feed.name] = min(days).isoformat() if days else None
    return totals, sorted(undated)


def _select_doubtful(
    connection: Connection, feed: LedgerFeed, columns: Columns, undated: list[str], quarantined: set[str]
) -> Iterator[tuple[sa.Select[Any], str]]:
    """The rows without a readable date or key, and those whose key stands in quarantine; each with why it is read."""
    query = select_texts(connection, feed, columns)
    posted: sa.ColumnElement[Any] = sa.column(feed.posted)
    # SQLite sorts text by its characters, so an unreadable date may lie inside a range and be read there as well.
    yield query.where(posted.is_(None)), "undated"
    for chunk in _chunks(undated, KEYS_A_QUERY):
        yield query.where(sa.cast(posted, sa.Text).in_(chunk)), "undated"
    yield query.where(sa.column(feed.key).is_(None)), "keys"
    for keyed in _select_keys(connection, feed, columns, quarantined):
        yield keyed, "keys"


def _select_keys(
    connection: Connection, feed: LedgerFeed, columns: Columns, keys: set[str]
) -> Iterator[sa.Select[Any]]:
    """All rows with one of the keys, some keys at a time."""
    key: sa.ColumnElement[Any] = sa.cast(sa.column(feed.key), sa.Text)
    for chunk in _chunks(keys, KEYS_A_QUERY):
        yield select_texts(connection, feed, columns).where(key.in_(chunk))


def select_posted(
    connection: Connection, feed: LedgerFeed, columns: Columns, start: date | None, end: date
) -> sa.Select[Any]:
    """The rows posted from ``start`` (None: from ever) to ``end``, both days included, as texts.

    Raises ``DataError`` where PostgreSQL holds the day as a text, which it does not compare with a day.
    """
    if connection.dialect.name == "postgresql" and isinstance(columns[feed.posted], sa.String):
        raise DataError(
            f"the source has {feed.name}.{feed.posted} as a text, by which no month can be found: make it a date, in a "
            "view if need be (docs/adapting.md)"
        )
    posted: sa.ColumnElement[Any] = sa.column(feed.posted)
    # Half-open, because SQLite may hold a day as the text of an instant, which sorts after its day.
    query = select_texts(connection, feed, columns).where(posted < _bind(connection, end + ONE_DAY))
    return query if start is None else query.where(posted >= _bind(connection, start))


def _require_month_in_source(ws: Workspace, lake: Lake, period: Period) -> None:
    """Refuse a month that the source cannot speak of, before anything is laid out for it."""
    days = require_posting_days(ws)
    if reason := why_not_posted(ws, days, period):
        raise UsageError(reason)
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


def why_not_posted(ws: Workspace, days: list[date], period: Period) -> str | None:
    """Why a source that posted on these ``days`` cannot speak of the month; None where it can."""
    first_day, newest = min(days), max(days)
    if ws.calendar.end(period) < first_day:
        return (
            f"{period} ends before the first posting in the source ({first_day}): "
            f"choose a month from {posted_period(ws, first_day)} on"
        )
    if ws.calendar.start(period) > newest:
        return (
            f"the source has nothing posted in {period}, its last posting is of {newest}: "
            f"load that month first, or choose {posted_period(ws, newest)}"
        )
    return None


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


def _write_totals(folder: Path, feed: LedgerFeed, totals: Totals) -> None:
    rows = [
        {"posted_period": p, "kind": k, "status": s, "row_count": count, "sum_cents": cents}
        for (p, k, s), (count, cents) in sorted(totals.items())
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


def _moved_periods(lake: Lake, feed: LedgerFeed, plan: ExtractPlan, totals: Totals) -> list[str]:
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
    ws: Workspace, lake: Lake, feed: LedgerFeed, plan: ExtractPlan, raw: RawFile
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


def _keys_to_look_for(
    ws: Workspace, lake: Lake, feed: LedgerFeed, plan: ExtractPlan, raws: list[RawFile], quarantined: set[str]
) -> set[str]:
    """Keys whose rows may stand where nobody has looked: gone from a moved month, or read here and published there."""
    if plan.prior is None:
        return set()
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        _ask_published(ws, con, lake, feed, plan, raws, quarantined)
        keys = pa.concat_tables(pq.read_table(raw.path, columns=[feed.key, "revision"]) for raw in raws)
        engine.register(con, "raw_keys", keys.rename_columns(["item_id", "revision"]))
        register_published(con, feed, concerned_files(con, lake, feed, plan.months_of(feed, KEY)))
        engine.register(con, "fetched_ranges", fetched_ranges(ws, plan, feed))
        found = engine.run_table(con, "select_keys_read_elsewhere").column("item_id").to_pylist()
        if plan.moved[feed.name]:
            found += engine.run_table(con, "select_missing_keys").column("item_id").to_pylist()
    return set(found)


def _ask_published(
    ws: Workspace,
    con: DuckDBPyConnection,
    lake: Lake,
    feed: LedgerFeed,
    plan: ExtractPlan,
    raws: list[RawFile],
    quarantined: Iterable[str],
) -> None:
    """Note in the plan in which months something was published of what ``raws`` hold, or under a refused row's key.

    Asked here for the gate too, because it is the one question whose answer costs more with each month of history.
    Where an earlier month moved, what was published as posted in it is asked for as well: the source may hold it no
    longer. Leaves the relations ``asked`` and ``moved``.
    """
    engine.register(con, "read_rows", [raw.path for raw in raws])
    engine.register(con, "refused", pa.table({"item_id": pa.array(sorted(quarantined), pa.string())}))
    _register_moved(ws, con, lake, feed, plan)
    con.execute(
        f"CREATE OR REPLACE TEMP VIEW asked AS SELECT {feed.key} AS item_id FROM read_rows "  # noqa: S608
        "UNION ALL SELECT item_id FROM refused UNION ALL SELECT item_id FROM moved_keys"
    )
    engine.register(con, "reversing_numbers", _reversing_numbers(con, feed))
    engine.create_view(con, "wanted", "select_wanted")
    plan.published_in[feed.name] = find_months(con, lake, feed, plan.prior)


def _register_moved(ws: Workspace, con: DuckDBPyConnection, lake: Lake, feed: LedgerFeed, plan: ExtractPlan) -> None:
    """Make ``moved`` readable, and ``moved_keys``: the keys of all that was published as posted in a moved month.

    Only files are proved and read whose statistics say that they may hold such rows.
    """
    moved = moved_ranges(ws, plan, feed)
    engine.register(con, "moved", moved)
    bounds = [(row["start_on"], row["end_on"]) for row in moved.to_pylist()]
    may = partial(may_hold, column=feed.posted, bounds=bounds)
    files = hinted_files(lake, feed, plan.prior, may) if bounds else []
    engine.register(con, f"published_{feed.name}", files, like=feed.name)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE moved_keys AS SELECT DISTINCT {feed.key} AS item_id "  # noqa: S608
        f"FROM published_{feed.name} INNER JOIN moved ON {feed.posted} BETWEEN moved.start_on AND moved.end_on"
    )


def _ask_numbers_again(
    ws: Workspace, lake: Lake, feed: LedgerFeed, plan: ExtractPlan, asked: list[RawFile], again: RawFile
) -> None:
    """Ask for the numbers that rows read by their keys have brought; their keys were asked for with the others."""
    if again.rows == asked[-1].rows or plan.prior is None:
        return
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        engine.register(con, "read_rows", [raw.path for raw in asked])
        known = set(_reversing_numbers(con, feed).column(0).to_pylist())
        engine.register(con, "read_rows", [again.path])
        added = set(_reversing_numbers(con, feed).column(0).to_pylist()) - known
        if not added:
            return
        engine.register(con, "asked", pa.table({"item_id": pa.array([], pa.string())}))
        engine.register(
            con, "reversing_numbers", pa.table({"transaction_number": pa.array(sorted(added), pa.string())})
        )
        engine.create_view(con, "wanted", "select_wanted")
        noted = plan.published_in[feed.name]
        noted[NUMBER] = sorted({*noted[NUMBER], *find_months(con, lake, feed, plan.prior)[NUMBER]})


def _reversing_numbers(con: DuckDBPyConnection, feed: LedgerFeed) -> pa.Table:
    """The numbers under which one of ``read_rows`` could reverse an item a second time."""
    if feed is not TRANSACTIONS:
        return pa.table({"transaction_number": pa.array([], pa.string())})
    return engine.run_table(con, "select_reversing_numbers")


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
