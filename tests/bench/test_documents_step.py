"""The sample from which all PDFs of a month are reckoned: long statements are few, and have much to print."""

import pytest

from bench.documents_step import HEAD_LINES, PDF_SAMPLE, sample_of

HEAVY = [5_000, *[1] * 10_000, 3_000, *[12] * 1_000, *range(100, 400)]
"""Lines of the statements of a month, as a nation has them."""


def seconds(lines: int) -> float:
    """A second a line, and some for the sheet."""
    return lines + 5


@pytest.mark.parametrize(
    "line_counts", [HEAVY, [3], [0, 0], [7] * 1_000], ids=["few with thousands", "one", "no lines", "all alike"]
)
def test_what_all_take_is_reckoned_well_from_those_that_stand_for_them(line_counts: list[int]) -> None:
    reckoned = sum(stands_for * seconds(line_counts[place]) for place, stands_for in sample_of(line_counts))
    assert reckoned == pytest.approx(sum(map(seconds, line_counts)), rel=0.02)


def test_the_longest_are_made_and_so_are_the_many_short_ones() -> None:
    sample = sample_of(HEAVY)
    places = [place for place, _ in sample]
    assert len(set(places)) == len(places) <= PDF_SAMPLE
    made = [HEAVY[place] for place in places]
    assert made == sorted(made)
    assert made[-2:] == [3_000, 5_000]
    assert made.count(1) == pytest.approx(
        PDF_SAMPLE * 10_000 * (1 + HEAD_LINES) / sum(n + HEAD_LINES for n in HEAVY), abs=1
    )
