"""What was told to whom: by a message of its own, or by a digest; and what is not told any more, or reaches nobody.

Every function takes the caller's connection. Only what a live run put into the outbox counts. What a shadow run sealed
there, and what was called off, was told to nobody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import Integer, case, delete, except_, func, intersect, literal, null, or_, select, union_all, update

from include.carm.period import Period
from include.database import in_slices
from include.notice_intents import Told, record_state
from include.operations_notice_tables import DIGEST_TELLINGS, NOTICE_INTENTS, OUTBOX, SUPPRESSIONS
from include.outbox import NOT_BEGUN, call_off_messages
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


STANDING = ("planned", "sending", "sent", "unknown")
"""The states of messages that reach their reader, or may."""


def _is_told() -> Any:
    return OUTBOX.c.state.not_in(("sealed", "called_off"))


def _tellings(*which: Any, abouts: Any = None) -> Any:
    """Every event that was told, alone or by a digest, with its message's recipient, period and state.

    ``which`` are conditions on the messages; with ``abouts``, a query, only events about what that finds.
    """
    box, line = OUTBOX.c, DIGEST_TELLINGS.c
    events, lines = ([], []) if abouts is None else ([box.about.in_(abouts)], [line.about.in_(abouts)])
    alone = select(
        box.recipient_key,
        box.kind,
        box.about,
        box.version,
        null().cast(Integer).label("digest_version"),
        box.period,
        box.state,
    ).where(_is_told(), box.kind != "digest", *events, *which)
    by_digest = (
        select(
            box.recipient_key, line.kind, line.about, line.version, box.version.label("digest_version"),
            box.period, box.state,
        )
        .join_from(OUTBOX, DIGEST_TELLINGS, line.message_key == box.message_key)
        .where(_is_told(), box.kind == "digest", *lines, *which)
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

    ``told_without_message``: no message of the outbox tells them. ``message_without_telling``: a message tells them, or
    may, though they are owed or nobody could be written to; or will tell them though they were called off.
    """
    intent, told = NOTICE_INTENTS.c, _tellings()
    identity = (intent.kind, intent.about, intent.version)
    messages = select(told.c.kind, told.c.about, told.c.version)

    def beside(which: Any, of_messages: tuple[str, ...]) -> Any:
        return intersect(select(*identity).where(which), messages.where(told.c.state.in_(of_messages)))

    # What failed or was stopped may be planned again, and reach somebody after all.
    unwritten = or_(intent.reason.is_(None), intent.reason.in_(_UNWRITTEN))
    queries = (
        ("told_without_message", except_(select(*identity).where(intent.state == "told"), messages)),
        ("message_without_telling", beside(intent.state == "owed", STANDING)),
        ("message_without_telling", beside((intent.state == "unreachable") & unwritten, STANDING)),
        # Whoever was told before it was called off was told.
        ("message_without_telling", beside(intent.state == "called_off", ("planned",))),
    )
    counted: dict[str, int] = defaultdict(int)
    for name, query in queries:
        counted[name] += connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
    return {name: count for name, count in counted.items() if count}


# What reaches nobody

_REASONS = ("bounced", "by_hand", "unsubscribed", "suppressed", "failed")
"""Why the messages of a notice reach nobody; of several reasons the first is told."""
_UNWRITTEN = ("no_address", "unusable_address")
"""Why there is no message at all."""


def list_unreached(
    connection: Connection, period: str, bn15: str | None = None, *, most: int | None = None
) -> list[dict[str, Any]]:
    """Notices of the month (about one account: ``bn15``) that reach nobody, by kind and what they are about.

    Rows of ``kind, about, version, bn15, cause, state, reason``, the first ``most``. No message of theirs is planned,
    being sent, sent or of unknown fate. The ``reason`` of what is *unreachable* is the one on record; of what is *told*
    it says what became of its messages: ``failed``, or why their readers are not written to. What is told by no message
    at all is no row here but a contradiction (:func:`count_contradictions`).
    """
    found = _unreached(period, bn15)
    query = select(found).order_by(found.c.kind, found.c.about, found.c.version).limit(most)
    return [dict(row) for row in connection.execute(query).mappings()]


