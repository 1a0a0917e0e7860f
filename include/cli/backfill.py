"""The verbs about several months at once: ``backfill preview`` and ``backfill differences``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from include.cli.group import carm, in_workspace, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from include.workspace import Workspace


@carm.group("backfill")
def backfill() -> None:
    """Look at several months before and after they are run: make backfill runs them. Nothing is changed."""


def _over_months(verb: Callable[..., None]) -> Callable[..., None]:
    first = click.option("--from", "first", required=True, metavar="YYYY-MM", help="The first month.")
    last = click.option("--to", "last", required=True, metavar="YYYY-MM", help="The last month.")
    return first(last(verb))


@backfill.command("preview")
@_over_months
@click.option(
    "--effects", type=click.Choice(["auto", "live", "shadow"]), default="auto", show_default=True, help="As in the run."
)
@in_workspace
def preview(ws: Workspace, as_json: bool, first: str, last: str, effects: str) -> None:
    """Say of each month what a backfill would do, why, what is issued already, and what would be refused."""
    from include.backfill import preview_backfill, preview_lines
    from include.backfill_approvals import Months

    facts = preview_backfill(ws, Months.of(first, last), effects)
    show(as_json, facts, preview_lines(facts))


@backfill.command("differences")
@_over_months
@click.option("--accounts", is_flag=True, help="Name each account that differs.")
@in_workspace
def differences(ws: Workspace, as_json: bool, first: str, last: str, accounts: bool) -> None:
    """Hold shadow runs of issued months against the record: decisions, statements, sums, notices."""
    from include.backfill_approvals import Months
    from include.differences import differences_lines, find_differences

    facts: dict[str, Any] = find_differences(ws, Months.of(first, last))
    show(as_json, facts, differences_lines(facts, accounts=accounts))
