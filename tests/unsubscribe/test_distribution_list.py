"""Who is on the list: the entries of the source and what people said since, by the date of the last word."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include import engine
from include.carm.errors import UsageError
from include.carm.recipients import recipient_key
from include.database import write_transaction
from include.distribution_list import (
    EVENTS,
    LIST_ENTRIES,
    STANDING,
    count_lines,
    count_list,
    enter_subscription,
    enter_suppression,
    enter_withdrawal,
    list_relations,
)
from include.operations_notice_tables import SUBSCRIPTION_EVENTS, SUPPRESSIONS
from include.unsubscribe import suppressed, unsubscribe
from include.webinar_notices import publish_webinar_notices
from tests.notices.months import Month, subscriber, webinar
from tests.unsubscribe.outbox import ADDRESS, HASH_KEY, READER, key_of, rows

ISSUED = date(2021, 12, 25)
DAY = timedelta(days=1)
SCHEMAS = {
    "quarantine": pa.schema([("dataset", pa.string()), ("row_hash", pa.string())]),
    "subscriber_entries": LIST_ENTRIES,
    "subscription_events": EVENTS,
    "suppressions": STANDING,
}


def entry(subscribed_on: date | None, unsubscribed_on: date | None = None, **changed: Any) -> dict[str, Any]:
    row = {"recipient_key": READER, "address": ADDRESS, "language": "en", "row_hash": "its hash"}
    return row | {"subscribed_on": subscribed_on, "unsubscribed_on": unsubscribed_on} | changed


def event(said: str, on: date, **changed: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"recipient_key": READER, "event": said, "recorded_on": on}
    if said == "subscribed":
        row |= {"address": ADDRESS, "language": "fr"}
    return row | changed


def standing(scope: str, since: date) -> dict[str, Any]:
    return {"recipient_key": READER, "scope": scope, "reason": "unsubscribed", "since": since}


def people(**relations: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Address, language and state of everybody on the list, on the day of issue."""
    tables = {
        name: pa.Table.from_pylist(
            [{column: row.get(column) for column in schema.names} for row in relations.get(name, [])], schema
        )
        for name, schema in SCHEMAS.items()
    }
    with engine.connect() as con:
        found = engine.run_table(con, "derive_distribution_list", tables, {"issued_on": ISSUED}).to_pylist()
    return [(row["address"], row["language"], row["state"]) for row in found]


BEFORE, AFTER, LONG_AGO = ISSUED - DAY, ISSUED + DAY, date(2021, 1, 1)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        # Entered by hand, up to the day of issue.
        ({"subscription_events": [event("subscribed", BEFORE)]}, "subscribed"),
        ({"subscription_events": [event("subscribed", ISSUED)]}, "subscribed"),
        ({"subscription_events": [event("subscribed", AFTER)]}, None),
        # Left by the link: nobody who was never on the list, and everybody else on the day and after.
        ({"subscription_events": [event("unsubscribed", BEFORE)]}, None),
        (
            {
                "subscriber_entries": [entry(BEFORE)],
                "subscription_events": [event("unsubscribed", BEFORE - DAY)],
            },
            "subscribed",
        ),
        (
            {"subscriber_entries": [entry(BEFORE)], "subscription_events": [event("unsubscribed", BEFORE)]},
            "unsubscribed",
        ),
        (
            {"subscriber_entries": [entry(BEFORE)], "subscription_events": [event("unsubscribed", ISSUED)]},
            "unsubscribed",
        ),
        # The source says that somebody left, and a person entered the return; and the other way round.
        (
            {
                "subscriber_entries": [entry(LONG_AGO, BEFORE - DAY)],
                "subscription_events": [event("subscribed", BEFORE)],
            },
            "subscribed",
        ),
        (
            {"subscriber_entries": [entry(LONG_AGO, BEFORE)], "subscription_events": [event("subscribed", BEFORE)]},
            "unsubscribed",
        ),
        # A suppression counts as it stands now, whenever it came; one of the list only until a later subscription.
        ({"subscriber_entries": [entry(BEFORE)], "suppressions": [standing("list", AFTER)]}, "unsubscribed"),
        ({"subscriber_entries": [entry(BEFORE)], "suppressions": [standing("list", BEFORE)]}, "unsubscribed"),
        ({"subscriber_entries": [entry(BEFORE)], "suppressions": [standing("list", LONG_AGO)]}, "subscribed"),
        ({"subscriber_entries": [entry(BEFORE)], "suppressions": [standing("all", LONG_AGO)]}, "suppressed"),
        ({"subscriber_entries": [entry(BEFORE)], "suppressions": [standing("all", AFTER)]}, "suppressed"),
    ],
)
def test_the_last_word_counts_wherever_it_stands(said: dict[str, list[dict[str, Any]]], state: str | None) -> None:
    assert [state] * (state is not None) == [found for _, _, found in people(**said)]


