"""The notices of a statement month: who is told what, in which language, rendered and packed. Nothing is sent here.

Several Dags write here and never over each other: the month's own run publishes the dataset ``notices`` (statement,
closure, conversion), the webinar run the dataset ``webinar_notices`` (webinar), the newsletter's run the dataset
``quarterly_notices`` (``include.quarterly``), an act about an issued statement the dataset ``reissue_notices``
(``include.statement_act_notices``). They have the same columns, and each replaces only its own packs in
``documents/notices/period=P/``.

An address is read from the source, checked and turned into a keyed hash; it stands in no dataset, document, result or
error. Only who passed validation is written to: addresses join to the accounts of the lake, and the entries of the
distribution list that are in quarantine are left out.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime
from functools import cache
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include import engine
from include.addresses import account_addresses
from include.apply import applied_changes
from include.carm.contacts import Contacts
from include.carm.errors import DataError, Unavailable, UsageError
from include.carm.period import Period
from include.database import write_transaction
from include.distribution_list import lift_returned, list_relations
from include.documents import read_documents, write_pack
from include.notice_intents import Told, about_statement, settle
from include.notice_page import (
    EASTERN,
    LANGUAGES,
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
from include.outbox import Parts, keep_pack, plan_messages
from include.statement_registry import tell_notices

if TYPE_CHECKING:
    import duckdb

    from include.carm.calendar import Calendar
    from include.workspace import Workspace

Row = Mapping[str, Any]

ACCOUNT_KINDS = ("statement", "closure", "conversion")
WEBINAR_KINDS = ("webinar",)

PACKS_OF = {
    "notices": ACCOUNT_KINDS,
    "webinar_notices": WEBINAR_KINDS,
    "reissue_notices": ("reissue",),
    "quarterly_notices": ("quarterly",),
}
"""Under which names the packs of each dataset begin: its kinds, but for the notices of acts."""

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
"""Columns of every dataset of notices. ``body_sha256`` is taken over the text followed by the HTML."""

ACCOUNT_CHANGES = pa.schema(
    [
        ("bn15", pa.string()),
        ("action", pa.string()),
        ("program_type", pa.string()),
        ("new_program_type", pa.string()),
        ("effective_on", pa.date32()),
    ]
)
"""The changes that a live run applied, as :func:`include.apply.applied_changes` gives them."""

MESSAGES_PER_PACK = 5_000
LEAST_KEY_BYTES = 16
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

    A live run tells what was really applied: ``account_changes`` (see ``ACCOUNT_CHANGES``), by default what the journal
    says. A shadow run tells what would be, from ``account_decisions``. Accounts that cannot be reached are counted by
    reason, and listed without any address in ``unreachable.csv`` beside the packs.

    Returns counts: ``{"notices": n, "by_kind": {kind: {language: n}}, "unreachable": {kind: {reason: n}}, "packs": n,
    "sha256": hash of the dataset}``. Raises ``DataError`` when a dataset that it reads was never sealed, ``UsageError``
    for a hash key that is too short.
    """
    period, lake = Period.parse(month["period"]), ws.lake(month["area"])
    is_live = month["effects"] == "live"
    hash_key = checked_key(recipient_hash_key)
    if account_changes is None:
        account_changes = applied_changes(ws, period) if is_live else ACCOUNT_CHANGES.empty_table()
    relations: dict[str, engine.Relation] = {
        "accounts": [lake.file("accounts", period)],
        "statements": [lake.file("statements", period)],
        "account_decisions": [lake.file("account_decisions", period)],
        "account_changes": account_changes,
        "account_addresses": account_addresses(ws, period),
    }
    with ws.spill_folder() as spill, closing(engine.connect(spill_folder=spill)) as con:
        parameters = {"is_live": is_live, "effective_on": ws.calendar.effective_on(period)}
        recipients = engine.run_table(con, "derive_account_notices", relations, parameters)

    subjects = {
        "statement": lambda row: about_statement(row["bn15"], period),
        "closure": lambda row: f"{row['bn15']}/{row['effective_on']}",
        "conversion": lambda row: f"{row['bn15']}/{row['effective_on']}/{row['new_program_type']}",
    }
    reachable, unreachable = sort_out(recipients, hash_key, lambda row: subjects[row["kind"]](row))
    contacts = Contacts.load()
    pages = NoticePages(contacts)

    def render(row: Row) -> Message:
        return pages.render(_account_notice(row, period, ws.calendar, contacts), row["language"])

    packs = {kind: kind for kind in ACCOUNT_KINDS}
    return publish_messages(ws, month, "notices", packs, reachable, unreachable, render, lists_unreachable=True)


