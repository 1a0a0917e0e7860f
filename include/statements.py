"""The statements of a month: derived by SQL, proved, rendered in shards, packed, and registered.

The Dag runs the four steps in this order: :func:`publish_statement_lines`, :func:`list_shards`, one
:func:`render_shard` a shard, :func:`register_statements`. Until the last one nobody can read a statement: it moves
the packs into place and seals the dataset ``statements``; in a live month it also records what is issued.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp
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
from include.carm.errors import DataError, Unavailable
from include.carm.interest import InterestRates
from include.carm.period import Period
from include.carm.statement import (
    Statement,
    StatementLine,
)
from include.database import write_transaction
from include.datasets import SCHEMAS
from include.document_registry import record_documents, refuse_other_documents
from include.documents import write_pack
from include.interest import calculate_interest
from include.lake import Lake, Seal, explained, sha256_of, write_parquet
from include.ledger_totals import write_ledger_totals
from include.open_items import carry_forward, derive_open_items, keep_labelled_items
from include.parking import (
    outstanding_accounts,
    prove_statements,
    recorded_parking,
    require_sound,
)
from include.source_schema import demo_world
from include.statement_objects import join_lines, read_objects
from include.statement_page import StatementPages
from include.statement_pdf import StatementPdfs
from include.statement_reader import why_no_statement
from include.statement_registry import Issue, is_issued, issued_otherwise, record_issue, refuse_difference
from include.statement_rendering import read_rendered, render_documents, versions_now, wording_of
from include.transaction_kinds import transaction_kinds_relation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from include.workspace import Workspace

log = logging.getLogger(__name__)

SHARD_STATEMENTS = 4_000
"""Statements a shard: half a minute's work at most, and a pack that opens at once in any tool."""


# What the month's statements are made of, in the order in which it is derived: before anybody is parked, and after.
_GATHERED = ("open_items", "allocations", "interest")
_DRAWN_UP = (
    "statement_heads",
    "statement_lines",
    "parked",
    "ledger_totals",
    *BROKER_DATASETS,
)


def publish_statement_lines(ws: Workspace, month: dict[str, Any]) -> dict[str, Any]:
    """Derive heads, lines and parked accounts of the month, prove them, and publish them.

    Invariants 2 and 3 of the design are checked before anything is sealed: every posting stands on exactly one line
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
        seals = [_publish(ws, month, lake, name, period, _write(con, name, period, spill)) for name in _GATHERED]
        keep_labelled_items(con)
        engine.register(con, "parking", outstanding_accounts(ws, lake, month, period))
        files: dict[str, Path] = {}

        def draw_up() -> None:
            files.update(draw_up_statements(ws, con, period, spill))

        draw_up()
        prove_statements(con, lake, period, ws.policy.parking, draw_up)
        derive_brokers(ws, con, lake, period)
        untold = prove_brokers(ws, con, lake, period)
        files |= {name: _write(con, name, period, spill) for name in _DRAWN_UP if name not in files}
        seals += [_publish(ws, month, lake, name, period, files[name]) for name in _DRAWN_UP]
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
    wording = wording_of(ws, period)
    pages = StatementPages(*wording)
    pdfs = None if ws.policy.pdf == "on_demand" else StatementPdfs(*wording)
    statements = _tell_progress(read_objects(lake, period, shard["offset"], shard["count"]), shard)
    documents = render_documents(statements, pages, pdfs, only_payable=ws.policy.pdf == "payable")
    pack = write_pack(_staged_packs(ws, month) / _pack_name(shard), documents)
    return {**shard, "documents": pack.documents, "sha256": pack.sha256}


def register_statements(ws: Workspace, month: dict[str, Any], shards: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Move the rendered packs into place and publish ``statements``; in a live month, record them as issued.

    ``shards`` is what :func:`render_shard` returned. Run again it finds the packs in place and changes nothing.
    Raises ``DataError`` where a pack is missing or a statement has no document, ``Refused`` where a document of an
    issued month is not the one that was issued.
    """
    lake, period = ws.lake(month["area"]), Period.parse(month["period"])
    folder = ws.statement_packs(period, month["area"])
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
        draw_up_statements(ws, con, period, spill)
        require_sound(con, lake, period, bn15)
        head, lines = (_of_account(con, name, bn15) for name in ("statement_heads", "statement_lines"))
    if not head.num_rows:
        raise DataError(why_no_statement(ws, lake, period, bn15))
    reason = head.column("parked_reason")[0].as_py()
    if reason is not None:
        raise DataError(f"account {bn15} is parked in {period} still ({reason}): put right what it is parked for first")
    columns = ["bn15", *StatementLine._fields]
    return next(join_lines(head, lines.sort_by("line_no").select(columns).to_batches()))


