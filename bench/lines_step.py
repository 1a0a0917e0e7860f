"""Lines and balances of a month: every posting on its statement, what is open, allocated, aged, and what is owed.

The month has three postings an account, spread as a nation's are: a quarter of the accounts gets them all, and the
busiest of them hundreds. Beside it stands what cannot be left out: DuckDB reads the same columns of the same files,
joins postings with accounts and balances, sorts them into the order of the statements, and writes them to a file, as
ours does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from bench.decision_step import ACCOUNT_ROWS, ACCOUNTS, LAST, publish
from bench.measure import Profile, Stage, Target, entry_of, in_turns
from bench.world import World
from include import engine
from include.carm.calendar import Calendar
from include.carm.policy import Policy
from include.database import connect_engine
from include.datasets import schema_of
from include.lake import Lake, write_parquet
from include.open_items import keep_labelled_items
from include.operations import migrate
from include.parking import RELATION as NOBODY
from include.statements import draw_up_statements, gather_month, publish_statement_lines
from include.workspace import Workspace

POSTINGS_AN_ACCOUNT = 3
TARGET = 2.0
"""What is promised for the three million postings of a nation's month."""
TARGET_ACCOUNTS = 1_000_000

# Who gets a posting: the third power of a chance piles them up on few accounts. One in ten came in late, one in a
# hundred is under review, one in twenty was secured by a broker.
POSTINGS = """
WITH drawn AS (
    SELECT
        number,
        hash(number, 'what') AS chance,
        hash(number, 'who') % 1000000007 / 1000000007.0 AS who,
        1 + CAST(floor($accounts / 4 * pow(who, 3)) AS BIGINT) * 4 AS account
    FROM range(1, $postings + 1) AS numbers(number)
),
amounts AS (
    SELECT *, 1000 + CAST(chance % 4000000 AS BIGINT) AS duty, chance % 20 < 6 AS is_payment FROM drawn
)
SELECT
    printf('T%010d', number) AS transaction_id, 1 AS revision, 1 AS version,
    printf('%09dRM0001', account) AS bn15, account * 10000 + 1 AS account_key,
    CASE WHEN is_payment THEN 'PMT' WHEN chance % 97 = 0 THEN 'INT' WHEN chance % 89 = 0 THEN 'LAP' ELSE 'B3' END
        AS kind,
    printf('12345%09d', number) AS transaction_number,
    $start - CAST(chance % 9 AS INTEGER) AS activity_on,
    $start + CAST(chance % 29 AS INTEGER) AS posted_on,
    CASE WHEN NOT is_payment AND chance % 3 = 0 THEN $start + 45 END AS due_on,
    CASE WHEN NOT is_payment AND chance % 100 = 1 THEN 'under_review' ELSE 'accepted' END AS status,
    CASE WHEN NOT is_payment AND chance % 20 = 7 THEN '000000018' END AS broker_bn9,
    CASE WHEN is_payment THEN 0 ELSE duty END AS customs_duty_cents,
    0 AS excise_duty_cents, 0 AS excise_tax_cents,
    CASE WHEN is_payment THEN 0 ELSE duty // 20 END AS gst_cents,
    0 AS anti_dumping_cents, 0 AS countervailing_cents, 0 AS surtax_cents, 0 AS safeguard_cents,
    0 AS provincial_tax_cents, 0 AS interest_cents,
    CASE WHEN is_payment THEN -2 * duty ELSE duty + duty // 20 END AS amount_cents,
    'source' AS origin, 'on_time' AS arrival, chance % 10 = 3 AS is_late, TRUE AS is_counted,
    amount_cents AS effect_cents,
    CASE WHEN status = 'under_review' THEN amount_cents ELSE 0 END AS under_review_effect_cents,
    CASE WHEN status = 'under_review' THEN 1 ELSE 0 END AS under_review_items_effect,
    'hash' AS row_hash
FROM amounts ORDER BY account_key, transaction_id
"""

# What the accounts owed before, two items each; and the months between, which brought nothing more to the balance.
OPEN_ITEMS = """
SELECT
    bn15, account_key, printf('O%d-%d', account_key, part) AS item_id, 'B3' AS kind,
    CAST(NULL AS VARCHAR) AS transaction_number, $posted_on - CAST(part * 40 AS INTEGER) AS activity_on,
    $posted_on - CAST(part * 40 AS INTEGER) AS posted_on,
    $posted_on - CAST(part * 35 AS INTEGER) AS due_on, '2021-08' AS placed_in, CAST(NULL AS VARCHAR) AS broker_bn9,
    FALSE AS is_under_review, CAST(hash(account_key, 'debt') % 90000 AS BIGINT) + part AS amount_cents, 0 AS sima_cents,
    amount_cents AS remaining_cents, $first AS carried_since
FROM accounts_of, range(1, 3) AS parts(part)
WHERE account_key // 10000 % 5 = 1
ORDER BY account_key, item_id
"""
BALANCES = """
SELECT
    bn15, account_key, 2 * CAST(hash(account_key, 'debt') % 90000 AS BIGINT) + 3 AS balance_cents,
    0 AS under_review_cents, 0 AS under_review_items, DATE '2010-03-01' AS last_import_on,
    CAST(NULL AS DATE) AS last_export_on, CAST(NULL AS DATE) AS last_other_on
FROM accounts_of WHERE account_key // 10000 % 5 = 1 ORDER BY account_key
"""
ACTIVITY = """
SELECT
    bn15, account_key, 2 AS import_count, 0 AS export_count, 1 AS other_count, $start AS last_import_on,
    CAST(NULL AS DATE) AS last_export_on, CAST(NULL AS DATE) AS last_other_on, 0 AS effect_cents,
    0 AS under_review_effect_cents, 0 AS under_review_items_effect
FROM accounts_of WHERE account_key // 10000 % 4 = 1 ORDER BY account_key
"""
ACTIVITY_OF_MONTH = """
SELECT
    bn15, account_key, count(*) AS import_count, 0 AS export_count, 0 AS other_count,
    max(activity_on) AS last_import_on, CAST(NULL AS DATE) AS last_export_on, CAST(NULL AS DATE) AS last_other_on,
    sum(effect_cents) AS effect_cents,
    sum(under_review_effect_cents) AS under_review_effect_cents,
    sum(under_review_items_effect) AS under_review_items_effect
FROM postings GROUP BY bn15, account_key ORDER BY account_key
"""

