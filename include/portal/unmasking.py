"""What is masked on every page, and how it is shown: to who may see it, and recorded before anything is shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from markupsafe import Markup

from include.portal.figures import MASKED
from include.portal.staff import UNMASKING_DAG, Staff

if TYPE_CHECKING:
    from include.workspace import Workspace

MASK = Markup('<span aria-hidden="true">{}</span><span class="unseen">masked</span>').format(MASKED)
"""What stands on a page in place of a figure or an address: dots to see, a word to hear."""


def record_unmasking(ws: Workspace, staff: Staff, subject: str, what: str) -> None:
    """Record in the audit chain that this person is shown ``what`` about ``subject``: an account, a message's key.

    Call it when what is shown was found, and before it is shown. Raises 403 for who may not see it.
    """
    from include.audit import append_link
    from include.database import write_transaction

    if not staff.may_unmask:
        raise HTTPException(
            403, f"figures and addresses are shown to who may start {UNMASKING_DAG}: ask who administers Airflow"
        )
    with write_transaction(ws.operations) as connection:
        append_link(connection, "unmask", subject, {"by": staff.name, "what": what})


def mask(row: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The row with :data:`MASK` for the values of ``names``; what is not there at all is not masked."""
    return {name: MASK if name in names and value is not None else value for name, value in row.items()}
