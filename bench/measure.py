"""How things are measured: each way of doing a stage in turns with the others, in a process of its own, by its median.

A way is a function ``(world, clock)``: it makes ready what may be ready, does its work inside ``with clock``, and
returns its answer. Answers of one stage must be equal, else nothing is compared.
"""

from __future__ import annotations

import multiprocessing
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil

if TYPE_CHECKING:
    from bench.world import World

Role = Literal["ours", "peer", "floor"]
Answer = Mapping[str, Any] | None
"""What a way came to, for comparing; None where it makes something that no other one makes."""

SAMPLE_SECONDS, LOOK_SHARE = 0.05, 0.02
"""Between two looks at the memory of a way and its processes, and the most of a core that looking may take from it: of
many processes a look takes long, so the next one comes later, and a short peak of theirs may be missed."""


@dataclass(frozen=True)
class Profile:
    """How large the data are. ``postings`` a month; ``changes`` is the size of the plan that is applied."""

    name: str
    accounts: int
    postings: int
    months: int
    changes: int
    rounds: int


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("small", accounts=10_000, postings=30_000, months=49, changes=2_000, rounds=1),
        Profile("medium", accounts=100_000, postings=122_449, months=49, changes=100_000, rounds=5),
        Profile("national", accounts=1_000_000, postings=3_000_000, months=49, changes=100_000, rounds=3),
    )
}


class Clock:
    """Measures what happens inside ``with``; several times are added up, and of several peaks the largest counts.

    ``tell`` hears True when it starts and False when it stops, so that who looks at memory looks only in between.
    """

    def __init__(self, tell: Callable[[bool], object] = bool) -> None:
        self.seconds = 0.0
        self.peak_bytes = 0
        self.note = ""
        self._tell = tell
        self._factor = 1.0
        self._start = 0.0
        self._peak_is_own = False

    def __enter__(self) -> Clock:
        self._tell(True)
        self._peak_is_own = _forget_peak()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start
        if self._peak_is_own:
            self.peak_bytes = max(self.peak_bytes, _own_peak())
        self._tell(False)

    def extrapolate(self, factor: float, basis: str) -> None:
        """Say that only a ``factor``-th of the work was done, and of what; the seconds shown are for all of it."""
        self._factor, self.note = factor, f"extrapolated from {basis}"

    @property
    def whole_seconds(self) -> float:
        return self.seconds * self._factor


@dataclass(frozen=True)
class Way:
    """One way of doing a stage; ``run`` is a function of a module, because each round has a process of its own."""

    name: str
    role: Role
    run: Callable[[World, Clock], Answer]


@dataclass(frozen=True)
class Entry:
    """What was measured of a way: seconds as median, least and most; the largest memory of any round in MB.

    ``rounds`` is how often it was measured, None where an older file does not say. ``unlike`` says why it is shown and
    not compared: what it does is not what ours does.
    """

    name: str
    role: Role
    seconds: float
    least: float
    most: float
    peak_mb: int | None
    note: str = ""
    rounds: int | None = None
    unlike: str = ""


@dataclass(frozen=True)
class Target:
    """What is promised: ours takes at most ``at_most`` times as long as ``beside``, or does ``or_a_second`` things."""

    beside: str
    at_most: float
    or_a_second: float | None = None


@dataclass(frozen=True)
class Limit:
    """What is promised without a rival: a number of ours that may not be passed."""

    what: Literal["seconds", "peak_mb"]
    at_most: float


@dataclass(frozen=True)
class Stage:
    """A stage that was measured: ``count`` things of ``unit`` went through it; the first entry is ours.

    ``unanswered`` names what was promised and cannot be told from what was measured.
    """

    name: str
    unit: str
    count: int
    entries: tuple[Entry, ...]
    targets: tuple[Target, ...] = ()
    limits: tuple[Limit, ...] = ()
    unanswered: str = ""

    @property
    def ours(self) -> Entry:
        return next(entry for entry in self.entries if entry.role == "ours")

    def ratio(self, beside: str) -> float:
        """Our seconds, divided by those of the entry ``beside``."""
        return self.ours.seconds / next(entry.seconds for entry in self.entries if entry.name == beside)

    def keeps(self, target: Target) -> bool:
        """Whether a promise is kept: beside the entry, or by so many things a second."""
        is_quick = target.or_a_second is not None and self.count / self.ours.seconds >= target.or_a_second
        return is_quick or self.ratio(target.beside) <= target.at_most

    @property
    def missed(self) -> list[str]:
        """The promises that were not kept, as words."""
        broken = [
            f"{self.name}: {self.ratio(target.beside):.2f} x {target.beside}, promised {target.at_most:.2f}"
            for target in self.targets
            if not self.keeps(target)
        ]
        for limit in self.limits:
            found = getattr(self.ours, limit.what)
            if found > limit.at_most:
                broken.append(f"{self.name}: {_tell(found)} {limit.what}, promised {_tell(limit.at_most)}")
        return broken


