"""The documents of a month: HTML and CSV of all its statements, and PDF of a sample of them, on two cores.

The month is the last of the world: as many statements as it makes, with as many lines as its accounts have, a few with
hundreds or thousands. Their heads and lines are derived by the SQL of the pipeline, once, and kept with the world. Ours
is the step as the Dag runs it: shards, dealt to two processes. The others get two processes and the same parts, and
are proved to say the same.
"""

from __future__ import annotations

import csv
import hashlib
import io
import multiprocessing
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cache, partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from shutil import rmtree
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.measure import Clock, Limit, Stage, Target, Way, contest
from bench.pdf_step import sample_statement
from bench.plain_pages import JoinedPages, PlainPages, words_of
from bench.plain_pdf import LEFT_OUT, pdf_maker
from bench.world import LAST, World
from include import engine
from include import lake as lake_module
from include.carm.allocation import AllocationRules, Disbursement
from include.carm.calendar import Calendar
from include.carm.contacts import Contacts
from include.carm.policy import Policy
from include.carm.statement import CSV_COLUMNS, Statement, StatementHead, StatementLine
from include.database import connect_engine
from include.feeds import ACCOUNTS, TRANSACTIONS
from include.operations import migrate
from include.parking import RELATION as NOBODY
from include.statement_objects import read_objects
from include.statement_pdf import StatementPdfs
from include.statements import SHARD_STATEMENTS, render_shard
from include.transaction_kinds import transaction_kinds_relation
from include.workspace import Workspace

CORES = 2
MONTH = {"period": str(LAST), "effects": "shadow", "area": "lake", "run_id": "bench"}
SAMPLED = 40
"""Every so many statements one is compared word by word, so that comparing takes less than making."""
PDF_SAMPLE = 48
"""Statements that are set as PDF, spread over the month; what all of them take is reckoned from these."""

JOINED = "a plain Python string join, one zip a shard"
WRITTEN = "writing the same bytes to disk"
PLAIN = "a plain Jinja2 loop and csv.writer, a file each"
WEASYPRINT = "a plain Jinja2 loop and WeasyPrint, PDF/UA-1"

ACCOUNT_ROWS = """
SELECT
    bn15, CAST(substr(bn15, 1, 9) AS BIGINT) * 10000 + 1 AS account_key, legal_name, operating_name, program_type,
    status, closed_on, language
FROM read_parquet($path)
"""
POSTINGS = """
SELECT
    * EXCLUDE (revision), revision, revision AS version, CAST(substr(bn15, 1, 9) AS BIGINT) * 10000 + 1 AS account_key,
    'on_time' AS arrival, FALSE AS is_late, TRUE AS is_counted, amount_cents AS effect_cents,
    CASE WHEN status = 'under_review' THEN amount_cents ELSE 0 END AS under_review_effect_cents
FROM read_parquet($path)
"""
# Who pays more than was posted owed it before; one account in forty owes something and had nothing posted.
BALANCES = """
WITH moved AS (
    SELECT account_key, CAST(sum(effect_cents) AS BIGINT) AS effect_cents FROM transactions GROUP BY account_key
)
SELECT
    bn15, account_key,
    CASE
        WHEN effect_cents < 0 AND hash(account_key, 'owed') % 10 > 0 THEN -effect_cents
        WHEN effect_cents IS NULL AND hash(account_key, 'owed') % 40 = 0 THEN 1001 + CAST(account_key % 90000 AS BIGINT)
        ELSE 0
    END AS balance_cents,
    0 AS under_review_cents
FROM accounts LEFT JOIN moved USING (account_key)
"""
# What is owed is as old as the number of the account says, for where it comes from is not known here.
AGEING = """
WITH owed AS (
    SELECT account_key, sum(balance_cents) AS cents, hash(account_key, 'age') % 10 AS age
    FROM (
        SELECT account_key, balance_cents FROM baseline
        UNION ALL SELECT account_key, effect_cents FROM transactions
    )
    GROUP BY account_key
)
SELECT
    account_key,
    CAST(CASE WHEN cents <= 0 OR age < 7 THEN cents ELSE 0 END AS BIGINT) AS ageing_current_cents,
    CAST(CASE WHEN cents > 0 AND age = 7 THEN cents ELSE 0 END AS BIGINT) AS ageing_30_cents,
    CAST(CASE WHEN cents > 0 AND age = 8 THEN cents ELSE 0 END AS BIGINT) AS ageing_60_cents,
    CAST(CASE WHEN cents > 0 AND age = 9 THEN cents ELSE 0 END AS BIGINT) AS ageing_90_cents,
    CAST(0 AS BIGINT) AS ageing_over_90_cents
FROM owed
"""


