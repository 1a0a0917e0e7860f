"""A source that changes month after month, and what its balances must be.

`Ledger` is a source in memory that misbehaves as real ones do: rows arrive late or
early, items are revised, rows are overwritten, deleted, broken, mended and copied.
After each month somebody looks at it (`Ledger.observe`). `replay` tells from what was
seen, and from nothing else, what the balances must be:

- What counts of an item is its highest revision among the rows that are there.
- What counts of a row is its content when it was last seen valid: a row that breaks
  keeps that content until it is mended, or gone. A row never seen valid does not count.
- A row that is gone counts no more; the highest revision that is left does.
- A row posted after the period's end is not there yet.

Rows are broken, overwritten and deleted only as far back as `Ledger.reach_months`,
because a source is compared with what was extracted only for its last 13 months. Few are broken
at a time, so that no limit stops a month.
"""

from __future__ import annotations

import copy
import datetime as dt
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.oracle.oracle import (
    COUNTED,
    Folder,
    judge,
    period_end,
    period_start,
    plus_months,
    window,
)
from tests.oracle.worlds import (
    ACCOUNT_COLUMNS,
    EXPORT_COLUMNS,
    TRANSACTION_COLUMNS,
    declaration,
    transaction,
    with_check_digit,
    write_csv,
)

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

Row = dict[str, Any]
Key = tuple[str, int]

KINDS = ("B3", "CAD", "B2", "PMT", "INT", "LAP", "AMPS", "K23", "K32", "NSF", "OFS", "DSB")
FAULTS: tuple[Row, ...] = (
    {"kind": "B33"},
    {"status": "pending"},
    {"activity_on": dt.date(1979, 12, 31)},
    {"activity_on": None},
    {"amount_cents": None},
    {"gst_cents": 987_654_321},
    {"bn15": "123456789RM0001"},
    {"posted_on": None},
)
# A key that is there twice and unlike is two rows in quarantine, so this stays below 20.
MOST_BROKEN = 8


@dataclass(frozen=True)
class Observation:
    """All rows of the source as they were when the month ``period`` was run."""

    period: str
    accounts: tuple[Row, ...]
    rows: tuple[Row, ...]


# What must be -----------------------------------------------------------------


def replay(observations: Iterable[Observation]) -> dict[str, tuple[int, int]]:
    """(balance, under review) in cents by BN15 after the last observation, for every account."""
    held: dict[Key, Row] = {}
    accounts: set[str] = set()
    for observation in observations:
        end = period_end(observation.period)
        folder = Folder(list(observation.accounts), list(observation.rows), None)
        valid = judge(folder, observation.period).transactions.published
        present = {key_of(row) for row in observation.rows if row["posted_on"] is None or row["posted_on"] <= end}
        held = {key: row for key, row in held.items() if key in present}
        held.update((key_of(row), row) for row in valid)
        accounts = {row["bn15"] for row in observation.accounts}

    items: dict[str, tuple[int, Row]] = {}
    for (identity, revision), row in held.items():
        items[identity] = max(items.get(identity, (0, row)), (revision, row), key=lambda i: i[0])
    balance: Counter[str] = Counter()
    under_review: Counter[str] = Counter()
    for _, row in items.values():
        if row["status"] in COUNTED:
            balance[row["bn15"]] += row["amount_cents"]
        if row["status"] == "under_review":
            under_review[row["bn15"]] += row["amount_cents"]
    return {bn15: (balance[bn15], under_review[bn15]) for bn15 in sorted(accounts)}


def control_totals(
    observation: Observation,
) -> dict[tuple[str | None, str | None], tuple[int, int]]:
    """(rows, sum of cents) by kind and status, of every source row up to the period's end.

    Late, undated, broken and copied rows are in it; an empty amount adds nothing.
    """
    totals: dict[tuple[str | None, str | None], tuple[int, int]] = defaultdict(lambda: (0, 0))
    end = period_end(observation.period)
    for row in observation.rows:
        if row["posted_on"] is None or row["posted_on"] <= end:
            count, cents = totals[row["kind"], row["status"]]
            totals[row["kind"], row["status"]] = (count + 1, cents + (row["amount_cents"] or 0))
    return dict(totals)


def key_of(row: Row) -> Key:
    return row["transaction_id"], row["revision"]


# What happens -----------------------------------------------------------------


