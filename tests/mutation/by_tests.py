"""Judges that run the project's own tests with a mutant in the place of the original, in the forked process alone."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, ModuleType

from tests.mutation.mutant import Mutant, Outcome
from tests.mutation.trial import Judge

PROJECT = Path(__file__).resolve().parents[2]

# What takes long to import and is not ours; each process that is forked has it already.
PREPARED = (
    "babel",
    "click",
    "duckdb",
    "hypothesis",
    "jinja2",
    "pandas",
    "pyarrow.parquet",
    "pytest",
    "sqlalchemy.dialects.sqlite",
    "yaml",
)


def prepare() -> None:
    """Import what every trial needs. Nothing of the project: a module that is imported cannot be replaced any more."""
    for name in PREPARED:
        importlib.import_module(name)
    imported = [name for name in sys.modules if name.split(".")[0] == "include"]
    if imported:
        raise RuntimeError(f"{imported[0]} was imported before its mutants could take its place")
    from hypothesis import Phase, settings

    # What a failing mutant brings to light is not shrunk, and not remembered for the tests of the original.
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutants", derandomize=True, deadline=None, database=None, phases=phases)


def judge_module(name: str, tests: Sequence[str]) -> Judge:
    """A judge of mutants of the Python module ``name``."""

    def put(mutant: Mutant, _: Path) -> None:
        sys.meta_path.insert(0, _Replacement(name, compile(mutant.text, f"{name} (mutant)", "exec")))
        importlib.import_module(name)

    return _judge(put, tests)


def judge_configuration(name: str, tests: Sequence[str]) -> Judge:
    """A judge of mutants of the file ``name`` in ``include/config``."""

    def put(mutant: Mutant, folder: Path) -> None:
        from include.carm import settings_file

        copied = folder / "config"
        shutil.copytree(settings_file.CONFIG_FOLDER, copied)
        (copied / name).write_text(mutant.text, encoding="utf-8")
        settings_file.CONFIG_FOLDER = copied

    return _judge(put, tests)


def judge_statement(name: str, tests: Sequence[str]) -> Judge:
    """A judge of mutants of ``include/sql/<name>.sql``."""

    def put(mutant: Mutant, _: Path) -> None:
        from include import engine

        load = engine.load_statement
        engine.load_statement = lambda wanted: mutant.text if wanted == name else load(wanted)

    return _judge(put, tests)


def _judge(put: Callable[[Mutant, Path], None], tests: Sequence[str]) -> Judge:
    def judge(mutant: Mutant, folder: Path) -> Outcome:
        import pytest

        try:
            put(mutant, folder)
        except Exception:  # noqa: BLE001  (a module that cannot even be imported)
            return Outcome.KILLED
        # pytest empties this folder.
        temporary = folder / "pytest"
        if temporary.resolve().is_relative_to(PROJECT):
            raise RuntimeError(f"{temporary} is in the project: tests would be deleted")
        os.chdir(PROJECT)
        sys.dont_write_bytecode = True
        options = ["-x", "-q", "--no-header", "--hypothesis-profile=mutants", f"--basetemp={temporary}"]
        options += ["-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
        # A rule decides alike on both databases, and one of them takes seconds to start.
        options += ["-k", "not postgresql"]
        code = pytest.main([*options, *tests])
        if code == pytest.ExitCode.OK:
            return Outcome.SURVIVED
        if code in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
            return Outcome.KILLED
        raise RuntimeError(f"pytest ended with {code!r}")

    return judge


class _Replacement(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module as its mutant."""

    def __init__(self, name: str, code: CodeType) -> None:
        self.name, self.code = name, code

    def find_spec(
        self, name: str, path: object, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self.name:
            return None
        origin = PROJECT / f"{name.replace('.', '/')}.py"
        return importlib.util.spec_from_file_location(name, origin, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(self.code, module.__dict__)
