"""What was published before is found by numbers, and as before where a month has none."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import delete, func, insert, select, update

from include import engine
from include.carm.errors import Unavailable
from include.carm.period import Period
from include.database import write_transaction
from include.demo import fill_demo
from include.extract import ExtractPlan, extract_month
from include.feeds import LEDGER_FEEDS, TRANSACTIONS, LedgerFeed
from include.lake import Lake, Seal
from include.month import open_month
from include.operations_schema import COVERAGE
from include.published import (
    KEY,
    NUMBER,
    Month,
    find_months,
    keys_dataset,
    month_files,
    published_files,
    published_months,
)
from include.source_schema import SOURCE
from include.source_totals import last_complete_period
from include.validate import validate_month
from include.workspace import Workspace
from tests.pipeline import extract_only, new_workspace


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A demo world of which the month before the last one was extracted."""
    ws = new_workspace(tmp_path_factory.mktemp("before"))
    fill_demo(ws.source, accounts=120)
    paid_in = last_complete_period(ws).previous().previous()
    post(ws, "P-BACK", "PMT", ws.calendar.start(paid_in), -4_500, "reversed")
    post(ws, "P-KEPT", "PMT", ws.calendar.start(paid_in), -4_600, "accepted")
    post(ws, "P-OLD", "PMT", ws.calendar.start(last_complete_period(ws).plus(-20)), -4_900, "reversed")
    for name, cents in (("P-DATE", 5_100), ("P-SUM", 5_200), ("P-COPIES", 5_300)):
        post(ws, name, "PMT", ws.calendar.start(paid_in), -cents)
    for name, cents in (("P-STANDS", 5_400), ("P-RENUMBERED", 5_500)):
        post(ws, name, "PMT", ws.calendar.start(paid_in), -cents, "reversed")
    extract_only(ws, str(last_complete_period(ws).previous()))
    return ws


def post(
    ws: Workspace, name: str, kind: str, day: date, cents: int, status: str = "accepted", **others: object
) -> None:
    """Post a payment, or what sends it back, to the source, under a transaction number that follows from its cents."""
    rows = SOURCE.tables["transactions"]
    with ws.source.begin() as connection:
        bn15 = (
            connection.execute(select(rows.c.bn15).where(rows.c.kind == "PMT").order_by(rows.c.bn15)).scalars().first()
        )
        row = {column.name: 0 for column in rows.c if column.name.endswith("_cents")} | {
            "transaction_id": name,
            "revision": 1,
            "bn15": bn15,
            "kind": kind,
            "transaction_number": f"4{abs(cents):013d}",
            "activity_on": day,
            "posted_on": day,
            "status": status,
            "amount_cents": cents,
        }
        connection.execute(insert(rows), row | others)


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
    return {seal for seal in seals if not seal.dataset.endswith("_key_hashes")}


def test_a_lake_without_numbers_gives_the_same_month(copied: Callable[[str], Workspace]) -> None:
    with_numbers, without = copied("with"), copied("without")
    forget_numbers(without)
    period = last_complete_period(with_numbers)
    _, counts = extract_only(with_numbers, str(period))
    extract_only(without, str(period))
    # The month has rows of items that were published before: else nothing is compared.
    assert counts["arrivals"]["revision"] > 0
    assert rows_of(with_numbers.lake().seals()) == rows_of(without.lake().seals())
    assert without.lake().periods("transactions_key_hashes") == [period]


def test_a_month_that_moved_opens_no_month_but_those_of_its_rows(copied: Callable[[str], Workspace]) -> None:
    with_numbers, without = copied("with"), copied("without")
    # As an older release: all months are looked at, so that the months found by numbers are held against all of them.
    forget_numbers(without)
    period = last_complete_period(with_numbers)
    long_ago = period.plus(-20)
    arrived, looked_at = [], []
    for ws in (with_numbers, without):
        rows = SOURCE.tables["transactions"]
        post(ws, "P-LATE", "PMT", ws.calendar.start(long_ago), -5_100)
        days = rows.c.posted_on.between(ws.calendar.start(long_ago), ws.calendar.end(long_ago))
        with ws.source.begin() as connection:
            paid = select(func.max(rows.c.transaction_id)).where(
                days, rows.c.kind == "PMT", rows.c.status == "accepted"
            )
            edited = connection.execute(paid).scalar_one()
            connection.execute(update(rows).where(rows.c.transaction_id == edited).values(amount_cents=-1))
            connection.execute(delete(rows).where(rows.c.transaction_id == "P-OLD"))
        month, plan = extracted(ws, period)
        assert plan.moved[TRANSACTIONS.name] == [str(long_ago)]
        looked_at.append(plan.months_of(TRANSACTIONS, KEY))
        arrived.append(validate_month(ws, month)["arrivals"])

    everything = published_months(with_numbers.lake(), TRANSACTIONS, str(period.previous()))
    assert looked_at[1] == everything
    assert (TRANSACTIONS.name, str(long_ago)) in looked_at[0]
    assert len(looked_at[0]) < len(everything) / 2
    assert arrived[0] == arrived[1]
    assert all(arrived[0][word] > 0 for word in ("late", "drift", "vanished"))
    assert rows_of(with_numbers.lake().seals()) == rows_of(without.lake().seals())


