<<<<<<< HEAD
"""What is masked is shown to who may see it, and each time it is recorded in the audit chain, before it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import HTTPException

=======
"""What is masked on every page, and how it is shown: to who may see it, and recorded before anything is shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from markupsafe import Markup

from include.portal.figures import MASKED
>>>>>>> aeb03a4be8bde33b23d391fc99df65ebf44d1e69
from include.portal.staff import UNMASKING_DAG, Staff

if TYPE_CHECKING:
    from include.workspace import Workspace

<<<<<<< HEAD

def record_unmasking(ws: Workspace, staff: Staff, subject: str, what: str) -> None:
    """Record that ``what`` about ``subject`` (an account, a key) is shown unmasked; raises 403 for who may not."""
=======
MASK = Markup('<span aria-hidden="true">{}</span><span class="unseen">masked</span>').format(MASKED)
"""What stands on a page in place of a figure or an address: dots to see, a word to hear."""


def record_unmasking(ws: Workspace, staff: Staff, subject: str, what: str) -> None:
    """Record in the audit chain that this person is shown ``what`` about ``subject``: an account, a message's key.

    Call it when what is shown was found, and before it is shown. Raises 403 for who may not see it.
    """
>>>>>>> aeb03a4be8bde33b23d391fc99df65ebf44d1e69
    from include.audit import append_link
    from include.database import write_transaction

    if not staff.may_unmask:
<<<<<<< HEAD
        raise HTTPException(403, f"this needs the right to start {UNMASKING_DAG}: ask who administers Airflow")
    with write_transaction(ws.operations) as connection:
        append_link(connection, "unmask", subject, {"by": staff.name, "what": what})
=======
        raise HTTPException(
            403, f"figures and addresses are shown to who may start {UNMASKING_DAG}: ask who administers Airflow"
        )
    with write_transaction(ws.operations) as connection:
        append_link(connection, "unmask", subject, {"by": staff.name, "what": what})


def mask(row: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The row with :data:`MASK` for the values of ``names``; what is not there at all is not masked."""
    return {name: MASK if name in names and value is not None else value for name, value in row.items()}
>>>>>>> aeb03a4be8bde33b23d391fc99df65ebf44d1e69
