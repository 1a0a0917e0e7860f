"""Who has left the distribution list, and who is not written to at all: the tokens of the link, and the two tables.

A token stands in the link of a message and names its recipient by the keyed hash alone, so neither it nor a row that
it causes tells an address. ``carm_subscription_events`` keeps the words of people; ``carm_suppressions`` says what
holds now, and whoever sends asks it (:func:`suppressed`). Both are written in the caller's transaction, together with
the messages of the outbox that are still planned, so that nobody gets one after having left.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, exists, func, insert, select, update

from include.carm.errors import Refused, UsageError
from include.carm.mail_settings import MailSettings, is_on_this_machine
from include.carm.plain_text import require_plain_line
from include.carm.recipients import SHIPPED_KEY, address_problem, checked_key, recipient_key
from include.database import in_slices
from include.operations_notice_tables import OUTBOX, SUBSCRIPTION_EVENTS, SUPPRESSIONS
from include.outbox import LIST_KINDS, is_unsent

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.workspace import Workspace

LIST_LANGUAGES = ("en", "fr", "both")
LONGEST_CONSENT = 500
KEYS_A_QUERY = 1_000

_KEY_BYTES = 32
_TOKEN_BYTES = 2 * _KEY_BYTES
_TOKEN_LENGTH = len(base64.urlsafe_b64encode(bytes(_TOKEN_BYTES)).rstrip(b"="))
# The same secret also hashes addresses. No text in UTF-8 holds the first byte, so no address can be made whose hash is
# the signature of a token.
_PURPOSE = b"\xffcarm unsubscribe token 1\x00"


def make_token(recipient_key: str, key: bytes) -> str:
    """The token of a recipient (64 hex digits), 86 characters for a URL. The same recipient has always the same one.

    It does not run out: a message from years ago must still let its reader go. It opens nothing but this.
    """
    if not is_recipient_key(recipient_key):
        raise UsageError("a token is made for the keyed hash of an address: 64 hex digits in lower case")
    recipient = bytes.fromhex(recipient_key)
    return base64.urlsafe_b64encode(recipient + _signature(recipient, key)).rstrip(b"=").decode()


def read_token(token: str, key: bytes) -> str:
    """The recipient key of a token that :func:`make_token` made with ``key``; ``UsageError`` for anything else.

    There is one spelling of a token: no padding, no other last character that would decode to the same bytes.
    """
    content = _decode(token)
    recipient = content[:_KEY_BYTES]
    # Compared in a time that tells nothing, and also where nothing could be decoded.
    is_signed = hmac.compare_digest(_signature(recipient, key), content[_KEY_BYTES:])
    if not is_signed or len(content) != _TOKEN_BYTES:
        raise UsageError("this is no unsubscribe token of ours: use the link as it stands in the message")
    return recipient.hex()


def _decode(token: str) -> bytes:
    """The bytes of a token in its one spelling, or none."""
    if len(token) != _TOKEN_LENGTH or not token.isascii():
        return b""
    try:
        content = base64.urlsafe_b64decode(f"{token}==")
    except binascii.Error:
        return b""
    # Python passes over what is not of the alphabet, and over four bits of the last character that no byte needs: one
    # spelling is what comes out again.
    return content if base64.urlsafe_b64encode(content).rstrip(b"=") == token.encode() else b""


def _signature(recipient: bytes, key: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + recipient, "sha256")


def is_recipient_key(text: str) -> bool:
    """Whether a text is written as :func:`include.notices.recipient_key` writes them."""
    return len(text) == 2 * _KEY_BYTES and not set(text) - set("0123456789abcdef")


# --- The list ---------------------------------------------------------------------------------------------------


def unsubscribe(connection: Connection, recipient_key: str, *, on: date, source: str) -> dict[str, Any]:
    """Take a recipient off the distribution list, in the caller's write transaction.

    ``source`` is one_click, page or command. Said again it adds no event; the suppression then bears the day on which
    it was said last, because an entry of the source may lie between. Of a subscription on the same day unsubscribing
    wins; after a later one it is kept as an event, and changes nothing. Messages of the list that are still planned are
    stopped. Returns ``{"is_new", "is_off", "stopped"}``: whether there is a new event, whether the recipient is off the
    list now, and how many messages were stopped.
    """
    lock_list(connection)
    standing = _suppression(connection, recipient_key, "list")
    if standing is not None and standing["reason"] == "unsubscribed":
        if standing["since"] < on:
            connection.execute(update(SUPPRESSIONS).where(_row_of(recipient_key, "list")).values(since=on))
        return {"is_new": False, "is_off": True, "stopped": _stop(connection, [recipient_key], LIST_KINDS)}
    event = SUBSCRIPTION_EVENTS.c
    said = exists().where(event.recipient_key == recipient_key, event.event == "unsubscribed", event.recorded_on == on)
    is_new = not connection.execute(select(said)).scalar()
    if is_new:
        _add_event(connection, recipient_key=recipient_key, event="unsubscribed", recorded_on=on, source=source)
    later = exists().where(event.recipient_key == recipient_key, event.event == "subscribed", event.recorded_on > on)
    if connection.execute(select(later)).scalar():
        return {"is_new": is_new, "is_off": False, "stopped": 0}
    # In the place of a bounce, which is no word of the person.
    connection.execute(delete(SUPPRESSIONS).where(_row_of(recipient_key, "list")))
    connection.execute(
        insert(SUPPRESSIONS).values(
            recipient_key=recipient_key, scope="list", reason="unsubscribed", since=on, source=source
        )
    )
    return {"is_new": is_new, "is_off": True, "stopped": _stop(connection, [recipient_key], LIST_KINDS)}


def subscribe(
    connection: Connection, address: str, language: str, *, consent: str, on: date, source: str, hash_key: bytes
) -> dict[str, Any]:
    """Put an address on the distribution list, in the caller's write transaction.

    ``language`` is en, fr or both; ``consent`` says in words on what the subscription rests (CASL asks whoever sends to
    prove it). The same words on the same day are one event. It lifts a suppression of the list that is older, and never
    one of all messages. Raises ``UsageError`` for an address, a language or a consent that cannot be. Returns
    ``{"recipient_key", "is_new", "is_on", "not_written_to"}``; the last is the reason why the address takes no message
    at all, else None.
    """
    said = {
        "recipient_key": recipient_key(require_address(address), hash_key),
        "address": require_address(address),
        "language": language,
        "event": "subscribed",
        "recorded_on": on,
        "consent": _require_consent(consent),
    }
    if language not in LIST_LANGUAGES:
        raise UsageError(f"the language is {language!r}: write one of {', '.join(LIST_LANGUAGES)}")
    lock_list(connection)
    event = SUBSCRIPTION_EVENTS.c
    same = exists().where(and_(*(event[name] == value for name, value in said.items())))
    is_new = not connection.execute(select(same)).scalar()
    if is_new:
        _add_event(connection, **said, source=source)
    recipient = str(said["recipient_key"])
    lift_older(connection, {recipient: on})
    lasting = _suppression(connection, recipient, "all")
    return {
        "recipient_key": recipient,
        "is_new": is_new,
        "is_on": _suppression(connection, recipient, "list") is None,
        "not_written_to": lasting and lasting["reason"],
    }


def lift_older(connection: Connection, subscribed: Mapping[str, date]) -> int:
    """Lift the suppression of the list of each recipient who subscribed after it; returns how many were lifted.

    ``subscribed`` has the day of the last subscription by recipient key. Of the same day unsubscribing wins.
    """
    lock_list(connection)
    suppression, lifted = SUPPRESSIONS.c, 0
    for keys in in_slices(sorted(subscribed), KEYS_A_QUERY):
        rows = connection.execute(
            select(suppression.recipient_key, suppression.since).where(
                suppression.scope == "list", suppression.recipient_key.in_(keys)
            )
        )
        older = [row.recipient_key for row in rows if row.since < subscribed[row.recipient_key]]
        if older:
            left = and_(suppression.scope == "list", suppression.recipient_key.in_(older))
            lifted += connection.execute(delete(SUPPRESSIONS).where(left)).rowcount
    return lifted


# --- Who is not written to --------------------------------------------------------------------------------------


def suppress(
    connection: Connection, recipient_keys: Collection[str], *, reason: str, on: date, source: str, scope: str = "all"
) -> dict[str, int]:
    """Let these recipients get no message of ``scope`` from now on, in the caller's write transaction.

    ``reason`` is bounced or by_hand, ``source`` bounce or command. Who is suppressed already keeps the first reason and
    day. Messages of the scope that are still planned are stopped: of the list, or of every kind. Returns
    ``{"suppressed", "suppressed_before", "stopped"}`` as counts.
    """
    lock_list(connection)
    asked = set(recipient_keys)
    before = suppressed(connection, asked, scope)
    rows = [
        {"recipient_key": recipient, "scope": scope, "reason": reason, "since": on, "source": source}
        for recipient in sorted(asked - before)
    ]
    if rows:
        connection.execute(insert(SUPPRESSIONS), rows)
    stopped = _stop(connection, sorted(asked), LIST_KINDS if scope == "list" else ())
    return {"suppressed": len(rows), "suppressed_before": len(before), "stopped": stopped}


def lift(connection: Connection, recipient_key: str) -> str:
    """Let a recipient get messages again; returns for what reason there were none.

    Who has left the list stays off it. Messages that were stopped stay so. Raises ``Refused`` where nothing is to lift.
    """
    lock_list(connection)
    standing = _suppression(connection, recipient_key, "all")
    if standing is None:
        raise Refused(
            "this address is written to, so there is nothing to lift: who has left the list comes back with "
            "`carm list subscribe`"
        )
    connection.execute(delete(SUPPRESSIONS).where(_row_of(recipient_key, "all")))
    return str(standing["reason"])


def suppressed(connection: Connection, recipient_keys: Collection[str], scope: str) -> set[str]:
    """Those of ``recipient_keys`` who get nothing of ``scope``: ``list`` (the messages of the list) or ``all``.

    Who gets no message at all gets none of the list either.
    """
    if scope not in ("list", "all"):
        raise ValueError(f"a suppression is of the list or of all messages, not of {scope!r}")
    suppression = SUPPRESSIONS.c
    found: set[str] = set()
    for keys in in_slices(sorted(set(recipient_keys)), KEYS_A_QUERY):
        query = select(suppression.recipient_key).where(suppression.recipient_key.in_(keys))
        if scope == "all":
            query = query.where(suppression.scope == "all")
        found.update(connection.execute(query).scalars())
    return found


def stop_list_mail(connection: Connection, recipient_keys: Collection[str]) -> int:
    """Let no message of the list be sent that these have not got yet, also not by a person; returns how many.

    For who left in the source: no suppression is written, for the source says so itself as long as it is true.
    """
    stopped = 0
    for keys in in_slices(sorted(set(recipient_keys)), KEYS_A_QUERY):
        which = is_unsent(), OUTBOX.c.recipient_key.in_(keys), OUTBOX.c.kind.in_(LIST_KINDS)
        stopped += connection.execute(update(OUTBOX).where(*which).values(state="suppressed")).rowcount
    return stopped


# --- What these share -------------------------------------------------------------------------------------------


def canonical_address(text: str) -> str:
    """An address as it is hashed: in lower case, without the space around it."""
    return text.strip().lower()


def require_address(address: str) -> str:
    """An address in lower case without the space around it; raises ``UsageError``, which does not repeat it."""
    canonical = canonical_address(address)
    if address_problem(canonical):
        raise UsageError("mail cannot use this address: write it as name@example.org, without a name or brackets")
    return canonical


def proved_key(ws: Workspace, hash_key: bytes | str) -> bytes:
    """The key that hashes recipients, for whoever writes or sends messages.

    Raises ``UsageError`` for one that is too short, is not the one of the tables (see :func:`require_true_key`), or is
    no secret (see :func:`require_secret`).
    """
    key = checked_key(hash_key)
    require_secret(key, MailSettings.load().letterhead.unsubscribe_url)
    with ws.operations.connect() as connection:
        require_true_key(connection, key)
    return key


def require_secret(key: bytes, unsubscribe_url: str) -> None:
    """Refuse the key that this project is shipped with where its links lead beyond this machine.

    Whoever knows an address could make its token, and take anybody off the list. Raises ``UsageError``.
    """
    if key == SHIPPED_KEY and unsubscribe_url and not is_on_this_machine(unsubscribe_url):
        raise UsageError(
            "the recipient_hash_key is the one that this project is shipped with, and everybody can make links with "
            f"it for {unsubscribe_url}: write one of your own, made by chance, into the connection carm_smtp"
        )


def require_true_key(connection: Connection, hash_key: bytes) -> None:
    """Prove that ``hash_key`` is the one by which the tables know people, as far as they hold an address at all.

    With another one every word of a person would be written down for somebody who does not exist, and nobody who left
    would be known. What a shadow run sealed does not count: nothing is sent by it, and it may have been a first look
    with the key of the demo. Raises ``UsageError``.
    """
    counts = {OUTBOX: OUTBOX.c.state != "sealed", SUBSCRIPTION_EVENTS: SUBSCRIPTION_EVENTS.c.address.is_not(None)}
    for table, which in counts.items():
        query = select(table.c.address, table.c.recipient_key).where(which).limit(1)
        for row in connection.execute(query):
            if recipient_key(row.address, hash_key) != row.recipient_key:
                raise UsageError(
                    "the key that hashes recipients is not the one with which messages were written: take the "
                    "recipient_hash_key of the connection carm_smtp"
                )


def lock_list(connection: Connection) -> None:
    """Let nobody else write the two tables until the caller's transaction ends."""
    if connection.dialect.name == "postgresql":
        # Two writers would both find nothing and both add; in SQLite there is only one.
        connection.exec_driver_sql(f"LOCK TABLE {SUBSCRIPTION_EVENTS.name} IN EXCLUSIVE MODE")


