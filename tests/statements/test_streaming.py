"""A shard is rendered as it is read: nobody holds all its lines, nor the whole page of a statement with very many."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from include import lake, statement_objects, statement_page, statements
from include.carm import statement as statement_module
from include.carm.business_number import bn9_with_check_digit
from include.carm.statement import PackedLines, render_csv, stream_csv
from include.documents import read_documents, write_pack
from include.statement_acts import what_changed
from include.statement_page import StatementWords
from tests.statements.ledger import account, posting
from tests.statements.months import SealedMonth
from tests.statements.samples import long, pages

ACCOUNTS = [f"{bn9_with_check_digit(f'{number:08d}')}RM0001" for number in range(1, 8)]
LINES_AN_ACCOUNT = 6


@pytest.fixture
def month(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SealedMonth:
    """Seven statements of six lines each, in files of many small row groups, three statements a shard."""
    monkeypatch.setattr(lake, "ROW_GROUP_ROWS", 4)
    monkeypatch.setattr(statement_objects, "_LINES_A_BATCH", 4)
    monkeypatch.setattr(statements, "SHARD_STATEMENTS", 3)
    rows = [
        posting(100 + number, bn15=bn15, transaction_id=f"T{number}")
        for bn15 in ACCOUNTS
        for number in range(LINES_AN_ACCOUNT)
    ]
    month = SealedMonth(tmp_path / "data").seal(rows, [account(bn15) for bn15 in ACCOUNTS])
    statements.publish_statement_lines(month.ws, month.facts)
    return month


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each batch had that was read of the month's lines, up to now."""
    stream, seen = statement_objects._stream_accounts, []

    def counting(path: Path, columns: list[str], first_key: int, last_key: int) -> Iterator[pa.RecordBatch]:
        for batch in stream(path, columns, first_key, last_key):
            if "line_no" in columns:
                seen.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(statement_objects, "_stream_accounts", counting)
    return seen


def test_a_statement_is_there_before_the_lines_of_the_next_are_read(month: SealedMonth, read: list[int]) -> None:
    found = statement_objects.read_objects(month.ws.lake(), month.period, 0, 7)

    seen = []
    for place, statement in enumerate(found, start=1):
        assert LINES_AN_ACCOUNT == len(statement.lines)
        seen.append(sum(read))
        # Its own lines, and of the next one at most what lies in the same batch.
        assert place * LINES_AN_ACCOUNT <= seen[-1] <= place * LINES_AN_ACCOUNT + 4
    assert 7 * LINES_AN_ACCOUNT == sum(read)
    assert len(set(seen)) == 7


def test_a_shard_reads_the_lines_of_its_own_accounts_alone(month: SealedMonth, read: list[int]) -> None:
    found = list(statement_objects.read_objects(month.ws.lake(), month.period, 3, 3))

    assert ACCOUNTS[3:6] == [statement.head.bn15 for statement in found]
    assert 3 * LINES_AN_ACCOUNT == sum(read)
    # Row groups of four: eighteen lines lie in five of them, of eleven.
    assert 5 == len(read)


def test_a_shard_that_is_rendered_again_replaces_its_own_pack_alone_and_by_the_same_bytes(month: SealedMonth) -> None:
    shards = statements.list_shards(month.ws, month.facts)
    first = [statements.render_shard(month.ws, month.facts, shard) for shard in shards]
    folder = statements._staged_packs(month.ws, month.facts)
    before = {path.name: (path.stat().st_ino, path.read_bytes()) for path in folder.iterdir()}

    assert first[1] == statements.render_shard(month.ws, month.facts, shards[1])

    after = {path.name: (path.stat().st_ino, path.read_bytes()) for path in folder.iterdir()}
    assert {name: content for name, (_, content) in before.items()} == {
        name: content for name, (_, content) in after.items()
    }
    assert ["statements-0002.zip"] == [name for name in before if before[name][0] != after[name][0]]


# Progress


def test_a_shard_tells_how_far_it_is(month: SealedMonth, caplog: pytest.LogCaptureFixture) -> None:
    shard = statements.list_shards(month.ws, month.facts)[1]
    with caplog.at_level(logging.INFO, "include.statements"):
        statements.render_shard(month.ws, month.facts, shard)

    assert [
        "shard 0002: 1 of 3 statements rendered",
        "shard 0002: 2 of 3 statements rendered",
        "shard 0002: 3 of 3 statements rendered",
    ] == [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, []),
        (10, range(1, 11)),
        # Never more than ten lines, and the last of them is the last statement.
        (11, [2, 4, 6, 8, 10, 11]),
        (4_000, range(400, 4_001, 400)),
    ],
)
def test_about_every_tenth_is_told(count: int, told: list[int], caplog: pytest.LogCaptureFixture) -> None:
    shard = {"shard": "0003", "offset": 8_000, "count": count}
    with caplog.at_level(logging.INFO, "include.statements"):
        assert list(range(count)) == list(statements._tell_progress(iter(range(count)), shard))  # type: ignore[arg-type]

    assert [f"shard 0003: {done:,} of {count:,} statements rendered" for done in told] == [
        record.getMessage() for record in caplog.records
    ]


