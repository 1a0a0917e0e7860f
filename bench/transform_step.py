"""The transforms of a month: what accounts did, the decision about each, balances before and after, statement lines.

Ours starts from what earlier months left (a small row an account and month) and from the month's extract. What is
measured of it: ``publish_activity``, ``publish_decisions``, and of ``publish_statement_lines`` the part that the peers
have too: heads and lines drawn up, written and sealed. The peers compute the same from all raw rows, as one would who
keeps no state: they are spared what a clean world does not have (revisions, late rows, quarantine, coverage), and what
no peer does (open items, allocation, ages, interest) is a stage of ours alone.

Each way writes its three results, and their counts, sums and a hash over the lines must be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from bench.measure import Answer, Clock, Stage, Target, Way, contest
from bench.world import LAST, World
from bench.world_lake import extracted, make_lake, run_of
from include import engine
from include.activity import publish_activity
from include.carm.calendar import Calendar
from include.datasets import COMPONENTS
from include.decide import publish_decisions
from include.feeds import ACCOUNTS, EXPORT_DECLARATIONS, TRANSACTIONS
from include.parking import RELATION as NOBODY
from include.statements import draw_up_statements, gather_month, publish_statement_lines
from include.workspace import Workspace

DUCKDB, POLARS, PANDAS, POSTGRES = (
    f"{name}, from all raw rows" for name in ("plain DuckDB", "Polars", "pandas", "PostgreSQL in SQL")
)
TARGETS = (Target(DUCKDB, 1 / 4), Target(POSTGRES, 1 / 12), Target(PANDAS, 1 / 12))
"""What is promised for the months of a nation; of few rows, what each call of ours costs is most of it."""
TARGET_ACCOUNTS = 1_000_000
SAMPLED_ACCOUNTS = 1_000_000
"""From so many accounts on pandas gets a tenth of them: the frames of all would not lie in a small machine's memory."""

RESULTS = ("decisions", "balances", "lines")
IMPORTS = ("B3", "CAD", "RS", "LVS", "B2")
COUNTED = ("accepted", "under_review")
PRINTED = (
    *("bn15", "transaction_id", "revision", "kind", "transaction_number", "activity_on", "posted_on", "due_on"),
    *("status", "broker_bn9", *COMPONENTS, "amount_cents"),
)

