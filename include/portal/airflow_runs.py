"""What Airflow says of the runs of a Dag, asked in the name of whoever looks, and how its own pages are reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from include.airflow_api import run_path
from include.portal.staff import Staff

MONTH_DAG = "carm_month"
RUNNING = ("queued", "running")
"""The states of a run that has not ended."""

_MOST_RUNS = 100
_MOST_UNENDED = 10
"""Of how many runs that are not green it is asked where they stand: the newest, for the others nobody waits."""

_AT_WORK = ("queued", "scheduled", "running", "restarting", "deferred", "up_for_retry", "up_for_reschedule")
_WAITING = "awaiting_input"
_FAILED = "failed"


@dataclass(frozen=True)
class Run:
    """A run of a Dag; ``period`` is the month it was asked for, None where it names none."""

    run_id: str
    dag_id: str
    period: str | None
    effects: str | None
    state: str
    started_at: datetime | None
    ended_at: datetime | None
    conf: Mapping[str, Any] = field(default_factory=dict)
    run_type: str = ""

    @property
    def is_shadow(self) -> bool:
        """Whether it was asked to compute beside the record; a backfill is, unless it asked for more."""
        return self.effects == "shadow" or (self.run_type == "backfill" and self.effects != "live")

    @property
    def page(self) -> str:
        """The run's page, below the address of Airflow."""
        return f"dags/{self.dag_id}/runs/{quote(self.run_id, safe='')}"

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.state in RUNNING


@dataclass(frozen=True)
class Runs:
    """The newest runs, the newest first; ``problem`` says why they are not known, where they are not.

    ``tasks`` tells of runs that are not green where they stand: by run id, the state of each task that works or failed.
    """

    runs: tuple[Run, ...] = ()
    tasks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    problem: str | None = None

    def newest_by_period(self) -> Mapping[str, Run]:
        """The newest run of each month."""
        found: dict[str, Run] = {}
        for run in self.runs:
            if run.period:
                found.setdefault(run.period, run)
        return found


async def list_runs(staff: Staff, dag_id: str = MONTH_DAG) -> Runs:
    """The newest hundred runs of a Dag. A page is shown without them where Airflow does not tell."""
    # As they were made: a backfill's run is due on the day of its month, whenever it runs.
    query = urlencode({"limit": _MOST_RUNS, "order_by": "-id"})
    status, answer = await staff.ask_airflow("GET", f"/dags/{dag_id}/dagRuns?{query}", None)
    if status != 200:
        return Runs(problem=f"Airflow does not tell of the runs of {dag_id} (status {status})")
    return Runs(tuple(_run(entry) for entry in answer["dag_runs"]))


async def list_month_runs(staff: Staff) -> Runs:
    """The newest runs of ``carm_month``, and where those stand that are the newest of their month and not green."""
    known = await list_runs(staff)
    unended = [run for run in known.newest_by_period().values() if run.state != "success"][:_MOST_UNENDED]
    return Runs(known.runs, await _find_tasks(staff, unended), known.problem) if unended else known


async def _find_tasks(staff: Staff, runs: Sequence[Run]) -> Mapping[str, Mapping[str, str]]:
    """The tasks of ``runs`` that work, wait or failed, asked for at once."""
    body = {
        "dag_ids": [MONTH_DAG],
        "dag_run_ids": [run.run_id for run in runs],
        "state": [*_AT_WORK, _WAITING, _FAILED],
    }
    status, answer = await staff.ask_airflow("POST", "/dags/~/dagRuns/~/taskInstances/list", body)
    found: dict[str, dict[str, str]] = {}
    for task in answer["task_instances"] if status == 200 else ():
        found.setdefault(task["dag_run_id"], {})[task["task_id"]] = task["state"]
    return found


async def find_run(staff: Staff, dag_id: str, run_id: str) -> Run | None:
    """One run, or None where Airflow knows none of that name, or does not show it to this person."""
    status, answer = await staff.ask_airflow("GET", run_path(dag_id, run_id), None)
    return _run(answer) if status == 200 else None


def _run(entry: Mapping[str, Any]) -> Run:
    conf = entry.get("conf") or {}
    return Run(
        run_id=entry["dag_run_id"],
        dag_id=entry["dag_id"],
        period=_text(conf.get("period")) or _text(entry.get("partition_key")),
        effects=_text(conf.get("effects")),
        state=entry["state"],
        started_at=_instant(entry.get("start_date")),
        ended_at=_instant(entry.get("end_date")),
        conf=conf,
        run_type=entry.get("run_type") or "",
    )


def _text(written: object) -> str | None:
    return written if isinstance(written, str) and written else None


def _instant(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written) if written else None
