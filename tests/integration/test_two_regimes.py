"""Twenty-four live months across October 2024, held against the rows of the source and not against our own checks.

A small demo world, and accounts of our own with postings on every day on which a cycle begins or ends. While the months
run the source goes on living: a row comes late, one is corrected by a revision, one is overwritten.
"""

from __future__ import annotations

import csv
import io
import re
import sqlite3
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from include.carm.business_number import bn9_with_check_digit
from include.carm.period import Period
from include.demo import fill_demo
from include.documents import read_documents
from include.statement_reader import read_statement
from include.statement_rendering import OBJECTS_NAME
from include.statements import list_shards, render_shard
from include.verify import verify
from include.workspace import Workspace
from tests.pipeline import hashes, new_workspace, run_month
from tests.statements.figures import DAY, Page, Version, cents_in

# The months are run before the first test, and its time is theirs too.
pytestmark = pytest.mark.timeout(1_200)

# Period, first day, last day, due date; issued on the 25th. Each due date was taken from a calendar on paper.
MONTHS = {
    "2023-11": ("2023-10-25", "2023-11-24", "2023-11-30"),
    "2023-12": ("2023-11-25", "2023-12-24", "2023-12-29"),
    "2024-01": ("2023-12-25", "2024-01-24", "2024-01-31"),
    "2024-02": ("2024-01-25", "2024-02-24", "2024-02-29"),
    "2024-03": ("2024-02-25", "2024-03-24", "2024-03-28"),  # before Good Friday
    "2024-04": ("2024-03-25", "2024-04-24", "2024-04-30"),
    "2024-05": ("2024-04-25", "2024-05-24", "2024-05-31"),
    "2024-06": ("2024-05-25", "2024-06-24", "2024-06-28"),
    "2024-07": ("2024-06-25", "2024-07-24", "2024-07-31"),
    "2024-08": ("2024-07-25", "2024-08-24", "2024-08-30"),
    "2024-09": ("2024-08-25", "2024-09-24", "2024-09-27"),  # the 30th is a holiday
    "2024-10": ("2024-09-25", "2024-10-17", "2024-10-31"),
    "2024-11": ("2024-10-18", "2024-11-17", "2024-11-29"),
    "2024-12": ("2024-11-18", "2024-12-17", "2024-12-31"),
    "2025-01": ("2024-12-18", "2025-01-17", "2025-01-31"),
    "2025-02": ("2025-01-18", "2025-02-17", "2025-03-03"),
    "2025-03": ("2025-02-18", "2025-03-17", "2025-03-31"),
    "2025-04": ("2025-03-18", "2025-04-17", "2025-05-01"),
    "2025-05": ("2025-04-18", "2025-05-17", "2025-05-30"),
    "2025-06": ("2025-05-18", "2025-06-17", "2025-07-01"),  # a holiday is a legal due date
    "2025-07": ("2025-06-18", "2025-07-17", "2025-07-31"),
    "2025-08": ("2025-07-18", "2025-08-17", "2025-08-29"),
    "2025-09": ("2025-08-18", "2025-09-17", "2025-10-01"),
    "2025-10": ("2025-09-18", "2025-10-17", "2025-10-31"),
}
FIRST_DAY = "2023-10-25"


def own_bn15(number: int) -> str:
    return f"{bn9_with_check_digit(f'0999990{number}')}RM0001"


EDGES, OFFSETS, CREDIT, CLOSED_IN_APRIL, CLOSED_IN_MAY = (own_bn15(number) for number in range(5))
LANGUAGES = {EDGES: None, OFFSETS: "en", CREDIT: "fr", CLOSED_IN_APRIL: "en", CLOSED_IN_MAY: "en"}
CLOSED_ON = {CLOSED_IN_APRIL: "2024-04-20", CLOSED_IN_MAY: "2024-05-20"}

EDGE_DAYS = {
    "2024-09-24": "2024-09",
    "2024-09-25": "2024-10",
    "2024-10-17": "2024-10",
    "2024-10-18": "2024-11",
    "2024-10-24": "2024-11",
    "2024-10-25": "2024-11",
    "2024-11-17": "2024-11",
    "2024-11-18": "2024-12",
}
POSTINGS = [
    *((f"EDGE {day}", EDGES, "B3", day, 100_00 + int(day[-2:])) for day in EDGE_DAYS),
    # In the cycle of Release 1 a credit takes the newest debt, in that of Release 2 the oldest.
    ("old", OFFSETS, "B3", "2024-09-01", 100),
    ("early", OFFSETS, "B3", "2024-09-26", 100),
    ("late", OFFSETS, "B3", "2024-10-10", 100),
    ("credit 1", OFFSETS, "B2", "2024-10-12", -150),
    ("newest", OFFSETS, "B3", "2024-11-02", 100),
    ("credit 2", OFFSETS, "B2", "2024-11-03", -120),
    ("paid too much", CREDIT, "PMT", "2024-10-01", -2_000_00),
]
OPEN_OFFSETS = {
    "2024-10": {"old": 100, "early": 50},
    "2024-11": {"early": 30, "newest": 100},
}

