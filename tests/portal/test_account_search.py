"""An account is found by number or name, and a name that was asked for stands in no address."""

import re

import pyarrow.parquet as pq
import pytest

from include.carm.period import Period
from include.portal.accounts_search import name_pattern


def search(portal, asked):
    return portal.post("/accounts/search", data={"asked": asked, "token": portal.token("/accounts")})


def found(answer):
    return re.findall(r'<th scope="row"><a href="../accounts/([^"]+)">', answer.text)


def give_names(ws, names):
    """Publish the newest accounts anew, the first of them with these legal names."""
    period = Period(2022, 1)
    rows = pq.read_table(ws.lake().file("accounts", period), partitioning=None)
    changed = [*names, *rows.column("legal_name").to_pylist()[len(names) :]]
    place = rows.schema.get_field_index("legal_name")
    rows = rows.set_column(place, rows.schema.field(place), [changed])
    ws.lake().publish_and_seal("accounts", period, rows, run_id="test")
    return rows.column("bn15").to_pylist()[: len(names)]


@pytest.mark.parametrize(
    ("asked", "name", "is_found"),
    [
        ("quebec", "Importations Québec ltée", True),
        ("QUÉBEC", "importations quebec", True),
        ("québec", "IMPORTATIONS QUE\u0301BEC", True),
        ("quebec", "Quebcc", False),
        ("soeur", "Chez Ma Sœur", True),
        ("sœur", "CHEZ MA SOEUR", True),
        ("strasse", "Straße 7", True),
        ("l'atelier", "L’Atelier", True),
        ("a b", "A\u00a0B inc.", True),
        ("a  b", "AB inc.", False),
        ("a.b", "axb", False),
        ("(x", "(X) & co", True),
        ("100%", "100% Laine", True),
        ("ño", "Nordic NO", True),
        ("Ж", "ООО Жар", True),
    ],
)
def test_a_name_is_found_whatever_its_accents_and_capitals(asked, name, is_found):
    assert (re.search(name_pattern(asked), name) is not None) == is_found


def test_an_own_number_in_any_spelling_leads_to_its_page(portal):
    for asked in ("000806869RM0001", " 000806869 rm 0001 ", "000806869-rm-0001"):
        answer = search(portal, asked)
        assert (answer.status_code, answer.headers["location"]) == (303, "000806869RM0001")
    assert answer.headers["cache-control"] == "no-store"


def test_the_number_of_a_firm_finds_all_its_accounts_and_no_other(portal):
    lake = portal.ws.lake()
    numbers = pq.read_table(lake.file("accounts", Period(2022, 1)), columns=["bn15"]).column("bn15").to_pylist()
    firms = [number[:9] for number in numbers]
    firm = next(firm for firm in firms if firms.count(firm) > 1)
    answer = search(portal, f"{firm[:3]} {firm[3:6]} {firm[6:]}")
    assert found(answer) == sorted(number for number in numbers if number.startswith(firm))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("000806868", "check digit"),
        ("x", "at least 2 letters"),
        ("", "at least 2 letters"),
        ("bad\u202ename", "cannot be seen"),
    ],
)
def test_what_cannot_be_looked_for_is_said_beside_the_form(portal, asked, told):
    answer = search(portal, asked)
    assert answer.status_code == 200
    assert told in re.search(r'role="alert">([^<]+)<', answer.text)[1]
    assert found(answer) == []


@pytest.mark.parametrize("asked", ["' OR 1=1 --", "%", "zz'); DROP TABLE accounts; --", ".*", "[a-z]+", "\\"])
def test_a_name_is_no_statement_and_no_pattern(portal, asked):
    answer = search(portal, asked + asked)
    assert answer.status_code == 200
    assert "No account of the newest month" in answer.text


def test_names_and_what_was_asked_for_are_shown_as_text(portal):
    (number,) = give_names(portal.ws, ["<script>alert(1)</script> & Sons"])
    answer = search(portal, "<script>")
    assert found(answer) == [number]
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Sons" in answer.text
    assert 'value="&lt;script&gt;"' in answer.text


@pytest.mark.parametrize(("named", "told"), [(50, "50 accounts."), (51, "The first 50 of more")])
def test_at_most_fifty_are_shown_and_who_finds_more_is_told_to_narrow_it(portal, named, told):
    numbers = give_names(portal.ws, [f"Zygomorphe {place}" for place in range(named)])
    answer = search(portal, "zygomorphe")
    assert found(answer) == numbers[:50]
    assert told in answer.text


def test_a_form_of_somebody_else_or_of_nobody_finds_nothing(portal):
    token = portal.token("/accounts")
    assert portal.post("/accounts/search", data={"asked": "inc"}).status_code == 403
    portal.become("somebody else")
    assert portal.post("/accounts/search", data={"asked": "inc", "token": token}).status_code == 403
    portal.become(None)
    assert portal.post("/accounts/search", data={"asked": "inc", "token": token}).status_code == 401
    assert portal.get("/accounts").status_code == 401


def test_a_viewer_may_look(portal):
    portal.become("viewer")
    assert found(search(portal, "inc"))


def test_the_form_sends_a_name_in_no_address(portal):
    assert 'method="post" action="accounts/search"' in portal.get("/accounts").text
    assert portal.get("/accounts/search?asked=inc").status_code in (404, 405, 422)
