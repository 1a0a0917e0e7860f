"""### Registration notices for the webinars of the coming month

**What it does.** Writes one registration notice for every subscriber and every session of the calendar month after the
statement month. It sends nothing.

**Which month.** As in `carm_month`: the parameter `period` (YYYY-MM), else the run's partition key. The schedule runs
on the 26th at 06:00 Toronto time, a day after the statement month, and only where `CARM_SCHEDULE=on`.

**May I run it again, or clear the task?** Yes. The same sessions and subscribers give the same notices; a session's
new revision gives a new notice.

**What can go wrong, and what to do.** The failed task's log ends with one line that says it. A month whose extract is
not sealed is refused: run `carm_month` for it first. A database that is locked is tried again by itself; then check the
connection `carm_source` and clear the task.
"""

from __future__ import annotations

from airflow.sdk import DAG, CronPartitionTimetable, task
from run_context import (
    DATABASE_POOL,
    MONTH_PARAMS,
    SCHEDULE_END,
    TASK_DEFAULTS,
    open_workspace,
    recipient_hash_key,
    unlocked_month,
)


@task(pool=DATABASE_POOL)
def publish_webinar_notices(**context):
    """Writes the registration notices of the sessions in the month after the statement month."""
    from include.notices import publish_webinar_notices

    workspace = open_workspace()
    month = unlocked_month(workspace, context)
    return publish_webinar_notices(workspace, month, recipient_hash_key=recipient_hash_key())


with DAG(
    dag_id="carm_webinar_notices",
    description="Registration notices for the webinars of the month after a statement month",
    doc_md=__doc__,
    schedule=CronPartitionTimetable("0 6 26 * *", timezone="America/Toronto", key_format="%Y-%m"),
    end_date=SCHEDULE_END,
    catchup=False,
    max_active_runs=1,
    params=MONTH_PARAMS,
    default_args=TASK_DEFAULTS,
    tags=["carm", "webinars"],
):
    publish_webinar_notices()
