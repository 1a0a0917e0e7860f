"""A notice whose messages all failed or were stopped reaches nobody: it is counted, shown, and printed as a letter."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import insert, select

from include.bounces import import_bounces
from include.carm.errors import DataError
from include.carm.period import Period
from include.database import write_transaction
from include.deliver import plan_again
from include.explain import _notices_of
from include.notice_intents import owe
from include.notices import ACCOUNT_CHANGES, publish_notices, recipient_key
from include.operations_notice_tables import NOTICE_INTENTS, OUTBOX
from include.operations_statement_tables import ISSUED_MONTHS
from include.owed_notices import print_late_letters
from include.plans import _unreached
from include.statement_registry import tell_seals
from include.tellings import count_contradictions, count_unreached, list_unreached
from include.unsubscribe import suppress
from tests.mail.post import PostOffice, open_post
from tests.notices.months import HASH_KEY, Month, account, decision, delegation
from tests.unsubscribe.reports import fate, put_into_folder, report, returned

A = "000000018RM0001"
DAY = date(2021, 12, 25)
DECEMBER = Period(2021, 12)
CLOSURE = f"closure-{A}-2021-12-25-1.pdf"


@pytest.fixture
def post(tmp_path: Path, sqlite_url: str) -> Iterator[PostOffice]:
    with open_post(tmp_path, sqlite_url) as opened:
        yield opened


def closed(folder: Path, email: str | None, *delegates: str) -> Month:
    """A live month that closed an account and planned the messages about it."""
    month = Month(folder, effects="live")
    month.hold("accounts", [account(A, email=email)])
    month.hold("delegations", [delegation(A, email=one) for one in delegates])
    with write_transaction(month.ws.operations) as connection:
        owe(connection, ("closure", f"{A}/{DAY}", 1), bn15=A, period="2021-12", cause="plan p1", run_id="test")
    run(month)
    return month


def run(month: Month) -> dict[str, Any]:
    changes = pa.Table.from_pylist([decision(A, effective_on=DAY)], ACCOUNT_CHANGES)
    return publish_notices(month.ws, month.facts, recipient_hash_key=HASH_KEY, account_changes=changes)


def stop(month: Month, address: str, reason: str = "bounced") -> None:
    with write_transaction(month.ws.operations) as connection:
        key = recipient_key(address, HASH_KEY)
        assert suppress(connection, [key], reason=reason, on=DAY, source="bounce")["stopped"] == 1


def unreached(month: Month) -> dict[str, str]:
    with month.ws.operations.connect() as connection:
        return {row["kind"]: row["reason"] for row in list_unreached(connection, "2021-12")}


def test_what_the_server_refused_for_good_reaches_nobody(tmp_path: Path, post: PostOffice) -> None:
    month = closed(tmp_path, "never-rcpt@example.org")
    assert unreached(month) == {}
    assert post.send()["failed"] == 1
    assert unreached(month) == {"closure": "failed"}
    with month.ws.operations.connect() as connection:
        assert count_unreached(connection, "2021-12") == {"closure": 1}
        assert count_contradictions(connection) == {}


@pytest.mark.parametrize("reason", ["bounced", "by_hand"])
def test_what_was_stopped_before_it_was_sent_reaches_nobody(tmp_path: Path, reason: str) -> None:
    month = closed(tmp_path, "one@example.org")
    stop(month, "one@example.org", reason)
    assert unreached(month) == {"closure": reason}


def test_what_was_sent_and_came_back_reaches_nobody(tmp_path: Path, post: PostOffice) -> None:
    month = closed(tmp_path, "one@example.org", "delegate@example.org")
    assert post.send()["sent"] == 2
    with month.ws.operations.connect() as connection:
        keys = {row.address: row.message_key for row in connection.execute(select(OUTBOX))}
    for address, what in (("one@example.org", {}), ("delegate@example.org", {"closure": "bounced"})):
        reports = put_into_folder(tmp_path / address, report(fate(address), back=returned(keys[address])))
        assert import_bounces(month.ws, reports, on=DAY, hash_key=HASH_KEY)["dead"] == 1
        assert unreached(month) == what
    with month.ws.operations.connect() as connection:
        assert count_contradictions(connection) == {}


def test_where_one_of_several_is_reached_or_may_be_the_notice_reaches_somebody(
    tmp_path: Path, post: PostOffice
) -> None:
    month = closed(tmp_path, "never-rcpt@example.org", "lost@example.org", "never-rcpt2@example.org")
    counts = post.send()
    assert (counts["failed"], counts["unknown"]) == (2, 1)
    assert unreached(month) == {}


def test_of_several_reasons_the_one_that_says_most_is_told(tmp_path: Path, post: PostOffice) -> None:
    month = closed(tmp_path, "never-rcpt@example.org", "delegate@example.org")
    stop(month, "delegate@example.org")
    post.send()
    assert unreached(month) == {"closure": "bounced"}


def test_a_digest_that_failed_reached_nobody_with_anything_that_it_tells(tmp_path: Path, post: PostOffice) -> None:
    month = Month(tmp_path, effects="live")
    numbers = [f"000000018RM{number:04d}" for number in range(1, 7)]
    month.hold("accounts", [account(bn15, email="never-rcpt@example.org") for bn15 in numbers])
    with write_transaction(month.ws.operations) as connection:
        for bn15 in numbers:
            about = ("closure_coming", f"{bn15}/2021-12", 1)
            owe(connection, about, bn15=bn15, period="2021-12", cause="plan p1", run_id="test")
    publish_notices(month.ws, month.facts, recipient_hash_key=HASH_KEY)
    assert post.send()["failed"] == 1
    with month.ws.operations.connect() as connection:
        assert count_unreached(connection, "2021-12") == {"closure_coming": 6}
        assert [row["bn15"] for row in list_unreached(connection, "2021-12", numbers[2])] == [numbers[2]]


def test_plan_and_why_card_say_that_a_closure_reached_nobody(tmp_path: Path, post: PostOffice) -> None:
    month = closed(tmp_path, "never-rcpt@example.org")
    post.send()
    with month.ws.operations.connect() as connection:
        plan = {"effects": "live", "plan_hash": "p1"}
        assert _unreached(connection, plan) == {"closure": {"failed": 1}}
        assert _unreached(connection, {**plan, "plan_hash": "p2"}) == {}
        (row,) = _notices_of(connection, A, "2021-12")
    assert (row["state"], row["reason"]) == ("unreachable", "failed")


# Letters


def close(month: Month, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue and close the month, which has its notices alone and no summary."""
    with write_transaction(month.ws.operations) as connection:
        issued = {"issued_on": str(DAY), "statements": 0, "statements_sha256": "-", "run_id": "test"}
        connection.execute(insert(ISSUED_MONTHS).values(period="2021-12", **issued))
        tell_seals(connection, "2021-12")
    monkeypatch.setattr("include.owed_notices.close_again", lambda *_: None)
    monkeypatch.setattr("include.owed_notices.applied_changes", lambda *_: changes())


