"""Every format of a statement says the same: what a small reader of our own finds in each is compared as numbers."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from include.carm.allocation import AllocationRules
from include.carm.business_number import account_key
from include.carm.contacts import Contacts
from include.carm.period import Period
from include.carm.statement import AGEING, COMPONENTS, Statement, render_csv, render_json
from include.statement_pdf import StatementPdfs
from include.transaction_kinds import read_transaction_kinds
from tests.statements.figures import DAY, Page, Version, cents_in, figures_in
from tests.statements.ledger import BN15, DAYS, Month, Row, account, brought_forward, posting
from tests.statements.samples import SAMPLES, pages, statement_of

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    ("language", "text", "cents"),
    [
        ("en", "Total $1,234.56, (0.07) and ($1,000,000.00) (amount $5.00)", [1_234_56, -7, -1_000_000_00, 5_00]),
        ("fr", "1\u00a0234,56\u00a0$, (0,07) et (1\u00a0000\u00a0000,00\u00a0$)", [1_234_56, -7, -1_000_000_00]),
        ("en", "2021-12-24 000000018RM0001 1234,56 1.2.3 12,34", []),
        ("fr", "2021-12-24 000000018RM0001 1234.56", []),
    ],
)
def test_the_reader_reads_amounts(language: str, text: str, cents: list[int]) -> None:
    assert cents == cents_in(text, language)


def page_of(statement: Statement, language: str) -> Page:
    return Page(pages().render(in_language(statement, language)))


def in_language(statement: Statement, language: str) -> Statement:
    return statement._replace(head=statement.head._replace(language=language))


@cache
def pdfs() -> StatementPdfs:
    rule = AllocationRules.load().disbursement_of(Period(2021, 12))
    return StatementPdfs(Contacts.load(), DAYS["issued_on"], rule)


def words_of_pdf(statement: Statement, language: str) -> str:
    """The words of the sheets, without the line at the foot of each. Lines are set anew: a day may end a line half."""
    reader = PdfReader(io.BytesIO(pdfs().render(in_language(statement, language))))
    texts = [sheet.extract_text().rsplit("\n", 1) for sheet in reader.pages]
    feet = [f"{statement.head.bn15} · {statement.head.period} {n} / {len(texts)}" for n in range(1, len(texts) + 1)]
    assert feet == [foot for _, foot in texts]
    return re.sub("-\n", "-", "\n".join(body for body, _ in texts)).replace("\u200b", "")


# What is printed


CENTS = st.one_of(st.integers(-300, 300), st.integers(-(10**11), 10**11))
KINDS = [str(row["kind"]) for row in read_transaction_kinds()]
LATER_DAYS = st.dates(date(2021, 12, 24), date(2022, 12, 31))


@st.composite
def _posting(draw: st.DrawFn, number: int) -> Row:
    components = {name: draw(st.one_of(st.just(0), CENTS)) for name in draw(st.sets(st.sampled_from(COMPONENTS)))}
    amount = sum(components.values()) if components else draw(CENTS)
    is_late = draw(st.booleans())
    changed: Row = {"is_late": is_late}
    if is_late:
        changed |= {"arrival": draw(st.sampled_from(["late", "revision", "moved"])), "effect_cents": draw(CENTS)}
    return posting(
        amount,
        transaction_id=f"T{number:04d}",
        transaction_number=draw(st.one_of(st.none(), st.just(f"12345{number:09d}"))),
        kind=draw(st.sampled_from(KINDS)),
        status=draw(st.sampled_from(["accepted", "accepted", "under_review", "cancelled", "reversed"])),
        activity_on=draw(st.dates(date(1980, 1, 1), date(2021, 11, 25))),
        posted_on=draw(st.dates(date(2021, 11, 25), date(2021, 12, 24))),
        due_on=draw(st.one_of(st.none(), LATER_DAYS)),
        broker_bn9=draw(st.sampled_from([None, None, "000000026"])),
        **components,
        **changed,
    )


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    """Any statement: amounts from a cent to a billion dollars in every place that has one."""
    postings = [draw(_posting(number)) for number in range(draw(st.integers(0, 8)))]
    holder = account(
        operating_name=draw(st.sampled_from([None, "Example Outfitters"])),
        program_type=draw(st.sampled_from(["importer", "exporter", "dual", None])),
        **draw(st.sampled_from([{}, {"status": "closed", "closed_on": date(2021, 12, 2)}])),
    )
    opening = draw(CENTS.filter(bool))
    interest = draw(st.sampled_from([0, 1, 123_456_78]))
    bears = {"bn15": BN15, "account_key": account_key(BN15), "item_id": "T0000", "interest_cents": interest}
    return statement_of(Month(postings, [holder], (), [brought_forward(opening)], [bears]))


def sampled(name: str) -> Statement:
    return SAMPLES[name]("en")


def assert_pages_agree(statement: Statement) -> None:
    """Both languages say the same, the bilingual page is both, and head and lines are those of CSV and JSON."""
    english, french = (page_of(statement, language).versions[0] for language in ("en", "fr"))
    assert english.figures == french.figures
    both = page_of(statement, "both").versions
    assert [("en", english), ("fr", french)] == [(version.lang, version) for version in both]
    told = json.loads(render_json(statement))
    for version in (english, french):
        assert_head_is(told, version)
        assert_lines_are(told["lines"], version)
    assert_csv_is(told, list(csv.DictReader(io.StringIO(render_csv(statement).decode(), newline=""))))


def assert_head_is(told: dict[str, Any], version: Version) -> None:
    """The sums, their ages and the days at the head of a page are those of the JSON."""
    sums = ["opening_cents", "debits_cents", "credits_cents", "closing_cents", "under_review_cents"]
    expected = [told[name] for name in (*sums, "total_payable_cents")]
    expected[2] = -expected[2]
    if not told["under_review_cents"]:
        del expected[4]
    shown = [cents_in(row[1], version.lang) for row in version.rows["sum"][1:]]
    assert [[cents] for cents in expected] == shown
    ages = [told[name] for name in AGEING]
    shown = [cents_in(cell, version.lang) for cell in version.rows["ageing"][1]] if "ageing" in version.rows else []
    assert ([[cents] for cents in (*ages, told["closing_cents"])] if any(ages) else []) == shown
    days = [told[name] for name in ("period_start", "period_end", "issued_on", "due_on")]
    assert [*days, *([told["closed_on"]] if told["account_status"] == "closed" else [])] == [
        day for term in version.terms for day in DAY.findall(term)
    ]
    assert told["bn15"] == version.terms[0]
    if told["calculated_interest_cents"]:
        assert told["calculated_interest_cents"] in version.figures.cents


def assert_lines_are(told: list[dict[str, Any]], version: Version) -> None:
    """Each line of the page has the amount, the balance, the days and the parts of its line in the JSON."""
    printed = [row for row in version.rows.get("lines", []) if DAY.fullmatch(row[1].strip())]
    assert [line["line_no"] for line in told] == list(range(1, len(printed) + 1))
    for line, (name, posted, due, amount, balance) in zip(told, printed, strict=True):
        assert line["posted_on"] == posted.strip()
        assert (line["due_on"] or "") == due.strip()
        assert [line["amount_cents"]] == cents_in(amount, version.lang)
        assert [line["running_balance_cents"]] == cents_in(balance, version.lang)
        assert (line["transaction_number"] or line["transaction_id"]) in name
        parts = [line[component] for component in COMPONENTS if line[component]]
        if line["kind"] == "INT" and line["interest_cents"] == line["amount_cents"]:
            parts = []
        # What follows the parts is a remark: the amount that a revision names now.
        remarks = cents_in(name, version.lang)[len(parts) :]
        assert parts == cents_in(name, version.lang)[: len(parts)]
        assert remarks in ([], [line["posted_amount_cents"]])
    totals = Counter(cents_in(row[3], version.lang)[0] for row in version.rows.get("lines", []) if len(row[1]) == 0)
    sections: dict[str, int] = {}
    for line in told:
        sections[line["section"]] = sections.get(line["section"], 0) + line["amount_cents"]
    assert Counter(sections.values()) == totals


def assert_csv_is(told: dict[str, Any], rows: list[dict[str, str]]) -> None:
    """The CSV has the lines of the JSON, every column of them."""
    account_and_period = {"bn15": told["bn15"], "period": told["period"]}
    assert rows == [
        {name: "" if cell is None else str(cell) for name, cell in (account_and_period | line).items()}
        for line in told["lines"]
    ]


def assert_pdf_agrees(statement: Statement, language: str) -> None:
    """The sheets say in figures what the page says, in one language or in both."""
    versions = page_of(statement, language).versions
    words = words_of_pdf(statement, language)
    if language == "both":
        # The second version begins with the name of the issuer.
        english, french = re.split(r"\n(?=Agence des services frontaliers du Canada\n)", words, maxsplit=1)
        parts = [("en", english), ("fr", french)]
    else:
        parts = [(language, words)]
    for version, (own, text) in zip(versions, parts, strict=True):
        assert version.figures == figures_in(text, own)


@pytest.mark.parametrize("name", SAMPLES)
def test_all_pages_and_files_of_a_sample_say_the_same(name: str) -> None:
    statement = sampled(name)
    assert_pages_agree(statement)
    figures = page_of(statement, "en").versions[0].figures
    assert (figures.numbers[BN15], figures.days["2021-12-25"]) >= (1, 1)


@pytest.mark.parametrize("language", ["en", "fr", "both"])
@pytest.mark.parametrize("name", SAMPLES)
def test_the_pdf_of_a_sample_says_what_its_page_says(name: str, language: str) -> None:
    assert_pdf_agrees(sampled(name), language)


@settings(max_examples=60, deadline=None)
@given(statements())
def test_all_pages_and_files_of_any_statement_say_the_same(statement: Statement) -> None:
    assert_pages_agree(statement)


@settings(max_examples=8, deadline=None)
@given(statements(), st.sampled_from(["en", "fr", "both"]))
def test_the_pdf_of_any_statement_says_what_its_page_says(statement: Statement, language: str) -> None:
    assert_pdf_agrees(statement, language)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_pages_that_were_looked_at_say_the_same_in_both_languages(name: str) -> None:
    (english,), (french,), both = (
        Page((GOLDEN / f"{name}-{language}.html").read_bytes()).versions for language in ("en", "fr", "both")
    )
    assert english.figures == french.figures
    assert [english, french] == both
