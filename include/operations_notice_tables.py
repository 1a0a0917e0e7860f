"""The tables of what is told to people: notices owed, the outbox, the distribution list, and who is not written to.

An address stands in the outbox and on the distribution list, in no other table; elsewhere its keyed hash does.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, Index, Integer, Table, Text, UniqueConstraint

from include.operations_metadata import METADATA

# One row a notice that is owed, written in the transaction of what causes it: a changed account, an issued statement.
NOTICE_INTENTS = Table(
    "carm_notice_intents",
    METADATA,
    Column("kind", Text, primary_key=True),  # statement, closure, closure_coming, conversion, reinstatement
    # What the notice is about, without whom it goes to: an account and its month, its day, its new program type.
    Column("about", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("bn15", Text, nullable=False),
    Column("period", Text, nullable=False),  # the statement month that tells it
    Column("cause", Text, nullable=False),  # plan, issue, act or reinstatement, and its hash, month or number
    Column("state", Text, nullable=False),  # owed, told, unreachable, called_off
    # Where unreachable: no_address, unusable_address, suppressed; or what became of its messages: failed, bounced,
    # by_hand, unsubscribed.
    Column("reason", Text),
    Column("run_id", Text, nullable=False),
    Index("ix_carm_notice_intents_period", "period", "state"),
    Index("ix_carm_notice_intents_bn15", "bn15"),
)

# One row a message: never two for one key, whatever runs again. What it says lies in a pack of the outbox.
OUTBOX = Table(
    "carm_outbox",
    METADATA,
    Column("message_key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("recipient_key", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("period", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("language", Text, nullable=False),  # en, fr, both
    Column("subject", Text, nullable=False),
    Column("pack", Text, nullable=False),  # the name of the pack below the folder of the outbox
    Column("body_sha256", Text, nullable=False),  # of the text followed by the HTML
    Column("calendar_sha256", Text),  # of the calendar part; NULL where there is none
    # planned; sealed: of a shadow run or a backfill, never sent; sending: handed over to the server right now; sent;
    # failed; unknown: handed over, and no answer came; suppressed: the recipient is not written to any more;
    # called_off: what it tells was undone, or its address was given up, before the server was given it.
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Text, nullable=False, default=""),  # ISO 8601 in UTC; empty: at once, never tried
    Column("claimed_by", Text),  # the sender that hands it over, or did
    Column("changed_at", Text),  # when the state last changed while sending
    Column("reply", Text),  # the server's last code, without its text, which may hold an address
    # Of the mail as it is handed over, written before that: its SHA-256, and as JSON what its headers hold beside this
    # row (Date, From, Reply-To, the link to unsubscribe), so that the same bytes can be composed again.
    Column("mime_sha256", Text),
    Column("headers", Text),
    Column("run_id", Text, nullable=False),
    UniqueConstraint("kind", "recipient_key", "about", "version"),
    # In the order in which they are sent: a sender asks for the next few many times an hour.
    Index("ix_carm_outbox_state", "state", "next_attempt_at", "period", "version", "message_key"),
    Index("ix_carm_outbox_about", "about"),
    # In the order in which they are listed to people, and all that they are counted by.
    Index("ix_carm_outbox_period", "period", "kind", "state", "message_key"),
)

# What a digest tells in the place of messages of its recipient, so that no event is told twice, and none is lost.
DIGEST_TELLINGS = Table(
    "carm_digest_tellings",
    METADATA,
    Column("message_key", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("about", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Index("ix_carm_digest_tellings_about", "about"),
)

# Which revision of a session a message told of, so that a change is told to those who know of the session.
WEBINAR_TELLINGS = Table(
    "carm_webinar_tellings",
    METADATA,
    Column("message_key", Text, primary_key=True),
    Column("webinar_id", Text, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("method", Text, nullable=False),  # publish, cancel
    Index("ix_carm_webinar_tellings_webinar_id", "webinar_id"),
)

# One row a wish to be on the distribution list or not, beside the entries of the source; the last one counts.
SUBSCRIPTION_EVENTS = Table(
    "carm_subscription_events",
    METADATA,
    Column("event_no", BigInteger, primary_key=True, autoincrement=False),
    Column("recipient_key", Text, nullable=False),
    Column("address", Text),  # NULL where a token told the recipient: it names no address
    Column("language", Text),  # of a subscription: en, fr, both
    Column("event", Text, nullable=False),  # subscribed, unsubscribed
    Column("recorded_on", Date, nullable=False),
    Column("source", Text, nullable=False),  # one_click, page, command
    Column("consent", Text),  # on what a subscription rests, in words
    Index("ix_carm_subscription_events_recipient_key", "recipient_key"),
)

# One row an address that takes no message, or none of the list.
SUPPRESSIONS = Table(
    "carm_suppressions",
    METADATA,
    Column("recipient_key", Text, primary_key=True),
    Column("scope", Text, primary_key=True),  # list: webinars and the quarterly; all
    Column("reason", Text, nullable=False),  # unsubscribed, bounced, by_hand
    Column("since", Date, nullable=False),
    Column("source", Text, nullable=False),  # one_click, page, command, bounce
)
