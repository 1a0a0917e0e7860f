"""A whole month as a person runs it, ``make run`` on PostgreSQL from start to end, and what Airflow adds to it.

The lake knows every month before, so that one month is extracted, validated, decided, drawn up, rendered and closed.
Beside it stand the same steps called one after the other in one process: what is more than that is what Airflow costs,
less what its two slots at a time give back. A script without Airflow stands beside each as well, and makes PDFs where
ours makes them. The month is a live one: its statements are issued, and its plan is held,
as a first plan is that changes many accounts.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from bench import naive_month
from bench.measure import Answer, Clock, Limit, Stage, Target, Way, contest
from bench.plain_pdf import LEFT_OUT, pdf_maker
from bench.world import LAST, World
from include.workspace import Workspace

PROJECT = Path(__file__).parents[1]
KEY = "a key for benchmarks only, long enough"
MOST_SECONDS, MOST_SECONDS_WITH_PDF, MOST_MEGABYTES = 600, 2_400, 4_000
"""What is promised of a nation's month on two cores; the memory holds for the month without PDF."""
MONTH, MONTH_WITH_PDF = "a whole month", "a whole month with PDF for all"
NAIVE = "pandas, read_sql, a loop and Jinja2"
NAIVE_WITH_PDF = "pandas, read_sql, a loop, Jinja2 and WeasyPrint"
AT_MOST = 1 / 50
"""What is promised beside that script with its PDFs, where ours makes them too; without them it is shown."""
UNLIKE = "it makes PDFs where ours does not"
MOST_SECONDS_TO_PARSE = 0.5
"""What is promised of each Dag file."""


def measure(world: World, folder: Path, rounds: int, say: Callable[[str], None]) -> list[Stage]:
    """Parse the Dags, and run the world's last month through Airflow and without it."""
    get_ready(world, say)
    dags = sorted((PROJECT / "dags").glob("carm_*.py"))
    parsed = contest(world, [Way("the slowest of them, in a fresh process", "ours", parse_dags)], rounds, say)
    ways = [
        Way("make run, from its start to its end", "ours", through_airflow),
        Way("the same steps in one process", "floor", without_airflow),
        Way(NAIVE, "peer", naive_month.html_and_csv),
    ]
    # It takes minutes, and is held against limits of minutes and ratios of fifty: once is enough.
    month = contest(world, ways, 1, say)
    return [
        Stage("parse a Dag file", "files", len(dags), parsed, limits=(Limit("seconds", MOST_SECONDS_TO_PARSE),)),
        as_promised(Stage(MONTH, "postings", _postings(world), month)),
    ]


def measure_with_pdf(world: World, folder: Path, rounds: int, say: Callable[[str], None]) -> list[Stage]:
    """Run the same month with a PDF of every statement; the small profile leaves it out, for its minutes."""
    if world.profile.name == "small":
        say("  left out: it takes longer than all others together")
        return []
    get_ready(world, say)
    ways = [Way("make run, PDF for all", "ours", through_airflow_with_pdf), *_naive_with_pdf(say)]
    month = contest(world, ways, 1, say)
    return [as_promised(Stage(MONTH_WITH_PDF, "postings", _postings(world), month))]


def as_promised(stage: Stage) -> Stage:
    """A stage with what is promised of a whole month; any other stage as it is.

    Results on file pass through here as well: earlier releases held our month without PDF against a script that makes
    them, and wrote down the promise with it.
    """
    if stage.name == MONTH:
        entries = tuple(
            replace(entry, unlike=UNLIKE) if entry.name == NAIVE_WITH_PDF else entry for entry in stage.entries
        )
        limits = (Limit("seconds", MOST_SECONDS), Limit("peak_mb", MOST_MEGABYTES))
        return replace(stage, entries=entries, targets=(), limits=limits)
    if stage.name == MONTH_WITH_PDF:
        targets = tuple(Target(entry.name, AT_MOST) for entry in stage.entries if entry.name == NAIVE_WITH_PDF)
        return replace(stage, targets=targets, limits=(Limit("seconds", MOST_SECONDS_WITH_PDF),))
    return stage


def _naive_with_pdf(say: Callable[[str], None]) -> list[Way]:
    if pdf_maker() is None:
        say(LEFT_OUT)
        return []
    return [Way(NAIVE_WITH_PDF, "peer", naive_month.html_csv_and_pdf)]


def get_ready(world: World, say: Callable[[str], None]) -> None:
    """Make lake and database here, and not in the first way that needs them: it takes a while for a nation."""
    from bench.world_lake import make_lake

    make_lake(world, say)
    with world.postgres(say):
        pass


# Parsing


def parse_dags(world: World, clock: Clock) -> Answer:
    """The seconds of the Dag file that takes longest, each in a process that knows Airflow and nothing of ours."""
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        sys.path.insert(0, str(PROJECT / "dags"))
        import airflow.sdk  # noqa: F401 as the Dag processor has it, before it forks

        context = multiprocessing.get_context("fork")
        taken = {}
        for file in sorted((PROJECT / "dags").glob("carm_*.py")):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_parse, args=(file, theirs))
            process.start()
            taken[file.name] = ours.recv()
            process.join()
    clock.seconds = max(taken.values())
    return None


def _parse(file: Path, pipe: Any) -> None:
    from airflow.dag_processing.dagbag import DagBag

    start = time.perf_counter()
    bag = DagBag(dag_folder=str(file))
    seconds = time.perf_counter() - start
    if bag.import_errors or not bag.dags:
        raise AssertionError(f"{file.name} has no Dag: {bag.import_errors}")
    pipe.send(seconds)


# A month


