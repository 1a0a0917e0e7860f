"""The distribution list: the entries of the source and what people said since, and what a person enters by hand.

Whether somebody is on the list is decided by ``derive_distribution_list.sql`` alone. It knows people by the keyed hash
of their address, because the link of a message names no address; the hashes of the source's entries are made here, and
leave with the addresses. What is entered by hand is a link of the audit chain, with the name of who entered it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import func, select

from include.addresses import subscriber_entries
from include.audit import append_link
from include.carm.counts import tell_count
from include.carm.recipients import recipient_key
from include.database import write_transaction
from include.operations_notice_tables import SUBSCRIPTION_EVENTS, SUPPRESSIONS
from include.unsubscribe import (
    LIST_LANGUAGES,
    canonical_address,
    lift,
    lift_older,
    require_address,
    require_true_key,
    stop_list_mail,
    subscribe,
    suppress,
    unsubscribe,
)

if TYPE_CHECKING:
    import duckdb
    from sqlalchemy import Table

    from include import engine
    from include.workspace import Workspace

LIST_ENTRIES = pa.schema(
    [
        ("recipient_key", pa.string()),
        ("address", pa.string()),
        ("language", pa.string()),
        ("subscribed_on", pa.date32()),
        ("unsubscribed_on", pa.date32()),
        ("row_hash", pa.string()),
    ]
)
"""The entries of the source as :func:`list_relations` gives them."""

EVENTS = pa.schema(
    [
        ("recipient_key", pa.string()),
        ("address", pa.string()),
        ("language", pa.string()),
        ("event", pa.string()),
        ("recorded_on", pa.date32()),
    ]
)
STANDING = pa.schema(
    [("recipient_key", pa.string()), ("scope", pa.string()), ("reason", pa.string()), ("since", pa.date32())]
)

STATES = ("subscribed", "unsubscribed", "suppressed")

_EVER = date(9999, 12, 31)
"""A day by which every wish counts that is known."""


def list_relations(ws: Workspace, hash_key: bytes) -> dict[str, pa.Table]:
    """What ``derive_distribution_list`` reads beside ``quarantine``: the entries of the source, events, suppressions.

    They hold addresses and stay in memory. Raises ``DataError`` when a column of the source is missing.
    """
    entries = subscriber_entries(ws)
    addresses = [text if text is None else canonical_address(text) for text in entries["email"].to_pylist()]
    keys = [address if address is None else recipient_key(address, hash_key) for address in addresses]
    own = {"recipient_key": pa.array(keys, pa.string()), "address": pa.array(addresses, pa.string())}
    columns = [own[name] if name in own else entries[name] for name in LIST_ENTRIES.names]
    return {
        "subscriber_entries": pa.Table.from_arrays(columns, schema=LIST_ENTRIES),
        "subscription_events": _read(ws, SUBSCRIPTION_EVENTS, EVENTS),
        "suppressions": _read(ws, SUPPRESSIONS, STANDING),
    }


@dataclass(frozen=True)
class Readers:
    """Who gets list mail: rows of ``kind, version, address, language, subscribed_on``.

    ``invited`` were on the list on the day of issue and have not left since, ``on_list`` are on it by all that is
    known now. ``left`` are the keys of those who were ever on it and are not any more.
    """

    invited: pa.Table
    on_list: pa.Table
    left: frozenset[str]


def read_readers(
    con: duckdb.DuckDBPyConnection, relations: Mapping[str, engine.Relation], kind: str, issued_on: date
) -> Readers:
    """Read the list for messages of ``kind``; ``relations`` are ``quarantine`` and those of :func:`list_relations`."""
    from include import engine

    now = engine.run_table(con, "derive_distribution_list", relations, {"issued_on": _EVER})
    then = engine.run_table(con, "derive_distribution_list", relations, {"issued_on": issued_on})

    def recipients(people: pa.Table) -> pa.Table:
        found = {"distribution_list": people, "list_now": now}
        return engine.run_table(con, "select_list_recipients", found, {"kind": kind})

    left = now.filter(pc.equal(now["state"], "unsubscribed"))["recipient_key"].drop_null()
    return Readers(recipients(then), recipients(now), frozenset(left.to_pylist()))


def heed_source(ws: Workspace, people: pa.Table, left: Collection[str]) -> None:
    """Let what the source says now hold for messages that are planned, and for who is written to.

    ``people`` are on the list, with ``recipient_key`` and ``subscribed_on``: the suppression of those who subscribed
    again in the source is lifted. ``left`` have left it: what they have not got yet of the list is stopped. What the
    command line enters is known at once; what the source has is known when the list is read.
    """
    days = dict(zip(people["recipient_key"].to_pylist(), people["subscribed_on"].to_pylist(), strict=True))
    with write_transaction(ws.operations) as connection:
        lift_older(connection, days)
        stop_list_mail(connection, left)


def count_list(ws: Workspace, *, on: date, hash_key: bytes) -> dict[str, Any]:
    """How many people are on the list on a day, by state and language, and how many are not written to, by reason.

    What quarantine would leave out is counted too, for that is judged with a month. Returns ``{"on", "people": {state:
    {language: n}}, "not_written_to": {reason: n}}``.
    """
    from include import engine

    with ws.operations.connect() as connection:
        require_true_key(connection, hash_key)
        reason = SUPPRESSIONS.c.reason
        counts = select(reason, func.count().label("people")).where(SUPPRESSIONS.c.scope == "all").group_by(reason)
        not_written_to = {row.reason: row.people for row in connection.execute(counts.order_by(reason))}
    relations: dict[str, engine.Relation] = {"quarantine": [], **list_relations(ws, hash_key)}
    with ws.spill_folder() as spill, closing(engine.connect(spill_folder=spill)) as con:
        people = engine.run_table(con, "derive_distribution_list", relations, {"issued_on": on})
    counted = Counter(zip(people["state"].to_pylist(), people["language"].to_pylist(), strict=True))
    by_state = {state: {language: counted[state, language] for language in LIST_LANGUAGES} for state in STATES}
    return {"on": on.isoformat(), "people": by_state, "not_written_to": not_written_to}


def count_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """The counts of :func:`count_list` for people."""
    yield f"The distribution list on {facts['on']}"
    yield f"{'':<14}{''.join(f'{language:>10}' for language in LIST_LANGUAGES)}"
    for state, counts in facts["people"].items():
        yield f"{state:<14}{''.join(f'{counts[language]:>10,}' for language in LIST_LANGUAGES)}"
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in facts["not_written_to"].items())
    yield f"Addresses that take no message at all: {reasons or 'none'}"


# --- By hand ----------------------------------------------------------------------------------------------------


def enter_subscription(
    ws: Workspace, address: str, language: str, *, consent: str, on: date, person: str, hash_key: bytes
) -> dict[str, Any]:
    """Put an address on the list for ``person``, who was asked to. Returns, and raises, as ``subscribe``."""
    with write_transaction(ws.operations) as connection:
        require_true_key(connection, hash_key)
        facts = subscribe(connection, address, language, consent=consent, on=on, source="command", hash_key=hash_key)
        if facts["is_new"]:
            told = {"event": "subscribed", "on": on.isoformat(), "language": language, "recorded_by": person}
            append_link(connection, "list", facts["recipient_key"], told)
    return {"event": "subscribed", "on": on.isoformat(), "language": language, **facts, "recorded_by": person}


def enter_withdrawal(ws: Workspace, address: str, *, on: date, person: str, hash_key: bytes) -> dict[str, Any]:
    """Take an address off the list for ``person``, who was asked to. Returns what ``unsubscribe`` does, and the key."""
    recipient = _recipient(address, hash_key)
    with write_transaction(ws.operations) as connection:
        require_true_key(connection, hash_key)
        facts = unsubscribe(connection, recipient, on=on, source="command")
        if facts["is_new"]:
            told = {"event": "unsubscribed", "on": on.isoformat(), "recorded_by": person}
            append_link(connection, "list", recipient, told)
    return {"event": "unsubscribed", "on": on.isoformat(), "recipient_key": recipient, **facts, "recorded_by": person}


def enter_suppression(ws: Workspace, address: str, *, on: date, person: str, hash_key: bytes) -> dict[str, Any]:
    """Let an address get no message at all, by hand. Returns what ``suppress`` does, and the key."""
    recipient = _recipient(address, hash_key)
    with write_transaction(ws.operations) as connection:
        require_true_key(connection, hash_key)
        facts = suppress(connection, [recipient], reason="by_hand", on=on, source="command")
        if facts["suppressed"]:
            told = {"event": "suppressed", "on": on.isoformat(), "recorded_by": person}
            append_link(connection, "list", recipient, told)
    is_new = bool(facts["suppressed"])
    return {"recipient_key": recipient, "is_new": is_new, "stopped": facts["stopped"], "recorded_by": person}


def lift_by_hand(ws: Workspace, address: str, *, on: date, person: str, hash_key: bytes) -> dict[str, Any]:
    """Let an address get messages again. Raises ``Refused`` where there is nothing to lift."""
    recipient = _recipient(address, hash_key)
    with write_transaction(ws.operations) as connection:
        require_true_key(connection, hash_key)
        reason = lift(connection, recipient)
        told = {"event": "lifted", "reason": reason, "on": on.isoformat(), "recorded_by": person}
        append_link(connection, "list", recipient, told)
    return {"recipient_key": recipient, "reason": reason, "recorded_by": person}


def tell_stopped(stopped: int) -> list[str]:
    """The line about messages that are not sent any more, where there are any."""
    return [f"{tell_count(stopped, 'message')} planned for it will not be sent"] if stopped else []


def _recipient(address: str, hash_key: bytes) -> str:
    return recipient_key(require_address(address), hash_key)


def _read(ws: Workspace, table: Table, schema: pa.Schema) -> pa.Table:
    with ws.operations.connect() as connection:
        query = select(*(table.c[name] for name in schema.names))
        rows = [dict(row) for row in connection.execute(query).mappings()]
    return pa.Table.from_pylist(rows, schema)
