"""An issued month as it was known then, rendered again to the byte; and as it is known now, compared.

*Then* is what was extracted up to the month. *Now* is what the register says of its accounts, what the calendar says of
its due date, and what later months brought that was posted in it or before. Nothing is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import select

from include import engine
from include.carm.business_number import account_key
from include.carm.counts import tell_count
from include.carm.errors import Refused
from include.carm.money import format_money
from include.carm.period import Period
from include.operations_statement_tables import STATEMENT_REGISTRY
from include.register import accounts_on_record
from include.statement_registry import COLUMN_OF, is_issued
from include.statement_rendering import read_again, versions_now
from include.statement_versions import read_version

if TYPE_CHECKING:
    from sqlalchemy import Row

    from include.workspace import Workspace

SHOWN = 50
_HEAD = ("account_key", "bn15", "legal_name", "operating_name", "language", "due_on")
_PRINTED = ("legal_name", "operating_name", "language", "due_on")


def known_then(ws: Workspace, period: Period) -> dict[str, Any]:
    """Render every version of the month's statements again and compare all bytes with what was issued.

    Raises ``Refused`` for a month that is not issued. Returns ``{"period", "versions": n, "same": n, "different":
    [[bn15, version, format], ...], "made_otherwise": n, "now": versions}``; ``made_otherwise`` are the versions that
    other templates, numbers or typesetter made, whose documents may well differ.
    """
    rows = _registered(ws, period)
    now, same, different, made_otherwise = versions_now(), 0, [], 0
    for row, documents in read_again(ws, period, rows):
        # Of what an earlier release issued the hash of the page alone is known.
        compared = {format: told for format in documents if (told := _told(row, format)) is not None}
        found = [format for format, told in compared.items() if told != _sha256(documents[format])]
        different += [[row.bn15, row.version, format] for format in found]
        same += not found
        made_otherwise += any(row._mapping[name] != value for name, value in now.items())
    return {
        "period": str(period),
        "versions": len(rows),
        "same": same,
        "different": different,
        "made_otherwise": made_otherwise,
        "now": now,
    }


def known_now(ws: Workspace, period: Period) -> dict[str, Any]:
    """The accounts whose statement of the month would come out otherwise, and in what.

    Raises ``Refused`` for a month that is not issued. Returns ``{"period", "accounts": [{"bn15", "changed": [...],
    "later_postings": n, "later_effect_cents": n}, ...]}``; ``changed`` names what is printed, ``off_record`` an account
    that the register no longer has, and ``no_statement`` one that would have got a statement.
    """
    rows = _registered(ws, period)
    lake = ws.lake()
    relations: dict[str, engine.Relation] = {
        "issued_heads": _standing_heads(ws, period, rows),
        "accounts_on_record": accounts_on_record(ws, period),
    }
    parameters = {"period": str(period), "period_end": ws.calendar.end(period), "due_on": ws.calendar.due_on(period)}
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        later = [month for month in lake.periods("transactions") if month > period]
        engine.register(con, "transactions", lake.files("transactions", later), like="transactions")
        found = engine.run_table(con, "select_known_now", relations, parameters).to_pylist()
    accounts = [
        {
            "bn15": row["bn15"],
            "changed": [
                *(name for name in _PRINTED if row[name]),
                *(["off_record"] if row["is_off_record"] else []),
                *([] if row["has_statement"] else ["no_statement"]),
            ],
            "later_postings": row["later_postings"],
            "later_effect_cents": row["later_effect_cents"],
        }
        for row in found
    ]
    return {"period": str(period), "accounts": accounts}


def _registered(ws: Workspace, period: Period) -> list[Row[Any]]:
    registry = STATEMENT_REGISTRY.c
    query = select(STATEMENT_REGISTRY).where(registry.period == str(period)).order_by(registry.bn15, registry.version)
    with ws.operations.connect() as connection:
        if not is_issued(connection, period):
            raise Refused(f"{period} is not issued: what is known of it is what it comes out as when it is run again")
        return list(connection.execute(query))


def _standing_heads(ws: Workspace, period: Period, rows: Iterable[Row[Any]]) -> pa.Table:
    """The heads of the versions that no other one supersedes."""
    heads = pq.read_table(ws.lake().file("statement_heads", period), columns=[*_HEAD, "parked_reason"])
    heads = heads.filter(pc.is_null(heads.column("parked_reason"))).select(_HEAD)
    reissued = [
        read_version(ws, period, row).statement.head
        for row in rows
        if row.act_no is not None and row.superseded_by is None
    ]
    others = heads.filter(
        pc.invert(pc.is_in(heads.column("bn15"), value_set=pa.array([head.bn15 for head in reissued], pa.string())))
    )
    fresh = [
        {
            **{name: getattr(head, name) for name in _HEAD[1:-1]},
            "account_key": account_key(head.bn15),
            "due_on": date.fromisoformat(head.due_on),
        }
        for head in reissued
    ]
    return pa.concat_tables([others, pa.Table.from_pylist(fresh, schema=heads.schema)])


def _told(row: Row[Any], format: str) -> str | None:
    told: str | None = row._mapping[COLUMN_OF[format]]
    return told


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def known_then_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """What :func:`known_then` found, for people."""
    yield (
        f"{facts['period']} rendered again: {tell_count(facts['same'], 'version')} of {facts['versions']:,} with every "
        "byte as it was issued"
    )
    if facts["made_otherwise"]:
        yield (
            f"{tell_count(facts['made_otherwise'], 'version')} made with other templates, numbers or typesetter than "
            "there are now: what was issued lies in the packs all the same"
        )
    for bn15, version, format in facts["different"][:SHOWN]:
        yield f"  {bn15} version {version}: the {format} comes out different"
    if len(facts["different"]) > SHOWN:
        yield f"  and {len(facts['different']) - SHOWN:,} more: --json lists all"


def known_now_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """What :func:`known_now` found, for people."""
    accounts = facts["accounts"]
    if not accounts:
        yield f"{facts['period']} as known now: no statement would come out otherwise"
        return
    yield f"{facts['period']} as known now: the statements of {tell_count(len(accounts), 'account')} would differ"
    for row in accounts[:SHOWN]:
        what = [name.replace("_", " ") for name in row["changed"]]
        if row["later_postings"]:
            what.append(
                f"{tell_count(row['later_postings'], 'posting')} known later, "
                f"{format_money(row['later_effect_cents'], 'en')}"
            )
        yield f"  {row['bn15']}: {', '.join(what)}"
    if len(accounts) > SHOWN:
        yield f"  and {len(accounts) - SHOWN:,} more: --json lists all"
    yield "What is printed is put right by carm_restate; money stands in the statement of the month that learned of it"
