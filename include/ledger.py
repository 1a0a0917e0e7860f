"""Publishes what an extraction read: facts once, with their effects, in the month in which they became known.

The rules are those of a ledger. A row belongs to the month of its posting, or to the month being extracted when that
month was extracted before; a changed row is a further publication of its key; a deleted one is withdrawn; the effect
on the balance is the state after less the state before (``derive_ledger_events.sql``). What was published is never
touched again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import delete, insert, select

from include import engine
from include.account_rows import months_of_accounts
from include.carm.errors import DataError, Unavailable
from include.carm.period import Period
from include.database import write_transaction
from include.datasets import schema_of
from include.extract import ExtractPlan, open_quarantine_relations
from include.feeds import LEDGER_FEEDS, LedgerFeed
from include.lake import Lake, Seal, state_digest, write_parquet
from include.operations_schema import COVERAGE, FEED_COVERAGE
from include.published import (
    Month,
    concerned_files,
    has_later_version,
    hinted_files,
    keys_dataset,
    may_hold,
    month_files,
    publish_keys,
    published_files,
    register_published,
)
from include.source_rows import rows_as_json
from include.source_totals import UNDATED, before_calendar
from include.transaction_kinds import transaction_kinds_relation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from sqlalchemy.engine import Connection

    from include.workspace import Workspace

log = logging.getLogger(__name__)

NEW_ARRIVALS = ("on_time", "late", "revision", "released")
DRIFT_ARRIVALS = ("drift", "vanished")
INVALID_ROWS = pa.schema(
    [
        ("row_no", pa.int64()),
        ("expectation", pa.string()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class Batch:
    """The months that one run publishes: which labels, and where everything goes that belongs to none of them.

    ``before`` takes the rows posted before the first month: the baseline's label in a first run, else the run's own
    month, for then they are late.
    """

    period: str
    labels: list[str]
    before: str
    prior: str | None

    @classmethod
    def of(cls, plan: ExtractPlan) -> Batch:
        return cls(plan.period, plan.batch, plan.baseline or plan.period, plan.prior)

    @property
    def has_baseline(self) -> bool:
        return self.before not in self.labels

    @property
    def all_labels(self) -> list[str]:
        return [self.before, *self.labels] if self.has_baseline else self.labels

    def dataset(self, feed: LedgerFeed, label: str) -> str:
        """The dataset that takes a feed's rows of ``label``."""
        return f"baseline_{feed.name}" if self.has_baseline and label == self.before else feed.name


def _register_concerned(con: DuckDBPyConnection, lake: Lake, feed: LedgerFeed, months: Sequence[Month]) -> None:
    """Make ``published_<feed>`` and ``published_items`` readable: what was published of the items that a run concerns.

    All of it lies in ``months``. Reads ``staged``, ``moved``, ``open_quarantine``. Each statement of the run asks for
    these items alone, and each asks again; so they are looked for once, and what is found is kept.
    """
    con.execute(
        "CREATE OR REPLACE TEMP VIEW asked AS SELECT item_id FROM staged "
        "UNION ALL SELECT regexp_replace(row_key, '#[^#]*$', '') FROM open_quarantine WHERE replaces_published"
    )
    register_published(con, feed, concerned_files(con, lake, feed, months))
    name = f"published_{feed.name}"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE concerned_{feed.name} AS SELECT {name}.* FROM {name} "  # noqa: S608
        f"SEMI JOIN concerned ON {name}.{feed.key} = concerned.item_id"
    )
    con.execute(f"DROP VIEW IF EXISTS {name}")
    con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM concerned_{feed.name}")  # noqa: S608


def _register_standing(con: DuckDBPyConnection, feed: LedgerFeed, files: list[Path], replacing: list[Path]) -> None:
    """Make ``standing_items`` readable over the rows of ``files``; those of ``replacing`` may say more of them later.

    Reads ``open_quarantine``.
    """
    engine.register(con, f"published_{feed.name}", replacing, like=feed.name)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE published_again AS SELECT {feed.key} AS item_id, revision, version "  # noqa: S608
        f"FROM published_{feed.name} WHERE version > 1 AND arrival NOT IN ('moved', 'restored')"
    )
    register_published(con, feed, files)
    engine.create_view(con, "standing_items", "select_standing_items")


