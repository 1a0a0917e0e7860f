"""What was measured as a reader finds it: the file, the tables and the plots."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.airflow_step import MONTH, MONTH_WITH_PDF, NAIVE, NAIVE_WITH_PDF
from bench.measure import PROFILES, Entry, Limit, Stage, Target, entry_of
from bench.plot import write_plots
from bench.report import (
    BEGIN,
    END,
    describe_ratio,
    lines,
    origins_on_file,
    promise,
    spread,
    stages_on_file,
    write_page,
    write_results,
)

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
    row = "| **extract**, 3,000 rows | **by COPY** | 2.00 | 1.90–2.20 | 1,500 | 120 |  | at most 100 MB MISSED |"
    assert row in once
    assert "| **statements** | 1.00 | 1.00 |" in once
    assert "(pictures/performance/small.svg)" in once
    assert "(pictures/performance/small-growth.svg)" in once


def test_the_same_stages_give_the_same_picture(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in write_plots("small", [COPY, *GROWTH], tmp_path / "a")]
    again = [path.read_bytes() for path in write_plots("small", [COPY, *GROWTH], tmp_path / "b")]
    assert first == again
    assert len(first) == 2
    assert b"read_sql" in first[0]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (entry_of("a", "ours", [2.0, 1.0, 4.0]), "1.00–4.00 (3)"),
        (entry_of("a", "ours", [2.0]), "one round"),
        (Entry("a", "ours", 2.0, 1.0, 4.0, None), "1.00–4.00"),
        (Entry("a", "ours", 2.0, 2.0, 2.0, None), "one round"),
    ],
    ids=["several", "one", "several of an older file", "one of an older file"],
)
def test_it_is_told_how_far_the_rounds_lie_apart(entry: Entry, words: str) -> None:
    assert spread(entry) == words


def month_of(name: str, *peers: str) -> Stage:
    ours = Entry("make run", "ours", 10.0, 10.0, 10.0, 100)
    entries = (ours, *(Entry(peer, "peer", 300.0, 300.0, 300.0, 100) for peer in peers))
    return Stage(name, "postings", 10, entries, tuple(Target(peer, 1 / 50) for peer in peers))


def test_a_month_without_pdf_is_not_held_against_a_script_that_makes_them(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    write_results(PROFILES["medium"], [month_of(MONTH, NAIVE, NAIVE_WITH_PDF)], file)
    (stage,) = stages_on_file("medium", file)
    _, plain, with_pdf = stage.entries

    assert stage.missed == []
    assert [promise(stage, entry) for entry in (plain, with_pdf)] == ["", ""]
    assert describe_ratio(stage, plain) == "30.0 x as fast"
    assert describe_ratio(stage, with_pdf) == "not compared: it makes PDFs where ours does not"


def test_a_month_with_pdf_is_promised_to_be_fifty_times_as_fast_as_such_a_script(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    write_results(PROFILES["medium"], [month_of(MONTH_WITH_PDF, NAIVE_WITH_PDF)], file)
    (stage,) = stages_on_file("medium", file)

    assert len(stage.missed) == 1
    assert promise(stage, stage.entries[1]) == "at least 50 x as fast MISSED"


def written(folder: Path, stages: dict[str, dict[str, str]]) -> str:
    """The page of stages that were measured in these places, each of one way."""
    file, page = folder / "results.json", folder / "performance.md"
    ways = (Entry("ours", "ours", 1.0, 1.0, 1.0, None),)
    write_results(PROFILES["small"], [Stage(name, "rows", 1, ways) for name in stages], file)
    results: dict[str, Any] = json.loads(file.read_text())
    for stage in results["small"]["stages"]:
        for field in ("machine", "cpu", "commit", "committed_at", "world", "unanswered"):
            stage.pop(field)
        for entry in stage["entries"]:
            del entry["rounds"], entry["unlike"]
        stage |= stages[stage["name"]]
    file.write_text(json.dumps(results))
    page.write_text(f"{BEGIN}{END}")
    write_page(page, file)
    return page.read_text()


NEWEST = {"commit": "2222222", "committed_at": "2021-12-25T00:00:00+00:00", "world": "b", "machine": "x86_64"}


@pytest.mark.parametrize(
    ("origin", "told"),
    [
        (NEWEST, "2222222"),
        (NEWEST | {"commit": "1111111", "committed_at": "2021-12-24T00:00:00+00:00"}, "1111111 †"),
        (NEWEST | {"world": "a"}, "2222222 §"),
        ({"machine": "x86_64"}, "‡"),
    ],
    ids=["the newest", "older code", "another world", "of an older file"],
)
def test_a_stage_of_other_code_than_the_newest_is_marked(tmp_path: Path, origin: dict[str, str], told: str) -> None:
    page = written(tmp_path, {"one": origin, "other": NEWEST})
    assert f"| **one**, 1 rows | **ours** | 1.00 | one round | 1 |  |  |  | {told} |" in page
    assert "Machine: x86_64, its processor was not written down." in page


def test_machines_have_letters_where_there_are_several(tmp_path: Path) -> None:
    page = written(tmp_path, {"one": NEWEST | {"cpu": "quick"}, "other": NEWEST | {"cpu": "slow"}})
    assert "A: x86_64, quick. B: x86_64, slow." in page
    assert "| 2222222, A |" in page
    assert "| 2222222, B |" in page


def test_what_is_measured_says_where_with_what_and_of_which_world(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    write_results(PROFILES["small"], [COPY], file, world="0123456789ab")
    origin = origins_on_file("small", file)["extract"]
    assert (origin.world, bool(origin.machine), len(origin.commit) in (0, 7, 8)) == ("0123456789ab", True, True)
