"""The verbs about the distribution list and dead addresses: ``list`` with its verbs, and ``bounces``.

They print no address. The key that hashes recipients comes from the environment (``require_hash_key``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from include.cli.group import Day, carm, in_workspace, require_hash_key, show, under_a_name
from include.system_clock import read_day

if TYPE_CHECKING:
    from include.workspace import Workspace


def on_a_day(verb: Callable[..., None]) -> Callable[..., None]:
    """Give ``verb`` the day ``on``: today, or that on which a letter came."""
    return click.option("--on", type=Day(), metavar="DAY", default=None, help="The day of it  [default: today]")(verb)


@carm.group("list")
def list_() -> None:
    """The distribution list: who joins, who leaves, and who is not written to at all.

    The secret that hashes addresses is read from CARM_RECIPIENT_HASH_KEY. What is entered stands in the audit chain
    with your name, and never with the address.
    """


@list_.command("subscribe")
@click.argument("address")
@click.option("--language", type=click.Choice(["en", "fr", "both"]), required=True, help="In which language to write.")
@click.option("--consent", required=True, metavar="TEXT", help="How the person asked for it, and when.")
@on_a_day
@under_a_name
@in_workspace
def subscribe(
    ws: Workspace, as_json: bool, address: str, language: str, consent: str, on: date | None, person: str
) -> None:
    """Put ADDRESS on the list, because its owner asked for it."""
    from include.distribution_list import enter_subscription

    day = on or read_day()
    facts = enter_subscription(
        ws, address, language, consent=consent, on=day, person=person, hash_key=require_hash_key()
    )
    lines = [f"subscribed from {day} on ({language}), recorded by {person}"]
    if not facts["is_new"]:
        lines = ["It was recorded before; nothing was added"]
    if not facts["is_on"]:
        lines.append(
            "Who unsubscribed on that day or later stays off the list: ask again, and enter the day of the answer"
        )
    if facts["not_written_to"]:
        lines.append(f"The address takes no message ({facts['not_written_to']}): if that is over, carm list lift")
    show(as_json, facts, lines)


@list_.command("unsubscribe")
@click.argument("address")
@on_a_day
@under_a_name
@in_workspace
def unsubscribe(ws: Workspace, as_json: bool, address: str, on: date | None, person: str) -> None:
    """Take ADDRESS off the list. Statements and notices about an account still reach it."""
    from include.distribution_list import enter_withdrawal, tell_stopped

    day = on or read_day()
    facts = enter_withdrawal(ws, address, on=day, person=person, hash_key=require_hash_key())
    lines = [f"unsubscribed from {day} on, recorded by {person}"]
    if not facts["is_new"]:
        lines = ["It was recorded before; nothing was added"]
    if not facts["is_off"]:
        lines.append("A later subscription stands: the address is on the list")
    show(as_json, facts, [*lines, *tell_stopped(facts["stopped"])])


@list_.command("show")
@on_a_day
@in_workspace
def show_(ws: Workspace, as_json: bool, on: date | None) -> None:
    """Count who is on the list, by language and state. No address is shown."""
    from include.distribution_list import count_lines, count_list

    facts = count_list(ws, on=on or read_day(), hash_key=require_hash_key())
    show(as_json, facts, count_lines(facts))


@list_.command("suppress")
@click.argument("address")
@on_a_day
@under_a_name
@in_workspace
def suppress(ws: Workspace, as_json: bool, address: str, on: date | None, person: str) -> None:
    """Let ADDRESS get no message at all any more, not even about its account."""
    from include.distribution_list import enter_suppression, tell_stopped

    day = on or read_day()
    facts = enter_suppression(ws, address, on=day, person=person, hash_key=require_hash_key())
    lines = [f"not written to from {day} on, recorded by {person}"]
    if not facts["is_new"]:
        lines = ["It was not written to before; nothing was added"]
    show(as_json, facts, [*lines, *tell_stopped(facts["stopped"])])


@list_.command("lift")
@click.argument("address")
@on_a_day
@under_a_name
@in_workspace
def lift(ws: Workspace, as_json: bool, address: str, on: date | None, person: str) -> None:
    """Let ADDRESS get messages again, after it was suppressed or bounced. Who left the list stays off it."""
    from include.distribution_list import lift_by_hand

    facts = lift_by_hand(ws, address, on=on or read_day(), person=person, hash_key=require_hash_key())
    show(as_json, facts, [f"written to again (was {facts['reason']}), recorded by {person}"])


@carm.command("bounces")
@click.argument("path", type=Path)
@click.option(
    "--by-address",
    is_flag=True,
    help="Also believe a report that returns no message of ours, by the address it names: only for a mailbox that "
    "nobody outside can write to.",
)
@on_a_day
@in_workspace
def bounces(ws: Workspace, as_json: bool, path: Path, by_address: bool, on: date | None) -> None:
    """Read delivery reports from PATH, and write no more to addresses that are dead.

    PATH is a mailbox file (mbox), a Maildir, or a folder of .eml files; it is only read. A report counts where it
    returns a message that we sent. A full mailbox, a message put off or refused for its content leaves the address as
    it is. The same reports again change nothing.
    """
    from include.bounces import bounce_lines, import_bounces

    facts: dict[str, Any] = import_bounces(
        ws, path, on=on or read_day(), hash_key=require_hash_key(), by_address=by_address
    )
    show(as_json, facts, bounce_lines(facts))
