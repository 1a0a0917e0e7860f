"""### One statement month, from the source database to the closed month

**What it does.** Reads the month's new, late and revised rows; validates them and seals the extract; decides which
accounts are to be closed or converted and applies what the policy lets pass; draws up, renders and registers the
statements; writes the notices; closes the month. One run is one statement month.

**Which month.** The parameter `period` (YYYY-MM), else the run's partition key. By hand: *Trigger*, fill in `period`.
The schedule runs on the 25th at 06:00 Toronto time, and only where `CARM_SCHEDULE=on`. A backfill is shadow; with
`effects=live` each of its months needs the approval of another person: `carm_approve_backfill`.

**May I run it again, or clear a task?** Yes, both, in any order. The month is locked while a run works on it, each step
asks for the seal of what it reads, and the same data give the same files; a month that is done comes out unchanged.

**What can go wrong, and what to do.** The failed task's log ends with one line that says it.

- `open_month`: *another run works on this month*. Wait for it; if its machine is gone, mark that run as failed. Then
  clear the task.
- `open_month`: *an earlier month is not issued*, or a later one is. Run the earlier month first, or use
  `effects=shadow`.
- `open_month`: *a backfill may not run … live*. Nobody approved it: trigger `carm_approve_backfill`, or leave `effects`
  at `auto`.
- any task: *a database is locked or cannot be reached*. It tries again by itself, twice. Then check the connections
  `carm_source` and `carm_apply`, and clear the task.
- `validate_and_seal`: *too many rows in quarantine*, or a feed is missing. Nothing was published. Have the feed mended,
  then clear `extract_feeds`.
- `plan`: *a check on the plan failed*. Nothing was applied. It is a fault of rules or data: keep the log, tell the
  owner of the rules.
- `plan` is green and its state is *held*: a limit of the policy was reached, or the policy asks for an approval. The
  month goes on, and no account changes. Trigger `carm_apply_plan` with the plan's hash: somebody who neither started
  nor cleared this run must approve.
- `statement_lines` is green and its log says *parked and without a statement*: all other accounts have theirs.
  `carm status` counts the parked ones by reason, `carm statement BN15` says of one what to mend.
- `statement_lines`: *more than policy.yaml allows*. So many accounts do not add up that the fault is not in them.
  Nothing was published: run `carm verify`, keep the log.
- `render_shard`, `render_brokers`: *disk full*. Make room and clear the task; the other shards stay.
- `publish_notices`: *notices are owed, and neither told nor known to reach nobody*. None of the month was planned. It
  is a fault of software or of a table: keep the log.
- the run was killed: trigger the same month again.
- a mail says that the run *is late*: it is queued or running 18 hours after it was queued. Look which task waits.

A red run has published either a step's whole result or nothing of it.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset, CronPartitionTimetable, TaskGroup, TriggerRule, task
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from forms import MONTH_PARAMS
from notifiers import TellHeldPlan, tell_late_run
from portal_links import link_to_portal
from run_context import RunStates, makers_of_run, open_workspace, period_of, recipient_hash_key, run_facts
from task_settings import COMPUTE_POOL, DATABASE_POOL, SCHEDULE_END, SOURCE_POOL, TASK_DEFAULTS

STATEMENT_MONTH = Asset("statement_month")

# From 06:00 to the end of the day of issue: it marks a run that hangs. Nothing rests on it, for where no run was made
# there is no deadline either; whether the month is issued, carm_deadline asks.
NOT_DONE_BY_MIDNIGHT = DeadlineAlert(
    name="not done by the end of the day of issue",
    reference=DeadlineReference.DAGRUN_QUEUED_AT,
    interval=timedelta(hours=18),
    callback=SyncCallback(tell_late_run),
)


@task(pool=DATABASE_POOL)
def open_month(**context):
    """Locks the month, refuses what may not run now, and settles whether the run is live or shadow."""
    from include.month import open_month

    run_states = RunStates(context)
    return open_month(open_workspace(), period_of(context), is_run_active=run_states.is_active, **run_facts(context))


@task(pool=SOURCE_POOL)
def extract_feeds(month):
    """Reads the month of every feed from the source; the first run also the months before it in the window."""
    from include.extract import extract_month

    return extract_month(open_workspace(), month)


@task(pool=DATABASE_POOL)
def validate_and_seal(month):
    """Puts bad rows into quarantine, publishes the others, reconciles, and seals the extract."""
    from include.validate import validate_month

    return validate_month(open_workspace(), month)


@task(pool=COMPUTE_POOL)
def publish_activity(month):
    """Sums up the month's activity for each account, and gathers the facts on which it is decided."""
    from include.activity import publish_activity

    return publish_activity(open_workspace(), month)


