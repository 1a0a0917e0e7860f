"""The rule table of the clean-up: what each program type does with what was seen in the window.

``include/config/program_type_rules.csv`` holds 15 cells (3 program types, 5 kinds of activity seen), each with the
sentence that it comes from. A cell is changed by a further row with a later ``valid_from``; earlier months keep the
cell that held then. What must never be a matter of configuration is refused when the table is read.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from datetime import date
from pathlib import Path

import pyarrow as pa

from include.carm.errors import UsageError
from include.carm.settings_file import CONFIG_FOLDER

RULES_FILE = CONFIG_FOLDER / "program_type_rules.csv"
PROGRAM_TYPES = ("importer", "exporter", "dual")
ACTIVITY_SEEN = ("none", "import", "export", "both", "unknown")
# Evidence of one type alone is what the newsletter corrects a program type by, and to that very type.
_CORRECTION = {"import": "importer", "export": "exporter"}


@dataclass(frozen=True)
class Rule:
    """One cell, valid from a day on; ``new_program_type`` is empty where nothing is converted."""

    rule_id: str
    program_type: str
    activity_seen: str
    action: str
    new_program_type: str
    reason: str
    valid_from: date
    source_en: str

    @property
    def cell(self) -> tuple[str, str]:
        return self.program_type, self.activity_seen


@dataclass(frozen=True)
class RuleTable:
    """Every row of the file; ``version`` is the SHA-256 of its bytes."""

    version: str
    rules: tuple[Rule, ...]

    @classmethod
    def load(cls, path: Path = RULES_FILE) -> RuleTable:
        """Read and check the table; raises ``UsageError`` that names the file and the line of a wrong cell."""
        try:
            content = path.read_bytes()
            text = content.decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"rule table {path} cannot be read as UTF-8 text: {error}") from error
        try:
            rules = tuple(_read_rules(text, path))
        except csv.Error as error:
            raise UsageError(f"rule table {path} is not CSV (RFC 4180): {error}") from error
        return cls(hashlib.sha256(content).hexdigest(), rules)

    def valid_on(self, day: date) -> list[Rule]:
        """The 15 cells that hold on ``day``: of each cell the latest row that is valid from then or earlier.

        Raises ``UsageError`` when a cell has no such row: without a rule nothing may be decided.
        """
        begun = [rule for rule in self.rules if rule.valid_from <= day]
        held = {rule.cell: rule for rule in sorted(begun, key=lambda rule: rule.valid_from)}
        cells = [(program_type, seen) for program_type in PROGRAM_TYPES for seen in ACTIVITY_SEEN]
        missing = [cell for cell in cells if cell not in held]
        if missing:
            program_type, seen = missing[0]
            raise UsageError(
                f"the rule table has no cell for program type {program_type} and activity {seen} on {day}: "
                f"add its row to include/config/{RULES_FILE.name}"
            )
        return [held[cell] for cell in cells]

    def valid_sha256(self, day: date) -> str:
        """SHA-256 of the cells that hold on ``day``: the same for ever, for a rule changes by a later row.

        Raises as :meth:`valid_on`.
        """
        cells = [[str(value) for value in astuple(rule)] for rule in self.valid_on(day)]
        return hashlib.sha256(json.dumps(cells, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def rules_relation(rules: list[Rule]) -> pa.Table:
    """The relation ``program_type_rules`` that the SQL joins: one row a cell, NULL where nothing is converted."""
    columns = {field.name: [getattr(rule, field.name) or None for rule in rules] for field in fields(Rule)}
    types = {"valid_from": pa.date32()}
    return pa.table({name: pa.array(values, types.get(name, pa.string())) for name, values in columns.items()})


def _read_rules(text: str, path: Path) -> Iterator[Rule]:
    reader = csv.DictReader(text.splitlines(), strict=True)
    names = [field.name for field in fields(Rule)]
    if reader.fieldnames != names:
        raise UsageError(f"rule table {path}: its columns must be {', '.join(names)}")
    seen: dict[tuple[str, str, date], str] = {}
    cell_of: dict[str, tuple[str, str]] = {}
    for row in reader:
        place = f"rule table {path}, line {reader.line_num}"
        rule = _read_rule(row, place)
        if (*rule.cell, rule.valid_from) in seen:
            raise UsageError(f"{place}: the cell {rule.rule_id} has two rows that are valid from {rule.valid_from}")
        if cell_of.setdefault(rule.rule_id, rule.cell) != rule.cell:
            raise UsageError(f"{place}: rule {rule.rule_id} stands in two cells: give each cell a name of its own")
        seen[(*rule.cell, rule.valid_from)] = rule.rule_id
        yield rule


def _read_rule(row: dict[str, str], place: str) -> Rule:
    if None in row or None in row.values():
        raise UsageError(f"{place}: a row must have {len(fields(Rule))} fields")
    for name in ("rule_id", "reason", "source_en"):
        if not row[name].strip():
            raise UsageError(f"{place}: {name} is empty")
    for name, choices in (("program_type", PROGRAM_TYPES), ("activity_seen", ACTIVITY_SEEN)):
        if row[name] not in choices:
            raise UsageError(f"{place}: {name} is {row[name]!r}: write one of {', '.join(choices)}")
    try:
        valid_from = date.fromisoformat(row["valid_from"])
    except ValueError:
        raise UsageError(f"{place}: valid_from is {row['valid_from']!r}: write a day as YYYY-MM-DD") from None
    _require_arrow(row, place)
    texts = {name: text for name, text in row.items() if name != "valid_from"}
    return Rule(**texts, valid_from=valid_from)


def _require_arrow(row: dict[str, str], place: str) -> None:
    """The actions that a cell may have. Nothing seen may close, one type seen may convert to it, the rest may not."""
    seen, action = row["activity_seen"], row["action"]
    correction = _CORRECTION.get(seen)
    allowed = {
        "none": ("close", "review", "keep"),
        "import": ("convert", "review", "keep"),
        "export": ("convert", "review", "keep"),
        "both": ("review", "keep"),
        "unknown": ("unknown", "review", "keep"),
    }[seen]
    if action not in allowed:
        raise UsageError(f"{place}: where {seen} is seen the action is one of {', '.join(allowed)}, not {action!r}")
    if action == "convert" and (row["new_program_type"] != correction or row["program_type"] == correction):
        raise UsageError(f"{place}: where only {seen} is seen an account of another type becomes {correction}")
    if action != "convert" and row["new_program_type"]:
        raise UsageError(f"{place}: new_program_type is set, but the action is {action}")