class Ledger:
    """A source that one month after the other does something to; a function of its seed."""

    def __init__(
        self,
        seed: int,
        first_period: str = "2020-01",
        accounts: int = 30,
        reach_months: int = 11,
        months: int = 24,
    ) -> None:
        self.rng = random.Random(seed)
        self.first_period = first_period
        self.reach_months = reach_months
        self.last_period = plus_months(first_period, months - 1)
        self.bn15s = [f"{with_check_digit(f'{n:08d}')}RM0001" for n in range(501, 501 + accounts)]
        self.accounts: list[Row] = [
            {
                "bn15": bn15,
                "valid_from": dt.date(2008, 1, 1),
                "valid_to": None,
                "legal_name": f"Firm {number}",
                "program_type": "dual",
                "status": "open",
                "opened_on": dt.date(2008, 1, 1),
                "language": "en",
            }
            for number, bn15 in enumerate(self.bn15s)
        ]
        self.rows: list[Row] = []
        self.exports: list[Row] = []
        # Broken rows with what they were; a surplus copy with None.
        self.broken: list[tuple[Row, Row | None]] = []
        self.items = 0
        self.add_history()

    def add_history(self) -> None:
        """What the first run finds: a row in each month of its window, and a baseline."""
        months = window(self.first_period)
        for month in months[:-1]:
            for _ in range(2):
                self.add_row(self.day_of(month))
        for _ in range(20):
            days = self.rng.randint(1, 700)
            self.add_row(period_start(months[0]) - dt.timedelta(days=days))
        month = months[0]
        while month <= self.last_period:
            day = period_start(month) + dt.timedelta(days=7)
            self.exports.append(declaration(self.bn15s[0], f"export-{month}", day, day))
            month = plus_months(month, 1)

    def day_of(self, month: str) -> dt.date:
        """A day of a statement month; its first and last more often than the others."""
        first, last = period_start(month), period_end(month)
        between = first + dt.timedelta(days=self.rng.randint(0, (last - first).days))
        return self.rng.choice((first, last, between, between))

    def add_row(self, posted_on: dt.date) -> Row:
        """A new item, its first revision."""
        self.items += 1
        activity_on = posted_on - dt.timedelta(days=self.rng.choice((0, 0, 3, 40)))
        row = transaction(
            self.rng.choice(self.bn15s),
            f"item-{self.items:05d}",
            self.rng.choice(KINDS),
            self.amount(),
            activity_on,
            posted_on,
        )
        row["status"] = self.status()
        self.rows.append(row)
        return row

    def amount(self) -> int:
        return self.rng.choice((0, 1, -1, self.rng.randint(-50_000, 90_000)))

    def status(self) -> str:
        weights = (70, 15, 10, 5)
        return self.rng.choices(("accepted", "under_review", "cancelled", "reversed"), weights)[0]

    def advance(self, period: str) -> list[str]:
        """All that happens to the source before the month ``period`` is run; what was done, in words."""
        rng = self.rng
        first = max(self.first_period, plus_months(period, -self.reach_months))
        reached = [first]
        while reached[-1] < period:
            reached.append(plus_months(reached[-1], 1))
        done = []
        for _ in range(rng.randint(6, 14)):
            row = self.add_row(self.day_of(period))
            done.append(f"on time {key_of(row)}")
        for _ in range(rng.randint(0, 3)):
            row = self.add_row(self.day_of(rng.choice(reached)))
            done.append(f"late {key_of(row)}")
        for _ in range(rng.randint(0, 2)):
            row = self.add_row(self.day_of(plus_months(period, 1)))
            done.append(f"early {key_of(row)}")
        for act, most in (
            (self.revise, 6),
            (self.overwrite, 3),
            (self.delete, 2),
            (self.mend, 4),
            (self.spoil, 3),
            (self.double, 2),
        ):
            for _ in range(rng.randint(0, most)):
                what = act(period, reached)
                if what:
                    done.append(what)
        return done

    def touchable(self, reached: list[str]) -> list[Row]:
        """Rows within reach that are neither broken nor there twice."""
        unsure = {row["transaction_id"] for row, _ in self.broken}
        first, last = period_start(reached[0]), period_end(reached[-1])
        return [row for row in self.rows if row["transaction_id"] not in unsure and first <= row["posted_on"] <= last]

    def revise(self, period: str, reached: list[str]) -> str | None:
        """The next revision of any item, of the baseline too, posted this month or late."""
        end = period_end(period)
        last: dict[str, Row] = {}
        unsure = {row["transaction_id"] for row, _ in self.broken}
        for row in self.rows:
            held = last.get(row["transaction_id"])
            if held is None or row["revision"] > held["revision"]:
                last[row["transaction_id"]] = row
        candidates = [row for identity, row in last.items() if identity not in unsure and row["posted_on"] <= end]
        if not candidates:
            return None
        old = self.rng.choice(candidates)
        posted_on = self.day_of(self.rng.choice((period, period, *reached)))
        row = {
            **old,
            "revision": old["revision"] + 1,
            "posted_on": max(posted_on, old["posted_on"]),
            "status": self.status(),
        }
        if self.rng.random() < 0.6:
            row["amount_cents"] = self.amount()
        self.rows.append(row)
        return f"revised {key_of(row)}"

    def overwrite(self, period: str, reached: list[str]) -> str | None:
        """A row is changed in place: its amount, its status, or its posting date."""
        rows = self.touchable(reached)
        if not rows:
            return None
        row = self.rng.choice(rows)
        name = self.rng.choice(("amount_cents", "status", "posted_on"))
        if name == "posted_on":
            others = [other for other in self.rows if other is not row]
            # Only a lone row moves: revisions stay in the order of their dates.
            if any(other["transaction_id"] == row["transaction_id"] for other in others):
                return None
            row[name] = max(self.day_of(self.rng.choice(reached)), row["activity_on"])
        else:
            row[name] = self.amount() if name == "amount_cents" else self.status()
        return f"overwrote {name} of {key_of(row)}"

    def delete(self, period: str, reached: list[str]) -> str | None:
        """A row vanishes; at times one that is broken."""
        rows = self.touchable(reached)
        broken = [
            entry for entry in self.broken if entry[1] is not None and entry[1]["posted_on"] >= period_start(reached[0])
        ]
        if broken and self.rng.random() < 0.3:
            entry = self.rng.choice(broken)
            self.broken = [other for other in self.broken if other is not entry]
            row = entry[0]
        elif rows:
            row = self.rng.choice(rows)
        else:
            return None
        self.rows = [other for other in self.rows if other is not row]
        return f"deleted {key_of(row)}"

    def spoil(self, period: str, reached: list[str]) -> str | None:
        """A row breaks; at times one that came this month, so that nobody saw it right."""
        rows = self.touchable(reached)
        if not rows or len(self.broken) >= MOST_BROKEN:
            return None
        row = self.rng.choice(rows[-10:] if self.rng.random() < 0.4 else rows)
        self.broken.append((row, dict(row)))
        row.update(self.rng.choice(FAULTS))
        return f"broke {key_of(row)}"

    def mend(self, period: str, reached: list[str]) -> str | None:
        """A broken row is right again, at times with another amount."""
        if not self.broken:
            return None
        row, right = self.broken.pop(self.rng.randrange(len(self.broken)))
        if right is None:
            self.rows = [other for other in self.rows if other is not row]
            return f"took away the copy of {key_of(row)}"
        row.update(right)
        if self.rng.random() < 0.4:
            row["amount_cents"] = self.amount()
        return f"mended {key_of(row)}"

    def double(self, period: str, reached: list[str]) -> str | None:
        """A row is there twice, alike or not, until the copy is taken away."""
        rows = self.touchable(reached)
        if not rows or len(self.broken) >= MOST_BROKEN:
            return None
        row = self.rng.choice(rows)
        other = dict(row)
        if self.rng.random() < 0.4:
            other["amount_cents"] += 7
        self.rows.append(other)
        self.broken.append((other, None))
        return f"doubled {key_of(row)}"

    def observe(self, period: str) -> Observation:
        """The source as it is now, apart from what happens to it later."""
        return Observation(period, tuple(copy.deepcopy(self.accounts)), tuple(copy.deepcopy(self.rows)))


