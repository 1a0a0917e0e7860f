"""The order of the Dag ``carm_month``: what waits for what, and what ends it."""

import pytest

# Task by task, what it follows directly, apart from open_month, whose answer every task takes.
ORDER = {
    "extract.extract_feeds": set(),
    "validate.validate_and_seal": {"extract.extract_feeds"},
    "publish_activity": {"validate.validate_and_seal"},
    "clean_up.plan": {"publish_activity"},
    "clean_up.apply_plan": {"clean_up.plan"},
    "statements.statement_lines": {"publish_activity"},
    "statements.render_shard": {"statements.statement_lines"},
    "statements.render_brokers": {"statements.statement_lines"},
    "statements.register_statements": {"statements.render_shard", "statements.render_brokers"},
    "notices.publish_notices": {"clean_up.apply_plan", "statements.register_statements"},
    "close_month": {"notices.publish_notices"},
}


def test_the_month_runs_in_its_order(month_dag):
    found = {task.task_id: task.upstream_task_ids - {"open_month"} for task in month_dag.tasks}
    assert found.pop("open_month") == set()
    del found["watcher"]
    assert found == ORDER


@pytest.mark.parametrize("task_id", ORDER)
def test_every_step_waits_for_the_lock(month_dag, task_id):
    assert "open_month" in month_dag.get_task(task_id).upstream_task_ids


def test_the_groups_are_those_of_the_month(month_dag):
    groups = set(month_dag.task_group.children) - {"open_month", "publish_activity", "close_month", "watcher"}
    assert groups == {"extract", "validate", "clean_up", "statements", "notices"}


def test_only_the_last_step_tells_other_dags_and_it_tells_them_once(month_dag):
    with_outlet = {task.task_id: [asset.name for asset in task.outlets] for task in month_dag.tasks if task.outlets}
    assert with_outlet == {"close_month": ["statement_month"]}
    assert not month_dag.get_task("close_month").is_mapped
    assert month_dag.get_task("close_month").downstream_task_ids == {"watcher"}


def test_only_the_shards_are_mapped_and_each_is_named(month_dag):
    assert [task.task_id for task in month_dag.tasks if task.is_mapped] == ["statements.render_shard"]
    assert month_dag.get_task("statements.render_shard").map_index_template


def test_a_month_without_statements_is_registered_too(month_dag):
    assert month_dag.get_task("statements.register_statements").trigger_rule == "none_failed"


def test_no_step_runs_after_a_failure_but_the_watcher_that_makes_the_run_red(month_dag):
    rules = {task.task_id: task.trigger_rule.value for task in month_dag.tasks}
    watcher = month_dag.get_task("watcher")
    assert rules.pop("watcher") == "one_failed"
    assert watcher.upstream_task_ids == set(rules)
    assert set(rules.values()) == {"all_success", "none_failed"}
    with pytest.raises(RuntimeError, match="see the log of the task that failed"):
        watcher.python_callable()


def test_heavy_work_and_writing_work_take_turns(month_dag):
    heavy = {task.task_id for task in month_dag.tasks if task.pool == "carm_compute"}
    assert heavy == {
        "publish_activity",
        "statements.statement_lines",
        "statements.render_shard",
        "statements.render_brokers",
    }
