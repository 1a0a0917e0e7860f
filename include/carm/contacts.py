"""Whom statements and notices name, from the dated table ``include/config/contacts.yaml``."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Self

from include.carm.errors import UsageError
from include.carm.settings_file import CONFIG_FOLDER, Settings

# Both versions of a message say the same, so every text comes as a pair by language: {"en": ..., "fr": ...}.
Bilingual = dict[str, str]


@dataclass(frozen=True)
class Letterhead:
    """Name and address of who issues; texts only, no official marks."""

    name: Bilingual
    programme: Bilingual
    address: Bilingual


@dataclass(frozen=True)
class ReinstatementContact:
    """Who re-activates closed accounts from the day ``since`` on; ``telephone`` is None where none is published."""

    since: date
    name: Bilingual
    telephone: str | None


@dataclass(frozen=True)
class Contacts:
    """The whole table. Contacts that changed in time are asked for by a day, never by today."""

    letterhead: Letterhead
    helpdesk_name: Bilingual
    engagement_email: str
    reinstatement: tuple[ReinstatementContact, ...]

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read the table; raises ``UsageError`` that names the file and the key of a wrong value."""
        settings = Settings.load(path or CONFIG_FOLDER / "contacts.yaml")
        settings.allow("letterhead", "reinstatement", "helpdesk", "engagement")
        contacts = cls(
            letterhead=_read_letterhead(settings.section("letterhead")),
            helpdesk_name=_read_helpdesk(settings.section("helpdesk")),
            engagement_email=_read_engagement(settings.section("engagement")),
            reinstatement=tuple(_read_reinstatement(row) for row in settings.sections("reinstatement")),
        )
        days = [contact.since for contact in contacts.reinstatement]
        if not days or days != sorted(set(days)):
            raise settings.wrong("reinstatement", "must have at least one row, the oldest day first")
        return contacts

    def reinstatement_on(self, day: date) -> ReinstatementContact:
        """Who re-activates accounts on that day: CRA until 2024-05-12, then CBSA (Customs Notice 24-18)."""
        for contact in reversed(self.reinstatement):
            if contact.since <= day:
                return contact
        raise UsageError(f"no reinstatement contact is known for {day}: add its row to include/config/contacts.yaml")


def _read_letterhead(row: Settings) -> Letterhead:
    row.allow("name_en", "name_fr", "programme_en", "programme_fr", "address_en", "address_fr")
    return Letterhead(_both(row, "name"), _both(row, "programme"), _both(row, "address"))


def _read_helpdesk(row: Settings) -> Bilingual:
    row.allow("name_en", "name_fr")
    return _both(row, "name")


def _read_engagement(row: Settings) -> str:
    row.allow("email")
    return row.text("email")


def _read_reinstatement(row: Settings) -> ReinstatementContact:
    row.allow("from", "name_en", "name_fr", "telephone")
    telephone = None if row.is_null("telephone") else row.text("telephone")
    return ReinstatementContact(row.day("from"), _both(row, "name"), telephone)


def _both(row: Settings, name: str) -> Bilingual:
    return {"en": row.text(f"{name}_en"), "fr": row.text(f"{name}_fr")}
