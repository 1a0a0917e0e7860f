"""Who was told which revision of a webinar: read before notices are written, recorded with the messages that tell it.

A person is a keyed hash. Only a message that goes out, went out or may have gone out tells anything: one of a shadow
run is *sealed* and tells nothing, one that *failed* or was *suppressed* reached nobody, and one that was *called off*
is as if it had never been.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, insert, or_, select, update

from include.carm.errors import Unavailable
from include.database import in_slices
from include.operations_notice_tables import OUTBOX, WEBINAR_TELLINGS
from include.outbox import is_unsent

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

KIND = "webinar"
ABOUT_ONE = "webinar/"
"""How ``about`` of a message about one session begins; that of a month's notice begins with ``webinars/``."""

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


def read_tellings(
    connection: Connection, revisions: Mapping[str, int], period: str
) -> tuple[dict[str, dict[str, Known]], list[str]]:
    """By person and webinar what they have of these webinars, from messages of any month; and what is overtaken.

    ``revisions`` has the last revision by webinar. Overtaken are the keys of messages about one session that tell an
    earlier one and that nobody has got: they count as never written, but for their keys.
    """
    telling, message = WEBINAR_TELLINGS.c, OUTBOX.c
    columns = (message.message_key, message.recipient_key, telling.webinar_id, telling.revision, message.state)
    query = (
        select(*columns, message.period, is_unsent().label("is_unsent"), _is_about_one().label("is_about_one"))
        .join(OUTBOX, message.message_key == telling.message_key)
        .where(message.state != "sealed")
    )
    found: dict[str, dict[str, Known]] = {}
    overtaken: list[str] = []
    for some in in_slices(sorted(revisions), _KEYS_A_QUERY):
        for row in connection.execute(query.where(telling.webinar_id.in_(some))):
            of_person = found.setdefault(row.recipient_key, {})
            before = of_person.get(row.webinar_id, Known(None, row.revision, False))
            is_overtaken = row.is_unsent and row.is_about_one and row.revision < revisions[row.webinar_id]
            if is_overtaken:
                overtaken.append(row.message_key)
            is_void = is_overtaken or row.state == "called_off"
            told = before.told if is_void or row.state in _NOT_TOLD else max(row.revision, before.told or 0)
            is_of_month = before.is_of_month or (row.period == period and not is_void)
            of_person[row.webinar_id] = Known(told, max(row.revision, before.written), is_of_month)
    return found, overtaken


def call_off(connection: Connection, message_keys: Collection[str]) -> None:
    """Call off messages that :func:`read_tellings` found overtaken, in the transaction that plans what is true now.

    Raises ``Unavailable`` where a sender began one of them meanwhile: its reader is to be told of a change.
    """
    for some in in_slices(sorted(message_keys), _KEYS_A_QUERY):
        which = OUTBOX.c.message_key.in_(some), is_unsent()
        if connection.execute(update(OUTBOX).where(*which).values(state="called_off")).rowcount < len(some):
            raise Unavailable("a message about an earlier revision is being sent at this moment: clear this task")


# What a sender asks. It may be trying again what was put off, or what a person planned again, while later is planned.


def call_off_overtaken(connection: Connection) -> int:
    """Call off what is planned and tells of a session what its reader knows better; returns how many there were."""
    which = OUTBOX.c.state == "planned", OUTBOX.c.kind == KIND, _other_tells(is_later=True, states=_HAD)
    return int(connection.execute(update(OUTBOX).where(*which).values(state="called_off")).rowcount)


def is_out_of_turn() -> Any:
    """The condition that a message of the outbox must not go out now: another one about the session comes first.

    That is one of an earlier revision that is still to be sent. Of a cancellation it is also one that was to tell of
    the session and reached nobody: it waits until a person has that one sent.
    """
    waits = _other_tells(is_later=False, states=("planned", "sending"))
    is_unheard = _other_tells(is_later=False, states=_NOT_TOLD, cancels=True)
    was_heard = _other_tells(is_later=False, states=_HAD)
    return (OUTBOX.c.kind == KIND) & or_(waits, _other_tells(is_later=True, states=_HAD), is_unheard & ~was_heard)


_HAD = ("sending", "sent", "unknown")


def _is_about_one() -> Any:
    return OUTBOX.c.about.startswith(ABOUT_ONE)


def _other_tells(*, is_later: bool, states: Sequence[str], cancels: bool = False) -> Any:
    """The condition that another message to the same person, in one of ``states``, tells of one of the same sessions an
    earlier revision, or a later one; where ``cancels``, of one that this message cancels."""
    own, others, other = WEBINAR_TELLINGS.alias(), WEBINAR_TELLINGS.alias(), OUTBOX.alias()
    which = [own.c.method == "cancel"] if cancels else []
    which += [own.c.message_key == OUTBOX.c.message_key, others.c.message_key == other.c.message_key]
    which.append(others.c.revision > own.c.revision if is_later else others.c.revision < own.c.revision)
    of_same = own.join(others, own.c.webinar_id == others.c.webinar_id)
    tells = exists().select_from(of_same).where(*which).correlate(OUTBOX, other)
    # From the person to the few messages that one has, and not from the session to its thousands of readers.
    is_to_same = (other.c.kind == KIND) & (other.c.recipient_key == OUTBOX.c.recipient_key)
    return exists().select_from(other).where(is_to_same, other.c.state.in_(states), tells).correlate(OUTBOX)


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
