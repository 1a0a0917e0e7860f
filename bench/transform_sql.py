"""The transforms of a month by SQL from all raw rows, as one would who keeps no state: in DuckDB and in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from bench.measure import Answer, Clock
from bench.transform_answers import PRINTED, RESULTS, answer_of, days, raw_files
from bench.world import World

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


def in_dialect(statement: str, prefix: str = "") -> str:
    """A statement with its days as literals, and the printed columns."""
    literals = {name: f"DATE '{day}'" for name, day in days().items()}
    return statement.format(**literals, printed=", ".join(f"{prefix}{name}" for name in PRINTED))


def plain_duckdb(world: World, clock: Clock) -> Answer:
    """Everything from all raw rows, each result by one statement."""
    return answer_of(recompute_by_duckdb(raw_files(world), world.scratch("duckdb"), clock))


def recompute_by_duckdb(files: Mapping[str, list[Path]], folder: Path, clock: Clock) -> dict[str, Path]:
    """Write the results of ``files`` (of the three feeds) as Parquet into ``folder``."""
    found = {name: folder / f"{name}.parquet" for name in RESULTS}
    with _plain_database(files, folder) as con, clock:
        con.execute(f"CREATE TEMP TABLE totals AS {in_dialect(TOTALS)}")
        for name, statement in zip(RESULTS, (DECISIONS, BALANCES, LINES), strict=True):
            con.sql(in_dialect(statement)).write_parquet(str(found[name]), compression="zstd")
    return found


def lines_alone(world: World, clock: Clock) -> Answer:
    """The last of the three results by plain DuckDB, when all balances are there: what nobody is spared."""
    folder = world.scratch("lines-alone")
    with _plain_database(raw_files(world), folder) as con:
        con.execute(f"CREATE TEMP TABLE totals AS {in_dialect(TOTALS)}")
        with clock:
            con.sql(in_dialect(LINES)).write_parquet(str(folder / "lines.parquet"), compression="zstd")
    return None


def _plain_database(files: Mapping[str, list[Path]], folder: Path) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(config={"temp_directory": str(folder), "threads": 2})
    con.execute("SET enable_progress_bar = false")
    for feed, paths in files.items():
        con.read_parquet([str(path) for path in paths]).create_view(feed)
    return con


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
