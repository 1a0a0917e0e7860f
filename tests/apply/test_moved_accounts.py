"""An account that moved since its plan was made is left alone, whatever moved; the others of the plan change."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, text, update

from include.operations_plan_tables import HOLDS
from include.person_records import lift_hold, record_hold
from include.source_schema import TABLES
from tests.apply.ledger_world import LedgerWorld, account, declaration, payment, transaction
from tests.decide.accounts import bn15_of
from tests.decide.month import NO_LIMIT

AS_OF = date(2021, 12, 24)
DAY = timedelta(days=1)
TRANSACTIONS, DECLARATIONS, ACCOUNTS = TABLES["transactions"], TABLES["export_declarations"], TABLES["accounts"]


def spaced(bn15: str) -> str:
    return f"{bn15[:9].lower()} rm-{bn15[11:]}"


def hold(world: LedgerWorld, bn15: str, until: date | None) -> None:
    record_hold(world.ws, bn15, until=until, reason="an appeal", recorded_by="clerk")


def of(bn15: str) -> Any:
    return TRANSACTIONS.c.bn15 == bn15


# What happens to an account between plan and apply, and the word that the journal has for it; None: it is no move.
MOVES: dict[str, tuple[Callable[[LedgerWorld, str], None], str | None]] = {
    "nothing": (lambda world, bn15: None, None),
    "an import after the plan's last day": (
        lambda world, bn15: world.add("transactions", transaction("m1", bn15, AS_OF + DAY)),
        "recorded_since",
    ),
    "an import of the last day, loaded late": (
        lambda world, bn15: world.add("transactions", transaction("m2", bn15, AS_OF)),
        "recorded_since",
    ),
    "an import of long ago, loaded late": (
        lambda world, bn15: world.add("transactions", transaction("m3", bn15, date(2011, 1, 3))),
        "recorded_since",
    ),
    "a payment": (lambda world, bn15: world.add("transactions", payment("m4", bn15, AS_OF + DAY)), "recorded_since"),
    "a payment of one cent, loaded late": (
        lambda world, bn15: world.add("transactions", payment("m5", bn15, date(2013, 1, 3), -1)),
        "recorded_since",
    ),
    "a revision": (
        lambda world, bn15: world.add(
            "transactions", transaction(f"old-{bn15}", bn15, AS_OF, 10_000, revision=2, activity_on=date(2012, 3, 1))
        ),
        "recorded_since",
    ),
    "another amount in place": (
        lambda world, bn15: world.execute(
            update(TRANSACTIONS).where(of(bn15), TRANSACTIONS.c.kind == "B3").values(amount_cents=10_001)
        ),
        "recorded_since",
    ),
    "another status in place": (
        lambda world, bn15: world.execute(
            update(TRANSACTIONS).where(of(bn15), TRANSACTIONS.c.kind == "B3").values(status="under_review")
        ),
        "recorded_since",
    ),
    "another kind in place": (
        lambda world, bn15: world.execute(
            update(TRANSACTIONS).where(of(bn15), TRANSACTIONS.c.kind == "B3").values(kind="K23")
        ),
        "recorded_since",
    ),
    "another day of activity in place": (
        lambda world, bn15: world.execute(
            update(TRANSACTIONS).where(of(bn15), TRANSACTIONS.c.kind == "B3").values(activity_on=date(2012, 2, 28))
        ),
        "recorded_since",
    ),
    "a row exchanged for one of the same amount, posted since": (
        lambda world, bn15: world.execute(
            update(TRANSACTIONS)
            .where(of(bn15), TRANSACTIONS.c.kind == "B3")
            .values(transaction_id=f"new-{bn15}", posted_on=AS_OF)
        ),
        "recorded_since",
    ),
    "another day of opening in place": (
        lambda world, bn15: world.execute(
            update(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15).values(opened_on=date(2021, 6, 1))
        ),
        "another_version",
    ),
    "reinstated in place": (
        lambda world, bn15: world.execute(
            update(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15).values(reinstated_on=date(2021, 6, 1))
        ),
        "another_version",
    ),
    "a row that is gone": (
        lambda world, bn15: world.execute(delete(TRANSACTIONS).where(of(bn15), TRANSACTIONS.c.kind == "PMT")),
        "recorded_since",
    ),
    "all rows gone": (lambda world, bn15: world.execute(delete(TRANSACTIONS).where(of(bn15))), "recorded_since"),
    "a row without a date": (
        lambda world, bn15: world.add("transactions", transaction("m6", bn15, None)),  # type: ignore[arg-type]
        "recorded_since",
    ),
    "an import under another spelling of the number": (
        lambda world, bn15: world.add("transactions", transaction("m7", spaced(bn15), AS_OF)),
        "recorded_since",
    ),
    "an export after the plan's last day": (
        lambda world, bn15: world.add("export_declarations", declaration("m8", bn15, AS_OF + 9 * DAY)),
        "recorded_since",
    ),
    "an export of long ago, loaded late": (
        lambda world, bn15: world.add("export_declarations", declaration("m9", bn15, date(2016, 1, 4))),
        "recorded_since",
    ),
    "a hold of the register": (
        lambda world, bn15: world.execute(update(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15).values(hold_reason="appeal")),
        "on_hold",
    ),
    "a hold of the register to the last day": (
        lambda world, bn15: world.execute(
            update(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15).values(hold_reason="appeal", hold_until=AS_OF)
        ),
        "on_hold",
    ),
    "a hold of the register that has run out": (
        lambda world, bn15: world.execute(
            update(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15).values(hold_reason="appeal", hold_until=AS_OF - DAY)
        ),
        None,
    ),
    "a hold of a person": (lambda world, bn15: hold(world, bn15, None), "on_hold"),
    "a hold of a person to the last day": (lambda world, bn15: hold(world, bn15, AS_OF), "on_hold"),
    "a hold of a person that has run out": (lambda world, bn15: hold(world, bn15, AS_OF - DAY), None),
    "a hold of a person that was lifted": (
        lambda world, bn15: (
            hold(world, bn15, None),
            lift_hold(world.ws, bn15, reason="withdrawn", recorded_by="clerk"),
        ),
        None,
    ),
    "a hold of a person that is lifted for a later month only": (
        lambda world, bn15: world.execute(
            insert(HOLDS).values(
                hold_no=99,
                bn15=bn15,
                account_key=1,
                reason="an appeal",
                known_from="2022-01",
                lifted_from="2022-02",
                recorded_by="clerk",
            )
        ),
        "on_hold",
    ),
    "another program type": (
        lambda world, bn15: world.execute(update(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15).values(program_type="dual")),
        "another_version",
    ),
    "closed by another hand": (
        lambda world, bn15: world.execute(update(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15).values(status="closed")),
        "another_version",
    ),
    "a further version": (
        lambda world, bn15: world.add("accounts", account(bn15, valid_from=AS_OF)),
        "another_version",
    ),
    "a further version under another spelling": (
        lambda world, bn15: world.add("accounts", account(spaced(bn15), valid_from=AS_OF)),
        "another_version",
    ),
    "a version that is gone": (
        lambda world, bn15: world.execute(delete(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15)),
        "another_version",
    ),
}
NUMBERS = {name: bn15_of(position) for position, name in enumerate(MOVES)}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def after(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LedgerWorld:
    """One plan that would close all of these accounts, each moved in its own way before the plan is applied."""
    folder = tmp_path_factory.mktemp("moved")
    if request.param == "sqlite":
        url = f"sqlite:///{folder / 'source.db'}"
    else:
        url = request.getfixturevalue("module_postgresql_url")
    world = LedgerWorld.make(folder / "data", url, list(NUMBERS.values())).with_policy(breaker=NO_LIMIT)
    month = world.plan()
    assert {"close": len(MOVES), "keep": 1} == month["counts"]
    for name, (move, _) in MOVES.items():
        move(world, NUMBERS[name])
    result = world.apply(month)
    dropped = sum(word is not None for _, word in MOVES.values())
    assert (len(MOVES) - dropped, dropped) == (result["applied"], result["dropped"])
    return world


def applied_and_dropped(world: LedgerWorld, month: dict[str, Any]) -> tuple[int, int]:
    result = world.apply(month)
    return result["applied"], result["dropped"]


@pytest.mark.parametrize("name", MOVES)
def test_an_account_that_moved_is_dropped_and_any_other_is_closed(after: LedgerWorld, name: str) -> None:
    word, bn15 = MOVES[name][1], NUMBERS[name]
    row = after.journal()[bn15]
    evidence = json.loads(row["evidence"])
    if word is None:
        assert ("applied", None) == (row["outcome"], row["outcome_reason"])
        assert "moved" not in evidence
        assert "closed" == after.statuses()[bn15]
    else:
        assert ("dropped", "moved_since_plan", None) == (row["outcome"], row["outcome_reason"], row["new_version"])
        assert word == evidence["moved"]
        ends = after.rows(text("SELECT valid_to FROM accounts WHERE bn15 = :bn15").bindparams(bn15=bn15))
        assert {None} >= {version["valid_to"] for version in ends}


def test_an_account_that_is_dropped_is_decided_anew_by_the_next_month(tmp_path: Path, sqlite_url: str) -> None:
    numbers = [bn15_of(position) for position in range(3)]
    world = LedgerWorld.make(tmp_path, sqlite_url, numbers, last="2022-01").with_policy(breaker=NO_LIMIT)
    month = world.plan()
    # The busy account goes on in January; that a month lies ahead in the source moves nobody else.
    world.add("transactions", payment("late", numbers[0], AS_OF + DAY))
    assert (2, 1) == applied_and_dropped(world, month)
    later = world.plan("2022-01", effects="shadow", run_id="run-2")
    assert {"hold": 1, "keep": 1} == later["counts"]


def test_what_later_months_extracted_is_not_what_the_plan_knew(tmp_path: Path, sqlite_url: str) -> None:
    numbers = [bn15_of(position) for position in range(2)]
    world = LedgerWorld.make(tmp_path, sqlite_url, numbers, last="2022-01").with_policy(breaker=NO_LIMIT)
    month = world.plan()
    # January knows of the late row, and the source and the lake agree again: December's plan did not know.
    world.add("transactions", transaction("late", numbers[0], date(2021, 11, 30)))
    world.plan("2022-01", effects="shadow", run_id="run-2")
    assert (1, 1) == applied_and_dropped(world, month)
    assert "recorded_since" == json.loads(world.journal()[numbers[0]]["evidence"])["moved"]


def test_rows_that_were_in_quarantine_before_the_window_are_known(tmp_path: Path, database_url: str) -> None:
    numbers = [bn15_of(position) for position in range(2)]
    world = LedgerWorld.make(tmp_path, database_url, numbers).with_policy(breaker=NO_LIMIT)
    # A row of 2013 with an unknown kind: refused, and too old to be a gap of the window.
    world.add("transactions", transaction("odd", numbers[0], date(2013, 1, 7), kind="XYZ"))
    # A number that the source spells in another way from the beginning is the same account.
    world.execute(update(TRANSACTIONS).where(of(numbers[1])).values(bn15=spaced(numbers[1]).upper()))
    month = world.plan()
    assert {"close": 2, "keep": 1} == month["counts"]
    assert (2, 0) == applied_and_dropped(world, month)


def test_types_that_the_database_keeps_otherwise_move_nobody(tmp_path: Path, postgresql_url: str) -> None:
    numbers = [bn15_of(position) for position in range(2)]
    world = LedgerWorld.make(tmp_path, postgresql_url, numbers).with_policy(breaker=NO_LIMIT)
    for column, kept_as in (("kind", "char(12)"), ("status", "char(20)"), ("amount_cents", "numeric")):
        world.execute(text(f"ALTER TABLE transactions ALTER COLUMN {column} TYPE {kept_as}"))
    world.add("transactions", transaction("half", numbers[0], date(2013, 1, 7)))
    world.execute(text("UPDATE transactions SET amount_cents = 0.25 WHERE transaction_id = 'half'"))
    assert (2, 0) == applied_and_dropped(world, world.plan())


def test_a_feed_that_the_source_does_not_have_moves_nobody(tmp_path: Path, database_url: str) -> None:
    numbers = [bn15_of(0)]
    world = LedgerWorld.make(tmp_path, database_url, numbers)
    world.execute(text("DROP TABLE export_declarations"))
    feeds = {**world.ws.policy.feeds}
    feeds["export_declarations"] = replace(feeds["export_declarations"], exists=False)
    world = world.with_policy(breaker=NO_LIMIT, feeds=feeds)
    month = world.plan()
    # The busy account has imports alone now.
    assert (2, 0) == applied_and_dropped(world, month)