def _with_account(lake: Lake, period: Period, account: pa.Table) -> pa.Table:
    """The published accounts of the month, with this one in place of what was published of it, if anything was."""
    published = pq.read_table(lake.file("accounts", period), partitioning=None)
    others = published.filter(pc.not_equal(published.column("bn15"), account.column("bn15")[0]))
    return pa.concat_tables([others, account]).sort_by("account_key")


def _of_account(con: DuckDBPyConnection, relation: str, bn15: str) -> pa.Table:
    is_own = duckdb.ColumnExpression("bn15") == duckdb.ConstantExpression(bn15)
    return con.table(relation).filter(is_own).to_arrow_table()


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


def draw_up_statements(ws: Workspace, con: DuckDBPyConnection, period: Period, folder: Path) -> dict[str, Path]:
    """Heads and lines of all accounts but those of the relation ``parking``, and what follows from them.

    Heads and lines are written at once, each to a new file below ``folder``, and what is proved of them and derived
    from them reads those files: they are what is published. Returns the files by dataset.
    """
    days = {
        "period": str(period),
        "period_start": ws.calendar.start(period),
        "period_end": ws.calendar.end(period),
        "issued_on": ws.calendar.issued_on(period),
        "due_on": ws.calendar.due_on(period),
    }
    files = {}
    for dataset, parameters in (("statement_heads", days), ("statement_lines", {})):
        rows = engine.run(con, f"derive_{dataset}", None, parameters)
        files[dataset] = _write(con, dataset, period, folder, rows)
        engine.register(con, dataset, [files[dataset]])
    engine.create_table(con, "parked", "derive_parked_statements")
    engine.create_table(con, "ledger_totals", "derive_ledger_totals")
    return files


def _write(
    con: DuckDBPyConnection, dataset: str, period: Period, folder: Path, rows: pa.RecordBatchReader | None = None
) -> Path:
    """Write ``rows``, or those of the relation of this name, to a new file below ``folder``."""
    with explained(dataset, period):
        path = Path(mkdtemp(prefix=f"{dataset}-", dir=folder)) / "data.parquet"
        write_parquet(path, rows or con.table(dataset).to_arrow_reader(engine.BATCH_ROWS), SCHEMAS.get(dataset))
    return path


def _publish(ws: Workspace, month: Mapping[str, Any], lake: Lake, dataset: str, period: Period, path: Path) -> Seal:
    """Publish the file, but never over the different one of a month that was issued."""
    with ws.operations.connect() as connection:
        is_free = month["area"] != "lake" or not is_issued(connection, period)
    if is_free:
        return lake.publish(dataset, period, path)
    seal = Seal(dataset, str(period), pq.read_metadata(path).num_rows, sha256_of(path))
    if alike := lake.sealed_alike(seal, path):
        seal, _ = alike
    if seal not in lake.seals(dataset):
        raise issued_otherwise(period, f"its {dataset} would come out different")
    return seal


# Rendering


def _tell_progress(statements: Iterator[Statement], shard: Mapping[str, Any]) -> Iterator[Statement]:
    """The same statements; each tenth of the shard is logged when its documents are written."""
    step = max(-(-shard["count"] // 10), 1)
    for done, statement in enumerate(statements, start=1):
        yield statement
        if done % step == 0 or done == shard["count"]:
            log.info("shard %s: %s of %s statements rendered", shard["shard"], f"{done:,}", f"{shard['count']:,}")


# Packs


def _pack_name(shard: Mapping[str, Any]) -> str:
    return f"statements-{shard['shard']}.zip"


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
