"""The export declarations (CERS) of a block of accounts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from include.demo.block import NO_DAY, Block, DayTexts, World, spread, stranger_bn15s
from include.demo.draw import Integers

STATUSES = ("accepted", "cancelled", "rejected", "held", None)
ACCEPTED, CANCELLED, REJECTED, UNKNOWN_STATUS, NO_STATUS = range(len(STATUSES))
NO_VALUE = -1
# How many declarations an ordinary exporter makes over 55 months: (of 1,000 accounts, least, most).
_SIZES = ((500, 2, 9), (350, 10, 40), (120, 41, 120), (30, 121, 400))
_SIZE_MONTHS = 55
_FIELDS = ("owner", "letter", "sequence", "revision", "bn15", "exported_on", "reported_on", "status", "value")
# First letter of a declaration's id; the first one stands for a missing id.
_LETTERS = " EXR"
_FAULTS = (
    "invalid_bn15", "unknown_status", "no_status", "no_reporting_day", "no_export_day", "exported_after_reporting",
    "unknown_account", "identical_copy", "differing_copies", "no_id",
)  # fmt: skip
_OF_10000_ACCOUNTS = 1_000
SLICE_ROWS = 20_000

Rows = dict[str, Integers]


def export_declarations(world: World, block: Block) -> Iterator[list[tuple[Any, ...]]]:
    """The block's rows of ``export_declarations`` in the order of their days, a few thousand at a time."""
    first = _declarations(world, block)
    dirt, extra = _dirty_rows(world, block, first)
    parts = [first, _revisions(world, first), _rejected(world, block), *dirt]
    yield from _as_tuples(block.bn15 + extra, parts)


def _declarations(world: World, block: Block) -> Rows:
    draw = world.draw
    account, nth, _, reported_on, exported_on = spread(
        world, block, "export", _draw_counts(world, block), block.exports_from, block.exports_sure, block.exports_to
    )
    who = block.number[account]
    fate = np.where(nth == 0, 10_000, draw.below("export_fate", 10_000, who, nth))
    value = draw.between("export_value", 200_000, 90_000_000, who, nth)
    return {
        "owner": who,
        "letter": np.full(len(who), _LETTERS.index("E")),
        "sequence": nth,
        "revision": np.ones(len(who), np.int64),
        "bn15": account,
        "exported_on": exported_on,
        "reported_on": reported_on,
        "status": np.select([fate < 200, fate < 400], [REJECTED, CANCELLED], ACCEPTED),
        "value": np.where(draw.happens("export_without_value", 300, who, nth), NO_VALUE, value),
    }