def register_periods(con: DuckDBPyConnection, ws: Workspace, batch: Batch) -> None:
    """Make ``periods`` (the batch) and ``calendar_months`` (every posting month up to it) readable."""
    first, last = Period.parse(batch.labels[0]), Period.parse(batch.labels[-1])
    engine.register(con, "periods", _months("period", ws.calendar.bounds_table(first, last)))
    engine.register(con, "calendar_months", _months("posted_period", posting_months(ws, last)))


def posting_months(ws: Workspace, last: Period) -> list[tuple[str, date, date]]:
    """Every month in which a row can be posted, as control totals name it, with its first and last day."""
    first = ws.calendar.cycles[0].first_period
    before = (before_calendar(ws), date.min, ws.calendar.start(first) - timedelta(days=1))
    return [before, *ws.calendar.bounds_table(first, last)]


def _months(name: str, rows: list[tuple[str, date, date]]) -> pa.Table:
    return pa.table(
        {
            name: pa.array([row[0] for row in rows], pa.string()),
            "start_on": pa.array([row[1] for row in rows], pa.date32()),
            "end_on": pa.array([row[2] for row in rows], pa.date32()),
        }
    )


@dataclass
class FeedResult:
    """What publishing a feed left: files, and counts for the limits, the coverage and the summary."""

    seals: list[Seal]
    arrivals: list[dict[str, Any]]
    quarantined: Counter[str]
    released: int
    touched: set[str]
    """Posting months of rows that were replaced, withdrawn, refused or released: their totals are counted anew."""


def publish_feed(
    ws: Workspace,
    lake: Lake,
    con: DuckDBPyConnection,
    feed: LedgerFeed,
    batch: Batch,
    *,
    staged: Path,
    raw: Sequence[Path],
    invalid_rows: pa.Table,
    moved: pa.Table,
    published_in: Sequence[Month],
    extra: dict[str, list[Any]],
) -> FeedResult:
    """Derive and write the feed's files for every month of ``batch``; nothing counts before the caller seals it.

    ``raw`` holds the staged rows as they were read. ``published_in`` are the months before the batch in which something
    was published of what was read or moved.
    ``extra`` collects, by month, the rows of datasets that both feeds share (quarantine, releases, retractions).
    Raises ``DataError`` when a limit of the policy is passed, before anything is written.
    """
    register_periods(con, ws, batch)
    relations: dict[str, engine.Relation] = {"staged": [staged], "invalid_rows": invalid_rows, "moved": moved}
    for name, relation in relations.items():
        engine.register(con, name, relation)
    dataset = {"dataset": feed.name}
    placing = {
        "period": batch.period,
        "batch_start": ws.calendar.start(Period.parse(batch.labels[0])),
        "before_batch": batch.before,
    }
    quarantine_files = _quarantine_files(lake, batch)
    engine.create_table(con, "open_before", "select_open_quarantine", quarantine_files, dataset)
    con.execute("CREATE OR REPLACE TEMP VIEW open_quarantine AS SELECT * FROM open_before")
    _register_concerned(con, lake, feed, published_in)
    entering = engine.run_table(con, "derive_quarantine", None, {**dataset, **placing})
    released = engine.run_table(con, "derive_quarantine_released", None, dataset)
    engine.create_table(con, "events", "derive_ledger_events", None, placing)
    arrivals = engine.run_table(con, "select_placed_counts").to_pylist()
    quarantined = Counter(
        {row["values"]: row["counts"] for row in pc.value_counts(entering.column("placed_in")).to_pylist()}
    )
    _require_quarantine_limit(ws, feed, arrivals, quarantined)
    _require_drift_limit(ws, lake, feed, batch, arrivals)
    # Only now: of a feed that fails as a whole, each row would be a text in memory before the month stops.
    as_read = rows_as_json(feed, raw, entering.column("row_no"))
    texts = [as_read[number] for number in entering.column("row_no").to_pylist()]
    entering = entering.append_column("row_json", pa.array(texts, pa.string()))

    seals = []
    written = set()
    for label, reader in split_by_label(engine.run(con, f"derive_{feed.name}")):
        seals.append(lake.publish(batch.dataset(feed, label), label, reader))
        written.add(label)
    for label in batch.all_labels:
        if label not in written:
            name = batch.dataset(feed, label)
            seals.append(lake.publish(name, label, schema_of(name).empty_table()))
    seals += [publish_keys(lake, con, feed, batch.dataset(feed, label), label) for label in batch.all_labels]
    for label in batch.all_labels:
        extra.setdefault(label, [])
    _collect(extra, "quarantine", entering)
    released = released.append_column("placed_in", pa.array([batch.period] * released.num_rows, pa.string()))
    _collect(extra, "quarantine_released", released)
    retracted = con.sql(
        "SELECT placed_in, retracted_bn15 AS bn15, retracted_account_key AS account_key, "
        "retracted_activity AS activity, retracted_activity_on AS activity_on FROM events "
        "WHERE retracted_activity IS NOT NULL ORDER BY placed_in, account_key, activity, activity_on"
    ).to_arrow_table()
    _collect(extra, "activity_retracted", retracted)
    return FeedResult(seals, arrivals, quarantined, released.num_rows, _touched_months(con, entering, released))


