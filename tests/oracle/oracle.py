"""What one month must give, computed by brute force over the rows of a folder.

This module shares no code with ``include/``: it reads CSV files, keeps every row
in memory and walks over the accounts one by one, so that whoever reads it can
check it with a pencil. It answers one question: a folder is loaded, and one
month is run in shadow as the first run ever; what do ``account_decisions`` and
``statements`` hold?

Where the written rules leave room, this is the reading taken here:

Rows and quarantine
  1.  A BN15 is compared after upper-casing and dropping spaces and hyphens; the
      written form does not make another account.
  2.  A row posted after the period's end is not looked at, also not as a copy of
      an earlier row; nor is an account version that begins later. A row without
      ``posted_on`` is looked at.
  3.  Copies are compared over all columns, with an empty revision read as 1. They
      are looked for among all rows up to the period's end, in whatever months.
  4.  An empty component counts as zero; an empty ``amount_cents`` is quarantined.
  5.  ``exported_on`` has the range that ``activity_on`` has: 1980-01-01 to the day
      it was reported. ``value_cents`` has no rule.
  6.  An account is judged once, as of the end of the period that is run, also for
      postings of earlier months.
  7.  An account row without ``valid_from`` is in quarantine; the account with it
      only where no other version is valid as of the period's end.
  8.  Every NSF row that shares a transaction number with a cancelled or reversed
      PMT is ``reversed_twice``, whatever its own status. Only valid PMT rows count.
  9.  The limits that stop a month are not applied here.

Ledger
  10. A lower revision posted later than a higher one changes nothing (effect 0).
  11. A revision that moves an item to another account has no written rule:
      `Unspecified` is raised.
  12. Each revision is its own line, also two of one item in one month; debits are
      the sum of the positive effects, credits of the negative ones.

Activity and decision
  13. ``last_activity_on`` looks back over everything, the baseline too, at the last
      revision of each item as known at the period's end.
  14. ``activity_seen`` is what was seen. Where nothing was seen it is ``none`` only if
      absence can be told (both feeds covered, no open quarantined row), else ``unknown``.
  15. An account kept without activity is ``younger_than_4_years``; with any
      qualifying activity in the window, K32 too, it is ``active``.
  16. "Item under review" is any counted item under review, also of amount zero, also
      where several cancel out.
  17. An open quarantined row of either feed blocks every change, conversions too. A
      surplus copy is such a row. A quarantined row of ``accounts`` is not.
  18. ``coverage_incomplete`` is named before ``row_in_quarantine``.
  19. ``new_program_type`` stands only where the action is ``convert``.
  20. A status that is neither open nor closed gives no decision.
  21. ``missing`` names the months that are not covered, of the feeds that the change
      rests on, and only where that is the reason: ``feed month, month; feed month``.

Statements
  22. An uncounted row with an effect is a line, but it alone does not call for a
      statement ("a counted posting in the period").
  23. ``language`` is en, fr, or ``both`` where the account's is neither.
  24. An account without a version valid as of the period's end gets its statement
      (in both languages) where it has postings or a balance.
  25. 2024-10 runs from 2024-09-25 to 2024-10-17, and is due by the older rule.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import holidays
import pandas as pd

Row = dict[str, Any]

COMPONENTS = (
    "customs_duty_cents",
    "excise_duty_cents",
    "excise_tax_cents",
    "gst_cents",
    "anti_dumping_cents",
    "countervailing_cents",
    "surtax_cents",
    "safeguard_cents",
    "provincial_tax_cents",
    "interest_cents",
)
IMPORT_KINDS = {"B3", "CAD", "RS", "LVS", "B2"}
OTHER_ACTIVITY_KINDS = {"K32"}
ALIASES = {"AI": "AMPS", "K3": "K23"}
KINDS = (
    IMPORT_KINDS | OTHER_ACTIVITY_KINDS | {"PMT", "INT", "LAP", "AMPS", "K23", "NSF", "NPA", "K9", "OFS", "DSB", "BFW"}
)
COUNTED = {"accepted", "under_review"}
TRANSACTION_STATUSES = COUNTED | {"cancelled", "reversed"}
EXPORT_STATUSES = {"accepted", "cancelled", "rejected"}
EARLIEST_ACTIVITY = dt.date(1980, 1, 1)
UNKNOWN_LANGUAGE = "both"

ACCOUNT_DECISION_COLUMNS = (
    "bn15",
    "program_type",
    "activity_seen",
    "last_activity_on",
    "cutoff_on",
    "balance_cents",
    "action",
    "new_program_type",
    "reason",
    "rule_id",
    "missing",
)
STATEMENT_COLUMNS = (
    "bn15",
    "period",
    "version",
    "period_start",
    "period_end",
    "issued_on",
    "due_on",
    "language",
    "opening_cents",
    "debits_cents",
    "credits_cents",
    "closing_cents",
    "under_review_cents",
    "total_payable_cents",
    "line_count",
)


class Unspecified(Exception):
    """The rows hold a case for which no rule is written."""


# Calendar ---------------------------------------------------------------------

# Due dates that the CBSA deferred, by statement month.
DEFERRED_DUE_DATES = {
    "2021-01": dt.date(2021, 2, 1),
    "2021-02": dt.date(2021, 3, 3),
    "2021-03": dt.date(2021, 4, 1),
    "2021-07": dt.date(2021, 8, 3),
    "2021-10": dt.date(2021, 11, 1),
}
FIRST_RELEASE_2_MONTH = "2024-11"
TRANSITION_MONTH = "2024-10"


def month(year: int, month_number: int) -> str:
    """``2021-12`` for (2021, 12)."""
    return f"{year:04d}-{month_number:02d}"


def plus_months(period: str, months: int) -> str:
    """The statement month so many months later (or earlier, if negative)."""
    year, month_number = int(period[:4]), int(period[5:])
    years, zero_based = divmod(year * 12 + month_number - 1 + months, 12)
    return month(years, zero_based + 1)


def period_end(period: str) -> dt.date:
    """Last day: the 24th (ARL), or the 17th from 2024-10 on (Release 2)."""
    day = 17 if period >= TRANSITION_MONTH else 24
    return dt.date(int(period[:4]), int(period[5:]), day)


def period_start(period: str) -> dt.date:
    """The day after the last day of the month before."""
    return period_end(plus_months(period, -1)) + dt.timedelta(days=1)


def issued_on(period: str) -> dt.date:
    """The 25th of the statement month, in both regimes."""
    return dt.date(int(period[:4]), int(period[5:]), 25)


@cache
def federal_holidays(year: int) -> frozenset[dt.date]:
    """Federal holidays; the default category of the library misses four of them."""
    return frozenset(holidays.country_holidays("CA", years=year, categories=("government", "public")))


def due_on(period: str) -> dt.date:
    """Due date of the statement of ``period``.

    ARL: last business day of the month (SOR/86-1062), unless deferred. Release 2:
    tenth weekday after the 17th, holidays counted (SOR/86-1062 s.10.3).
    """
    if period in DEFERRED_DUE_DATES:
        return DEFERRED_DUE_DATES[period]
    if period >= FIRST_RELEASE_2_MONTH:
        day, weekdays = period_end(period), 0
        while weekdays < 10:
            day += dt.timedelta(days=1)
            weekdays += day.weekday() < 5
        return day
    following = plus_months(period, 1)
    day = dt.date(int(following[:4]), int(following[5:]), 1) - dt.timedelta(days=1)
    while day.weekday() >= 5 or day in federal_holidays(day.year):
        day -= dt.timedelta(days=1)
    return day


def cutoff_of(as_of: dt.date) -> dt.date:
    """Four calendar years earlier; 29 February becomes 28."""
    try:
        return as_of.replace(year=as_of.year - 4)
    except ValueError:
        return as_of.replace(year=as_of.year - 4, day=28)


@cache
def period_of(day: dt.date) -> str:
    """The one statement month that a day belongs to."""
    period = month(day.year, day.month)
    return period if day <= period_end(period) else plus_months(period, 1)


def window(period: str) -> list[str]:
    """Every statement month from the one that holds the cutoff day to ``period``."""
    months = [period_of(cutoff_of(period_end(period)))]
    while months[-1] != period:
        months.append(plus_months(months[-1], 1))
    return months


# Business numbers -------------------------------------------------------------


def normalise(bn15: str | None) -> str:
    """Upper-case, without spaces and hyphens."""
    return (bn15 or "").upper().replace(" ", "").replace("-", "")


def luhn_sum(digits: str) -> int:
    """Sum modulo 10 of the digits, every second one from the right doubled."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10


