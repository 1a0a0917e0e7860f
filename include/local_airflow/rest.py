"""The few words of Airflow's REST API that the local runner needs."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import quote, urlencode

from include.airflow_settings import AirflowSettings
from include.carm.errors import Unavailable
from include.carm.period import Period
from include.local_airflow.environment import HOST

READY_SECONDS = 180
TRIES = 8
_BUSY = (500, 502, 503, 504)  # SQLite has one writer; while the scheduler writes, a request may come too early.


@dataclass
class RestApi:
    """Airflow's API at ``port``. ``check`` is called while waiting; it raises when Airflow is gone."""

    port: int
    check: Callable[[], None]
    token: str = ""
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
                raise Unavailable(f"Airflow's api-server does not answer on port {self.port}: give the command again")
            time.sleep(0.1)

    def warm_up(self) -> None:
        """Ask for what the tasks will ask for, without waiting for the answer.

        The server builds that part when it is first asked, for three to four seconds; now the scheduler, which starts
        at the same time, does not have to wait for it.
        """
        self._warming = http.client.HTTPConnection(HOST, self.port)
        self._warming.request("GET", "/execution/health")

    def log_in(self, user: str, password: str) -> None:
        self.token = self.send("POST", "/auth/token", {"username": user, "password": password})["access_token"]

    def get(self, path: str, **query: Any) -> Any:
        """The answer to a GET of ``/api/v2<path>``."""
        written = urlencode({name: value for name, value in query.items() if value is not None}, doseq=True)
        return self.send("GET", f"/api/v2{path}?{written}")

    def entries(self, path: str, key: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every entry below ``key``, page by page."""
        offset = 0
        while True:
            page = self.get(path, limit=100, offset=offset, **query)
            yield from page[key]
            offset += len(page[key])
            if not page[key] or offset >= page["total_entries"]:
                return

    def send(self, method: str, path: str, body: dict[str, Any] | None = None, *, accept: tuple[int, ...] = ()) -> Any:
        """The answer to a request, as JSON; None for a status in ``accept``.

        Raises ``Unavailable`` with Airflow's own words when it refuses, and whatever ``check`` raises.
        """
        for attempt in range(1, TRIES + 1):
            try:
                status, text = self._exchange(method, path, body)
            except OSError as error:
                status, text = 503, str(error)
            if status < 300:
                return json.loads(text) if text else None
            if status in accept:
                return None
            self.check()
            if status not in _BUSY or attempt == TRIES:
                raise Unavailable(f"Airflow refused {method} {path.partition('?')[0]} with {status}: {_detail(text)}")
            time.sleep(attempt / 2)
        raise AssertionError

    def _exchange(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            headers = {"Content-Type": "application/json"}
            if self.token:
                headers["Authorization"] = f"Bearer {self.token}"
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    # --- What the runner does with it ---------------------------------------------------------------------------

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

        A run that nothing works for would hold the only place of its Dag for ever. To be called before a scheduler
        takes them up again. Returns the ids of the runs.
        """
        dags = {dag["dag_id"] for dag in self.entries("/dags", "dags")}
        for dag_id in dags:
            for backfill in self.entries("/backfills", "backfills", dag_id=dag_id):
                if backfill["completed_at"] is None:
                    self.end_backfill(backfill["id"])
        ended = []
        for run in list(self.entries("/dags/~/dagRuns", "dag_runs", state=["queued", "running"])):
            self.send("PATCH", run_path(run), {"state": "failed", "note": "its Airflow was stopped in the middle"})
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

    def trigger(self, dag_id: str, partition_key: str, conf: dict[str, str]) -> dict[str, Any]:
        self.unpause(dag_id)
        body = {"logical_date": None, "partition_key": partition_key, "conf": conf}
        run: dict[str, Any] = self.send("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)
        return run

    def run(self, run: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.send("GET", run_path(run))
        return found

    def task_instances(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        path = run_path(run).removeprefix("/api/v2")
        return list(self.entries(f"{path}/taskInstances", "task_instances"))

    def result(self, task_instance: dict[str, Any]) -> Any:
        """What a task returned; None when it returned nothing."""
        path = f"{run_path(task_instance)}/taskInstances/{task_instance['task_id']}/xcomEntries/return_value"
        query = urlencode({"map_index": task_instance["map_index"]})
        answer = self.send("GET", f"{path}?{query}", accept=(404,))
        if answer is None:
            return None
        value = answer["value"]
        return json.loads(value) if isinstance(value, str) else value


def run_path(run: dict[str, Any]) -> str:
    """The path of a run, or of the run of a task instance."""
    return f"/api/v2/dags/{run['dag_id']}/dagRuns/{quote(run['dag_run_id'], safe='')}"


def _detail(text: str) -> str:
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        detail = text
    return " ".join(str(detail).split())[:300]
