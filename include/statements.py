"""The statements of a month: derived by SQL, proved, rendered in shards, packed, and registered.

The Dag runs the four steps in this order: :func:`publish_statement_lines`, :func:`list_shards`, one
:func:`render_shard` a shard, :func:`register_statements`. Until the last one nobody can read a statement: it moves
the packs into place and seals the dataset ``statements``; in a live month it also records what is issued.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include import engine
from include.broker_documents import find_rendered, place_rendered, publish_rendered
from include.broker_documents import versions_now as versions_of_firm_documents
from include.brokers import DERIVED as BROKER_DATASETS
from include.brokers import derive_brokers, prove_brokers
from include.carm.allocation import AllocationRules, Disbursement
from include.carm.business_number import require_bn15
from include.carm.contacts import Contacts
from include.carm.errors import DataError, Unavailable, UsageError
from include.carm.interest import InterestRates
from include.carm.money import LOCALE_VERSION
from include.carm.period import Period
from include.carm.statement import (
    Statement,
    StatementHead,
    StatementLine,
    build_statements,
    render_csv,
    render_json,
    stream_csv,
)
from include.database import write_transaction
from include.document_registry import record_documents, refuse_other_documents
from include.documents import read_document, read_documents, read_member, read_sums, write_pack
from include.interest import calculate_interest
from include.lake import Lake, Seal, no_shadow_run, sha256_of, write_parquet
from include.ledger_totals import write_ledger_totals
from include.open_items import carry_forward, derive_open_items
from include.parking import (
    outstanding_accounts,
    parked_reason,
    prove_statements,
    recorded_parking,
    require_sound,
    why_parked,
)
from include.source_schema import demo_world
from include.statement_page import StatementPages, template_version
from include.statement_pdf import TYPESETTER_VERSION, StatementPdfs
from include.statement_registry import HASHES, Issue, is_issued, issued_otherwise, record_issue, refuse_difference
from include.statement_versions import find_version, hash_of, read_reissued, read_version, wrong_reissue
from include.transaction_kinds import transaction_kinds_relation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from sqlalchemy import Row

    from include.workspace import Workspace

log = logging.getLogger(__name__)

SHARD_STATEMENTS = 4_000
"""Statements a shard: half a minute's work at most, and a pack that opens at once in any tool."""

FORMATS = ("html", "pdf", "csv", "json")
_PACKED = ("csv", "html")
OBJECTS_NAME = "OBJECTS"
"""The member of a pack that lists the hash of the object that each statement's documents were made from."""
_LINES_A_BATCH = 20_000


# What the month's statements are made of, in the order in which it is derived.
_DERIVED = (
    "open_items",
    "allocations",
    "interest",
    "statement_heads",
    "statement_lines",
    "parked",
    "ledger_totals",
    *BROKER_DATASETS,
)


def publish_statement_lines(ws: Workspace, month: dict[str, Any]) -> dict[str, Any]:
    """Derive heads, lines and parked accounts of the month, prove them, and publish them.

    Invariants 2 and 3 of the design are checked before anything is written: every posting stands on exactly one line
    of exactly one statement or belongs to a parked account; closing = opening + debits - credits = the baseline and
    all effects since; opening = the closing of the month before. An account that fails is parked, and the others go on
    (:mod:`include.parking`). Raises ``DataError`` where that does not mend it, and ``Refused`` where an issued month
    would come out different.
    """
    period = Period.parse(month["period"])
    lake = ws.lake(month["area"])
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        carry_forward(ws, con, period, month["run_id"])
        gather_month(ws, con, lake, period)
        engine.register(con, "parking", outstanding_accounts(ws, lake, month, period))
        draw_up_statements(ws, con, period)
        prove_statements(con, lake, period, ws.policy.parking, partial(draw_up_statements, ws, con, period))
        derive_brokers(ws, con, lake, period)
        untold = prove_brokers(ws, con, lake, period)
        seals = [
            _publish(ws, month, lake, name, period, con.table(name).to_arrow_reader(engine.BATCH_ROWS))
            for name in _DERIVED
        ]
    lake.seal(seals, run_id=month["run_id"])
    rows = {seal.dataset: seal.rows for seal in seals}
    return {
        "period": str(period),
        "statements": rows["statement_heads"] - rows["parked"],
        "lines": rows["statement_lines"],
        "parked": rows["parked"],
        "open_items": rows["open_items"],
        "brokers": rows["broker_heads"],
        "broker_lines": rows["broker_lines"],
        "broker_lines_untold": untold,
        "sha256": {seal.dataset: seal.sha256 for seal in seals},
    }