def measure(world: World, folder: Path, rounds: int, say: Callable[[str], None]) -> list[Stage]:
    """Measure the documents of the world's last month; ``folder`` is not needed, for they lie with the world."""
    count = _prepare(world, say)
    ways = [
        Way("specialised templates, packed and hashed", "ours", ours),
        Way(JOINED, "floor", joined),
        Way(WRITTEN, "floor", written),
        Way(PLAIN, "peer", plain),
    ]
    targets = (Target(JOINED, 1 / 0.4, or_a_second=5_000),)
    entries = contest(world, ways, rounds, say)
    name = "HTML and CSV of a month's statements, two cores"
    found = [Stage(name, "statements", count, entries, targets, (Limit("peak_mb", CORES * 500),))]
    ways = [Way("Typst, one compiler a process", "ours", ours_as_pdf)]
    if pdf_maker() is not None:
        ways.append(Way(WEASYPRINT, "peer", plain_as_pdf))
    else:
        say(LEFT_OUT)
    entries = contest(world, ways, rounds, say)
    beside = (Target(WEASYPRINT, 1 / 12),) if len(ways) > 1 else ()
    found.append(Stage("PDF of a month's statements, two cores", "statements", count, entries, beside))
    rmtree(_workspace(world).staging(MONTH["run_id"], "statements"))
    return found


# The month


def _folder(world: World) -> Path:
    """Where the month's lake lies; another text of this module makes another."""
    return world.folder / f"documents-{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]}"


def _workspace(world: World) -> Workspace:
    url = f"sqlite:///{_folder(world) / 'source.db'}"
    return Workspace(_folder(world), url, url, Calendar.load(), Policy.load())


def _prepare(world: World, say: Callable[[str], None]) -> int:
    """Make the lake of the month where it is not there yet; returns how many statements it has."""
    done = _folder(world) / "made"
    if not done.exists():
        for stale in world.folder.glob("documents-*"):
            rmtree(stale)
        done.parent.mkdir(parents=True)
        ws = _workspace(world)
        connect_engine(ws.apply_url, create=True).connect().close()
        migrate(ws.apply_url)
        _publish_month(ws, world)
        done.touch()
    heads = pq.read_metadata(_workspace(world).lake().path("statement_heads", LAST)).num_rows
    lines = pq.read_metadata(_workspace(world).lake().path("statement_lines", LAST)).num_rows
    say(f"  {heads:,} statements, {lines:,} lines")
    return int(heads)


def _publish_month(ws: Workspace, world: World) -> None:
    lake = ws.lake()
    days = {
        "period": str(LAST),
        "period_start": ws.calendar.start(LAST),
        "period_end": ws.calendar.end(LAST),
        "issued_on": ws.calendar.issued_on(LAST),
        "due_on": ws.calendar.due_on(LAST),
    }
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        _make(con, "accounts", ACCOUNT_ROWS, world.rows(ACCOUNTS))
        _make(con, "transactions", POSTINGS, world.rows(TRANSACTIONS, LAST))
        _make(con, "baseline", BALANCES)
        _make(con, "ageing", AGEING)
        for dataset in ("activity", "interest"):
            engine.register(con, dataset, [])
        engine.register(con, "parking", NOBODY.empty_table())
        engine.register(con, "transaction_kinds", transaction_kinds_relation())
        engine.create_table(con, "statement_heads", "derive_statement_heads", parameters=days)
        engine.create_table(con, "statement_lines", "derive_statement_lines")
        seals = [
            lake.publish(name, LAST, con.table(name).to_arrow_reader(engine.BATCH_ROWS))
            for name in ("statement_heads", "statement_lines")
        ]
    lake.seal(seals, run_id="bench")


