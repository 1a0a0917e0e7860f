"""The registry of issued documents that are none of a single account: of a broker, or of a provider of services.

As for statements, a row is written once, in one transaction with the issue of its month, and never overwritten. Every
function takes an open connection to the database of ``carm_apply``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select
from sqlalchemy.engine import Connection

from include.carm.counts import tell_count
from include.operations_statement_tables import DOCUMENT_REGISTRY
from include.statement_registry import HASHES, is_issued, issued_otherwise

if TYPE_CHECKING:
    from include.carm.period import Period

BROKER_STATEMENT, CLIENT_INDEX = "broker_statement", "client_index"
_ROWS_AN_INSERT = 5_000


def read_documents_issued(connection: Connection, period: Period) -> dict[tuple[str, str], tuple[str | None, ...]]:
    """The hashes (the columns ``HASHES``) of the documents of an issued month, by kind and number of the firm."""
    registry = DOCUMENT_REGISTRY.c
    query = select(registry.kind, registry.bn9, *(registry[name] for name in HASHES))
    rows = connection.execute(query.where(registry.period == str(period)))
    return {(kind, bn9): tuple(hashes) for kind, bn9, *hashes in rows}


def refuse_other_documents(connection: Connection, period: Period, documents: Sequence[Mapping[str, Any]]) -> None:
    """Hold the documents against those that were issued; a month that was not issued has none.

    ``documents`` has ``kind``, ``bn9`` and the hashes of each. Raises ``Refused`` where one is missing, another one, or
    new.
    """
    if not is_issued(connection, period):
        return
    issued = read_documents_issued(connection, period)
    fresh = {(row["kind"], row["bn9"]): tuple(row[name] for name in HASHES) for row in documents}
    different = sum(issued.get(key) != fresh.get(key) for key in issued.keys() | fresh.keys())
    if different:
        documents_told = tell_count(different, "document")
        raise issued_otherwise(period, f"{documents_told} of its brokers and providers would come out different")


def record_documents(
    connection: Connection, period: Period, documents: Sequence[Mapping[str, Any]], made_by: Mapping[str, str]
) -> int:
    """Write the rows of a month that is being issued, before its link of the audit chain tells of them.

    ``made_by`` has ``template_version`` and ``locale_version``. Returns how many this issued: none where the month was
    issued before.
    """
    if is_issued(connection, period):
        return 0
    rows = [{"period": str(period), **row, **made_by} for row in documents]
    for start in range(0, len(rows), _ROWS_AN_INSERT):
        connection.execute(insert(DOCUMENT_REGISTRY), rows[start : start + _ROWS_AN_INSERT])
    return len(rows)