@task(pool=DATABASE_POOL, on_success_callback=TellHeldPlan())
def plan(month, **context):
    """Decides about every account and draws up the plan of changes, checked and held against the limits."""
    from include.decide import publish_decisions
    from include.plan_step import publish_plan

    workspace = open_workspace()
    return {
        "decisions": publish_decisions(workspace, month),
        **publish_plan(workspace, month, makers=makers_of_run(context)),
    }


@task(pool=DATABASE_POOL)
def apply_plan(month, plan):
    """Writes the new account versions of a plan that may pass; a held plan or a shadow run changes nothing."""
    from include.apply import apply_plan

    return apply_plan(open_workspace(), month, plan["plan_hash"])


@task(pool=COMPUTE_POOL)
def statement_lines(month):
    """Draws up every statement with its lines, and deals them into shards."""
    from include.statements import list_shards, publish_statement_lines

    workspace = open_workspace()
    publish_statement_lines(workspace, month)
    return list_shards(workspace, month)


@task(pool=COMPUTE_POOL, map_index_template="{{ task.op_kwargs['shard']['shard'] }}")
def render_shard(month, shard):
    """Renders one shard of statements into one pack."""
    from include.statements import render_shard

    return render_shard(open_workspace(), month, shard)


@task(pool=COMPUTE_POOL)
def render_brokers(month):
    """Renders the statements of brokers and the indexes of service providers, one firm at a time."""
    from include.broker_documents import render_brokers

    return render_brokers(open_workspace(), month)


# A month without any statement has no shards; its registry is still written, empty.
@task(pool=DATABASE_POOL, trigger_rule=TriggerRule.NONE_FAILED)
def register_statements(month, shards):
    """Publishes the statements with the hashes of their documents."""
    from include.statements import register_statements

    return register_statements(open_workspace(), month, list(shards))


@task(pool=DATABASE_POOL)
def publish_notices(month):
    """Writes the notices about accounts, one for many where a person would get many, and settles what is owed."""
    from include.notices import publish_notices

    return publish_notices(open_workspace(), month, recipient_hash_key=recipient_hash_key())


@task(pool=DATABASE_POOL, outlets=[STATEMENT_MONTH])
def close_month(month):
    """Writes the month's summary, gives the lock back, and says what a shadow run found beside the record."""
    from include.differences import log_differences
    from include.month import close_month

    workspace = open_workspace()
    summary = close_month(workspace, month)
    log_differences(workspace, month)
    return summary


# What failed has told of itself.
@task(trigger_rule=TriggerRule.ONE_FAILED, retries=0, on_failure_callback=None)
def watcher():
    """Makes the run red when any task failed, whatever the tasks after it do."""
    raise RuntimeError("the month is not closed: see the log of the task that failed")


with DAG(
    dag_id="carm_month",
    description="One statement month: extract, validate, clean up, statements, notices, close",
    doc_md=__doc__,
    schedule=CronPartitionTimetable("0 6 25 * *", timezone="America/Toronto", key_format="%Y-%m"),
    end_date=SCHEDULE_END,
    catchup=False,
    max_active_runs=1,
    deadline=NOT_DONE_BY_MIDNIGHT,
    params=MONTH_PARAMS,
    default_args=TASK_DEFAULTS,
    tags=["carm", "statement month"],
) as dag:
    month = open_month()

    with TaskGroup("extract"):
        extracted = extract_feeds(month)
    with TaskGroup("validate"):
        sealed = validate_and_seal(month)
    active = publish_activity(month)
    with TaskGroup("clean_up") as clean_up:
        apply_plan(month, plan(month))
    with TaskGroup("statements") as statements:
        shards = statement_lines(month)
        packs = render_shard.partial(month=month).expand(shard=shards)
        of_firms = render_brokers(month)
        shards >> of_firms >> register_statements(month, packs)
    with TaskGroup("notices") as notices:
        publish_notices(month)
    closed = close_month(month)

    # Decisions and statements both rest on the activity of all months, and not on each other.
    extracted >> sealed >> active >> [clean_up, statements] >> notices >> closed
    list(dag.tasks) >> watcher()
    link_to_portal(dag)
