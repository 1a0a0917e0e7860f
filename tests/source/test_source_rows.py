"""What the source holds reaches the raw files text by text, whatever stands in it and whichever database hands it out.

Beside every reading stands a plain one: the same columns cast to text on the server, row by row through SQLAlchemy.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.engine import Engine

from include.carm.errors import CarmError, DataError, Unavailable
from include.database import connect_engine, read_snapshot, write_transaction
from include.extract import select_posted
from include.feeds import ACCOUNTS, LEDGER_FEEDS, TRANSACTIONS, Feed
from include.postgresql_rows import copy_texts, travels_as_text
from include.source_rows import RawFile, present_columns, read_chunks, require_columns, select_texts
from include.source_schema import create_tables, insert_rows

TEXT_COLUMNS = [name for name, kind in TRANSACTIONS.columns.items() if kind == "text"]
HOSTILE = [
    None,
    "",
    " ",
    '"',
    '""',
    "'",
    "a,b",
    "two\nlines",
    "two\r\nlines",
    "\r",
    "\n",
    "back\\slash",
    "\\N",
    "\\.",
    "NULL",
    "null",
    "N/A",
    "\t",
    "\x01\x1f\x7f",
    "Épicerie « Chez Zoé » 株式会社 🚢",
    "\ufeffbyte order mark",
    "\ufeff",
    "%(name)s 100%",
    ":name",
    '","',
    "'; DROP TABLE transactions; --",
    "x" * 100_000,
]


def fill(engine: Engine, feed: Feed, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    with write_transaction(engine) as connection:
        create_tables(connection, [feed.name])
        if rows:
            insert_rows(connection, feed.name, list(columns), list(rows))


def create(engine: Engine, *statements: str) -> None:
    with write_transaction(engine) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def plain_rows(engine: Engine, feed: Feed) -> list[tuple[str | None, ...]]:
    """The feed's rows as texts by the plainest way there is; a column that the source has not is None."""
    with read_snapshot(engine) as connection:
        present = {column["name"] for column in sa.inspect(connection).get_columns(feed.name)}
        texts = [sa.cast(sa.column(name), sa.Text) if name in present else sa.null() for name in feed.columns]
        return [tuple(row) for row in connection.execute(sa.select(*texts).select_from(sa.table(feed.name)))]


def raw_table(engine: Engine, feed: Feed, folder: Path, first_row: int = 0) -> pa.Table:
    with read_snapshot(engine) as connection, RawFile(folder, feed, first_row=first_row) as raw:
        columns = require_columns(feed, present_columns(connection).get(feed.name))
        raw.add(connection, select_texts(connection, feed, columns), "range")
    assert raw.rows == first_row + pq.read_metadata(raw.path).num_rows
    return pq.read_table(raw.path)


def raw_rows(engine: Engine, feed: Feed, folder: Path) -> list[tuple[str | None, ...]]:
    table = raw_table(engine, feed, folder)
    assert table.column("row_no").to_pylist() == list(range(table.num_rows))
    return list(zip(*(table.column(name).to_pylist() for name in feed.columns), strict=True))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.source_rows.FETCH_ROWS", 2)
    monkeypatch.setattr("include.source_rows.CHUNK_ROWS", 3)


# --- The same texts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_rows", [1, 3, 32_768])
def test_every_text_arrives_as_it_stands(
    engine: Engine, chunk_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.source_rows.CHUNK_ROWS", chunk_rows)
    # Each text stands once in each text column, also in the first and in the last one of the row.
    rows = [tuple(HOSTILE[(shift + at) % len(HOSTILE)] for at in range(17)) for shift in range(len(HOSTILE))]
    columns = [name for name, kind in ACCOUNTS.columns.items() if kind == "text"]
    fill(engine, ACCOUNTS, columns, [row[: len(columns)] for row in rows])
    expected = plain_rows(engine, ACCOUNTS)
    assert {row[0] for row in expected} == set(HOSTILE)
    assert expected == raw_rows(engine, ACCOUNTS, tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.tuples(*[st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))] * 2),
        max_size=12,
    ),
    chunk_rows=st.integers(1, 5),
)
def test_any_text_arrives_as_it_stands(
    postgresql_url: str, tmp_path: Path, texts: list[tuple[str | None, str | None]], chunk_rows: int
) -> None:
    engine = connect_engine(postgresql_url)
    create(engine, "DROP TABLE IF EXISTS subscribers", "CREATE TABLE subscribers (email text, language text)")
    with write_transaction(engine) as connection:
        insert_rows(connection, "subscribers", ["email", "language"], texts)
    with read_snapshot(engine) as connection:
        query = sa.select(sa.column("email"), sa.column("language")).select_from(sa.table("subscribers"))
        chunks = list(copy_texts(connection, query, chunk_rows, 1_000_000))
    found = [row for chunk in chunks for row in zip(*(c.to_pylist() for c in chunk.columns), strict=True)]
    assert texts == found
    assert all(chunk.num_rows == chunk_rows for chunk in chunks[:-1])