# One dialect for DuckDB and PostgreSQL. The rule cells are those of program_type_rules.csv, the order of the tests that
# of derive_account_decisions.sql, and the sections and their order those of derive_statement_lines.sql.
TOTALS = """
WITH posted AS (
    SELECT
        bn15,
        MAX(activity_on) FILTER (WHERE kind IN ('B3', 'CAD', 'RS', 'LVS', 'B2')) AS last_import_on,
        MAX(activity_on) FILTER (WHERE kind = 'K32') AS last_other_on,
        SUM(amount_cents) AS closing_cents,
        SUM(amount_cents) FILTER (WHERE posted_on < {period_start}) AS opening_cents,
        COUNT(*) FILTER (WHERE status = 'under_review') AS under_review_items,
        COUNT(*) FILTER (WHERE posted_on >= {period_start}) AS line_count
    FROM transactions
    WHERE status IN ('accepted', 'under_review') AND posted_on <= {as_of}
    GROUP BY bn15
),
exported AS (
    SELECT bn15, MAX(exported_on) AS last_export_on
    FROM export_declarations
    WHERE status = 'accepted' AND reported_on <= {as_of}
    GROUP BY bn15
)
SELECT
    accounts.*, last_import_on, last_export_on, last_other_on,
    COALESCE(opening_cents, 0) AS opening_cents, COALESCE(closing_cents, 0) AS closing_cents,
    COALESCE(under_review_items, 0) AS under_review_items, COALESCE(line_count, 0) AS line_count
FROM accounts
LEFT JOIN posted ON accounts.bn15 = posted.bn15
LEFT JOIN exported ON accounts.bn15 = exported.bn15
WHERE valid_from <= {as_of} AND (valid_to IS NULL OR valid_to > {as_of})
"""
DECISIONS = """
WITH seen AS (
    SELECT
        *,
        COALESCE(last_import_on >= {cutoff}, FALSE) AS has_import,
        COALESCE(last_export_on >= {cutoff}, FALSE) AS has_export,
        COALESCE(last_other_on >= {cutoff}, FALSE) AS has_other,
        GREATEST(last_import_on, last_export_on, last_other_on, opened_on, reinstated_on) AS clock_on
    FROM totals
    WHERE status = 'open'
),
proposed AS (
    SELECT
        *,
        CASE
            WHEN has_import AND has_export THEN CASE WHEN program_type = 'dual' THEN 'keep' ELSE 'review' END
            WHEN has_import THEN CASE WHEN program_type = 'importer' THEN 'keep' ELSE 'convert' END
            WHEN has_export THEN CASE WHEN program_type = 'exporter' THEN 'keep' ELSE 'convert' END
            WHEN clock_on IS NULL THEN 'review'
            WHEN clock_on >= {cutoff} THEN 'keep'
            ELSE 'close'
        END AS proposed_action,
        CASE
            WHEN has_import AND has_export THEN CASE WHEN program_type = 'dual' THEN 'active' ELSE 'mixed_activity' END
            WHEN has_import THEN CASE WHEN program_type = 'importer' THEN 'active' ELSE 'only_import_activity' END
            WHEN has_export THEN CASE WHEN program_type = 'exporter' THEN 'active' ELSE 'only_export_activity' END
            WHEN clock_on IS NULL THEN 'unknown_open_date'
            WHEN has_other THEN 'active'
            WHEN clock_on >= {cutoff} THEN 'younger_than_4_years'
            ELSE 'no_activity_4_years'
        END AS proposed_reason
    FROM seen
),
tested AS (
    SELECT
        *,
        CASE
            WHEN proposed_action NOT IN ('close', 'convert') THEN NULL
            WHEN hold_reason IS NOT NULL AND COALESCE(hold_until >= {as_of}, TRUE) THEN 'on_hold'
            WHEN proposed_action = 'convert' AND has_import THEN NULL
            WHEN under_review_items > 0 THEN 'under_review'
            WHEN closing_cents <> 0 THEN 'balance_not_zero'
        END AS held_by
    FROM proposed
)
SELECT
    bn15,
    CASE WHEN held_by IS NULL THEN proposed_action ELSE 'hold' END AS action,
    COALESCE(held_by, proposed_reason) AS reason
FROM tested
ORDER BY bn15
"""
BALANCES = """
SELECT bn15, opening_cents, closing_cents, line_count
FROM totals
WHERE line_count > 0 OR opening_cents <> 0 OR closing_cents <> 0 OR closed_on BETWEEN {period_start} AND {as_of}
ORDER BY bn15
"""
LINES = """
WITH sectioned AS (
    SELECT
        {printed},
        CASE
            WHEN status = 'under_review' THEN 4
            WHEN kind IN ('PMT', 'NSF', 'NPA', 'K32') OR amount_cents < 0 THEN 5
            WHEN kind IN ('OFS', 'DSB') THEN 6
            WHEN kind = 'INT' THEN 7
            WHEN kind IN ('LAP', 'AMPS') THEN 8
            WHEN due_on IS NULL OR due_on = {due_on} THEN 1
            ELSE 2
        END AS section_no
    FROM transactions
    WHERE posted_on BETWEEN {period_start} AND {as_of} AND status IN ('accepted', 'under_review')
),
numbered AS (
    SELECT
        *,
        ROW_NUMBER() OVER print_order AS line_no,
        SUM(amount_cents) OVER print_order AS moved_cents
    FROM sectioned
    WINDOW print_order AS (
        PARTITION BY bn15 ORDER BY section_no, posted_on, transaction_id, revision ROWS UNBOUNDED PRECEDING
    )
)
SELECT numbered.*, totals.opening_cents + numbered.moved_cents AS running_balance_cents
FROM numbered
INNER JOIN totals ON numbered.bn15 = totals.bn15
ORDER BY numbered.bn15, line_no
"""

# One read of each way's results, after its clock has stopped.
ANSWERS = {
    "decisions": "SELECT action || ' ' || reason, count(*) FROM decisions GROUP BY ALL ORDER BY ALL",
    "balances": "SELECT count(*), sum(opening_cents), sum(closing_cents) FROM balances",
    "lines": "SELECT count(*), sum(amount_cents), "
    "sum(CAST(hash(bn15, CAST(line_no AS BIGINT), transaction_id, CAST(running_balance_cents AS BIGINT)) AS HUGEINT)) "
    "FROM lines",
}


