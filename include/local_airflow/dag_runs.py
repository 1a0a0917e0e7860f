"""Follows Dag runs to their end and tells how they went."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.local_airflow.environment import task_log_file
from include.local_airflow.progress import Progress, describe_counts, label_task
from include.local_airflow.rest import RestApi
from include.local_airflow.task_log import error_line

LOOK_SECONDS, LOOK_SHARE, LONGEST_PAUSE = 0.5, 0.05, 5
"""Between two looks at a run, and the most of the time that they may take: a look at a month with many shards keeps the
server busy, on cores that the shards need. Never longer apart than the last, in seconds."""
_ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")
_WATCHER = "watcher"  # Fails after another task and says nothing of its own.


@dataclass(frozen=True)
class Failure:
    """A task that failed: its name, the line of its log that says why, and the log."""

    task: str
    line: str
    log: Path


@dataclass
class RunOutcome:
    """How a Dag run ended; ``results`` holds what its unmapped tasks returned, by task id."""

    run: dict[str, Any]
    state: str = ""
    results: dict[str, Any] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def failure_lines(self) -> list[str]:
        """Why the run failed, a line a task, each followed by the place of its log."""
        month = self.run["partition_key"] or "mail"
        if not self.failures:
            return [f"{month} {self.run['dag_id']}: somebody marked the run as failed"]
        return [
            line
            for failure in self.failures
            for line in (f"{month} {failure.task}: {failure.line}", f"log: {failure.log}")
        ]


@dataclass
class DagRunFollower:
    """Watches the runs of one Airflow. ``check`` raises when one of its processes has gone."""

    api: RestApi
    home: Path
    check: Callable[[], None]
    progress: Progress

    def follow(self, run: dict[str, Any]) -> RunOutcome:
        """Wait for the end of ``run``, saying what happens meanwhile."""
        outcome = RunOutcome(run)
        told: set[tuple[str, int, int, str]] = set()
        while True:
            self.check()
            start = time.monotonic()
            # The state is read before the tasks, so that in the end no task's news is missed.
            state = self.api.run(run)["state"]
            instances = self.api.task_instances(run)
            self._tell_news(instances, told, outcome)
            if state in ("success", "failed"):
                outcome.state = state
                return outcome
            self.progress.show(_describe_work(run, instances))
            time.sleep(min(max(LOOK_SECONDS, (time.monotonic() - start) / LOOK_SHARE), LONGEST_PAUSE))

    def _tell_news(
        self, instances: list[dict[str, Any]], told: set[tuple[str, int, int, str]], outcome: RunOutcome
    ) -> None:
        for instance in sorted(instances, key=lambda instance: instance["end_date"] or ""):
            event = (instance["task_id"], instance["map_index"], instance["try_number"], instance["state"])
            if event in told or instance["state"] not in ("success", "failed", "up_for_retry"):
                continue
            told.add(event)
            if instance["task_id"] == _WATCHER:
                continue
            name = label_task(instance)
            if instance["state"] == "success":
                result = self.api.result(instance)
                if instance["map_index"] < 0:
                    outcome.results[instance["task_id"]] = result
                self.progress.say(f"  {name:32} {describe_counts(result)}".rstrip())
                continue
            failure = self._explain(instance)
            if instance["state"] == "up_for_retry":
                self.progress.say(f"  {name:32} did not work and is tried again: {failure.line}")
            else:
                outcome.failures.append(failure)
                self.progress.say(f"  {name:32} FAILED")

    def _explain(self, instance: dict[str, Any]) -> Failure:
        log = task_log_file(
            self.home,
            instance["dag_id"],
            instance["dag_run_id"],
            instance["task_id"],
            instance["map_index"],
            instance["try_number"],
        )
        return Failure(label_task(instance), error_line(log) or "ended without saying why", log)


def _describe_work(run: dict[str, Any], instances: list[dict[str, Any]]) -> str:
    working = [label_task(instance) for instance in instances if instance["state"] in ("running", "queued")]
    ended = sum(instance["state"] in _ENDED for instance in instances)
    return f"          {run['dag_id']} {ended}/{len(instances)} … {', '.join(working)}"
