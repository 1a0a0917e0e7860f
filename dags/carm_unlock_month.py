"""### Unlock a locked month, once another person approves it

**What it does.** A locked month takes no restatement, no withdrawal, no late statement and no new extract. This asks
one person whether it may be unlocked, waits for the answer, and records who asked and who approved. `carm lock` locks
it again.

**What to fill in.** `period`, the month; `reason`, why it must be opened.

**Who may approve.** Everybody who may edit runs, except whoever started or cleared this run.

**May I run it again, or clear a task?** Yes. Clearing `approval` asks again; a month that is not locked is refused. A
run unlocks once: where the month was locked again since, trigger anew.

**What can go wrong, and what to do.** The failed task's log ends with one line that says it.

- `check_lock`: *is not locked*. Nothing stands in the way; nobody is asked.
- `record_answer`: *stays locked*. Nobody answered in time, the answer was no, whoever asked approved it, or the month
  was locked again after this run had unlocked it. Trigger again, and let another person answer.
"""

from __future__ import annotations

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, TriggerRule, task
from forms import period_param, reason_param
from portal_links import link_to_portal
from run_context import answer_of, open_workspace, period_of
from task_settings import ASK_A_PERSON, DATABASE_POOL, TASK_DEFAULTS


@task(pool=DATABASE_POOL)
def check_lock(**context):
    """Refuses at once, before anybody is asked, where the month is not locked."""
    from include.month_locks import require_locked

    with open_workspace().operations.connect() as connection:
        require_locked(connection, period_of(context))


# Runs whatever came of the question, so that no run is green without an approval.
@task(pool=DATABASE_POOL, trigger_rule=TriggerRule.ALL_DONE)
def record_answer(**context):
    """Unlocks the month, once it is sure that this person may approve it."""
    from include.month_locks import unlock_month

    return unlock_month(
        open_workspace(),
        period_of(context),
        reason=context["params"]["reason"],
        **answer_of(context, "approval"),
    )


with DAG(
    dag_id="carm_unlock_month",
    description="Unlock a locked month, once another person approves it",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=16,
    params={
        "period": period_param("Statement month", "YYYY-MM, a locked month, for example `2021-12`."),
        "reason": reason_param("Why the month must be opened."),
    },
    default_args=TASK_DEFAULTS,
    tags=["carm", "approval"],
) as dag:
    approval = ApprovalOperator(
        task_id="approval",
        subject="Unlock the statement month {{ params.period }}?",
        body="**Why:** {{ params.reason }}\n\nUnlocked, its statements can be restated and withdrawn, and, where it is "
        "not issued yet, it can be extracted anew. Whoever asked cannot approve it.",
        **ASK_A_PERSON,
    )

    check_lock() >> approval >> record_answer()
    link_to_portal(dag)