def publish_webinar_notices(
    ws: Workspace, month: Mapping[str, str], *, recipient_hash_key: bytes | str
) -> dict[str, Any]:
    """Render the registration notices of the month and publish the dataset ``webinar_notices``.

    They offer the sessions of the calendar month after ``month["period"]``, by the clock of Toronto, that are in the
    subscriber's language or in both, to everybody who is on the distribution list on the period's day of issue. Who has
    no session to be offered gets no message.

    Returns what :func:`publish_notices` returns, and ``"sessions": {"offered": n, "cancelled": n, "unreadable": n}``
    and ``"without_session": n``. Raises ``DataError`` when ``quarantine`` or ``webinars`` of the period was never
    sealed, ``UsageError`` for a hash key that is too short.
    """
    period, lake = Period.parse(month["period"]), ws.lake(month["area"])
    issued_on, coming = ws.calendar.issued_on(period), period.next()
    hash_key = checked_key(recipient_hash_key)
    relations: dict[str, engine.Relation] = {
        "webinars": [lake.file("webinars", period)],
        "quarantine": [lake.file("quarantine", period)],
        **list_relations(ws, hash_key),
    }
    with ws.spill_folder() as spill, closing(engine.connect(spill_folder=spill)) as con:
        sessions, states = read_sessions(con, relations, coming)
        engine.create_table(con, "distribution_list", "derive_distribution_list", relations, {"issued_on": issued_on})
        people = engine.run_table(con, "derive_webinar_notice_recipients")

    reachable, unreachable = sort_out(people, hash_key, lambda _row: f"webinars/{coming}")
    if month["effects"] == "live":
        lift_returned(ws, reachable)
    offered = {language: sessions_for(language, sessions) for language in LANGUAGES}
    invited = reachable.filter(
        pa.array([bool(offered[language.as_py()]) for language in reachable["language"]], pa.bool_())
    )
    pages = NoticePages(Contacts.load())

    # People who joined the list on the same day and read the same language get the same page.
    @cache
    def page_for(language: str, subscribed_on: date) -> Message:
        first_day = date(coming.year, coming.month, 1)
        asks_for_multi_factor = issued_on >= MULTI_FACTOR_SINCE
        notice = WebinarNotice(issued_on, first_day, offered[language], subscribed_on, asks_for_multi_factor)
        return pages.render(notice, language)

    def render(row: Row) -> Message:
        return page_for(row["language"], row["subscribed_on"])

    packs = {kind: kind for kind in WEBINAR_KINDS}
    outcome = publish_messages(ws, month, "webinar_notices", packs, invited, unreachable, render)
    return {**outcome, "sessions": states, "without_session": reachable.num_rows - invited.num_rows}


def count_true_notices(ws: Workspace, area: str, up_to: Period | None = None) -> int:
    """Hash every notice of the area's months anew; returns how many there are.

    Raises ``DataError`` naming the first pack whose notices are not those that the datasets list.
    """
    notices = 0
    lake = ws.lake(area)
    for dataset, packs in PACKS_OF.items():
        for period in lake.own_periods(dataset, up_to):
            rows = pq.read_table(lake.file(dataset, period), columns=["message_key", "body_sha256"])
            told = dict(zip(*(column.to_pylist() for column in rows.columns), strict=True))
            folder = ws.documents(area) / "notices" / f"period={period}"
            for pack in sorted(path for name in packs for path in folder.glob(f"{name}-*.zip")):
                documents = dict(read_documents(pack))
                for key in sorted({name.partition(".")[0] for name in documents}):
                    body = documents.get(f"{key}.txt", b"") + documents.get(f"{key}.html", b"")
                    if hashlib.sha256(body).hexdigest() != told.pop(key, None):
                        raise DataError(f"{pack} has a notice that is not the one that was rendered: {_PUT_BACK}")
                    notices += 1
            if told:
                raise DataError(
                    f"{len(told):,} of the {dataset} of {period} are in no pack below {folder}: {_PUT_BACK}"
                )
    return notices


