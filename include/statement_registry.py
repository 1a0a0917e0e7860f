"""The registry of issued statements: written once, in one transaction with the seal, and never overwritten.

Every function takes an open connection to the database of ``carm_apply``, so that the caller decides what else is
recorded in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
from sqlalchemy import insert, select
from sqlalchemy.engine import Connection

from include.audit import append_link, digest_rows, facts_told
from include.carm.errors import DataError, Refused
from include.carm.period import Period
from include.operations_schema import COVERAGE
from include.operations_statement_tables import ISSUED_MONTHS, STATEMENT_REGISTRY

_ROWS_AN_INSERT = 5_000


@dataclass(frozen=True)
class Issue:
    """What is recorded of an issued month beside its statements; ``statements_sha256`` is of the dataset's file."""

    issued_on: date
    template_version: str
    statements_sha256: str
    run_id: str


def is_issued(connection: Connection, period: Period) -> bool:
    """Whether the month was issued: its statements are recorded and never change again."""
    query = select(ISSUED_MONTHS.c.period).where(ISSUED_MONTHS.c.period == str(period))
    return connection.execute(query).first() is not None


def refuse_difference(connection: Connection, period: Period, statements: pa.Table) -> None:
    """Hold the documents against those that were issued; a month that was not issued has none."""
    if not is_issued(connection, period):
        return
    registry = STATEMENT_REGISTRY.c
    issued = {
        (bn15, version): digest
        for bn15, version, digest in connection.execute(
            select(registry.bn15, registry.version, registry.document_sha256).where(registry.period == str(period))
        )
    }
    fresh = dict(
        zip(
            zip(statements.column("bn15").to_pylist(), statements.column("version").to_pylist(), strict=True),
            statements.column("document_sha256").to_pylist(),
            strict=True,
        )
    )
    different = sum(issued.get(key) != digest for key, digest in fresh.items()) + len(issued.keys() - fresh.keys())
    if different:
        raise issued_otherwise(period, f"{different:,} of its statements would come out different")


def issued_otherwise(period: Period, what: str) -> Refused:
    """The error of a run that would replace what clients already hold."""
    return Refused(
        f"{period} was issued and {what}: what was issued is never replaced; to see the difference run the month in "
        "shadow (make run EFFECTS=shadow)"
    )


def record_issue(connection: Connection, period: Period, statements: pa.Table, issue: Issue) -> int:
    """Write the registry rows, the issued month and its link of the audit chain.

    Returns how many statements this issued for the first time: none where the month was issued before.
    """
    if is_issued(connection, period):
        return 0
    columns = ("period", "bn15", "version", "document_sha256")
    for batch in statements.select(columns).to_batches(max_chunksize=_ROWS_AN_INSERT):
        if batch.num_rows:
            rows = [{**row, "template_version": issue.template_version} for row in batch.to_pylist()]
            connection.execute(insert(STATEMENT_REGISTRY), rows)
    connection.execute(
        insert(ISSUED_MONTHS).values(
            period=str(period),
            issued_on=issue.issued_on.isoformat(),
            statements=statements.num_rows,
            statements_sha256=issue.statements_sha256,
            run_id=issue.run_id,
        )
    )
    append_link(connection, "issue", str(period), issue_facts(connection, str(period)))
    return statements.num_rows


def issue_facts(connection: Connection, period: str) -> dict[str, Any]:
    """What the audit chain says of an issued month: its row, and ``registry_sha256`` over all its registry rows."""
    query = select(ISSUED_MONTHS).where(ISSUED_MONTHS.c.period == period)
    month = connection.execute(query).mappings().one()
    registry = STATEMENT_REGISTRY.c
    rows = select(STATEMENT_REGISTRY).where(registry.period == period).order_by(registry.bn15, registry.version)
    return {**month, "registry_sha256": digest_rows(connection, rows)}


NOTICE_DATASETS = ("notices", "webinar_notices")
"""Of an issued month these alone may be published anew: when its plan is applied late, or by a Dag of their own."""


def tell_seals(connection: Connection, period: str) -> None:
    """Tell the audit chain, once, by which hashes the files of an issued month are sealed when it is closed.

    Raises ``DataError`` where the month was closed before and a file is sealed otherwise now: nothing may replace it.
    """
    query = select(COVERAGE.c.dataset, COVERAGE.c.sha256).where(COVERAGE.c.area == "lake", COVERAGE.c.period == period)
    sealed = {row.dataset: row.sha256 for row in connection.execute(query) if row.dataset not in NOTICE_DATASETS}
    told = facts_told(connection, "close", period)
    if not told:
        append_link(connection, "close", period, {"seals": sealed})
        return
    for dataset, sha256 in sorted(told[-1]["seals"].items()):
        if sealed.get(dataset) != sha256:
            raise DataError(
                f"lake/{dataset}/period={period} is not sealed as it was when {period} was closed, and an issued month "
                "is never replaced: find out who wrote it (carm verify), and restore the lake and the database from a "
                "backup"
            )


def tell_notices(connection: Connection, dataset: str, period: str, sha256: str) -> None:
    """Tell the audit chain by which hash a dataset of notices of an issued month is sealed, unless it says so."""
    if not is_issued(connection, Period.parse(period)):
        return
    facts = {"dataset": dataset, "sha256": sha256}
    if facts not in [told for told in facts_told(connection, "notices", period) if told["dataset"] == dataset][:1]:
        append_link(connection, "notices", period, facts)
