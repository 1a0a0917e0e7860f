"""The holds and reviews by persons that stand in a month, and those that later months will know of, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import ColumnElement, Table, func, or_, select

from include.carm.period import Period
from include.operations_plan_tables import HOLDS, REVIEW_DECISIONS

if TYPE_CHECKING:
    from include.workspace import Workspace

PAGE_ROWS = 100
Kind = Literal["hold", "review"]


@dataclass(frozen=True)
class RecordPage:
    """A page of records, and how many there are on all pages together.

    Rows ``no, bn15, decision`` (None for a hold)``, reason, until`` (None: until it is lifted)``, recorded_by,
    known_from, is_in_force``; what is not in force yet counts from ``known_from`` on.
    """

    rows: list[dict[str, Any]]
    found: int


def find_records(ws: Workspace, period: Period, kind: Kind, page: int = 1) -> RecordPage:
    """What persons recorded and neither the month's end nor a lifting has ended, the newest first."""
    table = _TABLES[kind]
    stands = _stands(table, period, ws)
    number = next(iter(table.primary_key.columns))
    part = select(table).where(*stands).order_by(number.desc()).limit(PAGE_ROWS).offset((page - 1) * PAGE_ROWS)
    with ws.operations.connect() as connection:
        found = connection.execute(select(func.count()).select_from(table).where(*stands)).scalar_one()
        rows = [_row(dict(row), number.name, period) for row in connection.execute(part).mappings()]
    return RecordPage(rows, found)


_TABLES: Mapping[Kind, Table] = {"hold": HOLDS, "review": REVIEW_DECISIONS}


def _stands(table: Table, period: Period, ws: Workspace) -> list[ColumnElement[bool]]:
    as_of = ws.calendar.as_of(period)
    if table is REVIEW_DECISIONS:
        return [REVIEW_DECISIONS.c.valid_until >= as_of]
    return [
        or_(HOLDS.c.hold_until.is_(None), HOLDS.c.hold_until >= as_of),
        or_(HOLDS.c.lifted_from.is_(None), HOLDS.c.lifted_from > str(period)),
    ]


def _row(row: Mapping[str, Any], number: str, period: Period) -> dict[str, Any]:
    return {
        "no": row[number],
        "bn15": row["bn15"],
        "decision": row.get("decision"),
        "reason": row["reason"],
        "until": row.get("hold_until", row.get("valid_until")),
        "recorded_by": row["recorded_by"],
        "known_from": row["known_from"],
        "lifted_from": row.get("lifted_from"),
        "is_in_force": row["known_from"] <= str(period),
    }
