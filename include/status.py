"""``carm status``: what the months left behind, what the feeds cover, and how many accounts fall dormant next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from sqlalchemy import select

from include.audit import chain_head
from include.carm.counts import tell_count
from include.carm.errors import DataError
from include.carm.period import Period
from include.coverage import COVERED, coverage_grid, coverage_id, gap_stretches
from include.operations_plan_tables import PLANS
from include.operations_statement_tables import ISSUED_MONTHS
from include.owed_months import owed_by_month, owed_lines
from include.parking import parked_in, parked_lines, retry

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.lake import Lake
    from include.workspace import Workspace

# A mark of one sign for each word of the grid, and what the word means to a person.
MARKS = {
    "covered": ("+", "covered"),
    "not_expected": ("=", "no such feed, as the policy says"),
    "not_extracted": ("?", "not extracted"),
    "not_received": ("-", "not received"),
    "not_validated": ("v", "not validated"),
    "not_reconciled": ("r", "not reconciled"),
    "not_sealed": ("s", "its file is not the one that was counted"),
    "before_first_period": ("<", "before the feed's first month"),
    "too_few_rows": ("!", "too few rows"),
}
GAPS_SHOWN = 12
PLAN_STATES = ("applied", "handed_over", "undone", "ready", "held", "rejected", "superseded", "shadow")
"""Which of several plans of a month says most about it, the first that is there."""


def status(ws: Workspace, period: Period | None = None) -> dict[str, Any]:
    """Every month that was decided, what is owed, and for ``period`` (default: the newest) coverage and horizon.

    Raises ``DataError`` for a period that was not extracted.
    """
    lake = ws.lake()
    extracted = lake.periods("transactions")
    facts: dict[str, Any] = {
        "extracted_from": str(extracted[0]) if extracted else None,
        "extracted_to": str(extracted[-1]) if extracted else None,
        "months": _months(ws, lake),
        "coverage": None,
        "horizon": None,
        "owed_notices": [],
        "chain_head": None,
    }
    if period is not None and period not in extracted:
        raise DataError(f"{period} was not extracted: run that month first (make run PERIOD={period})")
    decided = [Period.parse(month["period"]) for month in facts["months"]]
    shown = period or (decided[-1] if decided else None)
    if shown is not None:
        grid = coverage_grid(ws, shown)
        facts["coverage"] = {"period": str(shown), "coverage_id": coverage_id(ws, shown), "grid": grid}
        facts["horizon"] = _horizon(lake, shown)
    with ws.operations.connect() as connection:
        facts["owed_notices"] = owed_by_month(connection)
        facts["chain_head"] = chain_head(connection)
    return facts


def _months(ws: Workspace, lake: Lake) -> list[dict[str, Any]]:
    seals = {(seal.dataset, seal.period): seal.rows for seal in lake.seals()}
    with ws.operations.connect() as connection:
        plans = leading_plans(connection)
        issued = set(connection.execute(select(ISSUED_MONTHS.c.period)).scalars())
    months = []
    for period in lake.periods("account_facts"):
        plan = plans.get(str(period))
        gaps = [row for row in coverage_grid(ws, period) if row["word"] not in COVERED]
        months.append(
            {
                "period": str(period),
                "decisions": seals.get(("account_decisions", str(period))),
                "statements": seals.get(("statements", str(period))),
                "parked": parked_in(lake, period) if seals.get(("parked", str(period))) else {},
                "quarantined": seals.get(("quarantine", str(period))),
                "plan": plan and {"hash": plan.plan_hash, "state": plan.state, "changes": plan.changes},
                "issued": str(period) in issued,
                "gaps": len(gaps),
            }
        )
    return months


def leading_plans(connection: Connection) -> dict[str, Any]:
    """The row of the plan that says most about a month, by month."""
    plans: dict[str, Any] = {}
    for row in connection.execute(select(PLANS).order_by(PLANS.c.plan_hash)):
        known = plans.get(row.period)
        if known is None or _weight(row) < _weight(known):
            plans[row.period] = row
    return plans


def _weight(plan: Any) -> int:
    return PLAN_STATES.index(plan.state)


def _horizon(lake: Lake, period: Period) -> list[dict[str, Any]] | None:
    if not lake.has("dormancy_horizon", period):
        return None
    columns = ["month", "program_type", "accounts"]
    rows: list[dict[str, Any]] = pq.read_table(lake.file("dormancy_horizon", period), columns=columns).to_pylist()
    return rows


# For people, in 100 columns.


def status_lines(facts: dict[str, Any]) -> list[str]:
    """What :func:`status` found, for people."""
    if facts["extracted_from"] is None:
        return ["nothing was extracted yet: run a month first (make run)"]
    lines = [f"Extracted: {facts['extracted_from']} to {facts['extracted_to']}", ""]
    lines.append(
        f"{'month':<8} {'decisions':>10} {'statements':>11} {'quarantined':>12} {'gaps':>5}  {'plan':<28} issued"
    )
    for month in facts["months"]:
        made = month["plan"]
        plan = f"{made['state']}, {tell_count(made['changes'], 'change')}" if made else "none"
        figures = (month["decisions"], month["statements"], month["quarantined"])
        decisions, statements, quarantined = ("-" if figure is None else f"{figure:,}" for figure in figures)
        lines.append(
            f"{month['period']:<8} {decisions:>10} {statements:>11} {quarantined:>12} {month['gaps']:>5}  {plan:<28} "
            f"{'yes' if month['issued'] else 'no'}"
        )
    for month in facts["months"]:
        again = retry(Period.parse(month["period"]), is_issued=month["issued"])
        lines += parked_lines(month["period"], month["parked"], again)
    lines += owed_lines(facts["owed_notices"])
    if facts["coverage"]:
        lines += ["", *_coverage_lines(facts["coverage"])]
    if facts["horizon"]:
        lines += ["", *_horizon_lines(facts["horizon"])]
    if facts["chain_head"]:
        lines += ["", f"Audit chain head: {facts['chain_head']}"]
    return lines


def _coverage_lines(coverage: dict[str, Any]) -> Iterator[str]:
    """A row a feed and year, a column a month; below it what the marks mean, and each gap by its name."""
    grid = coverage["grid"]
    yield f"Coverage of the window {grid[0]['period']} to {grid[-1]['period']}, as known in {coverage['period']}"
    yield f"{'':<26}" + "  ".join(f"{month:02d}" for month in range(1, 13))
    marks = {(row["feed"], row["period"]): MARKS[row["word"]][0] for row in grid}
    for feed in dict.fromkeys(row["feed"] for row in grid):
        name = feed
        for year in sorted({row["period"][:4] for row in grid}):
            months = "  ".join(f"{marks.get((feed, f'{year}-{month:02d}'), ''):>2}" for month in range(1, 13))
            yield f"{name:<20} {year} {months}".rstrip()
            name = ""
    used = [word for word in MARKS if any(row["word"] == word for row in grid)]
    yield "   ".join(f"{MARKS[word][0]} {MARKS[word][1]}" for word in used)
    gaps = list(gap_sentences(grid))
    for line in gaps[:GAPS_SHOWN]:
        yield f"Gap: {line}"
    if len(gaps) > GAPS_SHOWN:
        more = tell_count(len(gaps) - GAPS_SHOWN, "more gap")
        yield f"and {more}: carm status --json names them all"
    if not gaps:
        yield "No gap: what was not seen in the window did not happen, as far as the source knows"


def gap_sentences(grid: Sequence[dict[str, Any]]) -> Iterator[str]:
    """One sentence for each stretch of months that lack the same thing of the same feed."""
    return (_gap_sentence(stretch) for stretch in gap_stretches(grid))


def _gap_sentence(stretch: Sequence[dict[str, Any]]) -> str:
    first, last = stretch[0], stretch[-1]
    months = first["period"] if first is last else f"{first['period']} to {last['period']} ({len(stretch)} months)"
    said = MARKS[first["word"]][1]
    if first["word"] == "too_few_rows":
        least = "1 is" if first["minimum_rows"] == 1 else f"{first['minimum_rows']:,} are"
        said += f", {first['rows']:,} where {least} the least" if first is last else ""
    if first["word"] == "before_first_period":
        said += f", {first['first_period']}"
    return f"{first['feed']} {months}: {said}"


def _horizon_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A row a month, a column a program type."""
    types = [name for name in ("importer", "exporter", "dual") if any(row["program_type"] == name for row in rows)]
    types += sorted({row["program_type"] or "no type" for row in rows} - set(types))
    accounts = {(row["month"], row["program_type"] or "no type"): row["accounts"] for row in rows}
    yield "Dormancy horizon: open accounts that reach four years in the month, if nothing more happens"
    yield f"{'month':<8}" + "".join(f"{name:>10}" for name in [*types, "all"])
    for month in sorted({row["month"] for row in rows}):
        figures = [accounts.get((month, name), 0) for name in types]
        yield f"{month:<8}" + "".join(f"{figure:>10,}" for figure in [*figures, sum(figures)])
