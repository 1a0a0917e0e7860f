"""What is imported, and what becomes of it: entries with their components, and their later revisions."""

from __future__ import annotations

import numpy as np

from include.demo.block import NO_DAY, Block, World, spread
from include.demo.draw import Flags, Integers
from include.demo.rows import (
    ACCEPTED,
    CANCELLED,
    KIND,
    LETTERS,
    NO_BROKER,
    NO_REVISION,
    REVERSED,
    UNDER_REVIEW,
    Ledger,
    Rows,
    transaction_numbers,
)

# How many entries an ordinary importer has over 55 months: (of 1,000 accounts, least, most). Heavy-tailed.
_SIZES = ((340, 1, 6), (310, 7, 24), (209, 25, 80), (99, 81, 200), (33, 201, 520), (9, 521, 1_700))
_SIZE_MONTHS = 55
# Kinds of entries of 1,000 and amounts in cents of 100: most are small.
_ENTRY_KINDS = (
    (620, "B3"), (110, "LVS"), (60, "RS"), (80, "B2"), (30, "K32"), (30, "AMPS"), (8, "AI"), (30, "K23"), (8, "K3"),
    (12, "NPA"), (12, "K9"),
)  # fmt: skip
_AMOUNTS = ((40, 1_500, 20_000), (42, 20_000, 200_000), (15, 200_000, 1_500_000), (3, 1_500_000, 9_000_000))
_PENALTIES = np.array([15_000, 25_000, 50_000, 75_000])


def add_entries(ledger: Ledger) -> Rows:
    """Add every account's entries as they are first posted; returned with ``fate``, which :func:`add_fates` reads."""
    world, block = ledger.world, ledger.block
    draw = world.draw
    counts = _draw_counts(world, block)
    account, nth, month, posted_on, activity_on = spread(
        world, block, "entry", counts, block.imports_from, block.imports_sure, block.imports_to
    )
    who = block.number[account]
    kind = _pick(draw.below("kind", 1_000, who, nth), _ENTRY_KINDS, KIND)
    kind = np.where(nth == 0, KIND["B3"], kind)
    is_release_2 = np.array([world.calendar.regime(period) == "release_2" for period in world.periods])
    kind = np.where((kind == KIND["B3"]) & is_release_2[month], KIND["CAD"], kind)
    amount = _draw_amounts(world, who, nth, kind)
    chance = draw.below("due", 100, who, nth)
    due_on = np.select([chance < 80, chance < 95], [NO_DAY, world.dues[month]], posted_on + 30)
    # Something accepted and plain comes first; the ordinary rest has fates of its own.
    is_plain = (nth == 0) | ~block.is_ordinary[account]
    fate = np.where(is_plain, 10_000, draw.below("fate", 10_000, who, nth))
    status = np.select([fate < 250, fate >= 560, fate >= 540], [UNDER_REVIEW, ACCEPTED, REVERSED], ACCEPTED)
    status = np.where((fate >= 490) & (fate < 540), CANCELLED, status)
    has_broker = draw.happens("broker", 1_500, block.number)[account] & draw.happens("brokered", 7_000, who, nth)
    revision = np.where((fate >= 560) & draw.happens("no_revision", 100, who, nth), NO_REVISION, 1)
    entries = ledger.add(
        owner=who,
        letter=LETTERS.index("C"),
        sequence=nth,
        revision=revision,
        bn15=account,
        kind=kind,
        number=transaction_numbers(world, block, account, nth, "number"),
        activity_on=activity_on,
        posted_on=posted_on,
        due_on=due_on,
        status=status,
        broker=np.where(has_broker, draw.below("which_broker", 40, block.number)[account], NO_BROKER),
        amount=amount,
        **_components(world, who, nth, kind, amount),
    )
    return {**entries, "fate": fate}


