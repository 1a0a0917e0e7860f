"""The statements of a month: derived by SQL, proved, rendered in shards, packed, and registered.

The Dag runs the four steps in this order: :func:`publish_statement_lines`, :func:`list_shards`, one
:func:`render_shard` a shard, :func:`register_statements`. Until the last one nobody can read a statement: it moves
the packs into place and seals the dataset ``statements``; in a live month it also records what is issued.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from include.carm.period import Period
from include.carm.statement import Statement, StatementHead, StatementLine, build_statements, render_csv, render_json
from include.database import write_transaction
from include.document_registry import record_documents, refuse_other_documents
from include.documents import read_document, read_documents, read_sums, write_pack
from include.interest import calculate_interest
from include.lake import Lake, Seal, no_shadow_run, sha256_of, write_parquet
from include.ledger_totals import write_ledger_totals
from include.open_items import carry_forward, derive_open_items
from include.source_schema import demo_world
from include.statement_page import StatementPages, template_version
from include.statement_pdf import StatementPdfs
from include.statement_registry import Issue, is_issued, issued_otherwise, record_issue, refuse_difference
from include.transaction_kinds import transaction_kinds_relation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from include.workspace import Workspace

SHARD_STATEMENTS = 4_000
"""Statements a shard: half a minute's work at most, and a pack that opens at once in any tool."""