def extracted(ws: Workspace, period: Period) -> tuple[dict[str, Any], ExtractPlan]:
    """The month that was begun, and what its extraction hands to the gate."""
    month = open_month(ws, period, "shadow", f"test {period}", "manual", lambda other_run: False)
    extract_month(ws, month)
    return month, ExtractPlan.read(ws.staging(month["run_id"], "extract"))


def refused(ws: Workspace, period: Period) -> list[tuple[str, str]]:
    """Key and reason of the rows named N- that stand in the month's quarantine."""
    rows = pq.read_table(ws.lake().file("quarantine", period)).to_pylist()
    found = [(row["row_key"].split("#")[0], row["reason"]) for row in rows]
    return sorted((key, reason) for key, reason in found if key.startswith("N-"))


@pytest.mark.parametrize("has_numbers", [True, False], ids=["with numbers", "without"])
def test_what_undoes_a_payment_twice_is_found_in_the_month_of_the_payment(
    copied: Callable[[str], Workspace], has_numbers: bool
) -> None:
    ws = copied("own")
    if not has_numbers:
        forget_numbers(ws)
    period = last_complete_period(ws)
    for name, cents in (("N-BACK", 4_500), ("N-KEPT", 4_600), ("N-UNHEARD-OF", 4_700)):
        post(ws, name, "NSF", ws.calendar.start(period), cents)
    month, plan = extracted(ws, period)
    validate_month(ws, month)

    assert refused(ws, period) == [("N-BACK", "reversed_twice")]
    months = plan.months_of(TRANSACTIONS, NUMBER)
    # Those of the payments that bounced, the demo's own among them.
    assert ("transactions", str(period.previous().previous())) in months
    everything = published_months(ws.lake(), TRANSACTIONS, str(period.previous()))
    assert (months == sorted(everything)) == (not has_numbers), months


def test_only_a_valid_row_reverses_a_payment(copied: Callable[[str], Workspace]) -> None:
    ws = copied("own")
    period = last_complete_period(ws)
    day = ws.calendar.start(period)
    no_day: dict[str, object] = {"revision": 2, "activity_on": date(1979, 12, 31)}
    # Reversals that are refused themselves: their payments stand, and bounce once.
    post(ws, "P-DATE", "PMT", day, -5_100, "reversed", **no_day)
    post(ws, "P-SUM", "PMT", day, -5_200, "reversed", revision=2, customs_duty_cents=1)
    post(ws, "P-COPIES", "PMT", day, -5_300, "reversed", revision=2)
    post(ws, "P-COPIES", "PMT", day, -5_300, "cancelled", revision=2)
    # Refused, so the reversal that was published stands.
    post(ws, "P-STANDS", "PMT", day, -5_400, **no_day)
    # Accepted again, under another number.
    post(ws, "P-RENUMBERED", "PMT", day, -5_500, revision=2, transaction_number="40000000099999")
    names = {"N-DATE": 5_100, "N-SUM": 5_200, "N-COPIES": 5_300, "N-STANDS": 5_400, "N-RENUMBERED": 5_500}
    for name, cents in names.items():
        post(ws, name, "NSF", day, cents)
    # Neither has a number, so they have nothing to do with each other.
    post(ws, "P-BLANK", "PMT", day, -5_600, "reversed", transaction_number=" ")
    post(ws, "N-BLANK", "NSF", day, 5_600, transaction_number=" ")
    month, _ = extracted(ws, period)
    validate_month(ws, month)

    assert refused(ws, period) == [("N-STANDS", "reversed_twice")]
    published = pq.read_table(ws.lake().file("transactions", period), columns=["transaction_id"], partitioning=None)
    assert {"N-BLANK", *names} - {"N-STANDS"} <= set(published.column(0).to_pylist())


def test_a_number_that_only_a_row_read_by_its_key_brings_is_asked_for_too(copied: Callable[[str], Workspace]) -> None:
    without, with_row = copied("without"), copied("with")
    period = last_complete_period(without)
    # Its key comes again under another day: then its row of old is read too, which was taken back under its number.
    post(with_row, "P-OLD", "PMT", with_row.calendar.start(period), -4_800)
    found = []
    for ws in (without, with_row):
        _, plan = extracted(ws, period)
        assert plan.moved[TRANSACTIONS.name] == []
        found.append(("transactions", str(period.plus(-20))) in plan.months_of(TRANSACTIONS, NUMBER))
    assert found == [False, True]


