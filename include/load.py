"""Loads a folder of CSV files into the source database: all of it or nothing.

A file is UTF-8 (a byte order mark is tolerated), comma separated by RFC 4180, with a header that names every column of
its table in any order; an empty field is NULL. Only ``revision`` of the ledger feeds may be absent. What cannot be a
value of its column's type refuses the whole load. What is well-typed but wrong is loaded: judging is validation's.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

from sqlalchemy import func, insert, select
from sqlalchemy.engine import Connection, Engine

from include.carm.errors import DataError, Refused, UsageError
from include.database import describe_database, write_transaction
from include.feeds import LEDGER_FEEDS, SNAPSHOT_FEEDS, Feed
from include.source_schema import (
    FILLING,
    LOADS,
    create_indexes,
    create_tables,
    filled_tables,
    insert_rows,
    read_demo_world,
    table_columns,
)

Progress = Callable[[str, int, float], None]
"""Called with a file's name, the rows read so far, and the share of the file that is read (0 to 1)."""

MAXIMUM_PROBLEMS = 20
CHUNK_ROWS = 20_000
LONGEST_LINE = 1 << 20
LARGEST_INTEGER = 2**63 - 1
REMEMBERED_VALUES = 100_000

FEEDS: dict[str, Feed] = {f"{feed.name}.csv": feed for feed in (*SNAPSHOT_FEEDS, *LEDGER_FEEDS)}
"""The files of a folder, in the order in which they are loaded."""

# A folder without this file is an empty feed like the others, except for export declarations, where absence says that
# nobody delivered them.
_FEED_NOT_RECEIVED = "export_declarations.csv"


@dataclass(frozen=True)
class LoadedFile:
    """One file of the folder. ``state`` is ``unchanged`` where the same bytes were loaded before."""

    name: str
    sha256: str
    rows: int
    state: Literal["loaded", "unchanged"]


@dataclass(frozen=True)
class LoadReport:
    """What a load did. ``ignored`` are CSV files that are not of the source; ``missing`` are absent files."""

    files: tuple[LoadedFile, ...]
    ignored: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether the source has other rows now."""
        return any(file.state == "loaded" for file in self.files)


class Problem(NamedTuple):
    """One thing wrong in a file: the physical line on which its record begins, and the column, where known."""

    file: str
    line: int | None
    column: str | None
    text: str

    def __str__(self) -> str:
        place = [self.file]
        place += [f"line {self.line}"] if self.line is not None else []
        place += [f"column {self.column}"] if self.column is not None else []
        return f"{', '.join(place)}: {self.text}"


class MalformedFiles(DataError):
    """The folder cannot be loaded; ``problems`` holds the first of its faults, at most ``MAXIMUM_PROBLEMS``."""

    def __init__(self, folder: Path, problems: list[Problem], more: bool) -> None:
        self.problems = tuple(problems)
        count = f"more than {len(problems)} errors" if more else f"{len(problems)} error{'s'[: len(problems) > 1]}"
        lines = (f"  {problem}" for problem in problems)
        super().__init__("\n".join((f"{count} in {folder}, nothing was loaded:", *lines)))


def load_folder(
    engine: Engine, folder: Path | str, *, append: bool = False, progress: Progress = lambda *_: None
) -> LoadReport:
    """Load the CSV files of ``folder`` into the source behind ``engine``, in one transaction.

    The same files again change nothing. Without ``append`` the source must hold no other row; with it the rows of the
    files that are new are added. Memory stays the same however long a file is.

    Raises ``UsageError`` where the folder cannot be read, ``Refused`` where the source holds other rows,
    ``MalformedFiles`` for anything wrong in a file, ``Unavailable`` for a database that cannot be written.
    """
    folder = Path(folder)
    problems = _Problems(folder)
    paths, ignored = find_files(folder)
    hashes = _hash_files(paths, problems)
    if "accounts.csv" not in paths and not append:
        problems.add("accounts.csv", None, None, "is missing: every other row needs its account (a header is enough)")
    problems.raise_if_any()
    missing = tuple(name for name in FEEDS if name not in paths)
    with write_transaction(engine, bulk=not append) as connection:
        FILLING.create_all(connection)
        known = _select_known_files(connection, append=append)
        if not append:
            _refuse_other_rows(connection, engine, folder, hashes, known)
        fresh = [name for name in paths if (name, hashes[name]) not in known]
        rows = _insert_files(connection, {name: paths[name] for name in fresh}, hashes, problems, progress, append)
    files = tuple(
        LoadedFile(name, hashes[name], rows[name], "loaded")
        if name in rows
        else LoadedFile(name, hashes[name], known[name, hashes[name]], "unchanged")
        for name in paths
    )
    return LoadReport(files, ignored, missing)


class _Problems:
    """Gathers faults up to the limit, then stops the load at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: list[Problem] = []

    def add(self, file: str, line: int | None, column: str | None, text: str) -> None:
        if len(self.found) == MAXIMUM_PROBLEMS:
            self._stop(more=True)
        self.found.append(Problem(file, line, column, text))

    def raise_if_any(self) -> None:
        if self.found:
            self._stop(more=False)

    def _stop(self, *, more: bool) -> NoReturn:
        raise MalformedFiles(self.folder, self.found, more)


