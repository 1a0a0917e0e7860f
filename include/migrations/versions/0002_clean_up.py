"""The clean-up that is signed: approvals, makers, counter-actions, what persons recorded, and the audit chain."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# What rows of the first release get: they had no such fact, and nothing may be read into them.
PLAN_COLUMNS = {"strata": "{}", "margins": "{}", "approval": "not_needed", "coverage_id": ""}


def upgrade() -> None:
    for name, former in PLAN_COLUMNS.items():
        op.add_column("carm_plans", sa.Column(name, sa.Text(), nullable=False, server_default=former))
    op.add_column("carm_account_changes", sa.Column("evidence", sa.Text(), nullable=False, server_default="{}"))
    for name in ("approved_by", "settled_in"):
        op.add_column("carm_account_changes", sa.Column(name, sa.Text(), nullable=True))
    for name in ("validated", "reconciled"):
        # A row was only ever written with the seal, after both.
        op.add_column("carm_feed_coverage", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.true()))
    for name in ("first_day", "sha256"):
        op.add_column("carm_feed_coverage", sa.Column(name, sa.Text(), nullable=True))
    op.create_table(
        "carm_plan_makers",
        sa.Column("plan_hash", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("maker", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("plan_hash", "run_id", "maker"),
    )
    op.create_table(
        "carm_approvals",
        sa.Column("approval_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("plan_hash", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("approval_no"),
    )
    op.create_table(
        "carm_reinstatements",
        sa.Column("reinstatement_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bn15", sa.Text(), nullable=False),
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("plan_hash", sa.Text(), nullable=True),
        sa.Column("undoes", sa.Text(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("known_from", sa.Text(), nullable=False),
        sa.Column("old_version", sa.Text(), nullable=False),
        sa.Column("new_version", sa.Text(), nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("reinstatement_no"),
    )
    op.create_table(
        "carm_holds",
        sa.Column("hold_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bn15", sa.Text(), nullable=False),
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("hold_until", sa.Date(), nullable=True),
        sa.Column("known_from", sa.Text(), nullable=False),
        sa.Column("lifted_from", sa.Text(), nullable=True),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("hold_no"),
    )
    op.create_table(
        "carm_review_decisions",
        sa.Column("review_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bn15", sa.Text(), nullable=False),
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=False),
        sa.Column("known_from", sa.Text(), nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("review_no"),
    )
    for name in ("reinstatements", "holds", "review_decisions"):
        op.create_index(f"ix_carm_{name}_bn15", f"carm_{name}", ["bn15"], unique=False)
    op.create_table(
        "carm_closure_announcements",
        sa.Column("bn15", sa.Text(), nullable=False),
        sa.Column("announced_in", sa.Text(), nullable=False),
        sa.Column("account_key", sa.BigInteger(), nullable=False),
        sa.Column("plan_hash", sa.Text(), nullable=False),
        sa.Column("cleared_in", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("bn15", "announced_in"),
    )
    op.create_table(
        "carm_audit_chain",
        sa.Column("link_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("previous_sha256", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("link_no"),
    )
