"""What Airflow says of the runs of a Dag, asked in the name of whoever looks, and how its own pages are reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from include.portal.staff import Staff

MONTH_DAG = "carm_month"
_MOST_RUNS = 100


@dataclass(frozen=True)
class Run:
    """A run of a Dag; ``period`` is the month it was asked for, None where it names none."""

    run_id: str
    dag_id: str
    period: str | None
    state: str
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def page(self) -> str:
        """The run's page, below the address of Airflow."""
        return f"dags/{self.dag_id}/runs/{quote(self.run_id, safe='')}"


@dataclass(frozen=True)
class Runs:
    """The newest runs, the newest first; ``problem`` says why they are not known, where they are not."""

    runs: tuple[Run, ...] = ()
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
    query = urlencode({"limit": _MOST_RUNS, "order_by": "-run_after"})
    status, answer = await staff.ask_airflow("GET", f"/dags/{dag_id}/dagRuns?{query}", None)
    if status != 200:
        return Runs(problem=f"Airflow does not tell of the runs of {dag_id} (status {status})")
    return Runs(tuple(_run(entry) for entry in answer["dag_runs"]))


def _run(entry: Mapping[str, Any]) -> Run:
    period = (entry.get("conf") or {}).get("period") or entry.get("partition_key")
    return Run(
        run_id=entry["dag_run_id"],
        dag_id=entry["dag_id"],
        period=period if isinstance(period, str) else None,
        state=entry["state"],
        started_at=_instant(entry.get("start_date")),
        ended_at=_instant(entry.get("end_date")),
    )


def _instant(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written) if written else None
