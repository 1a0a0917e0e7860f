"""Issues of the newsletter with one good default each, and quarters in a folder of their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from include.carm.quarter import Quarter
from include.database import write_transaction
from include.newsletter_text import read_newsletter_text
from include.notice_page import NoticePages, QuarterlyNotice
from include.operations_statement_tables import ISSUED_MONTHS
from include.quarterly_figures import MonthFigures, QuarterFigures, WeekFigures, whole_weeks
from tests.notices.months import Month, account, statement
from tests.notices.samples import CONTACTS, session

Q4 = Quarter(2021, 4)
FIRST_DAY, LAST_DAY = date(2021, 9, 25), date(2021, 12, 24)


@cache
def pages() -> NoticePages:
    return NoticePages(CONTACTS)


def figures(without: Iterable[int] = ()) -> QuarterFigures:
    """Figures of 2021-Q4, but of the months at the places ``without``."""
    gone = set(without)
    told = [(8_204, 2_031, 310, 41, 2), (8_655, 2_044, 12, 3, 0), (9_127, 1_998, 15, 0, 1)]
    months = tuple(
        MonthFigures(month) if place in gone else MonthFigures(month, *told[place])
        for place, month in enumerate(Q4.months)
    )
    missing = tuple(month for place, month in enumerate(Q4.months) if place in gone)
    ends = [date(2021, 10, 24), date(2021, 11, 24), LAST_DAY]
    weeks = tuple(
        WeekFigures(first, last, None if sum(last > end for end in ends) in gone else 61 + 7 * number % 50)
        for number, (first, last) in enumerate(whole_weeks(FIRST_DAY, LAST_DAY))
    )
    return QuarterFigures(Q4, FIRST_DAY, LAST_DAY, months, missing, weeks)


def issue(**changed: Any) -> QuarterlyNotice:
    december = QuarterlyNotice(
        issued_on=date(2021, 12, 25),
        text=read_newsletter_text(Q4).blocks,
        figures=figures(),
        sessions_month=date(2022, 1, 1),
        sessions=(session(), session(title_en="Open mic", title_fr="", language="en", link=None, minutes=None)),
    )
    return replace(december, **changed)


def mail(**changed: Any) -> QuarterlyNotice:
    """The same for one person on the distribution list."""
    return issue(**{"subscribed_on": date(2021, 10, 4), "unsubscribe_url": "https://example.org/u/"} | changed)


SAMPLES: dict[str, QuarterlyNotice] = {
    "document": issue(),
    "document-with-a-gap": issue(figures=figures(without=[1])),
    "mail": mail(),
    "mail-with-a-gap": mail(figures=figures(without=[2]), sessions=None, unsubscribe_url=None),
}

REGISTRATIONS = {
    "000000018RM0001": date(2021, 9, 27),
    "000000026RM0001": date(2021, 10, 24),
    "000123455RM0002": date(2021, 11, 24),
    "000000034RM0001": date(2021, 11, 25),
    "000000042RM0001": None,
    "000000059RM0001": date(2021, 12, 6),
}
"""On which day each account of :func:`quarter` registered on the portal: on the edges of months and of weeks."""


def quarter(folder: Path, months: Iterable[str] = ("2021-10", "2021-11", "2021-12")) -> Month:
    """The months of 2021-Q4 as they published their accounts and statements; returns the last one."""
    for period in (*months,):
        month = Month(folder, period)
        month.seal("accounts", [account(bn15, portal_registered_on=day) for bn15, day in REGISTRATIONS.items()])
        month.seal("statements", [statement(bn15) for bn15 in list(REGISTRATIONS)[: int(period[-1]) + 1]])
    return month


def issue_month(month: Month, *periods: str) -> None:
    """Let months be issued, as far as whoever asks about it goes."""
    facts = {"issued_on": "2021-12-25", "statements": 1, "statements_sha256": "0" * 64, "run_id": "test"}
    with write_transaction(month.ws.operations) as connection:
        for period in periods:
            connection.execute(insert(ISSUED_MONTHS).values(period=period, **facts))
