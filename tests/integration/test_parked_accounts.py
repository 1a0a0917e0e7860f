"""A whole month in which one account does not add up: the others get theirs, and a person is told of the one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.carm.period import Period
from include.demo import fill_demo
from include.month import summary_lines
from include.status import status, status_lines
from include.verify import verify
from include.workspace import Workspace
from tests.pipeline import new_workspace, read, run_month

NOVEMBER, DECEMBER = Period(2021, 11), Period(2021, 12)


@pytest.fixture(scope="module")
def november(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small demo world after its month of November."""
    ws = new_workspace(tmp_path_factory.mktemp("demo") / "data")
    fill_demo(ws.source, accounts=120)
    run_month(ws, str(NOVEMBER))
    return ws.data


def copied(november: Path, folder: Path) -> Workspace:
    return Workspace.open(Path(shutil.copytree(november, folder)))


def documents_that_name(ws: Workspace, bn15: str) -> set[str]:
    """The kinds of documents of December that hold the account's number; packs are stored as they are."""
    folder = ws.documents()
    return {
        path.relative_to(folder).parts[0]
        for path in folder.glob(f"*/period={DECEMBER}/**/*")
        if path.is_file() and bn15.encode() in path.read_bytes()
    }


def break_chain_of(ws: Workspace, bn15: str) -> None:
    table = pq.read_table(ws.lake().file("statements", NOVEMBER), partitioning=None)
    rows = table.to_pylist()
    next(row for row in rows if row["bn15"] == bn15)["closing_cents"] += 1
    ws.lake().publish_and_seal("statements", NOVEMBER, pa.Table.from_pylist(rows, schema=table.schema), run_id="test")


def test_the_account_is_in_no_document_and_in_every_count(november: Path, tmp_path: Path) -> None:
    sound = copied(november, tmp_path / "sound")
    before = run_month(sound, str(DECEMBER))
    assert {} == before["parked"]
    assert not [line for line in (*summary_lines(before), *status_lines(status(sound))) if "Parked" in line]
    decisions = read(sound, "account_decisions", str(DECEMBER)).query("action == 'keep'")
    told = [bn15 for bn15 in decisions["bn15"] if documents_that_name(sound, bn15) == {"soa", "notices"}]
    bn15 = next(bn15 for bn15 in read(sound, "statements", str(NOVEMBER))["bn15"] if bn15 in told)

    ws = copied(november, tmp_path / "bent")
    break_chain_of(ws, bn15)
    summary = run_month(ws, str(DECEMBER))

    assert {"chain_is_broken": 1} == summary["parked"]
    assert before["statements"]["statements"] - 1 == summary["statements"]["statements"]
    assert set() == documents_that_name(ws, bn15)
    assert before["notices"]["statement"] > summary["notices"]["statement"]
    # What nobody was told of is no news either, and everybody else is decided about as before.
    assert before["decisions"] == summary["decisions"]
    lines = [
        "Parked in 2021-12, without a statement: 1 account",
        "  chain_is_broken                   1  it does not open with what the month before closed with",
        "  What to mend is told by carm statement BN15 --period 2021-12",
        "  Then run 2021-12 again",
    ]
    for shown in (summary_lines(summary), status_lines(status(ws))):
        start = shown.index(lines[0])
        assert lines == shown[start : start + 4]
    assert [{}, {"chain_is_broken": 1}] == [month["parked"] for month in status(ws)["months"]]
    # It is known not to add up; everything else is proved.
    assert verify(ws)["ok"]
