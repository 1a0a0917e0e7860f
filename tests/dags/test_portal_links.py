"""From a task to the page that shows what it made, also behind a proxy."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests.dags.conftest import serialised


@pytest.fixture
def portal_links(dag_bag: Any) -> Any:
    return sys.modules["portal_links"]


def instance(**changed: Any) -> Any:
    """A task instance at its end, as far as a link looks at it."""
    context = {"params": {}, "dag_run": SimpleNamespace(partition_key=None)} | changed
    return SimpleNamespace(get_template_context=lambda: context)


def links_of(dag: Any, task_id: str, ended: Any) -> dict[str, str]:
    task = dag.get_task(task_id)
    return {link.name: link.get_link(task, ti_key=ended) for link in task.operator_extra_links}


@pytest.mark.parametrize(
    ("base_url", "prefix"),
    [
        ("http://127.0.0.1:8080", ""),
        ("https://airflow.example/", ""),
        ("https://portal.example/team/airflow", "/team/airflow"),
        ("https://portal.example/team/airflow/", "/team/airflow"),
    ],
)
def test_a_link_is_a_path_below_the_prefix_of_the_proxy(
    month_dag: Any, monkeypatch: pytest.MonkeyPatch, base_url: str, prefix: str
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    of_december = instance(params={"period": "2021-12"})
    assert links_of(month_dag, "clean_up.plan", of_december) == {"Review": f"{prefix}/carm/review/2021-12"}
    assert links_of(month_dag, "close_month", of_december)["Certificate"] == f"{prefix}/carm/months/2021-12/certificate"


def test_the_month_is_the_parameter_else_the_partition_else_all_months(month_dag: Any) -> None:
    of_partition = instance(dag_run=SimpleNamespace(partition_key="2021-11"))
    assert links_of(month_dag, "validate.validate_and_seal", of_partition)["Quarantine"].endswith(
        "/carm/quarantine/2021-11"
    )
    assert links_of(month_dag, "validate.validate_and_seal", instance())["Quarantine"].endswith("/carm/months")


def test_what_is_no_month_leads_nowhere_else(portal_links: Any) -> None:
    assert portal_links.portal_path("review/{month}", "../../evil?x=").endswith("/carm/review/..%2F..%2Fevil%3Fx%3D")


def test_every_step_but_the_shards_leads_to_a_page(dag_bag: Any) -> None:
    without = {
        (dag_id, task.task_id)
        for dag_id, dag in dag_bag.dags.items()
        for task in dag.tasks
        if not task.operator_extra_links
    }
    assert without == {
        ("carm_month", "statements.render_shard"),
        ("carm_month", "statements.render_brokers"),
        ("carm_month", "watcher"),
        *((dag_id, "approval") for dag_id in ("carm_apply_plan", "carm_approve_backfill", "carm_unlock_month")),
        ("carm_apply_plan", "check_plan"),
        ("carm_unlock_month", "check_lock"),
        ("carm_reinstate_account", "reinstate_account"),
    }


def test_the_server_needs_no_plugin_to_know_the_links(dag_bag: Any, portal_links: Any) -> None:
    for dag in dag_bag.dags.values():
        for task in serialised(dag).tasks:
            told = {link.name: link.xcom_key for link in task.operator_extra_links}
            ours = dag.get_task(task.task_id).operator_extra_links
            assert told == {link.name: link.xcom_key for link in ours}
            assert len(set(told.values())) == len(ours)


def test_no_page_is_named_for_a_task_that_is_not_there(dag_bag: Any, portal_links: Any) -> None:
    names = {task.task_id.rpartition(".")[2] for dag in dag_bag.dags.values() for task in dag.tasks}
    assert set(portal_links.PAGES) <= names
