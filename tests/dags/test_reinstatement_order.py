"""The client is told once the account is open again, and not before."""

from typing import Any


def test_the_notice_follows_the_act_and_takes_what_it_did(dag_bag: Any) -> None:
    dag = dag_bag.dags["carm_reinstate_account"]
    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == {
        "reinstate_account": set(),
        "publish_notice": {"reinstate_account"},
    }
