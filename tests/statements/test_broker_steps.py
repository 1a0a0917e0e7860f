"""The documents of brokers and providers on a real data folder: rendered, issued, found again, never replaced."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import delete, insert, select, update

from include import broker_documents, statements
from include.broker_documents import count_true_firm_documents, read_firm_document, render_brokers
from include.brokers import verify_brokers
from include.carm.business_number import bn9_with_check_digit
from include.carm.errors import DataError, Refused, UsageError
from include.cli import carm
from include.documents import read_documents
from include.operations_statement_tables import DOCUMENT_REGISTRY
from include.statements import register_statements
from tests.statements.brokers import BROKER, OTHER_BROKER, delegation
from tests.statements.ledger import BN15, OTHER_BN15, Row, account, posting
from tests.statements.months import SealedMonth

BROKERS = [bn9_with_check_digit(f"0000{number:04d}") for number in range(100, 107)]


def fill(month: SealedMonth) -> SealedMonth:
    """Two clients of one broker, one of them of another one too; one delegates to each of them."""
    month.seal(
        [
            posting(100_00, broker_bn9=BROKER),
            posting(40_00, bn15=OTHER_BN15, transaction_id="T2", broker_bn9=BROKER),
            posting(7_00, transaction_id="T3", broker_bn9=OTHER_BROKER),
            posting(9_00, transaction_id="T4"),
        ],
        [account(), account(OTHER_BN15)],
    )
    month.publish("delegations", [delegation(), delegation(OTHER_BN15, provider_bn9=OTHER_BROKER)])
    return month


@pytest.fixture
def month(tmp_path: Path) -> SealedMonth:
    return fill(SealedMonth(tmp_path / "data"))


@pytest.fixture
def live(tmp_path: Path, database_url: str) -> SealedMonth:
    return fill(SealedMonth(tmp_path / "data", apply_url=database_url, effects="live"))


def registry(month: SealedMonth) -> list[Any]:
    with month.ws.operations.connect() as connection:
        columns = DOCUMENT_REGISTRY.c
        return list(connection.execute(select(DOCUMENT_REGISTRY).order_by(columns.kind, columns.bn9)).all())


def packs(month: SealedMonth) -> dict[str, list[str]]:
    return {
        path.name: [name for name, _ in read_documents(path)]
        for path in sorted(month.folder.iterdir())
        if not path.name.startswith("statements-")
    }


# Rendering


def test_a_month_leaves_the_documents_of_each_firm_with_their_hashes(month: SealedMonth) -> None:
    result = month.run()

    names = [f"{bn9}.{format}" for bn9 in (BROKER, OTHER_BROKER) for format in ("csv", "html", "json")]
    assert {"brokers-0001.zip": names, "providers-0001.zip": names} == packs(month)
    assert 4 == result["firm_documents"]
    assert [(BROKER, 2, 140_00), (OTHER_BROKER, 1, 7_00)] == [
        (row["bn9"], row["clients"], row["closing_cents"]) for row in month.rows("broker_statements")
    ]
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in month.folder.iterdir()}
    assert 12 == count_true_firm_documents(month.ws, "lake")
    assert [] == registry(month)


def test_what_the_steps_return_holds_no_firm_no_account_and_no_amount(month: SealedMonth) -> None:
    lines = statements.publish_statement_lines(month.ws, month.facts)
    rendered = render_brokers(month.ws, month.facts)
    returned = json.dumps([lines, rendered, month.run()])

    assert not re.search(rf"{BROKER}|RM0001|10000|14000|Example", returned)
    assert {"period": "2021-12", "brokers": 2, "providers": 2, "packs": 2} == rendered


def test_the_same_month_again_gives_the_same_bytes(month: SealedMonth) -> None:
    month.run()
    first = month.files()
    month.run()

    assert first == month.files()


def test_the_last_step_can_be_repeated_and_finds_the_packs_in_place(month: SealedMonth) -> None:
    shards = month.render()
    first = register_statements(month.ws, month.facts, shards)
    files = month.files()

    assert first == register_statements(month.ws, month.facts, shards)
    assert files == month.files()


def test_a_step_that_died_between_two_packs_finds_both(month: SealedMonth) -> None:
    shards = month.render()
    staged = month.ws.staging(month.facts["run_id"], "brokers")
    month.folder.mkdir(parents=True)
    (staged / "brokers-0001.zip").rename(month.folder / "brokers-0001.zip")
    register_statements(month.ws, month.facts, shards)

    assert 12 == count_true_firm_documents(month.ws, "lake")


def test_documents_that_were_not_rendered_are_missed(month: SealedMonth) -> None:
    statements.publish_statement_lines(month.ws, month.facts)
    shards = [
        statements.render_shard(month.ws, month.facts, each) for each in statements.list_shards(month.ws, month.facts)
    ]

    with pytest.raises(DataError, match="are not those of its 4 firms: clear render_brokers"):
        register_statements(month.ws, month.facts, shards)


def test_a_pack_that_is_not_the_one_rendered_is_refused(month: SealedMonth) -> None:
    shards = month.render()
    (month.ws.staging(month.facts["run_id"], "brokers") / "brokers-0001.zip").write_bytes(b"other")

    with pytest.raises(DataError, match=r"the pack brokers-0001\.zip of 2021-12 is not the one that was rendered"):
        register_statements(month.ws, month.facts, shards)


@pytest.mark.parametrize("limit", ["PACK_FIRMS", "PACK_BYTES"])
def test_a_full_pack_is_followed_by_another_and_a_firm_is_never_parted(
    month: SealedMonth, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    rows = [posting(100, transaction_id=f"T{place}", broker_bn9=bn9) for place, bn9 in enumerate(BROKERS)]
    month.seal(rows, [account()]).run()
    whole = {bn9: read_firm_document(month.ws, month.period, bn9) for bn9 in BROKERS}
    assert ["brokers-0001.zip", "providers-0001.zip"] == list(packs(month))

    # As many firms as fit into three packs: by their number, or by the bytes of three of them.
    monkeypatch.setattr(broker_documents, limit, 3 if limit == "PACK_FIRMS" else 2 * len(whole[BROKERS[0]]) + 20_000)
    month.run()
    found = {name: sorted({name[:9] for name in names}) for name, names in packs(month).items()}
    assert {
        "brokers-0001.zip": BROKERS[:3],
        "brokers-0002.zip": BROKERS[3:6],
        "brokers-0003.zip": BROKERS[6:],
    } == {name: firms for name, firms in found.items() if name.startswith("brokers")}
    assert whole == {bn9: read_firm_document(month.ws, month.period, bn9) for bn9 in BROKERS}

    monkeypatch.undo()
    month.run()
    assert ["brokers-0001.zip", "providers-0001.zip"] == list(packs(month))


def test_a_month_without_a_broker_has_no_pack_of_them(month: SealedMonth) -> None:
    month.seal([posting()])
    month.publish("delegations", [])
    result = month.run()

    assert ({}, 0) == (packs(month), result["firm_documents"])
    assert [] == month.rows("broker_statements")


def test_a_pdf_lies_in_the_pack_where_the_policy_says_so_and_is_the_same_on_demand(month: SealedMonth) -> None:
    month.run()
    on_demand = read_firm_document(month.ws, month.period, BROKER, "pdf")
    assert on_demand.startswith(b"%PDF-")

    month.ws = replace(month.ws, policy=replace(month.ws.policy, pdf="all"))
    month.run()
    assert f"{BROKER}.pdf" in packs(month)["brokers-0001.zip"]
    assert f"{BROKER}.pdf" not in packs(month)["providers-0001.zip"]
    assert on_demand == read_firm_document(month.ws, month.period, BROKER, "pdf")
    assert 14 == count_true_firm_documents(month.ws, "lake")


# Issue


def test_a_live_month_registers_its_documents_once(live: SealedMonth) -> None:
    live.facts["effects"] = "shadow"
    live.run()
    assert [] == registry(live)

    live.facts["effects"] = "live"
    live.run()
    first = registry(live)
    assert [
        ("broker_statement", BROKER),
        ("broker_statement", OTHER_BROKER),
        ("client_index", BROKER),
        ("client_index", OTHER_BROKER),
    ] == [(row.kind, row.bn9) for row in first]
    told = {row["bn9"]: row for row in live.rows("broker_statements")}
    for row in first[:2]:
        assert [told[row.bn9][name] for name in broker_documents.HASHES] == list(row[3:7])
    live.run()
    assert first == registry(live)


def test_what_a_broker_was_told_is_never_replaced(live: SealedMonth) -> None:
    live.run()
    before, first = live.files(), registry(live)

    # The delegation changes no statement of a client, but what a provider is told.
    live.publish("delegations", [delegation()])
    with pytest.raises(Refused, match="2021-12 was issued and its provider_clients would come out different"):
        live.run()
    live.publish("delegations", [delegation(), delegation(OTHER_BN15, provider_bn9=OTHER_BROKER)])
    assert before == {name: content for name, content in live.files().items() if name in before}
    assert first == registry(live)


@pytest.mark.parametrize(
    "change",
    [
        lambda: update(DOCUMENT_REGISTRY).where(DOCUMENT_REGISTRY.c.bn9 == BROKER).values(csv_sha256="0"),
        lambda: delete(DOCUMENT_REGISTRY).where(DOCUMENT_REGISTRY.c.bn9 == BROKER),
    ],
)
def test_documents_that_would_come_out_different_are_refused_after_issue(
    live: SealedMonth, change: Callable[[], Any]
) -> None:
    live.run()
    issued = live.files()
    with live.ws.operations.begin() as connection:
        connection.execute(change())

    with pytest.raises(Refused, match="2 documents of its brokers and providers would come out different"):
        live.run()
    assert issued == {name: content for name, content in live.files().items() if name in issued}
    with pytest.raises(DataError, match=rf"the .* {BROKER} of 2021-12 is not the one that was issued"):
        count_true_firm_documents(live.ws, "lake")


def test_a_document_that_was_issued_and_is_no_longer_made_is_refused(live: SealedMonth) -> None:
    live.run()
    lost = {**registry(live)[0]._asdict(), "bn9": BROKERS[0]}
    with live.ws.operations.begin() as connection:
        connection.execute(insert(DOCUMENT_REGISTRY), [lost])

    with pytest.raises(Refused, match="1 document of its brokers and providers would come out different"):
        live.run()


def test_a_shadow_run_of_an_issued_month_writes_beside_it(live: SealedMonth) -> None:
    live.run()
    issued = live.files()
    live.facts |= {"effects": "shadow", "area": "shadow", "run_id": "manual__again"}
    live.run()

    assert issued == {name: content for name, content in live.files().items() if not name.startswith("shadow/")}
    for clients in (False, True):
        record, shadow = (
            read_firm_document(live.ws, live.period, BROKER, area=area, clients=clients) for area in ("lake", "shadow")
        )
        assert record == shadow


# Verifying


def test_a_document_that_somebody_changed_or_took_away_is_found(month: SealedMonth) -> None:
    month.run()
    pack = month.folder / "brokers-0001.zip"
    content = pack.read_bytes()
    pack.write_bytes(content.replace(b"$140.00", b"$141.00"))
    with pytest.raises(DataError, match=r"restore it from a backup|is not the document that was rendered"):
        count_true_firm_documents(month.ws, "lake")

    pack.unlink()
    with pytest.raises(DataError, match=rf"statement of broker {BROKER}\.csv of 2021-12 .* run 2021-12 again in full"):
        count_true_firm_documents(month.ws, "lake")


def test_rows_that_no_longer_make_the_object_are_found(month: SealedMonth) -> None:
    month.run()
    rows = month.rows("broker_items")
    rows[0]["remaining_cents"] += 1
    month.publish("broker_items", rows)

    with pytest.raises(DataError, match=f"the statement of broker {BROKER} for 2021-12 is not what its rows"):
        count_true_firm_documents(month.ws, "lake")


def test_both_views_are_proved_anew(month: SealedMonth) -> None:
    month.run()
    with statements.engine.connect() as con:
        assert 2 == verify_brokers(month.ws, con, month.ws.lake(), [month.period, month.period.next()])

    rows: list[Row] = pq.read_table(month.ws.lake().file("broker_lines", month.period)).to_pylist()
    rows[0]["amount_cents"] += 1
    month.publish("broker_lines", rows)
    with (
        statements.engine.connect() as con,
        pytest.raises(
            DataError, match=rf"a line of a broker is not what its client's .* \(transaction T1, account {BN15}\)"
        ),
    ):
        verify_brokers(month.ws, con, month.ws.lake(), [month.period])


# The command


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> SealedMonth:
    """The month after its last step, made once: the command reads it and leaves it as it is."""
    month = fill(SealedMonth(tmp_path_factory.mktemp("done") / "data"))
    month.run()
    return month


def _carm(month: SealedMonth, *arguments: str) -> Result:
    return CliRunner().invoke(carm, ["statement", "--data", str(month.ws.data), *arguments])


@pytest.mark.parametrize("format", ["html", "csv", "json", "pdf"])
@pytest.mark.parametrize("bn9", [BROKER, "000 000 034"])
def test_nine_digits_are_a_broker(done: SealedMonth, bn9: str, format: str) -> None:
    result = _carm(done, bn9, "--period", "2021-12", "--format", format)

    assert 0 == result.exit_code
    assert read_firm_document(done.ws, done.period, BROKER, format) == result.stdout_bytes


@pytest.mark.parametrize("format", ["html", "csv", "json"])
def test_with_clients_they_are_a_provider(done: SealedMonth, format: str) -> None:
    result = _carm(done, BROKER, "--clients", "--format", format)

    assert 0 == result.exit_code
    assert read_firm_document(done.ws, done.period, BROKER, format, clients=True) == result.stdout_bytes
    assert BN15.encode() in result.stdout_bytes
    assert OTHER_BN15.encode() not in result.stdout_bytes


@pytest.mark.parametrize(
    ("arguments", "exit_code", "line"),
    [
        (["000000035"], 2, "'000000035' is not a business number (BN9) of a firm: the check digit"),
        (["000000000"], 2, "'000000000' is not a business number (BN9) of a firm: no business number"),
        ([BN15, "--clients"], 2, f"'{BN15}' is not a business number (BN9) of a firm: nine digits"),
        ([BROKERS[0]], 1, f"there is no statement of broker {BROKERS[0]} for 2021-12: no debt of a client"),
        ([BROKERS[0], "--clients"], 1, f"there is no index of service provider {BROKERS[0]} for 2021-12: no account"),
        ([BROKER, "--period", "2021-11"], 1, "no broker has a statement for 2021-11: run that month first"),
        (
            [BROKER, "--clients", "--format", "pdf", "--output", "x"],
            2,
            "the index of service provider has no format 'pdf'",
        ),
        ([BROKER, "--shadow"], 1, "no shadow run of 2021-12 lies beside its record"),
    ],
)
def test_what_cannot_be_found_is_one_clear_line(
    done: SealedMonth, arguments: list[str], exit_code: int, line: str
) -> None:
    result = _carm(done, *arguments)

    assert exit_code == result.exit_code
    assert result.stderr.startswith(line)
    assert 1 == result.stderr.count("\n")


def test_a_format_that_there_is_not_is_a_wrong_usage(done: SealedMonth) -> None:
    with pytest.raises(UsageError, match="no format 'docx': ask for one of html, pdf, csv, json"):
        read_firm_document(done.ws, done.period, BROKER, "docx")


def test_the_help_tells_of_brokers_and_providers() -> None:
    told = " ".join(CliRunner().invoke(carm, ["statement", "--help"]).stdout.split())

    for words in ("BN15|BN9", "customs broker", "--clients", "service provider"):
        assert words in told
