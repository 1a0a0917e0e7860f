"""The accounts of a plan: found by what is asked for, page by page, as a file, and as a sample."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import insert

from include.carm.business_number import account_key
from include.operations_plan_tables import CLOSURE_ANNOUNCEMENTS
from include.plan_accounts import PAGE_ROWS, draw_sample
from include.plans import find_plan
from include.portal.csv_file import neutralise
from tests.decide.accounts import an_account, bn15_of
from tests.portal.review_world import ACCOUNTS, ACTIVE, DORMANT, Held

CLOSED, CONVERTED, KEPT, ALSO_CLOSED, HOSTILE = (bn15_of(position) for position in range(5))


@pytest.fixture
def held(tmp_path: Path, sqlite_url: str) -> Held:
    made = Held.make(tmp_path, sqlite_url)
    made.plan(ACCOUNTS)
    return made


def shown(held: Held, query: str = "") -> list[str]:
    """The accounts in the table, in its order."""
    html = held.portal.get(f"/review/2021-12/accounts?{query}").text
    return re.findall(r'<th scope="row"><a href="[^"]*accounts/(\d{9}RM\d{4})', html)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [CLOSED, CONVERTED, ALSO_CLOSED]),
        ("action=all", [CLOSED, CONVERTED, KEPT, ALSO_CLOSED, HOSTILE]),
        ("action=close", [CLOSED, ALSO_CLOSED]),
        ("action=keep", [KEPT]),
        ("action=candidate", []),
        ("program_type=dual", [CONVERTED]),
        ("program_type=importer&reason=no_activity_4_years", [CLOSED, ALSO_CLOSED]),
        ("reason=active", []),
        ("action=all&reason=unknown_program_type", [HOSTILE]),
        ("province=QC", [CLOSED, CONVERTED, ALSO_CLOSED]),
        ("province=ON", []),
        (f"bn={CLOSED[:9]}", [CLOSED]),
        (f"bn={CLOSED[:3]}+{CLOSED[3:6]}+{CLOSED[6:9]}rm", [CLOSED]),
        ("bn=9", []),
        ("order=desc", [ALSO_CLOSED, CONVERTED, CLOSED]),
        ("sort=action", [CLOSED, ALSO_CLOSED, CONVERTED]),
        ("sort=action&order=desc", [CONVERTED, CLOSED, ALSO_CLOSED]),
        ("sort=program_type", [CONVERTED, CLOSED, ALSO_CLOSED]),
        ("sort=clock_on", [CLOSED, ALSO_CLOSED, CONVERTED]),
        ("sort=clock_on&order=desc", [CONVERTED, CLOSED, ALSO_CLOSED]),
    ],
)
def test_the_table_shows_what_is_asked_for(held: Held, query: str, expected: list[str]) -> None:
    assert shown(held, query) == expected


def test_each_row_leads_to_its_card(held: Held) -> None:
    html = held.portal.get("/review/2021-12/accounts").text
    assert f'href="../../review/2021-12/accounts/{CLOSED}?plan={held.plans["2021-12"][:12]}"' in html


@pytest.mark.parametrize("query", ["sort=balance_cents", "order=up", "action=steal", "bn=1%27%20OR", "page=0"])
def test_what_no_form_asks_for_is_refused(held: Held, query: str) -> None:
    assert held.portal.get(f"/review/2021-12/accounts?{query}").status_code == 422


def test_a_text_that_looks_like_sql_is_only_a_text(held: Held) -> None:
    assert shown(held, "program_type=importer%27%20OR%20%271%27=%271") == []


def test_a_full_page_is_followed_by_the_rest(tmp_path: Path, sqlite_url: str) -> None:
    held = Held.make(tmp_path, sqlite_url)
    held.plan([DORMANT] * (PAGE_ROWS + 1))
    numbers = sorted(bn15_of(position) for position in range(PAGE_ROWS + 1))
    first = held.portal.get("/review/2021-12/accounts").text
    assert f"{PAGE_ROWS + 1} accounts" in first
    assert "Page 1 of 2" in first
    assert shown(held) == numbers[:PAGE_ROWS]
    assert shown(held, "page=2") == numbers[PAGE_ROWS:]
    beyond = held.portal.get("/review/2021-12/accounts?page=3").text
    assert "There is no page 3" in beyond


def test_a_plan_of_a_full_page_has_one_page(tmp_path: Path, sqlite_url: str) -> None:
    held = Held.make(tmp_path, sqlite_url)
    held.plan([DORMANT] * PAGE_ROWS)
    assert len(shown(held)) == PAGE_ROWS
    assert 'aria-label="Pages of the table"' not in held.portal.get("/review/2021-12/accounts").text


def test_a_closure_announced_before_waits_and_is_no_change(tmp_path: Path, sqlite_url: str) -> None:
    held = Held.make(tmp_path, sqlite_url)
    closure = replace(held.register.ws.policy.closure, notice_months=2)
    held.register = held.register.with_policy(closure=closure)
    told = {"bn15": CLOSED, "account_key": account_key(CLOSED), "plan_hash": "0" * 64, "announced_in": "2021-11"}
    held.register.change(insert(CLOSURE_ANNOUNCEMENTS).values(told))
    held.plan([DORMANT, DORMANT])
    assert shown(held) == [bn15_of(1)]
    assert shown(held, "action=waiting") == [CLOSED]
    assert shown(held, "action=candidate") == [bn15_of(1)]
    assert [row["bn15"] for row in rows_of(held)] == [bn15_of(1)]


# The file.


def rows_of(held: Held, query: str = "") -> list[dict[str, str]]:
    answer = held.portal.get(f"/review/2021-12/accounts.csv?{query}")
    assert answer.status_code == 200
    name = f"plan-2021-12-{held.plans['2021-12'][:12]}.csv"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_the_file_has_what_the_table_is_asked_for(held: Held) -> None:
    query = "action=all&sort=program_type&order=desc"
    rows = rows_of(held, query)
    assert [row["bn15"] for row in rows] == shown(held, query)
    closed = next(row for row in rows if row["bn15"] == CLOSED)
    assert (closed["action"], closed["clock_on"], closed["new_program_type"]) == ("close", "2012-03-01", "")
    assert {name for name in rows[0] if "cents" in name or "name" in name or "balance" in name} == set()
    assert rows_of(held, "province=ON") == []


def test_no_cell_of_the_file_is_a_formula(held: Held) -> None:
    [row] = rows_of(held, "action=review")
    assert row["program_type"] == "'=1+1\"><script>alert(1)</script>"


def test_every_beginning_of_a_formula_is_neutralised_and_nothing_else() -> None:
    texts = ["=1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "1=1", "", None, "a-b"]
    batch = pa.RecordBatch.from_arrays([pa.array(texts), pa.array(range(len(texts)))], names=["text", "number"])
    safe = neutralise(batch)
    assert safe.column("text").to_pylist() == [*(f"'{text}" for text in texts[:7] if text), *texts[7:]]
    assert safe.column("number") == batch.column("number")


# The sample.


def test_the_hash_of_the_plan_draws_the_same_few_of_each_stratum(tmp_path: Path, sqlite_url: str) -> None:
    held = Held.make(tmp_path, sqlite_url)
    dual = an_account(program_type="dual")
    plan_hash = held.plan([DORMANT] * 20 + [dual] * 3 + [ACTIVE])
    plan = find_plan(held.register.ws, "2021-12")

    def first(numbers: list[str], size: int) -> list[str]:
        return sorted(numbers, key=lambda bn15: hashlib.md5((plan_hash + bn15).encode()).hexdigest())[:size]

    importers, duals = [bn15_of(number) for number in range(20)], [bn15_of(number) for number in range(20, 23)]
    rows = draw_sample(held.register.ws, plan, 5)
    assert [row["bn15"] for row in rows] == first(duals, 5) + first(importers, 5)
    assert [row["accounts"] for row in rows] == [3] * 3 + [20] * 5
    html = held.portal.get("/review/2021-12/sample?size=5").text
    assert re.findall(r'accounts/(\d{9}RM\d{4})\?plan="?', html) == [row["bn15"] for row in rows]
    assert "8 accounts to open" in html


@pytest.mark.parametrize(("size", "status"), [(0, 422), (1, 200), (10, 200), (11, 422)])
def test_a_sample_is_small(held: Held, size: int, status: int) -> None:
    assert held.portal.get(f"/review/2021-12/sample?size={size}").status_code == status
