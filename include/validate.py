"""The first gate: judges what was read, sets refused rows apart, publishes the rest and seals the month.

Great Expectations judges (``include.quality``); this module decides what follows: a refused row goes to quarantine
with its reason, a failed table rule or too many refused rows stop the month before anything is published, and the
seal is set only when the source's own counts and sums come out (``include.ledger``).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include import engine
from include.carm.errors import DataError, Unavailable
from include.carm.period import Period
from include.datasets import schema_of
from include.extract import ExtractPlan, extracted_periods, fetched_ranges, moved_ranges
from include.feeds import ACCOUNTS, DELEGATIONS, LEDGER_FEEDS, SUBSCRIBERS, TRANSACTIONS, WEBINARS, Feed, LedgerFeed
from include.lake import Lake, Seal, write_parquet
from include.ledger import (
    INVALID_ROWS,
    Batch,
    coverage_rows,
    publish_control_totals,
    publish_feed,
    publish_shared,
    require_reconciled,
    require_state,
    seal_batch,
)
from include.published import KEY, NUMBER, month_files
from include.quality.gate import check
from include.quality.suites import load_suite
from include.source_rows import rows_as_json
from include.transaction_kinds import transaction_kinds_relation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from include.workspace import Workspace

log = logging.getLogger(__name__)

JUDGED_ROWS = 250_000
"""Rows a batch of the gate: what keeps a pandas frame of one feed well below a gigabyte."""


def validate_month(ws: Workspace, month: dict[str, Any]) -> dict[str, Any]:
    """Judge, publish and seal what ``extract_month`` read; returns counts only.

    Raises ``DataError`` when a table rule fails, a limit of the policy is passed or the totals do not come out, and
    ``Unavailable`` when what was read is not there; nothing is sealed then. A month whose extract is final is left as
    it is.
    """
    folder = ws.staging(month["run_id"], "extract")
    period = Period.parse(month["period"])
    lake = ws.lake()
    if not (folder / "plan.json").exists():
        if period not in extracted_periods(lake):
            raise _nothing_read(period)
        return {"period": str(period), "state": "final", "rows": lake_counts(lake, period)}
    plan = ExtractPlan.read(folder)
    staging = ws.staging(month["run_id"], "validate")
    rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        run = _Gate(ws, con, plan, folder, staging)
        result = run.snapshots_only(month, lake) if plan.snapshots_only else run.publish(month, lake)
    rmtree(folder)
    rmtree(staging)
    return result


def judged_batches(feed: Feed, staged: Path) -> Iterator[pa.RecordBatch]:
    """The staged rows of a feed in batches for the gate, with no column that its suite does not ask for."""
    file = pq.ParquetFile(staged)
    yield from file.iter_batches(JUDGED_ROWS, columns=_judged_columns(feed, file.schema_arrow))


def _judged_columns(feed: Feed, schema: pa.Schema) -> list[str]:
    """The columns of a staged feed that its suite asks for."""
    expected = load_suite(feed.name).header.kwargs["column_set"]
    return [name for name in schema.names if name in expected]


def lake_counts(lake: Lake, period: Period) -> dict[str, int]:
    """Rows of the month's extract, by dataset, from the seals."""
    names = {*(feed.name for feed in LEDGER_FEEDS), "accounts", "delegations", "webinars", "quarantine"}
    return {seal.dataset: seal.rows for seal in lake.seals() if seal.period == str(period) and seal.dataset in names}


def _derived_from(lake: Lake, seals: list[Seal]) -> list[tuple[str, str]]:
    """What was derived from files that ``seals`` replace by others: it must not outlive them."""
    recorded = {(seal.dataset, seal.period): seal.sha256 for seal in lake.seals()}
    extracted = {seal.dataset for seal in seals}
    replaced = {seal.period for seal in seals if recorded.get((seal.dataset, seal.period), seal.sha256) != seal.sha256}
    return [(dataset, label) for dataset, label in recorded if label in replaced and dataset not in extracted]


