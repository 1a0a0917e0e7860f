"""What a person sees while Airflow works: a line for each thing done, and on a terminal what is being done."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

MOST_COUNTS = 6


@dataclass
class Progress:
    """Lines with the seconds since the start; written at once, so that they also arrive through a pipe."""

    output: TextIO = field(default_factory=lambda: sys.stdout)
    errors: TextIO = field(default_factory=lambda: sys.stderr)
    started: float = field(default_factory=time.monotonic)
    passing: str = ""

    def say(self, text: str) -> None:
        self._clear()
        print(f"{time.monotonic() - self.started:6.1f} s  {text}", file=self.output, flush=True)

    def write(self, text: str) -> None:
        """A line of the result, without the time."""
        self._clear()
        print(text, file=self.output, flush=True)

    def complain(self, text: str) -> None:
        """A line that says what went wrong, for people and for whoever reads the errors alone."""
        self._clear()
        print(text, file=self.errors, flush=True)

    def show(self, text: str) -> None:
        """On a terminal, one line that the next one replaces."""
        if not self.output.isatty() or text == self.passing:
            return
        self._clear()
        self.output.write(text[:100])
        self.output.flush()
        self.passing = text

    def _clear(self) -> None:
        if self.passing:
            self.output.write("\r\x1b[K")
            self.passing = ""


def describe_counts(result: object) -> str:
    """The first counts in what a task returned, without sums of money: ``transactions 1,234, accounts 500``."""
    if isinstance(result, list):
        return f"{len(result):,} parts"
    counts = [f"{' '.join(names[-2:]).replace('_', ' ')} {count:,}" for names, count in _counts(result)]
    return ", ".join(counts[:MOST_COUNTS]) + (" …" if len(counts) > MOST_COUNTS else "")


def _counts(result: object, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], int]]:
    if isinstance(result, dict):
        for name, value in result.items():
            if not str(name).endswith("_cents"):
                yield from _counts(value, (*names, str(name)))
    elif isinstance(result, int) and not isinstance(result, bool):
        yield names, result


def label_task(instance: dict[str, Any]) -> str:
    """The task's name as the grid shows it, with the name of its shard where there are several."""
    shard = instance.get("rendered_map_index") or (instance["map_index"] if instance["map_index"] >= 0 else None)
    name = str(instance["task_id"])
    return name if shard is None else f"{name} {shard}"
