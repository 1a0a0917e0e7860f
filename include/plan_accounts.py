"""Looks through the accounts of a plan: page by page, as a whole for a file, as a sample, and against another plan.

Everything is asked of the sealed decisions that the plan was made from, in SQL, and only what is shown is read into
Python: a plan may have a hundred thousand changes among a million decisions. No amount is among the columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from include import engine
from include.plan import CHANGES
from include.plans import decisions_of

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from include.workspace import Workspace

PAGE_ROWS = 100
WAITING = "waiting"
"""The action of a candidate that an earlier month announced: this month tells it nothing."""

_ALL_ROWS = 10**12
COLUMNS = (
    *("bn15", "program_type", "province", "action", "new_program_type", "reason", "missing", "rule_id"),
    *("activity_seen", "clock_on", "cutoff_on", "announced_in"),
)
"""What is told of an account, in the order of the exported file."""

SortKey = Literal["bn15", "program_type", "province", "action", "reason", "clock_on"]
Difference = Literal["entered", "left", "changed"]


@dataclass(frozen=True)
class Wanted:
    """Which accounts are looked for, and in which order; None: whatever it is."""

    actions: tuple[str, ...] = CHANGES
    program_type: str | None = None
    province: str | None = None
    reason: str | None = None
    bn_prefix: str = ""
    sort: SortKey = "bn15"
    is_descending: bool = False

    def _parameters(self) -> dict[str, Any]:
        return {
            "actions": list(self.actions),
            "program_type": self.program_type,
            "province": self.province,
            "reason": self.reason,
            "bn_prefix": self.bn_prefix,
            "sort": self.sort,
            "is_descending": self.is_descending,
        }


@dataclass(frozen=True)
class AccountPage:
    """A page of accounts, rows of :data:`COLUMNS`, and how many are ``found`` on all pages together."""

    rows: list[dict[str, Any]]
    found: int


def actions_in(plan: Mapping[str, Any]) -> dict[str, int]:
    """How many accounts the plan has by action, as :class:`Wanted` names them."""
    counted: dict[str, int] = {}
    for of_value in plan["strata"].get("program_type", {}).values():
        for action, accounts in of_value.items():
            counted[action] = counted.get(action, 0) + accounts
    return counted


def find_accounts(ws: Workspace, plan: Mapping[str, Any], wanted: Wanted, page: int = 1) -> AccountPage:
    """The accounts of a plan that are wanted: page 1 is the first. Raises ``DataError`` as ``decisions_of``."""
    with _looking_at(ws, plan) as con:
        rows = _part(con, wanted, PAGE_ROWS, (page - 1) * PAGE_ROWS).read_all().to_pylist()
    found = rows[0]["found"]
    return AccountPage([{name: row[name] for name in COLUMNS} for row in rows if row["bn15"] is not None], found)


def read_accounts(ws: Workspace, plan: Mapping[str, Any], wanted: Wanted) -> Iterator[pa.RecordBatch]:
    """All accounts that are wanted, in batches with :data:`COLUMNS`; nothing is read before the first is asked for."""
    with _looking_at(ws, plan) as con:
        for batch in _part(con, wanted, _ALL_ROWS, 0):
            rows = batch.select(COLUMNS)
            yield rows.filter(rows.column("bn15").is_valid())


def draw_sample(ws: Workspace, plan: Mapping[str, Any], size: int) -> list[dict[str, Any]]:
    """Up to ``size`` changes of each stratum (action, program type, province), drawn by the plan's hash.

    Rows ``action, program_type, province, accounts, bn15, new_program_type, reason, rule_id, clock_on``; ``accounts``
    counts the stratum. The same plan gives the same sample.
    """
    parameters = {"actions": list(CHANGES), "plan_hash": plan["plan_hash"], "size": size}
    with _looking_at(ws, plan) as con:
        return engine.run_table(con, "select_plan_account_sample", None, parameters).to_pylist()


@dataclass(frozen=True)
class Comparison:
    """How one plan differs from another.

    ``counts``: rows ``difference, action_before, new_program_type_before, reason_before, action_after,
    new_program_type_after, reason_after, accounts``. ``rows``: a page of the accounts of one difference.
    """

    counts: list[dict[str, Any]]
    rows: list[dict[str, Any]]

    def total(self, difference: Difference) -> int:
        """How many accounts entered the plan, left it or changed in it."""
        return sum(row["accounts"] for row in self.counts if row["difference"] == difference)


def compare_plans(
    ws: Workspace,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    difference: Difference | None = None,
    page: int = 1,
) -> Comparison:
    """Count how accounts' changes differ from one plan to another, and list a page of one ``difference`` by number.

    What differs is said by the statement behind ``carm plan diff``. Raises ``DataError`` as ``decisions_of``.
    """
    decisions = {"decisions_before": [decisions_of(ws, before)[1]], "decisions_after": [decisions_of(ws, after)[1]]}
    part = {"difference": difference, "rows": PAGE_ROWS, "rows_before": (page - 1) * PAGE_ROWS}
    with engine.connect() as con:
        engine.create_table(con, "plan_differences", "select_plan_differences", decisions)
        counts = engine.run_table(con, "select_plan_difference_counts").to_pylist()
        rows = engine.run_table(con, "select_plan_difference_page", None, part).to_pylist() if difference else []
    return Comparison(counts, rows)


def _part(con: DuckDBPyConnection, wanted: Wanted, rows: int, rows_before: int) -> Any:
    parameters = {**wanted._parameters(), "rows": rows, "rows_before": rows_before}
    return engine.run(con, "select_plan_account_page", None, parameters)


@contextmanager
def _looking_at(ws: Workspace, plan: Mapping[str, Any]) -> Iterator[DuckDBPyConnection]:
    """A connection with the relation ``plan_accounts``."""
    _, decisions = decisions_of(ws, plan)
    with engine.connect() as con:
        engine.create_view(con, "plan_accounts", "select_plan_accounts", {"account_decisions": [decisions]})
        yield con
