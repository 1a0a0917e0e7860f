"""Notices that are sent: what is owed, the outbox, the distribution list and who is not written to."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "carm_notice_intents",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("bn15", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "about", "version"),
    )
    op.create_index("ix_carm_notice_intents_period", "carm_notice_intents", ["period", "state"], unique=False)
    op.create_table(
        "carm_outbox",
        sa.Column("message_key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("recipient_key", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("pack", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.Text(), nullable=False),
        sa.Column("calendar_sha256", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.Text(), nullable=False),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("changed_at", sa.Text(), nullable=True),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.Column("mime_sha256", sa.Text(), nullable=True),
        sa.Column("headers", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("message_key"),
        sa.UniqueConstraint("kind", "recipient_key", "about", "version"),
    )
    op.create_index(
        "ix_carm_outbox_state",
        "carm_outbox",
        ["state", "next_attempt_at", "period", "version", "message_key"],
        unique=False,
    )
    op.create_index("ix_carm_outbox_period", "carm_outbox", ["period", "kind"], unique=False)
    op.create_table(
        "carm_webinar_tellings",
        sa.Column("message_key", sa.Text(), nullable=False),
        sa.Column("webinar_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("message_key", "webinar_id"),
    )
    op.create_index("ix_carm_webinar_tellings_webinar_id", "carm_webinar_tellings", ["webinar_id"], unique=False)
    op.create_table(
        "carm_subscription_events",
        sa.Column("event_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recipient_key", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("recorded_on", sa.Date(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("consent", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("event_no"),
    )
    op.create_index(
        "ix_carm_subscription_events_recipient_key", "carm_subscription_events", ["recipient_key"], unique=False
    )
    op.create_table(
        "carm_suppressions",
        sa.Column("recipient_key", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("recipient_key", "scope"),
    )
