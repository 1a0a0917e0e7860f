"""Holds what was recorded against the audit chain: each table must hold exactly what its links tell.

The links are read from the first to the last, as a bookkeeper reads a journal, and give the rows that the tables must
have: plans and their states, approvals, persons' holds and reviews, reinstatements, issued months. What is too large
for a link (the changes of a plan, the counter-actions, the registry of a month) is there as a hash, and hashed anew. So
a row that was changed, taken out or put in beside the program is found, and so is a link that was.

The first thing that is wrong is a ``DataError`` that names the link or the row by its key, and says no more of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, and_, exists, or_, select

from include.announcements import announcements_sha256
from include.audit import Link, find_broken_link, read_links
from include.carm.business_number import account_key
from include.carm.errors import DataError, UsageError
from include.journal import journal_sha256
from include.operations_backfill_tables import BACKFILL_APPROVALS
from include.operations_plan_tables import (
    ACCOUNT_CHANGES,
    APPROVALS,
    CLOSURE_ANNOUNCEMENTS,
    HOLDS,
    PLAN_MAKERS,
    PLANS,
    REINSTATEMENTS,
    REVIEW_DECISIONS,
)
from include.operations_schema import PERIOD_LOCKS
from include.operations_statement_tables import (
    DOCUMENT_REGISTRY,
    ISSUED_MONTHS,
    MONTH_LOCKS,
    STATEMENT_ACTS,
    STATEMENT_REGISTRY,
)
from include.reinstate import reinstatements_sha256
from include.statement_registry import issue_facts

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_HEAD = re.compile(r"[0-9a-f]{12,64}")
_PUT_RIGHT = "restore the database from a backup"
_NOBODY_TELLS = f"that no link of the audit chain tells of: somebody wrote beside the program; {_PUT_RIGHT}"


@dataclass
class Told:
    """What the links tell of one row: the values of its columns, and the last link that told of it."""

    link: Link
    values: dict[str, Any]

    def tell(self, link: Link, **values: Any) -> None:
        """A later link changes some of the values."""
        self.link = link
        self.values |= values


@dataclass(frozen=True)
class Chain:
    """All links, the oldest first, proved to follow one another."""

    links: tuple[Link, ...]

    @property
    def head(self) -> str | None:
        """The hash of the last link; None while there is none."""
        return self.links[-1].sha256 if self.links else None

    def of(self, *events: str) -> list[tuple[Link, dict[str, Any]]]:
        """The links of these events with their facts."""
        return [(link, json.loads(link.facts)) for link in self.links if link.event in events]


def describe_link(link: Link) -> str:
    """The link as an error names it."""
    subject = f"{link.subject[:12]}" if len(link.subject) == 64 else link.subject
    return f"link {link.link_no} of the audit chain ({link.event} {subject})"


def read_chain(connection: Connection) -> Chain:
    """The whole chain; raises ``DataError`` naming the first link that is broken."""
    broken = find_broken_link(connection)
    if broken is not None:
        link, what = broken
        raise DataError(f"{describe_link(link)} is broken: {what}; {_PUT_RIGHT}")
    return Chain(tuple(read_links(connection)))


def require_head(chain: Chain, head: str) -> None:
    """Prove that a head that was printed earlier is still in the chain: then nothing before it was written anew.

    Raises ``UsageError`` for a text that is no hash, nor its first 12 characters at least.
    """
    if not _HEAD.fullmatch(head):
        raise UsageError(
            f"'{head}' is not the head of an audit chain: copy its 64 characters, or the first 12 at least"
        )
    if not any(link.sha256.startswith(head) for link in chain.links):
        raise DataError(
            f"no link of the audit chain has the hash {head}: if it is copied right, the chain was written anew after "
            f"that, or cut off before it; {_PUT_RIGHT}"
        )


def verify_records(connection: Connection, chain: Chain) -> dict[str, int]:
    """Hold every table that is told of in the chain against it; returns how many rows of each were compared."""
    try:
        told: dict[Table, Mapping[Any, Told]] = {
            PLANS: _told_plans(chain),
            APPROVALS: _told_approvals(chain),
            HOLDS: _told_holds(chain),
            REVIEW_DECISIONS: _told_reviews(chain),
            STATEMENT_ACTS: _told_whole(chain, "statement_act", STATEMENT_ACTS),
            MONTH_LOCKS: _told_whole(chain, "month_lock", MONTH_LOCKS),
            BACKFILL_APPROVALS: _told_whole(chain, "backfill_approval", BACKFILL_APPROVALS),
        }
    except (KeyError, TypeError) as error:
        raise DataError(
            f"a link of the audit chain tells of something that no link before it began ({error}): {_PUT_RIGHT}"
        ) from error
    adopted = _adopted_plans(chain)
    for table, rows in told.items():
        _verify_rows(connection, table, rows, leave_out=adopted if table is PLANS else frozenset())
    _verify_makers(connection, chain)
    return {
        **{table.name: len(rows) for table, rows in told.items()},
        ACCOUNT_CHANGES.name: _verify_journals(connection, chain, adopted),
        CLOSURE_ANNOUNCEMENTS.name: _verify_announcements(connection, chain),
        REINSTATEMENTS.name: _verify_reinstatements(connection, chain),
        STATEMENT_REGISTRY.name: _verify_issues(connection, chain),
    }


# Tables whose rows the links tell whole.


def _verify_rows(
    connection: Connection, table: Table, told: Mapping[Any, Told], *, leave_out: frozenset[str] = frozenset()
) -> None:
    """Each row is what was told of it, by its key; none is missing, and none was never told of."""
    keys = [column.name for column in table.primary_key.columns]
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in connection.execute(select(table)).mappings():
        if row[keys[0]] not in leave_out:
            found[tuple(row[key] for key in keys)] = dict(row)
    for key, what in told.items():
        own = key if isinstance(key, tuple) else (key,)
        values = found.pop(own, None)
        if values is None:
            raise DataError(
                f"{table.name} has no row {_name(own)} any more, which {describe_link(what.link)} tells of: "
                f"{_PUT_RIGHT}"
            )
        for name, value in values.items():
            if _plain(value) != _plain(what.values.get(name)):
                raise DataError(
                    f"{table.name}, row {_name(own)}: {name} is not what {describe_link(what.link)} tells: "
                    f"somebody changed the row or the link; {_PUT_RIGHT}"
                )
    if found:
        key = min(found, key=str)
        raise DataError(f"{table.name} has a row {_name(key)} {_NOBODY_TELLS}")


def _name(key: tuple[Any, ...]) -> str:
    return " ".join(str(part)[:12] for part in key)


def _plain(value: Any) -> Any:
    """A value as JSON has it; JSON text, which may be spaced in any way, by its content."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _told_plans(chain: Chain) -> dict[tuple[str, str], Told]:
    """The rows of ``carm_plans``: made, answered for, applied, confirmed, undone, each as its link tells."""
    told: dict[tuple[str, str], Told] = {}
    applied: dict[str, dict[str, Any]] = {}
    adopted = _adopted_plans(chain)
    for link, facts in chain.of("plan", "approval", "apply", "confirmation", "reinstatement"):
        live = (link.subject, "live")
        # What became of a plan that no link began, no link can tell.
        if link.subject in adopted and link.event != "plan":
            continue
        if link.event == "plan":
            before = told.get((link.subject, facts["effects"]))
            kept = {name: before.values[name] for name in _OF_APPLY} if before else dict.fromkeys(_OF_APPLY)
            told[link.subject, facts["effects"]] = Told(link, {**facts, **kept})
        elif link.event == "approval" and facts["decision"] in ("approved", "rejected"):
            state = told[live].values["state"]
            answered = {"rejected": "rejected", "approved": "held" if state == "rejected" else state}
            told[live].tell(link, state=answered[facts["decision"]])
        elif link.event == "apply":
            applied[link.subject] = facts
            told[live].tell(
                link,
                state="handed_over" if "change_file_sha256" in facts else "applied",
                applied_run_id=facts["run_id"],
                applied_count=facts["applied"] + facts["announced"],
                dropped_count=facts["dropped"],
            )
        elif link.event == "confirmation" and not facts["open"]:
            made = applied[link.subject]
            told[live].tell(
                link,
                state="applied",
                applied_count=facts["confirmed"] + made["announced"],
                dropped_count=facts["not_done"] + made["dropped"],
            )
        elif link.event == "reinstatement" and "undone" in facts:
            told[live].tell(link, state="undone")
    return told


