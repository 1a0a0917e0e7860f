"""The lake: ``<root>/<dataset>/period=P/data.parquet``, one file a partition, replaced by one rename.

A file counts only when the coverage table carries its hash, written last and in one transaction for all files of a
step. So a reader never sees half a step: it asks :meth:`Lake.files`, which compares the file with its seal.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import delete, insert, select
from sqlalchemy.engine import Connection, Engine

from include.carm.errors import DataError, Unavailable
from include.carm.period import Period
from include.database import write_transaction
from include.datasets import SCHEMAS
from include.lake_uses import note_read, note_sealed
from include.operations_schema import COVERAGE
from include.working_folders import alone_in, working_in

ROW_GROUP_ROWS = 122_880


@dataclass(frozen=True)
class Seal:
    """What the coverage table says of one file."""

    dataset: str
    period: str
    rows: int
    sha256: str


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


SORTED_NUMBERS = {"key_hash"}
"""Columns of ascending numbers that are all different: stored as differences."""

NEARLY_UNIQUE = {
    *("transaction_id", "declaration_id", "transaction_number", "row_hash", "customs_duty_cents", "gst_cents"),
    *("amount_cents", "posted_amount_cents", "effect_cents", "running_balance_cents"),
}
"""Columns of which few values stand twice in a row group: looking for those costs time, and writing each with its
number in a dictionary costs room."""

_proved: dict[tuple[Path, str], tuple[int, int, int]] = {}


def _is_sealed_file(path: Path, sha256: str) -> bool:
    """Whether the file is the sealed one. One that this process proved, and nobody touched since, is not read again."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    mark = (found.st_ino, found.st_size, found.st_mtime_ns)
    if _proved.get((path, sha256)) != mark:
        if sha256_of(path) != sha256:
            return False
        _proved[(path, sha256)] = mark
    return True


def write_parquet(path: Path, data: pa.Table | pa.RecordBatchReader, schema: pa.Schema | None = None) -> int:
    """Write ``data`` to ``path`` so that equal rows give equal bytes; returns the number of rows.

    Batches are gathered into row groups of one fixed size, whatever sizes the engine handed over.
    """
    schema = schema or data.schema
    differences = {name: "DELTA_BINARY_PACKED" for name in schema.names if name in SORTED_NUMBERS}
    with_dictionary = [name for name in schema.names if name not in SORTED_NUMBERS | NEARLY_UNIQUE]
    batches = data.to_reader() if isinstance(data, pa.Table) else data
    rows, waiting, waiting_rows = 0, [], 0
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        version="2.6",
        use_dictionary=with_dictionary or False,
        column_encoding=differences or None,
    ) as writer:
        for batch in batches:
            table = pa.Table.from_batches([batch]).select(schema.names).cast(schema)
            waiting.append(table)
            waiting_rows += table.num_rows
            while waiting_rows >= ROW_GROUP_ROWS:
                gathered = pa.concat_tables(waiting)
                writer.write_table(gathered.slice(0, ROW_GROUP_ROWS).combine_chunks(), ROW_GROUP_ROWS)
                rest = gathered.slice(ROW_GROUP_ROWS)
                waiting, waiting_rows = [rest], rest.num_rows
                rows += ROW_GROUP_ROWS
        if waiting_rows:
            writer.write_table(pa.concat_tables(waiting).combine_chunks(), ROW_GROUP_ROWS)
            rows += waiting_rows
    return rows


