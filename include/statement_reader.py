"""Reads the documents of statements: any one at once, or all of them to prove them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from include.carm.business_number import require_bn15
from include.carm.errors import DataError, UsageError
from include.carm.period import Period
from include.carm.statement import render_json
from include.documents import read_document, read_documents
from include.lake import Lake, no_shadow_run
from include.parking import parked_reason, why_parked
from include.statement_objects import not_its_lines, read_object, read_objects
from include.statement_pdf import StatementPdfs
from include.statement_registry import COLUMN_OF, is_issued
from include.statement_rendering import OBJECTS_NAME, read_listed_objects, wording_of
from include.statement_versions import find_version, hash_of, read_reissued, wrong_reissue

if TYPE_CHECKING:
    from sqlalchemy import Row

    from include.workspace import Workspace

FORMATS = ("html", "pdf", "csv", "json")
_PACKED = ("csv", "html")


def read_statement(
    ws: Workspace, period: Period, bn15: str, format: str = "html", area: str = "lake", version: int | None = None
) -> bytes:
    """One statement of the month: ``html`` and ``csv`` as they were rendered, ``json`` from the same lines.

    Of an issued month the version that stands, or the one that is asked for. ``pdf`` is read from the pack where the
    policy has it made for all, else it is made now. Raises ``UsageError`` for a number that is no BN15 and for another
    format, ``DataError`` where the month has no statements, the account has none in it (naming the reason if it is
    parked), or there is no such version, and ``Refused`` for a version that was withdrawn unless it is asked for.
    """
    number = require_bn15(bn15)
    if format not in FORMATS:
        raise UsageError(f"a statement has no format {format!r}: ask for one of {', '.join(FORMATS)}")
    lake = ws.lake(area)
    if area == "shadow" and period not in lake.own_periods("statements"):
        raise no_shadow_run(period)
    if not lake.has("statements", period):
        raise DataError(f"there are no statements for {period}: run that month first (make run PERIOD={period})")
    row = find_version(ws, period, number, version) if area == "lake" else None
    if row is not None and row.act_no is not None:
        return _read_reissue(ws, period, row, format)
    if row is None and version is not None:
        if area == "lake" and _is_issued(ws, period):
            raise DataError(why_no_statement(ws, lake, period, number))
        what = f"{period} is not issued" if area == "lake" else f"what a shadow run made of {period} is not issued"
        raise DataError(f"{what}, so its statements have no versions: leave --version out")
    return _read_rendered(ws, period, number, format, area, row)


def _read_rendered(ws: Workspace, period: Period, number: str, format: str, area: str, row: Row[Any] | None) -> bytes:
    """A statement as it was rendered with its month; ``row`` of the registry tells of one that was issued.

    With it nothing of the lake need be proved, which would take longer than all else: the registry has the hashes.
    """
    lake = ws.lake(area)
    told = _hashes_of(row) if row is not None else {f: d for (_, f), d in _told_hashes(lake, period, number).items()}
    if not told:
        raise DataError(why_no_statement(ws, lake, period, number))
    content = None
    if format != "json":
        content = read_document(ws.statement_packs(period, area), f"{number}.{format}", "statements-*.zip")
    if content is None and format not in _PACKED:
        statement = read_object(lake, period, number, object_sha256=told["json"] if row is not None else None)
        return render_json(statement) if format == "json" else StatementPdfs(*wording_of(ws, period)).render(statement)
    if content is None:
        raise _wrong_document(ws, period, area, f"{number}.{format} of {period} is in no pack")
    if told.get(format) not in (None, hashlib.sha256(content).hexdigest()):
        raise _wrong_document(ws, period, area, f"{number}.{format} of {period} is not the document that was rendered")
    return content


def _hashes_of(row: Row[Any]) -> dict[str, str | None]:
    """What the registry keeps of a version, by format; None where an earlier release kept nothing."""
    return {format: row._mapping[name] for format, name in COLUMN_OF.items()}


def _read_reissue(ws: Workspace, period: Period, row: Row[Any], format: str) -> bytes:
    """A version that an act issued: all of its formats lie in the act's pack."""
    content = read_reissued(ws, period, row.act_no, f"{row.bn15}.{format}")
    if content is None or hash_of(content, format) != _hashes_of(row)[format]:
        raise wrong_reissue(ws, row, format)
    return content


