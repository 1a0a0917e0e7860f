"""The newsletter of a quarter: composed from what persons wrote and what the months left, as documents and as mail.

``publish_quarterly`` is the step of the Dag: documents in ``documents/quarterly/2021-Q4/``, and a message of the kind
``quarterly`` for everybody on the distribution list, in the dataset ``quarterly_notices`` of the quarter's last month.
``write_preview`` writes the documents alone, for a look. Nothing is sent here. ``docs/adr/0058-the-quarterly.md`` says
why it is so.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include import engine
from include.carm.contacts import Contacts
from include.carm.errors import DataError, Unavailable
from include.carm.mail_settings import MailSettings
from include.carm.quarter import Quarter
from include.carm.recipients import checked_key
from include.distribution_list import lift_returned, list_relations
from include.mail import UNSUBSCRIBE_MARK
from include.month import resolve_effects
from include.newsletter_text import TEXT_FOLDER, TEXT_LANGUAGES, read_newsletter_text
from include.notice_page import Message, NoticePages, QuarterlyNotice, Session
from include.notices import Row, publish_messages, sort_out
from include.quarterly_figures import read_figures
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

    All are written before the first is moved into its place. What is there with the same bytes stays untouched. Raises
    ``Unavailable`` where the disk refuses.
    """
    fresh: dict[str, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, content in documents.items():
            target = folder / name
            if target.exists() and target.read_bytes() == content:
                continue
            fresh[name] = folder / f".{name}.{os.getpid()}"
            with os.fdopen(os.open(fresh[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for name, path in fresh.items():
            path.replace(folder / name)
    except OSError as error:
        raise Unavailable(
            f"cannot write the newsletter to {folder} ({error.strerror or error}): make room there, or make it writable"
        ) from error
    finally:
        for path in fresh.values():
            path.unlink(missing_ok=True)
    return sorted(fresh)


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

    Only the first live run writes into the record: what it planned stays, with the documents that say the same.
    """
    settled = resolve_effects(ws, quarter.last, effects, run_type)
    is_first = settled == "live" and not ws.lake().has(DATASET, quarter.last)
    area = "lake" if is_first else "shadow"
    return {"period": str(quarter.last), "effects": settled, "area": area, "run_id": run_id}


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
    hash_key, lake = checked_key(recipient_hash_key), ws.lake(month["area"])
    is_live = month["effects"] == "live"
    relations: dict[str, engine.Relation] = {
        "quarantine": [lake.file("quarantine", quarter.last)],
        **list_relations(ws, hash_key),
    }
    issue = compose_issue(ws, quarter, is_live=is_live, texts=texts)
    pages = NoticePages(Contacts.load())
    documents = render_documents(issue, pages)
    with ws.spill_folder() as spill, closing(engine.connect(spill_folder=spill)) as con:
        day = {"issued_on": issue.issued_on}
        engine.create_table(con, "distribution_list", "derive_distribution_list", relations, day)
        people = engine.run_table(con, "select_quarterly_recipients")
    reachable, unreachable = sort_out(people, hash_key, lambda _row: f"quarterly/{quarter}")
    if is_live:
        lift_returned(ws, reachable)
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
