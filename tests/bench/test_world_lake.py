"""The history that benchmarks start from is the one that the pipeline would have made, to the byte."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from bench.measure import Profile
from bench.world import LAST, World, make_world
from bench.world_lake import extracted, history, make_lake
from include.activity import publish_activity
from include.database import connect_engine, write_transaction
from include.feeds import ACCOUNTS, LEDGER_FEEDS, Feed
from include.source_schema import TABLES, create_indexes, create_tables, insert_rows
from include.statements import publish_statement_lines
from include.workspace import Workspace
from tests.pipeline import extract_only, new_workspace

PROFILE = Profile("tiny", accounts=80, postings=240, months=3, changes=0, rounds=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = make_world(PROFILE, lambda text: None, tmp_path_factory.mktemp("worlds"))
    make_lake(made, lambda text: None)
    return made


@pytest.fixture(scope="module")
def source_url(world: World) -> str:
    """A SQLite source that holds all rows of the world."""
    url = f"sqlite:///{world.folder / 'source.db'}"
    with write_transaction(connect_engine(url, create=True)) as connection, duckdb.connect() as con:
        create_tables(connection, TABLES)
        create_indexes(connection, TABLES)
        files: list[tuple[Feed, list[Path]]] = [(ACCOUNTS, [world.rows(ACCOUNTS)])]
        files += [(feed, world.all_rows(feed)) for feed in LEDGER_FEEDS]
        for feed, paths in files:
            texts = ", ".join(
                f"CAST({name} AS VARCHAR)" if type_ == "day" else name for name, type_ in feed.columns.items()
            )
            rows = con.execute(f"SELECT {texts} FROM read_parquet(?)", [[str(path) for path in paths]])
            insert_rows(connection, feed.name, list(feed.columns), rows.fetchall())
    return url


def differing(ws: Workspace, other: Workspace) -> set[tuple[str, str]]:
    """The partitions that only one of the two lakes has sealed, or that have other bytes there."""
    return {(seal.dataset, seal.period) for seal in {*ws.lake().seals()} ^ {*other.lake().seals()}}


def derive(ws: Workspace, month: dict[str, str]) -> None:
    publish_activity(ws, month)
    publish_statement_lines(ws, month)


def test_an_extract_is_that_of_a_first_run_to_the_byte(world: World, source_url: str, tmp_path: Path) -> None:
    ran = new_workspace(tmp_path / "ran", source_url)
    month, _ = extract_only(ran, str(LAST))
    made = extracted(world, LAST, tmp_path / "made")
    for ws in (ran, made):
        derive(ws, month)
    assert ran.lake().file("statement_lines", LAST).stat().st_size > 10_000
    # Older open items say from which month the world's own lake carried them; nobody reads them again.
    assert differing(ran, made) == {("open_items", str(world.months[0]))}


def test_the_next_month_runs_from_history(world: World, source_url: str, tmp_path: Path) -> None:
    ran = history(world, LAST.previous(), tmp_path / "ran", source_url=source_url)
    month, counts = extract_only(ran, str(LAST))
    assert counts["arrivals"] == {"on_time": sum(counts["rows"][feed.name] for feed in LEDGER_FEEDS)}
    made = extracted(world, LAST, tmp_path / "made")
    for ws in (ran, made):
        derive(ws, month)
    snapshots = {(dataset, str(LAST.previous())) for dataset in ("accounts", "delegations", "webinars")}
    assert differing(ran, made) == snapshots
