"""Validating a month's transactions: the first gate, beside Great Expectations as its documentation shows it.

The file is staged once, by the statement that stages it in a month. In one row of 20,000 the kind is unknown, in as
many the account is, the amount is not the sum of its components, or the due date is absurd: so both find the same
rows at fault, or nothing is compared.

The peer reads the columns of the suite as one frame, with days as instants (those that are not are compared one by
one, many times slower), and validates it by the same file once, in the result format that Great Expectations has by
default: SUMMARY, which counts the rows that fail and names twenty. Ours names all of them.

This is the judging alone. The step of a month also stages the rows, publishes and seals them, and proves its totals;
what it costs as a whole is measured by ``growth_step``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure import Answer, Clock, Limit, Stage, Target, Way, contest
from bench.world import LAST, World
from include import engine
from include.carm.calendar import Calendar
from include.feeds import ACCOUNTS, TRANSACTIONS, Feed
from include.lake import write_parquet
from include.ledger import INVALID_ROWS
from include.transaction_kinds import transaction_kinds_relation
from include.validate import judged_batches

PEER = "Great Expectations, one frame, SUMMARY"
FLOOR = "reading the columns into pandas"
TARGET = 1.2
PEAK_MB = 1_500

# What is wrong with the rows whose key says so.
FAULTS = {
    "kind": "CASE WHEN hash(transaction_id) % 20000 = 1 THEN 'B33' ELSE kind END",
    "bn15": "CASE WHEN hash(transaction_id) % 20000 = 2 THEN '000000019RM0001' ELSE bn15 END",
    "amount_cents": "CASE WHEN hash(transaction_id) % 20000 = 3 THEN amount_cents + 1 ELSE amount_cents END",
    "due_on": "CASE WHEN hash(transaction_id) % 20000 = 4 THEN DATE '2221-12-31' ELSE due_on END",
}


def measure(world: World, folder: Path, rounds: int, say: Callable[[str], None]) -> list[Stage]:
    """Stage the world's last month, and judge it in turns."""
    rows = stage_month(world)
    say(f"  {rows:,} rows staged")
    ways = (
        Way("the gate, batch by batch, COMPLETE", "ours", judge_by_the_gate),
        Way(PEER, "peer", judge_by_the_book),
        Way(FLOOR, "floor", read_frame_only),
    )
    entries = contest(world, ways, rounds, say)
    targets, limits = (Target(PEER, TARGET),), (Limit("peak_mb", PEAK_MB),)
    return [Stage("the gate alone: judge a month's transactions", "rows", rows, entries, targets, limits)]


def staged_file(world: World) -> Path:
    """The file that all ways judge."""
    return world.folder / "scratch" / "validate" / "staged.parquet"


def stage_month(world: World) -> int:
    """Write the last month as the gate finds it, every account known; returns the number of rows."""
    folder = world.scratch("validate")
    accounts, transactions = (_write_texts(world, feed, folder) for feed in (ACCOUNTS, TRANSACTIONS))
    days = Calendar.load().bounds_table(LAST, LAST)
    ranges = pa.table({"start_on": [row[1] for row in days], "end_on": [row[2] for row in days]})
    nothing: dict[str, engine.Relation] = {
        "staged": pa.table({"row_no": pa.array([], pa.int64()), "bn15": pa.array([], pa.string())}),
        "invalid_rows": INVALID_ROWS.empty_table(),
    }
    with engine.connect(spill_folder=folder) as con:
        engine.create_table(con, "account_states", "select_account_states", {"raw_accounts": [accounts], **nothing})
        engine.register(con, "fetched_ranges", ranges)
        engine.register(con, "transaction_kinds", transaction_kinds_relation())
        relations: dict[str, engine.Relation] = {"raw_transactions": [transactions]}
        reader = engine.run(con, "stage_transactions", relations, {"last_day": days[-1][2]})
        schema = reader.schema.append(pa.field("is_reversed_twice", pa.bool_()))
        judged = (
            batch.append_column("is_reversed_twice", pa.array([False] * batch.num_rows, pa.bool_())) for batch in reader
        )
        return write_parquet(staged_file(world), pa.RecordBatchReader.from_batches(schema, judged))


def _write_texts(world: World, feed: Feed, folder: Path) -> Path:
    """The rows of a feed as an extraction leaves them: numbered, and every value a text."""
    path = folder / f"{feed.name}.parquet"
    source = world.rows(feed) if feed is ACCOUNTS else world.rows(feed, LAST)
    faults = FAULTS if feed is TRANSACTIONS else {}
    texts = ", ".join(f"CAST({faults.get(name, name)} AS VARCHAR) AS {name}" for name in feed.columns)
    with duckdb.connect() as con:
        con.read_parquet(str(source)).create_view("rows_of_source")
        con.sql(
            f"SELECT row_number() OVER () - 1 AS row_no, 'range' AS fetched_by, {texts} FROM rows_of_source"  # noqa: S608
        ).write_parquet(str(path))
    return path


# The ways. What is imported, and made ready once in a process, is so before the clock runs.


def judge_by_the_gate(world: World, clock: Clock) -> Answer:
    """The gate as a month calls it; every failing row is named, with its reason."""
    import include.quality.expectations  # noqa: F401 imports Great Expectations before the clock runs
    from include.quality.gate import check

    as_of = Calendar.load().as_of(LAST)
    with clock:
        batches = judged_batches(TRANSACTIONS, staged_file(world))
        result = check(TRANSACTIONS.name, batches, docs_folder=None, run_name="bench", as_of=as_of)
    if result.table_failures:
        raise AssertionError(result.table_failures)
    return dict(Counter(result.failures.column("expectation").to_pylist())) | result.warnings


def judge_by_the_book(world: World, clock: Clock) -> Answer:
    """One frame, one suite, one call of ``validate``."""
    import great_expectations as gx

    import include.quality.expectations  # noqa: F401 registers the expectations of the suite that are ours

    document = _read_suite()
    as_of = Calendar.load().as_of(LAST)
    with clock:
        frame = _read_frame(world, document)
        context = gx.get_context(mode="ephemeral")
        suite = context.suites.add(gx.ExpectationSuite(**document))
        asset = context.data_sources.add_pandas("month").add_dataframe_asset("transactions")
        batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
        outcome: Any = batch.validate(suite, expectation_parameters={"as_of": f"{as_of}T00:00:00"})
    if any(answer.exception_info.get("raised_exception", True) for answer in outcome.results):
        raise AssertionError("a rule was not evaluated")
    return {
        answer.expectation_config.meta["name"]: answer.result["unexpected_count"]
        for answer in outcome.results
        if not answer.success and answer.expectation_config.severity != "info"
    }


def read_frame_only(world: World, clock: Clock) -> Answer:
    """What cannot be left out when pandas judges: the columns in memory."""
    import pandas as pd  # noqa: F401 is loaded before the clock runs

    document = _read_suite()
    with clock:
        _read_frame(world, document)
    return None


def _read_suite() -> dict[str, Any]:
    from include.quality.suites import load_suite

    return load_suite(TRANSACTIONS.name).document


def _read_frame(world: World, document: dict[str, Any]) -> Any:
    (columns,) = (item["kwargs"]["column_set"] for item in document["expectations"] if "column_set" in item["kwargs"])
    frame = pq.read_table(staged_file(world), columns=columns).to_pandas(date_as_object=False)
    days = ("activity_on", "posted_on", "due_on")
    return frame.astype(dict.fromkeys(days, "datetime64[ns]"))
