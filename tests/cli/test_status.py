"""``carm status``: the grid of the feeds, the horizon, and the months with their plans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update

from include.carm.errors import DataError
from include.carm.period import Period
from include.cli import carm
from include.coverage import COVERED
from include.decide import publish_decisions
from include.operations_plan_tables import PLANS
from include.operations_schema import FEED_COVERAGE
from include.status import MARKS, PLAN_STATES, status, status_lines
from tests.decide.accounts import CUTOFF, an_account
from tests.decide.month import DECEMBER, Register, month_of

ROWS = FEED_COVERAGE.c


@pytest.fixture
def register(tmp_path: Path, sqlite_url: str) -> Register:
    register = Register.make(tmp_path, sqlite_url)
    register.fill(
        [
            an_account(activities=(("import", CUTOFF),)),
            an_account(program_type="dual", activities=(("import", CUTOFF),)),
        ]
    )
    transactions = register.ws.lake().publish("transactions", DECEMBER, an_empty("transactions"))
    register.ws.lake().seal([transactions], run_id="extract")
    publish_decisions(register.ws, month_of())
    return register


def an_empty(dataset: str) -> Any:
    from include.datasets import schema_of

    return schema_of(dataset).empty_table()


def grid_of(register: Register, **values: Any) -> list[str]:
    """The lines of the grid, after ``values`` were set for the export declarations of May and June 2020."""
    register.change(
        update(FEED_COVERAGE)
        .where(ROWS.feed == "export_declarations", ROWS.period.in_(["2020-05", "2020-06"]))
        .values(**values)
    )
    lines = status_lines(status(register.ws))
    first = next(number for number, line in enumerate(lines) if line.startswith("Coverage of the window"))
    last = next(number for number, line in enumerate(lines) if line.startswith("Dormancy horizon"))
    return lines[first : last - 1]


def test_a_window_without_a_gap_is_a_grid_of_one_mark(register: Register) -> None:
    lines = grid_of(register, rows=10)
    assert lines[0] == "Coverage of the window 2017-12 to 2021-12, as known in 2021-12"
    assert lines[2] == "transactions         2017                                              +"
    assert lines[6] == (" " * 21 + "2021" + "  + " * 12).rstrip()
    assert sum(line.count("+") for line in lines[2:12]) == 2 * 49
    assert lines[12] == "+ covered"
    assert lines[13].startswith("No gap")


@pytest.mark.parametrize(
    ("values", "mark", "said"),
    [
        ({"state": "not_received"}, "-", "not received"),
        ({"validated": False}, "v", "not validated"),
        ({"reconciled": False}, "r", "not reconciled"),
        ({"sha256": "0" * 64}, "s", "its file is not the one that was counted"),
        ({"rows": 0}, "!", "too few rows"),
        ({"first_day": "2021-01-04"}, "<", "before the feed's first month, 2021-01"),
    ],
)
def test_a_gap_has_its_mark_its_legend_and_its_sentence(
    register: Register, values: dict[str, Any], mark: str, said: str
) -> None:
    lines = grid_of(register, **values)
    (year,) = (line for line in lines[2:12] if line.strip().startswith("2020") and mark in line)
    assert year.split() == ["2020", *("+" * 4), mark, mark, *("+" * 6)]
    assert f"{mark} {MARKS[next(word for word in MARKS if MARKS[word][0] == mark)][1]}" in lines[12].split("   ")
    assert f"Gap: export_declarations 2020-05 to 2020-06 (2 months): {said}" in lines


def test_a_single_thin_month_says_how_many_rows_are_the_least(register: Register) -> None:
    register.change(update(FEED_COVERAGE).where(ROWS.feed == "transactions", ROWS.period == "2019-01").values(rows=0))
    assert "Gap: transactions 2019-01: too few rows, 0 where 1 is the least" in grid_of(register, rows=10)


def test_many_gaps_are_counted_and_json_has_them_all(register: Register) -> None:
    months = [str(month) for month in register.ws.calendar.window(DECEMBER)][1::2]
    register.change(update(FEED_COVERAGE).where(ROWS.period.in_(months)).values(rows=0))
    lines = grid_of(register, quarantined=0)
    assert sum(line.startswith("Gap: ") for line in lines) == 12
    assert lines[-1] == "and 36 more gaps: carm status --json names them all"
    gaps = [row for row in status(register.ws)["coverage"]["grid"] if row["word"] not in COVERED]
    assert len(gaps) == 48 == status(register.ws)["months"][0]["gaps"]


def test_every_word_of_the_grid_has_a_mark_of_its_own() -> None:
    marks = [mark for mark, _ in MARKS.values()]
    assert len(set(marks)) == len(marks)
    assert {len(mark) for mark in marks} == {1}
    assert set(COVERED) < set(MARKS)


def test_the_horizon_counts_who_reaches_four_years(register: Register) -> None:
    lines = status_lines(status(register.ws))
    first = next(number for number, line in enumerate(lines) if line.startswith("Dormancy horizon"))
    assert lines[first + 1].split() == ["month", "importer", "exporter", "dual", "all"]
    january = lines[first + 2].split()
    assert (january[0], january[-1]) == ("2022-01", "2")
    assert all(line.split()[-1] == "0" for line in lines[first + 3 : first + 14])


def test_no_line_is_longer_than_a_hundred_columns(register: Register) -> None:
    register.record_plan(month_of(), "ready")
    register.change(update(PLANS).values(changes=1_234_567, state="handed_over"))
    for lines in (status_lines(status(register.ws)), grid_of(register, first_day="2021-01-04", rows=0)):
        assert max(len(line) for line in lines) <= 100


def test_one_change_and_one_more_gap_are_singular(register: Register) -> None:
    register.record_plan(month_of(), "ready")
    register.change(update(PLANS).values(changes=1))
    months = [str(month) for month in register.ws.calendar.window(DECEMBER)][1:27:2]
    register.change(
        update(FEED_COVERAGE).where(ROWS.feed == "transactions", ROWS.period.in_(months)).values(quarantined=0, rows=0)
    )
    lines = status_lines(status(register.ws))
    assert "ready, 1 change " in lines[3]
    assert "and 1 more gap: carm status --json names them all" in lines


def test_of_several_plans_the_one_that_says_most_is_shown(register: Register) -> None:
    register.record_plan(month_of(), "held")
    live = update(PLANS).where(PLANS.c.effects == "live")
    register.record_plan(month_of(effects="shadow"), "shadow")
    assert status(register.ws)["months"][0]["plan"]["state"] == "held"
    register.change(live.values(state="applied"))
    assert status(register.ws)["months"][0]["plan"]["state"] == "applied"


def test_every_state_of_a_plan_has_its_weight() -> None:
    said = {"ready", "held", "shadow", "applied", "handed_over", "rejected", "superseded", "undone"}
    assert set(PLAN_STATES) == said


def test_a_month_that_was_not_extracted_is_refused_and_an_empty_lake_said(register: Register, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2021-11 was not extracted: run that month first \(make run PERIOD=2021-11\)"):
        status(register.ws, Period(2021, 11))
    empty = Register.make(tmp_path / "empty", f"sqlite:///{tmp_path / 'empty.db'}")
    assert status_lines(status(empty.ws)) == ["nothing was extracted yet: run a month first (make run)"]


def test_the_verb_prints_the_lines_or_the_same_as_json(register: Register) -> None:
    where = ["--data", str(register.ws.data), "--source", register.ws.source_url]
    told: Result = CliRunner().invoke(carm, ["status", "--period", "2021-12", *where])
    assert told.stdout.splitlines() == status_lines(status(register.ws))
    facts = json.loads(CliRunner().invoke(carm, ["status", "--json", *where]).stdout)
    assert facts["coverage"]["period"] == "2021-12"
    assert len(facts["coverage"]["grid"]) == 98
    assert {row["month"] for row in facts["horizon"]} == {f"2022-{month:02d}" for month in range(1, 13)}
