"""### Registration notices for the webinars of the coming month, and what changes in a session

**What it does.** Writes one registration notice for every subscriber, with the sessions of the calendar month after the
statement month and a calendar entry for each. Whoever was told of a session gets a message about each later revision of
it: changed or cancelled, with the entry that replaces or strikes out the earlier one. Whoever has the month's notice is
told of a session that was added. It sends nothing; a live run plans the messages, and `carm_deliver` sends them.

**Which month.** As in `carm_month`: the parameter `period` (YYYY-MM), else the run's partition key. The schedule runs
on the 26th at 06:00 Toronto time, a day after the statement month, and only where `CARM_SCHEDULE=on`.

**A session changed, or was cancelled?** Enter its next `revision` in the source, then trigger this Dag with the newest
issued month as `period` and `effects=live`, and do not wait for the 26th. It reads the sessions anew, also where the
month was issued, and tells changes of sessions of any month. Look first with `effects=shadow`: the same messages lie
below `data/shadow/` then, and none is planned. A change without a higher revision reaches nobody.

**May I run it again, or clear the task?** Yes. What was written stays as it is; the same sessions and subscribers add
nothing, and nobody is told of one revision twice.

**What can go wrong, and what to do.** The failed task's log ends with one line that says it. A month whose extract is
not sealed is refused: run `carm_month` for it first. A live run of an older month than the newest issued one is
refused: trigger it with the month that it names. `refused_revisions` in the task's result counts rows of the source
that do not pass validation: correct them and run again. A database that is locked is tried again by itself; then check
the connection `carm_source` and clear the task.
"""

from __future__ import annotations

from airflow.sdk import DAG, CronPartitionTimetable, task
from forms import MONTH_PARAMS
from portal_links import link_to_portal
from run_context import open_workspace, recipient_hash_key, unlocked_month
from task_settings import DATABASE_POOL, SCHEDULE_END, TASK_DEFAULTS


@task(pool=DATABASE_POOL)
def publish_webinar_notices(**context):
    """Writes the notices of the sessions in the month after the statement month, and of what changed in any session."""
    from include.webinar_notices import publish_webinar_notices

    workspace = open_workspace()
    month = unlocked_month(workspace, context)
    return publish_webinar_notices(workspace, month, recipient_hash_key=recipient_hash_key())


with DAG(
    dag_id="carm_webinar_notices",
    description="Notices of the webinars in the month after a statement month, and of their changes",
    doc_md=__doc__,
    schedule=CronPartitionTimetable("0 6 26 * *", timezone="America/Toronto", key_format="%Y-%m"),
    end_date=SCHEDULE_END,
    catchup=False,
    max_active_runs=1,
    params=MONTH_PARAMS,
    default_args=TASK_DEFAULTS,
    tags=["carm", "webinars"],
) as dag:
    publish_webinar_notices()
    link_to_portal(dag)