_OF_APPLY = ("applied_run_id", "applied_count", "dropped_count")


def _told_approvals(chain: Chain) -> dict[int, Told]:
    """The rows of ``carm_approvals``; answers that did not count are among them."""
    return {
        facts["approval_no"]: Told(
            link, {**{column.name: facts.get(column.name) for column in APPROVALS.columns}, "plan_hash": link.subject}
        )
        for link, facts in chain.of("approval")
    }


def _told_holds(chain: Chain) -> dict[int, Told]:
    """The rows of ``carm_holds``: a hold, and later its lifting."""
    told: dict[int, Told] = {}
    for link, facts in chain.of("hold"):
        for number in facts.get("hold_nos", ()):
            told[number].tell(link, lifted_from=facts["lifted_from"])
        if "hold_no" in facts:
            values = {name: facts[name] for name in ("hold_no", "reason", "known_from", "recorded_by")}
            values |= {"bn15": link.subject, "account_key": account_key(link.subject), "hold_until": facts["until"]}
            told[facts["hold_no"]] = Told(link, values)
    return told


def _told_whole(chain: Chain, event: str, table: Table) -> dict[int, Told]:
    """The rows of a table that is never changed: each is in its link, column by column."""
    (key,) = table.primary_key.columns
    return {
        facts[key.name]: Told(link, {column.name: facts[column.name] for column in table.columns})
        for link, facts in chain.of(event)
    }


