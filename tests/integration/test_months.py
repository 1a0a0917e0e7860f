"""Months in a row, again, late, backwards and on another database: what must stay the same stays the same."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from include.carm.errors import DataError, Refused, Unavailable, UsageError
from include.carm.period import Period
from include.demo import fill_demo
from include.feeds import Feed
from include.load import load_folder
from include.month import open_month, read_summary
from include.source_rows import rows_as_json
from include.verify import verify
from include.workspace import Workspace
from tests.fixtures.hand_written.cases import CASES, PERIOD, bn15_of
from tests.pipeline import extract_only, hashes, new_workspace, read, run_month
from tests.prepared import (
    DEMO,
    HAND_WRITTEN,
    Maker,
    Prepared,
    december,
    demo,
    hand_written_extracted,
    hand_written_month,
    january,
    shadow_months,
)

COMPLETE = HAND_WRITTEN / "complete"


def never_active(run_id: str) -> bool:
    return False


def lake_table(ws: Workspace, dataset: str, period: str) -> pa.Table:
    return pq.read_table(ws.lake().file(dataset, Period.parse(period)))


def loaded(folder: Path, data: Path) -> Workspace:
    ws = new_workspace(data)
    load_folder(ws.source, folder)
    return ws


def copy_of(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


def header_of(name: str) -> list[str]:
    with (COMPLETE / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file))


def write_rows(folder: Path, name: str, rows: list[dict[str, object]]) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header_of(name), restval="")
        writer.writeheader()
        writer.writerows(rows)


def transaction(transaction_id: str, bn15: str, posted_on: str, amount: int, **others: object) -> dict[str, object]:
    zero = {column: 0 for column in header_of("transactions") if column.endswith("_cents")}
    row: dict[str, object] = {
        **zero,
        "transaction_id": transaction_id,
        "revision": 1,
        "bn15": bn15,
        "kind": "B3",
        "activity_on": posted_on,
        "posted_on": posted_on,
        "status": "accepted",
        "amount_cents": amount,
    }
    return row | others


def test_a_live_month_run_again_changes_nothing(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", december)
    first = read_summary(ws, Period(2021, 12), "lake")
    assert (first["result"], first["effects"], first["issued"]) == ("done", "live", True)
    assert first["applied_changes"] > 0
    before = hashes(ws.data / "lake"), hashes(ws.data / "documents")
    with ws.source.connect() as connection:
        versions = connection.execute(text("SELECT count(*) FROM accounts")).scalar_one()

    second = run_month(ws, "2021-12", effects="auto", run_id="again")

    assert (second["result"], second["changed_files"]) == ("unchanged", [])
    assert before == (hashes(ws.data / "lake"), hashes(ws.data / "documents"))
    with ws.source.connect() as connection:
        assert versions == connection.execute(text("SELECT count(*) FROM accounts")).scalar_one()
    verify(ws)


def test_the_next_month_sees_what_the_plan_changed(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", january)
    first = read_summary(ws, Period(2021, 12), "lake")
    closed = read(ws, "account_decisions", "2021-12").query("action == 'close'").bn15.tolist()
    assert closed
    assert first["applied_changes"] >= len(closed)

    later = read(ws, "account_decisions", "2022-01")
    assert set(closed).isdisjoint(later.bn15)
    accounts = read(ws, "accounts", "2022-01").set_index("bn15")
    assert set(accounts.loc[closed, "status"]) == {"closed"}
    verify(ws)


def test_a_live_month_waits_for_the_one_before(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "one", december)
    with pytest.raises(Refused, match="2022-01 first"):
        open_month(ws, Period.parse("2022-02"), "live", "early", "manual", never_active)
    ws = prepared.copy(tmp_path / "two", january)
    with pytest.raises(Refused, match="2022-01 was issued after it"):
        open_month(ws, Period.parse("2021-12"), "live", "late", "manual", never_active)


def test_a_month_is_locked_while_another_run_works_on_it(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", demo)
    period = Period.parse("2021-12")
    open_month(ws, period, "shadow", "first", "manual", never_active)
    with pytest.raises(Refused, match="being worked on by run first"):
        open_month(ws, period, "shadow", "second", "manual", lambda run_id: run_id == "first")
    # The first run is gone without a word: the second takes over.
    assert open_month(ws, period, "shadow", "second", "manual", never_active)["run_id"] == "second"


def test_what_was_read_is_not_published_over_another_run(prepared: Prepared, tmp_path: Path) -> None:
    from include.extract import extract_month
    from include.validate import validate_month

    ws = prepared.copy(tmp_path / "data", shadow_months, "2021-11")
    slow = open_month(ws, Period.parse("2021-12"), "shadow", "slow", "manual", never_active)
    extract_month(ws, slow)
    extract_only(ws, "2021-12", run_id="quick")
    before = hashes(ws.data / "lake")
    with pytest.raises(Unavailable, match="clear extract_feeds"):
        validate_month(ws, slow)
    assert before == hashes(ws.data / "lake")


def test_a_shadow_run_of_an_issued_month_writes_beside_the_record(prepared: Prepared, tmp_path: Path) -> None:
    # The last month that the source knows: of an account that moved since, a shadow run would tell otherwise.
    ws = prepared.copy(tmp_path / "data", january)
    before = hashes(ws.data / "lake"), hashes(ws.data / "documents")
    summary = run_month(ws, "2022-01", effects="shadow", run_id="shadow")
    assert summary["area"] == "shadow"
    assert summary["result"] == "unchanged"
    assert before == (hashes(ws.data / "lake"), hashes(ws.data / "documents"))
    assert (ws.data / "shadow" / "lake" / "statements" / "period=2022-01").exists()


def test_older_months_after_a_newer_one_equal_a_backfill_from_the_start(prepared: Prepared, tmp_path: Path) -> None:
    datasets = ("transactions", "export_declarations", "account_decisions", "statements", "statement_lines")
    forward = prepared.copy(tmp_path / "forward", shadow_months, "2021-08")
    backward = prepared.copy(tmp_path / "backward", december)
    # July reaches further back than August did: what August's balance brought forward is made of, is known only then.
    for period in ("2021-08", "2021-07", "2021-08"):
        run_month(backward, period)
    for period in ("2021-07", "2021-08"):
        for dataset in (*datasets, "open_items", "interest"):
            pd.testing.assert_frame_equal(read(forward, dataset, period), read(backward, dataset, period))
    verify(backward)


def test_six_shadow_months_twice_are_the_same_bytes(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", shadow_months, "2021-12")
    months = [str(period) for period in Period.range(Period(2021, 7), Period(2021, 12))]
    assert months == [str(period) for period in ws.lake().periods("statements")]
    before = hashes(ws.data / "lake"), hashes(ws.data / "documents")
    for period in months:
        assert run_month(ws, period, run_id=f"again {period}")["result"] == "unchanged"
    assert before == (hashes(ws.data / "lake"), hashes(ws.data / "documents"))
    with ws.operations.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM carm_account_changes")).scalar_one() == 0
    verify(ws)


def test_late_rows_and_later_revisions_stand_in_the_next_month(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", hand_written_month, "complete")
    earlier = hashes(ws.data / "lake")
    published = read(ws, "transactions", PERIOD)
    revised = published[published.is_counted & (published.revision == 1) & (published.kind == "B3")].iloc[0]
    bn15 = revised.bn15
    write_rows(
        tmp_path / "more",
        "transactions",
        [
            transaction("LATE-1", bn15, "2021-12-20", 12_345),
            transaction("LATE-2", bn15, "2019-03-04", 1),
            transaction("NEXT-1", bn15, "2022-01-03", 500),
            transaction(
                revised.transaction_id, bn15, "2022-01-04", 777, revision=2, activity_on=str(revised.activity_on)
            ),
        ],
    )
    load_folder(ws.source, tmp_path / "more", append=True)

    run_month(ws, "2022-01")

    lines = read(ws, "statement_lines", "2022-01").set_index(["transaction_id", "revision"])
    assert lines.loc[("LATE-1", 1), "section"] == "late"
    assert lines.loc[("LATE-2", 1), "section"] == "late"
    assert lines.loc[(revised.transaction_id, 2), "section"] == "late"
    assert lines.loc[("NEXT-1", 1), "section"] != "late"
    assert lines.loc[("LATE-1", 1), "amount_cents"] == 12_345
    assert lines.loc[(revised.transaction_id, 2), "amount_cents"] == 777 - revised.amount_cents
    now = hashes(ws.data / "lake")
    assert earlier == {path: now[path] for path in earlier}
    verify(ws)


@pytest.mark.parametrize(
    ("change", "arrival", "effect"),
    [
        ("UPDATE transactions SET amount_cents = amount_cents + 5 WHERE transaction_id = :id", "drift", 5),
        ("UPDATE transactions SET status = 'cancelled' WHERE transaction_id = :id", "drift", None),
        ("DELETE FROM transactions WHERE transaction_id = :id", "vanished", None),
    ],
)
def test_a_source_that_overwrites_rows_is_followed_by_revisions(
    change: str, arrival: str, effect: int | None, prepared: Prepared, tmp_path: Path
) -> None:
    ws = prepared.copy(tmp_path / "data", hand_written_extracted, "complete")
    published = read(ws, "transactions", PERIOD)
    row = published[published.is_counted & (published.revision == 1) & ~published.transaction_id.duplicated(False)]
    row = row[(row.gst_cents == 0) & (row.customs_duty_cents == 0)].iloc[0]
    assert row.amount_cents != 0
    with ws.source.begin() as connection:
        connection.execute(text(change), {"id": row.transaction_id})
    write_rows(tmp_path / "more", "transactions", [transaction("NEXT-1", row.bn15, "2022-01-24", 500)])
    load_folder(ws.source, tmp_path / "more", append=True)

    extract_only(ws, "2022-01")

    found = read(ws, "transactions", "2022-01").set_index("transaction_id").loc[row.transaction_id]
    assert (found.origin, found.arrival, bool(found.is_late), found.version) == ("source_drift", arrival, True, 2)
    assert found.effect_cents == (-row.amount_cents if effect is None else effect)
    verify(ws)


def test_a_row_that_is_mended_leaves_quarantine_as_a_late_row(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", hand_written_extracted, "complete")
    refused = read(ws, "quarantine", "2019-08").query("reason == 'unknown_kind'").iloc[0]
    transaction_id = refused.row_key.rsplit("#", 1)[0]
    with ws.source.begin() as connection:
        connection.execute(
            text("UPDATE transactions SET kind = 'B3' WHERE transaction_id = :id"), {"id": transaction_id}
        )
    write_rows(tmp_path / "more", "transactions", [transaction("NEXT-1", refused.bn15, "2022-01-24", 500)])
    load_folder(ws.source, tmp_path / "more", append=True)
    extract_only(ws, "2022-01")
    found = read(ws, "transactions", "2022-01").set_index("transaction_id").loc[transaction_id]
    assert (found.arrival, bool(found.is_late), found.effect_cents) == ("released", True, found.amount_cents)
    released = read(ws, "quarantine_released", "2022-01")
    assert [(refused.row_key, "published")] == list(zip(released.row_key, released.how, strict=True))
    verify(ws)


def test_an_item_that_moves_to_another_account_leaves_the_first(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", hand_written_extracted, "complete")
    accounts = read(ws, "accounts", PERIOD).bn15.tolist()
    write_rows(
        tmp_path / "more",
        "transactions",
        [
            transaction("MOVES", accounts[0], "2022-01-02", 900),
            transaction("MOVES", accounts[1], "2022-01-09", 950, revision=2, activity_on="2022-01-02"),
        ],
    )
    load_folder(ws.source, tmp_path / "more", append=True)
    extract_only(ws, "2022-01")
    rows = read(ws, "transactions", "2022-01").query("transaction_id == 'MOVES'")
    assert {accounts[0]: 0, accounts[1]: 950} == rows.groupby("bn15").effect_cents.sum().to_dict()
    verify(ws)


def test_a_feed_that_lacks_a_month_closes_nobody(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", hand_written_month, "month_missing")
    decisions = read(ws, "account_decisions", PERIOD)
    assert "close" not in set(decisions.action)
    assert "coverage_incomplete" in set(decisions.reason)


def test_too_many_bad_rows_stop_the_month_before_anything_is_published(tmp_path: Path) -> None:
    folder = copy_of(COMPLETE, tmp_path / "csv")
    bad = [transaction(f"BAD-{n}", bn15_of(CASES[0]), "2021-12-10", 1, kind="WRONG") for n in range(30)]
    with (folder / "transactions.csv").open("a", encoding="utf-8", newline="") as file:
        csv.DictWriter(file, header_of("transactions"), restval="").writerows(bad)
    ws = loaded(folder, tmp_path / "data")
    with pytest.raises(DataError, match="more than the 5%"):
        run_month(ws, PERIOD)
    assert ws.lake().seals() == []


@pytest.mark.parametrize("feed", ["accounts", "transactions"])
def test_a_feed_that_fails_as_a_whole_is_not_held_in_memory(
    feed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = loaded(COMPLETE, tmp_path / "data")
    dirt = {"accounts": "valid_from = NULL", "transactions": "amount_cents = amount_cents + 0.25"}[feed]
    with ws.source.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {feed} SET {dirt}")
    written: list[str] = []

    def note(of: Feed, raw: Iterable[Path], row_numbers: pa.ChunkedArray) -> dict[int, str]:
        written.extend([of.name] * len(row_numbers))
        return rows_as_json(of, raw, row_numbers)

    for place in ("include.ledger", "include.validate"):
        monkeypatch.setattr(f"{place}.rows_as_json", note)
    with pytest.raises(DataError, match=f"{feed}: .* fail validation, more than the 5%"):
        run_month(ws, PERIOD)
    # Not one of its rows was written out as a text before it was held against the limit.
    assert feed not in written


def test_sqlite_and_postgresql_give_the_same_bytes(prepared: Prepared, postgresql_url: str, tmp_path: Path) -> None:
    sqlite = prepared.copy(tmp_path / "sqlite", december)
    postgresql = new_workspace(tmp_path / "postgresql", postgresql_url)
    fill_demo(postgresql.source, **DEMO)
    run_month(postgresql, "2021-12", effects="auto")
    assert hashes(sqlite.data / "documents") == hashes(postgresql.data / "documents")
    assert hashes(sqlite.data / "lake") == hashes(postgresql.data / "lake")
    verify(postgresql)


def test_a_row_mended_under_another_key_is_found(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", hand_written_extracted, "complete")
    account = bn15_of(CASES[0])
    write_rows(
        tmp_path / "more",
        "transactions",
        [
            transaction("", account, "2022-01-05", 777),
            transaction("TWIN", account, "2022-01-06", 300),
            transaction("TWIN", account, "2022-01-07", 500),
            transaction("NEXT-1", account, "2022-02-24", 1),
            transaction("FAR", account, "2022-01-24", 0),
        ],
    )
    load_folder(ws.source, tmp_path / "more", append=True)
    extract_only(ws, "2022-01")
    with ws.source.begin() as connection:
        connection.execute(text("UPDATE transactions SET transaction_id = 'NAMED' WHERE posted_on = '2022-01-05'"))
        connection.execute(
            text(
                "UPDATE transactions SET transaction_id = 'OTHER' WHERE transaction_id = 'TWIN' AND amount_cents = 500"
            )
        )
    extract_only(ws, "2022-02")
    rows = read(ws, "transactions", "2022-02").set_index("transaction_id")
    assert {"NAMED": 777, "OTHER": 500, "TWIN": 300} == rows.loc[["NAMED", "OTHER", "TWIN"]].effect_cents.to_dict()
    verify(ws)


def test_a_published_key_that_comes_again_is_refused_and_keeps_its_effect(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", hand_written_extracted, "complete")
    account = bn15_of(CASES[0])
    first = [transaction("X", account, "2022-01-06", 300), transaction("FAR", account, "2022-01-24", 0)]
    again = [transaction("X", account, "2022-02-06", 500), transaction("FAR2", account, "2022-02-24", 0)]
    write_rows(tmp_path / "first", "transactions", first)
    write_rows(tmp_path / "again", "transactions", again)
    load_folder(ws.source, tmp_path / "first", append=True)
    extract_only(ws, "2022-01")
    load_folder(ws.source, tmp_path / "again", append=True)
    extract_only(ws, "2022-02")
    assert "X" not in set(read(ws, "transactions", "2022-02").transaction_id)
    refused = read(ws, "quarantine", "2022-02").query("dataset == 'transactions' and reason == 'duplicate_key_differs'")
    assert {"X#1", "X#1~2"} == set(refused.row_key)
    verify(ws)


def test_a_stale_reading_leaves_sealed_files_alone(prepared: Prepared, tmp_path: Path) -> None:
    from include.extract import extract_month
    from include.validate import validate_month

    ws = prepared.copy(tmp_path / "data", shadow_months, "2021-11")
    stale = open_month(ws, Period.parse("2021-12"), "shadow", "stale", "manual", never_active)
    extract_month(ws, stale)
    with ws.source.begin() as connection:
        connection.execute(
            text(
                "UPDATE transactions SET amount_cents = 1 WHERE transaction_id IN "
                "(SELECT transaction_id FROM transactions WHERE posted_on = '2021-12-24' LIMIT 1)"
            )
        )
    run_month(ws, "2021-12", run_id="other")
    before = hashes(ws.data / "lake")
    with pytest.raises(Unavailable):
        validate_month(ws, stale)
    assert before == hashes(ws.data / "lake")
    verify(ws)


def test_a_file_that_was_written_and_never_sealed_does_not_stop_the_next_run(
    prepared: Prepared, tmp_path: Path
) -> None:
    ws = prepared.copy(tmp_path / "data", shadow_months, "2021-12")
    lake = ws.lake()
    # What a step leaves that dies between writing and sealing.
    lake.publish("transactions", "2021-12", lake_table(ws, "transactions", "2021-12").slice(0, 3))
    assert run_month(ws, "2021-12", run_id="again")["result"] == "unchanged"
    verify(ws)


def test_what_rests_on_a_replaced_extract_is_made_again(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", hand_written_month, "complete")
    account = bn15_of(CASES[0])
    write_rows(
        tmp_path / "more",
        "transactions",
        [transaction("LATE", account, "2021-12-20", -4_321), transaction("NEXT-1", account, "2022-01-24", 0)],
    )
    load_folder(ws.source, tmp_path / "more", append=True)
    # The second run of the month dies after its seal.
    from include.extract import extract_month
    from include.validate import validate_month

    month = open_month(ws, Period.parse(PERIOD), "shadow", "dies", "manual", never_active)
    extract_month(ws, month)
    validate_month(ws, month)
    run_month(ws, "2022-01")
    opening = read(ws, "statements", "2022-01").set_index("bn15").opening_cents
    assert opening[account] == -4_321
    verify(ws)


@pytest.mark.parametrize("others", [demo, december], ids=["on an empty lake", "beside other months"])
@pytest.mark.parametrize("period", ["2010-01", "2031-01"])
def test_a_month_that_the_source_cannot_speak_of_is_refused(
    period: str, others: Maker, prepared: Prepared, tmp_path: Path
) -> None:
    ws = prepared.copy(tmp_path / "data", others)
    before = hashes(ws.data / "lake") if others is december else {}
    with pytest.raises(UsageError, match=r"before the first posting|nothing posted in"):
        run_month(ws, period, run_id="refused")
    assert before == (hashes(ws.data / "lake") if (ws.data / "lake").exists() else {})