def _draw_counts(world: World, block: Block) -> Integers:
    draw = world.draw
    chance = draw.below("size", 1_000, block.number)
    least, most = _by_share(chance, _SIZES)
    count = draw.between("size_within", least, most, block.number)
    count = np.where(block.is_ordinary, count, 1 + count % 9)
    # The world's first account is a large importer: statements of many pages, in proportion to the world.
    count = np.where(block.number == 0, min(max(world.accounts * 12 // 5, 60), 12_000), count)
    active_months = np.maximum(block.imports_to - block.imports_from + 1, 0)
    count = np.maximum((count * active_months + _SIZE_MONTHS - 1) // _SIZE_MONTHS, 1)
    return np.where(block.number == 0, np.maximum(count, world.months + 1), count)


def _draw_amounts(world: World, who: Integers, nth: Integers, kind: Integers) -> Integers:
    draw = world.draw
    least, most = _by_share(draw.below("amount_size", 100, who, nth), _AMOUNTS)
    amount = draw.between("amount", least, most, who, nth)
    is_free = (kind == KIND["B3"]) & draw.happens("duty_free", 400, who, nth)
    is_refund = (kind == KIND["K32"]) | ((kind == KIND["B2"]) & draw.happens("refund", 6_500, who, nth))
    amount = np.select([is_free, is_refund, kind == KIND["LVS"]], [0, -(amount // 6), amount // 20 + 300], amount)
    is_penalty = (kind == KIND["AMPS"]) | (kind == KIND["AI"])
    return np.where(is_penalty, _PENALTIES[draw.below("penalty", len(_PENALTIES), who, nth)], amount)


def _components(world: World, who: Integers, nth: Integers, kind: Integers, amount: Integers) -> Rows:
    """What an amount is made of; the goods and services tax takes the rest, so that the parts add up."""
    draw = world.draw
    has_parts = (kind <= KIND["K32"]) & (amount != 0)
    size, sign = np.where(has_parts, np.abs(amount), 0), np.sign(amount)
    share = {"customs_duty_cents": draw.below("duty", 45, who, nth)}
    for name, of_10000, most in (
        ("excise_duty_cents", 200, 12),
        ("excise_tax_cents", 250, 10),
        ("anti_dumping_cents", 200, 8),
        ("countervailing_cents", 100, 5),
        ("surtax_cents", 300, 6),
        ("safeguard_cents", 40, 4),
        ("provincial_tax_cents", 900, 9),
    ):
        happens = draw.happens(name, of_10000, who, nth)
        share[name] = np.where(happens, draw.between(f"{name}_share", 1, most, who, nth), 0)
    parts = {name: size * percent // 100 for name, percent in share.items()}
    parts["gst_cents"] = size - np.sum(list(parts.values()), axis=0)
    return {name: part * sign for name, part in parts.items()}


def add_fates(ledger: Ledger, entries: Rows) -> None:
    """Add what becomes of entries: accepted or cancelled after a review, amended (twice), cancelled, reversed."""
    world, draw = ledger.world, ledger.world.draw
    fate, who, nth = entries["fate"], entries["owner"], entries["sequence"]
    posted_on = entries["posted_on"] + draw.between("revised_after", 10, 140, who, nth)
    is_amended = (fate >= 250) & (fate < 370)
    is_revised = ((fate < 220) | (is_amended) | ((fate >= 370) & (fate < 490))) & (posted_on <= world.last_day)
    status = np.select(
        [(fate >= 150) & (fate < 220), (fate >= 370) & (fate < 450), (fate >= 450) & (fate < 490)],
        [CANCELLED, CANCELLED, REVERSED],
        ACCEPTED,
    )
    amended = entries["amount"] * draw.between("amended_to", 70, 125, who, nth) // 100
    amount = np.where(is_amended, amended, entries["amount"])
    second = _revise(ledger, entries, is_revised, 2, status, amount, posted_on)
    fate, who, nth = second["fate"], second["owner"], second["sequence"]
    posted_on = second["posted_on"] + draw.between("revised_again_after", 10, 90, who, nth)
    is_revised = (fate >= 335) & (fate < 370) & (posted_on <= world.last_day)
    amount = second["amount"] * draw.between("amended_again_to", 90, 110, who, nth) // 100
    _revise(ledger, second, is_revised, 3, second["status"], amount, posted_on)


def _revise(
    ledger: Ledger, rows: Rows, which: Flags, revision: int, status: Integers, amount: Integers, posted_on: Integers
) -> Rows:
    old = {name: values[which] for name, values in rows.items()}
    amount = amount[which]
    parts = _components(ledger.world, old["owner"], old["sequence"], old["kind"], amount)
    new = ledger.revise(
        old, revision=revision, status=status[which], amount=amount, posted_on=posted_on[which], **parts
    )
    return {**new, "fate": old["fate"]}


def _by_share(chance: Integers, table: tuple[tuple[int, int, int], ...]) -> tuple[Integers, Integers]:
    """The bounds (least, most) that each chance falls to, by the shares in the table's first column."""
    bounds = np.cumsum([share for share, _, _ in table])
    row = np.minimum(np.searchsorted(bounds, chance, side="right"), len(table) - 1)
    return np.array([least for _, least, _ in table])[row], np.array([most for _, _, most in table])[row]


def _pick(chance: Integers, table: tuple[tuple[int, str], ...], codes: dict[str | None, int]) -> Integers:
    bounds = np.cumsum([share for share, _ in table])
    row = np.minimum(np.searchsorted(bounds, chance, side="right"), len(table) - 1)
    return np.array([codes[name] for _, name in table])[row]
