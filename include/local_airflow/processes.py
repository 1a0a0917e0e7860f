"""Starts Airflow's processes, notices when one dies, and leaves none behind.

Every process gets a session of its own. Airflow's tasks run in process groups of their own but stay in the session of
their scheduler, so a session is what can be stopped as a whole, even when its first process is gone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from include.carm.errors import Unavailable

PATIENCE_SECONDS = 2.0
"""How long a process that was asked to end may take before it is ended. Short, for no step leaves half a result."""


class AlreadyTold(Exception):
    """A process that speaks to the person itself has failed with ``exit_code``, and has said why."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


@dataclass
class Processes:
    """The processes of one Airflow. ``home`` is Airflow's home; their output goes to ``home/logs/<name>.log``."""

    home: Path
    environment: dict[str, str]
    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    speaking: set[str] = field(default_factory=set)

    def start_airflow(self, name: str, *words: str) -> None:
        """Start ``airflow <words>``, a process that is to stay until :meth:`stop` or :meth:`finish`."""
        log = self.log_file(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._start(name, ["airflow", *words], stdout=output, stderr=subprocess.STDOUT)

    def start_module(self, name: str, *words: str) -> None:
        """Start ``python -m <words>``, which ends by itself and speaks to the person itself."""
        self.speaking.add(name)
        self._start(name, [*words])

    def log_file(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    def finish(self, name: str) -> int:
        """Wait for a process that ends by itself; returns its exit code."""
        code = self.running[name].wait()
        del self.running[name]
        return code

    def check(self) -> None:
        """Raises ``Unavailable`` when a process has ended that should be there, ``AlreadyTold`` when one that is to
        end by itself has failed."""
        for name, process in self.running.items():
            code = process.poll()
            if name in self.speaking:
                if code:
                    raise AlreadyTold(code)
            elif code is not None:
                how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
                raise Unavailable(
                    f"Airflow's {name} {how} in the middle of the work: give the same command again; "
                    f"what it wrote is in {self.log_file(name)}"
                )

    def stop(self) -> None:
        """End every process and everything it started: first politely, after a while not."""
        stop_sessions([process.pid for process in self.running.values()])
        for process in self.running.values():
            process.wait()
        self.running.clear()
        self._record.unlink(missing_ok=True)

    def stop_leftovers(self) -> None:
        """End what an earlier command left running because it was killed itself and could not.

        Whoever calls this holds the data folder's lock, so nothing that runs on this home belongs to anybody.
        """
        with suppress(OSError, ValueError):
            written = json.loads(self._record.read_text(encoding="utf-8"))
            stop_sessions([pid for pid, created in written if _is_same(pid, created)])
        self._record.unlink(missing_ok=True)

    def _start(self, name: str, words: list[str], **streams: Any) -> None:
        self.running[name] = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **streams,
        )
        with suppress(psutil.Error):
            rows = [[process.pid, psutil.Process(process.pid).create_time()] for process in self.running.values()]
            self._record.write_text(json.dumps(rows), encoding="utf-8")

    @property
    def _record(self) -> Path:
        return self.home / "processes.json"


def stop_sessions(sessions: Iterable[int]) -> None:
    """End every process in the sessions that began with these process ids, and wait until they are gone."""
    wanted = frozenset(sessions)
    deadline = time.monotonic() + PATIENCE_SECONDS
    how = signal.SIGTERM
    told: set[int] = set()
    while members := _members(wanted):
        if how is signal.SIGTERM and time.monotonic() > deadline:
            how, told = signal.SIGKILL, set()
        for pid in members - told:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, how)
        told |= members
        time.sleep(0.05)


def _members(sessions: frozenset[int]) -> set[int]:
    members = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                members.add(process.pid)
    return members


def _is_same(pid: int, created: float) -> bool:
    """Whether the session ``pid`` is still the one that was written down, and not a later one under its number."""
    try:
        return abs(psutil.Process(pid).create_time() - created) < 1
    except psutil.NoSuchProcess:
        return True  # Its first process is gone, but a number is not given again while its session has members.
    except psutil.Error:
        return False
