"""What a statement says because of its date: whom it names, by which rule a credit is paid out; page and PDF alike."""

from __future__ import annotations

import io
import re
from datetime import date

import pytest
from pypdf import PdfReader

from include.carm.allocation import AllocationRules
from include.carm.contacts import Contacts
from include.carm.period import Period
from include.carm.statement import Statement
from include.statement_page import StatementPages
from include.statement_pdf import StatementPdfs
from tests.statements.samples import credit

CRA = {
    "en": ("Canada Revenue Agency (CRA)", "1-800-959-5525"),
    "fr": ("Agence du revenu du Canada (ARC)", "1-800-959-5525"),
}
CBSA = {
    "en": ("CARM Client Support Helpdesk (CCSH), Canada Border Services Agency",),
    "fr": ("Bureau de soutien à la clientèle de la GCRA, Agence des services frontaliers du Canada",),
}
PAID_OUT = {
    "en": "A credit of more than $1,000.00 is disbursed when no debt is left, a smaller one after 2 months.",
    "fr": "Un crédit de plus de 1 000,00 $ est décaissé lorsqu’il ne reste aucune dette, un crédit moindre après "
    "2 mois.",
}


def said(statement: Statement, issued_on: date) -> dict[str, str]:
    """The words of the statement as page and as PDF, without blanks, which each of them sets as it likes."""
    period = Period(issued_on.year, issued_on.month)
    wording = Contacts.load(), issued_on, AllocationRules.load().disbursement_of(period)
    page = re.sub(r"<[^>]+>", "", StatementPages(*wording).render(statement).decode())
    reader = PdfReader(io.BytesIO(StatementPdfs(*wording).render(statement)))
    pdf = "".join(sheet.extract_text() for sheet in reader.pages)
    return {format: _unspaced(text) for format, text in (("html", page), ("pdf", pdf))}


def _unspaced(text: str) -> str:
    return re.sub(r"[\s\u200b]", "", text)


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize(
    ("issued_on", "named", "not_named"),
    [
        (date(2021, 12, 25), CRA, CBSA),
        (date(2024, 5, 12), CRA, CBSA),
        (date(2024, 5, 13), CBSA, CRA),
        (date(2024, 11, 25), CBSA, CRA),
    ],
)
def test_a_closed_account_is_told_the_office_that_reinstates_it_on_the_day_of_issue(
    issued_on: date, named: dict[str, tuple[str, ...]], not_named: dict[str, tuple[str, ...]], language: str
) -> None:
    for format, text in said(credit(language), issued_on).items():
        assert all(_unspaced(words) in text for words in named[language]), format
        assert not any(_unspaced(words) in text for words in not_named[language]), format


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize(
    ("issued_on", "is_told"), [(date(2021, 12, 25), True), (date(2024, 10, 25), True), (date(2024, 11, 25), False)]
)
def test_only_a_statement_of_release_1_names_the_rule_by_which_a_credit_is_paid_out(
    issued_on: date, is_told: bool, language: str
) -> None:
    for format, text in said(credit(language), issued_on).items():
        assert (_unspaced(PAID_OUT[language]) in text) == is_told, format
