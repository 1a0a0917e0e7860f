"""Calendar entries read by a library that did not write them, beside our own strict reader: what is told, in order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import vobject

from tests.notices.calendar_reader import Calendar, read_entry
from tests.notices.samples import session
from tests.notices.test_webinar_calendar import at, entry

TITLE = "Onboarding to the CARM Client Portal"


@dataclass(frozen=True)
class Seen:
    """What the library makes of an entry."""

    uid: str
    sequence: int
    method: str
    status: str
    stamp: datetime
    start: datetime
    end: datetime | None
    summary: str
    description: str
    url: str | None


def see(content: bytes) -> Seen:
    (calendar,) = vobject.readComponents(content.decode(), validate=True)
    (event,) = calendar.vevent_list
    told = event.contents
    return Seen(
        uid=event.uid.value,
        sequence=int(event.sequence.value),
        method=calendar.method.value,
        status=event.status.value,
        stamp=event.dtstamp.value.astimezone(UTC),
        start=event.dtstart.value.astimezone(UTC),
        end=event.dtend.value.astimezone(UTC) if "dtend" in told else None,
        summary=event.summary.value,
        description=event.description.value,
        url=event.url.value if "url" in told else None,
    )


def shown(*contents: bytes) -> dict[str, datetime]:
    """What a calendar shows that takes these entries in, one after the other (RFC 5546, section 2.1.5)."""
    events: dict[str, Seen] = {}
    for seen in map(see, contents):
        held = events.get(seen.uid)
        if held is None or (seen.sequence, seen.stamp) > (held.sequence, held.stamp):
            events[seen.uid] = seen
    return {seen.summary: seen.start for seen in events.values() if seen.method != "CANCEL"}


@pytest.mark.parametrize("method", ["publish", "cancel"])
@pytest.mark.parametrize("language", ["en", "fr", "both"])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"starts_at": at(7, 12, 17), "minutes": 90},
        {"starts_at": at(3, 13, 6, 30)},
        {"starts_at": at(11, 6, 5, 30), "minutes": 120},
        {"starts_at": at(11, 6, 6, 30)},
        {"minutes": None, "link": None},
        {"title_en": 'Tariffs; duties, "taxes" \\ a:b, 😀', "title_fr": "Droits\u00a0: où, quand; et comment"},
    ],
    ids=["winter", "summer", "forward", "back", "the second hour", "no end", "escapes"],
)
def test_both_readers_read_the_same(changed: dict[str, object], language: str, method: str) -> None:
    content = entry(session(**changed), language=language, method=method, revision=4)
    ours, seen = read_entry(content), see(content)
    assert seen == Seen(**{name: getattr(ours, name) for name in Seen.__dataclass_fields__})
    assert (seen.sequence, seen.method) == (4, method.upper())


def test_a_session_that_is_told_moved_and_cancelled_in_order_leaves_nothing_to_attend() -> None:
    told = entry()
    moved = entry(session(starts_at=at(1, 19, 15), minutes=90), revision=2)
    cancelled = entry(session(starts_at=at(1, 19, 15), minutes=90), revision=3, method="cancel")
    assert {see(content).uid for content in (told, moved, cancelled)} == {see(told).uid}
    for taken, expected in (
        ([told], {TITLE: at(1, 12, 18)}),
        ([told, moved], {TITLE: at(1, 19, 15)}),
        ([told, moved, cancelled], {}),
        # What comes late, or twice, brings nothing back.
        ([moved, told], {TITLE: at(1, 19, 15)}),
        ([cancelled, told, moved, told], {}),
        # A cancelled session that is held after all.
        ([told, cancelled, entry(revision=4)], {TITLE: at(1, 12, 18)}),
    ):
        assert expected == shown(*taken) == Calendar().take(*taken).shown()
    assert see(moved).end == at(1, 19, 15) + timedelta(minutes=90)