def find_files(folder: Path) -> tuple[dict[str, Path], tuple[str, ...]]:
    """The files of ``folder`` that can be loaded, by name, and the names of other CSV files; their content is not read.

    Raises ``UsageError`` where the folder cannot be read or holds no such file.
    """
    try:
        names = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise UsageError(f"cannot read the folder {folder} ({error.strerror}): name a folder of CSV files") from error
    paths = {name: folder / name for name in FEEDS if name in names}
    if not paths:
        raise UsageError(f"{folder} holds none of the files {', '.join(FEEDS)}: name a folder that does")
    return paths, tuple(sorted(name for name in names - set(FEEDS) if name.lower().endswith(".csv")))


def _hash_files(paths: dict[str, Path], problems: _Problems) -> dict[str, str]:
    hashes = {}
    for name, path in paths.items():
        try:
            if path.exists() and not path.is_file():
                problems.add(name, None, None, "is not a file: put a CSV file in its place")
                continue
            with path.open("rb") as file:
                hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            problems.add(name, None, None, f"cannot be read: {error.strerror}")
    return hashes


def _select_known_files(connection: Connection, *, append: bool) -> dict[tuple[str, str], int]:
    """The files (name, hash) in the source with their rows: of all loads, or of the last one that was not appended."""
    query = select(LOADS.c.file_name, LOADS.c.sha256, LOADS.c.rows)
    if not append:
        last = select(func.max(LOADS.c.load_no)).where(LOADS.c.mode == "load").scalar_subquery()
        query = query.where(LOADS.c.load_no == last)
    return {(name, sha256): rows for name, sha256, rows in connection.execute(query)}


def _refuse_other_rows(
    connection: Connection,
    engine: Engine,
    folder: Path,
    hashes: dict[str, str],
    known: dict[tuple[str, str], int],
) -> None:
    filled = filled_tables(connection)
    is_same = bool(known) and known.keys() == set(hashes.items())
    if is_same and (filled or not any(known.values())):
        return
    if filled:
        what = "the demo world" if read_demo_world(connection) else f"other rows ({', '.join(filled)})"
        raise Refused(
            f"{describe_database(engine)} holds {what}, so {folder} was not loaded: "
            "add its rows with `carm load --append`, or name another data folder (DATA=folder, CARM_DATA)"
        )
    # What stood in the tables is gone, so no file of an earlier load is in the source any more.
    known.clear()


def _insert_files(
    connection: Connection,
    paths: dict[str, Path],
    hashes: dict[str, str],
    problems: _Problems,
    progress: Progress,
    append: bool,
) -> dict[str, int]:
    if not paths:
        return {}
    names = [feed.name for file, feed in FEEDS.items() if file in paths or file != _FEED_NOT_RECEIVED]
    create_tables(connection, names)
    rows = {
        name: _insert_file(connection, name, path, hashes[name], problems, progress) for name, path in paths.items()
    }
    problems.raise_if_any()
    create_indexes(connection, names)
    load_no = (connection.scalar(select(func.max(LOADS.c.load_no))) or 0) + 1
    mode = "append" if append else "load"
    connection.execute(
        insert(LOADS),
        [
            {"load_no": load_no, "mode": mode, "file_name": name, "sha256": hashes[name], "rows": count}
            for name, count in rows.items()
        ],
    )
    return rows


