"""A strict reader of calendar entries, by RFC 5545 and 5546 and not by the library that writes them; and a calendar."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

_NAME = re.compile(r"[A-Z0-9-]+")
_PARAMETER = re.compile(r';([A-Z0-9-]+)=("[^"\x00-\x1f\x7f]*"|[^";:,\x00-\x1f\x7f]*)')
_OFFSET = re.compile(r"([+-])(\d\d)(\d\d)")
_ESCAPES = {"n": "\n", "N": "\n", "\\": "\\", ";": ";", ",": ","}


@dataclass(frozen=True)
class Property:
    name: str
    parameters: dict[str, str]
    value: str

    @property
    def text(self) -> str:
        """The value as TEXT; nothing in it may stand unescaped that would end or divide it."""
        said, place = "", 0
        while place < len(self.value):
            character = self.value[place]
            if character == "\\":
                place += 1
                said += _ESCAPES[self.value[place]]
            else:
                assert character not in ";,", f"{character} is not escaped in {self.name}"
                said += character
            place += 1
        return said


@dataclass
class Component:
    name: str
    properties: list[Property] = field(default_factory=list)
    parts: list[Component] = field(default_factory=list)

    def one(self, name: str) -> Property:
        (found,) = [one for one in self.properties if one.name == name]
        return found

    def names(self) -> list[str]:
        return sorted(one.name for one in self.properties)

    def part(self, name: str) -> Component:
        (found,) = [one for one in self.parts if one.name == name]
        return found


def read_calendar(content: bytes) -> Component:
    """The one VCALENDAR in ``content``; fails where a line, a name, a parameter or the nesting is not as it must be."""
    assert content.endswith(b"\r\n")
    physical = content[:-2].split(b"\r\n")
    for line in physical:
        assert len(line) <= 75, "a line is folded after at most 75 bytes"
        assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", line), "no control character, and no bare CR or LF"
        line.decode("utf-8")  # a fold never stands within a character
    open_parts, whole = list[Component](), list[Component]()
    for line in re.sub(r"\r\n[ \t]", "", content[:-2].decode()).split("\r\n"):
        one = _read_line(line)
        if one.name == "BEGIN":
            open_parts.append(Component(one.value))
        elif one.name == "END":
            closed = open_parts.pop()
            assert closed.name == one.value
            (open_parts[-1].parts if open_parts else whole).append(closed)
        else:
            open_parts[-1].properties.append(one)
    assert not open_parts
    (calendar,) = whole
    assert calendar.name == "VCALENDAR"
    return calendar


def _read_line(line: str) -> Property:
    name = _NAME.match(line)
    assert name, f"no name: {line!r}"
    place, parameters = name.end(), dict[str, str]()
    while found := _PARAMETER.match(line, place):
        assert found[1] not in parameters
        parameters[found[1]] = found[2].strip('"')
        place = found.end()
    assert line[place : place + 1] == ":", f"no value: {line!r}"
    return Property(name[0], parameters, line[place + 1 :])


@dataclass(frozen=True)
class Entry:
    """The event of a calendar entry, with its hours as instants that its own VTIMEZONE gives."""

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
    component: Component


def read_entry(content: bytes) -> Entry:
    calendar = read_calendar(content)
    assert calendar.one("VERSION").value == "2.0"
    assert calendar.one("PRODID").text
    event = calendar.part("VEVENT")
    given = event.names()
    stamp = event.one("DTSTAMP").value
    assert re.fullmatch(r"\d{8}T\d{6}Z", stamp)
    return Entry(
        uid=event.one("UID").text,
        sequence=int(event.one("SEQUENCE").value),
        method=calendar.one("METHOD").value,
        status=event.one("STATUS").value,
        stamp=_instant(event.one("DTSTAMP"), calendar),
        start=_instant(event.one("DTSTART"), calendar),
        end=_instant(event.one("DTEND"), calendar) if "DTEND" in given else None,
        summary=event.one("SUMMARY").text,
        description=event.one("DESCRIPTION").text,
        url=event.one("URL").value if "URL" in given else None,
        component=calendar,
    )


def _instant(one: Property, calendar: Component) -> datetime:
    if one.value.endswith("Z"):
        assert not one.parameters
        return _local(one.value[:-1])
    zone = calendar.part("VTIMEZONE")
    assert one.parameters["TZID"] == zone.one("TZID").text
    local = _local(one.value)
    # The rule that began last; an hour that comes twice means the first of the two, so the old rule lasts through it.
    began = []
    for rule in zone.parts:
        assert rule.name in ("STANDARD", "DAYLIGHT")
        starts = [one.value for one in rule.properties if one.name in ("DTSTART", "RDATE")]
        before, after = (_distance(rule.one(f"TZOFFSET{name}").value) for name in ("FROM", "TO"))
        for start in starts:
            # Told by the clock before the change (RFC 5545, section 3.6.5).
            first = _local(start)
            assert not first <= local < first + (after - before), f"{local} does not exist"
            if local >= first:
                began.append((first, after))
    assert began, f"no rule of the VTIMEZONE holds at {local}"
    return local.replace(tzinfo=timezone(max(began)[1])).astimezone(UTC)


def _local(written: str) -> datetime:
    """An hour on a clock whose zone stands elsewhere."""
    return datetime.strptime(f"{written}Z", "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def _distance(written: str) -> timedelta:
    found = _OFFSET.fullmatch(written)
    assert found
    distance = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return -distance if found[1] == "-" else distance


class Calendar:
    """What somebody's calendar holds after taking in entries one after the other (RFC 5546, section 2.1.5)."""

    def __init__(self) -> None:
        self.events: dict[str, Entry] = {}

    def take(self, *contents: bytes) -> Calendar:
        for content in contents:
            entry = read_entry(content)
            held = self.events.get(entry.uid)
            if held is None or (entry.sequence, entry.stamp) > (held.sequence, held.stamp):
                self.events[entry.uid] = entry
        return self

    def shown(self) -> dict[str, datetime]:
        """The start of what is not struck out, by its summary."""
        return {one.summary: one.start for one in self.events.values() if one.method != "CANCEL"}
