"""The four steps of a month, on a real data folder: what they leave, and what they never do."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import insert, select

from include import statements
from include.carm.business_number import bn9_with_check_digit
from include.carm.errors import DataError, Refused, UsageError
from include.carm.policy import Limit
from include.carm.statement import AGEING, COMPONENTS
from include.documents import read_documents
from include.lake import Seal, sha256_of
from include.operations_statement_tables import ISSUED_MONTHS, STATEMENT_REGISTRY
from include.statement_reader import count_true_documents, read_statement
from include.statements import register_statements
from tests.statements.ledger import BN15, OTHER_BN15, Row, account, brought_forward, posting
from tests.statements.months import SealedMonth

MANY = [f"{bn9_with_check_digit(f'{number:08d}')}RM0001" for number in range(1, 8)]


@pytest.fixture
def month(tmp_path: Path) -> SealedMonth:
    return SealedMonth(tmp_path / "data").seal([posting(12_345)])


def _many(month: SealedMonth) -> SealedMonth:
    return month.seal(
        [posting(100 + place, bn15=bn15, transaction_id=f"T{place}") for place, bn15 in enumerate(MANY)],
        [account(bn15) for bn15 in MANY],
    )


def _registry(month: SealedMonth) -> tuple[list[Any], list[Any]]:
    with month.ws.operations.connect() as connection:
        rows = connection.execute(select(STATEMENT_REGISTRY).order_by(STATEMENT_REGISTRY.c.bn15)).all()
        return list(rows), list(connection.execute(select(ISSUED_MONTHS)).all())


def test_a_month_leaves_a_statement_with_the_hash_of_its_document(month: SealedMonth) -> None:
    result = month.run()

    (row,) = month.rows()
    page = read_statement(month.ws, month.period, BN15)
    assert hashlib.sha256(page).hexdigest() == row["document_sha256"]
    assert (BN15, 0, 12_345, 0, 12_345, 1) == tuple(
        row[name] for name in ("bn15", "opening_cents", "debits_cents", "credits_cents", "closing_cents", "line_count")
    )
    assert b"$123.45" in page
    assert (1, 1, 0) == (result["statements"], result["packs"], result["newly_issued"])


def test_every_allocation_is_published_whether_or_not_a_broker_is_told_of_it(month: SealedMonth) -> None:
    month.seal(
        [
            posting(10_000, transaction_id="OWN"),
            posting(5_000, transaction_id="SECURED", broker_bn9="000000018"),
            posting(-12_000, transaction_id="PAID", kind="PMT"),
        ]
    ).run()

    assert {("OWN", "PAID", 10_000), ("SECURED", "PAID", 2_000)} == {
        (row["debt_id"], row["credit_id"], row["amount_cents"]) for row in month.rows("allocations")
    }


def test_what_a_step_returns_holds_no_account_and_no_amount(month: SealedMonth) -> None:
    lines = statements.publish_statement_lines(month.ws, month.facts)
    shards = month.render()
    returned = json.dumps([lines, shards, register_statements(month.ws, month.facts, shards)])

    assert not re.search(r"RM0001|12345|123\.45|Example", returned)


def test_the_same_month_again_gives_the_same_bytes(month: SealedMonth) -> None:
    _many(month).run()
    first = month.files()
    again = month.run()

    assert first == month.files()
    assert 7 == again["statements"]


def test_an_issued_month_keeps_the_bytes_that_another_release_wrote_for_the_same_rows(tmp_path: Path) -> None:
    month = _many(SealedMonth(tmp_path / "data", effects="live"))
    month.run()
    lake = month.ws.lake()
    otherwise = {}
    for dataset in ("open_items", "statement_lines", "statements"):
        path = lake.path(dataset, month.period)
        pq.write_table(pq.read_table(path, partitioning=None), path, compression="none")
        otherwise[dataset] = sha256_of(path)
        rows = pq.read_metadata(path).num_rows
        lake.seal([Seal(dataset, str(month.period), rows, otherwise[dataset])], run_id="older release")

    for area in ("lake", "shadow"):
        month.facts["area"] = area
        month.facts["effects"] = "live" if area == "lake" else "shadow"
        month.run()
        seals = {seal.dataset: seal.sha256 for seal in month.ws.lake(area).seals() if seal.dataset in otherwise}
        assert otherwise == seals


def test_documents_are_readable_by_their_owner_alone(month: SealedMonth) -> None:
    month.run()

    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in month.folder.iterdir()}


def test_a_month_is_rendered_in_shards_and_a_smaller_number_of_them_leaves_no_stale_pack(
    month: SealedMonth, monkeypatch: pytest.MonkeyPatch
) -> None:
    _many(month)
    monkeypatch.setattr(statements, "SHARD_STATEMENTS", 3)
    shards = month.render()
    assert [("0001", 0, 3), ("0002", 3, 3), ("0003", 6, 1)] == [
        (shard["shard"], shard["offset"], shard["count"]) for shard in shards
    ]
    register_statements(month.ws, month.facts, shards)
    small = {bn15: read_statement(month.ws, month.period, bn15, "csv") for bn15 in MANY}
    assert 3 == len(list(month.folder.iterdir()))
    # Each of them is the account's own, whatever pack it lies in.
    assert all(bn15.encode() in content for bn15, content in small.items())

    monkeypatch.setattr(statements, "SHARD_STATEMENTS", 4)
    month.run()
    assert ["statements-0001.zip", "statements-0002.zip"] == sorted(path.name for path in month.folder.iterdir())
    assert small == {bn15: read_statement(month.ws, month.period, bn15, "csv") for bn15 in MANY}


def test_nothing_is_readable_before_the_last_step_and_the_last_step_can_be_repeated(month: SealedMonth) -> None:
    shards = month.render()
    with pytest.raises(DataError, match="there are no statements for 2021-12: run that month first"):
        read_statement(month.ws, month.period, BN15)

    first = register_statements(month.ws, month.facts, shards)
    assert first == register_statements(month.ws, month.facts, shards)


def test_a_pack_that_is_not_the_one_rendered_is_refused(month: SealedMonth) -> None:
    shards = month.render()

    with pytest.raises(DataError, match=r"pack statements-0001\.zip of 2021-12 is not the one that was rendered"):
        register_statements(month.ws, month.facts, [{**shards[0], "sha256": "0" * 64}])


def test_a_shard_that_was_not_rendered_is_missed(month: SealedMonth, monkeypatch: pytest.MonkeyPatch) -> None:
    _many(month)
    monkeypatch.setattr(statements, "SHARD_STATEMENTS", 4)
    shards = month.render()

    with pytest.raises(DataError, match="3 statements of 2021-12 have no document"):
        register_statements(month.ws, month.facts, shards[:1])


def test_a_month_without_a_statement_has_an_empty_pack(month: SealedMonth) -> None:
    result = month.seal([]).run()

    assert (0, 1) == (result["statements"], result["packs"])
    with pytest.raises(DataError, match=f"account {BN15} has no statement for 2021-12: nothing was posted"):
        read_statement(month.ws, month.period, BN15)


def test_a_parked_account_is_counted_listed_and_named_to_whoever_asks_for_it(month: SealedMonth) -> None:
    month.seal([posting(), posting(bn15=OTHER_BN15, transaction_id="T2")])
    counts = statements.publish_statement_lines(month.ws, month.facts)
    month.run()

    assert (1, 1) == (counts["statements"], counts["parked"])
    assert [OTHER_BN15] == [row["bn15"] for row in month.rows("parked")]
    for format in ("html", "json"):
        with pytest.raises(DataError, match=r"it is parked \(account_not_published\)"):
            read_statement(month.ws, month.period, OTHER_BN15, format)


def test_a_month_that_does_not_add_up_publishes_nothing(month: SealedMonth) -> None:
    # Activity that the transactions do not explain.
    month.seal([posting()])
    rows = [{"bn15": BN15, "account_key": posting()["account_key"], "effect_cents": 1, "under_review_effect_cents": 0}]
    month.publish("activity", rows)

    # Not one account may be parked.
    month.ws = replace(month.ws, policy=replace(month.ws.policy, parking=Limit(rows=0, share=0)))
    with pytest.raises(
        DataError, match=r"are not published: 1 account of 1 would be parked \(balance_does_not_add_up 1\)"
    ):
        month.run()
    assert not month.ws.lake().has("statement_lines", month.period)
    assert not list(month.ws.data.glob("lake/statement*"))


def test_the_opening_balance_is_held_against_the_statements_of_the_month_before(month: SealedMonth) -> None:
    november = [{**posting(), "closing_cents": 1}]
    lake = month.ws.lake()
    month.run()
    for dataset in ("statements", "parked"):
        own = pq.read_table(lake.file(dataset, month.period))
        rows = [
            {name: row.get(name) for name in own.schema.names} for row in (november if dataset == "statements" else [])
        ]
        lake.publish_and_seal(dataset, "2021-11", type(own).from_pylist(rows, schema=own.schema), run_id="test")

    month.run()
    assert ([], [(BN15, "chain_is_broken")]) == (
        month.rows(),
        [(row["bn15"], row["reason"]) for row in month.rows("parked")],
    )


def test_the_datasets_have_the_columns_that_others_rely_on(month: SealedMonth) -> None:
    month.run()
    lake = month.ws.lake()
    schemas = {
        name: pq.read_schema(lake.file(name, month.period)) for name in ("statements", "statement_lines", "parked")
    }

    assert {
        **dict.fromkeys(("bn15", "period", "language", "document_sha256"), "string"),
        **dict.fromkeys(("object_sha256", "csv_sha256", "pdf_sha256"), "string"),
        **dict.fromkeys(("period_start", "period_end", "issued_on", "due_on"), "date32[day]"),
        **dict.fromkeys(("account_key", "version", "opening_cents", "debits_cents", "credits_cents"), "int64"),
        **dict.fromkeys(("closing_cents", "under_review_cents", "total_payable_cents", "line_count"), "int64"),
        **dict.fromkeys((*AGEING, "calculated_interest_cents"), "int64"),
        "missing_rate_quarter": "string",
    } == {field.name: str(field.type) for field in schemas["statements"]}
    assert {
        **dict.fromkeys(("bn15", "section", "transaction_id", "kind", "transaction_number", "status"), "string"),
        **dict.fromkeys(("arrival", "broker_bn9"), "string"),
        **dict.fromkeys(("activity_on", "posted_on", "due_on"), "date32[day]"),
        **dict.fromkeys(("account_key", "line_no", "revision", "version", *COMPONENTS), "int64"),
        **dict.fromkeys(("amount_cents", "posted_amount_cents", "running_balance_cents"), "int64"),
    } == {field.name: str(field.type) for field in schemas["statement_lines"]}
    assert {
        **dict.fromkeys(("bn15", "period", "reason"), "string"),
        **dict.fromkeys(("account_key", "opening_cents", "debits_cents", "credits_cents", "closing_cents"), "int64"),
        **dict.fromkeys(("under_review_cents", "posting_count"), "int64"),
    } == {field.name: str(field.type) for field in schemas["parked"]}


# Formats


def test_csv_and_json_tell_the_lines_of_the_page_in_cents(month: SealedMonth) -> None:
    month.seal([posting(12_345, gst_cents=12_345)], baseline=[brought_forward(-45)]).run()

    (line,) = csv.DictReader(io.StringIO(read_statement(month.ws, month.period, BN15, "csv").decode(), newline=""))
    told = json.loads(read_statement(month.ws, month.period, BN15, "json"))
    assert (BN15, "2021-12", "12345", "12345", "12300", "2021-12-03") == tuple(
        line[name] for name in ("bn15", "period", "gst_cents", "amount_cents", "running_balance_cents", "posted_on")
    )
    assert {
        name: (cell if isinstance(cell, str) else str(cell))
        for name, cell in told["lines"][0].items()
        if cell is not None
    } == {name: cell for name, cell in line.items() if cell and name not in ("bn15", "period")}
    assert (-45, 12_300) == (told["opening_cents"], told["closing_cents"])


@pytest.mark.parametrize("bn15", ["000000018 rm 0001", "000000018-RM0001"])
def test_a_statement_is_found_however_its_number_is_written(month: SealedMonth, bn15: str) -> None:
    month.run()

    assert read_statement(month.ws, month.period, BN15) == read_statement(month.ws, month.period, bn15)


def test_a_wrong_number_or_format_is_a_wrong_usage(month: SealedMonth) -> None:
    month.run()

    with pytest.raises(UsageError, match=r"'000000019RM0001' is not a BN15 .* the check digit of 000000019 is wrong"):
        read_statement(month.ws, month.period, "000000019RM0001")
    with pytest.raises(UsageError, match="no format 'docx': ask for one of html, pdf, csv, json"):
        read_statement(month.ws, month.period, BN15, "docx")


def test_a_pdf_is_made_on_demand_or_lies_in_the_pack_as_the_policy_says(month: SealedMonth) -> None:
    month.run()
    on_demand = read_statement(month.ws, month.period, BN15, "pdf")
    assert on_demand.startswith(b"%PDF-")
    assert not [name for name, _ in documents_of(month) if name.endswith(".pdf")]
    month.ws = replace(month.ws, policy=replace(month.ws.policy, pdf="all"))
    month.run()
    packed = {name: content for name, content in documents_of(month) if name.endswith(".pdf")}
    # One and the same, whenever it is made.
    assert packed == {f"{BN15}.pdf": on_demand}
    assert read_statement(month.ws, month.period, BN15, "pdf") == on_demand
    assert count_true_documents(month.ws, "lake") == 3


def test_pdfs_may_be_made_only_where_something_is_to_be_paid(month: SealedMonth) -> None:
    month.seal(
        [posting(1), posting(-1, kind="PMT", bn15=OTHER_BN15, transaction_id="T2")], [account(), account(OTHER_BN15)]
    )
    month.ws = replace(month.ws, policy=replace(month.ws.policy, pdf="payable"))
    month.run()

    assert [name for name, _ in documents_of(month) if name.endswith(".pdf")] == [f"{BN15}.pdf"]
    assert read_statement(month.ws, month.period, OTHER_BN15, "pdf").startswith(b"%PDF")
    assert {row["bn15"]: row["pdf_sha256"] is None for row in month.rows()} == {BN15: False, OTHER_BN15: True}
    assert count_true_documents(month.ws, "lake") == 5


def documents_of(month: SealedMonth) -> list[tuple[str, bytes]]:
    return [document for pack in sorted(month.folder.glob("*.zip")) for document in read_documents(pack)]


# Issue


@pytest.fixture
def live(tmp_path: Path, database_url: str) -> SealedMonth:
    month = SealedMonth(tmp_path / "data", apply_url=database_url, effects="live")
    return month.seal([posting(12_345)])


def test_a_live_month_is_issued_once_and_a_shadow_month_never(live: SealedMonth) -> None:
    live.facts["effects"] = "shadow"
    live.run()
    assert ([], []) == _registry(live)

    live.facts["effects"] = "live"
    assert 1 == live.run()["newly_issued"]
    registry, months = _registry(live)
    (row,) = live.rows()
    assert [("2021-12", BN15, 1, row["document_sha256"], None)] == [
        (r.period, r.bn15, r.version, r.document_sha256, r.superseded_by) for r in registry
    ]
    assert [("2021-12", "2021-12-25", 1)] == [(m.period, m.issued_on, m.statements) for m in months]

    assert 0 == live.run()["newly_issued"]
    assert (registry, months) == _registry(live)


def test_an_issued_statement_is_never_replaced(live: SealedMonth) -> None:
    live.run()
    before = live.files()
    registry = _registry(live)

    # The same month with another amount: it stops at the lines, before anything is replaced.
    live.seal([posting(12_346)])
    with pytest.raises(Refused, match="2021-12 was issued and its open_items would come out different"):
        live.run()
    live.seal([posting(12_345)])
    assert before == {name: content for name, content in live.files().items() if name in before}
    assert registry == _registry(live)


def test_a_document_that_would_come_out_different_is_refused_after_issue(live: SealedMonth) -> None:
    live.run()
    issued = live.files()
    with live.ws.operations.begin() as connection:
        connection.execute(STATEMENT_REGISTRY.update().values(document_sha256="0" * 64))

    with pytest.raises(Refused, match="1 of its statements would come out different"):
        live.run()
    assert issued == live.files()


def test_a_statement_that_was_issued_and_is_no_longer_there_is_refused(live: SealedMonth) -> None:
    live.run()
    lost: Row = {
        "period": "2021-12",
        "bn15": OTHER_BN15,
        "version": 1,
        "document_sha256": "0" * 64,
        "template_version": "0",
    }
    with live.ws.operations.begin() as connection:
        connection.execute(insert(STATEMENT_REGISTRY), [lost])

    with pytest.raises(Refused, match="1 of its statements would come out different"):
        live.run()


def test_a_shadow_run_of_an_issued_month_writes_beside_it(live: SealedMonth) -> None:
    live.run()
    issued = live.files()

    live.facts |= {"effects": "shadow", "area": "shadow", "run_id": "manual__again"}
    live.run()
    assert issued == {name: content for name, content in live.files().items() if not name.startswith("shadow/")}
    assert read_statement(live.ws, live.period, BN15) == read_statement(live.ws, live.period, BN15, area="shadow")