@contextmanager
def explained(dataset: str, period: Period | str) -> Iterator[None]:
    """Say of a disk that refuses what to do about it, as ``Unavailable``."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"cannot write {dataset} for {period} ({error.strerror or error}): "
            "make room in the data folder, or make it writable, and run the month again"
        ) from error


@contextmanager
def _fresh_file(target: Path) -> Iterator[Path]:
    """A file beside ``target`` to write into and to move there; else it is gone afterwards, as are those of the dead.

    So a disk that is full does not stay full of what was begun.
    """
    with alone_in(target.parent) as is_alone:
        if is_alone:
            for left in target.parent.glob(".data.*.parquet"):
                left.unlink(missing_ok=True)
    with working_in(target.parent):
        fresh = target.with_name(f".data.{os.getpid()}-{secrets.token_hex(4)}.parquet")
        try:
            yield fresh
        finally:
            fresh.unlink(missing_ok=True)


def have_same_rows(one: Path, other: Path) -> bool:
    """Whether two files of :func:`write_parquet` hold equal rows in the same order, however these were encoded."""
    files = [pq.ParquetFile(path) for path in (one, other)]
    if files[0].metadata.num_rows != files[1].metadata.num_rows or files[0].schema_arrow != files[1].schema_arrow:
        return False
    batches = (file.iter_batches(ROW_GROUP_ROWS) for file in files)
    return all(own.equals(others) for own, others in zip(*batches, strict=True))


class Lake:
    """The datasets below one root, with their seals in the database of ``carm_apply``.

    ``area`` is ``lake`` (the record) or ``shadow`` (what a shadow run of an issued month computed). A shadow lake
    reads through to the record for every partition that it has not computed itself.
    """

    def __init__(self, data: Path, engine: Engine, area: str = "lake") -> None:
        if area not in ("lake", "shadow"):
            raise ValueError(f"a lake's area is lake or shadow, not {area!r}")
        self.data, self.engine, self.area = data, engine, area
        self.root = data / "lake" if area == "lake" else data / "shadow" / "lake"

    def path(self, dataset: str, period: Period | str) -> Path:
        """Where the partition lies, whether it exists or not."""
        return self.root / dataset / f"period={period}" / "data.parquet"

    # Reading

    def seals(self, dataset: str | None = None, *, connection: Connection | None = None) -> list[Seal]:
        """All seals of this area (of one dataset), oldest period first."""
        query = select(COVERAGE.c.dataset, COVERAGE.c.period, COVERAGE.c.rows, COVERAGE.c.sha256).where(
            COVERAGE.c.area == self.area
        )
        if dataset is not None:
            query = query.where(COVERAGE.c.dataset == dataset)
        query = query.order_by(COVERAGE.c.period, COVERAGE.c.dataset)
        if connection is not None:
            return [Seal(*row) for row in connection.execute(query)]
        with self.engine.connect() as own:
            return [Seal(*row) for row in own.execute(query)]

    def own_periods(self, dataset: str, up_to: Period | None = None) -> list[Period]:
        """The periods of ``dataset`` sealed in this area itself, oldest first; no shadow lake reads through here."""
        found = [Period.parse(seal.period) for seal in self.seals(dataset)]
        return [period for period in found if up_to is None or period <= up_to]

    def periods(self, dataset: str) -> list[Period]:
        """The sealed periods of ``dataset``, oldest first; in a shadow lake those of the record too."""
        found = set(self.own_periods(dataset))
        if self.area == "shadow":
            found |= set(Lake(self.data, self.engine).periods(dataset))
        return sorted(found)

    def has(self, dataset: str, period: Period) -> bool:
        """Whether the partition is sealed here (or, for a shadow lake, in the record)."""
        return period in self.periods(dataset)

    def files(self, dataset: str, periods: Iterable[Period] | None = None) -> list[Path]:
        """The files of the sealed partitions among ``periods`` (default: all), each proved against its seal.

        Raises ``DataError`` when a file is missing or is not the one that was sealed.
        """
        wanted = None if periods is None else {str(period) for period in periods}
        found: dict[str, Path] = {}
        if self.area == "shadow":
            record = Lake(self.data, self.engine)
            found = {path.parent.name.removeprefix("period="): path for path in record.files(dataset, periods)}
        for seal in self.seals(dataset):
            if wanted is not None and seal.period not in wanted:
                continue
            path = self.sealed_file(seal)
            if path is None:
                raise DataError(
                    f"{self.area}/{dataset}/period={seal.period} is not the file that was sealed: "
                    f"run {seal.period} again, or restore the file from a backup"
                )
            note_read(self.area, dataset)
            found[seal.period] = path
        return [found[period] for period in sorted(found)]

    def sealed_file(self, seal: Seal) -> Path | None:
        """The file with the sealed bytes: in its place, or kept when a step died between writing and sealing."""
        for path in (self.path(seal.dataset, seal.period), self._kept(seal.dataset, seal.period, seal.sha256)):
            if _is_sealed_file(path, seal.sha256):
                return path
        return None

    def sealed_alike(self, seal: Seal, path: Path) -> tuple[Seal, Path] | None:
        """The seal that counts of this partition, and its file, where that holds the rows of ``path`` in other bytes.

        Another release, or another version of Parquet, may encode the same rows otherwise. What was sealed stays then:
        the rows are what was issued, and their file is the proof of it.
        """
        for standing in self.seals(seal.dataset):
            if standing.period == seal.period and standing.rows == seal.rows and standing.sha256 != seal.sha256:
                file = self.sealed_file(standing)
                return (standing, file) if file is not None and have_same_rows(file, path) else None
        return Lake(self.data, self.engine).sealed_alike(seal, path) if self.area == "shadow" else None

    def _kept(self, dataset: str, period: Period | str, sha256: str) -> Path:
        return self.data / "superseded" / self.area / dataset / f"period={period}" / f"{sha256[:16]}.parquet"

    def file(self, dataset: str, period: Period) -> Path:
        """The proved file of one partition; raises ``DataError`` when it was never sealed."""
        files = self.files(dataset, [period])
        if not files:
            raise DataError(f"{self.area} has no sealed {dataset} for {period}: run that month first")
        return files[0]

    # Writing

    def publish(self, dataset: str, period: Period | str, data: pa.Table | pa.RecordBatchReader | Path) -> Seal:
        """Write one partition and move it into place; it does not count until :meth:`seal` has recorded it.

        A ``Path`` is a file of :func:`write_parquet` with the dataset's schema, and is moved. The same rows leave the
        file untouched, and take the bytes of the record's in a shadow lake; a file that they replace is kept below
        ``superseded/``. Raises ``Unavailable`` where the disk refuses.
        """
        target = self.path(dataset, period)
        with explained(dataset, period), _fresh_file(target) as fresh:
            if isinstance(data, Path):
                shutil.move(data, fresh)
                rows = pq.read_metadata(fresh).num_rows
            else:
                rows = write_parquet(fresh, data, SCHEMAS.get(dataset))
            seal = Seal(dataset, str(period), rows, sha256_of(fresh))
            if alike := self.sealed_alike(seal, fresh):
                seal, file = alike
                shutil.copyfile(file, fresh)
            if target.exists():
                old = sha256_of(target)
                if old == seal.sha256:
                    return seal
                kept = self._kept(dataset, period, old)
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.unlink(missing_ok=True)
                os.link(target, kept)
            with fresh.open("rb") as written:
                os.fsync(written.fileno())
            fresh.replace(target)
        return seal

    def seal(self, seals: Sequence[Seal], *, run_id: str, connection: Connection | None = None) -> None:
        """Record files as counting, all in one transaction (the caller's, when a ``connection`` is given)."""
        if connection is None:
            with write_transaction(self.engine) as own:
                self.seal(seals, run_id=run_id, connection=own)
            return
        for seal in seals:
            note_sealed(self.area, seal.dataset)
        recorded = {(seal.dataset, seal.period): seal for seal in self.seals(connection=connection)}
        changed = [seal for seal in seals if recorded.get((seal.dataset, seal.period)) != seal]
        for seal in changed:
            connection.execute(
                delete(COVERAGE).where(
                    COVERAGE.c.area == self.area,
                    COVERAGE.c.dataset == seal.dataset,
                    COVERAGE.c.period == seal.period,
                )
            )
        if changed:
            connection.execute(
                insert(COVERAGE),
                [
                    {
                        "area": self.area,
                        "dataset": seal.dataset,
                        "period": seal.period,
                        "rows": seal.rows,
                        "sha256": seal.sha256,
                        "run_id": run_id,
                    }
                    for seal in changed
                ],
            )

    def publish_and_seal(
        self, dataset: str, period: Period | str, data: pa.Table | pa.RecordBatchReader, *, run_id: str
    ) -> Seal:
        """One partition that is a step of its own: written, then sealed."""
        seal = self.publish(dataset, period, data)
        self.seal([seal], run_id=run_id)
        return seal


def no_shadow_run(period: Period) -> DataError:
    """The error of who asks for a shadow run's result of a month where the record alone is there."""
    return DataError(
        f"no shadow run of {period} lies beside its record: make run PERIOD={period} EFFECTS=shadow makes one, once "
        "the month is issued; without --shadow you see the record"
    )


def state_digest(seals: Iterable[Seal]) -> str:
    """One hash over what is sealed, to notice that somebody else published in the meantime."""
    lines = sorted(f"{seal.dataset} {seal.period} {seal.rows} {seal.sha256}" for seal in seals)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