FORMATS = ("html", "pdf", "csv", "json")
_PACKED = ("csv", "html")
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
    all effects since; opening = the closing of the month before. Raises ``DataError`` with the first that fails and
    ``Refused`` where an issued month would come out different.
    """
    period = Period.parse(month["period"])
    lake = ws.lake(month["area"])
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        carry_forward(ws, con, period, month["run_id"])
        _derive(ws, con, lake, period)
        _check(con, lake, period)
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
    documents = (
        document
        for statement in _read_statements(lake, period, shard["offset"], shard["count"])
        for document in _render(statement, pages, pdfs)
    )
    pack = write_pack(_staged_packs(ws, month) / _pack_name(shard), documents)
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
    issue = Issue(ws.calendar.issued_on(period), template_version(), seal.sha256, month["run_id"])
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
        "template_version": issue.template_version,
        "sha256": seal.sha256,
    }


def read_statement(ws: Workspace, period: Period, bn15: str, format: str = "html", area: str = "lake") -> bytes:
    """One statement of the month: ``html`` and ``csv`` as they were rendered, ``json`` from the same lines.

    ``pdf`` is read from the pack where the policy has it made for all, else it is made now.
    Raises ``UsageError`` for a number that is no BN15 and for another format, ``DataError`` where the month has no
    statements or the account has none in it, naming the reason if the account is parked.
    """
    number = require_bn15(bn15)
    if format not in FORMATS:
        raise UsageError(f"a statement has no format {format!r}: ask for one of {', '.join(FORMATS)}")
    lake = ws.lake(area)
    if area == "shadow" and period not in lake.own_periods("statements"):
        raise no_shadow_run(period)
    if not lake.has("statements", period):
        raise DataError(f"there are no statements for {period}: run that month first (make run PERIOD={period})")
    issued = pq.read_table(
        lake.file("statements", period), columns=["document_sha256"], filters=[("bn15", "==", number)]
    )
    if not issued.num_rows:
        raise DataError(_why_no_statement(lake, period, number))
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


def count_true_documents(ws: Workspace, area: str, up_to: Period | None = None) -> int:
    """Hash every document of the area's statements anew; returns how many there are.

    Raises ``DataError`` naming the first that is missing, does not belong there, or is not what its statement (for a
    CSV, its pack) says.
    """
    lake, documents = ws.lake(area), 0
    for period in lake.own_periods("statements", up_to):
        rows = pq.read_table(lake.file("statements", period), columns=["bn15", "document_sha256"])
        pages = dict(zip(*(column.to_pylist() for column in rows.columns), strict=True))
        missing = {f"{number}.{format}" for number in pages for format in _PACKED}
        for pack in sorted(_pack_folder(ws, period, area).glob("statements-*.zip")):
            sums = dict(read_sums(pack))
            for name, content in read_documents(pack):
                number, _, format = name.partition(".")
                told = pages.get(number) if format == "html" else sums.get(name)
                # Whether a month has PDFs in its packs is a matter of the policy of its day.
                if format == "pdf" and number in pages:
                    missing.add(name)
                if name not in missing or hashlib.sha256(content).hexdigest() != told:
                    raise _wrong_document(ws, period, area, f"{name} of {period} is not the document that was rendered")
                missing.remove(name)
                documents += 1
        if missing:
            what = f"{min(missing)} of {period} is in no pack"
            more = f", and {len(missing) - 1:,} more are not" if len(missing) > 1 else ""
            raise _wrong_document(ws, period, area, f"{what}{more}")
    return documents


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


def _derive(ws: Workspace, con: DuckDBPyConnection, lake: Lake, period: Period) -> None:
    engine.register(con, "accounts", [lake.file("accounts", period)])
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


def _check(con: DuckDBPyConnection, lake: Lake, period: Period) -> None:
    _raise_offenders(period, engine.run_table(con, "check_statement_cover"))
    _raise_offenders(period, engine.run_table(con, "check_statement_balances", parameters={"period": str(period)}))
    _raise_offenders(period, engine.run_table(con, "check_ledger_totals"))
    before = period.previous()
    if lake.has("statements", before):
        closings: dict[str, engine.Relation] = {
            "previous_statements": [lake.file("statements", before)],
            "previous_parked": [lake.file("parked", before)],
        }
        _raise_offenders(period, engine.run_table(con, "check_statement_chain", closings))


def _raise_offenders(period: Period, offenders: pa.Table) -> None:
    if not offenders.num_rows:
        return
    first = offenders.slice(0, 1).to_pylist()[0]
    if first["bn15"] is None:
        raise DataError(f"the statements of {period} are not published: {first['problem']}; run the month again")
    place = f"transaction {first['transaction_id']}" if first["transaction_id"] else f"account {first['bn15']}"
    more = f", and {offenders.num_rows - 1:,} more" if offenders.num_rows > 1 else ""
    raise DataError(
        f"the statements of {period} are not published: {first['problem']} ({place}{more}); "
        "look at the month's rows of that account in the lake"
    )


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
    heads = pq.read_table(
        lake.file("statement_heads", period), columns=["account_key", "parked_reason", *StatementHead._fields]
    )
    heads = heads.filter(pc.is_null(heads.column("parked_reason"))).slice(offset, count)
    if not heads.num_rows:
        return
    keys = heads.column("account_key")
    yield from _build(lake, period, heads, keys[0].as_py(), keys[-1].as_py())


def _build(lake: Lake, period: Period, heads: pa.Table, first_key: int, last_key: int) -> Iterator[Statement]:
    lines = pq.read_table(
        lake.file("statement_lines", period),
        columns=["bn15", *StatementLine._fields],
        # Lines stand in the order of accounts, so this reads few row groups.
        filters=[("account_key", ">=", first_key), ("account_key", "<=", last_key)],
    )
    return build_statements(
        table_rows(heads.select(StatementHead._fields)), ((row[0], row[1:]) for row in table_rows(lines))
    )


def table_rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """The rows of a table as tuples, days as ISO text; a batch at a time, for Python objects are large."""
    days = {field.name for field in table.schema if pa.types.is_date(field.type)}
    for batch in table.to_batches(max_chunksize=_LINES_A_BATCH):
        columns = [
            (column.cast(pa.string()) if name in days else column).to_pylist()
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        yield from zip(*columns, strict=True)


def _wording(ws: Workspace, period: Period) -> tuple[Contacts, date, Disbursement]:
    """Whom a statement of the month names, and by which rules, as valid on its day of issue."""
    return Contacts.load(), ws.calendar.issued_on(period), AllocationRules.load().disbursement_of(period)


def _render(statement: Statement, pages: StatementPages, pdfs: StatementPdfs | None) -> Iterator[tuple[str, bytes]]:
    yield f"{statement.head.bn15}.csv", render_csv(statement)
    yield f"{statement.head.bn15}.html", pages.render(statement)
    if pdfs is not None:
        yield f"{statement.head.bn15}.pdf", pdfs.render(statement)


def _read_one(lake: Lake, period: Period, bn15: str) -> Statement:
    """The statement of an account that has one."""
    heads = pq.read_table(
        lake.file("statement_heads", period),
        columns=["account_key", *StatementHead._fields],
        filters=(pc.field("bn15") == bn15) & pc.field("parked_reason").is_null(),
    )
    key = heads.column("account_key")[0].as_py()
    return next(_build(lake, period, heads, key, key))


def _why_no_statement(lake: Lake, period: Period, bn15: str) -> str:
    parked = pq.read_table(lake.file("parked", period), columns=["reason"], filters=[("bn15", "==", bn15)])
    if parked.num_rows:
        return f"account {bn15} has no statement for {period}: it is parked ({parked.column('reason')[0].as_py()})"
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


def _with_documents(lake: Lake, period: Period, packs: Iterable[Path]) -> pa.Table:
    """The rows of ``statements``: each head with the hash of its HTML document."""
    hashes = {
        name.removesuffix(".html"): digest
        for path in packs
        for name, digest in read_sums(path)
        if name.endswith(".html")
    }
    documents = pa.table(
        {
            "bn15": pa.array(hashes.keys(), pa.string()),
            "document_sha256": pa.array(hashes.values(), pa.string()),
        }
    )
    with engine.connect() as con:
        statements = engine.run_table(
            con,
            "derive_statements",
            {"statement_heads": [lake.file("statement_heads", period)], "rendered_documents": documents},
        )
    missing = statements.column("document_sha256").null_count
    if missing or len(hashes) != statements.num_rows:
        raise DataError(
            f"{missing:,} statements of {period} have no document and {len(hashes):,} documents were rendered for "
            f"{statements.num_rows:,} statements: clear the rendering of all shards and run it again"
        )
    return statements
