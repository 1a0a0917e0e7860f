"""The coverage ledger: what its facts are worth under the policy of the day, month by month."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import delete, insert, update

from include.carm.period import Period
from include.carm.policy import Policy
from include.coverage import COVERED, coverage_grid, coverage_id, needed_feeds, window_coverage
from include.datasets import schema_of
from include.decide import publish_decisions
from include.operations_schema import FEED_COVERAGE
from tests.decide.accounts import an_account
from tests.decide.month import DECEMBER, Register, month_of
from tests.pipeline import read

EXPORTS, MONTH = "export_declarations", "2020-05"
ROW = FEED_COVERAGE.c


@pytest.fixture
def register(tmp_path: Path, database_url: str) -> Register:
    made = Register.make(tmp_path / "data", database_url)
    made.fill([an_account()])
    return made


def one(feed: str = EXPORTS, period: str = MONTH) -> Any:
    return update(FEED_COVERAGE).where(ROW.feed == feed, ROW.period == period)


def of_feed(register: Register, **changes: Any) -> Register:
    """The register under a policy with other values for the export declarations."""
    feeds = dict(register.ws.policy.feeds)
    feeds[EXPORTS] = replace(feeds[EXPORTS], **changes)
    return register.with_policy(feeds=feeds)


def gaps(register: Register) -> dict[str, str]:
    """The word of each month that is not covered, by month; only the export declarations ever lack any here."""
    grid = coverage_grid(register.ws, DECEMBER)
    assert {row["feed"] for row in grid if row["word"] not in COVERED} <= {EXPORTS}
    return {row["period"]: row["word"] for row in grid if row["word"] not in COVERED}


def test_every_feed_and_month_of_the_window_has_a_word(register: Register) -> None:
    grid = coverage_grid(register.ws, DECEMBER)
    window = [str(month) for month in register.ws.calendar.window(DECEMBER)]
    assert 49 == len(window)
    assert [(feed, month) for feed in ("transactions", EXPORTS) for month in window] == [
        (row["feed"], row["period"]) for row in grid
    ]
    assert {"covered"} == {row["word"] for row in grid}
    assert {
        "feed": EXPORTS,
        "period": MONTH,
        "word": "covered",
        "rows": 10,
        "quarantined": 0,
        "minimum_rows": 1,
        "first_period": "2010-01",
        "observed_in": "2021-12",
        "files": {MONTH: None},
    } == next(row for row in grid if (row["feed"], row["period"]) == (EXPORTS, MONTH))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (delete(FEED_COVERAGE).where(ROW.feed == EXPORTS, ROW.period == MONTH), "not_extracted"),
        (one().values(state="not_received", rows=0), "not_received"),
        (one().values(state="not_expected", rows=0), "not_received"),
        (one().values(validated=False), "not_validated"),
        (one().values(reconciled=False), "not_reconciled"),
        (one().values(sha256="another"), "not_sealed"),
        (one().values(first_day="2020-05-25"), "before_first_period"),
        (one().values(first_day="2020-05-24"), None),
        (one().values(first_day=None, first_period="2020-06"), "before_first_period"),
        (one().values(first_day=None, first_period="2020-05"), None),
        # A slip of the pen is no beginning.
        (one().values(first_day="1979-12-31", first_period="2020-06"), None),
        (one().values(rows=0), "too_few_rows"),
        (one().values(rows=1), None),
        (one().values(rows=0, state="empty", first_day=None), None),
        # A feed that was empty has not begun; a month of the first release may name one all the same.
        (one().values(rows=0, state="empty", first_day=None, first_period="2021-01"), None),
        (one().values(minimum_rows=99, first_period="2021-01"), None),
    ],
)
def test_a_month_is_a_gap_for_the_first_thing_that_it_lacks(register: Register, change: Any, word: str | None) -> None:
    register.change(change)
    assert ({MONTH: word} if word else {}) == gaps(register)


def test_a_file_that_is_sealed_with_the_hash_of_the_ledger_covers(register: Register) -> None:
    seal = register.ws.lake().publish_and_seal(EXPORTS, MONTH, _no_declarations(), run_id="extract")
    register.change(one().values(sha256=seal.sha256))
    assert {} == gaps(register)
    register.change(one().values(sha256=seal.sha256[::-1]))
    assert {MONTH: "not_sealed"} == gaps(register)


def test_one_file_that_is_not_the_one_that_was_counted_is_enough(register: Register) -> None:
    seal = register.ws.lake().publish_and_seal(EXPORTS, MONTH, _no_declarations(), run_id="extract")
    register.change(one().values(sha256=seal.sha256))
    register.change(later(sha256="another"))
    assert {MONTH: "not_sealed"} == gaps(register)


def test_a_row_of_the_first_release_has_no_hash_and_covers_beside_a_sealed_file(register: Register) -> None:
    register.ws.lake().publish_and_seal(EXPORTS, MONTH, _no_declarations(), run_id="extract")
    assert told_of_month(register)["files"] == {MONTH: None}
    assert {} == gaps(register)


def _no_declarations() -> Any:
    return schema_of(EXPORTS).empty_table()


def later(**changes: Any) -> Any:
    """A row more of the month: what December's extract brought of it."""
    late = {
        "feed": EXPORTS,
        "period": MONTH,
        "known_in": "2021-12",
        "observed_in": "2021-12",
        "state": "received",
        "rows": 1,
        "quarantined": 0,
        "minimum_rows": 1,
        "first_period": None,
        "validated": True,
        "reconciled": True,
        "first_day": "2010-01-04",
        "sha256": None,
    }
    return insert(FEED_COVERAGE).values({**late, **changes})