def _make(con: duckdb.DuckDBPyConnection, name: str, query: str, path: Path | None = None) -> None:
    con.execute(f"CREATE TEMP TABLE {name} AS {query}", {} if path is None else {"path": str(path)})


def _shards(world: World) -> list[dict[str, Any]]:
    """The shards of the month, as the Dag makes them, but at least one a core."""
    count = int(pq.read_metadata(_workspace(world).lake().path("statement_heads", LAST)).num_rows)
    size = min(SHARD_STATEMENTS, -(-count // CORES))
    return [
        {"shard": f"{number:04d}", "offset": offset, "count": min(size, count - offset)}
        for number, offset in enumerate(range(0, count, size), start=1)
    ]


# HTML and CSV


def ours(world: World, clock: Clock) -> dict[str, Any]:
    """The step of the Dag: read from the lake, rendered, hashed, packed."""
    ws = _workspace(world)
    staged = ws.staging(MONTH["run_id"], "statements")
    rmtree(staged, ignore_errors=True)
    _on_all_cores(clock, partial(_render_shard, world), _shards(world))
    return _said(_members(staged))


def joined(world: World, clock: Clock) -> dict[str, Any]:
    """Strings between strings, in one zip a shard, and nothing hashed."""
    with _scratch(world, "documents-joined") as folder:
        _on_all_cores(clock, partial(_join_shard, world, folder), _shards(world))
        return _said(_members(folder))


def plain(world: World, clock: Clock) -> dict[str, Any]:
    """A file each for page and rows."""
    with _scratch(world, "documents-plain") as folder:
        _on_all_cores(clock, partial(_loop_over_shard, world, folder), _shards(world))
        return _said((path.name, path.read_bytes()) for path in sorted(folder.rglob("*.*")))


def written(world: World, clock: Clock) -> None:
    """The packs that ours made, written once more, a process alone: the disk is one."""
    staged = _workspace(world).staging(MONTH["run_id"], "statements")
    with _scratch(world, "documents-written") as folder:
        for path in sorted(staged.glob("*.zip")):
            content = path.read_bytes()
            with clock, (folder / path.name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())


@contextmanager
def _scratch(world: World, name: str) -> Iterator[Path]:
    """An empty folder, gone afterwards: the documents of a nation fill gigabytes."""
    folder = world.scratch(name)
    try:
        yield folder
    finally:
        rmtree(folder)


def _render_shard(world: World, shard: dict[str, Any]) -> None:
    render_shard(_workspace(world), MONTH, shard)


def _join_shard(world: World, folder: Path, shard: dict[str, Any]) -> None:
    pages = JoinedPages(*_given())
    columns = ",".join(CSV_COLUMNS) + "\r\n"
    with zipfile.ZipFile(folder / f"{shard['shard']}.zip", "w") as archive:
        for head, lines in _read_shard(world, shard):
            start = f"{head.bn15},{head.period},"
            rows = [start + ",".join(["" if cell is None else str(cell) for cell in line]) for line in lines]
            archive.writestr(f"{head.bn15}.csv", (columns + "".join([f"{row}\r\n" for row in rows])).encode())
            archive.writestr(f"{head.bn15}.html", pages.render(head, lines))


def _loop_over_shard(world: World, folder: Path, shard: dict[str, Any]) -> None:
    pages = _plain_pages()
    (own := folder / shard["shard"]).mkdir()
    for head, lines in _read_shard(world, shard):
        out = io.StringIO(newline="")
        writer = csv.writer(out)
        writer.writerow(CSV_COLUMNS)
        writer.writerows((head.bn15, head.period, *line) for line in lines)
        (own / f"{head.bn15}.csv").write_bytes(out.getvalue().encode())
        (own / f"{head.bn15}.html").write_bytes(pages.render(Statement(head, lines)))


def _read_shard(world: World, shard: dict[str, Any]) -> Iterator[tuple[StatementHead, list[StatementLine]]]:
    """Heads with their lines, read at once: a shard's fit into memory."""
    lake = _workspace(world).lake()
    heads = pq.read_table(lake.path("statement_heads", LAST), partitioning=None).slice(shard["offset"], shard["count"])
    keys = heads.column("account_key")
    wanted = (pc.field("account_key") >= keys[0]) & (pc.field("account_key") <= keys[-1])
    lines = pq.read_table(lake.path("statement_lines", LAST), filters=wanted, partitioning=None)
    own = groupby(_rows(lines, ("bn15", *StatementLine._fields)), key=itemgetter(0))
    number, found = next(own, (None, iter(())))
    for row in _rows(heads, StatementHead._fields):
        head = StatementHead._make(row)
        if number != head.bn15:
            yield head, []
            continue
        yield head, [StatementLine._make(line[1:]) for line in found]
        number, found = next(own, (None, iter(())))


def _rows(table: pa.Table, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    columns = [table.column(name) for name in names]
    texts = [column.cast(pa.string()) if pa.types.is_date(column.type) else column for column in columns]
    return zip(*(column.to_pylist() for column in texts), strict=True)


def _said(documents: Iterable[tuple[str, bytes]]) -> dict[str, Any]:
    """What the documents come to: how many, every row of CSV, and the words of one page in :data:`SAMPLED`."""
    pages, rows, words = 0, hashlib.sha256(), hashlib.sha256()
    for name, content in documents:
        if name.endswith(".csv"):
            rows.update(content)
        elif name.endswith(".html"):
            pages += 1
            if zlib.crc32(name.encode()) % SAMPLED == 0:
                words.update(words_of(content).encode())
    return {"pages": pages, "rows": rows.hexdigest(), "words": words.hexdigest()}


def _members(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield name, archive.read(name)


# PDF


def ours_as_pdf(world: World, clock: Clock) -> None:
    """The sample by Typst."""
    _make_sample(world, clock, _typeset)


def plain_as_pdf(world: World, clock: Clock) -> None:
    """The sample by WeasyPrint, from the page of a plain template."""
    _make_sample(world, clock, _print)


def _make_sample(world: World, clock: Clock, make: Callable[[list[Statement]], None]) -> None:
    """Read a sample of the month, make each of it, and reckon what all would take."""
    lake, count = _workspace(world).lake(), sum(shard["count"] for shard in _shards(world))
    places = [count * number // PDF_SAMPLE for number in range(PDF_SAMPLE)]
    sample = [next(read_objects(lake, LAST, place, 1)) for place in places]
    # A few at a time, for one of them may be long.
    parts = [sample[start : start + 4] for start in range(0, PDF_SAMPLE, 4)]
    # What runs for the first time also loads fonts and code.
    _on_all_cores(clock, make, parts, partial(make, [sample_statement(1, 8)]))
    clock.extrapolate(count / PDF_SAMPLE, f"{PDF_SAMPLE} statements spread over the month")


def _typeset(statements: list[Statement]) -> None:
    for statement in statements:
        assert _pdfs().render(statement)


def _print(statements: list[Statement]) -> None:
    to_pdf = pdf_maker()
    assert to_pdf is not None
    for statement in statements:
        assert to_pdf(_plain_pages().render(statement))


@cache
def _pdfs() -> StatementPdfs:
    return StatementPdfs(*_given())


@cache
def _plain_pages() -> PlainPages:
    contacts, _, disbursement = _given()
    return PlainPages(contacts, disbursement)


# Processes


def _on_all_cores(
    clock: Clock, work: Callable[[Any], None], parts: Sequence[Any], warm_up: Callable[[], object] = bool
) -> None:
    """Deal the parts to a process a core; that the processes start, load their code and ``warm_up`` is not measured."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(CORES + 1)
    with context.Pool(CORES, _get_ready, (ready, warm_up)) as pool:
        ready.wait()
        with clock:
            for _ in pool.imap_unordered(partial(_work_anew, work), parts):
                pass


def _get_ready(ready: Any, warm_up: Callable[[], object]) -> None:
    # Typst would use every core for one document; shards of a month already do.
    os.environ["RAYON_NUM_THREADS"] = "1"
    warm_up()
    ready.wait()


def _work_anew(work: Callable[[Any], None], part: Any) -> None:
    # A shard is a task with a process of its own, which has to prove the files of the lake anew.
    lake_module._proved.clear()
    work(part)


@cache
def _given() -> tuple[Contacts, date, Disbursement]:
    return Contacts.load(), Calendar.load().issued_on(LAST), AllocationRules.load().disbursement_of(LAST)
