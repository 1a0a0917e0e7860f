"""What a folder says is what the source holds, once, all of it or nothing."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, inspect, select
from sqlalchemy.engine import Engine

from include.carm.errors import DataError, Refused, UsageError
from include.database import connect_engine, read_snapshot, write_transaction
from include.demo import fill_demo
from include.load import CHUNK_ROWS, FEEDS, load_folder
from include.source_schema import FILLING, LOADS, SOURCE, TABLES, is_empty, received_tables
from tests.source.folders import columns_of, csv_lines, csv_text, write_folder

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")


def rows_of(engine: Engine, table: str, columns: list[str] | None = None) -> list[tuple[Any, ...]]:
    """The table's rows as Python values, in an order of their own."""
    names = columns or columns_of(table)
    with read_snapshot(engine) as connection:
        found = connection.execute(select(*(TABLES[table].c[name] for name in names))).all()
    return sorted((tuple(row) for row in found), key=repr)


def counts(engine: Engine) -> dict[str, int]:
    with read_snapshot(engine) as connection:
        return {
            name: connection.execute(select(func.count()).select_from(TABLES[name])).scalar_one()
            for name in received_tables(connection)
        }


def test_every_value_arrives_as_what_it_is(engine: Engine, tmp_path: Path) -> None:
    transaction = csv_text(
        "transactions",
        {"transaction_id": "T1", "revision": "2", "due_on": "2021-12-31", "amount_cents": "-9223372036854775808"},
    )
    load_folder(engine, write_folder(tmp_path / "in", transactions=transaction))
    (row,) = rows_of(engine, "transactions")
    assert dict(zip(columns_of("transactions"), row, strict=True)) == {
        **dict.fromkeys(columns_of("transactions")),
        "transaction_id": "T1",
        "revision": 2,
        "bn15": "000000018RM0001",
        "kind": "B3",
        "activity_on": date(2021, 12, 1),
        "posted_on": date(2021, 12, 2),
        "due_on": date(2021, 12, 31),
        "status": "accepted",
        "customs_duty_cents": 100,
        "amount_cents": -(2**63),
    }


_VALUES = {
    # A NUL is refused, and a lone surrogate is no text; everything else a client may be called is loaded.
    "text": st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=12),
    "day": st.dates(),
    "int": st.integers(-(2**63), 2**63 - 1),
}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, tuple[list[str], list[tuple[Any, ...]]]]:
    """For some tables: columns in any order, and rows of any values of their types, among them the same row twice."""
    chosen = draw(st.sets(st.sampled_from([name for name in TABLES if name != "webinars"]), min_size=1))
    world = {}
    for name in sorted(chosen | {"accounts"}):
        feed = FEEDS[f"{name}.csv"]
        absent = draw(st.sets(st.sampled_from(feed.optional))) if feed.optional else set()
        columns = draw(st.permutations([column for column in feed.columns if column not in absent]))
        row = st.tuples(*(st.none() | _VALUES[feed.columns[column]] for column in columns))
        rows = draw(st.lists(row, max_size=5))
        world[name] = (list(columns), rows + rows[:1])
    return world


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(world=tables(), line_end=st.sampled_from(["\n", "\r\n"]), mark=st.booleans())
def test_what_is_loaded_is_what_was_in_the_files(
    engine: Engine, tmp_path: Path, world: dict[str, Any], line_end: str, mark: bool
) -> None:
    with write_transaction(engine) as connection:
        SOURCE.drop_all(connection)
        FILLING.drop_all(connection)
    folder = tmp_path / "in"
    for file in folder.glob("*"):
        file.unlink()
    files = {
        name: csv_lines([columns, *rows], line_end).encode("utf-8-sig" if mark else "utf-8")
        for name, (columns, rows) in world.items()
    }
    load_folder(engine, write_folder(folder, **files))
    for name, (columns, rows) in world.items():
        assert sorted(rows, key=repr) == rows_of(engine, name, columns)
        absent = [column for column in columns_of(name) if column not in columns]
        assert all(set(row) == {None} for row in rows_of(engine, name, absent) if absent)
    assert counts(engine).keys() == (
        TABLES.keys() if "export_declarations" in world else TABLES.keys() - {"export_declarations"}
    )


