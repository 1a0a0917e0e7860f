"""Makes the databases ready for a run: the pipeline's own tables, and rows in a source that has none.

Runs as a process of its own (``python -m include.local_airflow prepare``) while Airflow starts beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from include.carm.errors import Unavailable
from include.local_airflow.progress import Progress, describe_counts
from include.workspace import Workspace

PREPARED_FILE = "prepared.json"


def prepare_databases(workspace: Workspace, folder: str, progress: Progress) -> None:
    """Migrate the ``carm_*`` tables; load the CSV files of ``folder``, else fill an empty source with the demo world.

    Leaves in the data folder which month is the last complete one. Raises the ``CarmError`` of what cannot be done.
    """
    from include.operations import migrate

    migrate(workspace.apply_url)
    if folder:
        _load(workspace, folder, progress)
    else:
        _fill_if_empty(workspace, progress)

    from include.source_totals import last_complete_period

    _prepared_file(workspace.data).write_text(
        json.dumps({"last_complete_period": str(last_complete_period(workspace))})
    )


def read_last_complete_period(data: Path) -> str:
    """What the preparation found. Raises ``Unavailable`` when it left nothing, as after a full disk."""
    try:
        return str(json.loads(_prepared_file(data).read_text())["last_complete_period"])
    except (OSError, ValueError, KeyError) as error:
        raise Unavailable(f"the databases of {data} are not ready: give the command again") from error


def _prepared_file(data: Path) -> Path:
    return data / "airflow" / PREPARED_FILE


def _load(workspace: Workspace, folder: str, progress: Progress) -> None:
    from include.database import connect_engine
    from include.load import load_folder

    source = connect_engine(workspace.source_url, create=True)
    report = load_folder(source, folder, progress=_show_share(progress))
    rows = {file.name: file.rows for file in report.files}
    progress.say(f"source {'loaded from' if report.changed else 'already holds'} {folder}: {describe_counts(rows)}")


def _fill_if_empty(workspace: Workspace, progress: Progress) -> None:
    from include.database import connect_engine
    from include.source_schema import is_empty

    source = connect_engine(workspace.source_url, create=True)
    if is_empty(source):
        from include.demo import fill_demo

        progress.say("the source is empty: filling it with the demo world")
        report = fill_demo(source, progress=_show_share(progress))
        progress.say(f"demo world: {describe_counts(report.rows)}")


def _show_share(progress: Progress) -> Callable[[str, int, float], None]:
    return lambda what, rows, share: progress.show(f"          {what}: {rows:,} rows ({share:.0%})")