LATE = "EDGE late 2024-10-17"
CORRECTED, OVERWRITTEN = "EDGE 2024-09-25", "EDGE 2024-11-17"
MOVED = {LATE: "2024-11", CORRECTED: "2025-01", OVERWRITTEN: "2025-03"}
"""What the source learnt too late for the statement of its day, and the statement on which it stands."""


def post(source: sqlite3.Connection, name: str, bn15: str, kind: str, day: str, cents: int, **changed: Any) -> None:
    row = {
        "transaction_id": name,
        "revision": 1,
        "bn15": bn15,
        "kind": kind,
        "activity_on": day,
        "posted_on": day,
        "status": "accepted",
        "amount_cents": cents,
        **changed,
    }
    present = [column[1] for column in source.execute("PRAGMA table_info(transactions)")]
    row |= {column: 0 for column in present if column.endswith("_cents") and column not in row}
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    source.execute(f"INSERT INTO transactions ({columns}) VALUES ({marks})", tuple(row.values()))


def add_own_accounts(source: sqlite3.Connection) -> None:
    columns = "bn15, valid_from, valid_to, legal_name, program_type, status, opened_on, closed_on, language"
    insert = f"INSERT INTO accounts ({columns}) VALUES (?, ?, ?, 'Own Account Ltd.', 'importer', ?, '2015-01-05', ?, ?)"
    for bn15, language in LANGUAGES.items():
        closed_on = CLOSED_ON.get(bn15)
        source.execute(insert, (bn15, "2015-01-05", closed_on, "open", None, language))
        if closed_on:
            source.execute(insert, (bn15, closed_on, None, "closed", closed_on, language))
    for posting in POSTINGS:
        post(source, *posting)


def add_late_row(source: sqlite3.Connection) -> None:
    post(source, LATE, EDGES, "B3", "2024-10-17", 7_00)


def correct_by_revision(source: sqlite3.Connection) -> None:
    post(source, CORRECTED, EDGES, "B3", "2025-01-10", 25_00, revision=2, activity_on="2024-09-25")


def overwrite(source: sqlite3.Connection) -> None:
    source.execute("UPDATE transactions SET amount_cents = 1700 WHERE transaction_id = ?", (OVERWRITTEN,))


BEFORE_MONTH = {
    "2023-11": add_own_accounts,
    "2024-11": add_late_row,
    "2025-01": correct_by_revision,
    "2025-03": overwrite,
}


@dataclass
class World:
    """The months as they lie in the lake, and the source as it is after the last of them."""

    ws: Workspace

    def rows(self, dataset: str, period: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.ws.lake().file(dataset, Period.parse(period))).to_pylist()
        return rows

    @cached_property
    def statements(self) -> dict[str, dict[str, dict[str, Any]]]:
        return {period: {row["bn15"]: row for row in self.rows("statements", period)} for period in MONTHS}

    @cached_property
    def lines(self) -> dict[str, list[dict[str, Any]]]:
        return {period: self.rows("statement_lines", period) for period in MONTHS}

    @cached_property
    def source_rows(self) -> list[sqlite3.Row]:
        """Every row of the source but those that are no postings; a copy of a row is the row."""
        with sqlite3.connect(self.ws.data / "source.db") as source:
            source.row_factory = sqlite3.Row
            return source.execute(
                "SELECT DISTINCT bn15, transaction_id, COALESCE(revision, 1) AS revision, posted_on, status, "
                "amount_cents FROM transactions "
                "WHERE kind IS NOT NULL AND amount_cents IS NOT NULL AND activity_on <= posted_on "
                "ORDER BY transaction_id, revision"
            ).fetchall()

    @cached_property
    def refused(self) -> set[str]:
        """The ids of the rows that :attr:`source_rows` leaves out."""
        with sqlite3.connect(self.ws.data / "source.db") as source:
            ids = {row[0] for row in source.execute("SELECT transaction_id FROM transactions")}
        return ids - {row["transaction_id"] for row in self.source_rows}

    def balances(self, day: str) -> dict[str, int]:
        """What every account owes by the rows posted up to ``day``: of each transaction the last revision counts."""
        last = {row["transaction_id"]: row for row in self.source_rows if row["posted_on"] <= day}
        sums: Counter[str] = Counter()
        for row in last.values():
            sums[row["bn15"]] += counted_cents(row)
        return {bn15: cents for bn15, cents in sums.items() if cents}


