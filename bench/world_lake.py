"""A lake that holds a world's history as the pipeline would have left it: the steps of the next month run from there.

What the pipeline extracts month by month is written here by one statement a month, because a world is clean: every row
is new, on time and valid. A test holds these files against those of a real first run, byte by byte. What is derived
from them (activity, open items) is made by the pipeline's own steps. All of it is made once, below the world's folder;
a workspace of one's own costs a hard link a file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import delete, insert

from bench.world import LAST, World
from include import engine, published
from include import lake as lake_files
from include.activity import publish_activity
from include.carm.calendar import Calendar
from include.carm.period import Period
from include.carm.policy import Policy
from include.database import connect_engine, write_transaction
from include.datasets import COMPONENTS, schema_of
from include.feeds import ACCOUNTS, EXPORT_DECLARATIONS, LEDGER_FEEDS, TRANSACTIONS
from include.lake import Lake, Seal
from include.open_items import carry_forward
from include.operations import migrate
from include.operations_schema import FEED_COVERAGE
from include.published import keys_dataset, publish_keys
from include.source_totals import EXPORT_KIND
from include.workspace import Workspace

RUN_ID = "history"
MADE_BY = (
    *("select_transaction_keys", "select_export_declaration_keys", "derive_keys", "derive_activity", "derive_baseline"),
    *("derive_carried_items", "derive_items", "select_allocated_cents", "derive_allocations", "derive_open_items"),
)
"""The statements whose rows lie in the lake."""
SHARED = ("quarantine", "quarantine_released", "activity_retracted")
LISTS = ("delegations", "webinars")

_TEXTS = """
    transaction_id, CAST(revision AS VARCHAR), bn15, kind, transaction_number, CAST(activity_on AS VARCHAR),
    CAST(posted_on AS VARCHAR), CAST(due_on AS VARCHAR), status, broker_bn9,
""" + ", ".join(f"CAST({name} AS VARCHAR)" for name in (*COMPONENTS, "amount_cents"))

_PUBLISHED = "'source' AS origin, 'on_time' AS arrival, FALSE AS is_late"

ROWS = {
    TRANSACTIONS.name: """
SELECT
    rows.* EXCLUDE (bn15), 1 AS version, bn15, account_key(bn15) AS account_key, {published}, TRUE AS is_counted,
    amount_cents AS effect_cents,
    CASE WHEN status = 'under_review' THEN amount_cents ELSE 0 END AS under_review_effect_cents,
    CASE WHEN status = 'under_review' THEN 1 ELSE 0 END AS under_review_items_effect,
    md5(CAST(to_json(list_value({texts})) AS VARCHAR)) AS row_hash
FROM rows ORDER BY account_key, posted_on, transaction_id
""",
    EXPORT_DECLARATIONS.name: """
SELECT
    rows.* EXCLUDE (bn15), 1 AS version, bn15, account_key(bn15) AS account_key, {published}, TRUE AS is_counted,
    value_cents AS effect_cents, 0 AS under_review_effect_cents, 0 AS under_review_items_effect,
    md5(CAST(to_json(list_value(
        declaration_id, CAST(revision AS VARCHAR), bn15, CAST(exported_on AS VARCHAR), CAST(reported_on AS VARCHAR),
        status, CAST(value_cents AS VARCHAR)
    )) AS VARCHAR)) AS row_hash
