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

from datetime import timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param, TriggerRule, task
from run_context import ASK_ONCE, DATABASE_POOL, TASK_DEFAULTS, answer_of, open_workspace, period_of


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
        "period": Param(
            None,
            type="string",
            pattern="^[0-9]{4}-(0[1-9]|1[0-2])$",
            title="Statement month",
            description="YYYY-MM, a locked month, for example 2021-12.",
        ),
        "reason": Param(
            None,
            type="string",
            minLength=3,
            maxLength=500,
            title="Reason",
            description="Why the month must be opened. It is kept; no names and no amounts.",
        ),
    },
    default_args=TASK_DEFAULTS,
    tags=["carm", "approval"],
):
    approval = ApprovalOperator(
        task_id="approval",
        pool=DATABASE_POOL,
        doc_md="Waits for one person's answer. It has no default: no answer is no approval.",
        subject="Unlock the statement month {{ params.period }}?",
        body="**Why:** {{ params.reason }}\n\nUnlocked, its statements can be restated and withdrawn, and, where it is "
        "not issued yet, it can be extracted anew. Whoever asked cannot approve it.",
        response_timeout=timedelta(days=14),
        # Else a rejected run would be green.
        fail_on_reject=True,
        retry_policy=ASK_ONCE,
    )

    check_lock() >> approval >> record_answer()
