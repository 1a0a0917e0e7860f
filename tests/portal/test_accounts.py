"""The page of an account: all that is known of it, and no figure and no address before it is recorded who sees them."""

import re
from datetime import date

import pyarrow.parquet as pq
import pytest
from sqlalchemy import insert, select

from include.carm.period import Period
from include.database import write_transaction
from include.operations_notice_tables import OUTBOX
from include.portal.accounts_register import tell_force
from include.portal.figures import MASKED, write_cents
from include.verify import verify
from tests.portal import accounts
from tests.portal.accounts import ACCOUNTS, DELEGATIONS, one, rewrite, shown_to

DOLLARS = re.compile(r"\$[0-9]")


def unmask(portal, path, **more):
    return portal.post(f"{path}/unmask", data={"token": portal.token(path), **more})


def test_figures_and_addresses_are_masked_until_it_is_recorded_who_sees_them(portal):
    bn15 = accounts.with_statement(portal.ws)
    facts = pq.read_table(portal.ws.lake().file("account_facts", Period(2022, 1)), filters=[("bn15", "=", bn15)])
    balance = write_cents(facts.column("balance_cents")[0].as_py())
    email = one(portal.ws, select(ACCOUNTS.c.email).where(ACCOUNTS.c.bn15 == bn15))
    links = verify(portal.ws)["links"]
    masked = portal.get(f"/accounts/{bn15}")
    assert masked.status_code == 200
    assert MASKED in masked.text
    assert (DOLLARS.search(masked.text), "@" in masked.text) == (None, False)
    assert shown_to(portal.ws) == []

    shown = unmask(portal, f"/accounts/{bn15}")
    assert shown.status_code == 200
    assert f"<dd>{balance}</dd>" in shown.text
    assert email in shown.text
    assert MASKED not in shown.text
    assert shown_to(portal.ws) == [(bn15, {"by": "approver", "what": "account page"})]
    assert verify(portal.ws)["links"] == links + 1


def test_who_may_not_see_figures_is_shown_none_and_no_form(portal):
    bn15 = accounts.with_statement(portal.ws)
    token = portal.token(f"/accounts/{bn15}")
    portal.become("viewer")
    page = portal.get(f"/accounts/{bn15}")
    assert page.status_code == 200
    assert "<form" not in page.text
    assert "masked: they are shown to who may start" in page.text
    own = portal.token("/accounts")
    for path in ("", "/transactions", "/export_declarations"):
        assert portal.post(f"/accounts/{bn15}{path}/unmask", data={"token": own}).status_code == 403
        assert portal.post(f"/accounts/{bn15}{path}/unmask", data={"token": token}).status_code == 403
    assert shown_to(portal.ws) == []


def test_a_form_of_nobody_or_somebody_else_unmasks_nothing(portal):
    bn15 = accounts.with_statement(portal.ws)
    token = portal.token(f"/accounts/{bn15}")
    assert portal.post(f"/accounts/{bn15}/unmask").status_code == 403
    portal.become("another", "carm_reinstate_account")
    assert portal.post(f"/accounts/{bn15}/unmask", data={"token": token}).status_code == 403
    portal.become(None)
    assert portal.post(f"/accounts/{bn15}/unmask", data={"token": token}).status_code == 401
    assert portal.get(f"/accounts/{bn15}").status_code == 401
    assert shown_to(portal.ws) == []


@pytest.mark.parametrize(
    ("number", "status"),
    [
        ("000000018RM0001", 404),
        ("000806868RM0001", 400),
        ("000806869RM0000", 400),
        ("000806869rm0001", 422),
        ("000806869RM0001%0A", 422),
        ("..%2F..%2Fmonths", 404),
        ("1' OR 1=1", 422),
    ],
)
def test_what_is_no_account_has_no_page(portal, number, status):
    answer = portal.get(f"/accounts/{number}")
    assert answer.status_code == status
    assert "OR 1=1" not in answer.text


def test_what_the_register_says_is_shown_as_text(portal):
    bn15 = accounts.with_statement(portal.ws)
    rewrite(portal.ws, bn15, legal_name="<script>alert(1)</script>", status="'\"><b>")
    text = portal.get(f"/accounts/{bn15}").text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
    assert "<b>" not in text


