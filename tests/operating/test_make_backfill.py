"""``make backfill``: what it says before and after its months, and what it refuses before Airflow makes a run."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import delete

from include.backfill_approvals import Months, require_approved
from include.carm.errors import Refused
from include.carm.period import Period
from include.database import write_transaction
from include.local_airflow.backfilling import prepare_months, tell_differences
from include.local_airflow.progress import Progress
from include.source_schema import DEMO_WORLD
from include.workspace import Workspace
from tests.pipeline import run_month
from tests.prepared import Prepared, december, january

PROJECT = Path(__file__).parents[2]
JANUARY = Months(Period(2022, 1), Period(2022, 1))


def own_data(ws: Workspace) -> Workspace:
    """The same source, as if it were no demo world."""
    with write_transaction(ws.source) as connection:
        connection.execute(delete(DEMO_WORLD))
    return ws


def test_a_preview_starts_no_airflow(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", december)
    words = ["backfill", "--from-period", "2021-12", "--to-period", "2022-01", "--preview", "yes"]
    command = [sys.executable, "-m", "include.local_airflow", *words, "--data", str(ws.data)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False)
    lines = done.stdout.splitlines()
    assert (done.returncode, lines[-1]) == (0, "RESULT: done"), done.stderr
    assert [line.split()[:2] for line in lines if line.startswith("  20")] == [
        ["2021-12", "shadow"],
        ["2022-01", "shadow"],
    ]
    assert not (ws.data / "airflow").exists()


def test_a_live_backfill_of_the_demo_world_is_approved_by_who_types_it(prepared: Prepared, tmp_path: Path) -> None:
    ws, said = prepared.copy(tmp_path / "data", december), io.StringIO()
    prepare_months(ws, JANUARY, "live", Progress(said))
    require_approved(ws, JANUARY.first)
    assert "  2022-01  live     not issued" in said.getvalue().splitlines()


def test_a_live_backfill_of_other_data_stops_and_says_whom_to_ask(prepared: Prepared, tmp_path: Path) -> None:
    ws = own_data(prepared.copy(tmp_path / "data", december))
    with pytest.raises(Refused, match="takes two people: make ui, trigger carm_approve_backfill for these months"):
        prepare_months(ws, JANUARY, "live", Progress(io.StringIO()))
    prepare_months(ws, JANUARY, "auto", Progress(io.StringIO()))
    with pytest.raises(Refused, match="nobody approved it"):
        require_approved(ws, JANUARY.first)


def test_where_not_one_month_would_run_no_run_is_made(prepared: Prepared, tmp_path: Path) -> None:
    ws, said = prepared.copy(tmp_path / "data", december), io.StringIO()
    late = Months(Period(2023, 1), Period(2023, 2))
    with pytest.raises(Refused, match="not one month of 2023-01 to 2023-02 would run: the lines above say why"):
        prepare_months(ws, late, "auto", Progress(said))
    assert "the source has nothing posted in 2023-01" in said.getvalue()


def test_afterwards_only_what_lies_beside_a_record_is_told(prepared: Prepared, tmp_path: Path) -> None:
    ws, said = prepared.copy(tmp_path / "data", january), io.StringIO()
    tell_differences(ws, JANUARY, Progress(said))
    assert said.getvalue() == ""
    run_month(ws, "2022-01", effects="shadow", run_id="backfill__1")
    tell_differences(ws, JANUARY, Progress(said))
    assert said.getvalue().splitlines()[:2] == ["Beside the record", "  2022-01  as on record, by run backfill__1"]
