"""Decide what the clean-up does with each account: facts joined with the rule table, one row an account.

The step after it (:mod:`include.plan_step`) makes the plan of the changes. Neither changes an account (see
:mod:`include.apply`).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from include import engine
from include.carm.period import Period
from include.program_type_rules import RuleTable, rules_relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from duckdb import DuckDBPyConnection

    from include.lake import Lake
    from include.workspace import Workspace


def publish_decisions(ws: Workspace, month: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``account_decisions`` of the month: one row for each account open as of its last day.

    Reads the sealed ``account_facts`` and the coverage of the window; raises ``DataError`` where the facts are not
    sealed and ``UsageError`` where the rule table is not whole. Returns ``{"period", "accounts", "sha256"}``.
    """
    period, lake = Period.parse(month["period"]), ws.lake(month["area"])
    with opened(ws) as con:
        register_grounds(ws, con, lake, period)
        reader = engine.run(
            con,
            "derive_account_decisions",
            parameters={
                "as_of": ws.calendar.as_of(period),
                "cutoff_on": ws.calendar.cutoff(period),
                "exporter_without_evidence": ws.policy.exporter_without_evidence,
            },
        )
        seal = lake.publish_and_seal("account_decisions", period, reader, run_id=month["run_id"])
    return {"period": str(period), "accounts": seal.rows, "sha256": seal.sha256}


@contextmanager
def opened(ws: Workspace) -> Iterator[DuckDBPyConnection]:
    """A DuckDB connection that may spill, and what it spilled gone afterwards."""
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        yield con


def register_grounds(ws: Workspace, con: DuckDBPyConnection, lake: Lake, period: Period) -> None:
    """What a decision rests on: the facts, the coverage of the window, and the rules as of the period's last day."""
    from include.ledger import window_coverage

    engine.register(con, "account_facts", [lake.file("account_facts", period)])
    engine.register(con, "coverage", window_coverage(ws, period))
    rules = RuleTable.load().valid_on(ws.calendar.as_of(period))
    engine.register(con, "program_type_rules", rules_relation(rules))
