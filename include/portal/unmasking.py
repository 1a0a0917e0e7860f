"""What is masked is shown to who may see it, and each time it is recorded in the audit chain, before it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import HTTPException

from include.portal.staff import UNMASKING_DAG, Staff

if TYPE_CHECKING:
    from include.workspace import Workspace


def record_unmasking(ws: Workspace, staff: Staff, subject: str, what: str) -> None:
    """Record that ``what`` about ``subject`` (an account, a key) is shown unmasked; raises 403 for who may not."""
    from include.audit import append_link
    from include.database import write_transaction

    if not staff.may_unmask:
        raise HTTPException(403, f"this needs the right to start {UNMASKING_DAG}: ask who administers Airflow")
    with write_transaction(ws.operations) as connection:
        append_link(connection, "unmask", subject, {"by": staff.name, "what": what})
