"""Judges mutants, each in a process of its own that is forked from a prepared one.

A fork costs milliseconds, shares what was prepared with the parent, and takes with it whatever the mutant did: a
crash, an endless loop, a module half imported. Nothing is written into the tree of the project.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import NamedTuple

from tests.mutation.mutant import Mutant, Outcome

FORK = multiprocessing.get_context("fork")

Judge = Callable[[Mutant, Path], Outcome]
"""Says what becomes of a mutant; runs in a forked process, and has an empty folder to write into."""


class Trial(NamedTuple):
    """A mutant, what became of it, and what was said about it (for a person who looks into it)."""

    mutant: Mutant
    outcome: Outcome
    said: str


class BrokenJudge(Exception):
    """The judge itself failed: nothing is known of the mutant."""


class _Running(NamedTuple):
    mutant: Mutant
    process: BaseProcess
    answer: Connection
    folder: TemporaryDirectory[str]
    until: float

    @property
    def said(self) -> Path:
        return Path(self.folder.name) / "said.txt"


def judge_all(mutants: Iterable[Mutant], judge: Judge, *, jobs: int = 1, seconds: float = 60) -> Iterator[Trial]:
    """The trials of ``mutants`` as they end, ``jobs`` at a time; one that takes longer than ``seconds`` is killed.

    Raises :class:`BrokenJudge` when the judge raises.
    """
    waiting = iter(mutants)
    running: list[_Running] = []
    try:
        while True:
            while len(running) < jobs and (mutant := next(waiting, None)) is not None:
                running.append(_start(mutant, judge, seconds))
            if not running:
                return
            left = max(0.0, min(one.until for one in running) - monotonic())
            wait([one.process.sentinel for one in running], timeout=left)
            for one in list(running):
                if not one.process.is_alive() or monotonic() >= one.until:
                    running.remove(one)
                    yield _end(one)
    finally:
        for one in running:
            _stop(one)


def _start(mutant: Mutant, judge: Judge, seconds: float) -> _Running:
    folder = TemporaryDirectory(prefix="carm-mutant-", ignore_cleanup_errors=True)
    answer, tell = FORK.Pipe(duplex=False)
    one = _Running(mutant, FORK.Process(), answer, folder, monotonic() + seconds)
    process = FORK.Process(target=_work, args=(mutant, judge, one.said, tell), daemon=True)
    process.start()
    tell.close()
    return one._replace(process=process)


def _work(mutant: Mutant, judge: Judge, said: Path, tell: Connection) -> None:
    # A group of its own, so that what the tests started ends with them.
    os.setsid()
    work = said.parent / "work"
    work.mkdir()
    with said.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        try:
            tell.send(judge(mutant, work))
        except BaseException as error:  # noqa: BLE001  (whatever it is, it is told)
            traceback.print_exc()
            tell.send(error.__class__.__name__)
    # Not the way of sys.exit: what the parent prepared is not this process's to take down.
    os._exit(0)


def _end(one: _Running) -> Trial:
    answer, said = None, ""
    try:
        with suppress(EOFError, OSError):
            said = one.said.read_text(encoding="utf-8", errors="replace")
            if not one.process.is_alive() and one.answer.poll():
                answer = one.answer.recv()
    finally:
        _stop(one)
    if answer is None:
        # It crashed, or its time was over: either way it does not do what the original does.
        return Trial(one.mutant, Outcome.KILLED, f"{said}\nit did not end by itself")
    if not isinstance(answer, Outcome):
        raise BrokenJudge(f"{one.mutant.key}: {answer}\n{said[-3000:]}")
    return Trial(one.mutant, answer, said)


def _stop(one: _Running) -> None:
    if one.process.pid is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(one.process.pid, signal.SIGKILL)
    one.process.join()
    one.answer.close()
    one.folder.cleanup()
