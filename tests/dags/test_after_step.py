"""The log of each task ends with one line that a person on call can use."""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("task_id", "result", "expected"),
    [
        ("extract.extract_feeds", {"months": 49, "rows": {"accounts": 5350}}, "months 49, rows accounts 5,350"),
        (
            "clean_up.plan",
            {"plan_hash": "ab", "state": "held", "reason": "too many would change", "changes": 900},
            "held; too many would change; changes 900",
        ),
        ("close_month", {"result": "unchanged", "closing_cents": 5}, "unchanged"),
        ("check_lock", None, "nothing to count"),
        ("statements.statement_lines", [{"shard": "0001"}], "1 parts"),
    ],
)
def test_the_last_line_says_what_was_done_in_numbers(
    dag_bag: Any, caplog: pytest.LogCaptureFixture, task_id: str, result: Any, expected: str
) -> None:
    after_step = sys.modules["task_settings"].after_step
    with caplog.at_level(logging.INFO, logger="task_settings"):
        after_step({"ti": SimpleNamespace(task_id=task_id)}, result)
    assert [record.getMessage() for record in caplog.records] == [f"{task_id.rpartition('.')[2]} is done: {expected}"]


def test_every_task_ends_so(dag_bag: Any) -> None:
    hooks = {
        (task.partial_kwargs["post_execute"] if task.is_mapped else task._post_execute_hook).__name__
        for dag in dag_bag.dags.values()
        for task in dag.tasks
    }
    assert hooks == {"after_step"}
