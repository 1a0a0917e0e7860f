"""How growth is told: what is promised of a step, and what cannot be told from one source for all months."""

from bench.decision_step import COLUMNS_ONLY
from bench.growth_step import decision_of_month, step_of_month
from bench.report import promise

SECONDS = {
    ("extract", 12): [2.0],
    ("extract", 49): [1.9],
    ("gather", 12): [2.0],
    ("gather", 49): [3.0],
    ("activity", 49): [3.0, 4.0, 5.0],
    ("decide", 49): [1.0, 2.0, 0.0],
    (COLUMNS_ONLY, 49): [1.0, 1.5, 2.0],
}
MONTHS = (12, 49)


def test_the_last_month_of_a_step_is_held_against_the_first() -> None:
    first, last = (step_of_month("gather", MONTHS, number, SECONDS, 10) for number in MONTHS)
    assert (first.missed, last.missed) == ([], ["growth: gather, month 49: 1.50 x gather of month 12, promised 1.25"])


def test_a_source_of_all_months_answers_nothing_about_the_growth_of_extraction() -> None:
    last = step_of_month("extract", MONTHS, 49, SECONDS, 10)
    assert last.targets == ()
    assert "not answered, each month reads the same source" in promise(last, last.ours)


def test_memory_is_blank_because_the_steps_share_a_process() -> None:
    last = step_of_month("gather", MONTHS, 49, SECONDS, 10)
    assert [entry.peak_mb for entry in last.entries] == [None, None]


def test_activity_and_decision_stand_together_beside_their_floor() -> None:
    promised, shown = (decision_of_month(49, SECONDS, 10, is_promised=is_promised) for is_promised in (True, False))
    assert promised.ours.seconds == 5.0  # the median of 3 + 1, 4 + 2 and 5 + 0
    assert promised.missed == [f"growth: decision, month 49: 3.33 x {COLUMNS_ONLY}, promised 3.00"]
    assert shown.missed == []
