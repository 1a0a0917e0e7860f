"""Sends what is planned in the outbox: each message at most once, whatever happens to the sender or the server.

A message is *sending* from before the server is given it until its answer is recorded. So whoever finds one that no
living sender works on knows that nobody knows: it becomes *unknown*, is shown, and only a person plans it again. A
message that the server surely did not take is planned again, later each time. Two senders may work at once: each
message is claimed by one. Time is told by the caller (:class:`Clock`).
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import func, or_, select, update

from include.audit import append_link
from include.carm.errors import DataError, UsageError
from include.database import write_transaction
from include.mail import Sender, compose_mail
from include.mail_server import MailServer, NotConnected, PutOff, Rejected, Unanswered, unreachable
from include.operations_notice_tables import OUTBOX
from include.outbox import find_message, is_suppressed, read_parts
from include.person_records import require_person, require_reason

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.carm.mail_settings import Delivery
    from include.workspace import Workspace

log = logging.getLogger(__name__)

_KEYS_AT_ONCE = 500
_TELL_EVERY = 1_000
_LONGEST_WAIT = timedelta(hours=24)


class Clock(Protocol):
    """What time it is, in UTC with its zone, and a way to wait."""

    def instant(self) -> datetime: ...

    def wait(self, seconds: float) -> None: ...


@dataclass(frozen=True)
class Who:
    """Which sender this is. ``name`` is of this attempt alone; ``is_active`` tells of another one whether it works."""

    name: str
    is_active: Callable[[str], bool]


def deliver(
    ws: Workspace, server: MailServer, sender: Sender, rules: Delivery, *, who: Who, clock: Clock
) -> dict[str, int]:
    """Send the messages that are due, at most ``rules.messages_a_run``.

    Returns ``{"sent", "put_off", "failed", "unknown", "suppressed", "waiting"}``: what came of them in this run, those
    found unknown among them, and how many planned messages are left. Raises ``Unavailable`` where the server cannot be
    reached, ``UsageError`` where it refuses the log-in or the sender, ``DataError`` where it refuses so many recipients
    in a row that the fault is not theirs, or where the text of a message is not the one that was planned.
    """
    counts = Counter(unknown=_find_abandoned(ws, who, clock), suppressed=_suppress(ws))
    run = _Run(ws, server, sender, rules, who, clock, counts)
    with server:
        run.send_all()
    if run.unreadable:
        raise DataError(
            f"{run.unreadable:,} messages were not sent, for their text in the outbox is not the one that was planned; "
            f"the first: {run.first_problem}"
        )
    told = ("sent", "put_off", "failed", "unknown", "suppressed")
    return {name: counts[name] for name in told} | {"waiting": count_waiting(ws)}


def count_waiting(ws: Workspace) -> int:
    """How many messages are planned, due or not."""
    with ws.operations.connect() as connection:
        query = select(func.count()).select_from(OUTBOX).where(OUTBOX.c.state == "planned")
        return int(connection.execute(query).scalar_one())


def _find_abandoned(ws: Workspace, who: Who, clock: Clock) -> int:
    """What a sender that is gone was handing over: nobody knows what came of it."""
    query = select(OUTBOX.c.claimed_by).where(OUTBOX.c.state == "sending").distinct()
    with ws.operations.connect() as connection:
        claimed_by = list(connection.execute(query).scalars())
    gone = [name for name in claimed_by if name == who.name or not who.is_active(name)]
    found = 0
    for name in gone:
        with write_transaction(ws.operations) as connection:
            which = OUTBOX.c.state == "sending", OUTBOX.c.claimed_by == name
            abandoned = update(OUTBOX).where(*which).values(state="unknown", changed_at=_written(clock.instant()))
            found += connection.execute(abandoned).rowcount
    if found:
        log.warning(
            "%s messages were handed over by a sender that is gone: whether they were taken is unknown "
            "(carm outbox list --state unknown)",
            f"{found:,}",
        )
    return found


def _suppress(ws: Workspace) -> int:
    """Who unsubscribed, or cannot be reached any more, since the message was planned."""
    with write_transaction(ws.operations) as connection:
        which = OUTBOX.c.state == "planned", is_suppressed()
        return int(connection.execute(update(OUTBOX).where(*which).values(state="suppressed")).rowcount)


@dataclass
class _Run:
    """One sender at work."""

    ws: Workspace
    server: MailServer
    sender: Sender
    rules: Delivery
    who: Who
    clock: Clock
    counts: Counter[str]
    unreadable: int = 0
    first_problem: str = ""
    failed_connections: int = 0
    refusals: int = 0

    def send_all(self) -> None:
        """Send what is due until nothing is, or the run's measure is full."""
        for message in self._due():
            began = self.clock.instant()
            self._send(message)
            done = self.counts["sent"] + self.counts["failed"] + self.counts["put_off"]
            if done and done % _TELL_EVERY == 0:
                log.info("%s messages handed over, %s of them taken", f"{done:,}", f"{self.counts['sent']:,}")
            spent = (self.clock.instant() - began).total_seconds()
            self.clock.wait(max(0.0, 1 / self.rules.messages_a_second - spent))

    def _due(self) -> Iterator[dict[str, Any]]:
        """The messages that are due, the longest waiting first; each once a run."""
        left, after = self.rules.messages_a_run, ("", "")
        while left:
            due = or_(OUTBOX.c.next_attempt_at.is_(None), OUTBOX.c.next_attempt_at <= _written(self.clock.instant()))
            # By period and key, so that a page begins where the one before ended, whatever became of its messages.
            beyond = or_(OUTBOX.c.period > after[0], (OUTBOX.c.period == after[0]) & (OUTBOX.c.message_key > after[1]))
            query = select(OUTBOX).where(OUTBOX.c.state == "planned", due, beyond)
            query = query.order_by(OUTBOX.c.period, OUTBOX.c.message_key).limit(min(left, _KEYS_AT_ONCE))
            with self.ws.operations.connect() as connection:
                page = [dict(row) for row in connection.execute(query).mappings()]
            if not page:
                return
            yield from page
            left -= len(page)
            after = (page[-1]["period"], page[-1]["message_key"])

    def _send(self, message: Mapping[str, Any]) -> None:
        self._connect()
        try:
            mail = compose_mail(message, read_parts(self.ws, message), self.sender, self.clock.instant())
        except DataError as error:
            self.unreadable += 1
            self.first_problem = self.first_problem or str(error)
            return
        try:
            self.server.address(message["address"])
        except PutOff as error:
            self._put_off(message, error.code, state="planned")
        except Rejected as error:
            self._fail(message, error.code, state="planned")
        else:
            if not self._claim(message, mail):
                self.server.give_up()
                return
            self._hand_over(message, mail)

    def _hand_over(self, message: Mapping[str, Any], mail: bytes) -> None:
        try:
            code = self.server.hand_over(mail)
        except PutOff as error:
            self._put_off(message, error.code, state="sending")
        except Rejected as error:
            self._fail(message, error.code, state="sending")
        except Unanswered:
            self._record(message, "unknown", None)
            log.warning("message %s was handed over and no answer came: unknown", message["message_key"][:12])
        else:
            self._record(message, "sent", code)
            self.refusals = self.failed_connections = 0

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

    def _claim(self, message: Mapping[str, Any], mail: bytes) -> bool:
        """Make the message ours alone; False where another sender has it, or its recipient is not written to now."""
        values = {
            "state": "sending",
            "claimed_by": self.who.name,
            "changed_at": _written(self.clock.instant()),
            "attempts": OUTBOX.c.attempts + 1,
            "mime_sha256": hashlib.sha256(mail).hexdigest(),
        }
        which = OUTBOX.c.message_key == message["message_key"], OUTBOX.c.state == "planned", ~is_suppressed()
        with write_transaction(self.ws.operations) as connection:
            return bool(connection.execute(update(OUTBOX).where(*which).values(**values)).rowcount == 1)

    def _put_off(self, message: Mapping[str, Any], code: int | None, *, state: str) -> None:
        attempts = message["attempts"] + 1
        if code is None:
            self.failed_connections += 1
        if attempts >= self.rules.attempts:
            self._fail(message, code, state=state, counts_as_refusal=False)
        else:
            wait = timedelta(minutes=self.rules.first_retry_minutes) * 2 ** (attempts - 1)
            again = _written(self.clock.instant() + min(wait, _LONGEST_WAIT))
            self._record(
                message, "planned", code, counted="put_off", was=state, attempts=attempts, next_attempt_at=again
            )
        if self.failed_connections >= self.rules.failed_connections:
            broken = NotConnected("the mail server breaks the connection off")
            raise unreachable(broken, count_waiting(self.ws))

    def _fail(
        self, message: Mapping[str, Any], code: int | None, *, state: str, counts_as_refusal: bool = True
    ) -> None:
        self._record(message, "failed", code, was=state, attempts=message["attempts"] + 1)
        self.refusals += counts_as_refusal
        if self.refusals >= self.rules.refusals_in_a_row:
            raise DataError(
                f"the mail server refused {self.refusals} messages in a row for good (the last code is {code}), so the "
                "fault is not in the recipients: ask the server's administrator, then plan them again with carm outbox "
                "resend --state failed"
            )

    def _record(
        self,
        message: Mapping[str, Any],
        state: str,
        code: int | None,
        *,
        counted: str = "",
        was: str = "sending",
        **more: Any,
    ) -> None:
        values = {
            "state": state,
            "reply": None if code is None else str(code),
            "changed_at": _written(self.clock.instant()),
            "claimed_by": self.who.name,
            **more,
        }
        is_ours = OUTBOX.c.claimed_by == self.who.name
        # One who was taken for gone may come back with the answer.
        found_as = OUTBOX.c.state == was if was == "planned" else OUTBOX.c.state.in_((was, "unknown")) & is_ours
        with write_transaction(self.ws.operations) as connection:
            which = OUTBOX.c.message_key == message["message_key"], found_as
            connection.execute(update(OUTBOX).where(*which).values(**values))
        self.counts[counted or state] += 1