def is_valid_bn15(bn15: str | None) -> bool:
    """BN9 with a right check digit and not all zeros, ``RM``, reference 0001 to 9999."""
    text = normalise(bn15)
    bn9, program, reference = text[:9], text[9:11], text[11:]
    if len(text) != 15 or not text.isascii() or not (bn9 + reference).isdigit():
        return False
    return program == "RM" and reference != "0000" and bn9 != "000000000" and luhn_sum(bn9) == 0


# Reading ----------------------------------------------------------------------


@dataclass
class Folder:
    """The rows of a folder; ``export_declarations`` is None where the file is absent."""

    accounts: list[Row]
    transactions: list[Row]
    export_declarations: list[Row] | None


def read_folder(folder: Path) -> Folder:
    """All rows, typed: dates, integers, text; empty is None."""
    transactions = read_rows(folder / "transactions.csv") or []
    for row in transactions:
        row["revision"] = row.get("revision") or 1
    exports = read_rows(folder / "export_declarations.csv")
    for row in exports or []:
        row["revision"] = row.get("revision") or 1
    accounts = read_rows(folder / "accounts.csv") or []
    for row in [*accounts, *transactions, *(exports or [])]:
        row["bn15"] = normalise(row["bn15"]) or None
    return Folder(accounts, transactions, exports)