def test_what_is_entered_for_a_refused_entry_counts_alone() -> None:
    refused = [{"dataset": "subscribers", "row_hash": "its hash"}]
    entries = [entry(BEFORE)]
    assert people(subscriber_entries=entries, quarantine=refused) == []
    said = [event("subscribed", LONG_AGO)]
    assert people(subscriber_entries=entries, quarantine=refused, subscription_events=said) == [
        (ADDRESS, "fr", "subscribed")
    ]


@pytest.mark.parametrize(("entered_on", "language"), [(BEFORE - DAY, "en"), (BEFORE, "both"), (ISSUED, "fr")])
def test_the_later_wish_for_a_language_wins(entered_on: date, language: str) -> None:
    said = [event("subscribed", entered_on)]
    assert people(subscriber_entries=[entry(BEFORE)], subscription_events=said) == [(ADDRESS, language, "subscribed")]


def test_entries_without_an_address_stay_to_be_counted() -> None:
    nobody = entry(BEFORE, recipient_key=None, address=None)
    assert people(subscriber_entries=[nobody, nobody], suppressions=[standing("all", BEFORE)]) == [
        (None, "en", "subscribed")
    ]


days = st.integers(-3, 3).map(lambda number: ISSUED + number * DAY)
entries = st.lists(st.tuples(days, st.none() | days), max_size=3)
events = st.lists(st.tuples(st.sampled_from(["subscribed", "unsubscribed"]), days), max_size=4)


@given(entries, events)
def test_the_list_is_what_a_loop_over_all_words_says(
    entries: list[tuple[date, date | None]], events: list[tuple[str, date]]
) -> None:
    known = [(joined, left) for joined, left in entries if joined <= ISSUED]
    joined = [day for day, _ in known] + [day for said, day in events if said == "subscribed" and day <= ISSUED]
    left = [day for _, day in known if day and day <= ISSUED]
    left += [day for said, day in events if said == "unsubscribed" and day <= ISSUED]
    expected = [] if not joined else ["unsubscribed" if left and max(left) >= max(joined) else "subscribed"]
    found = people(
        subscriber_entries=[entry(*days) for days in entries], subscription_events=[event(*said) for said in events]
    )
    assert expected == [state for _, _, state in found]


# --- A month ----------------------------------------------------------------------------------------------------


@pytest.fixture
def month(tmp_path: Path) -> Month:
    month = Month(tmp_path)
    month.seal("webinars", [webinar()])
    return month


def recipients(month: Month) -> set[str]:
    publish_webinar_notices(month.ws, month.facts, recipient_hash_key=HASH_KEY)
    return {row["recipient_key"] for row in month.rows("webinar_notices")}


def leave(month: Month, address: str, on: date) -> None:
    with write_transaction(month.ws.operations) as connection:
        unsubscribe(connection, key_of(address), on=on, source="one_click")


