"""### On the day after the 25th: are the month's statements issued?

**What it does.** Asks the record whether the statement month that was due is issued and its notices are written. If it
is not, this fails, and whoever is on call gets a mail. A month whose run never started cannot complain by itself; this
looks at what is there, and not at runs.

**Which month.** The parameter `period` (YYYY-MM), else the run's partition key. The schedule runs on the 26th at 00:05
Toronto time, when the day of issue has passed, and only where `CARM_SCHEDULE=on`.

**May I run it again, or clear the task?** Yes. It reads, and changes nothing. After the month is issued, clear the
task: it turns green.

**What can go wrong, and what to do.** The failed task's log ends with one line that says it.

- *was due on … and is not issued*: look at `carm_month`. Did it start? Is the schedule on, is the Dag unpaused, did it
  fail, does a task wait for a pool? Then run the month, with `effects=live`.
- *is issued, and its run has not come to its end*: run `carm_month` for it again: it writes the notices that it owes.
- no mail came, and no run of this Dag is there: then the scheduler itself did not work. What watches the machine must
  tell that: nothing inside Airflow can.
"""

from __future__ import annotations

from airflow.sdk import DAG, CronPartitionTimetable, task
from forms import due_month_params
from portal_links import link_to_portal
from run_context import open_workspace, period_of
from task_settings import SCHEDULE_END, TASK_DEFAULTS, WATCH_POOL


@task(pool=WATCH_POOL)
def require_issued(**context):
    """Fails where the month that was due is not issued, or its run has not come to its end."""
    from include.deadline import require_issued

    return require_issued(open_workspace(), period_of(context))


with DAG(
    dag_id="carm_deadline",
    description="On the 26th: whether the month that was due is issued",
    doc_md=__doc__,
    schedule=CronPartitionTimetable("5 0 26 * *", timezone="America/Toronto", key_format="%Y-%m"),
    end_date=SCHEDULE_END,
    catchup=False,
    max_active_runs=1,
    params=due_month_params(),
    default_args=TASK_DEFAULTS,
    tags=["carm", "statement month"],
) as dag:
    require_issued()
    link_to_portal(dag)