def list_shards(ws: Workspace, month: dict[str, Any]) -> list[dict[str, Any]]:
    """The month's statements in equal parts: ``{"shard": "0001", "offset": 0, "count": 4000}``, at least one.

    A shard is named by its place in the order of accounts and says nothing about any of them.
    """
    lake, period = ws.lake(month["area"]), Period.parse(month["period"])
    heads = pq.read_table(lake.file("statement_heads", period), columns=["parked_reason"])
    statements = heads.column("parked_reason").null_count
    offsets = range(0, max(statements, 1), SHARD_STATEMENTS)
    return [
        {"shard": f"{number:04d}", "offset": offset, "count": min(SHARD_STATEMENTS, statements - offset)}
        for number, offset in enumerate(offsets, start=1)
    ]


def render_shard(ws: Workspace, month: dict[str, Any], shard: dict[str, Any]) -> dict[str, Any]:
    """Render the statements of one shard, HTML, CSV and, where the policy says so, PDF, into one pack of the run's own.

    A repeated shard replaces only its own pack, by the same bytes. Returns the shard with the pack's hash.
    """
    lake, period = ws.lake(month["area"]), Period.parse(month["period"])
    wording = _wording(ws, period)
    pages = StatementPages(*wording)
    pdfs = StatementPdfs(*wording) if ws.policy.pdf == "all" else None
    statements = _tell_progress(_read_statements(lake, period, shard["offset"], shard["count"]), shard)
    pack = write_pack(_staged_packs(ws, month) / _pack_name(shard), render_documents(statements, pages, pdfs))
    return {**shard, "documents": pack.documents, "sha256": pack.sha256}


