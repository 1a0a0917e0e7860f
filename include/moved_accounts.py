"""Looks at every account of a plan again, in the moment in which the plan is applied.

A plan rests on what was known when it was made. Whatever was recorded since about an account, by whichever hand, speaks
against its change: another version of the account, a hold of the register or of a person, any row of a ledger feed that
was added, changed or deleted, be it an activity or a payment, and an announcement that was withdrawn. Such an account
is left alone, and the next month decides about it anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import func, or_, select

from include import engine
from include.feeds import ACCOUNTS, LEDGER_FEEDS, LedgerFeed
from include.ledger import register_standing_of_accounts
from include.operations_plan_tables import ACCOUNT_CHANGES, CLOSURE_ANNOUNCEMENTS, HOLDS
from include.source_rows import present_columns
from include.source_schema import TABLES, canonical_bn15
from include.source_totals import EXPORT_KIND, readable_amount, readable_word

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from include.workspace import Workspace

FETCH_ROWS = 20_000

_SOURCE_ROWS = pa.schema(
    [
        ("bn15", pa.string()),
        ("feed", pa.string()),
        ("kind", pa.string()),
        ("status", pa.string()),
        ("is_later", pa.bool_()),
        ("row_count", pa.int64()),
        ("sum_cents", pa.int64()),
        ("last_posted", pa.string()),
        ("last_activity", pa.string()),
    ]
)
_KNOWN_ROWS = _SOURCE_ROWS.remove(_SOURCE_ROWS.get_field_index("is_later"))


def count_known(ws: Workspace, plan: Row[Any], planned: pa.Table) -> pa.Table:
    """Count, sum and last days of the planned accounts' rows as the lake knew them when the plan was made.

    One row an account, feed, kind and status. Whatever was extracted since, this never changes: so it is counted before
    anything is locked, and read of the months alone in which the accounts have rows.
    """
    tables = [_KNOWN_ROWS.empty_table()]
    if planned.num_rows:
        with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
            engine.register(con, "planned", planned)
            con.execute("CREATE TEMP TABLE asked_accounts AS SELECT account_key FROM planned")
            for feed in LEDGER_FEEDS:
                register_standing_of_accounts(con, ws.lake(), feed, plan.period)
                tables.append(engine.run_table(con, "select_known_rows", parameters={"feed": feed.name}))
    return pa.concat_tables(tables)


def find_moved(
    ws: Workspace,
    connection: Connection,
    register: Connection,
    source: Connection,
    plan: Row[Any],
    planned: pa.Table,
    known: pa.Table,
) -> dict[str, str]:
    """The accounts among ``planned`` that moved since the plan was made, each with the word for what moved.

    ``planned`` is the relation of ``select_planned_changes``, ``known`` what :func:`count_known` found of it.
    ``register`` reads the accounts, ``source`` the ledger feeds, ``connection`` what the pipeline recorded. The words:
    ``another_version``, ``on_hold``, ``recorded_since``, ``announcement_withdrawn``, ``handed_over_before``.
    """
    numbers = planned.column("bn15").to_pylist()
    if not numbers:
        return {}
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        engine.register(con, "planned", planned)
        engine.register(con, "versions", _read_versions(register, numbers))
        engine.register(con, "person_holds", _read_person_holds(connection, plan))
        engine.register(con, "announcements", _read_announcements(connection))
        engine.register(con, "handed_over", _read_handed_over(connection, plan))
        rows = [_read_source_rows(source, feed, plan, numbers) for feed in LEDGER_FEEDS]
        engine.register(con, "source_rows", pa.concat_tables(rows))
        engine.register(con, "known_rows", known)
        parameters = {"as_of": plan.as_of, "effective_on": plan.effective_on}
        moved = engine.run_table(con, "select_moved_accounts", parameters=parameters)
    return dict(zip(moved.column("bn15").to_pylist(), moved.column("moved").to_pylist(), strict=True))


def _is_among(connection: Connection, column: sa.ColumnElement[Any], numbers: Sequence[str]) -> sa.ColumnElement[bool]:
    """Whether an account number, however it is spelled, is one of ``numbers``; one parameter, however many they are."""
    spelled = canonical_bn15(column)
    if connection.dialect.name == "postgresql":
        return spelled == sa.any_(sa.bindparam("numbers", list(numbers), sa.ARRAY(sa.Text)))
    listed = func.json_each(sa.bindparam("numbers", json.dumps(list(numbers)))).table_valued("value")
    return spelled.in_(select(listed.c.value))


def _read_versions(register: Connection, numbers: Sequence[str]) -> pa.Table:
    """All versions of the accounts, as text: what the register holds must be compared as it stands."""
    accounts = TABLES[ACCOUNTS.name]
    texts = [sa.cast(accounts.c[name], sa.Text).label(name) for name in ACCOUNTS.columns]
    schema = pa.schema([(name, pa.string()) for name in ACCOUNTS.columns])
    query = select(*texts).where(_is_among(register, accounts.c.bn15, numbers))
    return _fetch(register, query, schema)


def _read_person_holds(connection: Connection, plan: Row[Any]) -> pa.Table:
    """The accounts on which a person's hold lies, whenever it was recorded."""
    query = (
        select(HOLDS.c.bn15)
        .distinct()
        .where(
            or_(HOLDS.c.hold_until.is_(None), HOLDS.c.hold_until >= plan.as_of),
            or_(HOLDS.c.lifted_from.is_(None), HOLDS.c.lifted_from > plan.period),
        )
    )
    return _read_numbers(connection, query)


