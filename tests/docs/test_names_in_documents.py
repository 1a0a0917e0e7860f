"""Files, folders and settings that a document names in code are there; links and commands: tests/test_documents.py."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from include.cli.serving import serve_unsubscribe
from tests.test_documents import DOCUMENTS, PROJECT, code_of, each_document, prose_of, table_rows, texts_of_code

_NAME = re.compile(r"[\w.*-]+")
_OURS = ("py", "sql", "md", "yaml", "toml", "po", "j2")
_SETTING = re.compile(r"(?:export )?([A-Z][A-Z0-9_]+)=")


@cache
def files() -> tuple[str, ...]:
    """Every file and folder of the repository, but for what work in it leaves behind."""
    left = {".git", ".venv", "data", "__pycache__", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
    return tuple(
        path.relative_to(PROJECT).as_posix()
        for top in sorted(PROJECT.iterdir())
        if top.name not in left
        for path in (top, *(top.rglob("*") if top.is_dir() else ()))
        if not left & set(path.parts[len(PROJECT.parts) :])
    )


def missing_names(text: str) -> list[str]:
    """The paths and file names in the code spans of a text that are no file or folder of the repository.

    A path counts where it begins with a folder of ours, so that what a run leaves in a data folder does not; ``*``,
    ``…`` and ``<what varies>`` stand for anything, and ``path::name`` is a name in a file.
    """
    return [span for span in spans_of(text) if not is_there(span)]


def spans_of(text: str) -> list[str]:
    return re.findall(r"`([^`\s]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def is_there(span: str) -> bool:
    path, _, inside = span.partition("::")
    pattern = re.sub(r"<[^>]+>|…", "*", path).rstrip("/")
    tops = {name for name in files() if "/" not in name}
    if "/" in pattern:
        if pattern.split("/")[0] not in tops or not all(_NAME.fullmatch(part) for part in pattern.split("/")):
            return True
        found = [name for name in files() if Path(name).match(pattern) and name.count("/") == pattern.count("/")]
    elif _NAME.fullmatch(pattern) and pattern.rpartition(".")[2] in _OURS and pattern.rpartition(".")[0]:
        found = [name for name in files() if Path(name).match(pattern)]
    else:
        return True
    if inside:
        defined = rf"^\s*(?:def|class) {re.escape(inside)}\b|^{re.escape(inside)}\b"
        return any(re.search(defined, (PROJECT / name).read_text(encoding="utf-8"), re.MULTILINE) for name in found)
    return bool(found)


@each_document()
def test_every_path_of_the_repository_exists(document: Path) -> None:
    assert [] == missing_names(document.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "span",
    [
        "include/no_such_step.py",
        "include/sql/derive_nothing.sql",
        "docs/missing/",
        "no_such_step.py",
        "tests/nowhere/test_*.py",
        "include/apply.py::no_such_function",
    ],
)
def test_a_path_that_is_not_there_is_found(span: str) -> None:
    assert [span] == missing_names(f"See `{span}`, and nothing else.")


@pytest.mark.parametrize(
    "span",
    [
        "include/apply.py",
        "include/sql/",
        "include/sql/<verb>_<object>.sql",
        "include/apply.py::apply_plan",
        "apply.py",
        "lake/<dataset>/period=P/data.parquet",
        "data/preview/2021-12",
        "RESULT: done",
        "read/write",
    ],
)
def test_a_path_that_is_there_or_belongs_to_a_run_is_left_alone(span: str) -> None:
    assert [] == missing_names(f"See `{span}`, and nothing else.")


# --- Settings --------------------------------------------------------------------------------------------------------


def unknown_settings(text: str) -> list[str]:
    """The names before a ``=`` that are no variable of the Makefile, none that the code reads, none of Airflow's."""
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    known = set(re.findall(r"\b([A-Z_]{4,})\b", makefile))
    read = "\n".join(texts_of_code())
    found = [match[1] for code in code_of(text) if (match := _SETTING.match(code))]
    return [name for name in found if name not in known and name not in read and not name.startswith("AIRFLOW_")]


@each_document()
def test_every_setting_is_one_that_is_read(document: Path) -> None:
    assert [] == unknown_settings(document.read_text(encoding="utf-8"))


def test_a_setting_that_nobody_reads_is_found() -> None:
    assert unknown_settings("`CARM_NO_SUCH_THING=on` and `CARM_SCHEDULE=on` and `PERIOD=2021-12`") == [
        "CARM_NO_SUCH_THING"
    ]


@each_document()
def test_every_option_of_the_unsubscribe_page_exists(document: Path) -> None:
    options = {name for option in serve_unsubscribe.params for name in option.opts} | {"--help"}
    used = [
        word
        for code in code_of(document.read_text(encoding="utf-8"))
        if code.removeprefix("$ ").startswith("carm-unsubscribe")
        for word in code.split()
        if word.startswith("-")
    ]
    assert [] == [word for word in used if word not in options]


@pytest.mark.parametrize("document", ["adapting.md"])
def test_what_a_page_says_that_is_said_is_said_by_the_code(document: str) -> None:
    """As for the symptoms of docs/operating.md; … stands for what varies."""
    text = (PROJECT / "docs" / document).read_text(encoding="utf-8")
    said = [symptom for row in table_rows(text, "it says") for symptom in re.findall(r"`([^`]+)`", row[0])]
    pieces = [piece.strip() for symptom in said for piece in symptom.split("…")]
    assert len(pieces) > 5
    assert [] == [piece for piece in pieces if not any(piece in told for told in texts_of_code())]


def test_documents_are_looked_at_below_every_folder() -> None:
    names = {path.relative_to(PROJECT).as_posix() for path in DOCUMENTS}
    assert {"README.md", "CONTRIBUTING.md", "docs/adapting.md", "docs/adr/README.md"} <= names
    assert prose_of("`code`") == ""