def count_unreached_by_reason(
    connection: Connection, period: str, cause: str | None = None
) -> dict[str, dict[str, int]]:
    """How many rows :func:`list_unreached` has for the month (of one ``cause``), by kind and reason."""
    found = _unreached(period)
    query = select(found.c.kind, found.c.reason, func.count()).group_by(found.c.kind, found.c.reason)
    if cause is not None:
        query = query.where(found.c.cause == cause)
    counted: dict[str, dict[str, int]] = {}
    for kind, reason, notices in connection.execute(query.order_by(found.c.kind, found.c.reason)):
        counted.setdefault(kind, {})[reason] = notices
    return counted


def count_unreached(connection: Connection, period: str) -> dict[str, int]:
    """How many notices of the month reach nobody, by kind."""
    counted = count_unreached_by_reason(connection, period)
    return {kind: sum(reasons.values()) for kind, reasons in counted.items()}


def _unreached(period: str, bn15: str | None = None) -> Any:
    """The rows of :func:`list_unreached`, as a subquery.

    Most notices of a month are told, and most who are not have no address. Neither is looked for in the outbox: what is
    told and reaches nobody is found by its messages, which are few, and what nobody was written to has none.
    """
    intent, own = NOTICE_INTENTS.c, [NOTICE_INTENTS.c.period == period]
    if bn15 is not None:
        own.append(intent.bn15 == bn15)
    shown = intent.kind, intent.about, intent.version, intent.bn15, intent.cause, intent.state
    unreachable = select(*shown, intent.reason).where(*own, intent.state == "unreachable")
    is_unwritten = or_(intent.reason.is_(None), intent.reason.in_(_UNWRITTEN))
    unwritten = unreachable.where(is_unwritten)
    # What was printed as a letter may be sent again after all.
    printed = unreachable.where(~is_unwritten, ~_is_reached(period))
    fallen = _fallen(period, None if bn15 is None else select(intent.about).where(*own))
    is_it = (fallen.c.kind == intent.kind) & (fallen.c.about == intent.about) & (fallen.c.version == intent.version)
    told = (
        select(*shown, fallen.c.reason)
        .join_from(fallen, NOTICE_INTENTS, is_it)
        .where(*own, intent.state == "told", ~_is_reached(period))
    )
    return union_all(unwritten, printed, told).subquery()


def _is_reached(period: str) -> Any:
    """Whether a message of a notice reaches its reader, or may, in a query of notices."""
    intent, box, line = NOTICE_INTENTS.c, OUTBOX.alias(), DIGEST_TELLINGS.alias()
    may = box.c.state.in_(STANDING), box.c.period.in_(_told_about(period))

    def tells(told: Any) -> Any:
        return (told.kind == intent.kind) & (told.about == intent.about) & (told.version == intent.version)

    alone = select(literal(1)).select_from(box).where(tells(box.c), box.c.kind != "digest", *may)
    digest = select(literal(1)).select_from(box).where(box.c.message_key == line.c.message_key, *may)
    # One within the other: the few lines of the notice are looked up, and then their digests, never all digests.
    by_digest = select(literal(1)).select_from(line).where(tells(line.c), digest.correlate(line).exists())
    return or_(alone.correlate(NOTICE_INTENTS).exists(), by_digest.correlate(NOTICE_INTENTS).exists())


