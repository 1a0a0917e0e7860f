"""The Dag ``carm_approve_backfill``: an answer is about the rules and the policy that its question showed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.airflow_records import Answer
from include.backfill_approvals import Months, require_approved, versions_now
from include.carm.errors import Refused
from tests.pipeline import new_workspace

AT = "2022-04-01T10:00:00Z"


@pytest.mark.parametrize("is_as_shown", [True, False])
def test_the_question_on_record_decides_which_versions_were_shown(
    dag_bag: Any, tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, is_as_shown: bool
) -> None:
    ws = new_workspace(tmp_path / "data", sqlite_url)
    months = Months.of("2022-01", "2022-03")
    versions = versions_now(ws) if is_as_shown else versions_now(ws) | {"policy": "0" * 64}
    told = ", ".join(f"{name} `{version[:12]}`" for name, version in versions.items())
    question = {"responded_at": AT, "body": f"Read this.\n\nYour answer holds under these: {told}."}
    answered = {
        "answer": Answer("Approve", "checker", AT),
        "asked_by": "clerk",
        "also_asked_by": ("clerk",),
        "run_id": "manual__1",
    }
    record = dag_bag.dags["carm_approve_backfill"].get_task("record_answer").python_callable
    for name, stand_in in {
        "open_workspace": lambda: ws,
        "answer_of": lambda context, task_id: answered,
        "airflow_records": lambda: SimpleNamespace(api=SimpleNamespace(get=lambda path, accept: question)),
    }.items():
        monkeypatch.setitem(record.__globals__, name, stand_in)
    context = {
        "dag_run": SimpleNamespace(dag_id="carm_approve_backfill", run_id="manual__1"),
        "params": {"from_period": "2022-01", "to_period": "2022-03", "reason": "the schedule was off"},
    }
    if is_as_shown:
        assert record(**context)["decision"] == "approved"
        require_approved(ws, months.first)
    else:
        with pytest.raises(Refused, match="the policy changed since the question showed them"):
            record(**context)
        with pytest.raises(Refused, match="nobody approved it"):
            require_approved(ws, months.first)
