"""What is known about the firms behind the accounts: account versions, delegations; and the webinars' audience."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from include.demo.block import NO_DAY, PROGRAM_TYPES, Block, DayTexts, World
from include.demo.cases import CASES
from include.demo.names import DESKS, firm_name
from include.feeds import ACCOUNTS

Row = tuple[Any, ...]

_PORTAL_OPENED = date(2021, 5, 25).toordinal()
_MFA_ASKED_FROM = date(2021, 11, 9).toordinal()
_OLDEST_RECORD = date(2005, 4, 1).toordinal()
_PROVINCES = {
    "en": ("ON", "ON", "ON", "ON", "BC", "BC", "AB", "AB", "MB", "SK", "NS", "NB", "NL", "PE", "YT", "NT"),
    "fr": ("QC", "QC", "QC", "QC", "QC", "QC", "NB", "ON"),
}
_HOLD_REASONS = ("appeal", "legal", "security_posted")
_ROLES = ("business_account_manager", "program_account_manager", "editor", "reader")


def accounts(world: World, block: Block, brokers: list[str]) -> tuple[list[Row], list[Row]]:
    """The block's rows of ``accounts`` and of ``delegations``, account by account."""
    draw, number = world.draw, block.number
    drawn = {
        "language": draw.below("language", 100, block.firm),
        "name": draw.below("name", 2**31 - 1, block.firm),
        "new_name": draw.below("new_name", 2**31 - 1, number),
        "province": draw.below("province", 16, block.firm),
        "trade_name": draw.below("trade_name", 100, number),
        "no_email": draw.below("no_email", 100, number),
        "desk": draw.below("desk", 4, number),
        "portal": draw.below("portal", 100, number),
        "portal_day": draw.below("portal_day", 214, number),
        "mfa": draw.below("mfa", 100, number),
        "mfa_day": draw.below("mfa_day", 46, number),
        "change_day": draw.between("change_day", world.first_day + 1, max(world.last_day - 30, 0), number),
        "delegates": draw.below("delegates", 1_000, number),
        "provider": draw.below("provider", 40, number),
        "hold": draw.below("hold_reason", len(_HOLD_REASONS), number),
    }  # fmt: skip
    chances = [
        dict(zip(drawn, values, strict=True)) for values in zip(*(v.tolist() for v in drawn.values()), strict=True)
    ]
    fixed = zip(
        block.bn15, block.firm.tolist(), block.case.tolist(), block.program.tolist(),
        block.opened_on.tolist(), block.closed_on.tolist(), chances, strict=True,
    )  # fmt: skip
    days = DayTexts()
    rows: list[Row] = []
    delegations: list[Row] = []
    for bn15, firm, case, program, opened_on, closed_on, chance in fixed:
        account = _first_version(world, bn15, firm, case, program, opened_on, chance)
        rows.extend(_as_row(version, days) for version in _versions(world, account, case, closed_on, chance))
        delegations.extend(_delegations(world, brokers, account, firm, chance, days))
    return rows, delegations


def _first_version(
    world: World, bn15: str, firm: int, case: int, program: int, opened_on: int, chance: dict[str, int]
) -> dict[str, Any]:
    # 70 of 100 English, 24 French, the rest never said.
    language = "en" if chance["language"] < 70 else "fr" if chance["language"] < 94 else None
    spoken = language or ("fr" if chance["language"] % 2 else "en")
    name = firm_name(spoken, chance["name"])
    hold = CASES[case].hold
    portal = min(_PORTAL_OPENED + chance["portal_day"], world.last_day)
    has_portal = chance["portal"] < 35 and portal >= max(_PORTAL_OPENED, opened_on)
    mfa = max(_MFA_ASKED_FROM + chance["mfa_day"], portal)
    return {
        "bn15": bn15,
        "valid_from": opened_on or _OLDEST_RECORD,
        "valid_to": NO_DAY,
        "legal_name": name,
        "operating_name": name.rsplit(" ", 1)[0] if chance["trade_name"] < 20 else None,
        "program_type": PROGRAM_TYPES[program],
        "status": "open",
        "opened_on": opened_on,
        "closed_on": NO_DAY,
        "reinstated_on": NO_DAY,
        "language": language,
        "email": None if chance["no_email"] < 5 else _address("accounts" if spoken == "en" else "comptes", firm),
        "province": _PROVINCES[spoken][chance["province"] % len(_PROVINCES[spoken])],
        "hold_reason": _HOLD_REASONS[chance["hold"]] if hold else None,
        "hold_until": {
            "past": world.cutoff + 700,
            "today": world.last_day,
            "future": world.last_day + 200,
        }.get(hold, NO_DAY),
        "portal_registered_on": portal if has_portal else NO_DAY,
        "mfa_registered_on": mfa if has_portal and chance["mfa"] < 60 and mfa <= world.last_day else NO_DAY,
    }


def _address(desk: str, firm: int) -> str:
    return f"{desk}.{firm + 1:07d}@example.com"