def read_rows(path: Path) -> list[Row] | None:
    """Rows of one CSV file, None where there is no file."""
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: typed(name, text) for name, text in row.items()} for row in csv.DictReader(file)]


def typed(name: str, text: str) -> Any:
    """A value by the ending of its column's name."""
    if text == "":
        return None
    if name.endswith(("_on", "_from", "_to", "_until")):
        return dt.date.fromisoformat(text)
    if name.endswith("_cents") or name == "revision":
        return int(text)
    return text


# Quarantine -------------------------------------------------------------------


@dataclass
class Judged:
    """Rows up to the period's end, apart: published rows, and (reason, row) in quarantine."""

    published: list[Row] = field(default_factory=list)
    quarantined: list[tuple[str, Row]] = field(default_factory=list)


@dataclass
class World:
    """What the month is computed from, after quarantine."""

    period: str
    accounts: Judged
    valid_versions: dict[str, Row]
    transactions: Judged
    exports: Judged
    exports_received: bool
    header_only: dict[str, bool]


def judge(folder: Folder, period: str) -> World:
    """Apart what is published and what goes to quarantine, as of the period's end."""
    as_of = period_end(period)
    accounts, valid_versions, states = judge_accounts(folder.accounts, as_of)

    def up_to_end(rows: Iterable[Row], day: str) -> list[Row]:
        return [row for row in rows if row[day] is None or row[day] <= as_of]

    transactions = judge_rows(
        up_to_end(folder.transactions, "posted_on"),
        key=("transaction_id", "revision"),
        faults=lambda row: transaction_fault(row, states),
    )
    transactions = judge_reversed_twice(transactions)
    exports = judge_rows(
        up_to_end(folder.export_declarations or [], "reported_on"),
        key=("declaration_id", "revision"),
        faults=lambda row: export_fault(row, states),
    )
    return World(
        period=period,
        accounts=accounts,
        valid_versions=valid_versions,
        transactions=transactions,
        exports=exports,
        exports_received=folder.export_declarations is not None,
        header_only={
            "transactions": not folder.transactions,
            "export_declarations": folder.export_declarations == [],
        },
    )