def counted_cents(row: sqlite3.Row) -> int:
    return int(row["amount_cents"]) if row["status"] in ("accepted", "under_review") else 0


def month_of(day: str) -> str:
    """The statement month of a day, from the table above."""
    (found,) = [period for period, (first, last, _) in MONTHS.items() if first <= day <= last]
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    ws = new_workspace(tmp_path_factory.mktemp("regimes"))
    fill_demo(ws.source, accounts=30, months=26, last_period="2025-10")
    for period in MONTHS:
        if period in BEFORE_MONTH:
            with sqlite3.connect(ws.data / "source.db") as source:
                BEFORE_MONTH[period](source)
        summary = run_month(ws, period, effects="live")
        assert (summary["result"], summary["issued"]) == ("done", True), period
    return World(ws)


def test_the_balance_chain_of_every_account_is_proved(world: World) -> None:
    proved = verify(world.ws)

    assert (proved["ok"], proved["up_to"], proved["newest_issued"]) == (True, "2025-10", "2025-10")
    assert proved["statements"] == sum(map(len, world.statements.values())) > 24 * len(LANGUAGES)
    assert (proved["moved"], proved["notes"]) == ({}, [])


def test_every_statement_has_the_days_of_its_regime(world: World) -> None:
    names = ("period_start", "period_end", "due_on", "issued_on")
    for period, days in MONTHS.items():
        expected = {tuple(map(date.fromisoformat, (*days, f"{period}-25")))}
        assert {tuple(row[name] for name in names) for row in world.statements[period].values()} == expected


def test_a_posting_beside_the_change_of_cycles_stands_on_the_statement_of_its_day(world: World) -> None:
    found = defaultdict(list)
    for period, lines in world.lines.items():
        for line in lines:
            if line["bn15"] == EDGES:
                found[line["transaction_id"]].append((period, line["section"], line["amount_cents"]))

    expected = {f"EDGE {day}": [(month, "due", 100_00 + int(day[-2:]))] for day, month in EDGE_DAYS.items()}
    expected[LATE] = [("2024-11", "late", 7_00)]
    expected[CORRECTED].append(("2025-01", "late", 25_00 - 100_25))
    expected[OVERWRITTEN].append(("2025-03", "late", 17_00 - 100_17))
    assert found == expected


def test_every_counted_posting_of_the_source_stands_on_exactly_one_statement(world: World) -> None:
    printed: Counter[tuple[str, str, int]] = Counter()
    places: dict[tuple[str, str, int], set[str]] = defaultdict(set)
    for period, lines in world.lines.items():
        for line in lines:
            key = line["bn15"], line["transaction_id"], line["revision"]
            printed[key] += 1
            places[key].add(period)
    counted = {
        (row["bn15"], row["transaction_id"], row["revision"]): row
        for row in world.source_rows
        if row["posted_on"] >= FIRST_DAY and row["status"] in ("accepted", "under_review")
    }
    assert len(counted) > 500

    # Overwritten in the source, and so on two statements: as it was, and by what it is now less than that.
    assert printed.pop((EDGES, OVERWRITTEN, 1)) == 2
    assert [key for key in counted if key[1] != OVERWRITTEN and printed[key] != 1] == []
    assert max(printed.values()) == 1
    # What is printed and does not count took back something that did.
    known = {(row["bn15"], row["transaction_id"], row["revision"]) for row in world.source_rows}
    assert printed.keys() - counted.keys() <= {key for key in known if key[2] > 1}

    days = {key: row["posted_on"] for key, row in counted.items() if key[1] != OVERWRITTEN}
    expected = {key: {MOVED[key[1]] if key[1] == LATE else month_of(day)} for key, day in days.items()}
    assert {key: places[key] for key in days} == expected


def test_only_what_is_no_posting_was_refused(world: World) -> None:
    quarantined = {
        row["row_key"].split("#")[0]
        for period in world.ws.lake().periods("quarantine")
        for row in world.rows("quarantine", str(period))
        if row["dataset"] == "transactions"
    }
    assert quarantined == world.refused
    assert 0 < len(quarantined) < 10
    assert [row for period in MONTHS for row in world.rows("parked", period)] == []


