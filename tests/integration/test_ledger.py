"""Ledgers that change under the pipeline's hands, month after month, against a replay of all facts."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.carm.period import Period
from include.workspace import Workspace
from tests.oracle.ledger_replay import Ledger, control_totals, months_of, replay, write_source
from tests.pipeline import extract_only, new_workspace


def balances_of(ws: Workspace, period: str) -> dict[str, tuple[int, int]]:
    """Balance and amount under review of every account that ever had a row, from the lake."""
    from include import engine

    lake = ws.lake()
    up_to = [label for label in lake.periods("activity") if str(label) <= period]
    with engine.connect() as con:
        engine.register(con, "activity", lake.files("activity", up_to))
        engine.register(con, "baseline", lake.files("baseline"))
        rows = con.execute(
            "SELECT bn15, sum(balance)::BIGINT, sum(review)::BIGINT FROM ("
            "SELECT bn15, effect_cents AS balance, under_review_effect_cents AS review FROM activity "
            "UNION ALL SELECT bn15, balance_cents, under_review_cents FROM baseline) GROUP BY bn15"
        ).fetchall()
    return {bn15: (balance, review) for bn15, balance, review in rows}


def known_totals(ws: Workspace, period: str) -> dict[tuple[str, str], tuple[int, int]]:
    import pyarrow.parquet as pq

    totals: dict[tuple[str, str], tuple[int, int]] = {}
    for row in pq.read_table(ws.lake().file("control_totals", Period.parse(period))).to_pylist():
        if row["dataset"] == "transactions":
            rows, cents = totals.get((row["kind"], row["status"]), (0, 0))
            totals[(row["kind"], row["status"])] = (rows + row["row_count"], cents + row["sum_cents"])
    return totals


@pytest.mark.parametrize("seed", range(3))
def test_balances_equal_a_replay_of_all_facts_after_every_month(seed: int, tmp_path: Path) -> None:
    ws = new_workspace(tmp_path / "data")
    ledger = Ledger(seed)
    for period, observations in months_of(ledger):
        write_source(ledger, ws.source)
        extract_only(ws, str(period))
        expected = {bn15: state for bn15, state in replay(observations).items() if state != (0, 0)}
        actual = {bn15: state for bn15, state in balances_of(ws, str(period)).items() if state != (0, 0)}
        assert expected == actual, f"seed {seed}, {period}"
        assert control_totals(observations[-1]) == known_totals(ws, str(period)), f"seed {seed}, {period}"