def test_long_files_are_loaded_in_chunks_and_progress_is_told(engine: Engine, tmp_path: Path) -> None:
    rows = 2 * CHUNK_ROWS + 1
    subscribers = csv_text("subscribers", *({"email": f"reader.{number}@example.org"} for number in range(rows)))
    told: list[tuple[str, int, float]] = []
    load_folder(
        engine, write_folder(tmp_path, subscribers=subscribers), progress=lambda *progress: told.append(progress)
    )
    assert counts(engine)["subscribers"] == rows
    assert [(what, done) for what, done, _ in told] == [
        ("subscribers.csv", CHUNK_ROWS),
        ("subscribers.csv", 2 * CHUNK_ROWS),
        ("subscribers.csv", rows),
    ]
    assert [share for *_, share in told] == sorted(share for *_, share in told)
    assert told[-1][2] == 1.0


def test_the_tables_have_the_indexes_that_extraction_needs(engine: Engine, tmp_path: Path) -> None:
    load_folder(engine, write_folder(tmp_path, export_declarations=csv_text("export_declarations")))
    with read_snapshot(engine) as connection:
        found = {
            (name, tuple(index["column_names"])): index["unique"]
            for name in TABLES
            for index in inspect(connection).get_indexes(name)
            # One over an expression is told by PostgreSQL alone: see test_source_schema.
            if index["column_names"] != [None]
        }
        keys = [inspect(connection).get_pk_constraint(name)["constrained_columns"] for name in TABLES]
    assert found.keys() == {
        ("accounts", ("bn15", "valid_from")),
        ("transactions", ("posted_on",)),
        ("transactions", ("transaction_id", "revision")),
        ("export_declarations", ("reported_on",)),
        ("export_declarations", ("declaration_id", "revision")),
    }
    # Dirty data must reach validation: nothing refuses a duplicate.
    assert not any(found.values())
    assert keys == [[]] * len(TABLES)


def test_a_feed_that_was_not_delivered_has_no_table(engine: Engine, tmp_path: Path) -> None:
    report = load_folder(engine, write_folder(tmp_path))
    assert counts(engine) == dict.fromkeys(["accounts", "delegations", "subscribers", "webinars", "transactions"], 0)
    assert "export_declarations.csv" in report.missing


def test_a_header_alone_is_a_feed_received_empty(engine: Engine, tmp_path: Path) -> None:
    load_folder(engine, write_folder(tmp_path, export_declarations=csv_text("export_declarations")))
    assert counts(engine)["export_declarations"] == 0


def test_the_same_files_again_change_nothing(engine: Engine, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, transactions=csv_text("transactions", {}), webinars=csv_text("webinars", {}))
    first = load_folder(engine, folder)
    again = load_folder(engine, folder)
    assert (first.changed, again.changed) == (True, False)
    assert counts(engine)["transactions"] == 1
    assert {file.state for file in again.files} == {"unchanged"}
    assert [(file.name, file.rows) for file in again.files] == [(file.name, file.rows) for file in first.files]


def test_the_source_remembers_what_was_loaded(engine: Engine, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, transactions=csv_text("transactions", {}))
    load_folder(engine, folder)
    with read_snapshot(engine) as connection:
        loads = connection.execute(select(LOADS).order_by(LOADS.c.file_name)).all()
    digest = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert [tuple(row) for row in loads] == [
        (1, "load", "accounts.csv", digest["accounts.csv"], 0),
        (1, "load", "transactions.csv", digest["transactions.csv"], 1),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"transactions": csv_text("transactions", {"amount_cents": "101"})},
        {"webinars": csv_text("webinars", {})},
    ],
    ids=["another file", "one file more"],
)
def test_other_files_are_refused_where_the_source_holds_rows(
    engine: Engine, tmp_path: Path, change: dict[str, str]
) -> None:
    first = {"transactions": csv_text("transactions", {})}
    load_folder(engine, write_folder(tmp_path / "first", **first))
    before = rows_of(engine, "transactions")
    with pytest.raises(Refused, match=r"holds other rows \(transactions\), so .*second was not loaded: .*--append"):
        load_folder(engine, write_folder(tmp_path / "second", **first | change))
    assert rows_of(engine, "transactions") == before


def test_fewer_files_than_before_are_other_files(engine: Engine, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, transactions=csv_text("transactions", {}), webinars=csv_text("webinars", {}))
    load_folder(engine, folder)
    (folder / "webinars.csv").unlink()
    with pytest.raises(Refused):
        load_folder(engine, folder)