def _touched_months(con: DuckDBPyConnection, entering: pa.Table, released: pa.Table) -> set[str]:
    engine.register(con, "entering", entering)
    engine.register(con, "released", released)
    rows = con.sql(
        "WITH days AS ("
        "SELECT published_items.posted_on FROM published_items SEMI JOIN events "
        "ON published_items.item_id = events.item_id AND published_items.revision = events.revision "
        "UNION SELECT posted_on FROM events UNION SELECT posted_on FROM entering "
        "UNION SELECT open_before.posted_on FROM open_before SEMI JOIN released "
        "ON open_before.row_key = released.row_key AND open_before.row_hash = released.row_hash) "
        "SELECT DISTINCT calendar_months.posted_period FROM days INNER JOIN calendar_months "
        "ON days.posted_on BETWEEN calendar_months.start_on AND calendar_months.end_on"
    ).fetchall()
    return {row[0] for row in rows}


def _quarantine_files(lake: Lake, batch: Batch) -> dict[str, engine.Relation]:
    if batch.prior is None:
        return {"quarantine": [], "quarantine_released": []}
    return dict(open_quarantine_relations(lake, batch.prior))


def _collect(extra: dict[str, list[Any]], dataset: str, table: pa.Table) -> None:
    for label in table.column("placed_in").unique().to_pylist():
        rows = table.filter(pc.equal(table.column("placed_in"), label)).drop_columns(["placed_in"])
        extra.setdefault(label, []).append((dataset, rows))


def split_by_label(reader: pa.RecordBatchReader) -> Iterator[tuple[str, pa.RecordBatchReader]]:
    """Cut a stream sorted by its first column ``placed_in`` into one stream a month, without holding a month."""
    schema = reader.schema.remove(0)

    def pieces() -> Iterator[tuple[str, pa.RecordBatch]]:
        for piece in reader:
            labels = piece.column(0)
            runs = pc.run_end_encode(labels)
            start = 0
            for label, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
                yield label, piece.slice(start, end - start).drop_columns(["placed_in"])
                start = end

    for label, group in groupby(pieces(), key=lambda found: found[0]):
        yield label, pa.RecordBatchReader.from_batches(schema, (piece for _, piece in group))


def _require_quarantine_limit(
    ws: Workspace, feed: LedgerFeed, arrivals: list[dict[str, Any]], quarantined: Mapping[str, int]
) -> None:
    valid: Counter[str] = Counter()
    for row in arrivals:
        valid[row["placed_in"]] += row["row_count"]
    for label, refused in sorted(quarantined.items()):
        total = valid[label] + refused
        if ws.policy.quarantine.is_exceeded(refused, total):
            raise DataError(
                f"{feed.name}: {refused:,} of {total:,} rows of {label} fail validation, more than the "
                f"{ws.policy.quarantine.share:.0%} that policy.yaml allows: nothing was published; see the Data Docs "
                "for the rules that failed, mend the feed and run the month again"
            )


