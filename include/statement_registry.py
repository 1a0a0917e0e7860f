"""The registry of issued statements: written once, in one transaction with the seal, and never overwritten.

Every function takes an open connection to the database of ``carm_apply``, so that the caller decides what else is
recorded in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
from sqlalchemy import insert, null, select
from sqlalchemy.engine import Connection

from include.audit import append_link, digest_rows, facts_told
from include.carm.errors import DataError, Refused
from include.carm.period import Period
from include.notice_intents import owe_statements
from include.operations_schema import COVERAGE
from include.operations_statement_tables import DOCUMENT_REGISTRY, ISSUED_MONTHS, STATEMENT_REGISTRY

COLUMN_OF = {"json": "object_sha256", "html": "document_sha256", "csv": "csv_sha256", "pdf": "pdf_sha256"}
"""Where the hash of each format stands, in a registry and in its dataset; that of the JSON is the object's."""

HASHES = tuple(COLUMN_OF.values())
"""What the registry knows a statement by: its object, its HTML (the document), its CSV and, if it has one, its PDF."""

_FIRST_COLUMNS = ("period", "bn15", "version", "document_sha256", "template_version")
_ROWS_AN_INSERT = 5_000


@dataclass(frozen=True)
class Issue:
    """What is recorded of an issued month beside its statements.

    ``made_by`` are the versions of templates, locale and typesetter; ``statements_sha256`` is of the dataset's file.
    """

    issued_on: date
    made_by: Mapping[str, str]
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
    query = select(registry.bn15, *(registry[name] for name in HASHES)).where(
        registry.period == str(period), registry.act_no.is_(None)
    )
    issued = {bn15: tuple(hashes) for bn15, *hashes in connection.execute(query)}
    fresh_hashes = zip(*(statements.column(name).to_pylist() for name in HASHES), strict=True)
    fresh = dict(zip(statements.column("bn15").to_pylist(), fresh_hashes, strict=True))
    different = len(issued.keys() ^ fresh.keys())
    different += sum(_is_another(issued[bn15], fresh[bn15]) for bn15 in issued.keys() & fresh.keys())
    if different:
        raise issued_otherwise(period, f"{different:,} of its statements would come out different")


def _is_another(issued: Sequence[str | None], fresh: Sequence[str | None]) -> bool:
    # Of a statement of an earlier release the hash of the page alone is known.
    known = [name for name, sha256 in zip(HASHES, issued, strict=True) if issued[0] is not None or sha256 is not None]
    return any(issued[HASHES.index(name)] != fresh[HASHES.index(name)] for name in known)


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
    for batch in statements.select(("period", "bn15", "version", *HASHES)).to_batches(max_chunksize=_ROWS_AN_INSERT):
        if batch.num_rows:
            connection.execute(insert(STATEMENT_REGISTRY), [{**row, **issue.made_by} for row in batch.to_pylist()])
    issued = zip(statements.column("bn15").to_pylist(), statements.column("version").to_pylist(), strict=True)
    owe_statements(connection, str(period), issued, issue.run_id)
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


def issue_facts(connection: Connection, period: str, *, of_earlier_release: bool = False) -> dict[str, Any]:
    """What the audit chain says of an issued month: its row, and hashes over the rows of its registries.

    Statements that an act issued later, and what an act wrote into a row of the month, are told by the act's own link.
    ``of_earlier_release`` gives the facts as the first releases told them, who knew fewer columns.
    """
    query = select(ISSUED_MONTHS).where(ISSUED_MONTHS.c.period == period)
    month = connection.execute(query).mappings().one()
    registry, documents = STATEMENT_REGISTRY.c, DOCUMENT_REGISTRY.c
    names = _FIRST_COLUMNS if of_earlier_release else [*_FIRST_COLUMNS, *HASHES, "locale_version", "typesetter_version"]
    columns = [registry[name] for name in dict.fromkeys(names)]
    # Where the first releases had a column that an act fills in later, it was NULL.
    rows = select(*columns, null().label("superseded_by")) if of_earlier_release else select(*columns)
    of_month = (registry.period == period) & registry.act_no.is_(None)
    facts = {**month, "registry_sha256": digest_rows(connection, rows.where(of_month).order_by(registry.bn15))}
    if not of_earlier_release:
        others = select(DOCUMENT_REGISTRY).where(documents.period == period).order_by(documents.kind, documents.bn9)
        facts["documents_sha256"] = digest_rows(connection, others)
    return facts


GROWING_DATASETS = (
    "notices",
    "webinar_notices",
    "quarterly_notices",
    "reissue_notices",
    "reinstatement_notices",
    "statement_versions",
)
"""Of an issued month these alone may be published anew: notices when its plan is applied late or by a Dag of their own,
and the versions that an act adds. Links of their own tell how they are sealed."""


def tell_seals(connection: Connection, period: str) -> None:
    """Tell the audit chain, once, by which hashes the files of an issued month are sealed when it is closed.

    Raises ``DataError`` where the month was closed before and a file is sealed otherwise now: nothing may replace it.
    """
    query = select(COVERAGE.c.dataset, COVERAGE.c.sha256).where(COVERAGE.c.area == "lake", COVERAGE.c.period == period)
    sealed = {row.dataset: row.sha256 for row in connection.execute(query) if row.dataset not in GROWING_DATASETS}
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


def is_closed(connection: Connection, period: Period) -> bool:
    """Whether a run came to the end of the issued month: its notices are written, its files told by their hashes."""
    return bool(facts_told(connection, "close", str(period)))


def tell_notices(connection: Connection, dataset: str, period: str, sha256: str) -> None:
    """Tell the audit chain by which hash a dataset of notices of an issued month is sealed, unless it says so."""
    if not is_issued(connection, Period.parse(period)):
        return
    facts = {"dataset": dataset, "sha256": sha256}
    if facts not in [told for told in facts_told(connection, "notices", period) if told["dataset"] == dataset][:1]:
        append_link(connection, "notices", period, facts)