def _told_reviews(chain: Chain) -> dict[int, Told]:
    """The rows of ``carm_review_decisions``."""
    told: dict[int, Told] = {}
    for link, facts in chain.of("review"):
        values = {name: facts[name] for name in ("review_no", "decision", "reason", "known_from", "recorded_by")}
        values |= {"bn15": link.subject, "account_key": account_key(link.subject), "valid_until": facts["until"]}
        told[facts["review_no"]] = Told(link, values)
    return told


def _adopted_plans(chain: Chain) -> frozenset[str]:
    """The plans of the first release, which knew no chain."""
    return frozenset(plan for _, facts in chain.of("adoption") for plan in facts["plans"])


def _verify_makers(connection: Connection, chain: Chain) -> None:
    """Exactly those stand as makers of a plan whom the links name, run by run."""
    told = {(link.subject, facts["run_id"]): (link, set(facts["makers"])) for link, facts in chain.of("makers")}
    found: dict[tuple[str, str], set[str]] = {}
    for row in connection.execute(select(PLAN_MAKERS)):
        found.setdefault((row.plan_hash, row.run_id), set()).add(row.maker)
    for run in sorted(found.keys() - told.keys()):
        raise DataError(f"{PLAN_MAKERS.name} has makers of plan {run[0][:12]} {_NOBODY_TELLS}")
    for run, (link, makers) in told.items():
        if found.get(run) != makers:
            raise DataError(
                f"{PLAN_MAKERS.name} names others as makers of plan {run[0][:12]} than {describe_link(link)}: who made "
                f"a plan must not approve it; {_PUT_RIGHT}"
            )


# What the links tell by a hash.


def _verify_journals(connection: Connection, chain: Chain, adopted: frozenset[str]) -> int:
    """The changes of each plan hash to what its apply, or the last word of the register about it, told."""
    last = {link.subject: (link, facts) for link, facts in chain.of("apply", "confirmation")}
    for plan_hash, (link, facts) in last.items():
        if journal_sha256(connection, plan_hash) != facts["journal_sha256"]:
            raise DataError(
                f"{ACCOUNT_CHANGES.name}: the rows of plan {plan_hash[:12]} are not what {describe_link(link)} tells: "
                f"somebody changed a row or the link; {_PUT_RIGHT}"
            )
    plans = set(connection.execute(select(ACCOUNT_CHANGES.c.plan_hash).distinct()).scalars())
    for plan_hash in sorted(plans - last.keys() - adopted):
        raise DataError(f"{ACCOUNT_CHANGES.name} has changes of plan {plan_hash[:12]} {_NOBODY_TELLS}")
    _require_approvals(chain)
    return len(plans)


