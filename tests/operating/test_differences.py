"""``carm backfill differences``: what a shadow run would have done otherwise than the record."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from include.backfill_approvals import Months
from include.carm.period import Period
from include.cli import carm
from include.differences import differences_lines, find_differences, find_month_differences, log_differences
from include.workspace import Workspace
from tests.pipeline import run_month
from tests.prepared import Prepared, demo, january

PERIOD = Period(2022, 1)


@pytest.fixture
def ws(prepared: Prepared, tmp_path: Path) -> Workspace:
    """Two issued months, the second of which was run again in shadow."""
    ws = prepared.copy(tmp_path / "data", january)
    run_month(ws, str(PERIOD), effects="shadow", run_id="backfill__1")
    return ws


def republish(ws: Workspace, dataset: str, change: Any) -> None:
    """The shadow run's dataset as another rule would have made it."""
    lake = ws.lake("shadow")
    rows = pq.read_table(lake.file(dataset, PERIOD), partitioning=None)
    changed = pa.Table.from_pylist(change(rows.to_pylist()), schema=rows.schema)
    lake.publish_and_seal(dataset, PERIOD, changed, run_id="backfill__2")


def a_kept_account(ws: Workspace) -> str:
    decisions = pq.read_table(ws.lake().file("account_decisions", PERIOD), columns=["bn15", "action", "reason"])
    kept = decisions.filter(pc.and_(pc.equal(decisions["action"], "keep"), pc.equal(decisions["reason"], "active")))
    return str(kept.column("bn15")[0])


def test_a_shadow_run_that_came_to_the_same_says_so(ws: Workspace) -> None:
    (month,) = find_differences(ws, Months(PERIOD, PERIOD))["months"]
    assert (month["state"], month["run_id"]) == ("same", "backfill__1")
    assert (month["decisions"], month["statements"]) == ([], [])
    assert month["sums"]["record"] == month["sums"]["shadow"]
    assert month["sums"]["record"]["statements"] > 0


def test_only_what_lies_beside_a_record_is_compared(prepared: Prepared, tmp_path: Path, ws: Workspace) -> None:
    assert find_month_differences(ws, PERIOD.previous()) == {"period": "2021-12", "state": "no_shadow_run"}
    ours = prepared.copy(tmp_path / "other", demo)
    assert find_month_differences(ours, PERIOD)["state"] == "no_shadow_run"
    run_month(ours, str(PERIOD), effects="shadow")
    assert find_month_differences(ours, PERIOD)["state"] == "not_issued"


def test_an_account_that_would_be_decided_otherwise_is_counted_and_named(ws: Workspace) -> None:
    bn15 = a_kept_account(ws)

    def close(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        changed = {"action": "close", "reason": "no_activity_4_years"}
        return [row | changed if row["bn15"] == bn15 else row for row in rows]

    republish(ws, "account_decisions", close)
    month = find_month_differences(ws, PERIOD)
    assert month["state"] == "differs"
    assert [(row["bn15"], row["action_record"], row["action_shadow"]) for row in month["decisions"]] == [
        (bn15, "keep", "close")
    ]
    assert [(row["reason_record"], row["reason_shadow"], row["accounts"]) for row in month["decisions_moved"]] == [
        ("active", "no_activity_4_years", 1)
    ]
    assert month["statements"] == []


@pytest.mark.parametrize(
    ("change", "difference", "in_sums"),
    [
        (lambda row: None, "missing", True),
        (lambda row: row | {"closing_cents": row["closing_cents"] + 1}, "amounts", True),
        (lambda row: row | {"under_review_cents": row["under_review_cents"] + 1}, "amounts", False),
        (lambda row: row | {"line_count": row["line_count"] + 1}, "lines", True),
        (lambda row: row | {"document_sha256": "0" * 64}, "document", False),
    ],
)
def test_another_statement_is_named_by_what_differs(ws: Workspace, change: Any, difference: str, in_sums: bool) -> None:
    bn15 = pq.read_table(ws.lake().file("statements", PERIOD), columns=["bn15"]).column("bn15")[0].as_py()

    def alter(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        altered = [change(row) if row["bn15"] == bn15 else row for row in rows]
        return [row for row in altered if row is not None]

    republish(ws, "statements", alter)
    month = find_month_differences(ws, PERIOD)
    assert month["statements"] == [{"bn15": bn15, "difference": difference}]
    assert (month["sums"]["record"] != month["sums"]["shadow"]) == in_sums


def test_a_statement_that_only_the_shadow_run_has_is_added(ws: Workspace) -> None:
    extra = "000000018RM9999"
    republish(ws, "statements", lambda rows: [*rows, rows[-1] | {"bn15": extra}])
    assert find_month_differences(ws, PERIOD)["statements"] == [{"bn15": extra, "difference": "added"}]


def test_the_log_of_a_shadow_run_counts_and_names_nobody(ws: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    bn15 = a_kept_account(ws)
    republish(
        ws, "account_decisions", lambda rows: [row | {"action": "hold"} if row["bn15"] == bn15 else row for row in rows]
    )
    with caplog.at_level(logging.INFO, logger="include.differences"):
        log_differences(ws, {"period": str(PERIOD), "area": "lake"})
        assert caplog.text == ""
        log_differences(ws, {"period": str(PERIOD), "area": "shadow"})
    assert "1  keep (active) -> hold (active)" in caplog.text
    assert bn15 not in caplog.text


def test_people_read_counts_and_each_account_where_they_ask(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    bn15 = a_kept_account(ws)
    republish(
        ws, "account_decisions", lambda rows: [row | {"action": "hold"} if row["bn15"] == bn15 else row for row in rows]
    )
    monkeypatch.setenv("CARM_DATA", str(ws.data))
    asked = ["backfill", "differences", "--from", "2021-12", "--to", "2022-01"]
    told = CliRunner().invoke(carm, asked, prog_name="carm")
    assert told.exit_code == 0, told.output
    assert bn15 not in told.stdout
    lines = told.stdout.splitlines()
    assert lines[0].startswith("2021-12  no shadow run lies here")
    assert lines[1] == "2022-01  differs, by run backfill__2"
    assert lines[-1] == "2021-12 to 2022-01: 1 month would come out otherwise, 0 as on record, 1 not compared"
    assert bn15 in CliRunner().invoke(carm, [*asked, "--accounts"], prog_name="carm").stdout
    facts = json.loads(CliRunner().invoke(carm, [*asked, "--json"], prog_name="carm").stdout)
    assert [row["bn15"] for row in facts["months"][1]["decisions"]] == [bn15]


def test_a_long_list_is_cut_and_says_how_to_see_the_rest(ws: Workspace) -> None:
    republish(ws, "account_decisions", lambda rows: [row | {"action": "hold"} for row in rows])
    facts = find_differences(ws, Months(PERIOD, PERIOD))
    lines = list(differences_lines(facts, accounts=True))
    more = len(facts["months"][0]["decisions"]) - 20
    assert f"    and {more:,} more: --json lists all" in lines
