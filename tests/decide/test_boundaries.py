"""Every cell of the rule table at every boundary, from one table: one step before, on it, and one step after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import pytest

from tests.decide.accounts import AS_OF, CUTOFF, LONG_AGO, MONTH, decide_by_sql
from tests.decide.cells import CELLS, account_in, kind_of, world_of
from tests.decide.oracle import Decision, World, decide

DAY = timedelta(days=1)
LEAP_DAY = World(as_of=date(2024, 2, 29), period="2024-02")
STAGED = replace(MONTH, notice_months=3)

# What a boundary makes of the cells that it concerns; every other cell decides as ever.
DORMANT = ("close", "unknown")
CHANGING = ("close", "to_exporter", "to_importer")
COSTLY = ("close", "to_exporter")
OF_PERSONS = ("review", "unknown")


@dataclass(frozen=True)
class Boundary:
    name: str
    account: Mapping[str, Any] = field(default_factory=dict)
    concerns: tuple[str, ...] = ()
    becomes: Mapping[str, Any] = field(default_factory=dict)
    world: World = MONTH
    evidence_on: date | None = None
    is_evidence_too_old: bool = False

    def __str__(self) -> str:
        return self.name


def on_hold(name: str, *, is_held: bool, hold_no: int | None = None, **account: Any) -> Boundary:
    becomes = {"action": "hold", "reason": "on_hold", "new_program_type": None, "hold_no": hold_no}
    return Boundary(name, account, CHANGING if is_held else (), becomes)


def open_money(name: str, reason: str, **account: Any) -> Boundary:
    return Boundary(name, account, COSTLY, {"action": "hold", "reason": reason, "new_program_type": None})


def young(name: str, *, is_young: bool, **account: Any) -> Boundary:
    becomes = {"action": "keep", "reason": "younger_than_4_years", "missing": None}
    return Boundary(name, account, DORMANT if is_young else (), becomes)


def announced(name: str, months: tuple[str, ...], **becomes: Any) -> Boundary:
    return Boundary(name, {"announced": months}, ("close",), becomes, STAGED)


def reviewed(name: str, reviews: tuple[tuple[int, date], ...], review_no: int | None) -> Boundary:
    becomes = {"action": "keep", "missing": None, "review_no": review_no}
    return Boundary(name, {"reviews": reviews}, OF_PERSONS if review_no else (), becomes)


CANDIDATE = {"action": "candidate", "reason": "closure_announced"}
UNKNOWN = {"action": "unknown", "new_program_type": None}

BOUNDARIES = [
    Boundary("nothing special"),
    # The window.
    Boundary("activity on the day before the cutoff", evidence_on=CUTOFF - DAY, is_evidence_too_old=True),
    Boundary("activity on the cutoff day", evidence_on=CUTOFF),
    Boundary("activity on the day after the cutoff", evidence_on=CUTOFF + DAY),
    Boundary("leap day, on 28 February", world=LEAP_DAY, evidence_on=date(2020, 2, 28), is_evidence_too_old=True),
    Boundary("leap day, on 29 February", world=LEAP_DAY, evidence_on=date(2020, 2, 29)),
    Boundary("leap day, on 1 March", world=LEAP_DAY, evidence_on=date(2020, 3, 1)),
    # The clock.
    young("opened 4 years and a day ago", is_young=False, opened_on=CUTOFF - DAY),
    young("opened 4 years ago", is_young=True, opened_on=CUTOFF),
    young("opened a day less than 4 years ago", is_young=True, opened_on=CUTOFF + DAY),
    young("reinstated 4 years and a day ago", is_young=False, reinstated_on=CUTOFF - DAY),
    young("reinstated 4 years ago", is_young=True, reinstated_on=CUTOFF),
    young("reinstated a day less than 4 years ago", is_young=True, reinstated_on=CUTOFF + DAY),
    Boundary(
        "no day known at all",
        {"opened_on": None},
        DORMANT,
        {"action": "review", "reason": "unknown_open_date", "missing": None},
    ),
    # Money.
    open_money("owed one cent", "balance_not_zero", balance_cents=-1),
    Boundary("balance of nothing", {"balance_cents": 0}),
    open_money("owes one cent", "balance_not_zero", balance_cents=1),
    open_money("under review", "under_review", under_review_items=1),
    open_money("under review, of no amount in sum", "under_review", under_review_items=2, under_review_cents=0),
    Boundary("amount under review of no item", {"under_review_cents": 5}),
    # The register's hold, and a person's.
    on_hold("hold without an end", is_held=True, hold_reason="appeal"),
    on_hold("hold to the day after", is_held=True, hold_reason="appeal", hold_until=AS_OF + DAY),
    on_hold("hold to the last day", is_held=True, hold_reason="appeal", hold_until=AS_OF),
    on_hold("hold that ended the day before", is_held=False, hold_reason="appeal", hold_until=AS_OF - DAY),
    on_hold("person's hold without an end", is_held=True, hold_no=4, holds=((4, None),)),
    on_hold("person's hold to the last day", is_held=True, hold_no=4, holds=((4, AS_OF),)),
    on_hold("person's hold that ended the day before", is_held=False, holds=((4, AS_OF - DAY),)),
    on_hold(
        "person's newer hold", is_held=True, hold_no=6, holds=((4, None), (6, AS_OF), (5, AS_OF), (7, AS_OF - DAY))
    ),
    on_hold("person's hold beside the register's", is_held=True, hold_reason="appeal", holds=((4, None),)),
    on_hold(
        "person's hold, the register's ended",
        is_held=True,
        hold_no=4,
        hold_reason="appeal",
        hold_until=AS_OF - DAY,
        holds=((4, AS_OF),),
    ),
    # A person's review. It settles what is referred to a person, and stops or allows nothing.
    reviewed("review to the day after", ((8, AS_OF + DAY),), 8),
    reviewed("review to the last day", ((8, AS_OF),), 8),
    reviewed("review that ended the day before", ((8, AS_OF - DAY),), None),
    reviewed("review that was renewed", ((8, AS_OF - DAY), (9, AS_OF)), 9),
    # Evidence of absence.
    Boundary(
        "row in quarantine",
        {"has_open_quarantine": True},
        CHANGING,
        {**UNKNOWN, "reason": "row_in_quarantine"},
    ),
    # Closing by stages.
    announced("not announced", (), **CANDIDATE, announced_in="2021-12"),
    announced("announced a month less than the notice ago", ("2021-10",), **CANDIDATE, announced_in="2021-10"),
    announced("announced as long ago as the notice", ("2021-09",), announced_in="2021-09"),
    announced("announced a month more than the notice ago", ("2021-08",), announced_in="2021-08"),
    announced("announced again", ("2021-08", "2021-11"), **CANDIDATE, announced_in="2021-11"),
    Boundary("announced where no notice is asked for", {"announced": ("2021-11",)}),
    Boundary(
        "announced, and held since",
        {"announced": ("2021-09",), "holds": ((4, None),)},
        CHANGING,
        {"action": "hold", "reason": "on_hold", "new_program_type": None, "hold_no": 4},
        STAGED,
    ),
    young("announced, and opened within 4 years", is_young=True, announced=("2021-09",), opened_on=CUTOFF),
]


def expected_of(cell: tuple[str, str], boundary: Boundary) -> Decision:
    program_type, seen = cell
    if boundary.is_evidence_too_old and seen in ("import", "export", "both"):
        cell = (program_type, "none")
    decision = CELLS[cell]
    if kind_of(cell) in boundary.concerns:
        decision = replace(decision, **boundary.becomes)
        # Nothing was seen, and with a row in quarantine not even that can be told.
        if decision.reason == "row_in_quarantine" and decision.activity_seen == "none":
            decision = replace(decision, activity_seen="unknown")
    return decision


@pytest.mark.parametrize("boundary", BOUNDARIES, ids=str)
def test_every_cell_decides_at_the_boundary_as_the_domain_says(boundary: Boundary) -> None:
    accounts = {cell: account_in(*cell, boundary.evidence_on, **boundary.account) for cell in CELLS}
    expected = {cell: expected_of(cell, boundary) for cell in CELLS}
    decided, by_oracle = {}, {}
    for is_unknown in (False, True):
        cells = [cell for cell in CELLS if (cell[1] == "unknown") == is_unknown]
        world = world_of(cells[0][1], boundary.world)
        there = [accounts[cell] for cell in cells]
        decided |= dict(zip(cells, decide_by_sql(there, world), strict=True))
        by_oracle |= {cell: decide(accounts[cell], world) for cell in cells}
    assert expected == decided
    assert expected == by_oracle


# A change that a person undid: in which cell, and what has been seen since.


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("undone", CELLS)
def test_a_person_who_undid_a_change_is_asked_where_the_same_cell_proposes_it(
    cell: tuple[str, str], undone: tuple[str, str]
) -> None:
    account = account_in(*cell, undone=((*undone, AS_OF),))
    expected = CELLS[cell]
    if cell == undone and kind_of(cell) in CHANGING:
        expected = replace(expected, action="review", reason="undone_by_person", new_program_type=None)
    world = world_of(cell[1])
    assert (expected, expected) == (decide_by_sql([account], world)[0], decide(account, world))


@pytest.mark.parametrize(
    ("cell", "speaks_against"),
    [
        (("importer", "none"), "import"),
        (("importer", "none"), "other"),
        (("exporter", "none"), "export"),
        (("dual", "none"), "import"),
        (("importer", "export"), "import"),
        (("dual", "export"), "import"),
        (("exporter", "import"), "export"),
        (("dual", "import"), "export"),
    ],
)
@pytest.mark.parametrize(("days", "is_undone"), [(-1, True), (0, False), (1, False)])
def test_an_undone_change_is_proposed_again_on_evidence_since_then(
    cell: tuple[str, str], speaks_against: str, days: int, is_undone: bool
) -> None:
    undone_on = date(2014, 2, 3)
    account = account_in(*cell, undone=((*cell, undone_on),))
    account = replace(account, activities=(*account.activities, (speaks_against, undone_on + days * DAY)))
    expected = CELLS[cell]
    if is_undone:
        expected = replace(expected, action="review", reason="undone_by_person", new_program_type=None)
    assert (expected, expected) == (decide_by_sql([account])[0], decide(account, MONTH))


@pytest.mark.parametrize(("days", "is_undone"), [(-1, True), (0, False)])
def test_the_clock_of_a_reinstated_account_begins_at_the_reinstatement(days: int, is_undone: bool) -> None:
    undone_on = date(2014, 2, 3)
    account = account_in(
        "importer", "none", reinstated_on=undone_on + days * DAY, undone=(("importer", "none", undone_on),)
    )
    assert ("review" if is_undone else "close") == decide_by_sql([account])[0].action


def test_an_undone_change_waits_for_a_person_and_a_review_settles_it() -> None:
    account = account_in("dual", "export", undone=(("dual", "export", LONG_AGO),), holds=((1, None),), balance_cents=5)
    waiting = Decision("export", "review", "undone_by_person")
    settled = replace(waiting, action="keep", review_no=2)
    assert [waiting, settled] == decide_by_sql([account, replace(account, reviews=((2, AS_OF),))])
