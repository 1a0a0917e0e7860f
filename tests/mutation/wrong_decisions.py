"""Decisions that are wrong on purpose, each with the words in which the checking statement must find it.

Every account of some months of the corpus is decided rightly, then wrongly in turn: forged into each change, and with
one column falsified. What must be found is worked out here one decision at a time, from the words of the domain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pyarrow as pa

from include.datasets import schema_of
from tests.decide.accounts import account_facts, bn15_of, clean_up_records, grounds
from tests.decide.cells import CELLS
from tests.decide.oracle import Account, World, four_years_before, months_between
from tests.mutation.corpus import DAY, LONG_AGO, MONTHS, Case, Month, accounts_of, decision_row, key_of, shuffled

Row = dict[str, Any]

MONTHS_LOOKED_AT = (0, 1, 2, 4, 6, 7, 9, 11, 12)
EVERY = 20
"""Of so many accounts of a month one is falsified."""


def _forged(
    action: str, seen: str, new_type: str | None, reason: str, announced_back: int | None
) -> Callable[[Row], Row]:
    def falsify(row: Row) -> Row:
        return row | {
            "activity_seen": seen,
            "rule_id": f"{row['program_type']}_{seen}",
            "action": action,
            "new_program_type": new_type,
            "reason": reason,
            "announced_in": None if announced_back is None else _month_before(row, announced_back),
            "missing": None,
            "review_no": None,
            "hold_no": None,
        }

    return falsify


def _month_before(row: Row, back: int) -> str:
    year, month = row["cutoff_on"].year + 4, row["cutoff_on"].month
    return f"{year - (month <= back)}-{(month - back - 1) % 12 + 1:02d}"


def _with(**values: Any) -> Callable[[Row], Row]:
    return lambda row: row | values


def _moved(row: Row) -> Row:
    """The decision of one account under the key of the next."""
    return row | {"account_key": row["account_key"] + 1}


FALSIFICATIONS: tuple[Callable[[Row], Row | None], ...] = (
    lambda row: row,
    lambda row: None,
    _forged("close", "none", None, "no_activity_4_years", None),
    _forged("close", "none", None, "no_activity_4_years", 2),
    _forged("close", "none", None, "no_activity_4_years", 3),
    _forged("candidate", "none", None, "closure_announced", 0),
    _forged("candidate", "none", None, "closure_announced", 1),
    _forged("candidate", "none", None, "closure_announced", None),
    _forged("candidate", "none", None, "no_activity_4_years", 0),
    _forged("convert", "import", "importer", "only_import_activity", None),
    _forged("convert", "export", "exporter", "only_export_activity", None),
    _forged("convert", "export", "exporter", "only_export_activity", 1),
    _forged("convert", "export", "dual", "only_export_activity", None),
    *(_with(action=action) for action in ("close", "convert", "candidate", "keep", "hold", "review", "unknown")),
    *(_with(new_program_type=program_type) for program_type in ("importer", "exporter", None)),
    *(_with(activity_seen=seen) for seen in ("none", "import", "export")),
    *(_with(reason=reason) for reason in ("active", "no_activity_4_years", "closure_announced")),
    *(_with(rule_id=rule_id) for rule_id in ("dual_none", "importer_none", None)),
    *(_with(program_type=program_type) for program_type in ("importer", "dual", None)),
    _with(valid_from=date(2021, 1, 1)),
    _with(bn15=bn15_of(10**6)),
    _moved,
    *(_with(announced_in=month) for month in ("2021-09", "2021-12", None)),
    *(_with(review_no=number) for number in (3, 4, 5, None)),
    *(_with(hold_no=number) for number in (2, 5, 8, None)),
    *(_with(action="keep", review_no=number) for number in (2, 4, 5)),
    *(_with(action="hold", hold_no=number) for number in (2, 5, 8)),
)


def build_wrong_decisions() -> list[Case]:
    """For each month the relations, wrong decisions among them, and the rows ``problem, bn15`` to be found."""
    return [_case_of(MONTHS[position]) for position in MONTHS_LOOKED_AT]


@dataclass(frozen=True)
class _Known:
    """An account as the register knows it."""

    bn15: str
    account: Account
    is_open: bool


def _case_of(month: Month) -> Case:
    chosen = _with_activity_after(accounts_of(month)[MONTHS.index(month) :: EVERY], month.world)
    known: dict[int, _Known] = {}
    decisions: list[Row] = []
    for number, account in enumerate(chosen):
        row = decision_row(0, account, month)
        for falsify in FALSIFICATIONS:
            right = row | key_of(len(known))
            known[right["account_key"]] = _Known(right["bn15"], account, is_open=number % 9 > 0)
            wrong = falsify(right)
            if wrong is not None:
                decisions.append(wrong)
    found = _problems_of_facts(known, {row["account_key"] for row in decisions}, month.world)
    found |= {(problem, row["bn15"]) for row in decisions for problem in _problems_of(row, known, month.world)}
    accounts = [one.account for one in known.values()]
    facts = account_facts(accounts)
    statuses = pa.array(["open" if one.is_open else "closed" for one in known.values()])
    relations = {
        **grounds([], month.world, months=month.months),
        "account_facts": shuffled(facts.set_column(facts.schema.get_field_index("status"), "status", statuses)),
        "clean_up_records": shuffled(clean_up_records(accounts)),
        "account_decisions": shuffled(pa.Table.from_pylist(decisions, schema=schema_of("account_decisions"))),
    }
    schema = pa.schema([("problem", pa.string()), ("bn15", pa.string())])
    rows = [dict(zip(schema.names, each, strict=True)) for each in sorted(found)]
    return Case(month, relations, pa.Table.from_pylist(rows, schema=schema))


def _problems_of_facts(known: Mapping[int, _Known], decided: set[int], world: World) -> set[tuple[str, str]]:
    without = {one.bn15 for key, one in known.items() if one.is_open and key not in decided}
    later = {one.bn15 for one in known.values() if any(on > world.as_of for _, on in one.account.activities)}
    return {("an open account has no decision", bn15) for bn15 in without} | {
        ("a fact tells of activity after the period, which may hide an earlier one", bn15) for bn15 in later
    }


def _with_activity_after(accounts: list[Account], world: World) -> list[Account]:
    """Some of them with an activity of each kind that the facts should not tell of yet."""
    later = world.as_of + DAY
    return [
        replace(account, activities=((("import", "export", "other")[position % 3], later),))
        if position % 11 == 0
        else account
        for position, account in enumerate(accounts)
    ]


def _problems_of(row: Row, known: Mapping[int, _Known], world: World) -> Iterator[str]:
    """What is wrong with one decision."""
    about = known.get(row["account_key"])
    account = about.account if about is not None else None
    identity = (row["bn15"], row["valid_from"], row["program_type"])
    if about is None or not about.is_open or identity != (about.bn15, LONG_AGO, about.account.program_type):
        yield "a decision is not about an open account in the version and type of the facts"
    yield from _misuse_of_records(row, account, world)
    if row["action"] not in ("close", "convert", "candidate"):
        return
    if not _is_an_arrow(row):
        yield "a change is not an arrow of the rule table"
    target = row["new_program_type"] or "close"
    if not _is_borne(row["program_type"], target, world):
        yield "a change rests on a feed that is not covered"
    if _is_announced_wrongly(row, account, world):
        yield "a closure is announced, or is not, against the policy"
    if account is not None:
        yield from _problems_of_change(row, target, account, world)


def _problems_of_change(row: Row, target: str, account: Account, world: World) -> Iterator[str]:
    cutoff = four_years_before(world.as_of)
    lasts = dict(account.activities)
    clock = max(filter(None, [*lasts.values(), account.opened_on, account.reinstated_on]), default=None)
    recent = {what for what, on in lasts.items() if on >= cutoff}
    if account.has_open_quarantine is not False:
        yield "a change rests on an account with a row in quarantine"
    if target == "close" and (clock is None or clock >= cutoff):
        yield "an account that is not dormant would be closed"
    if (target == "importer" and recent - {"other"} != {"import"}) or (
        target == "exporter" and recent - {"other"} != {"export"}
    ):
        yield "a program type would be corrected to one that was not the only one seen"
    is_referred = world.exporter_without_evidence == "review" and row["program_type"] in ("exporter", "dual")
    if is_referred and target != "exporter":
        yield "an exporter would change for lack of export evidence, against the policy"
    ends = [until for _, until in account.holds]
    if account.hold_reason is not None:
        ends.append(account.hold_until)
    if any(until is None or until >= world.as_of for until in ends):
        yield "an account with a hold on record would change"
    if target != "importer" and (account.balance_cents, account.under_review_items) != (0, 0):
        yield "an account with open money would be closed or lose the right to import"
    days = [on for program_type, seen, on in account.undone if f"{program_type}_{seen}" == row["rule_id"]]
    against = {"close": clock, "importer": lasts.get("export"), "exporter": lasts.get("import")}.get(target)
    # Without any clock it is not dormant, which was said above.
    is_told = target in ("importer", "exporter") or (target == "close" and clock is not None)
    if days and is_told and (against or date.min) < max(days):
        yield "a change that a person undid would be made again on the same evidence"


def _is_an_arrow(row: Row) -> bool:
    cell = CELLS.get((row["program_type"], row["activity_seen"]))
    if cell is None or row["rule_id"] != f"{row['program_type']}_{row['activity_seen']}":
        return False
    action, reason = ("close", "closure_announced") if row["action"] == "candidate" else (row["action"], cell.reason)
    return (action, row["new_program_type"], row["reason"]) == (cell.action, cell.new_program_type, reason)


def _is_borne(program_type: str | None, target: str, world: World) -> bool:
    if program_type not in ("importer", "exporter", "dual"):
        return False
    needs = {"close": world.needs(program_type), "exporter": ("transactions",), "importer": ("export_declarations",)}
    return target in needs and all(world.is_covered(feed) for feed in needs[target])


def _is_announced_wrongly(row: Row, account: Account | None, world: World) -> bool:
    announced = max(account.announced, default=None) if account is not None else None
    has_waited = announced is not None and months_between(announced, world.period) >= world.notice_months
    if world.notice_months == 0:
        return row["action"] == "candidate" or row["announced_in"] is not None
    if row["action"] == "candidate":
        return has_waited or row["announced_in"] != (announced or world.period)
    if row["action"] == "close":
        return not has_waited or row["announced_in"] != announced
    return row["announced_in"] is not None


def _misuse_of_records(row: Row, account: Account | None, world: World) -> Iterator[str]:
    named = [
        (number, recorded, action)
        for number, recorded, action in (
            (row["review_no"], account.reviews if account else (), "keep"),
            (row["hold_no"], account.holds if account else (), "hold"),
        )
        if number is not None
    ]
    speak = [
        row["action"] == action
        and any(number == no and (until is None or until >= world.as_of) for no, until in recorded)
        for number, recorded, action in named
    ]
    if len(named) == 2 or not all(speak):
        yield "a record settles or holds what it does not speak of"
