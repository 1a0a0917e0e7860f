"""Decide what the clean-up does with each account: facts joined with the rule table, one row an account.

The step after it (:mod:`include.plan_step`) makes the plan of the changes. Neither changes an account (see
:mod:`include.apply`).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from include import engine
from include.carm.period import Period
from include.coverage import needed_feeds, window_coverage
from include.person_records import read_records
from include.program_type_rules import RuleTable, rules_relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from include.carm.calendar import Calendar
    from include.carm.policy import Policy
    from include.lake import Lake
    from include.workspace import Workspace

HORIZON_MONTHS = 12


def publish_decisions(ws: Workspace, month: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``account_decisions`` of the month: one row for each account open as of its last day.

    Beside it ``clean_up_records``, what persons and earlier months had said by then, and ``dormancy_horizon``. Reads
    the sealed ``account_facts`` and the coverage of the window; raises ``DataError`` where the facts are not sealed and
    ``UsageError`` where the rule table is not whole. Returns ``{"period", "accounts", "sha256"}``.
    """
    period, lake, run_id = Period.parse(month["period"]), ws.lake(month["area"]), month["run_id"]
    # Sealed first, so that the decisions can be derived again from what is sealed, whatever is recorded later.
    lake.publish_and_seal("clean_up_records", period, read_records(ws, period), run_id=run_id)
    with opened(ws) as con:
        seal = lake.publish("account_decisions", period, derive_decisions(ws, con, lake, period))
        engine.register(con, "account_decisions", [lake.path("account_decisions", period)])
        horizon = engine.run(con, "derive_dormancy_horizon", {"horizon_months": _horizon_months(ws, period)})
        lake.seal([seal, lake.publish("dormancy_horizon", period, horizon)], run_id=run_id)
    return {"period": str(period), "accounts": seal.rows, "sha256": seal.sha256}


def derive_decisions(ws: Workspace, con: DuckDBPyConnection, lake: Lake, period: Period) -> pa.RecordBatchReader:
    """The rows of ``account_decisions``, from what is sealed for the period, the rules and the policy as they are."""
    register_grounds(ws, con, lake, period)
    return engine.run(con, "derive_account_decisions", None, decision_parameters(ws.calendar, ws.policy, period))


def find_unborne(ws: Workspace, con: DuckDBPyConnection, lake: Lake, period: Period) -> pa.Table:
    """The decisions, registered on ``con`` as ``account_decisions``, that facts and rules do not bear.

    Columns ``problem, bn15``; looked at on another path than the one that decided, and empty where all is well.
    """
    register_grounds(ws, con, lake, period)
    return engine.run_table(con, "check_account_decisions", None, decision_parameters(ws.calendar, ws.policy, period))


@contextmanager
def opened(ws: Workspace) -> Iterator[DuckDBPyConnection]:
    """A DuckDB connection that may spill, and what it spilled gone afterwards."""
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        yield con


def register_grounds(ws: Workspace, con: DuckDBPyConnection, lake: Lake, period: Period) -> None:
    """What a decision rests on: facts, records, the coverage of the window, and the rules as of the last day."""
    for dataset in ("account_facts", "clean_up_records"):
        engine.register(con, dataset, [lake.file(dataset, period)])
    engine.register(con, "coverage", window_coverage(ws, period))
    engine.register(con, "needed_feeds", needed_feeds(ws.policy))
    rules = RuleTable.load().valid_on(ws.calendar.as_of(period))
    engine.register(con, "program_type_rules", rules_relation(rules))


def decision_parameters(calendar: Calendar, policy: Policy, period: Period) -> dict[str, Any]:
    """What the deciding statement and the one that checks it are asked with."""
    notice = policy.closure.notice_months
    return {
        "period": str(period),
        "as_of": calendar.as_of(period),
        "cutoff_on": calendar.cutoff(period),
        "announced_by": str(period.plus(-notice)) if notice else None,
        "exporter_without_evidence": policy.exporter_without_evidence,
    }


def _horizon_months(ws: Workspace, period: Period) -> pa.Table:
    """The relation ``horizon_months``: a clock from ``from_on`` to before ``before_on`` runs out in ``month``."""
    import pyarrow as pa

    months = [period.plus(ahead) for ahead in range(1, HORIZON_MONTHS + 1)]
    return pa.table(
        {
            "month": [str(month) for month in months],
            "from_on": pa.array([ws.calendar.cutoff(month.previous()) for month in months], pa.date32()),
            "before_on": pa.array([ws.calendar.cutoff(month) for month in months], pa.date32()),
        }
    )
