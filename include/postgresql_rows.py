"""Rows out of PostgreSQL by COPY, the fastest way that the server has, inside the caller's transaction and snapshot.

``docs/adr/0074-extraction-by-copy.md`` tells why it is CSV, and what else was weighed. The server writes the texts, a
thread gathers them, and the caller's thread makes columns of them meanwhile, so that nobody waits for another.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Queue
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as csv
import sqlalchemy as sa

from include.carm.errors import DataError
from include.database import describe_database

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy.engine import Connection
    from sqlalchemy.types import TypeEngine

_QUEUED_CHUNKS = 2
"""Chunks that wait to be parsed: with those being gathered and parsed, four are in memory."""

# COPY writes what a type's output function says, and a cast to text says the same of these. Of others it does not: a
# boolean is `t` and `true`, a `char(9)` keeps its blanks or loses them, an address its mask. They are cast.
_SAME_AS_CAST = (sa.TEXT, sa.VARCHAR, sa.DATE, sa.BIGINT, sa.INTEGER, sa.SMALLINT)


@dataclass(frozen=True)
class _Chunk:
    """Rows as CSV, below a line with the names of the columns."""

    rows: int
    csv: bytearray


@dataclass(frozen=True)
class _End:
    """Nothing follows; ``error`` says why where that is too early."""

    error: BaseException | None


def travels_as_text(column_type: TypeEngine[Any]) -> bool:
    """Whether COPY gives the same text of a column of this type as a cast does, which costs a third of its speed."""
    # The class itself, not a subclass of it: a domain or a type of somebody else's may have a cast of its own.
    return type(column_type) in _SAME_AS_CAST


def copy_texts(
    connection: Connection, query: sa.Select[Any], chunk_rows: int, chunk_bytes: int
) -> Generator[pa.Table, None, None]:
    """The rows of a query as texts, in tables that end with the row that reaches ``chunk_rows`` or ``chunk_bytes``.

    Until it is exhausted or closed the connection is busy. Closing it early ends the query on the server too. Raises
    the driver's errors as they are.
    """
    names = [str(column.name) for column in query.selected_columns]
    chunks: Queue[_Chunk | _End] = Queue(_QUEUED_CHUNKS)
    driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    gather = threading.Thread(
        target=_gather, args=(driver, *_compile(connection, query), names, chunk_rows, chunk_bytes, chunks)
    )
    gather.start()
    last: _Chunk | _End | None = None
    try:
        while isinstance(last := chunks.get(), _Chunk):
            yield _parse(last, connection)
        if last.error is not None:
            raise last.error
    finally:
        if not isinstance(last, _End):
            _call_off(driver, chunks)
        gather.join()


def _compile(connection: Connection, query: sa.Select[Any]) -> tuple[bytes, dict[str, Any]]:
    """The query as the driver's statement, and its parameters.

    COPY takes none, so the driver writes them into the statement, quoted by PostgreSQL's own library.
    """
    compiled = query.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
    return f"COPY ({compiled}) TO STDOUT (FORMAT csv, ENCODING 'UTF8')".encode(), dict(compiled.params)


def _gather(
    driver: psycopg.Connection[Any],
    statement: bytes,
    parameters: dict[str, Any],
    names: list[str],
    chunk_rows: int,
    chunk_bytes: int,
    chunks: Queue[_Chunk | _End],
) -> None:
    """Hand on the rows of a COPY in chunks, then the end; runs in a thread of its own and raises nothing."""
    # The names stand first in each chunk also because a parser takes a byte order mark at the beginning for its own.
    header = (",".join(names) + "\n").encode()
    try:
        with driver.cursor() as cursor, cursor.copy(statement, parameters) as copy:
            rows, text = 0, bytearray(header)
            for row in _messages(driver, copy):
                text += row
                rows += 1
                if rows >= chunk_rows or len(text) >= chunk_bytes:
                    chunks.put(_Chunk(rows, text))
                    rows, text = 0, bytearray(header)
            if rows:
                chunks.put(_Chunk(rows, text))
        chunks.put(_End(None))
    except BaseException as error:  # noqa: BLE001  (it is raised again where the rows are read)
        chunks.put(_End(error))


def _messages(driver: psycopg.Connection[Any], copy: psycopg.Copy) -> Iterator[memoryview | bytes | bytearray]:
    """The messages of a COPY, of which each holds one whole row.

    What has arrived is taken straight from the library, since the driver's own loop, which can also wait, takes longer
    over a row than the server does.
    """
    from psycopg import errors
    from psycopg.pq import ExecStatus

    take = driver.pgconn.get_copy_data
    while True:
        size, row = take(1)
        if size > 0 and row is not None:
            yield row
        elif size == 0:
            # Nothing is there yet: the driver waits for it, and sees the end and the errors.
            if not (waited := copy.read()):
                return
            yield waited
        else:
            # All results are taken before any is judged, or the connection would stay busy.
            results = list(iter(driver.pgconn.get_result, None))
            failed = [result for result in results if result.status != ExecStatus.COMMAND_OK]
            if failed:
                raise errors.error_from_result(failed[0])
            return


def _call_off(driver: psycopg.Connection[Any], chunks: Queue[_Chunk | _End]) -> None:
    """Stop a COPY that nobody reads any more, and see the thread that gathers it to its end."""
    import psycopg

    # Where the server cannot be told it runs to its end, and its rows are thrown away.
    with suppress(psycopg.Error):
        driver.cancel_safe()
    while not isinstance(chunks.get(), _End):
        pass


def _parse(chunk: _Chunk, connection: Connection) -> pa.Table:
    """The rows of a chunk. Without quotes nothing is NULL, within quotes it is an empty text."""
    names = chunk.csv[: chunk.csv.index(b"\n")].decode().split(",")
    try:
        table = csv.read_csv(
            pa.py_buffer(chunk.csv),
            # One block, so that no value is too long for it.
            read_options=csv.ReadOptions(use_threads=False, block_size=len(chunk.csv) + 1),
            parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        table = None  # Its error quotes the row.
    # The count is known without the parser, so rows that run into one another cannot pass.
    if table is None or table.num_rows != chunk.rows:
        raise DataError(
            f"{describe_database(connection.engine)} sent rows that are not the CSV that PostgreSQL writes: "
            "connect to the server itself, not through a program that changes what it sends"
        )
    return table