def test_a_reading_of_an_earlier_release_is_refused(copied: Callable[[str], Workspace]) -> None:
    ws = copied("own")
    period = last_complete_period(ws)
    month, plan = extracted(ws, period)
    replace(plan, published_in={}).write(ws.staging(month["run_id"], "extract"))

    with pytest.raises(Unavailable, match=r"what was read of transactions was not held .*: clear extract_feeds"):
        validate_month(ws, month)
    assert ws.lake().periods("transactions")[-1] == period.previous()


def test_numbers_of_a_release_that_made_them_otherwise_are_none(copied: Callable[[str], Workspace]) -> None:
    with_numbers, older = copied("with"), copied("older")
    forget_numbers(older)
    lake, period = older.lake(), last_complete_period(older)
    for month in lake.periods("transactions"):
        # What the first release with numbers called them; none of them is the number of a key today.
        lake.publish_and_seal("transactions_keys", month, pa.table({"key_hash": [1, 2, 3]}), run_id="older")
    extract_only(with_numbers, str(period))
    extract_only(older, str(period))
    assert rows_of(with_numbers.lake().seals()) == {
        seal for seal in rows_of(lake.seals()) if seal.dataset != "transactions_keys"
    }


def asked_of(
    lake: Lake, feed: LedgerFeed, up_to: str, keys: list[str], numbers: list[str] | None = None
) -> dict[str, list[Month]]:
    """In which months these keys, and numbers of payments, were published."""
    with engine.connect() as con:
        engine.register(con, "asked", pa.table({"item_id": pa.array(keys, pa.string())}))
        engine.register(
            con, "reversing_numbers", pa.table({"transaction_number": pa.array(numbers or [], pa.string())})
        )
        engine.create_view(con, "wanted", "select_wanted")
        return find_months(con, lake, feed, up_to)


@pytest.mark.parametrize("feed", LEDGER_FEEDS, ids=lambda feed: feed.name)
def test_every_key_ever_published_is_found(before: Workspace, feed: LedgerFeed) -> None:
    lake = before.lake()
    up_to = str(lake.periods("transactions")[-1])
    for path in published_files(lake, feed, up_to):
        keys = pq.read_table(path, columns=[feed.key], partitioning=None).column(0).to_pylist()
        for key in keys[:: max(len(keys) // 5, 1)]:
            assert path in month_files(lake, asked_of(lake, feed, up_to, [key])[KEY])
        everything = asked_of(lake, feed, up_to, keys)[KEY]
        assert (path in month_files(lake, everything)) == bool(keys)


def test_a_question_finds_what_it_asks_for_and_not_what_another_one_does(before: Workspace) -> None:
    lake, feed = before.lake(), LEDGER_FEEDS[0]
    months = lake.periods("transactions")
    paid = pq.read_table(
        lake.file("transactions", months[-1]), columns=["kind", "transaction_number", "transaction_id"]
    )
    payment = next(row for row in paid.to_pylist() if row["kind"] == "PMT" and row["transaction_number"])
    own = ("transactions", str(months[-1]))

    by_number = asked_of(lake, feed, own[1], [], [payment["transaction_number"]])
    assert (own in by_number[NUMBER], by_number[KEY]) == (True, [])
    by_key = asked_of(lake, feed, own[1], [payment["transaction_id"]])
    assert (by_key[KEY], by_key[NUMBER]) == ([own], [])
    # A number is no key, though it may look like one.
    assert own not in asked_of(lake, feed, own[1], [payment["transaction_number"]])[KEY]


def test_a_key_that_nobody_published_is_looked_for_in_no_rows(before: Workspace) -> None:
    lake, feed = before.lake(), LEDGER_FEEDS[0]
    up_to = str(lake.periods("transactions")[-1])
    assert asked_of(lake, feed, up_to, ["never published"])[KEY] == []


def test_a_month_after_the_one_asked_for_is_not_known_yet(before: Workspace) -> None:
    lake, feed = before.lake(), LEDGER_FEEDS[0]
    last = lake.periods("transactions")[-1]
    keys = pq.read_table(lake.file("transactions", last), columns=[feed.key], partitioning=None).column(0).to_pylist()
    own = ("transactions", str(last))
    assert own not in asked_of(lake, feed, str(last.previous()), keys)[KEY]
    assert own in asked_of(lake, feed, str(last), keys)[KEY]


def test_a_key_has_the_number_that_md5_gives_it() -> None:
    number = int.from_bytes(hashlib.md5(b"T0000000001").digest()[8:], "little") >> 12
    with engine.connect() as con:
        assert con.execute("SELECT key_hash('T0000000001'), key_hash(NULL)").fetchall() == [(number, None)]