def test_files_are_refused_where_the_source_holds_the_demo_world(engine: Engine, tmp_path: Path) -> None:
    fill_demo(engine, accounts=2, months=2)
    with pytest.raises(Refused, match="holds the demo world"):
        load_folder(engine, write_folder(tmp_path))


def test_a_source_without_rows_takes_other_files(engine: Engine, tmp_path: Path) -> None:
    load_folder(engine, write_folder(tmp_path / "first"))
    assert is_empty(engine)
    load_folder(engine, write_folder(tmp_path / "second", transactions=csv_text("transactions", {})))
    assert counts(engine)["transactions"] == 1
    assert not is_empty(engine)


@pytest.mark.parametrize("other", [{}, {"webinars": csv_text("webinars", {})}], ids=["same files", "one more"])
def test_files_whose_rows_somebody_deleted_are_loaded_again(
    engine: Engine, tmp_path: Path, other: dict[str, str]
) -> None:
    transactions = csv_text("transactions", {})
    load_folder(engine, write_folder(tmp_path / "first", transactions=transactions))
    with write_transaction(engine) as connection:
        connection.execute(TABLES["transactions"].delete())
    assert load_folder(engine, write_folder(tmp_path / "second", transactions=transactions, **other)).changed
    assert counts(engine)["transactions"] == 1


def test_append_adds_rows_and_the_first_folder_is_still_known(engine: Engine, tmp_path: Path) -> None:
    first = write_folder(tmp_path / "first", transactions=csv_text("transactions", {}))
    load_folder(engine, first)
    late = tmp_path / "late"
    late.mkdir()
    (late / "transactions.csv").write_text(csv_text("transactions", {"revision": "2"}, {"transaction_id": "T2"}))
    report = load_folder(engine, late, append=True)
    assert [(file.name, file.rows, file.state) for file in report.files] == [("transactions.csv", 2, "loaded")]
    assert counts(engine)["transactions"] == 3
    # `make run FROM=first` of the next month must not be stopped by what came in the meantime.
    assert not load_folder(engine, first).changed
    assert not load_folder(engine, late, append=True).changed
    assert counts(engine)["transactions"] == 3


def test_append_loads_only_the_files_that_are_new(engine: Engine, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, transactions=csv_text("transactions", {}))
    load_folder(engine, folder)
    (folder / "webinars.csv").write_text(csv_text("webinars", {}))
    report = load_folder(engine, folder, append=True)
    assert {file.name: file.state for file in report.files} == {
        "accounts.csv": "unchanged",
        "webinars.csv": "loaded",
        "transactions.csv": "unchanged",
    }
    assert (counts(engine)["transactions"], counts(engine)["webinars"]) == (1, 1)


def test_append_can_bring_the_feed_that_was_not_delivered(engine: Engine, tmp_path: Path) -> None:
    load_folder(engine, write_folder(tmp_path / "first"))
    load_folder(
        engine, write_folder(tmp_path / "second", export_declarations=csv_text("export_declarations", {})), append=True
    )
    assert counts(engine)["export_declarations"] == 1


def test_append_works_on_the_demo_world(engine: Engine, tmp_path: Path) -> None:
    fill_demo(engine, accounts=2, months=2)
    before = counts(engine)["transactions"]
    load_folder(engine, write_folder(tmp_path, transactions=csv_text("transactions", {})), append=True)
    assert counts(engine)["transactions"] == before + 1


def test_a_table_of_ones_own_without_a_column_is_named(engine: Engine, tmp_path: Path) -> None:
    with write_transaction(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE subscribers (email TEXT)")
    with pytest.raises(DataError, match=r"subscribers.csv, line 1, column language: is no column of the table"):
        load_folder(engine, write_folder(tmp_path, subscribers=csv_text("subscribers", {})))


def test_files_that_are_not_of_the_source_are_named(engine: Engine, tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "account.csv").write_text("x")
    (folder / "README.md").write_text("x")
    assert load_folder(engine, folder).ignored == ("account.csv",)


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere", "cannot read the folder"), ("file", "cannot read the folder"), ("empty", "none of")],
)
def test_a_folder_that_is_none_is_wrong_usage_and_makes_no_database(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=message):
        load_folder(connect_engine(f"sqlite:///{tmp_path / 'source.db'}", create=True), tmp_path / name)
    assert not (tmp_path / "source.db").exists()
