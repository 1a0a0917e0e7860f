"""The decision step of a month: from one activity row an account and month to the decision about each account.

Beside it stands what cannot be left out whatever is decided: DuckDB reads the same columns of the same files and
aggregates them by account, and writes nothing.

Here both run warm, in one process that proved its files before, and every month's activity is on file: folding and
deciding alone are measured, and no activity is derived. What the step costs in a month, from its postings on and in a
process of its own, is measured beside the same floor by ``growth_step``, and what is promised is promised there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
from sqlalchemy import insert

from bench.measure import Profile, Stage, entry_of, in_turns
from bench.world import World
from include import engine
from include.activity import publish_activity
from include.carm.calendar import Calendar
from include.carm.period import Period
from include.carm.policy import Policy
from include.database import connect_engine, write_transaction
from include.decide import publish_decisions
from include.feeds import LEDGER_FEEDS
from include.lake import Lake, Seal
from include.operations import migrate
from include.operations_schema import FEED_COVERAGE
from include.workspace import Workspace

LAST = Period(2021, 12)
COLUMNS_ONLY = "DuckDB reads and aggregates the columns"

# A fifth of the accounts did nothing in the window, half of them work in every tenth month, a quarter in two of five,
# and one in twenty always; what they do follows from the number of the account alone.
ACCOUNTS = """
CREATE TABLE accounts_of AS
SELECT
    printf('%09dRM0001', number) AS bn15,
    number * 10000 + 1 AS account_key,
    hash(number, 'share') % 1000 / 1000.0 AS share,
    CASE WHEN hash(number, 'type') % 100 < 73 THEN 'importer' WHEN hash(number, 'type') % 100 < 83 THEN 'exporter'
    ELSE 'dual' END AS program_type,
    list_extract(
        ['AB', 'BC', 'MB', 'NB', 'NL', 'NS', 'ON', 'PE', 'QC', 'SK'],
        1 + CAST(hash(number, 'p') % 10 AS INTEGER)
    ) AS province,
    DATE '1995-01-01' + CAST(hash(number, 'opened') % 8000 AS INTEGER) AS opened_on
FROM range(1, $accounts + 1) AS numbers(number)
"""

ACCOUNT_ROWS = """
SELECT
    bn15, account_key, opened_on AS valid_from, CAST(NULL AS DATE) AS valid_to, 'Firm ' || bn15 AS legal_name,
    CAST(NULL AS VARCHAR) AS operating_name, program_type, 'open' AS status, opened_on, CAST(NULL AS DATE) AS closed_on,
    CAST(NULL AS DATE) AS reinstated_on, 'en' AS language, province,
    CASE WHEN account_key % 500 = 1 THEN 'appeal' END AS hold_reason, CAST(NULL AS DATE) AS hold_until,
    CAST(NULL AS DATE) AS portal_registered_on, CAST(NULL AS DATE) AS mfa_registered_on
FROM accounts_of ORDER BY account_key
"""

MONTH_ROWS = """
WITH active AS (
    SELECT *, hash(account_key, $month) AS chance FROM accounts_of
    WHERE hash(account_key, $month) % 1000 < CASE
        WHEN share < 0.2 THEN 0 WHEN share < 0.7 THEN 100 WHEN share < 0.95 THEN 400 ELSE 1000 END
)
SELECT
    bn15, account_key,
    CASE WHEN program_type <> 'exporter' THEN 2 ELSE 0 END AS import_count,
    CASE WHEN program_type <> 'importer' THEN 1 ELSE 0 END AS export_count,
    1 AS other_count,
    CASE WHEN program_type <> 'exporter' THEN $start + CAST(chance % 28 AS INTEGER) END AS last_import_on,
    CASE WHEN program_type <> 'importer' THEN $start + CAST(chance % 27 AS INTEGER) END AS last_export_on,
    CASE WHEN chance % 50 = 0 THEN $start + CAST(chance % 26 AS INTEGER) END AS last_other_on,
    CASE WHEN chance % 10 = 0 THEN CAST(chance % 90000 AS BIGINT) - 45000 ELSE 0 END AS effect_cents,
    0 AS under_review_effect_cents, 0 AS under_review_items_effect
FROM active ORDER BY account_key
"""

BASELINE_ROWS = """
SELECT
    bn15, account_key, 0 AS balance_cents, 0 AS under_review_cents, 0 AS under_review_items,
    DATE '2010-03-01' AS last_import_on, CAST(NULL AS DATE) AS last_export_on, CAST(NULL AS DATE) AS last_other_on
