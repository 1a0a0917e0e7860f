"""The documents of brokers and providers of a month: rendered, packed, put in place, registered and read again.

The task :func:`render_brokers` writes them into the run's own folder; ``register_statements`` moves them into place
together with the clients' statements and records them in the same transaction.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from include import engine
from include.broker_page import FirmPages, template_version
from include.broker_pdf import BrokerPdfs, is_too_long
from include.carm.broker import (
    BrokerClient,
    BrokerHead,
    BrokerItem,
    BrokerLine,
    BrokerStatement,
    FirmDocument,
    IndexEntry,
    IndexHead,
    build_broker_statements,
    build_client_indexes,
    read_broker_statement,
    render_csv,
    render_json,
)
from include.carm.business_number import require_bn9
from include.carm.contacts import Contacts
from include.carm.errors import DataError, Unavailable, UsageError
from include.carm.money import LOCALE_VERSION
from include.carm.period import Period
from include.document_registry import BROKER_STATEMENT, CLIENT_INDEX, read_documents_issued
from include.documents import Pack, read_document, read_documents, read_sums, write_pack
from include.lake import no_shadow_run, sha256_of
from include.statement_objects import batch_rows
from include.statement_registry import COLUMN_OF, HASHES, is_issued

if TYPE_CHECKING:
    from include.lake import Lake, Seal
    from include.workspace import Workspace

PACK_BYTES = 256 * 2**20
"""A pack ends with the firm that reaches this size: a broker's documents are never parted, and any tool opens it."""
PACK_FIRMS = 4_000

FORMATS = ("html", "pdf", "csv", "json")
_PACKED = ("csv", "html", "json")
_ROWS_A_BATCH = 20_000
_LIST = "packs.json"


@dataclass(frozen=True)
class Kind:
    """One kind of document: its word in the registry, its packs, the dataset that registers it, and that of its heads.

    ``noun`` names one before the number of its firm, ``nobody`` begins the sentence that there is none.
    """

    word: str
    stem: str
    dataset: str
    heads: str
    noun: str
    nobody: str


BROKERS = Kind(
    word=BROKER_STATEMENT,
    stem="brokers",
    dataset="broker_statements",
    heads="broker_heads",
    noun="statement of broker",
    nobody="no broker has a statement",
)
PROVIDERS = Kind(
    word=CLIENT_INDEX,
    stem="providers",
    dataset="client_indexes",
    heads="provider_heads",
    noun="index of service provider",
    nobody="no service provider has an index",
)
KINDS = (BROKERS, PROVIDERS)


# Rendering


def render_brokers(ws: Workspace, month: Mapping[str, Any]) -> dict[str, Any]:
    """Render every broker's statement and every provider's index into packs of the run's own, one firm at a time.

    HTML, CSV and JSON, and a PDF of each statement where the policy has them made for all. Repeated, it replaces what
    it made before by the same bytes. Returns counts alone.
    """
    lake, period = ws.lake(month["area"]), Period.parse(month["period"])
    folder = _staged_folder(ws, month)
    fresh = folder.with_name(f"{folder.name}-{os.getpid()}")
    rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    contacts, issued_on = Contacts.load(), ws.calendar.issued_on(period)
    pages = FirmPages(contacts, issued_on)
    pdfs = BrokerPdfs(contacts, issued_on) if ws.policy.pdf == "all" else None
    counts, packs = {}, []
    for kind in KINDS:
        made = (_render(document, pages, pdfs) for document in _read_objects(lake, kind, period))
        counts[kind.stem], written = _write_packs(fresh, kind, made)
        packs += written
    try:
        (fresh / _LIST).write_text(json.dumps({pack.path.name: pack.sha256 for pack in packs}), encoding="utf-8")
        rmtree(folder, ignore_errors=True)
        # Whole or not at all: a folder with this name lists every pack.
        fresh.rename(folder)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    return {"period": str(period), **counts, "packs": len(packs)}


