"""Rows of the source as texts, the way in which dirty data reach validation as they stand.

All of a run's reading happens in one snapshot. PostgreSQL hands its rows out by COPY, any other database through the
cursor of its driver; what comes of it is the same: tables of texts, numbered, a few at a time in memory.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from include.carm.errors import DataError
from include.database import plain_errors, read_snapshot
from include.feeds import ACCOUNTS, Feed
from include.postgresql_rows import copy_texts, travels_as_text
from include.source_schema import canonical_bn15, received_tables

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.types import TypeEngine

    from include.workspace import Workspace

log = logging.getLogger(__name__)

FETCH_ROWS = 1_000
"""Rows that a driver makes Python texts of at once: few enough to stay in the processor's cache."""
CHUNK_ROWS = 32_768
CHUNK_BYTES = 32 * 1024 * 1024
"""A chunk, which becomes a row group, ends with the row that reaches one of the two; a few are in memory at a time."""
PROGRESS_ROWS = 1_000_000
"""Between two lines of the log on a long reading."""

Columns = Mapping[str, "TypeEngine[Any]"]
"""The columns that a table has in this source, with their types."""


@contextmanager
def source_snapshot(ws: Workspace) -> Iterator[Connection]:
    """One consistent view of the source, in which a day reads as ISO text whatever the database."""
    with read_snapshot(ws.source) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SET LOCAL datestyle = 'ISO, YMD'"))
        yield connection


def present_columns(connection: Connection) -> dict[str, Columns]:
    """The columns of each feed whose table or view is there."""
    inspector = sa.inspect(connection)
    return {
        name: {column["name"]: column["type"] for column in inspector.get_columns(name)}
        for name in received_tables(connection)
    }


def require_columns(feed: Feed, present: Columns | None) -> Columns:
    """The columns of a feed; raises ``DataError`` where its table, or a column that it must have, is missing."""
    if present is None:
        raise DataError(f"the source has no table {feed.name}: load it first (carm load FOLDER) or create it empty")
    missing = [column for column in feed.columns if column not in present and column not in feed.optional]
    if missing:
        raise DataError(
            f"the source table {feed.name} lacks the column {missing[0]}: docs/adapting.md says what it holds"
        )
    return present


def snapshot_columns(feed: Feed, present: Columns | None) -> Columns:
    """The columns of a snapshot feed, none where its table is absent: only the accounts must be there."""
    return {} if present is None and feed is not ACCOUNTS else require_columns(feed, present)


def select_texts(connection: Connection, feed: Feed, present: Columns) -> sa.Select[Any]:
    """The columns of a feed that are there, each as text: what the source holds must reach validation as it stands."""
    is_copied = connection.dialect.name == "postgresql"
    texts: list[sa.ColumnElement[Any]] = []
    for name in feed.columns:
        if name in present:
            column: sa.ColumnElement[Any] = sa.column(name)
            is_text_anyway = is_copied and travels_as_text(present[name])
            texts.append(column if is_text_anyway else sa.cast(column, sa.Text).label(name))
    return sa.select(*texts).select_from(sa.table(feed.name))


def read_chunks(connection: Connection, query: sa.Select[Any]) -> Generator[pa.Table, None, None]:
    """The rows of a query of :func:`select_texts`, in chunks. Close it before the next query of the connection."""
    with plain_errors(connection.engine):
        if connection.dialect.name == "postgresql":
            yield from copy_texts(connection, query, CHUNK_ROWS, CHUNK_BYTES)
        else:
            yield from _fetch_texts(connection, query)


def read_texts(connection: Connection, feed: Feed, wanted: Collection[str], *, bn15: str | None = None) -> pa.Table:
    """All rows of a snapshot feed, or those of one account, as the texts that ``stage_*.sql`` reads, in memory.

    Only the columns ``wanted`` are asked for; the others are NULL. Raises ``DataError`` when the accounts' table, or a
    column of any table, is missing.
    """
    present = snapshot_columns(feed, present_columns(connection).get(feed.name))
    schema = raw_schema(feed)
    if not present:
        return schema.empty_table()
    query = select_texts(connection, feed, {name: present[name] for name in present if name in wanted})
    if bn15 is not None:
        query = query.where(canonical_bn15(sa.column("bn15")) == bn15)
    found = [schema.empty_table()]
    with closing(read_chunks(connection, query)) as chunks:
        for chunk in chunks:
            found.append(_number(chunk, schema, "snapshot", sum(table.num_rows for table in found)))
    return pa.concat_tables(found)


