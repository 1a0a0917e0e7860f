"""Connections to the source and to the pipeline's own tables: the same code on SQLite and PostgreSQL.

Every error of a database that a person can do something about comes out as one line that says what. That holds for
all work on an engine of :func:`connect_engine`; for work on the driver itself see :func:`plain_errors`. The line never
carries a password or a row.

SQLite: Python's driver begins transactions by itself, too late for a consistent reading and never around a CREATE
TABLE, so its own handling is off and every BEGIN is sent from here. A writer begins with BEGIN IMMEDIATE: it waits at
the door, where waiting helps, and not in the middle, where SQLite refuses at once.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from include.carm.errors import CarmError, DataError, Unavailable, UsageError

T = TypeVar("T")

WAIT_SECONDS = 30
"""How long a writer waits for another before it gives up."""

_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    # Airflow's PostgreSQL provider writes its URLs for the older driver; the database behind them is the same.
    "postgresql+psycopg2": "postgresql+psycopg",
}
_BULK_CACHE_KIB = 128 * 1024
_NOT_UTF_8 = re.compile(r"Could not decode to UTF-8 column '([^']*)'")


def connect_engine(
    url: str, *, create: bool = False, wait_seconds: float = WAIT_SECONDS, lake: Path | None = None
) -> Engine:
    """An engine for ``url`` (``sqlite:///path``, ``postgresql://user:password@host/name``). Nothing is opened yet.

    With ``create`` a missing SQLite file is made, readable by its owner alone; else it is an ``Unavailable`` error
    when first used, for an empty file made in passing would look like a source without a row. ``lake`` is the folder
    whose months belong to the database: it tells one that lost its tables from one that never had them.
    Raises ``UsageError`` for a URL of another kind.
    """
    target = _read_url(url)
    # No pool: the work is few, long transactions, and a connection must not survive into a forked process.
    # Parameters stay out of error messages because they are names, addresses and amounts.
    options: dict[str, Any] = {"poolclass": NullPool, "hide_parameters": True}
    if target.get_backend_name() == "sqlite":
        path = Path(str(target.database)).absolute()
        engine = create_engine(
            target.set(database=str(path)), creator=lambda: _open_sqlite(path, create, wait_seconds), **options
        )
        event.listen(engine, "begin", _begin_sqlite)
    else:
        arguments = {} if "connect_timeout" in target.query else {"connect_timeout": 10}
        engine = create_engine(target, connect_args=arguments, **options)
    engine = engine.execution_options(wait_seconds=wait_seconds, lake=lake)
    event.listen(engine, "handle_error", _replace_error)
    return engine


@contextmanager
def read_snapshot(engine: Engine) -> Iterator[Connection]:
    """One consistent view of the whole database, whatever others commit meanwhile. Writing through it fails."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            _driver(connection).execute("PRAGMA query_only = ON")
            pin = "SELECT 1 FROM sqlite_schema LIMIT 1"
        else:
            connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            pin = "SELECT 1"
        with connection.begin():
            # Both databases take the snapshot at the first statement and not at BEGIN.
            connection.exec_driver_sql(pin).all()
            yield connection


@contextmanager
def write_transaction(engine: Engine, *, bulk: bool = False) -> Iterator[Connection]:
    """A transaction that writes: all of it or, after any exception, nothing.

    ``bulk`` is for filling a database that nobody reads yet: SQLite then writes each page once and not through its
    log first, which halves time and disk.
    """
    with engine.connect() as connection, plain_errors(engine):
        if engine.dialect.name == "sqlite":
            if bulk:
                _prepare_bulk(_driver(connection))
            connection = connection.execution_options(begin="BEGIN IMMEDIATE")
        with connection.begin():
            if engine.dialect.name == "postgresql":
                wait = int(connection.get_execution_options()["wait_seconds"] * 1000)
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {wait}")
            yield connection


@contextmanager
def plain_errors(engine: Engine) -> Iterator[None]:
    """Turn errors of the driver itself (raw cursors, ``executemany``, ``COPY``) into the same plain lines."""
    try:
        yield
    except Exception as error:
        plain = explain_error(error, engine)
        if plain is None:
            raise
        raise plain from error


def in_slices(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in their order, at most ``size`` at a time: a database takes only so many values in one question."""
    return (items[start : start + size] for start in range(0, len(items), size))


def describe_database(engine: Engine) -> str:
    """The database as a person knows it: the file, or the name and the host; never the user's password."""
    url = engine.url
    if url.get_backend_name() == "sqlite":
        return f"database {url.database}"
    host = url.host or url.query.get("host") or "this machine"
    return f"PostgreSQL database {url.database or url.username} on {host}"


def explain_error(error: BaseException, engine: Engine) -> CarmError | None:
    """What ``error`` of the database driver means for a person; None where it is a fault of the software."""
    name = describe_database(engine)
    if isinstance(error, sqlite3.Error):
        return _explain_sqlite(error, name, engine)
    if engine.dialect.name == "postgresql":
        import psycopg

        if isinstance(error, psycopg.Error):
            return _explain_postgresql(error, name, engine)
    return None


def _read_url(url: str) -> URL:
    try:
        target = make_url(url)
    except ArgumentError:
        # The text itself stays out of the message: it may hold a password.
        raise UsageError("the database URL cannot be read: write sqlite:///path/to/file.db") from None
    driver = _DRIVERS.get(target.drivername)
    if driver is None:
        raise UsageError(f"{target.drivername} is not a database this works with: use a sqlite or postgresql URL")
    if driver == "sqlite" and target.database in (None, "", ":memory:"):
        raise UsageError("an SQLite database in memory ends with its process: write sqlite:///path/to/file.db")
    return target.set(drivername=driver)


def _open_sqlite(path: Path, create: bool, wait_seconds: float) -> sqlite3.Connection:
    if create and not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # SQLite would make the file readable for everyone; its log files inherit the mode from it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise Unavailable(f"cannot create the database {path}: {error.strerror}") from error
    connection = sqlite3.connect(
        # mode=rw and not rwc: SQLite must not make a file that was not asked for.
        f"file:{quote(str(path))}?mode=rw",
        uri=True,
        timeout=wait_seconds,
        isolation_level=None,
        check_same_thread=False,
    )
    # With its log (WAL) readers do not wait for the writer. Where this moment does not allow the change (another
    # connection, a read-only folder), the database still works, and the next connection tries again.
    with suppress(sqlite3.OperationalError):
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode = WAL")
    return connection


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def _prepare_bulk(connection: sqlite3.Connection) -> None:
    # While somebody else has the file open SQLite keeps its log; the filling is slower then, and as safe.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute(f"PRAGMA cache_size = -{_BULK_CACHE_KIB}")


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _replace_error(context: ExceptionContext) -> None:
    if context.engine is not None:
        plain = explain_error(context.original_exception, context.engine)
        if plain is not None:
            raise plain from context.original_exception


def _explain_sqlite(error: sqlite3.Error, name: str, engine: Engine) -> CarmError | None:
    path = Path(str(engine.url.database))
    # The extended codes carry the plain one in their first word: SQLITE_READONLY_DIRECTORY is SQLITE_READONLY.
    code = (getattr(error, "sqlite_errorname", None) or "").removeprefix("SQLITE_").split("_")[0]
    if code == "CANTOPEN":
        if not path.exists():
            return Unavailable(
                f"there is no database at {path}: fill one with `carm demo` or `carm load FOLDER`, "
                "or name another data folder with CARM_DATA"
            )
        return Unavailable(f"{name} cannot be opened: it must be a file that this user may read")
    if code in ("BUSY", "LOCKED"):
        wait = engine.get_execution_options()["wait_seconds"]
        return Unavailable(f"{name} is locked by another process (waited {wait:g} s): let it finish, then try again")
    if code == "FULL":
        return Unavailable(f"no space is left for {name}: free some disk space and try again; nothing was changed")
    if code in ("READONLY", "PERM", "AUTH"):
        return Unavailable(f"{name} is read-only here: make the file and its folder writable for this user")
    if code == "IOERR":
        return Unavailable(f"{name} cannot be read or written (disk error): check the disk and try again")
    if code in ("NOTADB", "CORRUPT"):
        return DataError(f"{name} is not a sound SQLite database: restore it from a backup, or name another file")
    if undecoded := _NOT_UTF_8.match(str(error)):
        # The driver quotes the text, and a log shows this error as the cause of ours: a name may not stand there.
        error.args = (undecoded[0],)
        return DataError(f"{name} has text in column {undecoded[1]} that is not UTF-8: write that column anew as UTF-8")
    if str(error).startswith("no such table"):
        return _missing_table(name, str(error).rpartition(" ")[2], engine)
    return None


def _explain_postgresql(error: Any, name: str, engine: Engine) -> CarmError | None:
    state = error.sqlstate or ""
    # A connection that was never made has no state: whatever was wrong, the URL is where to look.
    if state.startswith(("08", "57P")) or (not state and type(error).__name__ in _CONNECTION_ERRORS):
        return Unavailable(
            f"{name} cannot be reached: check that it runs, and the host, port, name, user and password of its URL"
        )
    if state == "53100":
        return Unavailable(f"no space is left for {name}: free some disk space and try again; nothing was changed")
    if state == "53300":
        return Unavailable(f"{name} has no free connection: try again later")
    if state in ("55P03", "40001", "40P01"):
        return Unavailable(f"{name} is locked by another session: let it finish, then try again; nothing was changed")
    if state == "57014":
        return Unavailable(f"{name} ended the query: it took longer than its server allows, or somebody stopped it")
    if state == "25006":
        return Unavailable(f"{name} is read-only: connect to the primary server")
    if state == "42501":
        return Unavailable(f"{name} does not let this user do that: grant the user its rights on the tables")
    if state == "42P01":
        table = error.diag.table_name or error.diag.message_primary.split('"')[1::2][0]
        return _missing_table(name, table, engine)
    return None


_CONNECTION_ERRORS = ("OperationalError", "ConnectionTimeout")


def _missing_table(name: str, table: str, engine: Engine) -> CarmError:
    if "carm_" in table and not table.endswith(("carm_loads", "carm_demo_world")):
        lake = engine.get_execution_options()["lake"]
        if lake is not None and any(lake.glob("*/period=*")):
            return DataError(
                f"{name} has no table {table}, though {lake} holds months: name the database that belongs to them "
                "(--apply or CARM_APPLY_URL, in Airflow the connection carm_apply), or restore it from a backup; "
                "without one, drop what is left of the carm_ tables, put the folder aside and run the months anew"
            )
        return DataError(f"no month was run on {name} yet: run one first (make run)")
    return DataError(f"{name} has no table {table}: fill it with `carm demo` or `carm load FOLDER`")