def _insert_file(
    connection: Connection, name: str, path: Path, sha256: str, problems: _Problems, progress: Progress
) -> int:
    reader = _FileReader(name, path, problems)
    columns = reader.read_header()
    absent = sorted(set(columns) - table_columns(connection, FEEDS[name].name))
    if absent:
        problems.add(name, 1, absent[0], "is no column of the table in the database: add it there")
    count = 0
    for chunk in reader.read_chunks() if columns else ():
        count += len(chunk)
        # After a fault nothing will be kept, so the rest is only looked through for more faults.
        if not problems.found:
            insert_rows(connection, FEEDS[name].name, columns, chunk)
        progress(name, count, reader.share_read)
    if reader.has_read_all and reader.hash.hexdigest() != sha256:
        problems.add(name, None, None, "was changed while it was read: load again when its writer has finished")
    return count


class _FileReader:
    """Reads one CSV file record by record, keeping count of physical lines; faults go to ``problems``."""

    def __init__(self, name: str, path: Path, problems: _Problems) -> None:
        self.name, self.path, self.problems = name, path, problems
        self.feed = FEEDS[name]
        self.hash = hashlib.sha256()
        self.bytes_read = 0
        self.has_read_all = False
        self._size = max(path.stat().st_size, 1)
        self._line = 1  # the physical line on which the next record begins
        self._records = self._read_records()
        self._columns: list[str] = []

    @property
    def share_read(self) -> float:
        return min(self.bytes_read / self._size, 1.0)

    def read_header(self) -> list[str]:
        """The columns in the order of the file; empty where the header is wrong."""
        _, header = next(self._records, (1, []))
        if not header:
            self._add(1, None, "is empty: write at least the header")
            return []
        known = self.feed.columns
        unknown = [name for name in header if name not in known]
        if unknown:
            hint = ": separate columns by commas" if len(header) == 1 and re.search("[;\t|]", header[0]) else ""
            for name in unknown:
                self._add(1, _shorten(name), f"is not a column of {self.feed.name}{hint}")
        for name in sorted({name for name in header if header.count(name) > 1}):
            self._add(1, _shorten(name), "stands twice in the header")
        for name in known:
            if name not in header and name not in self.feed.optional and not (unknown and len(header) == 1):
                self._add(1, name, "is missing in the header")
        valid = set(header) <= known.keys() and len(header) == len(set(header))
        self._columns = header if valid else []
        return self._columns

    def read_chunks(self) -> Iterator[list[tuple[Any, ...]]]:
        """The rows as values for the database, at most ``CHUNK_ROWS`` at a time."""
        converters = [_converter(self.feed, name) for name in self._columns]
        width = len(self._columns)
        lines: list[int] = []
        records: list[list[str]] = []
        blank: int | None = None
        for line, record in self._records:
            if not record:
                blank = blank or line
                continue
            if blank is not None:
                self._add(blank, None, "is blank: remove the line")
                blank = None
            if len(record) != width:
                self._add(line, None, f"has {len(record)} fields where the header has {width}")
                continue
            lines.append(line)
            records.append(record)
            if len(records) == CHUNK_ROWS:
                yield self._convert(lines, records, converters)
                lines, records = [], []
        if records:
            yield self._convert(lines, records, converters)

    def _convert(
        self, lines: list[int], records: list[list[str]], converters: list[_Converter | None]
    ) -> list[tuple[Any, ...]]:
        # Column by column, because most values repeat and a remembered one costs one look-up.
        try:
            columns = [
                [text or None for text in values] if convert is None else list(map(convert.__getitem__, values))
                for convert, values in zip(converters, zip(*records, strict=True), strict=True)
            ]
        except ValueError:
            self._add_wrong_values(lines, records, converters)
            return []
        return list(zip(*columns, strict=True))

    def _add_wrong_values(
        self, lines: list[int], records: list[list[str]], converters: list[_Converter | None]
    ) -> None:
        for line, record in zip(lines, records, strict=True):
            for column, convert, text in zip(self._columns, converters, record, strict=True):
                try:
                    if convert is not None:
                        convert[text]
                except ValueError as error:
                    self._add(line, column, str(error))

    def _read_records(self) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(self._read_lines(), strict=True)
        try:
            for record in reader:
                yield self._line, record
                self._line = reader.line_num + 1
        except csv.Error as error:
            # What follows a broken record cannot be told from it, so the rest of this file is not read.
            self._add(self._line, None, _explain_csv_error(error))
        except OSError as error:
            self._add(self._line, None, f"cannot be read: {error.strerror}")

    def _read_lines(self) -> Iterator[str]:
        with self.path.open("rb") as file:
            number = 0
            while raw := file.readline(LONGEST_LINE):
                number += 1
                self.hash.update(raw)
                self.bytes_read += len(raw)
                if number == 1:
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                if len(raw) == LONGEST_LINE:
                    raise csv.Error("line too long")
                if b"\0" in raw:
                    self._add(number, None, _explain_null(raw))
                    return
                try:
                    yield raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    self._add(number, None, f"is not UTF-8 at byte {error.start + 1}: save the file as UTF-8")
                    yield raw.decode("utf-8", errors="replace")
        self.has_read_all = True

    def _add(self, line: int, column: str | None, text: str) -> None:
        self.problems.add(self.name, line, column, text)


