"""The verbs about mail: ``outbox`` (what waits, what became of it, what a person decides) and ``notices preview``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from include.carm.counts import tell_count
from include.carm.errors import UsageError
from include.cli.group import by_a_person, carm, in_workspace, require_hash_key, show

if TYPE_CHECKING:
    from include.workspace import Workspace

_KEY = re.compile(r"[0-9a-f]{32}")
_PARTS = ("text", "html", "mail")
_COMPOSED = {
    "handed_over": "This is the mail as the server was given it: it has the SHA-256 that was recorded before",
    "otherwise": (
        "This is NOT the mail as the server was given it: its SHA-256 is not the recorded one. The row was changed, or "
        "another release composed it"
    ),
    "now": "Nothing here tells that the server was given this mail: it is shown as it would be sent now",
}
_STATES = ("planned", "sealed", "sending", "sent", "failed", "unknown", "suppressed", "called_off")


class Moment(click.ParamType):
    """A moment as the outbox writes it, in UTC."""

    name = "YYYY-MM-DDTHH:MM:SSZ"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"'{value}' is not a moment: write YYYY-MM-DDTHH:MM:SSZ", param, ctx)
        return moment.replace(tzinfo=moment.tzinfo or UTC)


@carm.group("outbox")
def outbox() -> None:
    """Look at the mail that waits or was sent, and decide about what nobody knows the fate of."""


@outbox.command("list")
@click.option("--period", metavar="YYYY-MM", help="Of one statement month alone.")
@click.option("--state", type=click.Choice(_STATES), help="List the messages of this state, and not only counts.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many to list.")
@in_workspace
def list_outbox(ws: Workspace, as_json: bool, period: str | None, state: str | None, limit: int) -> None:
    """Count the messages by kind and state; with --state list them. No address is shown."""
    from include.carm.period import Period
    from include.outbox import count_messages, list_messages

    month = str(Period.parse(period)) if period else None
    with ws.operations.connect() as connection:
        counts = count_messages(connection, month)
        messages = list_messages(connection, state, month, limit) if state else []
    facts = {"counts": counts, "messages": messages}
    show(as_json, facts, _list_lines(counts, messages, state, limit))


def _list_lines(
    counts: list[dict[str, Any]], messages: list[dict[str, Any]], state: str | None, limit: int
) -> Iterator[str]:
    if not counts:
        yield "The outbox is empty: a live month plans its messages, any other seals them"
    for row in counts:
        yield f"{row['kind']:<16} {row['state']:<10} {row['messages']:>9,}"
    if not state:
        return
    yield ""
    for row in messages:
        tried = f"tried {row['attempts']}, last answer {row['reply'] or '-'}" if row["attempts"] else "not tried"
        yield f"{row['message_key']}  {row['kind']:<14} {row['about']} version {row['version']}; {tried}"
    if len(messages) == limit:
        yield f"Only the first {limit:,} are listed: --limit shows more"


@outbox.command("show")
@click.argument("key")
@click.option("--part", type=click.Choice(_PARTS), default="text", show_default=True, help="What to print.")
@in_workspace
def show_message(ws: Workspace, as_json: bool, key: str, part: str) -> None:
    """Print what message KEY says. The part mail is the whole mail, with the address.

    Of a mail that was handed over it is that very one, proved by its SHA-256; of any other what would be sent now.
    Which of the two is said on standard error.
    """
    from include.outbox import find_message, read_parts

    with ws.operations.connect() as connection:
        message = find_message(connection, key)
    parts = read_parts(ws, message)
    facts = {"message_key": message["message_key"], "state": message["state"]}
    if part == "mail":
        content, facts["composed"] = _compose(message, parts)
        facts["mime_sha256"] = message["mime_sha256"] if facts["composed"] != "now" else None
        if not as_json:
            click.echo(_COMPOSED[facts["composed"]], err=True)
    else:
        content = {"text": parts.text, "html": parts.html}[part]
    show(as_json, {**facts, part: content.decode()}, [content.decode().rstrip()])


@outbox.command("resend")
@click.argument("key", required=False)
@click.option("--all-failed", is_flag=True, help="Plan all that failed in a month or since a moment.")
@click.option("--period", metavar="YYYY-MM", help="With --all-failed: of this statement month alone.")
@click.option("--since", type=Moment(), help="With --all-failed: what failed at this moment or later.")
@by_a_person
@in_workspace
def resend(
    ws: Workspace,
    as_json: bool,
    key: str | None,
    all_failed: bool,
    period: str | None,
    since: datetime | None,
    reason: str,
    person: str,
) -> None:
    """Plan message KEY again: one that failed, or of which nobody knows whether it arrived.

    An unknown one may arrive twice then; only a person can answer for that, one message at a time.
    """
    from include.carm.period import Period
    from include.deliver import plan_again, plan_failed_again

    if (key is None) == (not all_failed):
        raise UsageError("name one message by its key, or all that failed with --all-failed")
    if all_failed != bool(period or since):
        raise UsageError(
            "--all-failed goes with --period or --since, and neither goes without it: among all that ever failed there "
            "are addresses that are dead, and news that is old"
        )
    if key:
        planned = [plan_again(ws, key, reason=reason, recorded_by=person)]
    else:
        month = str(Period.parse(period)) if period else None
        planned = plan_failed_again(ws, reason=reason, recorded_by=person, period=month, since=since)
    lines = [f"message {one['message_key'][:12]} ({one['kind']}) was {one['was']}, is planned" for one in planned[:20]]
    show(as_json, {"planned": planned}, [*lines, f"{tell_count(len(planned), 'message')} planned again, by {person}"])


@outbox.command("sent")
@click.argument("key", required=False)
@click.option(
    "--from",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file of keys or Message-IDs, one a line, in place of KEY.",
)
@by_a_person
@in_workspace
def mark_sent(ws: Workspace, as_json: bool, key: str | None, file: Path | None, reason: str, person: str) -> None:
    """Record that message KEY did arrive, as the log of the mail server says: one of unknown fate, or a planned one.

    A planned one was sent where an older database was put back. All of a FILE is recorded, or nothing of it.
    """
    from include.deliver import take_all_for_sent, take_for_sent

    if (key is None) == (file is None):
        raise UsageError("name one message by its key, or a file of many with --from")
    passed_over = 0
    if key:
        taken = [take_for_sent(ws, key, reason=reason, recorded_by=person)]
    else:
        assert file is not None
        keys, passed_over = _read_keys(file)
        taken = take_all_for_sent(ws, keys, reason=reason, recorded_by=person)
    lines = [f"message {one['message_key'][:12]} ({one['kind']}) was {one['was']}, is sent" for one in taken[:20]]
    if passed_over:
        lines.append(f"{tell_count(passed_over, 'line')} of {file} named no message of ours: passed over")
    lines.append(f"{tell_count(len(taken), 'message')} taken for sent, by {person}")
    show(as_json, {"sent": taken, "passed_over": passed_over}, lines)


def _read_keys(file: Path) -> tuple[list[str], int]:
    """The keys in a file of keys or Message-IDs, ``<key@domain>``, and how many lines are neither.

    A server has mail of others too, and our own samples to a test address.
    """
    try:
        words = [line.strip().strip("<>").partition("@")[0] for line in file.read_text(encoding="utf-8").splitlines()]
    except ValueError:
        raise UsageError(f"{file} is no text: write one Message-ID a line") from None
    keys = [word for word in words if _KEY.fullmatch(word)]
    if not keys:
        raise UsageError(f"{file} names no message: write one Message-ID a line, as <key@domain> or the key alone")
    return keys, len(words) - len(keys)


@carm.group("notices")
def notices() -> None:
    """See what would be sent before it is, and look after what was not told."""


@notices.command("preview")
@click.option("--period", metavar="YYYY-MM", required=True, help="The statement month.")
@click.option("--kind", help="One kind alone: statement, closure, webinar …")
@click.option("--to", "address", metavar="ADDRESS", help="What one recipient would get.")
@click.option("--samples", type=click.IntRange(1, 1_000), default=2, show_default=True, help="Of each kind, language.")
@click.option("--output", type=click.Path(path_type=Path), help="Where to write  [default: DATA/preview/YYYY-MM]")
@click.option("--send-test", metavar="ADDRESS", help="Send the samples to this address, marked as a test.")
@in_workspace
def preview(
    ws: Workspace,
    as_json: bool,
    period: str,
    kind: str | None,
    address: str | None,
    samples: int,
    output: Path | None,
    send_test: str | None,
) -> None:
    """Write samples of a month's messages, planned or sealed, as files to open, and count them.

    Nothing in the outbox changes. A month that is still to come is run in shadow first (EFFECTS=shadow).
    """
    from include.carm.period import Period
    from include.preview import choose_samples, count_by_language, send_samples, write_samples
    from include.system_clock import SystemClock

    month = Period.parse(period)
    folder = output or ws.data / "preview" / str(month)
    with ws.operations.connect() as connection:
        counts = count_by_language(connection, month, kind, address)
        chosen = choose_samples(connection, month, kind, address, samples)
    if not chosen:
        raise UsageError(f"the outbox has no such message of {month}: run the month first, live or in shadow")
    files = write_samples(ws, chosen, folder)
    facts: dict[str, Any] = {"counts": counts, "files": [str(path) for path in files]}
    lines = [f"{row['kind']:<16} {row['language']:<5} {row['state']:<10} {row['messages']:>9,}" for row in counts]
    lines.append(f"{tell_count(len(chosen), 'sample')} written to {folder}")
    if send_test:
        facts["sent"] = send_samples(ws, chosen, send_test, SystemClock())
        lines.append(f"{tell_count(facts['sent'], 'sample')} sent to the test address, each marked [TEST]")
    show(as_json, facts, lines)


@notices.command("write")
@in_workspace
def write(ws: Workspace, as_json: bool) -> None:
    """Write the notices of closed months again that are owed: a digest of them was called off.

    The secret that hashes addresses is read from CARM_RECIPIENT_HASH_KEY. Nobody is told the same twice.
    """
    from include.owed_notices import write_owed

    written = write_owed(ws, recipient_hash_key=require_hash_key(), run_id="carm notices write")
    lines = [f"{one['period']}: {tell_count(one['outbox']['planned'], 'message')} planned" for one in written]
    show(as_json, {"months": written}, lines or ["No closed month owes a notice"])


@notices.command("letters")
@click.option("--period", metavar="YYYY-MM", required=True, help="The statement month.")
@in_workspace
def letters(ws: Workspace, as_json: bool, period: str) -> None:
    """Print the letters of a month whose messages failed or were stopped, each once, into packs of their own.

    From then on these notices count as reaching nobody. Mend addresses, lift suppressions and resend first.
    """
    from include.carm.period import Period
    from include.owed_notices import print_late_letters

    facts = print_late_letters(ws, Period.parse(period), run_id="carm notices letters")
    lines = [
        f"{kind:<16} {reason:<14} {count:>9,}"
        for kind, reasons in facts["settled"].items()
        for reason, count in reasons.items()
    ]
    lines.append(f"{tell_count(facts['printed'], 'letter')} printed, {facts['letters']:,} in {facts['folder']}")
    show(as_json, facts, lines)


def _compose(message: Mapping[str, Any], parts: Any) -> tuple[bytes, str]:
    """The mail, and a key of ``_COMPOSED`` that says what it is."""
    from include.airflow_settings import AirflowSettings
    from include.mail import compose_mail, handed_over
    from include.mail_route import MailRoute
    from include.system_clock import SystemClock

    if given := handed_over(message, parts):
        return given[0], "handed_over" if given[1] else "otherwise"
    route = MailRoute.of(AirflowSettings.load().connection("carm_smtp"))
    return compose_mail(message, parts, route.sender, SystemClock().instant()), "now"
