"""From a run in Airflow to what it is about."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, select, update

from include.database import write_transaction
from include.operations_plan_tables import PLANS
from tests.portal.test_months import a_run


def lead(portal, dag_id="carm_month", **run):
    """The answer to whoever opens the tab of this run."""
    answer = a_run(**run) | {"dag_id": dag_id, "dag_run_id": "manual 1"}
    portal.airflow.answers[("GET", f"/dags/{dag_id}/dagRuns/manual%201")] = 200, answer
    return portal.get("/dag-run", params={"dag_id": dag_id, "run_id": "manual 1"})


def plan_hash(portal):
    with portal.ws.operations.connect() as connection:
        return connection.execute(select(PLANS.c.plan_hash).where(PLANS.c.period == "2022-01")).scalar_one()


BN15 = "123456782RM0001"


@pytest.mark.parametrize(
    ("dag_id", "run", "page"),
    [
        ("carm_month", {}, "review/2022-01?plan={plan}"),
        ("carm_month", {"conf": {}, "partition_key": "2021-12"}, "review/2021-12"),
        # A run that drew up no plan, or stopped, shows where it stands.
        ("carm_month", {"period": "2022-03"}, "months/2022-03"),
        ("carm_month", {"state": "failed"}, "months/2022-01"),
        ("carm_reinstate_account", {"conf": {"bn15": BN15}}, f"accounts/{BN15}"),
        ("carm_restate", {"conf": {"bn15": BN15, "period": "2022-01"}}, f"accounts/{BN15}"),
        ("carm_unlock_month", {}, "months/2022-01"),
        ("carm_webinar_notices", {}, "outbox?period=2022-01"),
        ("carm_deliver", {"conf": None}, "outbox"),
    ],
)
def test_a_run_leads_to_what_it_is_about(portal, dag_id, run, page):
    answer = lead(portal, dag_id, **run)
    assert (answer.status_code, answer.headers["location"]) == (303, page.format(plan=plan_hash(portal)))


def test_of_several_plans_a_run_leads_to_the_one_that_it_made(portal):
    with write_transaction(portal.ws.operations) as connection:
        (made,) = connection.execute(select(PLANS).where(PLANS.c.period == "2022-01")).mappings()
        another = {**made, "plan_hash": "f" * 64, "effects": "shadow", "run_id": "manual 1"}
        connection.execute(insert(PLANS), [another])
    assert lead(portal, effects="live").headers["location"] == f"review/2022-01?plan={'f' * 64}"
    with write_transaction(portal.ws.operations) as connection:
        connection.execute(update(PLANS).where(PLANS.c.plan_hash == "f" * 64).values(run_id="manual 2"))
    assert lead(portal, effects="live").headers["location"] == f"review/2022-01?plan={made['plan_hash']}"


@pytest.mark.parametrize("run_id", ["manual 1/taskInstances", "..", "."])
def test_what_is_no_name_of_a_run_is_not_asked_for(portal, run_id):
    answer = portal.get("/dag-run", params={"dag_id": "carm_month", "run_id": run_id})
    assert answer.status_code == 404
    assert portal.airflow.asked == []


def test_an_approval_leads_to_its_plan(portal):
    of_plan = plan_hash(portal)
    answer = lead(portal, "carm_apply_plan", conf={"plan_hash": of_plan})
    assert answer.headers["location"] == f"review/2022-01?plan={of_plan}"


@pytest.mark.parametrize(
    ("dag_id", "conf"),
    [
        ("carm_month", {}),
        ("carm_month", {"period": "../../etc"}),
        ("carm_month", {"period": ["2022-01"]}),
        ("carm_apply_plan", {"plan_hash": "0" * 64}),
        ("carm_apply_plan", {"plan_hash": "' OR 1=1 --"}),
        ("carm_reinstate_account", {"bn15": "//elsewhere.example"}),
        ("somebody_elses", {"period": "2022-01"}),
    ],
)
def test_a_run_about_nothing_that_has_a_page_says_so(portal, dag_id, conf):
    answer = lead(portal, dag_id, conf=conf)
    assert answer.status_code == 200
    assert f"Run of {dag_id}" in answer.text


def test_a_run_that_airflow_does_not_show_is_not_there(portal):
    answer = portal.get("/dag-run", params={"dag_id": "carm_month", "run_id": "manual 2"})
    assert answer.status_code == 404
    assert "Airflow knows no such run" in answer.text