def _require_approvals(chain: Chain) -> None:
    """A plan that was held was applied only after the last answer had approved it."""
    state: dict[str, str] = {}
    approver: dict[str, str | None] = {}
    for link, facts in chain.of("plan", "approval", "apply"):
        if link.event == "plan" and facts["effects"] == "live":
            state[link.subject] = facts["state"]
        elif link.event == "approval" and facts["decision"] in ("approved", "rejected"):
            approver[link.subject] = facts["decided_by"] if facts["decision"] == "approved" else None
        elif link.event == "apply":
            by = approver.get(link.subject)
            if by != facts["approved_by"] or (state.get(link.subject) == "held" and by is None):
                raise DataError(
                    f"{describe_link(link)} tells of a plan that was applied, and not on its approver's word: find out "
                    "who applied it"
                )


def _verify_announcements(connection: Connection, chain: Chain) -> int:
    """Each announcement comes from a change in the journal, which has its hash; none of the journal's is missing."""
    told, change = CLOSURE_ANNOUNCEMENTS, ACCOUNT_CHANGES
    same = and_(
        change.c.bn15 == told.c.bn15,
        change.c.period == told.c.announced_in,
        change.c.plan_hash == told.c.plan_hash,
        change.c.account_key == told.c.account_key,
        change.c.outcome == "announced",
    )
    rows = connection.execute(select(told, exists().where(same).label("is_borne"))).mappings().all()
    for row in rows:
        if not row["is_borne"]:
            raise DataError(
                f"{told.name} has an announcement of {row['announced_in']} that no change in the journal bears: "
                f"{_PUT_RIGHT}"
            )
    # Another plan of the same month may have announced a closure again: then the last one's stands.
    missing = select(change.c.period).where(
        change.c.outcome == "announced",
        ~exists().where(told.c.bn15 == change.c.bn15, told.c.announced_in == change.c.period),
    )
    period = connection.execute(missing.limit(1)).scalar()
    if period is not None:
        raise DataError(f"{told.name} lacks an announcement of {period} that the journal tells of: {_PUT_RIGHT}")
    last = [(link, facts) for link, facts in chain.of("apply", "reinstatement") if "announcements_sha256" in facts]
    if last and announcements_sha256(connection) != last[-1][1]["announcements_sha256"]:
        raise DataError(
            f"{told.name}: when the announcements were made, or ended, is not what {describe_link(last[-1][0])} tells: "
            f"somebody changed a row or the link; {_PUT_RIGHT}"
        )
    return len(rows)


def _verify_reinstatements(connection: Connection, chain: Chain) -> int:
    """The counter-actions hash to what their links told, and every number is told of."""
    numbers: set[int] = set()
    for link, facts in chain.of("reinstatement"):
        first_to_last = facts["reinstatements"]
        if first_to_last and reinstatements_sha256(connection, first_to_last) != facts["reinstatements_sha256"]:
            raise DataError(
                f"{REINSTATEMENTS.name}: the rows that {describe_link(link)} tells of are other ones now: somebody "
                f"changed a row or the link; {_PUT_RIGHT}"
            )
        numbers |= set(range(first_to_last[0], first_to_last[1] + 1)) if first_to_last else set()
    found = set(connection.execute(select(REINSTATEMENTS.c.reinstatement_no)).scalars())
    for number in sorted(found - numbers):
        raise DataError(f"{REINSTATEMENTS.name} has a row {number} {_NOBODY_TELLS}")
    return len(numbers)


