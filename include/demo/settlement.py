"""What follows from balances, month by month: off-setting, payments, interest, disbursements."""

from __future__ import annotations

import numpy as np

from include.demo.draw import Flags, Integers
from include.demo.rows import ACCEPTED, KIND, LETTERS, REVERSED, UNDER_REVIEW, Ledger, Rows, transaction_numbers

_MIN_PAYABLE_FOR_INTEREST = 5_000
_MOST_INTEREST_POSTINGS = 18


def settle_months(ledger: Ledger) -> None:
    """Go through the months: off-set, pay, return payments, add interest, pay credits back."""
    world, block = ledger.world, ledger.block
    draw, who = world.draw, block.number
    # Whoever is in a special case pays on the day, so that the case stays what it is.
    chance = np.where(block.is_ordinary, draw.below("payer", 100, who), 0)
    # A large firm that never paid would not be let go on.
    is_small = ledger.effect.sum(axis=1) < 400_000
    never_pays = (chance >= 96) & is_small
    balance = np.zeros(len(who), np.int64)
    under_review = np.zeros(len(who), np.int64)
    months_in_credit = np.zeros(len(who), np.int64)
    interest_postings = np.zeros(len(who), np.int64)
    for month in range(world.months):
        payable = balance - under_review - block.residual
        months_in_credit = np.where(payable < 0, months_in_credit + 1, 0)
        if month > 0:
            payable = payable + _offset(ledger, month, payable)
            pays_now = (chance < 88) | ((chance < 96) & draw.happens("pays_late", 4_500, who, month))
            pays = (payable > 0) & pays_now & ~never_pays
            _pay(ledger, month, payable, pays)
            waits = (payable > _MIN_PAYABLE_FOR_INTEREST) & ~pays & (interest_postings < _MOST_INTEREST_POSTINGS)
            _add_interest(ledger, month, payable, waits)
            interest_postings += waits
            is_returned = (payable < 0) & (months_in_credit > 2) & block.is_ordinary
            _disburse(ledger, month, payable, is_returned & draw.happens("disburse", 6_000, who, month))
        balance += ledger.effect[:, month]
        under_review += ledger.review[:, month]


def _offset(ledger: Ledger, month: int, payable: Integers) -> Integers:
    """Set a credit of one account of a firm off against a debt of its other; returns what that moves."""
    block = ledger.block
    first, second = block.siblings
    both = block.is_ordinary[first] & block.is_ordinary[second]
    first, second = first[both], second[both]
    opposite = np.sign(payable[first]) * np.sign(payable[second]) < 0
    first, second = first[opposite], second[opposite]
    size = np.minimum(np.abs(payable[first]), np.abs(payable[second]))
    moved = np.zeros_like(payable)
    moved[first], moved[second] = -size * np.sign(payable[first]), -size * np.sign(payable[second])
    at = np.flatnonzero(moved)
    _add_monthly(ledger, "O", "OFS", at, month, ledger.world.starts[month] + 2, moved[at])
    return moved


def _pay(ledger: Ledger, month: int, payable: Integers, pays: Flags) -> None:
    world, block = ledger.world, ledger.block
    draw = world.draw
    at = np.flatnonzero(pays)
    who, amount = block.number[at], payable[at]
    chance = np.where(block.is_ordinary[at], draw.below("payment", 10_000, who, month), 9_999)
    amount = np.select(
        [chance < 150, chance < 220],
        [amount * 3 // 5, amount + draw.between("overpaid", 1, 4_000, who, month)],
        amount,
    )
    # The statement is issued on the month's first day and due some days later; few pay at the last moment.
    due_after = np.maximum(world.dues[month - 1] - world.starts[month], 0)
    posted_on = world.starts[month] + draw.below("paid_after", int(due_after) + 1, who, month)
    number = transaction_numbers(world, block, at, np.full(len(at), month), "payment_number")
    is_reviewed = (chance >= 220) & (chance < 260)
    payments = _add_monthly(
        ledger, "P", "PMT", at, month, posted_on, -amount,
        number=number, status=np.where(is_reviewed, UNDER_REVIEW, ACCEPTED),
    )  # fmt: skip
    is_reversed = (chance >= 260) & (chance < 285)
    for which, status in ((is_reviewed, ACCEPTED), (is_reversed, REVERSED)):
        old = {name: values[which] for name, values in payments.items()}
        ledger.revise(old, revision=2, status=status, posted_on=old["posted_on"] + 4)
    returned = (chance >= 285) & (chance < 385)
    _add_monthly(
        ledger, "N", "NSF", at[returned], month, posted_on[returned] + 5, amount[returned], number=number[returned]
    )


def _add_interest(ledger: Ledger, month: int, payable: Integers, waits: Flags) -> None:
    at = np.flatnonzero(waits)
    # Invented: half a percent a month. The real rates are no business of a demo world.
    amount = payable[at] // 200
    _add_monthly(ledger, "I", "INT", at, month, ledger.world.ends[month], amount, interest_cents=amount)


def _disburse(ledger: Ledger, month: int, payable: Integers, is_returned: Flags) -> None:
    at = np.flatnonzero(is_returned)
    _add_monthly(ledger, "D", "DSB", at, month, ledger.world.starts[month] + 14, -payable[at])


def _add_monthly(
    ledger: Ledger,
    letter: str,
    kind: str,
    at: Integers,
    month: int,
    posted_on: int | Integers,
    amount: Integers,
    **fields: Integers | int,
) -> Rows:
    """Rows of which an account has at most one a month."""
    return ledger.add(
        owner=ledger.block.number[at],
        letter=LETTERS.index(letter),
        sequence=month,
        bn15=at,
        kind=KIND[kind],
        activity_on=posted_on,
        posted_on=posted_on,
        amount=amount,
        **fields,
    )
