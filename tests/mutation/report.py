"""The score, and what is said of each mutant that no test can kill."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.mutation.by_tests import PROJECT
from tests.mutation.mutant import Mutant, Outcome
from tests.mutation.subjects import Subject

EQUIVALENT = Path(__file__).with_name("equivalent.yaml")
DOCUMENT = PROJECT / "docs" / "mutation-testing.md"
_BEGIN, _END = "<!-- score: written by make mutants -->", "<!-- end of the score -->"


@dataclass(frozen=True)
class Explanation:
    """Why the mutants whose key fits ``mutants`` (``*`` stands for anything) do what the original does."""

    mutants: str
    why: str

    def fits(self, mutant: Mutant) -> bool:
        pattern = re.escape(self.mutants).replace(r"\*", ".*")
        return re.fullmatch(pattern, mutant.key, re.DOTALL) is not None


def read_explanations(path: Path = EQUIVALENT) -> list[Explanation]:
    """What ``equivalent.yaml`` says."""
    rows = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    return [Explanation(pattern, row["why"]) for row in rows for pattern in row["mutants"]]


@dataclass
class Result:
    """What became of the mutants of one subject."""

    subject: Subject
    outcomes: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    explained: list[tuple[Mutant, Explanation]] = field(default_factory=list)
    unexplained: list[Mutant] = field(default_factory=list)

    def take(self, mutant: Mutant, outcome: Outcome, explanations: Sequence[Explanation]) -> bool:
        """Count the mutant; false where it survives and nobody says why."""
        self.outcomes[outcome] += 1
        if outcome is not Outcome.SURVIVED:
            return True
        fitting = next((explanation for explanation in explanations if explanation.fits(mutant)), None)
        if fitting is None:
            self.unexplained.append(mutant)
        else:
            self.explained.append((mutant, fitting))
        return fitting is not None

    @property
    def killed(self) -> int:
        return self.outcomes[Outcome.KILLED]

    @property
    def killable(self) -> int:
        """Every mutant but those that cannot run, and those that do what the original does."""
        return self.killed + len(self.unexplained)

    @property
    def cells(self) -> tuple[str, ...]:
        version = hashlib.sha256(self.subject.text.encode()).hexdigest()[:12]
        made = self.killable + len(self.explained)
        numbers = (made, self.killed, len(self.explained), len(self.unexplained))
        return (f"`{self.subject.path}`", f"`{version}`", *(f"{number:,}" for number in numbers))


def score(results: Sequence[Result]) -> str:
    """The score in a sentence."""
    return _tell_score(
        sum(one.killed for one in results),
        sum(len(one.explained) for one in results),
        sum(len(one.unexplained) for one in results),
    )


def _tell_score(killed: int, explained: int, unexplained: int) -> str:
    killable = killed + unexplained
    return (
        f"{killed:,} of {killable:,} mutants are killed ({100 * killed / max(killable, 1):.1f} %); "
        f"{explained:,} more do what the original does and are explained"
    )


def unfitting(results: Sequence[Result], explanations: Sequence[Explanation]) -> list[Explanation]:
    """Explanations, about a subject of the results, of mutants that do not survive (any more)."""
    used = {id(explanation) for one in results for _, explanation in one.explained}
    names = {one.subject.name for one in results}
    return [
        explanation
        for explanation in explanations
        if id(explanation) not in used and explanation.mutants.split(" | ")[0] in names
    ]


def as_markdown(blocks: Mapping[str, str], paths: Sequence[str]) -> str:
    """The table with a row for each of the ``blocks``, and under it what each explains; in the order of ``paths``."""
    heads = ("file", "version", "mutants", "killed", "equivalent", "not explained")
    kept = [blocks[path].partition("\n") for path in paths if path in blocks]
    rows = [row for row, _, _ in kept]
    numbers = [[int(cell.replace(",", "")) for cell in row.strip("| ").split(" | ")[2:]] for row in rows]
    killed, explained, unexplained = (sum(row[column] for row in numbers) for column in (1, 2, 3))
    lines = [
        f"{_tell_score(killed, explained, unexplained)}.",
        "",
        f"| {' | '.join(heads)} |",
        "|---|---|---:|---:|---:|---:|",
        *rows,
    ]
    return "\n".join([*lines, *(f"\n{rest}" for _, _, rest in kept if rest)])


def as_block(one: Result) -> str:
    """The row of a file, and after it each explanation with the mutants that it is about."""
    lines = [f"| {' | '.join(one.cells)} |"]
    if one.explained:
        lines += [f"### `{one.subject.path}`", ""]
        reasons: dict[str, list[Mutant]] = {}
        for mutant, explanation in sorted(one.explained, key=lambda pair: pair[0].key):
            reasons.setdefault(explanation.why, []).append(mutant)
        for why, mutants in reasons.items():
            lines.append(f"- {why.strip()}")
            lines += [f"  - {_as_code(mutant)}" for mutant in mutants]
    return "\n".join(lines)


def read_blocks(text: str) -> dict[str, str]:
    """The blocks of a score that :func:`as_markdown` wrote, by file."""
    blocks = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    for section in text.split("\n### `")[1:]:
        blocks[section.partition("`")[0]] += f"\n### `{section.rstrip()}"
    return blocks


def _as_code(mutant: Mutant) -> str:
    _, _, change = mutant.key.partition(" | ")
    return f"`{change.rstrip()}`".replace("|", "·")


def write(results: Sequence[Result], paths: Sequence[str], document: Path = DOCUMENT) -> None:
    """Put the score of the ``results`` into the document; the other files of ``paths`` keep what stands there."""
    text = document.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    old, _, after = rest.partition(_END)
    blocks = read_blocks(old) | {one.subject.path: as_block(one) for one in results}
    document.write_text(f"{before}{_BEGIN}\n\n{as_markdown(blocks, paths)}\n\n{_END}{after}", encoding="utf-8")
