"""Addresses, read from the source at the moment when notices are written: the lake keeps none.

``docs/adr/0053-addresses-stay-in-the-source.md`` tells why. What is read here stays in memory: it becomes a keyed hash,
and nothing that is published, logged or returned by a step holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from include import engine
from include.carm.period import Period
from include.feeds import ACCOUNTS, DELEGATIONS, SUBSCRIBERS, Feed
from include.source_rows import read_texts, source_snapshot

if TYPE_CHECKING:
    from include.lake import Lake
    from include.workspace import Workspace

ACCOUNT_ADDRESSES = pa.schema([("bn15", pa.string()), ("valid_from", pa.date32()), ("email", pa.string())])

DELEGATE_ADDRESSES = pa.schema([("bn15", pa.string()), ("role", pa.string()), ("email", pa.string())])

SUBSCRIBER_ENTRIES = pa.schema(
    [
        ("email", pa.string()),
        ("language", pa.string()),
        ("subscribed_on", pa.date32()),
        ("unsubscribed_on", pa.date32()),
        ("row_hash", pa.string()),
    ]
)
"""``row_hash`` is the one under which quarantine knows a refused row."""


def account_addresses(ws: Workspace, period: Period, *, bn15: str | None = None) -> pa.Table:
    """The addresses of the account versions (of one account: ``bn15``) valid on the period's last day.

    The columns are those of ``ACCOUNT_ADDRESSES``.

    At most one row a version: identical copies give one, and a version whose copies name different addresses has none,
    for nobody can tell which is right. Raises ``DataError`` when the table or a column is missing.
    """

    def is_one_of_a_kind(versions: pa.RecordBatch) -> pa.BooleanArray:
        return pc.invert(pc.or_(versions["copies_differ"], versions["is_surplus_copy"]))

    asked = ("bn15", "valid_from", "valid_to", "email")
    as_of = {"as_of": ws.calendar.as_of(period)}
    return _read_staged(ws, ACCOUNTS, asked, as_of, is_one_of_a_kind, ACCOUNT_ADDRESSES, bn15)


def delegate_addresses(ws: Workspace, lake: Lake, period: Period, *, bn15: str | None = None) -> pa.Table:
    """The addresses of the delegations (of one account: ``bn15``) valid on the period's last day.

    The columns are those of ``DELEGATE_ADDRESSES``.

    Only of those that the month published: a row that was refused, or that came into the source since, or whose days
    are others now, has none. Raises ``DataError`` when a column is missing, or ``delegations`` or ``quarantine`` of the
    period was never sealed; a source without the table has no delegates.
    """
    with source_snapshot(ws) as connection:
        texts = read_texts(connection, DELEGATIONS, DELEGATIONS.columns, bn15=bn15)
    with ws.spill_folder() as spill, closing(engine.connect(spill_folder=spill)) as con:
        engine.create_table(con, "staged_delegations", "stage_delegations", {"raw_delegations": texts})
        relations: dict[str, engine.Relation] = {
            "delegations": [lake.file("delegations", period)],
            "quarantine": [lake.file("quarantine", period)],
        }
        as_of = {"as_of": ws.calendar.as_of(period)}
        return engine.run_table(con, "select_delegate_addresses", relations, as_of).cast(DELEGATE_ADDRESSES)


def subscriber_entries(ws: Workspace) -> pa.Table:
    """The entries of the distribution list as they stand in the source now, as ``SUBSCRIBER_ENTRIES``.

    An entry with a day that cannot be read is left out: whoever may have withdrawn is not written to. Raises
    ``DataError`` when a column is missing; a source without the table has no entries.
    """

    def is_readable(entries: pa.RecordBatch) -> pa.BooleanArray:
        return pc.is_null(entries["unreadable"])

    return _read_staged(ws, SUBSCRIBERS, SUBSCRIBERS.columns, {}, is_readable, SUBSCRIBER_ENTRIES)


def _read_staged(
    ws: Workspace,
    feed: Feed,
    asked: Collection[str],
    parameters: dict[str, Any],
    is_kept: Callable[[pa.RecordBatch], pa.BooleanArray],
    schema: pa.Schema,
    bn15: str | None = None,
) -> pa.Table:
    """The rows of a feed read as the gate reads them, from no more than the columns ``asked``, as ``schema``."""
    with source_snapshot(ws) as connection:
        texts = read_texts(connection, feed, asked, bn15=bn15)
    with ws.spill_folder() as spill, closing(engine.connect(spill_folder=spill)) as con:
        staged = engine.run(con, f"stage_{feed.name}", {f"raw_{feed.name}": texts}, parameters)
        # Batch by batch, because a staged row has many more columns than are wanted here.
        return pa.Table.from_batches((batch.filter(is_kept(batch)).select(schema.names) for batch in staged), schema)
