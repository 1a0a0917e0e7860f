"""Takes the records of the first release into the audit chain, which it did not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from include.audit import append_link
from include.operations_plan_tables import PLANS
from include.operations_statement_tables import ISSUED_MONTHS
from include.statement_registry import issue_facts, tell_seals

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

FIRST_RELEASE = "0001"
"""The last revision of the database without a chain."""


def adopt_first_release(connection: Connection) -> None:
    """Begin the chain with what there is: the plans by name, the issued months as if they were issued now.

    From here on they are proved like others; what had been done to them before, no link can tell.
    """
    plans = sorted(set(connection.execute(select(PLANS.c.plan_hash)).scalars()))
    months = connection.execute(select(ISSUED_MONTHS.c.period).order_by(ISSUED_MONTHS.c.period)).scalars().all()
    if plans or months:
        append_link(connection, "adoption", "first release", {"plans": plans})
    for period in months:
        append_link(connection, "issue", period, issue_facts(connection, period))
        tell_seals(connection, period)
