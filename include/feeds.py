"""The tables of the source as feeds: which columns they have and what the columns mean to the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from include.datasets import COMPONENTS

ColumnType = Literal["text", "day", "int"]


@dataclass(frozen=True)
class Feed:
    """A table of the source. ``columns`` in the order of the published files; ``optional`` ones may be absent."""

    name: str
    columns: dict[str, ColumnType]
    optional: tuple[str, ...] = ()


@dataclass(frozen=True)
class LedgerFeed(Feed):
    """A feed of facts: rows with a key and a revision that are never forgotten once published.

    ``posted`` is the column of ledger time, ``activity`` that of the day on which it happened; ``key`` and ``revision``
    name the fact.
    """

    key: str = ""
    posted: str = ""
    activity: str = ""
    amount: str = ""


TRANSACTIONS = LedgerFeed(
    name="transactions",
    columns={
        "transaction_id": "text",
        "revision": "int",
        "bn15": "text",
        "kind": "text",
        "transaction_number": "text",
        "activity_on": "day",
        "posted_on": "day",
        "due_on": "day",
        "status": "text",
        "broker_bn9": "text",
        **dict.fromkeys(COMPONENTS, "int"),
        "amount_cents": "int",
    },
    optional=("revision",),
    key="transaction_id",
    posted="posted_on",
    activity="activity_on",
    amount="amount_cents",
)

EXPORT_DECLARATIONS = LedgerFeed(
    name="export_declarations",
    columns={
        "declaration_id": "text",
        "revision": "int",
        "bn15": "text",
        "exported_on": "day",
        "reported_on": "day",
        "status": "text",
        "value_cents": "int",
    },
    optional=("revision",),
    key="declaration_id",
    posted="reported_on",
    activity="exported_on",
    amount="value_cents",
)

ACCOUNTS = Feed(
    name="accounts",
    columns={
        "bn15": "text",
        "valid_from": "day",
        "valid_to": "day",
        "legal_name": "text",
        "operating_name": "text",
        "program_type": "text",
        "status": "text",
        "opened_on": "day",
        "closed_on": "day",
        "reinstated_on": "day",
        "language": "text",
        "email": "text",
        "province": "text",
        "hold_reason": "text",
        "hold_until": "day",
        "portal_registered_on": "day",
        "mfa_registered_on": "day",
    },
)

DELEGATIONS = Feed(
    name="delegations",
    columns={
        "bn15": "text",
        "email": "text",
        "name": "text",
        "role": "text",
        "provider_bn9": "text",
        "valid_from": "day",
        "valid_to": "day",
    },
)

SUBSCRIBERS = Feed(
    name="subscribers",
    columns={"email": "text", "language": "text", "subscribed_on": "day", "unsubscribed_on": "day"},
)

WEBINARS = Feed(
    name="webinars",
    columns={
        "webinar_id": "text",
        "revision": "int",
        "title_en": "text",
        "title_fr": "text",
        "language": "text",
        "starts_at": "text",
        "duration_minutes": "int",
        "join_url": "text",
        "status": "text",
    },
)

LEDGER_FEEDS = (TRANSACTIONS, EXPORT_DECLARATIONS)
SNAPSHOT_FEEDS = (ACCOUNTS, DELEGATIONS, SUBSCRIBERS, WEBINARS)
