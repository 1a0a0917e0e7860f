"""Extraction: the last month's transactions out of a source that holds all months, into their raw Parquet file.

Beside the step's own reading stand what cannot be left out (the database hands out the same rows, which are thrown
away) and what people would use instead: pandas in chunks, and ADBC. All of them take the same columns and the same
days; how many rows there are, and what they sum up to, is read from each file afterwards.

This is the reading of one month's rows alone. The step of a month also asks the source for the totals of all its rows
and holds the month's keys against those of history; what it costs as a whole is measured by ``growth_step``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure import Answer, Clock, Stage, Target, Way, contest
from bench.world import LAST, World
from include.carm.calendar import ONE_DAY, Calendar
from include.carm.policy import Policy
from include.database import connect_engine, write_transaction
from include.extract import select_posted
from include.feeds import TRANSACTIONS
from include.source_rows import RawFile, present_columns, source_snapshot
from include.source_schema import create_indexes, create_tables, insert_rows
from include.workspace import Workspace

if TYPE_CHECKING:
    import psycopg

COPY = "raw COPY TO STDOUT, thrown away"
PANDAS = "pandas read_sql in chunks, to Parquet"
CURSOR = "the driver's cursor, thrown away"
CHUNK_ROWS = 50_000
SQLITE_MONTHS = 3
"""The file of SQLite is made for the run, so it holds these months only; an index leads to the last one."""
LOADED_ROWS = 50_000

_start, _end = Calendar.load().start(LAST), Calendar.load().end(LAST)
MONTH = (
    f"SELECT {', '.join(TRANSACTIONS.columns)} FROM transactions "  # noqa: S608  (columns and days of our own)
    f"WHERE posted_on >= '{_start}' AND posted_on < '{_end + ONE_DAY}'"
)


def measure(world: World, folder: Path, rounds: int, say: Callable[[str], None]) -> list[Stage]:
    """Measure the reading from PostgreSQL and from SQLite, each with its peers in turns."""
    with world.postgres(say) as url:
        ways = [
            Way("COPY as CSV, parsed while it comes", "ours", partial(_ours, url)),
            Way(COPY, "floor", partial(_raw_copy, url)),
            Way("ADBC to Parquet", "peer", partial(_adbc, url)),
            Way(PANDAS, "peer", partial(_pandas, url)),
        ]
        entries = contest(world, ways, rounds, say)
    targets = (Target(COPY, 1 / 0.6), Target(PANDAS, 1 / 3))
    count = pq.read_metadata(world.rows(TRANSACTIONS, LAST)).num_rows
    from_postgresql = Stage("read a month's rows from PostgreSQL", "rows", count, entries, targets)

    url = f"sqlite:///{folder / 'source.db'}"
    _fill_sqlite(world, url)
    say(f"  SQLite: {SQLITE_MONTHS} months loaded")
    ways = [
        Way("the driver's cursor, in small batches", "ours", partial(_ours, url)),
        Way(CURSOR, "floor", partial(_raw_cursor, url)),
        Way(PANDAS, "peer", partial(_pandas, url)),
    ]
    entries = contest(world, ways, rounds, say)
    return [from_postgresql, Stage("read a month's rows from SQLite", "rows", count, entries)]


# Each way is connected, and has read one row, before its clock runs: what is loaded once a process belongs to no month.


def _ours(url: str, world: World, clock: Clock) -> Answer:
    folder = world.scratch("extract")
    ws = Workspace(folder, url, url, Calendar.load(), Policy.load())
    with source_snapshot(ws) as connection:
        columns = present_columns(connection)[TRANSACTIONS.name]
        month = select_posted(connection, TRANSACTIONS, columns, _start, _end)
        with RawFile(folder, TRANSACTIONS, number=2) as first:
            first.add(connection, month.limit(1), "range")
        with clock, RawFile(folder, TRANSACTIONS) as raw:
            raw.add(connection, month, "range")
    return _answer(raw.path)


def _raw_copy(url: str, world: World, clock: Clock) -> Answer:
    import psycopg

    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"{MONTH} LIMIT 1".encode())
        with clock, cursor.copy(f"COPY ({MONTH}) TO STDOUT".encode()) as copy:
            _throw_away(connection, copy)
    return None


def _throw_away(connection: psycopg.Connection[Any], copy: psycopg.Copy) -> None:
    # By the library itself, as our own reading: the driver's loop would be the slower half, and no floor.
    take = connection.pgconn.get_copy_data
    while (size := take(1)[0]) >= 0:
        if size == 0 and not copy.read():
            return
    while connection.pgconn.get_result() is not None:
        pass


def _raw_cursor(url: str, world: World, clock: Clock) -> Answer:
    with connect_engine(url).connect() as connection:
        connection.exec_driver_sql(f"{MONTH} LIMIT 1").all()
        with clock:
            cursor: Any = connection.exec_driver_sql(MONTH).cursor
            while cursor.fetchmany(1_000):
                pass
    return None


def _pandas(url: str, world: World, clock: Clock) -> Answer:
    import pandas as pd

    path = world.scratch("extract-pandas") / "transactions.parquet"
    schema = _schema(url)
    with connect_engine(url).connect().execution_options(stream_results=True) as connection:
        pd.read_sql(f"{MONTH} LIMIT 1", connection)
        with clock, pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for frame in pd.read_sql(MONTH, connection, chunksize=CHUNK_ROWS):
                # A column may be empty in one chunk and not in the next, so the types are those of the source.
                writer.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False))
    return _answer(path)


def _schema(url: str) -> pa.Schema:
    day = pa.string() if url.startswith("sqlite") else pa.date32()
    types = {"text": pa.string(), "int": pa.int64(), "day": day}
    return pa.schema([(name, types[kind]) for name, kind in TRANSACTIONS.columns.items()])


def _adbc(url: str, world: World, clock: Clock) -> Answer:
    from adbc_driver_postgresql import dbapi

    path = world.scratch("extract-adbc") / "transactions.parquet"
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"{MONTH} LIMIT 1")
        cursor.fetch_arrow_table()
        with clock:
            cursor.execute(MONTH)
            batches = cursor.fetch_record_batch()
            with pq.ParquetWriter(path, batches.schema, compression="zstd") as writer:
                for batch in batches:
                    writer.write_batch(batch)
    return _answer(path)


def _answer(path: Path) -> Answer:
    query = "SELECT count(*), sum(CAST(amount_cents AS BIGINT)) FROM read_parquet(?)"
    rows, cents = duckdb.execute(query, [str(path)]).fetchall()[0]
    return {"rows": int(rows), "sum_cents": int(cents)}


def _fill_sqlite(world: World, url: str) -> None:
    days = ", ".join(
        f"CAST({name} AS VARCHAR) AS {name}" for name, kind in TRANSACTIONS.columns.items() if kind == "day"
    )
    engine = connect_engine(url, create=True)
    with write_transaction(engine, bulk=True) as connection, duckdb.connect() as con:
        create_tables(connection, [TRANSACTIONS.name])
        for month in world.months[-SQLITE_MONTHS:]:
            con.execute(f"SELECT * REPLACE ({days}) FROM read_parquet(?)", [str(world.rows(TRANSACTIONS, month))])  # noqa: S608
            while chunk := con.fetchmany(LOADED_ROWS):
                insert_rows(connection, TRANSACTIONS.name, list(TRANSACTIONS.columns), chunk)
        create_indexes(connection, [TRANSACTIONS.name])
