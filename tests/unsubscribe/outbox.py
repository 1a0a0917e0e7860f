"""The tables of notices in a database of their own, and rows of the outbox that need say only what a test is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.engine import Engine

from include.carm.recipients import message_key, recipient_key
from include.operations_notice_tables import OUTBOX, SUBSCRIPTION_EVENTS, SUPPRESSIONS
from include.operations_tables import METADATA

HASH_KEY = b"a key for the tests, of no account"
ADDRESS = "reader@example.org"
READER = recipient_key(ADDRESS, HASH_KEY)


def create_tables(engine: Engine) -> Engine:
    """The engine, with every table that the pipeline owns."""
    METADATA.create_all(engine)
    return engine


def key_of(address: str) -> str:
    return recipient_key(address, HASH_KEY)


def message(address: str = ADDRESS, **changed: Any) -> dict[str, Any]:
    """A row of the outbox: a message about webinars that is still planned."""
    row = {
        "kind": "webinar",
        "recipient_key": key_of(address),
        "about": "webinars/2022-01",
        "version": 1,
        "period": "2021-12",
        "address": address,
        "language": "en",
        "subject": "Webinars",
        "pack": "webinar-0001.zip",
        "body_sha256": "0" * 64,
        "state": "planned",
        "attempts": 0,
        "run_id": "test",
    } | changed
    return {"message_key": message_key(row["kind"], row["recipient_key"], row["about"], row["version"])} | row


def post(engine: Engine, *messages: Mapping[str, Any]) -> None:
    """Put messages into the outbox."""
    with engine.begin() as connection:
        connection.execute(insert(OUTBOX), [dict(row) for row in messages])


def states(engine: Engine) -> dict[tuple[str, str], str]:
    """The state of each message of the outbox, by its kind and what it is about."""
    with engine.connect() as connection:
        return {(row.kind, row.about): row.state for row in connection.execute(select(OUTBOX))}


def rows(engine: Engine, table: Any) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        found = [dict(row) for row in connection.execute(select(table)).mappings()]
    return sorted(found, key=repr)


def everything(engine: Engine) -> list[list[dict[str, Any]]]:
    """All that unsubscribing could change."""
    return [rows(engine, table) for table in (SUBSCRIPTION_EVENTS, SUPPRESSIONS, OUTBOX)]