def test_a_month_writes_to_who_is_entered_by_hand_and_not_to_who_left(month: Month) -> None:
    left, stays, entered = "Left@example.org ", "stays@example.org", "entered@example.org"
    month.hold("subscribers", [subscriber(left), subscriber(stays)])
    assert recipients(month) == {key_of("left@example.org"), key_of(stays)}
    leave(month, "left@example.org", ISSUED + 400 * DAY)
    enter_subscription(month.ws, entered, "fr", consent="asked by e-mail", on=ISSUED, person="clerk", hash_key=HASH_KEY)
    enter_subscription(month.ws, stays, "fr", consent="asked by e-mail", on=ISSUED, person="clerk", hash_key=HASH_KEY)
    assert recipients(month) == {key_of(stays), key_of(entered)}
    assert {row["language"] for row in month.rows("webinar_notices")} == {"fr"}
    enter_suppression(month.ws, stays, on=ISSUED, person="clerk", hash_key=HASH_KEY)
    assert recipients(month) == {key_of(entered)}


def test_the_keys_of_the_list_are_those_of_the_messages(month: Month) -> None:
    """Else nobody who leaves by the link of a message would be found among the entries of the source."""
    month.hold(
        "subscribers", [subscriber(text) for text in ("Eva.CA@Example.org", "  I.OS@example.org ", "s@XN--ZCA.example")]
    )
    entries = list_relations(month.ws, HASH_KEY)["subscriber_entries"]
    assert recipients(month) == set(entries["recipient_key"].to_pylist())
    assert len(entries) == 3


@pytest.mark.parametrize("effects", ["live", "shadow"])
def test_only_a_live_month_takes_note_of_who_came_back_in_the_source(month: Month, effects: str) -> None:
    month.facts["effects"] = effects
    leave(month, ADDRESS, date(2021, 7, 1))
    month.hold("subscribers", [subscriber(), subscriber(subscribed_on=date(2021, 8, 1))])
    assert recipients(month) == {READER}
    with month.ws.operations.connect() as connection:
        assert suppressed(connection, [READER], "list") == (set() if effects == "live" else {READER})


def test_the_list_is_counted_without_an_address(month: Month) -> None:
    month.hold("subscribers", [subscriber(f"{name}@example.org", language="fr") for name in "abc"])
    enter_subscription(
        month.ws, ADDRESS, "both", consent="asked by e-mail", on=ISSUED, person="clerk", hash_key=HASH_KEY
    )
    enter_withdrawal(month.ws, "a@example.org", on=ISSUED, person="clerk", hash_key=HASH_KEY)
    enter_suppression(month.ws, "b@example.org", on=ISSUED, person="clerk", hash_key=HASH_KEY)
    facts = count_list(month.ws, on=ISSUED, hash_key=HASH_KEY)
    assert facts == {
        "on": "2021-12-25",
        "people": {
            "subscribed": {"en": 0, "fr": 1, "both": 1},
            "unsubscribed": {"en": 0, "fr": 1, "both": 0},
            "suppressed": {"en": 0, "fr": 1, "both": 0},
        },
        "not_written_to": {"by_hand": 1},
    }
    assert list(count_lines(facts)) == [
        "The distribution list on 2021-12-25",
        "                      en        fr      both",
        "subscribed             0         1         1",
        "unsubscribed           0         1         0",
        "suppressed             0         1         0",
        "Addresses that take no message at all: 1 by_hand",
    ]


def test_nothing_is_entered_under_another_key(month: Month) -> None:
    enter_subscription(month.ws, ADDRESS, "en", consent="asked by e-mail", on=ISSUED, person="clerk", hash_key=HASH_KEY)
    other = b"a key that is not theirs"
    assert recipient_key(ADDRESS, other) != READER
    with pytest.raises(UsageError, match="is not the one with which messages were written"):
        enter_withdrawal(month.ws, ADDRESS, on=ISSUED, person="clerk", hash_key=other)
    assert len(rows(month.ws.operations, SUBSCRIPTION_EVENTS)) == 1
    assert rows(month.ws.operations, SUPPRESSIONS) == []
