"""The tables of plans and of the changes that they made, beside the others of :mod:`include.operations_schema`.

The journal lies in the database whose accounts are changed, because a change and its row stand in one transaction.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, Index, Table, Text

from include.operations_metadata import METADATA

# One row a plan, and one more where the same plan was also made in shadow.
PLANS = Table(
    "carm_plans",
    METADATA,
    Column("plan_hash", Text, primary_key=True),
    Column("effects", Text, primary_key=True),  # live, shadow
    Column("period", Text, nullable=False),
    Column("as_of", Date, nullable=False),
    Column("effective_on", Date, nullable=False),
    Column("state", Text, nullable=False),  # ready, held, shadow, applied
    Column("reason", Text, nullable=False),  # one sentence: why it may pass, or why it is held
    Column("open_accounts", BigInteger, nullable=False),
    Column("changes", BigInteger, nullable=False),
    Column("counts", Text, nullable=False),  # JSON: accounts by action and reason
    Column("rules_version", Text, nullable=False),
    Column("policy_version", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("applied_run_id", Text),
    Column("applied_count", BigInteger),
    Column("dropped_count", BigInteger),
)

# One row an account that a live plan was to change: what happened to it, and what it was before.
ACCOUNT_CHANGES = Table(
    "carm_account_changes",
    METADATA,
    Column("plan_hash", Text, primary_key=True),
    Column("bn15", Text, primary_key=True),
    Column("account_key", BigInteger, nullable=False),
    Column("period", Text, nullable=False),
    Column("effective_on", Date, nullable=False),
    Column("action", Text, nullable=False),  # close, convert
    Column("rule_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # The version that the plan looked at, by which it is found again.
    Column("valid_from", Date, nullable=False),
    Column("program_type", Text, nullable=False),
    Column("new_program_type", Text),
    # JSON of the columns that the change touches, and of no other: names and addresses stay in the accounts.
    Column("old_version", Text, nullable=False),
    Column("new_version", Text),  # NULL where dropped
    Column("outcome", Text, nullable=False),  # applied, dropped
    Column("outcome_reason", Text),  # moved_since_plan where dropped
    Column("run_id", Text, nullable=False),
    Index("ix_carm_account_changes_bn15", "bn15"),
)