def register_statements(ws: Workspace, month: dict[str, Any], shards: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Move the rendered packs into place and publish ``statements``; in a live month, record them as issued.

    ``shards`` is what :func:`render_shard` returned. Run again it finds the packs in place and changes nothing.
    Raises ``DataError`` where a pack is missing or a statement has no document, ``Refused`` where a document of an
    issued month is not the one that was issued.
    """
    lake, period = ws.lake(month["area"]), Period.parse(month["period"])
    folder = _pack_folder(ws, period, month["area"])
    packs = {_pack_name(shard): _find_pack(ws, month, folder, shard) for shard in shards}
    statements = _with_documents(lake, period, packs.values())
    _require_gate(ws, period, statements)
    of_firms = find_rendered(ws, month)
    is_live = month["effects"] == "live"
    if is_live:
        with ws.operations.connect() as connection:
            refuse_difference(connection, period, statements)
            refuse_other_documents(connection, period, of_firms.rows)
    _place_packs(folder, packs)
    place_rendered(ws, month, of_firms)
    write_ledger_totals(ws, lake, period, month["area"])
    seal = lake.publish("statements", period, statements)
    seals = [seal, *publish_rendered(lake, period, of_firms)]
    issue = Issue(ws.calendar.issued_on(period), versions_now(), seal.sha256, month["run_id"])
    with write_transaction(ws.operations) as connection:
        lake.seal(seals, run_id=month["run_id"], connection=connection)
        if is_live:
            # Before the issue, whose link of the audit chain tells of them.
            record_documents(connection, period, of_firms.rows, versions_of_firm_documents())
        newly_issued = record_issue(connection, period, statements, issue) if is_live else 0
    return {
        "period": str(period),
        "statements": seal.rows,
        "packs": len(packs),
        "firm_documents": len(of_firms.rows),
        "newly_issued": newly_issued,
        **issue.made_by,
        "sha256": seal.sha256,
    }


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
            raise DataError(_why_no_statement(ws, lake, period, number))
        what = f"{period} is not issued" if area == "lake" else f"what a shadow run made of {period} is not issued"
        raise DataError(f"{what}, so its statements have no versions: leave --version out")
    return _read_rendered(ws, period, number, format, area)


def _read_rendered(ws: Workspace, period: Period, number: str, format: str, area: str) -> bytes:
    """A statement as it was rendered with its month."""
    lake = ws.lake(area)
    issued = pq.read_table(
        lake.file("statements", period), columns=["document_sha256"], filters=[("bn15", "==", number)]
    )
    if not issued.num_rows:
        raise DataError(_why_no_statement(ws, lake, period, number))
    content = None
    if format != "json":
        content = read_document(_pack_folder(ws, period, area), f"{number}.{format}", "statements-*.zip")
    if content is None and format not in _PACKED:
        statement = _read_one(lake, period, number)
        content = render_json(statement) if format == "json" else StatementPdfs(*_wording(ws, period)).render(statement)
    if content is None:
        raise _wrong_document(ws, period, area, f"{number}.{format} of {period} is in no pack")
    if format == "html" and hashlib.sha256(content).hexdigest() != issued.column("document_sha256")[0].as_py():
        raise _wrong_document(ws, period, area, f"{number}.html of {period} is not the document that was rendered")
    return content


def _read_reissue(ws: Workspace, period: Period, row: Row[Any], format: str) -> bytes:
    """A version that an act issued: all of its formats lie in the act's pack."""
    content = read_reissued(ws, period, row.act_no, f"{row.bn15}.{format}")
    told = {"html": row.document_sha256, "csv": row.csv_sha256, "pdf": row.pdf_sha256, "json": row.object_sha256}
    if content is None or hash_of(content, format) != told[format]:
        raise wrong_reissue(ws, row, format)
    return content


def read_issued_object(ws: Workspace, period: Period, bn15: str) -> Statement:
    """The object of a statement that was issued with its month, built from the lake."""
    return _read_one(ws.lake(), period, bn15)


def derive_statement(ws: Workspace, period: Period, bn15: str, *, account: pa.Table | None = None) -> Statement:
    """The statement that the tables of today make of the postings that were extracted for an issued month.

    ``account`` is the one row of ``accounts`` of an account that was parked then, and is not any more. The whole month
    is derived, for what an account has open hangs together over its months. Nothing is written. Raises ``DataError``
    where the account has no statement, or would be parked.
    """
    lake = ws.lake()
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        accounts = None if account is None else _with_account(lake, period, account)
        gather_month(ws, con, lake, period, accounts)
        engine.register(con, "parking", recorded_parking(lake, period, without=None if account is None else bn15))
        draw_up_statements(ws, con, period)
        require_sound(con, lake, period, bn15)
        head, lines = (_of_account(con, name, bn15) for name in ("statement_heads", "statement_lines"))
    if not head.num_rows:
        raise DataError(_why_no_statement(ws, lake, period, bn15))
    reason = head.column("parked_reason")[0].as_py()
    if reason is not None:
        raise DataError(f"account {bn15} is parked in {period} still ({reason}): put right what it is parked for first")
    columns = ["bn15", *StatementLine._fields]
    return next(_join(head, lines.sort_by("line_no").select(columns).to_batches()))


def _with_account(lake: Lake, period: Period, account: pa.Table) -> pa.Table:
    """The published accounts of the month, with this one in place of what was published of it, if anything was."""
    published = pq.read_table(lake.file("accounts", period), partitioning=None)
    others = published.filter(pc.not_equal(published.column("bn15"), account.column("bn15")[0]))
    return pa.concat_tables([others, account]).sort_by("account_key")


def _of_account(con: DuckDBPyConnection, relation: str, bn15: str) -> pa.Table:
    is_own = duckdb.ColumnExpression("bn15") == duckdb.ConstantExpression(bn15)
    return con.table(relation).filter(is_own).to_arrow_table()


def render_reissue(ws: Workspace, statement: Statement) -> Iterator[tuple[str, bytes]]:
    """The members of the pack of a version that is issued after its month: every format, and its object."""
    assert statement.reissue is not None
    period, number = Period.parse(statement.head.period), statement.head.bn15
    # Whom to ask is who is in charge on the day of this version.
    wording = (Contacts.load(), date.fromisoformat(statement.reissue.issued_on), _disbursement(period))
    rendered = render_documents([statement], StatementPages(*wording), StatementPdfs(*wording))
    documents = {name: content if isinstance(content, bytes) else b"".join(content) for name, content in rendered}
    documents[f"{number}.json"] = render_json(statement)
    yield from sorted(documents.items())


def count_true_documents(ws: Workspace, area: str, up_to: Period | None = None) -> int:
    """Hash every document of the area's statements anew, and build its object anew; returns how many documents.

    Raises ``DataError`` naming the first that is missing, does not belong there, or is not what its statement says.
    """
    lake, documents = ws.lake(area), 0
    for period in lake.own_periods("statements", up_to):
        told = _told_hashes(lake, period)
        missing = {f"{number}.{format}" for number, format in told if format != "object"}
        for pack in sorted(_pack_folder(ws, period, area).glob("statements-*.zip")):
            if any(told.get((number, "object")) != digest for digest, number in read_listed_objects(pack)):
                what = f"{OBJECTS_NAME} in {pack.name} of {period} does not list what its documents were made from"
                raise _wrong_document(ws, period, area, what)
            for name, content in read_documents(pack):
                number, _, format = name.partition(".")
                if name == OBJECTS_NAME or ((number, "object") not in told and format == "csv"):
                    continue
                if name not in missing or hashlib.sha256(content).hexdigest() != told[number, format]:
                    raise _wrong_document(ws, period, area, f"{name} of {period} is not the document that was rendered")
                missing.remove(name)
                documents += 1
        if missing:
            what = f"{min(missing)} of {period} is in no pack"
            more = f", and {len(missing) - 1:,} more are not" if len(missing) > 1 else ""
            raise _wrong_document(ws, period, area, f"{what}{more}")
        if any(format == "object" for _, format in told):
            _require_objects(lake, period, told)
    return documents


def _told_hashes(lake: Lake, period: Period) -> dict[tuple[str, str], str]:
    """What the statements of a month say of their documents and objects: a hash by account and format."""
    file = lake.file("statements", period)
    # The months of an earlier release know the hashes of their pages alone.
    known = [name for name in HASHES if name in pq.read_schema(file).names]
    formats = {name: "html" if name == "document_sha256" else name.removesuffix("_sha256") for name in known}
    rows = pq.read_table(file, columns=["bn15", *known], partitioning=None).to_pylist()
    return {(row["bn15"], formats[name]): row[name] for row in rows for name in known if row[name] is not None}


def _require_objects(lake: Lake, period: Period, told: Mapping[tuple[str, str], str]) -> None:
    """The lines and heads that are sealed still make the objects from which the documents were made."""
    for statement in _read_statements(lake, period, 0, len(told)):
        number = statement.head.bn15
        if statement.digest() != told.get((number, "object")):
            raise DataError(
                f"the statement of {number} for {period} is not what its lines in the lake make of it: restore the "
                "lake from a backup"
            )


def _wrong_document(ws: Workspace, period: Period, area: str, what: str) -> DataError:
    folder = _pack_folder(ws, period, area)
    with ws.operations.connect() as connection:
        is_record = area == "lake" and is_issued(connection, period)
    if is_record:
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


# Deriving and proving


def gather_month(
    ws: Workspace, con: DuckDBPyConnection, lake: Lake, period: Period, accounts: pa.Table | None = None
) -> None:
    """Make the relations that the statements of a month are drawn up from: what is open, its age, its interest.

    ``accounts`` stands in place of the published ones. Raises ``DataError`` where a month lacks its activity.
    """
    engine.register(con, "accounts", [lake.file("accounts", period)] if accounts is None else accounts)
    known = set(lake.periods("activity"))
    extracted = [p for p in lake.periods("transactions") if p <= period]
    missing = [p for p in extracted if p not in known]
    if missing:
        raise DataError(
            f"{len(missing)} extracted months, the first {missing[0]}, have no activity yet, so a balance would be "
            "wrong: clear publish_activity, and all that follows it"
        )
    engine.register(con, "activity", lake.files("activity", extracted))
    engine.register(con, "transaction_kinds", transaction_kinds_relation())
    derive_open_items(ws, con, lake, period)
    engine.create_table(con, "ageing", "derive_ageing", None, {"issued_on": ws.calendar.issued_on(period)})
    rates = InterestRates.load(demo=demo_world(ws.source) is not None)
    engine.register(con, "interest", calculate_interest(ws, con, period, rates))
    # The balances brought forward are those of all months, where the open items begin with the first.
    engine.register(con, "baseline", lake.files("baseline"))


def draw_up_statements(ws: Workspace, con: DuckDBPyConnection, period: Period) -> None:
    """Heads and lines of all accounts but those of the relation ``parking``, and what follows from them."""
    days = {
        "period": str(period),
        "period_start": ws.calendar.start(period),
        "period_end": ws.calendar.end(period),
        "issued_on": ws.calendar.issued_on(period),
        "due_on": ws.calendar.due_on(period),
    }
    engine.create_table(con, "statement_heads", "derive_statement_heads", parameters=days)
    engine.create_table(con, "statement_lines", "derive_statement_lines")
    engine.create_table(con, "parked", "derive_parked_statements")
    engine.create_table(con, "ledger_totals", "derive_ledger_totals")


def _publish(
    ws: Workspace, month: Mapping[str, Any], lake: Lake, dataset: str, period: Period, data: pa.RecordBatchReader
) -> Seal:
    """Publish a dataset, but never over the different one of a month that was issued."""
    with ws.operations.connect() as connection:
        is_free = month["area"] != "lake" or not is_issued(connection, period)
    if is_free:
        return lake.publish(dataset, period, data)
    folder = ws.staging(month["run_id"], "statements")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{dataset}.parquet"
    try:
        seal = Seal(dataset, str(period), write_parquet(path, data), sha256_of(path))
    finally:
        path.unlink(missing_ok=True)
    if seal not in lake.seals(dataset):
        raise issued_otherwise(period, f"its {dataset} would come out different")
    return seal


# Rendering


def _read_statements(lake: Lake, period: Period, offset: int, count: int) -> Iterator[Statement]:
    """The statements at these places of the month's order, built one after the other."""
    file = lake.file("statement_heads", period)
    places = pq.read_table(file, columns=["account_key", "parked_reason"])
    places = places.filter(pc.is_null(places.column("parked_reason"))).slice(offset, count)
    if not places.num_rows:
        return
    keys = places.column("account_key")
    first_key, last_key = keys[0].as_py(), keys[-1].as_py()
    heads = [
        batch.filter(pc.is_null(batch.column("parked_reason"))).select(StatementHead._fields)
        for batch in _stream_accounts(file, ["parked_reason", *StatementHead._fields], first_key, last_key)
    ]
    yield from _build(lake, period, pa.Table.from_batches(heads), first_key, last_key)


def _build(lake: Lake, period: Period, heads: pa.Table, first_key: int, last_key: int) -> Iterator[Statement]:
    columns = ["bn15", *StatementLine._fields]
    lines = _stream_accounts(lake.file("statement_lines", period), columns, first_key, last_key)
    return _join(heads, lines)


def _join(heads: pa.Table, lines: Iterable[pa.RecordBatch]) -> Iterator[Statement]:
    """Heads with their lines; the first column of ``lines`` is the account."""
    return build_statements(
        table_rows(heads.select(StatementHead._fields)), ((row[0], row[1:]) for row in _batch_rows(lines))
    )


def _stream_accounts(path: Path, columns: Sequence[str], first_key: int, last_key: int) -> Iterator[pa.RecordBatch]:
    """``columns`` of the accounts with these keys, a batch at a time; rows stand in the order of accounts."""
    file = pq.ParquetFile(path, pre_buffer=False)
    place = file.schema_arrow.get_field_index("account_key")
    bounds = [file.metadata.row_group(number).column(place).statistics for number in range(file.num_row_groups)]
    wanted = [number for number, keys in enumerate(bounds) if keys.min <= last_key and first_key <= keys.max]
    for batch in file.iter_batches(_LINES_A_BATCH, row_groups=wanted, columns=["account_key", *columns]):
        key = batch.column("account_key")
        yield batch.filter(pc.and_(pc.greater_equal(key, first_key), pc.less_equal(key, last_key))).select(columns)


def table_rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """The rows of a table as tuples, days as ISO text; a batch at a time, for Python objects are large."""
    return _batch_rows(table.to_batches(max_chunksize=_LINES_A_BATCH))


def _batch_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Any, ...]]:
    for batch in batches:
        yield from zip(*(_values(column) for column in batch.columns), strict=True)


