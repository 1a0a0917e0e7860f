"""Who approved that a backfill may run live, beside the other tables of the pipeline."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table, Text

from include.operations_metadata import METADATA

# One row an answer to the question whether a backfill of these months may be live; the last that counts holds.
BACKFILL_APPROVALS = Table(
    "carm_backfill_approvals",
    METADATA,
    Column("approval_no", BigInteger, primary_key=True, autoincrement=False),
    Column("first_period", Text, nullable=False),
    Column("last_period", Text, nullable=False),
    Column("decision", Text, nullable=False),  # approved, rejected, or refused: given by somebody who may not
    Column("reason", Text, nullable=False),  # why the months are to run live, as whoever asked wrote it
    Column("decided_by", Text, nullable=False),
    Column("decided_at", Text),  # ISO 8601, as Airflow recorded the answer; NULL for a command over the demo world
    Column("asked_by", Text, nullable=False),
    # What the person who decided was shown: an approval holds while these are the same.
    Column("rules_version", Text, nullable=False),
    Column("policy_version", Text, nullable=False),
    Column("run_id", Text, nullable=False),
)
