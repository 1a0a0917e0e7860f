"""Random source folders for a differential test: small, dirty, crowded at the boundaries.

A world is a function of its seed. It holds 100 to 300 accounts whose dates fall, as
often as not, on or beside the days on which a rule turns (cutoff, first and last day of
the window and of the month), whose balances end at zero, at a cent beside it, or
anywhere, and in which items are revised, payments returned, versions overlap and rows
are broken. Cases for which the written rules leave more than one reading (see
`tests.oracle.oracle`) are left out, so that a difference is a fault on one side.

Broken rows stay few, so that no limit stops the month.
"""

from __future__ import annotations

import csv
import datetime as dt
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.oracle.oracle import (
    COMPONENTS,
    COUNTED,
    IMPORT_KINDS,
    cutoff_of,
    luhn_sum,
    period_end,
    period_of,
    period_start,
    window,
)

Row = dict[str, Any]

PERIODS = ("2021-12", "2021-02", "2020-02", "2024-02", "2024-10", "2024-11", "2025-03")
SHAPES = ("complete",) * 7 + ("exports_absent", "exports_header_only", "month_missing")

ACCOUNT_COLUMNS = (
    *("bn15", "valid_from", "valid_to", "legal_name", "operating_name", "program_type", "status"),
    *("opened_on", "closed_on", "reinstated_on", "language", "email", "province", "hold_reason"),
    *("hold_until", "portal_registered_on", "mfa_registered_on"),
)
TRANSACTION_COLUMNS = (
    *("transaction_id", "revision", "bn15", "kind", "transaction_number", "activity_on"),
    *("posted_on", "due_on", "status", "broker_bn9", *COMPONENTS, "amount_cents"),
)
EXPORT_COLUMNS = (
    *("declaration_id", "revision", "bn15", "exported_on", "reported_on", "status"),
    "value_cents",
)

OTHER_KINDS = ("PMT", "INT", "LAP", "AMPS", "AI", "K23", "K3", "NPA", "K9", "OFS", "DSB", "NSF")


