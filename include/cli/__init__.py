"""The command line ``carm``: for people, beside the UI of Airflow.

A verb is one function in a module of this package. ``@carm.command`` names it, ``@in_workspace`` gives it the workspace
and ``--json`` (``@in_new_workspace`` where it fills a source, and may make the data folder); it prints through
:func:`show` and raises a ``CarmError`` for whatever a person can put right. Exit codes: 0 done, 1 the data or a check
failed, 2 wrong usage. Heavy imports stand inside the verbs, so that ``--help`` answers at once.
"""

from __future__ import annotations

from include.cli import backfill, certificate, list_verbs, months, outbox, plans, records, source
from include.cli.group import ShownProgress, Verbs, carm, in_workspace, show

__all__ = [
    "ShownProgress",
    "Verbs",
    "backfill",
    "carm",
    "certificate",
    "in_workspace",
    "list_verbs",
    "main",
    "months",
    "outbox",
    "plans",
    "records",
    "show",
    "source",
]


def main() -> None:
    """Run the command line; the console script ``carm`` calls it."""
    carm(prog_name="carm")