def test_rows_that_came_late_fill_a_month_from_then_on(register: Register) -> None:
    register.change(one().values(rows=0))
    register.change(later())
    assert {} == gaps(register)
    before = {(row["feed"], row["period"]): row["word"] for row in coverage_grid(register.ws, Period(2021, 11))}
    assert "too_few_rows" == before[EXPORTS, MONTH]


def test_a_feed_that_was_absent_may_come_late(register: Register) -> None:
    register.change(one().values(state="not_received", rows=0))
    register.change(later())
    assert {} == gaps(register)


def test_a_late_row_takes_nothing_from_a_month_that_was_received_empty(register: Register) -> None:
    register.change(one().values(state="empty", rows=0, first_day=None))
    register.change(later())
    assert {} == gaps(of_feed(register, minimum_rows=10))


@pytest.mark.parametrize(("own", "late"), [("2020-06-03", "2018-01-05"), ("2018-01-05", "2020-06-03")])
def test_of_two_first_days_the_later_one_counts(register: Register, own: str, late: str) -> None:
    register.change(one().values(first_day=own))
    register.change(later(first_day=late))
    assert {MONTH: "before_first_period"} == gaps(register)
    assert "2020-06" == told_of_month(register)["first_period"]


@pytest.mark.parametrize(("own", "late"), [("2021-11", "2021-12"), ("2021-12", "2021-11")])
def test_of_two_observations_the_later_one_is_told(register: Register, own: str, late: str) -> None:
    register.change(one().values(observed_in=own))
    register.change(later(observed_in=late))
    assert "2021-12" == told_of_month(register)["observed_in"]


def told_of_month(register: Register) -> dict[str, Any]:
    grid = coverage_grid(register.ws, DECEMBER)
    return next(row for row in grid if (row["feed"], row["period"]) == (EXPORTS, MONTH))


def test_the_coverage_id_is_the_hash_of_the_grid_as_canonical_text(register: Register) -> None:
    """Spelled out here: who writes it otherwise breaks with every plan that was ever made."""
    grid = coverage_grid(register.ws, DECEMBER)
    rows = ",".join(
        "{" + ",".join(f"{json.dumps(key)}:{_compact(row[key])}" for key in sorted(row)) + "}" for row in grid
    )
    text = f'["carm coverage 1","2021-12",[{rows}]]'
    assert hashlib.sha256(text.encode()).hexdigest() == coverage_id(register.ws, DECEMBER)


def _compact(value: Any) -> str:
    return json.dumps(value).replace(": ", ":").replace(", ", ",")


@pytest.mark.parametrize("flaw", [{"validated": False}, {"reconciled": False}])
def test_one_flawed_extract_of_a_month_is_enough(register: Register, flaw: dict[str, bool]) -> None:
    register.change(later(**flaw))
    assert [MONTH] == list(gaps(register))


def test_what_a_shadow_run_sealed_is_not_what_was_counted(register: Register) -> None:
    record = register.ws.lake().publish_and_seal(EXPORTS, MONTH, _no_declarations(), run_id="extract")
    rows = pa.Table.from_pylist([{"declaration_id": "D1"}], schema=schema_of(EXPORTS))
    shadow = register.ws.lake("shadow").publish_and_seal(EXPORTS, MONTH, rows, run_id="shadow")
    register.change(one().values(sha256=record.sha256))
    assert {} == gaps(register)
    register.change(one().values(sha256=shadow.sha256))
    assert {MONTH: "not_sealed"} == gaps(register)


# A changed policy reaches months that were extracted before it.


