"""Makes the demo world, row by row, and fills a source database with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert
from sqlalchemy.engine import Connection, Engine

from include.carm.calendar import Calendar
from include.carm.errors import Refused, UsageError
from include.carm.period import Period
from include.database import describe_database, write_transaction
from include.demo.block import BLOCK_ACCOUNTS, MOST_ACCOUNTS, World, broker_bn9s, make_block
from include.demo.breakage import break_dates
from include.demo.exports import export_declarations
from include.demo.ledger import transactions
from include.demo.people import accounts, subscribers, webinars
from include.source_schema import (
    DEMO_WORLD,
    FILLING,
    TABLES,
    create_indexes,
    create_tables,
    filled_tables,
    insert_rows,
    read_demo_world,
)

Progress = Callable[[str, int, float], None]
"""Called with what is being made, the rows so far, and the share of the world that is made (0 to 1)."""

MOST_MONTHS = 240


@dataclass(frozen=True)
class DemoReport:
    """What was made: ``rows`` by table; ``changed`` is False where the same world was there already."""

    seed: int
    accounts: int
    months: int
    last_period: str
    changed: bool
    rows: dict[str, int]


def generate(world: World) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """All rows of ``world`` as (table, rows) in the order of that table's columns, a few thousand rows at a time."""
    brokers = broker_bn9s(world)
    for first in range(0, world.accounts, BLOCK_ACCOUNTS):
        block = make_block(world, first)
        account_rows, delegations = accounts(world, block, brokers)
        yield "accounts", break_dates(world, "accounts", account_rows)
        yield "delegations", delegations
        for rows in transactions(world, block, brokers):
            yield "transactions", break_dates(world, "transactions", rows)
        for rows in export_declarations(world, block):
            yield "export_declarations", break_dates(world, "export_declarations", rows)
    for rows in subscribers(world):
        yield "subscribers", rows
    yield "webinars", webinars(world)


def fill_demo(
    engine: Engine,
    *,
    accounts: int = World.accounts,
    months: int = World.months,
    seed: int = World.seed,
    last_period: str = str(World.last_period),
    broken_dates: int = World.broken_dates,
    calendar: Calendar | None = None,
    progress: Progress = lambda *_: None,
) -> DemoReport:
    """Fill the source behind ``engine`` with a demo world, all or nothing; the same world again changes nothing.

    Raises ``UsageError`` for sizes that cannot be made and ``Refused`` where the source holds other rows.
    """
    world = make_world(accounts, months, seed, last_period, calendar, broken_dates=broken_dates)
    made_from = {
        "seed": seed,
        "accounts": accounts,
        "months": months,
        "last_period": last_period,
        "broken_dates": broken_dates,
    }
    with write_transaction(engine, bulk=True) as connection:
        if read_demo_world(connection) == made_from:
            return DemoReport(seed, accounts, months, last_period, changed=False, rows={})
        _refuse_other_rows(connection, engine)
        FILLING.create_all(connection)
        create_tables(connection, TABLES)
        rows = dict.fromkeys(TABLES, 0)
        for name, part in generate(world):
            insert_rows(connection, name, list(TABLES[name].columns.keys()), part)
            rows[name] += len(part)
            progress("demo world", sum(rows.values()), min(rows["accounts"] / accounts, 1.0))
        create_indexes(connection, TABLES)
        connection.execute(insert(DEMO_WORLD), made_from)
    return DemoReport(seed, accounts, months, last_period, changed=True, rows=rows)


def make_world(
    accounts: int,
    months: int,
    seed: int,
    last_period: str,
    calendar: Calendar | None = None,
    *,
    broken_dates: int = World.broken_dates,
) -> World:
    """The world that these numbers describe; raises ``UsageError`` naming the one that is out of bounds."""
    for name, value, least, most in (
        ("accounts", accounts, 1, MOST_ACCOUNTS),
        ("months", months, 1, MOST_MONTHS),
        ("seed", seed, 0, 2**63 - 1),
    ):
        if not least <= value <= most:
            raise UsageError(f"a demo world has from {least} to {most} {name}, not {value}")
    if not 0 <= broken_dates <= 100:
        raise UsageError(f"broken dates are of 0 to 100 accounts of a hundred, not of {broken_dates}")
    world = World(accounts, months, seed, Period.parse(last_period), broken_dates, calendar or Calendar.load())
    # Asked here so that a month outside the calendar is named before anything is written.
    world.calendar.window(world.periods[0])
    return world


def _refuse_other_rows(connection: Connection, engine: Engine) -> None:
    present = read_demo_world(connection)
    if present:
        raise Refused(
            f"{describe_database(engine)} holds another demo world ({_spell(present)}): "
            "ask for the same one, or name another data folder (DATA=folder, CARM_DATA)"
        )
    filled = filled_tables(connection)
    if filled:
        raise Refused(
            f"{describe_database(engine)} holds other rows ({', '.join(filled)}), so no demo world was made: "
            "name another data folder (DATA=folder, CARM_DATA)"
        )


def _spell(made_from: dict[str, Any]) -> str:
    told = {name: value for name, value in made_from.items() if name != "broken_dates" or value}
    return ", ".join(f"{name} {value}" for name, value in told.items())
