"""The rows of ``transactions`` while they are made: arrays, until they are written as text for the database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from include.datasets import COMPONENTS
from include.demo.block import Block, DayTexts, World
from include.demo.draw import Integers

KINDS = (
    "B3", "CAD", "RS", "LVS", "B2", "K32", "PMT", "INT", "LAP", "AMPS", "AI", "K23", "K3", "NSF", "NPA", "K9", "OFS",
    "DSB", "BFW", "ZZ9", None,
)  # fmt: skip
KIND = {kind: code for code, kind in enumerate(KINDS)}
STATUSES = ("accepted", "under_review", "cancelled", "reversed", "pending", None)
ACCEPTED, UNDER_REVIEW, CANCELLED, REVERSED, UNKNOWN_STATUS, NO_STATUS = range(len(STATUSES))
NO_NUMBER = 0
NO_REVISION = 0
NO_AMOUNT = np.iinfo(np.int64).min
NO_BROKER = -1

# First letter of a transaction's id, by where the row comes from; the first one stands for a missing id.
LETTERS = " CPNILDOFSX"
FIELDS = (
    "owner", "letter", "sequence", "revision", "bn15", "kind", "number", "activity_on", "posted_on", "due_on",
    "status", "broker", *COMPONENTS, "amount",
)  # fmt: skip
_DEFAULTS = {"revision": 1, "broker": NO_BROKER}

Rows = dict[str, Integers]
"""Rows as columns: one array a field, by the names in ``FIELDS``; texts are codes or places in a list."""


@dataclass
class Ledger:
    """The rows made so far and, by account and month, what they move in the balance and in what is under review."""

    world: World
    block: Block
    parts: list[Rows]
    effect: Integers  # shape (accounts, months)
    review: Integers  # the same, of items under review

    def add(self, **fields: Integers | int) -> Rows:
        """Add rows that count, as fields with one value a row or one for all; returns them."""
        rows = _make_rows(fields)
        self._move_balances(rows, *_counted(rows))
        return rows

    def revise(self, old: Rows, **changes: Integers | int) -> Rows:
        """Add the next revisions of ``old``, rows that count: the same but for ``changes``; returns them."""
        rows = _make_rows({**{name: old[name] for name in FIELDS}, **changes})
        (amount, review), (old_amount, old_review) = _counted(rows), _counted(old)
        self._move_balances(rows, amount - old_amount, review - old_review)
        return rows

    def _move_balances(self, rows: Rows, amount: Integers, review: Integers) -> None:
        self.parts.append(rows)
        month = self.world.month_of(rows["posted_on"])
        np.add.at(self.effect, (rows["bn15"], month), amount)
        np.add.at(self.review, (rows["bn15"], month), review)

    def add_dirty(self, **fields: Integers | int) -> None:
        """Add rows that validation must keep out, so that they move no balance."""
        self.parts.append(_make_rows(fields))


def _counted(rows: Rows) -> tuple[Integers, Integers]:
    """The amounts that count in the balance, and those of them under review."""
    amount, status = rows["amount"], rows["status"]
    is_reviewed = status == UNDER_REVIEW
    return np.where((status == ACCEPTED) | is_reviewed, amount, 0), np.where(is_reviewed, amount, 0)


def _make_rows(fields: dict[str, Integers | int]) -> Rows:
    count = np.size(fields["owner"])
    return {
        name: np.broadcast_to(np.asarray(fields.get(name, _DEFAULTS.get(name, 0)), dtype=np.int64), count)
        for name in FIELDS
    }


def in_order(parts: list[Rows]) -> Rows:
    """All rows by the day on which they are posted, then by id: one order, whatever the order of the parts."""
    rows = {name: np.concatenate([part[name] for part in parts]) for name in FIELDS}
    keys = [rows[name] for name in ("status", "amount", "kind", "revision", "sequence", "letter", "owner", "posted_on")]
    order = np.lexsort(keys)
    return {name: values[order] for name, values in rows.items()}


def transaction_numbers(world: World, block: Block, account: Integers, nth: Integers, purpose: str) -> Integers:
    """Account security number (five digits, a firm's own) and nine digits; about one row in twelve has none."""
    draw, who = world.draw, block.number[account]
    security = 10_000 + draw.below("security", 90_000, block.firm)[account]
    number = security * 1_000_000_000 + draw.below(purpose, 1_000_000_000, who, nth)
    return np.where(draw.happens(f"{purpose}_missing", 800, who, nth) & (purpose == "number"), NO_NUMBER, number)


SLICE_ROWS = 20_000


def as_tuples(block: Block, brokers: list[str], extra: list[str], rows: Rows) -> Iterator[list[tuple[Any, ...]]]:
    """The rows as the database takes them, in the order of the table's columns, ``SLICE_ROWS`` at a time.

    ``extra`` are business numbers whose places follow the block's own.
    """
    bn15s, days = block.bn15 + extra, DayTexts()
    broker_texts = [*brokers, None]  # the last place is -1, no broker
    for start in range(0, len(rows["owner"]), SLICE_ROWS):
        part = {name: values[start : start + SLICE_ROWS].tolist() for name, values in rows.items()}
        ids = [
            f"{LETTERS[letter]}{owner:07d}{sequence:05d}" if letter else None
            for letter, owner, sequence in zip(part["letter"], part["owner"], part["sequence"], strict=True)
        ]
        columns: list[list[Any]] = [
            ids,
            [revision or None for revision in part["revision"]],
            [bn15s[at] for at in part["bn15"]],
            [KINDS[kind] for kind in part["kind"]],
            [f"{number:014d}" if number else None for number in part["number"]],
            *([days[day] for day in part[name]] for name in ("activity_on", "posted_on", "due_on")),
            [STATUSES[status] for status in part["status"]],
            [broker_texts[broker] for broker in part["broker"]],
            *(part[component] for component in COMPONENTS),
            [None if amount == NO_AMOUNT else amount for amount in part["amount"]],
        ]
        yield list(zip(*columns, strict=True))
