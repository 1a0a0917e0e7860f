"""Whole statements, derived by the SQL from a few postings: what a person would receive."""

from __future__ import annotations

from datetime import date
from functools import cache

from include.carm.allocation import AllocationRules
from include.carm.business_number import account_key
from include.carm.contacts import Contacts
from include.carm.period import Period
from include.carm.statement import Reissue, Statement, StatementHead, StatementLine, build_statements
from include.statement_objects import table_rows
from include.statement_page import StatementPages
from tests.statements.ledger import BN15, DAYS, Month, Row, account, brought_forward, derive, posting

DUE = DAYS["due_on"]
LATER = date(2022, 1, 14)

# As unkind as a name in a source database can be; each must come out as the text that it is.
HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}}{% for x in y %}",
    "[[bn15]] {bn15} %s",
    "=cmd|' /C calc'!A0",
    "\N{RIGHT-TO-LEFT OVERRIDE}detaerc ylwen\N{RIGHT-TO-LEFT MARK}",
    "חברה & sons « ltée »",
    "🚢 Fret éclair 🇨🇦",
    "W" * 300,
    "line\nbreak\tand tab",
)


@cache
def pages() -> StatementPages:
    return pages_of(date(2021, 12, 25))


def pages_of(issued_on: date) -> StatementPages:
    """Pages with the contacts and the rules of a day."""
    rule = AllocationRules.load().disbursement_of(Period(issued_on.year, issued_on.month))
    return StatementPages(Contacts.load(), issued_on, rule)


def statement_of(month: Month) -> Statement:
    """The one statement of a month, as the steps build it from the lake."""
    derived = derive(month)
    assert derived.problems == []
    lines = ((row[0], row[1:]) for row in table_rows(derived.lines.select(["bn15", *StatementLine._fields])))
    (statement,) = build_statements(table_rows(derived.heads.select(StatementHead._fields)), lines)
    return statement


def postings_of_every_section() -> list[Row]:
    components: Row = {
        "customs_duty_cents": 500_000_00,
        "excise_duty_cents": 100_000_00,
        "excise_tax_cents": 100_000_00,
        "gst_cents": 100_000_00,
        "anti_dumping_cents": 50_000_00,
        "countervailing_cents": 50_000_00,
        "surtax_cents": 50_000_00,
        "safeguard_cents": 20_000_00,
        "provincial_tax_cents": 10_000_00,
        "interest_cents": 7_654_32,
    }
    late: Row = {"is_late": True, "arrival": "revision", "revision": 2, "activity_on": date(2021, 10, 10)}
    rows: list[Row] = [
        posting(12_345_00, due_on=DUE, customs_duty_cents=10_000_00, gst_cents=2_345_00),
        posting(sum(components.values()), kind="CAD", due_on=DUE, broker_bn9="000000026", **components),
        posting(45_99, kind="LVS", gst_cents=45_99),
        posting(450_00, kind="B2", due_on=LATER, customs_duty_cents=450_00),
        posting(
            250_00,
            is_late=True,
            arrival="late",
            posted_on=date(2021, 11, 12),
            activity_on=date(2021, 11, 10),
            customs_duty_cents=250_00,
        ),
        posting(150_00, **late, effect_cents=-50_00, customs_duty_cents=150_00),
        posting(880_00, **late, effect_cents=-880_00, status="cancelled", customs_duty_cents=880_00),
        posting(20_00, **late, effect_cents=-20_00, status="reversed"),
        posting(500_00, **late, effect_cents=0, under_review_effect_cents=-500_00, customs_duty_cents=500_00),
        posting(75_00, **(late | {"arrival": "moved"}), effect_cents=-75_00, status="cancelled"),
        posting(3_000_00, kind="B2", status="under_review", due_on=DUE, customs_duty_cents=3_000_00),
        posting(-20_000_00, kind="PMT", transaction_number=None, activity_on=date(2021, 12, 3)),
        posting(5_000_00, kind="NSF"),
        posting(-1_234_56, kind="K32"),
        posting(400_00, kind="OFS", transaction_number=None),
        posting(100_00, kind="DSB", transaction_number=None),
        posting(42_34, kind="INT", interest_cents=42_34),
        posting(100_00, kind="LAP"),
        posting(200_00, kind="AI"),
    ]
    for place, row in enumerate(rows, start=1):
        number = f"12345{place:09d}" if row["transaction_number"] else None
        row |= {"transaction_id": f"T{place:04d}", "transaction_number": number}
    return rows