def _require_drift_limit(
    ws: Workspace, lake: Lake, feed: LedgerFeed, batch: Batch, arrivals: list[dict[str, Any]]
) -> None:
    drifted: Counter[str] = Counter()
    for row in arrivals:
        if row["arrival"] in DRIFT_ARRIVALS:
            drifted[row["posted_period"]] += row["row_count"]
    if not drifted or batch.prior is None:
        return
    known: Counter[str] = Counter()
    for row in pq.read_table(lake.file("control_totals", Period.parse(batch.prior))).to_pylist():
        if row["dataset"] == feed.name:
            known[row["posted_period"]] += row["row_count"]
    for posted, moved in sorted(drifted.items()):
        if ws.policy.drift.is_exceeded(moved, known[posted]):
            raise DataError(
                f"{feed.name}: {moved:,} rows of {posted} were overwritten or deleted in the source since they were "
                f"extracted, more than policy.yaml allows ({ws.policy.drift.rows:,} rows and "
                f"{ws.policy.drift.share:.0%} of the month): nothing was published; find out why, or raise the limit"
            )


def publish_shared(
    lake: Lake, batch: Batch, extra: dict[str, list[Any]], *, snapshot_quarantine: pa.Table | None = None
) -> list[Seal]:
    """Write quarantine, releases and retractions of every month of the batch."""
    seals = []
    for label in batch.all_labels:
        for dataset in ("quarantine", "quarantine_released", "activity_retracted"):
            schema = schema_of(dataset)
            tables = [rows.select(schema.names).cast(schema) for name, rows in extra.get(label, []) if name == dataset]
            if dataset == "quarantine" and label == batch.period and snapshot_quarantine is not None:
                tables.append(snapshot_quarantine.select(schema.names).cast(schema))
            table = pa.concat_tables([schema.empty_table(), *tables])
            seals.append(lake.publish(dataset, label, table.combine_chunks()))
    return seals


# Control totals: what the lake knows of the source, month of posting by month of posting.


def publish_control_totals(
    ws: Workspace,
    lake: Lake,
    con: DuckDBPyConnection,
    batch: Batch,
    plan: ExtractPlan,
    seals: list[Seal],
    touched: Mapping[str, set[str]],
) -> list[Seal]:
    """Count the lake as the source counts itself, and write the counts as known at each month of the batch.

    What moved, what is late and what has no date is published in the run's own month; the months before it in the
    batch know only the rows posted up to their own end.
    """
    schema = schema_of("control_totals")
    recounted, carried = [], []
    for feed in LEDGER_FEEDS:
        new = [
            lake.path(seal.dataset, seal.period)
            for seal in seals
            if seal.dataset in (feed.name, f"baseline_{feed.name}")
        ]
        quarantine = _quarantine_now(lake, batch, seals)
        engine.create_table(con, "open_now", "select_open_quarantine", quarantine, {"dataset": feed.name})
        con.execute("CREATE OR REPLACE TEMP VIEW open_quarantine AS SELECT * FROM open_now")
        months = posting_months(ws, Period.parse(batch.period))
        if not batch.has_baseline:
            wanted = {*batch.labels, *plan.moved.get(feed.name, []), *touched[feed.name]}
            months = [row for row in months if row[0] in wanted]
        bounds = [(start, end) for _, start, end in months]
        counted = hinted_files(lake, feed, batch.prior, partial(may_hold, column=feed.posted, bounds=bounds))
        replacing = hinted_files(lake, feed, batch.prior, has_later_version)
        _register_standing(con, feed, [*counted, *new], [*replacing, *new])
        months.append((UNDATED, date.max, date.min))
        totals = engine.run_table(con, "select_image_totals", {"posting_months": _months("posted_period", months)})
        named = totals.append_column("dataset", pa.array([feed.name] * totals.num_rows, pa.string()))
        recounted.append(named.select(schema.names).cast(schema))
        carried.append(_totals_carried(lake, batch, feed, {row[0] for row in months}))
    now = pa.concat_tables([*recounted, *carried])
    result = [lake.publish("control_totals", batch.period, _sorted_totals(now))]
    before = [_totals_carried(lake, batch, feed, set()) for feed in LEDGER_FEEDS]
    for label in batch.labels[:-1]:
        own = [_posted_by(ws, table, batch.labels, label, batch.has_baseline) for table in recounted]
        result.append(lake.publish("control_totals", label, _sorted_totals(pa.concat_tables([*own, *before]))))
    return result


