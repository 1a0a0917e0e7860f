"""A PostgreSQL of another shape, by the SQL of ``docs/adapting/``: the example that ``docs/adapting.md`` tells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from include.database import connect_engine
from include.demo import fill_demo
from tests.database import new_database

EXAMPLE = Path(__file__).parents[2] / "docs" / "adapting"
ROWS = Path(__file__).with_name("legacy_rows.sql")
ROLES = ("carm_reader", "carm_writer")
WORLD = {"accounts": 250, "months": 50, "last_period": "2021-12"}


@dataclass(frozen=True)
class Sources:
    """Two databases with the same rows: in the project's own tables, and in those of somebody else.

    ``legacy`` is the owner's URL; ``reader`` and ``writer`` are those of the two users of ``roles.sql``.
    """

    ordinary: str
    legacy: str

    @property
    def reader(self) -> str:
        return as_user(self.legacy, "carm_reader")

    @property
    def writer(self) -> str:
        return as_user(self.legacy, "carm_writer")


def as_user(url: str, name: str) -> str:
    return make_url(url).set(username=name).render_as_string(hide_password=False)


@contextmanager
def two_sources(server: str) -> Iterator[Sources]:
    """Both databases, filled with the same demo world; gone at the end, the users too."""
    try:
        with new_database(server) as ordinary:
            fill_demo(connect_engine(ordinary), **WORLD)
            with new_database(server, like=ordinary) as legacy:
                execute(ordinary, "DROP TABLE subscribers, webinars, carm_demo_world")
                move_rows(legacy)
                yield Sources(ordinary, legacy)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            for role in ROLES:
                connection.execute(f"DROP ROLE IF EXISTS {role}".encode())


def move_rows(url: str) -> None:
    """Turn the database of a demo world into the one of the example, with the mapping laid over it."""
    files = (EXAMPLE / "legacy_schema.sql", ROWS, *(EXAMPLE / f"{name}.sql" for name in ("views", "register", "roles")))
    for file in files:
        execute(url, file.read_text(encoding="utf-8"))


def execute(url: str, sql: str) -> None:
    """Run statements as ``psql -f`` does."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.encode())


def query(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(sql.encode()).fetchall()
