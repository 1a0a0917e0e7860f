"""How mail is sent: the sections ``mail`` and ``delivery`` of ``include/config/notices.yaml``."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from include.carm.settings_file import CONFIG_FOLDER, Settings

_THIS_MACHINE = re.compile(r"https?://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?(/[^?#\s]*)?")


@dataclass(frozen=True)
class Letterhead:
    """Who messages are from, by language, and where answers and those who unsubscribe go.

    ``unsubscribe_url`` is where the unsubscribe page is reached, without a slash at its end; empty where there is none.
    """

    from_name: dict[str, str]
    reply_to: str
    unsubscribe_url: str


@dataclass(frozen=True)
class Delivery:
    """What a run asks of the mail server, and how often a message is tried."""

    messages_a_second: float
    messages_a_run: int
    seconds_to_wait: float
    seconds_to_accept: float
    attempts: int
    first_retry_minutes: float
    failed_connections: int
    refusals_in_a_row: int


@dataclass(frozen=True)
class MailSettings:
    """Both sections."""

    letterhead: Letterhead
    delivery: Delivery

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read both; raises ``UsageError`` that names the file and the key of a wrong value."""
        settings = Settings.load(path or CONFIG_FOLDER / "notices.yaml")
        return cls(_read_letterhead(settings.section("mail")), _read_delivery(settings.section("delivery")))


def _read_letterhead(row: Settings) -> Letterhead:
    row.allow("from_name", "reply_to", "unsubscribe_url", "calendar_domain")
    names = row.section("from_name")
    names.allow("en", "fr")
    url = str(row.values.get("unsubscribe_url") or "").rstrip("/")
    if url and not url.startswith("https://") and not is_on_this_machine(url):
        raise row.wrong("unsubscribe_url", "is not an https address: write one, or leave it empty")
    return Letterhead({language: names.text(language) for language in ("en", "fr")}, row.text("reply_to"), url)


def is_on_this_machine(url: str) -> bool:
    """Whether a web address leads to the machine itself, so that nobody else can call it up."""
    return _THIS_MACHINE.fullmatch(url) is not None


def _read_delivery(row: Settings) -> Delivery:
    row.allow(
        "messages_a_second",
        "messages_a_run",
        "seconds_to_wait",
        "seconds_to_accept",
        "attempts",
        "first_retry_minutes",
        "failed_connections",
        "refusals_in_a_row",
    )
    return Delivery(
        messages_a_second=row.number("messages_a_second", least=0.1),
        messages_a_run=row.count("messages_a_run", least=1),
        seconds_to_wait=row.number("seconds_to_wait", least=1),
        seconds_to_accept=row.number("seconds_to_accept", least=1),
        attempts=row.count("attempts", least=1),
        first_retry_minutes=row.number("first_retry_minutes", least=0),
        failed_connections=row.count("failed_connections", least=1),
        refusals_in_a_row=row.count("refusals_in_a_row", least=1),
    )