def test_what_the_statements_say_of_a_transaction_adds_up_to_what_the_source_says_of_it(world: World) -> None:
    said: Counter[str] = Counter()
    for lines in world.lines.values():
        for line in lines:
            said[line["transaction_id"]] += line["amount_cents"]
    now, before = ({}, {})
    for row in world.source_rows:
        now[row["transaction_id"]] = counted_cents(row)
        if row["posted_on"] < FIRST_DAY:
            before[row["transaction_id"]] = counted_cents(row)

    expected = {name: cents - before.get(name, 0) for name, cents in now.items()}
    assert {name: cents for name, cents in expected.items() if cents} == {
        name: cents for name, cents in said.items() if cents
    }


def test_every_opening_balance_is_the_closing_balance_of_the_month_before(world: World) -> None:
    closings = world.balances("2023-10-24")
    assert closings
    for period, statements in world.statements.items():
        openings = {bn15: row["opening_cents"] for bn15, row in statements.items() if row["opening_cents"]}
        assert openings == closings, period
        for bn15, row in statements.items():
            assert row["closing_cents"] == row["opening_cents"] + row["debits_cents"] - row["credits_cents"], bn15
            assert min(row["debits_cents"], row["credits_cents"]) >= 0
        closings = {bn15: row["closing_cents"] for bn15, row in statements.items() if row["closing_cents"]}


def test_every_closing_balance_is_that_of_the_source_on_the_last_day(world: World) -> None:
    for period, (_, last_day, _) in MONTHS.items():
        expected = world.balances(last_day)
        closings = {bn15: row["closing_cents"] for bn15, row in world.statements[period].items()}
        # What the source says of these days it did not say on these days.
        is_rewritten = MONTHS["2024-10"][1] <= last_day < MONTHS["2025-03"][1]
        if is_rewritten:
            assert expected.pop(EDGES) != closings.pop(EDGES)
        assert expected == {bn15: cents for bn15, cents in closings.items() if cents}, period


def test_what_is_open_and_how_old_it_is_adds_up_to_every_closing_balance(world: World) -> None:
    for period, statements in world.statements.items():
        items: Counter[str] = Counter()
        for row in world.rows("open_items", period):
            items[row["bn15"]] += row["remaining_cents"]
        closings = {bn15: row["closing_cents"] for bn15, row in statements.items() if row["closing_cents"]}
        assert closings == {bn15: cents for bn15, cents in items.items() if cents}, period
        for row in statements.values():
            assert row["closing_cents"] == sum(cents for name, cents in row.items() if name.startswith("ageing_"))
    aged = [row["ageing_over_90_cents"] for rows in world.statements.values() for row in rows.values()]
    assert any(aged)


@pytest.mark.parametrize("period", OPEN_OFFSETS)
def test_a_credit_pays_in_the_order_of_its_regime(world: World, period: str) -> None:
    open_items = {
        row["item_id"]: row["remaining_cents"] for row in world.rows("open_items", period) if row["bn15"] == OFFSETS
    }
    assert open_items == OPEN_OFFSETS[period]


def text_of(world: World, period: str, bn15: str) -> str:
    page = read_statement(world.ws, Period.parse(period), bn15).decode()
    return " ".join(re.sub(r"<[^>]+>", "", page).split())


def test_a_page_speaks_by_the_rules_of_its_day(world: World) -> None:
    rule = "Un crédit de plus de 1 000,00 $ est décaissé"
    assert [rule in text_of(world, period, CREDIT) for period in ("2024-10", "2024-11")] == [True, False]
    office = "Canada Revenue Agency (CRA), 1-800-959-5525"
    closed = (("2024-04", CLOSED_IN_APRIL), ("2024-05", CLOSED_IN_MAY))
    assert [office in text_of(world, *statement) for statement in closed] == [True, False]
    assert "(CCSH), Canada Border Services Agency" in text_of(world, "2024-05", CLOSED_IN_MAY)


