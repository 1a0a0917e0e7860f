"""A PostgreSQL database that the tests of one module share, where making one for each test would take too long."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

_NUMBERS = count(1)


@pytest.fixture(scope="module")
def module_postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database that is dropped after the module's tests."""
    import psycopg

    name = f"module_{next(_NUMBERS)}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield postgresql_server.replace("/postgres?", f"/{name}?", 1)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
