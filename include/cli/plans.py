"""The verbs about plans and what they changed: ``plan list``, ``show``, ``diff`` and ``undo``, and ``reinstate``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import click

from include.cli.group import Day, by_a_person, carm, in_workspace, show

if TYPE_CHECKING:
    from include.workspace import Workspace


@carm.group("plan")
def plan() -> None:
    """List, show and compare plans, and undo an applied one.

    A plan is named by its month (2021-12), by its hash, or by the first characters of it.
    """


@plan.command("list")
@click.option("--period", metavar="YYYY-MM", help="Only the plans of this month.")
@in_workspace
def list_(ws: Workspace, as_json: bool, period: str | None) -> None:
    """List the plans: month, hash, state, changes, and why each is in its state."""
    from include.carm.period import Period
    from include.plans import list_plans, plan_list_lines, planned_months

    month = Period.parse(period) if period else None
    plans = list_plans(ws, month)
    show(as_json, {"plans": plans}, plan_list_lines(plans, month, [] if plans else planned_months(ws)))


@plan.command("show")
@click.argument("name", metavar="PLAN")
@in_workspace
def show_(ws: Workspace, as_json: bool, name: str) -> None:
    """Show a plan: counts, strata, the breaker's margins, makers, approvals, what became of it."""
    from include.plans import plan_lines, show_plan

    facts = show_plan(ws, name)
    show(as_json, facts, plan_lines(facts))


@plan.command("diff")
@click.argument("first", metavar="P1")
@click.argument("second", metavar="P2")
@in_workspace
def diff(ws: Workspace, as_json: bool, first: str, second: str) -> None:
    """Say whose change entered, left or differs from plan P1 to plan P2."""
    from include.plans import diff_lines, diff_plans

    facts = diff_plans(ws, first, second)
    show(as_json, facts, diff_lines(facts))


@plan.command("undo")
@click.argument("plan_hash", metavar="HASH")
@click.option("--effective-on", required=True, type=Day(), metavar="DAY", help="The day from which it holds.")
@by_a_person
@in_workspace
def undo(ws: Workspace, as_json: bool, plan_hash: str, effective_on: date, reason: str, person: str) -> None:
    """Undo every change of an applied plan, account by account, except of those that changed since."""
    from include.plans import LEFT_WORDS
    from include.reinstate import undo_plan

    facts = undo_plan(
        ws,
        plan_hash,
        reason=reason,
        effective_on=effective_on,
        recorded_by=person,
        run_id=f"carm plan undo by {person}",
    )
    lines = [f"accounts undone: {facts['undone']:,}"]
    if facts["withdrawn"]:
        lines.append(f"announcements of closures withdrawn: {facts['withdrawn']:,}")
    lines += [f"accounts left as they are, {LEFT_WORDS[why]}: {accounts:,}" for why, accounts in facts["left"].items()]
    lines += _owed_lines(ws)
    show(as_json, facts, lines)


@carm.command("reinstate")
@click.argument("bn15")
@click.option("--effective-on", required=True, type=Day(), metavar="DAY", help="The day from which it holds.")
@by_a_person
@in_workspace
def reinstate(ws: Workspace, as_json: bool, bn15: str, effective_on: date, reason: str, person: str) -> None:
    """Open the closed account BN15 again, or put its corrected program type back."""
    from include.reinstate import reinstate_account

    facts = reinstate_account(
        ws, bn15, reason=reason, effective_on=effective_on, recorded_by=person, run_id=f"carm reinstate by {person}"
    )
    done = "opened again" if facts["undoes"] == "close" else "back in its former program type"
    lines = [f"{facts['bn15']} is {done} from {effective_on} on, recorded by {person}"]
    show(as_json, facts, [*lines, *_owed_lines(ws)])


def _owed_lines(ws: Workspace) -> Iterator[str]:
    """What digests told beside what was undone, and is to be told anew."""
    from include.owed_months import owed_by_month, owed_lines

    with ws.operations.connect() as connection:
        owed = [month for month in owed_by_month(connection) if month["is_closed"]]
    return owed_lines(owed)
