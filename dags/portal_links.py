"""From a task to the page that shows what it made: the button *Extra Links* of a task in Airflow.

A link is worked out where the task ran, when it has ended, and kept with the run. So it needs no plugin in the server,
and no other Dag of the same Airflow gets one. It is a path below the address of this Airflow: it works behind a proxy's
prefix, and by whatever name a person reached the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import attrs
from airflow.sdk import BaseOperatorLink
from notifiers import base_url
from run_context import month_written

if TYPE_CHECKING:
    from airflow.sdk import DAG, BaseOperator
    from airflow.sdk.types import TaskInstanceKey


@attrs.define()
class PortalLink(BaseOperatorLink):
    """A page of the portal; ``page`` may hold ``{month}``, and without one it leads to the months."""

    title: str
    page: str

    @property
    def name(self) -> str:
        return self.title

    @property
    def xcom_key(self) -> str:
        return f"_link_{self.title.replace(' ', '_').lower()}"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        # What Airflow hands over here is the running task instance, whatever the name says.
        return portal_path(self.page, month_written(ti_key.get_template_context()))


def portal_path(page: str, month: str = "") -> str:
    """The path of a page, below the prefix under which this Airflow is reached."""
    shown = page.format(month=quote(month, safe="")) if month or "{month}" not in page else "months"
    return f"{urlsplit(base_url()).path.rstrip('/')}/carm/{shown}"


MONTH = PortalLink("Month", "months/{month}")
CERTIFICATE = PortalLink("Certificate", "months/{month}/certificate")
QUARANTINE = PortalLink("Quarantine", "quarantine/{month}")
DATA_DOCS = PortalLink("Data Docs", "data-docs/")
REVIEW = PortalLink("Review", "review/{month}")
OUTBOX = PortalLink("Outbox", "outbox")
MONTHS = PortalLink("Months", "months")
TRENDS = PortalLink("Trends", "trends")

PAGES = {
    "open_month": [MONTHS],
    "extract_feeds": [MONTH],
    "validate_and_seal": [QUARANTINE, DATA_DOCS],
    "publish_activity": [MONTH],
    "plan": [REVIEW],
    "apply_plan": [REVIEW],
    "statement_lines": [MONTH],
    "register_statements": [MONTH],
    "publish_notices": [OUTBOX],
    "close_month": [CERTIFICATE, MONTH, TRENDS],
    "require_issued": [MONTHS],
    "deliver_messages": [OUTBOX],
    "publish_webinar_notices": [OUTBOX],
    "publish_quarterly": [OUTBOX],
    "publish_notice": [OUTBOX],
    "perform_act": [MONTH],
    "check_months": [MONTHS],
    "record_answer": [MONTHS],
}
"""The pages of a task by its name. A mapped task has none: Airflow would have to work one out for each shard."""


def link_to_portal(dag: DAG) -> None:
    """Give the tasks of a Dag the buttons to their pages."""
    for task in dag.tasks:
        pages = PAGES.get(task.task_id.rpartition(".")[2])
        if pages and not task.is_mapped:
            task.operator_extra_links = pages
