"""One change of one text, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


@dataclass(frozen=True)
class Mutant:
    """``text`` is the whole changed text of ``subject``; the other fields say what was changed, and where."""

    subject: str
    place: str
    operator: str
    before: str
    after: str
    text: str
    turn: int = 1
    """Counts up where the same change is made at several spots of one place."""

    @property
    def key(self) -> str:
        """A name that stays the same while other parts of the text change."""
        turn = f" (no. {self.turn})" if self.turn > 1 else ""
        return f"{self.subject} | {self.place} | {self.operator}: {self.before} -> {self.after}{turn}"


class Outcome(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    STILLBORN = "stillborn"
    """It cannot run at all, whatever the data: it says nothing of the tests and is not counted."""


class Found(NamedTuple):
    """A change as a generator finds it."""

    place: str
    operator: str
    before: str
    after: str
    text: str


def distinct(subject: str, original: str, found: Iterable[Found]) -> Iterator[Mutant]:
    """The mutants of ``found`` whose text is neither the original nor the text of another."""
    texts = {original}
    turns: dict[Found, int] = {}
    for change in found:
        if change.text in texts:
            continue
        texts.add(change.text)
        spot = change._replace(text="")
        turns[spot] = turns.get(spot, 0) + 1
        yield Mutant(subject, *change, turns[spot])


def shorten(text: str) -> str:
    """``text`` in one line, without its middle where it is long."""
    text = " ".join(text.split())
    return text if len(text) <= 160 else f"{text[:100]} … {text[-55:]}"
