"""Who looks at a page and what that person may do, as the surroundings of the portal tell it.

A route that names :data:`Reader` answers nobody else. Which rights there are is Airflow's business: whoever may see
plugins reads; whoever may start a Dag may do here what that Dag does; an account's figures and addresses are shown to
those who may start :data:`UNMASKING_DAG`, and each time it is recorded who saw them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, HTTPException

UNMASKING_DAG = "carm_reinstate_account"
"""Whoever may open a closed account again must see what stands on it."""

Answer = tuple[int, Any]
"""Status and JSON of what Airflow answered."""


@dataclass(frozen=True)
class Staff:
    """A person who is logged in to Airflow and may see plugins.

    ``may_start`` tells whether runs of a Dag may be started by that person; ``ask_airflow`` sends a request (method,
    path below ``/api/v2``, JSON body or None) to Airflow's API in that person's name, with that person's rights.
    """

    name: str
    may_start: Callable[[str], bool]
    ask_airflow: Callable[[str, str, Mapping[str, Any] | None], Awaitable[Answer]]

    @property
    def may_unmask(self) -> bool:
        """Whether balances and addresses may be shown at all."""
        return self.may_start(UNMASKING_DAG)

    def require_start(self, dag_id: str) -> None:
        """Raises 403 where this person may not do what that Dag does."""
        if not self.may_start(dag_id):
            raise HTTPException(403, f"this needs the right to start {dag_id}: ask who administers Airflow")


async def current_staff() -> Staff:
    """Who asks: replaced by the surroundings (``app.dependency_overrides``); by itself it lets nobody in."""
    raise HTTPException(401, "log in to Airflow first")


Reader = Annotated[Staff, Depends(current_staff)]
"""Somebody who may read."""
