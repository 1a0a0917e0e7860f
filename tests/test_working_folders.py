"""What a killed process leaves is cleared away, and what a living one uses is not."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from include import lake as lake_module
from include.carm.errors import Unavailable
from include.carm.period import Period
from include.datasets import schema_of
from include.lake import Lake
from include.month import open_month
from include.validate import validate_month
from include.working_folders import alone_in, spill_folder, sweep_spills, working_in
from include.workspace import Workspace
from tests.pipeline import new_workspace

DECEMBER = Period(2021, 12)
NOTHING = schema_of("transactions").empty_table()


def spill_and_wait(work: Path, ready: Any) -> None:
    with spill_folder(work) as folder:
        (folder / "spilled").write_bytes(b"what a query asks for again")
        ready.send(folder)
        signal.pause()


def work_and_wait(folder: Path, ready: Any) -> None:
    with working_in(folder):
        (folder / ".data.1-abc.parquet").write_bytes(b"as far as it went")
        ready.send(folder)
        signal.pause()


@contextmanager
def another_process(does: Callable[[Path, Any], None], folder: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A process that does something in a folder and waits. Yields what it tells, and how to kill it."""
    context = multiprocessing.get_context("fork")
    told, ready = context.Pipe(duplex=False)
    process = context.Process(target=does, args=(folder, ready))
    process.start()

    def kill() -> None:
        process.kill()
        process.join(30)

    try:
        assert told.poll(30)
        yield told.recv(), kill
    finally:
        kill()


def refuse_locks(descriptor: int, operation: int) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def test_a_spill_folder_outlives_another_use_in_the_same_process(tmp_path: Path) -> None:
    ws = new_workspace(tmp_path / "data")
    with ws.spill_folder() as outer:
        (outer / "spilled").write_bytes(b"what a query of the outer connection asks for again")
        with ws.spill_folder() as inner:
            assert inner == outer
        assert (outer / "spilled").exists()
    assert not outer.exists()
    with ws.spill_folder() as again:
        # The same, so that the process goes on with the database that it has.
        assert again == outer
        assert list(again.iterdir()) == []


def test_only_the_spill_folder_of_a_killed_process_is_cleared(tmp_path: Path) -> None:
    of_an_earlier_release = tmp_path / "spill-4711"
    of_an_earlier_release.mkdir()
    with spill_folder(tmp_path) as own, another_process(spill_and_wait, tmp_path) as (of_other, kill):
        assert of_other != own
        sweep_spills(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([own, of_other, of_an_earlier_release])
        kill()
        assert of_other.exists()
        sweep_spills(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([own, of_an_earlier_release])


def test_a_folder_that_is_cleared_away_while_somebody_comes_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, flock, cleared = tmp_path / "spill", fcntl.flock, []

    def clear_first(descriptor: int, operation: int) -> None:
        if not cleared:
            cleared.append(folder.rmdir())
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", clear_first)
    with working_in(folder):
        assert folder.exists()
        with alone_in(folder) as is_alone:
            assert not is_alone
    with alone_in(folder) as is_alone:
        assert is_alone


def test_where_nobody_can_tell_nothing_is_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse_locks)
    ws = new_workspace(tmp_path / "data")
    left = ws.data / "work" / "spill-1-abc"
    begun = ws.lake().path("transactions", DECEMBER).with_name(".data.1-abc.parquet")
    left.mkdir(parents=True)
    begun.parent.mkdir(parents=True)
    begun.touch()
    sweep_spills(ws.data / "work")
    with ws.spill_folder() as folder:
        assert folder.exists()
    seal = ws.lake().publish("transactions", DECEMBER, NOTHING)
    assert (seal.rows, left.exists(), begun.exists()) == (0, True, True)


def opened(ws: Workspace, run_id: str) -> dict[str, Any]:
    return open_month(ws, DECEMBER, "shadow", run_id, "manual", lambda other_run: False)


def test_a_month_that_is_taken_over_clears_what_the_dead_run_staged(tmp_path: Path) -> None:
    ws = new_workspace(tmp_path / "data")
    dead = opened(ws, "dead run")
    work = ws.data / "work"
    staged = ws.staging("dead run", "extract") / "transactions-1.parquet"
    staged.parent.mkdir(parents=True)
    staged.touch()
    spilled = work / "spill-4711-abc" / "duckdb_temp_storage_DEFAULT-0.tmp"
    spilled.parent.mkdir()
    spilled.touch()

    # The same run again, as when its first task is cleared, goes on with what it has.
    opened(ws, "dead run")
    assert (staged.exists(), spilled.exists()) == (True, False)
    opened(ws, "next run")
    left = sorted(str(path.relative_to(work)) for path in work.rglob("*") if path.is_file())
    assert left == ["dead-run/month/before.json", "next-run/month/before.json"]
    with pytest.raises(Unavailable, match=r"what was read of 2021-12 is there no more.*clear extract_feeds"):
        validate_month(ws, dead)


def test_a_run_whose_id_is_written_alike_keeps_its_folder(tmp_path: Path) -> None:
    ws = new_workspace(tmp_path / "data")
    opened(ws, "run+1")
    staged = ws.staging("run-1", "extract")
    staged.mkdir(parents=True)
    opened(ws, "run-1")
    assert staged.exists()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_partition_that_could_not_be_written_leaves_nothing_in_the_lake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    lake = new_workspace(tmp_path / "data").lake()

    def refuse(path: Path, *_: Any) -> int:
        path.write_bytes(b"as far as it went")
        raise error

    monkeypatch.setattr(lake_module, "write_parquet", refuse)
    with pytest.raises((Unavailable, KeyboardInterrupt), match=r"^$|No space left on device"):
        lake.publish("transactions", DECEMBER, NOTHING)
    assert list(lake.path("transactions", DECEMBER).parent.iterdir()) == []


def names_in(lake: Lake) -> list[str]:
    return sorted(path.name for path in lake.path("transactions", DECEMBER).parent.iterdir())


def test_what_a_killed_writer_began_is_cleared_by_the_next(tmp_path: Path) -> None:
    lake = new_workspace(tmp_path / "data").lake()
    folder = lake.path("transactions", DECEMBER).parent
    folder.mkdir(parents=True)
    (folder / ".data.4711.parquet").write_bytes(b"of an earlier release")
    with another_process(work_and_wait, folder) as (_, kill):
        lake.publish("transactions", DECEMBER, NOTHING)
        assert names_in(lake) == [".data.1-abc.parquet", ".data.4711.parquet", "data.parquet"]
        kill()
        lake.publish("transactions", DECEMBER, NOTHING)
        assert names_in(lake) == ["data.parquet"]
