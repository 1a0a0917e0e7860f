"""Who is told when a task fails, a plan is held or a month is late: the person on call, by mail.

A notifier runs after the fate of its task is settled, so it can fail nothing; and where it cannot tell anybody, it says
so in one line of the task's log. Airflow's own ``SmtpNotifier`` is not used: it sends what a task's error says as it
stands, and knows neither the settings of this project's mail nor what may not leave this machine.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier, Variable
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSecretsBackendAccessDenied
from run_context import mail_route, month_written, open_workspace

from include.carm.errors import CarmError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import Context

    from include.on_call import Message, Run

LOG = logging.getLogger(__name__)

_NOT_TOLD = (CarmError, AirflowNotFoundException, AirflowSecretsBackendAccessDenied)
"""Why somebody cannot be told: a setting of ours, a connection that is not there, or one that Airflow does not give."""


class TellFailure(BaseNotifier):
    """Tells the first task of a run that failed for good; a cleared run that fails again is told again.

    Where nobody could be told, the next task of the run that fails tries it.
    """

    def notify(self, context: Context) -> None:
        from include.on_call import tell_failure

        instance, run = context["ti"], _run_of(context)
        if not _is_first_of(run, context):
            return
        is_told = False
        try:
            message = tell_failure(run, instance.task_id, instance.try_number, context.get("exception"), base_url())
            is_told = tell_on_call(message)
        finally:
            if not is_told:
                _forget_first_of(run, context)


class TellHeldPlan(BaseNotifier):
    """Tells that the plan of a month waits for an approval; silent about any other plan."""

    def notify(self, context: Context) -> None:
        from include.approvals import describe_plan
        from include.on_call import tell_held_plan

        instance = context["ti"]
        made = instance.xcom_pull(task_ids=instance.task_id) or {}
        if made.get("state") != "held":
            return
        try:
            plan = describe_plan(open_workspace(), made["plan_hash"])
        except CarmError as error:
            LOG.warning("the held plan is told to nobody: %s", error)
            return
        tell_on_call(tell_held_plan(_run_of(context), plan, base_url()))


def tell_late_run(context: dict[str, Any]) -> None:
    """The callback of a deadline: tells that a live run has not ended in time, unless its month is issued.

    Runs in the executor, beside the run, and gets of it what REST tells: no task, no params. Airflow 3.3.2 keeps its
    own connections and variables from such a callback; those of the environment and of a secrets backend it has.
    """
    from include.carm.period import Period
    from include.month import is_issued
    from include.on_call import Run, tell_late

    told = context["dag_run"]
    asked = told.get("conf") or {}
    month = asked.get("period") or told.get("partition_key") or ""
    is_shadow = asked.get("effects") == "shadow" or (told["run_type"] == "backfill" and asked.get("effects") != "live")
    if told["state"] not in ("queued", "running") or is_shadow:
        return
    try:
        if month and is_issued(open_workspace(), Period.parse(month)):
            return
    except _NOT_TOLD as error:
        LOG.warning("whether %s is issued cannot be told, so it counts as late: %s", month, error)
    since = str(context["deadline"]["deadline_time"])
    tell_on_call(tell_late(Run(told["dag_id"], told["dag_run_id"], month), since, base_url()))


def tell_on_call(message: Message) -> bool:
    """Send a mail to whoever the variable names, or say in one line why nobody is told; whether somebody was."""
    from include.on_call import VARIABLE, read_addresses, send_to_on_call
    from include.system_clock import SystemClock

    try:
        addresses = read_addresses(Variable.get(VARIABLE, default=""))
        if not addresses:
            LOG.info("nobody is told: the variable %s is empty", VARIABLE)
            return False
        taken = send_to_on_call(mail_route(), addresses, message, SystemClock().instant())
        LOG.info("told by mail, to %d of %d on call: %s", taken, len(addresses), message.subject)
        return taken > 0
    except _NOT_TOLD as error:
        LOG.warning("nobody on call is told: %s", error)
        return False


def base_url() -> str:
    """The address of this Airflow as people reach it, with the prefix of a proxy."""
    address: str = conf.get("api", "base_url", fallback="")
    return address.rstrip("/")


def _run_of(context: Context) -> Run:
    from include.on_call import Run

    return Run(context["dag_run"].dag_id, context["dag_run"].run_id, month_written(context))


def _is_first_of(run: Run, context: Context) -> bool:
    from include.on_call import is_first

    try:
        return is_first(*_mark_of(run, context))
    except (*_NOT_TOLD, OSError):
        # What keeps the mark from being made may be just what failed: better told twice than never.
        return True


def _forget_first_of(run: Run, context: Context) -> None:
    from include.on_call import forget_first

    try:
        forget_first(*_mark_of(run, context))
    except (*_NOT_TOLD, OSError) as error:
        LOG.warning("later failures of this run may be told to nobody: %s", error)


def _mark_of(run: Run, context: Context) -> tuple[Path, str]:
    """Where it stands that a failure of this run was told, and under which name: anew after each clearing."""
    cleared = getattr(context["dag_run"], "clear_number", 0)
    return open_workspace().staging(run.run_id, "on_call"), f"{run.dag_id} {cleared}"
