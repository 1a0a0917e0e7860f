"""Sends what is planned in the outbox: each message at most once, whatever happens to the sender or the server.

A few messages at a time are *sending* from before the server is given the first of them until its answers are recorded;
of each is noted when it is about to be handed over. So whoever finds one of a sender that is gone knows what is known:
one that was not yet handed over is planned again, of one that was nobody can tell. That one becomes *unknown*, is
shown, and only a person plans it again. A message that the server surely did not take is planned again by itself,
later each time. Two senders may work at once. Time is told by the caller (:class:`Clock`).
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol, Self

from sqlalchemy import Integer, bindparam, func, or_, select, update

from include.audit import append_link
from include.carm.counts import tell_count
from include.carm.errors import DataError, UsageError
from include.database import plain_errors, write_transaction
from include.mail import Sender, compose_mail, kept_headers
from include.mail_server import MailServer, NotConnected, PutOff, Rejected, Unanswered, unreachable
from include.operations_notice_tables import OUTBOX
from include.outbox import AFTER_THE_NEW, find_message, is_suppressed, list_messages, read_parts
from include.person_records import require_person, require_reason
from include.webinar_tellings import call_off_overtaken, is_out_of_turn

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

    from include.carm.mail_settings import Delivery
    from include.workspace import Workspace

log = logging.getLogger(__name__)

_CLAIMED_AT_ONCE = 20
"""Each claim waits for the disk once."""
_ORDER = ("next_attempt_at", "period", "version", "message_key")
"""What was never tried goes first, and nothing that is tried again keeps it waiting."""
_TELL_EVERY = 1_000
_LONGEST_WAIT = timedelta(hours=24)

# What a sender writes, built once: to build a statement for each message takes longer than to execute it.


def _claim_due() -> Any:
    """Claims the ``most`` messages that are due ``now`` and come first."""
    which = (OUTBOX.c.state == "planned", OUTBOX.c.next_attempt_at <= bindparam("now"))
    next_ones = select(OUTBOX.c.message_key).where(*which, ~is_suppressed(), ~is_out_of_turn())
    in_order = next_ones.order_by(*(OUTBOX.c[name] for name in _ORDER)).limit(bindparam("most", type_=Integer))
    # PostgreSQL: two senders pass each other by. SQLite has one writer.
    # Set apart, for PostgreSQL may ask a query within a condition more than once, and each time get others.
    chosen = in_order.with_for_update(skip_locked=True).cte("chosen")
    return (
        update(OUTBOX)
        .where(OUTBOX.c.message_key.in_(select(chosen.c.message_key)), OUTBOX.c.state == "planned")
        .values(state="sending", claimed_by=bindparam("mark"), mime_sha256=None)
        .returning(OUTBOX)
    )


_CLAIM = _claim_due()
_OURS = update(OUTBOX).where(OUTBOX.c.message_key == bindparam("key"), OUTBOX.c.claimed_by == bindparam("mark"))
_BEGIN = _OURS.where(OUTBOX.c.state == "sending", ~is_suppressed())
_LEAVE = _OURS.where(OUTBOX.c.state == "sending")
# One who was taken for gone may come back with the answer.
_RECORD = _OURS.where(or_(OUTBOX.c.state == "sending", OUTBOX.c.state == "unknown"))


class Clock(Protocol):
    """What time it is, in UTC with its zone, and a way to wait."""

    def instant(self) -> datetime: ...

    def wait(self, seconds: float) -> None: ...


@dataclass(frozen=True)
class Who:
    """Which sender this is. ``name`` is of this attempt alone; ``is_active`` tells of another one whether it works.

    ``boot`` names the machine since it was last started, or is empty where nobody knows: what a sender wrote and did
    not wait for to reach the disk outlives the sender, and not the machine.
    """

    name: str
    is_active: Callable[[str], bool]
    boot: str = ""

    @property
    def mark(self) -> str:
        """What stands in the outbox."""
        return f"{self.name}@{self.boot}"


def deliver(
    ws: Workspace, server: MailServer, sender: Sender, rules: Delivery, *, who: Who, clock: Clock
) -> dict[str, int]:
    """Send the messages that are due, at most ``rules.messages_a_run``.

    Returns ``{"sent", "put_off", "failed", "unknown", "suppressed", "waiting"}``: what came of them in this run, those
    found unknown among them, and how many planned messages are left. Raises ``Unavailable`` where the server cannot be
    reached, ``UsageError`` where it refuses the log-in or the sender, ``DataError`` where it refuses so many recipients
    in a row that the fault is not theirs, or where the text of a message is not the one that was planned.
    """
    counts = Counter(unknown=_settle_abandoned(ws, who, clock), suppressed=_suppress(ws))
    with _Book(ws.operations) as book:
        run = _Run(ws, book, server, sender, rules, who, clock, counts, began=clock.instant())
        with server:
            try:
                run.send_all()
            finally:
                run.release()
    if run.unread:
        raise DataError(
            f"{tell_count(run.unread, 'message')} not sent, for the text in the outbox is not the one that was "
            f"planned; the first: {run.first_problem}"
        )
    told = ("sent", "put_off", "failed", "unknown", "suppressed")
    return {name: counts[name] for name in told} | {"waiting": count_waiting(ws)}


def count_waiting(ws: Workspace) -> int:
    """How many messages are planned, due or not, or claimed and not begun."""
    waits = or_(OUTBOX.c.state == "planned", (OUTBOX.c.state == "sending") & OUTBOX.c.mime_sha256.is_(None))
    with ws.operations.connect() as connection:
        query = select(func.count()).select_from(OUTBOX).where(waits)
        return int(connection.execute(query).scalar_one())


def _settle_abandoned(ws: Workspace, who: Who, clock: Clock) -> int:
    """What senders that are gone had begun: returns how many messages nobody knows the fate of."""
    query = select(OUTBOX.c.claimed_by).where(OUTBOX.c.state == "sending").distinct()
    with ws.operations.connect() as connection:
        marks = list(connection.execute(query).scalars())
    found = 0
    for mark in marks:
        name, _, boot = mark.rpartition("@")
        if name != who.name and who.is_active(name):
            continue
        is_its = (OUTBOX.c.state == "sending") & (OUTBOX.c.claimed_by == mark)
        with write_transaction(ws.operations) as connection:
            if not _shares_our_fate(ws.operations) or (boot and boot == who.boot):
                untouched = update(OUTBOX).where(is_its, OUTBOX.c.mime_sha256.is_(None))
                connection.execute(untouched.values(state="planned"))
            abandoned = update(OUTBOX).where(is_its).values(state="unknown", changed_at=_written(clock.instant()))
            found += connection.execute(abandoned).rowcount
    if found:
        log.warning(
            "%s handed over by a sender that is gone: whether taken is unknown (carm outbox list --state unknown)",
            tell_count(found, "message"),
        )
    return found


def _shares_our_fate(engine: Engine) -> bool:
    """Whether the database forgets what was not awaited only where this machine ends too, which ``Who.boot`` tells.

    PostgreSQL is a machine, or a process, of its own: it may end and forget while the sender goes on. So there the
    note that a mail is handed over is awaited, and who finds none knows that it was not.
    """
    return engine.dialect.name == "sqlite"


def _suppress(ws: Workspace) -> int:
    """Who unsubscribed, or cannot be reached any more, since the message was planned."""
    with write_transaction(ws.operations) as connection:
        call_off_overtaken(connection)
        which = OUTBOX.c.state == "planned", is_suppressed()
        return int(connection.execute(update(OUTBOX).where(*which).values(state="suppressed")).rowcount)


class _Book:
    """The outbox as one sender writes it, over one connection: ending the last one costs SQLite a clean-up."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._level = ""

    def __enter__(self) -> Self:
        self._connection = self._engine.connect()
        if self._engine.dialect.name == "sqlite":
            self._connection = self._connection.execution_options(begin="BEGIN IMMEDIATE")
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self, *, is_awaited: bool) -> Iterator[Connection]:
        """A transaction that is on the disk when it ends, or, not ``is_awaited``, soon, whatever becomes of us."""
        with plain_errors(self._engine):
            if self._engine.dialect.name == "sqlite":
                self._set_level("FULL" if is_awaited else "NORMAL")
            with self._connection.begin():
                if self._engine.dialect.name == "postgresql" and not is_awaited:
                    self._connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
                yield self._connection

    def _set_level(self, level: str) -> None:
        if level != self._level:
            driver = self._connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.execute(f"PRAGMA synchronous = {level}")
            self._level = level


