"""How things are measured: in turns, each several times, the fastest of each counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """How large the data of a benchmark are; ``changes`` is the size of the plan that is applied."""

    name: str
    accounts: int
    months: int
    changes: int


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("small", accounts=100_000, months=49, changes=10_000),
        Profile("medium", accounts=300_000, months=49, changes=100_000),
        Profile("national", accounts=1_000_000, months=49, changes=100_000),
    )
}


@dataclass(frozen=True)
class Measurement:
    """A stage beside its floor, in seconds; ``target`` is the largest ratio that is promised, None where none is."""

    stage: str
    seconds: float
    floor: str
    floor_seconds: float
    target: float | None

    @property
    def ratio(self) -> float:
        return self.seconds / self.floor_seconds

    @property
    def is_missed(self) -> bool:
        return self.target is not None and self.ratio > self.target


def seconds_of(work: Callable[[], object]) -> float:
    """How long the work took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def fastest_in_turns(rounds: int, *works: Callable[[], object]) -> list[float]:
    """The least seconds that each work took. In turns, so that a slow minute of the machine falls on all of them."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for position, work in enumerate(works):
            seconds[position].append(seconds_of(work))
    return [min(found) for found in seconds]
