"""How the steps of a month grow with history: the same steps for months 12, 24, 36 and 49 of the same world.

Each month runs from a lake that knows the months before it, and reads a PostgreSQL that holds all rows of all months.
The months differ a little in size; what follows from history is seen where they do not. What extraction asks of all
rows of the source, it asks in each of these months of the same rows: so its curve is flat here by the way it is
measured, and nothing is promised of it. A source for each of the months would be four databases, three of them large.

Activity and decision together have a floor of their own in each month, the one of ``decision_step``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import duckdb

from bench.decision_step import COLUMNS_ONLY, read_columns
from bench.measure import Answer, Clock, Entry, Role, Stage, Target, Way, entry_of, run_alone
from bench.world_lake import history, make_lake, run_of
from include import engine
from include.activity import publish_activity
from include.decide import publish_decisions
from include.extract import extract_month
from include.feeds import TRANSACTIONS
from include.statements import gather_month, publish_statement_lines
from include.validate import validate_month

if TYPE_CHECKING:
    from bench.world import World
    from include.carm.period import Period

MONTHS = (12, 24, 36, 49)
STEPS = ("extract", "validate", "activity", "decide", "gather", "statements")
AT_MOST = 1.25
"""What is promised: the last month takes at most so many times as long as the first."""
SAME_SOURCE = "extract"
NOT_ANSWERED = f"at most {AT_MOST} x: not answered, each month reads the same source of all months"
DECISION = ("activity", "decide")
"""The steps of a decision fold the months of the window, so they have a curve of their own."""
AT_MOST_DECISION, TARGET_ACCOUNTS = 3.0, 1_000_000
"""What is promised of it beside its floor, in a register of a nation; of few accounts what each call costs rules."""


def measure(world: World, folder: Path, rounds: int, say: Callable[[str], None]) -> list[Stage]:
    """Run each of the months ``rounds`` times, in turns, each in a process of its own."""
    make_lake(world, say)
    numbers = [number for number in MONTHS if number <= len(world.months)]
    seconds: dict[tuple[str, int], list[float]] = {
        (step, number): [] for step in (*STEPS, COLUMNS_ONLY) for number in numbers
    }
    with world.postgres(say) as url:
        for round_number in range(rounds):
            for number in numbers:
                name = f"month {number}"
                way = Way(name, "ours", partial(run_month, url, number))
                _, peak, _, found = run_alone(world, way)
                assert found is not None
                for step, taken in found.items():
                    seconds[step, number].append(taken)
                told = ", ".join(f"{step} {taken:.2f} s" for step, taken in found.items())
                say(f"  round {round_number + 1}, {name}: {told}; all of it in one process, {peak or 0:,} MB")
    counts = {number: postings_of(world, world.months[number - 1]) for number in numbers}
    is_promised = world.profile.accounts >= TARGET_ACCOUNTS
    return [
        *(step_of_month(step, numbers, number, seconds, counts[number]) for step in STEPS for number in numbers),
        *(decision_of_month(number, seconds, counts[number], is_promised=is_promised) for number in numbers),
    ]


def step_of_month(
    step: str,
    numbers: Sequence[int],
    number: int,
    seconds: Mapping[tuple[str, int], list[float]],
    postings: int,
) -> Stage:
    """A month of a step; the first month stands beside the last one, as what it is held against.

    Memory is left blank: the steps share a process, so a peak would be that of the largest of them.
    """

    def entry(of: int, role: Role) -> Entry:
        return entry_of(f"{step} of month {of}", role, seconds[step, of])

    entries, targets, unanswered = [entry(number, "ours")], [], ""
    if number == numbers[-1] > numbers[0]:
        entries.append(entry(numbers[0], "floor"))
        if step == SAME_SOURCE:
            unanswered = NOT_ANSWERED
        elif step not in DECISION:
            targets.append(Target(entries[1].name, AT_MOST))
    name = f"growth: {step}, month {number}"
    return Stage(name, "postings", postings, tuple(entries), tuple(targets), unanswered=unanswered)


def decision_of_month(
    number: int, seconds: Mapping[tuple[str, int], list[float]], postings: int, *, is_promised: bool
) -> Stage:
    """Activity and decision of a month together, beside the reading of what a decision reads."""
    whole = [sum(round_) for round_ in zip(*(seconds[step, number] for step in DECISION), strict=True)]
    entries = (
        entry_of(f"activity and decide of month {number}", "ours", whole),
        entry_of(COLUMNS_ONLY, "floor", seconds[COLUMNS_ONLY, number]),
    )
    targets = (Target(COLUMNS_ONLY, AT_MOST_DECISION),) if is_promised else ()
    return Stage(f"growth: decision, month {number}", "postings", postings, entries, targets)


def run_month(url: str, number: int, world: World, clock: Clock) -> Answer:
    """The steps of one month up to its statement lines; the answer is what each of them took, in seconds.

    So is the decision's floor, which reads what was read just before.
    """
    period = world.months[number - 1]
    ws = history(world, period.previous(), world.scratch(f"month-{number}"), source_url=url)
    month, taken = run_of(period), dict.fromkeys((*STEPS, COLUMNS_ONLY), 0.0)

    @contextmanager
    def timed(step: str) -> Iterator[None]:
        start = perf_counter()
        with clock:
            yield
        taken[step] += perf_counter() - start

    with timed("extract"):
        extract_month(ws, month)
    with timed("validate"):
        validate_month(ws, month)
    with timed("activity"):
        publish_activity(ws, month)
    with timed("decide"):
        publish_decisions(ws, month)
    with timed(COLUMNS_ONLY):
        read_columns(ws.lake())
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con, timed("gather"):
        gather_month(ws, con, ws.lake(), period)
    with timed("statements"):
        publish_statement_lines(ws, month)
    return taken


def postings_of(world: World, month: Period) -> int:
    """The postings of a month."""
    with duckdb.connect() as con:
        return int(con.read_parquet(str(world.rows(TRANSACTIONS, month))).shape[0])
