"""The one DuckDB of a process: shared without being mixed up, and not handed on to a forked process."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from include import engine
from include.carm.business_number import account_key

NUMBERS = pa.table({"n": [1, 2, 3]})


def test_connections_share_a_database_and_nothing_that_they_make() -> None:
    with engine.connect() as one, engine.connect() as other:
        engine.register(one, "numbers", NUMBERS)
        one.execute("CREATE TEMP TABLE made AS SELECT * FROM numbers")
        for name in ("numbers", "made"):
            with pytest.raises(Exception, match=f"{name} does not exist"):
                other.execute(f"SELECT * FROM {name}")
        assert other.execute("SELECT iso_day('2021-12-24')::VARCHAR").fetchall() == [("2021-12-24",)]


@given(st.from_regex(r"[0-9]{9}RM[0-9]{4}", fullmatch=True))
@example("000000000RM0000")
@example("999999999RM9999")
def test_an_account_key_gives_its_business_number_back(bn15: str) -> None:
    with engine.connect() as con:
        key, back = con.execute("SELECT account_key($1), bn15_of(account_key($1))", [bn15]).fetchall()[0]
    assert (account_key(bn15), bn15) == (key, back)


def test_a_database_goes_on_when_its_spill_folder_was_cleared_between_two_steps(tmp_path: Path) -> None:
    sort = "SELECT count(*) FROM (SELECT * FROM (SELECT range AS n, hash(range) AS h FROM range(3000000)) ORDER BY h)"
    for _ in range(2):
        folder = tmp_path / "spill"
        folder.mkdir()
        with engine.connect(memory="60MB", spill_folder=folder) as con:
            con.execute(f"CREATE TEMP TABLE sorted AS {sort}")
            con.execute(
                "CREATE TEMP TABLE wide AS SELECT range AS n, repeat('x', 40) || range AS s FROM range(1500000)"
            )
            assert con.execute("SELECT count(*) FROM wide").fetchall() == [(1_500_000,)]
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def test_without_a_folder_nothing_is_spilled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with engine.connect(memory="61MB") as con, pytest.raises(duckdb.OutOfMemoryException):
        con.execute("CREATE TEMP TABLE wide AS SELECT range AS n, repeat('x', 40) || range AS s FROM range(3000000)")
    assert list(tmp_path.iterdir()) == []


def _count(queue: multiprocessing.queues.Queue) -> None:  # type: ignore[type-arg]
    inherited = engine._start.cache_info().currsize
    for _ in range(3):
        with engine.connect() as con:
            engine.register(con, "numbers", NUMBERS)
            (row,) = con.execute("SELECT sum(n)::BIGINT FROM numbers").fetchall()
    queue.put((inherited, row[0]))


def test_a_forked_process_starts_a_database_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "spill"
    folder.mkdir()
    for connect in (engine.connect, lambda: engine.connect(spill_folder=folder)):
        with connect() as con:
            con.execute("SELECT 1")
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_count, args=(queue,))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert queue.get(timeout=5) == (0, 6)
