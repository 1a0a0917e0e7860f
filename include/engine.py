"""Runs the statements of ``include/sql/`` on DuckDB: Parquet in, Arrow out, no database file, no server.

A statement reads *relations* by name and binds ``$parameters``; which files stand behind a relation is decided here,
so that the SQL itself holds neither a path nor a value. Bytes repeat because each statement ends in ``ORDER BY``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa

from include.datasets import schema_of

SQL_FOLDER = Path(__file__).parent / "sql"
BATCH_ROWS = 122_880
"""Rows a batch: DuckDB's row group, so that a reader hands on what a scan produced."""

Relation: TypeAlias = Sequence[Path] | pa.Table | pa.RecordBatchReader
Parameters: TypeAlias = Mapping[str, Any]

LARGEST_NUMBER = 10**16
"""What is larger in the source is unreadable: a hundred million million dollars, and sums of it still fit."""

# How source text is read: the same few rules wherever a statement stages a feed. What cannot be read is NULL, never
# rounded, guessed or repaired.
MACROS = (
    "CREATE MACRO whole_number(x) AS "
    "CASE WHEN CAST(try_cast(x AS BIGINT) AS VARCHAR) = x "
    f"AND try_cast(x AS BIGINT) BETWEEN -{LARGEST_NUMBER} AND {LARGEST_NUMBER} THEN try_cast(x AS BIGINT) END",
    "CREATE MACRO iso_day(x) AS "
    "CASE WHEN regexp_full_match(x, '[0-9]{4}-[0-9]{2}-[0-9]{2}( 00:00:00(\\.0+)?)?') AND x >= '0001' "
    "THEN try_cast(substr(x, 1, 10) AS DATE) END",
    # The same number for the same text in every release, which is not promised of hash(). Of 52 bits: sorted, they take
    # four bytes each, and one run in ten of a nation looks at one month in vain.
    "CREATE MACRO key_hash(x) AS CAST(md5_number_lower(x) >> 12 AS BIGINT)",
    "CREATE MACRO account_key(x) AS "
    "CASE WHEN regexp_full_match(x, '[0-9]{9}RM[0-9]{4}') "
    "THEN CAST(substr(x, 1, 9) AS BIGINT) * 10000 + CAST(substr(x, 12, 4) AS BIGINT) END",
    # Back again, for an account that has no row of its own.
    "CREATE MACRO bn15_of(key) AS "
    "lpad(CAST(key // 10000 AS VARCHAR), 9, '0') || 'RM' || lpad(CAST(key % 10000 AS VARCHAR), 4, '0')",
)

_COMMENT = re.compile(r"--[^\n]*")
_PARAMETER = re.compile(r"\$([a-z_][a-z0-9_]*)")


@cache
def load_statement(name: str) -> str:
    """The text of ``include/sql/<name>.sql``; raises ``FileNotFoundError`` for a name that is not there."""
    return (SQL_FOLDER / f"{name}.sql").read_text(encoding="utf-8")


@cache
def parameters_of(name: str) -> frozenset[str]:
    """The names of the ``$parameters`` that the statement binds."""
    return frozenset(_PARAMETER.findall(_COMMENT.sub("", load_statement(name))))


