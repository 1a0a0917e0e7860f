"""Statements as objects, built from the heads and lines of the lake: a few at a time, however large a month is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.carm.business_number import account_key
from include.carm.errors import DataError
from include.carm.statement import Statement, StatementHead, StatementLine, build_statements

if TYPE_CHECKING:
    from include.carm.period import Period
    from include.lake import Lake

_LINES_A_BATCH = 20_000


def read_objects(lake: Lake, period: Period, offset: int, count: int) -> Iterator[Statement]:
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
    yield from _build(lake.file("statement_lines", period), pa.Table.from_batches(heads), first_key, last_key)


def read_object(lake: Lake, period: Period, bn15: str, *, object_sha256: str | None = None) -> Statement:
    """The statement of an account that has one.

    Its rows are proved by the hash of the object where that is known, else by the seals of the whole files. Raises
    ``DataError`` where they are not what they were.
    """
    key = account_key(bn15)
    if object_sha256 is None:
        return _read_at(lake.file("statement_heads", period), lake.file("statement_lines", period), key)
    try:
        statement = _read_at(lake.path("statement_heads", period), lake.path("statement_lines", period), key)
    except (OSError, ValueError):
        # A file that is gone, is none of Parquet's, or holds other rows.
        statement = None
    if statement is None or statement.digest() != object_sha256:
        raise not_its_lines(bn15, period)
    return statement


def not_its_lines(bn15: str, period: Period) -> DataError:
    """The error of a statement whose rows in the lake are not those that its documents were made from."""
    return DataError(
        f"the statement of {bn15} for {period} is not what its lines in the lake make of it: restore the lake from a "
        "backup"
    )


def _read_at(heads: Path, lines: Path, key: int) -> Statement:
    """The one statement of the account with this key; raises ``ValueError`` where the files do not hold it."""
    (statement,) = _build(
        lines, pa.Table.from_batches(_stream_accounts(heads, StatementHead._fields, key, key)), key, key
    )
    return statement


def join_lines(heads: pa.Table, lines: Iterable[pa.RecordBatch]) -> Iterator[Statement]:
    """Heads with their lines; the first column of ``lines`` is the account."""
    return build_statements(
        table_rows(heads.select(StatementHead._fields)), ((row[0], row[1:]) for row in batch_rows(lines))
    )


def _build(lines: Path, heads: pa.Table, first_key: int, last_key: int) -> Iterator[Statement]:
    columns = ["bn15", *StatementLine._fields]
    return join_lines(heads, _stream_accounts(lines, columns, first_key, last_key))


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
    return batch_rows(table.to_batches(max_chunksize=_LINES_A_BATCH))


def batch_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Any, ...]]:
    """The same of batches, one after the other."""
    for batch in batches:
        yield from zip(*(_values(column) for column in batch.columns), strict=True)


def _values(column: pa.Array) -> list[Any]:
    """The values of a column. Texts that are equal are one object: most columns hold few that differ."""
    if pa.types.is_integer(column.type) and not column.null_count:
        # A tenth of the time that ``to_pylist`` takes, which looks at each value for a null.
        return cast(list[Any], column.to_numpy().tolist())
    if not (pa.types.is_date(column.type) or pa.types.is_string(column.type)):
        return column.to_pylist()
    encoded = column.dictionary_encode()
    texts = encoded.dictionary.cast(pa.string()).to_pylist()
    return [None if place is None else texts[place] for place in encoded.indices.to_pylist()]