def test_a_statement_is_told_when_its_documents_are_made_and_not_before(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "include.statements"):
        found = statements._tell_progress(iter(["one"]), {"shard": "0001", "offset": 0, "count": 1})  # type: ignore[list-item]
        next(found)
        assert [] == caplog.records
        next(found, None)
    assert 1 == len(caplog.records)


# Documents in parts


def test_a_part_of_a_document_is_written_before_the_next_is_made(tmp_path: Path) -> None:
    sizes = []

    def parts() -> Iterator[bytes]:
        for _ in range(4):
            (fresh,) = tmp_path.iterdir()
            sizes.append(fresh.stat().st_size)
            yield b"x" * 100_000

    write_pack(tmp_path / "pack.zip", [("a.html", parts())])
    # What the file system knows of, but for the little that waits in a buffer.
    assert [0, 1, 2, 3] == [size // 100_000 for size in sizes]


def test_parts_or_whole_a_pack_has_the_same_bytes(tmp_path: Path) -> None:
    whole = write_pack(tmp_path / "whole.zip", [("a.csv", b"one two"), ("b.csv", b"")])
    parts = write_pack(tmp_path / "parts.zip", [("a.csv", iter([b"one", b" ", b"two"])), ("b.csv", iter([]))])

    assert whole.path.read_bytes() == parts.path.read_bytes()
    assert (whole.sha256, whole.documents) == (parts.sha256, parts.documents)
    assert [("a.csv", b"one two"), ("b.csv", b"")] == list(read_documents(parts.path))


def test_a_page_is_made_while_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement_page, "_ROWS_A_PART", 7)
    monkeypatch.setattr(statement_page, "MOST_UNPACKED_LINES", 200)
    statement, rows = long("both"), []
    row_of = StatementWords._row
    monkeypatch.setattr(StatementWords, "_row", lambda words, line: rows.append(line) or row_of(words, line))

    made = [len(rows) for _ in pages().stream(statement)]

    # The head is there before any row, and no part brings more than a few rows.
    assert 0 == made[0] == made[1]
    assert 2 * len(statement.lines) == made[-1]
    assert 7 == max(after - before for before, after in itertools.pairwise(made))


def test_the_rows_of_a_csv_are_made_while_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement_module, "_CSV_ROWS_A_PART", 7)
    statement = long("en")

    parts = list(stream_csv(statement))

    assert -(-(len(statement.lines) + 1) // 7) == len(parts)
    assert render_csv(statement) == b"".join(parts)
    assert {7} == {part.count(b"\r\n") for part in parts[:-1]}


def test_many_lines_are_packed_and_are_the_same_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement_module, "_LINES_A_PACKET", 7)
    statement = long("both")
    packed = PackedLines(statement.lines)

    assert len(statement.lines) == len(packed)
    assert list(statement.lines) == list(packed) == list(packed)
    assert (statement.lines[8], statement.lines[-1]) == (packed[8], packed[-1])
    assert list(statement.lines[5:23]) == list(packed[5:23])
    assert list(statement.lines[6:20][3:9]) == list(packed[6:20][3:9])
    assert pages().render(statement) == pages().render(statement._replace(lines=packed))
    assert [(name, list(lines)) for name, lines in statement.sections()] == [
        (name, list(lines)) for name, lines in statement._replace(lines=packed).sections()
    ]


def test_packed_lines_are_equal_to_the_same_lines_and_to_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a restatement of a large account would always say that its transactions changed."""
    statement = long("both")
    issued_with = statement.digest()
    monkeypatch.setattr(statement_module, "_LINES_A_PACKET", 7)
    packed, again = PackedLines(statement.lines), PackedLines(statement.lines)
    other = (*statement.lines[:-1], statement.lines[-1]._replace(amount_cents=1))

    assert packed == again
    assert packed == statement.lines
    assert statement.lines == packed
    assert statement == statement._replace(lines=packed)
    # However many are packed together.
    assert issued_with == statement.digest() == statement._replace(lines=packed).digest()
    for lines in (other, PackedLines(other), statement.lines[:-1], packed[1:]):
        assert packed != lines
        assert lines != packed
    assert () == what_changed(statement, statement._replace(lines=again))


def test_a_statement_is_packed_above_the_limit_and_not_at_it(
    month: SealedMonth, monkeypatch: pytest.MonkeyPatch
) -> None:
    for most, kind in ((LINES_AN_ACCOUNT, tuple), (LINES_AN_ACCOUNT - 1, PackedLines)):
        monkeypatch.setattr(statement_module, "MOST_UNPACKED_LINES", most)
        found = list(statement_objects.read_objects(month.ws.lake(), month.period, 0, 7))
        assert {kind} == {type(statement.lines) for statement in found}
        assert [LINES_AN_ACCOUNT] * 7 == [len(statement.lines) for statement in found]


def test_only_one_packet_of_lines_is_unpacked_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement_module, "_LINES_A_PACKET", 5)
    packed, opened = PackedLines(long("en").lines), []
    unpack = PackedLines._unpack
    monkeypatch.setattr(PackedLines, "_unpack", lambda lines, number: opened.append(number) or unpack(lines, number))

    for place, _ in enumerate(packed):
        assert list(range(place // 5 + 1)) == opened