def connect(*, memory: str = "1500MB", threads: int = 2, spill_folder: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A connection to an in-memory DuckDB that keeps to ``memory`` and spills to ``spill_folder`` (else refuses to).

    Connections of one process that ask for the same share a database, and with it the memory: starting one takes as
    long as a small step. What a connection makes is temporary, so none sees what another one made.
    """
    con = _start(memory, threads, spill_folder).cursor()
    con.execute("SET enable_progress_bar = false")  # It would be written into the logs.
    return con


# Two: the one that spills into a step's folder, and the one for small questions.
@lru_cache(maxsize=2)
def _start(memory: str, threads: int, spill_folder: Path | None) -> duckdb.DuckDBPyConnection:
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory,
        "threads": threads,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": True,
        # Without a folder of ours it would make one wherever the process stands.
        "temp_directory": str(spill_folder or ""),
    }
    database = duckdb.connect(":memory:", config=config)
    for macro in MACROS:
        database.execute(macro)
    return database


# A forked process has none of the threads that a database waits for when it ends: it must not inherit one.
os.register_at_fork(before=_start.cache_clear)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def register(con: duckdb.DuckDBPyConnection, name: str, relation: Relation, *, like: str | None = None) -> None:
    """Make ``relation`` readable as ``name``.

    Files of the lake also get the column ``period`` from their folder, unless the dataset has one of its own. An empty
    list becomes an empty relation with the columns of dataset ``like`` (default: ``name``).
    """
    if isinstance(relation, pa.Table | pa.RecordBatchReader):
        _register_rows(con, name, relation)
        return
    schema = schema_of(like or name) if not relation else None
    if schema is not None:
        if "period" not in schema.names:
            schema = schema.append(pa.field("period", pa.string()))
        _register_rows(con, name, schema.empty_table())
        return
    has_period = all(path.parent.name.startswith("period=") for path in relation)
    if has_period:
        import pyarrow.parquet as pq

        has_period = "period" not in pq.read_schema(relation[0]).names
    files = ", ".join(_quoted(str(path)) for path in relation)
    partitions = "hive_partitioning = true, hive_types_autocast = false" if has_period else "hive_partitioning = false"
    con.execute(
        f'CREATE OR REPLACE TEMP VIEW "{name}" AS SELECT * FROM read_parquet([{files}], {partitions})'  # noqa: S608
    )


def _register_rows(con: duckdb.DuckDBPyConnection, name: str, rows: pa.Table | pa.RecordBatchReader) -> None:
    # Rows take the place of rows by themselves, but not that of files.
    con.execute(f'DROP VIEW IF EXISTS "{name}"')
    con.register(name, rows)


def create_empty(con: duckdb.DuckDBPyConnection, dataset: str) -> None:
    """Make an empty table with the columns of ``dataset``, for statements that fill it one after the other."""
    _register_rows(con, "columns_of_dataset", schema_of(dataset).empty_table())
    con.execute(f'CREATE OR REPLACE TEMP TABLE "{dataset}" AS SELECT * FROM columns_of_dataset')  # noqa: S608
    con.unregister("columns_of_dataset")


def run(
    con: duckdb.DuckDBPyConnection,
    name: str,
    relations: Mapping[str, Relation] | None = None,
    parameters: Parameters | None = None,
) -> pa.RecordBatchReader:
    """Run ``include/sql/<name>.sql`` over ``relations`` and stream its rows.

    Raises ``ValueError`` when ``parameters`` are not exactly those that the statement binds: a value that is passed
    and not used is as much a mistake as one that is missing.
    """
    for relation_name, relation in (relations or {}).items():
        register(con, relation_name, relation)
    given = dict(parameters or {})
    if set(given) != parameters_of(name):
        raise ValueError(f"{name}.sql binds {sorted(parameters_of(name))}, but was given {sorted(given)}")
    return con.sql(load_statement(name), params=given).to_arrow_reader(BATCH_ROWS)


def create_view(
    con: duckdb.DuckDBPyConnection, view: str, name: str, relations: Mapping[str, Relation] | None = None
) -> None:
    """Make the statement ``name`` (without parameters) readable as the relation ``view``."""
    for relation_name, relation in (relations or {}).items():
        register(con, relation_name, relation)
    con.execute(f'CREATE OR REPLACE TEMP VIEW "{view}" AS {load_statement(name)}')


def create_table(
    con: duckdb.DuckDBPyConnection,
    table: str,
    name: str,
    relations: Mapping[str, Relation] | None = None,
    parameters: Parameters | None = None,
) -> None:
    """Keep the rows of the statement ``name`` as the temporary relation ``table``, for statements that follow."""
    for relation_name, relation in (relations or {}).items():
        register(con, relation_name, relation)
    con.execute(f'CREATE OR REPLACE TEMP TABLE "{table}" AS {load_statement(name)}', dict(parameters or {}))


def run_table(
    con: duckdb.DuckDBPyConnection,
    name: str,
    relations: Mapping[str, Relation] | None = None,
    parameters: Parameters | None = None,
) -> pa.Table:
    """Like :func:`run`, read whole: for results that are small by nature (counts, offenders, a plan's changes)."""
    return run(con, name, relations, parameters).read_all()