def _values(column: pa.Array) -> list[Any]:
    """The values of a column. Texts that are equal are one object: most columns hold few that differ."""
    if not (pa.types.is_date(column.type) or pa.types.is_string(column.type)):
        return column.to_pylist()
    encoded = column.dictionary_encode()
    texts = encoded.dictionary.cast(pa.string()).to_pylist()
    return [None if place is None else texts[place] for place in encoded.indices.to_pylist()]


def read_again(ws: Workspace, period: Period, rows: Sequence[Row[Any]]) -> Iterator[tuple[Row[Any], dict[str, bytes]]]:
    """Render issued versions again, each with its row of the registry: by format, HTML and CSV, and PDF if it had one.

    The rows of the month come first, in the order of accounts.
    """
    wording = _wording(ws, period)
    pages, pdfs = StatementPages(*wording), StatementPdfs(*wording)
    of_month = {row.bn15: row for row in rows if row.act_no is None}
    for statement in _read_statements(ws.lake(), period, 0, len(of_month)):
        row = of_month[statement.head.bn15]
        documents = {"html": pages.render(statement), "csv": render_csv(statement)}
        if row.pdf_sha256 is not None:
            documents["pdf"] = pdfs.render(statement)
        yield row, documents
    for row in rows:
        if row.act_no is not None:
            members = dict(render_reissue(ws, read_version(ws, period, row).statement))
            yield row, {format: members[f"{row.bn15}.{format}"] for format in ("html", "csv", "pdf")}


