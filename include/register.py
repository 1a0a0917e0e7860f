"""The account as the register has it now: what a document that is issued later prints of it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from include import engine
from include.carm.errors import DataError
from include.carm.period import Period
from include.datasets import schema_of
from include.feeds import ACCOUNTS
from include.source_rows import read_texts, source_snapshot

if TYPE_CHECKING:
    from include.workspace import Workspace


def accounts_on_record(ws: Workspace, period: Period, *, bn15: str | None = None) -> pa.Table:
    """The account versions (of one account: ``bn15``) valid on the period's last day as they stand in the register now.

    The columns are those of the dataset ``accounts``. One row an account; those that nobody can read for sure (copies
    that differ, versions that overlap) are left out. Raises ``DataError`` when the table or a column is missing.
    """
    schema = schema_of("accounts")
    with source_snapshot(ws) as connection:
        texts = read_texts(connection, ACCOUNTS, ACCOUNTS.columns, bn15=bn15)
    with ws.spill_folder() as spill, closing(engine.connect(spill_folder=spill)) as con:
        parameters = {"as_of": ws.calendar.as_of(period)}
        staged = engine.run(con, "stage_accounts", {"raw_accounts": texts}, parameters)
        return pa.Table.from_batches(
            (batch.filter(_is_sure(batch)).select(schema.names).cast(schema) for batch in staged), schema
        )


def account_on_record(ws: Workspace, period: Period, bn15: str) -> pa.Table:
    """The one row of :func:`accounts_on_record` of an account; raises ``DataError`` where there is none."""
    found = accounts_on_record(ws, period, bn15=bn15)
    if found.num_rows != 1:
        raise DataError(
            f"the register has no version of account {bn15} that holds on {ws.calendar.as_of(period)} and can be read: "
            "put the register right first"
        )
    return found


def _is_sure(versions: pa.RecordBatch) -> pa.BooleanArray:
    doubtful = pc.or_(pc.or_(versions["copies_differ"], versions["is_surplus_copy"]), versions["has_overlap"])
    is_keyed = pc.and_(pc.is_valid(versions["account_key"]), pc.is_valid(versions["valid_from"]))
    return pc.and_(pc.invert(doubtful), pc.and_(is_keyed, pc.is_null(versions["unreadable"])))
