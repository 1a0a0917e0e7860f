"""The script that stands beside a whole month: it aggregates once, and comes to what an account owes."""

from datetime import date
from typing import Any

import pandas as pd
import pytest

from bench.naive_month import decide, month_statements
from bench.world import LAST
from include.carm.calendar import Calendar
from include.carm.statement import COMPONENTS, Statement

CALENDAR = Calendar.load()
LAST_DAY = CALENDAR.end(LAST)
BEFORE, WITHIN, AFTER = date(2021, 6, 1), CALENDAR.start(LAST), date(2022, 1, 5)
A, B, IDLE = "100000009RM0001", "100000017RM0001", "100000025RM0001"


def account(bn15: str) -> dict[str, Any]:
    return {
        "bn15": bn15,
        "legal_name": "A firm",
        "program_type": "importer",
        "status": "open",
        "opened_on": date(2000, 1, 4),
        "language": "en",
    }


def posting(bn15: str, cents: int, posted_on: date, status: str = "accepted", kind: str = "B3") -> dict[str, Any]:
    return {
        **dict.fromkeys(COMPONENTS, 0),
        "transaction_id": f"{bn15} {cents} {posted_on}",
        "bn15": bn15,
        "kind": kind,
        "transaction_number": None,
        "activity_on": posted_on,
        "posted_on": posted_on,
        "due_on": None,
        "status": status,
        "broker_bn9": None,
        "amount_cents": cents,
    }


def statements(*postings: dict[str, Any]) -> dict[str, Statement]:
    exports = pd.DataFrame({"bn15": [A], "exported_on": [BEFORE]})
    accounts = pd.DataFrame([account(bn15) for bn15 in (A, B, IDLE)])
    found = month_statements(accounts, pd.DataFrame(list(postings)), exports, CALENDAR)
    return {statement.head.bn15: statement for statement in found}


def test_a_statement_goes_from_what_was_owed_to_what_is_owed() -> None:
    found = statements(
        posting(A, 700, BEFORE),
        posting(A, 300, WITHIN),
        posting(A, -200, WITHIN, kind="PMT"),
        posting(A, 50, WITHIN, "cancelled"),
        posting(A, 90, AFTER),
        posting(B, 10, WITHIN, "under_review"),
    )
    assert set(found) == {A, B}
    head, lines = found[A].head, found[A].lines
    assert (head.opening_cents, head.debits_cents, head.credits_cents, head.closing_cents) == (700, 300, 200, 800)
    assert sorted(line.amount_cents for line in lines) == [-200, 300]
    assert (found[B].head.opening_cents, found[B].head.closing_cents, len(found[B].lines)) == (0, 10, 1)


def test_an_account_that_owes_has_a_statement_without_lines_and_one_that_does_not_has_none() -> None:
    found = statements(posting(A, 700, BEFORE), posting(B, 5, BEFORE), posting(B, -5, BEFORE, kind="PMT"))
    assert {bn15: statement.lines for bn15, statement in found.items()} == {A: ()}


@pytest.mark.parametrize(
    ("imported_on", "exported_on", "balance", "action"),
    [
        (None, None, 0, "close"),
        (None, None, 1, "keep"),
        (BEFORE, None, 0, "keep"),
        (None, BEFORE, 0, "convert"),
        (BEFORE, BEFORE, 0, "keep"),
    ],
)
def test_it_decides_by_what_was_seen_in_four_years(
    imported_on: date | None, exported_on: date | None, balance: int, action: str
) -> None:
    assert decide(account(A), imported_on, exported_on, balance, LAST_DAY) == action