def versions_now() -> dict[str, str]:
    """What documents are made with at this moment, as the registry keeps it."""
    return {
        "template_version": template_version(),
        "locale_version": LOCALE_VERSION,
        "typesetter_version": TYPESETTER_VERSION,
    }


def _wording(ws: Workspace, period: Period) -> tuple[Contacts, date, Disbursement]:
    """Whom a statement of the month names, and by which rules, as valid on its day of issue."""
    return Contacts.load(), ws.calendar.issued_on(period), _disbursement(period)


def _disbursement(period: Period) -> Disbursement:
    return AllocationRules.load().disbursement_of(period)


def _tell_progress(statements: Iterator[Statement], shard: Mapping[str, Any]) -> Iterator[Statement]:
    """The same statements; each tenth of the shard is logged when its documents are written."""
    step = max(-(-shard["count"] // 10), 1)
    for done, statement in enumerate(statements, start=1):
        yield statement
        if done % step == 0 or done == shard["count"]:
            log.info("shard %s: %s of %s statements rendered", shard["shard"], f"{done:,}", f"{shard['count']:,}")


def render_documents(
    statements: Iterable[Statement], pages: StatementPages, pdfs: StatementPdfs | None
) -> Iterator[tuple[str, bytes | Iterator[bytes]]]:
    """The members of a pack: each statement as CSV, HTML and perhaps PDF; last :data:`OBJECTS_NAME`."""
    objects = []
    for statement in statements:
        number = statement.head.bn15
        objects.append(f"{statement.digest()}  {number}\n")
        yield f"{number}.csv", stream_csv(statement)
        yield f"{number}.html", pages.stream(statement)
        if pdfs is not None:
            yield f"{number}.pdf", pdfs.render(statement)
    yield OBJECTS_NAME, "".join(objects).encode()


def _read_one(lake: Lake, period: Period, bn15: str) -> Statement:
    """The statement of an account that has one."""
    heads = pq.read_table(
        lake.file("statement_heads", period),
        columns=["account_key", *StatementHead._fields],
        filters=(pc.field("bn15") == bn15) & pc.field("parked_reason").is_null(),
    )
    key = heads.column("account_key")[0].as_py()
    return next(_build(lake, period, heads, key, key))


def _is_issued(ws: Workspace, period: Period) -> bool:
    with ws.operations.connect() as connection:
        return is_issued(connection, period)


def _why_no_statement(ws: Workspace, lake: Lake, period: Period, bn15: str) -> str:
    reason = parked_reason(lake, period, bn15)
    if reason is not None:
        return why_parked(bn15, period, reason, is_issued=_is_issued(ws, period))
    return (
        f"account {bn15} has no statement for {period}: nothing was posted, no balance stands, and it was not closed "
        "in that month"
    )


# Packs


def _pack_name(shard: Mapping[str, Any]) -> str:
    return f"statements-{shard['shard']}.zip"


def _pack_folder(ws: Workspace, period: Period, area: str) -> Path:
    return ws.documents(area) / "soa" / f"period={period}"


def _staged_packs(ws: Workspace, month: Mapping[str, Any]) -> Path:
    return ws.staging(month["run_id"], "statements")


def _find_pack(ws: Workspace, month: Mapping[str, Any], folder: Path, shard: Mapping[str, Any]) -> Path:
    """The pack of a shard: as just rendered, or, where the step runs again, already in place."""
    for path in (_staged_packs(ws, month) / _pack_name(shard), folder / _pack_name(shard)):
        if path.exists() and sha256_of(path) == shard["sha256"]:
            return path
    raise DataError(
        f"the pack {_pack_name(shard)} of {month['period']} is not the one that was rendered: clear the rendering of "
        "that shard and run it again"
    )


def _place_packs(folder: Path, packs: Mapping[str, Path]) -> None:
    """Move each pack to its place and clear what a run with another shard size left there."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, path in packs.items():
            path.replace(folder / name)
        for stale in folder.glob("statements-*.zip"):
            if stale.name not in packs:
                stale.unlink()
    except OSError as error:
        raise Unavailable(
            f"cannot put the statements into {folder} ({error.strerror or error}): make room in the data folder, or "
            "make it writable, and run the month again"
        ) from error


def _require_gate(ws: Workspace, period: Period, statements: pa.Table) -> None:
    """The second gate: what is about to be issued must bear out its own arithmetic."""
    from include.quality.gate import check

    with engine.connect() as con:
        result = check(
            "statements",
            engine.run(con, "stage_statements", {"statements": statements}),
            docs_folder=ws.data / "data_docs",
            run_name=str(period),
            as_of=ws.calendar.as_of(period),
        )
    if result.table_failures:
        raise DataError(" ".join(result.table_failures) + " Nothing was issued.")


def read_rendered(packs: Iterable[Path]) -> pa.Table:
    """One row a statement in the packs: ``bn15`` and the hashes of its documents and its object, NULL where none is."""
    hashes: dict[str, dict[str, str]] = {}
    for path in packs:
        for name, digest in read_sums(path):
            number, _, format = name.partition(".")
            if format:
                hashes.setdefault(number, {})["document" if format == "html" else format] = digest
        for digest, number in read_listed_objects(path):
            hashes.setdefault(number, {})["object"] = digest
    columns = {
        f"{name}_sha256": pa.array([of.get(name) for of in hashes.values()], pa.string())
        for name in ("document", "csv", "pdf", "object")
    }
    return pa.table({"bn15": pa.array(hashes.keys(), pa.string()), **columns})


def read_listed_objects(pack: Path) -> Iterator[tuple[str, str]]:
    """Hash and account of each object that a pack was made from; nothing for a pack of an earlier release."""
    for line in (read_member(pack, OBJECTS_NAME) or b"").decode().splitlines():
        digest, _, number = line.partition("  ")
        yield digest, number


def _with_documents(lake: Lake, period: Period, packs: Iterable[Path]) -> pa.Table:
    """The rows of ``statements``: each head with the hashes of its object and its documents."""
    documents = read_rendered(packs)
    with engine.connect() as con:
        statements = engine.run_table(
            con,
            "derive_statements",
            {"statement_heads": [lake.file("statement_heads", period)], "rendered_documents": documents},
        )
    missing = statements.column("document_sha256").null_count
    if missing or documents.num_rows != statements.num_rows:
        raise DataError(
            f"{missing:,} statements of {period} have no document, and documents of {documents.num_rows:,} were "
            f"rendered where there are {statements.num_rows:,} statements: clear the rendering of all shards, and run "
            "it again"
        )
    return statements
