"""Messages are counted and listed by month, kind and state without reading the messages themselves."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_carm_outbox_period", "carm_outbox")
    op.create_index("ix_carm_outbox_period", "carm_outbox", ["period", "kind", "state", "message_key"])
