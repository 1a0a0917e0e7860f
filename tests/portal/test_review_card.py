"""The why-card: what ``carm explain`` tells, its amounts masked until somebody who may asks to see them."""

from __future__ import annotations

import re
from html import unescape

import pytest

from include.audit import facts_told, find_broken_link
from include.explain import card_parts, explain
from include.portal.figures import MASKED, write_cents
from include.verify import verify
from tests.pipeline import read
from tests.portal.conftest import Portal


@pytest.fixture
def in_debt(portal: Portal) -> tuple[str, str]:
    """An account that a balance keeps open, and that balance as it is written."""
    decisions = read(portal.ws, "account_decisions", "2022-01")
    row = decisions[decisions["reason"] == "balance_not_zero"].iloc[0]
    return row["bn15"], write_cents(int(row["balance_cents"]))


def unseen(portal: Portal, bn15: str) -> list[dict]:
    with portal.ws.operations.connect() as connection:
        assert find_broken_link(connection) is None
        return facts_told(connection, "unmask", bn15)


def test_the_card_tells_what_the_command_line_tells_without_the_amount(portal, in_debt):
    bn15, balance = in_debt
    html = portal.get(f"/review/2022-01/accounts/{bn15}").text
    card = explain(portal.ws, bn15, tell_money=lambda cents: MASKED)
    for label, texts in card_parts(card, lambda cents: MASKED):
        assert f"<dt>{label}</dt>" in html
        assert all(text in unescape(html) for text in texts)
    assert f"balance {MASKED}" in html
    assert f"its balance of {MASKED} were zero" in html
    assert balance.strip("-$") not in html
    assert f'href="../../../accounts/{bn15}"' in html
    assert unseen(portal, bn15) == []


def test_the_amount_is_shown_to_who_may_after_it_was_recorded(portal, in_debt):
    bn15, balance = in_debt
    page = f"/review/2022-01/accounts/{bn15}"
    shown = portal.post(page, data={"token": portal.token(page)}).text
    assert f"balance {balance}" in shown
    assert f"its balance of {balance} were zero" in shown
    assert MASKED not in shown
    assert unseen(portal, bn15) == [{"by": "approver", "what": "why-card 2022-01"}]
    # The next page is masked again, and the chain is one that is accepted.
    assert MASKED in portal.get(page).text
    verify(portal.ws)


def test_who_may_not_unmask_sees_nothing_more(portal, in_debt):
    bn15, balance = in_debt
    page = f"/review/2022-01/accounts/{bn15}"
    token = portal.token(page)
    assert portal.post(page).status_code == 403
    portal.become("approver", "carm_apply_plan")
    answer = portal.post(page, data={"token": token})
    assert answer.status_code == 403
    assert balance.strip("-$") not in answer.text
    assert "Show the balance" not in portal.get(page).text
    portal.become("viewer")
    assert "<form" not in portal.get(page).text
    portal.become(None)
    assert portal.get(page).status_code == 401
    assert unseen(portal, bn15) == []


def test_an_account_without_a_decision_is_not_found_in_words(portal):
    answer = portal.get("/review/2022-01/accounts/000000018RM0001")
    assert answer.status_code == 404
    assert "No account 000000018RM0001 is known" in answer.text
    for wrong in ("000000018rm0001", "000000018RT0001", "..%2f..%2fsource.db", "0" * 15):
        assert portal.get(f"/review/2022-01/accounts/{wrong}").status_code in (404, 422)


def test_a_hold_entered_on_the_card_stands_on_it_and_is_lifted_there(portal, in_debt):
    bn15, _ = in_debt
    page = f"/review/2022-01/accounts/{bn15}"
    assert "Lift the holds by persons" not in portal.get(page).text
    form = {"token": portal.token(page), "bn15": bn15, "reason": "a letter came", "back": "card"}
    answer = portal.post("/review/2022-01/holds", data=form)
    assert answer.status_code == 303
    shown = portal.get(str(answer.next_request.url)).text
    assert "The hold is recorded." in shown
    assert "no. 1, approver, without an end: a letter came - not in force, known from 2022-02 on" in unescape(shown)
    answer = portal.post("/review/2022-01/lifted-holds", data=form)
    assert answer.status_code == 303
    shown = portal.get(str(answer.next_request.url)).text
    assert "(lifted from 2022-02 on)" in shown
    assert not re.search(r"<button[^>]*>Lift the holds", shown)
