"""What a shadow run of an issued month would have done otherwise than the record, month by month.

Only what lies beside the record is compared with it. Of a month that is not issued a shadow run writes the month
itself, and there is nothing to hold it against.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import select

from include import engine
from include.audit import facts_told
from include.backfill_approvals import Months
from include.carm.counts import tell_count
from include.carm.money import format_money
from include.carm.period import Period
from include.month import is_issued
from include.operations_plan_tables import PLANS
from include.operations_schema import COVERAGE

if TYPE_CHECKING:
    from include.lake import Lake
    from include.workspace import Workspace

log = logging.getLogger(__name__)

COMPARED = ("account_decisions", "statements")
"""The datasets that are held against each other: what is done to accounts, and what clients are told."""
SHOWN = 20
_SUMS = ("statements", "line_count", "opening_cents", "debits_cents", "credits_cents", "closing_cents")
_WHAT = {
    "added": "only the shadow run has one",
    "missing": "only the record has one",
    "amounts": "other amounts",
    "lines": "other lines, the same amounts",
    "document": "the same figures, something else in print",
}


def find_differences(ws: Workspace, months: Months) -> dict[str, Any]:
    """Hold the shadow run of each month against its record.

    Returns ``{"from", "to", "months": [...]}``, each month ``{"period", "state", "run_id", "plan", "decisions",
    "decisions_moved", "statements", "sums", "notices"}``. ``state`` is ``same``, ``differs``, ``not_issued`` (the
    shadow run is the month itself), ``no_shadow_run`` or ``no_record``; what follows is there where it was compared:
    ``run_id`` made the decisions; ``plan`` is what would become of them, ``{"plan_hash", "reason"}``; ``decisions`` and
    ``statements`` name each account with what differs, ``decisions_moved`` counts accounts by both decisions; ``sums``
    and ``notices`` give both sides. Raises ``DataError`` where a file is not the one that was sealed.
    """
    return {
        "from": str(months.first),
        "to": str(months.last),
        "months": [find_month_differences(ws, period) for period in months.each()],
    }


def find_month_differences(ws: Workspace, period: Period) -> dict[str, Any]:
    """One month of :func:`find_differences`."""
    record, shadow = ws.lake(), ws.lake("shadow")
    has = {lake.area: {name for name in COMPARED if period in lake.own_periods(name)} for lake in (record, shadow)}
    if len(has["shadow"]) < len(COMPARED):
        return {"period": str(period), "state": "no_shadow_run" if is_issued(ws, period) else _unissued(has["lake"])}
    if len(has["lake"]) < len(COMPARED):
        return {"period": str(period), "state": "no_record"}
    compared = _compare(ws, record, shadow, period)
    notices = {side: _count_notices(lake, period) for side, lake in (("record", record), ("shadow", shadow))}
    is_same = not compared["decisions"] and not compared["statements"] and notices["record"] == notices["shadow"]
    return {
        "period": str(period),
        "state": "same" if is_same else "differs",
        **_run_and_plan(ws, shadow, period),
        **compared,
        "notices": notices,
    }


def _unissued(in_record: set[str]) -> str:
    return "not_issued" if len(in_record) == len(COMPARED) else "no_shadow_run"


def _compare(ws: Workspace, record: Lake, shadow: Lake, period: Period) -> dict[str, Any]:
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        for side, lake in (("record", record), ("shadow", shadow)):
            engine.register(con, f"decisions_{side}", [lake.file("account_decisions", period)])
            engine.register(con, f"statements_{side}", [lake.file("statements", period)])
        engine.create_table(con, "decision_differences", "select_decision_differences")
        sums = {row.pop("side"): row for row in engine.run_table(con, "select_statement_sums").to_pylist()}
        return {
            "decisions": engine.run_table(con, "select_decision_differences").to_pylist(),
            "decisions_moved": engine.run_table(con, "select_moved_decisions").to_pylist(),
            "statements": engine.run_table(con, "select_statement_differences").to_pylist(),
            "sums": {side: sums.get(side, dict.fromkeys((*_SUMS, "total_payable_cents"), 0)) for side in _SIDES},
        }


_SIDES = ("record", "shadow")


def _run_and_plan(ws: Workspace, shadow: Lake, period: Period) -> dict[str, Any]:
    """The run that decided in shadow, and the plan that its decisions made."""
    sealed = next(seal for seal in shadow.seals("account_decisions") if seal.period == str(period))
    made_by = select(COVERAGE.c.run_id).where(
        COVERAGE.c.area == shadow.area, COVERAGE.c.dataset == sealed.dataset, COVERAGE.c.period == sealed.period
    )
    with ws.operations.connect() as connection:
        run_id = connection.execute(made_by).scalar()
        plans = select(PLANS).where(PLANS.c.period == str(period), PLANS.c.effects == "shadow")
        for plan in connection.execute(plans).mappings():
            links = facts_told(connection, "plan", plan["plan_hash"])
            if any(link["decisions_sha256"] == sealed.sha256 for link in links if link["effects"] == "shadow"):
                return {"run_id": run_id, "plan": {name: plan[name] for name in ("plan_hash", "reason")}}
    return {"run_id": run_id, "plan": None}


def _count_notices(lake: Lake, period: Period) -> dict[str, int]:
    if period not in lake.own_periods("notices"):
        return {}
    kinds = pq.read_table(lake.file("notices", period), columns=["kind"]).column("kind")
    return dict(sorted((row["values"], row["counts"]) for row in pc.value_counts(kinds).to_pylist()))


def log_differences(ws: Workspace, month: Mapping[str, Any]) -> None:
    """Say in the log of a shadow run what would have come out otherwise than the record of its month."""
    if month["area"] == "shadow":
        for line in month_lines(find_month_differences(ws, Period.parse(month["period"]))):
            log.info("%s", line)


# For people.


def differences_lines(facts: Mapping[str, Any], *, accounts: bool = False) -> Iterator[str]:
    """What :func:`find_differences` found; with ``accounts`` each account by its number."""
    for month in facts["months"]:
        yield from month_lines(month, accounts=accounts)
    states = [month["state"] for month in facts["months"]]
    others, same = states.count("differs"), states.count("same")
    yield (
        f"{facts['from']} to {facts['to']}: {tell_count(others, 'month')} would come out otherwise, {same} as on "
        f"record, {len(states) - others - same} not compared"
    )


def month_lines(month: Mapping[str, Any], *, accounts: bool = False) -> Iterator[str]:
    """One month of :func:`differences_lines`; without ``accounts`` it names none, and may stand in a log."""
    period = month["period"]
    if month["state"] not in ("same", "differs"):
        yield f"{period}  {_NOT_COMPARED[month['state']]}"
        return
    yield f"{period}  {'as on record' if month['state'] == 'same' else 'differs'}, by run {month['run_id']}"
    if month["state"] == "same":
        return
    yield from _decision_lines(month, accounts=accounts)
    yield from _statement_lines(month, accounts=accounts)
    record, shadow = (month["notices"][side] for side in _SIDES)
    for kind in sorted({*record, *shadow}):
        if record.get(kind, 0) != shadow.get(kind, 0):
            yield f"  notices {kind}: {record.get(kind, 0):,} -> {shadow.get(kind, 0):,}"
    if month["plan"] is not None:
        yield f"  plan {month['plan']['plan_hash'][:12]}: {month['plan']['reason']}"


_NOT_COMPARED = {
    "not_issued": "not issued: the shadow run is the month itself, there is no record to hold it against",
    "no_shadow_run": "no shadow run lies here: make backfill, or carm_month with effects=shadow, makes one",
    "no_record": "the record has no decisions and statements of this month",
}


def _decision_lines(month: Mapping[str, Any], *, accounts: bool) -> Iterator[str]:
    yield f"  decisions: {tell_count(len(month['decisions']), 'account')} decided otherwise"
    for row in month["decisions_moved"]:
        yield f"    {row['accounts']:>9,}  {_decision(row, 'record')} -> {_decision(row, 'shadow')}"
    if accounts:
        yield from _named(month["decisions"], lambda row: f"{_decision(row, 'record')} -> {_decision(row, 'shadow')}")


def _decision(row: Mapping[str, Any], side: str) -> str:
    if row[f"action_{side}"] is None:
        return "no decision"
    to = f" to {row[f'new_program_type_{side}']}" if row[f"new_program_type_{side}"] else ""
    return f"{row[f'action_{side}']}{to} ({row[f'reason_{side}']})"


def _statement_lines(month: Mapping[str, Any], *, accounts: bool) -> Iterator[str]:
    rows = month["statements"]
    yield f"  statements: {tell_count(len(rows), 'account')} with another one"
    for difference, told in _WHAT.items():
        count = sum(row["difference"] == difference for row in rows)
        if count:
            yield f"    {count:>9,}  {told}"
    record, shadow = (month["sums"][side] for side in _SIDES)
    for name in _SUMS:
        if record[name] != shadow[name]:
            yield f"    {name.removesuffix('_cents').replace('_', ' ')}: {_tell(name, record)} -> {_tell(name, shadow)}"
    if accounts:
        yield from _named(rows, lambda row: _WHAT[row["difference"]])


def _tell(name: str, sums: Mapping[str, int]) -> str:
    return format_money(sums[name], "en") if name.endswith("_cents") else f"{sums[name]:,}"


def _named(rows: Sequence[Mapping[str, Any]], tell: Any) -> Iterator[str]:
    for row in rows[:SHOWN]:
        yield f"    {row['bn15']}  {tell(row)}"
    if len(rows) > SHOWN:
        yield f"    and {len(rows) - SHOWN:,} more: --json lists all"