def _nothing_read(period: Period) -> Unavailable:
    return Unavailable(
        f"what was read of {period} is there no more, as another run took the month over: "
        "clear extract_feeds to read it again"
    )


def _first_failures(failures: pa.Table) -> pa.Table:
    """Of each row the first failure alone: it names the reason. Takes and gives them by row number."""
    if not failures.num_rows:
        return INVALID_ROWS.empty_table()
    step = pc.pairwise_diff(failures.column("row_no").combine_chunks())
    return failures.filter(pc.fill_null(pc.not_equal(step, 0), True)).cast(INVALID_ROWS)


class _Gate:
    """One run of the gate over everything that an extraction read."""

    def __init__(self, ws: Workspace, con: DuckDBPyConnection, plan: ExtractPlan, folder: Path, staging: Path) -> None:
        self.ws, self.con, self.plan, self.folder, self.staging = ws, con, plan, folder, staging
        self.period = Period.parse(plan.period)
        self.as_of = ws.calendar.as_of(self.period)
        self.warnings: dict[str, dict[str, int]] = {}
        self.snapshot_quarantine: list[pa.Table] = []

    # The whole month

    def publish(self, month: dict[str, Any], lake: Lake) -> dict[str, Any]:
        batch = Batch.of(self.plan)
        # Before the first file is written: a stale reading must not touch what somebody else sealed.
        require_state(lake, self.plan.state)
        snapshots = self._judge_snapshots()
        judged = {feed.name: self._judge_ledger(feed) for feed in LEDGER_FEEDS}
        seals = self._publish_snapshots(lake, snapshots)
        extra: dict[str, list[Any]] = {}
        coverage, arrivals = [], Counter[str]()
        refused: dict[str, int] = {}
        touched: dict[str, set[str]] = {}
        for feed in LEDGER_FEEDS:
            staged, invalid = judged[feed.name]
            result = publish_feed(
                self.ws,
                lake,
                self.con,
                feed,
                batch,
                staged=staged,
                raw=self._raw(feed),
                invalid_rows=invalid,
                moved=moved_ranges(self.ws, self.plan, feed),
                published_in=self.plan.months_of(feed, KEY),
                extra=extra,
            )
            seals += result.seals
            coverage += coverage_rows(self.ws, batch, self.plan, feed, result)
            refused[feed.name] = sum(result.quarantined.values())
            touched[feed.name] = result.touched
            for row in result.arrivals:
                arrivals[row["arrival"]] += row["row_count"]
        quarantined = pa.concat_tables(self.snapshot_quarantine) if self.snapshot_quarantine else None
        seals += publish_shared(lake, batch, extra, snapshot_quarantine=quarantined)
        seals += publish_control_totals(self.ws, lake, self.con, batch, self.plan, seals, touched)
        reconciled = require_reconciled(self.con, lake, batch, self.folder)
        seal_batch(
            self.ws,
            lake,
            seals,
            run_id=month["run_id"],
            expected_state=self.plan.state,
            coverage=coverage,
            unseal=_derived_from(lake, seals),
        )
        log.info("%s sealed: %d source rows reconciled, %s refused", self.period, reconciled, refused)
        return {
            "period": str(self.period),
            "state": "sealed",
            "rows": lake_counts(lake, self.period),
            "arrivals": dict(sorted(arrivals.items())),
            "quarantined": refused,
            "reconciled_rows": reconciled,
            "warnings": self.warnings,
        }

    def snapshots_only(self, month: dict[str, Any], lake: Lake) -> dict[str, Any]:
        """A month whose ledger was extracted by a later month's first run: only its accounts and lists are missing."""
        require_state(lake, self.plan.state)
        seals = self._publish_snapshots(lake, self._judge_snapshots())
        seal_batch(self.ws, lake, seals, run_id=month["run_id"], expected_state=self.plan.state, coverage=[])
        return {
            "period": str(self.period),
            "state": "sealed",
            "rows": lake_counts(lake, self.period),
            "warnings": self.warnings,
        }

    # Snapshots: accounts and lists as they hold on the period's last day

    def _judge_snapshots(self) -> dict[str, tuple[Path, pa.Table]]:
        judged = {}
        for feed, parameters in (
            (ACCOUNTS, {"as_of": self.as_of}),
            (DELEGATIONS, {}),
            (SUBSCRIBERS, {}),
            (WEBINARS, {}),
        ):
            staged = self._stage(feed, parameters)
            invalid = self._judge(feed, judged_batches(feed, staged), staged)
            judged[feed.name] = (staged, invalid)
            if feed is ACCOUNTS:
                self._require_limit(feed, staged, invalid)
            self._set_apart(feed, staged, invalid)
        staged, invalid = judged["accounts"]
        engine.create_table(
            self.con,
            "account_states",
            "select_account_states",
            {"raw_accounts": self._raw(ACCOUNTS), "staged": [staged], "invalid_rows": invalid},
        )
        return judged

    def _publish_snapshots(self, lake: Lake, judged: dict[str, tuple[Path, pa.Table]]) -> list[Seal]:
        seals = []
        for name, (staged, invalid) in judged.items():
            if name == SUBSCRIBERS.name:
                # A list of addresses: judged here, and read from the source when somebody is written to.
                continue
            if name == "accounts":
                reader = engine.run(self.con, "derive_accounts", {"staged": [staged], "invalid_rows": invalid})
                seals.append(lake.publish(name, self.period, reader))
                continue
            table = pq.read_table(staged)
            keep = pc.invert(pc.is_in(table.column("row_no"), value_set=invalid.column("row_no").combine_chunks()))
            seals.append(lake.publish(name, self.period, table.filter(keep).select(schema_of(name).names)))
        return seals

    def _set_apart(self, feed: Feed, staged: Path, invalid: pa.Table) -> None:
        """Rows of a snapshot are refused anew each month: their quarantine speaks of this month only."""
        if not invalid.num_rows:
            return
        table = pq.read_table(staged)
        numbers = invalid.column("row_no").to_pylist()
        by_number = {row["row_no"]: row for row in invalid.to_pylist()}
        as_read = rows_as_json(feed, self._raw(feed), invalid.column("row_no"))
        rows = []
        for row in table.filter(pc.is_in(table.column("row_no"), value_set=pa.array(numbers))).to_pylist():
            found = by_number[row["row_no"]]
            rows.append(
                {
                    "dataset": feed.name,
                    "row_key": str(row.get("row_key") or f"row {row['row_no']}"),
                    "expectation": found["expectation"],
                    "reason": found["reason"],
                    "bn15": row.get("bn15"),
                    "replaces_published": False,
                    "row_hash": row.get("row_hash") or "",
                    "row_json": as_read[row["row_no"]],
                }
            )
        rows.sort(key=lambda row: (row["row_key"], row["row_hash"], row["row_json"]))
        self.snapshot_quarantine.append(pa.Table.from_pylist(rows, schema=schema_of("quarantine")))

    def _require_limit(self, feed: Feed, staged: Path, invalid: pa.Table) -> None:
        total = pq.read_metadata(staged).num_rows
        if self.ws.policy.quarantine.is_exceeded(invalid.num_rows, total):
            raise DataError(
                f"{feed.name}: {invalid.num_rows:,} of {total:,} rows fail validation, more than the "
                f"{self.ws.policy.quarantine.share:.0%} that policy.yaml allows: nothing was published; see the Data "
                "Docs for the rules that failed, mend the feed and run the month again"
            )

    # Ledger feeds

    def _judge_ledger(self, feed: LedgerFeed) -> tuple[Path, pa.Table]:
        engine.register(self.con, "fetched_ranges", fetched_ranges(self.ws, self.plan, feed))
        engine.register(self.con, "transaction_kinds", transaction_kinds_relation())
        staged = self._stage(feed, {"last_day": self.as_of})
        batches = judged_batches(feed, staged)
        if feed is TRANSACTIONS:
            batches = self._with_reversals(lake=self.ws.lake(), staged=staged, batches=batches)
        return staged, self._judge(feed, batches, staged)

    def _with_reversals(self, lake: Lake, staged: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        numbers = self._find_reversed_twice(lake, staged)
        for batch in batches:
            yield batch.append_column("is_reversed_twice", pc.is_in(batch.column("row_no"), value_set=numbers))

    def _find_reversed_twice(self, lake: Lake, staged: Path) -> pa.Array:
        """The numbers of the staged rows that would reverse an item a second time.

        Only a valid row reverses anything: else a refused reversal would take the payment's bounce with it, and a
        client would keep the credit. So the few rows on which it depends are judged before the others.
        """
        numbers = engine.run_table(self.con, "select_reversing_numbers", {"read_rows": [staged]})
        if not numbers.num_rows:
            return pa.array([], pa.int64())
        # In memory, so that the few that are asked for are what the months before are held against.
        engine.register(self.con, "reversing_numbers", numbers)
        files = month_files(lake, self.plan.months_of(TRANSACTIONS, NUMBER))
        engine.register(self.con, "published_transactions", files, like=TRANSACTIONS.name)
        engine.create_table(self.con, "known_payments", "select_known_payments")
        engine.create_table(self.con, "reversing_rows", "select_reversing_rows", {"staged": [staged]})
        refused = self._judge_reversing_rows(pq.read_schema(staged))
        at_fault = engine.run_table(self.con, "select_reversed_twice", {"invalid_rows": refused})
        return at_fault.column("row_no").combine_chunks()

    def _judge_reversing_rows(self, schema: pa.Schema) -> pa.Table:
        """The failures of ``reversing_rows`` by every rule but the one that depends on them."""
        names = _judged_columns(TRANSACTIONS, schema)
        batches = (
            batch.select(names).append_column("is_reversed_twice", pa.repeat(pa.scalar(False), batch.num_rows))
            for batch in self.con.table("reversing_rows").to_arrow_reader(JUDGED_ROWS)
        )
        # Its pages speak of the whole feed: they are written when that is judged.
        result = check(TRANSACTIONS.name, batches, docs_folder=None, run_name=str(self.period), as_of=self.as_of)
        return result.failures

    # Common to all

    def _raw(self, feed: Feed) -> list[Path]:
        if files := sorted(self.folder.glob(f"{feed.name}-[0-9].parquet")):
            return files
        raise _nothing_read(self.period)

    def _stage(self, feed: Feed, parameters: dict[str, Any]) -> Path:
        path = self.staging / f"{feed.name}.parquet"
        reader = engine.run(self.con, f"stage_{feed.name}", {f"raw_{feed.name}": self._raw(feed)}, parameters)
        rows = write_parquet(path, reader)
        log.info("%s: %d rows to judge", feed.name, rows)
        return path

    def _judge(self, feed: Feed, batches: Iterator[pa.RecordBatch], staged: Path) -> pa.Table:
        """The refused rows of a feed: number, first failed expectation and reason."""
        result = check(
            feed.name,
            self._with_header(batches, staged),
            docs_folder=self.ws.data / "data_docs",
            run_name=str(self.period),
            as_of=self.as_of,
        )
        if result.table_failures:
            raise DataError(" ".join(result.table_failures) + " Nothing was published.")
        if result.warnings:
            self.warnings[feed.name] = dict(result.warnings)
        return _first_failures(result.failures)

    def _with_header(self, batches: Iterator[pa.RecordBatch], staged: Path) -> Iterator[pa.RecordBatch]:
        """The batches, or one empty batch, so that the columns of an empty feed are judged too."""
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            schema = pq.read_schema(staged)
            if staged.stem == TRANSACTIONS.name:
                schema = schema.append(pa.field("is_reversed_twice", pa.bool_()))
            yield from schema.empty_table().to_batches() or [pa.RecordBatch.from_pylist([], schema=schema)]
