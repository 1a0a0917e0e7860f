"""The clean-up over whole months of the demo world: what is missing, what is too much, what was undone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import text

from include.database import write_transaction
from include.demo import fill_demo
from include.verify import verify
from include.workspace import Workspace
from tests.pipeline import new_workspace, read, run_month


@pytest.fixture(scope="module")
def demo_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small demo world that reaches one month further than the shipped one, made once."""
    ws = new_workspace(tmp_path_factory.mktemp("demo"))
    fill_demo(ws.source, accounts=300, months=56, last_period="2022-01")
    return ws.data / "source.db"


@pytest.fixture
def ws(demo_source: Path, tmp_path: Path) -> Workspace:
    shutil.copy(demo_source, tmp_path / "source.db")
    return Workspace.open(tmp_path)


def change(ws: Workspace, statement: str, **values: object) -> int:
    with write_transaction(ws.operations) as connection:
        return connection.execute(text(statement), values).rowcount


def closed_accounts(ws: Workspace) -> set[str]:
    with ws.operations.connect() as connection:
        return set(connection.execute(text("SELECT bn15 FROM accounts WHERE status = 'closed'")).scalars())


@pytest.mark.parametrize(
    ("feed", "posted"),
    [("export_declarations", "reported_on"), ("transactions", "posted_on")],
    ids=["exports", "ledger"],
)
def test_a_feed_that_lacks_one_month_closes_nobody(ws, tmp_path, feed, posted):
    shutil.copytree(ws.data, tmp_path / "whole")
    whole = Workspace.open(tmp_path / "whole")
    run_month(whole, "2021-12", effects="live")
    would_close = read(whole, "account_decisions", "2021-12").query("action == 'close'")
    assert len(would_close) > 0

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
