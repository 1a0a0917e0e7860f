"""What a source says of itself without its rows: which days it posted on, and what it counts and sums up to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine

from include import engine as duck
from include.carm.errors import DataError
from include.carm.period import Period
from include.database import connect_engine, read_snapshot, write_transaction
from include.feeds import LEDGER_FEEDS, TRANSACTIONS
from include.source_rows import present_columns, read_chunks, select_texts
from include.source_schema import create_indexes, create_tables, insert_rows
from include.source_totals import (
    count_by_day,
    posting_days,
    readable_amount,
    readable_day,
    readable_word,
    source_totals,
)
from include.workspace import Workspace

DECEMBER = Period(2021, 12)
DAYS = ["2021-12-24", "2019-01-01", None, "2021-12-24", "2019-01-02", "2022-02-28", "9999-12-31"]


def fill(engine: Engine, days: Sequence[Any], *, indexed: bool = True) -> None:
    with write_transaction(engine) as connection:
        create_tables(connection, ["transactions"])
        rows = [(day, "B3", "accepted", number) for number, day in enumerate(days)]
        insert_rows(connection, "transactions", ["posted_on", "kind", "status", "amount_cents"], rows)
        if indexed:
            create_indexes(connection, ["transactions"])


def workspace(engine: Engine, folder: Path) -> Workspace:
    return Workspace.open(folder, source_url=engine.url.render_as_string(hide_password=False))


def days_and_statements(engine: Engine, folder: Path) -> tuple[list[date], list[str]]:
    """The posting days, and the statements over the transactions by which they were found."""
    ws = workspace(engine, folder)
    said: list[str] = []
    event.listen(ws.source, "before_cursor_execute", lambda *told: said.append(told[2]))
    days = posting_days(ws)
    return days, [statement for statement in said if "FROM transactions" in statement]


def distinct_days(engine: Engine) -> list[date]:
    with read_snapshot(engine) as connection:
        texts = connection.execute(sa.text("SELECT DISTINCT CAST(posted_on AS TEXT) FROM transactions")).scalars()
        return sorted({day for day in map(readable_day, texts) if day is not None})


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("days", [[], [None], ["2021-12-24"], DAYS])
def test_each_posting_day_is_found_once_with_an_index_and_without(
    engine: Engine, tmp_path: Path, days: list[str | None], indexed: bool
) -> None:
    fill(engine, days, indexed=indexed)
    found, statements = days_and_statements(engine, tmp_path)
    assert sorted({date.fromisoformat(day) for day in days if day}) == found
    assert ["RECURSIVE" in statement for statement in statements] == [indexed]
    assert ["DISTINCT" in statement for statement in statements] == [not indexed]


def test_dirty_days_of_sqlite_are_found_as_a_reading_of_all_rows_finds_them(sqlite_url: str, tmp_path: Path) -> None:
    engine = connect_engine(sqlite_url, create=True)
    texts = ["2021-12-24 00:00:00", "2021-12-24 13:00:00", "2021-12-25 00:00:00.000", "", "soon", "2021-13-01"]
    fill(engine, [*DAYS, *texts, 20211224, 1.5, b"2018-05-05", b"\x00"])
    expected = distinct_days(engine)
    assert date(2018, 5, 5) in expected
    assert date(2021, 12, 25) in expected
    found, statements = days_and_statements(engine, tmp_path)
    assert expected == found
    assert ["RECURSIVE" in statement for statement in statements] == [True]


@pytest.mark.parametrize("most_steps", [2, 3])
def test_a_column_of_more_values_than_there_can_be_days_is_read_once(
    engine: Engine, tmp_path: Path, most_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.source_totals.MOST_STEPS", most_steps)
    first = date(2021, 12, 1)
    days = [first + timedelta(days=number) for number in range(3)]
    fill(engine, [day.isoformat() for day in days])
    found, statements = days_and_statements(engine, tmp_path)
    assert days == found
    assert ["DISTINCT" in statement for statement in statements] == ([False, True] if most_steps == 2 else [False])


@pytest.mark.parametrize(
    ("column", "index"),
    [
        ("date", "CREATE INDEX of_some ON transactions (posted_on) WHERE kind = 'B3'"),
        ("date", "CREATE INDEX second ON transactions (kind, posted_on)"),
        ("date", "CREATE INDEX brin ON transactions USING brin (posted_on)"),
        ("text", "CREATE INDEX patterns ON transactions (posted_on text_pattern_ops)"),
        ("timestamp", "CREATE INDEX instants ON transactions (posted_on)"),
    ],
)
def test_an_index_that_does_not_lead_from_day_to_day_is_not_asked(
    postgresql_url: str, tmp_path: Path, column: str, index: str
) -> None:
    engine = connect_engine(postgresql_url)
    others = ", ".join(f"{name} text" for name in TRANSACTIONS.columns if name != "posted_on")
    with write_transaction(engine) as connection:
        for statement in (
            f"CREATE TABLE transactions ({others}, posted_on {column})",
            "INSERT INTO transactions (posted_on) VALUES ('2021-12-24'), ('2021-12-25'), (NULL)",
            index,
        ):
            connection.exec_driver_sql(statement)
    found, statements = days_and_statements(engine, tmp_path)
    assert [date(2021, 12, 24), date(2021, 12, 25)] == found
    assert ["DISTINCT" in statement for statement in statements] == [True]


def test_a_partial_index_of_sqlite_is_not_asked(sqlite_url: str, tmp_path: Path) -> None:
    engine = connect_engine(sqlite_url, create=True)
    fill(engine, DAYS, indexed=False)
    with write_transaction(engine) as connection:
        connection.exec_driver_sql("CREATE INDEX of_some ON transactions (posted_on) WHERE amount_cents > 2")
    found, statements = days_and_statements(engine, tmp_path)
    assert distinct_days(engine) == found
    assert ["DISTINCT" in statement for statement in statements] == [True]


def test_the_next_day_is_one_look_into_the_index(engine: Engine, tmp_path: Path) -> None:
    from include.source_totals import _walk_days

    fill(engine, DAYS * 50)
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    statement = str(_walk_days(TRANSACTIONS).compile(engine, compile_kwargs={"literal_binds": True}))
    with read_snapshot(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # So few rows would be read at once.
        plan = " ".join(str(row) for row in connection.exec_driver_sql(f"{explain} {statement}"))
    wanted = "SEARCH transactions USING COVERING INDEX" if engine.dialect.name == "sqlite" else "Index Only Scan"
    assert wanted in plan
    assert "Seq Scan" not in plan


# --- Totals --------------------------------------------------------------------------------------------------------


def plain_totals(engine: Engine) -> dict[tuple[str | None, str, str], tuple[int, int]]:
    with read_snapshot(engine) as connection:
        rows = connection.execute(
            sa.text("SELECT CAST(posted_on AS TEXT), kind, status, amount_cents FROM transactions")
        ).all()
    totals: dict[tuple[str | None, str, str], tuple[int, int]] = {}
    for day, kind, status, cents in rows:
        before = totals.get((day, kind or "", status or ""), (0, 0))
        totals[day, kind or "", status or ""] = before[0] + 1, before[1] + (cents or 0)
    return totals


def test_totals_count_every_row_once_also_one_without_a_day(engine: Engine) -> None:
    fill(engine, DAYS)
    with read_snapshot(engine) as connection:
        columns = present_columns(connection)["transactions"]
        counted = list(count_by_day(connection, TRANSACTIONS, columns))
    assert plain_totals(engine) == {(day, kind, status): (rows, cents) for day, kind, status, rows, cents in counted}
    assert sum(rows for *_, rows, _ in counted) == len(DAYS)


def test_equal_values_with_different_texts_keep_both_texts(engine: Engine) -> None:
    # Rows without a readable day are asked for by these texts: one that went missing would never be read.
    column = "BLOB" if engine.dialect.name == "sqlite" else "numeric"
    values = "1, 1.0" if engine.dialect.name == "sqlite" else "1, 1.00"
    one, other = values.split(", ")
    others = ", ".join(f"{name} text" for name in TRANSACTIONS.columns if name not in ("posted_on", "amount_cents"))
    with write_transaction(engine) as connection:
        connection.exec_driver_sql(f"CREATE TABLE transactions ({others}, posted_on {column}, amount_cents bigint)")
        connection.exec_driver_sql(
            f"INSERT INTO transactions (posted_on, amount_cents) VALUES ({one}, 2), ({other}, 3)"
        )
    with read_snapshot(engine) as connection:
        columns = present_columns(connection)["transactions"]
        assert sorted(count_by_day(connection, TRANSACTIONS, columns)) == [
            (one, "", "", 1, 2),
            (other, "", "", 1, 3),
        ]


def test_totals_read_other_types_of_postgresql_as_staging_does(postgresql_url: str) -> None:
    engine = connect_engine(postgresql_url)
    typed = {
        "posted_on": "date",
        "kind": "char(8)",
        "status": "state",
        "amount_cents": "numeric",
    }
    others = ", ".join(f"{name} {typed.get(name, 'text')}" for name in TRANSACTIONS.columns)
    amounts = ["5", "-7", "0", "0.25", "5.00", "NaN", "10000000000000000", "10000000000000001", "9" * 30]
    with write_transaction(engine) as connection:
        connection.exec_driver_sql("CREATE TYPE state AS ENUM ('accepted', 'reversed')")
        connection.exec_driver_sql(f"CREATE TABLE transactions ({others})")
        connection.exec_driver_sql(
            "INSERT INTO transactions (posted_on, kind, status, amount_cents) VALUES (NULL, NULL, NULL, NULL)"
        )
        for amount in amounts:
            connection.exec_driver_sql(
                "INSERT INTO transactions (posted_on, kind, status, amount_cents) "
                f"VALUES ('2021-12-24', 'B3', 'accepted', '{amount}')"
            )
    with read_snapshot(engine) as connection, duck.connect() as con:
        columns = present_columns(connection)["transactions"]
        counted = sorted(count_by_day(connection, TRANSACTIONS, columns), key=str)
        texts = pa.chunked_array(
            table.column("amount_cents")
            for table in read_chunks(connection, select_texts(connection, TRANSACTIONS, columns))
        )
        duck.register(con, "amounts", pa.table({"text": texts}))
        staged = con.execute("SELECT CAST(sum(whole_number(text)) AS BIGINT) FROM amounts").fetchall()
    assert counted == [("2021-12-24", "B3", "accepted", 9, 10**16 - 2), (None, "", "", 1, 0)]
    assert staged == [(10**16 - 2,)]


def test_whole_numbers_of_postgresql_are_summed_as_they_are(postgresql_url: str) -> None:
    engine = connect_engine(postgresql_url)
    with write_transaction(engine) as connection:
        create_tables(connection, ["transactions"])
    with read_snapshot(engine) as connection:
        columns = present_columns(connection)["transactions"]
        amount = str(readable_amount(connection, TRANSACTIONS, columns))
        assert readable_word(connection, columns, "kind").compare(sa.column("kind"))
    assert "CAST" not in amount


def test_totals_end_with_the_last_day_of_the_period_and_name_their_month(engine: Engine, tmp_path: Path) -> None:
    fill(engine, ["2021-12-24", "2021-12-25", "2021-11-24", None])
    totals = source_totals(workspace(engine, tmp_path), DECEMBER)
    assert totals == {
        "transactions": {
            ("2021-12", "B3", "accepted"): (1, 0),
            ("2021-11", "B3", "accepted"): (1, 2),
            ("undated", "B3", "accepted"): (1, 3),
        },
        "export_declarations": {},
    }


def test_a_table_without_its_day_is_said_to_lack_it(engine: Engine, tmp_path: Path) -> None:
    with write_transaction(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE transactions (transaction_id text)")
    ws = workspace(engine, tmp_path)
    with pytest.raises(DataError, match="the source table transactions lacks the column"):
        source_totals(ws, DECEMBER)
    assert posting_days(ws) == []
    assert all(feed.posted for feed in LEDGER_FEEDS)