def _posted_by(ws: Workspace, table: pa.Table, labels: list[str], label: str, with_older: bool) -> pa.Table:
    """The rows of control totals posted in the batch up to ``label`` (and, in a first run, before the batch)."""
    older = {row[0] for row in posting_months(ws, Period.parse(label))} if with_older else set(labels)
    months = pa.array(sorted(month for month in older if month not in labels or month <= label), pa.string())
    return table.filter(pc.is_in(table.column("posted_period"), value_set=months))


def _sorted_totals(table: pa.Table) -> pa.Table:
    keys = ("dataset", "posted_period", "kind", "status")
    return table.sort_by([(key, "ascending") for key in keys]).combine_chunks()


def _quarantine_now(lake: Lake, batch: Batch, seals: list[Seal]) -> dict[str, engine.Relation]:
    files = _quarantine_files(lake, batch)
    return {
        name: [*files[name], *(lake.path(seal.dataset, seal.period) for seal in seals if seal.dataset == name)]
        for name in ("quarantine", "quarantine_released")
    }


def _totals_carried(lake: Lake, batch: Batch, feed: LedgerFeed, recounted: set[str]) -> pa.Table:
    schema = schema_of("control_totals")
    if batch.prior is None:
        return schema.empty_table()
    table = pq.read_table(lake.file("control_totals", Period.parse(batch.prior)))
    mask = pc.and_(
        pc.equal(table.column("dataset"), feed.name),
        pc.invert(pc.is_in(table.column("posted_period"), value_set=pa.array(sorted(recounted), pa.string()))),
    )
    return table.filter(mask)


def register_standing_items(con: DuckDBPyConnection, lake: Lake, feed: LedgerFeed, up_to: str) -> None:
    """Make ``standing_items`` readable: every source row of a feed that the lake knew at ``up_to``, as it knew it."""
    files = published_files(lake, feed, up_to)
    _register_open_quarantine(con, lake, feed, up_to)
    _register_standing(con, feed, files, files)


def register_standing_of_accounts(con: DuckDBPyConnection, lake: Lake, feed: LedgerFeed, up_to: str) -> None:
    """The same, of what was published the rows of the accounts in ``asked_accounts`` alone.

    Only the months are read in which they have any; a later version of one of their rows, which may stand on another
    account, is looked for where statistics say that there are later versions.
    """
    files = month_files(lake, months_of_accounts(con, lake, feed, up_to))
    _register_open_quarantine(con, lake, feed, up_to)
    _register_standing(con, feed, files, hinted_files(lake, feed, up_to, has_later_version))
    engine.create_table(con, "account_items", "select_account_items")
    con.execute("CREATE OR REPLACE TEMP VIEW published_items AS SELECT * FROM account_items")


def _register_open_quarantine(con: DuckDBPyConnection, lake: Lake, feed: LedgerFeed, up_to: str) -> None:
    relations: dict[str, engine.Relation] = dict(open_quarantine_relations(lake, up_to))
    engine.create_table(con, "open_now", "select_open_quarantine", relations, {"dataset": feed.name})
    con.execute("CREATE OR REPLACE TEMP VIEW open_quarantine AS SELECT * FROM open_now")


def count_image(ws: Workspace, lake: Lake, con: DuckDBPyConnection, feed: LedgerFeed, up_to: str) -> pa.Table:
    """Count and sum everything that the lake holds of a feed, month of posting by month of posting."""
    register_standing_items(con, lake, feed, up_to)
    rows = [*posting_months(ws, Period.parse(up_to)), (UNDATED, date.max, date.min)]
    return engine.run_table(con, "select_image_totals", {"posting_months": _months("posted_period", rows)})


