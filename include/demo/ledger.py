"""The ledger of a block of accounts: entries and what happens to them, month by month, with payments that follow.

Amounts are integer cents. An account's balance is kept while its rows are made, so that payments clear what the last
statement asked for, interest stands on what was left, and credits are paid back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from include.demo.block import NO_DAY, Block, World, day_within
from include.demo.dirt import add_dirty_rows
from include.demo.entries import add_entries, add_fates
from include.demo.rows import (
    CANCELLED,
    KIND,
    LETTERS,
    UNDER_REVIEW,
    Ledger,
    Rows,
    as_tuples,
    in_order,
    transaction_numbers,
)
from include.demo.settlement import settle_months

_LATE_ACCOUNTING_CENTS = 10_000


def transactions(world: World, block: Block, brokers: list[str]) -> Iterator[list[tuple[Any, ...]]]:
    """The block's rows of ``transactions`` in the order of their days, a few thousand at a time."""
    shape = (len(block.number), world.months)
    ledger = Ledger(world, block, [], np.zeros(shape, np.int64), np.zeros(shape, np.int64))
    entries = add_entries(ledger)
    add_fates(ledger, entries)
    _add_opening_balances(ledger)
    _add_events(ledger)
    _add_late_accounting_penalties(ledger)
    settle_months(ledger)
    dirt = add_dirty_rows(ledger, entries)
    yield from as_tuples(block, brokers, dirt, in_order(ledger.parts))


def _add_opening_balances(ledger: Ledger) -> None:
    """Balances brought forward on the first day: the residual of a case, or something that is soon paid."""
    world, block = ledger.world, ledger.block
    draw = world.draw
    is_old = (block.opened_on < world.first_day) & (block.opened_on != NO_DAY)
    drawn = block.is_ordinary & is_old & (block.imports_to >= 0) & draw.happens("forward", 900, block.number)
    amount = draw.between("forward_amount", 2_000, 300_000, block.number)
    amount = np.where(draw.happens("forward_credit", 2_500, block.number), -(amount // 4), amount)
    amount = np.where(block.residual != 0, block.residual, amount)
    at = np.flatnonzero(drawn | (block.residual != 0))
    ledger.add(
        owner=block.number[at],
        letter=LETTERS.index("F"),
        bn15=at,
        kind=KIND["BFW"],
        activity_on=world.first_day,
        posted_on=world.first_day,
        amount=amount[at],
    )


def _add_events(ledger: Ledger) -> None:
    """The one row, or two, that makes a case (see :mod:`include.demo.cases`)."""
    world, block = ledger.world, ledger.block
    middle = max((max(world.cutoff_month + 1, 0) + world.months - 1) // 2 - 3, 0)
    middle_day = max(int(world.starts[middle]) + 9, world.first_day + 1)
    after_cutoff = max(world.cutoff + 40, world.first_day + 1)
    on_cutoff = max(world.cutoff, world.first_day + 1)

    def add(event: str, kind: str, activity_on: int, posted_on: int, cents: int = 12_600, **fields: int) -> Rows:
        at = block.with_event(event)
        return ledger.add(
            owner=block.number[at],
            letter=LETTERS.index("S"),
            bn15=at,
            kind=KIND[kind],
            activity_on=activity_on,
            posted_on=posted_on,
            amount=cents,
            gst_cents=cents if kind == "B3" else 0,
            **fields,
        )

    add("entry_day_before_cutoff", "B3", world.cutoff - 1, on_cutoff)
    add("entry_on_cutoff", "B3", world.cutoff, on_cutoff)
    add("entry_posted_late", "B3", world.cutoff - 20, after_cutoff)
    add("penalty_paid", "LAP", middle_day, middle_day, _LATE_ACCOUNTING_CENTS)
    add("penalty_under_review", "AMPS", middle_day, middle_day, 25_000, status=UNDER_REVIEW)
    opened = add("entry_cancelled", "B3", middle_day, middle_day, status=UNDER_REVIEW)
    ledger.revise(opened, revision=2, status=CANCELLED, posted_on=min(middle_day + 50, world.last_day))
    at = block.with_event("entry_does_not_add_up")
    ledger.add_dirty(
        owner=block.number[at],
        letter=LETTERS.index("S"),
        bn15=at,
        kind=KIND["B3"],
        activity_on=middle_day,
        posted_on=middle_day,
        gst_cents=9_900,
        amount=10_000,
    )


def _add_late_accounting_penalties(ledger: Ledger) -> None:
    world, block = ledger.world, ledger.block
    account, month = np.divmod(np.arange(ledger.effect.size), world.months)
    who = block.number[account]
    is_active = (ledger.effect.ravel() > 0) & block.is_ordinary[account]
    at = np.flatnonzero(is_active & world.draw.happens("late_accounting", 150, who, month))
    account, month, who = account[at], month[at], who[at]
    day = day_within(world, month, "late_accounting_day", who)
    ledger.add(
        owner=who,
        letter=LETTERS.index("L"),
        sequence=month,
        bn15=account,
        kind=KIND["LAP"],
        number=transaction_numbers(world, block, account, month, "penalty_number"),
        activity_on=day,
        posted_on=day,
        amount=_LATE_ACCOUNTING_CENTS,
    )
