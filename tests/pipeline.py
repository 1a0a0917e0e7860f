"""Runs a month outside Airflow, by the same steps in the same order as the Dag ``carm_month``.

Airflow adds order, retries and a picture; what a month computes is in the steps, so most tests need no more than this.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from include.carm.period import Period
from include.database import connect_engine
from include.operations import migrate
from include.workspace import Workspace


def new_workspace(folder: Path, source_url: str | None = None) -> Workspace:
    """A workspace over an empty data folder, its source (default: SQLite inside) made and migrated."""
    folder.mkdir(parents=True, exist_ok=True)
    url = source_url or f"sqlite:///{folder / 'source.db'}"
    connect_engine(url, create=True).connect().close()
    migrate(url)
    return Workspace.open(folder, source_url=url)


def extract_only(
    ws: Workspace, period: str, *, effects: str = "shadow", run_id: str | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first half of a month: extracted, validated, sealed, with its facts. Returns month and gate's counts."""
    from include.activity import publish_activity
    from include.extract import extract_month
    from include.month import open_month
    from include.validate import validate_month

    month = open_month(ws, Period.parse(period), effects, run_id or f"test {period}", "manual", lambda other_run: False)
    extract_month(ws, month)
    counts = validate_month(ws, month)
    publish_activity(ws, month)
    return month, counts


def apply_month(ws: Workspace, period: str, *, effects: str = "shadow", run_id: str | None = None) -> dict[str, Any]:
    """A month as far as the accounts: extracted, decided, planned and applied, without statements. Returns month."""
    from include.apply import apply_plan
    from include.decide import publish_decisions
    from include.plan_step import publish_plan

    month, _ = extract_only(ws, period, effects=effects, run_id=run_id)
    publish_decisions(ws, month)
    plan = publish_plan(ws, month)
    apply_plan(ws, month, plan["plan_hash"])
    return month


def run_month(ws: Workspace, period: str, *, effects: str = "shadow", run_id: str | None = None) -> dict[str, Any]:
    """A whole month; returns its summary."""
    from include.broker_documents import render_brokers
    from include.month import close_month
    from include.notices import publish_notices
    from include.statements import list_shards, publish_statement_lines, register_statements, render_shard

    month = apply_month(ws, period, effects=effects, run_id=run_id)
    publish_statement_lines(ws, month)
    render_brokers(ws, month)
    register_statements(ws, month, [render_shard(ws, month, shard) for shard in list_shards(ws, month)])
    publish_notices(ws, month, recipient_hash_key="a key for tests only, long enough")
    return close_month(ws, month)


def read(ws: Workspace, dataset: str, period: str, area: str = "lake") -> pd.DataFrame:
    """One sealed dataset of a month as a frame."""
    return pq.read_table(ws.lake(area).file(dataset, Period.parse(period))).to_pandas()


def hashes(folder: Path) -> dict[str, str]:
    """The hash of every file below a folder, by its path inside."""
    from include.lake import sha256_of

    return {str(path.relative_to(folder)): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}
