"""What was told to whom, read alike from SQLite and from PostgreSQL."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.engine import Connection, Engine

from include.notice_intents import notices_of_account, owe, owed_events, settle, still_owed
from include.operations_metadata import METADATA
from include.operations_notice_tables import OUTBOX
from include.operations_plan_tables import ACCOUNT_CHANGES, REINSTATEMENTS
from include.tellings import (
    TOLD,
    TOLD_ELSEWHERE,
    count_contradictions,
    count_unreached,
    record_digests,
    take_over_early,
    told_elsewhere,
    told_in,
)

A, B = "000000018RM0001", "000000026RM0001"


@pytest.fixture
def connection(engine: Engine) -> Any:
    METADATA.create_all(engine)
    with engine.begin() as connection:
        yield connection


def filled(table: Any, **given: Any) -> dict[str, Any]:
    """A row with something in every column that must have something."""
    fillers: dict[type, Any] = {int: 0, str: "-", date: date(2021, 12, 25)}
    return {column.name: fillers[column.type.python_type] for column in table.columns if not column.nullable} | given


def put(connection: Connection, kind: str, about: str, **given: Any) -> str:
    """A message of the outbox; returns its key."""
    row = {"version": 1, "recipient_key": "r1", "period": "2021-12", "state": "planned", "kind": kind, "about": about}
    row |= given
    key = "|".join(str(row[name]) for name in ("kind", "recipient_key", "about", "version"))
    connection.execute(insert(OUTBOX).values(filled(OUTBOX, message_key=key, **row)))
    return key


def test_what_was_told_alone_and_in_a_digest_is_told(connection: Connection) -> None:
    put(connection, "statement", f"{A}/2021-12")
    put(connection, "statement", f"{B}/2021-12", state="sealed")
    put(connection, "statement", f"{A}/2022-01", period="2022-01")
    key = put(connection, "digest", "digest/2021-12", version=2, recipient_key="r2")
    record_digests(connection, {key: [("closure", f"{A}/2021-12-25", 1), ("mfa", f"{B}/2021-Q4", 1)]})
    # What is on record of a digest stays as it is.
    record_digests(connection, {key: [("closure", "another", 1)]})
    told = told_in(connection, "2021-12")
    assert told.schema == TOLD
    assert {tuple(row.values()) for row in told.to_pylist()} == {
        ("r1", "statement", f"{A}/2021-12", 1, None),
        ("r2", "closure", f"{A}/2021-12-25", 1, 2),
        ("r2", "mfa", f"{B}/2021-Q4", 1, 2),
    }


def test_a_month_without_messages_told_nothing(connection: Connection) -> None:
    assert told_in(connection, "2021-12") == TOLD.empty_table()
    assert told_elsewhere(connection, "2021-12", "/2021-Q4") == TOLD_ELSEWHERE.empty_table()


def test_only_what_is_told_once_and_elsewhere_is_left_out(connection: Connection) -> None:
    put(connection, "mfa", f"{A}/2021-Q4", period="2021-11")
    put(connection, "mfa", f"{A}/2021-Q3", period="2021-09")
    put(connection, "mfa", f"{B}/2021-Q4")
    put(connection, "reinstatement", f"{A}/2022-01-10", version=2, period="2021-11")
    put(connection, "statement", f"{A}/2021-11", period="2021-11")
    found = told_elsewhere(connection, "2021-12", "/2021-Q4").to_pylist()
    assert {tuple(row.values()) for row in found} == {
        ("mfa", f"{A}/2021-Q4", 1),
        ("reinstatement", f"{A}/2022-01-10", 2),
    }


def test_what_is_owed_comes_with_what_happened(connection: Connection) -> None:
    change = {"bn15": A, "plan_hash": "p", "program_type": "dual", "new_program_type": "exporter"}
    connection.execute(insert(ACCOUNT_CHANGES).values(filled(ACCOUNT_CHANGES, **change)))
    undo = {"reinstatement_no": 7, "bn15": A, "undoes": "convert", "plan_hash": "p", "effective_on": date(2022, 1, 10)}
    connection.execute(insert(REINSTATEMENTS).values(filled(REINSTATEMENTS, **undo)))
    common = {"period": "2021-12", "run_id": "test"}
    owe(connection, ("reinstatement", f"{A}/2022-01-10", 1), bn15=A, cause="reinstatement 7", **common)
    owe(connection, ("closure_coming", f"{B}/2021-12", 1), bn15=B, cause="plan p", **common)
    owe(connection, ("closure", f"{B}/2021-12-25", 1), bn15=B, cause="plan p", **common)
    owe(connection, ("statement", f"{B}/2021-12", 2), bn15=B, cause="act 1", **common)
    coming, undone = owed_events(connection, "2021-12")
    assert (coming["kind"], coming["bn15"], coming["effective_on"], coming["undoes"]) == (
        "closure_coming",
        B,
        None,
        None,
    )
    assert {name: undone[name] for name in ("undoes", "program_type", "new_program_type", "effective_on")} == {
        "undoes": "convert",
        "program_type": "dual",
        "new_program_type": "exporter",
        "effective_on": date(2022, 1, 10),
    }
    assert still_owed(connection, "2021-12") == {"closure": 1, "closure_coming": 1, "reinstatement": 1}
    settle(connection, [], {("closure", f"{B}/2021-12-25", 1): "no_address"})
    assert count_unreached(connection, "2021-12") == {"closure": 1}
    told = [(row["kind"], row["state"], row["reason"]) for row in notices_of_account(connection, B, "2021-12")]
    assert told == [
        ("closure", "unreachable", "no_address"),
        ("closure_coming", "owed", None),
        ("statement", "owed", None),
    ]


def test_what_is_owed_from_before_any_month_becomes_the_first_months(connection: Connection) -> None:
    owe(connection, ("reinstatement", "x", 1), bn15=A, period="0001-01", cause="reinstatement 1", run_id="test")
    take_over_early(connection, "2021-12")
    assert still_owed(connection, "2021-12") == {"reinstatement": 1}


def test_contradictions_are_counted_both_ways(connection: Connection) -> None:
    common = {"bn15": A, "period": "2021-12", "cause": "plan p", "run_id": "test"}
    for about in ("told", "told by digest", "told to nobody", "owed with a message"):
        owe(connection, ("closure", about, 1), **common)
    settle(connection, [("closure", about, 1) for about in ("told", "told by digest", "told to nobody")], {})
    put(connection, "closure", "told")
    put(connection, "closure", "owed with a message")
    put(connection, "closure", "told to nobody", state="sealed")
    key = put(connection, "digest", "digest/2021-12")
    record_digests(connection, {key: [("closure", "told by digest", 1)]})
    assert count_contradictions(connection) == {"told_without_message": 1, "message_without_telling": 1}
