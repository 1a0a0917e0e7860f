"""The data that benchmarks work on: made once by SQL from the number of each account, and kept below ``.bench/``,
or where ``CARM_BENCH_DATA`` says.

Shaped as the field is. A fifth of the accounts does nothing in four years, half of them something in every tenth month,
a quarter in two of five, and one in twenty works always and has most of the postings; a few have thousands a month.
Debts are paid in the same month (60 %), the next (35 %) or three months later. Of what was paid in the month of the
debt, one payment in 250 comes back from the bank in the next month, and is made again. Keys are random, as the worst
case.

The rows lie as Parquet files, a month each, and in a PostgreSQL of its own. Nothing of it is random: the same profile
gives the same files.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from bench.measure import Profile
from include.carm.calendar import Calendar
from include.carm.period import Period
from include.feeds import ACCOUNTS, EXPORT_DECLARATIONS, TRANSACTIONS, Feed

LAST = Period(2021, 12)
CACHE = Path(os.environ.get("CARM_BENCH_DATA") or Path(__file__).parents[1] / ".bench")
"""Where the data are kept: 50 GB for the national profile, so it may be set to a folder on a larger disk."""

MACROS = (
    "CREATE MACRO doubled(x) AS 2 * x - CASE WHEN x > 4 THEN 9 ELSE 0 END",
    "CREATE MACRO digit(n, place) AS n // CAST(pow(10, place) AS BIGINT) % 10",
    # A business number of eight digits and its check digit by Luhn: each second digit from the last one is doubled.
    "CREATE MACRO bn9(n) AS n * 10 + (10 - (doubled(digit(n, 0)) + digit(n, 1) + doubled(digit(n, 2)) + digit(n, 3)"
    " + doubled(digit(n, 4)) + digit(n, 5) + doubled(digit(n, 6)) + digit(n, 7)) % 10) % 10",
    "CREATE MACRO chance(number, month, what) AS CAST(hash(number, month, what) % 1000003 AS BIGINT) / 1000003.0",
)

ACCOUNTS_OF = """
CREATE TABLE accounts_of AS
SELECT
    number,
    printf('%09dRM0001', bn9(10000000 + number)) AS bn15,
    hash(number, 'share') % 1000 AS share,
    CASE WHEN hash(number, 'type') % 100 < 73 THEN 'importer' WHEN hash(number, 'type') % 100 < 83 THEN 'exporter'
        ELSE 'dual' END AS program_type,
    DATE '1995-01-01' + CAST(hash(number, 'opened') % 8000 AS INTEGER) AS opened_on
FROM range(1, $accounts + 1) AS numbers(number)
"""

ACCOUNT_ROWS = """
SELECT
    bn15, opened_on AS valid_from, CAST(NULL AS DATE) AS valid_to, 'Importations ' || number || ' ltée' AS legal_name,
    CAST(NULL AS VARCHAR) AS operating_name, program_type, 'open' AS status, opened_on,
    CAST(NULL AS DATE) AS closed_on, CAST(NULL AS DATE) AS reinstated_on,
    CASE WHEN hash(number, 'language') % 100 < 77 THEN 'en' ELSE 'fr' END AS language,
    'accounts' || number || '@example.com' AS email,
    ['AB', 'BC', 'MB', 'NB', 'NL', 'NS', 'ON', 'PE', 'QC', 'SK'][1 + CAST(hash(number, 'p') % 10 AS INTEGER)]
        AS province,
    CASE WHEN number % 500 = 1 THEN 'appeal' END AS hold_reason, CAST(NULL AS DATE) AS hold_until,
    CAST(NULL AS DATE) AS portal_registered_on, CAST(NULL AS DATE) AS mfa_registered_on