def judge_accounts(rows: list[Row], as_of: dt.date) -> tuple[Judged, dict[str, Row], dict[str, str]]:
    """Versions apart; the version valid as of ``as_of`` by BN15; the state of each BN15.

    States are ``found`` and ``quarantined``; a BN15 that has no row has no state.
    """
    judged = Judged()
    valid_versions: dict[str, Row] = {}
    states: dict[str, str] = {}
    for bn15, versions in group_by(rows, "bn15").items():
        if bn15 is None:
            judged.quarantined += [("key_missing", row) for row in versions]
            continue
        dated = [row for row in versions if row["valid_from"] is not None and row["valid_from"] <= as_of]
        judged.quarantined += [("key_missing", row) for row in versions if row["valid_from"] is None]
        # One row for each different content: identical copies do not overlap each other.
        unlike = []
        for row in dated:
            if row in unlike:
                judged.quarantined.append(("duplicate_copy", row))
            else:
                unlike.append(row)

        def fault(row: Row, among: list[Row] = unlike) -> str | None:
            others = [other for other in among if other is not row]
            if not is_valid_bn15(row["bn15"]):
                return "invalid_bn15"
            if any(other["valid_from"] == row["valid_from"] for other in others):
                return "duplicate_key_differs"
            if any(overlap(row, other) for other in others):
                return "overlapping_versions"
            return None

        valid = [row for row in unlike if row["valid_to"] is None or row["valid_to"] > as_of]
        for row in unlike:
            reason = fault(row)
            if reason:
                judged.quarantined.append((reason, row))
            else:
                judged.published.append(row)
        has_undated = any(row["valid_from"] is None for row in versions)
        if any(fault(row) for row in valid) or (not valid and has_undated):
            states[bn15] = "quarantined"
        else:
            states[bn15] = "found"
            if valid:
                valid_versions[bn15] = valid[0]
    return judged, valid_versions, states


def overlap(one: Row, other: Row) -> bool:
    """Whether two half-open validity ranges share a day."""
    end_one = one["valid_to"] or dt.date.max
    end_other = other["valid_to"] or dt.date.max
    return bool(one["valid_from"] < end_other and other["valid_from"] < end_one)


def judge_rows(rows: list[Row], key: tuple[str, str], faults: Callable[[Row], str | None]) -> Judged:
    """Copies first, then the rules of one row."""
    judged = Judged()
    first_copy: dict[tuple[Any, ...], Row] = {}
    differing: set[tuple[Any, ...]] = set()
    for row in rows:
        identity = tuple(row[name] for name in key)
        if identity[0] is not None and first_copy.setdefault(identity, row) != row:
            differing.add(identity)
    for row in rows:
        identity = tuple(row[name] for name in key)
        if identity[0] is None:
            judged.quarantined.append(("key_missing", row))
        elif identity in differing:
            judged.quarantined.append(("duplicate_key_differs", row))
        elif reason := faults(row):
            judged.quarantined.append((reason, row))
        elif first_copy[identity] is not row:
            judged.quarantined.append(("duplicate_copy", row))
        else:
            judged.published.append(row)
    return judged


def transaction_fault(row: Row, states: dict[str, str]) -> str | None:
    """The first rule that a transaction breaks, of those that need no other transaction."""
    components = [row[name] or 0 for name in COMPONENTS]
    if not is_valid_bn15(row["bn15"]):
        return "invalid_bn15"
    if kind_of(row) not in KINDS:
        return "unknown_kind"
    if row["status"] not in TRANSACTION_STATUSES:
        return "unknown_status"
    if row["posted_on"] is None or row["activity_on"] is None:
        return "date_missing"
    if not EARLIEST_ACTIVITY <= row["activity_on"] <= row["posted_on"]:
        return "date_out_of_range"
    if row["amount_cents"] is None:
        return "amount_missing"
    if any(components) and sum(components) != row["amount_cents"]:
        return "components_do_not_add_up"
    return account_fault(row, states)


