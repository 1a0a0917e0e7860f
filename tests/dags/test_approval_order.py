"""The order of the Dag ``carm_apply_plan``: a person is asked once, and nothing goes on without a recorded approval."""

from datetime import timedelta
from itertools import pairwise

import pytest

from include.carm.errors import Refused, Unavailable

CHAIN = ["check_plan", "approval", "record_answer", "apply_plan", "publish_notices", "close_month"]


@pytest.fixture
def approval_dag(dag_bag):
    return dag_bag.dags["carm_apply_plan"]


def test_each_step_waits_for_the_one_before(approval_dag):
    followed = {task.task_id: task.upstream_task_ids for task in approval_dag.tasks}
    assert followed == {
        CHAIN[0]: set(),
        **{task_id: {before} for before, task_id in pairwise(CHAIN)},
    }


def test_only_the_answer_is_looked_at_whatever_came_of_the_question(approval_dag):
    rules = {task.task_id: task.trigger_rule.value for task in approval_dag.tasks}
    assert rules.pop("record_answer") == "all_done"
    assert set(rules.values()) == {"all_success"}


def test_no_answer_is_no_approval(approval_dag):
    question = approval_dag.get_task("approval")
    assert (question.options, question.defaults, question.multiple) == (["Approve", "Reject"], None, False)
    assert question.response_timeout == timedelta(days=14)
    assert question.fail_on_reject


def test_a_plan_that_waits_does_not_keep_another_one_from_being_asked_about(approval_dag):
    assert approval_dag.max_active_runs > 1


def test_an_answered_question_is_not_asked_again_by_itself(approval_dag):
    from airflow.providers.standard.exceptions import HITLRejectException, HITLTimeoutError

    policy = approval_dag.get_task("approval").retry_policy
    for error in (HITLRejectException("no"), HITLTimeoutError("too late"), Refused("not now")):
        assert policy.evaluate(error, 1, 3).action.value == "fail"
    assert policy.evaluate(Unavailable("locked"), 1, 3).action.value == "default"


def test_what_a_person_reads_is_written_when_the_question_is_asked(approval_dag):
    question = approval_dag.get_task("approval")
    assert "xcom" not in question.body, "whoever may edit a run could change what the approver reads"
    assert set(approval_dag.user_defined_macros) == {"plan_form"}
