"""### Let a backfill run live, once another person approves it

**What it does.** A backfill of `carm_month` is shadow unless it is told `effects=live`, and then it is refused for
every month that nobody approved. This shows what a live backfill of the months would do, asks one person, waits for the
answer, and records it. It starts no backfill: do that afterwards, in the UI at *Trigger*, *Backfill*, or by
`make backfill`.

**What to fill in.** `from_period` and `to_period`, the first and the last month; `reason`, why they are to run live and
not one by one by the schedule.

**Who may approve.** Everybody who may edit runs, except whoever started or cleared this run.

**May I run it again, or clear a task?** Yes. Clearing `approval` asks again. The last answer about a month counts: a
later *Reject* takes an approval back. An answer counts while the rules of the clean-up and the policy are those that
were shown; after that ask anew.

**What can go wrong, and what to do.** The failed task's log ends with one line that says it.

- `check_months`: *cannot run live*, or what else stands in the way of a month. Nobody is asked. Live months go in
  order: begin with the one after the newest issued.
- `record_answer`: *nobody answered*, *was rejected*, *does not count*. The months stay shadow. Trigger again, and let
  another person answer.
- `record_answer`: *changed since the question showed them*. The rules or the policy became others while the question
  waited. The answer is recorded as refused. Trigger again: the new question shows them as they are now.
"""

from __future__ import annotations

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, TriggerRule, task
from forms import period_param, reason_param
from portal_links import link_to_portal
from run_context import airflow_records, answer_of, backfill_form, months_of, open_workspace
from task_settings import ASK_A_PERSON, DATABASE_POOL, TASK_DEFAULTS


@task(pool=DATABASE_POOL)
def check_months(**context):
    """Refuses at once, before anybody is asked, months that could not run live even with an approval."""
    from include.backfill import require_worth_asking

    return require_worth_asking(open_workspace(), months_of(context))


# Runs whatever came of the question, so that no run is green without an approval.
@task(pool=DATABASE_POOL, trigger_rule=TriggerRule.ALL_DONE)
def record_answer(**context):
    """Records who answered what, once it is sure that this person may, and that what was shown still holds."""
    from include.backfill_approvals import settle_backfill_answer, versions_shown

    dag_run, answered = context["dag_run"], answer_of(context, "approval")
    return settle_backfill_answer(
        open_workspace(),
        months_of(context),
        shown=versions_shown(airflow_records(), dag_run.dag_id, dag_run.run_id, "approval", answered["answer"]),
        reason=context["params"]["reason"],
        **answered,
    )


with DAG(
    dag_id="carm_approve_backfill",
    description="Let a backfill of some months run live, once another person approves it",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    # A run waits for days, and must not keep another one from being asked about.
    max_active_runs=16,
    params={
        "from_period": period_param(
            "First month", "YYYY-MM, the first month that is to run live, for example `2022-01`."
        ),
        "to_period": period_param("Last month", "YYYY-MM, the last month that is to run live, for example `2022-03`."),
        "reason": reason_param("Why the months are to run live by a backfill."),
    },
    # The form is written when the question is asked, from the record: no task's result stands in between.
    user_defined_macros={"backfill_form": backfill_form},
    default_args=TASK_DEFAULTS,
    tags=["carm", "approval", "backfill"],
) as dag:
    approval = ApprovalOperator(
        task_id="approval",
        subject="Let a backfill of {{ params.from_period }} to {{ params.to_period }} run live?",
        body="{{ backfill_form(params) }}",
        **ASK_A_PERSON,
    )

    check_months() >> approval >> record_answer()
    link_to_portal(dag)
