"""Alembic's entry: runs on the connection that ``include.operations`` hands over, in its transaction."""

from alembic import context

from include import operations_tables
from include.operations import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=operations_tables.METADATA,
    version_table=VERSION_TABLE,
    include_name=lambda name, kind, parents: kind != "table" or str(name).startswith("carm_"),
    transactional_ddl=False,
)
context.run_migrations()