def test_a_raised_minimum_reaches_earlier_months(register: Register) -> None:
    register.change(one().values(rows=9))
    assert {MONTH: "too_few_rows"} == gaps(of_feed(register, minimum_rows=10))
    assert {} == gaps(of_feed(register, minimum_rows=9))


def test_the_minimum_of_a_header_only_feed_reaches_earlier_months(register: Register) -> None:
    register.change(one().values(rows=0, state="empty", first_day=None))
    assert {} == gaps(of_feed(register, minimum_rows=10))
    assert {MONTH: "too_few_rows"} == gaps(of_feed(register, minimum_rows_header_only=1))


@pytest.mark.parametrize(("first", "missing"), [("2018-01", 1), ("2017-12", 0), ("2019-01", 13)])
def test_a_first_period_reaches_earlier_months(register: Register, first: str, missing: int) -> None:
    found = gaps(of_feed(register, first_period=Period.parse(first)))
    assert ["before_first_period"] * missing == list(found.values())
    assert all(month < first for month in found)


def test_a_first_period_may_lie_before_the_first_row(register: Register) -> None:
    register.change(one().values(first_day="2021-01-04"))
    assert {MONTH: "before_first_period"} == gaps(register)
    assert {} == gaps(of_feed(register, first_period=Period.parse("2015-01")))


@pytest.mark.parametrize("state", ["not_received", "not_expected"])
def test_whether_a_feed_exists_reaches_earlier_months(register: Register, state: str) -> None:
    register.change(update(FEED_COVERAGE).where(ROW.feed == EXPORTS).values(state=state, rows=0))
    assert {"not_received"} == set(gaps(register).values())
    assert {} == gaps(of_feed(register, exists=False))
    words = {row["word"] for row in coverage_grid(of_feed(register, exists=False).ws, DECEMBER)}
    assert {"covered", "not_expected"} == words


def test_a_feed_that_brought_rows_is_missed_whatever_the_policy_says_of_it(register: Register) -> None:
    register.change(one().values(state="not_received", rows=0))
    assert {MONTH: "not_received"} == gaps(of_feed(register, exists=False))


# What the decision and the plan take of it.


def test_the_missing_months_are_named_by_feed(register: Register) -> None:
    register.change(one(period="2019-02").values(rows=0))
    register.change(one().values(rows=0))
    assert [
        {"feed": "transactions", "covered": True, "missing": ""},
        {"feed": EXPORTS, "covered": False, "missing": "2019-02,2020-05"},
    ] == window_coverage(register.ws, DECEMBER).to_pylist()


def test_a_feed_with_a_missing_month_closes_nobody_and_the_month_is_named(register: Register) -> None:
    register.change(one().values(state="not_received", rows=0))
    publish_decisions(register.ws, month_of())
    (row,) = read(register.ws, "account_decisions", "2021-12").to_dict("records")
    assert ("unknown", "coverage_incomplete", "export_declarations 2020-05") == (
        row["action"],
        row["reason"],
        row["missing"],
    )


def test_a_feed_that_the_policy_does_not_ask_for_may_lack_months(register: Register) -> None:
    register.change(one().values(state="not_received", rows=0))
    closure = replace(register.ws.policy.closure, needs_feeds={**_needs(register), "importer": ("transactions",)})
    relaxed = register.with_policy(closure=closure)
    publish_decisions(relaxed.ws, month_of())
    assert ["close"] == read(register.ws, "account_decisions", "2021-12")["action"].to_list()


def _needs(register: Register) -> dict[str, tuple[str, ...]]:
    return register.ws.policy.closure.needs_feeds


def test_the_id_names_the_evidence_and_what_the_policy_makes_of_it(register: Register) -> None:
    first = coverage_id(register.ws, DECEMBER)
    assert first == coverage_id(register.ws, DECEMBER)
    others = {coverage_id(of_feed(register, minimum_rows=2).ws, DECEMBER), coverage_id(register.ws, Period(2021, 11))}
    register.change(one().values(rows=11))
    others.add(coverage_id(register.ws, DECEMBER))
    register.change(one().values(rows=10, sha256="other"))
    others.add(coverage_id(register.ws, DECEMBER))
    assert 4 == len(others - {first})


def test_what_a_conversion_needs_is_no_matter_of_policy() -> None:
    closure = replace(Policy.load().closure, needs_feeds={"dual": ("transactions",)})
    rows = needed_feeds(replace(Policy.load(), closure=closure)).to_pylist()
    assert [
        {"program_type": "dual", "change": "close", "feed": "transactions"},
        {"program_type": "dual", "change": "exporter", "feed": "transactions"},
        {"program_type": "dual", "change": "importer", "feed": EXPORTS},
    ] == rows
