"""The clean-up over whole months of the demo world: what is missing, what is too much, what was undone."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import select, text

from include.database import write_transaction
from include.operations_plan_tables import ACCOUNT_CHANGES
from include.reinstate import reinstate_account
from include.source_schema import TABLES
from include.verify import verify
from include.workspace import Workspace
from tests.pipeline import read, run_month
from tests.prepared import december, demo

ACCOUNTS = TABLES["accounts"]
DONE = ("close", "convert")


def change(ws: Workspace, statement: str, **values: object) -> int:
    with write_transaction(ws.operations) as connection:
        return connection.execute(text(statement), values).rowcount


def closed_accounts(ws: Workspace) -> set[str]:
    with ws.operations.connect() as connection:
        return set(connection.execute(text("SELECT bn15 FROM accounts WHERE status = 'closed'")).scalars())


def journal(ws: Workspace, period: str) -> dict[str, tuple[str, str]]:
    """Action and former program type of each account that the plan of the month changed."""
    change = ACCOUNT_CHANGES.c
    query = select(change.bn15, change.action, change.program_type)
    with ws.operations.connect() as connection:
        rows = connection.execute(query.where(change.period == period, change.outcome == "applied"))
        return {row.bn15: (row.action, row.program_type) for row in rows}


@pytest.mark.parametrize(
    ("feed", "posted"),
    [("export_declarations", "reported_on"), ("transactions", "posted_on")],
    ids=["exports", "ledger"],
)
def test_a_feed_that_lacks_one_month_closes_nobody(prepared, tmp_path, feed, posted):
    whole = prepared.copy(tmp_path / "whole", december)
    would_close = read(whole, "account_decisions", "2021-12").query("action == 'close'")
    assert len(would_close) > 0

    ws = prepared.copy(tmp_path / "data", demo)
    # The statement month 2020-05 of the ARL calendar.
    gone = change(ws, f"DELETE FROM {feed} WHERE {posted} BETWEEN '2020-04-25' AND '2020-05-24'")
    assert gone > 0
    closed_before = closed_accounts(ws)
    summary = run_month(ws, "2021-12", effects="live")

    found = read(ws, "account_decisions", "2021-12").set_index("bn15")
    assert "close" not in set(found["action"])
    would_be = found.loc[would_close["bn15"]]
    assert set(would_be["action"]) == {"unknown"}
    assert set(would_be["reason"]) == {"coverage_incomplete"}
    assert set(would_be["missing"]) == {f"{feed} 2020-05"}
    assert closed_before == closed_accounts(ws)
    assert summary["result"] == "done"
    verify(ws)


def test_what_a_person_undid_is_not_done_again_by_the_next_month(prepared, tmp_path):
    ws = prepared.copy(tmp_path / "data", december)
    changes = journal(ws, "2021-12")
    undone = {action: next(bn15 for bn15, (done, _) in changes.items() if done == action) for action in DONE}
    for bn15 in undone.values():
        reinstate_account(
            ws, bn15, reason="told us so", effective_on=date(2021, 12, 28), recorded_by="clerk", run_id="by hand"
        )
    summary = run_month(ws, "2022-01", effects="live")

    assert (summary["result"], summary["plan"]["state"]) == ("done", "applied")
    found = read(ws, "account_decisions", "2022-01").set_index("bn15")
    assert tuple(found.loc[undone["close"], ["action", "reason"]]) == ("keep", "younger_than_4_years")
    assert tuple(found.loc[undone["convert"], ["action", "reason"]]) == ("review", "undone_by_person")
    assert not set(undone.values()) & set(journal(ws, "2022-01"))
    with ws.operations.connect() as connection:
        versions = {
            row.bn15: row
            for row in connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.valid_to.is_(None)))
            if row.bn15 in undone.values()
        }
    assert {row.status for row in versions.values()} == {"open"}
    assert versions[undone["convert"]].program_type == changes[undone["convert"]][1]
    # Whoever was not undone is not proposed again either: closed, or of the type that fits.
    assert not set(changes) & set(journal(ws, "2022-01"))
    verify(ws)