def _fallen(period: str, abouts: Any) -> Any:
    """What messages tell that failed or were stopped, a row a notice, and why they reach nobody.

    ``abouts`` as of :func:`_tellings`.
    """
    suppression = SUPPRESSIONS.c
    which = OUTBOX.c.period.in_(_told_about(period)), OUTBOX.c.state.in_(("failed", "suppressed"))
    told = _tellings(*which, abouts=abouts)
    applies = (suppression.recipient_key == told.c.recipient_key) & (suppression.scope == "all")
    own = case((told.c.state == "failed", "failed"), else_="suppressed")
    rank = case({reason: place for place, reason in enumerate(_REASONS)}, value=func.coalesce(suppression.reason, own))
    identity = told.c.kind, told.c.about, told.c.version
    first = select(*identity, func.min(rank).label("place")).outerjoin_from(told, SUPPRESSIONS, applies)
    found = first.group_by(*identity).subquery()
    reason = case(dict(enumerate(_REASONS)), value=found.c.place)
    return select(found.c.kind, found.c.about, found.c.version, reason.label("reason")).subquery()


def _told_about(period: str) -> tuple[str, ...]:
    """The months whose messages tell a notice of ``period``: an account that is open again may have been told in the
    month before, by the run that opened it."""
    if period == BEFORE_ANY_MONTH:
        return (period,)
    return (period, str(Period.parse(period).previous()))


def list_months(connection: Connection) -> list[str]:
    """The months that have notices, the newest first."""
    months = select(NOTICE_INTENTS.c.period).distinct().order_by(NOTICE_INTENTS.c.period.desc())
    return list(connection.execute(months).scalars())


# What is not told any more


def call_off(connection: Connection, notices: Collection[Told]) -> list[str]:
    """What was undone is not told any more, to anybody whose message was not begun; in the transaction that undoes it.

    A digest that tells it among others is called off whole. What else it tells is owed again, until the notices of its
    month are written again: the months of which that is so are returned. A notice of which every message went out
    before stays told.
    """
    months = []
    for period, wanted in _by_month(connection, notices).items():
        keys = _messages_that_wait(connection, period, wanted)
        told_by = _digests_that_wait(connection, period, wanted)
        gone = _events_of(connection, period, keys) | wanted & {one for told in told_by.values() for one in told}
        call_off_messages(connection, [*keys, *told_by])
        _forget_digests(connection, told_by)
        rest = {one for told in told_by.values() for one in told} - wanted
        record_state(connection, rest, "owed", was=("told",))
        record_state(connection, wanted, "called_off", was=("owed", "unreachable"))
        record_state(connection, gone, "called_off", was=("told",))
        if told_by:
            months.append(period)
    return sorted(months)


def call_off_coming(connection: Connection, plan_hash: str) -> list[str]:
    """The coming closures that a plan announced are not told any more; returns as :func:`call_off`."""
    intent = NOTICE_INTENTS.c
    which = intent.kind == "closure_coming", intent.cause == f"plan {plan_hash}"
    query = select(intent.kind, intent.about, intent.version).where(*which)
    return call_off(connection, [(row.kind, row.about, row.version) for row in connection.execute(query)])


def take_back(connection: Connection, period: str, packs_of: Mapping[str, str], keys: Collection[str]) -> None:
    """Messages of the month that wait in packs of these names, and are not among ``keys`` any more, are not sent.

    They were for an address that is not that of the account any more. What nobody else was told is owed again.
    """
    box, known = OUTBOX.c, set(keys)
    given_up: dict[str, Told] = {}
    for kind, name in packs_of.items():
        which = box.period == period, box.kind == kind, box.pack.startswith(f"{name}-", autoescape=True), NOT_BEGUN
        query = select(box.message_key, box.kind, box.about, box.version).where(*which).with_for_update()
        for row in connection.execute(query):
            if row.message_key not in known:
                given_up[row.message_key] = (row.kind, row.about, row.version)
    if not given_up:
        return
    told_by = _lines_of(connection, [key for key, (kind, _, _) in given_up.items() if kind == "digest"])
    events = {one for one in given_up.values() if one[0] != "digest"}
    events |= {one for told in told_by.values() for one in told}
    call_off_messages(connection, given_up)
    _forget_digests(connection, told_by)
    told = _tellings(box.period == period)
    query = select(told.c.kind, told.c.about, told.c.version).where(told.c.state.in_(STANDING)).distinct()
    standing = {(row.kind, row.about, row.version) for row in connection.execute(query)}
    record_state(connection, events - standing, "owed", was=("told",))