def months_of(ledger: Ledger) -> Iterator[tuple[str, list[Observation]]]:
    """(period, all observations so far) month by month, while ``ledger`` changes."""
    observations: list[Observation] = []
    period = ledger.first_period
    while period <= ledger.last_period:
        ledger.advance(period)
        observations.append(ledger.observe(period))
        yield period, observations
        period = plus_months(period, 1)


# Where the pipeline finds it --------------------------------------------------


def write_source(ledger: Ledger, engine: Engine) -> None:
    """Make the source database hold the ledger's rows as they are now, in one transaction."""
    from include.source_schema import TABLES, create_indexes, create_tables

    tables = {
        "accounts": ledger.accounts,
        "transactions": ledger.rows,
        "export_declarations": ledger.exports,
    }
    names = [*tables, "delegations", "subscribers", "webinars"]
    with engine.begin() as connection:
        create_tables(connection, names)
        create_indexes(connection, names)
        for name, rows in tables.items():
            table = TABLES[name]
            connection.execute(table.delete())
            if rows:
                columns = [column.name for column in table.columns]
                connection.execute(
                    table.insert(),
                    [{column: row.get(column) for column in columns} for row in rows],
                )


def write_folder(ledger: Ledger, folder: Path) -> None:
    """Write the ledger's rows as they are now as CSV files."""
    write_csv(folder / "accounts.csv", ACCOUNT_COLUMNS, ledger.accounts)
    write_csv(folder / "transactions.csv", TRANSACTION_COLUMNS, ledger.rows)
    write_csv(folder / "export_declarations.csv", EXPORT_COLUMNS, ledger.exports)