FLOOR = """
WITH balances AS (
    SELECT account_key, sum(effect_cents) AS balance_cents
    FROM (
        SELECT account_key, balance_cents AS effect_cents FROM baseline
        UNION ALL SELECT account_key, effect_cents FROM activity
    )
    GROUP BY account_key
)
SELECT postings.* EXCLUDE (origin, row_hash, under_review_items_effect), accounts.legal_name, accounts.operating_name,
    accounts.program_type, accounts.status AS account_status, accounts.closed_on, accounts.language,
    balances.balance_cents
FROM transactions AS postings
INNER JOIN accounts USING (account_key)
LEFT JOIN balances USING (account_key)
ORDER BY postings.account_key, postings.kind, postings.posted_on, postings.transaction_id
"""


def measure(world: World, folder: Path, rounds: int, say: Callable[[str], None]) -> list[Stage]:
    """Make a month in ``folder``, and measure the step and its floor over it in turns."""
    url = f"sqlite:///{folder / 'source.db'}"
    profile = world.profile
    ws = Workspace(folder, url, url, Calendar.load(), Policy.load())
    connect_engine(ws.apply_url, create=True).connect().close()
    migrate(ws.apply_url)
    lake = ws.lake()
    _fill(ws, lake, profile)
    say(f"  {profile.accounts * POSTINGS_AN_ACCOUNT:,} postings")
    month = {"period": str(LAST), "effects": "shadow", "area": "lake", "run_id": "bench"}

    # What is open, allocated and owed, on which the page is drawn up, is made once and for all.
    opened = engine.connect(spill_folder=folder / "spill")
    (folder / "spill").mkdir()

    def gather() -> None:
        gather_month(ws, opened, lake, LAST)
        keep_labelled_items(opened)
        engine.register(opened, "parking", NOBODY.empty_table())

    def draw_up() -> None:
        with TemporaryDirectory(dir=folder) as drawn_up:
            draw_up_statements(ws, opened, LAST, Path(drawn_up))

    def publish_all() -> None:
        publish_statement_lines(ws, month)

    def read() -> None:
        with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
            for dataset in ("transactions", "accounts"):
                engine.register(con, dataset, [lake.file(dataset, LAST)])
            for dataset in ("baseline", "activity"):
                engine.register(con, dataset, lake.files(dataset))
            write_parquet(spill / "sorted.parquet", con.sql(FLOOR).to_arrow_reader(engine.BATCH_ROWS))

    gather()  # What runs for the first time also loads code, and the files come from the disk.
    gathered, drawn_up, published, floor_seconds = in_turns(rounds, gather, draw_up, publish_all, read)
    floor = "DuckDB reads, joins, sorts and writes the columns"
    beside = entry_of(floor, "floor", floor_seconds)
    targets = (Target(floor, TARGET),) if profile.accounts >= TARGET_ACCOUNTS else ()
    count = profile.accounts * POSTINGS_AN_ACCOUNT

    def stage(name: str, seconds: list[float], targets: tuple[Target, ...] = ()) -> Stage:
        return Stage(name, "postings", count, (entry_of("SQL on DuckDB", "ours", seconds), beside), targets)

    return [
        stage("lines and balances of a month", drawn_up, targets),
        stage("open items, allocation, ages, interest", gathered),
        stage("all of it, proved, written and sealed", published),
    ]


def _fill(ws: Workspace, lake: Lake, profile: Profile) -> None:
    months = [LAST]
    while len(months) < profile.months:
        months.append(months[-1].previous())
    first, before = months[-1], LAST.previous()
    days = {"start": ws.calendar.start(LAST)}
    with duckdb.connect() as con:
        con.execute(ACCOUNTS, {"accounts": profile.accounts})
        postings = {"accounts": profile.accounts, "postings": profile.accounts * POSTINGS_AN_ACCOUNT}
        con.execute(f"CREATE TABLE postings AS {POSTINGS}", {**postings, **days})
        carried = {"posted_on": ws.calendar.end(before), "first": str(first)}
        seals = [
            publish(lake, con, "accounts", LAST, ACCOUNT_ROWS),
            publish(lake, con, "transactions", LAST, "SELECT * FROM postings"),
            publish(lake, con, "activity", LAST, ACTIVITY_OF_MONTH),
            publish(lake, con, "baseline", first.previous(), BALANCES),
            publish(lake, con, "open_items", before, OPEN_ITEMS, carried),
        ]
        for month in months[1:]:
            seals.append(publish(lake, con, "activity", month, ACTIVITY, {"start": ws.calendar.start(month)}))
            seals.append(lake.publish("transactions", month, schema_of("transactions").empty_table()))
    lake.seal(seals, run_id="bench")
