"""What the Dag files take from Airflow and hand to the steps: period, workspace, who stands behind a run, what a person
answered.

It reads no clock and touches no data.
"""

from __future__ import annotations

import logging
import os
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from include.carm.errors import CarmError, Refused, UsageError
from include.carm.period import Period
from include.carm.quarter import Quarter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from include.airflow_records import AirflowRecords
    from include.airflow_settings import ConnectionSettings
    from include.backfill_approvals import Months
    from include.mail_route import MailRoute
    from include.statement_acts import Order
    from include.workspace import Workspace

LOG = logging.getLogger(__name__)

# The Dags that take a month's lock. A lock is given up for dead only when none of them has such a run at work.
MONTH_DAGS = ("carm_month", "carm_apply_plan")


def period_of(context: Context) -> Period:
    """The statement month of a run: its parameter ``period``, else its partition key.

    Raises ``UsageError`` when it has neither, or when what it has is not a month.
    """
    written = context["params"].get("period") or context["dag_run"].partition_key
    if not written:
        raise UsageError("this run has no period: trigger it with period=YYYY-MM")
    return Period.parse(written)


def month_written(context: Context) -> str:
    """The month or quarter of a run as it was asked for, for a mail or a link; empty where there is none."""
    params = context["params"]
    return str(params.get("period") or params.get("quarter") or context["dag_run"].partition_key or "")


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

    A live run writes to the record, for such a Dag has its own datasets there, and adds to what live runs wrote before;
    it may also be of an issued month. A shadow run writes beside a record that was issued or told to anybody. Raises
    ``Refused`` for a live run of a month older than the newest that was issued: that one tells what has changed since.
    """
    from include.month import is_issued, newest_issued, resolve_effects
    from include.webinar_tellings import has_live_messages

    period, run = period_of(context), run_facts(context)
    effects, newest = resolve_effects(workspace, period, run["effects"], run["run_type"]), newest_issued(workspace)
    if effects == "live" and newest is not None and period < newest:
        raise Refused(
            f"{period} cannot run live: {newest} was issued after it; trigger it with period={newest}, whose run tells "
            "what has changed in the sessions of any month"
        )
    with workspace.operations.connect() as connection:
        is_told = has_live_messages(connection, str(period))
    area = "shadow" if effects == "shadow" and (is_told or is_issued(workspace, period)) else "lake"
    return {"period": str(period), "effects": effects, "area": area, "run_id": run["run_id"]}


def quarter_of(context: Context) -> Quarter:
    """The quarter of a run: its parameter ``quarter``, else the quarter of the month that its partition key names.

    Raises ``UsageError`` when it has neither, or when what it has is no quarter and no month.
    """
    if written := context["params"].get("quarter"):
        return Quarter.parse(written)
    if key := context["dag_run"].partition_key:
        return Quarter.of(Period.parse(key))
    raise UsageError("this run has no quarter: trigger it with quarter=YYYY-Qn")


class RunStates:
    """Asks Airflow whether another run of the Dags that exclude each other is queued or running."""

    def __init__(self, context: Context, dags: tuple[str, ...] = MONTH_DAGS) -> None:
        self._ti, self._dags = context["ti"], dags

    def is_active(self, run_id: str) -> bool:
        """False also for a run that Airflow does not know: where its history is gone, nothing works for it."""
        return any(
            self._ti.get_dr_count(dag_id, run_ids=[run_id], states=["queued", "running"]) > 0 for dag_id in self._dags
        )


# --- Who stands behind a run, and what a person answered --------------------------------------------------------


def starter_of(context: Context) -> str:
    """The user who triggered this run; raises ``UsageError`` where Airflow does not tell."""
    name = context["dag_run"].triggering_user_name
    if not name:
        raise UsageError("nobody is known to have asked for this: trigger it in the UI or over REST, as yourself")
    return name


def airflow_records() -> AirflowRecords:
    """What this Airflow has on record, asked over the connection ``carm_airflow``.

    Raises ``UsageError`` where there is none, ``Unavailable`` where it does not lead to an Airflow that lets it in.
    """
    from include.airflow_records import CONNECTION, AirflowRecords

    try:
        connection = Connection.get(CONNECTION)
    except AirflowNotFoundException as error:
        raise UsageError(
            f"there is no connection {CONNECTION}, so who made a plan cannot be told: add one with host, port, login "
            "and password of a user of this Airflow who may read runs and the event log"
        ) from error
    return AirflowRecords.open(_settings_of(connection))


def makers_of_run(context: Context) -> tuple[str, ...]:
    """Everyone who started this run or cleared a task of it; ``("unknown",)`` where Airflow cannot be asked.

    A month does not fail for that: its plan is asked about again before anybody may approve it.
    """
    from include.airflow_records import UNKNOWN

    dag_run = context["dag_run"]
    try:
        return airflow_records().makers_of(dag_run.dag_id, dag_run.run_id, clear_number=dag_run.clear_number)
    except CarmError as error:
        LOG.warning("the makers of this run's plan are unknown for now: %s", error)
        return (UNKNOWN,)


def ask_for_makers_again(workspace: Workspace, plan_hash: str) -> None:
    """Ask Airflow once more who stands behind the runs that built a plan; raises as :func:`airflow_records` does."""
    from include.approvals import renew_makers

    records = airflow_records()
    renew_makers(workspace, plan_hash, lambda run_id: records.makers_of("carm_month", run_id))


def answer_of(context: Context, task_id: str) -> dict[str, Any]:
    """What was answered to the task of this run that asks, and who asked: the arguments of ``settle_answer``.

    Both are read from Airflow's own records and not from the task's result, which whoever may edit a run can replace.
    """
    from include.airflow_records import UNKNOWN

    dag_run, records = context["dag_run"], airflow_records()
    askers = records.makers_of(dag_run.dag_id, dag_run.run_id, clear_number=dag_run.clear_number)
    starter = dag_run.triggering_user_name
    return {
        "answer": records.answer_to(dag_run.dag_id, dag_run.run_id, task_id),
        "asked_by": starter if starter in askers else UNKNOWN,
        "also_asked_by": askers,
        "run_id": dag_run.run_id,
    }


def reinstatement_of(context: Context) -> dict[str, Any]:
    """The arguments of ``reinstate_account``: what was filled in, and who did."""
    params = context["params"]
    return {
        "bn15": params["bn15"],
        "reason": params["reason"],
        "effective_on": date.fromisoformat(params["effective_on"]),
        "recorded_by": starter_of(context),
        "run_id": context["dag_run"].run_id,
    }


def statement_act_of(context: Context) -> tuple[str, Period, str, Order]:
    """Which act about which statement was filled in, and the order: why, when, and who filled it in."""
    from include.statement_acts import Order

    params = context["params"]
    order = Order.of(
        params["reason_en"],
        params["reason_fr"],
        date.fromisoformat(params["acted_on"]),
        starter_of(context),
        context["dag_run"].run_id,
    )
    return params["act"], Period.parse(params["period"]), params["bn15"], order


def months_of(context: Context) -> Months:
    """The months that were filled in, first and last."""
    from include.backfill_approvals import Months

    return Months.of(context["params"]["from_period"], context["params"]["to_period"])


def backfill_form(params: Mapping[str, str]) -> str:
    """What the person who decides about a live backfill reads, as Markdown."""
    from include.backfill import approval_form
    from include.backfill_approvals import Months

    return approval_form(open_workspace(), Months.of(params["from_period"], params["to_period"]), params["reason"])


def plan_form(plan_hash: str) -> str:
    """What the person who decides about a plan reads, as Markdown, with a link to the run that made it."""
    from airflow.sdk.configuration import conf

    from include.approvals import approval_form, describe_plan

    plan = describe_plan(open_workspace(), plan_hash)
    address = conf.get("api", "base_url", fallback="").rstrip("/")
    return approval_form(
        plan,
        {
            "its evidence, account by account": f"{address}/carm/review/{plan['period']}",
            "the run that made the plan": f"{address}/dags/carm_month/runs/{quote(plan['run_id'], safe='')}",
        },
    )


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


def mail_route() -> MailRoute:
    """By which server mail goes, from whom and how fast; raises ``UsageError`` where the connection lacks a part."""
    from include.mail_route import MailRoute

    return MailRoute.of(_settings_of(Connection.get("carm_smtp")))


def _database_url(conn_id: str, data: str) -> str:
    return _settings_of(Connection.get(conn_id)).database_url(data)


def _settings_of(connection: Connection) -> ConnectionSettings:
    from include.airflow_settings import ConnectionSettings

    return ConnectionSettings(
        conn_id=connection.conn_id,
        conn_type=connection.conn_type,
        host=connection.host,
        schema=connection.schema,
        login=connection.login,
        password=connection.password,
        port=connection.port,
        extra=connection.extra_dejson,
    )
