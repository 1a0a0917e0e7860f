"""The tables that the pipeline owns (prefix ``carm_``), in the database behind the connection ``carm_apply``.

Alembic creates and changes them (``include/migrations/``); :func:`include.operations.migrate` runs it.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, Table, Text

from include.operations_metadata import METADATA

# One row a sealed file of the lake: what counts, and the hash of exactly what was published.
COVERAGE = Table(
    "carm_coverage",
    METADATA,
    Column("area", Text, primary_key=True),
    Column("dataset", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("rows", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("run_id", Text, nullable=False),
)

# One row a feed and month of posting, and one more for each later month that brought rows of it: from this can be
# told whether absence of activity means anything.
FEED_COVERAGE = Table(
    "carm_feed_coverage",
    METADATA,
    Column("feed", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    # The month whose extract holds the rows: `period` itself, or a later one for rows that came late.
    Column("known_in", Text, primary_key=True),
    # The run that looked at the source: later than `period` for the months that a first run loaded.
    Column("observed_in", Text, nullable=False),
    Column("state", Text, nullable=False),  # received, empty, not_received, not_expected
    Column("rows", BigInteger, nullable=False),
    Column("quarantined", BigInteger, nullable=False),
    Column("minimum_rows", Integer, nullable=False),
    Column("first_period", Text),
    # What the seal stands for, month by month: the rows passed the gate, and the source's totals equal the lake's.
    Column("validated", Boolean, nullable=False),
    Column("reconciled", Boolean, nullable=False),
    # The first day on which the feed has a posting at all, as ISO text; and the hash of the rows that were published.
    Column("first_day", Text),
    Column("sha256", Text),
)

# Who works on a month right now.
PERIOD_LOCKS = Table(
    "carm_period_locks",
    METADATA,
    Column("period", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
)
