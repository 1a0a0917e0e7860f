"""The latest activity on a why-card is read from the few files that can hold it; it is what all files would say."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from include import explain
from include.carm.period import Period
from include.decide import opened
from include.feeds import LEDGER_FEEDS
from include.published import published_months
from tests.prepared import Prepared, january


def test_of_every_account_the_few_months_say_what_all_months_say(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, month = prepared.copy(tmp_path / "data", january), Period(2022, 1)
    lake = ws.lake()
    decisions = pq.read_table(lake.file("account_decisions", month)).to_pylist()
    looked_at: list[int] = []

    def latest(decision: dict) -> dict:
        with opened(ws) as con:
            return explain._latest_activity(ws, con, month, decision)

    def count_months(con, lake, month, decision):
        found = chosen(con, lake, month, decision)
        looked_at.extend(len(months) for _, months in found)
        return found

    def all_months(con, lake, month, decision):
        return [(feed, published_months(lake, feed, str(month))) for feed in LEDGER_FEEDS]

    chosen = explain._months_of_latest_activity
    monkeypatch.setattr(explain, "_months_of_latest_activity", count_months)
    few = {row["bn15"]: latest(row) for row in decisions}
    monkeypatch.setattr(explain, "_months_of_latest_activity", all_months)
    assert {row["bn15"]: latest(row) for row in decisions} == few
    shown = [card[kind]["activity_on"] for card in few.values() for kind in card if card[kind]]
    known = [
        row[f"last_{kind}_on"] for row in decisions for kind in ("import", "export", "other") if row[f"last_{kind}_on"]
    ]
    assert sorted(shown) == sorted(known)
    assert sum(looked_at) < len(looked_at) * len(published_months(lake, LEDGER_FEEDS[0], str(month)))
