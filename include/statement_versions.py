"""The versions of a statement: which there are, which one stands, and where its documents lie."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from include.carm.errors import DataError, Refused
from include.carm.period import Period
from include.carm.statement import Statement, read_json
from include.documents import read_member
from include.lake import sha256_of
from include.operations_statement_tables import STATEMENT_ACTS, STATEMENT_REGISTRY
from include.statement_objects import read_object
from include.statement_registry import COLUMN_OF

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from include.workspace import Workspace


@dataclass(frozen=True)
class StatementVersion:
    """One issued version: its object, and what the registry says of it."""

    statement: Statement
    version: int
    issued_on: str
    withdrawn_by: int | None


def versions_of(connection: Connection, period: Period, bn15: str) -> list[Row[Any]]:
    """The registry's rows of a statement, the first version first."""
    registry = STATEMENT_REGISTRY.c
    query = select(STATEMENT_REGISTRY).where(registry.period == str(period), registry.bn15 == bn15)
    return list(connection.execute(query.order_by(registry.version)))


def find_version(ws: Workspace, period: Period, bn15: str, version: int | None = None) -> Row[Any] | None:
    """The registry's row of a version, by default of the one that stands; None where the month issued none of it.

    Raises ``DataError`` for a version that there is not, ``Refused`` where the one that stands was withdrawn.
    """
    with ws.operations.connect() as connection:
        rows = versions_of(connection, period, bn15)
        if version is not None and rows:
            named = [row for row in rows if row.version == version]
            if not named:
                raise DataError(
                    f"the statement of {bn15} for {period} has no version {version}: there are 1 to {rows[-1].version}"
                )
            return named[0]
        standing = next((row for row in rows if row.superseded_by is None), None)
        if standing is not None and standing.withdrawn_by is not None:
            act = connection.execute(
                select(STATEMENT_ACTS).where(STATEMENT_ACTS.c.act_no == standing.withdrawn_by)
            ).one()
            raise Refused(
                f"version {standing.version} of the statement of {bn15} for {period} was withdrawn on {act.acted_on}: "
                f"{act.reason_en} (--version {standing.version} shows it all the same)"
            )
    return standing


def current_version(ws: Workspace, period: Period, bn15: str) -> StatementVersion | None:
    """The version that no other one supersedes; None for an account without a statement in an issued month."""
    with ws.operations.connect() as connection:
        standing = [row for row in versions_of(connection, period, bn15) if row.superseded_by is None]
    return read_version(ws, period, standing[0]) if standing else None


def read_version(ws: Workspace, period: Period, row: Row[Any]) -> StatementVersion:
    """The version that a row of the registry is about, its object read from where it was issued.

    Raises ``DataError`` where the pack of an act does not hold it any more.
    """
    if row.act_no is None:
        # Held against the registry, so that the seals of the whole files need not be.
        statement = read_object(ws.lake(), period, row.bn15, object_sha256=row.object_sha256)
        return StatementVersion(statement, row.version, statement.head.issued_on, row.withdrawn_by)
    content = read_reissued(ws, period, row.act_no, f"{row.bn15}.json")
    if content is None or hash_of(content, "json") != row.object_sha256:
        raise wrong_reissue(ws, row, "json")
    statement = read_json(content)
    assert statement.reissue is not None
    return StatementVersion(statement, row.version, statement.reissue.issued_on, row.withdrawn_by)


def reissue_pack(ws: Workspace, period: Period, act_no: int) -> Path:
    """Where the documents lie that an act issued."""
    return ws.statement_packs(period) / f"reissued-{act_no:06d}.zip"


def read_reissued(ws: Workspace, period: Period, act_no: int, name: str) -> bytes | None:
    """One document that an act issued; raises ``DataError`` where its pack is broken or gone."""
    return read_member(reissue_pack(ws, period, act_no), name)


def count_true_reissues(ws: Workspace, up_to: Period | None = None) -> int:
    """Hash every document that an act issued anew; returns how many there are.

    Raises ``DataError`` naming the first that is missing, or is not what the registry says.
    """
    registry, documents = STATEMENT_REGISTRY.c, 0
    query = (
        select(STATEMENT_REGISTRY, STATEMENT_ACTS.c.pack_sha256)
        .join_from(STATEMENT_REGISTRY, STATEMENT_ACTS, registry.act_no == STATEMENT_ACTS.c.act_no)
        .order_by(registry.act_no)
    )
    with ws.operations.connect() as connection:
        rows = connection.execute(query).all()
    for row in rows:
        period = Period.parse(row.period)
        if up_to is not None and period > up_to:
            continue
        for format, name in COLUMN_OF.items():
            content = read_reissued(ws, period, row.act_no, f"{row.bn15}.{format}")
            if content is None or hash_of(content, format) != row._mapping[name]:
                raise wrong_reissue(ws, row, format)
            documents += 1
        pack = reissue_pack(ws, period, row.act_no)
        if sha256_of(pack) != row.pack_sha256:
            # Each document is what it was, but not what lies beside them.
            raise DataError(f"{pack} is not the pack that act {row.act_no} issued: restore the documents from a backup")
    return documents


def hash_of(content: bytes, format: str) -> str:
    """What the registry keeps of a document: its SHA-256, and of the JSON that of the object in it."""
    if format != "json":
        return hashlib.sha256(content).hexdigest()
    try:
        return read_json(content).digest()
    except ValueError:
        return "no statement"


def wrong_reissue(ws: Workspace, row: Row[Any], format: str) -> DataError:
    """The error of a document that is not the one which an act issued."""
    pack = reissue_pack(ws, Period.parse(row.period), row.act_no)
    return DataError(
        f"{row.bn15}.{format} in {pack} is not version {row.version} as it was issued: restore the documents from a "
        "backup"
    )