def raw_schema(feed: Feed) -> pa.Schema:
    """The columns of a raw file: the row's number, why it was read, and the feed's columns as texts."""
    texts = [pa.field(name, pa.string()) for name in feed.columns]
    return pa.schema([pa.field("row_no", pa.int64()), pa.field("fetched_by", pa.string()), *texts])


class RawFile:
    """One raw Parquet file of a feed, written as rows arrive; ``rows`` counts on from ``first_row``.

    A context manager: after an exception there is no file.
    """

    def __init__(self, folder: Path, feed: Feed, number: int = 1, first_row: int = 0) -> None:
        self.feed, self.schema, self.rows = feed, raw_schema(feed), first_row
        self.path = folder / f"{feed.name}-{number}.parquet"
        # Read once and whole, soon after: an index of values, or of bounds, costs half the writing and serves nobody.
        self._writer = pq.ParquetWriter(
            self.path, self.schema, compression="zstd", use_dictionary=False, write_statistics=False
        )

    def __enter__(self) -> RawFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._writer.close()
        if error is not None:
            self.path.unlink(missing_ok=True)

    def add(self, connection: Connection, query: sa.Select[Any], fetched_by: str) -> None:
        """Write the rows of a query of :func:`select_texts`."""
        with closing(read_chunks(connection, query)) as chunks:
            for chunk in chunks:
                self._writer.write_table(_number(chunk, self.schema, fetched_by, self.rows))
                told = self.rows // PROGRESS_ROWS
                self.rows += chunk.num_rows
                if self.rows // PROGRESS_ROWS > told:
                    log.info("%s: %d rows so far", self.feed.name, self.rows)


def rows_as_json(feed: Feed, raw: Iterable[Path], row_numbers: pa.ChunkedArray) -> dict[int, str]:
    """The rows of ``row_numbers`` as they were read into the ``raw`` files, as JSON, by their number.

    A Python text a row: for rows of which a limit has said that they are few.
    """
    wanted = row_numbers.combine_chunks()
    found: dict[int, str] = {}
    for path in raw if len(wanted) else ():
        for batch in pq.ParquetFile(path).iter_batches():
            for row in batch.filter(pc.is_in(batch.column("row_no"), value_set=wanted)).to_pylist():
                found[row["row_no"]] = json.dumps({name: row[name] for name in feed.columns}, ensure_ascii=False)
    return found


def _number(chunk: pa.Table, schema: pa.Schema, fetched_by: str, first_row: int) -> pa.Table:
    """The chunk as a raw file holds it; a column that was not asked for is NULL."""
    count = chunk.num_rows
    columns = {
        "row_no": pa.arange(first_row, first_row + count),
        "fetched_by": pa.repeat(fetched_by, count),
        **dict(zip(chunk.column_names, chunk.columns, strict=True)),
    }
    absent = pa.nulls(count, pa.string())
    return pa.table([columns.get(name, absent) for name in schema.names], schema=schema)


def _fetch_texts(connection: Connection, query: sa.Select[Any]) -> Generator[pa.Table, None, None]:
    """The rows of a query through the driver's own cursor: SQLAlchemy writes the statement, its rows cost too much."""
    names = [str(column.name) for column in query.selected_columns]
    with connection.execute(query) as result:
        pending: list[pa.RecordBatch] = []
        for rows in iter(_fetcher(result), []):
            texts = [pa.array(values, pa.string()) for values in zip(*rows, strict=True)]
            pending.append(pa.RecordBatch.from_arrays(texts, names))
            is_full = sum(map(len, pending)) >= CHUNK_ROWS or sum(batch.nbytes for batch in pending) >= CHUNK_BYTES
            if is_full:
                yield pa.Table.from_batches(pending)
                pending = []
        if pending:
            yield pa.Table.from_batches(pending)


def _fetcher(result: sa.CursorResult[Any]) -> Callable[[], Sequence[tuple[str | None, ...]]]:
    cursor: Any = result.cursor
    return lambda: list(cursor.fetchmany(FETCH_ROWS))
