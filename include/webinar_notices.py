"""The notices of webinars: a month's sessions for everybody on the list, and what changes for those who know of one.

A run may be repeated at any time, also for a month that was issued. What a live run wrote stays as it was written; a
further run adds what has changed since, each change once for each person who was told of the session. Nothing is sent
here. ``docs/adr/0055-calendar-entries-and-their-revisions.md`` says who is told what, and why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include import engine
from include.carm.contacts import Contacts
from include.carm.mail_settings import MailSettings
from include.carm.period import Period
from include.carm.recipients import message_key
from include.distribution_list import heed_source, list_relations, read_readers
from include.feeds import WEBINARS
from include.mail import UNSUBSCRIBE_MARK
from include.notice_page import (
    EASTERN,
    LANGUAGES,
    MULTI_FACTOR_SINCE,
    UTC,
    Message,
    NoticePages,
    Session,
    WebinarChangeNotice,
    WebinarNotice,
    one_line,
    safe_link,
)
from include.notices import WEBINAR_KINDS, publish_messages, sort_out
from include.source_rows import read_texts, source_snapshot
from include.unsubscribe import proved_key
from include.webinar_calendar import CANCEL, PUBLISH, CalendarIdentity, EntryTexts, session_token, write_entry
from include.webinar_tellings import ABOUT_ONE, KIND, Known, call_off, messages_of_month, read_tellings, record_tellings

if TYPE_CHECKING:
    import duckdb
    from sqlalchemy.engine import Connection

    from include.workspace import Workspace

Row = Mapping[str, Any]

_MESSAGES = pa.schema(
    [
        ("message_key", pa.string()),
        ("kind", pa.string()),
        ("recipient_key", pa.string()),
        ("about", pa.string()),
        ("version", pa.int64()),
        ("address", pa.string()),
        ("language", pa.string()),
        ("subscribed_on", pa.date32()),
        ("change", pa.string()),
        ("webinar_ids", pa.list_(pa.string())),
    ]
)
"""A message that is to be rendered. ``change`` is empty for the notice of a month, else changed, cancelled or added."""


@dataclass(frozen=True)
class Planned:
    """The last revision of a webinar that is still ahead on the day of issue, or was by one of its revisions."""

    webinar_id: str
    revision: int
    session: Session
    is_cancelled: bool
    is_of_month: bool

    @property
    def method(self) -> str:
        """The method of its calendar entry."""
        return CANCEL if self.is_cancelled else PUBLISH

    def is_offered_to(self, language: str) -> bool:
        """Whether a reader of ``language`` is invited: one who reads both is invited to all."""
        spoken = self.session.language
        return self.is_of_month and not self.is_cancelled and (spoken == language or "both" in (language, spoken))


def publish_webinar_notices(
    ws: Workspace, month: Mapping[str, str], *, recipient_hash_key: bytes | str
) -> dict[str, Any]:
    """Render the notices of webinars that are due, and publish the dataset ``webinar_notices``.

    The notice of the month offers the sessions of the calendar month after ``month["period"]``, by the clock of
    Toronto, that are in the subscriber's language or in both, to everybody who is on the distribution list on the
    period's day of issue and has not left since; who has no session to be offered gets none. Beside it, whoever was
    told of a session gets a message about each later revision of it, and whoever has the notice of the month one about
    each session added to it. A message about one session that nobody has got yet is called off by a later revision.

    The dataset lists these messages and all that live runs of the period wrote before. Returns what
    :func:`include.notices.publish_notices` returns, and ``"sessions": {"offered": n, "cancelled": n, "unreadable": n}``
    of the month, ``"changes": {"changed": n, "cancelled": n, "added": n}`` of new messages about one session,
    ``"without_session": n`` and ``"refused_revisions": n``, rows of the source that did not pass the gate.

    Raises ``DataError`` when ``quarantine`` or ``webinars`` of the period was never sealed, ``UsageError`` for a hash
    key that is too short.
    """
    period, lake = Period.parse(month["period"]), ws.lake(month["area"])
    issued_on, coming = ws.calendar.issued_on(period), period.next()
    hash_key = proved_key(ws, recipient_hash_key)
    extracted = pq.read_table(lake.file("webinars", period), partitioning=None)
    relations: dict[str, engine.Relation] = {
        "quarantine": [lake.file("quarantine", period)],
        **list_relations(ws, hash_key),
    }
    with ws.spill_folder() as spill, closing(engine.connect(spill_folder=spill)) as con:
        later, refused = _read_later_revisions(ws, con, extracted, period)
        relations["webinars"] = pa.concat_tables([extracted, later])
        sessions, states = _read_sessions(con, relations, coming, issued_on)
        readers = read_readers(con, relations, KIND, issued_on)

    about = f"webinars/{coming}"
    invited, unreachable = sort_out(readers.invited, hash_key, lambda _row: about)
    if month["effects"] == "live":
        heed_source(ws, invited, readers.left)
    with ws.operations.connect() as connection:
        standing = messages_of_month(connection, str(period))
        tellings, overtaken = read_tellings(connection, {one.webinar_id: one.revision for one in sessions}, str(period))
    due = _Due(sessions, tellings, {row["recipient_key"] for row in standing if row["about"] == about})
    on_list = sort_out(readers.on_list, hash_key, lambda _row: about)[0]
    rows = [*due.invitations(invited), *due.changes(on_list)]
    messages = pa.Table.from_pylist(rows, _MESSAGES).sort_by([("kind", "ascending"), ("message_key", "ascending")])

    by_id = {one.webinar_id: one for one in sessions}
    told = {row["message_key"]: [_telling(by_id[name]) for name in row["webinar_ids"]] for row in rows}

    def record(connection: Connection) -> None:
        call_off(connection, overtaken)
        record_tellings(connection, told)

    outcome = publish_messages(
        ws,
        month,
        "webinar_notices",
        {kind: kind for kind in WEBINAR_KINDS},
        messages,
        unreachable,
        _Renderer(issued_on, coming, by_id).render,
        standing=standing,
        record=record,
    )
    changes = Counter(row["change"] for row in rows)
    has_notice = due.has_notice | {row["recipient_key"] for row in rows if not row["change"]}
    return {
        **outcome,
        "sessions": states,
        "changes": {change: changes[change] for change in ("changed", "cancelled", "added")},
        "without_session": sum(key not in has_notice for key in invited["recipient_key"].to_pylist()),
        "refused_revisions": refused,
    }


class _Due:
    """What each person is to be told: worked out from the sessions and from what the person has of them already."""

    def __init__(
        self, sessions: Sequence[Planned], tellings: Mapping[str, Mapping[str, Known]], has_notice: set[str]
    ) -> None:
        self.sessions, self.tellings, self.has_notice = sessions, tellings, has_notice

    def invitations(self, people: pa.Table) -> Iterator[dict[str, Any]]:
        """The notice of the month, or for who has it a message about each session that was added to it."""
        for person in people.to_pylist():
            known = self.tellings.get(person["recipient_key"], {})
            fresh = [
                one
                for one in self.sessions
                if one.is_offered_to(person["language"]) and _is_new(one, known.get(one.webinar_id))
            ]
            if person["recipient_key"] not in self.has_notice:
                if fresh:
                    yield {**person, "change": "", "webinar_ids": [one.webinar_id for one in fresh]}
            else:
                yield from (_about_session(person, one, "added") for one in fresh)

    def changes(self, people: pa.Table) -> Iterator[dict[str, Any]]:
        """A message about each session whose last revision is later than the one that the person was told of."""
        for person in people.filter(
            pc.is_in(people["recipient_key"], pa.array(self.tellings, pa.string()))
        ).to_pylist():
            known = self.tellings[person["recipient_key"]]
            for one in self.sessions:
                before = known.get(one.webinar_id)
                # A message that holds this revision and reached nobody has its key for ever: it is the one to send.
                if before and before.told is not None and before.written < one.revision:
                    yield _about_session(person, one, "cancelled" if one.is_cancelled else "changed")


def _is_new(one: Planned, before: Known | None) -> bool:
    """Whether a person is to be invited: who was told before is told of changes, and no month's message is doubled."""
    return before is None or (before.told is None and not before.is_of_month and before.written < one.revision)