def _by_month(connection: Connection, notices: Collection[Told]) -> dict[str, set[Told]]:
    intent, months, wanted = NOTICE_INTENTS.c, defaultdict[str, set[Told]](set), set(notices)
    for kind, abouts in _abouts_of(wanted):
        query = select(intent.about, intent.version, intent.period).where(intent.kind == kind, intent.about.in_(abouts))
        for about, version, period in connection.execute(query):
            if (kind, about, version) in wanted:
                months[period].add((kind, about, version))
    return months


def _abouts_of(notices: Collection[Told]) -> list[tuple[str, list[str]]]:
    """What the notices are about, by kind, as many at a time as a query takes."""
    kinds: dict[str, set[str]] = defaultdict(set)
    for kind, about, _ in notices:
        kinds[kind].add(about)
    return [(kind, list(some)) for kind in sorted(kinds) for some in in_slices(sorted(kinds[kind]), _KEYS_A_QUERY)]


def _messages_that_wait(connection: Connection, period: str, wanted: Collection[Told]) -> list[str]:
    box, keys = OUTBOX.c, list[str]()
    for kind, abouts in _abouts_of(wanted):
        which = box.period == period, box.kind == kind, box.about.in_(abouts), NOT_BEGUN
        # Held, so that no sender begins one of them before it is called off.
        query = select(box.message_key, box.about, box.version).where(*which).with_for_update()
        for row in connection.execute(query):
            if (kind, row.about, row.version) in wanted:
                keys.append(row.message_key)
    return keys


def _events_of(connection: Connection, period: str, keys: Collection[str]) -> set[Told]:
    box, found = OUTBOX.c, set[Told]()
    for some in in_slices(sorted(keys), _KEYS_A_QUERY):
        query = select(box.kind, box.about, box.version).where(box.period == period, box.message_key.in_(some))
        found |= {(row.kind, row.about, row.version) for row in connection.execute(query)}
    return found


def _digests_that_wait(connection: Connection, period: str, wanted: Collection[Told]) -> dict[str, list[Told]]:
    """What each digest tells that was not begun and tells one of these."""
    box, line, keys = OUTBOX.c, DIGEST_TELLINGS.c, set[str]()
    for kind, abouts in _abouts_of(wanted):
        query = (
            select(line.message_key, line.about, line.version)
            .join_from(OUTBOX, DIGEST_TELLINGS, line.message_key == box.message_key)
            .where(box.period == period, box.kind == "digest", NOT_BEGUN, line.kind == kind, line.about.in_(abouts))
            .with_for_update(of=OUTBOX)
        )
        for row in connection.execute(query):
            if (kind, row.about, row.version) in wanted:
                keys.add(row.message_key)
    return _lines_of(connection, keys)


def _lines_of(connection: Connection, keys: Collection[str]) -> dict[str, list[Told]]:
    line, told_by = DIGEST_TELLINGS.c, defaultdict[str, list[Told]](list)
    for some in in_slices(sorted(keys), _KEYS_A_QUERY):
        for row in connection.execute(select(DIGEST_TELLINGS).where(line.message_key.in_(some))):
            told_by[row.message_key].append((row.kind, row.about, row.version))
    return told_by


def _forget_digests(connection: Connection, keys: Collection[str]) -> None:
    """A digest that was called off told nothing; one that is written in its place says what it tells."""
    for some in in_slices(sorted(keys), _KEYS_A_QUERY):
        connection.execute(delete(DIGEST_TELLINGS).where(DIGEST_TELLINGS.c.message_key.in_(some)))
