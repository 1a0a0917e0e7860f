"""What was published before is found by numbers, and as before where a month has none."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import delete

from include import engine
from include.database import write_transaction
from include.demo import fill_demo
from include.feeds import LEDGER_FEEDS, LedgerFeed
from include.lake import Seal
from include.ledger import concerned_files, keys_dataset, no_ranges, published_files
from include.operations_schema import COVERAGE
from include.source_totals import last_complete_period
from include.workspace import Workspace
from tests.pipeline import extract_only, new_workspace


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A demo world of which the month before the last one was extracted."""
    ws = new_workspace(tmp_path_factory.mktemp("before"))
    fill_demo(ws.source, accounts=120)
    extract_only(ws, str(last_complete_period(ws).previous()))
    return ws


@pytest.fixture
def copied(before: Workspace, tmp_path: Path) -> Callable[[str], Workspace]:
    def copy(name: str) -> Workspace:
        shutil.copytree(before.data, tmp_path / name)
        return Workspace.open(tmp_path / name)

    return copy


def forget_numbers(ws: Workspace) -> None:
    """Make the lake one of an older release: nothing in it is a number of a key."""
    names = [keys_dataset(f"{before}{feed.name}") for feed in LEDGER_FEEDS for before in ("", "baseline_")]
    with write_transaction(ws.operations) as connection:
        connection.execute(delete(COVERAGE).where(COVERAGE.c.dataset.in_(names)))
    for name in names:
        shutil.rmtree(ws.data / "lake" / name)


def rows_of(seals: list[Seal]) -> set[Seal]:
    return {seal for seal in seals if not seal.dataset.endswith("_keys")}


def test_a_lake_without_numbers_gives_the_same_month(copied: Callable[[str], Workspace]) -> None:
    with_numbers, without = copied("with"), copied("without")
    forget_numbers(without)
    period = last_complete_period(with_numbers)
    _, counts = extract_only(with_numbers, str(period))
    extract_only(without, str(period))
    # The month has rows of items that were published before: else nothing is compared.
    assert counts["arrivals"]["revision"] > 0
    assert rows_of(with_numbers.lake().seals()) == rows_of(without.lake().seals())
    assert without.lake().periods("transactions_keys") == [period]


@pytest.mark.parametrize("feed", LEDGER_FEEDS, ids=lambda feed: feed.name)
def test_every_key_ever_published_is_found(before: Workspace, feed: LedgerFeed) -> None:
    lake = before.lake()
    up_to = str(lake.periods("transactions")[-1])
    files = published_files(lake, feed, up_to)
    with engine.connect() as con:
        for path in files:
            keys = pq.read_table(path, columns=[feed.key], partitioning=None)
            if not keys.num_rows:
                continue
            engine.register(con, "asked", keys.slice(keys.num_rows // 2, 1).rename_columns(["item_id"]))
            engine.register(con, "moved", no_ranges())
            assert path in concerned_files(con, lake, feed, up_to, has_moved=False)


def test_a_key_that_nobody_published_is_looked_for_in_no_rows(before: Workspace) -> None:
    lake, feed = before.lake(), LEDGER_FEEDS[0]
    up_to = str(lake.periods("transactions")[-1])
    with engine.connect() as con:
        engine.register(con, "asked", pa.table({"item_id": ["never published"]}))
        engine.register(con, "moved", no_ranges())
        assert concerned_files(con, lake, feed, up_to, has_moved=False) == []


def test_a_month_after_the_one_asked_for_is_not_known_yet(before: Workspace) -> None:
    lake, feed = before.lake(), LEDGER_FEEDS[0]
    last = lake.periods("transactions")[-1]
    keys = pq.read_table(lake.file("transactions", last), columns=[feed.key], partitioning=None)
    with engine.connect() as con:
        engine.register(con, "asked", keys.rename_columns(["item_id"]))
        engine.register(con, "moved", no_ranges())
        found = concerned_files(con, lake, feed, str(last.previous()), has_moved=False)
        assert lake.path("transactions", last) not in found
        assert lake.path("transactions", last) in concerned_files(con, lake, feed, str(last), has_moved=False)


def test_a_key_has_the_number_that_md5_gives_it() -> None:
    number = int.from_bytes(hashlib.md5(b"T0000000001").digest()[8:], "little") >> 1
    with engine.connect() as con:
        assert con.execute("SELECT key_hash('T0000000001'), key_hash(NULL)").fetchall() == [(number, None)]