def through_airflow(world: World, clock: Clock) -> Answer:
    """``make run`` of the month, in a data folder whose lake knows the months before."""
    return _make_run(world, clock, PROJECT)


def through_airflow_with_pdf(world: World, clock: Clock) -> Answer:
    """The same by a copy of the project whose policy says that every statement has its PDF."""
    copy = world.scratch("project") / PROJECT.name
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns(".*", "data", "tests"))
    policy = copy / "include" / "config" / "policy.yaml"
    text, count = re.subn(r"(?m)^pdf: \w+$", "pdf: all", policy.read_text(encoding="utf-8"))
    assert count == 1
    policy.write_text(text, encoding="utf-8")
    return _make_run(world, clock, copy)


def _make_run(world: World, clock: Clock, project: Path) -> Answer:
    with before_the_month(world, "airflow") as (ws, url):
        words = ["run", "--data", str(ws.data), "--period", str(LAST), "--effects", "live"]
        connections = {
            "AIRFLOW_CONN_CARM_SOURCE": json.dumps(_connection(url)),
            "AIRFLOW_CONN_CARM_APPLY": json.dumps({"conn_type": "sqlite", "host": make_url(ws.apply_url).database}),
        }
        with clock:
            done = subprocess.run(
                [sys.executable, "-m", "include.local_airflow", *words],
                cwd=project,
                env=os.environ | connections | {"PYTHONPATH": str(project)},
                capture_output=True,
                text=True,
                check=False,
            )
        if "RESULT: done" not in done.stdout:
            raise AssertionError(f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        clock.note = _orchestration(ws.data / "airflow" / "airflow.db", clock.seconds)
        return _answer(ws)


def without_airflow(world: World, clock: Clock) -> Answer:
    """The same steps in the same order, one after the other."""
    with before_the_month(world, "steps") as (ws, _), clock:
        take_month(ws)
    return _answer(ws)


def take_month(ws: Workspace) -> None:
    """Take the steps of a live month of the world; its tasks import what they need, and so does this."""
    from include.activity import publish_activity
    from include.apply import apply_plan
    from include.broker_documents import render_brokers
    from include.decide import publish_decisions
    from include.extract import extract_month
    from include.month import close_month, open_month
    from include.notices import publish_notices
    from include.plan_step import publish_plan
    from include.statements import list_shards, publish_statement_lines, register_statements, render_shard
    from include.validate import validate_month

    month = open_month(ws, LAST, "live", "bench", "manual", lambda other_run: False)
    extract_month(ws, month)
    validate_month(ws, month)
    publish_activity(ws, month)
    publish_decisions(ws, month)
    apply_plan(ws, month, publish_plan(ws, month)["plan_hash"])
    publish_statement_lines(ws, month)
    packs = [render_shard(ws, month, shard) for shard in list_shards(ws, month)]
    render_brokers(ws, month)
    register_statements(ws, month, packs)
    publish_notices(ws, month, recipient_hash_key=KEY)
    close_month(ws, month)


@contextmanager
def before_the_month(world: World, name: str) -> Iterator[tuple[Workspace, str]]:
    """A data folder and the source's URL; the tables of the pipeline lie in the folder, and not in the source."""
    from bench.world_lake import opened

    folder = world.scratch(name)
    with world.postgres(lambda text: None) as url:
        # By a process that ends, for its memory is none of the month's.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            pool.submit(_make_history, world, folder).result()
        yield opened(folder, url), url


def _make_history(world: World, folder: Path) -> None:
    from bench.world_lake import history

    history(world, LAST.previous(), folder)


def _connection(url: str) -> dict[str, Any]:
    parts = make_url(url)
    extra = {name: str(value) for name, value in parts.query.items()}
    fields = {"conn_type": "postgres", "login": parts.username, "password": parts.password, "host": parts.host}
    return {**fields, "port": parts.port, "schema": parts.database, "extra": extra}


def _answer(ws: Workspace) -> Answer:
    """The hashes of what the month decided and stated: they follow from the data alone."""
    kept = ("account_decisions", "statement_heads", "statement_lines", "open_items", "statements")
    return {
        seal.dataset: seal.sha256 for seal in ws.lake().seals() if seal.period == str(LAST) and seal.dataset in kept
    }


def _orchestration(database: Path, whole: float) -> str:
    """Of the ``whole`` seconds, those around the Dag run, and those of the run in which no task was at work.

    That is a part of what Airflow costs; what each task's process costs is at work too. The whole of it is the
    difference to the same steps in one process.
    """
    day = "(julianday({}) - 2440587.5) * 86400"
    with closing(sqlite3.connect(database)) as connection:
        ((run_id, start, end),) = connection.execute(
            f"SELECT run_id, {day.format('start_date')}, {day.format('end_date')} FROM dag_run "  # noqa: S608 ours
            "WHERE dag_id = 'carm_month'"
        ).fetchall()
        spans = connection.execute(
            f"SELECT {day.format('start_date')}, {day.format('end_date')} FROM task_instance "  # noqa: S608 ours
            "WHERE run_id = ? AND dag_id = 'carm_month' AND start_date IS NOT NULL ORDER BY 1",
            (run_id,),
        ).fetchall()
    idle, reached = 0.0, start
    for begun, ended in spans:
        idle += max(begun - reached, 0)
        reached = max(reached, ended)
    idle += max(end - reached, 0)
    around = whole - (end - start)
    return f"the Dag run {end - start:.1f} s, {idle:.1f} s of it between tasks; {around:.1f} s before and after it"


def _postings(world: World) -> int:
    import pyarrow.parquet as pq

    from include.feeds import TRANSACTIONS

    return int(pq.read_metadata(world.rows(TRANSACTIONS, LAST)).num_rows)
