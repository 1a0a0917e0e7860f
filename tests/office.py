"""A data folder, the Airflow of ``make ui`` over it, and the people who log in to it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as default_policy
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from include.airflow_api import AirflowApi, run_path
from include.local_airflow.dag_runs import error_line
from include.local_airflow.environment import choose_port, task_log_file
from include.operations_plan_tables import ACCOUNT_CHANGES, APPROVALS, PLANS
from include.source_schema import TABLES
from include.workspace import Workspace

PROJECT = Path(__file__).parents[1]
PATIENCE_SECONDS = 300
ENDED = ("success", "failed")
ACCOUNTS = TABLES["accounts"]


@dataclass
class Office:
    """The data folder, its Airflow, and the people with their log-ins."""

    data: Path
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def workspace(self) -> Workspace:
        return Workspace.open(self.data)

    @property
    def passwords(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.data / "airflow" / "passwords.json").read_text())
        return found

    def as_user(self, user: str) -> AirflowApi:
        api = AirflowApi(self.address)
        api.log_in(user, self.passwords[user])
        return api

    def trigger(self, user: str, dag_id: str, conf: dict[str, str], partition_key: str | None = None) -> str:
        body = {"logical_date": None, "conf": conf} | ({"partition_key": partition_key} if partition_key else {})
        return str(self.as_user(user).send("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def wait_for_end(self, dag_id: str, run_id: str) -> str:
        api = self.as_user("viewer")
        return wait_until(lambda: self.known(api.get(run_path(dag_id, run_id))["state"], ENDED))

    def ask(self, user: str, plan_hash: str) -> str:
        """Trigger the approval and wait until it asks; returns the run's id."""
        return self.ask_by(user, "carm_apply_plan", {"plan_hash": plan_hash}, "check_plan")

    def ask_by(self, user: str, dag_id: str, conf: dict[str, str], first: str) -> str:
        run_id, asking = self.trigger(user, dag_id, conf), ("awaiting_input", *ENDED, "upstream_failed")
        wait_until(lambda: self.known(self.states(run_id, dag_id)["approval"], asking))
        assert self.states(run_id, dag_id)["approval"] == "awaiting_input", self.complaint(run_id, first, dag_id)
        # Whoever answers before Airflow has heard of the end of the task that asked is asked again.
        wait_until(lambda: self.is_heard("approval", run_id))
        return run_id

    def is_heard(self, task_id: str, run_id: str) -> bool:
        log = (self.data / "airflow" / "logs" / "scheduler.log").read_text()
        told = ("Received executor event", f"task_id='{task_id}'", f"run_id='{run_id}'")
        return any(all(word in line for word in told) for line in log.splitlines())

    def answer(self, user: str, run_id: str, option: str, dag_id: str = "carm_apply_plan") -> str:
        """Answer the question of a run; returns how the run ended."""
        answer = {"chosen_options": [option], "params_input": {}}
        self.as_user(user).send("PATCH", self.question(run_id, dag_id), answer)
        return self.wait_for_end(dag_id, run_id)

    def mail_about(self, subject: str, words: str = "") -> str:
        """The text of the mail with this subject that holds the words, in one line, once it is there."""

        def look() -> str:
            texts = [" ".join(mail.get_content().split()) for mail in self.mails() if mail["Subject"] == subject]
            return next((text for text in texts if words in text), "")

        return wait_until(look)

    def mails(self) -> list[EmailMessage]:
        files = (self.data / "mailbox" / "new").iterdir()
        return [message_from_bytes(file.read_bytes(), policy=default_policy) for file in files]

    def clear(self, user: str, dag_id: str, run_id: str, task_id: str) -> str:
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "include_downstream": True}
        self.as_user(user).send("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", {**body, "only_failed": False})
        return self.wait_for_end(dag_id, run_id)

    def question(self, run_id: str, dag_id: str = "carm_apply_plan") -> str:
        return f"/api/v2{run_path(dag_id, run_id)}/taskInstances/approval/-1/hitlDetails"

    def states(self, run_id: str, dag_id: str = "carm_apply_plan") -> dict[str, str]:
        path = f"{run_path(dag_id, run_id)}/taskInstances"
        return {row["task_id"]: row["state"] for row in self.as_user("viewer").get(path)["task_instances"]}

    def complaint(self, run_id: str, task_id: str, dag_id: str = "carm_apply_plan") -> str | None:
        return error_line(task_log_file(self.data / "airflow", dag_id, run_id, task_id, -1, 1))

    def rows(self, query: Any) -> list[Any]:
        with self.workspace.operations.connect() as connection:
            return list(connection.execute(query))

    def answers(self) -> list[tuple[str, str]]:
        return [(row.decided_by, row.decision) for row in self.rows(select(APPROVALS).order_by("approval_no"))]

    def effects(self) -> tuple[int, int, list[Any]]:
        """What an apply would add to: account versions, journal rows, and the states of live plans."""
        (versions,) = self.rows(select(func.count()).select_from(ACCOUNTS))
        (changes,) = self.rows(select(func.count()).select_from(ACCOUNT_CHANGES))
        return versions[0], changes[0], self.rows(select(PLANS.c.plan_hash, PLANS.c.state, PLANS.c.applied_run_id))

    @staticmethod
    def known(state: str | None, wanted: tuple[str, ...]) -> str | None:
        return state if state in wanted else None


def wait_until(look: Any) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    return str(found)


@contextmanager
def open_office(data: Path) -> Iterator[Office]:
    """Start ``make ui`` over the data folder; stopped as a person stops it, with Ctrl-C."""
    office = Office(data, choose_port(""))
    command = [sys.executable, "-m", "include.local_airflow", "ui", "--data", str(data), "--port", str(office.port)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as ui:
        try:
            assert ui.stdout is not None
            lines = []
            for line in ui.stdout:
                lines.append(line)
                if line.strip().startswith("viewer"):
                    break
            assert any("Log in as" in line for line in lines), "".join(lines)
            yield office
        finally:
            ui.send_signal(signal.SIGINT)
            ui.wait(PATIENCE_SECONDS)