def _read_objects(lake: Lake, kind: Kind, period: Period) -> Iterator[FirmDocument]:
    """The month's objects of a kind, built one after the other from rows that lie in their order."""

    def rows(dataset: str, *columns: str) -> Iterator[tuple[Any, ...]]:
        return _stream_rows(lake.file(dataset, period), columns)

    both_keys = ("firm_key", "account_key")
    if kind is BROKERS:
        yield from build_broker_statements(
            rows(kind.heads, "firm_key", *BrokerHead._fields),
            rows("broker_clients", *both_keys, *BrokerClient._fields),
            rows("broker_lines", *both_keys, *BrokerLine._fields),
            rows("broker_items", *both_keys, *BrokerItem._fields),
        )
    else:
        heads = rows(kind.heads, "firm_key", *IndexHead._fields)
        yield from build_client_indexes(heads, rows("provider_clients", "firm_key", *IndexEntry._fields))


def _stream_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The rows of a file as tuples, days as ISO text, a batch at a time."""
    with pq.ParquetFile(path) as file:
        batches = file.iter_batches(batch_size=_ROWS_A_BATCH, columns=list(columns))
        yield from batch_rows(batch.select(list(columns)) for batch in batches)


def _render(document: FirmDocument, pages: FirmPages, pdfs: BrokerPdfs | None) -> list[tuple[str, bytes]]:
    """The documents of one firm, sorted by name."""
    bn9 = document.head.bn9
    made = [
        (f"{bn9}.csv", render_csv(document)),
        (f"{bn9}.html", pages.render(document)),
        (f"{bn9}.json", render_json(document)),
    ]
    if pdfs is not None and isinstance(document, BrokerStatement) and not is_too_long(document):
        made.append((f"{bn9}.pdf", pdfs.render(document)))
    return made


def _write_packs(folder: Path, kind: Kind, firms: Iterator[list[tuple[str, bytes]]]) -> tuple[int, list[Pack]]:
    """Write the documents of all firms into packs, the next one when one is full; returns the number of firms too."""
    count, packs, waiting = 0, list[Pack](), next(firms, None)

    def fill() -> Iterator[tuple[str, bytes]]:
        nonlocal count, waiting
        size, taken = 0, 0
        while waiting is not None and size < PACK_BYTES and taken < PACK_FIRMS:
            size += sum(len(content) for _, content in waiting)
            taken += 1
            yield from waiting
            # Not two firms at once: the largest alone may fill much of the memory.
            waiting = None
            waiting = next(firms, None)
        count += taken

    while waiting is not None:
        packs.append(write_pack(folder / f"{kind.stem}-{len(packs) + 1:04d}.zip", fill()))
    return count, packs


# Registering


@dataclass(frozen=True)
class Rendered:
    """What was rendered for a month: its packs, where they lie, and the rows of the two datasets that register them."""

    packs: Mapping[str, Path]
    tables: Mapping[str, pa.Table]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row a document for the registry: ``kind``, ``bn9`` and the hashes."""
        return [
            {"kind": kind.word, **row}
            for kind in KINDS
            for row in self.tables[kind.dataset].select(["bn9", *HASHES]).to_pylist()
        ]


def versions_now() -> dict[str, str]:
    """What the documents of brokers and providers are made with at this moment, as the registry keeps it."""
    return {"template_version": template_version(), "locale_version": LOCALE_VERSION}


def find_rendered(ws: Workspace, month: Mapping[str, Any]) -> Rendered:
    """The documents of the month: as just rendered, or, where the step runs again, already in place.

    Raises ``DataError`` where a firm has no document, or a document no firm: then it was not rendered from this month.
    """
    lake, period = ws.lake(month["area"]), Period.parse(month["period"])
    packs = _find_packs(ws, month)
    with engine.connect() as con:
        documents = _hashes_of(packs)
        tables = {
            kind.dataset: engine.run_table(
                con,
                f"derive_{kind.dataset}",
                {kind.heads: [lake.file(kind.heads, period)], "rendered_documents": documents},
            )
            for kind in KINDS
        }
    firms = sum(table.num_rows for table in tables.values())
    missing = sum(table.column(name).null_count for table in tables.values() for name in HASHES[:3])
    if missing or documents.num_rows != firms:
        raise DataError(
            f"the documents of the brokers and providers of {period} are not those of its {firms:,} firms: clear "
            "render_brokers and run it again"
        )
    return Rendered(packs, tables)