def _tell(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2f}"


def contest(world: World, ways: Sequence[Way], rounds: int, say: Callable[[str], None]) -> tuple[Entry, ...]:
    """Let each way do its work ``rounds`` times, in turns. Raises ``AssertionError`` where two answers differ."""
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    peaks: dict[str, int] = {}
    notes: dict[str, str] = {}
    agreed: tuple[str, Answer] | None = None
    for number in range(rounds):
        for way in ways:
            taken, peak, note, answer = run_alone(world, way)
            seconds[way.name].append(taken)
            peaks[way.name] = max(peaks.get(way.name, 0), peak or 0)
            notes[way.name] = note
            memory = "" if peak is None else f", {peak:,} MB"
            say(f"  round {number + 1}, {way.name}: {taken:.2f} s{memory}{', ' + note if note else ''}")
            if answer is None:
                continue
            if agreed is not None and dict(agreed[1] or {}) != dict(answer):
                raise AssertionError(f"{way.name} comes to {answer}, and {agreed[0]} to {agreed[1]}")
            agreed = agreed or (way.name, answer)
    return tuple(
        entry_of(way.name, way.role, seconds[way.name], peak_mb=peaks[way.name] or None, note=notes[way.name])
        for way in ways
    )


def entry_of(name: str, role: Role, seconds: Sequence[float], *, peak_mb: int | None = None, note: str = "") -> Entry:
    """The entry of a way that was measured several times."""
    return Entry(name, role, statistics.median(seconds), min(seconds), max(seconds), peak_mb, note, len(seconds))


def in_turns(rounds: int, *works: Callable[[], object]) -> list[list[float]]:
    """The seconds that each work took, in this process. In turns, so that a slow minute falls on all of them."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for position, work in enumerate(works):
            seconds[position].append(seconds_of(work))
    return seconds


def seconds_of(work: Callable[[], object]) -> float:
    """How long the work took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run_alone(world: World, way: Way) -> tuple[float, int | None, str, Answer]:
    """One round in a fresh process: seconds, peak memory in MB, note, answer.

    The memory is that of the process and its children while its clock ran; None where the clock never did.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(way.run, world, theirs))
    process.start()
    theirs.close()
    peak, look_seconds, is_running = 0, 0.0, False
    watched = psutil.Process(process.pid)
    try:
        while True:
            if ours.poll(max(SAMPLE_SECONDS, look_seconds / LOOK_SHARE) if is_running else None):
                heard = ours.recv()
                if not isinstance(heard, bool):
                    seconds, own_peak, note, answer = heard
                    break
                is_running = heard
                continue
            start = time.perf_counter()
            found = _memory_of(watched)
            look_seconds = time.perf_counter() - start
            # What was found while the clock stopped may belong to what comes after it.
            if not ours.poll(0):
                peak = max(peak, found)
    except EOFError:
        process.join()
        raise RuntimeError(f"{way.name} ended with exit code {process.exitcode}: see its error above") from None
    finally:
        process.join()
    return seconds, max(peak, own_peak) // 1_000_000 or None, note, answer


def _work(run: Callable[[World, Clock], Answer], world: World, pipe: Connection) -> None:
    clock = Clock(pipe.send)
    answer = run(world, clock)
    pipe.send((clock.whole_seconds, clock.peak_bytes, clock.note, answer))
    pipe.close()


def _forget_peak() -> bool:
    """Let the system count this process's peak from now on; False where it cannot (it is no Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _own_peak() -> int:
    """The most bytes this process has had in memory since the peak was forgotten; 0 where the system does not tell.

    Not ``ru_maxrss``: on Linux that of the process that started this one is counted in.
    """
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else 0


def _memory_of(process: psutil.Process) -> int:
    """Bytes in memory of a process and its children.

    What several share is divided among them where the system says so (Linux), else counted for each.
    """
    total = 0
    try:
        members = (process, *process.children(recursive=True))
        for member in members:
            total += _share_of(member) if len(members) > 1 else member.memory_info().rss
    except psutil.Error:
        return total
    return total


def _share_of(process: psutil.Process) -> int:
    try:
        found = process.memory_full_info()
    except psutil.Error:  # It has just ended.
        return 0
    return int(getattr(found, "pss", found.rss))