def _read_announcements(connection: Connection) -> pa.Table:
    """The announced closures that are neither carried out nor called off."""
    told = CLOSURE_ANNOUNCEMENTS.c
    rows = connection.execute(select(told.bn15, told.announced_in).where(told.cleared_in.is_(None))).all()
    schema = pa.schema([("bn15", pa.string()), ("announced_in", pa.string())])
    return pa.Table.from_pylist([dict(row._mapping) for row in rows], schema=schema)


def _read_handed_over(connection: Connection, plan: Row[Any]) -> pa.Table:
    """The accounts that another plan handed over to the register, which has not answered yet."""
    change = ACCOUNT_CHANGES.c
    query = select(change.bn15).distinct().where(change.outcome == "handed_over", change.plan_hash != plan.plan_hash)
    return _read_numbers(connection, query)


def _read_numbers(connection: Connection, query: sa.Select[tuple[str]]) -> pa.Table:
    return pa.table({"bn15": pa.array(connection.execute(query).scalars().all(), pa.string())})


def _read_source_rows(source: Connection, feed: LedgerFeed, plan: Row[Any], numbers: Sequence[str]) -> pa.Table:
    """Count, sum and last days of the accounts' rows in the source as it is now, before and after the plan's day."""
    present = present_columns(source).get(feed.name)
    if present is None:
        return _SOURCE_ROWS.empty_table()
    kind = readable_word(source, present, "kind") if "kind" in feed.columns else sa.literal(EXPORT_KIND)
    table = TABLES[feed.name]
    # Half-open, as in extraction: SQLite may hold a day as the text of an instant. What is no day at all comes after.
    day_after = plan.as_of + timedelta(days=1)
    bound = day_after.isoformat() if source.dialect.name == "sqlite" else day_after
    posted: sa.ColumnElement[Any] = sa.column(feed.posted)
    rows = (
        select(
            canonical_bn15(table.c.bn15).label("bn15"),
            func.coalesce(kind, "").label("kind"),
            func.coalesce(readable_word(source, present, "status"), "").label("status"),
            sa.case((posted < bound, 0), else_=1).label("is_later"),
            readable_amount(source, feed, present).label("cents"),
            func.substr(sa.cast(posted, sa.Text), 1, 10).label("posted"),
            func.substr(sa.cast(sa.column(feed.activity), sa.Text), 1, 10).label("activity"),
        )
        .select_from(table)
        .where(_is_among(source, table.c.bn15, numbers))
        .subquery()
    )
    groups = rows.c.bn15, rows.c.kind, rows.c.status, rows.c.is_later
    total = func.coalesce(func.sum(rows.c.cents), 0)
    bn15, kind, status, is_later = groups
    last = func.max(rows.c.posted), func.max(rows.c.activity)
    columns = bn15, sa.literal(feed.name).label("feed"), kind, status, is_later, func.count(), total, *last
    return _fetch(source, select(*columns).group_by(*groups), _SOURCE_ROWS)


def _fetch(connection: Connection, query: sa.Select[*tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    # Sums come as Decimal from PostgreSQL, and flags as numbers from both.
    read: dict[pa.DataType, Callable[[Any], Any]] = {pa.int64(): int, pa.bool_(): bool}
    # For this query alone: the transaction writes as well.
    result = connection.execute(query, execution_options={"stream_results": True, "max_row_buffer": FETCH_ROWS})
    batches = []
    for rows in result.partitions(FETCH_ROWS):
        arrays = [
            pa.array(map(read[field.type], values) if field.type in read else values, field.type)
            for field, values in zip(schema, zip(*rows, strict=True), strict=True)
        ]
        batches.append(pa.record_batch(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema)
