"""The demo world: the same for the same seed, like the field in its proportions, and with a case of everything."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, inspect, select
from sqlalchemy.engine import Engine

from include.carm.business_number import account_key, is_valid_bn15
from include.carm.calendar import Calendar
from include.carm.errors import Refused, UsageError
from include.carm.period import Period
from include.database import connect_engine, read_snapshot, write_transaction
from include.datasets import COMPONENTS
from include.demo import World, breakage, exports, fill_demo, generate, rows
from include.demo import block as blocks
from include.demo.block import make_block
from include.demo.cases import CASES, CYCLE
from include.demo.dirt import FAULTS
from include.demo.rows import KINDS
from include.load import load_folder
from include.source_schema import TABLES, create_tables, demo_world, insert_rows
from tests.source.folders import write_folder

Row = dict[str, Any]
DEFAULT = World()
LAST_DAY = "2021-12-24"
SMALL_WORLD = "a7ede1bfed7f02d0482d757d6347dcdc8a4eb8ac71379bcf2975a1241ffe09d9"


def digest(world: World) -> str:
    """One hash over all rows, whatever the batches they come in."""
    tables: dict[str, Any] = defaultdict(hashlib.sha256)
    for name, part in generate(world):
        for row in part:
            tables[name].update(repr(row).encode())
    return hashlib.sha256(
        repr(sorted((name, table.hexdigest()) for name, table in tables.items())).encode()
    ).hexdigest()


@pytest.fixture(scope="module")
def made() -> dict[str, list[Row]]:
    """The rows of the default world."""
    tables: dict[str, list[Row]] = {name: [] for name in TABLES}
    for name, part in generate(DEFAULT):
        columns = TABLES[name].columns.keys()
        tables[name].extend(dict(zip(columns, row, strict=True)) for row in part)
    return tables


@pytest.fixture(scope="module")
def current(made: dict[str, list[Row]]) -> dict[str, Row]:
    """The account version of each BN15 that is valid as of the last day."""
    return {
        row["bn15"]: row
        for row in made["accounts"]
        if row["valid_from"] <= LAST_DAY and (row["valid_to"] is None or row["valid_to"] > LAST_DAY)
    }


@pytest.fixture(scope="module")
def case_names() -> dict[str, str]:
    """The case of each BN15."""
    block = make_block(DEFAULT, 0)
    return {bn15: CASES[case].name for bn15, case in zip(block.bn15, block.case.tolist(), strict=True)}


def clean(rows_: list[Row]) -> Iterator[Row]:
    """Rows without those that are made to be dirty."""
    return (row for row in rows_ if row["posted_on"] and not (row["transaction_id"] or "X").startswith("X"))


# The same seed, the same world ---------------------------------------------------------------------------------------


def test_a_seed_gives_these_rows_on_every_machine() -> None:
    # Whoever changes the world on purpose changes this hash; a machine, a library or a batch size must not.
    assert digest(World(accounts=600, months=14)) == SMALL_WORLD


def test_another_seed_is_another_world() -> None:
    assert digest(World(accounts=300, months=6, seed=1)) != digest(World(accounts=300, months=6, seed=2))


def test_the_rows_do_not_depend_on_how_many_are_made_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(accounts=700, months=10)
    whole = digest(world)
    monkeypatch.setattr(rows, "SLICE_ROWS", 7)
    monkeypatch.setattr(exports, "SLICE_ROWS", 5)
    assert digest(world) == whole


def test_an_account_does_not_depend_on_the_accounts_after_it() -> None:
    small, large = (
        {row for name, part in generate(World(accounts=accounts, months=8)) if name == "accounts" for row in part}
        for accounts in (300, 900)
    )
    assert small < large


def test_a_block_holds_the_same_accounts_in_a_larger_world(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(accounts=900, months=8)
    one_block = sorted(row for name, part in generate(world) if name == "accounts" for row in part if row[7])
    monkeypatch.setattr(blocks, "BLOCK_ACCOUNTS", 300)
    monkeypatch.setattr("include.demo.world.BLOCK_ACCOUNTS", 300)
    assert one_block == sorted(row for name, part in generate(world) if name == "accounts" for row in part if row[7])


def test_the_same_seed_gives_the_same_database_file(tmp_path: Path) -> None:
    files = [tmp_path / "one.db", tmp_path / "two.db"]
    for file in files:
        fill_demo(connect_engine(f"sqlite:///{file}", create=True), accounts=400, months=6)
    assert files[0].read_bytes() == files[1].read_bytes()


# What it is made of --------------------------------------------------------------------------------------------------


def test_the_default_world_is_as_large_as_it_says(made: dict[str, list[Row]]) -> None:
    sizes = {name: len(found) for name, found in made.items()}
    assert len({row["bn15"] for row in made["accounts"]}) == 5_000
    assert 240_000 < sizes["transactions"] < 260_000
    assert 25_000 < sizes["export_declarations"] < 32_000
    assert sizes["subscribers"] == 625
    assert sizes["delegations"] > 2_000


def test_all_business_numbers_are_valid_and_begin_with_a_zero(made: dict[str, list[Row]]) -> None:
    bn15s = {row["bn15"] for row in made["accounts"]}
    assert all(is_valid_bn15(bn15) and bn15.startswith("0") for bn15 in bn15s)
    assert len({account_key(bn15) for bn15 in bn15s}) == 5_000
    others = {row["broker_bn9"] for row in made["transactions"]} | {row["provider_bn9"] for row in made["delegations"]}
    assert len(others - {None}) == 40
    assert all(is_valid_bn15(f"{bn9}RM0001") and bn9.startswith("0") for bn9 in others - {None})
    assert not {f"{bn9}RM0001" for bn9 in others} & bn15s


def test_a_million_accounts_have_a_million_business_numbers() -> None:
    # By the arithmetic, because making them takes minutes: a stride without a common factor repeats nothing.
    assert math.gcd(blocks.FIRM_STRIDE, blocks.FIRMS) == 1
    firm, second = blocks.firm_of(np.arange(1_000_000))
    assert len(np.unique(firm * 2 + second)) == 1_000_000
    last, _ = blocks.firm_of(np.array([blocks.MOST_ACCOUNTS - 1]))
    assert last[0] < blocks.FIRST_BROKER < blocks.FIRMS


def test_some_firms_have_two_accounts(made: dict[str, list[Row]]) -> None:
    accounts = {row["bn15"] for row in made["accounts"]}
    assert Counter(bn15[11:] for bn15 in accounts) == {"0001": 4_750, "0002": 250}
    assert all(f"{bn15[:9]}RM0001" in accounts for bn15 in accounts)


def test_program_types_and_languages_have_the_shares_of_the_field(current: dict[str, Row]) -> None:
    types = Counter(row["program_type"] for row in current.values())
    shares = {name: count / len(current) for name, count in types.items()}
    assert shares["importer"] == pytest.approx(0.73, abs=0.03)
    assert shares["exporter"] == pytest.approx(0.10, abs=0.02)
    assert shares["dual"] == pytest.approx(0.17, abs=0.02)
    languages = Counter(row["language"] for row in current.values())
    assert languages.keys() == {"en", "fr", None}
    assert languages["en"] > 2 * languages["fr"] > 4 * languages[None] > 0


def test_activity_is_heavy_tailed(made: dict[str, list[Row]]) -> None:
    rows_an_account = sorted(Counter(row["bn15"] for row in made["transactions"]).values(), reverse=True)
    top = sum(rows_an_account[: len(rows_an_account) // 100])
    assert top > 0.2 * len(made["transactions"])
    assert rows_an_account[len(rows_an_account) // 2] < 30
    assert rows_an_account[0] > 10_000


def test_every_month_has_transactions_and_declarations_and_the_last_day_too(made: dict[str, list[Row]]) -> None:
    months = [str(period) for period in DEFAULT.periods]
    assert (months[0], months[-1], len(months)) == ("2017-06", "2021-12", 55)
    for table, column in (("transactions", "posted_on"), ("export_declarations", "reported_on")):
        days = {row[column] for row in made[table]} - {None}
        assert (min(days) >= "2017-05-25", max(days)) == (True, LAST_DAY)
        assert {str(DEFAULT.calendar.period_of(date.fromisoformat(day))) for day in days} == set(months)


def test_every_kind_and_status_occurs(made: dict[str, list[Row]]) -> None:
    kinds = {row["kind"] for row in made["transactions"]}
    assert kinds == set(KINDS) - {"CAD"}  # which is Release 2
    later = World(accounts=60, months=8, last_period=Period(2025, 3))
    assert "CAD" in {row[3] for name, part in generate(later) if name == "transactions" for row in part}
    statuses = Counter(row["status"] for row in clean(made["transactions"]))
    assert statuses.keys() == {"accepted", "under_review", "cancelled", "reversed"}


def test_components_add_up_and_nothing_happens_after_it_is_posted(made: dict[str, list[Row]]) -> None:
    for row in clean(made["transactions"]):
        parts = [row[name] for name in COMPONENTS]
        if not row["transaction_id"].startswith("S"):  # one case is made not to add up
            assert not any(parts) or sum(parts) == row["amount_cents"]
        assert "1980-01-01" <= row["activity_on"] <= row["posted_on"] <= LAST_DAY


def test_revisions_follow_one_another_and_do_not_stand_before_what_they_revise(made: dict[str, list[Row]]) -> None:
    revisions: dict[str, list[Row]] = defaultdict(list)
    for row in clean(made["transactions"]):
        revisions[row["transaction_id"]].append(row)
    revised = {key: found for key, found in revisions.items() if len(found) > 1 and found[0] != found[1]}
    assert len(revised) > 4_000
    for found in revised.values():
        assert [row["revision"] for row in found] == list(range(1, len(found) + 1))
        assert [row["posted_on"] for row in found] == sorted(row["posted_on"] for row in found)
        assert len({(row["bn15"], row["kind"], row["activity_on"]) for row in found}) == 1
    changes = Counter((found[0]["status"], found[1]["status"]) for found in revised.values())
    assert changes.keys() >= {
        ("under_review", "accepted"),
        ("under_review", "cancelled"),
        ("accepted", "accepted"),
        ("accepted", "cancelled"),
        ("accepted", "reversed"),
    }
    assert {len(found) for found in revised.values()} == {2, 3}
    # An empty revision is the first.
    assert sum(row["revision"] is None for row in made["transactions"]) > 500


def test_balances_are_plausible(made: dict[str, list[Row]]) -> None:
    last: dict[str, Row] = {}
    for row in clean(made["transactions"]):
        last[row["transaction_id"]] = row
    balances: Counter[str] = Counter(dict.fromkeys({row["bn15"] for row in made["accounts"]}, 0))
    for row in last.values():
        if row["status"] in ("accepted", "under_review"):
            balances[row["bn15"]] += row["amount_cents"]
    signs = Counter((balance > 0) - (balance < 0) for balance in balances.values())
    assert signs[0] > 0.6 * 5_000
    assert 0.2 * 5_000 < signs[1] < 0.4 * 5_000
    assert 0.03 * 5_000 < signs[-1] < 0.10 * 5_000
    assert set(balances.values()) >= {1, -1}
    paid = -sum(row["amount_cents"] for row in last.values() if row["kind"] == "PMT")
    owed = sum(row["amount_cents"] for row in last.values() if row["amount_cents"] > 0 and row["status"] == "accepted")
    assert paid > 0.8 * owed


def test_payments_follow_statements_by_some_days_and_returned_ones_share_their_number(
    made: dict[str, list[Row]],
) -> None:
    payments = {row["transaction_number"]: row for row in clean(made["transactions"]) if row["kind"] == "PMT"}
    returned = [row for row in clean(made["transactions"]) if row["kind"] == "NSF"]
    assert len(returned) > 300
    for row in returned:
        payment = payments[row["transaction_number"]]
        assert (payment["bn15"], payment["amount_cents"]) == (row["bn15"], -row["amount_cents"])
        assert (payment["status"], row["posted_on"] > payment["posted_on"]) == ("accepted", True)
    due_days = {world_due.isoformat() for world_due in map(date.fromordinal, DEFAULT.dues.tolist())}
    assert sum(row["posted_on"] in due_days for row in payments.values()) > 1_000


def test_offsets_cancel_out_between_the_two_accounts_of_a_firm(made: dict[str, list[Row]]) -> None:
    sums: Counter[tuple[str, str]] = Counter()
    for row in made["transactions"]:
        if row["kind"] == "OFS":
            sums[row["bn15"][:9], row["posted_on"]] += row["amount_cents"]
    assert len(sums) > 50
    assert set(sums.values()) == {0}


def test_a_balance_brought_forward_comes_once_and_first(made: dict[str, list[Row]]) -> None:
    forward = [row for row in made["transactions"] if row["kind"] == "BFW"]
    assert len({row["bn15"] for row in forward}) == len(forward) > 200
    first_day = min(row["posted_on"] for row in forward)
    assert {row["posted_on"] for row in forward} == {first_day} == {"2017-05-25"}
    assert not [row for row in clean(made["transactions"]) if row["kind"] != "BFW" and row["posted_on"] <= first_day]


def test_some_rows_are_posted_months_after_what_they_tell_of(made: dict[str, list[Row]]) -> None:
    for table, happened, posted in (
        ("transactions", "activity_on", "posted_on"),
        ("export_declarations", "exported_on", "reported_on"),
    ):
        late = [
            row
            for row in made[table]
            if row[happened] and row[posted] and row[happened] > "1980" and row["revision"] in (1, None)
            and (date.fromisoformat(row[posted]) - date.fromisoformat(row[happened])).days > 45
        ]  # fmt: skip
        assert 0.005 * len(made[table]) < len(late) < 0.02 * len(made[table])


def test_due_days_are_mostly_left_to_the_statement(made: dict[str, list[Row]]) -> None:
    entries = [row for row in made["transactions"] if row["kind"] == "B3"]
    due_days = {date.fromordinal(day).isoformat() for day in DEFAULT.dues.tolist()}
    own = [row for row in entries if row["due_on"] and row["due_on"] not in due_days]
    assert sum(row["due_on"] is None for row in entries) > 0.75 * len(entries)
    assert 0.03 * len(entries) < len(own) < 0.08 * len(entries)


# Cases ---------------------------------------------------------------------------------------------------------------


def test_of_every_five_hundred_accounts_each_case_has_its_number(case_names: dict[str, str]) -> None:
    found = Counter(case_names.values())
    assert {case.name: found[case.name] for case in CASES[1:]} == {
        case.name: case.count * 5_000 // CYCLE for case in CASES[1:]
    }


def test_closing_and_converting_stay_far_below_the_breaker(case_names: dict[str, str], current: dict[str, Row]) -> None:
    outcome = {case.name: case.outcome for case in CASES}
    outcomes = Counter(outcome[name] for name in case_names.values())
    open_accounts = sum(row["status"] == "open" for row in current.values())
    assert 0.03 <= outcomes["close"] / open_accounts <= 0.045
    assert 0.018 <= outcomes["convert"] / open_accounts <= 0.025
    assert (outcomes["close"] + outcomes["convert"]) / open_accounts < 0.08


def test_the_four_arrows_are_all_there(case_names: dict[str, str], current: dict[str, Row]) -> None:
    arrows = Counter(
        (current[bn15]["program_type"], case.reason)
        for bn15, name in case_names.items()
        for case in CASES
        if case.name == name and case.outcome == "convert"
    )
    assert arrows == {
        ("importer", "only_export_activity"): 30,
        ("dual", "only_export_activity"): 20,
        ("exporter", "only_import_activity"): 20,
        ("dual", "only_import_activity"): 30,
    }


@pytest.mark.parametrize(("accounts", "months"), [(4 * CYCLE, 55), (CYCLE, 50)])
def test_the_rules_say_of_every_case_what_it_says(tmp_path: Path, accounts: int, months: int) -> None:
    # An independent computation over the raw rows, which knows nothing of cases.
    from tests.oracle.oracle import brute_force

    world = World(accounts=accounts, months=months)
    decisions, _ = brute_force(write_world(tmp_path, world), "2021-12")
    said = {row.bn15: (row.action, row.reason) for row in decisions.itertuples()}
    block = make_block(world, 0)
    for bn15, number in zip(block.bn15, block.case.tolist(), strict=True):
        case = CASES[number]
        expected = None if case.outcome in ("closed", "quarantined") else (case.outcome, case.reason)
        assert said.get(bn15) == expected, case.name


def write_world(folder: Path, world: World) -> Path:
    """The world as a folder of CSV files."""
    from tests.source.folders import columns_of, csv_lines

    tables: dict[str, list[Any]] = {name: [columns_of(name)] for name in TABLES}
    for name, part in generate(world):
        tables[name].extend(part)
    return write_folder(folder, **{name: csv_lines(found) for name, found in tables.items()})


def test_account_versions_join_but_for_one_case(made: dict[str, list[Row]], case_names: dict[str, str]) -> None:
    versions: dict[str, list[Row]] = defaultdict(list)
    for row in made["accounts"]:
        versions[row["bn15"]].append(row)
    for bn15, found in versions.items():
        joins = all(one["valid_to"] == other["valid_from"] for one, other in pairwise(found))
        assert (joins and found[-1]["valid_to"] is None) == (
            case_names[bn15] not in ("overlapping_versions", "identical_copy")
        )
    assert {len(found) for found in versions.values()} == {1, 2, 3, 4}


def test_accounts_have_histories(
    made: dict[str, list[Row]], current: dict[str, Row], case_names: dict[str, str]
) -> None:
    status = Counter(row["status"] for row in current.values())
    assert status == {"open": 4_900, "closed": 100}
    closed = [row for row in current.values() if row["status"] == "closed"]
    assert all(row["closed_on"] == row["valid_from"] <= LAST_DAY for row in closed)
    assert sum(row["closed_on"] >= "2021-11-25" for row in closed) == 10
    assert sum(row["reinstated_on"] is not None for row in current.values()) == 20
    assert sum(row["opened_on"] is None for row in current.values()) == 20
    assert sum(row["valid_from"] > LAST_DAY for row in made["accounts"]) == 10
    holds = [row for row in current.values() if row["hold_reason"]]
    assert {
        "none" if row["hold_until"] is None
        else "today" if row["hold_until"] == LAST_DAY
        else "past" if row["hold_until"] < LAST_DAY
        else "future"
        for row in holds
    } == {"none", "today", "past", "future"}  # fmt: skip
    assert {row["program_type"] for row in current.values()} == {"importer", "exporter", "dual", "broker", None}


def test_portal_days_are_of_the_time_of_the_portal(made: dict[str, list[Row]]) -> None:
    portal = [row["portal_registered_on"] for row in made["accounts"] if row["portal_registered_on"]]
    mfa = [
        (row["portal_registered_on"], row["mfa_registered_on"]) for row in made["accounts"] if row["mfa_registered_on"]
    ]
    assert "2021-05-25" <= min(portal) <= max(portal) <= LAST_DAY
    assert all("2021-11-09" <= second <= LAST_DAY and first <= second for first, second in mfa)


def test_mail_goes_nowhere(made: dict[str, list[Row]]) -> None:
    addresses = {row["email"] for table in ("accounts", "delegations", "subscribers") for row in made[table]} - {None}
    assert {address.rpartition("@")[2] for address in addresses} == {"example.com", "example.org"}
    assert all(row["join_url"].startswith("https://example.com/") for row in made["webinars"])


# Dirt ----------------------------------------------------------------------------------------------------------------


def test_about_three_rows_in_a_thousand_are_dirty_and_each_fault_occurs(made: dict[str, list[Row]]) -> None:
    from tests.oracle.oracle import is_valid_bn15 as is_valid

    known = {row["bn15"] for row in made["accounts"]}
    transactions = made["transactions"]
    ids = Counter((row["transaction_id"], row["revision"] or 1) for row in transactions)
    faults = {
        "invalid_bn15": sum(not is_valid(row["bn15"]) for row in transactions),
        "unknown_account": sum(is_valid(row["bn15"]) and row["bn15"] not in known for row in transactions),
        "unknown_kind": sum(row["kind"] in ("ZZ9", None) for row in transactions),
        "unknown_status": sum(row["status"] in ("pending", None) for row in transactions),
        "no_day": sum(row["posted_on"] is None or row["activity_on"] is None for row in transactions),
        "out_of_range": sum(
            bool(row["activity_on"] and row["posted_on"]) and not "1980-01-01" <= row["activity_on"] <= row["posted_on"]
            for row in transactions
        ),
        "no_id": sum(row["transaction_id"] is None for row in transactions),
        "no_amount": sum(row["amount_cents"] is None for row in transactions),
        "does_not_add_up": sum(
            row["amount_cents"] is not None
            and any(row[name] for name in COMPONENTS)
            and sum(row[name] for name in COMPONENTS) != row["amount_cents"]
            for row in transactions
        ),
        "copies": sum(count > 1 for (key, _), count in ids.items() if key),
    }
    assert min(faults.values()) >= 20
    assert 0.002 < sum(faults.values()) / len(transactions) < 0.004
    assert len(FAULTS) == len(set(FAULTS))


def test_declarations_are_dirty_too(made: dict[str, list[Row]]) -> None:
    declarations = made["export_declarations"]
    dirty = [row for row in declarations if not row["declaration_id"] or row["declaration_id"].startswith("X")]
    assert 0.001 < len(dirty) / len(declarations) < 0.005
    assert any(row["reported_on"] is None for row in dirty)
    assert any(row["exported_on"] is None for row in dirty)
    assert any(not is_valid_bn15(row["bn15"]) for row in dirty)
    assert {"held", None} <= {row["status"] for row in dirty}
    assert {row["status"] for row in declarations} - {"held", None} == {"accepted", "cancelled", "rejected"}


def test_no_month_has_too_many_dirty_rows(made: dict[str, list[Row]]) -> None:
    all_rows, dirty = Counter(), Counter()  # type: ignore[var-annotated]
    for row in made["transactions"]:
        month = (row["posted_on"] or "")[:7]
        all_rows[month] += 1
        dirty[month] += (row["transaction_id"] or "X").startswith("X")
    assert all(dirty[month] <= 20 or dirty[month] < 0.02 * all_rows[month] for month in all_rows if month)


# The audience --------------------------------------------------------------------------------------------------------


def test_webinars_of_january_and_before_with_a_change_and_a_cancellation(made: dict[str, list[Row]]) -> None:
    last: dict[str, Row] = {}
    for row in made["webinars"]:
        assert row["revision"] == (last[row["webinar_id"]]["revision"] + 1 if row["webinar_id"] in last else 1)
        last[row["webinar_id"]] = row
    january = {key: row for key, row in last.items() if row["starts_at"].startswith("2022-01")}
    assert {row["language"] for row in january.values()} == {"en", "fr", "both"}
    assert Counter(row["status"] for row in january.values()) == {"scheduled": 4, "cancelled": 1}
    assert Counter(row["revision"] for row in january.values()) == {1: 3, 2: 2}
    assert min(row["starts_at"] for row in last.values()) < "2021-11"
    assert all(row["starts_at"][-6:] in ("-05:00", "-04:00") for row in last.values())
    assert all(date.fromisoformat(row["starts_at"][:10]).weekday() < 5 for row in last.values())


def test_subscribers_read_two_languages_and_some_have_left(made: dict[str, list[Row]]) -> None:
    assert Counter(row["language"] for row in made["subscribers"]).keys() == {"en", "fr"}
    left = [row for row in made["subscribers"] if row["unsubscribed_on"]]
    assert 0.08 < len(left) / len(made["subscribers"]) < 0.16
    assert all(row["subscribed_on"] <= row["unsubscribed_on"] <= LAST_DAY for row in left)


def test_delegations_have_every_role_and_some_have_ended(made: dict[str, list[Row]]) -> None:
    assert {row["role"] for row in made["delegations"]} == {
        "business_account_manager",
        "program_account_manager",
        "editor",
        "reader",
    }
    assert {row["bn15"] for row in made["delegations"]} <= {row["bn15"] for row in made["accounts"]}
    ends = [row["valid_to"] for row in made["delegations"] if row["valid_to"]]
    assert min(ends) <= LAST_DAY < max(ends)


# Worlds of other sizes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accounts", "months", "last_period"),
    [(1, 1, "2021-12"), (2, 2, "2021-12"), (60, 3, "2016-02"), (520, 49, "2021-12"), (90, 14, "2025-06")],
)
def test_small_and_late_worlds_keep_to_their_months(accounts: int, months: int, last_period: str) -> None:
    world = World(accounts, months, 7, Period.parse(last_period))
    calendar, first, last = world.calendar, world.periods[0], world.last_period
    days: dict[str, set[str]] = {"transactions": set(), "export_declarations": set()}
    for name, part in generate(world):
        if name in days:
            column = TABLES[name].columns.keys().index("posted_on" if name == "transactions" else "reported_on")
            days[name] |= {row[column] for row in part if row[column]}
    for name, found in days.items():
        if name == "transactions" or accounts > 1:
            assert calendar.start(first).isoformat() <= min(found) <= max(found) == calendar.end(last).isoformat()
            assert {calendar.period_of(date.fromisoformat(day)) for day in found} == set(world.periods)


# Into a database -----------------------------------------------------------------------------------------------------


def test_the_world_arrives_in_the_database(engine: Engine) -> None:
    told: list[float] = []
    report = fill_demo(engine, accounts=120, months=5, seed=3, progress=lambda what, rows_, share: told.append(share))
    expected: dict[str, list[Any]] = {name: [] for name in TABLES}
    for name, part in generate(World(120, 5, 3)):
        expected[name].extend(part)
    with read_snapshot(engine) as connection:
        for name, table in TABLES.items():
            found = [
                tuple(value.isoformat() if isinstance(value, date) else value for value in row)
                for row in connection.execute(select(table))
            ]
            assert sorted(found, key=repr) == sorted(expected[name], key=repr)
            assert report.rows[name] == len(found)
        indexes = [inspect(connection).get_indexes(name) for name in TABLES]
    # One over an expression is told by PostgreSQL alone: see test_source_schema.
    of_columns = [[index for index in found if index["column_names"] != [None]] for found in indexes]
    assert [len(found) for found in of_columns] == [1, 0, 0, 0, 2, 2]
    assert demo_world(engine) == {
        "seed": 3,
        "accounts": 120,
        "months": 5,
        "last_period": "2021-12",
        "broken_dates": 0,
    }
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_the_same_world_again_changes_nothing(engine: Engine) -> None:
    first = fill_demo(engine, accounts=3, months=3)
    again = fill_demo(engine, accounts=3, months=3)
    assert (first.changed, again.changed) == (True, False)
    with read_snapshot(engine) as connection:
        count = connection.execute(select(func.count()).select_from(TABLES["accounts"])).scalar_one()
    assert count == first.rows["accounts"]


@pytest.mark.parametrize(
    "change", [{"accounts": 4}, {"months": 4}, {"seed": 1}, {"last_period": "2021-11"}, {"broken_dates": 9}]
)
def test_another_world_is_refused(engine: Engine, change: dict[str, Any]) -> None:
    fill_demo(engine, accounts=3, months=3)
    with pytest.raises(
        Refused, match=r"holds another demo world \(seed 2021, accounts 3, months 3, last_period 2021-12\)"
    ):
        fill_demo(engine, **{"accounts": 3, "months": 3} | change)


def test_a_world_of_an_earlier_release_is_still_the_same_world(engine: Engine) -> None:
    fill_demo(engine, accounts=3, months=3)
    with write_transaction(engine) as connection:
        connection.exec_driver_sql("ALTER TABLE carm_demo_world DROP COLUMN broken_dates")
    assert not fill_demo(engine, accounts=3, months=3).changed


@pytest.mark.parametrize("percent", [0, 60, 100])
def test_broken_dates_are_those_that_dormancy_is_told_from_and_no_other(percent: int) -> None:
    def by_table(world: World) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {name: [] for name in TABLES}
        for name, part in generate(world):
            found[name].extend(dict(zip(TABLES[name].columns.keys(), row, strict=True)) for row in part)
        return found

    sound, broken = (by_table(World(accounts=200, months=12, broken_dates=share)) for share in (0, percent))
    moved = set()
    for table, date_column in breakage.DATES.items():
        for before, after in zip(sound[table], broken[table], strict=True):
            if before != after:
                assert after == {**before, date_column: breakage.BROKEN_ON}
                assert before[date_column] > breakage.BROKEN_ON
                moved.add(after["bn15"][:9])
    firms = {row["bn15"][:9] for row in sound["accounts"]}
    assert abs(len(moved & firms) - len(firms) * percent / 100) <= 0.1 * len(firms)
    assert all(sound[name] == broken[name] for name in set(TABLES) - set(breakage.DATES))


def test_a_source_with_other_rows_is_refused(engine: Engine, tmp_path: Path) -> None:
    load_folder(engine, write_world(tmp_path, World(accounts=2, months=2)))
    with pytest.raises(Refused, match="holds other rows"):
        fill_demo(engine, accounts=2, months=2)
    assert demo_world(engine) is None


def test_ones_own_table_with_a_row_is_other_rows_too(engine: Engine) -> None:
    with write_transaction(engine) as connection:
        create_tables(connection, ["subscribers"])
        insert_rows(connection, "subscribers", ["email"], [("reader@example.org",)])
    with pytest.raises(Refused, match=r"holds other rows \(subscribers\)"):
        fill_demo(engine, accounts=2, months=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"accounts": 0}, "from 1 to 5000000 accounts, not 0"),
        ({"accounts": 5_000_001}, "accounts, not 5000001"),
        ({"months": 0}, "from 1 to 240 months, not 0"),
        ({"months": 241}, "months, not 241"),
        ({"seed": -1}, "seed, not -1"),
        ({"last_period": "2021-13"}, "period '2021-13' is not a month"),
        ({"last_period": "1980-02"}, "before the calendar's first month"),
        ({"broken_dates": -1}, "0 to 100 accounts of a hundred, not of -1"),
        ({"broken_dates": 101}, "0 to 100 accounts of a hundred, not of 101"),
    ],
)
def test_a_world_that_cannot_be_made_is_wrong_usage(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    engine = connect_engine(f"sqlite:///{tmp_path / 'source.db'}", create=True)
    with pytest.raises(UsageError, match=message):
        fill_demo(engine, **change)
    assert not (tmp_path / "source.db").exists()


def test_the_calendar_given_is_the_calendar_used(tmp_path: Path) -> None:
    calendar = Calendar.load()
    assert World(months=2, calendar=calendar).ends.tolist() == [
        calendar.end(Period(2021, 11)).toordinal(),
        calendar.end(Period(2021, 12)).toordinal(),
    ]