def _about_session(person: Row, one: Planned, change: str) -> dict[str, Any]:
    about = f"{ABOUT_ONE}{session_token(one.webinar_id)}"
    key = message_key(KIND, person["recipient_key"], about, one.revision)
    own = {"about": about, "version": one.revision, "message_key": key, "change": change}
    return {**person, **own, "webinar_ids": [one.webinar_id]}


def _telling(one: Planned) -> tuple[str, int, str]:
    return one.webinar_id, one.revision, one.method


class _Renderer:
    """Renders the messages of a month. People who are told the same on the same grounds get the same page."""

    def __init__(self, issued_on: date, coming: Period, sessions: Mapping[str, Planned]) -> None:
        contacts = Contacts.load()
        self.issued_on, self.month, self.sessions = issued_on, date(coming.year, coming.month, 1), sessions
        self.pages, self.programme = NoticePages(contacts), contacts.letterhead.programme
        self.identity = CalendarIdentity.load(contacts.engagement_email)
        # Each recipient's own link is put in when the mail is composed.
        self.unsubscribe_url = UNSUBSCRIBE_MARK if MailSettings.load().letterhead.unsubscribe_url else None
        self._page, self._entry = cache(self._render_page), cache(self._render_entry)

    def render(self, row: Row) -> Message:
        """The message of a row of ``_MESSAGES``, with its calendar entries in the order of the sessions."""
        page = self._page(row["language"], row["subscribed_on"], row["change"], tuple(row["webinar_ids"]))
        return replace(page, calendars=tuple(self._entry(name, row["language"]) for name in row["webinar_ids"]))

    def _render_page(self, language: str, subscribed_on: date, change: str, webinar_ids: tuple[str, ...]) -> Message:
        sessions = tuple(self.sessions[name].session for name in webinar_ids)
        if change:
            about_one = WebinarChangeNotice(self.issued_on, sessions[0], change, subscribed_on, self.unsubscribe_url)
            return self.pages.render(about_one, language)
        asks_for_multi_factor = self.issued_on >= MULTI_FACTOR_SINCE
        notice = WebinarNotice(
            self.issued_on, self.month, sessions, subscribed_on, asks_for_multi_factor, self.unsubscribe_url
        )
        return self.pages.render(notice, language)

    def _render_entry(self, webinar_id: str, language: str) -> bytes:
        one, languages = self.sessions[webinar_id], LANGUAGES[language]
        summary, description = self.pages.describe(one.session, language, is_cancelled=one.is_cancelled)
        organizer = " / ".join(self.programme[name] for name in languages)
        texts = EntryTexts(summary, description, organizer, languages[0] if len(languages) == 1 else None)
        return write_entry(self.identity, one.webinar_id, one.revision, one.method, one.session, texts, self.issued_on)


