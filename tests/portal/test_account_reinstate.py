"""An account is reinstated by a run of the Dag that does it, started by who may start it, and never by the page."""

from datetime import date

import pytest

from tests.portal import accounts
from tests.portal.accounts import rewrite

DAG = "carm_reinstate_account"
RUNS = ("POST", f"/dags/{DAG}/dagRuns")
RUN = "manual__2022-02-01T10:00:00+00:00_x"
FILLED = {"reason": "closed by mistake", "effective_on": "2022-01-25"}


@pytest.fixture
def closed(portal):
    """An account that was closed, and an Airflow that starts runs."""
    portal.airflow.answers[RUNS] = (200, {"dag_run_id": RUN})
    return accounts.closed(portal.ws)


def fill_in(portal, bn15, **fields):
    token = portal.token(f"/accounts/{bn15}")
    portal.airflow.asked.clear()
    return portal.post(f"/accounts/{bn15}/reinstate", data={"token": token, **FILLED, **fields})


def test_the_form_starts_a_run_with_what_was_filled_in_and_leads_back(portal, closed):
    page = portal.get(f"/accounts/{closed}").text
    assert 'min="20' in page
    assert "The account is closed since" in page
    answer = fill_in(portal, closed)
    assert answer.status_code == 303
    conf = {"bn15": closed, "reason": "closed by mistake", "effective_on": "2022-01-25"}
    assert portal.airflow.asked == [(*RUNS, {"logical_date": None, "conf": conf})]
    back = portal.get(f"/accounts/x/{answer.headers['location']}".replace("/x/..", ""))
    assert back.status_code == 200
    assert f'href="../../dags/{DAG}/runs/manual__2022-02-01T10%3A00%3A00%2B00%3A00_x" target="_top"' in back.text


def test_what_airflow_refuses_is_told_in_one_line(portal, closed):
    portal.airflow.answers[RUNS] = (400, {"detail": "Invalid input for param reason: too short\n\nFailed validating"})
    answer = fill_in(portal, closed)
    assert answer.status_code == 400
    assert "No run was started: Airflow answered 400, Invalid input for param reason: too short." in answer.text
    assert "Failed validating" not in answer.text
    portal.airflow.answers[RUNS] = (503, None)
    assert "Airflow answered 503, it does not say why" in fill_in(portal, closed).text


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"reason": "no"}, 422),
        ({"reason": "x" * 501}, 422),
        ({"reason": "hid\u202eden"}, 400),
        ({"effective_on": "soon"}, 422),
        ({"effective_on": ""}, 422),
    ],
)
def test_what_cannot_be_is_refused_before_airflow_is_asked(portal, closed, fields, status):
    assert fill_in(portal, closed, **fields).status_code == status
    assert portal.airflow.asked == []


def test_who_may_not_start_the_dag_has_no_form_and_starts_nothing(portal, closed):
    token = portal.token(f"/accounts/{closed}")
    portal.become("viewer")
    assert "can be undone by who may start carm_reinstate_account" in portal.get(f"/accounts/{closed}").text
    data = {**FILLED, "token": portal.token("/accounts")}
    assert portal.post(f"/accounts/{closed}/reinstate", data=data).status_code == 403
    assert portal.post(f"/accounts/{closed}/reinstate", data={**data, "token": token}).status_code == 403
    portal.become("approver", DAG)
    assert portal.post(f"/accounts/{closed}/reinstate", data=FILLED).status_code == 403
    portal.become(None)
    assert portal.post(f"/accounts/{closed}/reinstate", data=data).status_code == 401
    assert portal.airflow.asked == []


def test_an_account_with_nothing_to_undo_has_no_form(portal):
    bn15 = accounts.with_statement(portal.ws)
    assert "Not now: there is nothing to undo" in portal.get(f"/accounts/{bn15}").text
    assert f"{bn15}/reinstate" not in portal.get(f"/accounts/{bn15}").text


def test_an_account_that_another_hand_closed_may_be_reinstated(portal):
    bn15 = accounts.with_statement(portal.ws)
    rewrite(portal.ws, bn15, status="closed", valid_from=date(2022, 1, 30))
    text = portal.get(f"/accounts/{bn15}").text
    assert "The account is closed since 2022-01-30" in text
    assert f'action="../accounts/{bn15}/reinstate"' in text


@pytest.mark.parametrize("started", ["../x", "<script>", "a b", "a" * 251])
def test_a_run_that_is_no_run_is_not_linked(portal, closed, started):
    assert portal.get(f"/accounts/{closed}", params={"started": started}).status_code == 422