def changes() -> pa.Table:
    return pa.Table.from_pylist([decision(A, effective_on=DAY)], ACCOUNT_CHANGES)


def folder_of(month: Month) -> Path:
    return month.ws.documents("lake") / "notices" / "period=2021-12"


def listed(month: Month, name: str) -> list[tuple[str, ...]]:
    with (folder_of(month) / name).open(encoding="utf-8", newline="") as file:
        return [tuple(row.values()) for row in csv.DictReader(file)]


def test_its_letter_is_printed_once_and_it_counts_as_unreachable(
    tmp_path: Path, post: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    month = closed(tmp_path, "never-rcpt@example.org")
    close(month, monkeypatch)
    assert print_late_letters(month.ws, DECEMBER, run_id="test")["printed"] == 0
    post.send()
    first = print_late_letters(month.ws, DECEMBER, run_id="test")
    assert (first["printed"], first["settled"]) == (1, {"closure": {"failed": 1}})
    assert listed(month, "letters.csv") == [("letters-0001.zip", CLOSURE, "closure", A, "en", "failed")]
    assert listed(month, "unreachable.csv") == [("closure", A, "failed")]
    left = month.files()
    again = print_late_letters(month.ws, DECEMBER, run_id="test")
    assert (again["printed"], again["letters"], again["settled"]) == (0, 1, {})
    assert month.files() == left
    with month.ws.operations.connect() as connection:
        (intent,) = connection.execute(select(NOTICE_INTENTS)).all()
        assert count_contradictions(connection) == {}
    assert (intent.state, intent.reason) == ("unreachable", "failed")


def test_notices_that_are_written_again_keep_the_letter_and_the_list(
    tmp_path: Path, post: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    month = closed(tmp_path, "never-rcpt@example.org")
    close(month, monkeypatch)
    post.send()
    print_late_letters(month.ws, DECEMBER, run_id="test")
    left = (folder_of(month) / "letters-0001.zip").read_bytes()
    run(month)
    assert (folder_of(month) / "letters-0001.zip").read_bytes() == left
    assert listed(month, "unreachable.csv") == [("closure", A, "failed")]
    assert unreached(month) == {"closure": "failed"}
    assert print_late_letters(month.ws, DECEMBER, run_id="test")["printed"] == 0


def test_late_letters_lie_in_packs_after_those_that_may_be_posted(
    tmp_path: Path, post: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    month = closed(tmp_path, None)
    assert listed(month, "letters.csv")[0][0] == "letters-0001.zip"
    left = (folder_of(month) / "letters-0001.zip").read_bytes()
    with write_transaction(month.ws.operations) as connection:
        about = ("closure_coming", f"{A}/2021-12", 1)
        owe(connection, about, bn15=A, period="2021-12", cause="plan p1", run_id="test")
    month.enter("accounts", [account(A, email="never-rcpt@example.org")])
    run(month)
    close(month, monkeypatch)
    post.send()
    assert print_late_letters(month.ws, DECEMBER, run_id="test")["printed"] == 1
    assert [row[0] for row in listed(month, "letters.csv")] == ["letters-0001.zip", "letters-0002.zip"]
    assert (folder_of(month) / "letters-0001.zip").read_bytes() == left


def test_what_is_sent_after_all_reaches_somebody_though_its_letter_was_printed(
    tmp_path: Path, post: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    month = closed(tmp_path, "never-rcpt@example.org")
    close(month, monkeypatch)
    post.send()
    print_late_letters(month.ws, DECEMBER, run_id="test")
    with month.ws.operations.connect() as connection:
        key = connection.execute(select(OUTBOX.c.message_key)).scalar_one()
    plan_again(month.ws, key, reason="the mailbox is there now", recorded_by="clerk")
    assert unreached(month) == {}
    with month.ws.operations.connect() as connection:
        assert count_contradictions(connection) == {}
        (row,) = _notices_of(connection, A, "2021-12")
    assert row["state"] == "told"


def test_a_month_that_is_not_closed_has_no_late_letters(tmp_path: Path) -> None:
    month = closed(tmp_path, None)
    with pytest.raises(DataError, match="2021-12 was not closed by a live run"):
        print_late_letters(month.ws, DECEMBER, run_id="test")