@dataclass
class _Run:
    """One sender at work."""

    ws: Workspace
    book: _Book
    server: MailServer
    sender: Sender
    rules: Delivery
    who: Who
    clock: Clock
    counts: Counter[str]
    began: datetime
    unread: int = 0
    first_problem: str = ""
    failed_connections: int = 0
    refusals: int = 0
    times_put_off: int = 0

    def send_all(self) -> None:
        """Send what is due until nothing is, or the run's measure is full."""
        left = self.rules.messages_a_run
        pause = 1 / self.rules.messages_a_second
        while left and (claimed := self._claim(min(left, _CLAIMED_AT_ONCE))):
            for message in claimed:
                began = self.clock.instant()
                if not self._send(message):
                    continue
                left -= 1
                spent = (self.clock.instant() - began).total_seconds()
                # A clock may be set back meanwhile.
                self.clock.wait(min(pause, max(0.0, pause - spent)))

    def release(self) -> None:
        """Give back what was claimed and not begun."""
        which = OUTBOX.c.state == "sending", OUTBOX.c.claimed_by == self.who.mark, OUTBOX.c.mime_sha256.is_(None)
        with self.book.transaction(is_awaited=True) as connection:
            connection.execute(update(OUTBOX).where(*which).values(state="planned"))

    def _claim(self, most: int) -> list[dict[str, Any]]:
        """Make the next due messages ours alone; this is on the disk before the server is given any of them."""
        asked = {"now": _written(self.clock.instant()), "most": most, "mark": self.who.mark}
        with self.book.transaction(is_awaited=True) as connection:
            claimed = [dict(row) for row in connection.execute(_CLAIM, asked).mappings()]
        return sorted(claimed, key=itemgetter(*_ORDER))

    def _send(self, message: Mapping[str, Any]) -> bool:
        """Returns whether the server was asked."""
        self._connect()
        sent_at = self.clock.instant()
        try:
            mail = compose_mail(message, read_parts(self.ws, message), self.sender, sent_at)
        except DataError as error:
            self.unread += 1
            self.first_problem = self.first_problem or str(error)
            again = _written(self.clock.instant() + timedelta(minutes=self.rules.first_retry_minutes))
            self._record(message, "planned", None, counted="unreadable", next_attempt_at=again)
            return False
        try:
            self.server.address(message["address"])
            if not self._begin(message, mail, kept_headers(message, self.sender, sent_at)):
                self.server.give_up()
                self._leave(message)
                return True
            code = self.server.hand_over(mail)
        except PutOff as error:
            self._put_off(message, error)
        except Rejected as error:
            self._fail(message, error.code)
        except Unanswered:
            self._record(message, "unknown", None, attempts=message["attempts"] + 1)
            log.warning("message %s was handed over and no answer came: unknown", message["message_key"][:12])
            self._count_failed_connection("the mail server takes mails and does not answer")
        else:
            self._record(message, "sent", code, attempts=message["attempts"] + 1)
            self.refusals = self.failed_connections = self.times_put_off = 0
            if self.counts["sent"] % _TELL_EVERY == 0:
                log.info("%s messages sent", f"{self.counts['sent']:,}")
        return True

    def _connect(self) -> None:
        while True:
            try:
                self.server.connect()
                return
            except NotConnected as error:
                self.failed_connections += 1
                if self.failed_connections >= self.rules.failed_connections:
                    raise unreachable(error, count_waiting(self.ws)) from error
                self.clock.wait(self.failed_connections)

    # What became of a message

    def _begin(self, message: Mapping[str, Any], mail: bytes, headers: str) -> bool:
        """Note that the server is about to be given the message; False where that may not be any more."""
        values = {"mime_sha256": hashlib.sha256(mail).hexdigest(), "changed_at": _written(self.clock.instant())}
        values["headers"] = headers
        return self._write(_BEGIN, message, values, is_awaited=not _shares_our_fate(self.ws.operations))

    def _leave(self, message: Mapping[str, Any]) -> None:
        """Its recipient left after it was claimed; or this sender was taken for gone, and another has it."""
        if self._write(_LEAVE, message, {"state": "suppressed"}):
            self.counts["suppressed"] += 1
        else:
            log.warning("message %s was taken over by another sender: left to it", message["message_key"][:12])

    def _put_off(self, message: Mapping[str, Any], refusal: PutOff) -> None:
        attempts = message["attempts"] + 1
        if attempts >= self.rules.attempts:
            self._record(message, "failed", refusal.code, attempts=attempts)
        else:
            wait = timedelta(minutes=self.rules.first_retry_minutes) * 2 ** (attempts - 1)
            again = _written(self.clock.instant() + min(wait, _LONGEST_WAIT))
            self._record(message, "planned", refusal.code, counted="put_off", attempts=attempts, next_attempt_at=again)
        if refusal.is_of_server:
            self._count_failed_connection("the mail server breaks the connection off")
        self.times_put_off += 1
        if self.times_put_off >= self.rules.refusals_in_a_row:
            busy = NotConnected(f"the mail server puts all messages off (the last code is {refusal.code})")
            raise unreachable(busy, count_waiting(self.ws))

    def _count_failed_connection(self, what: str) -> None:
        self.failed_connections += 1
        if self.failed_connections >= self.rules.failed_connections:
            raise unreachable(NotConnected(what), count_waiting(self.ws))

    def _fail(self, message: Mapping[str, Any], code: int | None) -> None:
        self._record(message, "failed", code, attempts=message["attempts"] + 1)
        self.times_put_off = 0
        self.refusals += 1
        if self.refusals >= self.rules.refusals_in_a_row:
            raise DataError(
                f"the mail server refused {self.refusals} messages in a row for good (the last code is {code}), so the "
                "fault is not in the recipients: ask the server's administrator, then plan them again with carm outbox "
                f"resend --all-failed --since {_written(self.began)}"
            )

    def _record(
        self, message: Mapping[str, Any], state: str, code: int | None, *, counted: str = "", **more: Any
    ) -> None:
        reply = None if code is None else str(code)
        values = {"state": state, "reply": reply, "changed_at": _written(self.clock.instant()), **more}
        self._write(_RECORD, message, values)
        self.counts[counted or state] += 1

    def _write(
        self, change: Any, message: Mapping[str, Any], values: Mapping[str, Any], *, is_awaited: bool = False
    ) -> bool:
        """Returns whether the message was still ours to write."""
        given = {"key": message["message_key"], "mark": self.who.mark, **values}
        with self.book.transaction(is_awaited=is_awaited) as connection:
            return connection.execute(change, given).rowcount == 1