def measure(world: World, folder: Path, rounds: int, say: Callable[[str], None]) -> list[Stage]:
    """Measure the step beside its peers, and beside them what is ours alone."""
    make_lake(world, say)
    count = rows_of(world)
    with world.postgres(say) as url:
        ways = [
            Way("activity, decisions, balances, lines", "ours", ours),
            Way(DUCKDB, "peer", plain_duckdb),
            Way(POLARS, "peer", polars),
            Way(PANDAS, "peer", pandas),
            Way(POSTGRES, "peer", partial(postgresql, url)),
        ]
        entries = contest(world, ways, rounds, say)
    alone = contest(world, [Way("open items, allocation, ages, interest", "ours", what_no_peer_does)], rounds, say)
    whole = contest(world, [Way("all of it, proved, written and sealed", "ours", whole_step)], rounds, say)
    targets = TARGETS if world.profile.accounts >= TARGET_ACCOUNTS else ()
    return [
        Stage("activity, decisions, balances and lines of a month", "postings", count, entries, targets),
        Stage("what no peer does: open items, allocation, ages, interest", "postings", count, alone),
        Stage("statement step, with its proofs", "postings", count, whole),
    ]


def rows_of(world: World) -> int:
    """The postings of the last month."""
    with duckdb.connect() as con:
        return con.read_parquet(str(world.rows(TRANSACTIONS, LAST))).shape[0]


def answer_of(files: Mapping[str, Path]) -> dict[str, Any]:
    """What the results of a way come to; each is a Parquet file."""
    with duckdb.connect() as con:
        for name, path in files.items():
            con.read_parquet(str(path)).create_view(name)
        return {name: con.execute(statement).fetchall() for name, statement in ANSWERS.items()}


# Ours


def ours(world: World, clock: Clock) -> Answer:
    """The steps of the pipeline, over a lake that holds the history and the month's extract."""
    ws = extracted(world, LAST, world.scratch("ours"))
    lake, month = ws.lake(), run_of(LAST)
    with clock:
        publish_activity(ws, month)
        publish_decisions(ws, month)
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        gather(ws, con)
        with clock:
            draw_up_statements(ws, con, LAST)
            names = ("statement_heads", "statement_lines", "parked", "ledger_totals")
            lake.seal(
                [lake.publish(name, LAST, con.table(name).to_arrow_reader(engine.BATCH_ROWS)) for name in names],
                run_id=month["run_id"],
            )
    files = ("account_decisions", "statement_heads", "statement_lines")
    return answer_of({name: lake.path(dataset, LAST) for name, dataset in zip(RESULTS, files, strict=True)})


def gather(ws: Workspace, con: duckdb.DuckDBPyConnection) -> None:
    """What is open, allocated and owed, and nobody parked."""
    gather_month(ws, con, ws.lake(), LAST)
    engine.register(con, "parking", NOBODY.empty_table())


def what_no_peer_does(world: World, clock: Clock) -> Answer:
    """Open items, allocation, ages and interest."""
    ws = extracted(world, LAST, world.scratch("gather"))
    publish_activity(ws, run_of(LAST))
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con, clock:
        gather(ws, con)
    return None


def whole_step(world: World, clock: Clock) -> Answer:
    """The step as its task calls it."""
    ws = extracted(world, LAST, world.scratch("statements"))
    publish_activity(ws, run_of(LAST))
    with clock:
        publish_statement_lines(ws, run_of(LAST))
    return None


# Peers


def days() -> dict[str, Any]:
    """The days of the month that the rules ask for."""
    calendar = Calendar.load()
    return {
        "period_start": calendar.start(LAST),
        "as_of": calendar.as_of(LAST),
        "cutoff": calendar.cutoff(LAST),
        "due_on": calendar.due_on(LAST),
    }


def in_dialect(statement: str, prefix: str = "") -> str:
    """A statement with its days as literals, and the printed columns."""
    literals = {name: f"DATE '{day}'" for name, day in days().items()}
    return statement.format(**literals, printed=", ".join(f"{prefix}{name}" for name in PRINTED))


