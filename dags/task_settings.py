"""What every task keeps to: its pool, when it is tried again, who is told of a failure, and the schedule's switch."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pendulum
from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
from lineage import tell_lineage
from notifiers import TellFailure

from include.carm.errors import DataError, Refused, UsageError

if TYPE_CHECKING:
    from airflow.sdk import Context

DATABASE_POOL = "carm_database"  # One slot: a single writer is all that SQLite allows.
COMPUTE_POOL = "carm_compute"  # Two slots: for work that fills a core or a gigabyte.
MAIL_POOL = "carm_mail"  # One slot: what waits for the mail server.
WATCH_POOL = "carm_watch"  # One slot: what only looks, and must not wait for what it looks at.
SOURCE_POOL = "carm_source"  # One slot: what reads whole months out of a database that others work with.

# A Dag with a schedule starts its latest month as soon as it is unpaused; one without cannot be backfilled. So the
# schedule is always there, and this end keeps it from starting anything unless CARM_SCHEDULE=on. Backfills and runs by
# hand do not look at it: a partitioned run has no logical date that could lie after the end.
SCHEDULE_END = None if os.environ.get("CARM_SCHEDULE") == "on" else pendulum.datetime(2000, 1, 1)

LOG = logging.getLogger(__name__)

_SAME_AGAIN = RetryRule(
    exception=[DataError, Refused, UsageError],
    action=RetryAction.FAIL,
    reason="the same data under the same rules give the same answer again",
)


def after_step(context: Context, result: Any = None) -> None:
    """End the log of a task with one line that says what it did, in numbers; then tell lineage."""
    from include.local_airflow.progress import describe_counts

    facts = result if isinstance(result, dict) else {}
    # A plan's state and the sentence why; what came of an answer; whether a month changed.
    words = [str(facts[name]) for name in ("result", "state", "decision", "reason") if isinstance(facts.get(name), str)]
    told = "; ".join([*words, describe_counts(result)]).removesuffix("; ")
    LOG.info("%s is done: %s", context["ti"].task_id.rpartition(".")[2], told or "nothing to count")
    tell_lineage(context, result)


TASK_DEFAULTS: dict[str, Any] = {
    "owner": "carm",
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=5),
    "retry_policy": ExceptionRetryPolicy(rules=[_SAME_AGAIN]),
    # After the last attempt; what is tried again is nobody's business yet.
    "on_failure_callback": TellFailure(),
    "post_execute": after_step,
}

ASK_A_PERSON: dict[str, Any] = {
    "pool": DATABASE_POOL,
    "doc_md": "Waits for one person's answer. It has no default: no answer is no approval.",
    "response_timeout": timedelta(days=14),
    # Else a rejected run would be green.
    "fail_on_reject": True,
    # A task that asks is not tried again once it was answered, or not answered in time: that would ask anew.
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            _SAME_AGAIN,
            RetryRule(
                exception=[
                    "airflow.providers.standard.exceptions.HITLRejectException",
                    "airflow.providers.standard.exceptions.HITLTimeoutError",
                ],
                action=RetryAction.FAIL,
                reason="only a person asks a person again",
            ),
        ]
    ),
    # The task after it says what was answered, and by whom.
    "on_failure_callback": None,
}
