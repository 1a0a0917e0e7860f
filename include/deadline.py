"""Whether a month that was due is issued: asked of the record, for a run that never started leaves no trace to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include import statement_registry
from include.carm.errors import Refused
from include.month import newest_issued
from include.operations import bring_up_to_date

if TYPE_CHECKING:
    from include.carm.period import Period
    from include.workspace import Workspace


def require_issued(ws: Workspace, period: Period) -> dict[str, Any]:
    """Returns ``{"period", "issued_on"}`` of an issued month whose run came to its end.

    Raises ``Refused``, which says what is missing, for any other: it passes when the month is run.
    """
    bring_up_to_date(ws.operations)
    due = ws.calendar.issued_on(period)
    with ws.operations.connect() as connection:
        is_issued = statement_registry.is_issued(connection, period)
        is_closed = is_issued and statement_registry.is_closed(connection, period)
    if not is_issued:
        newest = newest_issued(ws)
        told = f"the newest issued month is {newest}" if newest else "no month was ever issued"
        raise Refused(
            f"{period} was due on {due} and is not issued, {told}: see whether carm_month started, failed or waits, "
            f"then run it with period={period} and effects=live"
        )
    if not is_closed:
        raise Refused(
            f"{period} is issued, and its run has not come to its end: its notices may be owed; run carm_month for it "
            "again"
        )
    return {"period": str(period), "issued_on": due.isoformat()}
