"""Statements of an account: the bytes that were issued, in a frame that can do nothing, and never unrecorded."""

import re

import pytest

from include.carm.period import Period
from include.statement_reader import read_statement
from tests.portal import accounts
from tests.portal.accounts import shown_to

MONTH = Period(2022, 1)


def page_of(bn15):
    return f"/accounts/{bn15}/statements/{MONTH}"


def open_as(portal, bn15, **fields):
    return portal.post(page_of(bn15), data={"token": portal.token(page_of(bn15)), **fields})


def test_the_page_around_a_statement_shows_nothing_of_it(portal):
    bn15 = accounts.with_statement(portal.ws)
    text = portal.get(page_of(bn15)).text
    assert '<iframe name="statement" sandbox ' in text
    assert text.count('target="statement"') == 3
    assert "Version 1, issued on 2022-01-25" in text
    assert re.search(r"\$[0-9]", text) is None
    assert shown_to(portal.ws) == []


def test_a_statement_is_shown_as_it_was_issued_and_can_do_nothing(portal):
    bn15 = accounts.with_statement(portal.ws)
    answer = open_as(portal, bn15, version="1")
    assert answer.content == read_statement(portal.ws, MONTH, bn15)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "sandbox;" in policy
    assert "script-src" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert shown_to(portal.ws) == [(bn15, {"by": "approver", "what": "statement 2022-01 v1, html, issued"})]


@pytest.mark.parametrize(("format", "begins"), [("pdf", b"%PDF-"), ("csv", b"bn15,period,")])
def test_a_pdf_and_a_csv_are_files_to_keep(portal, format, begins):
    bn15 = accounts.with_statement(portal.ws)
    answer = open_as(portal, bn15, format=format, version="1")
    assert answer.content == read_statement(portal.ws, MONTH, bn15, format)
    assert answer.content.startswith(begins)
    assert answer.headers["content-disposition"] == f'attachment; filename="{bn15}-2022-01-v1.{format}"'
    assert [what["what"] for _, what in shown_to(portal.ws)] == [f"statement 2022-01 v1, {format}, issued"]


@pytest.mark.parametrize(("own", "other"), [("en", "fr"), ("fr", "en")])
def test_in_the_clients_language_it_is_the_issued_one_and_in_the_other_one_it_says_the_same(portal, own, other):
    bn15 = accounts.with_statement(portal.ws, own)
    issued = read_statement(portal.ws, MONTH, bn15)
    assert open_as(portal, bn15, language=own).content == issued
    translated = open_as(portal, bn15, language=other).content
    assert f'<html lang="{own}'.encode() in issued
    assert f'<html lang="{other}'.encode() in translated
    assert figures(translated) == figures(issued)
    assert open_as(portal, bn15, language=other, format="pdf").content.startswith(b"%PDF-")


def figures(page):
    """The digits of each amount on a page, in order."""
    text = re.sub(r"<[^>]+>", " ", re.sub(rb"<style.*?</style>", b"", page, flags=re.S).decode())
    return [re.sub(r"\D", "", found) for found in re.findall(r"\d[\d,\u00a0]*[.,]\d\d(?!\d)", text)]


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"version": "2"}, 404), ({"version": "0"}, 422), ({"format": "json"}, 422), ({"language": "de"}, 422)],
)
def test_what_there_is_not_is_not_opened_and_not_recorded(portal, fields, status):
    bn15 = accounts.with_statement(portal.ws)
    assert open_as(portal, bn15, **fields).status_code == status
    assert shown_to(portal.ws) == []


@pytest.mark.parametrize(("month", "status"), [("2022-13", 422), ("..%2F2022-01", 404), ("2022-01%00", 422)])
def test_what_is_no_month_has_no_statement(portal, month, status):
    bn15 = accounts.with_statement(portal.ws)
    assert portal.get(f"/accounts/{bn15}/statements/{month}").status_code == status


def test_a_month_without_a_statement_says_so_and_opens_none(portal):
    bn15 = accounts.with_statement(portal.ws)
    token = portal.token(f"/accounts/{bn15}")
    path = f"/accounts/{bn15}/statements/2019-01"
    assert "No statement of this month was issued" in portal.get(path).text
    assert portal.get(f"{path}?version=1").status_code == 404
    answer = portal.post(path, data={"token": token})
    assert (answer.status_code, "run that month first" in answer.text) == (404, True)
    assert shown_to(portal.ws) == []


def test_a_statement_is_opened_by_nobody_who_may_not_see_figures(portal):
    bn15 = accounts.with_statement(portal.ws)
    token = portal.token(page_of(bn15))
    assert portal.post(page_of(bn15), data={"version": "1"}).status_code == 403
    portal.become("viewer")
    assert "<form" not in portal.get(page_of(bn15)).text
    answer = portal.post(page_of(bn15), data={"token": portal.token("/accounts")})
    assert answer.status_code == 403
    assert portal.post(page_of(bn15), data={"token": token}).status_code == 403
    portal.become(None)
    assert portal.get(page_of(bn15)).status_code == 401
    assert shown_to(portal.ws) == []