def test_every_decision_leads_to_its_why_card_and_every_version_to_its_statement(portal):
    bn15 = accounts.with_statement(portal.ws)
    text = portal.get(f"/accounts/{bn15}").text
    assert re.findall(rf'<a href="../review/([0-9-]+)/accounts/{bn15}">', text) == ["2022-01", "2021-12"]
    assert f'<a href="../accounts/{bn15}/statements/2022-01?version=1">' in text


def test_the_decisions_of_a_year_are_shown_and_the_others_are_asked_for(portal):
    bn15, lake = accounts.with_statement(portal.ws), portal.ws.lake()
    table = pq.read_table(lake.file("account_decisions", Period(2021, 12)), partitioning=None)
    for month in (Period(2021, number) for number in range(1, 12)):
        if month == Period(2021, 1):
            assert "decisions=all" not in portal.get(f"/accounts/{bn15}").text
        lake.publish_and_seal("account_decisions", month, table, run_id="test")

    def months(path):
        return re.findall(rf'<a href="../review/([0-9-]+)/accounts/{bn15}">', portal.get(path).text)

    assert "decisions=all" in portal.get(f"/accounts/{bn15}").text
    assert (len(months(f"/accounts/{bn15}")), months(f"/accounts/{bn15}")[-1]) == (12, "2021-02")
    assert len(months(f"/accounts/{bn15}?decisions=all")) == 13


def test_an_account_that_a_plan_closed_shows_both_versions_the_change_and_what_was_told(portal):
    bn15 = accounts.closed(portal.ws)
    text = portal.get(f"/accounts/{bn15}").text
    versions = re.search(r"<caption>As they stand in the register now.*?</table>", text, re.S)[0]
    days = re.findall(r'<th scope="row" class="day">([^<]+)</th>', versions)
    assert len(days) == 2
    assert days == sorted(days, reverse=True)
    assert re.search(r'<td>close</td><td class="day">[0-9-]+</td><td>no activity 4 years</td><td>applied</td>', text)
    told = one(portal.ws, select(OUTBOX.c.message_key).where(OUTBOX.c.about.startswith(f"{bn15}/")))
    assert f'<a href="../outbox/messages/{told}">{told[:12]}</a> to <span aria-hidden="true">{MASKED}</span>' in text


def test_employees_and_providers_who_may_see_it_stand_apart_and_their_addresses_are_masked(portal):
    bn15 = accounts.with_statement(portal.ws)
    provider = bn15[:9]
    rows = [
        {"name": "Employee Four", "role": "editor", "provider_bn9": None, "valid_to": date(2022, 1, 24)},
        {"name": "Provider Five", "role": "reader", "provider_bn9": provider, "valid_to": date(2022, 1, 25)},
        {"name": "Provider Six", "role": "reader", "provider_bn9": "not a number", "valid_to": None},
    ]
    common = {"bn15": bn15, "email": "who@example.com", "valid_from": date(2021, 1, 1)}
    with write_transaction(portal.ws.operations) as connection:
        connection.execute(DELEGATIONS.delete())
        connection.execute(insert(DELEGATIONS), [{**common, **row} for row in rows])
    name = one(portal.ws, select(ACCOUNTS.c.legal_name).where(ACCOUNTS.c.bn15 == bn15))
    text = portal.get(f"/accounts/{bn15}").text
    employees, providers = text.split("<h3>Service providers</h3>")
    employees = employees.split("<h3>Employees</h3>")[1]
    assert employees.count("</tr>") == 2
    assert "ended" in employees
    assert re.search(rf"</th><td>{re.escape(name)}, {provider}</td>.*?in force", providers)
    assert "not a number" in providers
    assert not [told for told in ("who@example.com", "Employee Four", "Provider Five") if told in text]
    unmasked = unmask(portal, f"/accounts/{bn15}").text
    employees = unmasked.split("<h3>Employees</h3>")[1].split("<h3>Service providers</h3>")[0]
    assert "Employee Four" in employees
    assert "Provider" not in employees
    assert "who@example.com" in unmasked