FROM accounts_of ORDER BY number
"""

# How many debts an account has in a month follows from a power of a chance: many have few, and few have many.
DEBTS = """
CREATE OR REPLACE TEMP TABLE debts_{offset} AS
WITH active AS (
    SELECT *, chance(number, $month, 'count') AS luck FROM accounts_of
    WHERE hash(number, $month) % 1000 < CASE
        WHEN share < 200 THEN 0 WHEN share < 700 THEN 100 WHEN share < 950 THEN 400 ELSE 1000 END
),
counted AS (
    SELECT *, least(5000, greatest(1, CAST(floor(
        $scale * CASE WHEN share < 700 THEN 2.3 WHEN share < 950 THEN 3.5 ELSE 16.9 END * pow(luck + 0.000001, -0.55)
    ) AS BIGINT))) AS debts FROM active
),
drawn AS (
    SELECT number, bn15, unnest(range(debts)) AS item, hash(number, $month, 'pays') % 100 AS pays FROM counted
)
SELECT
    number, bn15, item, pays, hash(number, $month, item) AS luck,
    1000 + CAST(hash(number, $month, item, 'duty') % 4000000 AS BIGINT) AS duty
FROM drawn
"""

# Who pays in the same month does so on one of its last days; so does who pays again what the bank sent back. An NSF
# has the transaction number of its payment.
POSTINGS = """
WITH paid AS (
    SELECT number, bn15, 0 AS months_ago, sum(duty + duty // 20) AS cents FROM debts_0 WHERE pays < 60 GROUP BY ALL
    UNION ALL
    SELECT number, bn15, 1, sum(duty + duty // 20) FROM debts_1 WHERE pays BETWEEN 60 AND 94 GROUP BY ALL
    UNION ALL
    SELECT number, bn15, 3, sum(duty + duty // 20) FROM debts_3 WHERE pays >= 95 GROUP BY ALL
),
returned AS (
    SELECT number, bn15, hash(number, $before, 0) AS luck, sum(duty + duty // 20) AS cents FROM debts_1
    WHERE pays < 60 AND hash(number, $before, 0) % 250 = 0 GROUP BY ALL
),
drawn AS (
    SELECT
        number, bn15, item, luck, luck AS paid_by, 'item' AS role, duty, duty // 20 AS gst, duty + duty // 20 AS cents
    FROM debts_0
    UNION ALL
    SELECT
        number, bn15, -1 - months_ago, hash(number, $month, months_ago), hash(number, $month, months_ago), 'PMT', 0, 0,
        CAST(-cents AS BIGINT)
    FROM paid
    UNION ALL
    SELECT number, bn15, -5, luck // 251, luck, 'NSF', 0, 0, CAST(cents AS BIGINT) FROM returned
    UNION ALL
    SELECT number, bn15, -6, hash(number, $month, 5), hash(number, $month, 5), 'PMT', 0, 0, CAST(-cents AS BIGINT)
    FROM returned
),
posted AS (
    SELECT *,
        CASE WHEN role = 'PMT' THEN $last_day - CAST(luck % 3 AS INTEGER)
            ELSE $first_day + CAST(luck % ($last_day - $first_day - 2) AS INTEGER) END AS posted_on
    FROM drawn
)
SELECT
    printf('%016x', hash(number, $month, item, 'key')) AS transaction_id,
    CAST(1 AS BIGINT) AS revision,
    bn15,
    CASE WHEN role <> 'item' THEN role WHEN luck % 89 = 0 THEN 'LAP' WHEN luck % 3 = 0 THEN 'CAD' ELSE 'B3' END AS kind,
    CASE WHEN role = 'item' THEN printf('12345%09d', luck % 1000000000)
        ELSE printf('4%013d', paid_by % 10000000000000) END AS transaction_number,
    posted_on - CAST(luck % 9 AS INTEGER) AS activity_on,
    posted_on,
    CASE WHEN item >= 0 AND luck % 3 = 1 THEN $first_day + 45 END AS due_on,
    CASE WHEN item >= 0 AND luck % 100 = 1 THEN 'under_review' ELSE 'accepted' END AS status,
    CASE WHEN item >= 0 AND luck % 20 = 7 THEN printf('%09d', bn9(90000000 + CAST(number % 200 AS BIGINT))) END
        AS broker_bn9,
    duty AS customs_duty_cents,
    0::BIGINT AS excise_duty_cents, 0::BIGINT AS excise_tax_cents,
    gst AS gst_cents,
    0::BIGINT AS anti_dumping_cents, 0::BIGINT AS countervailing_cents, 0::BIGINT AS surtax_cents,
    0::BIGINT AS safeguard_cents, 0::BIGINT AS provincial_tax_cents, 0::BIGINT AS interest_cents,
    cents AS amount_cents
FROM posted ORDER BY posted_on, transaction_id
"""

EXPORTS = """
SELECT
    printf('%016x', hash(number, $month, 'export')) AS declaration_id,
    CAST(1 AS BIGINT) AS revision,
    bn15,
    $first_day + CAST(hash(number, $month) % ($last_day - $first_day) AS INTEGER) AS exported_on,
    $first_day + CAST(hash(number, $month) % ($last_day - $first_day) AS INTEGER) AS reported_on,
    'accepted' AS status,
    CAST(hash(number, $month, 'value') % 9000000 AS BIGINT) AS value_cents
FROM accounts_of
WHERE program_type <> 'importer' AND hash(number, $month) % 1000 < CASE
    WHEN share < 200 THEN 0 WHEN share < 700 THEN 100 WHEN share < 950 THEN 400 ELSE 1000 END
ORDER BY reported_on, declaration_id
"""


@dataclass(frozen=True)
class World:
    """The data of a profile. ``folder`` holds them and what is made of them; a process may be handed a world."""

    profile: Profile
    folder: Path

    @property
    def months(self) -> list[Period]:
        """The statement months that have postings, oldest first."""
        found = [LAST]
        while len(found) < self.profile.months:
            found.append(found[-1].previous())
        return found[::-1]

    def rows(self, feed: Feed, month: Period | None = None) -> Path:
        """The file of a feed's rows, typed as in the source; of a ledger feed a month's."""
        name = "data" if month is None else str(month)
        return self.folder / "source" / feed.name / f"{name}.parquet"

    def all_rows(self, feed: Feed) -> list[Path]:
        """The files of a ledger feed, oldest month first."""
        return [self.rows(feed, month) for month in self.months]

    def scratch(self, name: str) -> Path:
        """An empty folder for what a way makes."""
        folder = self.folder / "scratch" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    @contextmanager
    def postgres(self, say: Callable[[str], None]) -> Iterator[str]:
        """The URL of a PostgreSQL that holds all rows, with the indexes of the source; filled the first time."""
        from bench.world_postgres import serve

        with serve(self, say) as url:
            yield url


def make_world(profile: Profile, say: Callable[[str], None], cache: Path = CACHE) -> World:
    """The world of a profile; made where it is not there yet, or was made by another text of this module."""
    text = Path(__file__).read_bytes() + repr((profile.accounts, profile.postings, profile.months)).encode()
    world = World(profile, cache / f"{profile.name}-{hashlib.sha256(text).hexdigest()[:12]}")
    done = world.folder / "source" / "made"
    if not done.exists():
        for stale in cache.glob(f"{profile.name}-*"):
            shutil.rmtree(stale)
        _make_source(world, say)
        done.touch()
    return world


def _make_source(world: World, say: Callable[[str], None]) -> None:
    calendar = Calendar.load()
    months = world.months
    # A debt of before the first month has no payment, so that each month follows from those of the profile.
    scale = world.profile.postings / world.profile.accounts / 3
    rows = 0
    for feed in (ACCOUNTS, TRANSACTIONS, EXPORT_DECLARATIONS):
        world.rows(feed, LAST).parent.mkdir(parents=True)
    with duckdb.connect() as con:
        for macro in MACROS:
            con.execute(macro)
        con.execute(ACCOUNTS_OF, {"accounts": world.profile.accounts})
        _write(con, ACCOUNT_ROWS, {}, world.rows(ACCOUNTS))
        for number, month in enumerate(months):
            for ago in (0, 1, 3):
                earlier = str(months[number - ago]) if number >= ago else ""
                none = "" if earlier else " LIMIT 0"
                con.execute(DEBTS.format(offset=ago) + none, {"month": earlier, "scale": scale})
            days = {"month": str(month), "first_day": calendar.start(month), "last_day": calendar.end(month)}
            rows += _write(con, POSTINGS, days | {"before": str(month.previous())}, world.rows(TRANSACTIONS, month))
            _write(con, EXPORTS, days, world.rows(EXPORT_DECLARATIONS, month))
            say(f"  made {month}: {rows:,} postings so far")


def _write(con: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, object], path: Path) -> int:
    """Write the rows of a query as a Parquet file; returns how many they are."""
    relation = con.sql(query, params=parameters)
    relation.write_parquet(str(path), compression="zstd")
    return int(con.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchall()[0][0])
