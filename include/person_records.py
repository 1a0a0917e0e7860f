"""What a person decided about an account: a hold, a review. And how the months take notice of it.

A record holds from the first statement month that is not issued yet, so that an issued month keeps its decisions for
ever. :func:`read_records` gathers, for one month, what persons and earlier months had said by then; the decision reads
only that, sealed beside it as the dataset ``clean_up_records``. Each record is a link of the audit chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import Column, Table, and_, func, insert, literal, or_, select, update

from include.audit import append_link
from include.carm.business_number import account_key, require_bn15
from include.carm.errors import DataError, Refused, UsageError
from include.carm.period import Period
from include.carm.plain_text import require_plain_line
from include.database import write_transaction
from include.datasets import schema_of
from include.operations_plan_tables import CLOSURE_ANNOUNCEMENTS, HOLDS, REINSTATEMENTS, REVIEW_DECISIONS
from include.operations_statement_tables import ISSUED_MONTHS
from include.source_schema import TABLES

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.workspace import Workspace

REVIEW_ANSWERS = ("keep", "handled_elsewhere")
BEFORE_ANY_MONTH = "0001-01"
LONGEST_REASON = 500
LONGEST_NAME = 100
_ACCOUNTS = TABLES["accounts"]


def record_hold(ws: Workspace, bn15: str, *, until: date | None, reason: str, recorded_by: str) -> dict[str, Any]:
    """Hold every change of the account back up to and including ``until`` (None: until the hold is lifted).

    The same hold by the same person in the same words is recorded once. Raises ``UsageError`` for a number, a day, a
    reason or a name that cannot be, ``DataError`` for an account that the register does not have. Returns ``{"hold_no",
    "bn15", "known_from", "until", "is_new", "beside"}``; ``beside`` are the other holds by persons that stand on the
    account, each ``{"no", "until", "recorded_by"}``.
    """
    number = _require_account(ws, bn15)
    signed = {"reason": require_reason(reason), "recorded_by": require_person(recorded_by)}
    with write_transaction(ws.operations) as connection:
        hold, beside = _record(ws, connection, HOLDS, number, {"hold_until": until, **signed})
        facts = {"hold_no": hold["hold_no"], "known_from": hold["known_from"]}
        if hold["is_new"]:
            append_link(connection, "hold", number, {**facts, "until": until and until.isoformat(), **signed})
    return {**facts, "bn15": number, "until": until, "is_new": hold["is_new"], "beside": beside}


def lift_hold(ws: Workspace, bn15: str, *, reason: str, recorded_by: str) -> dict[str, Any]:
    """Lift every hold that persons put on the account, from the first month that is not issued yet.

    A hold of the register is the register's to lift. Raises ``Refused`` when there is no hold to lift. Returns
    ``{"hold_nos", "bn15", "lifted_from"}``.
    """
    number = require_bn15(bn15)
    signed = {"reason": require_reason(reason), "recorded_by": require_person(recorded_by)}
    active = and_(HOLDS.c.bn15 == number, HOLDS.c.lifted_from.is_(None))
    with write_transaction(ws.operations) as connection:
        hold_nos = list(connection.execute(select(HOLDS.c.hold_no).where(active).order_by(HOLDS.c.hold_no)).scalars())
        if not hold_nos:
            raise Refused(
                f"no hold that a person recorded stands on {number}: a hold of the register is lifted in the register"
            )
        lifted_from = next_known_from(connection)
        connection.execute(update(HOLDS).where(active).values(lifted_from=lifted_from))
        append_link(connection, "hold", number, {"hold_nos": hold_nos, "lifted_from": lifted_from, **signed})
    return {"hold_nos": hold_nos, "bn15": number, "lifted_from": lifted_from}


def record_review(
    ws: Workspace, bn15: str, *, decision: str, until: date, reason: str, recorded_by: str
) -> dict[str, Any]:
    """Settle what the rules refer to a person, up to and including ``until``: ``keep``, or ``handled_elsewhere``.

    It keeps an account that would be *review* or *unknown*, and lets no change through. Recorded once, and raises, as
    :func:`record_hold`. Returns ``{"review_no", "bn15", "decision", "known_from", "until", "is_new", "beside"}``;
    ``beside`` are the other reviews that hold.
    """
    number = _require_account(ws, bn15)
    if decision not in REVIEW_ANSWERS:
        raise UsageError(f"the decision is {decision!r}: write one of {', '.join(REVIEW_ANSWERS)}")
    signed = {"reason": require_reason(reason), "recorded_by": require_person(recorded_by)}
    with write_transaction(ws.operations) as connection:
        said = {"decision": decision, "valid_until": until, **signed}
        review, beside = _record(ws, connection, REVIEW_DECISIONS, number, said)
        facts = {"review_no": review["review_no"], "decision": decision, "known_from": review["known_from"]}
        if review["is_new"]:
            append_link(connection, "review", number, {**facts, "until": until.isoformat(), **signed})
    return {**facts, "bn15": number, "until": until, "is_new": review["is_new"], "beside": beside}


def _record(
    ws: Workspace, connection: Connection, table: Table, bn15: str, said: Mapping[str, Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The row of ``table`` that has ``said``, with ``is_new``, and the others on the account that are still in force.

    The row is written unless one that says the same is in force.
    """
    number, until = _NUMBER_AND_END[table]
    row = {number.name: next_number(connection, number), "bn15": bn15, "account_key": account_key(bn15), **said}
    row["known_from"] = next_known_from(connection)
    as_of = record_as_of(ws, row["known_from"])
    _require_reach(said[until.name], as_of, row["known_from"])
    in_force = [table.c.bn15 == bn15, or_(until.is_(None), until >= as_of)]
    if table is HOLDS:
        in_force.append(HOLDS.c.lifted_from.is_(None))
    others = [dict(other) for other in connection.execute(select(table).where(*in_force).order_by(number)).mappings()]
    same = next((other for other in others if {name: other[name] for name in said} == said), None)
    if same is None:
        connection.execute(insert(table).values(row))
    beside = [
        {"no": other[number.name], "until": other[until.name], "recorded_by": other["recorded_by"]}
        for other in others
        if other is not same
    ]
    return {**(same or row), "is_new": same is None}, beside


