"""Mail to the person on call: what failed, what waits for a decision, what is late, and where to look.

It says counts, hashes, and the line that matters; no account, name or balance. It goes straight to the mail server of
``carm_smtp`` and not through the outbox: it is for staff, and must go out when the outbox is what failed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from include.carm.errors import CarmError, Unavailable, UsageError
from include.carm.recipients import address_problem
from include.mail_route import MailRoute
from include.mail_server import MailError, MailServer, NotConnected

VARIABLE = "carm_on_call_address"
"""The variable of Airflow that names whom to write to: addresses with commas between them; empty: nobody."""

_ACCOUNT = re.compile(r"\b[0-9]{9}RM[0-9]{4}\b")
_LONGEST_LINE = 500
_LONGEST_SUBJECT = 200
_NO_WORD = "it ended without a word: its process was killed, perhaps for lack of memory"


@dataclass(frozen=True)
class Run:
    """A Dag run as a mail names it; ``month`` is its statement month or quarter, empty where it has none."""

    dag_id: str
    run_id: str
    month: str = ""

    def __str__(self) -> str:
        return f"{self.dag_id} {self.month}".rstrip()

    def page(self, base_url: str) -> str:
        """The address of its page; ``base_url`` is that of Airflow, with the prefix of a proxy if there is one."""
        return f"{base_url.rstrip('/')}/dags/{self.dag_id}/runs/{quote(self.run_id, safe='')}"


@dataclass(frozen=True)
class Message:
    """A mail before it is sent: one line and some text."""

    subject: str
    body: str


# What it says.


def tell_failure(run: Run, task_id: str, attempt: int, error: BaseException | str | None, base_url: str) -> Message:
    """A task failed for good. The first to fail of a run is told; others of it show on the run's page."""
    name = task_id.rpartition(".")[2]
    return _message(
        f"{run} failed: {name}",
        [
            f"The task {name} of {run} failed, after {attempt} {'attempt' if attempt == 1 else 'attempts'}.",
            f"It says: {one_line_of(error)}",
            "What it published before is whole: a task publishes all of its result or nothing. What to do for each "
            "such line stands in the Dag's docs (button Dag Docs) and in docs/operating.md. Afterwards clear the task.",
            f"The task and its log: {run.page(base_url)}/tasks/{quote(task_id, safe='')}",
            f"The whole run: {run.page(base_url)}",
        ],
    )


def tell_held_plan(run: Run, plan: Mapping[str, Any], base_url: str) -> Message:
    """A plan waits for an approval; ``plan`` is as :func:`include.approvals.describe_plan` gives it."""
    counts = [
        f"  {action:<10} {reason:<24} {accounts:>9,}"
        for action, reasons in sorted(plan["counts"].items())
        for reason, accounts in sorted(reasons.items())
    ]
    passed = [
        f"  {margin['limit']:<18} of {margin['stratum']:<20} {margin['changes']:>9,}; {margin['allowed']:,} may pass"
        for margin in plan["margins"]
        if margin["changes"] > margin["allowed"]
    ]
    base = base_url.rstrip("/")
    to_decide = (
        f"To decide: trigger carm_apply_plan with this hash; somebody who neither started nor cleared the run that "
        f"made the plan then answers at {base}/required_actions. Until then no account changes; the next month's plan "
        "takes its place."
        if plan["approval"] == "needed"
        else "The policy lets no plan be approved: what is due stands in the next month's plan."
    )
    return _message(
        f"{plan['period']}: the plan is held, {plan['changes']:,} changes",
        [
            f"{plan['period']}: {plan['reason']}.",
            "\n".join(["Decisions, in accounts:", *counts]),
            *(["\n".join(["Limits that were passed:", *passed])] if passed else []),
            f"Plan {plan['plan_hash']}",
            "Look first for gaps (carm status), drift and quarantine: a broken feed looks just like this. Statements "
            "and notices of the month go on meanwhile.",
            to_decide,
            f"The plan with its evidence: {base}/carm/review/{plan['period']}",
            f"The run that made it: {run.page(base_url)}",
        ],
    )


def tell_late(run: Run, since: str, base_url: str) -> Message:
    """A run of the month is still at work long after it began."""
    return _message(
        f"{run} is late",
        [
            f"{run} was queued before {since} and has not ended.",
            "Its statements are due on the 25th. Look whether a task waits for a pool, a database or a person: the "
            "run's page shows which one, and carm status what is issued.",
            f"The run: {run.page(base_url)}",
        ],
    )


def one_line_of(error: BaseException | str | None) -> str:
    """What an error says, as far as it may leave this machine: our own line, without account numbers.

    Of another error only its kind is told. Its text is not ours, and may quote a row.
    """
    if error is None or (isinstance(error, str) and not error.strip()):
        return _NO_WORD
    if isinstance(error, CarmError):
        return _ACCOUNT.sub("(an account)", " ".join(str(error).split()))[:_LONGEST_LINE]
    kind = "a task" if isinstance(error, str) else type(error).__name__
    return f"{kind} failed in a way that nobody foresaw; its log has the rest"


def _message(subject: str, paragraphs: Sequence[str]) -> Message:
    return Message(f"[CARM] {' '.join(subject.split())}"[:_LONGEST_SUBJECT], "\n\n".join(paragraphs) + "\n")


# How it goes out.


def read_addresses(written: str | None) -> tuple[str, ...]:
    """Whom to write to; nobody where nothing is written. Raises ``UsageError`` for what is no address."""
    addresses = tuple(part.strip() for part in (written or "").split(",") if part.strip())
    if any(address_problem(address) for address in addresses):
        raise UsageError(
            f"the variable {VARIABLE} is no list of addresses: write name@example.org, and commas between several"
        )
    return addresses


def send_to_on_call(route: MailRoute, addresses: Sequence[str], message: Message, at: datetime) -> int:
    """Hand the message over for each address; returns for how many a server took it.

    Raises ``Unavailable`` where the server is not reached or took none, ``UsageError`` where the connection is wrong.
    """
    taken, refused = 0, ""
    with MailServer(route.server) as server:
        for address in addresses:
            try:
                server.connect()
                server.address(address)
                server.hand_over(compose(route, address, message, at))
                taken += 1
            except NotConnected as error:
                raise Unavailable(f"{error}: check host, port and TLS of the connection carm_smtp") from error
            except MailError as error:
                refused = str(error)
    if refused and not taken:
        raise Unavailable(f"{refused}, so nobody on call was told: look at the mail server's log")
    return taken


def compose(route: MailRoute, address: str, message: Message, at: datetime) -> bytes:
    """The mail as it is handed over."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = route.server.sender
    mail["To"] = address
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(at)
    key = hashlib.sha256(f"{address}|{at.isoformat()}|{message.subject}|{message.body}".encode()).hexdigest()[:32]
    mail["Message-ID"] = f"<on-call-{key}@{route.sender.domain}>"
    # RFC 3834: no machine answers to it.
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.body)
    return mail.as_bytes()


def is_first(folder: Path, name: str) -> bool:
    """Whether nobody said ``name`` before: of many tasks that fail at once, one sends the mail."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _mark(folder, name).touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        return False
    return True


def forget_first(folder: Path, name: str) -> None:
    """Let the next one be the first: the mail was not sent."""
    _mark(folder, name).unlink(missing_ok=True)


def _mark(folder: Path, name: str) -> Path:
    return folder / "".join(character if character.isalnum() else "-" for character in name)
