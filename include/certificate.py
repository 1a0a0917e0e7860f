"""The certificate of a month: where it lies, which one counts, and how it is written.

A certificate is three files: ``certificate.json`` tells what was so when a run closed the month, ``certificate.html``
and ``certificate.pdf`` are made from it alone. ``SHA256SUMS`` lists their hashes. That of the record lies below
``certificates/period=P/`` and is told by a link ``certificate`` of the audit chain; that of a run beside the record
lies below ``shadow/certificates/period=P/`` and is told by nothing. ADR 0081 says why.

Cheap to import: what a certificate says is gathered in :mod:`include.certificate_facts` and put into words in
:mod:`include.certificate_words`.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from include.audit import append_link, facts_told
from include.carm.errors import DataError, Unavailable
from include.carm.period import Period
from include.database import write_transaction
from include.documents import SUMS_NAME, write_file
from include.operations_plan_tables import AUDIT_CHAIN

if TYPE_CHECKING:
    from include.workspace import Workspace

SCHEMA = "carm certificate 1"
"""What ``certificate.json`` calls its own shape; ``include/templates/certificate/schema.json`` describes it."""

EVENT = "certificate"
FORMATS = ("json", "html", "pdf")
HOLDS, DOES_NOT_HOLD, NOT_CHECKED = RESULTS = ("holds", "does_not_hold", "not_checked")
"""What a check of a certificate may come to."""

_KEPT_CHARACTERS = 16
_SUM = re.compile(rf"(?P<sha256>[0-9a-f]{{64}})  certificate\.(?P<format>{'|'.join(FORMATS)})")


@dataclass(frozen=True)
class Certificate:
    """A certificate that counts: the folder of its files, and the hash of each by its format.

    ``version`` is 1, and one more each time that a run found the month otherwise. ``data`` is the data folder.
    """

    period: Period
    area: str
    folder: Path
    version: int
    sha256: Mapping[str, str]
    data: Path

    def path(self, format: str) -> Path:
        """Where the file of this format lies."""
        return self.folder / f"certificate.{format}"

    def read(self, format: str) -> bytes:
        """The file of this format; raises ``DataError`` where it is gone, or is not the one that was written."""
        path = self.path(format)
        content = path.read_bytes() if path.is_file() else None
        if content is None or hashlib.sha256(content).hexdigest() != self.sha256[format]:
            # People read this who need not know where the server keeps its files.
            shown = path.relative_to(self.data)
            raise DataError(
                f"the file {shown} is not the certificate that was written: restore it from a backup (carm verify)"
            )
        return content

    @cached_property
    def content(self) -> dict[str, Any]:
        """``certificate.json``, read. Raises as :meth:`read`."""
        found: dict[str, Any] = json.loads(self.read("json"))
        return found


def certificate_folder(ws: Workspace, period: Period, area: str = "lake") -> Path:
    """Where the certificate of a month lies that was written last."""
    root = ws.data if area == "lake" else ws.data / "shadow"
    return root / "certificates" / f"period={period}"


def kept_folder(ws: Workspace, period: Period, area: str, json_sha256: str) -> Path:
    """Where a certificate is kept that a later one took the place of."""
    return ws.data / "superseded" / area / "certificates" / f"period={period}" / json_sha256[:_KEPT_CHARACTERS]


def find_certificate(ws: Workspace, period: Period, area: str = "lake") -> Certificate | None:
    """The certificate of the month that counts, or None: of the record, or (``shadow``) of a run beside it.

    Of the record none of its files is read yet: :meth:`Certificate.read` proves each against its hash. Raises
    ``DataError`` where that of a run beside it is damaged.
    """
    return _find_told(ws, period) if area == "lake" else _find_listed(ws, period, area)


def _find_told(ws: Workspace, period: Period) -> Certificate | None:
    with ws.operations.connect() as connection:
        told = facts_told(connection, EVENT, str(period))
    return certificate_told(ws, period, told[0]) if told else None


def certificate_told(ws: Workspace, period: Period, facts: Mapping[str, Any]) -> Certificate:
    """The certificate that a link of the audit chain tells of, by the link's facts."""
    hashes = {format: facts[f"{format}_sha256"] for format in FORMATS}
    return Certificate(
        period, "lake", _find_folder(ws, period, "lake", hashes["json"]), facts["version"], hashes, ws.data
    )


def _find_listed(ws: Workspace, period: Period, area: str) -> Certificate | None:
    place = certificate_folder(ws, period, area)
    if not (place / SUMS_NAME).is_file():
        return None
    hashes = _read_sums(place / SUMS_NAME)
    if hashes is None:
        shown = (place / SUMS_NAME).relative_to(ws.data)
        raise DataError(
            f"the file {shown} does not list the files of a certificate, each after the 64 hex digits of its hash: "
            f"run {period} in shadow again"
        )
    found = Certificate(period, area, _find_folder(ws, period, area, hashes["json"]), 0, hashes, ws.data)
    # No link tells which one it is: it says so itself.
    try:
        return replace(found, version=int(found.content["version"]))
    except (LookupError, TypeError, ValueError) as error:
        shown = found.path("json").relative_to(ws.data)
        raise DataError(f"the file {shown} does not say which version it is: run {period} in shadow again") from error