def test_a_column_that_is_null_throughout_and_one_that_is_empty_throughout_stay_apart(
    engine: Engine, tmp_path: Path
) -> None:
    fill(engine, TRANSACTIONS, ["transaction_id", "kind"], [(None, ""), (None, "")])
    table = raw_table(engine, TRANSACTIONS, tmp_path)
    assert table.column("transaction_id").to_pylist() == [None, None]
    assert table.column("kind").to_pylist() == ["", ""]


def test_types_of_our_own_schema_arrive_as_they_are_written(engine: Engine, tmp_path: Path) -> None:
    row = ("T1", 1, "000000018RM0001", date(2021, 12, 1), date(9999, 12, 31), 2**62, -(2**63))
    columns = ["transaction_id", "revision", "bn15", "posted_on", "due_on", "gst_cents", "amount_cents"]
    fill(engine, TRANSACTIONS, columns, [tuple(str(v) if isinstance(v, date) else v for v in row)])
    found = raw_table(engine, TRANSACTIONS, tmp_path).to_pylist()[0]
    assert [str(value) for value in row] == [found[name] for name in columns]
    assert (found["row_no"], found["fetched_by"], found["kind"]) == (0, "range", None)


FOREIGN = {
    # type of the column -> values of it, as SQL
    "boolean": ["TRUE", "FALSE"],
    "char(9)": ["'ab'", "'123456789'"],
    "varchar(30)": ["'text'", "''"],
    "numeric(12,2)": ["12.50", "-0.01", "'NaN'"],
    "numeric": ["1.000", "100000000000000000000000001"],
    "timestamp": ["'2021-12-01 00:00:00'", "'2021-12-01 13:14:15.5'", "'infinity'"],
    "timestamptz": ["'2021-12-01 00:00:00+00'"],
    "double precision": ["0.1", "1e300", "'Infinity'"],
    "real": ["0.1"],
    "smallint": ["-32768"],
    "date": ["'2021-12-01'", "'infinity'", "'-infinity'", "'0044-03-15 BC'", "'12021-01-01'"],
    "uuid": ["'12345678-1234-1234-1234-123456789abc'"],
    "bytea": ["'\\x00ff'"],
    "json": ["""'{"a": "b,c"}'"""],
    "text[]": ["ARRAY['a,b', '\"', NULL]"],
    "inet": ["'10.0.0.1'", "'10.0.0.0/8'"],
    "interval": ["'1 month 2 days'"],
    "name": ["'a name'"],
    "grade": ["'good, or bad'"],
    "flag": ["TRUE"],
    "padded": ["'ab'"],
}


@pytest.mark.parametrize("column_type", FOREIGN)
def test_columns_of_other_types_arrive_as_postgresql_casts_them(
    postgresql_url: str, tmp_path: Path, column_type: str
) -> None:
    engine = connect_engine(postgresql_url)
    others = ", ".join(f"{name} text" for name in TRANSACTIONS.columns if name not in ("status", "kind"))
    values = ", ".join(f"({value}, ({value})::{column_type})" for value in ["NULL", *FOREIGN[column_type]])
    create(
        engine,
        "CREATE TYPE grade AS ENUM ('good, or bad')",
        "CREATE DOMAIN flag AS boolean",
        "CREATE DOMAIN padded AS char(5)",
        f"CREATE TABLE transactions ({others}, status text, kind {column_type})",
        f"INSERT INTO transactions (status, kind) SELECT said::text, v FROM (VALUES {values}) AS t (said, v)",
    )
    expected = plain_rows(engine, TRANSACTIONS)
    assert len(expected) == 1 + len(FOREIGN[column_type])
    assert expected == raw_rows(engine, TRANSACTIONS, tmp_path)


def test_dirty_values_of_sqlite_arrive_as_it_casts_them(sqlite_url: str, tmp_path: Path, small_chunks: None) -> None:
    engine = connect_engine(sqlite_url, create=True)
    values = [None, 1, 1.0, 1.5, -0.0, "1", "1.0", b"2021-12-01", "not a day", "2021-12-01 00:00:00", 2**63 - 1, 1e300]
    fill(engine, TRANSACTIONS, ["posted_on", "amount_cents"], [(value, value) for value in values])
    expected = plain_rows(engine, TRANSACTIONS)
    assert expected == raw_rows(engine, TRANSACTIONS, tmp_path)
    assert len(expected) == len(values)