def export_fault(row: Row, states: dict[str, str]) -> str | None:
    """The first rule that an export declaration breaks."""
    if not is_valid_bn15(row["bn15"]):
        return "invalid_bn15"
    if row["status"] not in EXPORT_STATUSES:
        return "unknown_status"
    if row["reported_on"] is None or row["exported_on"] is None:
        return "date_missing"
    if not EARLIEST_ACTIVITY <= row["exported_on"] <= row["reported_on"]:
        return "date_out_of_range"
    return account_fault(row, states)


def account_fault(row: Row, states: dict[str, str]) -> str | None:
    """A posting needs an account that is there and not in quarantine itself."""
    state = states.get(row["bn15"], "missing")
    return None if state == "found" else f"account_{state}"


def judge_reversed_twice(judged: Judged) -> Judged:
    """An NSF beside a PMT that is itself cancelled or reversed undoes it twice."""
    undone = {
        (row["bn15"], row.get("transaction_number"))
        for row in last_revisions(judged.published, "transaction_id")
        if kind_of(row) == "PMT" and row["status"] not in COUNTED and row.get("transaction_number")
    }
    after = Judged(quarantined=list(judged.quarantined))
    for row in judged.published:
        if kind_of(row) == "NSF" and (row["bn15"], row.get("transaction_number")) in undone:
            after.quarantined.append(("reversed_twice", row))
        else:
            after.published.append(row)
    return after


def kind_of(row: Row) -> str | None:
    """The kind, aliases resolved."""
    kind: str | None = row["kind"]
    return ALIASES.get(kind, kind) if kind else None


def group_by(rows: Iterable[Row], name: str) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[name]].append(row)
    return dict(groups)


def last_revisions(rows: Iterable[Row], identity: str) -> list[Row]:
    """The row of the highest revision of each item."""
    return [max(revisions, key=lambda row: row["revision"]) for revisions in group_by(rows, identity).values()]


# Ledger and statements --------------------------------------------------------


@dataclass
class Effect:
    """One transaction row and what it moved on the balance."""

    row: Row
    cents: int

    @property
    def is_counted(self) -> bool:
        return self.row["status"] in COUNTED


def effects_of(transactions: list[Row]) -> list[Effect]:
    """counted(new)·amount(new) − counted(old)·amount(old), revision by revision."""
    effects = []
    for identity, revisions in group_by(transactions, "transaction_id").items():
        if len({row["bn15"] for row in revisions}) > 1:
            raise Unspecified(f"transaction {identity} moves to another account")
        held, highest = 0, 0
        # Months run in order; within a month the revisions are published in order.
        for row in sorted(revisions, key=lambda r: (period_of(r["posted_on"]), r["revision"])):
            if row["revision"] < highest:
                effects.append(Effect(row, 0))
                continue
            now = row["amount_cents"] if row["status"] in COUNTED else 0
            effects.append(Effect(row, now - held))
            held, highest = now, row["revision"]
    return effects


