"""A month that is locked for good: nothing of it is changed until two persons unlock it."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import insert, select

from include.carm.errors import Refused
from include.database import write_transaction
from include.month_locks import lock_month_for_good, unlock_month
from include.source_schema import TABLES
from include.statement_acts import issue_parked, restate, withdraw
from include.verify import verify
from include.workspace import Workspace
from tests.pipeline import extract_only, run_month
from tests.statements.acts import (
    DECEMBER,
    JANUARY,
    ORDER,
    answer,
    rename,
    statement_accounts,
)


def test_nothing_of_a_locked_month_is_restated_withdrawn_or_issued(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    assert lock_month_for_good(ws, DECEMBER, reason="the books are closed", recorded_by="clerk")["is_new"]
    assert not lock_month_for_good(ws, DECEMBER, reason="again", recorded_by="clerk")["is_new"]

    for act in (restate, withdraw, issue_parked):
        with pytest.raises(Refused, match="2021-12 is locked"):
            act(ws, DECEMBER, bn15, ORDER)
    # The other months are free.
    assert restate(ws, JANUARY, bn15, ORDER)["version"] == 2
    verify(ws)


def test_a_month_is_unlocked_by_two_persons_and_locked_again_by_one(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    asked = {"reason": "the name is wrong", "asked_by": "clerk", "also_asked_by": ("helper",), "run_id": "unlock"}
    with pytest.raises(Refused, match="2021-12 is not locked"):
        unlock_month(ws, DECEMBER, answer("checker"), **asked)
    lock_month_for_good(ws, DECEMBER, reason="the books are closed", recorded_by="clerk")
    for given, message in (
        (None, "nobody answered"),
        (answer("checker", "Reject"), "checker said no"),
        (answer("CLERK "), "asked for it, so another person"),
        (answer("helper"), "asked for it, so another person"),
        (answer("unknown"), "is not known"),
    ):
        with pytest.raises(Refused, match=message):
            unlock_month(ws, DECEMBER, given, **asked)
        with pytest.raises(Refused, match="is locked"):
            restate(ws, DECEMBER, bn15, ORDER)

    assert unlock_month(ws, DECEMBER, answer("checker"), **asked)["approved_by"] == "checker"

    assert restate(ws, DECEMBER, bn15, ORDER)["version"] == 2
    lock_month_for_good(ws, DECEMBER, reason="closed again", recorded_by="clerk")
    with pytest.raises(Refused, match="closed again, by clerk"):
        restate(ws, DECEMBER, bn15, ORDER)
    assert verify(ws)["records"]["carm_month_locks"] == 3


def test_an_answer_unlocks_once_and_a_run_that_unlocked_already_says_so(ws: Workspace) -> None:
    asked = {"reason": "the name is wrong", "asked_by": "clerk", "also_asked_by": (), "run_id": "unlock"}
    lock_month_for_good(ws, DECEMBER, reason="the books are closed", recorded_by="clerk")
    first = unlock_month(ws, DECEMBER, answer("checker"), **asked)

    # Its worker died before it could say so, or somebody cleared it.
    assert unlock_month(ws, DECEMBER, answer("checker"), **asked) == first

    lock_month_for_good(ws, DECEMBER, reason="closed again", recorded_by="clerk")
    with pytest.raises(Refused, match="2021-12 stays locked: an answer counts once"):
        unlock_month(ws, DECEMBER, answer("checker"), **asked)
    assert unlock_month(ws, DECEMBER, answer("checker"), **{**asked, "run_id": "unlock 2"})["lock_no"] == 4
    verify(ws)


def test_a_run_that_would_fill_in_a_locked_month_is_refused(ws: Workspace) -> None:
    coming, transactions = JANUARY.next(), TABLES["transactions"]
    with write_transaction(ws.source) as connection:
        row = dict(connection.execute(select(transactions).limit(1)).mappings().one())
        days = {"M1": date(2022, 2, 3), "M2": date(2022, 3, 1)}
        connection.execute(
            insert(transactions),
            [{**row, "transaction_id": name, "activity_on": day, "posted_on": day} for name, day in days.items()],
        )
    lock_month_for_good(ws, coming, reason="closed", recorded_by="clerk")
    with pytest.raises(Refused, match=f"{coming} is locked"):
        extract_only(ws, str(coming.next()))
    assert not ws.lake().has("transactions", coming)


def test_a_locked_month_that_is_not_issued_is_not_extracted_and_an_issued_one_runs_in_shadow(ws: Workspace) -> None:
    coming = JANUARY.next()
    for period in (JANUARY, coming):
        lock_month_for_good(ws, period, reason="closed", recorded_by="clerk")
    with pytest.raises(Refused, match=f"{coming} is locked"):
        run_month(ws, str(coming), effects="shadow")
    assert run_month(ws, str(JANUARY), effects="shadow")["area"] == "shadow"
