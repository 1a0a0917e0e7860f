"""Months in which brokers secure debts, derived by the SQL, and the objects that come of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa

from include import engine
from include.brokers import DERIVED, register_firm_numbers
from include.carm.broker import (
    BrokerClient,
    BrokerHead,
    BrokerItem,
    BrokerLine,
    BrokerStatement,
    ClientIndex,
    IndexEntry,
    IndexHead,
    build_broker_statements,
    build_client_indexes,
)
from include.carm.business_number import account_key
from include.statement_objects import table_rows
from tests.statements import ledger
from tests.statements.ledger import BN15, DAYS, Month, Row, table

BROKER = "000000034"
OTHER_BROKER = "000000042"
CHECKS = ("check_broker_cover", "check_broker_totals", "check_provider_clients")


def secured(cents: int, *, bn15: str = BN15, broker: str | None = BROKER, **changed: Any) -> Row:
    """An open item of the month before, due at its end."""
    due = changed.get("due_on", date(2021, 11, 30))
    return {
        "bn15": bn15,
        "account_key": account_key(bn15),
        "item_id": "O1",
        "kind": "B3",
        "transaction_number": "12345000000099",
        "activity_on": date(2021, 10, 20),
        "posted_on": date(2021, 10, 26),
        "due_on": due,
        "placed_in": "2021-11",
        "broker_bn9": broker,
        "is_under_review": False,
        "amount_cents": cents,
        "sima_cents": 0,
        "remaining_cents": cents,
        **changed,
    }


def delegation(bn15: str = BN15, **changed: Any) -> Row:
    """A delegation to the broker, without an end."""
    row = {"role": "editor", "provider_bn9": BROKER, "valid_from": date(2021, 1, 1), "name": "Desk"}
    return {"bn15": bn15, "account_key": account_key(bn15), **row, **changed}


@dataclass(frozen=True)
class Told:
    """What brokers and providers are told; ``problems`` is what the checks found."""

    tables: Mapping[str, pa.Table]
    lines: pa.Table
    open_items: pa.Table
    untold: Row
    problems: list[str] = field(default_factory=list)

    def rows(self, dataset: str) -> list[Row]:
        rows: list[Row] = self.tables[dataset].to_pylist()
        return rows

    @property
    def statements(self) -> dict[str, BrokerStatement]:
        def rows(dataset: str, *columns: str) -> Any:
            return table_rows(self.tables[dataset].select(columns))

        keys = ("firm_key", "account_key")
        built = build_broker_statements(
            rows("broker_heads", "firm_key", *BrokerHead._fields),
            rows("broker_clients", *keys, *BrokerClient._fields),
            rows("broker_lines", *keys, *BrokerLine._fields),
            rows("broker_items", *keys, *BrokerItem._fields),
        )
        return {statement.head.bn9: statement for statement in built}

    @property
    def indexes(self) -> dict[str, ClientIndex]:
        heads = table_rows(self.tables["provider_heads"].select(("firm_key", *IndexHead._fields)))
        entries = table_rows(self.tables["provider_clients"].select(("firm_key", *IndexEntry._fields)))
        return {index.head.bn9: index for index in build_client_indexes(heads, entries)}


def tell(
    month: Month,
    carried: Sequence[Row] = (),
    delegations: Sequence[Row] = (),
    *,
    instead: Mapping[str, pa.Table] | None = None,
) -> Told:
    """Run the SQL of a month that begins with the items ``carried``, then the checks.

    ``instead`` puts something else in the place of a derived dataset before the checks. The balances that the accounts
    begin with are those of the items.
    """
    con = ledger.connection()
    opening = [ledger.brought_forward(cents, bn15=bn15) for bn15, cents in _sums(carried).items()]
    month = Month(month.postings, month.accounts, month.activity, opening, month.interest)
    derived = ledger.derive(month, carried=carried)
    assert [] == derived.problems
    con.register("parked", derived.parked)
    con.register("delegations", table("delegations", delegations))
    register_firm_numbers(con)
    engine.create_table(con, "broker_accounts", "derive_broker_accounts")
    engine.create_table(con, "firms", "derive_firms")
    tables = {}
    for dataset in DERIVED:
        statement = f"derive_{dataset}"
        parameters = {name: DAYS[name] for name in engine.parameters_of(statement)}
        tables[dataset] = (instead or {}).get(dataset, engine.run_table(con, statement, None, parameters))
        con.register(dataset, tables[dataset])
    problems = [row["problem"] for check in CHECKS for row in engine.run_table(con, check).to_pylist()]
    (untold,) = engine.run_table(con, "select_unmatched_lines").to_pylist()
    open_items = con.table("open_items").to_arrow_table()
    for name in ("delegations", "parked", "firm_numbers", *DERIVED):
        con.unregister(name)
    return Told(tables, derived.lines, open_items, untold, problems)


def _sums(carried: Sequence[Row]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in carried:
        sums[row["bn15"]] = sums.get(row["bn15"], 0) + row["remaining_cents"]
    return sums