def derive_statements(world: World) -> pd.DataFrame:
    """One row per statement of the period, sorted by BN15."""
    period = world.period
    start, end = period_start(period), period_end(period)
    effects: dict[str, list[Effect]] = defaultdict(list)
    for effect in effects_of(world.transactions.published):
        effects[effect.row["bn15"]].append(effect)
    under_review = sum_under_review(world)
    statements = []
    for bn15 in sorted(set(effects) | set(world.valid_versions)):
        mine = effects.get(bn15, [])
        version = world.valid_versions.get(bn15)
        opening = sum(effect.cents for effect in mine if effect.row["posted_on"] < start)
        placed = [effect for effect in mine if effect.row["posted_on"] >= start]
        debits = sum(effect.cents for effect in placed if effect.cents > 0)
        credits = -sum(effect.cents for effect in placed if effect.cents < 0)
        closing = opening + debits - credits
        closed_on = version["closed_on"] if version else None
        if not (
            any(effect.is_counted for effect in placed)
            or opening
            or closing
            or (closed_on and start <= closed_on <= end)
        ):
            continue
        language = version["language"] if version else None
        statements.append(
            {
                "bn15": bn15,
                "period": period,
                "version": 1,
                "period_start": start,
                "period_end": end,
                "issued_on": issued_on(period),
                "due_on": due_on(period),
                "language": language if language in ("en", "fr") else UNKNOWN_LANGUAGE,
                "opening_cents": opening,
                "debits_cents": debits,
                "credits_cents": credits,
                "closing_cents": closing,
                "under_review_cents": under_review.get(bn15, 0),
                "total_payable_cents": max(closing - under_review.get(bn15, 0), 0),
                "line_count": sum(effect.is_counted or effect.cents != 0 for effect in placed),
            }
        )
    return frame(statements, STATEMENT_COLUMNS)


def sum_under_review(world: World) -> dict[str, int]:
    """Cents under review at the period's end, whenever posted, by BN15."""
    sums: dict[str, int] = Counter()
    for row in last_revisions(world.transactions.published, "transaction_id"):
        if row["status"] == "under_review":
            sums[row["bn15"]] += row["amount_cents"]
    return sums


# Decisions --------------------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """What one decision is taken from."""

    program_type: str | None
    as_of: dt.date
    last_import_on: dt.date | None = None
    last_export_on: dt.date | None = None
    last_other_on: dt.date | None = None
    opened_on: dt.date | None = None
    reinstated_on: dt.date | None = None
    transactions_covered: bool = True
    exports_covered: bool = True
    has_open_quarantine: bool = False
    hold_reason: str | None = None
    hold_until: dt.date | None = None
    has_item_under_review: bool = False
    balance_cents: int = 0

    @property
    def cutoff_on(self) -> dt.date:
        return cutoff_of(self.as_of)

    @property
    def last_activity_on(self) -> dt.date | None:
        return latest(self.last_import_on, self.last_export_on, self.last_other_on)

    @property
    def activity_seen(self) -> str:
        has_import = self.last_import_on is not None and self.last_import_on >= self.cutoff_on
        has_export = self.last_export_on is not None and self.last_export_on >= self.cutoff_on
        if has_import and has_export:
            return "both"
        if has_import or has_export:
            return "import" if has_import else "export"
        is_told = self.transactions_covered and self.exports_covered and not self.has_open_quarantine
        return "none" if is_told else "unknown"


def latest(*days: dt.date | None) -> dt.date | None:
    return max((day for day in days if day is not None), default=None)


# (registered type, activity seen) -> (action, new type, reason); ``none`` is the dormancy rule.
CELLS = {
    ("importer", "import"): ("keep", None, "active"),
    ("importer", "export"): ("convert", "exporter", "only_export_activity"),
    ("importer", "both"): ("review", None, "mixed_activity"),
    ("exporter", "import"): ("convert", "importer", "only_import_activity"),
    ("exporter", "export"): ("keep", None, "active"),
    ("exporter", "both"): ("review", None, "mixed_activity"),
    ("dual", "import"): ("convert", "importer", "only_import_activity"),
    ("dual", "export"): ("convert", "exporter", "only_export_activity"),
    ("dual", "both"): ("keep", None, "active"),
}


