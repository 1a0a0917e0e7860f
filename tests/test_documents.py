"""What the documents promise is there: links, pictures, commands, verbs, columns, datasets, tables, error sentences."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import click
import pytest

from include.cli import carm
from include.feeds import LEDGER_FEEDS, SNAPSHOT_FEEDS, Feed
from include.operations_tables import METADATA
from include.source_schema import FILLING

PROJECT = Path(__file__).resolve().parents[1]
README = PROJECT / "README.md"
OPERATING = PROJECT / "docs" / "operating.md"
RECORDS = PROJECT / "docs" / "adr"
DOCUMENTS = [README, PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
# [text](target), ![text](target) and <img src="target">
_LINK = re.compile(r"\]\(([^)\s]+)\)|<img\s[^>]*?src=\"([^\"]+)\"")
_DESCRIBED_PICTURE = re.compile(r"!\[[^\]]+\]\(|<img\s[^>]*?alt=\"[^\"]+\"")


def each_document() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))


def code_of(text: str) -> list[str]:
    """The lines of fenced blocks, and the spans in the prose between them."""
    fenced = [line for block in _FENCE.findall(text) for line in block.splitlines()]
    return [*fenced, *_SPAN.findall(_FENCE.sub("", text))]


def prose_of(text: str) -> str:
    """The text without its code, in which a bracket is no link."""
    return _SPAN.sub("", _FENCE.sub("", text))


def anchors_of(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings."""
    headings = re.findall(r"^#+ +(.+?) *$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table_rows(text: str, first_heading: str) -> list[list[str]]:
    """The cells of the rows of every table whose first column is headed so."""
    rows: list[list[str]] = []
    is_inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            is_inside = False
        elif cells[0] == first_heading:
            is_inside = True
        elif is_inside and not set(cells[0]) <= set("-: "):
            rows.append(cells)
    assert rows, f"no table is headed '{first_heading}'"
    return rows


@cache
def texts_of_code() -> tuple[str, ...]:
    """Every text of `include/` and `dags/`, an f-string cut at what varies."""
    found: list[str] = []
    for folder in ("include", "dags"):
        for path in sorted((PROJECT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found += [
                node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) is str
            ]
    return tuple(found)


# --- Links and pictures -----------------------------------------------------------------------------------------


@each_document()
def test_every_link_and_picture_leads_somewhere(document: Path) -> None:
    broken = []
    text = document.read_text(encoding="utf-8")
    for match in _LINK.finditer(prose_of(text)):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        if not path.exists() or (anchor and anchor not in anchors_of(path.read_text(encoding="utf-8"))):
            broken.append(target)
    assert [] == broken


@each_document()
def test_every_picture_is_described_in_words(document: Path) -> None:
    prose = prose_of(document.read_text(encoding="utf-8"))
    assert len(re.findall(r"!\[|<img\s", prose)) == len(_DESCRIBED_PICTURE.findall(prose))


def test_every_picture_is_shown() -> None:
    shown = {
        (document.parent / (match[1] or match[2])).resolve()
        for document in DOCUMENTS
        for match in _LINK.finditer(document.read_text(encoding="utf-8"))
    }
    assert set((PROJECT / "docs" / "pictures").rglob("*.png")) <= shown


def test_the_index_lists_every_record_by_its_title() -> None:
    def title_of(record: Path) -> str:
        return re.sub(r"^# \d+\.? +", "", record.read_text(encoding="utf-8").splitlines()[0])

    records = sorted(path for path in RECORDS.glob("*.md") if path.name != "README.md")
    lines = re.findall(r"^- .*$", (RECORDS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [f"- [{path.name[:4]}]({path.name}) {title_of(path)}" for path in records] == lines


# --- Commands ---------------------------------------------------------------------------------------------------


@each_document()
def test_every_make_target_and_variable_exists(document: Path) -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z_]+) :=|\$\(([A-Z_]+)\)", makefile, re.MULTILINE))
    known = targets | {name for pair in variables for name in pair}
    unknown = []
    for code in code_of(document.read_text(encoding="utf-8")):
        # A command begins the code, a prompt or a setting before it; elsewhere the word is only spoken of.
        match = re.match(r"(?:\$ )?((?:[A-Z_]+=\S* )*)make ([a-z][a-z-]*)((?: [A-Z_]+=\S*)*)", code)
        if match is not None:
            used = [match[2], *re.findall(r"([A-Z_]+)=", f"{match[1]} {match[3]}")]
            unknown += [name for name in used if name not in known]
    assert [] == unknown


@each_document()
def test_every_verb_and_option_of_carm_exists(document: Path) -> None:
    unknown = []
    for code in code_of(document.read_text(encoding="utf-8")):
        match = re.match(r"(?:\$ )?(?:\.venv/bin/)?carm ([a-z].*)", code)
        if match is None:
            continue
        verb, *words = shlex.split(match[1], comments=True)
        command = carm.commands.get(verb)
        if isinstance(command, click.Group) and words:
            verb, command = f"{verb} {words[0]}", command.commands.get(words.pop(0))
        if command is None:
            unknown.append(verb)
            continue
        options = {name for option in command.params if isinstance(option, click.Option) for name in option.opts}
        unknown += [f"{verb} {word}" for word in words if word.startswith("-") and word not in {*options, "--help"}]
    assert [] == unknown


def test_the_readme_shows_every_verb_of_carm() -> None:
    shown = {
        match[1] for code in code_of(README.read_text(encoding="utf-8")) if (match := re.match(r"\$ carm (\w+)", code))
    }
    assert set(carm.commands) == shown


# --- Names of the contract --------------------------------------------------------------------------------------


@pytest.mark.parametrize("feed", [*SNAPSHOT_FEEDS, *LEDGER_FEEDS], ids=lambda feed: feed.name)
def test_the_readme_lists_the_columns_of_every_file(feed: Feed) -> None:
    columns = {row[0]: row[1] for row in table_rows(README.read_text(encoding="utf-8"), "file")}
    assert list(feed.columns) == _SPAN.findall(columns[f"`{feed.name}.csv`"])


def test_every_dataset_of_the_readme_is_published_by_a_step() -> None:
    datasets = [
        name for row in table_rows(README.read_text(encoding="utf-8"), "dataset") for name in _SPAN.findall(row[0])
    ]
    assert [] == [name for name in datasets if name not in texts_of_code()]


def test_the_readme_lists_every_table_that_the_pipeline_owns() -> None:
    rows = table_rows(README.read_text(encoding="utf-8"), "table, in the database of `carm_apply`")
    listed = {name for row in rows for name in _SPAN.findall(row[0])}
    assert set(METADATA.tables) == listed
    assert {f"`{name}`" for name in FILLING.tables} <= set(
        re.findall(r"`carm_\w+`", README.read_text(encoding="utf-8"))
    )


# --- Symptoms ---------------------------------------------------------------------------------------------------


def symptoms() -> list[str]:
    return [
        said for row in table_rows(OPERATING.read_text(encoding="utf-8"), "it says") for said in _SPAN.findall(row[0])
    ]


@pytest.mark.parametrize("symptom", symptoms())
def test_every_symptom_is_said_by_the_code(symptom: str) -> None:
    """A symptom that nobody says any more would be looked for in vain; … stands for what varies."""
    pieces = [piece.strip() for piece in symptom.split("…")]
    assert [] == [piece for piece in pieces if not any(piece in text for text in texts_of_code())]
