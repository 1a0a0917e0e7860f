"""A month that was issued and never came to its end is completed by the next live run, and told once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from include.broker_documents import render_brokers
from include.carm.period import Period
from include.decide import publish_decisions
from include.notice_intents import still_owed
from include.operations_notice_tables import NOTICE_INTENTS, OUTBOX
from include.owed_months import owed_by_month, owed_lines
from include.plan_step import publish_plan
from include.statement_registry import is_closed
from include.statements import list_shards, publish_statement_lines, register_statements, render_shard
from include.tellings import count_contradictions
from include.workspace import Workspace
from tests.pipeline import apply_month, extract_only, run_month
from tests.prepared import Prepared, demo

DECEMBER = "2021-12"


def issue(ws: Workspace, month: dict[str, Any]) -> None:
    """The statements of the month, issued; then the process is killed."""
    publish_statement_lines(ws, month)
    render_brokers(ws, month)
    register_statements(ws, month, [render_shard(ws, month, shard) for shard in list_shards(ws, month)])


def owed(ws: Workspace) -> dict[str, int]:
    with ws.operations.connect() as connection:
        return still_owed(connection, DECEMBER)


def outbox(ws: Workspace) -> set[tuple[str, str, str]]:
    with ws.operations.connect() as connection:
        box = OUTBOX.c
        return {(row.kind, row.message_key, row.state) for row in connection.execute(select(OUTBOX).order_by(box.kind))}


def require_told(ws: Workspace) -> None:
    """Everything that the month owed is settled, agrees with the outbox, and the month is closed."""
    with ws.operations.connect() as connection:
        states = set(connection.execute(select(NOTICE_INTENTS.c.state)).scalars())
        assert states <= {"told", "unreachable"}
        assert count_contradictions(connection) == {}
        assert owed_by_month(connection) == []
        assert is_closed(connection, Period.parse(DECEMBER))
    assert {state for _, _, state in outbox(ws)} == {"planned"}


def test_what_was_issued_and_not_told_is_told_once_by_the_next_live_run(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", demo)
    issue(ws, apply_month(ws, DECEMBER, effects="auto", run_id="killed"))
    assert owed(ws)["statement"] > 0
    with ws.operations.connect() as connection:
        (line,) = owed_lines(owed_by_month(connection))
    assert line.endswith("it did not come to its end: make run PERIOD=2021-12 EFFECTS=live")

    assert run_month(ws, DECEMBER, effects="auto", run_id="again")["issued"]
    require_told(ws)
    told = outbox(ws)
    assert {"statement", "closure"} <= {kind for kind, _, _ in told}

    assert run_month(ws, DECEMBER, effects="auto", run_id="once more")["result"] == "unchanged"
    assert outbox(ws) == told


def test_a_clean_up_that_failed_beside_the_issue_is_done_and_told_by_the_next_live_run(
    prepared: Prepared, tmp_path: Path
) -> None:
    ws = prepared.copy(tmp_path / "data", demo)
    month, _ = extract_only(ws, DECEMBER, effects="auto", run_id="killed")
    publish_decisions(ws, month)
    assert publish_plan(ws, month)["state"] == "ready"
    issue(ws, month)
    assert run_month(ws, DECEMBER, effects="auto", run_id="again")["applied_changes"] > 0
    require_told(ws)
    assert {"statement", "closure"} <= {kind for kind, _, _ in outbox(ws)}
