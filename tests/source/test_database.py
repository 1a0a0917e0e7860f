"""Two databases, one behaviour: snapshots, writers that wait, and errors that say what to do."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DBAPIError

from include.carm.errors import CarmError, DataError, Unavailable, UsageError
from include.database import connect_engine, describe_database, plain_errors, read_snapshot, write_transaction


@pytest.fixture
def numbers(engine: Engine) -> Engine:
    with write_transaction(engine) as connection:
        connection.execute(text("CREATE TABLE numbers (number BIGINT)"))
        connection.execute(text("INSERT INTO numbers VALUES (1)"))
    return engine


def write(engine: Engine, *statements: str, pragma: str = "", bulk: bool = False) -> None:
    """Run statements in one transaction, after a PRAGMA of SQLite on the same connection."""
    with write_transaction(engine, bulk=bulk) as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        if pragma:
            driver.execute(f"PRAGMA {pragma}")
        for statement in statements:
            connection.execute(text(statement))


def write_by_driver(engine: Engine, statement: str) -> None:
    with write_transaction(engine) as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute(statement)


def read(engine: Engine, statement: str) -> Any:
    with read_snapshot(engine) as connection:
        return connection.execute(text(statement)).scalar()


def count(engine: Engine) -> int:
    return int(read(engine, "SELECT count(*) FROM numbers"))


def test_a_snapshot_does_not_see_what_is_committed_after_it_began(numbers: Engine) -> None:
    with read_snapshot(numbers) as connection:
        with write_transaction(numbers) as writer:
            writer.execute(text("INSERT INTO numbers VALUES (2)"))
        # Nothing was read before the other's commit, and still it is not seen.
        assert connection.execute(text("SELECT count(*) FROM numbers")).scalar_one() == 1
    assert count(numbers) == 2


def test_a_snapshot_cannot_be_written_through(numbers: Engine) -> None:
    with pytest.raises(CarmError), read_snapshot(numbers) as connection:
        connection.execute(text("INSERT INTO numbers VALUES (2)"))
    assert count(numbers) == 1


@pytest.mark.parametrize("bulk", [False, True])
def test_a_failed_transaction_leaves_nothing_behind_not_even_a_table(numbers: Engine, bulk: bool) -> None:
    with pytest.raises(DBAPIError, match="syntax"):
        write(numbers, "INSERT INTO numbers VALUES (2)", "CREATE TABLE other (number BIGINT)", "SELEC 1", bulk=bulk)
    assert count(numbers) == 1
    with pytest.raises(DataError, match="has no table other"):
        read(numbers, "SELECT * FROM other")


def test_a_transaction_that_ends_well_is_kept(numbers: Engine) -> None:
    write(numbers, "INSERT INTO numbers VALUES (2)", bulk=True)
    assert count(numbers) == 2


def test_a_missing_table_is_named(numbers: Engine) -> None:
    with pytest.raises(DataError, match="has no table transactions: fill it with"):
        read(numbers, "SELECT * FROM transactions")


def test_an_error_of_the_driver_itself_is_as_plain(numbers: Engine) -> None:
    with pytest.raises(DataError, match="no table nowhere"):
        write_by_driver(numbers, "INSERT INTO nowhere VALUES (1)")


def test_a_mistake_of_the_program_keeps_its_own_error(numbers: Engine) -> None:
    with pytest.raises(DBAPIError, match="syntax"):
        read(numbers, "SELEC 1")


def test_an_sqlite_writer_waits_for_another_and_then_says_so(sqlite_url: str) -> None:
    engine = connect_engine(sqlite_url, create=True, wait_seconds=0.05)
    with write_transaction(engine), pytest.raises(Unavailable, match=r"is locked by another process \(waited 0.05 s\)"):
        write(engine)


def test_a_postgresql_writer_waits_for_a_lock_and_then_says_so(postgresql_url: str) -> None:
    engine = connect_engine(postgresql_url, wait_seconds=0.05)
    write(engine, "CREATE TABLE numbers (number BIGINT)")
    with write_transaction(engine) as holder:
        holder.execute(text("LOCK TABLE numbers"))
        with pytest.raises(Unavailable, match="is locked by another session"):
            write(engine, "INSERT INTO numbers VALUES (1)")


def test_readers_of_sqlite_do_not_wait_for_a_writer(sqlite_url: str) -> None:
    engine = connect_engine(sqlite_url, create=True, wait_seconds=0.05)
    write(engine, "CREATE TABLE numbers (number BIGINT)")
    with write_transaction(engine) as connection:
        connection.execute(text("INSERT INTO numbers VALUES (1)"))
        assert count(engine) == 0


@pytest.mark.parametrize("place", ["source.db", "nothing/source.db"])
def test_a_missing_sqlite_file_is_an_error_and_is_not_made(tmp_path: Path, place: str) -> None:
    engine = connect_engine(f"sqlite:///{tmp_path / place}")
    with pytest.raises(
        Unavailable, match=r"there is no database at .*: fill one with `carm demo` or `carm load FOLDER`"
    ):
        engine.connect()
    assert list(tmp_path.iterdir()) == []


def test_lost_tables_are_told_from_a_database_without_a_month(database_url: str, tmp_path: Path) -> None:
    connect_engine(database_url, create=True).connect().close()
    engine = connect_engine(database_url, lake=tmp_path / "lake")
    with pytest.raises(DataError, match=r"no month was run on .* yet"):
        read(engine, "SELECT * FROM carm_plans")
    (tmp_path / "lake" / "transactions" / "period=2021-12").mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        read(engine, "SELECT * FROM carm_plans")
    said, lake = str(caught.value), tmp_path / "lake"
    assert said.startswith(f"{describe_database(engine)} has no table carm_plans, though {lake} holds months: name the")
    assert "restore it from a backup" in said
    with pytest.raises(DataError, match="has no table accounts: fill it with"):
        read(engine, "SELECT * FROM accounts")


def test_a_new_sqlite_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "what? a folder" / "source#1%20.db"
    url = URL.create("sqlite", database=str(path)).render_as_string()
    write(connect_engine(url, create=True), "CREATE TABLE numbers (number BIGINT)")
    assert [path.stat().st_size > 0, *tmp_path.rglob("*")] == [True, path.parent, path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("folder", "cannot be opened: it must be a file"),
        ("text", "is not a sound SQLite database"),
    ],
)
def test_what_is_no_database_is_said_to_be_none(tmp_path: Path, place: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("transaction_id,bn15\n" * 100)
    with pytest.raises(CarmError, match=message), read_snapshot(connect_engine(f"sqlite:///{tmp_path / place}")):
        pass


def test_a_read_only_database_is_read_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "source.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE numbers (number BIGINT)")
    connection.close()
    engine = connect_engine(f"sqlite:///{path}")
    # The superuser may write whatever the mode says, so the switch of the database itself stands in for it.
    with pytest.raises(Unavailable, match="is read-only here: make the file and its folder writable"):
        write(engine, "INSERT INTO numbers VALUES (1)", pragma="query_only = ON")
    if os.geteuid() != 0:
        path.chmod(0o400)
        tmp_path.chmod(0o500)
        assert count(engine) == 0
        tmp_path.chmod(0o700)


def test_a_full_disk_is_said_to_be_full(sqlite_url: str) -> None:
    engine = connect_engine(sqlite_url, create=True)
    statements = "CREATE TABLE numbers (number BLOB)", "INSERT INTO numbers VALUES (zeroblob(100000))"
    with pytest.raises(Unavailable, match=r"no space is left for database .*; nothing was changed"):
        write(engine, *statements, pragma="max_page_count = 2")


@pytest.mark.parametrize(
    "url", ["postgres://clerk:s3cret@127.0.0.1:1/ledger", "postgresql://clerk:s3cret@127.0.0.1:1/ledger"]
)
def test_an_unreachable_server_is_named_without_its_password(url: str) -> None:
    with pytest.raises(Unavailable) as caught:
        connect_engine(url).connect()
    assert str(caught.value) == (
        "PostgreSQL database ledger on 127.0.0.1 cannot be reached: "
        "check that it runs, and the host, port, name, user and password of its URL"
    )


def test_a_database_that_the_server_has_not_is_named(postgresql_url: str) -> None:
    url = re.sub(r"/test_\d+\?", "/elsewhere?", postgresql_url)
    with pytest.raises(Unavailable, match=r"PostgreSQL database elsewhere on .* cannot be reached"):
        connect_engine(url).connect()


def read_while_cut_off(url: str) -> None:
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"
    with read_snapshot(connect_engine(url)) as connection:
        read(connect_engine(url), end)
        connection.execute(text("SELECT 1"))


def test_a_connection_that_the_server_ends_is_a_server_that_cannot_be_reached(postgresql_url: str) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        read_while_cut_off(postgresql_url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://localhost/ledger", "mysql is not a database this works with: use a sqlite or postgresql URL"),
        ("sqlite://", "an SQLite database in memory ends with its process"),
        ("sqlite:///:memory:", "an SQLite database in memory ends with its process"),
        ("clerk:s3cret@somewhere", "the database URL cannot be read: write sqlite:///path/to/file.db"),
    ],
)
def test_a_url_of_another_kind_is_wrong_usage(url: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        connect_engine(url)
    assert message in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_an_error_tells_no_row_and_no_password(numbers: Engine) -> None:
    insert = text("INSERT INTO numbers (nonsense) VALUES (:amount)")
    with pytest.raises(DBAPIError, match="nonsense") as caught, write_transaction(numbers) as connection:
        connection.execute(insert, {"amount": 987_654})
    assert "987654" not in str(caught.value)


def read_by_driver(engine: Engine, statement: str) -> None:
    with plain_errors(engine), engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute(statement).fetchall()


@pytest.mark.parametrize("how", [read, read_by_driver])
def test_text_that_is_not_utf_8_is_named_by_its_column_and_quoted_nowhere(
    sqlite_url: str, how: Callable[[Engine, str], object]
) -> None:
    engine = connect_engine(sqlite_url, create=True)
    write(engine, "CREATE TABLE names (name TEXT)", "INSERT INTO names VALUES (CAST(X'53c3a96372657420e9' AS TEXT))")

    with pytest.raises(DataError, match="has text in column name that is not UTF-8: write that column") as caught:
        how(engine, "SELECT name FROM names")
    shown = "".join(traceback.format_exception(caught.value))
    assert "Could not decode to UTF-8 column 'name'" in shown
    assert "cret" not in shown


def test_a_relative_path_is_the_same_file_after_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = connect_engine("sqlite:///source.db", create=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with write_transaction(engine):
        pass
    assert describe_database(engine) == f"database {tmp_path / 'source.db'}"
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["elsewhere", "source.db"]


def test_other_errors_pass_unchanged(engine: Engine) -> None:
    with pytest.raises(KeyError), plain_errors(engine):
        raise KeyError("x")
