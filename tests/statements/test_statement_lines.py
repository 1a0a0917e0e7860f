"""Which line stands in which section, in which order, and how the running balance follows."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from include.carm.statement import COMPONENTS, SECTIONS
from include.transaction_kinds import read_transaction_kinds
from tests.statements.ledger import Month, brought_forward, derive, posting

DUE = date(2021, 12, 31)


@pytest.mark.parametrize(
    ("section", "given"),
    [
        # Under review comes before everything, also for a payment and for a late row.
        ("under_review", {"status": "under_review"}),
        ("under_review", {"status": "under_review", "is_late": True}),
        ("under_review", {"status": "under_review", "kind": "PMT", "amount_cents": -1}),
        # Late comes before what the kind says.
        ("late", {"is_late": True}),
        ("late", {"is_late": True, "kind": "INT"}),
        ("late", {"is_late": True, "amount_cents": -1}),
        # These kinds, of whatever sign; and any credit of another kind, to the cent.
        ("payments_credits", {"kind": "PMT", "amount_cents": -1}),
        ("payments_credits", {"kind": "NSF", "amount_cents": 1}),
        ("payments_credits", {"kind": "NPA", "amount_cents": 1}),
        ("payments_credits", {"kind": "K32", "amount_cents": 0}),
        ("payments_credits", {"kind": "B2", "amount_cents": -1}),
        ("payments_credits", {"kind": "OFS", "amount_cents": -1}),
        ("due", {"kind": "B2", "amount_cents": 0}),
        ("offsets_disbursements", {"kind": "OFS"}),
        ("offsets_disbursements", {"kind": "DSB", "amount_cents": 0}),
        ("interest", {"kind": "INT"}),
        ("penalties", {"kind": "LAP"}),
        ("penalties", {"kind": "AMPS"}),
        ("penalties", {"kind": "AI"}),
        # Due on this statement: without a due date, or with the statement's, to the day.
        ("due", {"due_on": None}),
        ("due", {"due_on": DUE}),
        ("other", {"due_on": date(2021, 12, 30)}),
        ("other", {"due_on": date(2022, 1, 1)}),
        ("due", {"kind": "BFW"}),
        ("due", {"kind": "K3", "due_on": DUE}),
        ("other", {"kind": "K9", "due_on": date(2022, 1, 31)}),
    ],
)
def test_a_posting_stands_in_the_first_section_that_fits(section: str, given: dict[str, Any]) -> None:
    derived = derive(Month([posting(**given)]))

    assert {"T1": section} == derived.sections
    assert [] == derived.problems


@pytest.mark.parametrize("kind", [row["kind"] for row in read_transaction_kinds()])
def test_every_kind_stands_in_a_section_of_the_page(kind: str) -> None:
    derived = derive(Month([posting(kind=kind)]))

    assert derived.sections["T1"] in SECTIONS


def test_the_page_shows_what_is_due_first_and_each_section_by_posting_day() -> None:
    derived = derive(
        Month(
            [
                posting(kind="LAP", transaction_id="penalty"),
                posting(kind="INT", transaction_id="interest"),
                posting(kind="DSB", transaction_id="disbursement"),
                posting(-1, kind="PMT", transaction_id="payment"),
                posting(status="under_review", transaction_id="review"),
                posting(is_late=True, transaction_id="late"),
                posting(due_on=date(2022, 1, 31), transaction_id="other"),
                posting(transaction_id="due 2", posted_on=date(2021, 12, 2)),
                posting(transaction_id="due 3", posted_on=date(2021, 12, 2)),
                posting(transaction_id="due 1", posted_on=date(2021, 12, 1)),
            ]
        )
    )

    order = derived.lines.column("transaction_id").to_pylist()
    expected = ["due 1", "due 2", "due 3", "other", "late", "review", "payment", "disbursement", "interest", "penalty"]
    assert expected == order
    assert list(range(1, 11)) == derived.lines.column("line_no").to_pylist()


def test_the_running_balance_leads_from_the_opening_to_the_closing_balance() -> None:
    derived = derive(
        Month(
            [posting(500, transaction_id="A"), posting(-200, kind="PMT", transaction_id="B")],
            baseline=[brought_forward(1_000)],
        )
    )

    # 1000 brought forward, 1000 + 500 = 1500, 1500 - 200 = 1300.
    assert [1_500, 1_300] == derived.lines.column("running_balance_cents").to_pylist()
    assert (1_000, 500, 200, 1_300) == tuple(
        derived.head[name] for name in ("opening_cents", "debits_cents", "credits_cents", "closing_cents")
    )


@pytest.mark.parametrize("status", ["cancelled", "reversed"])
def test_a_cancelled_or_reversed_row_without_effect_prints_nowhere(status: str) -> None:
    derived = derive(Month([posting(), posting(transaction_id="T2", status=status)]))

    assert {"T1": "due"} == derived.sections
    assert 1 == derived.head["line_count"]
    assert [] == derived.problems


@pytest.mark.parametrize(
    ("given", "amount", "components"),
    [
        # The row as it is: its components are those of the line.
        ({"effect_cents": 100}, 100, (60, 40)),
        # Cancelled after it was published: the effect takes all of it back, and so each component.
        ({"effect_cents": -100, "status": "cancelled", "is_late": True}, -100, (-60, -40)),
        # 100 replaces 70 that was published: the difference of 30 has no components of its own.
        ({"effect_cents": 30, "revision": 2, "is_late": True}, 30, (0, 0)),
        # From under review to accepted nothing moves.
        ({"effect_cents": 0, "revision": 2, "is_late": True}, 0, (0, 0)),
    ],
)
def test_components_add_up_to_the_line_or_are_left_out(
    given: dict[str, Any], amount: int, components: tuple[int, int]
) -> None:
    row = posting(100, customs_duty_cents=60, gst_cents=40, excise_tax_cents=0, **given)
    derived = derive(Month([row], baseline=[brought_forward(500)]))

    (line,) = derived.lines.to_pylist()
    assert (amount, 100) == (line["amount_cents"], line["posted_amount_cents"])
    assert components == (line["customs_duty_cents"], line["gst_cents"])
    assert sum(components) == sum(line[name] for name in COMPONENTS)
    assert [] == derived.problems


def test_an_item_that_moved_between_accounts_in_one_month_leaves_both_of_its_lines() -> None:
    # Revision 1 was posted on the account and moved away in the same month: same key, another arrival.
    derived = derive(
        Month(
            [
                posting(100, transaction_id="T1"),
                posting(100, transaction_id="T1", status="cancelled", arrival="moved", is_late=True, effect_cents=-100),
            ]
        )
    )

    assert ["due", "late"] == derived.lines.column("section").to_pylist()
    assert [] == derived.problems