class _Converter(dict[str, Any]):
    """Turns a field's text into a value for the database and remembers it; raises ``ValueError`` with the reason."""

    def __init__(self, convert: Callable[[str], Any]) -> None:
        super().__init__({"": None})
        self.convert = convert

    def __missing__(self, text: str) -> Any:
        value = self.convert(text)
        if len(self) >= REMEMBERED_VALUES:
            self.clear()
            self[""] = None
        self[text] = value
        return value


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INTEGER = re.compile(r"-?[0-9]{1,30}")


def _converter(feed: Feed, column: str) -> _Converter | None:
    """What reads the column's fields; None for text, where every field is right."""
    if feed.name == "webinars" and column == "starts_at":
        return _Converter(_check_instant)
    if feed.columns[column] == "text":
        return None
    return _Converter(_check_day if feed.columns[column] == "day" else _read_integer)


def _check_day(text: str) -> str:
    # Both databases read the text, so it is only looked at.
    try:
        if _DAY.fullmatch(text):
            date.fromisoformat(text)
            return text
    except ValueError:
        pass
    raise ValueError(f"{_shorten(text)!r} is not a date: write YYYY-MM-DD")


def _read_integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{_shorten(text)!r} is not a whole number: write digits only, money in cents")
    value = int(text)
    if not -LARGEST_INTEGER - 1 <= value <= LARGEST_INTEGER:
        raise ValueError(f"{_shorten(text)!r} is too large a number: 64 bits hold at most {LARGEST_INTEGER}")
    return value


def _check_instant(text: str) -> str:
    try:
        if datetime.fromisoformat(text).tzinfo is not None:
            return text
    except ValueError:
        pass
    raise ValueError(f"{_shorten(text)!r} is not a time with offset: write it like 2022-01-11T13:00:00-05:00")


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def _explain_null(raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "is UTF-16: save the file as UTF-8"
    return f"holds a NUL byte at byte {raw.index(0) + 1}: write text only"


def _explain_csv_error(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text:
        return "begins a quoted field that never ends: close it with a double quote"
    if "field limit" in text or "line too long" in text:
        return f"is too long (a field holds at most {csv.field_size_limit()} characters): is a double quote missing?"
    if "new-line character" in text:
        return "holds a lone carriage return: end lines with LF or CRLF"
    return "closes a quoted field before its end: write a double quote inside a field twice"
