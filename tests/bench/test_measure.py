"""Ways beside each other: in turns, each alone, and never compared where they do not come to the same."""

from pathlib import Path

import pytest

from bench.measure import PROFILES, Entry, Limit, Stage, Target, Way, contest, entry_of
from bench.world import World
from tests.bench import ways

WORLD = World(PROFILES["small"], Path("nowhere"))


def heard(words: list[str]):
    return words.append


def test_each_way_is_measured_as_often_as_asked_and_in_turns() -> None:
    told: list[str] = []
    entries = contest(WORLD, [Way("a", "ours", ways.two), Way("b", "floor", ways.two)], 2, heard(told))

    assert [(entry.name, entry.role) for entry in entries] == [("a", "ours"), ("b", "floor")]
    assert [line.split(":")[0].strip() for line in told] == ["round 1, a", "round 1, b", "round 2, a", "round 2, b"]


def test_ways_that_do_not_come_to_the_same_are_not_compared() -> None:
    with pytest.raises(AssertionError, match=r"b comes to \{'found': 3\}, and a to \{'found': 2\}"):
        contest(WORLD, [Way("a", "ours", ways.two), Way("b", "peer", ways.three)], 1, heard([]))


def test_what_nobody_else_makes_is_not_compared() -> None:
    entries = contest(WORLD, [Way("a", "ours", ways.two), Way("b", "floor", ways.nothing_to_compare)], 1, heard([]))
    assert len(entries) == 2


def test_memory_is_that_of_the_way_alone() -> None:
    small, large = contest(
        WORLD,
        [Way("small", "ours", ways.nothing_to_compare), Way("large", "peer", ways.large)],
        1,
        heard([]),
    )
    assert small.peak_mb is not None
    assert large.peak_mb is not None
    assert 190 <= large.peak_mb - small.peak_mb <= 250


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux counts a peak anew")
def test_memory_of_before_and_after_the_clock_is_not_counted() -> None:
    small, around = contest(
        WORLD,
        [Way("small", "ours", ways.nothing_to_compare), Way("around", "peer", ways.large_around)],
        1,
        heard([]),
    )
    assert small.peak_mb is not None
    assert around.peak_mb is not None
    assert abs(around.peak_mb - small.peak_mb) <= 50


def test_where_no_clock_ran_no_memory_is_told() -> None:
    told: list[str] = []
    (entry,) = contest(WORLD, [Way("by itself", "ours", ways.without_a_clock)], 1, heard(told))
    assert (entry.seconds, entry.peak_mb) == (2.0, None)
    assert told == ["  round 1, by itself: 2.00 s"]


def test_a_sample_is_told_with_what_was_measured() -> None:
    (entry,) = contest(WORLD, [Way("a tenth", "ours", ways.a_tenth)], 1, heard([]))
    assert (entry.seconds, entry.note) == (5.0, "extrapolated from a tenth of the accounts")


def test_a_way_that_ends_without_an_answer_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="broken ended with exit code 3"):
        contest(WORLD, [Way("broken", "ours", ways.broken)], 1, heard([]))


def test_the_median_counts() -> None:
    entry = entry_of("a", "ours", [3.0, 1.0, 9.0])
    assert (entry.seconds, entry.least, entry.most, entry.rounds) == (3.0, 1.0, 9.0, 3)


@pytest.mark.parametrize(
    ("at_most", "missed"), [(2.0, []), (1.99, ["stage: 2.00 x floor, promised 1.99"])], ids=["kept", "missed"]
)
def test_a_target_is_kept_up_to_its_ratio(at_most: float, missed: list[str]) -> None:
    entries = (Entry("ours", "ours", 2.0, 2.0, 2.0, None), Entry("floor", "floor", 1.0, 1.0, 1.0, None))
    assert Stage("stage", "rows", 10, entries, (Target("floor", at_most),)).missed == missed


@pytest.mark.parametrize(
    ("at_most", "missed"), [(300, []), (299, ["stage: 300 peak_mb, promised 299"])], ids=["kept", "passed"]
)
def test_a_limit_is_kept_up_to_its_number(at_most: float, missed: list[str]) -> None:
    entries = (Entry("ours", "ours", 2.0, 2.0, 2.0, 300),)
    assert Stage("stage", "rows", 10, entries, limits=(Limit("peak_mb", at_most),)).missed == missed
