"""### Restate, withdraw or issue late one statement of an issued month

**What it does.** One act about one statement, recorded with its reason and whoever triggered this run; then the notice
that tells the client. What was issued stays as it is, and no act moves money: a wrong amount is corrected by a posting
in the open month.

**Which act.**

- `restate` issues the next version, with a box that says what changed and why. What is printed comes from the register
  and the dated tables as they are now, so put those right first: of any month the names, the language and the due date;
  of the last issued month also ages, calculated interest and the order of the transactions.
- `withdraw` declares the current version wrongly issued.
- `issue_parked` issues the first statement of an account that was parked when its month was issued.

**What to fill in.** `act`, `period`, `bn15`; `reason_en` and `reason_fr`, why, as the client reads it; `acted_on`, the
day of the new version or of the withdrawal. No names and no amounts: what is filled in stays in Airflow's records.

**May I run it again, or clear a task?** Yes. A run does its act once: `perform_act` cleared afterwards says what it did
then, and `publish_notice` follows. Another run asks for another act.

**What can go wrong, and what to do.** The failed task's log ends with one line that says it.

- `perform_act`: *nothing of the statement … would change*. The register and the tables say what the statement says.
- `perform_act`: *is locked*. Trigger `carm_unlock_month`, and let another person approve it.
- `perform_act`: *is parked*. Use the act `issue_parked`, once what it is parked for is put right.
- any task: *a database is locked*. It tries again by itself; then clear the task.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, task
from forms import bn15_param, day_param, in_section, period_param, reason_param
from portal_links import link_to_portal
from run_context import open_workspace, recipient_hash_key, statement_act_of
from task_settings import DATABASE_POOL, TASK_DEFAULTS


@task(pool=DATABASE_POOL)
def perform_act(**context):
    """Does what was asked for, and records who asked, and why."""
    from include.statement_acts import perform

    return perform(open_workspace(), *statement_act_of(context))


@task(pool=DATABASE_POOL)
def publish_notice(outcome, **context):
    """Writes the notice that tells the client; it sends nothing."""
    from include.carm.period import Period
    from include.statement_act_notices import publish_act_notices

    return publish_act_notices(
        open_workspace(),
        Period.parse(outcome["period"]),
        recipient_hash_key=recipient_hash_key(),
        run_id=context["dag_run"].run_id,
    )


with DAG(
    dag_id="carm_restate",
    description="Restate, withdraw or issue late one statement of an issued month",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    params={
        **in_section(
            "The statement",
            act=Param(
                None,
                type="string",
                enum=["restate", "withdraw", "issue_parked"],
                values_display={
                    "restate": "restate: issue a further version",
                    "withdraw": "withdraw: it was issued wrongly",
                    "issue_parked": "issue_parked: issue it late",
                },
                title="Act",
                description_md="**restate** issues a further version. **withdraw** declares the current one wrongly "
                "issued. **issue_parked** issues the first one of an account that was parked.",
            ),
            period=period_param("Statement month", "YYYY-MM, an issued month, for example `2021-12`."),
            bn15=bn15_param(),
            acted_on=day_param("Day of the act", "Not before the day on which the current version was issued."),
        ),
        **in_section(
            "What the client reads",
            reason_en=reason_param("Why, on the new version and in the notice.", title="Reason in English"),
            reason_fr=reason_param("Why, on the new version and in the notice.", title="Reason in French"),
        ),
    },
    default_args=TASK_DEFAULTS,
    tags=["carm", "restatement"],
) as dag:
    publish_notice(perform_act())
    link_to_portal(dag)
