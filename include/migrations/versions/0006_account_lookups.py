"""Notices and messages are looked up by account and by what they are about: the page of an account asks for them."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_carm_notice_intents_bn15", "carm_notice_intents", ["bn15"])
    op.create_index("ix_carm_outbox_about", "carm_outbox", ["about"])
    op.create_index("ix_carm_digest_tellings_about", "carm_digest_tellings", ["about"])
