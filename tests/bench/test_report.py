"""What was measured as a reader finds it: the file, the tables and the plots."""

import json
from pathlib import Path

from bench.measure import PROFILES, Entry, Limit, Stage, Target
from bench.plot import write_plots
from bench.report import BEGIN, END, describe_ratio, lines, stages_on_file, write_page, write_results

COPY = Stage(
    "extract",
    "rows",
    3_000,
    (
        Entry("by COPY", "ours", 2.0, 1.9, 2.2, 120),
        Entry("raw COPY", "floor", 1.6, 1.5, 1.7, 40),
        Entry("read_sql", "peer", 12.0, 11.0, 13.0, 900, "extrapolated from a tenth"),
    ),
    (Target("raw COPY", 1 / 0.6), Target("read_sql", 1 / 3)),
    (Limit("peak_mb", 100),),
)
GROWTH = tuple(
    Stage(f"growth: statements, month {month}", "postings", 10, (Entry("ours", "ours", 1.0, 1.0, 1.0, None),))
    for month in (12, 49)
)


def test_a_floor_is_a_multiple_and_a_peer_is_so_much_slower() -> None:
    _, floor, peer = COPY.entries
    assert (describe_ratio(COPY, floor), describe_ratio(COPY, peer)) == ("1.25 x the time", "6.0 x as fast")


def test_the_terminal_says_what_is_promised_and_what_is_missed() -> None:
    text = "\n".join(lines([COPY]))
    assert "at most 1.67 x\n" in text
    assert "at least 3 x as fast  (extrapolated from a tenth)" in text
    assert "at most 100 MB MISSED" in text


def test_stages_of_the_file_are_those_that_were_written_and_the_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    write_results(PROFILES["small"], [COPY, *GROWTH], file)
    slower = Stage(COPY.name, "rows", 1, COPY.entries[:1])
    write_results(PROFILES["small"], [slower], file)

    assert stages_on_file("small", file) == [*GROWTH, slower]
    assert json.loads(file.read_text())["small"]["accounts"] == PROFILES["small"].accounts


def test_only_what_stands_between_the_marks_is_written(tmp_path: Path) -> None:
    file, page = tmp_path / "results.json", tmp_path / "performance.md"
    write_results(PROFILES["small"], [COPY, *GROWTH], file)
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_page(page, file)
    once = page.read_text()
    write_page(page, file)

    assert once == page.read_text()
    assert once.startswith(f"before\n{BEGIN}\n")
    assert once.endswith(f"{END}\nafter\n")
    assert "old" not in once
    assert "| **extract**, 3,000 rows | **by COPY** | 2.00 | 1,500 | 120 |  | at most 100 MB MISSED |" in once
    assert "(pictures/performance/small.svg)" in once
    assert "(pictures/performance/small-growth.svg)" in once


def test_the_same_stages_give_the_same_picture(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in write_plots("small", [COPY, *GROWTH], tmp_path / "a")]
    again = [path.read_bytes() for path in write_plots("small", [COPY, *GROWTH], tmp_path / "b")]
    assert first == again
    assert len(first) == 2
    assert b"read_sql" in first[0]
