"""What must hold for any ledger, computed here from the rows alone and not from the SQL."""

from __future__ import annotations

from collections import Counter
from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from include.carm.business_number import bn9_with_check_digit
from include.carm.statement import AGEING
from include.transaction_kinds import read_transaction_kinds
from tests.statements.ledger import Month, Row, account, brought_forward, derive, earlier, posting

ACCOUNTS = [f"{bn9_with_check_digit(f'{number:08d}')}RM0001" for number in range(1, 6)]
KINDS = [str(row["kind"]) for row in read_transaction_kinds()]
# Small amounts, so that balances meet zero often.
CENTS = st.integers(-300, 300)


@st.composite
def _postings(draw: st.DrawFn) -> list[Row]:
    rows = []
    for number in range(draw(st.integers(0, 25))):
        status = draw(st.sampled_from(["accepted", "under_review", "cancelled", "reversed"]))
        is_late = draw(st.booleans())
        amount = draw(CENTS)
        changed: Row = {"is_late": is_late}
        if is_late:
            # A revision: what it moves is its own amount less that of a revision published before.
            before = draw(CENTS)
            counts = status in ("accepted", "under_review")
            changed |= {"arrival": "revision", "revision": 2, "effect_cents": (amount if counts else 0) - before}
        rows.append(
            posting(
                amount,
                bn15=draw(st.sampled_from(ACCOUNTS)),
                transaction_id=f"T{number % 20}",
                version=number // 20 + 1,
                kind=draw(st.sampled_from(KINDS)),
                status=status,
                posted_on=date(2021, 12, draw(st.integers(1, 24))),
                due_on=draw(st.sampled_from([None, date(2021, 12, 31), date(2022, 1, 31)])),
                customs_duty_cents=amount - 7,
                gst_cents=7,
                **changed,
            )
        )
    return rows


@st.composite
def _months(draw: st.DrawFn) -> Month:
    published = draw(st.sets(st.sampled_from(ACCOUNTS), min_size=1))
    any_account = st.sampled_from(ACCOUNTS)
    # One row an account and partition, as the datasets have it.
    baseline = draw(st.dictionaries(any_account, CENTS))
    activity = draw(st.dictionaries(st.tuples(any_account, st.sampled_from(["2021-10", "2021-11"])), CENTS))
    return Month(
        draw(_postings()),
        [account(bn15) for bn15 in sorted(published)],
        [earlier(cents, bn15=bn15, period=period) for (bn15, period), cents in activity.items()],
        [brought_forward(cents, bn15=bn15) for bn15, cents in baseline.items()],
    )


@settings(max_examples=40)
@given(_months())
def test_every_ledger_adds_up_and_every_posting_stands_on_exactly_one_line(month: Month) -> None:
    derived = derive(month)
    assert [] == derived.problems

    heads = {row["bn15"]: row for row in derived.heads.to_pylist()}
    parked = {row["bn15"] for row in derived.parked.to_pylist()}
    published = {row["bn15"] for row in month.accounts}
    assert {bn15 for bn15 in heads if bn15 not in published} == parked

    printed = [row for row in month.postings if row["is_counted"] or row["effect_cents"]]
    expected = Counter(_key(row) for row in printed if row["bn15"] in published)
    assert expected == Counter(_key(row) for row in derived.lines.to_pylist())

    opening: Counter[str] = Counter()
    for row in month.baseline:
        opening[row["bn15"]] += row["balance_cents"]
    for row in month.activity:
        opening[row["bn15"]] += row["effect_cents"]
    for bn15 in ACCOUNTS:
        effects = [row["effect_cents"] for row in month.postings if row["bn15"] == bn15]
        closing = opening[bn15] + sum(effects)
        has_line = any(row["bn15"] == bn15 for row in printed)
        assert (has_line or opening[bn15] != 0 or closing != 0) == (bn15 in heads)
        if bn15 in heads:
            head = heads[bn15]
            assert opening[bn15] == head["opening_cents"]
            assert closing == head["closing_cents"]
            assert closing == head["opening_cents"] + head["debits_cents"] - head["credits_cents"]
            assert min(head["debits_cents"], head["credits_cents"]) >= 0
            assert closing == sum(head[name] for name in AGEING)


def _key(row: Row) -> tuple[object, ...]:
    return row["bn15"], row["transaction_id"], row["revision"], row["version"], row["arrival"]
