"""An accident to rehearse on: a feed whose dates were broken on the way.

Every row is there, with every amount and every posting day, so nothing looks incomplete; but of some accounts no date
from which dormancy is told is later than a day in 2016. The clean-up would close them, and its breaker must ask.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from include.demo.block import World
from include.demo.draw import Draw
from include.source_schema import TABLES

BROKEN_ON = "2016-02-03"
"""Before the cutoff of every month that the calendar knows."""

DATES = {"accounts": "opened_on", "transactions": "activity_on", "export_declarations": "exported_on"}
"""The column of each table from which dormancy is told."""

_PLACES = {
    table: (list(TABLES[table].columns.keys()).index("bn15"), list(TABLES[table].columns.keys()).index(date))
    for table, date in DATES.items()
}


def break_dates(world: World, table: str, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows of ``table``, those of the accounts that are drawn with their date set back."""
    if not world.broken_dates:
        return rows
    owner, place = _PLACES[table]
    return [
        (*row[:place], BROKEN_ON, *row[place + 1 :]) if _is_broken(world, row[owner], row[place]) else row
        for row in rows
    ]


def _is_broken(world: World, bn15: str | None, written: str | None) -> bool:
    if not (bn15 and written and written > BROKEN_ON and bn15[:9].isdecimal()):
        return False
    return _is_drawn(world.seed, world.broken_dates, int(bn15[:9]))


@cache
def _is_drawn(seed: int, percent: int, firm: int) -> bool:
    return bool(Draw(seed).happens("broken_dates", percent * 100, firm)[0])