def count_true_documents(ws: Workspace, area: str, up_to: Period | None = None) -> int:
    """Hash every document of the area's statements anew, and build its object anew; returns how many documents.

    Raises ``DataError`` naming the first that is missing, does not belong there, or is not what its statement says.
    """
    lake, documents = ws.lake(area), 0
    for period in lake.own_periods("statements", up_to):
        told = _told_hashes(lake, period)
        missing = {f"{number}.{format}" for number, format in told if format != "json"}
        for pack in sorted(ws.statement_packs(period, area).glob("statements-*.zip")):
            if any(told.get((number, "json")) != digest for digest, number in read_listed_objects(pack)):
                what = f"{OBJECTS_NAME} in {pack.name} of {period} does not list what its documents were made from"
                raise _wrong_document(ws, period, area, what)
            for name, content in read_documents(pack):
                number, _, format = name.partition(".")
                if name == OBJECTS_NAME or ((number, "json") not in told and format == "csv"):
                    continue
                if name not in missing or hashlib.sha256(content).hexdigest() != told[number, format]:
                    raise _wrong_document(ws, period, area, f"{name} of {period} is not the document that was rendered")
                missing.remove(name)
                documents += 1
        if missing:
            what = f"{min(missing)} of {period} is in no pack"
            more = f", and {len(missing) - 1:,} more are not" if len(missing) > 1 else ""
            raise _wrong_document(ws, period, area, f"{what}{more}")
        if any(format == "json" for _, format in told):
            _require_objects(lake, period, told)
    return documents


def _told_hashes(lake: Lake, period: Period, bn15: str | None = None) -> dict[tuple[str, str], str]:
    """What the statements of a month, or of one account, say of their documents: a hash by account and format."""
    file = lake.file("statements", period)
    # The months of an earlier release know the hashes of their pages alone.
    names = pq.read_schema(file).names
    known = {format: name for format, name in COLUMN_OF.items() if name in names}
    only = [("bn15", "==", bn15)] if bn15 is not None else None
    rows = pq.read_table(file, columns=["bn15", *known.values()], filters=only, partitioning=None).to_pylist()
    return {(row["bn15"], format): row[name] for row in rows for format, name in known.items() if row[name] is not None}


def _require_objects(lake: Lake, period: Period, told: Mapping[tuple[str, str], str]) -> None:
    """The lines and heads that are sealed still make the objects from which the documents were made."""
    for statement in read_objects(lake, period, 0, len(told)):
        number = statement.head.bn15
        if statement.digest() != told.get((number, "json")):
            raise not_its_lines(number, period)


def _wrong_document(ws: Workspace, period: Period, area: str, what: str) -> DataError:
    folder = ws.statement_packs(period, area)
    if area == "lake" and _is_issued(ws, period):
        return DataError(f"{what} (below {folder}): restore the documents from a backup")
    # Packs are in place a moment before the seal that names them.
    return DataError(f"{what} (below {folder}): run {period} again, for a run of it may have died before its end")


def newest_statements(ws: Workspace, area: str = "lake") -> Period:
    """The newest month that has statements; raises ``DataError`` where none has."""
    periods = ws.lake(area).own_periods("statements")
    if not periods and area == "shadow":
        raise no_shadow_run(newest_statements(ws))
    if not periods:
        raise DataError("no month has statements yet: run one first (make run)")
    return periods[-1]


def write_private(path: Path, content: bytes) -> None:
    """Write a document to a file that its owner alone can read; raises ``UsageError`` where that is not possible."""
    try:
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror or error}): name another file") from error


def _is_issued(ws: Workspace, period: Period) -> bool:
    with ws.operations.connect() as connection:
        return is_issued(connection, period)


def why_no_statement(ws: Workspace, lake: Lake, period: Period, bn15: str) -> str:
    """Why an account has no statement for a month that has statements, and what to do, in one sentence."""
    reason = parked_reason(lake, period, bn15)
    if reason is not None:
        return why_parked(bn15, period, reason, is_issued=_is_issued(ws, period))
    return (
        f"account {bn15} has no statement for {period}: nothing was posted, no balance stands, and it was not closed "
        "in that month"
    )
