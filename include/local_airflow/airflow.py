"""One local Airflow: started for a data folder, ready for work, and stopped with everything that belongs to it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from include.airflow_records import CONNECTION
from include.airflow_settings import AirflowSettings, ConnectionSettings
from include.carm.errors import DataError, Unavailable
from include.local_airflow.dag_runs import DagRunFollower
from include.local_airflow.environment import (
    HOST,
    PAUSE_FOR_MINUTES,
    PAUSE_FOR_SECONDS,
    PROJECT_FOLDER,
    SERVICE_USER,
    Keys,
    airflow_environment,
)
from include.local_airflow.processes import Processes
from include.local_airflow.progress import Progress
from include.local_airflow.rest import RestApi

DAGS = ("carm_month", "carm_webinar_notices", "carm_deliver", "carm_apply_plan", "carm_reinstate_account")
READ_DAGS_SECONDS = 120


class LocalAirflow:
    """Airflow's processes over the home ``data/airflow``, reached at ``port``."""

    def __init__(self, data: Path, port: int, settings: AirflowSettings, progress: Progress) -> None:
        self.data = data
        self.port = port
        self.home = data / "airflow"
        self.home.mkdir(mode=0o700, exist_ok=True)
        self.keys = Keys.open(self.home)
        self.settings = settings
        self.progress = progress
        small = settings.connection("carm_source").conn_type == "sqlite"
        pause = PAUSE_FOR_SECONDS if small else PAUSE_FOR_MINUTES
        environment = airflow_environment(data, port, self.keys, scheduler_pause=pause)
        self.processes = Processes(self.home, environment, PROJECT_FOLDER)
        self.api = RestApi(f"http://{HOST}:{port}", self.processes.check)
        self.follower = DagRunFollower(self.api, self.home, self.processes.check, progress)

    def start(self, *, keep_reading_dags: bool = False) -> None:
        """Start everything but the scheduler, so that what an interrupted Airflow left can be cleared away first.

        With ``keep_reading_dags`` changes of the Dag files are noticed later, too.
        Raises ``Unavailable`` when Airflow does not start, ``DataError`` when a Dag file cannot be read.
        """
        self._migrate()
        self.processes.start_airflow("api-server", "api-server")
        self.processes.start_airflow(
            "dag-processor", "dag-processor", *([] if keep_reading_dags else ["--num-runs", "1"])
        )
        if not keep_reading_dags and self.processes.finish("dag-processor") != 0:
            raise Unavailable(f"Airflow could not read the Dag files: see {self.processes.log_file('dag-processor')}")
        self.api.wait_until_ready()
        self.api.log_in("admin", self.keys.passwords["admin"])
        self.api.load_settings(self.settings.with_connection(self._connection_to_itself()))
        self._wait_for_dags(READ_DAGS_SECONDS if keep_reading_dags else 0)
        for run_id in self.api.end_unfinished():
            self.progress.say(f"the run {run_id} was interrupted earlier: marked as failed")

    def start_scheduler(self) -> None:
        """From here on runs are worked for."""
        self.api.warm_up()
        # Its log server would listen on a fixed port, and to everybody; here logs are read from the folder.
        self.processes.start_airflow("scheduler", "scheduler", "--skip-serve-logs")

    def _connection_to_itself(self) -> ConnectionSettings:
        """How the tasks of this Airflow ask it who stands behind a run; the port is another one each time."""
        password = self.keys.passwords[SERVICE_USER]
        return ConnectionSettings(CONNECTION, "http", HOST, login=SERVICE_USER, password=password, port=self.port)

    def _migrate(self) -> None:
        """Make or renew Airflow's own database, unless this very version did so before: asking alone takes 3 s."""
        database, mark = self.home / "airflow.db", self.home / "migrated"
        now = version("apache-airflow-core")
        if database.exists() and mark.exists() and mark.read_text(encoding="utf-8") == now:
            return
        with closing(sqlite3.connect(database)) as connection:
            # Readers and the one writer no longer wait for each other; the file remembers it.
            connection.execute("PRAGMA journal_mode = WAL")
        self.processes.start_airflow("migration", "db", "migrate")
        if self.processes.finish("migration") != 0:
            raise Unavailable(f"Airflow's own database could not be made: see {self.processes.log_file('migration')}")
        mark.write_text(now, encoding="utf-8")

    def _wait_for_dags(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while missing := [dag_id for dag_id in DAGS if not self.api.has_dag(dag_id)]:
            self.processes.check()
            if time.monotonic() > deadline:
                raise self._explain_missing(missing)
            time.sleep(0.5)

    def _explain_missing(self, missing: list[str]) -> DataError:
        for error in self.api.import_errors():
            last = str(error["stack_trace"]).strip().splitlines()[-1]
            return DataError(f"the Dag file {error['filename']} cannot be read: {last}")
        return DataError(f"the folder {PROJECT_FOLDER / 'dags'} holds no Dag {', '.join(missing)}")