def _written(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# What a person decides


def plan_again(ws: Workspace, key: str, *, reason: str, recorded_by: str) -> dict[str, Any]:
    """Plan a message again that failed, or of which nobody knows whether it arrived; a person answers for it.

    Raises ``UsageError`` for a message in another state: what was sent is not sent again.
    """
    return _decide(ws, key, "planned", ("failed", "unknown"), reason, recorded_by)


def take_for_sent(ws: Workspace, key: str, *, reason: str, recorded_by: str) -> dict[str, Any]:
    """Record of a message of unknown fate that it did arrive, as a person found out."""
    return _decide(ws, key, "sent", ("unknown",), reason, recorded_by)


def _decide(
    ws: Workspace, key: str, state: str, allowed: tuple[str, ...], reason: str, recorded_by: str
) -> dict[str, Any]:
    reason, recorded_by = require_reason(reason), require_person(recorded_by)
    with _open_outbox(ws) as connection:
        message = find_message(connection, key)
        if message["state"] not in allowed:
            raise UsageError(
                f"message {message['message_key'][:12]} is {message['state']}: only one that is "
                f"{' or '.join(allowed)} can be decided about"
            )
        values: Mapping[str, Any] = {"state": state, "next_attempt_at": None}
        if state == "planned":
            values = {**values, "attempts": 0}
        connection.execute(update(OUTBOX).where(OUTBOX.c.message_key == message["message_key"]).values(**values))
        facts = {"was": message["state"], "is": state, "reason": reason, "recorded_by": recorded_by}
        append_link(connection, "message", message["message_key"], facts)
    return {"message_key": message["message_key"], "kind": message["kind"], "was": message["state"], "state": state}


@contextmanager
def _open_outbox(ws: Workspace) -> Iterator[Connection]:
    with write_transaction(ws.operations) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"LOCK TABLE {OUTBOX.name} IN SHARE ROW EXCLUSIVE MODE")
        yield connection
