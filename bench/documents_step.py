"""The documents of a month: HTML and CSV of all its statements, and PDF of a sample of them, on two cores.

The month is the last of the world: as many statements as it makes, with as many lines as its accounts have, a few with
hundreds or thousands; their heads and lines are drawn up by the step before, which is not measured here. Ours is the
step as the Dag runs it: shards, dealt to two processes. The others get two processes and the same parts, and are proved
to say the same.
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

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.measure import Clock, Limit, Stage, Target, Way, contest, seconds_of
from bench.pdf_step import sample_statement
from bench.plain_pages import JoinedPages, PlainPages, words_of
from bench.plain_pdf import LEFT_OUT, pdf_maker
from bench.world import LAST, World
from bench.world_lake import history, make_lake, opened, run_of
from include import lake as lake_module
from include.carm.allocation import AllocationRules, Disbursement
from include.carm.calendar import Calendar
from include.carm.contacts import Contacts
from include.carm.statement import CSV_COLUMNS, Statement, StatementHead, StatementLine
from include.statement_objects import read_objects
from include.statement_pdf import StatementPdfs
from include.statements import SHARD_STATEMENTS, publish_statement_lines, render_shard
from include.workspace import Workspace

CORES = 2
MONTH = run_of(LAST)
SCRATCH = "documents"
SAMPLED = 40
"""Every so many statements one is compared word by word, so that comparing takes less than making."""
PDF_SAMPLE = 48
"""Statements that are set as PDF; what all of them take is reckoned from these. They are chosen by what there is to
print, for a few statements have thousands of lines and most have some."""
HEAD_LINES = 8
"""What a statement takes besides its lines, as lines."""

JOINED = "a plain Python string join, one zip a shard"
WRITTEN = "writing the same bytes to disk"
PLAIN = "a plain Jinja2 loop and csv.writer, a file each"
WEASYPRINT = "a plain Jinja2 loop and WeasyPrint, PDF/UA-1"


def measure(world: World, folder: Path, rounds: int, say: Callable[[str], None]) -> list[Stage]:
    """Measure the documents of the world's last month; what they are made of lies with the world, as large as it is."""
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
    rmtree(world.folder / "scratch" / SCRATCH)
    return found


# The month


def _prepare(world: World, say: Callable[[str], None]) -> int:
    """Draw up the statements of the month, as its run does; returns how many they are."""
    make_lake(world, say)
    publish_statement_lines(history(world, LAST, world.scratch(SCRATCH)), MONTH)
    lake = _workspace(world).lake()
    heads, lines = (pq.read_metadata(lake.path(name, LAST)).num_rows for name in ("statement_heads", "statement_lines"))
    say(f"  {heads:,} statements, {lines:,} lines")
    return int(heads)


def _workspace(world: World) -> Workspace:
    return opened(world.folder / "scratch" / SCRATCH)


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
    lake = _workspace(world).lake()
    counts = pq.read_table(lake.path("statement_heads", LAST), columns=["line_count"], partitioning=None)
    sample = sample_of(counts.column("line_count").to_pylist())
    # The longest first, so that none of them is made last, alone.
    parts = [(stands_for, next(read_objects(lake, LAST, place, 1))) for place, stands_for in reversed(sample)]
    # What runs for the first time also loads fonts and code.
    warm_up = partial(make, [sample_statement(1, 8)])
    taken = _on_all_cores(clock, partial(_time_one, make), parts, warm_up)
    factor = sum(stands_for * seconds for stands_for, seconds in taken) / sum(seconds for _, seconds in taken)
    clock.extrapolate(factor, f"{len(parts)} statements, chosen by their number of lines")


def sample_of(line_counts: Sequence[int]) -> list[tuple[int, float]]:
    """The places of statements that stand for all, in order of length, and for how many like it each of them stands.

    ``line_counts`` are those of the month's statements, by place. Sorted by length, all that there is to print is cut
    into :data:`PDF_SAMPLE` equal parts, and the statement in the middle of each part stands for it.
    """
    sizes = [count + HEAD_LINES for count in line_counts]
    part = sum(sizes) / PDF_SAMPLE
    found: list[tuple[int, float]] = []
    reached, middle = 0, part / 2
    for place in sorted(range(len(sizes)), key=sizes.__getitem__):
        reached += sizes[place]
        parts = 0
        while middle < reached:
            parts, middle = parts + 1, middle + part
        if parts:
            found.append((place, parts * part / sizes[place]))
    return found


def _time_one(make: Callable[[list[Statement]], None], part: tuple[float, Statement]) -> tuple[float, float]:
    stands_for, statement = part
    return stands_for, seconds_of(partial(make, [statement]))


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
    clock: Clock, work: Callable[[Any], Any], parts: Sequence[Any], warm_up: Callable[[], object] = bool
) -> list[Any]:
    """Deal the parts to a process a core, and return what came of each.

    That the processes start, load their code and ``warm_up`` is not measured.
    """
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(CORES + 1)
    with context.Pool(CORES, _get_ready, (ready, warm_up)) as pool:
        ready.wait()
        with clock:
            return list(pool.imap_unordered(partial(_work_anew, work), parts))


def _get_ready(ready: Any, warm_up: Callable[[], object]) -> None:
    # Typst would use every core for one document; shards of a month already do.
    os.environ["RAYON_NUM_THREADS"] = "1"
    warm_up()
    ready.wait()


def _work_anew(work: Callable[[Any], Any], part: Any) -> Any:
    # A shard is a task with a process of its own, which has to prove the files of the lake anew.
    lake_module._proved.clear()
    return work(part)


@cache
def _given() -> tuple[Contacts, date, Disbursement]:
    return Contacts.load(), Calendar.load().issued_on(LAST), AllocationRules.load().disbursement_of(LAST)