@pytest.mark.parametrize(
    ("first", "end", "force"),
    [
        ("2022-01-24", None, "in force"),
        ("2022-01-25", None, "not yet"),
        ("2021-01-01", "2022-01-25", "in force"),
        ("2021-01-01", "2022-01-24", "ended"),
        (None, None, "not yet"),
    ],
)
def test_a_delegation_holds_from_its_first_day_to_the_day_before_it_ends(first, end, force):
    assert tell_force({"valid_from": first, "valid_to": end}, date(2022, 1, 24)) == force


# Transactions


def keys(text):
    return re.findall(r'<tr><th scope="row">([^<]+)</th>', text)


def test_the_pages_of_its_transactions_hold_each_once_the_latest_posting_first(portal):
    bn15 = accounts.busiest(portal.ws)
    first = portal.get(f"/accounts/{bn15}/transactions")
    count, pages = (
        int(found.replace(",", ""))
        for found in re.search(r"of ([0-9,]+), the latest.*?Page 1 of ([0-9,]+)<", first.text, re.S).groups()
    )
    assert count > 100
    assert pages == -(-count // 50)
    seen, posted = [], []
    for page in range(1, pages + 1):
        text = portal.get(f"/accounts/{bn15}/transactions?page={page}").text
        seen += keys(text)
        posted += re.findall(
            r'<td class="day">([0-9-]{10})</td><td class="day">[0-9–-]+</td><td>[a-z ]+</td><td>[0-9]+</td>', text
        )
        assert ("Later ones" in text, "Earlier ones" in text) == (page > 1, page < pages)
    assert (len(seen), len(set(seen))) == (count, count)
    assert len(posted) == count
    assert posted == sorted(posted, reverse=True)
    beyond = portal.get(f"/accounts/{bn15}/transactions?page={pages + 1}")
    assert (beyond.status_code, "There is no such page" in beyond.text) == (200, True)


def test_a_transaction_is_shown_as_its_latest_revision_has_it(portal):
    lake = portal.ws.lake()
    columns = ["transaction_id", "revision", "bn15", "status", "arrival", "account_key"]
    rows = [
        row
        for path in (*lake.files("baseline_transactions"), *lake.files("transactions"))
        for row in pq.read_table(path, columns=columns, partitioning=None).to_pylist()
        if row["arrival"] not in ("moved", "restored", "vanished")
    ]
    latest = {}
    for row in sorted(rows, key=lambda row: row["revision"]):
        latest[row["transaction_id"]] = row
    revised = next(row for row in latest.values() if row["revision"] > 1)
    for page in range(1, 50):
        text = portal.get(f"/accounts/{revised['bn15']}/transactions?page={page}").text
        if found := re.search(rf'<th scope="row">{revised["transaction_id"]}</th>.*', text):
            break
    word = revised["status"].replace("_", " ")
    assert f"<td>{word}</td><td>{revised['revision']}</td>" in found[0]


@pytest.mark.parametrize("feed", ["transactions", "export_declarations"])
def test_amounts_of_items_are_masked_until_it_is_recorded_who_sees_them(portal, feed):
    lake = portal.ws.lake()
    bn15 = pq.read_table(lake.file(feed, Period(2022, 1)), columns=["bn15"]).column("bn15")[0].as_py()
    path = f"/accounts/{bn15}/{feed}"
    masked = portal.get(path).text
    assert keys(masked)
    assert DOLLARS.search(masked) is None
    shown = unmask(portal, path, page="1").text
    assert keys(shown) == keys(masked)
    assert DOLLARS.search(shown)
    assert shown_to(portal.ws) == [(bn15, {"by": "approver", "what": f"{feed.replace('_', ' ')}, page 1"})]


@pytest.mark.parametrize("path", ["transactions?page=0", "transactions?page=x", "accounts", "..%2f..%2fmonths"])
def test_what_is_no_page_of_items_is_none(portal, path):
    bn15 = accounts.with_statement(portal.ws)
    assert portal.get(f"/accounts/{bn15}/{path}").status_code in (404, 422)
