"""Who was told which revision of a webinar: read before notices are written, recorded with the messages that tell it.

A person is a keyed hash. Only a message that goes out, went out or may have gone out tells anything: one of a shadow
run is *sealed* and tells nothing, and one that *failed* or was *suppressed* reached nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select

from include.carm.errors import Unavailable
from include.database import in_slices
from include.operations_notice_tables import OUTBOX, WEBINAR_TELLINGS

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

KIND = "webinar"
_NOT_TOLD = ("failed", "suppressed")
_ROWS_AT_ONCE, _KEYS_A_QUERY = 5_000, 500


@dataclass(frozen=True)
class Known:
    """What one person has of one webinar.

    ``told`` is the last revision that a message told, None where none did; ``written`` the last one that any message
    holds, also one that reached nobody; ``is_of_month`` says whether such a message is one of the month in hand.
    """

    told: int | None
    written: int
    is_of_month: bool


def read_tellings(connection: Connection, webinar_ids: Collection[str], period: str) -> dict[str, dict[str, Known]]:
    """By person and webinar what they have of these webinars, from messages of any month."""
    telling, message = WEBINAR_TELLINGS.c, OUTBOX.c
    query = (
        select(message.recipient_key, telling.webinar_id, telling.revision, message.state, message.period)
        .join(OUTBOX, message.message_key == telling.message_key)
        .where(message.state != "sealed")
    )
    found: dict[str, dict[str, Known]] = {}
    for some in in_slices(sorted(webinar_ids), _KEYS_A_QUERY):
        for person, webinar_id, revision, state, month in connection.execute(query.where(telling.webinar_id.in_(some))):
            of_person = found.setdefault(person, {})
            before = of_person.get(webinar_id, Known(None, revision, False))
            told = before.told if state in _NOT_TOLD else max(revision, before.told or 0)
            is_of_month = before.is_of_month or month == period
            of_person[webinar_id] = Known(told, max(revision, before.written), is_of_month)
    return found


def messages_of_month(connection: Connection, period: str) -> list[dict[str, Any]]:
    """The messages of a month that a live run wrote, in the order of their keys: none of them is ever written again."""
    columns = ("message_key", "kind", "recipient_key", "about", "language", "subject", "body_sha256", "pack")
    query = select(*(OUTBOX.c[name] for name in columns)).where(*_is_live(period)).order_by(OUTBOX.c.message_key)
    return [dict(row) for row in connection.execute(query).mappings()]


def has_live_messages(connection: Connection, period: str) -> bool:
    """Whether a live run wrote messages of the month."""
    return bool(connection.execute(select(func.count()).select_from(OUTBOX).where(*_is_live(period))).scalar())


def _is_live(period: str) -> tuple[Any, ...]:
    return OUTBOX.c.kind == KIND, OUTBOX.c.period == period, OUTBOX.c.state != "sealed"


def record_tellings(connection: Connection, told: Mapping[str, Sequence[tuple[str, int, str]]]) -> None:
    """Record what each message tells: webinar, revision and method, by the message's key.

    In the transaction that puts the messages into the outbox, and before it does. Raises ``Unavailable`` where one of
    them was put there meanwhile: it says what was current then.
    """
    for some in in_slices(sorted(told), _KEYS_A_QUERY):
        query = select(func.count()).where(OUTBOX.c.message_key.in_(some), OUTBOX.c.state != "sealed")
        if connection.execute(query).scalar():
            raise Unavailable("another run wrote webinar notices of this month meanwhile: clear this task")
    rows = [
        {"message_key": key, "webinar_id": webinar_id, "revision": revision, "method": method}
        for key in sorted(told)
        for webinar_id, revision, method in told[key]
    ]
    for batch in in_slices(rows, _ROWS_AT_ONCE):
        connection.execute(insert(WEBINAR_TELLINGS), list(batch))
