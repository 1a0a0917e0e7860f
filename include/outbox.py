"""The outbox: every message that is to be sent, once, with what it says, before anything of it is sent.

A message is a row of ``carm_outbox``, by its business key, and the parts of its text in a pack below
``DATA/outbox/``, which is never written again. Messages of a live run are *planned*; those of a shadow run or a
backfill are *sealed*: they can be looked at and are never sent. :mod:`include.deliver` alone sends.
``docs/adr/0054-outbox.md`` says why it is so.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, exists, func, or_, select, update

from include.carm.errors import DataError, Unavailable, UsageError
from include.database import in_slices
from include.documents import read_member, read_members
from include.operations_notice_tables import OUTBOX, SUPPRESSIONS

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.workspace import Workspace

LIST_KINDS = ("webinar", "quarterly")
"""What goes to the distribution list; everything else is about an account, and no unsubscribing stops it."""

AFTER_THE_NEW = "0001-01-01T00:00:00.000000Z"
"""When a message is due that a person planned again: at once, after all that were never tried."""

_ROWS_AT_ONCE, _KEYS_A_QUERY = 5_000, 500
_KEY_LENGTH = 32


@dataclass(frozen=True)
class Parts:
    """What a message says: plain text, HTML, and the calendar entries that come with it, as UTF-8."""

    text: bytes
    html: bytes
    calendars: tuple[bytes, ...] = ()

    @property
    def body_sha256(self) -> str:
        """SHA-256 of the text followed by the HTML."""
        return hashlib.sha256(self.text + self.html).hexdigest()

    @property
    def calendar_sha256(self) -> str | None:
        """SHA-256 of the calendar entries, one after the other; None where there is none."""
        return hashlib.sha256(b"".join(self.calendars)).hexdigest() if self.calendars else None

    def members(self, key: str) -> Iterator[tuple[str, bytes]]:
        """The members of a pack that hold the message ``key``, in the order of their names."""
        for number, calendar in enumerate(self.calendars, start=1):
            yield f"{key}.{number:03d}.ics", calendar
        yield f"{key}.html", self.html
        yield f"{key}.txt", self.text


def folder_of(ws: Workspace) -> Path:
    """Where the packs of the outbox lie."""
    return ws.data / "outbox"


def keep_pack(ws: Workspace, path: Path, sha256: str) -> str:
    """Keep a pack of rendered messages in the outbox for good; returns the name it has there.

    A link to the same file, where the file system has links: what replaces the pack in its own place leaves this one
    as it is. Raises ``Unavailable`` where the disk refuses.
    """
    name = f"{path.stem}-{sha256[:16]}.zip"
    target = folder_of(ws) / name
    if not target.exists():
        _link(path, target)
    return name


def kept_stem(name: str) -> str:
    """Under which name, without its ending, a pack of the outbox was rendered."""
    return name.rpartition("-")[0]


def put_pack_back(ws: Workspace, name: str, path: Path) -> None:
    """Let the pack ``name`` of the outbox lie at ``path`` too, where its messages were rendered.

    Raises ``DataError`` where the outbox lacks it, ``Unavailable`` where the disk refuses.
    """
    pack = folder_of(ws) / name
    if not pack.exists():
        raise _missing(pack)
    if not (path.exists() and path.samefile(pack)):
        _link(pack, path)


def _link(path: Path, target: Path) -> None:
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            os.link(path, fresh)
        except OSError:
            shutil.copyfile(path, fresh)
            fresh.chmod(0o600)
        fresh.replace(target)
    except OSError as error:
        raise Unavailable(
            f"cannot write {target} ({error.strerror or error}): make room in the data folder, or make it writable, "
            "and run the month again"
        ) from error
    finally:
        fresh.unlink(missing_ok=True)


def _missing(pack: Path) -> DataError:
    return DataError(f"{pack} is missing: restore the outbox from a backup; nothing of it is sent until then")


def plan_messages(
    connection: Connection, messages: Iterable[Mapping[str, Any]], *, is_live: bool, run_id: str
) -> dict[str, int]:
    """Put messages into the outbox, in the caller's transaction; one whose key is known stays as it is.

    A message has ``message_key, kind, recipient_key, about, version, period, address, language, subject, pack,
    body_sha256, calendar_sha256``. A live run plans, any other seals; what was sealed before is planned by a live run,
    and so is what was called off, for it is told after all.
    Who is not written to has it suppressed. Returns how many messages are new, by state.
    """
    state, fresh, suppressed = "planned" if is_live else "sealed", 0, 0
    for batch in _batches(messages):
        rows = [{**row, "state": state, "attempts": 0, "run_id": run_id} for row in batch]
        fresh += connection.execute(_insert_new(connection), rows).rowcount
        if is_live:
            fresh += _plan_resting(connection, batch, run_id)
        suppressed += _suppress(connection, batch)
    return {state: fresh - suppressed, "suppressed": suppressed}


def _batches(messages: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    batch: list[Mapping[str, Any]] = []
    for message in messages:
        batch.append(message)
        if len(batch) == _ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _insert_new(connection: Connection) -> Any:
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_postgresql

        return insert_postgresql(OUTBOX).on_conflict_do_nothing()
    from sqlalchemy.dialects.sqlite import insert as insert_sqlite

    return insert_sqlite(OUTBOX).on_conflict_do_nothing()


_RESTING = ("sealed", "called_off")
_UNTRIED = {
    "attempts": 0,
    "next_attempt_at": "",
    **dict.fromkeys(("claimed_by", "changed_at", "reply", "mime_sha256", "headers")),
}


def _plan_resting(connection: Connection, batch: Sequence[Mapping[str, Any]], run_id: str) -> int:
    """A live run sends what a shadow run had sealed, or what had been called off, and says what it says now."""
    keys = [row["message_key"] for row in batch]
    resting = set()
    for some in in_slices(keys, _KEYS_A_QUERY):
        query = select(OUTBOX.c.message_key).where(OUTBOX.c.message_key.in_(some), OUTBOX.c.state.in_(_RESTING))
        resting |= set(connection.execute(query).scalars())
    if not resting:
        return 0
    names = ("address", "language", "subject", "pack", "body_sha256", "calendar_sha256", "period")
    rows = [
        {"resting_key": row["message_key"], **{f"new_{name}": row[name] for name in names}}
        for row in batch
        if row["message_key"] in resting
    ]
    planned = (
        update(OUTBOX)
        .where(OUTBOX.c.message_key == bindparam("resting_key"), or_(*(OUTBOX.c.state == state for state in _RESTING)))
        .values(state="planned", run_id=run_id, **_UNTRIED, **{name: bindparam(f"new_{name}") for name in names})
    )
    connection.execute(planned, rows)
    return len(rows)


def _suppress(connection: Connection, batch: Sequence[Mapping[str, Any]]) -> int:
    """Suppress the planned ones among the batch whose recipient is not written to; returns how many."""
    suppressed = 0
    if connection.execute(select(SUPPRESSIONS.c.scope).limit(1)).first() is None:
        return suppressed
    for some in in_slices([row["message_key"] for row in batch], _KEYS_A_QUERY):
        which = OUTBOX.c.message_key.in_(some), OUTBOX.c.state == "planned", is_suppressed()
        suppressed += connection.execute(update(OUTBOX).where(*which).values(state="suppressed")).rowcount
    return suppressed


def is_suppressed() -> Any:
    """The condition that the recipient of a row of the outbox is not to get it."""
    suppression = SUPPRESSIONS.c
    # No IN, which would be written out anew for each message that is sent.
    applies = or_(suppression.scope == "all", *(OUTBOX.c.kind == kind for kind in LIST_KINDS))
    return exists().where(suppression.recipient_key == OUTBOX.c.recipient_key, applies)


def is_unsent() -> Any:
    """The condition that nobody can have got a row of the outbox: it is planned, claimed and not begun, or failed."""
    is_claimed = (OUTBOX.c.state == "sending") & OUTBOX.c.mime_sha256.is_(None)
    return or_(OUTBOX.c.state.in_(("planned", "failed")), is_claimed)


# Calling off

NOT_BEGUN = or_(is_unsent(), OUTBOX.c.state == "suppressed")
"""Of these no server took anything. A sender that claimed one gives way, for it asks before it begins."""


def call_off_messages(connection: Connection, keys: Collection[str]) -> None:
    """Let none of these be sent, by a run or by a person, unless nothing of it is left to be stopped."""
    for some in in_slices(sorted(keys), _KEYS_A_QUERY):
        which = OUTBOX.c.message_key.in_(some), NOT_BEGUN
        connection.execute(update(OUTBOX).where(*which).values(state="called_off", next_attempt_at=""))


def kept_messages(connection: Connection, period: str, name: str) -> list[dict[str, Any]]:
    """The messages of the month that a live run wrote into packs called ``name``, in the order of their keys."""
    columns = ("message_key", "kind", "recipient_key", "about", "language", "subject", "body_sha256", "pack")
    which = OUTBOX.c.period == period, OUTBOX.c.pack.startswith(f"{name}-", autoescape=True), OUTBOX.c.state != "sealed"
    query = select(*(OUTBOX.c[column] for column in columns)).where(*which).order_by(OUTBOX.c.message_key)
    return [dict(row) for row in connection.execute(query).mappings()]


# Reading


def find_message(connection: Connection, key: str) -> dict[str, Any]:
    """One message by its key or the beginning of it; raises ``UsageError`` where that is none, or not one alone."""
    if len(key) < 6 or not key.isalnum():
        raise UsageError("a message is named by its key, or by at least the first 6 of its 32 characters")
    key_column, key = OUTBOX.c.message_key, key.lower()
    is_it = key_column == key if len(key) == _KEY_LENGTH else key_column.startswith(key, autoescape=True)
    query = select(OUTBOX).where(is_it).limit(2)
    found = connection.execute(query).mappings().all()
    if len(found) != 1:
        what = "no message has" if not found else "more than one message has"
        raise UsageError(f"{what} a key that begins with {key}: carm outbox list shows the keys")
    return dict(found[0])


def read_parts(ws: Workspace, message: Mapping[str, Any]) -> Parts:
    """What a message says, as it was put into the outbox.

    Raises ``DataError`` where the pack is missing, or holds something else than what was planned.
    """
    pack, key = folder_of(ws) / message["pack"], message["message_key"]
    if not pack.exists():
        raise _missing(pack)
    text, html = read_members(pack, [f"{key}.txt", f"{key}.html"])
    parts = Parts(text or b"", html or b"", tuple(_calendars(pack, key)) if message["calendar_sha256"] else ())
    told = (message["body_sha256"], message["calendar_sha256"])
    if (parts.body_sha256, parts.calendar_sha256) != told:
        raise DataError(f"message {key[:12]} in {pack} is not the one that was planned: restore the pack from a backup")
    return parts


def _calendars(pack: Path, key: str) -> Iterator[bytes]:
    number = 1
    while (calendar := read_member(pack, f"{key}.{number:03d}.ics")) is not None:
        yield calendar
        number += 1


def list_messages(
    connection: Connection, state: str, period: str | None, limit: int | None, since: str | None = None
) -> list[dict[str, Any]]:
    """The messages of a state, by month and key: what they are, and no address.

    Of a month where one is given, and of those that changed since a moment, as ``changed_at`` is written.
    """
    names = ("message_key", "kind", "about", "version", "period", "language", "attempts", "reply", "changed_at")
    query = select(*(OUTBOX.c[name] for name in names)).where(OUTBOX.c.state == state)
    if period is not None:
        query = query.where(OUTBOX.c.period == period)
    if since is not None:
        query = query.where(OUTBOX.c.changed_at >= since)
    query = query.order_by(OUTBOX.c.period, OUTBOX.c.message_key).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


def count_messages(connection: Connection, period: str | None = None) -> list[dict[str, Any]]:
    """``kind, state, messages`` of the outbox, of a month where one is given; by kind and state."""
    query = select(OUTBOX.c.kind, OUTBOX.c.state, func.count().label("messages"))
    if period is not None:
        query = query.where(OUTBOX.c.period == period)
    query = query.group_by(OUTBOX.c.kind, OUTBOX.c.state).order_by(OUTBOX.c.kind, OUTBOX.c.state)
    return [dict(row) for row in connection.execute(query).mappings()]


def list_months(connection: Connection) -> list[str]:
    """The months that have messages, the newest first; looked for one by one, for each has very many."""
    found: list[str] = []
    query = select(func.max(OUTBOX.c.period))
    while newest := connection.execute(query.where(OUTBOX.c.period < found[-1]) if found else query).scalar():
        found.append(newest)
    return found


def count_by_month(
    connection: Connection, which: Mapping[str, str] | None = None, *, since: str = ""
) -> list[dict[str, Any]]:
    """``period, kind, state, messages`` of the outbox, the newest month first, of months from ``since`` on.

    ``which`` of ``period``, ``kind`` and ``state`` are counted alone, as in a list of them.
    """
    by = [OUTBOX.c[name] for name in ("period", "kind", "state")]
    own = [OUTBOX.c[name] == value for name, value in (which or {}).items()]
    if since:
        own.append(OUTBOX.c.period >= since)
    query = select(*by, func.count().label("messages")).where(*own).group_by(*by)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    return sorted(rows, key=lambda row: (row["period"], row["kind"], row["state"]), reverse=True)


def count_by_state(connection: Connection, states: Collection[str]) -> dict[str, int]:
    """How many messages of all months are in each of ``states``; those that none is in are left out."""
    state = OUTBOX.c.state
    query = select(state, func.count().label("messages")).where(state.in_(states)).group_by(state)
    return {row.state: row.messages for row in connection.execute(query)}


PLACE = ("period", "kind", "state", "message_key")
"""What a message is listed by: a page goes on after the place of the last one on the page before."""


def page_messages(
    connection: Connection, cells: Iterable[Mapping[str, Any]], after: Sequence[str] | None, limit: int
) -> list[dict[str, Any]]:
    """At most ``limit`` messages of ``cells``, which are rows of :func:`count_by_month` in its order; no address.

    Those that follow the place ``after``; what comes before it is not read, however much that is. A cell at a time: of
    a state alone a database reads and sorts all messages, for the state's own index has another order.
    """
    names = (*PLACE, "about", "version", "language", "attempts", "reply", "changed_at", "next_attempt_at", "headers")
    box, found = OUTBOX.c, list[dict[str, Any]]()
    *last_cell, last_key = after or ("",)
    for cell in cells:
        of_cell = [cell[name] for name in PLACE[:-1]]
        if len(found) == limit or (after and of_cell > last_cell):
            continue
        query = select(*(box[name] for name in names)).where(*(box[name] == cell[name] for name in PLACE[:-1]))
        if after and of_cell == last_cell:
            query = query.where(box.message_key < last_key)
        query = query.order_by(box.message_key.desc()).limit(limit - len(found))
        found += [dict(row) for row in connection.execute(query).mappings()]
    return found
