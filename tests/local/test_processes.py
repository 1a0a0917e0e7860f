"""What was started is noticed when it dies, and is gone afterwards, however it was ended."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from include.carm.errors import Unavailable
from include.local_airflow import processes as processes_module
from include.local_airflow.processes import AlreadyTold, Processes

# Starts a child in a process group of its own, as Airflow does for a task; both close their ears to SIGTERM.
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setpgid(0, 0)
open(sys.argv[1] + str(os.getpid()), "w").close()
time.sleep(600)
"""


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Processes over a home of their own, where ``airflow`` is a program of this test."""
    monkeypatch.setattr(processes_module, "PATIENCE_SECONDS", 0.5)
    (tmp_path / "home").mkdir()
    found = Processes(tmp_path / "home", dict(os.environ) | {"PYTHONPATH": str(tmp_path)}, tmp_path)
    yield found
    found.stop()


def be_airflow(folder: Path, program: str) -> None:
    (folder / "airflow.py").write_text(program, encoding="utf-8")


def wait_for(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def start_stubborn(processes: Processes, folder: Path) -> list[int]:
    be_airflow(folder, STUBBORN)
    processes.start_airflow("scheduler", str(folder / "pid-"))
    wait_for(lambda: len(list(folder.glob("pid-*"))) == 2)
    return [int(file.name.removeprefix("pid-")) for file in folder.glob("pid-*")]


def test_stopping_ends_also_what_was_started_further_down_and_does_not_listen(processes, tmp_path):
    pids = start_stubborn(processes, tmp_path)
    processes.stop()
    assert alive(pids) == []


def test_the_children_of_a_killed_process_are_ended_too(processes, tmp_path):
    pids = start_stubborn(processes, tmp_path)
    processes.running["scheduler"].kill()
    processes.running["scheduler"].wait()
    assert len(alive(pids)) == 1
    processes.stop()
    assert alive(pids) == []


def test_what_a_killed_command_left_is_ended_by_the_next(processes, tmp_path):
    pids = start_stubborn(processes, tmp_path)
    Processes(processes.home, processes.environment, tmp_path).stop_leftovers()
    assert alive(pids) == []


def test_a_process_that_took_over_the_number_is_left_alone(processes, tmp_path):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True) as stranger:
        (processes.home / "processes.json").write_text(f"[[{stranger.pid}, 1.0]]", encoding="utf-8")
        processes.stop_leftovers()
        assert stranger.poll() is None
        stranger.kill()


def test_a_record_that_cannot_be_read_ends_nothing(processes):
    (processes.home / "processes.json").write_text("[[", encoding="utf-8")
    processes.stop_leftovers()
    assert not (processes.home / "processes.json").exists()


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (
            "import os; os.kill(os.getpid(), 9)",
            r"^Airflow's scheduler was killed by signal 9 in the middle of the work: ",
        ),
        ("raise SystemExit(3)", r"^Airflow's scheduler ended with code 3 in the middle of the work: "),
        ("", r"^Airflow's scheduler ended with code 0 in the middle of the work: "),
    ],
)
def test_a_process_that_dies_is_noticed_with_its_log(processes, tmp_path, program, expected):
    be_airflow(tmp_path, program)
    processes.start_airflow("scheduler")
    processes.running["scheduler"].wait()
    with pytest.raises(Unavailable, match=expected + r"give the same command again.*/logs/scheduler\.log$"):
        processes.check()


@pytest.mark.parametrize("code", [1, 2])
def test_a_process_that_speaks_for_itself_hands_on_its_exit_code(processes, tmp_path, code):
    (tmp_path / "preparation.py").write_text(f"raise SystemExit({code})", encoding="utf-8")
    processes.start_module("preparation", "preparation")
    processes.running["preparation"].wait()
    with pytest.raises(AlreadyTold) as told:
        processes.check()
    assert told.value.exit_code == code


def test_a_process_that_is_done_may_go(processes, tmp_path):
    (tmp_path / "preparation.py").write_text("", encoding="utf-8")
    processes.start_module("preparation", "preparation")
    assert processes.finish("preparation") == 0
    processes.check()