_PUT_BACK = "restore the documents from a backup, or run the month again if it is not issued"


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


def checked_key(hash_key: bytes | str) -> bytes:
    """The key that hashes recipients; raises ``UsageError`` for one that is too short."""
    key = hash_key.encode() if isinstance(hash_key, str) else hash_key
    if len(key) < LEAST_KEY_BYTES:
        raise UsageError(
            f"the key that hashes recipients has {len(key)} bytes: give one of at least {LEAST_KEY_BYTES}, "
            "made by chance and kept for ever"
        )
    return key


def _rows(table: pa.Table) -> Iterator[Row]:
    # Rows as dictionaries take many times the room of the table they come from, so few at a time.
    for start in range(0, table.num_rows, 4_096):
        yield from table.slice(start, 4_096).to_pylist()


def sort_out(table: pa.Table, hash_key: bytes, subject_of: Callable[[Row], str]) -> tuple[pa.Table, list[Row]]:
    """Whom a message can reach, by kind and message key; and of the rest ``kind, about, version, bn15, reason``.

    ``about`` is what the message is about, whoever it goes to. ``bn15`` is empty for the distribution list, where there
    is nothing to name but the address itself.
    """
    keys: list[tuple[str | None, str | None, str | None]] = []
    unreachable: list[Row] = []
    for row in _rows(table):
        problem, about = address_problem(row["address"]), subject_of(row)
        if problem:
            names = {"kind": row["kind"], "about": about, "version": row["version"]}
            unreachable.append({**names, "bn15": row.get("bn15") or "", "reason": problem})
            keys.append((None, None, None))
        else:
            recipient = recipient_key(row["address"], hash_key)
            keys.append((recipient, message_key(row["kind"], recipient, about, row["version"]), about))
    for position, name in enumerate(("recipient_key", "message_key", "about")):
        table = table.append_column(name, pa.array([found[position] for found in keys], pa.string()))
    reachable = table.filter(table["message_key"].is_valid())
    return reachable.sort_by([("kind", "ascending"), ("message_key", "ascending")]), unreachable


def _account_notice(row: Row, period: Period, calendar: Calendar, contacts: Contacts) -> Notice:
    """The notice of one row of ``derive_account_notices``."""
    bn15, legal_name = row["bn15"], one_line(row["legal_name"])
    if row["kind"] == "statement":
        return StatementNotice(
            bn15,
            legal_name,
            issued_on=row["issued_on"],
            period_start=row["period_start"],
            period_end=row["period_end"],
            due_on=row["due_on"],
            version=row["version"],
        )
    issued_on, effective_on, years = calendar.issued_on(period), row["effective_on"], calendar.dormancy_years
    if row["kind"] == "closure":
        return ClosureNotice(
            bn15,
            legal_name,
            issued_on=issued_on,
            effective_on=effective_on,
            cutoff_on=calendar.cutoff(period),
            as_of=calendar.as_of(period),
            years=years,
            reinstatement=contacts.reinstatement_on(issued_on),
        )
    return ConversionNotice(
        bn15, legal_name, issued_on, effective_on, years, row["program_type"], row["new_program_type"]
    )


