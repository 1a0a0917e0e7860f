"""What brokers and providers of services are told of a month: derived from the clients' statements, and proved.

A debt that a broker secures is one debt: it stands on the importer's statement, labelled, and the broker sees the same
line from its side. Nothing here is a further posting, and no total of the ledger ever counts it.
``docs/adr/0048-broker-statements-and-client-indexes.md`` says what a broker is told and what it is not.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from include import engine
from include.carm.business_number import is_written_bn9
from include.carm.counts import tell_count
from include.carm.errors import DataError
from include.month import is_issued

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from include.carm.period import Period
    from include.lake import Lake
    from include.workspace import Workspace

log = logging.getLogger(__name__)

DERIVED = ("broker_lines", "broker_items", "broker_clients", "broker_heads", "provider_clients", "provider_heads")
"""The datasets that are published with the statement lines."""

_OF_ITEMS = ("open_items", "carried_items", "items")


def derive_brokers(ws: Workspace, con: DuckDBPyConnection, lake: Lake, period: Period) -> None:
    """Make the relations of :data:`DERIVED` out of the month's lines, open items and delegations.

    ``con`` has the relations that the statements were derived from. What no broker is told of is counted in the log: a
    line whose broker has no valid number stays on its client's statement alone, as does what a parked client has.
    """
    engine.register(con, "delegations", lake.files("delegations", [period]))
    register_firm_numbers(con)
    engine.create_table(con, "broker_accounts", "derive_broker_accounts")
    engine.create_table(con, "firms", "derive_firms")
    days = {"period_start": ws.calendar.start(period), "period_end": ws.calendar.end(period)}
    issued_on = {"issued_on": ws.calendar.issued_on(period)}
    engine.create_table(con, "broker_lines", "derive_broker_lines")
    engine.create_table(con, "broker_items", "derive_broker_items", parameters=issued_on)
    engine.create_table(con, "broker_clients", "derive_broker_clients", parameters={"period": str(period)})
    engine.create_table(con, "broker_heads", "derive_broker_heads", parameters={**days, **issued_on})
    engine.create_table(con, "provider_clients", "derive_provider_clients")
    engine.create_table(con, "provider_heads", "derive_provider_heads", parameters=days)


def prove_brokers(ws: Workspace, con: DuckDBPyConnection, lake: Lake, period: Period) -> dict[str, int]:
    """Prove that brokers are told what their clients are told; returns the counts of what no broker is told of.

    Every labelled line and open item of a client is exactly one of its broker, with the same amount; clients and totals
    add up; closing = opening + debits - credits + moved - settled; opening = the closing of the month before, where
    that one was issued. Raises ``DataError`` with the first that fails.
    """
    _check(con, period)
    before = period.previous()
    # A month that was not issued may have been carried anew since.
    if lake.has("broker_clients", before) and is_issued(ws, before):
        _check_chain(con, lake, period)
    (untold,) = engine.run_table(con, "select_unmatched_lines").to_pylist()
    if any(untold.values()):
        log.warning(
            "%s: on no broker's statement: %s whose broker has no valid number, %s of parked accounts",
            period,
            tell_count(untold["invalid_number"], "line"),
            tell_count(untold["parked_client"], "line"),
        )
    return untold


def verify_brokers(ws: Workspace, con: DuckDBPyConnection, lake: Lake, months: list[Period]) -> int:
    """Prove the sealed months anew, as :func:`prove_brokers` did; returns how many statements of brokers there are.

    Raises ``DataError`` naming the first fault. Months of an earlier release have none, and are passed over.
    """
    statements = 0
    for month in months:
        if not lake.has("broker_clients", month):
            continue
        for dataset in (*DERIVED, "statement_heads", "statement_lines", "parked", "accounts", "transactions"):
            engine.register(con, dataset, [lake.file(dataset, month)])
        for relation in _OF_ITEMS:
            files = lake.files("open_items", [month]) if relation == "open_items" else []
            engine.register(con, relation, files, like="open_items")
        engine.register(con, "delegations", lake.files("delegations", [month]))
        register_firm_numbers(con)
        engine.create_table(con, "broker_accounts", "derive_broker_accounts")
        _check(con, month)
        before = month.previous()
        if lake.has("broker_clients", before) and is_issued(ws, before):
            _check_chain(con, lake, month)
        statements += pq.read_metadata(lake.file("broker_heads", month)).num_rows
    return statements


def register_firm_numbers(con: DuckDBPyConnection) -> None:
    """Make the relation ``firm_numbers``: the valid numbers among those that the month names for brokers and providers.

    ``bn9`` is the number, ``firm_key`` the same as an integer, by which rows are sorted and joined.
    """
    written = engine.run_table(con, "select_firm_numbers").column("written").to_pylist()
    valid = [number for number in written if is_written_bn9(number)]
    columns = {"bn9": pa.array(valid, pa.string()), "firm_key": pa.array([int(bn9) for bn9 in valid], pa.int64())}
    engine.register(con, "firm_numbers", pa.table(columns))


def _check(con: DuckDBPyConnection, period: Period) -> None:
    for check in ("check_broker_cover", "check_broker_totals", "check_provider_clients"):
        _refuse(period, engine.run_table(con, check))


def _check_chain(con: DuckDBPyConnection, lake: Lake, period: Period) -> None:
    before = period.previous()
    previous: dict[str, engine.Relation] = {
        "accounts": [lake.file("accounts", before)],
        "parked": [lake.file("parked", before)],
    }
    with engine.connect() as own:
        accounts = engine.run_table(own, "derive_broker_accounts", previous)
    relations: dict[str, engine.Relation] = {
        "previous_broker_accounts": accounts,
        "previous_broker_clients": [lake.file("broker_clients", before)],
    }
    _refuse(period, engine.run_table(con, "check_broker_chain", relations))


def _refuse(period: Period, offenders: pa.Table) -> None:
    if not offenders.num_rows:
        return
    first = offenders.slice(0, 1).to_pylist()[0]
    places = {"transaction": first["transaction_id"], "account": first["bn15"]}
    place = ", ".join(f"{what} {value}" for what, value in places.items() if value)
    more = f"; {offenders.num_rows - 1:,} more" if offenders.num_rows > 1 else ""
    raise DataError(
        f"brokers are told something else than their clients in {period}: {first['problem']}"
        f"{f' ({place})' if place else ''}{more}: look at the month's rows of that account in the lake"
    )
