"""What the Dag files take from Airflow and hand to the steps: period, workspace, and the settings every task shares.

Beside the Dag files this is the only module that imports Airflow. It reads no clock and touches no data.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pendulum
from airflow.sdk import Connection, ExceptionRetryPolicy, Param, RetryAction, RetryRule

from include.carm.errors import DataError, Refused, UsageError
from include.carm.period import Period

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.workspace import Workspace

DATABASE_POOL = "carm_database"  # One slot: a single writer is all that SQLite allows.
COMPUTE_POOL = "carm_compute"  # Two slots: for work that fills a core or a gigabyte.

# A Dag with a schedule starts its latest month as soon as it is unpaused; one without cannot be backfilled. So the
# schedule is always there, and this end keeps it from starting anything unless CARM_SCHEDULE=on. Backfills and runs by
# hand do not look at it: a partitioned run has no logical date that could lie after the end.
SCHEDULE_END = None if os.environ.get("CARM_SCHEDULE") == "on" else pendulum.datetime(2000, 1, 1)

TASK_DEFAULTS: dict[str, Any] = {
    "owner": "carm",
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            RetryRule(
                exception=[DataError, Refused, UsageError],
                action=RetryAction.FAIL,
                reason="the same data under the same rules give the same answer again",
            )
        ]
    ),
}

MONTH_PARAMS: dict[str, Param] = {
    "period": Param(
        None,
        type=["null", "string"],
        pattern="^[0-9]{4}-(0[1-9]|1[0-2])$",
        title="Statement month",
        description="YYYY-MM, for example 2021-12. Left empty, the partition key of the run is taken.",
    ),
    "effects": Param(
        "auto",
        type="string",
        enum=["auto", "live", "shadow"],
        title="Effects",
        description="live changes accounts and issues statements; shadow plans and renders beside the record and "
        "changes nothing; auto is live for a scheduled run, and on the demo world when no later month was live.",
    ),
}


def period_of(context: Context) -> Period:
    """The statement month of a run: its parameter ``period``, else its partition key.

    Raises ``UsageError`` when it has neither, or when what it has is not a month.
    """
    written = context["params"].get("period") or context["dag_run"].partition_key
    if not written:
        raise UsageError("this run has no period: trigger it with period=YYYY-MM")
    return Period.parse(written)


def run_facts(context: Context) -> dict[str, str]:
    """What a step must know of the run: ``effects`` as asked for, ``run_id``, and ``run_type``
    (``scheduled``, ``manual`` or ``backfill``; what another Dag or an asset started counts as ``manual``)."""
    dag_run = context["dag_run"]
    return {
        "effects": context["params"]["effects"],
        "run_id": dag_run.run_id,
        "run_type": next((known for known in ("scheduled", "backfill") if dag_run.run_type == known), "manual"),
    }


def unlocked_month(workspace: Workspace, context: Context) -> dict[str, str]:
    """The month as steps take it, for a Dag beside ``carm_month``: it waits for nobody and keeps nobody out.

    The area is the record, for such a Dag has its own datasets there. What an issued month has of them is not written
    again, and a shadow run writes nothing into it.
    """
    from include.month import is_issued

    period, run = period_of(context), run_facts(context)
    is_written = run["effects"] == "shadow" or workspace.lake().has("webinar_notices", period)
    area = "shadow" if is_written and is_issued(workspace, period) else "lake"
    return {"period": str(period), "effects": run["effects"], "area": area, "run_id": run["run_id"]}


class RunStates:
    """Asks Airflow whether another run of the same Dag is queued or running."""

    def __init__(self, context: Context) -> None:
        self._ti, self._dag_id = context["ti"], context["dag"].dag_id

    def is_active(self, run_id: str) -> bool:
        """False also for a run that Airflow does not know: where its history is gone, nothing works for it."""
        return self._ti.get_dr_count(self._dag_id, run_ids=[run_id], states=["queued", "running"]) > 0


def open_workspace() -> Workspace:
    """The workspace over the connections ``carm_source`` and ``carm_apply``, in the folder that CARM_DATA names."""
    from include.workspace import Workspace

    data = os.environ.get("CARM_DATA") or "data"
    return Workspace.open(
        data, source_url=_database_url("carm_source", data), apply_url=_database_url("carm_apply", data)
    )


def recipient_hash_key() -> str:
    """The secret behind the keys of recipients, from the connection ``carm_smtp``; raises ``UsageError`` without it."""
    key: str | None = Connection.get("carm_smtp").extra_dejson.get("recipient_hash_key")
    if not key:
        raise UsageError("connection carm_smtp has no recipient_hash_key: write one, made by chance, into its extra")
    return key


def _database_url(conn_id: str, data: str) -> str:
    from include.airflow_settings import ConnectionSettings

    connection = Connection.get(conn_id)
    return ConnectionSettings(
        conn_id=conn_id,
        conn_type=connection.conn_type,
        host=connection.host,
        schema=connection.schema,
        login=connection.login,
        password=connection.password,
        port=connection.port,
        extra=connection.extra_dejson,
    ).database_url(data)
