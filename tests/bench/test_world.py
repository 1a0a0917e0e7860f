"""The data of the benchmarks: the same each time, and sound, so that nothing of them is quarantined."""

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.measure import Profile
from bench.world import World, make_world
from include.carm.business_number import is_valid_bn15
from include.carm.calendar import Calendar
from include.feeds import ACCOUNTS, EXPORT_DECLARATIONS, TRANSACTIONS
from tests.pipeline import hashes

PROFILE = Profile("tiny", accounts=300, postings=900, months=6, changes=0, rounds=1)


def say_nothing(text: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(PROFILE, say_nothing, tmp_path_factory.mktemp("bench"))


def rows(world: World, position: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = pq.read_table(world.rows(TRANSACTIONS, world.months[position])).to_pylist()
    return found


def test_the_same_profile_gives_the_same_files(world: World, tmp_path: Path) -> None:
    again = make_world(PROFILE, say_nothing, tmp_path)
    assert hashes(again.folder / "source") == hashes(world.folder / "source")
    assert world.folder.name == again.folder.name


def test_a_world_is_made_once(world: World) -> None:
    told: list[str] = []
    assert make_world(PROFILE, told.append, world.folder.parent) == world
    assert told == []


def test_every_number_is_valid_and_every_posting_has_its_account(world: World) -> None:
    numbers = set(pq.read_table(world.rows(ACCOUNTS)).column("bn15").to_pylist())
    assert len(numbers) == PROFILE.accounts
    assert [number for number in numbers if not is_valid_bn15(number)] == []
    for feed in (TRANSACTIONS, EXPORT_DECLARATIONS):
        for path in world.all_rows(feed):
            assert set(pq.read_table(path).column("bn15").to_pylist()) <= numbers
    brokers = {row["broker_bn9"] for row in rows(world, 0)} - {None}
    assert brokers
    assert [number for number in brokers if not is_valid_bn15(f"{number}RM0001")] == []


def test_no_key_comes_twice(world: World) -> None:
    keys = Counter(key for path in world.all_rows(TRANSACTIONS) for key in _column(path, "transaction_id"))
    assert len(keys) > 3_000
    assert max(keys.values()) == 1


def test_every_row_lies_in_its_month_and_happened_before_it_was_posted(world: World) -> None:
    calendar = Calendar.load()
    for position, month in enumerate(world.months):
        for row in rows(world, position):
            assert calendar.start(month) <= row["posted_on"] <= calendar.end(month)
            assert row["activity_on"] <= row["posted_on"]


def test_no_more_is_owed_at_the_end_than_the_last_three_months_brought(world: World) -> None:
    old = sum(row["amount_cents"] for position in (0, 1, 2) for row in rows(world, position) if row["kind"] != "PMT")
    paid = sum(row["amount_cents"] for position in range(6) for row in rows(world, position) if row["kind"] == "PMT")
    new = sum(row["amount_cents"] for position in (3, 4, 5) for row in rows(world, position) if row["kind"] != "PMT")
    assert old > 0
    assert 0 < old + new + paid < new


def _column(path: Path, name: str) -> list[str]:
    found: list[str] = pq.read_table(path, columns=[name]).column(name).to_pylist()
    return found