def _read_sums(path: Path) -> dict[str, str] | None:
    """The hashes by format that ``SHA256SUMS`` lists; None where it is not as :func:`sums_text` writes it."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = [_SUM.fullmatch(line) for line in lines]
    hashes = {pair["format"]: pair["sha256"] for pair in pairs if pair}
    return hashes if set(hashes) == set(FORMATS) and len(hashes) == len(lines) else None


def _find_folder(ws: Workspace, period: Period, area: str, json_sha256: str) -> Path:
    """The folder of a certificate: its place, or where it is kept since another took its place.

    Another takes its place before the link that makes it count, so a run that died in between left both.
    """
    place = certificate_folder(ws, period, area)
    kept = kept_folder(ws, period, area, json_sha256)
    return kept if kept.is_dir() and _hash_of(place / "certificate.json") != json_sha256 else place


def _hash_of(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def certified_months(ws: Workspace, area: str = "lake") -> list[Period]:
    """The months that have a certificate, oldest first."""
    if area != "lake":
        found = certificate_folder(ws, Period(1, 1), area).parent.glob(f"period=*/{SUMS_NAME}")
        return sorted(Period.parse(path.parent.name.removeprefix("period=")) for path in found)
    query = select(AUDIT_CHAIN.c.subject).distinct().where(AUDIT_CHAIN.c.event == EVENT)
    with ws.operations.connect() as connection:
        return sorted(Period.parse(subject) for subject in connection.execute(query).scalars())


def require_certificate(ws: Workspace, period: Period | None = None, area: str = "lake") -> Certificate:
    """The certificate of the month (default: the newest that has one) that counts.

    Raises ``DataError`` where there is none, or as :func:`find_certificate`.
    """
    months = certified_months(ws, area)
    if not months:
        beside = " of a run beside the record" if area != "lake" else ""
        raise DataError(f"no month has a certificate{beside} yet: a run writes it when it closes its month (make run)")
    found = find_certificate(ws, period or months[-1], area)
    if found is None:
        raise DataError(
            f"{period} has no certificate: {_tell_months(months)}. A run writes it when it closes its month; of one "
            "that an earlier release closed, only a run beside the record does (EFFECTS=shadow, then --shadow)"
        )
    return found


def _tell_months(months: Sequence[Period]) -> str:
    if len(months) == 1:
        return f"{months[0]} has one"
    return f"{len(months)} months have one, {months[0]} to {months[-1]}"


def write_certificate(
    ws: Workspace, content: Mapping[str, Any], documents: Mapping[str, bytes], before: Certificate | None
) -> Certificate:
    """Put the files of a certificate into their place; of the record, tell the audit chain, and only then it counts.

    ``documents`` are the files by format; ``before`` is the certificate whose place they take, which is kept. Raises
    ``Unavailable`` where the disk refuses.
    """
    period, area = Period.parse(content["period"]), content["area"]
    hashes = {format: hashlib.sha256(documents[format]).hexdigest() for format in FORMATS}
    folder = certificate_folder(ws, period, area)
    try:
        if before is not None and before.folder == folder:
            _keep(ws, before)
        for format in FORMATS:
            write_file(folder / f"certificate.{format}", documents[format])
        write_file(folder / SUMS_NAME, sums_text(hashes).encode())
    except OSError as error:
        raise Unavailable(
            f"cannot write the certificate of {period} into {folder} ({error.strerror or error}): make room in the "
            "data folder, or make it writable, and clear this task"
        ) from error
    if area == "lake":
        facts = {"version": content["version"], **{f"{format}_sha256": hashes[format] for format in FORMATS}}
        with write_transaction(ws.operations) as connection:
            append_link(connection, EVENT, str(period), facts)
    return Certificate(period, area, folder, content["version"], hashes, ws.data)


def sums_text(hashes: Mapping[str, str]) -> str:
    """The content of ``SHA256SUMS``, as ``sha256sum -c`` reads it."""
    return "".join(f"{hashes[format]}  certificate.{format}\n" for format in FORMATS)


def put_back(ws: Workspace, certificate: Certificate) -> Certificate:
    """The certificate that counts, in its place again where a run died that had begun to write another one there."""
    place = certificate_folder(ws, certificate.period, certificate.area)
    if certificate.folder != place:
        shutil.copytree(certificate.folder, place, dirs_exist_ok=True)
    return replace(certificate, folder=place)


def _keep(ws: Workspace, before: Certificate) -> None:
    kept = kept_folder(ws, before.period, before.area, before.sha256["json"])
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copytree(before.folder, kept, dirs_exist_ok=True)
