"""Which issued months owe notices that nobody was told of, and what a person does about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from include.carm.counts import tell_count
from include.carm.period import Period
from include.notice_intents import count_owed_of_acts, still_owed
from include.operations_statement_tables import ISSUED_MONTHS
from include.statement_registry import is_closed

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


def owed_by_month(connection: Connection) -> list[dict[str, Any]]:
    """What issued months owe, the oldest first: ``{"period", "owed": {kind: n}, "of_acts": n, "is_closed"}``.

    Months that owe nothing are left out. ``of_acts`` is what acts about statements owe beside the month itself.
    """
    months = []
    for period in connection.execute(select(ISSUED_MONTHS.c.period).order_by(ISSUED_MONTHS.c.period)).scalars().all():
        owed, of_acts = still_owed(connection, period), count_owed_of_acts(connection, period)
        if owed or of_acts:
            closed = is_closed(connection, Period.parse(period))
            months.append({"period": period, "owed": owed, "of_acts": of_acts, "is_closed": closed})
    return months


def owed_lines(months: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What :func:`owed_by_month` found, and what a person does about it."""
    for month in months:
        period = month["period"]
        if month["owed"]:
            counts = ", ".join(f"{kind} {count:,}" for kind, count in month["owed"].items())
            again = "carm notices write"
            if not month["is_closed"]:
                again = f"it did not come to its end: make run PERIOD={period} EFFECTS=live"
            yield f"Notices of {period} that nobody was told of yet: {counts}; {again}"
        if month["of_acts"]:
            told = tell_count(month["of_acts"], "notice")
            yield f"Acts about statements of {period} owe {told}: clear publish_notice of their runs of carm_restate"
