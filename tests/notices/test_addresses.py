"""What is read of the source's addresses, on either database, and who is not written to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from include.addresses import account_addresses, subscriber_entries
from include.carm.errors import DataError
from include.carm.period import Period
from include.notices import publish_notices
from include.source_schema import TABLES, create_tables
from include.webinar_notices import publish_webinar_notices
from include.workspace import Workspace
from tests.notices.months import HASH_KEY, Month, account, statement, subscriber, webinar

A, B = "000000018RM0001", "000000026RM0001"
DECEMBER = Period(2021, 12)  # its last day is 2021-12-24

Fill = Callable[..., Workspace]


@pytest.fixture
def fill(engine: Engine, tmp_path: Path) -> Fill:
    """Put rows into a table of a source, on SQLite and on PostgreSQL."""

    def filled(table: str, *rows: dict[str, Any]) -> Workspace:
        columns = TABLES[table].columns.keys()
        with engine.begin() as connection:
            create_tables(connection, [table])
            if rows:
                connection.execute(TABLES[table].insert(), [{name: row.get(name) for name in columns} for row in rows])
        return Workspace.open(tmp_path, source_url=engine.url.render_as_string(hide_password=False))

    return filled


def addresses(ws: Workspace) -> set[tuple[str, date, str | None]]:
    rows = account_addresses(ws, DECEMBER).to_pylist()
    assert len({(row["bn15"], row["valid_from"]) for row in rows}) == len(rows)
    return {(row["bn15"], row["valid_from"], row["email"]) for row in rows}


# Accounts

JANUARY = date(2021, 1, 1)


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "is_valid"),
    [
        (date(2021, 12, 24), None, True),
        (date(2021, 12, 25), None, False),
        (JANUARY, date(2021, 12, 25), True),
        (JANUARY, date(2021, 12, 24), False),
    ],
)
def test_an_address_is_of_the_version_valid_on_the_last_day(
    fill: Fill, valid_from: date, valid_to: date | None, is_valid: bool
) -> None:
    ws = fill("accounts", account(A, valid_from=valid_from, valid_to=valid_to, email="a@example.org"))
    assert addresses(ws) == ({(A, valid_from, "a@example.org")} if is_valid else set())


def test_an_account_number_is_read_as_validation_reads_it(fill: Fill) -> None:
    ws = fill("accounts", account(A) | {"bn15": "000000018 rm-0001", "valid_from": JANUARY, "email": None})
    assert addresses(ws) == {(A, JANUARY, None)}


def test_identical_copies_have_one_address_and_differing_ones_none(fill: Fill) -> None:
    one, two = account(A, valid_from=JANUARY, email="a@example.org"), account(B, valid_from=JANUARY)
    ws = fill("accounts", one, one, two | {"email": "b@example.org"}, two | {"email": "other@example.org"})
    assert addresses(ws) == {(A, JANUARY, "a@example.org")}


def test_more_accounts_than_are_fetched_at_once_all_have_their_address(
    fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.source_rows.FETCH_ROWS", 2)
    monkeypatch.setattr("include.source_rows.CHUNK_ROWS", 2)
    numbers = [f"000000018RM{number:04d}" for number in range(1, 6)]
    ws = fill("accounts", *(account(number) for number in numbers))
    assert {(number, date(2015, 1, 1), f"{number.lower()}@example.org") for number in numbers} == addresses(ws)


def test_a_register_without_the_column_says_which(engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE accounts (bn15 TEXT, valid_from DATE)"))
    ws = Workspace.open(tmp_path, source_url=engine.url.render_as_string(hide_password=False))
    with pytest.raises(DataError, match="accounts lacks the column valid_to"):
        account_addresses(ws, DECEMBER)


# The distribution list


def test_an_entry_has_its_days_and_a_hash_of_its_own(fill: Fill) -> None:
    left = date(2021, 11, 1)
    ws = fill("subscribers", subscriber("a@example.org"), subscriber("b@example.org", unsubscribed_on=left))
    entries = subscriber_entries(ws).to_pylist()
    assert [("a@example.org", "en", date(2021, 6, 1), None), ("b@example.org", "en", date(2021, 6, 1), left)] == [
        tuple(entry[name] for name in ("email", "language", "subscribed_on", "unsubscribed_on")) for entry in entries
    ]
    assert len({entry["row_hash"] for entry in entries}) == 2


def test_a_source_without_a_distribution_list_has_no_entries(fill: Fill) -> None:
    assert subscriber_entries(fill("accounts")).num_rows == 0


def test_who_may_have_withdrawn_is_not_on_the_list(sqlite_url: str, tmp_path: Path) -> None:
    # SQLite keeps what it is given; PostgreSQL would not take this day.
    ws = Month(tmp_path).ws
    with ws.source.begin() as connection:
        connection.execute(
            text("INSERT INTO subscribers VALUES ('a@example.org', 'en', '2021-06-01', 'last week')"),
        )
    assert subscriber_entries(ws).num_rows == 0


# Who is written to


def notices_of(month: Month) -> dict[str, Any]:
    return publish_notices(month.ws, month.facts, recipient_hash_key=HASH_KEY)


def test_an_account_that_validation_refused_is_not_written_to(tmp_path: Path) -> None:
    month = Month(tmp_path)
    month.enter("accounts", [account(A)])
    month.seal("statements", [statement(A)])
    outcome = notices_of(month)
    assert (outcome["notices"], outcome["unreachable"]["statement"]) == (0, {"no_address": 1})


def test_the_address_of_another_version_is_not_borrowed(tmp_path: Path) -> None:
    month = Month(tmp_path)
    month.seal("accounts", [account(A)])
    month.enter("accounts", [account(A, valid_from=date(2021, 6, 1), email="later@example.org")])
    month.seal("statements", [statement(A)])
    assert notices_of(month)["unreachable"]["statement"] == {"no_address": 1}


def test_a_version_that_the_month_has_ended_still_lends_its_address(tmp_path: Path) -> None:
    month = Month(tmp_path)
    closed_on = date(2021, 12, 25)
    month.hold("accounts", [account(A)])
    month.enter("accounts", [account(A, valid_to=closed_on), account(A, valid_from=closed_on, status="closed")])
    month.seal("statements", [statement(A)])
    assert notices_of(month)["by_kind"]["statement"] == {"en": 1}


def test_a_corrected_address_is_used_from_the_next_writing_on(tmp_path: Path) -> None:
    month = Month(tmp_path)
    month.hold("accounts", [account(A)])
    month.seal("statements", [statement(A)])
    notices_of(month)
    (before,) = month.rows()
    month.enter("accounts", [account(A, email="corrected@example.org")])
    notices_of(month)
    (after,) = month.rows()
    assert before["recipient_key"] != after["recipient_key"]
    assert before["body_sha256"] == after["body_sha256"]


def test_an_entry_in_quarantine_gets_no_notice(tmp_path: Path) -> None:
    month = Month(tmp_path)
    month.hold("subscribers", [subscriber("refused@example.org"), subscriber("kept@example.org")])
    month.seal("webinars", [webinar()])
    hashes = {entry["email"]: entry["row_hash"] for entry in subscriber_entries(month.ws).to_pylist()}
    # The hash of another feed's row says nothing about the list.
    month.seal(
        "quarantine",
        [
            {"dataset": "subscribers", "row_hash": hashes["refused@example.org"]},
            {"dataset": "webinars", "row_hash": hashes["kept@example.org"]},
        ],
    )
    publish_webinar_notices(month.ws, month.facts, recipient_hash_key=HASH_KEY)
    assert len(month.rows("webinar_notices")) == 1
    month.hold("subscribers", [subscriber("kept@example.org")])
    alone = month.rows("webinar_notices")
    publish_webinar_notices(month.ws, month.facts, recipient_hash_key=HASH_KEY)
    assert alone == month.rows("webinar_notices")
