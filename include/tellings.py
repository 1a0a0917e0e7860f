"""What was told to whom: by a message of its own, or by a digest. Every function takes the caller's connection.

Only what a live run put into the outbox counts. What a shadow run sealed there was told to nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import Integer, except_, func, intersect, null, or_, select, union_all, update

from include.database import in_slices
from include.notice_intents import Told
from include.operations_notice_tables import DIGEST_TELLINGS, NOTICE_INTENTS, OUTBOX, SUPPRESSIONS
from include.person_records import BEFORE_ANY_MONTH

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

TOLD = pa.schema(
    [
        ("recipient_key", pa.string()),
        ("kind", pa.string()),
        ("about", pa.string()),
        ("version", pa.int64()),
        ("digest_version", pa.int64()),
    ]
)
"""One row an event and person; ``digest_version`` is of the digest that told it, NULL where it was told alone."""

TOLD_ELSEWHERE = pa.schema([("kind", pa.string()), ("about", pa.string()), ("version", pa.int64())])

_ROWS_AT_ONCE, _KEYS_A_QUERY = 5_000, 500
_ONCE_KINDS = ("mfa", "reinstatement")


def _is_planned() -> Any:
    return OUTBOX.c.state != "sealed"


def _tellings() -> Any:
    """Every event that was told, alone or by a digest, with its message's recipient, period and state."""
    box, line = OUTBOX.c, DIGEST_TELLINGS.c
    alone = select(
        box.recipient_key,
        box.kind,
        box.about,
        box.version,
        null().cast(Integer).label("digest_version"),
        box.period,
        box.state,
    ).where(_is_planned(), box.kind != "digest")
    by_digest = (
        select(
            box.recipient_key, line.kind, line.about, line.version, box.version.label("digest_version"),
            box.period, box.state,
        )
        .join_from(OUTBOX, DIGEST_TELLINGS, line.message_key == box.message_key)
        .where(_is_planned(), box.kind == "digest")
    )  # fmt: skip
    return union_all(alone, by_digest).subquery()


def told_in(connection: Connection, period: str) -> pa.Table:
    """What the messages of the month told, as ``TOLD``."""
    told = _tellings()
    query = select(*(told.c[name] for name in TOLD.names)).where(told.c.period == period)
    return _read(connection, query, TOLD)


def told_elsewhere(connection: Connection, period: str, abouts: str) -> pa.Table:
    """What another month told and this one must not tell again, as ``TOLD_ELSEWHERE``.

    That is an account that is open again, which may be told when it is opened, and a reminder of multi-factor
    authentication whose ``about`` ends in ``abouts``, the quarter.
    """
    told = _tellings()
    is_same = or_(told.c.kind != "mfa", told.c.about.endswith(abouts, autoescape=True))
    query = select(told.c.kind, told.c.about, told.c.version).distinct()
    return _read(
        connection, query.where(told.c.period != period, told.c.kind.in_(_ONCE_KINDS), is_same), TOLD_ELSEWHERE
    )


def _read(connection: Connection, query: Any, schema: pa.Schema) -> pa.Table:
    rows = connection.execute(query).all()
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema.names)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema)


def record_digests(connection: Connection, tells: Mapping[str, Iterable[Told]]) -> None:
    """Record what each digest, by its message key, tells; what is on record of a digest stays as it is."""
    known = set()
    keys = sorted(tells)
    for keys_of_query in in_slices(keys, _KEYS_A_QUERY):
        some = DIGEST_TELLINGS.c.message_key.in_(keys_of_query)
        known |= set(connection.execute(select(DIGEST_TELLINGS.c.message_key).where(some).distinct()).scalars())
    rows = [
        {"message_key": key, "kind": kind, "about": about, "version": version}
        for key in keys
        if key not in known
        for kind, about, version in sorted(tells[key])
    ]
    for batch in in_slices(rows, _ROWS_AT_ONCE):
        connection.execute(DIGEST_TELLINGS.insert(), list(batch))


def read_suppressed(connection: Connection) -> frozenset[str]:
    """The recipients who are not written to at all."""
    suppression = SUPPRESSIONS.c
    return frozenset(connection.execute(select(suppression.recipient_key).where(suppression.scope == "all")).scalars())


def take_over_early(connection: Connection, period: str) -> None:
    """The first live month tells what is owed from before any month."""
    intent = NOTICE_INTENTS.c
    early = intent.period == BEFORE_ANY_MONTH, intent.state == "owed"
    connection.execute(update(NOTICE_INTENTS).where(*early).values(period=period))


def count_contradictions(connection: Connection) -> dict[str, int]:
    """Notices whose state contradicts the outbox, by what is wrong with them; those with none are left out.

    ``told_without_message``: no message of the outbox tells them. ``message_without_telling``: there is such a message
    though they are owed, unreachable or called off. A message to somebody who is not written to tells nothing.
    """
    intent, told = NOTICE_INTENTS.c, _tellings()
    identity = (intent.kind, intent.about, intent.version)
    messages = select(told.c.kind, told.c.about, told.c.version)
    is_told = intent.state == "told"
    queries = {
        "told_without_message": except_(select(*identity).where(is_told), messages),
        "message_without_telling": intersect(
            select(*identity).where(~is_told), messages.where(told.c.state != "suppressed")
        ),
    }
    counted = {
        name: connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
        for name, query in queries.items()
    }
    return {name: count for name, count in counted.items() if count}
