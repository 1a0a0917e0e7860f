"""Dirty rows, which validation must keep out: about three in a thousand, every kind of fault among them."""

from __future__ import annotations

import numpy as np

from include.datasets import COMPONENTS
from include.demo.block import NO_DAY, day_within, stranger_bn15s
from include.demo.draw import Integers
from include.demo.rows import (
    KIND,
    LETTERS,
    NO_AMOUNT,
    NO_NUMBER,
    NO_STATUS,
    REVERSED,
    UNKNOWN_STATUS,
    Ledger,
    Rows,
)

FAULTS = (
    "invalid_check_digit", "invalid_reference", "other_program", "not_a_number", "unknown_account", "unknown_kind",
    "no_kind", "unknown_status", "no_status", "does_not_add_up", "activity_after_posting", "activity_too_old",
    "no_posting_day", "no_activity_day", "no_id", "no_amount", "identical_copy", "differing_copies", "reversed_twice",
)  # fmt: skip
"""Each as likely; an account has at most one."""

_OF_10000_ACCOUNTS = 2_050
_OWN_NUMBERS = 99_999_000_000_000  # transaction numbers behind all that are drawn
_LONG_AGO = 722_800  # 1979-12-13, before the first day that the ledger may name
_NO_COMPONENTS: dict[str, int] = dict.fromkeys(COMPONENTS, 0)


def add_dirty_rows(ledger: Ledger, entries: Rows) -> list[str]:
    """Add the dirty rows; returns the business numbers that only they use, whose places follow the block's own."""
    world, block = ledger.world, ledger.block
    draw = world.draw
    # What an account did first serves as the pattern: but for its fault a row is plausible.
    pattern = {name: values[entries["sequence"] == 0] for name, values in entries.items() if name != "fate"}
    is_dirty = draw.happens("dirty", _OF_10000_ACCOUNTS, pattern["owner"]) & block.is_ordinary[pattern["bn15"]]
    pattern = {name: values[is_dirty] for name, values in pattern.items()}
    fault = draw.below("fault", len(FAULTS), pattern["owner"])
    month = draw.below("dirty_month", world.months, pattern["owner"])
    posted_on = day_within(world, month, "dirty_day", pattern["owner"])
    extra: list[str] = []
    for code, name in enumerate(FAULTS):
        rows = {field: values[fault == code] for field, values in pattern.items()}
        if name == "identical_copy":
            ledger.add_dirty(**rows)
            continue
        rows = _as_new_rows(rows, posted_on[fault == code])
        own = [block.bn15[at] for at in rows["bn15"].tolist()]
        wrong = _wrong_numbers(name, own) if name != "unknown_account" else stranger_bn15s(world, len(own))
        if wrong:
            rows["bn15"] = len(block.bn15) + len(extra) + np.arange(len(wrong))
            extra.extend(wrong)
            ledger.add_dirty(**rows)
        elif name == "differing_copies":
            ledger.add_dirty(**rows)
            ledger.add_dirty(**rows | _NO_COMPONENTS | {"kind": KIND["K23"], "amount": rows["amount"] + 100})
        elif name == "reversed_twice":
            # Only a number shared by the payment and its bounce tells that the two speak of one item.
            rows["number"] = np.where(rows["number"] == NO_NUMBER, _OWN_NUMBERS + rows["owner"], rows["number"])
            payment = rows | _NO_COMPONENTS | {"kind": KIND["PMT"], "amount": -4_500, "status": REVERSED}
            ledger.add_dirty(**payment)
            ledger.add_dirty(**rows | _NO_COMPONENTS | {"kind": KIND["NSF"], "amount": 4_500, "sequence": 1})
        else:
            ledger.add_dirty(**rows | _change(name, rows))
    return extra


def _as_new_rows(rows: Rows, posted_on: Integers) -> Rows:
    count = len(posted_on)
    return rows | {
        "letter": np.full(count, LETTERS.index("X")),
        "posted_on": posted_on,
        "activity_on": posted_on - 1,
        "due_on": np.full(count, NO_DAY),
        "revision": np.ones(count, np.int64),
    }


def _wrong_numbers(fault: str, own: list[str]) -> list[str]:
    """For each business number one that is wrong in this way; nothing where the fault is of another kind."""
    match fault:
        case "invalid_check_digit":
            return [f"{bn15[:8]}{(int(bn15[8]) + 3) % 10}{bn15[9:]}" for bn15 in own]
        case "invalid_reference":
            return [f"{bn15[:9]}RM0000" for bn15 in own]
        case "other_program":
            return [f"{bn15[:9]}RT0001" for bn15 in own]
        case "not_a_number":
            return ["UNKNOWN"] * len(own)
    return []


def _change(fault: str, rows: Rows) -> dict[str, Integers | int]:
    changes: dict[str, dict[str, Integers | int]] = {
        "unknown_kind": {"kind": KIND["ZZ9"]},
        "no_kind": {"kind": KIND[None]},
        "unknown_status": {"status": UNKNOWN_STATUS},
        "no_status": {"status": NO_STATUS},
        "does_not_add_up": {"customs_duty_cents": rows["customs_duty_cents"] + 101},
        "activity_after_posting": {"activity_on": rows["posted_on"] + 60},
        "activity_too_old": {"activity_on": _LONG_AGO},
        "no_posting_day": {"posted_on": NO_DAY},
        "no_activity_day": {"activity_on": NO_DAY},
        "no_id": {"letter": 0},
        "no_amount": {"amount": NO_AMOUNT},
    }
    # A fault on a business number may have no account in this block: then there is no row to change.
    return changes.get(fault, {})
