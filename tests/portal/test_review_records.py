"""Holds and reviews: entered with reason and last day, in the name of who is logged in, listed, and lifted."""

from __future__ import annotations

import re
from datetime import date
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from include.audit import facts_told, find_broken_link
from include.operations_plan_tables import HOLDS, REVIEW_DECISIONS
from include.standing_records import PAGE_ROWS
from tests.decide.accounts import bn15_of
from tests.portal.review_world import ACCOUNTS, Held

CLOSED = bn15_of(0)
PAGE = "/review/2021-12/records"


@pytest.fixture
def held(tmp_path: Path, sqlite_url: str) -> Held:
    made = Held.make(tmp_path, sqlite_url)
    made.plan(ACCOUNTS)
    return made


def send(held: Held, what: str, **fields: str) -> Any:
    form = {"token": held.portal.token(PAGE), "bn15": CLOSED, "reason": "an appeal is open", **fields}
    return held.portal.post(f"/review/2021-12/{what}", data=form)


def rows(held: Held, table: Any) -> list[dict[str, Any]]:
    with held.register.ws.operations.connect() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_a_hold_is_recorded_by_who_is_logged_in(held: Held) -> None:
    answer = send(held, "holds", until="2022-12-31")
    assert (answer.status_code, answer.headers["location"]) == (303, "records?recorded=hold")
    [hold] = rows(held, HOLDS)
    assert (hold["bn15"], hold["reason"], hold["recorded_by"]) == (CLOSED, "an appeal is open", "approver")
    assert (hold["hold_until"], hold["known_from"]) == (date(2022, 12, 31), "2022-01")
    told = words(held.portal.get(f"{PAGE}?recorded=hold").text)
    assert "The hold is recorded." in told
    assert f"{CLOSED} 1 not yet 2022-12-31 an appeal is open approver 2022-01 –" in told
    with held.register.ws.operations.connect() as connection:
        assert facts_told(connection, "hold", CLOSED)[0]["recorded_by"] == "approver"
        assert find_broken_link(connection) is None


def test_a_hold_without_a_last_day_stands_until_it_is_lifted(held: Held) -> None:
    assert send(held, "holds", until="").status_code == 303
    assert "until it is lifted" in words(held.portal.get(PAGE).text)
    answer = send(held, "lifted-holds", back="card", plan="abcd")
    assert answer.headers["location"] == f"accounts/{CLOSED}?plan=abcd&recorded=lift"
    assert rows(held, HOLDS)[0]["lifted_from"] == "2022-01"
    assert send(held, "lifted-holds").status_code == 409


def test_a_review_is_recorded_and_needs_a_last_day(held: Held) -> None:
    answer = send(held, "reviews", decision="keep", until="2022-12-31")
    assert answer.headers["location"] == "records?kind=review&recorded=review"
    [review] = rows(held, REVIEW_DECISIONS)
    assert (review["decision"], review["recorded_by"]) == ("keep", "approver")
    assert f"{CLOSED} 1 not yet keep 2022-12-31" in words(held.portal.get(f"{PAGE}?kind=review").text)
    assert send(held, "reviews", decision="keep", until="").status_code == 400
    assert send(held, "reviews", decision="close", until="2022-12-31").status_code == 422
    assert len(rows(held, REVIEW_DECISIONS)) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"bn15": "000000000RM0001"},
        {"bn15": "../../etc/passwd"},
        {"reason": ""},
        {"reason": "x" * 501},
        {"reason": "turned \u202e round"},
        {"until": "2021-12-24"},  # Before the next month to be decided ends.
        {"until": "31.12.2022"},
    ],
)
def test_what_cannot_be_is_refused_in_words_and_changes_nothing(held: Held, fields: dict[str, str]) -> None:
    answer = send(held, "holds", **fields)
    assert answer.status_code == 400
    assert "<h1>That cannot be asked</h1>" in answer.text
    assert rows(held, HOLDS) == []


def test_a_reason_is_shown_as_text(held: Held) -> None:
    send(held, "holds", reason="<script>alert(1)</script>")
    html = held.portal.get(PAGE).text
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


@pytest.mark.parametrize("what", ["holds", "lifted-holds", "reviews"])
def test_only_who_may_start_the_dag_records_with_a_form_of_their_own(held: Held, what: str) -> None:
    token = held.portal.token(PAGE)
    form = {"bn15": CLOSED, "reason": "r", "decision": "keep", "until": "2022-12-31"}
    address = f"/review/2021-12/{what}"
    assert held.portal.post(address, data=form).status_code == 403
    held.portal.become("somebody else", "carm_apply_plan")
    assert held.portal.post(address, data={**form, "token": token}).status_code == 403
    held.portal.become("approver", "carm_month")
    answer = held.portal.post(address, data={**form, "token": token})
    assert answer.status_code == 403
    assert "carm_apply_plan" in answer.text
    assert "<form" not in held.portal.get(PAGE).text
    held.portal.become(None)
    assert held.portal.post(address, data={**form, "token": token}).status_code == 401
    assert rows(held, HOLDS) + rows(held, REVIEW_DECISIONS) == []


def a_hold(number: int, **values: Any) -> dict[str, Any]:
    default = {"bn15": CLOSED, "account_key": 1, "reason": f"reason {number}", "recorded_by": "clerk"}
    return {"hold_no": number, **default, "hold_until": None, "known_from": "2021-12", "lifted_from": None, **values}


def test_the_list_has_what_stands_at_the_end_of_the_month_or_later(held: Held) -> None:
    held.register.change(
        insert(HOLDS).values(
            [
                a_hold(1),
                a_hold(2, hold_until=date(2021, 12, 23)),  # The month ends on the 24th.
                a_hold(3, hold_until=date(2021, 12, 24)),
                a_hold(4, lifted_from="2021-12"),
                a_hold(5, lifted_from="2022-01"),
                a_hold(6, known_from="2022-01"),
            ]
        )
    )
    html = held.portal.get(PAGE).text
    assert re.findall(r"reason (\d)", html) == ["6", "5", "3", "1"]
    assert re.findall(r'class="state[^"]*">([^<]+)', html) == ["not yet", "in force", "in force", "in force"]


def test_many_holds_are_paged(held: Held) -> None:
    held.register.change(insert(HOLDS).values([a_hold(number) for number in range(1, PAGE_ROWS + 2)]))
    assert len(re.findall(r"reason \d", held.portal.get(PAGE).text)) == PAGE_ROWS
    assert re.findall(r"reason (\d+)", held.portal.get(f"{PAGE}?page=2").text) == ["1"]
    assert "There is no page 3" in held.portal.get(f"{PAGE}?page=3").text