def every_section(language: str | None) -> Statement:
    holder = account(
        legal_name="Importations Élan & Fils ltée",
        operating_name="Élan Outfitters",
        program_type="dual",
        language=language,
    )
    return statement_of(
        Month(postings_of_every_section(), [holder], (), [brought_forward(500_00, under_review=500_00)])
    )


def credit(language: str | None) -> Statement:
    holder = account(language=language, status="closed", closed_on=date(2021, 12, 2))
    payment = posting(-123_45, kind="PMT", transaction_number=None, activity_on=date(2021, 12, 3))
    return statement_of(Month([payment], [holder]))


def zero(language: str | None) -> Statement:
    return statement_of(
        Month([posting(-500_00, kind="PMT")], [account(language=language)], (), [brought_forward(500_00)])
    )


def nothing_posted(language: str | None) -> Statement:
    return statement_of(Month((), [account(language=language, program_type="?")], (), [brought_forward(10_01)]))


def renamed(name: str) -> Statement:
    """A short statement for an account holder of this name."""
    plain = nothing_posted("en")
    return Statement(plain.head._replace(legal_name=name, operating_name=name), plain.lines)


def all_under_review(language: str | None) -> Statement:
    return statement_of(Month([posting(77_00, status="under_review")], [account(language=language)]))


def credit_under_review(language: str | None) -> Statement:
    rows = [posting(90_00), posting(-40_00, kind="K32", status="under_review", transaction_id="T2")]
    return statement_of(Month(rows, [account(language=language)]))


def overdue(language: str | None) -> Statement:
    """Debts of every age beside a payment that is too small, with the interest that they bear."""
    late: Row = {"is_late": True, "arrival": "late", "posted_on": date(2021, 8, 20), "activity_on": date(2021, 8, 19)}
    rows = [
        posting(1_000_00, transaction_id="T1", gst_cents=1_000_00),
        posting(2_000_00, transaction_id="T2", due_on=date(2021, 11, 30), customs_duty_cents=2_000_00, **late),
        posting(3_000_00, transaction_id="T3", due_on=date(2021, 11, 1), customs_duty_cents=3_000_00, **late),
        posting(4_000_00, transaction_id="T4", due_on=date(2021, 9, 29), customs_duty_cents=4_000_00, **late),
        posting(5_000_00, transaction_id="T5", due_on=date(2021, 8, 31), customs_duty_cents=5_000_00, **late),
        posting(-1_500_00, transaction_id="T6", kind="PMT", transaction_number=None),
    ]
    interest = {"bn15": BN15, "account_key": account_key(BN15), "item_id": "T5", "interest_cents": 123_45}
    return statement_of(Month(rows, [account(language=language)], interest=[interest]))


def long(language: str | None) -> Statement:
    """Three hundred lines."""
    rows = [
        posting(
            100_00 + number,
            transaction_id=f"T{number:04d}",
            transaction_number=f"12345{number:09d}",
            posted_on=date(2021, 11, 25 + number % 6),
            activity_on=date(2021, 11, 20),
            gst_cents=5_00,
            customs_duty_cents=95_00 + number,
        )
        for number in range(300)
    ]
    return statement_of(Month(rows, [account(language=language)]))


def restated(language: str | None) -> Statement:
    """A second version, with the box that says what changed and why."""
    why = ("the name was recorded wrongly", "le nom avait été mal consigné")
    told = Reissue("restate", "2022-01-10", 1, "2021-12-25", ("legal_name", "due_on"), *why)
    first = credit_under_review(language)
    return Statement(first.head._replace(version=2, due_on="2022-01-07"), first.lines, told)


def issued_late(language: str | None) -> Statement:
    """A first version of an account that was parked when the others were issued."""
    why = ("the register had two versions of the account", "le registre contenait deux versions du compte")
    return zero(language)._replace(reissue=Reissue("issue_parked", "2022-01-10", None, None, (), *why))


SAMPLES = {
    "every-section": every_section,
    "credit": credit,
    "zero": zero,
    "nothing-posted": nothing_posted,
    "all-under-review": all_under_review,
    "credit-under-review": credit_under_review,
    "overdue": overdue,
    "restated": restated,
    "issued-late": issued_late,
    "long": long,
}