@dataclass
class World:
    """The rows of a random folder and the month to run on it."""

    seed: int
    period: str
    shape: str
    accounts: list[Row] = field(default_factory=list)
    transactions: list[Row] = field(default_factory=list)
    exports: list[Row] = field(default_factory=list)
    has_revisions: bool = True

    def write(self, folder: Path) -> None:
        """Write the CSV files; ``export_declarations.csv`` not where the feed is absent."""
        transaction_columns = [name for name in TRANSACTION_COLUMNS if self.has_revisions or name != "revision"]
        write_csv(folder / "accounts.csv", ACCOUNT_COLUMNS, self.accounts)
        write_csv(folder / "transactions.csv", transaction_columns, self.transactions)
        if self.shape != "exports_absent":
            write_csv(folder / "export_declarations.csv", EXPORT_COLUMNS, self.exports)


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Row]) -> None:
    """Rows with a header; None is an empty field, a missing component zero."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n", restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def random_world(seed: int, period: str | None = None, accounts: int | None = None) -> World:
    """The world of ``seed``: same seed and arguments, same rows."""
    rng = random.Random(seed)
    world = World(
        seed=seed,
        period=period or rng.choice(PERIODS),
        shape=rng.choice(SHAPES),
        has_revisions=rng.random() < 0.9,
    )
    days = Days(rng, world.period)
    numbers = iter(rng.sample(range(100_000, 9_900_000), 9_000))
    add_background(world)
    for _ in range(accounts or rng.randint(100, 300)):
        bn9 = with_check_digit(f"{next(numbers):08d}")
        # Some firms have two accounts under one BN9.
        for reference in range(1, 3 if rng.random() < 0.1 else 2):
            add_account(world, rng, days, f"{bn9}RM{reference:04d}")
    add_dirt(world, rng, days)
    cut_to_shape(world, rng)
    for rows in (world.accounts, world.transactions, world.exports):
        rng.shuffle(rows)
    return world


def with_check_digit(eight: str) -> str:
    return next(eight + digit for digit in "0123456789" if luhn_sum(eight + digit) == 0)


class Days:
    """Days at which something turns, and days between."""

    def __init__(self, rng: random.Random, period: str) -> None:
        self.rng = rng
        self.as_of = period_end(period)
        self.start = period_start(period)
        self.window_months = window(period)
        self.window_start = period_start(self.window_months[0])
        self.cutoff = cutoff_of(self.as_of)
        self.turning = [
            day + dt.timedelta(days=step)
            for day in (self.cutoff, self.cutoff, self.window_start, self.start, self.as_of)
            for step in (-1, 0, 1)
        ] + [dt.date(2016, 2, 29), dt.date(2020, 2, 29)]

    def any(self) -> dt.date:
        """A turning day, an edge of a month, or any day from years before to weeks after."""
        draw = self.rng.random()
        if draw < 0.45:
            return self.rng.choice(self.turning)
        if draw < 0.6:
            edge = period_end(self.rng.choice(self.window_months))
            return edge + dt.timedelta(days=self.rng.randint(0, 1))
        first = self.window_start - dt.timedelta(days=900)
        last = self.as_of + dt.timedelta(days=40)
        return first + dt.timedelta(days=self.rng.randint(0, (last - first).days))

    def in_window(self) -> dt.date:
        return self.cutoff + dt.timedelta(days=self.rng.randint(0, (self.as_of - self.cutoff).days))

    def before_cutoff(self) -> dt.date:
        return self.cutoff - dt.timedelta(days=self.rng.choice((1, 1, 2, 20, 40, 400, 900)))

    def in_month(self) -> dt.date:
        return self.start + dt.timedelta(days=self.rng.randint(0, (self.as_of - self.start).days))

    def later(self, day: dt.date) -> dt.date:
        """The day itself, some days later, months later or years later."""
        longest = self.rng.choice((0, 0, 0, 5, 60, 1_500))
        return day + dt.timedelta(days=self.rng.randint(0, longest))


# Accounts ---------------------------------------------------------------------


def add_background(world: World) -> None:
    """Two accounts that give each month of the window a row in both feeds."""
    bn9 = with_check_digit("09900001")
    importer, exporter = f"{bn9}RM0001", f"{bn9}RM0002"
    for bn15, program_type in ((importer, "importer"), (exporter, "exporter")):
        world.accounts.append(
            {
                "bn15": bn15,
                "valid_from": dt.date(2005, 1, 1),
                "legal_name": f"Background {program_type}",
                "program_type": program_type,
                "status": "open",
                "opened_on": dt.date(2005, 1, 1),
                "language": "en",
            }
        )
    for month in window(world.period):
        day = period_start(month) + dt.timedelta(days=7)
        world.transactions.append(
            {
                **transaction(importer, f"background-{month}", "B3", 0, day, day),
                "due_on": None,
            }
        )
        world.exports.append(declaration(exporter, f"background-{month}", day, day))


def add_account(world: World, rng: random.Random, days: Days, bn15: str) -> None:
    """One account: its versions, its postings and exports, and how its balance ends."""
    number = len(world.accounts)
    program_type = rng.choices(("importer", "exporter", "dual", "carrier", None), (50, 18, 26, 3, 3))[0]
    closed = rng.random() < 0.08
    old = days.cutoff - dt.timedelta(days=rng.randint(300, 2_000))
    version = {
        "bn15": bn15,
        "valid_from": dt.date(2008, 1, 1),
        "valid_to": None,
        "legal_name": f"Firm {number}, Ltd.",
        "operating_name": rng.choice((None, f'The "{number}"')),
        "program_type": program_type,
        "status": "closed" if closed else "open",
        "opened_on": rng.choices((old, days.any(), None), (80, 12, 8))[0],
        "closed_on": days.any() if closed else None,
        "reinstated_on": days.any() if rng.random() < 0.04 else None,
        "language": rng.choices(("en", "fr", None, "iu"), (50, 30, 15, 5))[0],
        "email": f"account-{number}@example.test",
        "province": rng.choice(("ON", "QC", "BC", None)),
    }
    if rng.random() < 0.12:
        version["hold_reason"] = rng.choice(("appeal", "legal", "security posted", None))
        version["hold_until"] = rng.choice((None, *(days.as_of + dt.timedelta(days=step) for step in (-1, 0, 1))))
    if rng.random() < 0.02:
        # Not on file yet: begins after the month, and has no posting.
        version["valid_from"] = days.as_of + dt.timedelta(days=rng.randint(1, 30))
        world.accounts.append(version)
        return
    world.accounts += split_into_versions(version, rng, days)
    add_postings(world, rng, days, bn15)


def split_into_versions(version: Row, rng: random.Random, days: Days) -> list[Row]:
    """One row, or two that meet on a day: the later one is not always valid yet."""
    if rng.random() < 0.8:
        return [version]
    turn = rng.choice((*(days.as_of + dt.timedelta(days=step) for step in (-1, 0, 1, 2)), days.cutoff))
    other = {
        "program_type": rng.choice(("importer", "exporter", "dual")),
        "language": rng.choice(("en", "fr")),
        "opened_on": version["opened_on"],
    }
    return [{**version, **other, "valid_to": turn}, {**version, "valid_from": turn}]


# Postings ---------------------------------------------------------------------


def transaction(bn15: str, identity: str, kind: str, cents: int, activity_on: dt.date, posted_on: dt.date) -> Row:
    return {
        "transaction_id": identity,
        "revision": 1,
        "bn15": bn15,
        "kind": kind,
        "activity_on": activity_on,
        "posted_on": posted_on,
        "status": "accepted",
        **dict.fromkeys(COMPONENTS, 0),
        "amount_cents": cents,
    }


def declaration(bn15: str, identity: str, exported_on: dt.date, reported_on: dt.date) -> Row:
    return {
        "declaration_id": identity,
        "revision": 1,
        "bn15": bn15,
        "exported_on": exported_on,
        "reported_on": reported_on,
        "status": "accepted",
        "value_cents": 100_000,
    }


def add_postings(world: World, rng: random.Random, days: Days, bn15: str) -> None:
    """A story by chance: dormant, importing, exporting, both, drawbacks or payments only."""
    story = rng.choices(
        ("nothing", "dormant", "import", "export", "both", "drawback", "money", "anything"),
        (12, 22, 16, 16, 8, 5, 8, 13),
    )[0]
    mine: list[Row] = []
    imports = tuple(sorted(IMPORT_KINDS))
    plans: list[tuple[str, Callable[[], dt.date]]] = {
        "nothing": [],
        "dormant": [("import", days.before_cutoff)] * rng.randint(0, 2)
        + [("export", days.before_cutoff)] * rng.randint(0, 1)
        + [("money", days.any)] * rng.randint(0, 2),
        "import": [("import", days.in_window)] * rng.randint(1, 3),
        "export": [("export", days.in_window)] * rng.randint(1, 3)
        + [("import", days.before_cutoff)] * rng.randint(0, 1),
        "both": [("import", days.in_window), ("export", days.in_window)],
        "drawback": [("K32", days.in_window)],
        "money": [("money", days.any)] * rng.randint(1, 4),
        "anything": [(rng.choice(("import", "export", "K32", "money")), days.any)] * 2
        + [("import", days.in_month), ("money", days.in_month), ("money", days.in_month)],
    }[story]
    for place, (what, when) in enumerate(plans):
        activity_on = when()
        recorded_on = days.later(activity_on)
        identity = f"{bn15}-{place}"
        if what == "export":
            world.exports += revise_export(world, rng, days, declaration(bn15, identity, activity_on, recorded_on))
            continue
        kind = {"import": rng.choice(imports), "K32": "K32", "money": rng.choice(OTHER_KINDS)}[what]
        cents = rng.choice((0, 1, -1, 500, 12_345, 10**7, rng.randint(-(10**5), 10**6)))
        row = transaction(bn15, identity, kind, cents, activity_on, recorded_on)
        row["due_on"] = days.later(recorded_on) if rng.random() < 0.3 else None
        row["broker_bn9"] = "000000026" if rng.random() < 0.1 else None
        row["status"] = status_of(rng, row)
        mine += revise(world, rng, days, row)
    if rng.random() < 0.03:
        mine.append(transaction(bn15, f"{bn15}-bfw", "BFW", 700, *[dt.date(2009, 5, 5)] * 2))
    if mine and rng.random() < 0.75:
        mine.append(settlement(rng, days, bn15, mine))
    if rng.random() < 0.04:
        mine += returned_payment(rng, days, bn15)
    for row in mine:
        give_components(rng, row)
        if row["revision"] == 1 and rng.random() < 0.2:
            row["revision"] = None
    world.transactions += mine


def status_of(rng: random.Random, row: Row) -> str:
    """Under review only charges above zero, so that sums under review cannot cancel out."""
    status = rng.choices(("accepted", "under_review", "cancelled", "reversed"), (80, 8, 8, 4))[0]
    if status == "under_review" and (row["amount_cents"] <= 0 or row["kind"] == "PMT"):
        return "accepted"
    return status


def revise(world: World, rng: random.Random, days: Days, row: Row) -> list[Row]:
    """The row and, at times, one to three revisions, each posted no earlier than the last."""
    rows = [row]
    while world.has_revisions and len(rows) < 4 and rng.random() < 0.3:
        last = rows[-1]
        posted_on = rng.choice((days.later(last["posted_on"]), days.in_month()))
        row = {
            **last,
            "revision": last["revision"] + 1,
            "posted_on": max(posted_on, last["posted_on"]),
        }
        if rng.random() < 0.6:
            row["amount_cents"] = rng.choice((0, row["amount_cents"] + 1, rng.randint(1, 90_000)))
        row["status"] = status_of(rng, row)
        if rng.random() < 0.2:
            row["activity_on"] = min(days.any(), row["activity_on"])
        if rows[0]["posted_on"] < days.window_start <= row["posted_on"]:
            # What the baseline says of activity stays true: only the amount is revised.
            row["activity_on"] = last["activity_on"]
            if (row["status"] in COUNTED) != (last["status"] in COUNTED):
                row["status"] = last["status"]
                if row["status"] == "under_review":
                    row["amount_cents"] = max(row["amount_cents"], 1)
        rows.append(row)
    return rows


def revise_export(world: World, rng: random.Random, days: Days, row: Row) -> list[Row]:
    """A declaration and, at times, a later word on it."""
    row["status"] = rng.choices(("accepted", "cancelled", "rejected"), (85, 8, 7))[0]
    rows = [row]
    if world.has_revisions and rng.random() < 0.2:
        reported_on = days.later(row["reported_on"])
        later = {**row, "revision": 2, "reported_on": reported_on}
        if not row["reported_on"] < days.window_start <= reported_on:
            later["status"] = rng.choice(("accepted", "cancelled", "rejected"))
        rows.append(later)
    return rows


def settlement(rng: random.Random, days: Days, bn15: str, mine: list[Row]) -> Row:
    """A payment after which the balance is zero, or a cent beside it, or not cleared."""
    known = {
        row["transaction_id"]: row
        for row in sorted(mine, key=lambda row: row["revision"])
        if row["posted_on"] <= days.as_of
    }
    balance = sum(row["amount_cents"] for row in known.values() if row["status"] in COUNTED)
    miss = rng.choices((0, 1, -1, 333), (80, 8, 8, 4))[0]
    first = min(row["posted_on"] for row in mine)
    posted_on = rng.choice((first, days.in_month(), days.start - dt.timedelta(days=1)))
    posted_on = min(posted_on, days.as_of)
    return transaction(bn15, f"{bn15}-pmt", "PMT", miss - balance, posted_on, posted_on)


def returned_payment(rng: random.Random, days: Days, bn15: str) -> list[Row]:
    """A payment and its NSF; now and then the payment is reversed as well."""
    number = f"11111{bn15[:9]}"
    paid_on = days.in_window()
    payment = transaction(bn15, f"{bn15}-paid", "PMT", -4_000, paid_on, paid_on)
    returned_on = days.later(paid_on)
    nsf = transaction(bn15, f"{bn15}-nsf", "NSF", 4_000, returned_on, returned_on)
    payment["transaction_number"] = nsf["transaction_number"] = number
    payment["status"] = "reversed" if rng.random() < 0.3 else "accepted"
    return [payment, nsf]


def give_components(rng: random.Random, row: Row) -> None:
    """Some amounts are told by component; then the components add up to them."""
    if row["kind"] in IMPORT_KINDS and rng.random() < 0.5:
        duty = rng.randint(0, abs(row["amount_cents"]))
        row["customs_duty_cents"] = duty
        row["gst_cents"] = row["amount_cents"] - duty


# Dirt -------------------------------------------------------------------------

BROKEN_TRANSACTIONS: tuple[Row, ...] = (
    {"kind": "B33"},
    {"kind": None},
    {"status": "pending"},
    {"status": None},
    {"activity_on": None},
    {"activity_on": dt.date(1979, 12, 31)},
    {"posted_on": None},
    {"amount_cents": None},
    {"customs_duty_cents": 1, "gst_cents": 123_456_789},
    {"bn15": "123456789RM0001"},
    {"bn15": "000000018RM0000"},
    {"bn15": "000000018RC0001"},
    {"bn15": "000000018RM0777"},
    {"bn15": None},
    {"transaction_id": None},
)
BROKEN_EXPORTS: tuple[Row, ...] = (
    {"status": "pending"},
    {"exported_on": None},
    {"reported_on": None},
    {"bn15": "123456789RM0001"},
    {"bn15": "000000018RM0777"},
    {"declaration_id": None},
)


def add_dirt(world: World, rng: random.Random, days: Days) -> None:
    """A few broken rows of each file, so few that no limit stops the month."""
    transactions = [
        row
        for row in world.transactions
        # A payment and its NSF stay whole, so that what they undo is never in doubt.
        if not row["transaction_id"].startswith("background") and "transaction_number" not in row
    ]
    exports = [row for row in world.exports if not row["declaration_id"].startswith("background")]
    for own, faults, most in ((transactions, BROKEN_TRANSACTIONS, 6), (exports, BROKEN_EXPORTS, 3)):
        for row in rng.sample(own, min(len(own), rng.randint(0, most))):
            row.update(rng.choice(faults))
    world.transactions += copies(rng, transactions)
    world.exports += copies(rng, exports)
    break_accounts(world, rng, days)


def copies(rng: random.Random, rows: list[Row]) -> list[Row]:
    """At most one like and one unlike copy."""
    if len(rows) < 2:
        return []
    like, unlike = rng.sample(rows, 2)
    other = dict(unlike)
    for name in ("amount_cents", "value_cents"):
        if other.get(name) is not None:
            other[name] += 1
            other.update({component: 0 for component in COMPONENTS if component in other})
    return [copy for copy in (dict(like), other) if rng.random() < 0.5]


def break_accounts(world: World, rng: random.Random, days: Days) -> None:
    """Accounts with few postings, because those go to quarantine with them."""
    postings: dict[str, int] = {}
    for row in (*world.transactions, *world.exports):
        postings[row["bn15"]] = postings.get(row["bn15"], 0) + 1
    versions: dict[str, list[Row]] = {}
    for row in world.accounts:
        versions.setdefault(row["bn15"], []).append(row)
    quiet = sorted(
        bn15 for bn15, rows in versions.items() if postings.get(bn15, 0) <= 3 and rows[0]["valid_from"] <= days.as_of
    )
    for bn15 in rng.sample(quiet, min(len(quiet), rng.randint(0, 3))):
        row = versions[bn15][-1]
        fault = rng.choice(("overlap", "unlike copy", "check digit", "overlap of old versions"))
        if fault == "overlap":
            world.accounts.append({**row, "valid_from": row["valid_from"] - dt.timedelta(days=400)})
        elif fault == "unlike copy":
            world.accounts.append({**row, "legal_name": "Another name"})
        elif fault == "check digit":
            wrong = f"{(int(bn15[8]) + 1) % 10}"
            for version in versions[bn15]:
                version["bn15"] = bn15[:8] + wrong + bn15[9:]
        else:
            # Both ended long before the month: the account itself stays usable.
            first = min(version["valid_from"] for version in versions[bn15])
            for begin in (first - dt.timedelta(days=900), first - dt.timedelta(days=800)):
                world.accounts.append({**row, "valid_from": begin, "valid_to": first - dt.timedelta(days=100)})
    closed = [row for row in world.accounts if row["status"] == "closed"]
    if closed and rng.random() < 0.5:
        world.accounts.append(dict(rng.choice(closed)))


def cut_to_shape(world: World, rng: random.Random) -> None:
    """Take away what the shape of the world lacks."""
    if world.shape in ("exports_absent", "exports_header_only"):
        world.exports.clear()
    elif world.shape == "month_missing":
        gone = rng.choice(window(world.period))
        rows, day = rng.choice(((world.transactions, "posted_on"), (world.exports, "reported_on")))
        rows[:] = [row for row in rows if row[day] is None or period_of(row[day]) != gone]
