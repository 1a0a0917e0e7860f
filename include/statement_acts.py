"""Acts about a statement of an issued month: restated, withdrawn, or issued late after its account was parked.

No act moves money. A month has one extract for ever, so the balances of a statement stand once it is issued, and are
corrected by a posting in the open month. A restatement changes what is printed: of any month the names, the language
and the due date, as the register and the calendar have them now; of the last issued month also what the tables of
today make of the same postings (ages, calculated interest, sections). What is restated is never typed in, so that no
name stands in a form, and the register is put right first.

Each act is a row of ``carm_statement_acts`` and a link of the audit chain, in one transaction with the rows of the
registry that it writes. The documents that it issues lie in a pack of their own beside those of the month.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import insert, select, update

from include.audit import append_link
from include.carm.business_number import account_key, require_bn15
from include.carm.errors import DataError, Refused, UsageError
from include.carm.period import Period
from include.carm.statement import Reissue, Statement, StatementLine
from include.database import write_transaction
from include.datasets import schema_of
from include.documents import write_pack
from include.month import newest_issued
from include.month_locks import require_unlocked
from include.notice_intents import about_act, about_statement, owe
from include.operations import bring_up_to_date
from include.operations_statement_tables import MONTH_LOCKS, STATEMENT_ACTS, STATEMENT_REGISTRY
from include.parking import parked_reason, still_outstanding
from include.person_records import next_known_from, next_number, require_person, require_reason
from include.register import account_on_record
from include.statement_registry import COLUMN_OF, is_issued
from include.statement_rendering import render_reissue, versions_now
from include.statement_versions import StatementVersion, current_version, reissue_pack, versions_of
from include.statements import derive_statement
from include.tellings import call_off

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.workspace import Workspace

_UNMOVED = ("period", "opening_cents", "debits_cents", "credits_cents", "closing_cents", "under_review_cents")
"""What the extract fixes. The days of the period are kept as they were issued."""
_AS_ISSUED = ("period_start", "period_end", "issued_on", "program_type", "account_status", "closed_on")
_PRINTED = ("legal_name", "operating_name", "language", "due_on")


@dataclass(frozen=True)
class Order:
    """What a person ordered: why, as the client reads it in both languages, on which day, and who."""

    reason_en: str
    reason_fr: str
    acted_on: date
    recorded_by: str
    run_id: str

    @classmethod
    def of(cls, reason_en: str, reason_fr: str, acted_on: date, recorded_by: str, run_id: str) -> Order:
        """An order whose words can be printed; raises ``UsageError`` where one is missing or cannot be read."""
        english, french = require_reason(reason_en), require_reason(reason_fr)
        return cls(english, french, acted_on, require_person(recorded_by), run_id)


def restate(ws: Workspace, period: Period, bn15: str, order: Order) -> dict[str, Any]:
    """Issue the next version of a statement, as the register and the tables have it now.

    Raises ``DataError`` for an account without a statement in that month, ``Refused`` where nothing would change, the
    month is locked or was never issued, and ``UsageError`` for a day that cannot be.
    Returns ``{"act_no", "act", "period", "bn15", "version", "changed"}``.
    """
    number, current = _current(ws, period, bn15)
    _require_day(ws, order.acted_on, date.fromisoformat(current.issued_on))
    fresh = as_known_now(ws, period, current.statement)
    changed = what_changed(current.statement, fresh)
    # One that was withdrawn by mistake is put right by a version that says the same.
    if not changed and current.withdrawn_by is None:
        raise Refused(
            f"nothing of the statement of {number} for {period} would change: correct the register or the tables first "
            "(a restatement changes what is printed; money is corrected by a posting in the open month)"
        )
    head = fresh.head._replace(version=current.version + 1)
    told = Reissue(
        "restate",
        order.acted_on.isoformat(),
        current.version,
        current.issued_on,
        changed,
        order.reason_en,
        order.reason_fr,
    )
    return _issue(ws, period, "restate", Statement(head, fresh.lines, told), order, supersedes=current.version)


def issue_parked(ws: Workspace, period: Period, bn15: str, order: Order) -> dict[str, Any]:
    """Issue the first statement of an account that was parked when its month was issued.

    It is made of the postings that were extracted then, and of the account as the register has it now. Raises as
    :func:`restate`; ``Refused`` too where the account is not parked, its month before is parked still, or it would be
    parked again, naming the reason.
    """
    number = require_bn15(bn15)
    _require_issued(ws, period)
    if parked_reason(ws.lake(), period, number) is None:
        raise Refused(f"account {number} is not parked in {period}: there is no statement to be issued late")
    with ws.operations.connect() as connection:
        if versions_of(connection, period, number):
            raise Refused(f"the statement of {number} for {period} was issued already")
        before = period.previous()
        if number in still_outstanding(connection, ws.lake(), before).column("bn15").to_pylist():
            raise Refused(f"account {number} is parked in {before} too: issue the statement of {before} first")
        if number not in still_outstanding(connection, ws.lake(), period).column("bn15").to_pylist():
            raise Refused(
                f"account {number} has nothing to state in {period}: it was parked for the month before alone, and no "
                "later month waits for it"
            )
    _require_day(ws, order.acted_on, ws.calendar.issued_on(period))
    statement = derive_statement(ws, period, number, account=account_on_record(ws, period, number))
    told = Reissue("issue_parked", order.acted_on.isoformat(), None, None, (), order.reason_en, order.reason_fr)
    return _issue(ws, period, "issue_parked", statement._replace(reissue=told), order, supersedes=None)


def withdraw(ws: Workspace, period: Period, bn15: str, order: Order) -> dict[str, Any]:
    """Declare the current version of a statement wrongly issued. Its documents stay as they are, to be proved.

    Raises as :func:`restate`; ``Refused`` where the version is withdrawn already.
    """
    number, current = _current(ws, period, bn15)
    if current.withdrawn_by is not None:
        raise Refused(f"version {current.version} of the statement of {number} for {period} is withdrawn already")
    _require_day(ws, order.acted_on, date.fromisoformat(current.issued_on))
    with write_transaction(ws.operations) as connection:
        _require_same(connection, period, number, current.version)
        act = _record_act(connection, "withdraw", period, number, current.version, order)
        connection.execute(update(STATEMENT_REGISTRY).where(_is(act)).values(withdrawn_by=act["act_no"]))
        _call_off_notice(connection, period, number, current.version)
        _owe_notice(connection, act)
        _tell(connection, act)
    return _outcome(act)


# What would be issued now


def as_known_now(ws: Workspace, period: Period, issued: Statement) -> Statement:
    """The statement as the register and the tables have it now, with the version and the days of ``issued``.

    Raises ``DataError`` where it would move money: what was extracted is not what the statement was made from.
    """
    number = issued.head.bn15
    found = account_on_record(ws, period, number)
    account, head, lines = found.to_pylist()[0], issued.head, issued.lines
    if newest_issued(ws) == period:
        # Of an account that was parked nothing was published that could be kept.
        is_parked = parked_reason(ws.lake(), period, number) is not None
        derived = derive_statement(ws, period, number, account=found if is_parked else None)
        lines = derived.lines
        head = derived.head._replace(
            version=issued.head.version, **{name: getattr(issued.head, name) for name in _AS_ISSUED}
        )
    moved = [name for name in _UNMOVED if getattr(head, name) != getattr(issued.head, name)]
    if moved or _postings(lines) != _postings(issued.lines):
        raise DataError(
            f"the statement of {number} for {period} would come out with other balances, which no "
            "restatement may change: run carm verify"
        )
    printed = {
        "legal_name": account["legal_name"],
        "operating_name": account["operating_name"],
        "language": account["language"] if account["language"] in ("en", "fr") else "both",
        "due_on": ws.calendar.due_on(period).isoformat(),
    }
    return Statement(head._replace(**printed), lines)


def _postings(lines: Sequence[StatementLine]) -> list[tuple[Any, ...]]:
    """The postings that stand on a statement, in whatever order it prints them."""
    return sorted((line.transaction_id, line.revision, line.version, line.arrival, line.amount_cents) for line in lines)


def what_changed(former: Statement, fresh: Statement) -> tuple[str, ...]:
    """What differs between two versions, by the names under which the page tells it."""
    before, now = former.head, fresh.head
    changed = [name for name in _PRINTED if getattr(before, name) != getattr(now, name)]
    if before.total_payable_cents != now.total_payable_cents:
        changed.append("total_payable")
    if before.ageing != now.ageing:
        changed.append("ageing")
    if (before.calculated_interest_cents, before.missing_rate_quarter) != (
        now.calculated_interest_cents,
        now.missing_rate_quarter,
    ):
        changed.append("interest")
    if former.lines != fresh.lines:
        changed.append("transactions")
    return tuple(changed)


# May it be done


def _current(ws: Workspace, period: Period, bn15: str) -> tuple[str, StatementVersion]:
    number = require_bn15(bn15)
    _require_issued(ws, period)
    current = current_version(ws, period, number)
    if current is None:
        parked = parked_reason(ws.lake(), period, number)
        instead = f": it is parked ({parked}), see the act issue_parked" if parked else ""
        raise DataError(f"account {number} has no statement for {period}{instead}")
    return number, current


def _require_issued(ws: Workspace, period: Period) -> None:
    with ws.operations.connect() as connection:
        if not is_issued(connection, period):
            raise Refused(f"{period} is not issued: run the month again, and it comes out as the data are now")
        require_unlocked(connection, period)


def _require_day(ws: Workspace, acted_on: date, issued_on: date) -> None:
    if acted_on < issued_on:
        raise UsageError(
            f"{acted_on} is before {issued_on}, the day on which the statement was issued: write a later day"
        )
    newest = newest_issued(ws)
    assert newest is not None
    last = ws.calendar.end(newest.next().next())
    if acted_on > last:
        # A slip of the pen in the year would stand on the document for ever.
        raise UsageError(f"{acted_on} lies beyond {last}, two months after the newest issued one: write an earlier day")


# The act


def _issue(
    ws: Workspace, period: Period, act_name: str, statement: Statement, order: Order, *, supersedes: int | None
) -> dict[str, Any]:
    """Render, pack and record one version; nothing of it can be read before the transaction ends."""
    number, version = statement.head.bn15, statement.head.version
    documents = list(render_reissue(ws, statement))
    lake = ws.lake()
    with write_transaction(ws.operations) as connection:
        _require_same(connection, period, number, supersedes)
        changed = () if statement.reissue is None else statement.reissue.changed
        act = _record_act(connection, act_name, period, number, version, order, changed)
        # Named by the act: what a run that died before its end left under this name is replaced.
        pack = write_pack(reissue_pack(ws, period, act["act_no"]), documents)
        act["pack_sha256"] = pack.sha256
        connection.execute(
            update(STATEMENT_ACTS).where(STATEMENT_ACTS.c.act_no == act["act_no"]).values(pack_sha256=pack.sha256)
        )
        row = {
            "period": str(period),
            "bn15": number,
            "version": version,
            **_hashes(statement, dict(documents)),
            **versions_now(),
            "act_no": act["act_no"],
        }
        connection.execute(insert(STATEMENT_REGISTRY).values(row))
        if supersedes is not None:
            former = {**act, "version": supersedes}
            connection.execute(update(STATEMENT_REGISTRY).where(_is(former)).values(superseded_by=version))
            _call_off_notice(connection, period, number, supersedes)
        versions = _with_version(ws, period, statement, row)
        seal = lake.publish("statement_versions", period, versions)
        lake.seal([seal], run_id=order.run_id, connection=connection)
        _owe_notice(connection, act)
        _tell(connection, act, registered=row, supersedes=supersedes, versions_sha256=seal.sha256)
    return _outcome(act)


def _hashes(statement: Statement, documents: Mapping[str, bytes]) -> dict[str, str]:
    number = statement.head.bn15
    hashes = {
        COLUMN_OF[format]: hashlib.sha256(documents[f"{number}.{format}"]).hexdigest()
        for format in ("html", "csv", "pdf")
    }
    return {"object_sha256": statement.digest(), **hashes}


def _with_version(ws: Workspace, period: Period, statement: Statement, row: Mapping[str, Any]) -> pa.Table:
    """The rows of ``statement_versions`` of the month, and one more."""
    lake, schema = ws.lake(), schema_of("statement_versions")
    head = statement.head._asdict()
    days = {name: date.fromisoformat(head[name]) for name in ("period_start", "period_end", "issued_on", "due_on")}
    values = {**head, **row, **days, "account_key": account_key(statement.head.bn15)}
    fresh = pa.Table.from_pylist([{name: values[name] for name in schema.names}], schema=schema)
    if not lake.has("statement_versions", period):
        return fresh
    former = pq.read_table(lake.file("statement_versions", period), partitioning=None)
    return pa.concat_tables([former, fresh]).sort_by([(name, "ascending") for name in ("account_key", "version")])


def _require_same(connection: Connection, period: Period, bn15: str, version: int | None) -> None:
    """Nobody acted on the statement since it was looked at, and nobody locked its month."""
    if connection.dialect.name == "postgresql":
        for table in (STATEMENT_REGISTRY, MONTH_LOCKS):
            connection.exec_driver_sql(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE")
    require_unlocked(connection, period)
    standing = [row.version for row in versions_of(connection, period, bn15) if row.superseded_by is None]
    if standing != ([] if version is None else [version]):
        raise Refused(f"somebody else acted on the statement of {bn15} for {period} meanwhile: look at it again")


def _record_act(
    connection: Connection,
    act: str,
    period: Period,
    bn15: str,
    version: int,
    order: Order,
    changed: tuple[str, ...] = (),
) -> dict[str, Any]:
    row = {
        "act_no": next_number(connection, STATEMENT_ACTS.c.act_no),
        "act": act,
        "period": str(period),
        "bn15": bn15,
        "version": version,
        "changed": json.dumps(list(changed)),
        **asdict(order),
        "known_from": next_known_from(connection),
        "pack_sha256": None,
    }
    connection.execute(insert(STATEMENT_ACTS).values(row))
    return row


def _owe_notice(connection: Connection, act: Mapping[str, Any]) -> None:
    notice = ("statement", about_act(act["act"], act["bn15"], act["period"]), act["version"])
    told_with = {"bn15": act["bn15"], "period": act["period"], "run_id": act["run_id"]}
    owe(connection, notice, cause=f"act {act['act_no']}", **told_with)


def _call_off_notice(connection: Connection, period: Period, bn15: str, version: int) -> None:
    """Nobody is told any more that the version is ready, but for whom it reached before."""
    call_off(connection, [("statement", about_statement(bn15, period), version)])


def _is(act: Mapping[str, Any]) -> Any:
    registry = STATEMENT_REGISTRY.c
    return (registry.period == act["period"]) & (registry.bn15 == act["bn15"]) & (registry.version == act["version"])


def _tell(connection: Connection, act: Mapping[str, Any], **issued: Any) -> None:
    facts = {**act, "acted_on": act["acted_on"].isoformat(), **issued}
    append_link(connection, "statement_act", act["bn15"], facts)


def _outcome(act: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: act[name] for name in ("act_no", "act", "period", "bn15", "version")}
    return {**told, "changed": json.loads(act["changed"])}


PERFORM: Mapping[str, Callable[[Workspace, Period, str, Order], dict[str, Any]]] = {
    "restate": restate,
    "withdraw": withdraw,
    "issue_parked": issue_parked,
}
"""The acts by their names."""


def perform(ws: Workspace, act: str, period: Period, bn15: str, order: Order) -> dict[str, Any]:
    """Do what a run asks for, once: a run that did it, and is cleared or died before it could say so, is told of it.

    Raises, and returns, as the act of that name does.
    """
    # The first that a new release does may be an act: the tables are brought up to it here too, as a month does.
    bring_up_to_date(ws.operations)
    with ws.operations.connect() as connection:
        done = find_acts(connection, period, require_bn15(bn15))
    for one in done:
        if (one["act"], one["run_id"]) == (act, order.run_id):
            return _outcome(one)
    return PERFORM[act](ws, period, bn15, order)


def find_acts(connection: Connection, period: Period | None = None, bn15: str | None = None) -> list[dict[str, Any]]:
    """The acts on record, the first one first; of one month, of one account, where these are given."""
    query = select(STATEMENT_ACTS).order_by(STATEMENT_ACTS.c.act_no)
    if period is not None:
        query = query.where(STATEMENT_ACTS.c.period == str(period))
    if bn15 is not None:
        query = query.where(STATEMENT_ACTS.c.bn15 == bn15)
    return [dict(row) for row in connection.execute(query).mappings()]
