"""Statements that have versions: what made them, restatements and withdrawals, locked months, documents of brokers."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nobody knows any more what made the statements of an earlier release, so these are NULL there.
    for name in ("object_sha256", "csv_sha256", "pdf_sha256", "locale_version", "typesetter_version"):
        op.add_column("carm_statements", sa.Column(name, sa.Text(), nullable=True))
    for name in ("act_no", "withdrawn_by"):
        op.add_column("carm_statements", sa.Column(name, sa.BigInteger(), nullable=True))
    op.create_table(
        "carm_issued_documents",
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("bn9", sa.Text(), nullable=False),
        sa.Column("object_sha256", sa.Text(), nullable=False),
        sa.Column("document_sha256", sa.Text(), nullable=False),
        sa.Column("csv_sha256", sa.Text(), nullable=False),
        sa.Column("pdf_sha256", sa.Text(), nullable=True),
        sa.Column("template_version", sa.Text(), nullable=False),
        sa.Column("locale_version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("period", "kind", "bn9"),
    )
    op.create_table(
        "carm_statement_acts",
        sa.Column("act_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("bn15", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Text(), nullable=False),
        sa.Column("reason_en", sa.Text(), nullable=False),
        sa.Column("reason_fr", sa.Text(), nullable=False),
        sa.Column("acted_on", sa.Date(), nullable=False),
        sa.Column("known_from", sa.Text(), nullable=False),
        sa.Column("pack_sha256", sa.Text(), nullable=True),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("act_no"),
    )
    op.create_index("ix_carm_statement_acts_bn15", "carm_statement_acts", ["bn15"], unique=False)
    op.create_table(
        "carm_month_locks",
        sa.Column("lock_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("is_locked", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("lock_no"),
    )