def _add_event(connection: Connection, **event: Any) -> None:
    number = select(func.coalesce(func.max(SUBSCRIPTION_EVENTS.c.event_no), 0) + 1)
    connection.execute(insert(SUBSCRIPTION_EVENTS).values(event_no=connection.execute(number).scalar_one(), **event))


def _suppression(connection: Connection, recipient_key: str, scope: str) -> dict[str, Any] | None:
    row = connection.execute(select(SUPPRESSIONS).where(_row_of(recipient_key, scope))).mappings().first()
    return dict(row) if row is not None else None


def _row_of(recipient_key: str, scope: str) -> Any:
    return and_(SUPPRESSIONS.c.recipient_key == recipient_key, SUPPRESSIONS.c.scope == scope)


def _stop(connection: Connection, recipient_keys: Sequence[str], kinds: Sequence[str] = ()) -> int:
    """Let no message (of these kinds, else of any) that is planned for the recipients be sent; returns how many."""
    stopped = 0
    for keys in in_slices(recipient_keys, KEYS_A_QUERY):
        planned = [OUTBOX.c.state == "planned", OUTBOX.c.recipient_key.in_(keys)]
        if kinds:
            planned.append(OUTBOX.c.kind.in_(kinds))
        stopped += connection.execute(update(OUTBOX).where(*planned).values(state="suppressed")).rowcount
    return stopped


def _require_consent(consent: str) -> str:
    text = require_plain_line(consent, "the consent")
    if not 0 < len(text) <= LONGEST_CONSENT:
        raise UsageError(
            f"a subscription needs its consent in 1 to {LONGEST_CONSENT} characters: say how the person asked for it, "
            "for example 'asked by e-mail of 2022-01-10'"
        )
    return text
