"""A calendar entry for one revision of a webinar (RFC 5545, RFC 5546): a calendar takes it in, or strikes it out.

The entry of a later revision has the same UID and a higher SEQUENCE, so a calendar that has the earlier one replaces
it. It names no reader: it is offered to whoever has it (PUBLISH), and one file serves all readers of a language.
``docs/adr/0055-calendar-entries-and-their-revisions.md`` says why it is so.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path

from icalendar import Calendar, Event, Timezone, TimezoneDaylight, TimezoneStandard, vCalAddress, vText, vUri

from include.carm.settings_file import CONFIG_FOLDER, Settings
from include.notice_page import EASTERN, Session, safe_link, visible

PUBLISH, CANCEL = "publish", "cancel"
"""The two methods: an entry is offered or changed, or it is called off."""

PRODID = "-//carm-statements//webinars//EN"
MOST_REVISIONS = 2**31 - 1
"""The largest revision: SEQUENCE is a whole number of 32 bits (RFC 5545, section 3.3.8)."""

_DOMAIN = re.compile(r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ZONE = "America/Toronto"
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class CalendarIdentity:
    """Who the entries are from: the domain below which their names are unique, and the mailbox that organizes them."""

    domain: str
    mailbox: str

    @classmethod
    def load(cls, mailbox: str, path: Path | None = None) -> CalendarIdentity:
        """With ``mail.calendar_domain`` of ``notices.yaml``; raises ``UsageError`` where that is no domain."""
        mail = Settings.load(path or CONFIG_FOLDER / "notices.yaml").section("mail")
        domain = mail.text("calendar_domain")
        if not _DOMAIN.fullmatch(domain):
            raise mail.wrong("calendar_domain", f"is {domain!r}: write a domain of yours in lower case, example.com")
        return cls(domain, mailbox)


@dataclass(frozen=True)
class EntryTexts:
    """What an entry says in words; ``language`` is None where it says it in more than one."""

    summary: str
    description: str
    organizer: str
    language: str | None


def session_token(webinar_id: str) -> str:
    """A webinar's id as 32 hex digits: the same for ever, and harmless whatever the id is made of."""
    return hashlib.sha256(webinar_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def write_entry(
    identity: CalendarIdentity,
    webinar_id: str,
    revision: int,
    method: str,
    session: Session,
    texts: EntryTexts,
    issued_on: date,
) -> bytes:
    """The entry of one revision, as a file of its own: lines of at most 75 bytes that end in CRLF.

    ``method`` is ``publish`` or ``cancel``. ``issued_on`` is the day of the message, which dates the entry: the same
    input gives the same bytes. Raises ``ValueError`` for a revision that is no SEQUENCE.
    """
    if not 0 <= revision <= MOST_REVISIONS:
        raise ValueError(f"a revision is a whole number from 0 to {MOST_REVISIONS}, not {revision}")
    calendar = Calendar()
    calendar.add("prodid", PRODID)
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("method", method.upper())
    start, end = session.eastern
    calendar.add_component(_zone_of_years(start.year, end.year))
    event, language = Event(), {"LANGUAGE": texts.language} if texts.language else {}
    event.add("uid", f"{session_token(webinar_id)}@{identity.domain}")
    event.add("sequence", revision)
    event.add("dtstamp", datetime.combine(issued_on, time(), EASTERN).astimezone(UTC))
    event.add("status", "CANCELLED" if method == CANCEL else "CONFIRMED")
    # An hour that comes twice means the first of the two (RFC 5545, section 3.3.5); the second has a name in UTC alone.
    in_utc = bool(start.fold or end.fold)
    event.add("dtstart", start.astimezone(UTC) if in_utc else start)
    if session.minutes:
        event.add("dtend", end.astimezone(UTC) if in_utc else end)
    event.add("summary", vText(visible(texts.summary).strip()), parameters=language)
    lines = [visible(line).strip() for line in texts.description.split("\n")]
    event.add("description", vText("\n".join(lines).strip("\n")), parameters=language)
    if link := safe_link(session.link):
        event.add("url", vUri(link))
    event.add("organizer", vCalAddress(f"mailto:{identity.mailbox}"), parameters={"CN": visible(texts.organizer)})
    calendar.add_component(event)
    return calendar.to_ical()


@lru_cache(maxsize=16)
def _zone_of_years(first: int, last: int) -> Timezone:
    """The clock of Toronto in these years, change by change, as the database of time zones has it.

    Not by the library's own ``Timezone.from_tzinfo``: that writes the start of daylight time by the clock after the
    change, where RFC 5545 (section 3.6.5) asks for the clock before it, and so begins it an hour late.
    """
    zone = Timezone()
    zone.add("tzid", _ZONE)
    begins = datetime(first, 1, 1, tzinfo=EASTERN).astimezone(UTC)
    zone.add_component(_rule(begins, before=begins))
    day, end = begins, datetime(last + 1, 1, 1, tzinfo=EASTERN).astimezone(UTC)
    while day < end:
        if _offset_of(day) != _offset_of(day + _ONE_DAY):
            minutes = (day + timedelta(minutes=number) for number in range(1, 24 * 60 + 1))
            change = next(minute for minute in minutes if _offset_of(minute) != _offset_of(day))
            zone.add_component(_rule(change, before=day))
        day += _ONE_DAY
    return zone


def _offset_of(instant: datetime) -> timedelta:
    offset = instant.astimezone(EASTERN).utcoffset()
    assert offset is not None
    return offset


def _rule(begins: datetime, before: datetime) -> TimezoneStandard | TimezoneDaylight:
    """The rule that holds from an instant on, told by the clock that held at another one ``before`` it."""
    after = begins.astimezone(EASTERN)
    rule = TimezoneDaylight() if after.dst() else TimezoneStandard()
    rule.add("dtstart", (begins + _offset_of(before)).replace(tzinfo=None))
    rule.add("tzoffsetfrom", _offset_of(before))
    rule.add("tzoffsetto", _offset_of(begins))
    rule.add("tzname", after.tzname())
    return rule
