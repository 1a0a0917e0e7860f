"""The words of people and what follows from them: events, suppressions, messages that are stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import StaticPool

from include import unsubscribe as words
from include.carm.errors import Refused, UsageError
from include.database import connect_engine, write_transaction
from include.operations_notice_tables import SUBSCRIPTION_EVENTS, SUPPRESSIONS
from include.operations_tables import METADATA
from include.unsubscribe import lift, lift_older, require_true_key, subscribe, suppress, suppressed, unsubscribe
from tests.unsubscribe.outbox import (
    ADDRESS,
    HASH_KEY,
    READER,
    create_tables,
    everything,
    key_of,
    message,
    post,
    rows,
    states,
)

MONDAY, TUESDAY, WEDNESDAY = date(2022, 1, 10), date(2022, 1, 11), date(2022, 1, 12)


def leave(engine: Engine, on: date = MONDAY, source: str = "one_click") -> dict[str, Any]:
    with write_transaction(engine) as connection:
        return unsubscribe(connection, READER, on=on, source=source)


def join(engine: Engine, on: date = MONDAY, address: str = ADDRESS, **changed: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"language": "en", "consent": "asked by e-mail", "source": "command"} | changed
    with write_transaction(engine) as connection:
        return subscribe(connection, address, on=on, hash_key=HASH_KEY, **said)


def block(engine: Engine, *addresses: str, on: date = MONDAY) -> dict[str, int]:
    with write_transaction(engine) as connection:
        return suppress(connection, [key_of(a) for a in addresses], reason="bounced", on=on, source="bounce")


def scopes(engine: Engine) -> dict[str, date]:
    return {row["scope"]: row["since"] for row in rows(engine, SUPPRESSIONS)}


def test_who_leaves_is_written_down_once_without_an_address(engine: Engine) -> None:
    create_tables(engine)
    assert leave(engine) == {"is_new": True, "is_off": True, "stopped": 0}
    assert leave(engine) == {"is_new": False, "is_off": True, "stopped": 0}
    (event,) = rows(engine, SUBSCRIPTION_EVENTS)
    assert event == {
        "event_no": 1,
        "recipient_key": READER,
        "address": None,
        "language": None,
        "event": "unsubscribed",
        "recorded_on": MONDAY,
        "source": "one_click",
        "consent": None,
    }
    (standing,) = rows(engine, SUPPRESSIONS)
    said = {"scope": "list", "reason": "unsubscribed", "since": MONDAY, "source": "one_click"}
    assert standing == {"recipient_key": READER, **said}


def test_saying_it_again_later_moves_the_day_and_adds_no_event(tables: Engine) -> None:
    """An entry of the source may lie between, and the last word must be the last."""
    leave(tables, MONDAY)
    leave(tables, WEDNESDAY)
    leave(tables, TUESDAY)
    assert scopes(tables) == {"list": WEDNESDAY}
    assert [event["recorded_on"] for event in rows(tables, SUBSCRIPTION_EVENTS)] == [MONDAY]


def test_a_later_subscription_lifts_the_list_and_one_of_the_same_day_does_not(engine: Engine) -> None:
    create_tables(engine)
    leave(engine, MONDAY)
    assert join(engine, MONDAY)["is_on"] is False
    assert scopes(engine) == {"list": MONDAY}
    assert join(engine, TUESDAY)["is_on"] is True
    assert scopes(engine) == {}
    assert leave(engine, TUESDAY)["is_new"] is True
    assert scopes(engine) == {"list": TUESDAY}


def test_a_subscription_never_lifts_what_stops_all_messages(tables: Engine) -> None:
    block(tables, ADDRESS)
    leave(tables, MONDAY)
    assert join(tables, TUESDAY)["not_written_to"] == "bounced"
    assert scopes(tables) == {"all": MONDAY}


def test_a_word_that_is_entered_late_does_not_undo_a_later_one(tables: Engine) -> None:
    join(tables, WEDNESDAY)
    post(tables, message())
    assert leave(tables, TUESDAY) == {"is_new": True, "is_off": False, "stopped": 0}
    assert leave(tables, TUESDAY)["is_new"] is False
    assert (scopes(tables), states(tables)) == ({}, {("webinar", "webinars/2022-01"): "planned"})


def test_a_subscription_keeps_its_address_language_and_consent(tables: Engine) -> None:
    facts = join(tables, address="  Reader@Example.ORG ", language="both", consent=" asked  by telephone ")
    assert facts == {"recipient_key": READER, "is_new": True, "is_on": True, "not_written_to": None}
    (event,) = rows(tables, SUBSCRIPTION_EVENTS)
    kept = {name: event[name] for name in ("recipient_key", "address", "language", "consent", "event", "source")}
    assert kept == {
        "recipient_key": READER,
        "address": ADDRESS,
        "language": "both",
        "consent": "asked by telephone",
        "event": "subscribed",
        "source": "command",
    }
    assert join(tables, language="both", consent="asked by telephone")["is_new"] is False
    assert join(tables, language="fr", consent="asked by telephone")["is_new"] is True
    assert [event["event_no"] for event in rows(tables, SUBSCRIPTION_EVENTS)] == [1, 2]


@pytest.mark.parametrize(
    ("changed", "message_"),
    [
        ({"address": "Reader <reader@example.org>"}, "mail cannot use this address"),
        ({"address": ""}, "mail cannot use this address"),
        ({"address": "reader@example.org\nBcc: other@example.org"}, "mail cannot use this address"),
        ({"language": "de"}, "the language is 'de': write one of en, fr, both"),
        ({"consent": "  "}, "a subscription needs its consent"),
        ({"consent": "x" * 501}, "a subscription needs its consent"),
        ({"consent": "asked\u202e"}, r"the consent has a character that cannot be seen"),
    ],
)
def test_what_cannot_be_subscribed_is_refused_without_the_address(
    tables: Engine, changed: dict[str, Any], message_: str
) -> None:
    with pytest.raises(UsageError, match=message_) as refused:
        join(tables, **changed)
    assert "reader" not in str(refused.value).lower()
    assert rows(tables, SUBSCRIPTION_EVENTS) == []


# --- The outbox -------------------------------------------------------------------------------------------------


def test_leaving_stops_what_is_planned_of_the_list_and_nothing_else(engine: Engine) -> None:
    create_tables(engine)
    post(
        engine,
        message(),
        message(kind="quarterly", about="quarterly/2021-Q4"),
        message(kind="statement", about="000000018RM0001/2021-12"),
        message(about="webinars/2021-12", state="sent"),
        message(about="webinars/2021-11", state="sending"),
        message(about="webinars/2021-10", state="sealed"),
        message("other@example.org", about="webinars/2022-01 for another"),
    )
    assert leave(engine)["stopped"] == 2
    assert states(engine) == {
        ("webinar", "webinars/2022-01"): "suppressed",
        ("quarterly", "quarterly/2021-Q4"): "suppressed",
        ("statement", "000000018RM0001/2021-12"): "planned",
        ("webinar", "webinars/2021-12"): "sent",
        ("webinar", "webinars/2021-11"): "sending",
        ("webinar", "webinars/2021-10"): "sealed",
        ("webinar", "webinars/2022-01 for another"): "planned",
    }


def test_what_was_planned_after_somebody_left_is_stopped_when_it_is_said_again(tables: Engine) -> None:
    leave(tables)
    post(tables, message())
    assert leave(tables) == {"is_new": False, "is_off": True, "stopped": 1}


def test_who_is_not_written_to_gets_nothing_that_is_planned(tables: Engine) -> None:
    post(tables, message(), message(kind="statement", about="s"), message(kind="closure", about="c", state="sent"))
    assert block(tables, ADDRESS, "other@example.org") == {"suppressed": 2, "suppressed_before": 0, "stopped": 2}
    assert block(tables, ADDRESS, on=TUESDAY) == {"suppressed": 0, "suppressed_before": 1, "stopped": 0}
    assert scopes(tables) == {"all": MONDAY}
    kept = {("webinar", "webinars/2022-01"): "suppressed", ("statement", "s"): "suppressed", ("closure", "c"): "sent"}
    assert states(tables) == kept


def test_all_of_it_is_undone_with_the_transaction(tables: Engine) -> None:
    post(tables, message())
    before = everything(tables)

    def leave_and_fail() -> None:
        with write_transaction(tables) as connection:
            unsubscribe(connection, READER, on=MONDAY, source="page")
            suppress(connection, [READER], reason="by_hand", on=MONDAY, source="command")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        leave_and_fail()
    assert everything(tables) == before


# --- Who is not written to --------------------------------------------------------------------------------------


def test_what_is_lifted_leaves_the_list_as_it_is(tables: Engine) -> None:
    leave(tables)
    block(tables, ADDRESS)
    with write_transaction(tables) as connection:
        assert lift(connection, READER) == "bounced"
    assert scopes(tables) == {"list": MONDAY}
    with pytest.raises(Refused, match="nothing to lift"), write_transaction(tables) as connection:
        lift(connection, READER)


def test_who_gets_nothing_gets_nothing_of_the_list_either(tables: Engine) -> None:
    leave(tables)
    block(tables, "dead@example.org")
    dead, asked = key_of("dead@example.org"), [READER, key_of("dead@example.org"), key_of("other@example.org")]
    with tables.connect() as connection:
        assert suppressed(connection, asked, "list") == {READER, dead}
        assert suppressed(connection, asked, "all") == {dead}
        assert suppressed(connection, [], "all") == set()
        with pytest.raises(ValueError, match="not of 'webinar'"):
            suppressed(connection, asked, "webinar")


def test_more_people_than_a_question_takes(tables: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "KEYS_A_QUERY", 3)
    people = [f"reader{n}@example.org" for n in range(10)]
    post(tables, *(message(address, about=address) for address in people))
    assert block(tables, *people[:7]) == {"suppressed": 7, "suppressed_before": 0, "stopped": 7}
    assert block(tables, *people) == {"suppressed": 3, "suppressed_before": 7, "stopped": 3}
    with tables.connect() as connection:
        assert len(suppressed(connection, [key_of(address) for address in people], "list")) == 10


def test_who_came_back_in_the_source_is_lifted_by_the_day(tables: Engine) -> None:
    leave(tables, TUESDAY)
    block(tables, ADDRESS, on=MONDAY)
    for day, lifted in ((MONDAY, 0), (TUESDAY, 0), (WEDNESDAY, 1), (WEDNESDAY, 0)):
        with write_transaction(tables) as connection:
            assert lift_older(connection, {READER: day, key_of("other@example.org"): day}) == lifted
    assert scopes(tables) == {"all": MONDAY}
    # And who leaves once more after that is heard once more.
    assert leave(tables, WEDNESDAY) == {"is_new": True, "is_off": True, "stopped": 0}


@pytest.mark.parametrize("kept_in", ["outbox", "events"])
def test_a_key_that_is_not_the_one_of_the_tables_is_refused(tables: Engine, kept_in: str) -> None:
    with tables.connect() as connection:
        require_true_key(connection, b"another key of these tests")
    if kept_in == "outbox":
        post(tables, message())
    else:
        leave(tables)
        join(tables)
    with tables.connect() as connection:
        require_true_key(connection, HASH_KEY)
        with pytest.raises(UsageError, match="is not the one with which messages were written"):
            require_true_key(connection, b"another key of these tests")


def test_two_clicks_at_once_are_one_on_postgresql(postgresql_url: str) -> None:
    engine = create_tables(connect_engine(postgresql_url, wait_seconds=20))
    post(engine, message())
    with ThreadPoolExecutor(1) as other, write_transaction(engine) as connection:
        assert unsubscribe(connection, READER, on=MONDAY, source="page")["is_new"] is True
        second = other.submit(leave, engine)
        with engine.connect() as looking:
            _wait_until(lambda: _waiting(looking) > 0)
        connection.commit()
        assert second.result(timeout=20) == {"is_new": False, "is_off": True, "stopped": 0}
    assert len(rows(engine, SUBSCRIPTION_EVENTS)) == 1


def _waiting(connection: Connection) -> int:
    """How many sessions wait for a lock in this database."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'carm_subscription_events'::regclass"
    return int(connection.exec_driver_sql(query).scalar_one())


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "nobody waits: the second click was not held back"
        time.sleep(0.02)


