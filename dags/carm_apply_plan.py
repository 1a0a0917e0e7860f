"""### Ask a person about a held plan, and apply it when it is approved

**What it does.** Shows a plan that waits for an approval, waits for one person's answer, records the answer under the
plan's hash, applies exactly that plan, and then writes the month's notices and its summary anew. The answer is asked
for below *Required Actions*.

**What to fill in.** `plan_hash`, the whole hash of a plan that is held: the end of `make run` and the results of the
task `plan` in `carm_month` show it.

**Who may approve.** Everybody who may edit runs, except whoever started or cleared a run that made the plan, and
whoever started or cleared this run. The same person's approval is recorded as refused, and this run fails.

**May I run it again, or clear a task?** Yes. An approval is of one hash and is never used for another plan. A plan that
is applied is not applied again, and clearing `approval` asks again.

**What can go wrong, and what to do.** The failed task's log ends with one line that says it.

- `check_plan`: *cannot be approved*. Nobody is asked. The line says what is in the way.
- `check_plan`: *there is no connection carm_airflow*. Who made the plan cannot be told without it. Add it, clear the
  task.
- `approval` failed: the answer was *Reject*, or nobody answered within 14 days. Nothing was changed.
- `record_answer`: *nobody answered*. Then either `check_plan` or `approval` says why.
- `record_answer`: *does not count*. The wrong person approved, or the decisions have changed. Nothing was changed;
  trigger again and let another person answer.
- `apply_plan`: *is being worked on by run …*. Wait for that run, then clear the task: the approval stands.
- `publish_notices`, `close_month`: the accounts are changed; clear the failed task until it is green.
"""

from __future__ import annotations

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, TriggerRule, task
from forms import plan_hash_param
from portal_links import link_to_portal
from run_context import RunStates, answer_of, ask_for_makers_again, open_workspace, plan_form, recipient_hash_key
from task_settings import ASK_A_PERSON, DATABASE_POOL, TASK_DEFAULTS


@task(pool=DATABASE_POOL)
def check_plan(**context):
    """Refuses at once, before anybody is asked, what could not be approved or applied afterwards."""
    from include.approvals import require_decidable

    workspace, plan_hash = open_workspace(), context["params"]["plan_hash"]
    ask_for_makers_again(workspace, plan_hash)
    return require_decidable(workspace, plan_hash)


# Runs whatever came of the question, so that a rejection is recorded too, and no run is green without an approval.
@task(pool=DATABASE_POOL, trigger_rule=TriggerRule.ALL_DONE)
def record_answer(**context):
    """Records who answered what, once it is sure that this person may; goes on only with an approval."""
    from include.approvals import settle_answer

    workspace, plan_hash = open_workspace(), context["params"]["plan_hash"]
    ask_for_makers_again(workspace, plan_hash)
    return settle_answer(workspace, plan_hash, **answer_of(context, "approval"))


@task(pool=DATABASE_POOL)
def apply_plan(**context):
    """Locks the plan's month and writes the new account versions of the approved plan, once."""
    from include.approvals import apply_approved_plan

    plan_hash, run_id = context["params"]["plan_hash"], context["dag_run"].run_id
    return apply_approved_plan(open_workspace(), plan_hash, run_id, RunStates(context).is_active)


@task(pool=DATABASE_POOL)
def publish_notices(**context):
    """Writes the month's notices anew, now that its closures and corrections have happened."""
    from include.approvals import month_of_plan
    from include.notices import publish_notices

    workspace, plan_hash = open_workspace(), context["params"]["plan_hash"]
    month = month_of_plan(workspace, plan_hash, context["dag_run"].run_id)
    return publish_notices(workspace, month, recipient_hash_key=recipient_hash_key())


@task(pool=DATABASE_POOL)
def close_month(**context):
    """Writes the month's summary anew, so that it says what came of the plan, and gives the lock back."""
    from include.approvals import month_of_plan
    from include.month import close_again

    workspace, plan_hash = open_workspace(), context["params"]["plan_hash"]
    return close_again(workspace, month_of_plan(workspace, plan_hash, context["dag_run"].run_id))


with DAG(
    dag_id="carm_apply_plan",
    description="Ask a person about a held plan, and apply exactly that plan when it is approved",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    # A run waits for days, and must not keep the next plan from being asked about.
    max_active_runs=16,
    params={"plan_hash": plan_hash_param()},
    # The form is written when the question is asked, from the plan's own row: no task's result stands in between.
    user_defined_macros={"plan_form": plan_form},
    default_args=TASK_DEFAULTS,
    tags=["carm", "approval"],
) as dag:
    approval = ApprovalOperator(
        task_id="approval",
        subject="Apply plan {{ params.plan_hash[:12] }} to the accounts?",
        body="{{ plan_form(params.plan_hash) }}",
        **ASK_A_PERSON,
    )

    check_plan() >> approval >> record_answer() >> apply_plan() >> publish_notices() >> close_month()
    link_to_portal(dag)