FROM rows ORDER BY account_key, reported_on, declaration_id
""",
}

ACCOUNT_ROWS = "SELECT rows.* EXCLUDE (email), account_key(bn15) AS account_key FROM rows ORDER BY account_key"

TOTALS = {
    TRANSACTIONS.name: "kind, status, count(*), sum(amount_cents)",
    EXPORT_DECLARATIONS.name: f"'{EXPORT_KIND}' AS kind, status, count(*), sum(value_cents)",
}


def history(world: World, up_to: Period, folder: Path, *, source_url: str | None = None) -> Workspace:
    """A workspace in the empty ``folder`` whose lake knows every month up to ``up_to`` and all that was derived of it.

    ``up_to`` is a month of the world. The lake reaches back as far as the window of the month after it asks, so that
    this month can be run next; ``source_url`` is where that run would read. Statements and decisions of earlier months
    are not there, as after a first run, which derives them for its own month alone.
    """
    return _linked(world, up_to, folder, source_url, derived=True)


def extracted(world: World, period: Period, folder: Path, *, source_url: str | None = None) -> Workspace:
    """The same up to the month before ``period``, and the extract of ``period``, of which nothing is derived yet."""
    return _linked(world, period, folder, source_url, derived=False)


def make_lake(world: World, say: Callable[[str], None]) -> Path:
    """The folder of the lake of all the world's months; made the first time, which takes a while for a large world."""
    folder = _whole(world)
    done = folder / "made"
    if done.exists():
        return folder
    for stale in world.folder.glob("lake-*"):
        shutil.rmtree(stale)
    folder.mkdir()
    ws = _workspace(folder, None)
    lake = ws.lake()
    seals = _publish_before(lake, world.months[0].previous())
    with _database() as con:
        totals: list[pa.Table] = []
        for month in world.months:
            seals += _publish_month(lake, con, world, month, totals)
            say(f"  lake: {month} extracted")
        con.read_parquet(str(world.rows(ACCOUNTS))).create_view("rows")
        seals.append(lake.publish(ACCOUNTS.name, LAST, con.sql(ACCOUNT_ROWS).to_arrow_reader(engine.BATCH_ROWS)))
        seals += [lake.publish(name, LAST, schema_of(name).empty_table()) for name in LISTS]
    lake.seal(seals, run_id=RUN_ID)
    _cover(ws, world.months, LAST)
    say("  lake: activity of every month")
    publish_activity(ws, run_of(LAST))
    for month in world.months:
        with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
            carry_forward(ws, con, month.next(), RUN_ID)
        say(f"  lake: open items of {month}")
    done.touch()
    return folder


def run_of(period: Period, area: str = "lake") -> dict[str, str]:
    """What the first task of a shadow run hands to the others."""
    return {"period": str(period), "effects": "shadow", "area": area, "run_id": f"bench {period}"}


def _whole(world: World) -> Path:
    """Where the lake of all months lies; another text of what makes it makes another one.

    A lake whose keys had other numbers than are asked for would find none, and be measured as a quick one.
    """
    texts = [Path(path).read_text(encoding="utf-8") for path in (__file__, published.__file__, lake_files.__file__)]
    texts += [*engine.MACROS, *map(engine.load_statement, MADE_BY)]
    return world.folder / f"lake-{hashlib.sha256(repr(texts).encode()).hexdigest()[:12]}"


def opened(folder: Path, source_url: str | None = None) -> Workspace:
    """The workspace that :func:`history` or :func:`extracted` made in ``folder``, for another process."""
    own = f"sqlite:///{folder / 'operations.db'}"
    return Workspace(folder, source_url or own, own, Calendar.load(), Policy.load())


def _workspace(folder: Path, source_url: str | None) -> Workspace:
    ws = opened(folder, source_url)
    connect_engine(ws.apply_url, create=True).connect().close()
    migrate(ws.apply_url)
    return ws


def _database() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    for macro in engine.MACROS:
        con.execute(macro)
    return con


def _publish_before(lake: Lake, label: Period) -> list[Seal]:
    """The baseline, under which nothing lies, and what a first run seals beside it."""
    before = [f"baseline_{feed.name}" for feed in LEDGER_FEEDS]
    datasets = (*before, *map(keys_dataset, before), *SHARED)
    return [lake.publish(dataset, label, schema_of(dataset).empty_table()) for dataset in datasets]


def _publish_month(
    lake: Lake, con: duckdb.DuckDBPyConnection, world: World, month: Period, totals: list[pa.Table]
) -> list[Seal]:
    """The extract of a month; ``totals`` are those of the months before, and get the month's own."""
    seals = []
    for feed in LEDGER_FEEDS:
        con.execute("DROP VIEW IF EXISTS rows")
        con.read_parquet(str(world.rows(feed, month))).create_view("rows")
        rows = con.sql(ROWS[feed.name].format(texts=_TEXTS, published=_PUBLISHED)).to_arrow_reader(engine.BATCH_ROWS)
        seals.append(lake.publish(feed.name, month, rows))
        seals.append(publish_keys(lake, con, feed, feed.name, str(month)))
        counted = con.execute(f"SELECT {TOTALS[feed.name]} FROM rows GROUP BY kind, status").fetchall()  # noqa: S608
        named = [(feed.name, str(month), kind, status, rows, rows, cents) for kind, status, rows, cents in counted]
        columns = list(zip(*named, strict=True)) or [()] * len(schema_of("control_totals"))
        totals.append(pa.table([pa.array(column) for column in columns], schema=schema_of("control_totals")))
    con.execute("DROP VIEW rows")
    seals += [lake.publish(dataset, month, schema_of(dataset).empty_table()) for dataset in SHARED]
    keys = [(name, "ascending") for name in ("dataset", "posted_period", "kind", "status")]
    seals.append(lake.publish("control_totals", month, pa.concat_tables(totals).sort_by(keys).combine_chunks()))
    return seals