def read_sessions(
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


def publish_messages(
    ws: Workspace,
    month: Mapping[str, str],
    dataset: str,
    packs_of: Mapping[str, str],
    reachable: pa.Table,
    unreachable: Sequence[Row],
    render: Callable[[Row], Message],
    *,
    lists_unreachable: bool = False,
) -> dict[str, Any]:
    """Render and pack all messages, then move the packs into place and seal the dataset, and count.

    ``packs_of`` gives for each kind of message the name under which its packs begin.

    Packs are made in the staging folder, so a run that ends early leaves what was there before; one that ends between
    the packs and the seal is completed by the next.
    """
    period, keys = month["period"], reachable["message_key"].to_pylist()
    if len(set(keys)) < len(keys):
        raise DataError(
            f"{len(keys) - len(set(keys))} notices of {period} have the key of another: "
            "look for an account or a statement that stands twice in the month's datasets"
        )
    staging = ws.staging(month["run_id"], dataset)
    folder = ws.documents(month["area"]) / "notices" / f"period={period}"
    written: list[dict[str, Any]] = []
    with _plain_disk_errors(period):
        rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        for kind, name in sorted(packs_of.items()):
            messages = reachable.filter(pc.equal(reachable["kind"], kind))
            for number, start in enumerate(range(0, messages.num_rows, MESSAGES_PER_PACK), start=1):
                written += _write_pack(ws, staging / f"{name}-{number:04d}.zip", messages, start, render)
        packs = {path.name for path in staging.iterdir()}
        if lists_unreachable:
            _write_unreachable(staging / "unreachable.csv", unreachable)
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(staging.iterdir()):
            path.replace(folder / path.name)
        # A run before this one may have had more messages, and so more packs.
        for path in (path for name in packs_of.values() for path in folder.glob(f"{name}-*.zip")):
            if path.name in packs:
                continue
            path.unlink()
        rmtree(staging)
    table = pa.Table.from_pylist(written, NOTICES)
    lake = ws.lake(month["area"])
    seal = lake.publish(dataset, period, table)
    is_live = month["effects"] == "live" and lake.area == "lake"
    with write_transaction(ws.operations) as connection:
        lake.seal([seal], run_id=month["run_id"], connection=connection)
        addressed = ({**row, "period": period} for row in written)
        planned = plan_messages(connection, addressed, is_live=is_live, run_id=month["run_id"])
        if is_live:
            settle(connection, map(_identity, written), {_identity(row): row["reason"] for row in unreachable})
        if lake.area == "lake":
            tell_notices(connection, dataset, period, seal.sha256)
    return {
        "notices": len(written),
        "by_kind": _count(packs_of, written, "language"),
        "unreachable": _count(packs_of, unreachable, "reason"),
        "packs": len(packs),
        "outbox": planned,
        "sha256": seal.sha256,
    }


def _identity(row: Row) -> Told:
    return row["kind"], row["about"], row["version"]


def _write_pack(
    ws: Workspace, path: Path, messages: pa.Table, start: int, render: Callable[[Row], Message]
) -> list[dict[str, Any]]:
    """Render the messages of one pack, and keep it in the outbox; returns what they are, a row a message."""
    written: list[dict[str, Any]] = []
    pack = write_pack(path, _documents(messages.slice(start, MESSAGES_PER_PACK), render, written))
    kept_as = keep_pack(ws, path, pack.sha256)
    return [{**row, "pack": kept_as} for row in written]


_OF_ROW = ("message_key", "kind", "recipient_key", "about", "version", "address", "language")


def _documents(
    messages: pa.Table, render: Callable[[Row], Message], written: list[dict[str, Any]]
) -> Iterator[tuple[str, bytes]]:
    """The members of one pack, sorted by name; what they are is added to ``written``."""
    for row in _rows(messages):
        message = render(row)
        parts = Parts(message.text, message.html, message.calendars)
        hashes = {"body_sha256": parts.body_sha256, "calendar_sha256": parts.calendar_sha256}
        written.append({**{name: row[name] for name in _OF_ROW}, "subject": message.subject, **hashes})
        yield from parts.members(row["message_key"])


def _count(kinds: Iterable[str], rows: Sequence[Row], by: str) -> dict[str, dict[str, int]]:
    counted = {kind: Counter(row[by] for row in rows if row["kind"] == kind) for kind in kinds}
    return {kind: dict(sorted(counts.items())) for kind, counts in counted.items()}


def _write_unreachable(path: Path, rows: Sequence[Row]) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ("kind", "bn15", "reason"), lineterminator="\n", extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)


@contextmanager
def _plain_disk_errors(period: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"cannot write the notices of {period} ({error.strerror or error}): "
            "make room in the data folder, or make it writable, and run the month again"
        ) from error
