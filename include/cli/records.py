"""The verbs by which a person works off what the rules leave to one: ``hold`` and ``review``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from include.carm.errors import UsageError
from include.cli.group import Day, by_a_person, carm, in_workspace, show

if TYPE_CHECKING:
    from include.workspace import Workspace


@carm.command("hold")
@click.argument("bn15")
@click.option("--until", type=Day(), metavar="DAY", help="The last day of the hold  [default: until it is lifted]")
@click.option("--lift", is_flag=True, help="End the holds that persons put on the account.")
@by_a_person
@in_workspace
def hold(ws: Workspace, as_json: bool, bn15: str, until: date | None, lift: bool, reason: str, person: str) -> None:
    """Hold back every change of account BN15, or lift such a hold, from the next month that is not issued."""
    from include.person_records import lift_hold, record_hold, tell_known_from

    if lift:
        if until is not None:
            raise UsageError("a hold is lifted from the next month on, and not until a day: leave --until out")
        facts = lift_hold(ws, bn15, reason=reason, recorded_by=person)
        numbers = ", ".join(str(number) for number in facts["hold_nos"])
        lifted_from = tell_known_from(facts["lifted_from"])
        lines = [f"hold {numbers} of {facts['bn15']} is lifted from {lifted_from} on, by {person}"]
    else:
        facts = record_hold(ws, bn15, until=until, reason=reason, recorded_by=person)
        lines = [
            f"hold {facts['hold_no']} of {facts['bn15']} {_end(until)}, recorded by {person}; "
            f"decisions know of it from {tell_known_from(facts['known_from'])} on",
            *_notes("hold", facts),
        ]
    show(as_json, facts, lines)


@carm.command("lock")
@click.argument("period", metavar="YYYY-MM")
@by_a_person
@in_workspace
def lock(ws: Workspace, as_json: bool, period: str, reason: str, person: str) -> None:
    """Lock a month whose books are closed: no restatement and no new extract until two people unlock it.

    Only the Dag carm_unlock_month unlocks it, once another person approves.
    """
    from include.carm.period import Period
    from include.month_locks import lock_month_for_good

    facts = lock_month_for_good(ws, Period.parse(period), reason=reason, recorded_by=person)
    state = "is locked" if facts["is_new"] else "was locked already"
    show(as_json, facts, [f"{facts['period']} {state}, by {facts['recorded_by']}: {facts['reason']}"])


@carm.command("review")
@click.argument("bn15")
@click.option(
    "--decision",
    type=click.Choice(["keep", "handled_elsewhere"]),
    required=True,
    help="Keep the account as it is, or say that it is handled elsewhere.",
)
@click.option("--until", type=Day(), required=True, metavar="DAY", help="The last day on which the decision holds.")
@by_a_person
@in_workspace
def review(ws: Workspace, as_json: bool, bn15: str, decision: str, until: date, reason: str, person: str) -> None:
    """Settle what the rules refer to a person about account BN15, so that it does not come back each month."""
    from include.person_records import record_review, tell_known_from

    facts = record_review(ws, bn15, decision=decision, until=until, reason=reason, recorded_by=person)
    lines = [
        f"review {facts['review_no']} of {facts['bn15']}: {decision} until {until}, recorded by {person}; "
        f"decisions know of it from {tell_known_from(facts['known_from'])} on",
        *_notes("review", facts),
    ]
    show(as_json, facts, lines)


def _end(until: date | None) -> str:
    return f"until {until}" if until else "until it is lifted"


def _notes(what: str, facts: Mapping[str, Any]) -> Iterator[str]:
    """What the person may not have known: that it was recorded before, and what is in force beside it."""
    if not facts["is_new"]:
        yield f"It was recorded before; {what} {facts[f'{what}_no']} stands, and nothing was added"
    for other in facts["beside"]:
        yield f"In force beside it: {what} {other['no']} {_end(other['until'])}, recorded by {other['recorded_by']}"