_NUMBER_AND_END = {
    HOLDS: (HOLDS.c.hold_no, HOLDS.c.hold_until),
    REVIEW_DECISIONS: (REVIEW_DECISIONS.c.review_no, REVIEW_DECISIONS.c.valid_until),
}


def next_known_from(connection: Connection) -> str:
    """The first statement month whose decisions know of what is recorded now: the one after the newest issued."""
    newest = connection.execute(select(func.max(ISSUED_MONTHS.c.period))).scalar()
    return str(Period.parse(newest).next()) if newest else BEFORE_ANY_MONTH


def tell_known_from(known_from: str) -> str:
    """The month from which decisions know of a record, for people."""
    return "the first month" if known_from == BEFORE_ANY_MONTH else known_from


def read_records(ws: Workspace, period: Period) -> pa.Table:
    """The rows of ``clean_up_records``: what persons and earlier months had said of accounts by ``period``.

    ``kind`` is hold, review, undone (the change by ``rule_id`` that a person undid, from the day ``effective_on``) or
    announced (a closure, in ``announced_in``). What ended in the period itself was still known when it was decided.
    """
    now = str(period)
    hold, review, undone, told = (t.c for t in (HOLDS, REVIEW_DECISIONS, REINSTATEMENTS, CLOSURE_ANNOUNCEMENTS))
    queries = (
        select(hold.account_key, hold.bn15, hold.hold_no.label("record_no"), hold.hold_until.label("until"))
        .add_columns(_word("hold"))
        .where(hold.known_from <= now, or_(hold.lifted_from.is_(None), hold.lifted_from > now)),
        select(review.account_key, review.bn15, review.review_no.label("record_no"), review.valid_until.label("until"))
        .add_columns(_word("review"))
        .where(review.known_from <= now),
        select(undone.account_key, undone.bn15, undone.reinstatement_no.label("record_no"))
        .add_columns(_word("undone"), undone.rule_id, undone.effective_on)
        .where(undone.known_from <= now, undone.rule_id.is_not(None)),
        select(told.account_key, told.bn15, told.announced_in)
        .add_columns(_word("announced"))
        # The month that closes an account, or finds it at work again, ends its announcement and must not forget it.
        .where(told.announced_in < now, or_(told.cleared_in.is_(None), told.cleared_in >= now)),
    )
    with ws.operations.connect() as connection:
        rows = [dict(row) for query in queries for row in connection.execute(query).mappings()]
    table = pa.Table.from_pylist(rows, schema=schema_of("clean_up_records"))
    return table.sort_by([(name, "ascending") for name in ("kind", "account_key", "record_no", "announced_in")])


def _word(kind: str) -> Any:
    return literal(kind).label("kind")


def _require_account(ws: Workspace, bn15: str) -> str:
    number = require_bn15(bn15)
    with ws.source.connect() as connection:
        query = select(_ACCOUNTS.c.bn15).where(_ACCOUNTS.c.bn15 == number).limit(1)
        if connection.execute(query).first() is None:
            raise DataError(f"the register has no account {number}: look at the number again")
    return number


def require_reason(reason: str) -> str:
    """The reason in one line; raises ``UsageError`` where it is empty, too long, or has what cannot be seen."""
    text = require_plain_line(reason, "the reason")
    if not text:
        raise UsageError("a record needs its reason: say in a few words why, for who reads it in a year")
    if len(text) > LONGEST_REASON:
        raise UsageError(f"the reason has {len(text):,} characters: {LONGEST_REASON} are the most")
    return text


def require_person(name: str) -> str:
    """The name of who records, in one line; raises ``UsageError`` as :func:`require_reason`."""
    person = require_plain_line(name, "the name of who records")
    if not person or len(person) > LONGEST_NAME:
        raise UsageError(f"nobody is named as who records: write a name of 1 to {LONGEST_NAME} characters")
    return person


def record_as_of(ws: Workspace, known_from: str) -> date:
    """The last day of the first month that knows a record: on it the record must be in force, or it never counts."""
    return date.min if known_from == BEFORE_ANY_MONTH else ws.calendar.as_of(Period.parse(known_from))


def first_end_day(ws: Workspace) -> date:
    """The first day on which a record that is made now may end."""
    with ws.operations.connect() as connection:
        return record_as_of(ws, next_known_from(connection))


def _require_reach(until: date | None, as_of: date, known_from: str) -> None:
    if until is not None and until < as_of:
        raise UsageError(
            f"{until} is before {as_of}, the last day of {known_from}, the next month to be decided: the record would "
            "never count; write a later day"
        )


def next_number(connection: Connection, number: Column[int]) -> int:
    """The next number of a table, in the caller's write transaction."""
    if connection.dialect.name == "postgresql":
        # Two writers would both take the same number; in SQLite there is only one.
        connection.exec_driver_sql(f"LOCK TABLE {number.table.name} IN EXCLUSIVE MODE")
    return (connection.execute(select(func.max(number))).scalar() or 0) + 1
