"""The tables of the source database: types and indexes, and no other constraint.

Dirty data must reach validation, so nothing here refuses a duplicate, a missing value or an unknown account.
:mod:`include.feeds` says which columns there are; this module says how they lie in a database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Date,
    Index,
    MetaData,
    Table,
    Text,
    exists,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.schema import CreateIndex

from include.carm.errors import Refused
from include.database import describe_database, read_snapshot
from include.feeds import LEDGER_FEEDS, SNAPSHOT_FEEDS

SOURCE = MetaData()
"""The tables that hold the source's rows."""

_TYPES = {"text": Text, "day": Date, "int": BigInteger}

TABLES: dict[str, Table] = {
    feed.name: Table(feed.name, SOURCE, *(Column(name, _TYPES[kind]()) for name, kind in feed.columns.items()))
    for feed in (*SNAPSHOT_FEEDS, *LEDGER_FEEDS)
}

# What extraction asks for: a month by its ledger day, all revisions of some keys, the versions of an account.
for _table, _columns in (
    ("accounts", ("bn15", "valid_from")),
    ("transactions", ("posted_on",)),
    ("transactions", ("transaction_id", "revision")),
    ("export_declarations", ("reported_on",)),
    ("export_declarations", ("declaration_id", "revision")),
):
    Index("_".join(("ix", _table, *_columns)), *(TABLES[_table].c[name] for name in _columns))


def canonical_bn15(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """An account number in upper case, without spaces and hyphens: how the same number in two spellings is one.

    The same as ``normalise`` of the business numbers and as staging. Written with literals, and not with parameters,
    because an index over this expression serves only the very same expression; and these are text, for an index takes
    the first column of its expression for that of its table, and a literal column is of none.
    """
    expression = func.upper(column)
    for separator in ("' '", "'-'"):
        expression = func.replace(expression, text(separator), text("''"))
    return expression


# What undoing a change, and who looks at an account, asks for: all about one account, in whatever spelling.
for _table in ("accounts", "delegations"):
    Index(f"ix_{_table}_bn15", canonical_bn15(TABLES[_table].c.bn15))

# What the filling of a source leaves behind beside the rows. Made with them, and no business of the migrations.
FILLING = MetaData()

LOADS = Table(
    "carm_loads",
    FILLING,
    Column("load_no", BigInteger),
    Column("mode", Text),  # load, append
    Column("file_name", Text),
    Column("sha256", Text),
    Column("rows", BigInteger),
)
"""One row a loaded file: the same files again are known by their hashes."""

DEMO_WORLD = Table(
    "carm_demo_world",
    FILLING,
    Column("seed", BigInteger),
    Column("accounts", BigInteger),
    Column("months", BigInteger),
    Column("last_period", Text),
    Column("broken_dates", BigInteger),
)
"""One row where the source is the demo world, with what it was made from."""


def create_tables(connection: Connection, names: Iterable[str]) -> list[str]:
    """Create those of the source tables ``names`` that are missing, without indexes; returns the created ones.

    Indexes come after the rows, by :func:`create_indexes`: an index is built faster than it is grown. Raises
    ``Refused`` where one of them is a view: what stands behind it belongs to others.
    """
    tables, received = set(inspect(connection).get_table_names()), received_tables(connection)
    for name in names:
        if name in received and name not in tables:
            raise Refused(
                f"{name} is no table of {describe_database(connection.engine)} but a view: rows are loaded into tables "
                "only, so bring them into those that the view reads"
            )
    missing = [name for name in names if name not in tables]
    for name in missing:
        # A copy, because a table cannot be created without the indexes that hang on it.
        columns = (Column(column.name, column.type) for column in TABLES[name].columns)
        Table(name, MetaData(), *columns).create(connection)
    return missing


def create_indexes(connection: Connection, names: Iterable[str]) -> None:
    """Create the indexes of the source tables ``names``, where they are missing."""
    for name in names:
        for index in sorted(TABLES[name].indexes, key=lambda index: str(index.name)):
            # Looked for by the database itself: SQLAlchemy does not see an index over an expression.
            connection.execute(CreateIndex(index, if_not_exists=True))


def table_columns(connection: Connection, name: str) -> set[str]:
    """The columns that the table ``name`` has in this database; one's own tables may have others than ours."""
    return {column["name"] for column in inspect(connection).get_columns(name)}


def insert_rows(connection: Connection, name: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert ``rows`` (a value a column; days as ISO text) into the source table ``name``, the fastest way there is."""
    names = ", ".join(TABLES[name].c[column].name for column in columns)  # ours, never a name from outside
    driver = connection.connection.driver_connection
    assert driver is not None
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(columns))
        driver.executemany(f"INSERT INTO {name} ({names}) VALUES ({marks})", rows)  # noqa: S608
        return
    with driver.cursor() as cursor, cursor.copy(f"COPY {name} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def received_tables(connection: Connection) -> list[str]:
    """The source tables that are there, in the order of :data:`TABLES`; a feed without its table was not received.

    A view is as good as a table, and so is whatever else of the name can be read (a materialised view, a foreign
    table), in any schema on the search path: where the source is somebody else's, they map its tables to ours.
    """
    inspector = inspect(connection)
    return [name for name in TABLES if inspector.has_table(name)]


def filled_tables(connection: Connection) -> list[str]:
    """The source tables that hold at least one row."""
    return [
        name
        for name in received_tables(connection)
        if connection.scalar(select(exists(select(1).select_from(TABLES[name]))))
    ]


def is_empty(engine: Engine) -> bool:
    """Whether the source holds no row at all, so that it may be filled."""
    with read_snapshot(engine) as connection:
        return not filled_tables(connection)


def demo_world(engine: Engine) -> dict[str, Any] | None:
    """What the demo world in this source was made from, by the names of its options; None for other data."""
    with read_snapshot(engine) as connection:
        return read_demo_world(connection)


def read_demo_world(connection: Connection) -> dict[str, Any] | None:
    """The same as :func:`demo_world`, inside a transaction of the caller's."""
    if not inspect(connection).has_table(DEMO_WORLD.name):
        return None
    # A world of an earlier release has no broken dates, and no column for them.
    there = table_columns(connection, DEMO_WORLD.name)
    row = connection.execute(select(*(column for column in DEMO_WORLD.c if column.name in there))).mappings().first()
    return None if row is None else {"broken_dates": 0, **row}
