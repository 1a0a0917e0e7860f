"""### Reinstate one account

**What it does.** Records a counter-action for one account, with its reason and whoever triggered this run: an account
that was closed is open again from the day that is filled in, a program type that was corrected is put back. The
dormancy clock starts at the reinstatement, and the clean-up does not propose the same change again until the evidence
changes. Then it writes the notice that tells the client.

**What to fill in.** `bn15`, the account; `reason`, why, for whoever reads it in a year; `effective_on`, the first day
of the new state, not before the day on which the change took effect.

**May I run it again, or clear a task?** Yes. What is undone is not undone twice: `reinstate_account` then says so, and
fails. `publish_notice` may be cleared by itself, as often as is needed; nobody is told twice.

**What can go wrong, and what to do.** The failed task's log ends with one line that says it. An account that has no
change to undo, or that changed again since, is refused, and stays as it is. A database that is locked is tried again by
itself; then check the connection `carm_apply` and clear the task. `publish_notice` that says *told with the first
month* is right: no month was issued yet, and the first one tells the client.
"""

from __future__ import annotations

from airflow.sdk import DAG, task
from forms import bn15_param, day_param, reason_param
from portal_links import link_to_portal
from run_context import open_workspace, recipient_hash_key, reinstatement_of
from task_settings import DATABASE_POOL, TASK_DEFAULTS


@task(pool=DATABASE_POOL)
def reinstate_account(**context):
    """Writes the new version of the account and the row that says who asked for it, and why."""
    from include.reinstate import reinstate_account

    return reinstate_account(open_workspace(), **reinstatement_of(context))


@task(pool=DATABASE_POOL)
def publish_notice(outcome, **context):
    """Writes the notice that tells the client; it sends nothing."""
    from include.reinstatement_notices import publish_reinstatement_notice

    return publish_reinstatement_notice(
        open_workspace(), outcome, recipient_hash_key=recipient_hash_key(), run_id=context["dag_run"].run_id
    )


with DAG(
    dag_id="carm_reinstate_account",
    description="Open a closed account again, or put a corrected program type back",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    params={
        "bn15": bn15_param(),
        "reason": reason_param("Why the change is undone."),
        "effective_on": day_param(
            "Effective on", "The first day of the new state, not before the day on which the change took effect."
        ),
    },
    default_args=TASK_DEFAULTS,
    tags=["carm", "reinstatement"],
) as dag:
    publish_notice(reinstate_account())
    link_to_portal(dag)
