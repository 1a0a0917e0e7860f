"""Creates and upgrades the tables that the pipeline owns, by Alembic, in the database behind ``carm_apply``."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect

from include.adoption import FIRST_RELEASE, adopt_first_release
from include.database import connect_engine, write_transaction

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "carm_alembic_version"
"""A table of our own: the database may hold somebody else's Alembic versions."""


def migrate(apply_url: str, *, revision: str = "head") -> None:
    """Bring the ``carm_*`` tables of the database to ``revision``; a second call changes nothing.

    A SQLite file that does not exist is made. Raises ``Unavailable`` when the database cannot be reached or written.
    """
    with write_transaction(connect_engine(apply_url, create=True)) as connection:
        upgrade(connection, revision)


def bring_up_to_date(engine: Engine) -> None:
    """Migrate a database that is there; raises ``Unavailable`` for one that is not, and makes none."""
    with write_transaction(engine) as connection:
        upgrade(connection)


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations up to ``revision`` on an open connection, in its transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    former = _revision(connection)
    command.upgrade(config, revision)
    if former == FIRST_RELEASE != revision:
        adopt_first_release(connection)


def _revision(connection: Connection) -> str | None:
    """The revision that the database has; None where it has none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version: str | None = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()  # noqa: S608
    return version
