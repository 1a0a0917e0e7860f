"""Worlds that take seconds to make and that many tests begin with: made once in a test run, and copied by each test.

The workers of pytest-xdist share what was made: a world is made under a lock, and whoever comes later copies it. A
maker must therefore give the same world every time; what a test is about it does itself, on its copy.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from include.carm.period import Period
from include.demo import fill_demo
from include.load import load_folder
from include.workspace import Workspace
from tests.fixtures.hand_written.cases import PERIOD
from tests.pipeline import extract_only, new_workspace, run_month

HAND_WRITTEN = Path(__file__).parent / "fixtures" / "hand_written"
DEMO: dict[str, Any] = {"accounts": 300, "months": 56, "last_period": "2022-01"}
"""What :func:`demo` is filled with, for tests that fill another database alike."""
FIRST_SHADOW = Period(2021, 7)

Maker = Callable[..., object]


class Prepared:
    """The worlds of a test run, in ``folder``; one is named for its maker and what that was given."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder

    def copy(self, target: Path, make: Maker, *given: str) -> Workspace:
        """The world that ``make(self, folder, *given)`` makes in an empty folder, copied to ``target``."""
        shutil.copytree(self._made(make, given), target)
        return Workspace.open(target)

    def _made(self, make: Maker, given: tuple[str, ...]) -> Path:
        made = self.folder / "-".join((make.__module__.rpartition(".")[2], make.__name__, *given))
        with _locked(made.with_name(f"{made.name}.lock")):
            if not made.exists():
                # Under another name until it is whole, so that nobody takes over what a failed maker left.
                unfinished = made.with_name(f"{made.name}.unfinished")
                shutil.rmtree(unfinished, ignore_errors=True)
                make(self, unfinished, *given)
                unfinished.rename(made)
        return made


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The worlds of this test run, shared by its workers, each of which has a folder in that of the run."""
    folder = tmp_path_factory.getbasetemp()
    return Prepared((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "prepared")


def demo(prepared: Prepared, data: Path) -> None:
    """A small demo source that reaches one month further than the shipped one."""
    fill_demo(new_workspace(data).source, **DEMO)


def december(prepared: Prepared, data: Path) -> None:
    """The demo world after its first month, 2021-12, was issued; as a person has it who names no effects."""
    run_month(prepared.copy(data, demo), "2021-12", effects="auto")


def january(prepared: Prepared, data: Path) -> None:
    """The demo world after 2021-12 and 2022-01 were issued."""
    run_month(prepared.copy(data, december), "2022-01", effects="live")


def shadow_months(prepared: Prepared, data: Path, last: str) -> None:
    """The demo world after shadow runs of all months from 2021-07 to ``last``, in their order."""
    period = Period.parse(last)
    if period == FIRST_SHADOW:
        ws = prepared.copy(data, demo)
    else:
        ws = prepared.copy(data, shadow_months, str(period.previous()))
    run_month(ws, last)


def hand_written(prepared: Prepared, data: Path, name: str) -> None:
    """A source of the hand-written cases in the folder ``name``."""
    load_folder(new_workspace(data).source, HAND_WRITTEN / name)


def hand_written_extracted(prepared: Prepared, data: Path, name: str) -> None:
    """The hand-written cases in the folder ``name``, extracted."""
    extract_only(prepared.copy(data, hand_written, name), PERIOD)


def hand_written_month(prepared: Prepared, data: Path, name: str) -> None:
    """The hand-written cases in the folder ``name`` after a shadow run of their month."""
    run_month(prepared.copy(data, hand_written, name), PERIOD)