FROM accounts_of WHERE account_key % 10 < 9 ORDER BY account_key
"""

# What the decision reads, aggregated by account as it must be, and nothing else.
FLOOR = """
WITH placed AS (
    SELECT account_key, effect_cents AS balance_cents, under_review_effect_cents AS under_review_cents,
        under_review_items_effect AS under_review_items, last_import_on, last_export_on, last_other_on
    FROM activity
    UNION ALL
    SELECT account_key, balance_cents, under_review_cents, under_review_items, last_import_on, last_export_on,
        last_other_on
    FROM baseline
),
totals AS (
    SELECT account_key, sum(balance_cents) AS balance_cents, sum(under_review_cents) AS under_review_cents,
        sum(under_review_items) AS under_review_items, max(last_import_on) AS last_import_on,
        max(last_export_on) AS last_export_on, max(last_other_on) AS last_other_on
    FROM placed GROUP BY account_key
)
SELECT count(*), sum(balance_cents), sum(under_review_cents), sum(under_review_items), max(last_import_on),
    max(last_export_on), max(last_other_on)
FROM totals
"""
FLOOR_ACCOUNTS = """
SELECT count(*), max(bn15), max(account_key), max(valid_from), max(program_type), max(status), max(province),
    max(opened_on), max(reinstated_on), max(closed_on), max(hold_reason), max(hold_until)
FROM accounts
"""


def measure(world: World, folder: Path, rounds: int, say: Callable[[str], None]) -> list[Stage]:
    """Make a world in ``folder``, and measure the step and its floor over it in turns."""
    ws = Workspace(
        folder, f"sqlite:///{folder / 'source.db'}", f"sqlite:///{folder / 'source.db'}", Calendar.load(), Policy.load()
    )
    connect_engine(ws.apply_url, create=True).connect().close()
    migrate(ws.apply_url)
    profile = world.profile
    rows = _fill(ws, profile)
    say(f"  {rows:,} activity rows")
    month = {"period": str(LAST), "effects": "shadow", "area": "lake", "run_id": "bench"}

    def decide() -> None:
        publish_activity(ws, month)
        publish_decisions(ws, month)

    decide()  # What runs for the first time also loads code, and the files come from the disk.
    seconds, floor_seconds = in_turns(rounds, decide, partial(read_columns, ws.lake()))
    entries = (
        entry_of("activity folded, decisions made", "ours", seconds),
        entry_of(COLUMNS_ONLY, "floor", floor_seconds),
    )
    return [Stage("fold activity on file and decide, one warm process", "accounts", profile.accounts, entries)]


def read_columns(lake: Lake) -> None:
    """The floor: read what a decision reads of activity, baseline and accounts, and aggregate it."""
    with engine.connect() as con:
        for dataset in ("activity", "baseline", "accounts"):
            engine.register(con, dataset, lake.files(dataset))
        con.execute(FLOOR).fetchall()
        con.execute(FLOOR_ACCOUNTS).fetchall()


def _fill(ws: Workspace, profile: Profile) -> int:
    lake = ws.lake()
    months = [LAST]
    while len(months) < profile.months:
        months.append(months[-1].previous())
    with duckdb.connect() as con:
        con.execute(ACCOUNTS, {"accounts": profile.accounts})
        seals = [publish(lake, con, "accounts", LAST, ACCOUNT_ROWS)]
        seals.append(publish(lake, con, "baseline", months[-1].previous(), BASELINE_ROWS))
        for month in months:
            values = {"month": str(month), "start": ws.calendar.start(month)}
            seals.append(publish(lake, con, "activity", month, MONTH_ROWS, values))
    lake.seal(seals, run_id="bench")
    rows = [
        {
            "feed": feed.name,
            "period": str(month),
            "known_in": str(month),
            "observed_in": str(LAST),
            "state": "received",
            "rows": 1_000,
            "quarantined": 0,
            "minimum_rows": 1,
            "first_period": None,
            "validated": True,
            "reconciled": True,
            "first_day": "2000-01-03",
            "sha256": None,
        }
        for feed in LEDGER_FEEDS
        for month in months
    ]
    with write_transaction(ws.operations) as connection:
        connection.execute(insert(FEED_COVERAGE), rows)
    return sum(seal.rows for seal in seals if seal.dataset == "activity")


def publish(
    lake: Lake,
    con: duckdb.DuckDBPyConnection,
    dataset: str,
    month: Period,
    statement: str,
    parameters: dict[str, object] | None = None,
) -> Seal:
    """Publish what a statement makes as one partition; sealing is the caller's."""
    return lake.publish(dataset, month, con.sql(statement, params=parameters or {}).to_arrow_reader(100_000))