def _written(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# What a person decides

_MAY_HAVE_ARRIVED = ("unknown", "planned")


def plan_again(ws: Workspace, key: str, *, reason: str, recorded_by: str) -> dict[str, Any]:
    """Plan a message again that failed, or of which nobody knows whether it arrived; a person answers for it.

    One that was suppressed too, once its recipient is written to again. Raises ``UsageError`` for a message in another
    state: what was sent is not sent again, and what was called off is not true any more.
    """
    return _decide_about(ws, key, "planned", ("failed", "unknown", "suppressed"), reason, recorded_by)


def plan_failed_again(
    ws: Workspace, *, reason: str, recorded_by: str, period: str | None = None, since: datetime | None = None
) -> list[dict[str, Any]]:
    """Plan all messages again that failed, of a month or since a moment; all of them or, where that fails, none."""
    reason, recorded_by = require_reason(reason), require_person(recorded_by)
    with _open_outbox(ws) as connection:
        failed = list_messages(connection, "failed", period, None, None if since is None else _written(since))
        return [_decide(connection, message, "failed", "planned", reason, recorded_by) for message in failed]


def take_for_sent(ws: Workspace, key: str, *, reason: str, recorded_by: str) -> dict[str, Any]:
    """Record of a message that it did arrive, as a person found out: one of unknown fate, or one that is planned.

    A planned one was sent where the database is an older one that was put back.
    """
    return _decide_about(ws, key, "sent", _MAY_HAVE_ARRIVED, reason, recorded_by)


def take_all_for_sent(ws: Workspace, keys: Iterable[str], *, reason: str, recorded_by: str) -> list[dict[str, Any]]:
    """The same of many; those that are sent already stay as they are. All of them or, where one is no message, none."""
    reason, recorded_by = require_reason(reason), require_person(recorded_by)
    decided = []
    with _open_outbox(ws) as connection:
        for key in dict.fromkeys(keys):
            message = find_message(connection, key)
            if message["state"] != "sent":
                _require_state(message, _MAY_HAVE_ARRIVED)
                decided.append(_decide(connection, message, message["state"], "sent", reason, recorded_by))
    return decided


def _decide_about(
    ws: Workspace, key: str, state: str, allowed: tuple[str, ...], reason: str, recorded_by: str
) -> dict[str, Any]:
    reason, recorded_by = require_reason(reason), require_person(recorded_by)
    with _open_outbox(ws) as connection:
        message = find_message(connection, key)
        _require_state(message, allowed)
        if state == "planned":
            _require_writable(connection, message)
        return _decide(connection, message, message["state"], state, reason, recorded_by)


def _require_writable(connection: Connection, message: Mapping[str, Any]) -> None:
    which = OUTBOX.c.message_key == message["message_key"], is_suppressed()
    if connection.execute(select(OUTBOX.c.message_key).where(*which)).first():
        raise UsageError(
            f"message {message['message_key'][:12]} goes to an address that is not written to: where that is not right "
            "any more, first let it get messages again with carm list lift ADDRESS"
        )


def _require_state(message: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    if message["state"] not in allowed:
        others = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
        raise UsageError(
            f"message {message['message_key'][:12]} is {message['state']}: only one that is {others} can be "
            "decided about"
        )


def _decide(
    connection: Connection, message: Mapping[str, Any], was: str, state: str, reason: str, recorded_by: str
) -> dict[str, Any]:
    values: Mapping[str, Any] = {"state": state}
    if state == "planned":
        values = {**values, "attempts": 0, "next_attempt_at": AFTER_THE_NEW}
    connection.execute(update(OUTBOX).where(OUTBOX.c.message_key == message["message_key"]).values(**values))
    facts = {"was": was, "is": state, "reason": reason, "recorded_by": recorded_by}
    append_link(connection, "message", message["message_key"], facts)
    return {"message_key": message["message_key"], "kind": message["kind"], "was": was, "state": state}


@contextmanager
def _open_outbox(ws: Workspace) -> Iterator[Connection]:
    with write_transaction(ws.operations) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"LOCK TABLE {OUTBOX.name} IN SHARE ROW EXCLUSIVE MODE")
        yield connection
