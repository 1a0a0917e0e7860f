"""Accounts with the decisions that are right for them: what a mutant of the deciding statement is held against.

Everything near a boundary, and accounts drawn at random from few values, so that they lie near boundaries too; all of
it fixed, in several months that differ in what is covered and in what the policy says. The words of each decision come
from the oracle; the evidence beside them is worked out here, one account at a time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from itertools import combinations, product
from typing import Any

import pyarrow as pa

from include.carm.business_number import account_key
from include.datasets import schema_of
from tests.decide.accounts import account_facts, bn15_of, clean_up_records, grounds
from tests.decide.cells import CELLS, CHANGES
from tests.decide.oracle import GAP, Account, World, decide, four_years_before

DAY = timedelta(days=1)
AS_OF = date(2021, 12, 24)
LONG_AGO = date(2005, 6, 1)
RANDOM_ACCOUNTS = 1_000
"""In each month; there are more than ten of them."""

_SEED = 20211224
_NOT_OPEN = ("closed", None, "suspended")


@dataclass(frozen=True)
class Month:
    """A world, and how its coverage is written down: ``gap`` are the months that it names where a feed has gaps."""

    name: str
    world: World
    months: pa.Table | None = None
    gap: str = GAP


def _coverage(*rows: tuple[str, bool | None, str | None]) -> pa.Table:
    schema = pa.schema([("feed", pa.string()), ("covered", pa.bool_()), ("missing", pa.string())])
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)


_DECEMBER = World(as_of=AS_OF)
MONTHS = (
    Month("everything covered", _DECEMBER),
    Month("no transactions", replace(_DECEMBER, transactions_covered=False)),
    Month("no export declarations", replace(_DECEMBER, exports_covered=False)),
    Month("nothing covered", replace(_DECEMBER, transactions_covered=False, exports_covered=False)),
    Month("exporters without evidence are referred", replace(_DECEMBER, exporter_without_evidence="review")),
    Month("a leap day", World(as_of=date(2024, 2, 29), period="2024-02", notice_months=1)),
    Month("three months of notice", replace(_DECEMBER, notice_months=3)),
    Month(
        "a month of notice, and exports are not needed for importers",
        replace(_DECEMBER, notice_months=1, exports_covered=False, importer_needs=("transactions",)),
    ),
    Month(
        "exports are needed for exporters alone",
        replace(_DECEMBER, exports_covered=False, importer_needs=("transactions",), dual_needs=("transactions",)),
    ),
    Month(
        "a feed that coverage does not name",
        replace(_DECEMBER, transactions_covered=False),
        _coverage(("export_declarations", True, "")),
        gap="every month",
    ),
    Month(
        "a feed that is said to be covered and not to be",
        replace(_DECEMBER, exports_covered=False, importer_needs=("transactions",)),
        _coverage(
            ("transactions", True, ""),
            ("export_declarations", True, ""),
            ("export_declarations", False, "2020-05"),
            ("export_declarations", False, "2019-01"),
        ),
    ),
    Month(
        "a feed of which one row does not say whether it is covered",
        replace(_DECEMBER, transactions_covered=False),
        _coverage(
            ("transactions", True, ""), ("transactions", None, "2019-01,2020-05"), ("export_declarations", True, "")
        ),
    ),
    Month(
        "a feed of which nobody says whether it is covered, beside one that nobody needs",
        replace(_DECEMBER, exports_covered=False),
        _coverage(("transactions", True, None), ("export_declarations", None, None), ("rulings", False, "2020-01")),
        gap="every month",
    ),
)


# Accounts.


def boundary_accounts(world: World) -> list[Account]:
    """What was seen, when, of which account; and then what may stop a change, one thing and two at a time."""
    cutoff, as_of = four_years_before(world.as_of), world.as_of

    def days(what: str, *on: date | None) -> list[tuple[tuple[str, date], ...]]:
        return [() if day is None else ((what, day),) for day in on]

    seen = [
        Account(program_type, imports + exports + others, opened, reinstated)
        for program_type, imports, exports, others, opened, reinstated in product(
            [None, "importer", "exporter", "dual"],
            days("import", None, cutoff - DAY, cutoff, as_of + DAY),
            days("export", None, cutoff - DAY, cutoff, as_of + DAY),
            days("other", None, cutoff - DAY, cutoff, as_of + DAY),
            [None, cutoff - DAY, cutoff],
            [None, cutoff],
        )
        if [on for _, on in imports + exports + others].count(as_of + DAY) < 2
    ]
    evidence = {"none": (), "import": ("import",), "export": ("export",), "both": ("import", "export")}
    bases = {
        (program_type, what): Account(program_type, tuple((kind, cutoff) for kind in kinds), LONG_AGO)
        for program_type, (what, kinds) in product(["importer", "exporter", "dual", "broker"], evidence.items())
    }
    stops = list(_stops(world))
    one = [replace(base, **stop) for base, stop in product(bases.values(), stops)]
    two = [
        replace(bases[cell], **first, **second)
        for cell in CHANGES
        for first, second in combinations(stops, 2)
        if not first.keys() & second.keys()
    ]
    return seen + one + two


def _stops(world: World) -> Iterator[dict[str, Any]]:
    as_of, year, month = world.as_of, int(world.period[:4]), int(world.period[5:])
    ago = [f"{year - (month <= back)}-{(month - back - 1) % 12 + 1:02d}" for back in range(5)]
    yield {}
    yield {"has_open_quarantine": True}
    yield {"has_open_quarantine": None}
    yield {"balance_cents": -1}
    yield {"balance_cents": None, "under_review_cents": 3}
    yield {"under_review_items": 1}
    yield {"under_review_items": None}
    yield {"hold_reason": "appeal"}
    yield {"hold_reason": "appeal", "hold_until": as_of}
    yield {"hold_reason": "appeal", "hold_until": as_of - DAY}
    yield {"holds": ((3, as_of), (7, as_of - DAY), (5, as_of))}
    yield {"holds": ((2, None), (1, as_of + DAY))}
    yield {"holds": ((8, None),)}
    yield {"holds": ((2, as_of - DAY),)}
    yield {"reviews": ((5, as_of), (6, as_of - DAY), (4, as_of + DAY))}
    yield {"reviews": ((6, as_of - DAY),)}
    yield {"undone": tuple((*cell, LONG_AGO + DAY) for cell in CELLS)}
    yield {"undone": tuple((*cell, LONG_AGO) for cell in CELLS)}
    yield {"undone": tuple((*cell, on) for cell in CELLS for on in (LONG_AGO - DAY, LONG_AGO + DAY, LONG_AGO))}
    yield {"undone": tuple((*cell, as_of + DAY) for cell in CELLS if cell != ("dual", "export"))}
    yield {"announced": (ago[1],)}
    yield {"announced": (ago[3], ago[2])}
    yield {"announced": (ago[4], ago[3])}


def random_accounts(world: World, seed: int) -> list[Account]:
    """Accounts whose values are drawn one by one, most of them from a few that lie near a boundary."""
    draw = random.Random(seed)
    cutoff, as_of = four_years_before(world.as_of), world.as_of
    near = [cutoff - DAY, cutoff, cutoff + DAY, as_of - DAY, as_of, LONG_AGO]
    stops = list(_stops(world))

    def day() -> date:
        return draw.choice(near) if draw.random() < 0.7 else date(1985, 1, 1) + draw.randrange(13_000) * DAY

    def one() -> Account:
        kinds = [what for what in ("import", "export", "other") if draw.random() < 0.45]
        account = Account(
            program_type=draw.choice(["importer", "exporter", "dual", "dual", None, "Dual"]),
            activities=tuple((what, min(day(), as_of)) for what in kinds),
            opened_on=draw.choice([None, LONG_AGO, LONG_AGO, day()]),
            reinstated_on=draw.choice([None, None, day()]),
            balance_cents=draw.choice([0, 0, 0, 0, 1, -1, draw.randrange(-(10**15), 10**15)]),
            under_review_cents=draw.choice([0, 0, 7, -7]),
            under_review_items=draw.choice([0, 0, 0, 0, 1, 2]),
        )
        for _ in range(draw.choice([0, 1, 1, 2])):
            account = replace(account, **draw.choice(stops))
        return replace(account, undone=tuple((*cell[:2], day()) for cell in account.undone))

    return [one() for _ in range(RANDOM_ACCOUNTS)]


def accounts_of(month: Month) -> list[Account]:
    """The accounts of a month, in an order in which like does not stand beside like."""
    accounts = boundary_accounts(month.world) + random_accounts(month.world, _SEED + MONTHS.index(month))
    random.Random(_SEED).shuffle(accounts)
    return accounts


# What is right for them.


def decision_row(position: int, account: Account, month: Month) -> dict[str, Any]:
    """The whole row of ``account_decisions``: the decision by the oracle, and the evidence that stands beside it."""
    world, cutoff = month.world, four_years_before(month.world.as_of)
    # Nobody knows whether rows of it are in quarantine: then some are.
    account = replace(account, has_open_quarantine=account.has_open_quarantine is not False)
    decision = decide(account, world)
    if decision.missing is not None:
        decision = replace(decision, missing=decision.missing.replace(GAP, month.gap))
    known = dict(on for on in account.activities if on[1] <= world.as_of)
    lasts = {f"last_{what}_on": known.get(what) for what in ("import", "export", "other")}
    clock = max([*known.values(), *filter(None, (account.opened_on, account.reinstated_on))], default=None)
    proposed, new_type = _proposal(account.program_type, decision.activity_seen, clock, cutoff)
    is_typed = account.program_type in ("importer", "exporter", "dual")
    facts = {
        name: getattr(account, name)
        for name in ("opened_on", "reinstated_on", "balance_cents", "under_review_cents", "under_review_items")
    }
    return {
        **key_of(position),
        "valid_from": LONG_AGO,
        "program_type": account.program_type,
        "province": "QC",
        **lasts,
        **facts,
        "last_activity_on": max(known.values(), default=None),
        "clock_on": clock,
        "cutoff_on": cutoff,
        "has_open_quarantine": account.has_open_quarantine,
        "rule_id": f"{account.program_type}_{decision.activity_seen}" if is_typed else None,
        "proposed_action": proposed,
        "proposed_program_type": new_type,
        **asdict(decision),
    }


def key_of(position: int) -> dict[str, Any]:
    """The number of the account at ``position``, as text and as a key."""
    return {"bn15": bn15_of(position), "account_key": account_key(bn15_of(position))}


def _proposal(program_type: str | None, seen: str, clock: date | None, cutoff: date) -> tuple[str, str | None]:
    """What the rule table alone would do, before anything stops it."""
    cell = CELLS.get((program_type or "", seen))
    if cell is None:
        return "review", None
    if seen in ("import", "export", "both"):
        return cell.action, cell.new_program_type
    if clock is None:
        return "review", None
    return ("keep" if clock >= cutoff else cell.action), None


@dataclass(frozen=True)
class Case:
    """One month of the corpus: what the statement reads, and the rows that it must write."""

    month: Month
    relations: dict[str, Any]
    expected: pa.Table


def build_corpus() -> list[Case]:
    """Every month of the corpus."""
    return [_case_of(month) for month in MONTHS]


def _case_of(month: Month) -> Case:
    accounts = accounts_of(month)
    facts = account_facts(accounts)
    statuses = [
        _NOT_OPEN[position // 40 % len(_NOT_OPEN)] if position % 40 == 0 else "open"
        for position in range(len(accounts))
    ]
    facts = facts.set_column(facts.schema.get_field_index("status"), "status", pa.array(statuses, pa.string()))
    records = clean_up_records(accounts)
    relations = {
        **grounds([], month.world, months=month.months),
        "account_facts": shuffled(facts),
        "clean_up_records": shuffled(records),
    }
    expected = [
        decision_row(position, account, month)
        for position, account in enumerate(accounts)
        if statuses[position] == "open"
    ]
    return Case(month, relations, pa.Table.from_pylist(expected, schema=schema_of("account_decisions")))


def shuffled(table: pa.Table) -> pa.Table:
    """The same rows in a fixed order that nothing else gives."""
    order: Sequence[int] = random.Random(_SEED).sample(range(table.num_rows), table.num_rows)
    return table.take(order)
