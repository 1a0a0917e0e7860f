"""What is on record of months, read for many at once: a page of them asks the database a dozen questions in all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from include.carm.period import Period

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.workspace import Workspace

FEEDS = ("transactions", "export_declarations")
UNSENT = ("planned", "sending", "failed", "unknown")
"""The states of messages that somebody may have to see to."""

_OF_A_RUN = "accounts"
"""What only a month of its own has: of the months before the first run there are rows, but no accounts."""


@dataclass(frozen=True)
class MonthRecord:
    """What the record says of a month.

    ``rows`` are the rows of its sealed datasets; ``plan`` is the row of the plan that says most; ``unsent`` counts
    messages that are not sent, by state; ``owed`` notices that nobody was told of; ``gaps`` what the feeds lack.
    """

    period: str
    rows: Mapping[str, int]
    plan: Any = None
    is_issued: bool = False
    is_closed: bool = False
    unsent: Mapping[str, int] = field(default_factory=dict)
    owed: int = 0
    gaps: int = 0

    def count(self, *datasets: str) -> int | None:
        """The rows of these datasets together; None where none of them is sealed."""
        found = [self.rows[name] for name in datasets if name in self.rows]
        return sum(found) if found else None


def run_periods(connection: Connection) -> list[str]:
    """The months that a run extracted, the oldest first."""
    from sqlalchemy import select

    from include.operations_schema import COVERAGE

    sealed = COVERAGE.c
    query = select(sealed.period).where(sealed.area == "lake", sealed.dataset == _OF_A_RUN)
    return list(connection.execute(query.order_by(sealed.period)).scalars())


def read_records(ws: Workspace, periods: Sequence[str]) -> dict[str, MonthRecord]:
    """The records of ``periods``, by month; one of which nothing is on record is empty."""
    from include.coverage import COVERED, coverage_grids
    from include.status import leading_plans

    if not periods:
        return {}
    with ws.operations.connect() as connection:
        rows = _sealed_rows(connection, periods)
        plans = leading_plans(connection)
        issued, closed = _issued(connection), _closed(connection)
        unsent, owed = _unsent(connection, periods), _owed(connection, periods)
    extracted = [Period.parse(period) for period in periods if _OF_A_RUN in rows[period]]
    grids = coverage_grids(ws, extracted) if extracted else {}
    gaps = {str(period): sum(cell["word"] not in COVERED for cell in grid) for period, grid in grids.items()}
    return {
        period: MonthRecord(
            period=period,
            rows=rows[period],
            plan=plans.get(period),
            is_issued=period in issued,
            is_closed=period in closed,
            unsent=unsent[period],
            owed=owed.get(period, 0),
            gaps=gaps.get(period, 0),
        )
        for period in periods
    }


def _sealed_rows(connection: Connection, periods: Sequence[str]) -> Mapping[str, dict[str, int]]:
    from sqlalchemy import select

    from include.operations_schema import COVERAGE

    sealed = COVERAGE.c
    query = select(sealed.period, sealed.dataset, sealed.rows).where(sealed.area == "lake", sealed.period.in_(periods))
    rows: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for period, dataset, count in connection.execute(query):
        rows[period][dataset] = count
    return rows


def _issued(connection: Connection) -> frozenset[str]:
    from sqlalchemy import select

    from include.operations_statement_tables import ISSUED_MONTHS

    return frozenset(connection.execute(select(ISSUED_MONTHS.c.period)).scalars())


def _closed(connection: Connection) -> frozenset[str]:
    from sqlalchemy import select

    from include.operations_plan_tables import AUDIT_CHAIN

    return frozenset(connection.execute(select(AUDIT_CHAIN.c.subject).where(AUDIT_CHAIN.c.event == "close")).scalars())


def _unsent(connection: Connection, periods: Sequence[str]) -> Mapping[str, dict[str, int]]:
    from sqlalchemy import func, select

    from include.operations_notice_tables import OUTBOX

    message = OUTBOX.c
    # By state first, as the index has it: those that are sent are many, and are not looked at.
    query = (
        select(message.period, message.state, func.count())
        .where(message.state.in_(UNSENT), message.period.in_(periods))
        .group_by(message.state, message.period)
    )
    counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for period, state, messages in connection.execute(query):
        counts[period][state] = messages
    return counts


def _owed(connection: Connection, periods: Sequence[str]) -> Mapping[str, int]:
    from sqlalchemy import func, select

    from include.operations_notice_tables import NOTICE_INTENTS

    intent = NOTICE_INTENTS.c
    query = select(intent.period, func.count()).where(intent.state == "owed", intent.period.in_(periods))
    return {row[0]: row[1] for row in connection.execute(query.group_by(intent.period))}
