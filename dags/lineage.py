"""What a task read and what it published, for whoever draws lineage: OpenLineage, where its provider is installed.

It goes to Airflow's own collector, which throws everything away unless some plugin reads it. A dataset of lineage is a
dataset of the lake, not each of its months, and a table of the source; documents and mails are none.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from run_context import open_workspace

from include.carm.errors import CarmError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.workspace import Workspace

LOG = logging.getLogger(__name__)

_READS_SOURCE = ("extract_feeds",)
_WRITES_ACCOUNTS = ("apply_plan",)


def tell_lineage(context: Context, result: Any = None) -> None:
    """Hand over what this task read and published; runs after its step, and fails nothing."""
    from airflow.sdk.lineage import NoOpCollector, get_hook_lineage_collector

    collector = get_hook_lineage_collector()
    if isinstance(collector, NoOpCollector):
        return
    from include.lake_uses import take_uses

    read, sealed = take_uses()
    try:
        workspace = open_workspace()
        inputs = [_address_of(workspace, *dataset) for dataset in read]
        outputs = [_address_of(workspace, *dataset) for dataset in sealed]
        name = context["ti"].task_id.rpartition(".")[2]
        if name in _READS_SOURCE:
            inputs += _tables(workspace.source_url)
        if name in _WRITES_ACCOUNTS and isinstance(result, dict) and result.get("applied"):
            outputs += _tables(workspace.apply_url, ("accounts",))
    except CarmError as error:
        LOG.warning("what this task read and published is not told to lineage: %s", error)
        return
    for uri in inputs:
        collector.add_input_asset(context["ti"].task, uri=uri)
    for uri in outputs:
        collector.add_output_asset(context["ti"].task, uri=uri)


def _address_of(workspace: Workspace, area: str, dataset: str) -> str:
    return (workspace.lake(area).root / dataset).as_uri()


def _tables(url: str, names: tuple[str, ...] = ()) -> list[str]:
    """The tables as assets of a database; a SQLite file is an asset as a whole. Never with who logs in."""
    from sqlalchemy.engine import make_url

    from include.feeds import LEDGER_FEEDS, SNAPSHOT_FEEDS

    where = make_url(url)
    if where.get_backend_name() == "sqlite":
        return [Path(str(where.database)).as_uri()]
    server = f"{where.host or 'localhost'}:{where.port or 5432}"
    tables = names or tuple(feed.name for feed in (*SNAPSHOT_FEEDS, *LEDGER_FEEDS))
    return [f"postgres://{server}/{where.database}/public/{table}" for table in tables]
