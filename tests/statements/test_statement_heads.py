"""Who has a statement, with which balances, and who is parked instead."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from include.carm.statement import AGEING
from tests.statements.ledger import (
    BN15,
    DAYS,
    OTHER_BN15,
    Month,
    Row,
    account,
    brought_forward,
    derive,
    earlier,
    posting,
)


@pytest.mark.parametrize(
    "month",
    [
        Month([posting()]),
        # A posting of amount zero counts.
        Month([posting(0)]),
        # A balance of one cent, owed or in credit, at the beginning or at the end.
        Month(baseline=[brought_forward(1)]),
        Month(baseline=[brought_forward(-1)]),
        Month(activity=[earlier(1)]),
        Month([posting(-100, kind="PMT")], activity=[earlier(100)]),
        # Two rows that no longer count and take each other's effect away: both stand on a line.
        Month(
            [
                posting(5, status="cancelled", effect_cents=-5, is_late=True),
                posting(-5, status="cancelled", effect_cents=5, is_late=True, transaction_id="T2"),
            ]
        ),
        Month(accounts=[account(status="closed", closed_on=date(2021, 11, 25))]),
        Month(accounts=[account(status="closed", closed_on=date(2021, 12, 24))]),
    ],
)
def test_an_account_has_a_statement(month: Month) -> None:
    derived = derive(month)

    assert [BN15] == derived.heads.column("bn15").to_pylist()
    assert [] == derived.problems


@pytest.mark.parametrize(
    "month",
    [
        Month(),
        # Paid to the cent before the period.
        Month(activity=[earlier(100, period="2021-10"), earlier(-100, period="2021-11")]),
        Month(baseline=[brought_forward(100)], activity=[earlier(-100)]),
        Month([posting(status="cancelled")]),
        # Closed one day before the period, or one day after it.
        Month(accounts=[account(status="closed", closed_on=date(2021, 11, 24))]),
        Month(accounts=[account(status="closed", closed_on=date(2021, 12, 25))]),
    ],
)
def test_an_account_has_no_statement(month: Month) -> None:
    derived = derive(month)

    assert 0 == derived.heads.num_rows
    assert [] == derived.problems


def test_a_head_adds_up_what_was_posted_before_and_in_the_period() -> None:
    derived = derive(
        Month(
            [
                posting(700, transaction_id="A"),
                posting(300, transaction_id="B", status="under_review"),
                posting(-250, transaction_id="C", kind="PMT"),
            ],
            baseline=[brought_forward(1_000, under_review=40)],
            activity=[earlier(-600, period="2021-10"), earlier(60, period="2021-11", under_review=10)],
        )
    )

    head = derived.head
    assert 1_000 - 600 + 60 == head["opening_cents"]
    assert 700 + 300 == head["debits_cents"]
    assert 250 == head["credits_cents"]
    assert 460 + 1_000 - 250 == head["closing_cents"]
    # Whenever it was posted: 40 before the first month, 10 in November, 300 now.
    assert 350 == head["under_review_cents"]
    assert 1_210 - 350 == head["total_payable_cents"]
    assert 3 == head["line_count"]
    assert [] == derived.problems


def test_a_later_month_does_not_move_the_opening_balance() -> None:
    derived = derive(Month([posting(100)], activity=[earlier(7, period="2022-01")]))

    assert (0, 100) == (derived.head["opening_cents"], derived.head["closing_cents"])


@pytest.mark.parametrize(
    ("closing", "under_review", "payable"),
    [
        (500, 0, 500),
        (500, 499, 1),
        (500, 500, 0),
        (500, 501, 0),
        (0, 0, 0),
        (-500, 0, 0),
        # A credit under review does not lessen what is to be paid.
        (500, -100, 600),
    ],
)
def test_what_is_under_review_is_not_payable_and_nothing_is_payable_below_zero(
    closing: int, under_review: int, payable: int
) -> None:
    derived = derive(Month([posting(0)], baseline=[brought_forward(closing, under_review=under_review)]))

    assert payable == derived.head["total_payable_cents"]
    assert [] == derived.problems


@pytest.mark.parametrize(("recorded", "printed"), [("en", "en"), ("fr", "fr"), (None, "both"), ("de", "both")])
def test_a_statement_is_in_the_recorded_language_or_in_both(recorded: str | None, printed: str) -> None:
    derived = derive(Month([posting()], accounts=[account(language=recorded)]))

    assert printed == derived.head["language"]


def test_a_head_carries_the_days_of_the_calendar() -> None:
    head = derive(Month([posting()])).head

    expected = ("2021-12", date(2021, 11, 25), date(2021, 12, 24), date(2021, 12, 25), date(2021, 12, 31), 1)
    names = ("period", "period_start", "period_end", "issued_on", "due_on", "version")
    assert expected == tuple(head[name] for name in names)


def test_an_account_whose_row_was_not_published_is_parked_and_does_not_stop_the_others() -> None:
    derived = derive(
        Month(
            [posting(100, bn15=OTHER_BN15, transaction_id="parked"), posting(50)],
            baseline=[brought_forward(1, bn15=OTHER_BN15)],
        )
    )

    (parked,) = derived.parked.to_pylist()
    assert (OTHER_BN15, "2021-12", "account_not_published", 1, 101) == tuple(
        parked[name] for name in ("bn15", "period", "reason", "opening_cents", "closing_cents")
    )
    assert {"T1": "due"} == derived.sections
    assert [] == derived.problems


def test_statements_stand_in_the_order_of_accounts() -> None:
    derived = derive(Month([posting(bn15=OTHER_BN15), posting()], accounts=[account(OTHER_BN15), account()]))

    assert [BN15, OTHER_BN15] == derived.heads.column("bn15").to_pylist()
    assert [BN15, OTHER_BN15] == derived.lines.column("bn15").to_pylist()


@pytest.mark.parametrize(
    ("previous", "problems"),
    [
        ([(BN15, 460)], []),
        ([(BN15, 461)], ["an opening balance is not the closing balance of the month before"]),
        ([], ["an opening balance is not the closing balance of the month before"]),
        # A balance that the month before closed with must be opened with.
        ([(BN15, 460), (OTHER_BN15, 1)], ["an opening balance is not the closing balance of the month before"]),
        ([(BN15, 460), (OTHER_BN15, 0)], []),
    ],
)
def test_an_opening_balance_is_the_closing_balance_of_the_month_before(
    previous: list[tuple[str, int]], problems: list[str]
) -> None:
    rows: list[Row] = [{**earlier(bn15=bn15), "closing_cents": cents} for bn15, cents in previous]
    closings = [{name: row[name] for name in ("bn15", "account_key", "closing_cents")} for row in rows]
    derived = derive(Month([posting()], baseline=[brought_forward(460)]), previous=closings)

    assert problems == derived.problems


def _changed(table: Any, **changes: Any) -> Any:
    rows = table.to_pylist()
    rows[0] |= changes
    return type(table).from_pylist(rows, schema=table.schema)


SOUND = Month(
    [posting(700, transaction_id="A", customs_duty_cents=700), posting(-200, transaction_id="B", kind="PMT")],
    baseline=[brought_forward(1_000)],
)


@pytest.mark.parametrize(
    ("head", "line", "problem"),
    [
        ({}, {"transaction_id": "Z"}, "a posting stands on no statement line"),
        ({}, {"transaction_id": "Z"}, "a statement line stands for no posting of the period"),
        ({}, {"amount_cents": 701}, "a line shows another amount than its posting"),
        ({}, {"amount_cents": 701}, "the lines do not add up to debits and credits"),
        ({}, {"running_balance_cents": 1_701}, "a running balance does not lead from opening to closing"),
        ({}, {"gst_cents": 1}, "components do not add up to their line"),
        ({}, {"line_no": 3}, "a statement does not have its lines, numbered from 1"),
        ({"line_count": 3}, {}, "a statement does not have its lines, numbered from 1"),
        ({"closing_cents": 1_501}, {}, "a closing balance is not opening plus debits minus credits"),
        (
            {"opening_cents": 1_001, "closing_cents": 1_501},
            {},
            "a closing balance is not the baseline plus the effects of all months",
        ),
        ({"debits_cents": -200, "credits_cents": -700}, {}, "debits or credits are below zero"),
        ({"under_review_cents": 1}, {}, "an amount under review is not the sum over all months"),
        ({"total_payable_cents": 1_499}, {}, "a total payable is not what is left after the items under review"),
        ({"parked_reason": "other"}, {}, "a posting of a parked account is printed"),
        ({"parked_reason": "other"}, {}, "an account with a published row is parked"),
        ({"account_key": 7}, {}, "the account of a posting has no statement and is not parked"),
        ({"account_key": 7}, {}, "an account with a balance has no statement and is not parked"),
        ({"account_key": 7}, {}, "a statement stands for an account without a published row"),
    ],
)
def test_the_checks_see_a_month_that_does_not_add_up(head: Row, line: Row, problem: str) -> None:
    sound = derive(SOUND)
    assert [] == sound.problems

    broken = derive(SOUND, heads=_changed(sound.heads, **head), lines=_changed(sound.lines, **line))
    assert problem in broken.problems


def test_the_checks_see_a_line_and_a_statement_that_stand_twice() -> None:
    import pyarrow as pa

    sound = derive(SOUND)
    twice = derive(
        SOUND,
        heads=pa.concat_tables([sound.heads, sound.heads]),
        lines=pa.concat_tables([sound.lines, sound.lines]),
    )

    assert "an account has more than one statement" in twice.problems
    assert "a posting stands on more than one statement line" in twice.problems


# The age of a balance


@pytest.mark.parametrize(
    ("days", "bucket"),
    [
        (-6, "ageing_current_cents"),
        (0, "ageing_current_cents"),
        (1, "ageing_30_cents"),
        (30, "ageing_30_cents"),
        (31, "ageing_60_cents"),
        (60, "ageing_60_cents"),
        (61, "ageing_90_cents"),
        (90, "ageing_90_cents"),
        (91, "ageing_over_90_cents"),
    ],
)
def test_a_debt_ages_by_its_days_past_due_on_the_day_of_issue(days: int, bucket: str) -> None:
    head = derive(Month([posting(100, due_on=DAYS["issued_on"] - timedelta(days=days))])).head
    assert {name: head[name] for name in AGEING} == {**dict.fromkeys(AGEING, 0), bucket: 100}


@pytest.mark.parametrize("changed", [{"amount_cents": -100}, {"status": "under_review"}])
def test_a_credit_and_what_is_under_review_are_not_past_due(changed: Row) -> None:
    given = {"amount_cents": 100, "due_on": date(2021, 1, 1), **changed}
    head = derive(Month([posting(**given)])).head
    assert {name: head[name] for name in AGEING} == {
        **dict.fromkeys(AGEING, 0),
        "ageing_current_cents": given["amount_cents"],
    }