def require_reconciled(con: DuckDBPyConnection, lake: Lake, batch: Batch, folder: Path) -> int:
    """Invariant 1: the source's own counts and sums equal what is published, quarantined and brought forward.

    Returns the number of source rows reconciled; raises ``DataError`` naming the first month that differs.
    """
    rows = 0
    totals = [lake.path("control_totals", batch.period)]
    for feed in LEDGER_FEEDS:
        source = pq.read_table(folder / f"{feed.name}-totals.parquet")
        rows += pc.sum(source.column("row_count")).as_py() or 0
        offenders = engine.run_table(
            con, "check_reconciliation", {"source_totals": source, "control_totals": totals}, {"dataset": feed.name}
        ).to_pylist()
        if offenders:
            first = offenders[0]
            raise DataError(
                f"{feed.name}: the source holds {first['source_rows']:,} rows of kind {first['kind'] or '(none)'} and "
                f"status {first['status'] or '(none)'} posted in {first['posted_period']}, the lake "
                f"{first['known_rows']:,}, or their sums differ: nothing was sealed; run the month again, and if it "
                "stays, run carm verify"
            )
    return rows


def require_state(lake: Lake, expected_state: str, connection: Connection | None = None) -> None:
    """Raise ``Unavailable`` when anything was sealed since ``expected_state`` was taken."""
    if state_digest(lake.seals(connection=connection)) != expected_state:
        raise Unavailable(
            "another run published while this one was reading the source: nothing was sealed here; "
            "clear extract_feeds to read it again"
        )


def seal_batch(
    ws: Workspace,
    lake: Lake,
    seals: list[Seal],
    *,
    run_id: str,
    expected_state: str,
    coverage: list[dict[str, Any]],
    unseal: Iterable[tuple[str, str]] = (),
) -> None:
    """Make a batch count, in one transaction; refused when somebody else sealed anything since it was read."""
    with write_transaction(ws.operations) as connection:
        require_state(lake, expected_state, connection)
        for dataset, label in unseal:
            connection.execute(
                delete(COVERAGE).where(
                    COVERAGE.c.area == lake.area, COVERAGE.c.dataset == dataset, COVERAGE.c.period == label
                )
            )
        # All that the months said before, also of older months that brought them late rows.
        known_in = sorted({row["known_in"] for row in coverage})
        if coverage:
            connection.execute(delete(FEED_COVERAGE).where(FEED_COVERAGE.c.known_in.in_(known_in)))
            connection.execute(insert(FEED_COVERAGE), coverage)
        lake.seal(seals, run_id=run_id, connection=connection)


def coverage_rows(
    ws: Workspace, batch: Batch, plan: ExtractPlan, feed: LedgerFeed, result: FeedResult
) -> list[dict[str, Any]]:
    """What the batch found of the feed: a row a month, and one for each older month that got late rows.

    Facts only: what they are worth is told when a month is decided (:mod:`include.coverage`).
    """
    policy = ws.policy.feeds[feed.name]
    state, first_day = plan.feed_states[feed.name], plan.first_days[feed.name]
    hashes = _file_hashes(batch, feed, result)
    counts: Counter[tuple[str, str]] = Counter()
    for row in result.arrivals:
        if row["arrival"] in NEW_ARRIVALS and row["placed_in"] in batch.labels:
            counts[(row["posted_period"], row["placed_in"])] += row["row_count"]
    for label in batch.labels:
        counts[(label, label)] += 0
    return [
        {
            "feed": feed.name,
            "period": posted,
            "known_in": placed,
            "observed_in": batch.period,
            "state": state,
            "rows": rows,
            "quarantined": result.quarantined.get(posted, 0) if posted == placed else 0,
            # As the policy stood then, for who reads the ledger later; coverage is judged by the policy of the day.
            "minimum_rows": policy.minimum_rows_header_only if state == "empty" else policy.minimum_rows,
            "first_period": str(policy.first_period) if policy.first_period else None,
            "validated": True,
            "reconciled": True,
            "first_day": first_day,
            "sha256": hashes[placed],
        }
        for (posted, placed), rows in sorted(counts.items())
    ]


