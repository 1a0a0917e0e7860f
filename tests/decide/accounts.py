"""Accounts for the tests of the decision: a builder with one good default, and the SQL run over many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date
from functools import cache

import duckdb
import pyarrow as pa

from include import engine
from include.carm.business_number import account_key, bn9_with_check_digit
from include.datasets import schema_of
from include.program_type_rules import RuleTable, rules_relation
from tests.decide.oracle import Account, Decision, World, four_years_before

AS_OF = date(2021, 12, 24)
CUTOFF = date(2017, 12, 24)
LONG_AGO = date(2005, 6, 1)
MONTH = World(as_of=AS_OF)


def bn15_of(position: int) -> str:
    """The made-up number of the account at ``position``; a later position has a later number."""
    return f"{bn9_with_check_digit(f'{position + 1:08d}')}RM0001"


def an_account(**changes: object) -> Account:
    """A dormant importer with nothing that holds it back: it would be closed."""
    default = Account(program_type="importer", activities=(("import", date(2012, 3, 1)),), opened_on=LONG_AGO)
    return replace(default, **changes)  # type: ignore[arg-type]


def account_facts(accounts: Sequence[Account]) -> pa.Table:
    """The relation ``account_facts``: the latest day of each kind of activity takes the place of the activities."""
    rows = []
    for position, account in enumerate(accounts):
        row = asdict(account)
        activities = row.pop("activities")
        for what in ("import", "export", "other"):
            row[f"last_{what}_on"] = max((on for kind, on in activities if kind == what), default=None)
        row |= {
            "bn15": bn15_of(position),
            "account_key": account_key(bn15_of(position)),
            "valid_from": LONG_AGO,
            "status": "open",
            "province": "QC",
            "closed_on": None,
        }
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=schema_of("account_facts"))


def coverage(world: World) -> pa.Table:
    """The relation ``coverage``: one row a feed, with the months that are missing in it."""
    covered = [world.transactions_covered, world.exports_covered]
    return pa.table(
        {
            "feed": ["transactions", "export_declarations"],
            "covered": covered,
            "missing": ["" if there else "2020-05" for there in covered],
        }
    )


def run_decisions(
    facts: pa.Table, world: World, *, rules: pa.Table | None = None, months: pa.Table | None = None
) -> pa.Table:
    """``derive_account_decisions.sql`` over one month of ``world``; the rules and the coverage may be given."""
    if rules is None:
        rules = rules_relation(RuleTable.load().valid_on(world.as_of))
    return engine.run_table(
        _connection(),
        "derive_account_decisions",
        relations={
            "account_facts": facts,
            "coverage": coverage(world) if months is None else months,
            "program_type_rules": rules,
        },
        parameters={
            "as_of": world.as_of,
            "cutoff_on": four_years_before(world.as_of),
            "exporter_without_evidence": world.exporter_without_evidence,
        },
    )


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    # Each call replaces its relations, and hundreds of tests share what takes longest: opening a database.
    return engine.connect()


def decisions_of(table: pa.Table) -> list[Decision]:
    names = ("activity_seen", "action", "reason", "new_program_type")
    return [Decision(*values) for values in zip(*(table[name].to_pylist() for name in names), strict=True)]


def decide_by_sql(accounts: Sequence[Account], world: World = MONTH) -> list[Decision]:
    return decisions_of(run_decisions(account_facts(accounts), world))