def plain_duckdb(world: World, clock: Clock) -> Answer:
    """Everything from all raw rows, each result by one statement."""
    return answer_of(recompute_by_duckdb(raw_files(world), world.scratch("duckdb"), clock))


def raw_files(world: World) -> dict[str, list[Path]]:
    """The files of all raw rows, by feed."""
    ledger = {feed.name: world.all_rows(feed) for feed in (TRANSACTIONS, EXPORT_DECLARATIONS)}
    return {**ledger, ACCOUNTS.name: [world.rows(ACCOUNTS)]}


def recompute_by_duckdb(files: Mapping[str, list[Path]], folder: Path, clock: Clock) -> dict[str, Path]:
    """Write the results of ``files`` (of the three feeds) as Parquet into ``folder``."""
    found = {name: folder / f"{name}.parquet" for name in RESULTS}
    with duckdb.connect(config={"temp_directory": str(folder), "threads": 2}) as con, clock:
        for feed, paths in files.items():
            con.read_parquet([str(path) for path in paths]).create_view(feed)
        con.execute(f"CREATE TEMP TABLE totals AS {in_dialect(TOTALS)}")
        for name, statement in zip(RESULTS, (DECISIONS, BALANCES, LINES), strict=True):
            con.sql(in_dialect(statement)).write_parquet(str(found[name]), compression="zstd")
    return found


def postgresql(url: str, world: World, clock: Clock) -> Answer:
    """The same statements on the world's PostgreSQL, into unlogged tables; its indexes serve the month's rows."""
    import psycopg
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    folder = world.scratch("postgresql")
    files = {name: folder / f"{name}.parquet" for name in RESULTS}
    with psycopg.connect(url, autocommit=True) as connection:
        for name in ("totals", *RESULTS):
            connection.execute(f"DROP TABLE IF EXISTS {name}")
        with clock:
            connection.execute(f"CREATE UNLOGGED TABLE totals AS {in_dialect(TOTALS)}")
            connection.execute("ANALYZE totals")
            for name, statement in zip(RESULTS, (DECISIONS, BALANCES, LINES), strict=True):
                connection.execute(f"CREATE UNLOGGED TABLE {name} AS {in_dialect(statement)}")
        for name, path in files.items():
            texts = folder / f"{name}.csv"
            statement = f"COPY {name} TO STDOUT (FORMAT csv, HEADER)"
            with connection.cursor() as cursor, texts.open("wb") as file, cursor.copy(statement) as copy:
                file.writelines(copy)
            pq.write_table(csv.read_csv(texts), path)
            connection.execute(f"DROP TABLE {name}")
        connection.execute("DROP TABLE totals")
    return answer_of(files)


