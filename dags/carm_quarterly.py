"""### The newsletter of a quarter

**What it does.** Writes the issue of a quarter in English and in French: HTML and PDF below
`documents/quarterly/2021-Q4/`, and one message for everybody on the distribution list. The text is what persons wrote
in `include/newsletter/`; the figures are those of the quarter's statement months. It sends nothing itself:
`carm_deliver` sends what a live run plans. Any other run writes beside the record, below `shadow/`, and its messages
are sealed.

**Which month.** The three of the parameter `quarter` (YYYY-Qn), else of the quarter that the run's partition key lies
in: 2021-Q4 is 2021-10 to 2021-12. By hand: *Trigger*, fill in `quarter`. The schedule runs on the 27th of March, June,
September and December at 06:00 Toronto time, two days after the quarter's last statement month, and only where
`CARM_SCHEDULE=on`.

**May I run it again, or clear the task?** Yes. The same text and figures give the same documents, and nobody is written
to twice about one quarter. What a live run published stays as it is: a correction goes into the next issue.

**What can go wrong, and what to do.** The failed task's log ends with one line that says it.

- *has no sealed quarantine for …: run that month first*: the last month of the quarter was not run. Run `carm_month`.
- *cannot go out live before … is issued*: the issue would have a gap for good. Run `carm_month` live for the month that
  it names, then clear the task.
- *cannot go out live: … was issued after it*: a later month is out, so this would be old news. Check the quarter.
- a file of `include/newsletter/` is named, with its line: mend the text as the line says. English and French must have
  the same blocks, headings, links and figures. `carm quarterly 2021-Q4 --output FOLDER` shows the issue beforehand.
- the task is green and its result names months as *missing*: the issue says that their figures are not available. A
  shadow run of the newsletter shows beforehand whether one is missing: run these months first.
- *a database is locked or cannot be reached*: it tries again by itself, twice. Then check the connections `carm_source`
  and `carm_apply`, and clear the task.
"""

from __future__ import annotations

from airflow.sdk import DAG, CronPartitionTimetable, task
from forms import QUARTER_PARAMS
from portal_links import link_to_portal
from run_context import open_workspace, quarter_of, recipient_hash_key, run_facts
from task_settings import DATABASE_POOL, SCHEDULE_END, TASK_DEFAULTS


@task(pool=DATABASE_POOL)
def publish_quarterly(**context):
    """Writes the documents of the issue, and renders it for everybody who is on the distribution list."""
    from include.quarterly import last_month, publish_quarterly

    workspace, quarter = open_workspace(), quarter_of(context)
    month = last_month(workspace, quarter, **run_facts(context))
    return publish_quarterly(workspace, quarter, month, recipient_hash_key=recipient_hash_key())


with DAG(
    dag_id="carm_quarterly",
    description="The newsletter of a quarter: documents, and a message for everybody on the distribution list",
    doc_md=__doc__,
    # The partition is the quarter's last month: a key has no sign for quarters.
    schedule=CronPartitionTimetable("0 6 27 3,6,9,12 *", timezone="America/Toronto", key_format="%Y-%m"),
    end_date=SCHEDULE_END,
    catchup=False,
    max_active_runs=1,
    params=QUARTER_PARAMS,
    default_args=TASK_DEFAULTS,
    tags=["carm", "newsletter"],
) as dag:
    publish_quarterly()
    link_to_portal(dag)
