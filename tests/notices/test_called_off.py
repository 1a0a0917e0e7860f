"""What was undone, or whose address was given up, before its mail went out is not told any more; no more is lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import insert, select, update

from include.carm.errors import DataError
from include.database import write_transaction
from include.notice_intents import Told, about_change, owe, owe_statements
from include.notices import ACCOUNT_CHANGES, publish_notices
from include.operations_notice_tables import DIGEST_TELLINGS, NOTICE_INTENTS, OUTBOX
from include.operations_statement_tables import ISSUED_MONTHS
from include.owed_months import owed_by_month, owed_lines
from include.owed_notices import write_owed
from include.statement_registry import tell_seals
from include.tellings import call_off, count_contradictions
from include.verify import _verify_intents
from tests.mail.post import PostOffice, open_post
from tests.notices.months import HASH_KEY, Month, account, decision, delegation, statement

A = "000000018RM0001"
MANY = [f"000000018RM{number:04d}" for number in range(1, 10)]
DAY = date(2021, 12, 25)
DESK = "desk@example.org"


def closure(bn15: str = A) -> Told:
    return about_change("close", bn15, DAY, None)


def live(folder: Path) -> Month:
    return Month(folder, effects="live")


def run(month: Month, closed: Sequence[str] = (A,)) -> dict[str, Any]:
    changes = pa.Table.from_pylist([decision(bn15, effective_on=DAY) for bn15 in closed], ACCOUNT_CHANGES)
    return publish_notices(month.ws, month.facts, recipient_hash_key=HASH_KEY, account_changes=changes)


def owe_closures(month: Month, *numbers: str) -> None:
    with write_transaction(month.ws.operations) as connection:
        for bn15 in numbers:
            owe(connection, closure(bn15), bn15=bn15, period="2021-12", cause="plan p1", run_id="test")


def undo(month: Month, *notices: Told) -> list[str]:
    with write_transaction(month.ws.operations) as connection:
        return call_off(connection, notices)


def states(month: Month) -> dict[str, str]:
    """What became of the messages, by kind and address."""
    with month.ws.operations.connect() as connection:
        rows = connection.execute(select(OUTBOX)).all()
    return {f"{row.kind} {row.address}": row.state for row in rows}


def intent(month: Month, notice: Told) -> str:
    box = NOTICE_INTENTS.c
    with month.ws.operations.connect() as connection:
        which = box.kind == notice[0], box.about == notice[1], box.version == notice[2]
        return str(connection.execute(select(box.state).where(*which)).scalar_one())


def record(month: Month, address: str, state: str, **values: Any) -> None:
    with write_transaction(month.ws.operations) as connection:
        connection.execute(update(OUTBOX).where(OUTBOX.c.address == address).values(state=state, **values))


def contradictions(month: Month) -> dict[str, int]:
    with month.ws.operations.connect() as connection:
        return count_contradictions(connection)


# Alone


@pytest.fixture
def closed(tmp_path: Path) -> Month:
    """An account that was closed, of which its owner and a delegate are to be told."""
    month = live(tmp_path)
    month.hold("accounts", [account(A, email="owner@example.org")])
    month.hold("delegations", [delegation(A, email="delegate@example.org")])
    owe_closures(month, A)
    run(month)
    return month


def test_what_was_undone_before_its_mail_went_out_is_told_to_nobody(closed: Month) -> None:
    undo(closed, closure())
    assert set(states(closed).values()) == {"called_off"}
    assert intent(closed, closure()) == "called_off"
    assert run(closed)["outbox"] == {"planned": 0, "suppressed": 0}
    assert closed.rows() == []
    assert contradictions(closed) == {}


def test_who_was_told_before_stays_told_and_nobody_else_is(closed: Month) -> None:
    record(closed, "owner@example.org", "sent")
    undo(closed, closure())
    expected = {"closure owner@example.org": "sent", "closure delegate@example.org": "called_off"}
    assert states(closed) == expected
    run(closed)
    assert states(closed) == expected
    assert len(closed.rows()) == 1
    assert contradictions(closed) == {}


@pytest.mark.parametrize(
    ("state", "values", "expected"),
    [
        ("failed", {}, "called_off"),
        ("suppressed", {}, "called_off"),
        ("sending", {"mime_sha256": None}, "called_off"),
        ("sending", {"mime_sha256": "0" * 64}, "sending"),
        ("unknown", {}, "unknown"),
        ("sent", {}, "sent"),
    ],
)
def test_only_what_was_not_begun_is_stopped(closed: Month, state: str, values: dict[str, Any], expected: str) -> None:
    record(closed, "owner@example.org", state, **values)
    undo(closed, closure())
    assert states(closed)["closure owner@example.org"] == expected


def test_what_happens_again_after_it_was_undone_is_told(closed: Month) -> None:
    undo(closed, closure())
    with write_transaction(closed.ws.operations) as connection:
        connection.execute(update(NOTICE_INTENTS).values(state="owed"))
    assert run(closed)["outbox"] == {"planned": 2, "suppressed": 0}
    assert intent(closed, closure()) == "told"


def test_a_sender_that_had_claimed_it_gives_way(tmp_path: Path, sqlite_url: str) -> None:
    with open_post(tmp_path, sqlite_url) as post:
        (first, second) = post.plan("one@example.org", "two@example.org")
        with write_transaction(post.ws.operations) as connection:
            about = ("closure", "000000018RM0001/2022-01-25", 1)
            owe(connection, about, bn15=A, period="2021-12", cause="plan p1", run_id="test")
        _undo_while_it_is_sent(post, about)
        post.send()
        assert len(post.taken.mails) == 1
        assert sorted(post.states().values()) == ["called_off", "sent"]
        assert {first, second} == {post.row(first)["message_key"], post.row(second)["message_key"]}


def _undo_while_it_is_sent(post: PostOffice, about: Told) -> None:
    """Let a person undo the event right after the first of two mails that one sender claimed was taken."""
    take = post.taken.handle_DATA

    async def taken_and_undone(*given: Any) -> str:
        answer = await take(*given)
        with write_transaction(post.ws.operations) as connection:
            call_off(connection, [about])
        return answer

    post.taken.handle_DATA = taken_and_undone  # type: ignore[method-assign]


# In a digest


def told_by_digest(month: Month) -> list[str]:
    with month.ws.operations.connect() as connection:
        return sorted(connection.execute(select(DIGEST_TELLINGS.c.about)).scalars())


@pytest.fixture
def desk(tmp_path: Path) -> Month:
    """A desk with six clients, whose statements and one closure are in one digest."""
    month = live(tmp_path)
    numbers = MANY[:6]
    month.hold("accounts", [account(bn15, email=DESK) for bn15 in numbers])
    month.seal("statements", [statement(bn15) for bn15 in numbers])
    with write_transaction(month.ws.operations) as connection:
        owe_statements(connection, "2021-12", [(bn15, 1) for bn15 in numbers], "test")
    owe_closures(month, A)
    run(month)
    assert states(month) == {f"digest {DESK}": "planned"}
    return month


def test_a_digest_that_tells_it_among_others_is_kept_back_and_the_rest_is_told_anew(desk: Month) -> None:
    assert undo(desk, closure()) == ["2021-12"]
    assert states(desk) == {f"digest {DESK}": "called_off"}
    assert intent(desk, ("statement", f"{A}/2021-12", 1)) == "owed"
    run(desk)
    assert states(desk) == {f"digest {DESK}": "planned"}
    assert told_by_digest(desk) == [f"{bn15}/2021-12" for bn15 in MANY[:6]]
    assert intent(desk, ("statement", f"{A}/2021-12", 1)) == "told"
    assert contradictions(desk) == {}


def test_where_little_is_left_of_a_digest_it_is_told_alone(desk: Month) -> None:
    undo(desk, closure(), *(("statement", f"{bn15}/2021-12", 1) for bn15 in MANY[:2]))
    run(desk)
    assert states(desk) == {f"digest {DESK}": "called_off", f"statement {DESK}": "planned"}
    assert told_by_digest(desk) == []
    assert len(desk.rows()) == 4
    assert contradictions(desk) == {}


def test_a_digest_that_went_out_told_all_that_it_tells(desk: Month) -> None:
    record(desk, DESK, "sent")
    assert undo(desk, closure()) == []
    assert intent(desk, closure()) == "told"
    assert run(desk)["outbox"] == {"planned": 0, "suppressed": 0}


def test_a_closed_month_that_owes_the_rest_is_named_until_it_is_written_again(
    desk: Month, monkeypatch: pytest.MonkeyPatch
) -> None:
    with write_transaction(desk.ws.operations) as connection:
        issued = {"issued_on": str(DAY), "statements": 6, "statements_sha256": "-", "run_id": "test"}
        connection.execute(insert(ISSUED_MONTHS).values(period="2021-12", **issued))
        tell_seals(connection, "2021-12")
    # The month has its notices alone, and nothing to make a summary of.
    monkeypatch.setattr("include.owed_notices.close_again", lambda *_: None)
    assert write_owed(desk.ws, recipient_hash_key=HASH_KEY, run_id="test") == []
    undo(desk, closure())
    with desk.ws.operations.connect() as connection:
        (line,) = owed_lines(owed_by_month(connection))
        assert line == "Notices of 2021-12 that nobody was told of yet: statement 6; carm notices write"
        with pytest.raises(DataError, match="that nobody was told of yet: statement 6"):
            _verify_intents(connection)
    (written,) = write_owed(desk.ws, recipient_hash_key=HASH_KEY, run_id="test")
    assert (written["period"], written["owed"]) == ("2021-12", {"statement": 6})
    assert states(desk) == {f"digest {DESK}": "planned"}
    with desk.ws.operations.connect() as connection:
        assert owed_by_month(connection) == []
        assert _verify_intents(connection) == 7


# An address that was given up


def test_what_waits_for_an_address_that_was_wrong_is_not_sent_there(tmp_path: Path) -> None:
    month = live(tmp_path)
    month.hold("accounts", [account(A, email="somebody.else@example.net")])
    month.seal("statements", [statement(A)])
    with write_transaction(month.ws.operations) as connection:
        owe_statements(connection, "2021-12", [(A, 1)], "test")
    run(month, [])
    month.enter("accounts", [account(A, email="right@example.org")])
    run(month, [])
    assert states(month) == {
        "statement somebody.else@example.net": "called_off",
        "statement right@example.org": "planned",
    }
    month.enter("accounts", [account(A, email=None)])
    run(month, [])
    assert set(states(month).values()) == {"called_off"}
    assert intent(month, ("statement", f"{A}/2021-12", 1)) == "unreachable"
    assert contradictions(month) == {}
    month.enter("accounts", [account(A, email="right@example.org")])
    run(month, [])
    assert states(month)["statement right@example.org"] == "planned"


def test_a_digest_for_an_address_that_was_wrong_is_not_sent_there(desk: Month) -> None:
    desk.enter("accounts", [account(bn15, email="other@example.org") for bn15 in MANY[:6]])
    run(desk)
    assert states(desk) == {f"digest {DESK}": "called_off", "digest other@example.org": "planned"}
    assert len(told_by_digest(desk)) == 7
    assert contradictions(desk) == {}


def test_who_was_told_at_an_address_that_was_wrong_is_not_taken_for_untold(closed: Month) -> None:
    record(closed, "owner@example.org", "sent")
    closed.enter("accounts", [account(A, email=None)])
    closed.enter("delegations", [])
    run(closed)
    assert intent(closed, closure()) == "told"
    assert states(closed)["closure delegate@example.org"] == "called_off"
    assert contradictions(closed) == {}