def decide(facts: Facts) -> tuple[str, str | None, str]:
    """(action, new program type, reason) of one open account."""
    if facts.program_type not in ("importer", "exporter", "dual"):
        return "review", None, "unknown_program_type"
    if facts.activity_seen in ("none", "unknown"):
        action, new_type, reason = decide_dormancy(facts)
    else:
        action, new_type, reason = CELLS[facts.program_type, facts.activity_seen]
    if action in ("keep", "review"):
        return action, None, reason

    needs_transactions = action == "close" or new_type == "exporter"
    needs_exports = action == "close" or new_type == "importer"
    if (needs_transactions and not facts.transactions_covered) or (needs_exports and not facts.exports_covered):
        return "unknown", None, "coverage_incomplete"
    if facts.has_open_quarantine:
        return "unknown", None, "row_in_quarantine"
    if facts.hold_reason and (facts.hold_until is None or facts.hold_until >= facts.as_of):
        return "hold", None, "on_hold"
    # Import rights are lost by closing and by becoming an exporter, not by becoming an importer.
    if action == "close" or new_type == "exporter":
        if facts.has_item_under_review:
            return "hold", None, "under_review"
        if facts.balance_cents != 0:
            return "hold", None, "balance_not_zero"
    return action, new_type, reason


def decide_dormancy(facts: Facts) -> tuple[str, str | None, str]:
    """The clock is the latest of last activity, open date and reinstatement date."""
    clock = latest(facts.last_activity_on, facts.opened_on, facts.reinstated_on)
    if clock is None:
        return "review", None, "unknown_open_date"
    if clock < facts.cutoff_on:
        return "close", None, "no_activity_4_years"
    if facts.last_activity_on is not None and facts.last_activity_on >= facts.cutoff_on:
        return "keep", None, "active"
    return "keep", None, "younger_than_4_years"


def derive_account_decisions(world: World) -> pd.DataFrame:
    """One row per account open as of the period's end, sorted by BN15."""
    as_of = period_end(world.period)
    window_start = period_start(window(world.period)[0])
    transactions = group_by(last_revisions(world.transactions.published, "transaction_id"), "bn15")
    exports = group_by(last_revisions(world.exports.published, "declaration_id"), "bn15")
    gaps = {
        row["bn15"]
        for judged, day in ((world.transactions, "posted_on"), (world.exports, "reported_on"))
        for _, row in judged.quarantined
        if row[day] is None or window_start <= row[day] <= as_of
    }
    missing = missing_months(world)
    decisions = []
    for bn15, version in sorted(world.valid_versions.items()):
        if version["status"] != "open":
            continue
        counted = [row for row in transactions.get(bn15, []) if row["status"] in COUNTED]
        facts = Facts(
            program_type=version["program_type"],
            as_of=as_of,
            last_import_on=last_day(counted, IMPORT_KINDS, as_of),
            last_export_on=latest(
                *(
                    row["exported_on"]
                    for row in exports.get(bn15, [])
                    if row["status"] == "accepted" and row["exported_on"] <= as_of
                )
            ),
            last_other_on=last_day(counted, OTHER_ACTIVITY_KINDS, as_of),
            opened_on=version["opened_on"],
            reinstated_on=version["reinstated_on"],
            transactions_covered=not missing["transactions"],
            exports_covered=not missing["export_declarations"],
            has_open_quarantine=bn15 in gaps,
            hold_reason=version["hold_reason"],
            hold_until=version["hold_until"],
            has_item_under_review=any(row["status"] == "under_review" for row in counted),
            balance_cents=sum(row["amount_cents"] for row in counted),
        )
        action, new_program_type, reason = decide(facts)
        would_be = CELLS.get((facts.program_type or "", facts.activity_seen), (None, None, None))[1]
        decisions.append(
            {
                "bn15": bn15,
                "program_type": facts.program_type,
                "activity_seen": facts.activity_seen,
                "last_activity_on": facts.last_activity_on,
                "cutoff_on": facts.cutoff_on,
                "balance_cents": facts.balance_cents,
                "action": action,
                "new_program_type": new_program_type,
                "reason": reason,
                "rule_id": rule_id(facts),
                "missing": name_missing(would_be, missing) if reason == "coverage_incomplete" else None,
            }
        )
    return frame(decisions, ACCOUNT_DECISION_COLUMNS)


def last_day(rows: list[Row], kinds: set[str], as_of: dt.date) -> dt.date | None:
    return latest(*(r["activity_on"] for r in rows if kind_of(r) in kinds and r["activity_on"] <= as_of))


