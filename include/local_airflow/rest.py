"""The few words of Airflow's REST API that the local runner needs."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from include.airflow_api import AirflowApi, run_path
from include.airflow_settings import AirflowSettings
from include.carm.errors import Unavailable
from include.carm.period import Period

READY_SECONDS = 180
AWAITING = "awaiting_input"


@dataclass
class RestApi(AirflowApi):
    """What the runner does with Airflow's API. ``check`` raises when Airflow is gone."""

    _warming: http.client.HTTPConnection | None = None  # Kept open, for the server stops for one who has gone.

    def wait_until_ready(self) -> None:
        """Wait for the API server to answer. Raises ``Unavailable`` when it does not do so within three minutes."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            self.check()
            try:
                status, _ = self._exchange("GET", "/api/v2/version", None)
            except OSError:
                status = 0
            if status == 200:
                return
            if time.monotonic() > deadline:
                port = self.connection().port
                raise Unavailable(f"Airflow's api-server does not answer on port {port}: give the command again")
            time.sleep(0.1)

    def warm_up(self) -> None:
        """Ask for what the tasks will ask for, without waiting for the answer.

        The server builds that part when it is first asked, for three to four seconds; now the scheduler, which starts
        at the same time, does not have to wait for it.
        """
        self._warming = self.connection()
        self._warming.request("GET", "/execution/health")

    def load_settings(self, settings: AirflowSettings) -> None:
        """Put connections, pools and variables there, over what Airflow has under these names."""
        entities: dict[str, list[dict[str, Any]]] = {
            "connections": [
                {
                    "connection_id": connection.conn_id,
                    "conn_type": connection.conn_type,
                    "host": connection.host,
                    "schema": connection.schema,
                    "login": connection.login,
                    "password": connection.password,
                    "port": connection.port,
                    "extra": json.dumps(connection.extra) if connection.extra else None,
                }
                for connection in settings.connections.values()
            ],
            "pools": [
                {"name": name, "slots": slots, "description": description, "include_deferred": False}
                for name, (slots, description) in settings.pools.items()
            ],
            "variables": [{"key": name, "value": value} for name, value in settings.variables.items()],
        }
        for path, rows in entities.items():
            if rows:
                action = {"action": "create", "action_on_existence": "overwrite", "entities": rows}
                answer = self.send("PATCH", f"/api/v2/{path}", {"actions": [action]})
                errors = answer["create"]["errors"]
                if errors:
                    raise Unavailable(f"Airflow refused {path} of airflow_settings.yaml: {errors[0].get('error')}")

    def end_unfinished(self) -> list[str]:
        """Fail the runs that an earlier, interrupted Airflow left queued or running, and end its backfills.

        A run that nothing works for would hold the only place of its Dag for ever. A run that waits for a person's
        answer was not interrupted, and waits on. To be called before a scheduler takes them up again. Returns the ids
        of the runs.
        """
        dags = {dag["dag_id"] for dag in self.entries("/dags", "dags")}
        for dag_id in dags:
            for backfill in self.entries("/backfills", "backfills", dag_id=dag_id):
                if backfill["completed_at"] is None:
                    self.end_backfill(backfill["id"])
        ended = []
        for run in list(self.entries("/dags/~/dagRuns", "dag_runs", state=["queued", "running"])):
            if any(instance["state"] == AWAITING for instance in self.task_instances(run)):
                continue
            self.send("PATCH", path_of(run), {"state": "failed", "note": "its Airflow was stopped in the middle"})
            ended.append(run["dag_run_id"])
        return ended

    def create_backfill(
        self, dag_id: str, first: Period, last: Period, conf: dict[str, str]
    ) -> tuple[int, list[dict[str, Any]]]:
        """Airflow's own backfill of a monthly Dag, one month at a time, also over months that were run before.

        Returns its id and its runs, in the order of the months.
        """
        self.unpause(dag_id)
        body = {
            "dag_id": dag_id,
            # Any hours before and after the days on which a monthly Dag can run.
            "from_date": f"{first}-01T00:00:00Z",
            "to_date": f"{last}-28T23:59:59Z",
            "max_active_runs": 1,
            "reprocess_behavior": "completed",
            "dag_run_conf": conf,
        }
        backfill = self.send("POST", "/api/v2/backfills", body)
        months = [str(period) for period in Period.range(first, last)]
        newest = self.entries(f"/dags/{dag_id}/dagRuns", "dag_runs", run_type="backfill", order_by="-id")
        runs = sorted(islice(newest, len(months)), key=lambda run: run["partition_key"])
        if [run["partition_key"] for run in runs] != months:
            raise Unavailable(f"Airflow made no run for some month from {first} to {last}: give the command again")
        return backfill["id"], runs

    def end_backfill(self, backfill_id: int) -> None:
        """Give the backfill's place free at once; by itself the scheduler does it up to half a minute later."""
        self.send("PUT", f"/api/v2/backfills/{backfill_id}/cancel", accept=(409,))

    def import_errors(self) -> list[dict[str, Any]]:
        return list(self.entries("/importErrors", "import_errors"))

    def has_dag(self, dag_id: str) -> bool:
        return self.send("GET", f"/api/v2/dags/{dag_id}", accept=(404,)) is not None

    def unpause(self, dag_id: str) -> None:
        """A Dag that somebody paused would keep its runs waiting."""
        self.send("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, partition_key: str | None, conf: dict[str, str]) -> dict[str, Any]:
        self.unpause(dag_id)
        body = {"logical_date": None, "partition_key": partition_key, "conf": conf}
        run: dict[str, Any] = self.send("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)
        return run

    def run(self, run: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.send("GET", path_of(run))
        return found

    def task_instances(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        path = run_path(run["dag_id"], run["dag_run_id"])
        return list(self.entries(f"{path}/taskInstances", "task_instances"))

    def result(self, task_instance: dict[str, Any]) -> Any:
        """What a task returned; None when it returned nothing."""
        path = f"{path_of(task_instance)}/taskInstances/{task_instance['task_id']}/xcomEntries/return_value"
        query = urlencode({"map_index": task_instance["map_index"]})
        answer = self.send("GET", f"{path}?{query}", accept=(404,))
        if answer is None:
            return None
        value = answer["value"]
        return json.loads(value) if isinstance(value, str) else value


def path_of(run: dict[str, Any]) -> str:
    """The path of a run, or of the run of a task instance."""
    return f"/api/v2{run_path(run['dag_id'], run['dag_run_id'])}"