def polars(world: World, clock: Clock) -> Answer:
    """Lazy frames over all raw rows, run by the streaming engine."""
    import polars as pl

    folder = world.scratch("polars")
    files = {name: folder / f"{name}.parquet" for name in RESULTS}
    day = days()
    with clock:
        counted = pl.scan_parquet(world.all_rows(TRANSACTIONS)).filter(
            pl.col("status").is_in(COUNTED), pl.col("posted_on") <= day["as_of"]
        )
        is_own, is_earlier = pl.col("posted_on") >= day["period_start"], pl.col("posted_on") < day["period_start"]
        posted = counted.group_by("bn15").agg(
            pl.col("activity_on").filter(pl.col("kind").is_in(IMPORTS)).max().alias("last_import_on"),
            pl.col("activity_on").filter(pl.col("kind") == "K32").max().alias("last_other_on"),
            pl.col("amount_cents").sum().alias("closing_cents"),
            pl.col("amount_cents").filter(is_earlier).sum().alias("opening_cents"),
            (pl.col("status") == "under_review").sum().alias("under_review_items"),
            is_own.sum().alias("line_count"),
        )
        exported = (
            pl.scan_parquet(world.all_rows(EXPORT_DECLARATIONS))
            .filter(pl.col("status") == "accepted", pl.col("reported_on") <= day["as_of"])
            .group_by("bn15")
            .agg(pl.col("exported_on").max().alias("last_export_on"))
        )
        is_valid = pl.col("valid_to").is_null() | (pl.col("valid_to") > day["as_of"])
        totals = (
            pl.scan_parquet(world.rows(ACCOUNTS))
            .filter(pl.col("valid_from") <= day["as_of"], is_valid)
            .join(posted, on="bn15", how="left")
            .join(exported, on="bn15", how="left")
            .with_columns(
                pl.col("opening_cents", "closing_cents", "under_review_items", "line_count").fill_null(0),
            )
            .collect(engine="streaming")
        )
        decide_by_polars(totals, day).write_parquet(files["decisions"])
        is_stated = (pl.col("line_count") > 0) | (pl.col("opening_cents") != 0) | (pl.col("closing_cents") != 0)
        is_closed = pl.col("closed_on").is_between(day["period_start"], day["as_of"]).fill_null(value=False)
        balances = totals.filter(is_stated | is_closed).sort("bn15")
        balances.select("bn15", "opening_cents", "closing_cents", "line_count").write_parquet(files["balances"])
        kind, status = pl.col("kind"), pl.col("status")
        section = (
            pl.when(status == "under_review")
            .then(4)
            .when(kind.is_in(("PMT", "NSF", "NPA", "K32")) | (pl.col("amount_cents") < 0))
            .then(5)
            .when(kind.is_in(("OFS", "DSB")))
            .then(6)
            .when(kind == "INT")
            .then(7)
            .when(kind.is_in(("LAP", "AMPS")))
            .then(8)
            .when(pl.col("due_on").is_null() | (pl.col("due_on") == day["due_on"]))
            .then(1)
            .otherwise(2)
        )
        lines = (
            counted.filter(is_own)
            .select(*PRINTED, section.alias("section_no"))
            .join(totals.lazy().select("bn15", "opening_cents"), on="bn15")
            .sort("bn15", "section_no", "posted_on", "transaction_id", "revision")
            .with_columns(
                (pl.int_range(pl.len()).over("bn15") + 1).alias("line_no"),
                (pl.col("opening_cents") + pl.col("amount_cents").cum_sum().over("bn15")).alias(
                    "running_balance_cents"
                ),
            )
            .collect(engine="streaming")
        )
        lines.write_parquet(files["lines"])
    return answer_of(files)


def decide_by_polars(totals: Any, day: Mapping[str, Any]) -> Any:
    """The decision about each open account of a frame of totals."""
    import polars as pl

    def after(name: str) -> Any:
        return (pl.col(name) >= day["cutoff"]).fill_null(value=False)

    has_import, has_export = pl.col("has_import"), pl.col("has_export")
    clock = pl.max_horizontal("last_import_on", "last_export_on", "last_other_on", "opened_on", "reinstated_on")
    kind = pl.col("program_type")

    def cell(both: Any, imports: Any, exports: Any, unknown: str, other: str, young: str, none: str) -> Any:
        return (
            pl.when(has_import & has_export)
            .then(both)
            .when(has_import)
            .then(imports)
            .when(has_export)
            .then(exports)
            .when(clock.is_null())
            .then(pl.lit(unknown))
            .when(after("last_other_on"))
            .then(pl.lit(other))
            .when(clock >= day["cutoff"])
            .then(pl.lit(young))
            .otherwise(pl.lit(none))
        )

    def choose(program_type: str, yes: str, no: str) -> Any:
        return pl.when(kind == program_type).then(pl.lit(yes)).otherwise(pl.lit(no))

    proposed = (
        totals.filter(pl.col("status") == "open")
        .with_columns(after("last_import_on").alias("has_import"), after("last_export_on").alias("has_export"))
        .with_columns(
            cell(
                choose("dual", "keep", "review"),
                choose("importer", "keep", "convert"),
                choose("exporter", "keep", "convert"),
                *("review", "keep", "keep", "close"),
            ).alias("proposed_action"),
            cell(
                choose("dual", "active", "mixed_activity"),
                choose("importer", "active", "only_import_activity"),
                choose("exporter", "active", "only_export_activity"),
                *("unknown_open_date", "active", "younger_than_4_years", "no_activity_4_years"),
            ).alias("proposed_reason"),
        )
    )
    action = pl.col("proposed_action")
    is_held = pl.col("hold_reason").is_not_null() & (pl.col("hold_until") >= day["as_of"]).fill_null(value=True)
    held_by = (
        pl.when(~action.is_in(("close", "convert")))
        .then(None)
        .when(is_held)
        .then(pl.lit("on_hold"))
        .when((action == "convert") & has_import)
        .then(None)
        .when(pl.col("under_review_items") > 0)
        .then(pl.lit("under_review"))
        .when(pl.col("closing_cents") != 0)
        .then(pl.lit("balance_not_zero"))
    )
    return (
        proposed.with_columns(held_by.alias("held_by"))
        .select(
            "bn15",
            pl.when(pl.col("held_by").is_null()).then(action).otherwise(pl.lit("hold")).alias("action"),
            pl.coalesce("held_by", "proposed_reason").alias("reason"),
        )
        .sort("bn15")
    )


