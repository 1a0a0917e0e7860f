"""What is asked about a few accounts is read from their rows, and not from those of all accounts and months."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import delete, update

from include import apply as apply_step
from include import engine
from include import lake as lake_module
from include.account_rows import months_of_accounts
from include.activity import publish_activity
from include.carm.period import Period
from include.feeds import LEDGER_FEEDS, TRANSACTIONS
from include.lake import Lake
from include.ledger import register_standing_items, register_standing_of_accounts
from include.published import published_files, register_published
from include.source_schema import TABLES
from tests.apply.ledger_world import BUSY, LedgerWorld, declaration, transaction
from tests.decide.accounts import bn15_of
from tests.decide.month import NO_LIMIT
from tests.pipeline import extract_only

DORMANT, TAKEN, GIVING, GIVEN = NUMBERS = [bn15_of(position) for position in range(1, 5)]
DECEMBER, JANUARY = Period(2021, 12), Period(2022, 1)
LEDGER = {f"{before}{feed.name}" for feed in LEDGER_FEEDS for before in ("", "baseline_")}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> LedgerWorld:
    """December and January, and accounts whose last activity is not what the months say one by one.

    ``BUSY`` announced an export for 2199. ``TAKEN`` loses its import of 2019 to a later revision and has an older one;
    that of ``GIVING`` went to ``GIVEN`` by a revision. Then some rows of old are overwritten or deleted.
    """
    folder = tmp_path_factory.mktemp("accounts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lake_module, "ROW_GROUP_ROWS", 2)
        world = LedgerWorld.make(folder / "data", f"sqlite:///{folder / 'source.db'}", NUMBERS, last="2022-01")
        world.add("export_declarations", declaration("far", BUSY, date(2021, 3, 10), exported_on=date(2199, 1, 1)))
        world.add("transactions", transaction("t-2018", TAKEN, date(2018, 5, 10)))
        for key, before, after, day, later in (
            ("t-2019", TAKEN, TAKEN, date(2019, 3, 10), date(2021, 12, 1)),
            ("given", GIVING, GIVEN, date(2020, 6, 10), date(2021, 10, 5)),
        ):
            status = "cancelled" if before == after else "accepted"
            revision = transaction(key, after, later, activity_on=day, revision=2, status=status)
            world.add("transactions", transaction(key, before, day), revision)
        extract_only(world.ws, str(DECEMBER))
        rows = TABLES["transactions"]
        changed = update(rows).where(rows.c.transaction_id == "t-2018")
        world.execute(changed.values(bn15=GIVEN, customs_duty_cents=10_001, amount_cents=10_001))
        world.execute(delete(rows).where(rows.c.transaction_id == f"old-paid-{GIVING}"))
        extract_only(world.ws, str(JANUARY))
    return world


@contextmanager
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[tuple[str, str]]]:
    """The datasets and months of the ledger whose files are asked for meanwhile."""
    read: set[tuple[str, str]] = set()
    files = Lake.files

    def noted(lake: Lake, dataset: str, *given: Any) -> list[Path]:
        found = files(lake, dataset, *given)
        if dataset in LEDGER:
            read.update((dataset, path.parent.name.removeprefix("period=")) for path in found)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "files", noted)
        yield read


def last_days(world: LedgerWorld, period: Period) -> dict[str, tuple[date | None, date | None]]:
    rows = pq.read_table(world.ws.lake().file("account_facts", period)).to_pylist()
    return {row["bn15"]: (row["last_import_on"], row["last_export_on"]) for row in rows}


def test_a_doubtful_account_has_the_last_day_that_its_rows_leave(world: LedgerWorld) -> None:
    old, as_of = date(2012, 3, 1), world.ws.calendar.as_of
    assert last_days(world, DECEMBER) == {
        BUSY: (as_of(DECEMBER), as_of(DECEMBER)),
        DORMANT: (old, None),
        TAKEN: (date(2018, 5, 10), None),
        GIVING: (old, None),
        GIVEN: (date(2020, 6, 10), None),
    }
    assert last_days(world, JANUARY) == {
        BUSY: (as_of(JANUARY), as_of(JANUARY)),
        DORMANT: (old, None),
        TAKEN: (old, None),
        GIVING: (old, None),
        GIVEN: (date(2020, 6, 10), None),
    }


def test_doubtful_accounts_are_read_in_the_months_that_can_tell_and_in_no_other(
    world: LedgerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = last_days(world, JANUARY)
    month = {"period": str(JANUARY), "effects": "shadow", "area": "lake", "run_id": "again"}
    with reading(monkeypatch) as read:
        publish_activity(world.ws, month)
    assert before == last_days(world, JANUARY)
    # January is derived anew; 2019-03 and 2018-05 were taken from one account and 2020-06 from another, which leaves
    # the baseline; the other rows of these items stand in 2021-10, 2021-12 and January.
    labels = {label for _, label in read}
    assert {"2017-11", "2018-05", "2019-03", "2020-06", "2021-10", "2021-12", "2022-01"} == labels


def test_an_account_without_rows_in_the_window_is_looked_for_in_the_baseline_alone(world: LedgerWorld) -> None:
    with engine.connect() as con:
        asked(con, DORMANT)
        found = months_of_accounts(con, world.ws.lake(), TRANSACTIONS, str(JANUARY))
    assert [("baseline_transactions", "2017-11")] == found


def test_a_month_whose_activity_is_not_derived_yet_is_looked_at(world: LedgerWorld, tmp_path: Path) -> None:
    lake = world.ws.lake()
    with engine.connect() as con, pytest.MonkeyPatch.context() as patch:
        asked(con, DORMANT)
        periods = Lake.periods
        patch.setattr(Lake, "periods", lambda lake, name: periods(lake, name)[: -1 if name == "activity" else None])
        found = months_of_accounts(con, lake, TRANSACTIONS, str(JANUARY))
    assert [("baseline_transactions", "2017-11"), ("transactions", "2022-01")] == found


@pytest.mark.parametrize("period", [DECEMBER, JANUARY], ids=str)
@pytest.mark.parametrize("feed", LEDGER_FEEDS, ids=lambda feed: feed.name)
def test_rows_of_an_account_are_counted_as_among_those_of_all(world: LedgerWorld, feed: Any, period: Period) -> None:
    for number in (*NUMBERS, BUSY):
        counted = []
        for register in (register_standing_items, register_standing_of_accounts):
            with engine.connect() as con:
                asked(con, number)
                register(con, world.ws.lake(), feed, str(period))
                counted.append(engine.run_table(con, "select_known_rows", parameters={"feed": feed.name}).to_pylist())
        assert counted[0] == counted[1]
        assert counted[0] or feed is not TRANSACTIONS


def asked(con: Any, number: str) -> None:
    """Ask for one account, as a plan would that changes it alone."""
    engine.register(con, "planned", pa.table({"bn15": [number]}))
    con.execute("CREATE TEMP TABLE asked_accounts AS SELECT account_key(bn15) AS account_key FROM planned")


@pytest.mark.parametrize("statement", ["select_account_items", "select_items_of_accounts"])
def test_row_groups_of_other_accounts_are_passed_over(world: LedgerWorld, tmp_path: Path, statement: str) -> None:
    with engine.connect() as con:
        asked(con, DORMANT)
        register_published(con, TRANSACTIONS, published_files(world.ws.lake(), TRANSACTIONS, str(JANUARY)))
        con.execute("PRAGMA enable_profiling = 'json'")
        con.execute(f"PRAGMA profiling_output = '{tmp_path / 'profile.json'}'")
        engine.create_table(con, "found", statement)
        con.execute("PRAGMA disable_profiling")
        assert con.execute("SELECT count(*) FROM found").fetchall() == [(2,)]
    [(read, of_all)] = scans(json.loads((tmp_path / "profile.json").read_text())["operator"])
    assert 1 == read < of_all / 50


def scans(operators: list[dict[str, Any]]) -> Iterator[tuple[int, int]]:
    """Row groups read, and row groups there are, of each scan of Parquet files in a profile."""
    for operator in operators:
        if operator.get("extra_info", {}).get("Function") == "READ_PARQUET":
            yield operator["row_groups_scanned"], operator["total_row_groups_to_scan"]
        yield from scans(operator.get("children", []))


def test_a_plan_is_applied_without_reading_the_ledger_under_the_lock(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = LedgerWorld.make(tmp_path / "data", sqlite_url, [DORMANT]).with_policy(breaker=NO_LIMIT)
    month = world.plan()
    lock = apply_step._register_locked
    with reading(monkeypatch) as read:
        before_the_lock: set[tuple[str, str]] = set()

        @contextmanager
        def locked(ws: Any) -> Iterator[Any]:
            with lock(ws) as connections:
                before_the_lock.update(read)
                read.clear()
                yield connections
                assert not read

        monkeypatch.setattr(apply_step, "_register_locked", locked)
        assert 1 == world.apply(month)["applied"]
    # Of the 49 months of the window none: the account has no row in any of them.
    assert {("baseline_transactions", "2017-11"), ("baseline_export_declarations", "2017-11")} == before_the_lock