def test_a_day_is_iso_text_whatever_the_server_prefers(postgresql_url: str, tmp_path: Path) -> None:
    from include.source_rows import source_snapshot
    from include.workspace import Workspace

    engine = connect_engine(postgresql_url)
    fill(engine, TRANSACTIONS, ["posted_on"], [("2021-12-31",)])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET datestyle = 'SQL, DMY'")
    ws = Workspace.open(tmp_path, source_url=postgresql_url)
    with source_snapshot(ws) as connection, RawFile(tmp_path, TRANSACTIONS) as raw:
        raw.add(
            connection, select_texts(connection, TRANSACTIONS, present_columns(connection)["transactions"]), "range"
        )
    assert pq.read_table(raw.path).column("posted_on").to_pylist() == ["2021-12-31"]


def test_a_view_and_an_absent_optional_column_are_read_like_a_table(engine: Engine, tmp_path: Path) -> None:
    columns = ", ".join(f"{name} text" for name in TRANSACTIONS.columns if name != "revision")
    create(
        engine,
        f"CREATE TABLE book ({columns})",
        "INSERT INTO book (transaction_id, kind) VALUES ('T1', 'a,b'), (NULL, '')",
        "CREATE VIEW transactions AS SELECT * FROM book",
    )
    expected = plain_rows(engine, TRANSACTIONS)
    assert expected == raw_rows(engine, TRANSACTIONS, tmp_path)
    assert [row[1] for row in expected] == [None, None]


def test_the_texts_of_a_database_in_another_encoding_are_the_same_texts(postgresql_server: str, tmp_path: Path) -> None:
    import psycopg

    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS latin")
        connection.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    engine = connect_engine(postgresql_server.replace("/postgres?", "/latin?", 1))
    fill(engine, ACCOUNTS, ["bn15", "legal_name"], [("000000018RM0001", "Épicerie Chez Zoé")])
    try:
        assert raw_rows(engine, ACCOUNTS, tmp_path)[0][3] == "Épicerie Chez Zoé"
    finally:
        with psycopg.connect(postgresql_server, autocommit=True) as connection:
            connection.execute("DROP DATABASE latin WITH (FORCE)")


def test_types_with_a_cast_of_their_own_are_cast() -> None:
    assert all(travels_as_text(column_type) for column_type in (sa.TEXT(), sa.VARCHAR(9), sa.DATE(), sa.BIGINT()))
    others = [sa.CHAR(9), sa.BOOLEAN(), sa.NUMERIC(), sa.TIMESTAMP(), sa.types.NullType(), sa.Enum("a", name="grade")]
    assert not any(travels_as_text(column_type) for column_type in others)


# --- Numbering, chunks, conditions --------------------------------------------------------------------------------


def numbered(count: int) -> list[tuple[Any, ...]]:
    return [(f"T{number}", f"2021-12-{1 + number % 28:02d}", number) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 6, 7])
def test_rows_are_numbered_on_across_chunks_and_none_is_lost_at_their_edge(
    engine: Engine, tmp_path: Path, small_chunks: None, count: int
) -> None:
    fill(engine, TRANSACTIONS, ["transaction_id", "posted_on", "amount_cents"], numbered(count))
    table = raw_table(engine, TRANSACTIONS, tmp_path, first_row=100)
    assert table.column("row_no").to_pylist() == list(range(100, 100 + count))
    assert table.column("transaction_id").to_pylist() == [f"T{number}" for number in range(count)]


