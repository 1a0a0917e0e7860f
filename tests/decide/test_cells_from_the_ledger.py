"""Every cell from rows of the source: what a payment, a cancelled row or an old activity, posted late, makes of it.

The other tests of the decision begin at an account's dates. Here the dates come out of transactions and declarations,
through extraction, validation and activity, once with all months and once without the transactions of one.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from include.carm.calendar import Calendar
from include.coverage import coverage_grid
from include.decide import publish_decisions
from include.load import load_folder
from tests.decide.accounts import CUTOFF, bn15_of
from tests.decide.cells import CELLS, EVIDENCE, kind_of
from tests.decide.month import DECEMBER
from tests.decide.oracle import Decision
from tests.oracle.worlds import ACCOUNT_COLUMNS, EXPORT_COLUMNS, TRANSACTION_COLUMNS
from tests.pipeline import extract_only, new_workspace

Row = dict[str, Any]
GAP = "2020-05"
FILLER = bn15_of(999)
# The day before the cutoff, and a day of the month that is run: both can be posted in it.
OLD, RECENT, POSTED = "2017-12-23", "2021-12-01", "2021-12-10"


def moved(what: str, activity_on: str = RECENT, status: str = "accepted", **more: Any) -> Row:
    """An import or export of no amount, so that no balance stands in the way."""
    return {"what": what, "activity_on": activity_on, "status": status, "posted_on": POSTED, **more}


def paid() -> list[Row]:
    """A payment and the interest that it pays: a balance of nothing, and no activity."""
    return [moved("PMT", amount_cents=-500), moved("INT", amount_cents=500)]


def as_evidence(seen: str, **changes: Any) -> list[Row]:
    return [moved(what, **changes) for what, _ in EVIDENCE[seen]]


def cancelled(seen: str) -> list[Row]:
    return as_evidence(seen, status="cancelled")


def cancelled_later(seen: str) -> list[Row]:
    """An accepted row, and the revision that takes it back."""
    return [
        row
        for what, _ in EVIDENCE[seen]
        for row in (
            moved(what, revision=1, item=what, posted_on="2021-12-09"),
            moved(what, revision=2, item=what, status="cancelled"),
        )
    ]


# Rows for the evidence of a cell, and whether they still are that evidence.
CASES: dict[str, tuple[Callable[[str], list[Row]], bool]] = {
    "as it is": (as_evidence, True),
    "with a payment": (lambda seen: as_evidence(seen) + paid(), True),
    "payment only": (lambda seen: paid(), False),
    "cancelled only": (cancelled, False),
    "cancelled by a revision": (cancelled_later, False),
    "reversed or rejected only": (lambda seen: [reversed_row(row) for row in as_evidence(seen)], False),
    "old, posted late": (lambda seen: as_evidence(seen, activity_on=OLD), False),
    "of the cutoff day, posted late": (lambda seen: as_evidence(seen, activity_on=str(CUTOFF)), True),
    "under review": (lambda seen: [under_review(row) for row in as_evidence(seen)], True),
}
POSITIONS = {(cell, name): place for place, (cell, name) in enumerate((cell, name) for cell in CELLS for name in CASES)}


def reversed_row(row: Row) -> Row:
    return {**row, "status": "rejected" if row["what"] == "export" else "reversed"}


def under_review(row: Row) -> Row:
    return row if row["what"] == "export" else {**row, "status": "under_review"}


def write_world(folder: Path, *, without: str | None = None) -> None:
    """Accounts of every cell and case, and one busy firm; ``without``: a month in which it posts no transaction."""
    calendar = Calendar.load()
    rows: list[tuple[str, Row]] = []
    for month in calendar.window(DECEMBER):
        day = str(calendar.start(month))
        rows.append((FILLER, moved("export", day, posted_on=day)))
        if str(month) != without:
            rows.append((FILLER, moved("import", day, posted_on=day)))
    for (cell, name), place in POSITIONS.items():
        rows += [(bn15_of(place), row) for row in CASES[name][0](cell[1])]
    kinds = {bn15_of(place): cell[0] for (cell, _), place in POSITIONS.items()} | {FILLER: "dual"}
    _write(folder / "accounts.csv", ACCOUNT_COLUMNS, (_account(bn15, kind) for bn15, kind in kinds.items()))
    numbered = [(bn15, f"{number:06d}", row) for number, (bn15, row) in enumerate(rows)]
    _write(folder / "transactions.csv", TRANSACTION_COLUMNS, _transactions(numbered))
    _write(folder / "export_declarations.csv", EXPORT_COLUMNS, _declarations(numbered))


def _account(bn15: str, program_type: str) -> Row:
    facts = {"valid_from": "2005-06-01", "opened_on": "2005-06-01", "status": "open", "language": "en"}
    return {"bn15": bn15, "program_type": program_type, "legal_name": f"Firm {bn15}", **facts}


def _transactions(rows: list[tuple[str, str, Row]]) -> Iterator[Row]:
    for bn15, number, row in rows:
        if row["what"] != "export":
            kind = "B3" if row["what"] == "import" else row["what"]
            key = f"T{bn15}{row['item']}" if "item" in row else f"T{number}"
            days = {name: row[name] for name in ("activity_on", "posted_on")}
            facts = {"transaction_id": key, "bn15": bn15, "kind": kind, "status": row["status"], **days}
            yield {**facts, "revision": row.get("revision", 1), "amount_cents": row.get("amount_cents", 0)}


def _declarations(rows: list[tuple[str, str, Row]]) -> Iterator[Row]:
    for bn15, number, row in rows:
        if row["what"] == "export":
            key = f"D{bn15}{row['item']}" if "item" in row else f"D{number}"
            days = {"exported_on": row["activity_on"], "reported_on": row["posted_on"]}
            facts = {"declaration_id": key, "bn15": bn15, "status": row["status"], **days}
            yield {**facts, "revision": row.get("revision", 1)}


def _write(path: Path, columns: tuple[str, ...], rows: Iterator[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def decide_world(data: Path, folder: Path) -> dict[str, Decision]:
    ws = new_workspace(data)
    load_folder(ws.source, folder)
    month, _ = extract_only(ws, str(DECEMBER))
    publish_decisions(ws, month)
    rows = pq.read_table(ws.lake().file("account_decisions", DECEMBER), partitioning=None).to_pylist()
    names = list(Decision.__dataclass_fields__)
    return {row["bn15"]: Decision(*(row[name] for name in names)) for row in rows}


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Decision]:
    folder = tmp_path_factory.mktemp("complete")
    write_world(folder)
    return decide_world(folder / "data", folder)


@pytest.fixture(scope="module")
def decided_with_a_gap(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Decision]:
    folder = tmp_path_factory.mktemp("gap")
    write_world(folder, without=GAP)
    return decide_world(folder / "data", folder)


def cell_after(cell: tuple[str, str], name: str, nothing: str) -> tuple[str, str]:
    is_still_evidence = CASES[name][1] and EVIDENCE[cell[1]]
    return cell if is_still_evidence else (cell[0], nothing)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("cell", CELLS)
def test_each_cell_is_decided_on_what_its_rows_are_worth(
    cell: tuple[str, str], name: str, decided: dict[str, Decision]
) -> None:
    expected = CELLS[cell_after(cell, name, "none")]
    assert expected == decided[bn15_of(POSITIONS[cell, name])]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("cell", CELLS)
def test_without_the_transactions_of_one_month_no_import_right_is_lost(
    cell: tuple[str, str], name: str, decided_with_a_gap: dict[str, Decision]
) -> None:
    after = cell_after(cell, name, "unknown")
    expected = CELLS[after]
    if kind_of(after) in ("unknown", "to_exporter"):
        gap = {"reason": "coverage_incomplete", "missing": f"transactions {GAP}", "new_program_type": None}
        expected = replace(expected, action="unknown", **gap)
    assert expected == decided_with_a_gap[bn15_of(POSITIONS[cell, name])]


def test_a_month_that_is_missing_closes_nobody(decided_with_a_gap: dict[str, Decision]) -> None:
    assert {"keep", "review", "unknown", "convert"} == {decision.action for decision in decided_with_a_gap.values()}
    assert {"importer"} == {
        decision.new_program_type for decision in decided_with_a_gap.values() if decision.action == "convert"
    }


def test_the_coverage_ledger_names_the_files_that_hold_its_rows(tmp_path: Path) -> None:
    write_world(tmp_path)
    ws = new_workspace(tmp_path / "data")
    load_folder(ws.source, tmp_path)
    extract_only(ws, str(DECEMBER))
    # An older month, whose window reaches further back than the first run did.
    older = DECEMBER.plus(-2)
    extract_only(ws, str(older))
    sealed = {(seal.dataset, seal.period): seal.sha256 for seal in ws.lake().seals()}
    for month in (DECEMBER, older):
        grid = coverage_grid(ws, month)
        assert {} == {
            (row["feed"], row["period"]): row["files"]
            for row in grid
            if row["files"] != {known_in: sealed[row["feed"], known_in] for known_in in row["files"]}
        }
        assert {"not_sealed"}.isdisjoint(row["word"] for row in grid)
    assert {"covered"} == {row["word"] for row in coverage_grid(ws, DECEMBER)}