def calendar_month(month: Period) -> tuple[datetime, datetime]:
    """The first instant of a calendar month in Toronto and the first after it: half-open bounds, in UTC."""
    following = month.next()
    return _midnight(date(month.year, month.month, 1)), _midnight(date(following.year, following.month, 1))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), EASTERN).astimezone(UTC)


def _read_later_revisions(
    ws: Workspace, con: duckdb.DuckDBPyConnection, extracted: pa.Table, period: Period
) -> tuple[pa.Table, int]:
    """What the source says now of webinars beyond the month's extract, and how many rows of it the gate refuses.

    The extract of an issued month is final, and a session may be called off the day before it is held.
    """
    with source_snapshot(ws) as connection:
        texts = read_texts(connection, WEBINARS, WEBINARS.columns)
    staged = engine.run_table(con, "stage_webinars", {"raw_webinars": texts})
    found = {"read_webinars": staged, "webinars": extracted}
    later = engine.run_table(con, "select_later_webinar_revisions", found)
    if not later.num_rows:
        return extracted.schema.empty_table(), 0
    # Judging loads Great Expectations, which takes longer than all else here.
    from include.quality.gate import check

    judged = check(WEBINARS.name, later.to_batches(), docs_folder=None, run_name=str(period))
    is_refused = pc.is_in(later["row_no"], judged.failures["row_no"].combine_chunks())
    kept = later.filter(pc.invert(is_refused))
    return kept.select(extracted.schema.names).cast(extracted.schema), later.num_rows - kept.num_rows


def read_offered(
    con: duckdb.DuckDBPyConnection, relations: Mapping[str, engine.Relation], month: Period, issued_on: date
) -> tuple[Session, ...]:
    """The sessions of a calendar month that are offered, in whatever language, the earliest first."""
    sessions, _ = _read_sessions(con, relations, month, issued_on)
    return tuple(one.session for one in sessions if one.is_of_month and not one.is_cancelled)


def _read_sessions(
    con: duckdb.DuckDBPyConnection, relations: Mapping[str, engine.Relation], month: Period, issued_on: date
) -> tuple[tuple[Planned, ...], dict[str, int]]:
    """The webinars whose last revision can be told, the earliest first, and how many of the month are in each state."""
    starts_at, ends_at = calendar_month(month)
    bounds = {"month_starts_at": starts_at, "month_ends_at": ends_at, "concerned_from": _midnight(issued_on)}
    rows = engine.run_table(con, "derive_webinar_notice_sessions", relations, bounds).to_pylist()
    for row in rows:
        texts = {name: one_line(row[name]) for name in ("title_en", "title_fr")}
        # It would become the reader's own link, wherever it stands: with a path behind it, or on another's page.
        is_forged = any(UNSUBSCRIBE_MARK in text for text in (*texts.values(), row["join_url"] or ""))
        row.update(texts, state="unreadable" if is_forged else row["state"])
    sessions = tuple(
        Planned(
            row["webinar_id"],
            row["revision"],
            Session(
                row["title_en"],
                row["title_fr"],
                row["language"],
                row["starts_at"],
                row["duration_minutes"],
                safe_link(row["join_url"]),
            ),
            row["state"] == "cancelled",
            row["is_of_month"],
        )
        for row in rows
        if row["is_concerning"] and row["state"] != "unreadable" and row["language"] in LANGUAGES
    )
    counted = Counter(row["state"] for row in rows if row["is_of_month"] or row["starts_at"] is None)
    return sessions, {state: counted[state] for state in ("offered", "cancelled", "unreadable")}