def _verify_issues(connection: Connection, chain: Chain) -> int:
    """Every issued month and its registry are what the link ``issue`` tells; returns how many statements they hold."""
    told = {link.subject: (link, facts) for link, facts in chain.of("issue")}
    issued = set(connection.execute(select(ISSUED_MONTHS.c.period)).scalars())
    registered = set(connection.execute(select(STATEMENT_REGISTRY.c.period).distinct()).scalars())
    others = set(connection.execute(select(DOCUMENT_REGISTRY.c.period).distinct()).scalars())
    for table, periods in ((ISSUED_MONTHS, issued), (STATEMENT_REGISTRY, registered), (DOCUMENT_REGISTRY, others)):
        for period in sorted(periods - told.keys()):
            raise DataError(f"{table.name} has rows of {period} {_NOBODY_TELLS}")
    statements = 0
    for period, (link, facts) in told.items():
        if period not in issued:
            raise DataError(
                f"{ISSUED_MONTHS.name} has no row {period} any more, which {describe_link(link)} tells of: {_PUT_RIGHT}"
            )
        found = issue_facts(connection, period, of_earlier_release="documents_sha256" not in facts)
        for name, value in facts.items():
            if found.get(name) != value:
                where = _TABLE_OF_DIGEST.get(name, ISSUED_MONTHS.name)
                raise DataError(
                    f"{where}, {period}: {name} is not what {describe_link(link)} tells: somebody changed what was "
                    f"issued, or the link; {_PUT_RIGHT}"
                )
        statements += facts["statements"]
    _require_closed(connection, chain, told.keys())
    return statements + _verify_acts(connection, chain)


_TABLE_OF_DIGEST = {"registry_sha256": STATEMENT_REGISTRY.name, "documents_sha256": DOCUMENT_REGISTRY.name}


def _verify_acts(connection: Connection, chain: Chain) -> int:
    """What acts issued, superseded and withdrew stands in the registry as their links tell, and nothing else does.

    Returns how many statements the acts issued.
    """
    registry = STATEMENT_REGISTRY.c
    issued: dict[tuple[str, str, int], tuple[Link, dict[str, Any]]] = {}
    marks: dict[tuple[str, str, int], dict[str, int]] = {}
    for link, facts in chain.of("statement_act"):
        key = (facts["period"], facts["bn15"], facts["version"])
        if facts["act"] == "withdraw":
            marks.setdefault(key, {})["withdrawn_by"] = facts["act_no"]
            continue
        issued[key] = link, facts["registered"]
        if facts["supersedes"] is not None:
            marks.setdefault((*key[:2], facts["supersedes"]), {})["superseded_by"] = facts["version"]
    touched = or_(registry.act_no.is_not(None), registry.superseded_by.is_not(None), registry.withdrawn_by.is_not(None))
    count = len(issued)
    for row in connection.execute(select(STATEMENT_REGISTRY).where(touched)).mappings():
        key = (row["period"], row["bn15"], row["version"])
        told = marks.pop(key, {})
        if row["act_no"] is not None and key not in issued:
            raise DataError(f"{STATEMENT_REGISTRY.name} has a row {_name(key)} {_NOBODY_TELLS}")
        if row["act_no"] is not None:
            told = {**issued.pop(key)[1], **told}
        else:
            told = {**{name: row[name] for name in row if name not in ("superseded_by", "withdrawn_by")}, **told}
        for name, value in row.items():
            if value != told.get(name):
                raise DataError(
                    f"{STATEMENT_REGISTRY.name}, row {_name(key)}: {name} is not what the links of its acts tell: "
                    f"somebody changed the row or a link; {_PUT_RIGHT}"
                )
    for key in sorted(issued.keys() | marks.keys()):
        raise DataError(
            f"{STATEMENT_REGISTRY.name}, row {_name(key)} is not what the links of its acts tell: it is gone, or was "
            f"changed; {_PUT_RIGHT}"
        )
    return count


def _require_closed(connection: Connection, chain: Chain, issued: Set[str]) -> None:
    """A month that was issued was closed too, unless a run still works on it or died doing so."""
    closed = {link.subject for link, _ in chain.of("close")}
    locked = set(connection.execute(select(PERIOD_LOCKS.c.period)).scalars())
    for period in sorted(issued - closed - locked):
        raise DataError(
            f"no link of the audit chain tells that {period} was closed, though it was issued and no run works on it: "
            f"somebody cut the chain off; {_PUT_RIGHT}"
        )