def test_every_document_says_in_figures_what_its_month_has_in_cents(world: World) -> None:
    for period, statements in world.statements.items():
        lines = defaultdict(list)
        for line in world.lines[period]:
            lines[line["bn15"]].append((line["posted_on"].isoformat(), *(line[name] for name in PRINTED_CENTS)))
        folder = world.ws.documents("lake") / "soa" / f"period={period}"
        contents = {name: content for path in sorted(folder.glob("*.zip")) for name, content in read_documents(path)}
        for bn15, row in statements.items():
            rows = csv.DictReader(io.StringIO(contents[f"{bn15}.csv"].decode(), newline=""))
            assert lines[bn15] == [
                (line["posted_on"], *(int(line[name]) for name in PRINTED_CENTS)) for line in rows
            ], period
            versions = Page(contents[f"{bn15}.html"]).versions
            assert [version.lang for version in versions] == {"both": ["en", "fr"]}.get(
                row["language"], [row["language"]]
            )
            for version in versions:
                assert_page_says(version, row, lines[bn15])


PRINTED_CENTS = ("amount_cents", "running_balance_cents")


def assert_page_says(version: Version, row: dict[str, Any], lines: list[tuple[Any, ...]]) -> None:
    """One language of a page has the sums of its row and the lines of its account."""
    sums = [cents for cells in version.rows["sum"][1:] for cents in cents_in(cells[1], version.lang)]
    review = [row["under_review_cents"]] if row["under_review_cents"] else []
    first = [row["opening_cents"], row["debits_cents"], -row["credits_cents"], row["closing_cents"]]
    assert sums == [*first, *review, row["total_payable_cents"]]
    printed = [cells for cells in version.rows.get("lines", []) if DAY.fullmatch(cells[1].strip())]
    assert lines == [
        (cells[1].strip(), *(cents for cell in cells[3:] for cents in cents_in(cell, version.lang)))
        for cells in printed
    ]
    assert [row[name].isoformat() for name in ("period_start", "period_end", "issued_on", "due_on")] == [
        day for term in version.terms for day in DAY.findall(term)
    ][:4]


def packs(world: World, month: dict[str, str]) -> dict[str, bytes]:
    """The packs of a month, rendered anew into the working folder of another run."""
    for shard in list_shards(world.ws, month):
        render_shard(world.ws, month, shard)
    folder = world.ws.staging(month["run_id"], "statements")
    return {path.name: path.read_bytes() for path in sorted(folder.glob("statements-*.zip"))}


def facts(period: str, run_id: str) -> dict[str, str]:
    return {"period": period, "effects": "shadow", "area": "lake", "run_id": run_id}


def test_every_document_rendered_again_is_the_same_bytes(world: World) -> None:
    documents = 0
    for period, statements in world.statements.items():
        folder = world.ws.documents("lake") / "soa" / f"period={period}"
        issued = {path.name: path.read_bytes() for path in sorted(folder.glob("statements-*.zip"))}
        assert issued
        assert issued == packs(world, facts(period, f"again {period}"))
        members = (name for path in sorted(folder.glob("statements-*.zip")) for name, _ in read_documents(path))
        names = [name for name in members if name != OBJECTS_NAME]
        assert names == sorted(f"{bn15}.{format}" for bn15 in statements for format in ("csv", "html"))
        documents += len(names)
    assert documents == 2 * sum(map(len, world.statements.values()))


@pytest.mark.parametrize("period", ["2024-10", "2024-11"])
def test_every_pdf_made_again_is_the_same_bytes(world: World, period: str) -> None:
    with_pdfs = World(replace(world.ws, policy=replace(world.ws.policy, pdf="all")))
    first, second = (packs(with_pdfs, facts(period, f"{place} with pdfs {period}")) for place in ("once", "twice"))
    assert first == second

    folder = world.ws.staging(f"once with pdfs {period}", "statements")
    pdfs = {
        name.removesuffix(".pdf"): content
        for path in sorted(folder.glob("*.zip"))
        for name, content in read_documents(path)
        if name.endswith(".pdf")
    }
    assert pdfs.keys() == world.statements[period].keys()
    for bn15 in (EDGES, OFFSETS, CREDIT):
        assert pdfs[bn15] == read_statement(world.ws, Period.parse(period), bn15, "pdf")


@pytest.mark.parametrize("period", ["2024-10", "2024-11"])
def test_an_issued_month_run_again_beside_the_record_is_the_same(world: World, period: str) -> None:
    before = hashes(world.ws.data / "lake"), hashes(world.ws.data / "documents")
    summary = run_month(world.ws, period, effects="shadow", run_id=f"beside {period}")

    assert (summary["area"], summary["result"], summary["changed_files"]) == ("shadow", "unchanged", [])
    assert before == (hashes(world.ws.data / "lake"), hashes(world.ws.data / "documents"))
    soa = Path("soa") / f"period={period}"
    assert hashes(world.ws.documents("lake") / soa) == hashes(world.ws.documents("shadow") / soa)
