"""What a task read and published is handed to Airflow's collector, and nowhere else."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.lake_uses import take_uses
from include.workspace import Workspace
from tests.pipeline import extract_only
from tests.prepared import Prepared, demo


@pytest.fixture
def lineage(dag_bag: Any) -> Any:
    return sys.modules["lineage"]


@pytest.fixture
def ws(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    ws = prepared.copy(tmp_path / "data", demo)
    monkeypatch.setenv("CARM_DATA", str(ws.data))
    for name in ("SOURCE", "APPLY"):
        monkeypatch.setenv(f"AIRFLOW_CONN_CARM_{name}", '{"conn_type": "sqlite", "host": "source.db"}')
    take_uses()
    return ws


def context(task_id: str) -> dict[str, Any]:
    return {"ti": SimpleNamespace(task_id=task_id, task=object())}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch, dag_bag: Any) -> Any:
    """Airflow's collector as it is where a plugin reads lineage."""
    from airflow.sdk import lineage as of_airflow

    collector = of_airflow.HookLineageCollector()
    monkeypatch.setattr(of_airflow, "get_hook_lineage_collector", lambda: collector)
    return collector


def names(infos: list[Any], ws: Workspace) -> set[str]:
    return {info.asset.uri.removeprefix(f"file://{ws.data}/") for info in infos}


def test_without_a_reader_nothing_is_collected(lineage: Any, ws: Workspace) -> None:
    from airflow.sdk.lineage import NoOpCollector, get_hook_lineage_collector

    assert isinstance(get_hook_lineage_collector(), NoOpCollector)
    extract_only(ws, "2021-12")
    lineage.tell_lineage(context("publish_activity"))
    # What was used is still there: nobody asked for it.
    assert take_uses()[1]


def test_a_step_that_seals_and_reads_is_told_by_its_datasets(lineage: Any, ws: Workspace, collector: Any) -> None:
    from include.activity import publish_activity
    from include.decide import publish_decisions

    month, _ = extract_only(ws, "2021-12")
    take_uses()
    publish_activity(ws, month)
    publish_decisions(ws, month)
    lineage.tell_lineage(context("clean_up.plan"))
    told = collector.collected_assets
    made = ("activity", "account_facts", "account_decisions", "clean_up_records", "dormancy_horizon")
    assert {f"lake/{name}" for name in made} <= names(told.outputs, ws)
    assert "lake/accounts" in names(told.inputs, ws)
    assert not names(told.inputs, ws) & names(told.outputs, ws)


def test_only_who_reads_the_source_is_told_to_read_it(lineage: Any, ws: Workspace, collector: Any) -> None:
    lineage.tell_lineage(context("validate.validate_and_seal"))
    assert names(collector.collected_assets.inputs, ws) == set()
    lineage.tell_lineage(context("extract.extract_feeds"))
    assert names(collector.collected_assets.inputs, ws) == {"source.db"}


def test_accounts_are_an_output_only_where_some_were_changed(lineage: Any, ws: Workspace, collector: Any) -> None:
    lineage.tell_lineage(context("clean_up.apply_plan"), {"applied": 0})
    assert names(collector.collected_assets.outputs, ws) == set()
    lineage.tell_lineage(context("clean_up.apply_plan"), {"applied": 3})
    assert names(collector.collected_assets.outputs, ws) == {"source.db"}


def test_a_postgresql_table_is_named_without_who_logs_in(
    lineage: Any, ws: Workspace, collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CARM_SOURCE", "postgres://reader:secret@db.example:5433/ledger")
    lineage.tell_lineage(context("extract.extract_feeds"))
    told = {info.asset.uri for info in collector.collected_assets.inputs}
    assert "postgres://db.example:5433/ledger/public/transactions" in told
    assert len(told) == 6
    assert not any("secret" in uri or "reader" in uri for uri in told)


def test_what_cannot_be_told_is_a_line_in_the_log_and_no_failure(
    lineage: Any, ws: Workspace, collector: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CARM_SOURCE", '{"conn_type": "mysql", "host": "db.example"}')
    lineage.tell_lineage(context("extract.extract_feeds"))
    assert "is not told to lineage: connection carm_source has the type 'mysql'" in caplog.text
