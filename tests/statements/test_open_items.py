"""What credits pay, in which order, and what is left: against an allocation that counts cent by cent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include import engine
from include.carm.allocation import AllocationRules
from include.carm.calendar import Calendar
from include.carm.period import Period
from include.lake import Lake
from include.open_items import allocate, carry_forward, derive_open_items
from include.operations import migrate
from include.workspace import Workspace
from tests.statements.ledger import BN15, Row, brought_forward, posting, table

CALENDAR = Calendar.load()


@dataclass
class World:
    """Months of one ledger, sealed in a lake, and the open items that follow from them."""

    ws: Workspace
    months: list[str] = field(default_factory=list)

    @property
    def lake(self) -> Lake:
        return self.ws.lake()

    def month(self, period: str, *postings: Row, baseline: Sequence[Row] = ()) -> dict[str, int]:
        """Seal a month and carry the ledger over it; what remains of each item."""
        if not self.months:
            self.publish("baseline", str(Period.parse(period).previous()), baseline)
        self.months.append(period)
        self.publish("transactions", period, postings)
        with engine.connect() as con:
            carry_forward(self.ws, con, Period.parse(period).next(), "test")
        return {row["item_id"]: row["remaining_cents"] for row in self.items(period)}

    def publish(self, dataset: str, period: str, rows: Sequence[Row]) -> None:
        self.lake.publish_and_seal(dataset, period, table(dataset, rows), run_id="test")

    def items(self, period: str) -> list[Row]:
        rows: list[Row] = pq.read_table(
            self.lake.file("open_items", Period.parse(period)), partitioning=None
        ).to_pylist()
        return rows


@pytest.fixture
def world(tmp_path: Path) -> World:
    ws = Workspace.open(tmp_path)
    migrate(ws.apply_url)
    return World(ws)


def debt(name: str, cents: int, posted: str, due: str | None = None, **changed: Any) -> Row:
    return posting(
        cents,
        transaction_id=name,
        posted_on=date.fromisoformat(posted),
        due_on=date.fromisoformat(due) if due else None,
        **changed,
    )


def payment(name: str, cents: int, posted: str, **changed: Any) -> Row:
    return debt(name, -cents, posted, kind="PMT", **changed)


def test_a_payment_pays_the_oldest_due_date_and_the_rest_is_carried_forward(world: World) -> None:
    assert world.month("2021-11", debt("A", 100, "2021-11-01"), debt("B", 200, "2021-11-02")) == {"A": 100, "B": 200}
    left = world.month("2021-12", debt("C", 50, "2021-12-01"), payment("P", 150, "2021-11-29"))
    assert left == {"B": 150, "C": 50}
    assert world.month("2022-01", payment("Q", 500, "2022-01-03")) == {"Q": -300}
    # An unused credit pays what comes later.
    assert world.month("2022-02", debt("D", 400, "2022-02-01")) == {"D": 100}


def test_release_1_takes_off_the_newest_debt_of_the_cycle_and_release_2_the_oldest(world: World) -> None:
    world.month("2024-09", debt("old", 100, "2024-09-01"))
    left = world.month(
        "2024-10",
        debt("early", 100, "2024-09-26"),
        debt("late", 100, "2024-10-10"),
        debt("credit", -150, "2024-10-12", kind="B2"),
    )
    assert left == {"old": 100, "early": 50}
    left = world.month("2024-11", debt("newest", 100, "2024-11-02"), debt("credit 2", -120, "2024-11-03", kind="B2"))
    assert left == {"early": 30, "newest": 100}


def test_what_is_under_review_neither_pays_nor_is_paid(world: World) -> None:
    left = world.month(
        "2021-11",
        debt("disputed", 100, "2021-11-01", status="under_review"),
        debt("claimed", -70, "2021-11-02", status="under_review", kind="B2"),
        payment("P", 30, "2021-11-03"),
    )
    assert left == {"disputed": 100, "claimed": -70, "P": -30}
    (disputed,) = (row for row in world.items("2021-11") if row["item_id"] == "disputed")
    assert (disputed["is_under_review"], disputed["due_on"]) == (True, None)
    accepted = debt("disputed", 100, "2021-12-01", revision=2, effect_cents=0, under_review_effect_cents=-100)
    left = world.month("2021-12", accepted)
    assert left == {"disputed": 70, "claimed": -70}
    (disputed,) = (row for row in world.items("2021-12") if row["item_id"] == "disputed")
    # Accepted, it is due with the statement of the month in which it was.
    assert (disputed["is_under_review"], disputed["due_on"]) == (False, CALENDAR.due_on(Period.parse("2021-12")))


def test_a_paid_debt_that_is_cancelled_becomes_a_credit_and_a_reversed_payment_a_debt(world: World) -> None:
    assert world.month("2021-11", debt("A", 100, "2021-11-01"), payment("P", 100, "2021-11-20")) == {}
    cancelled = debt("A", 100, "2021-12-01", revision=2, status="cancelled", effect_cents=-100)
    assert world.month("2021-12", cancelled) == {"A": -100}
    reversed_ = payment("P", 100, "2022-01-02", revision=2, status="reversed", effect_cents=100)
    assert world.month("2022-01", reversed_) == {}


def test_a_disbursement_takes_the_credit_that_it_pays_out(world: World) -> None:
    world.month("2021-11", payment("P", 5_000, "2021-11-01"))
    left = world.month("2021-12", debt("A", 900, "2021-12-01"), debt("out", 5_000, "2021-12-20", kind="DSB"))
    assert left == {"A": 900}


def test_a_balance_brought_forward_is_one_item(world: World) -> None:
    left = world.month("2021-11", payment("P", 40, "2021-11-02"), baseline=[brought_forward(100)])
    assert left == {"brought forward": 60}
    (item,) = world.items("2021-11")
    assert (item["kind"], item["placed_in"], item["due_on"]) == ("BFW", "2021-10", date(2021, 11, 1))


def test_months_of_a_window_that_have_no_statement_are_carried_through(world: World) -> None:
    world.publish("baseline", "2021-09", [])
    world.publish("transactions", "2021-10", [debt("D 10", 100, "2021-10-01")])
    world.publish("transactions", "2021-11", [debt("D 11", 100, "2021-11-01")])
    world.publish("transactions", "2021-12", [payment("P", 150, "2021-12-01")])
    with engine.connect() as con:
        carry_forward(world.ws, con, Period.parse("2021-12"), "test")
        assert [str(month) for month in world.lake.periods("open_items")] == ["2021-10", "2021-11"]
        derive_open_items(world.ws, con, world.lake, Period.parse("2021-12"))
        assert con.table("open_items").project("item_id, remaining_cents").fetchall() == [("D 11", 50)]


# --- Against an allocation cent by cent -----------------------------------------------------------------------------


@dataclass
class Item:
    """What the oracle knows of an item."""

    name: str
    kind: str
    posted_on: date
    due_on: date
    placed_in: str
    cents: int


def pay_cent_by_cent(items: list[Item], period: str) -> dict[tuple[str, str], int]:
    """Pay one cent after the other: slow, and nothing to get wrong. Returns cents by debt and credit."""
    paid: dict[tuple[str, str], int] = {}
    for one in AllocationRules.load().passes_of(Period.parse(period)):
        while True:
            within = [item for item in items if not one.in_cycle or item.placed_in == period]
            credits = [
                item
                for item in within
                if item.cents < 0 and (one.credits == "all" or (item.kind == "PMT") == (one.credits == "payments"))
            ]
            debts = [item for item in within if item.cents > 0]
            if not credits or not debts:
                break
            credit = min(credits, key=lambda item: (item.posted_on, item.due_on, item.name))
            target = min(debts, key=lambda item: (item.kind != "DSB", *_order(item, one.newest_first), item.name))
            credit.cents += 1
            target.cents -= 1
            paid[target.name, credit.name] = paid.get((target.name, credit.name), 0) + 1
    return paid


def _order(item: Item, newest_first: bool) -> tuple[int, int]:
    posted, due = item.posted_on.toordinal(), item.due_on.toordinal()
    return (-posted, due) if newest_first else (due, posted)


MONTHS = ("2024-09", "2024-10", "2024-11", "2024-12")
POSTINGS = st.tuples(
    st.integers(0, len(MONTHS) - 1),
    st.sampled_from(["B3", "B2", "PMT", "DSB", "K32"]),
    st.integers(-40, 40),
    st.integers(0, 15),
    st.integers(-20, 40),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(POSTINGS, max_size=25))
def test_every_order_of_payment_is_the_one_counted_cent_by_cent(rows: list[tuple[int, str, int, int, int]]) -> None:
    left: list[Item] = []
    carried = table("open_items", [])
    with engine.connect() as con:
        for index, period in enumerate(MONTHS):
            first_day = CALENDAR.start(Period.parse(period))
            own = [
                Item(f"T{number}", kind, first_day + timedelta(day), first_day + timedelta(day + due), period, cents)
                for number, (month, kind, cents, day, due) in enumerate(rows)
                if month == index and cents
            ]
            postings = [
                posting(i.cents, transaction_id=i.name, kind=i.kind, posted_on=i.posted_on, due_on=i.due_on)
                for i in own
            ]
            paid = pay_cent_by_cent(left := left + own, period)
            left = [item for item in left if item.cents]
            carried, found = derived(con, carried, postings, period)
            assert found == paid
            assert {row["item_id"]: row["remaining_cents"] for row in carried.to_pylist()} == {
                item.name: item.cents for item in left
            }


def derived(
    con: Any, carried: pa.Table, postings: list[Row], period: str
) -> tuple[pa.Table, dict[tuple[str, str], int]]:
    """The open items that the statements make, and the cents by debt and credit."""
    engine.register(con, "carried_items", carried)
    engine.register(con, "transactions", table("transactions", postings))
    days = {"period": period, "statement_due_on": CALENDAR.due_on(Period.parse(period))}
    engine.create_table(con, "items", "derive_items", None, days)
    allocate(con, Period.parse(period))
    found: dict[tuple[str, str], int] = {}
    for row in con.table("allocations").to_arrow_table().to_pylist():
        assert row["bn15"] == BN15
        key = row["debt_id"], row["credit_id"]
        found[key] = found.get(key, 0) + row["amount_cents"]
    return engine.run_table(con, "derive_open_items", None, {"carried_since": MONTHS[0]}), found
