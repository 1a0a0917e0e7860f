"""The notices of a statement month: who is told what, in which language, rendered and packed. Nothing is sent here.

Two Dags write here and never over each other: the month's own run publishes the dataset ``notices`` (statement,
closure, conversion), the webinar run the dataset ``webinar_notices`` (webinar); both have the same columns, and each
replaces only the packs of its own kinds in ``documents/notices/period=P/``.

An address is read, checked and turned into a keyed hash; it stands in no dataset, document, result or error.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime
from functools import cache
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import pyarrow as pa

from include import engine
from include.carm.contacts import Contacts
from include.carm.errors import DataError, Unavailable, UsageError
from include.carm.period import Period
from include.notice_page import (
    EASTERN,
    MULTI_FACTOR_SINCE,
    UTC,
    ClosureNotice,
    ConversionNotice,
    Message,
    Notice,
    NoticePages,
    Session,
    StatementNotice,
    WebinarNotice,
    one_line,
    safe_link,
)

if TYPE_CHECKING:
    import duckdb

    from include.carm.calendar import Calendar
    from include.workspace import Workspace

ACCOUNT_KINDS = ("statement", "closure", "conversion")
WEBINAR_KINDS = ("webinar",)

NOTICES = pa.schema(
    [
        ("message_key", pa.string()),
        ("kind", pa.string()),
        ("recipient_key", pa.string()),
        ("language", pa.string()),
        ("subject", pa.string()),
        ("body_sha256", pa.string()),
    ]
)
"""Columns of ``notices`` and ``webinar_notices``. ``body_sha256`` is taken over the text followed by the HTML."""

ACCOUNT_CHANGES = pa.schema(
    [
        ("bn15", pa.string()),
        ("action", pa.string()),
        ("program_type", pa.string()),
        ("new_program_type", pa.string()),
    ]
)
"""The changes that a live run applied, as :func:`publish_notices` wants them; ``action`` is close or convert."""

MESSAGES_PER_PACK = 5_000
LEAST_KEY_BYTES = 16
# The time of every entry of a pack: the earliest that the format can hold, so that bytes repeat.
_ENTRY_TIME = (1980, 1, 1, 0, 0, 0)
# One @ between two parts without spaces, control characters or what would start another address in a header.
_ADDRESS = re.compile(r"[^\s\x00-\x1f\x7f@,;:<>()\[\]\"\\]{1,64}@[^\s\x00-\x1f\x7f@,;:<>()\[\]\"\\]{3,253}")
_LONGEST_ADDRESS = 254


def address_problem(address: str | None) -> str | None:
    """Why nothing can be sent to ``address``: ``no_address``, ``unusable_address``, or None where it can."""
    if address is None or not address.strip():
        return "no_address"
    host = address.rpartition("@")[2]
    usable = (
        _ADDRESS.fullmatch(address)
        and len(address) <= _LONGEST_ADDRESS
        and "." in host
        and not host.startswith((".", "-"))
        and not host.endswith((".", "-"))
        and ".." not in address
    )
    return None if usable else "unusable_address"


def recipient_key(address: str, hash_key: bytes) -> str:
    """HMAC-SHA256 of an address in lower case, as 64 hex digits: the same person, not readable without the key."""
    return hmac.digest(hash_key, address.lower().encode(), "sha256").hex()


def message_key(kind: str, recipient: str, subject_of_notice: str, version: int) -> str:
    """The business key of a message, 32 hex digits: never the same for two messages, always the same for one.

    ``subject_of_notice`` is what the notice is about (an account and its statement, its closure, a month of webinars).
    """
    return hashlib.sha256(f"{kind}|{recipient}|{subject_of_notice}|{version}".encode()).hexdigest()[:32]


def publish_notices(
    ws: Workspace,
    month: Mapping[str, str],
    *,
    recipient_hash_key: bytes | str,
    account_changes: pa.Table | None = None,
) -> dict[str, Any]:
    """Render the statement, closure and conversion notices of the month and publish the dataset ``notices``.

    ``account_changes`` (see ``ACCOUNT_CHANGES``) is what a live run really applied; a shadow run takes what would be
    applied from ``account_decisions`` and needs none. Accounts that cannot be reached are counted by reason, and listed
    without any address in ``unreachable.csv`` beside the packs.

    Returns counts: ``{"notices": n, "by_kind": {kind: {language: n}}, "unreachable": {kind: {reason: n}}, "packs": n,
    "sha256": hash of the dataset}``. Raises ``DataError`` when a dataset that it reads was never sealed, ``UsageError``
    for a hash key that is too short, ``ValueError`` when a live run names no changes.
    """
    period, lake = Period.parse(month["period"]), ws.lake(month["area"])
    is_live = month["effects"] == "live"
    if is_live and account_changes is None:
        raise ValueError("a live run tells what was applied: pass account_changes (an empty table where nothing was)")
    hash_key = _checked_key(recipient_hash_key)
    relations: dict[str, engine.Relation] = {
        "accounts": [lake.file("accounts", period)],
        "statements": [lake.file("statements", period)],
        "account_decisions": [lake.file("account_decisions", period)],
        "account_changes": ACCOUNT_CHANGES.empty_table() if account_changes is None else account_changes,
    }
    contacts = Contacts.load()
    pages, outcome = NoticePages(contacts), _Outcome(ws, month, "notices", ACCOUNT_KINDS)
    with ws.spill_folder() as spill, closing(engine.connect(spill_folder=spill)) as con:
        for row in _rows(engine.run(con, "derive_account_notices", relations, {"is_live": is_live})):
            problem = address_problem(row["address"])
            if problem:
                outcome.count_unreachable(row["kind"], problem, row["bn15"])
                continue
            notice, about = _account_notice(row, period, ws.calendar, contacts)
            recipient = recipient_key(row["address"], hash_key)
            key = message_key(row["kind"], recipient, about, row["version"])
            outcome.add(row["kind"], key, recipient, row["language"], pages.render(notice, row["language"]))
    return outcome.publish(lists_unreachable=True)


def publish_webinar_notices(
    ws: Workspace, month: Mapping[str, str], *, recipient_hash_key: bytes | str
) -> dict[str, Any]:
    """Render the registration notices of the month and publish the dataset ``webinar_notices``.

    They offer the sessions of the calendar month after ``month["period"]``, by the clock of Toronto, that are in the
    subscriber's language or in both, to everybody who is on the distribution list on the period's day of issue. Who has
    no session to be offered gets no message.

    Returns what :func:`publish_notices` returns, and ``"sessions": {"offered": n, "cancelled": n, "unreadable": n}``
    and ``"without_session": n``. Raises ``DataError`` when ``subscribers`` or ``webinars`` of the period was never
    sealed, ``UsageError`` for a hash key that is too short.
    """
    period, lake = Period.parse(month["period"]), ws.lake(month["area"])
    issued_on, coming = ws.calendar.issued_on(period), period.next()
    hash_key = _checked_key(recipient_hash_key)
    relations: dict[str, engine.Relation] = {
        "webinars": [lake.file("webinars", period)],
        "subscribers": [lake.file("subscribers", period)],
    }
    pages, outcome = NoticePages(Contacts.load()), _Outcome(ws, month, "webinar_notices", WEBINAR_KINDS)
    without_session = 0
    with ws.spill_folder() as spill, closing(engine.connect(spill_folder=spill)) as con:
        sessions, states = _read_sessions(con, relations, coming)

        # People who joined the list on the same day and read the same language get the same page.
        @cache
        def page_for(language: str, subscribed_on: date) -> Message | None:
            wanted = sessions_for(language, sessions)
            if not wanted:
                return None
            first_day = date(coming.year, coming.month, 1)
            asks_for_multi_factor = issued_on >= MULTI_FACTOR_SINCE
            return pages.render(
                WebinarNotice(issued_on, first_day, wanted, subscribed_on, asks_for_multi_factor), language
            )

        for row in _rows(engine.run(con, "derive_webinar_notice_recipients", relations, {"issued_on": issued_on})):
            problem = address_problem(row["address"])
            message = None if problem else page_for(row["language"], row["subscribed_on"])
            if problem:
                outcome.count_unreachable("webinar", problem)
            elif message is None:
                without_session += 1
            else:
                recipient = recipient_key(row["address"], hash_key)
                outcome.add(
                    "webinar",
                    message_key("webinar", recipient, f"webinars/{coming}", 1),
                    recipient,
                    row["language"],
                    message,
                )
    return {**outcome.publish(), "sessions": states, "without_session": without_session}


def sessions_for(language: str, sessions: Sequence[Session]) -> tuple[Session, ...]:
    """The sessions to offer to a reader of ``language``: one who reads both is offered all."""
    return tuple(
        session for session in sessions if session.language == language or "both" in (language, session.language)
    )


def calendar_month(month: Period) -> tuple[datetime, datetime]:
    """The first instant of a calendar month in Toronto and the first after it: half-open bounds, in UTC."""
    following = month.next()
    first = datetime(month.year, month.month, 1, tzinfo=EASTERN)
    return first.astimezone(UTC), datetime(following.year, following.month, 1, tzinfo=EASTERN).astimezone(UTC)


def _checked_key(hash_key: bytes | str) -> bytes:
    key = hash_key.encode() if isinstance(hash_key, str) else hash_key
    if len(key) < LEAST_KEY_BYTES:
        raise UsageError(
            f"the key that hashes recipients has {len(key)} bytes: give one of at least {LEAST_KEY_BYTES}, "
            "made by chance and kept for ever"
        )
    return key


def _rows(reader: pa.RecordBatchReader) -> Iterator[dict[str, Any]]:
    # Rows as dictionaries take a hundred times the room of the batch they come from, so few at a time.
    for batch in reader:
        for start in range(0, batch.num_rows, 4_096):
            yield from batch.slice(start, 4_096).to_pylist()


def _account_notice(
    row: Mapping[str, Any], period: Period, calendar: Calendar, contacts: Contacts
) -> tuple[Notice, str]:
    """The notice of one row of ``derive_account_notices``, and what it is about (for the message key)."""
    bn15, legal_name = row["bn15"], one_line(row["legal_name"])
    if row["kind"] == "statement":
        statement = StatementNotice(
            bn15,
            legal_name,
            issued_on=row["issued_on"],
            period_start=row["period_start"],
            period_end=row["period_end"],
            due_on=row["due_on"],
            version=row["version"],
        )
        return statement, f"{bn15}/{period}"
    issued_on, effective_on, years = calendar.issued_on(period), calendar.effective_on(period), calendar.dormancy_years
    if row["kind"] == "closure":
        closure = ClosureNotice(
            bn15,
            legal_name,
            issued_on=issued_on,
            effective_on=effective_on,
            cutoff_on=calendar.cutoff(period),
            as_of=calendar.as_of(period),
            years=years,
            reinstatement=contacts.reinstatement_on(issued_on),
        )
        return closure, f"{bn15}/{effective_on}"
    old, new = row["program_type"], row["new_program_type"]
    return ConversionNotice(bn15, legal_name, issued_on, effective_on, years, old, new), f"{bn15}/{effective_on}/{new}"


def _read_sessions(
    con: duckdb.DuckDBPyConnection, relations: Mapping[str, engine.Relation], month: Period
) -> tuple[tuple[Session, ...], dict[str, int]]:
    """The sessions to offer in a calendar month, the earliest first, and how many there are of each state."""
    starts_at, ends_at = calendar_month(month)
    bounds = {"month_starts_at": starts_at, "month_ends_at": ends_at}
    rows = engine.run_table(con, "derive_webinar_notice_sessions", relations, bounds).to_pylist()
    sessions = tuple(
        Session(
            one_line(row["title_en"]),
            one_line(row["title_fr"]),
            row["language"],
            row["starts_at"],
            row["duration_minutes"],
            safe_link(row["join_url"]),
        )
        for row in rows
        if row["state"] == "offered"
    )
    counted = Counter(row["state"] for row in rows)
    return sessions, {state: counted[state] for state in ("offered", "cancelled", "unreadable")}


class _Outcome:
    """Gathers the messages of one step: packs in a staging folder, rows of the dataset, counts.

    Nothing of it is visible before :meth:`publish`, which moves the packs into place one by one and seals the dataset
    last; a run that ends before that leaves the old seal, and the next run completes it.
    """

    def __init__(self, ws: Workspace, month: Mapping[str, str], dataset: str, kinds: Sequence[str]) -> None:
        self.ws, self.month, self.dataset = ws, month, dataset
        self.staging = ws.staging(month["run_id"], dataset)
        self.folder = ws.documents(month["area"]) / "notices" / f"period={month['period']}"
        self.columns: dict[str, list[str]] = {name: [] for name in NOTICES.names}
        self.by_kind: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
        self.unreachable: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
        self.unreachable_rows: list[tuple[str, str, str]] = []
        self.pack: ZipFile | None = None
        with self._plain_disk_errors():
            rmtree(self.staging, ignore_errors=True)
            self.staging.mkdir(parents=True)

    def count_unreachable(self, kind: str, reason: str, bn15: str = "") -> None:
        """``bn15`` is empty where there is nothing to name but the address itself."""
        self.unreachable[kind][reason] += 1
        self.unreachable_rows.append((kind, bn15, reason))

    def add(self, kind: str, key: str, recipient: str, language: str, message: Message) -> None:
        """Take one message. Those of a kind come together, so that one pack is open at a time."""
        number, place = divmod(self.by_kind[kind].total(), MESSAGES_PER_PACK)
        with self._plain_disk_errors():
            if place == 0:
                self._close_pack()
                self.pack = ZipFile(_open_private(self.staging / f"{kind}-{number + 1:04d}.zip"), "w", ZIP_STORED)
            for part, content in (("txt", message.text), ("html", message.html)):
                entry = ZipInfo(f"{key}.{part}", _ENTRY_TIME)
                # What Unix writes, whatever system this runs on: a file for its owner alone.
                entry.create_system, entry.external_attr = 3, 0o600 << 16
                cast("ZipFile", self.pack).writestr(entry, content)
        self.by_kind[kind][language] += 1
        digest = hashlib.sha256(message.text + message.html).hexdigest()
        row = (key, kind, recipient, language, message.subject, digest)
        for column, value in zip(self.columns.values(), row, strict=True):
            column.append(value)

    def publish(self, *, lists_unreachable: bool = False) -> dict[str, Any]:
        """Replace the packs of these kinds and the dataset; returns the counts.

        Raises ``DataError`` where two messages have one key: one of them would never be sent.
        """
        period, keys = self.month["period"], self.columns["message_key"]
        if len(set(keys)) < len(keys):
            raise DataError(
                f"{len(keys) - len(set(keys))} notices of {period} have the key of another: "
                "look for an account or a statement that stands twice in the month's datasets"
            )
        with self._plain_disk_errors():
            self._close_pack()
            packs = {path.name for path in self.staging.iterdir()}
            if lists_unreachable:
                self._write_unreachable()
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(self.staging.iterdir()):
                path.replace(self.folder / path.name)
            # A run before this one may have had more messages, and so more packs.
            for kind in self.by_kind:
                for path in self.folder.glob(f"{kind}-*.zip"):
                    if path.name not in packs:
                        path.unlink()
            rmtree(self.staging)
        seal = self.ws.lake(self.month["area"]).publish_and_seal(
            self.dataset, period, pa.table(self.columns, NOTICES), run_id=self.month["run_id"]
        )
        return {
            "notices": len(keys),
            "by_kind": {kind: dict(sorted(counts.items())) for kind, counts in self.by_kind.items()},
            "unreachable": {kind: dict(sorted(counts.items())) for kind, counts in self.unreachable.items()},
            "packs": len(packs),
            "sha256": seal.sha256,
        }

    def _close_pack(self) -> None:
        if self.pack is not None:
            file = cast("BinaryIO", self.pack.fp)
            self.pack.close()
            file.flush()
            os.fsync(file.fileno())
            file.close()
            self.pack = None

    def _write_unreachable(self) -> None:
        with io.TextIOWrapper(_open_private(self.staging / "unreachable.csv"), "utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("kind", "bn15", "reason"))
            rows.writerows(self.unreachable_rows)

    @contextmanager
    def _plain_disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(
                f"cannot write the notices of {self.month['period']} ({error.strerror or error}): "
                "make room in the data folder, or make it writable, and run the month again"
            ) from error


def _open_private(path: Path) -> BinaryIO:
    """A new file that its owner alone can read."""
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")