def test_a_chunk_ends_with_the_row_that_makes_it_too_large(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.source_rows.FETCH_ROWS", 1)
    monkeypatch.setattr("include.source_rows.CHUNK_BYTES", 1_000_000)
    long = "y" * 600_000
    fill(engine, ACCOUNTS, ["bn15", "legal_name"], [(str(number), long) for number in range(5)])
    with read_snapshot(engine) as connection:
        query = select_texts(connection, ACCOUNTS, present_columns(connection)["accounts"])
        assert [chunk.num_rows for chunk in read_chunks(connection, query)] == [2, 2, 1]


def test_a_value_longer_than_a_chunk_arrives_whole(engine: Engine, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("include.source_rows.CHUNK_BYTES", 1_000)
    long = 'ligne "une",\n' * 500_000
    fill(engine, ACCOUNTS, ["bn15", "legal_name"], [("1", "short"), ("2", long), ("3", "short")])
    assert [row[3] for row in raw_rows(engine, ACCOUNTS, tmp_path)] == ["short", long, "short"]


def test_keys_from_the_data_are_values_and_never_words_of_the_statement(engine: Engine, tmp_path: Path) -> None:
    keys = [value for value in HOSTILE if value and len(value) < 100]
    fill(engine, TRANSACTIONS, ["transaction_id"], [(key,) for key in [*keys, "another"]])
    with read_snapshot(engine) as connection, RawFile(tmp_path, TRANSACTIONS) as raw:
        query = select_texts(connection, TRANSACTIONS, present_columns(connection)["transactions"])
        for key in keys:
            before = raw.rows
            raw.add(connection, query.where(sa.cast(sa.column("transaction_id"), sa.Text).in_([key])), "keys")
            assert raw.rows == before + 1
        raw.add(connection, query.where(sa.cast(sa.column("transaction_id"), sa.Text).in_(keys)), "keys")
    found = pq.read_table(raw.path).column("transaction_id").to_pylist()
    assert found[: len(keys)] == keys
    assert sorted(found[len(keys) :]) == sorted(keys)


def test_a_month_is_its_first_and_its_last_day_and_what_lies_between(engine: Engine, tmp_path: Path) -> None:
    days = ["2021-11-24", "2021-11-25", "2021-12-10", "2021-12-24", "2021-12-25"]
    fill(engine, TRANSACTIONS, ["posted_on"], [(day,) for day in days])
    with read_snapshot(engine) as connection, RawFile(tmp_path, TRANSACTIONS) as raw:
        columns = present_columns(connection)["transactions"]
        month = date(2021, 11, 25), date(2021, 12, 24)
        raw.add(connection, select_posted(connection, TRANSACTIONS, columns, *month), "range")
        assert raw.rows == 3
        raw.add(connection, select_posted(connection, TRANSACTIONS, columns, None, month[1]), "range")
    assert sorted(pq.read_table(raw.path).column("posted_on").to_pylist()) == sorted([*days[:4], *days[1:4]])


def test_all_readings_are_of_one_snapshot(engine: Engine, tmp_path: Path) -> None:
    fill(engine, TRANSACTIONS, ["transaction_id"], [("T1",)])
    with read_snapshot(engine) as connection, RawFile(tmp_path, TRANSACTIONS) as raw:
        query = select_texts(connection, TRANSACTIONS, present_columns(connection)["transactions"])
        raw.add(connection, query, "range")
        fill(engine, TRANSACTIONS, ["transaction_id"], [("T2",)])
        raw.add(connection, query, "range")
        assert connection.execute(text("SELECT count(*) FROM transactions")).scalar_one() == 1
    assert pq.read_table(raw.path).column("transaction_id").to_pylist() == ["T1", "T1"]


def test_a_long_reading_says_how_far_it_is_and_nothing_else(
    engine: Engine,
    tmp_path: Path,
    small_chunks: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("include.source_rows.PROGRESS_ROWS", 5)
    fill(engine, TRANSACTIONS, ["transaction_id", "posted_on", "amount_cents"], numbered(13))
    with caplog.at_level(logging.INFO):
        raw_table(engine, TRANSACTIONS, tmp_path)
    said = [record.message for record in caplog.records if "so far" in record.message]
    # A chunk ends after two fetches of two rows on SQLite, and after three rows on PostgreSQL.
    rows = [8, 12] if engine.dialect.name == "sqlite" else [6, 12]
    assert said == [f"transactions: {count} rows so far" for count in rows]


# --- Ending early --------------------------------------------------------------------------------------------------


def threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate())


def test_a_reading_that_is_given_up_leaves_neither_file_nor_thread_nor_a_busy_connection(
    engine: Engine, tmp_path: Path, small_chunks: None
) -> None:
    fill(engine, TRANSACTIONS, ["transaction_id", "posted_on", "amount_cents"], numbered(100))
    before = threads()

    def give_up() -> None:
        with read_snapshot(engine) as connection, RawFile(tmp_path, TRANSACTIONS) as raw:
            query = select_texts(connection, TRANSACTIONS, present_columns(connection)["transactions"])
            with closing(read_chunks(connection, query)) as chunks:
                assert next(chunks).num_rows > 0
                assert raw.path.exists()
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_up()
    assert before == threads()
    assert list(tmp_path.glob("*.parquet")) == []
    assert len(plain_rows(engine, TRANSACTIONS)) == 100


def test_a_reading_that_is_given_up_ends_its_query_on_the_server(postgresql_url: str) -> None:
    engine = connect_engine(postgresql_url)
    endless = sa.select(sa.func.generate_series(1, sa.literal_column("9000000000000")).label("number"))
    # Without the server's help this would be read to its end: it has none that a test would see.
    with read_snapshot(engine) as connection, closing(copy_texts(connection, endless, 10, 1_000_000)) as chunks:
        assert next(chunks).column("number").to_pylist() == [str(number) for number in range(1, 11)]


def raise_plain(engine: Engine, folder: Path, query: Callable[[], sa.Select[Any]]) -> str:
    with pytest.raises(CarmError) as caught, read_snapshot(engine) as connection, RawFile(folder, TRANSACTIONS) as raw:
        raw.add(connection, query(), "range")
    assert list(folder.glob("*.parquet")) == []
    return str(caught.value)


def test_a_missing_table_is_a_plain_error_in_one_line(engine: Engine, tmp_path: Path) -> None:
    engine.connect().close()
    said = raise_plain(
        engine, tmp_path, lambda: sa.select(sa.column("transaction_id")).select_from(sa.table("transactions"))
    )
    assert said.endswith("has no table transactions: fill it with `carm demo` or `carm load FOLDER`")


def failing_rows(how: str) -> sa.Select[Any]:
    """Many rows, of which one fails after a while."""
    rows = sa.func.generate_series(1, 200_000).table_valued("number").render_derived()
    return sa.select(sa.literal_column(how.replace("@", "number")).label("transaction_id")).select_from(rows)


def test_a_server_that_goes_away_in_the_middle_is_one_that_cannot_be_reached(
    postgresql_url: str, tmp_path: Path
) -> None:
    engine = connect_engine(postgresql_url)
    dies = "CASE WHEN @ = 50000 THEN CAST(pg_terminate_backend(pg_backend_pid()) AS text) ELSE 'T' END"
    assert "cannot be reached" in raise_plain(engine, tmp_path, lambda: failing_rows(dies))


def test_a_query_that_is_cancelled_from_outside_is_a_plain_error(postgresql_url: str, tmp_path: Path) -> None:
    engine = connect_engine(postgresql_url)
    cancels = "CASE WHEN @ = 50000 THEN CAST(pg_cancel_backend(pg_backend_pid()) AS text) ELSE 'T' END"
    said = raise_plain(engine, tmp_path, lambda: failing_rows(cancels))
    assert "ended the query" in said


def test_an_error_in_the_middle_keeps_its_own_name_and_leaves_no_file(postgresql_url: str, tmp_path: Path) -> None:
    import psycopg

    engine = connect_engine(postgresql_url)
    with (
        pytest.raises(psycopg.errors.DivisionByZero),
        read_snapshot(engine) as connection,
        RawFile(tmp_path, TRANSACTIONS) as raw,
    ):
        raw.add(connection, failing_rows("CAST(1 / (50000 - @) AS text)"), "range")
    assert list(tmp_path.glob("*.parquet")) == []


@pytest.mark.parametrize("sent", [b"a,b\nc,d\n", b"a\n", b"\xff,b\n"])
def test_what_is_not_the_csv_of_postgresql_is_refused_and_not_quoted(
    postgresql_url: str, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    import include.postgresql_rows as rows

    def messages(driver: object, copy: Any) -> list[bytes]:
        assert (copy.read(), copy.read()) == (b"x,y\n", b"")
        return [sent]

    monkeypatch.setattr(rows, "_messages", messages)
    engine = connect_engine(postgresql_url)
    query = sa.select(sa.literal_column("'x'").label("one"), sa.literal_column("'y'").label("two"))
    with (
        pytest.raises(DataError, match="sent rows that are not the CSV") as caught,
        read_snapshot(engine) as connection,
    ):
        list(copy_texts(connection, query, 10, 1_000))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_each_ledger_feed_and_each_snapshot_feed_is_found_with_its_types(engine: Engine) -> None:
    for feed in (ACCOUNTS, *LEDGER_FEEDS):
        fill(engine, feed, [], [])
    with read_snapshot(engine) as connection:
        found = present_columns(connection)
    assert {name: list(columns) for name, columns in found.items()} == {
        feed.name: list(feed.columns) for feed in (ACCOUNTS, *LEDGER_FEEDS)
    }
    if engine.dialect.name == "postgresql":
        assert all(travels_as_text(kind) for columns in found.values() for kind in columns.values())


def test_an_unreachable_database_is_said_so_before_anything_is_written(tmp_path: Path) -> None:
    engine = connect_engine(f"sqlite:///{tmp_path / 'nowhere.db'}")
    with pytest.raises(Unavailable, match="there is no database at"), read_snapshot(engine):
        pass
