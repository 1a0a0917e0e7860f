"""### Send the mail that waits in the outbox

**What it does.** Hands the planned messages over to the mail server of the connection `carm_smtp`, each at most once.
Nothing else in this project sends. What shadow runs and backfills wrote is sealed, and is never sent.

**When.** Every hour at 17 minutes past, and only where `CARM_SCHEDULE=on`; by hand at any time. It needs no period.

**May I run it again, or clear the task?** Yes. A message that was sent stays sent. Two runs at once share the work.

**What can go wrong, and what to do.** The failed task's log ends with one line that says it.

- *the mail server … cannot be reached*: nothing is lost, the next run goes on. Check host, port and TLS of `carm_smtp`.
- *refuses the log-in*, *refuses … as sender*: correct the connection `carm_smtp`.
- *refused … messages in a row for good*: the fault is not in the recipients. Ask the server's administrator, then plan
  them again: `carm outbox resend`.
- *is not the one with which messages were written*: the `recipient_hash_key` of `carm_smtp` was changed. Put the old
  one back: by another one nobody who unsubscribed is known.
- the task is green and tells of *unknown* messages: the server was given them and no answer came. Look at the server's
  log, then decide for each: `carm outbox resend` or `carm outbox sent`. No run sends them again by itself.
- *its text in the outbox is not the one that was planned*: a pack below `outbox/` was changed or lost. Restore it from
  a backup; the other messages were sent.
"""

from __future__ import annotations

from airflow.sdk import DAG, task
from portal_links import link_to_portal
from run_context import RunStates, mail_route, open_workspace, recipient_hash_key
from task_settings import MAIL_POOL, SCHEDULE_END, TASK_DEFAULTS


@task(pool=MAIL_POOL)
def deliver_messages(**context):
    """Sends what is due, as fast and as much as `include/config/notices.yaml` allows."""
    from include.deliver import Who, deliver
    from include.mail_server import MailServer
    from include.system_clock import SystemClock, boot_of_this_machine
    from include.unsubscribe import proved_key

    instance, states, route = context["ti"], RunStates(context, ("carm_deliver",)), mail_route()
    workspace = open_workspace()
    # A message goes out with links that its reader can use, or not at all.
    proved_key(workspace, recipient_hash_key())
    who = Who(
        f"{instance.run_id}#{instance.try_number}",
        # An earlier attempt of this run is gone.
        lambda name: not name.startswith(f"{instance.run_id}#") and states.is_active(name.rpartition("#")[0]),
        boot=boot_of_this_machine(),
    )
    server = MailServer(route.server)
    return deliver(workspace, server, route.sender, route.rules, who=who, clock=SystemClock())


with DAG(
    dag_id="carm_deliver",
    description="Send the mail that waits in the outbox, each message at most once",
    doc_md=__doc__,
    schedule="17 * * * *",
    end_date=SCHEDULE_END,
    catchup=False,
    max_active_runs=1,
    default_args=TASK_DEFAULTS,
    tags=["carm", "mail"],
) as dag:
    deliver_messages()
    link_to_portal(dag)