def _versions(
    world: World, account: dict[str, Any], case: int, closed_on: int, chance: dict[str, int]
) -> list[dict[str, Any]]:
    """The account's versions, oldest first; each ends on the day on which the next begins."""
    history = CASES[case].history
    other_name = firm_name(account["language"], chance["new_name"])
    day = max(chance["change_day"], account["valid_from"] + 1)
    changes: list[tuple[int, dict[str, Any]]] = []
    if closed_on:
        changes = [(closed_on, {"status": "closed", "closed_on": closed_on})]
    elif history == "renamed":
        changes = [(day, {"legal_name": other_name})]
    elif history == "renamed_often":
        language = "fr" if account["language"] == "en" else "en"
        later = firm_name(language, chance["name"])
        changes = [
            (day, {"legal_name": other_name}),
            (day + 9, {"language": language}),
            (day + 30, {"legal_name": later}),
        ]
    elif history == "renamed_tomorrow":
        changes = [(world.last_day + 1, {"legal_name": other_name})]
    elif history == "type_corrected":
        changes = [(day, {"program_type": account["program_type"]})]
        account = account | {"program_type": "dual"}
    elif history.startswith("reinstated"):
        back = world.cutoff + (300 if history == "reinstated" else -200)
        shut = back - 120
        changes = [
            (shut, {"status": "closed", "closed_on": shut}),
            (back, {"status": "open", "closed_on": NO_DAY, "reinstated_on": back}),
        ]
    versions = [account]
    for valid_from, change in changes:
        versions[-1] = versions[-1] | {"valid_to": valid_from}
        versions.append(versions[-1] | {"valid_from": valid_from, "valid_to": NO_DAY} | change)
    if history == "overlapping":
        versions.append(account | {"valid_from": day, "legal_name": other_name})
    if history == "copied":
        versions.append(account)
    return versions


def _as_row(version: dict[str, Any], days: DayTexts) -> Row:
    return tuple(
        days[value] if name in _DAYS else value  # a day is an ordinal until here
        for name, value in version.items()
    )


_DAYS = frozenset(name for name, kind in ACCOUNTS.columns.items() if kind == "day")


def _delegations(
    world: World, brokers: list[str], account: dict[str, Any], firm: int, chance: dict[str, int], days: DayTexts
) -> Iterator[Row]:
    registered = account["portal_registered_on"]
    if not registered:
        return
    desks = DESKS[account["language"] or "en"]
    ended = days[min(registered + 60, world.last_day)]
    delegates = chance["delegates"]
    bn15, since = account["bn15"], days[registered]
    yield bn15, _address("delegate", firm), desks[chance["desk"]], _ROLES[0], None, since, None
    if delegates < 400:
        yield bn15, _address("program", firm), desks[(chance["desk"] + 1) % 4], _ROLES[1], None, since, None
    if delegates % 10 < 3:
        provider = chance["provider"]
        until = ended if delegates % 100 < 10 else None
        bn9 = brokers[provider]
        yield bn15, f"desk.{provider:02d}@example.org", f"Broker desk {provider:02d}", _ROLES[2], bn9, since, until
    if delegates % 10 == 4:
        until = days[world.last_day + 90] if delegates % 100 > 50 else ended
        yield bn15, _address("reader", firm), desks[(chance["desk"] + 2) % 4], _ROLES[3], None, since, until


def subscribers(world: World) -> Iterator[list[Row]]:
    """The distribution list: about one reader for eight accounts."""
    draw, days = world.draw, DayTexts()
    total, size = max(world.accounts // 8, 8), 20_000
    for start in range(0, total, size):
        who = np.arange(start, min(start + size, total), dtype=np.int64)
        since = world.last_day - draw.below("subscribed", 400, who)
        until = np.minimum(since + draw.between("unsubscribed", 1, 200, who), world.last_day)
        until = np.where(draw.happens("unsubscribes", 1_200, who), until, NO_DAY)
        is_french = draw.happens("reads_french", 2_600, who)
        yield [
            (f"reader.{number + 1:07d}@example.org", "fr" if french else "en", days[first], days[last])
            for number, french, first, last in zip(
                who.tolist(), is_french.tolist(), since.tolist(), until.tolist(), strict=True
            )
        ]


_SATURDAY = 5
# Day of the month and hour in Toronto, language, what it is; then what a later revision makes of it.
_SESSIONS = (
    (11, 13, "en", "onboarding", ""),
    (12, 10, "fr", "onboarding", ""),
    (18, 13, "both", "open_mic", ""),
    (20, 10, "en", "delegation", "moved"),
    (25, 14, "fr", "delegation", "cancelled"),
)
_TITLES = {
    "onboarding": (
        "CARM onboarding: first steps in the CARM Client Portal",
        "Intégration à la GCRA : premiers pas dans le portail client de la GCRA",
    ),
    "open_mic": ("Open-mic session: your questions on CARM", "Séance à micro ouvert : vos questions sur la GCRA"),
    "delegation": (
        "Delegating access to employees & service providers",
        "Déléguer l'accès aux employés et aux fournisseurs de services",
    ),
}


def webinars(world: World) -> list[Row]:
    """Sessions from two months before the last period to the month after it, with their revisions."""
    zone = ZoneInfo(world.calendar.timezone)
    rows: list[Row] = []
    for period in (world.last_period.plus(offset) for offset in (-2, -1, 0, 1)):
        for day, hour, language, subject, change in _SESSIONS:
            starts_at = datetime(period.year, period.month, day, hour, tzinfo=zone)
            # Wall-clock time: a session on a week-end is held at the same hour of the Monday after.
            starts_at += timedelta(days=7 - starts_at.weekday() if starts_at.weekday() >= _SATURDAY else 0)
            webinar_id = f"W-{period}-{day:02d}"
            link = f"https://example.com/webinars/{webinar_id.lower()}"
            title_en, title_fr = _TITLES[subject]
            session = (webinar_id, 1, title_en, title_fr, language, starts_at.isoformat(), 60, link, "scheduled")
            rows.append(session)
            if change == "cancelled":
                rows.append((webinar_id, 2, *session[2:8], "cancelled"))
            elif change == "moved":
                later = (starts_at + timedelta(hours=1)).isoformat()
                rows.append((webinar_id, 2, *session[2:5], later, 90, link, "scheduled"))
    return rows