def missing_months(world: World) -> dict[str, list[str]]:
    """The months of the window that are not covered, by feed."""
    months = window(world.period)
    missing = {}
    for feed, judged, day in (
        ("transactions", world.transactions, "posted_on"),
        ("export_declarations", world.exports, "reported_on"),
    ):
        rows = Counter(period_of(row[day]) for row in judged.published)
        # The first valid row's month never matters apart: the months before it hold no row,
        # and a header-only feed has no first row.
        minimum = 0 if world.header_only[feed] else 1
        missing[feed] = [month for month in months if rows[month] < minimum]
    if not world.exports_received:
        missing["export_declarations"] = months
    return missing


def name_missing(new_program_type: str | None, missing: dict[str, list[str]]) -> str:
    """What a decision says is missing: closing rests on both feeds, a conversion on that of the type taken away."""
    needed = {"exporter": ["transactions"], "importer": ["export_declarations"]}
    feeds = needed.get(new_program_type or "", ["export_declarations", "transactions"])
    return "; ".join(f"{feed} {', '.join(missing[feed])}" for feed in feeds if missing[feed])


def rule_id(facts: Facts) -> str | None:
    """The cell of the rule table, named by what it is looked up with."""
    if facts.program_type not in ("importer", "exporter", "dual"):
        return None
    return f"{facts.program_type}_{facts.activity_seen}"


# The answer -------------------------------------------------------------------


def brute_force(folder: Path, period: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(account_decisions, statements) of a first, shadow run of ``period`` over ``folder``.

    Columns as in `ACCOUNT_DECISION_COLUMNS` and `STATEMENT_COLUMNS`; rows sorted by
    BN15; dates are `datetime.date`, amounts integer cents, nothing is None.
    ``rule_id`` is the name of the cell, ``importer_none``, None where the type has no cell.
    Raises `Unspecified` where no rule is written, ValueError where a value is not of its
    column's type.
    """
    world = judge(read_folder(folder), period)
    return derive_account_decisions(world), derive_statements(world)


def quarantined_rows(folder: Path, period: str) -> pd.DataFrame:
    """dataset, reason, row_key, bn15 of each row that goes to quarantine, sorted.

    A row that breaks several rules is here once, with one of them.
    """
    world = judge(read_folder(folder), period)
    rows = [
        {
            "dataset": dataset,
            "reason": reason,
            "row_key": "/".join(str(row[name]) for name in key),
            "bn15": row["bn15"],
        }
        for dataset, judged, key in (
            ("accounts", world.accounts, ("bn15", "valid_from")),
            ("transactions", world.transactions, ("transaction_id", "revision")),
            ("export_declarations", world.exports, ("declaration_id", "revision")),
        )
        for reason, row in judged.quarantined
    ]
    rows.sort(key=lambda row: tuple(str(value) for value in row.values()))
    return frame(rows, ("dataset", "reason", "row_key", "bn15"))


def frame(rows: list[Row], columns: tuple[str, ...]) -> pd.DataFrame:
    """A frame of plain Python values, so that no date becomes an instant and no integer a float."""
    return pd.DataFrame(rows, columns=list(columns), dtype=object)


def comparable(table: pd.DataFrame, columns: Iterable[str]) -> list[tuple[Any, ...]]:
    """Rows as plain tuples, sorted, whatever types a reader gave the columns.

    Dates become ISO text, whole numbers int, every kind of nothing None.
    """

    def plain(value: Any) -> Any:
        if value is None or value is pd.NaT or (not isinstance(value, str) and pd.isna(value)):
            return None
        if isinstance(value, dt.date):
            return value.isoformat()[:10]
        if hasattr(value, "item"):
            value = value.item()
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value

    names = list(columns)
    rows = [tuple(map(plain, row)) for row in table[names].itertuples(index=False, name=None)]
    return sorted(rows, key=lambda row: tuple((value is not None, str(value)) for value in row))
