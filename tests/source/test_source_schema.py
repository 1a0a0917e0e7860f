"""The indexes of the source are there, and an account in whatever spelling is found by one."""

import pytest
from sqlalchemy import select

from include.database import connect_engine
from include.source_schema import TABLES, canonical_bn15, create_indexes, create_tables

NAMES = {"sqlite": "SELECT name FROM sqlite_master", "postgresql": "SELECT indexname FROM pg_indexes"}


def test_every_index_is_made_once_however_often_it_is_asked_for(engine):
    with engine.begin() as connection:
        create_tables(connection, TABLES)
        create_indexes(connection, TABLES)
        create_indexes(connection, TABLES)
        found = set(connection.exec_driver_sql(NAMES[engine.dialect.name]).scalars())
    assert {"ix_accounts_bn15", "ix_delegations_bn15"} <= found
    assert {index.name for table in TABLES.values() for index in table.indexes} <= found


@pytest.mark.parametrize("name", ["accounts", "delegations"])
def test_an_account_in_whatever_spelling_is_found_by_its_index(tmp_path, name):
    engine = connect_engine(f"sqlite:///{tmp_path / 'source.db'}", create=True)
    column = TABLES[name].c.bn15
    asked = select(column).where(canonical_bn15(column) == "x").compile(engine, compile_kwargs={"literal_binds": True})
    with engine.begin() as connection:
        create_tables(connection, [name])
        create_indexes(connection, [name])
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}").fetchall()
    assert f"USING INDEX ix_{name}_bn15" in str(plan)