def _cover(ws: Workspace, months: list[Period], observed_in: Period) -> None:
    """The coverage of both feeds in ``months``, as a first run in ``observed_in`` records it."""
    files = {(seal.dataset, seal.period): seal for seal in ws.lake().seals()}
    first_days = {feed.name: _first_day(ws.lake(), feed.name, feed.posted) for feed in LEDGER_FEEDS}
    rows = [
        {
            "feed": feed.name,
            "period": str(month),
            "known_in": str(month),
            "observed_in": str(observed_in),
            "state": "received",
            "rows": files[feed.name, str(month)].rows,
            "quarantined": 0,
            "minimum_rows": ws.policy.feeds[feed.name].minimum_rows,
            "first_period": None,
            "validated": True,
            "reconciled": True,
            "first_day": first_days[feed.name],
            "sha256": files[feed.name, str(month)].sha256,
        }
        for feed in LEDGER_FEEDS
        for month in months
    ]
    with write_transaction(ws.operations) as connection:
        connection.execute(delete(FEED_COVERAGE))
        connection.execute(insert(FEED_COVERAGE), rows)


def _first_day(lake: Lake, dataset: str, posted: str) -> str | None:
    """The first day on which the feed has a row, as ISO text: of the first month that is not empty."""
    for path in lake.files(dataset):
        days = pq.read_table(path, columns=[posted]).column(0)
        if len(days):
            return str(min(days.to_pylist()))
    return None


def _linked(world: World, period: Period, folder: Path, source_url: str | None, *, derived: bool) -> Workspace:
    folder_of_all = _whole(world)
    whole = Lake(folder_of_all, connect_engine(f"sqlite:///{folder_of_all / 'operations.db'}"))
    ws = _workspace(folder, source_url)
    lake = ws.lake()
    known = period if derived else period.previous()
    seals = []
    for seal in whole.seals():
        label = str(period) if seal.dataset in (ACCOUNTS.name, *LISTS) else seal.period
        last = known if seal.dataset in ("activity", "open_items") else period
        if seal.dataset != "account_facts" and str(world.months[0]) <= label <= str(last):
            _link(whole.path(seal.dataset, seal.period), lake.path(seal.dataset, label))
            seals.append(Seal(seal.dataset, label, seal.rows, seal.sha256))
    months = Period.range(min(ws.calendar.window(known.next())[0], world.months[0]), period)
    seals += _publish_before(lake, months[0].previous())
    empty = [month for month in months if month < world.months[0]]
    ledger = [feed.name for feed in LEDGER_FEEDS]
    datasets = (*ledger, *map(keys_dataset, ledger), *SHARED, "control_totals", "activity", "open_items")
    seals += [lake.publish(name, month, schema_of(name).empty_table()) for name in datasets for month in empty]
    seals.append(lake.publish("baseline", months[0].previous(), schema_of("baseline").empty_table()))
    carried = [seal for seal in seals if (seal.dataset, seal.period) == ("open_items", str(known))]
    seals = [seal for seal in seals if seal not in carried]
    seals.append(_carried_since(lake, known, months[0]))
    lake.seal(seals, run_id=RUN_ID)
    _cover(ws, months, period)
    return ws


def _carried_since(lake: Lake, month: Period, first: Period) -> Seal:
    """The newest open items, as if they had been carried forward from the first month of this lake."""
    items = pq.read_table(lake.path("open_items", month), partitioning=None)
    since = pa.array([str(first)] * items.num_rows, pa.string())
    return lake.publish("open_items", month, items.set_column(items.num_columns - 1, "carried_since", since))


def _link(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True)
    os.link(path, target)
