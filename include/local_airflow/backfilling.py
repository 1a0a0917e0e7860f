"""What ``make backfill`` says and asks before its months run, and after them."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from include.backfill import preview_backfill, preview_lines
from include.backfill_approvals import Months, approve_by_command
from include.carm.errors import Refused, UsageError
from include.carm.period import Period
from include.differences import find_differences, month_lines

if TYPE_CHECKING:
    from include.local_airflow.progress import Progress
    from include.workspace import Workspace


def read_months(first: str, last: str) -> Months:
    """The months that were asked for; raises ``UsageError``, in the words of the make command, where they are none."""
    if not (first and last):
        raise UsageError("a backfill needs its months: make backfill FROM_PERIOD=2021-07 TO_PERIOD=2021-12")
    months = Months(Period.parse(first), Period.parse(last))
    if months.last < months.first:
        raise UsageError(f"FROM_PERIOD {months.first} comes after TO_PERIOD {months.last}: exchange them")
    return months


def show_preview(ws: Workspace, months: Months, effects: str, progress: Progress) -> None:
    """Say what the backfill would do, month by month."""
    for line in preview_lines(preview_backfill(ws, months, effects)):
        progress.write(line)


def prepare_months(ws: Workspace, months: Months, effects: str, progress: Progress) -> None:
    """Record the approval that a live backfill of the demo world needs, and say what comes.

    Raises ``Refused`` for a live backfill of other data that no two people approved, and where not one month would run.
    """
    if effects == "live":
        approve_by_command(ws, months, person=pwd.getpwuid(os.getuid()).pw_name)
    facts = preview_backfill(ws, months, effects)
    for line in preview_lines(facts):
        progress.write(line)
    if all(month["refused"] for month in facts["months"]):
        raise Refused(f"not one month of {months} would run: the lines above say why")


def tell_differences(ws: Workspace, months: Months, progress: Progress) -> None:
    """Say of the months that lie beside a record what would have come out otherwise."""
    compared = [month for month in find_differences(ws, months)["months"] if month["state"] in ("same", "differs")]
    if not compared:
        return
    progress.write("Beside the record")
    for month in compared:
        for line in month_lines(month):
            progress.write(f"  {line}")
    progress.write(f"  each account: carm backfill differences --from {months.first} --to {months.last} --accounts")