def pandas(world: World, clock: Clock) -> Answer:
    """Frames of the needed columns of all raw rows; of a nation's, a tenth of the accounts.

    Where it works on a sample, its answer is held against that of DuckDB for the same sample, and is none of all.
    """
    folder = world.scratch("pandas")
    files = raw_files(world)
    is_sample = world.profile.accounts >= SAMPLED_ACCOUNTS
    if is_sample:
        clock.extrapolate(10, "a tenth of the accounts")
        files = {feed: [_tenth(path, folder / feed) for path in paths] for feed, paths in files.items()}
    answer = answer_of(recompute_by_pandas(files, folder, clock))
    if not is_sample:
        return answer
    expected = answer_of(recompute_by_duckdb(files, world.scratch("sample"), Clock()))
    if expected != answer:
        raise AssertionError(f"pandas comes to {answer} of the sample, and DuckDB to {expected}")
    return None


def _tenth(path: Path, folder: Path) -> Path:
    """The rows of every tenth account, as a file of the same kind."""
    folder.mkdir(exist_ok=True)
    with duckdb.connect() as con:
        sample = con.read_parquet(str(path)).filter("bn15[8:8] = '3'")
        sample.write_parquet(str(folder / path.name), compression="zstd")
    return folder / path.name


def recompute_by_pandas(files: Mapping[str, list[Path]], folder: Path, clock: Clock) -> dict[str, Path]:
    """Write the results of ``files`` as Parquet into ``folder``."""
    import numpy as np
    import pandas as pd

    found = {name: folder / f"{name}.parquet" for name in RESULTS}
    day = {name: pd.Timestamp(value) for name, value in days().items()}
    with clock:
        columns = ["bn15", "kind", "status", "activity_on", "posted_on", "amount_cents"]
        rows = _read_frames(files["transactions"], columns, dates=("activity_on", "posted_on"))
        rows = rows[rows["status"].isin(COUNTED) & (rows["posted_on"] <= day["as_of"])]
        is_earlier = rows["posted_on"] < day["period_start"]
        by_account = rows.groupby("bn15", observed=True)
        own = rows[~is_earlier]
        totals = pd.DataFrame(
            {
                "closing_cents": by_account["amount_cents"].sum(),
                "opening_cents": rows[is_earlier].groupby("bn15", observed=True)["amount_cents"].sum(),
                "line_count": own.groupby("bn15", observed=True).size(),
                "under_review_items": rows[rows["status"] == "under_review"].groupby("bn15", observed=True).size(),
                "last_import_on": _last_day(rows, rows["kind"].isin(IMPORTS), "activity_on"),
                "last_other_on": _last_day(rows, rows["kind"] == "K32", "activity_on"),
            }
        )
        del rows, own
        columns = ["bn15", "status", "exported_on", "reported_on"]
        exports = _read_frames(files["export_declarations"], columns, dates=("exported_on", "reported_on"))
        is_seen = (exports["status"] == "accepted") & (exports["reported_on"] <= day["as_of"])
        totals = totals.join(_last_day(exports, is_seen, "exported_on").rename("last_export_on"), how="outer")
        accounts = pd.read_parquet(files["accounts"][0])
        for name in ("valid_from", "valid_to", "opened_on", "closed_on", "reinstated_on", "hold_until"):
            accounts[name] = pd.to_datetime(accounts[name])
        is_valid = (accounts["valid_from"] <= day["as_of"]) & ~(accounts["valid_to"] <= day["as_of"])
        totals.index = totals.index.astype(object)
        totals = accounts[is_valid].join(totals, on="bn15")
        counts = ["closing_cents", "opening_cents", "line_count", "under_review_items"]
        totals[counts] = totals[counts].fillna(0).astype("int64")
        totals = totals.sort_values("bn15")

        is_import, is_export, is_other = (
            totals[f"last_{name}_on"] >= day["cutoff"] for name in ("import", "export", "other")
        )
        dates = ["last_import_on", "last_export_on", "last_other_on", "opened_on", "reinstated_on"]
        clock_on = totals[dates].max(axis=1)
        kind = totals["program_type"]
        is_young = clock_on >= day["cutoff"]
        conditions = [is_import & is_export, is_import, is_export, clock_on.isna(), is_other, is_young]
        action = np.select(
            conditions,
            [
                np.where(kind == "dual", "keep", "review"),
                np.where(kind == "importer", "keep", "convert"),
                np.where(kind == "exporter", "keep", "convert"),
                *("review", "keep", "keep"),
            ],
            "close",
        )
        reason = np.select(
            conditions,
            [
                np.where(kind == "dual", "active", "mixed_activity"),
                np.where(kind == "importer", "active", "only_import_activity"),
                np.where(kind == "exporter", "active", "only_export_activity"),
                *("unknown_open_date", "active", "younger_than_4_years"),
            ],
            "no_activity_4_years",
        )
        is_held = totals["hold_reason"].notna() & ~(totals["hold_until"] < day["as_of"])
        held_by = np.select(
            [
                ~np.isin(action, ("close", "convert")),
                is_held,
                (action == "convert") & is_import,
                totals["under_review_items"] > 0,
                totals["closing_cents"] != 0,
            ],
            ["", "on_hold", "", "under_review", "balance_not_zero"],
            "",
        )
        decisions = pd.DataFrame(
            {
                "bn15": totals["bn15"],
                "action": np.where(held_by == "", action, "hold"),
                "reason": np.where(held_by == "", reason, held_by),
            }
        )
        decisions[totals["status"] == "open"].to_parquet(found["decisions"], index=False)
        is_stated = (totals[["line_count", "opening_cents", "closing_cents"]] != 0).any(axis=1)
        is_stated |= totals["closed_on"].between(day["period_start"], day["as_of"])
        balances = totals.loc[is_stated, ["bn15", "opening_cents", "closing_cents", "line_count"]]
        balances.to_parquet(found["balances"], index=False)

        lines = _read_frames(files["transactions"][-1:], list(PRINTED), dates=("activity_on", "posted_on", "due_on"))
        lines = lines[lines["status"].isin(COUNTED) & lines["posted_on"].between(day["period_start"], day["as_of"])]
        kind = lines["kind"]
        lines["section_no"] = np.select(
            [
                lines["status"] == "under_review",
                kind.isin(("PMT", "NSF", "NPA", "K32")) | (lines["amount_cents"] < 0),
                kind.isin(("OFS", "DSB")),
                kind == "INT",
                kind.isin(("LAP", "AMPS")),
                lines["due_on"].isna() | (lines["due_on"] == day["due_on"]),
            ],
            [4, 5, 6, 7, 8, 1],
            2,
        )
        lines = lines.merge(totals[["bn15", "opening_cents"]], on="bn15")
        lines = lines.sort_values(["bn15", "section_no", "posted_on", "transaction_id", "revision"])
        of_account = lines.groupby("bn15", sort=False)
        lines["line_no"] = of_account.cumcount() + 1
        lines["running_balance_cents"] = lines["opening_cents"] + of_account["amount_cents"].cumsum()
        lines.to_parquet(found["lines"], index=False)
    return found


def _read_frames(paths: list[Path], columns: list[str], dates: tuple[str, ...]) -> Any:
    """The columns of all files as one frame, days as timestamps."""
    import pandas as pd

    frame = pd.concat([pd.read_parquet(path, columns=columns) for path in paths], ignore_index=True)
    for name in dates:
        frame[name] = pd.to_datetime(frame[name])
    return frame


def _last_day(rows: Any, mask: Any, name: str) -> Any:
    return rows[mask].groupby("bn15")[name].max()
