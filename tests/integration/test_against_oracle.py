"""Whole months against an independent brute-force computation over the same CSV files."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.load import load_folder
from include.workspace import Workspace
from tests.fixtures.hand_written.cases import PERIOD
from tests.oracle.oracle import (
    ACCOUNT_DECISION_COLUMNS,
    STATEMENT_COLUMNS,
    brute_force,
    comparable,
    quarantined_rows,
)
from tests.oracle.worlds import random_world
from tests.pipeline import new_workspace, read, run_month
from tests.prepared import HAND_WRITTEN, Prepared, hand_written_month


def assert_month_is_as_computed(ws: Workspace, folder: Path, period: str) -> None:
    decisions, statements = brute_force(folder, period)
    for dataset, expected, columns in (
        ("account_decisions", decisions, ACCOUNT_DECISION_COLUMNS),
        ("statements", statements, STATEMENT_COLUMNS),
    ):
        assert comparable(expected, columns) == comparable(read(ws, dataset, period), columns), dataset
    # A first run sets rows apart in the month they were posted in, the oracle in one heap.
    lake = ws.lake()
    labels = [str(label) for label in lake.periods("quarantine")]
    refused = {
        (row.dataset, row.bn15)
        for label in labels
        for row in read(ws, "quarantine", label).itertuples()
        if row.dataset in ("transactions", "export_declarations")
    }
    expected_refused = {
        (row.dataset, row.bn15)
        for row in quarantined_rows(folder, period).itertuples()
        if row.dataset in ("transactions", "export_declarations")
    }
    assert {dataset for dataset, _ in expected_refused} == {dataset for dataset, _ in refused}
    assert len(expected_refused) == len(refused)


@pytest.mark.parametrize("name", ["complete", "exports_absent", "exports_header_only", "month_missing"])
def test_a_hand_written_month_is_as_computed(name: str, prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", hand_written_month, name)
    assert_month_is_as_computed(ws, HAND_WRITTEN / name, PERIOD)


@pytest.mark.parametrize("seed", range(6))
def test_a_random_month_is_as_computed(seed: int, tmp_path: Path) -> None:
    world = random_world(seed)
    folder = tmp_path / "csv"
    folder.mkdir()
    world.write(folder)
    ws = new_workspace(tmp_path / "data")
    load_folder(ws.source, folder)
    run_month(ws, world.period)
    assert_month_is_as_computed(ws, folder, world.period)
