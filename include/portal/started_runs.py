"""Starting a run of a Dag from a form, and naming it in the address of the page that follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import HTTPException, Query

from include.portal.staff import Answer, Staff

StartedRun = Annotated[str, Query(pattern="^[A-Za-z0-9_.:+~-]*$", max_length=250)]
"""The run that was just started, in the address of a page; empty where none was."""


async def post_run(
    staff: Staff,
    dag_id: str,
    conf: Mapping[str, Any],
    *,
    partition_key: str | None = None,
    run_id: str | None = None,
) -> Answer:
    """Ask Airflow to start a run in the name of who asks; what it answers, each form says in its own words.

    Airflow answers 409 where a run has the name ``run_id`` already. Raises 403 for who may not start the Dag at all.
    """
    staff.require_start(dag_id)
    given = {name: value for name, value in (("partition_key", partition_key), ("dag_run_id", run_id)) if value}
    return await staff.ask_airflow("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, **given, "conf": conf})


async def start_run(staff: Staff, dag_id: str, conf: Mapping[str, Any]) -> str:
    """Start a run in the name of who asks; returns its id as it stands in an address.

    Raises 403 for who may not, and what Airflow answers where it starts none.
    """
    status, answer = await post_run(staff, dag_id, conf)
    if status != 200:
        code = status if status in (403, 404, 409) else 503
        raise HTTPException(code, f"no run was started: Airflow answered {status} for {dag_id}")
    return quote(answer["dag_run_id"], safe="")