# --- Any order of words -----------------------------------------------------------------------------------------

steps = st.lists(st.tuples(st.sampled_from(["join", "leave", "block", "lift"]), st.integers(1, 4)), max_size=12)


@given(steps)
def test_the_last_word_by_date_holds_whatever_order_it_is_entered_in(steps: list[tuple[str, int]]) -> None:
    memory = create_engine("sqlite://", poolclass=StaticPool)
    METADATA.create_all(memory, [SUBSCRIPTION_EVENTS, SUPPRESSIONS, words.OUTBOX])
    joined = left = 0
    is_blocked = False
    with memory.begin() as connection:
        for verb, number in steps:
            day = date(2022, 1, number)
            if verb == "join":
                subscribe(connection, ADDRESS, "en", consent="x", on=day, source="command", hash_key=HASH_KEY)
                joined = max(joined, number)
            elif verb == "leave":
                unsubscribe(connection, READER, on=day, source="page")
                left = max(left, number)
            elif verb == "block":
                suppress(connection, [READER], reason="by_hand", on=day, source="command")
                is_blocked = True
            elif is_blocked:
                lift(connection, READER)
                is_blocked = False
            is_off = left >= joined and left > 0
            assert suppressed(connection, [READER], "all") == ({READER} if is_blocked else set())
            assert suppressed(connection, [READER], "list") == ({READER} if is_blocked or is_off else set())
    memory.dispose()
