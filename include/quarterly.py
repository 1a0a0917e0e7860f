"""The newsletter of a quarter: composed from what persons wrote and what the months left, as documents and as mail.

``publish_quarterly`` is the step of the Dag: documents in ``documents/quarterly/2021-Q4/``, and a message of the kind
``quarterly`` for everybody on the distribution list, in the dataset ``quarterly_notices`` of the quarter's last month.
``write_preview`` writes the documents alone, for a look. Nothing is sent here. ``docs/adr/0058-the-quarterly.md`` says
why it is so.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include import engine
from include.carm.contacts import Contacts
from include.carm.errors import DataError, Refused, Unavailable
from include.carm.mail_settings import MailSettings
from include.carm.quarter import Quarter
from include.distribution_list import heed_source, list_relations, read_readers
from include.documents import write_file
from include.mail import UNSUBSCRIBE_MARK
from include.month import is_issued, newest_issued, resolve_effects
from include.newsletter_text import TEXT_FOLDER, TEXT_LANGUAGES, read_newsletter_text
from include.notice_page import Message, NoticePages, QuarterlyNotice, Session
from include.notices import Row, publish_messages, sort_out
from include.quarterly_figures import read_figures
from include.unsubscribe import proved_key
from include.webinar_notices import read_offered

if TYPE_CHECKING:
    from include.workspace import Workspace

DATASET, KIND = "quarterly_notices", "quarterly"


def compose_issue(ws: Workspace, quarter: Quarter, *, is_live: bool, texts: Path = TEXT_FOLDER) -> QuarterlyNotice:
    """The issue of a quarter, the same for everybody: its text, its figures, and the sessions of the month after it.

    A live issue tells of issued months alone (see :mod:`include.quarterly_figures`). Raises ``DataError`` where the
    text is not alike in both languages, or no month of the quarter is there.
    """
    text = read_newsletter_text(quarter, texts)
    figures = read_figures(ws, quarter, is_live=is_live)
    if len(figures.missing) == len(quarter.months):
        what = "issued" if is_live else "run"
        raise DataError(f"no month of {quarter} was {what}, so there is no figure to tell: run {quarter.last} first")
    following = quarter.last.next()
    return QuarterlyNotice(
        issued_on=ws.calendar.issued_on(quarter.last),
        text=text.blocks,
        figures=figures,
        sessions_month=date(following.year, following.month, 1),
        sessions=None if quarter.last in figures.missing else _coming_sessions(ws, quarter),
    )


def _coming_sessions(ws: Workspace, quarter: Quarter) -> tuple[Session, ...]:
    """All sessions of the calendar month after the quarter, in whatever language, as its last month knew them."""
    relations: dict[str, engine.Relation] = {"webinars": [ws.lake().file("webinars", quarter.last)]}
    with closing(engine.connect()) as con:
        return read_offered(con, relations, quarter.last.next(), ws.calendar.issued_on(quarter.last))


def render_documents(issue: QuarterlyNotice, pages: NoticePages) -> dict[str, bytes]:
    """The documents of an issue by file name: HTML and PDF in each language. The same issue gives the same bytes."""
    from include.quarterly_pdf import render_pdf

    documents = {}
    for language in TEXT_LANGUAGES:
        documents[f"newsletter-{language}.html"] = pages.render(issue, language).html
        subject, elements = pages.elements(issue, language)
        pdf = render_pdf(subject, elements, language, issue.issued_on.isoformat())
        documents[f"newsletter-{language}.pdf"] = pdf
    return documents


def write_documents(folder: Path, documents: Mapping[str, bytes]) -> list[str]:
    """Write documents, each by one rename, readable by their owner alone; returns the names of those that are new.

    What is there with the same bytes stays untouched. Raises ``Unavailable`` where the disk refuses.
    """
    fresh = []
    try:
        for name, content in sorted(documents.items()):
            target = folder / name
            if not target.exists() or target.read_bytes() != content:
                write_file(target, content)
                fresh.append(name)
    except OSError as error:
        raise Unavailable(
            f"cannot write the newsletter to {folder} ({error.strerror or error}): make room there, or make it writable"
        ) from error
    return fresh


def write_preview(ws: Workspace, quarter: Quarter, folder: Path) -> dict[str, Any]:
    """Write the documents of a quarter to ``folder`` for a look, with the figures of every month that was run.

    Returns what :func:`publish_quarterly` says of the documents. Raises as :func:`compose_issue` does.
    """
    issue = compose_issue(ws, quarter, is_live=False)
    documents = render_documents(issue, NoticePages(Contacts.load()))
    write_documents(folder, documents)
    return {"quarter": str(quarter), "missing": list(map(str, issue.figures.missing)), "documents": sorted(documents)}


def preview_lines(facts: Mapping[str, Any], folder: Path) -> list[str]:
    """What :func:`write_preview` did, for people."""
    lines = [f"{folder / name}" for name in facts["documents"]]
    return lines + [f"The figures of {month} are not available: run {month} first" for month in facts["missing"]]


def last_month(ws: Workspace, quarter: Quarter, effects: str, run_id: str, run_type: str) -> dict[str, str]:
    """The month under which an issue is published, as :func:`publish_quarterly` takes it, its effects settled.

    Only the first live run writes into the record: what it planned stays, with the documents that say the same. Raises
    ``Refused`` for one that comes before the quarter's last month is issued, or after a later month is.
    """
    settled = resolve_effects(ws, quarter.last, effects, run_type)
    is_first = settled == "live" and not ws.lake().has(DATASET, quarter.last)
    if is_first:
        _require_time(ws, quarter)
    area = "lake" if is_first else "shadow"
    return {"period": str(quarter.last), "effects": settled, "area": area, "run_id": run_id}


def _require_time(ws: Workspace, quarter: Quarter) -> None:
    """An issue is mailed once: not with a gap that the next days fill, and not when it is no news any more."""
    if not is_issued(ws, quarter.last):
        raise Refused(
            f"{quarter} cannot go out live before {quarter.last} is issued: run carm_month live for {quarter.last} "
            "first, or look at the issue with effects=shadow"
        )
    newest = newest_issued(ws)
    if newest is not None and newest > quarter.last:
        raise Refused(
            f"{quarter} cannot go out live: {newest} was issued after it, so its readers would get an old issue; check "
            f"the quarter (the one of {newest} is {Quarter.of(newest)}), or look at it with effects=shadow"
        )


def publish_quarterly(
    ws: Workspace,
    quarter: Quarter,
    month: Mapping[str, str],
    *,
    recipient_hash_key: bytes | str,
    texts: Path = TEXT_FOLDER,
) -> dict[str, Any]:
    """Write the documents of a quarter's issue, and render it for everybody who is on the distribution list.

    ``month`` is the quarter's last month (see :func:`last_month`). Only a live run plans the messages, any other seals
    them. Returns what :func:`include.notices.publish_notices` returns, and ``{"quarter", "missing": [month],
    "documents": [name]}``. Raises ``DataError`` where the last month was never sealed or the texts are not alike,
    ``UsageError`` for a hash key that is too short.
    """
    hash_key, lake = proved_key(ws, recipient_hash_key), ws.lake(month["area"])
    is_live = month["effects"] == "live"
    relations: dict[str, engine.Relation] = {
        "quarantine": [lake.file("quarantine", quarter.last)],
        **list_relations(ws, hash_key),
    }
    issue = compose_issue(ws, quarter, is_live=is_live, texts=texts)
    pages = NoticePages(Contacts.load())
    documents = render_documents(issue, pages)
    with ws.spill_folder() as spill, closing(engine.connect(spill_folder=spill)) as con:
        readers = read_readers(con, relations, KIND, issue.issued_on)
    reachable, unreachable = sort_out(readers.invited, hash_key, lambda _row: f"quarterly/{quarter}")
    if is_live:
        heed_source(ws, reachable, readers.left)
    # Without a page that it opens, a link would lead nowhere.
    link = UNSUBSCRIBE_MARK if MailSettings.load().letterhead.unsubscribe_url else None

    # People who joined the list on the same day and read the same language get the same message.
    @cache
    def message_for(language: str, subscribed_on: date) -> Message:
        return pages.render(replace(issue, subscribed_on=subscribed_on, unsubscribe_url=link), language)

    def render(row: Row) -> Message:
        return message_for(row["language"], row["subscribed_on"])

    write_documents(ws.documents(month["area"]) / "quarterly" / str(quarter), documents)
    outcome = publish_messages(ws, month, DATASET, {KIND: KIND}, reachable, unreachable, render)
    missing = list(map(str, issue.figures.missing))
    return {**outcome, "quarter": str(quarter), "missing": missing, "documents": sorted(documents)}
