"""Letters to those whom no message reaches: what is printed, what it says, and where it lies."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import pikepdf
import pyarrow as pa
import pytest
from pypdf import PdfReader
from sqlalchemy import delete

from include import letters
from include.carm.notice_policy import NoticePolicy
from include.database import write_transaction
from include.documents import read_documents
from include.letters import LetterPress
from include.notice_intents import about_change, owe
from include.notice_page import Notice
from include.notices import ACCOUNT_CHANGES, publish_notices
from include.operations_notice_tables import NOTICE_INTENTS
from tests.notices.months import HASH_KEY, Month, account, decision, statement
from tests.notices.samples import closure, closure_coming, conversion, figures, pages, reinstatement, restored_type

A, B, C = "000000018RM0001", "000000026RM0001", "000123455RM0001"
CHANGES = (decision(A), decision(B, "convert"), decision(C))
POLICY = NoticePolicy.load()
DAY = date(2021, 12, 25)
NOTICES: dict[str, Notice] = {
    "closure": closure(),
    "closure_coming": closure_coming(),
    "conversion": conversion(),
    "reinstatement": reinstatement(),
    "restored_type": restored_type(),
}
EVERY_LETTER = pytest.mark.parametrize("notice", NOTICES.values(), ids=NOTICES)


@pytest.fixture(scope="module")
def press() -> LetterPress:
    return LetterPress(pages())


def letter(press: LetterPress, notice: Any, language: str) -> bytes:
    row = {"kind": "closure", "bn15": notice.bn15, "legal_name": notice.legal_name, "language": language}
    return press.print_letter(notice, row, DAY)


def words(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)


# One letter


@EVERY_LETTER
def test_a_letter_in_both_languages_says_the_same_twice(press: LetterPress, notice: Notice) -> None:
    english, french = (figures(words(letter(press, notice, language))) for language in ("en", "fr"))
    # "1 / 1" stands on each sheet, and French writes the office's number as English does.
    assert english == french
    first, second = PdfReader(BytesIO(letter(press, notice, "both"))).pages
    assert first.extract_text().startswith("Canada Border Services Agency")
    assert second.extract_text().startswith("Agence des services frontaliers du Canada")


@EVERY_LETTER
@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_letter_says_what_the_message_says(press: LetterPress, notice: Notice, language: str) -> None:
    said = "".join(words(letter(press, notice, language)).split())
    for block in pages().blocks(notice, language):
        texts = [value for name, value in block.items() if isinstance(value, str) and name != "block"]
        for text in [*texts, *block.get("items", [])]:
            assert "".join(text.split()) in said
    # All but the foot, which says why one gets an e-mail.
    message, _, _ = pages().render(notice, language).text.decode().rpartition(f"\n{'-' * 72}\n")
    assert [word for word in message.split() if word.strip("-=") and word.rstrip(":") not in said] == []


@pytest.mark.parametrize(("language", "expected"), [("en", "en-CA"), ("fr", "fr-CA"), ("both", "en-CA")])
def test_a_letter_is_tagged_and_says_its_language(press: LetterPress, language: str, expected: str) -> None:
    with pikepdf.open(BytesIO(letter(press, closure(), language))) as pdf:
        assert str(pdf.Root.Lang) == expected
        assert bool(pdf.Root.MarkInfo.Marked)
        with pdf.open_metadata() as metadata:
            assert metadata["pdfuaid:part"] == "1"


def test_the_window_shows_name_and_account_and_no_address(press: LetterPress) -> None:
    said = words(letter(press, closure(legal_name="Example Trading Ltd."), "en"))
    assert "K1A 0L8\nExample Trading Ltd.\n000000026RM0001\nNotice of" in said


def test_the_same_letter_has_the_same_bytes(press: LetterPress) -> None:
    assert letter(press, closure(), "both") == letter(LetterPress(pages()), closure(), "both")


@pytest.mark.parametrize(
    "name",
    ["<b>Ltd.</b>", "#panic()", "$x$ *bold*", '"],"a":"', "\\u0041\\", "Ltd.\r\nPay now", "safe\u202eexe", "中文"],
)
def test_a_hostile_name_is_printed_as_text(press: LetterPress, name: str) -> None:
    said = words(letter(press, closure(legal_name=name), "en"))
    assert "Your import/export (RM) account was closed" in said
    assert "\u202e" not in said
    if name.isascii() and "\n" not in name:
        assert "".join(name.split()) in "".join(said.split())


# The letters of a month


@pytest.fixture
def month(tmp_path: Path) -> Month:
    month = Month(tmp_path, effects="live")
    month.hold("accounts", [account(A, email=None), account(B, language="fr", email="nothing"), account(C)])
    month.seal("statements", [statement(A), statement(C)])
    owe_changes(month, *CHANGES)
    return month


def owe_changes(month: Month, *changes: dict[str, Any]) -> None:
    with write_transaction(month.ws.operations) as connection:
        for change in changes:
            notice = about_change(change["action"], change["bn15"], DAY, change["new_program_type"])
            owe(connection, notice, bn15=change["bn15"], period="2021-12", cause="plan p1", run_id="test")


def run(month: Month, policy: NoticePolicy = POLICY, changes: Sequence[dict[str, Any]] | None = None) -> dict[str, Any]:
    happened = [{**change, "effective_on": DAY} for change in (CHANGES if changes is None else changes)]
    table = pa.Table.from_pylist(happened, ACCOUNT_CHANGES)
    return publish_notices(month.ws, month.facts, recipient_hash_key=HASH_KEY, policy=policy, account_changes=table)


def folder_of(month: Month) -> Path:
    return month.ws.documents("lake") / "notices" / "period=2021-12"


def index_of(month: Month) -> list[dict[str, str]]:
    with (folder_of(month) / "letters.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_what_reaches_nobody_and_is_of_the_policys_kinds_is_printed(month: Month) -> None:
    assert run(month)["letters"] == 2
    rows = [(row["letter"], row["kind"], row["bn15"], row["language"], row["reason"]) for row in index_of(month)]
    assert rows == [
        (f"closure-{A}-2021-12-25-1.pdf", "closure", A, "en", "no_address"),
        (f"conversion-{B}-2021-12-25-exporter-1.pdf", "conversion", B, "fr", "unusable_address"),
    ]
    printed = dict(read_documents(folder_of(month) / "letters-0001.zip"))
    assert [row["letter"] for row in index_of(month)] == [name for name in printed if name.endswith(".pdf")]
    assert f"{A}\nNotice of 2021-12-25" in words(printed[f"closure-{A}-2021-12-25-1.pdf"])


def test_no_letter_is_printed_where_the_policy_wants_none(month: Month) -> None:
    assert run(month, replace(POLICY, letters=()))["letters"] == 0
    assert letter_files(month) == []


def test_of_two_events_with_one_name_only_the_one_that_is_to_be_printed_is(month: Month) -> None:
    with write_transaction(month.ws.operations) as connection:
        connection.execute(delete(NOTICE_INTENTS))
        coming = ("closure_coming", f"{A}/2021-12", 1)
        owe(connection, coming, bn15=A, period="2021-12", cause="plan p1", run_id="test")
    assert run(month, changes=())["letters"] == 1
    assert [row["letter"] for row in index_of(month)] == [f"closure_coming-{A}-2021-12-1.pdf"]


def test_a_second_run_prints_the_same_letters(month: Month) -> None:
    run(month)
    left = month.files()
    run(month)
    assert left == month.files()


def test_letters_are_packed_by_so_many(month: Month, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "LETTERS_PER_PACK", 1)
    run(month)
    assert ["letters-0001.zip", "letters-0002.zip"] == [row["pack"] for row in index_of(month)]


@pytest.mark.parametrize("changed", [{"effects": "shadow"}, {"area": "shadow"}], ids=["shadow", "beside the record"])
def test_no_letter_is_printed_by_a_run_that_tells_nobody(month: Month, changed: dict[str, str]) -> None:
    month.seal("account_decisions", CHANGES)
    month.facts |= changed
    assert run(month)["letters"] == 0
    assert list(month.folder.glob("**/letters*")) == []


def letter_files(month: Month) -> list[str]:
    return sorted(path.name for path in folder_of(month).glob("letters*"))


def test_letters_that_may_be_posted_stay_in_their_packs_and_new_ones_come_after_them(month: Month) -> None:
    """A plan that is approved late adds a closure, and the address of another account was mended meanwhile."""
    run(month)
    left = (folder_of(month) / "letters-0001.zip").read_bytes()
    month.hold("accounts", [account(A, email=None), account(B), account(C, email=None)])
    late = decision(C, effective_on=date(2021, 12, 26))
    with write_transaction(month.ws.operations) as connection:
        about = ("closure", f"{C}/2021-12-26", 1)
        owe(connection, about, bn15=C, period="2021-12", cause="plan p2", run_id="test")
    table = pa.Table.from_pylist([*({**change, "effective_on": DAY} for change in CHANGES), late], ACCOUNT_CHANGES)
    again = publish_notices(month.ws, month.facts, recipient_hash_key=HASH_KEY, account_changes=table)
    assert again["letters"] >= 3
    assert (folder_of(month) / "letters-0001.zip").read_bytes() == left
    packs = {row["letter"]: row["pack"] for row in index_of(month)}
    assert packs[f"closure-{C}-2021-12-26-1.pdf"] == "letters-0002.zip"
    assert {pack for name, pack in packs.items() if C not in name} == {"letters-0001.zip"}


def test_letters_of_a_run_that_died_before_it_recorded_them_are_printed_again(
    month: Month, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as killed:
        killed.setattr("include.notices.plan_messages", die)
        with pytest.raises(RuntimeError, match="killed"):
            run(month)
    assert letter_files(month) == ["letters-0001.zip", "letters.csv"]
    month.hold("accounts", [account(A), account(B, language="fr", email=None), account(C)])
    assert run(month)["letters"] == 1
    assert [row["bn15"] for row in index_of(month)] == [B]
    assert letter_files(month) == ["letters-0001.zip", "letters.csv"]


def test_an_account_that_validation_refused_gets_a_letter_without_a_name(month: Month) -> None:
    month.seal("accounts", [])
    assert run(month)["letters"] == 3
    printed = dict(read_documents(folder_of(month) / "letters-0001.zip"))
    assert f"K1A 0L8\n{C}\nNotice of" in words(printed[f"closure-{C}-2021-12-25-1.pdf"])
