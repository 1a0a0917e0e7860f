"""A world of two live months in which everything happened that the audit chain tells of, made once and copied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Table, delete, insert, select, update

from include.airflow_records import Answer
from include.apply import apply_plan
from include.approvals import record_answer, renew_makers
from include.backfill_approvals import Months, settle_backfill_answer, versions_now
from include.carm.period import Period
from include.database import connect_engine, write_transaction
from include.demo import fill_demo
from include.month import close_again
from include.month_locks import lock_month_for_good, unlock_month
from include.notices import publish_notices
from include.operations_metadata import METADATA
from include.person_records import lift_hold, record_hold, record_review
from include.reinstate import reinstate_account, undo_plan
from include.source_schema import TABLES
from include.statement_act_notices import publish_act_notices
from include.statement_acts import Order, restate, withdraw
from include.workspace import Workspace
from tests.pipeline import new_workspace, read, run_month

ACCOUNTS = TABLES["accounts"]
FIRST, SECOND, OPEN = "2021-12", "2022-01", "2022-02"
HASH_KEY = "a key for tests only, long enough"


def make_world(folder: Path) -> Workspace:
    """December held, approved and applied late; holds, a review, a counter-action; January with announced closures."""
    ws = new_workspace(folder)
    fill_demo(ws.source, accounts=300, months=57, seed=2023, last_period=OPEN)
    asking = replace(ws, policy=replace(ws.policy, approval="always"))
    plan = run_month(asking, FIRST, effects="live", run_id="manual december")["plan"]
    _approve_and_apply(asking, plan["plan_hash"])
    _record(ws)
    _act(ws)
    # A policy of its own must have a version of its own.
    staged = replace(ws.policy, closure=replace(ws.policy.closure, notice_months=1), version="staged")
    run_month(replace(ws, policy=staged), SECOND, effects="live", run_id="manual january")
    return ws


def _approve_and_apply(ws: Workspace, plan_hash: str) -> None:
    renew_makers(ws, plan_hash, lambda run_id: ("clerk",))
    answer: dict[str, Any] = {"asked_by": "officer", "run_id": "manual apply"}
    record_answer(ws, plan_hash, decision="rejected", decided_by="clerk", decided_at="2021-12-25T14:00:00Z", **answer)
    record_answer(ws, plan_hash, decision="approved", decided_by="checker", decided_at="2021-12-25T15:00:00Z", **answer)
    month = {"period": FIRST, "effects": "live", "area": "lake", "run_id": "manual apply"}
    assert apply_plan(ws, month, plan_hash)["applied"] > 1
    publish_notices(ws, month, recipient_hash_key=HASH_KEY)
    close_again(ws, month)


def _record(ws: Workspace) -> None:
    decisions = read(ws, "account_decisions", FIRST).sort_values("account_key")
    closed, held = (decisions[decisions.action == action].bn15.iloc[0] for action in ("close", "hold"))
    record_hold(ws, held, until=date(2023, 12, 24), reason="an appeal", recorded_by="clerk")
    record_hold(ws, held, until=None, reason="security posted", recorded_by="clerk")
    lift_hold(ws, held, reason="settled", recorded_by="clerk")
    review = decisions[decisions.action == "review"].bn15.iloc[0]
    record_review(ws, review, decision="keep", until=date(2023, 12, 24), reason="mixed for good", recorded_by="clerk")
    reinstate_account(
        ws,
        closed,
        reason="still in business",
        effective_on=date(2021, 12, 28),
        recorded_by="clerk",
        run_id="reinstate",
    )


def _act(ws: Workspace) -> None:
    """A statement restated twice, one withdrawn, a notice of each, a month locked and unlocked, a backfill approved."""
    first, second = read(ws, "statements", FIRST).sort_values("account_key").bn15.iloc[-2:]
    period = Period.parse(FIRST)
    order = Order.of("the name was wrong", "le nom était erroné", date(2022, 1, 10), "clerk", "manual restate")
    for name in ("Put Right Ltd.", "Put Right Again Ltd."):
        with write_transaction(ws.source) as connection:
            connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.bn15 == first).values(legal_name=name))
        restate(ws, period, first, order)
    withdraw(ws, period, second, order)
    publish_act_notices(ws, period, recipient_hash_key=HASH_KEY, run_id="manual restate")
    lock_month_for_good(ws, period, reason="the books are closed", recorded_by="clerk")
    approved = Answer(chosen="Approve", by="checker", at="2022-01-11T12:00:00Z")
    asked = {"reason": "one more name", "asked_by": "clerk", "also_asked_by": (), "run_id": "manual unlock"}
    unlock_month(ws, period, approved, **asked)
    months = Months.of("2021-10", "2021-11")
    shown = {name: version[:12] for name, version in versions_now(ws).items()}
    settle_backfill_answer(ws, months, approved, shown=shown, **{**asked, "run_id": "manual backfill"})


def undo_second_plan(ws: Workspace, plan_hash: str) -> dict[str, Any]:
    return undo_plan(
        ws, plan_hash, reason="too early", effective_on=date(2022, 1, 28), recorded_by="clerk", run_id="undo"
    )


def copied_to(ws: Workspace, url: str) -> Workspace:
    """The same workspace with what the pipeline owns, and the accounts, in another database."""
    with write_transaction(connect_engine(url, create=True)) as connection:
        for table in (*METADATA.sorted_tables, ACCOUNTS):
            table.create(connection, checkfirst=True)
            if rows := rows_of(ws, table):
                connection.execute(insert(table), rows)
    return Workspace(ws.data, ws.source_url, url, ws.calendar, ws.policy)


def rows_of(ws: Workspace, table: Table) -> list[dict[str, Any]]:
    with ws.operations.connect() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


@contextmanager
def changed(ws: Workspace, table: Table, statement: Any) -> Iterator[None]:
    """A table changed beside the program for as long as the context lasts; by one row, or the test is none."""
    before = rows_of(ws, table)
    with write_transaction(ws.operations) as connection:
        connection.execute(statement)
    after = rows_of(ws, table)
    added, gone = [row for row in after if row not in before], [row for row in before if row not in after]
    assert max(len(added), len(gone)) == 1
    try:
        yield
    finally:
        with write_transaction(ws.operations) as connection:
            connection.execute(delete(table))
            connection.execute(insert(table), before)
