"""The tables of the first release: coverage, locks, plans, the journal of account changes, the statement registry."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "carm_account_changes",
        sa.Column("plan_hash", sa.Text(), nullable=False),
        sa.Column("bn15", sa.Text(), nullable=False),
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("program_type", sa.Text(), nullable=False),
        sa.Column("new_program_type", sa.Text(), nullable=True),
        sa.Column("old_version", sa.Text(), nullable=False),
        sa.Column("new_version", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("outcome_reason", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("plan_hash", "bn15"),
    )
    op.create_index("ix_carm_account_changes_bn15", "carm_account_changes", ["bn15"], unique=False)
    op.create_table(
        "carm_coverage",
        sa.Column("area", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("area", "dataset", "period"),
    )
    op.create_table(
        "carm_feed_coverage",
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("known_in", sa.Text(), nullable=False),
        sa.Column("observed_in", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("quarantined", sa.BigInteger(), nullable=False),
        sa.Column("minimum_rows", sa.Integer(), nullable=False),
        sa.Column("first_period", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("feed", "period", "known_in"),
    )
    op.create_table(
        "carm_issued_months",
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("issued_on", sa.Text(), nullable=False),
        sa.Column("statements", sa.BigInteger(), nullable=False),
        sa.Column("statements_sha256", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("period"),
    )
    op.create_table(
        "carm_period_locks",
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("period"),
    )
    op.create_table(
        "carm_plans",
        sa.Column("plan_hash", sa.Text(), nullable=False),
        sa.Column("effects", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("open_accounts", sa.BigInteger(), nullable=False),
        sa.Column("changes", sa.BigInteger(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("rules_version", sa.Text(), nullable=False),
        sa.Column("policy_version", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("applied_run_id", sa.Text(), nullable=True),
        sa.Column("applied_count", sa.BigInteger(), nullable=True),
        sa.Column("dropped_count", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("plan_hash", "effects"),
    )
    op.create_table(
        "carm_statements",
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("bn15", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document_sha256", sa.Text(), nullable=False),
        sa.Column("template_version", sa.Text(), nullable=False),
        sa.Column("superseded_by", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("period", "bn15", "version"),
    )