def _file_hashes(batch: Batch, feed: LedgerFeed, result: FeedResult) -> dict[str, str]:
    """The hash of the feed's published file, by the month that it holds."""
    return {seal.period: seal.sha256 for seal in result.seals if seal.dataset == batch.dataset(feed, seal.period)}


# Reaching further back than the first extracted month.


def extend_back(ws: Workspace, lake: Lake, first: Period) -> None:
    """Give the newest months of the baseline partitions of their own, from ``first`` on.

    An older month's window reaches further back than the first run did. The rows are those that the first run read
    (nothing is read again), so what was known then stays what was known then.
    """
    known = lake.periods("transactions")
    old_label = str(known[0].previous())
    labels = [str(period) for period in Period.range(first, known[0].previous())]
    batch = Batch(old_label, labels, str(first.previous()), None)
    log.info("giving %d months before %s partitions of their own", len(labels), known[0])
    extra: dict[str, list[Any]] = {}
    coverage: list[dict[str, Any]] = []
    state = state_digest(lake.seals())
    seals: list[Seal] = []
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        for feed in LEDGER_FEEDS:
            baseline = lake.file(f"baseline_{feed.name}", Period.parse(old_label))
            engine.register(con, "transaction_kinds", transaction_kinds_relation())
            staged = spill / f"{feed.name}.parquet"
            write_parquet(staged, engine.run(con, f"stage_baseline_{feed.name}", {f"baseline_{feed.name}": [baseline]}))
            result = publish_feed(
                ws,
                lake,
                con,
                feed,
                batch,
                staged=staged,
                raw=[],
                invalid_rows=INVALID_ROWS.empty_table(),
                moved=no_ranges(),
                published_in=[],
                extra=extra,
            )
            seals += result.seals
            coverage += _extended_coverage(ws, batch, feed, result, known[0])
        old_quarantine = lake.files("quarantine", [Period.parse(old_label)])
        engine.register(con, "entered", old_quarantine, like="quarantine")
        register_periods(con, ws, batch)
        placed = con.sql(
            "SELECT CASE WHEN entered.posted_on < $start THEN $before ELSE coalesce(periods.period, $own) END "
            "AS placed_in, entered.* EXCLUDE (period) FROM entered "
            "LEFT JOIN periods ON entered.posted_on BETWEEN periods.start_on AND periods.end_on "
            "ORDER BY placed_in, dataset, row_key, row_hash",
            params={"start": ws.calendar.start(first), "before": batch.before, "own": old_label},
        ).to_arrow_table()
        _collect(extra, "quarantine", placed)
    seals += publish_shared(lake, batch, extra)
    totals = pq.read_table(lake.file("control_totals", known[0]))
    for label in labels:
        own = _posted_by(ws, totals, labels, label, with_older=True)
        seals.append(lake.publish("control_totals", label, _sorted_totals(own)))
    before = [f"baseline_{feed.name}" for feed in LEDGER_FEEDS]
    gone = [(dataset, old_label) for dataset in (*before, *map(keys_dataset, before), "baseline")]
    run_id = f"extended back to {first}"
    seal_batch(ws, lake, seals, run_id=run_id, expected_state=state, coverage=coverage, unseal=gone)


def _extended_coverage(
    ws: Workspace, batch: Batch, feed: LedgerFeed, result: FeedResult, first_known: Period
) -> list[dict[str, Any]]:
    query = select(FEED_COVERAGE).where(
        FEED_COVERAGE.c.feed == feed.name,
        FEED_COVERAGE.c.period == str(first_known),
        FEED_COVERAGE.c.known_in == str(first_known),
    )
    with ws.operations.connect() as connection:
        like = connection.execute(query).mappings().one()
    counts: Counter[str] = Counter()
    for row in result.arrivals:
        counts[row["placed_in"]] += row["row_count"]
    hashes = _file_hashes(batch, feed, result)
    return [
        {
            **like,
            "period": label,
            "known_in": label,
            "rows": counts[label],
            "quarantined": 0,
            "sha256": hashes[label],
        }
        for label in batch.labels
    ]


def no_ranges() -> pa.Table:
    """The relation ``moved`` of a run in which no older month moved."""
    return pa.table({"start_on": pa.array([], pa.date32()), "end_on": pa.array([], pa.date32())})
