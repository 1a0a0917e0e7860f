"""Approvals of backfills that are to run live: who asked, who approved, for which months, and under which rules.

A backfill is shadow unless it is told to be live, and then it needs a row that covers its month. Such an answer is
about what a person could look at: under other rules of the clean-up, or another policy, it counts no more.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from include.airflow_api import run_path
from include.airflow_records import SCHEDULE, UNKNOWN, AirflowRecords, Answer
from include.audit import append_link
from include.carm.errors import Refused, UsageError
from include.carm.period import Period
from include.database import write_transaction
from include.operations import bring_up_to_date
from include.operations_backfill_tables import BACKFILL_APPROVALS
from include.person_records import next_number, require_person, require_reason
from include.program_type_rules import RuleTable

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from include.workspace import Workspace

APPROVED, REJECTED, REFUSED = "approved", "rejected", "refused"
THE_WAY = "trigger carm_approve_backfill for these months, and let another person approve it"
_ASK_AGAIN = "trigger carm_approve_backfill again to ask again"

_SHOWN = re.compile(r"(\w+) `([^`]+)`")
_SHOWN_LENGTH = 12
"""Of a version the question prints its beginning; see ``approval_form``."""


@dataclass(frozen=True)
class Months:
    """The months of a backfill, first and last included."""

    first: Period
    last: Period

    @classmethod
    def of(cls, first: str, last: str) -> Months:
        """Read both; raises ``UsageError`` for what is no month, and where the last comes before the first."""
        months = cls(Period.parse(first), Period.parse(last))
        if months.last < months.first:
            raise UsageError(f"{months.last}, the last month, comes before {months.first}, the first: exchange them")
        return months

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first} to {self.last}"

    def each(self) -> list[Period]:
        """Every month, the oldest first."""
        return Period.range(self.first, self.last)


def why_not_approved(ws: Workspace, period: Period) -> str | None:
    """Why a backfill of the month may not run live; None where the last answer about it approved that."""
    with ws.operations.connect() as connection:
        answer = _last_answer(connection, period)
    if answer is None:
        return "nobody approved it"
    if answer.decision != APPROVED:
        return f"{answer.decided_by} rejected it"
    changed = [name for name, version in versions_now(ws).items() if getattr(answer, f"{name}_version") != version]
    if changed:
        return f"the {' and the '.join(changed)} changed since {answer.decided_by} approved it"
    return None


def require_approved(ws: Workspace, period: Period) -> None:
    """Raise ``Refused``, with the way out, where a backfill of the month may not run live."""
    reason = why_not_approved(ws, period)
    if reason:
        raise Refused(
            f"a backfill may not run {period} live, for {reason}: {THE_WAY}; or leave effects at auto, which is shadow"
        )


def versions_now(ws: Workspace) -> dict[str, str]:
    """The hashes of the rules of the clean-up and of the policy, as they are now."""
    return {"rules": RuleTable.load().version, "policy": ws.policy.version}


def versions_shown(
    records: AirflowRecords, dag_id: str, run_id: str, task_id: str, answer: Answer | None
) -> dict[str, str]:
    """The versions, shortened, in the question that got this answer; empty where it is not there any more.

    Read from the question as Airflow has it on record: whoever may edit a run can replace a task's result, but not
    what was asked. Only its last line counts, for the reason above it is what whoever asked wrote.
    """
    path = f"{run_path(dag_id, run_id)}/taskInstances/{task_id}/-1/hitlDetails"
    question = records.api.get(path, accept=(404,))
    if answer is None or question is None or question["responded_at"] != answer.at:
        return {}
    return dict(_SHOWN.findall((question["body"] or "").rstrip().rpartition("\n")[2]))


def settle_backfill_answer(
    ws: Workspace,
    months: Months,
    answer: Answer | None,
    *,
    shown: Mapping[str, str],
    reason: str,
    asked_by: str,
    also_asked_by: Collection[str],
    run_id: str,
) -> dict[str, Any]:
    """Record what was answered, with its link of the audit chain, and go on only with an approval.

    ``shown`` is as :func:`versions_shown` gives it: a question may wait for days, and its answer is about that.
    ``asked_by`` started the run that asked, ``also_asked_by`` cleared tasks of it. Raises ``Refused`` where nobody
    answered; and, after recording the answer, where it was no, where its giver asked for it too or is not known, and
    where rules or policy are others than were shown. Returns the row, which is an approval; the same answer again is
    recorded once, and one that was refused once stays so.
    """
    if answer is None:
        raise Refused(
            f"nobody answered whether a backfill of {months} may run live, so it may not: trigger again to ask"
        )
    askers = {asked_by, *also_asked_by}
    decision = APPROVED if answer.chosen == "Approve" else REJECTED
    now = versions_now(ws)
    changed = [name for name, version in now.items() if shown.get(name) != version[:_SHOWN_LENGTH]]
    refusal = None
    if decision == APPROVED:
        refusal = _why_not_this_person(answer.by, askers) or _why_not_as_shown(shown, changed)
    row = _record(
        ws,
        months,
        now | {name: shown.get(name, UNKNOWN) for name in changed},
        decision=REFUSED if refusal else decision,
        reason=require_reason(reason),
        decided_by=answer.by,
        decided_at=answer.at,
        asked_by=asked_by,
        run_id=run_id,
    )
    if decision == REJECTED:
        raise Refused(f"a live backfill of {months} was rejected by {answer.by}: it stays shadow")
    if row["decision"] != APPROVED:
        refusal = refusal or f"it was refused before, and stays so; {_ASK_AGAIN}"
    if refusal:
        raise Refused(f"the answer of {answer.by or 'nobody'} about a backfill of {months} does not count: {refusal}")
    return row


def approve_by_command(ws: Workspace, months: Months, *, person: str) -> None:
    """Record that whoever types the command over the demo world lets its months run live: there is nobody to harm.

    Raises ``Refused`` over any other source: there it takes two people, whose approval may be there already.
    """
    from include.source_schema import demo_world

    if all(why_not_approved(ws, period) is None for period in months.each()):
        return
    if not demo_world(ws.source):
        raise Refused(
            f"a live backfill of {months} over data of your own takes two people: make ui, {THE_WAY}, then give this "
            "command again"
        )
    name = require_person(person)
    _record(
        ws,
        months,
        versions_now(ws),
        decision=APPROVED,
        reason="a command over the demo world",
        decided_by=name,
        decided_at=None,
        asked_by=name,
        run_id="make backfill",
    )


def _last_answer(connection: Connection, period: Period) -> Row[Any] | None:
    row = BACKFILL_APPROVALS.c
    counts = (row.first_period <= str(period), row.last_period >= str(period), row.decision != REFUSED)
    query = select(BACKFILL_APPROVALS).where(*counts).order_by(row.approval_no.desc()).limit(1)
    return connection.execute(query).first()


def _why_not_this_person(person: str, askers: Collection[str]) -> str | None:
    named = {asker.strip().casefold() for asker in askers}
    approver = person.strip().casefold()
    if approver in ("", UNKNOWN, SCHEDULE) or {"", UNKNOWN, SCHEDULE} & named:
        return "who asked, or who approved, is not known; trigger carm_approve_backfill in the UI or over REST"
    if approver in named:
        return "the same person started or cleared the run that asks; another one must approve it"
    return None


def _why_not_as_shown(shown: Mapping[str, str], changed: Collection[str]) -> str | None:
    if not changed:
        return None
    if any(name not in shown for name in changed):
        return f"which rules and policy were shown is not known; {_ASK_AGAIN}"
    return f"the {' and the '.join(changed)} changed since the question showed them; {_ASK_AGAIN}"


def _record(ws: Workspace, months: Months, versions: Mapping[str, str], **said: Any) -> dict[str, Any]:
    """Write the answer as a row; one that was recorded stays as it is, whatever changed since or was answered later."""
    facts = {"first_period": str(months.first), "last_period": str(months.last), **said}
    facts |= {f"{name}_version": version for name, version in versions.items()}
    bring_up_to_date(ws.operations)
    with write_transaction(ws.operations) as connection:
        number = next_number(connection, BACKFILL_APPROVALS.c.approval_no)
        if facts["decided_at"] is not None:
            # Else whoever clears the task would answer anew, and by rules that nobody was shown.
            same = [BACKFILL_APPROVALS.c[name] == facts[name] for name in ("run_id", "decided_at", "decided_by")]
            known = connection.execute(select(BACKFILL_APPROVALS).where(*same)).mappings().first()
            if known is not None:
                return dict(known)
        row = {"approval_no": number, **facts}
        connection.execute(insert(BACKFILL_APPROVALS).values(row))
        append_link(connection, "backfill_approval", str(months), row)
    return row