def _draw_counts(world: World, block: Block) -> Integers:
    draw = world.draw
    shares = np.cumsum([share for share, _, _ in _SIZES])
    row = np.searchsorted(shares, draw.below("export_size", 1_000, block.number), side="right")
    least, most = np.array([[least, most] for _, least, most in _SIZES])[row].T
    count = draw.between("export_size_within", least, most, block.number)
    count = np.where(block.is_ordinary, count, 1 + count % 6)
    active_months = np.maximum(block.exports_to - block.exports_from + 1, 0)
    count = np.maximum((count * active_months + _SIZE_MONTHS - 1) // _SIZE_MONTHS, 1)
    # The world's second account declares in every month, so that no month is without the feed.
    return np.where(block.number == 1, np.maximum(count, world.months + 1), count)


def _revisions(world: World, first: Rows) -> Rows:
    draw, who, nth = world.draw, first["owner"], first["sequence"]
    chance = np.where(nth == 0, 10_000, draw.below("export_revised", 10_000, who, nth))
    # Steady declarations stay, so that no month of the feed can lose its rows.
    reported_on = first["reported_on"] + draw.between("export_revised_after", 3, 90, who, nth)
    which = (chance < 200) & (first["status"] == ACCEPTED) & (reported_on <= world.last_day)
    is_cancelled = chance < 150
    changed = {
        "revision": np.full(len(who), 2),
        "reported_on": reported_on,
        "status": np.where(is_cancelled, CANCELLED, ACCEPTED),
        "value": np.where(is_cancelled | (first["value"] < 0), first["value"], first["value"] * 9 // 10),
    }
    return {name: values[which] for name, values in (first | changed).items()}


def _rejected(world: World, block: Block) -> Rows:
    """A rejected declaration in the window for each account that has nothing else."""
    at = block.with_event("declaration_rejected")
    day = max(world.cutoff + 300, world.first_day + 1)
    return {
        "owner": block.number[at],
        "letter": np.full(len(at), _LETTERS.index("R")),
        "sequence": np.zeros(len(at), np.int64),
        "revision": np.ones(len(at), np.int64),
        "bn15": at,
        "exported_on": np.full(len(at), min(day, world.last_day)),
        "reported_on": np.full(len(at), min(day + 1, world.last_day)),
        "status": np.full(len(at), REJECTED),
        "value": np.full(len(at), 1_250_000),
    }


def _dirty_rows(world: World, block: Block, first: Rows) -> tuple[list[Rows], list[str]]:
    """Rows that validation must keep out, and the business numbers that only they use."""
    draw = world.draw
    is_dirty = (first["sequence"] == 0) & draw.happens("export_dirty", _OF_10000_ACCOUNTS, first["owner"])
    is_dirty &= block.is_ordinary[first["bn15"]]
    pattern = {name: values[is_dirty] for name, values in first.items()}
    fault = draw.below("export_fault", len(_FAULTS), pattern["owner"])
    extra: list[str] = []
    parts: list[Rows] = []
    for code, name in enumerate(_FAULTS):
        rows = {field: values[fault == code] for field, values in pattern.items()}
        count = len(rows["owner"])
        if name == "identical_copy":
            parts.append(rows)
            continue
        rows["letter"] = np.full(count, _LETTERS.index("X"))
        if name == "differing_copies":
            parts.append(rows)
            rows = rows | {"value": rows["value"] + 1}
        elif name in ("invalid_bn15", "unknown_account"):
            own = [block.bn15[at] for at in rows["bn15"].tolist()]
            wrong = [f"{one[:9]}RM0000" for one in own] if name == "invalid_bn15" else stranger_bn15s(world, count)
            rows["bn15"] = len(block.bn15) + len(extra) + np.arange(count)
            extra.extend(wrong)
        else:
            field, value = {
                "unknown_status": ("status", np.full(count, UNKNOWN_STATUS)),
                "no_status": ("status", np.full(count, NO_STATUS)),
                "no_reporting_day": ("reported_on", np.full(count, NO_DAY)),
                "no_export_day": ("exported_on", np.full(count, NO_DAY)),
                "exported_after_reporting": ("exported_on", rows["reported_on"] + 45),
                "no_id": ("letter", np.zeros(count, np.int64)),
            }[name]
            rows[field] = value
        parts.append(rows)
    return parts, extra


def _as_tuples(bn15s: list[str], parts: list[Rows]) -> Iterator[list[tuple[Any, ...]]]:
    rows = {name: np.concatenate([part[name] for part in parts]) for name in _FIELDS}
    keys = ("value", "status", "revision", "sequence", "letter", "owner", "reported_on")
    order = np.lexsort([rows[name] for name in keys])
    days = DayTexts()
    for start in range(0, len(order), SLICE_ROWS):
        part = {name: values[order[start : start + SLICE_ROWS]].tolist() for name, values in rows.items()}
        ids = [
            f"{_LETTERS[letter]}{owner:07d}{sequence:05d}" if letter else None
            for letter, owner, sequence in zip(part["letter"], part["owner"], part["sequence"], strict=True)
        ]
        columns: list[list[Any]] = [
            ids,
            part["revision"],
            [bn15s[at] for at in part["bn15"]],
            [days[day] for day in part["exported_on"]],
            [days[day] for day in part["reported_on"]],
            [STATUSES[status] for status in part["status"]],
            [None if value == NO_VALUE else value for value in part["value"]],
        ]
        yield list(zip(*columns, strict=True))
