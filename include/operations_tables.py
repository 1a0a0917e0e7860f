"""All tables of the pipeline in one place: importing this module hangs every ``carm_*`` table on ``METADATA``."""

from include import (
    operations_backfill_tables,
    operations_notice_tables,
    operations_plan_tables,
    operations_schema,
    operations_statement_tables,
)
from include.operations_metadata import METADATA

__all__ = [
    "METADATA",
    "operations_backfill_tables",
    "operations_notice_tables",
    "operations_plan_tables",
    "operations_schema",
    "operations_statement_tables",
]
