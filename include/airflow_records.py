"""What Airflow has on record about a run: who stands behind it, and what a person answered.

Asked over REST, where nobody but Airflow writes it: the result of a task (XCom) can be overwritten by whoever may edit
a run, the event log and a given answer cannot.

Who started a run stands at the run. Who cleared it, or put its tasks into another state, stands in the event log:
Airflow writes a row for every request that changes something (``event`` is the name of the request, ``owner`` the user,
``extra`` what was asked for, the HTTP method among it), and for every command of its command line (``cli_…``, where
``owner`` is a user of the machine and no user of Airflow).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from include.airflow_api import AirflowApi, run_path
from include.airflow_settings import ConnectionSettings
from include.carm.errors import UsageError

SCHEDULE = "schedule"
"""The maker of a scheduled run that nobody touched: no person."""
UNKNOWN = "unknown"
"""A maker who is a person, or may be one, and whose name Airflow cannot tell."""

CONNECTION = "carm_airflow"
# What Airflow itself writes about tasks; left out on the way, for there are many of them.
_STATES = (
    "awaiting_input",
    "deferred",
    "failed",
    "queued",
    "removed",
    "restarting",
    "running",
    "scheduled",
    "skipped",
    "success",
    "up_for_reschedule",
    "up_for_retry",
    "upstream_failed",
)
_REACHES_RUNS = ("clear", "bulk", "backfill")
_MAY_CLEAR = (*_REACHES_RUNS, "patch")  # Airflow clears what follows a task whose state somebody set.
_ANSWER = "update_hitl_detail"  # Whoever answers a question of the run has not built anything by it.


@dataclass(frozen=True)
class Answer:
    """What a person chose in the form of a task that waits for one; ``at`` is ISO 8601 as Airflow recorded it."""

    chosen: str
    by: str
    at: str


@dataclass(frozen=True)
class AirflowRecords:
    """The records of the Airflow behind ``api``, which is logged in."""

    api: AirflowApi

    @classmethod
    def open(cls, connection: ConnectionSettings) -> Self:
        """Log in at the Airflow that ``connection`` names, as a user who may read runs and the event log.

        Raises ``UsageError`` where the connection is not complete, ``Unavailable`` where Airflow does not let it in.
        """
        if not (connection.host and connection.login and connection.password):
            raise UsageError(
                f"connection {connection.conn_id} is not complete: write host, port, login and password of a user of "
                "this Airflow who may read runs and the event log"
            )
        api = AirflowApi(connection.web_address())
        api.log_in(connection.login, connection.password)
        return cls(api)

    def makers_of(self, dag_id: str, run_id: str, *, clear_number: int | None = None) -> tuple[str, ...]:
        """Everyone who started the run, cleared it or put it or a task of it into another state, sorted.

        ``("schedule",)`` where the schedule started it and nobody touched it; ``unknown`` is among them where somebody
        cannot be named. ``clear_number`` is how often Airflow counted the run as cleared, where that is known: a
        clearing without its row in the log was somebody's, too.
        """
        run = self.api.get(run_path(dag_id, run_id), accept=(404,))
        if run is None:
            return (UNKNOWN,)
        acts = list(self._acts(dag_id, run_id, since=run["run_after"]))
        makers = {_doer(act) for act in acts} | {_starter(run, acts)}
        if clear_number is not None and clear_number > sum(_names(act, _MAY_CLEAR) for act in acts):
            makers.add(UNKNOWN)
        return tuple(sorted(makers - {SCHEDULE} or {SCHEDULE}))

    def answer_to(self, dag_id: str, run_id: str, task_id: str) -> Answer | None:
        """What was answered to the question that the task asked last; None where nobody answered it."""
        path = f"{run_path(dag_id, run_id)}/taskInstances/{task_id}/-1/hitlDetails"
        detail = self.api.get(path, accept=(404,))
        if detail is None or not detail["response_received"] or not detail["responded_by_user"]:
            return None
        (chosen,) = detail["chosen_options"]
        return Answer(chosen, detail["responded_by_user"]["name"], detail["responded_at"])

    def _acts(self, dag_id: str, run_id: str, since: str) -> Iterator[dict[str, Any]]:
        """The events by which somebody reached into the run: those about it, and those about several runs at once."""
        asked = {"dag_id": dag_id, "excluded_events": list(_STATES), "order_by": "id"}
        yield from (
            event
            for event in self.api.entries("/eventLogs", "event_logs", run_id=run_id, **asked)
            if _is_by_a_person(event) and event["event"] != _ANSWER
        )
        yield from (
            event
            for event in self.api.entries("/eventLogs", "event_logs", after=since, **asked)
            if event["run_id"] != run_id and _is_by_a_person(event) and _reaches_other_runs(event)
        )


def _starter(run: dict[str, Any], acts: list[dict[str, Any]]) -> str:
    name, way = run["triggering_user_name"], run["triggered_by"]
    if way == "timetable" and run["run_type"] == "scheduled":
        return SCHEDULE
    # Of other ways (command line, another Dag, an asset) the name is a user of the machine, or nobody's.
    is_told = way in ("ui", "rest_api") or (
        way == "backfill" and any(act["event"] == "create_backfill" and act["owner"] == name for act in acts)
    )
    return str(name) if is_told and name else UNKNOWN


def _doer(act: dict[str, Any]) -> str:
    return str(act["owner"]) if act["owner"] and not _is_command(act) else UNKNOWN


def _is_command(event: dict[str, Any]) -> bool:
    return str(event["event"]).startswith("cli_")


def _is_by_a_person(event: dict[str, Any]) -> bool:
    """Whether somebody changed something: not Airflow itself, and not only to look at what would happen."""
    asked_for = _asked_for(event)
    is_change = "method" in asked_for and not asked_for.get("dry_run") and not str(event["event"]).startswith("get_")
    return _is_command(event) or is_change


def _reaches_other_runs(event: dict[str, Any]) -> bool:
    """Whether an event about another run, or about none, may have changed this one."""
    asked_for = _asked_for(event)
    if event["run_id"]:
        return bool(asked_for.get("include_past") or asked_for.get("include_future"))
    return _names(event, _REACHES_RUNS)


def _names(event: dict[str, Any], words: tuple[str, ...]) -> bool:
    """Whether one of the words stands in the request's name, or in the command."""
    told = str(event["extra"]) if _is_command(event) else str(event["event"])
    return any(word in told for word in words)


def _asked_for(event: dict[str, Any]) -> dict[str, Any]:
    try:
        written = json.loads(event["extra"] or "{}")
    except ValueError:
        return {}
    return written if isinstance(written, dict) else {}