def _find_packs(ws: Workspace, month: Mapping[str, Any]) -> dict[str, Path]:
    """The packs that the run rendered, each where it is: in the run's folder, or moved already. Else those in place."""
    staged, placed = _staged_folder(ws, month), ws.statement_packs(Period.parse(month["period"]), month["area"])
    if not (staged / _LIST).exists():
        return {path.name: path for kind in KINDS for path in sorted(placed.glob(f"{kind.stem}-*.zip"))}
    packs = {}
    for name, sha256 in json.loads((staged / _LIST).read_text(encoding="utf-8")).items():
        found = [path for path in (staged / name, placed / name) if path.exists() and sha256_of(path) == sha256]
        if not found:
            raise DataError(
                f"the pack {name} of {month['period']} is not the one that was rendered: clear render_brokers and run "
                "it again"
            )
        packs[name] = found[0]
    return packs


def _hashes_of(packs: Mapping[str, Path]) -> pa.Table:
    """One row a firm and kind in the packs, with the hashes of its documents; the JSON is the object."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for name, path in packs.items():
        kind = next(kind for kind in KINDS if name.startswith(f"{kind.stem}-"))
        for document, digest in read_sums(path):
            bn9, _, format = document.partition(".")
            found.setdefault((kind.word, bn9), {})[format] = digest
    columns = {
        "kind": [kind for kind, _ in found],
        "bn9": [bn9 for _, bn9 in found],
        **{name: [of.get(format) for of in found.values()] for format, name in COLUMN_OF.items()},
    }
    return pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})


def publish_rendered(lake: Lake, period: Period, rendered: Rendered) -> list[Seal]:
    """Publish the datasets that register the documents; they count when the caller seals them."""
    return [lake.publish(dataset, period, table) for dataset, table in rendered.tables.items()]


def place_rendered(ws: Workspace, month: Mapping[str, Any], rendered: Rendered) -> None:
    """Move each pack to its place and clear what a run with more packs left there."""
    folder = ws.statement_packs(Period.parse(month["period"]), month["area"])
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, path in rendered.packs.items():
            path.replace(folder / name)
        for kind in KINDS:
            for stale in folder.glob(f"{kind.stem}-*.zip"):
                if stale.name not in rendered.packs:
                    stale.unlink()
        rmtree(_staged_folder(ws, month), ignore_errors=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _staged_folder(ws: Workspace, month: Mapping[str, Any]) -> Path:
    return ws.staging(month["run_id"], "brokers")


def _cannot_write(folder: Path, error: OSError) -> Unavailable:
    return Unavailable(
        f"cannot put the documents of brokers into {folder} ({error.strerror or error}): make room in the data folder, "
        "or make it writable, and run the month again"
    )


# Reading


def read_firm_document(
    ws: Workspace, period: Period, bn9: str, format: str = "html", area: str = "lake", *, clients: bool = False
) -> bytes:
    """A broker's statement of the month, or with ``clients`` a provider's index, as it was rendered.

    A PDF of a statement that is in no pack is made now, from the same object. Raises ``UsageError`` for a number that
    is no BN9 and for a format that there is not, ``DataError`` where the month or the firm has no such document.
    """
    kind, number = PROVIDERS if clients else BROKERS, require_bn9(bn9)
    if format not in FORMATS or (clients and format == "pdf"):
        formats = ", ".join(FORMATS if not clients else _PACKED)
        raise UsageError(f"the {kind.noun} has no format {format!r}: ask for one of {formats}")
    lake = ws.lake(area)
    if area == "shadow" and period not in lake.own_periods(kind.dataset):
        raise no_shadow_run(period)
    if not lake.has(kind.dataset, period):
        raise DataError(f"{kind.nobody} for {period}: run that month first (make run PERIOD={period})")
    told = _told_hashes(lake, kind, period)
    if (number, "html") not in told:
        raise DataError(f"there is no {kind.noun} {number} for {period}: {_why_none(kind)}")
    if format == "pdf" and (number, "pdf") not in told:
        statement = read_broker_statement(_read_true(ws, kind, period, area, f"{number}.json", told))
        return BrokerPdfs(Contacts.load(), ws.calendar.issued_on(period)).render(statement)
    return _read_true(ws, kind, period, area, f"{number}.{format}", told)


def _why_none(kind: Kind) -> str:
    if kind is BROKERS:
        return "no debt of a client that has a statement names it, in the month or still open"
    return "no account with a statement has a delegation to it that is valid on the day of issue"


def _read_true(
    ws: Workspace, kind: Kind, period: Period, area: str, name: str, told: Mapping[tuple[str, str], str]
) -> bytes:
    """A document out of its pack, proved against the hash that its dataset tells."""
    number, _, format = name.partition(".")
    content = read_document(ws.statement_packs(period, area), name, f"{kind.stem}-*.zip")
    if content is None or hashlib.sha256(content).hexdigest() != told.get((number, format)):
        raise _wrong(ws, kind, period, area, name)
    return content


def _told_hashes(lake: Lake, kind: Kind, period: Period) -> dict[tuple[str, str], str]:
    """What the dataset says of its documents: a hash by firm and format."""
    rows = pq.read_table(lake.file(kind.dataset, period), columns=["bn9", *HASHES], partitioning=None).to_pylist()
    formats = COLUMN_OF.items()
    return {(row["bn9"], format): row[name] for format, name in formats for row in rows if row[name] is not None}


def _wrong(ws: Workspace, kind: Kind, period: Period, area: str, name: str) -> DataError:
    folder = ws.statement_packs(period, area)
    with ws.operations.connect() as connection:
        is_record = area == "lake" and is_issued(connection, period)
    what = f"the {kind.noun} {name} of {period} is not the document that was rendered (below {folder})"
    return DataError(
        f"{what}: restore the documents from a backup" if is_record else f"{what}: run {period} again in full"
    )


# Verifying


def count_true_firm_documents(ws: Workspace, area: str, up_to: Period | None = None) -> int:
    """Hash every document of brokers and providers anew and build its object anew; returns how many documents.

    Raises ``DataError`` naming the first that is missing, does not belong there, is not what its dataset says, or,
    where the month was issued, not what the registry says.
    """
    lake, documents = ws.lake(area), 0
    for kind in KINDS:
        for period in lake.own_periods(kind.dataset, up_to):
            told = _told_hashes(lake, kind, period)
            missing = {f"{number}.{format}" for number, format in told}
            for name, content in _packed(ws, kind, period, area):
                number, _, format = name.partition(".")
                if name not in missing or hashlib.sha256(content).hexdigest() != told[number, format]:
                    raise _wrong(ws, kind, period, area, name)
                missing.remove(name)
                documents += 1
            if missing:
                raise _wrong(ws, kind, period, area, min(missing))
            _require_objects(lake, kind, period, told)
            if area == "lake":
                _require_registered(ws, kind, period, told)
    return documents


def _packed(ws: Workspace, kind: Kind, period: Period, area: str) -> Iterable[tuple[str, bytes]]:
    for pack in sorted(ws.statement_packs(period, area).glob(f"{kind.stem}-*.zip")):
        yield from read_documents(pack)


def _require_objects(lake: Lake, kind: Kind, period: Period, told: Mapping[tuple[str, str], str]) -> None:
    """The rows that are sealed still make the objects from which the documents were made."""
    for made in _read_objects(lake, kind, period):
        if hashlib.sha256(render_json(made)).hexdigest() != told.get((made.head.bn9, "json")):
            raise DataError(
                f"the {kind.noun} {made.head.bn9} for {period} is not what its rows in the lake make of it: restore "
                "the lake from a backup"
            )


def _require_registered(ws: Workspace, kind: Kind, period: Period, told: Mapping[tuple[str, str], str]) -> None:
    """The registry of an issued month has exactly these documents."""
    with ws.operations.connect() as connection:
        if not is_issued(connection, period):
            return
        registered = read_documents_issued(connection, period)
    issued = {
        (bn9, format): digest
        for (word, bn9), hashes in registered.items()
        for format, digest in zip(COLUMN_OF, hashes, strict=True)
        if word == kind.word and digest is not None
    }
    if issued != dict(told):
        number, _ = min(key for key in issued.keys() | told.keys() if issued.get(key) != told.get(key))
        raise DataError(
            f"the {kind.noun} {number} of {period} is not the one that was issued (carm_issued_documents): restore the "
            "lake and the database from a backup"
        )
