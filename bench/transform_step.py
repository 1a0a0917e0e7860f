"""The transforms of a month: what accounts did, the decision about each, balances before and after, statement lines.

Ours starts from what earlier months left (a small row an account and month) and from the month's extract. What is
measured of it: ``publish_activity``, ``publish_decisions``, and of ``publish_statement_lines`` the part that the peers
have too: heads and lines drawn up, written and sealed. The peers compute the same from all raw rows, as one would who
keeps no state: they are spared what a clean world does not have (revisions, late rows, quarantine, coverage), and what
no peer does (open items, allocation, ages, interest) is a stage of ours alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb

from bench.measure import Answer, Clock, Stage, Target, Way, contest
from bench.transform_answers import RESULTS, answer_of
from bench.transform_frames import pandas, polars
from bench.transform_sql import lines_alone, plain_duckdb, postgresql
from bench.world import LAST, World
from bench.world_lake import extracted, make_lake, run_of
from include import engine
from include.activity import publish_activity
from include.decide import publish_decisions
from include.feeds import TRANSACTIONS
from include.open_items import keep_labelled_items
from include.parking import RELATION as NOBODY
from include.statements import draw_up_statements, gather_month, publish_statement_lines
from include.workspace import Workspace

DUCKDB, POLARS, PANDAS, POSTGRES = (
    f"{name}, from all raw rows" for name in ("plain DuckDB", "Polars", "pandas", "PostgreSQL in SQL")
)
TARGETS = (Target(DUCKDB, 1 / 4), Target(POSTGRES, 1 / 12), Target(PANDAS, 1 / 12))
"""What is promised for the months of a nation; of few rows, what each call of ours costs is most of it."""
TARGET_ACCOUNTS = 1_000_000


def measure(world: World, folder: Path, rounds: int, say: Callable[[str], None]) -> list[Stage]:
    """Measure the step beside its peers, and beside them what is ours alone."""
    make_lake(world, say)
    count = rows_of(world)
    with world.postgres(say) as url:
        ways = [
            Way("activity, decisions, balances, lines", "ours", ours),
            Way("the lines alone, plain DuckDB, balances given", "floor", lines_alone),
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
            drawn_up = draw_up_statements(ws, con, LAST, spill)
            seals = [lake.publish(name, LAST, path) for name, path in drawn_up.items()]
            for name in ("parked", "ledger_totals"):
                seals.append(lake.publish(name, LAST, con.table(name).to_arrow_reader(engine.BATCH_ROWS)))
            lake.seal(seals, run_id=month["run_id"])
    files = ("account_decisions", "statement_heads", "statement_lines")
    return answer_of({name: lake.path(dataset, LAST) for name, dataset in zip(RESULTS, files, strict=True)})


def gather(ws: Workspace, con: duckdb.DuckDBPyConnection) -> None:
    """What is open, allocated and owed, and nobody parked."""
    gather_month(ws, con, ws.lake(), LAST)
    keep_labelled_items(con)
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
