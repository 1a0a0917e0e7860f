"""Accounts for the tests of the decision: a builder with one good default, and the SQL run over many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from datetime import date
from functools import cache

import duckdb
import pyarrow as pa

from include import engine
from include.carm.business_number import account_key, bn9_with_check_digit
from include.carm.calendar import Calendar
from include.carm.period import Period
from include.carm.policy import Closure, Policy
from include.coverage import needed_feeds
from include.datasets import schema_of
from include.decide import decision_parameters
from include.program_type_rules import RuleTable, rules_relation
from tests.decide.oracle import GAP, Account, Decision, World, four_years_before

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
        for recorded in ("holds", "reviews", "undone", "announced"):
            row.pop(recorded)
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


def clean_up_records(accounts: Sequence[Account]) -> pa.Table:
    """The relation ``clean_up_records``: what persons recorded about ``accounts``, and what was announced to them."""
    rows = []
    for position, account in enumerate(accounts):
        whom = {"bn15": bn15_of(position), "account_key": account_key(bn15_of(position))}
        rows += [{**whom, "kind": "hold", "record_no": number, "until": until} for number, until in account.holds]
        rows += [{**whom, "kind": "review", "record_no": number, "until": until} for number, until in account.reviews]
        rows += [
            {**whom, "kind": "undone", "record_no": number, "rule_id": f"{program_type}_{seen}", "effective_on": on}
            for number, (program_type, seen, on) in enumerate(account.undone)
        ]
        rows += [{**whom, "kind": "announced", "announced_in": month} for month in account.announced]
    return pa.Table.from_pylist(rows, schema=schema_of("clean_up_records"))


def coverage(world: World) -> pa.Table:
    """The relation ``coverage``: one row a feed, with the months that are missing in it."""
    covered = [world.transactions_covered, world.exports_covered]
    return pa.table(
        {
            "feed": ["transactions", "export_declarations"],
            "covered": covered,
            "missing": ["" if there else GAP.replace(" ", "") for there in covered],
        }
    )


@cache
def _shipped() -> tuple[Policy, Calendar, RuleTable]:
    return Policy.load(), Calendar.load(), RuleTable.load()


def policy_of(world: World) -> Policy:
    needs = {"importer": world.importer_needs, "exporter": world.exporter_needs, "dual": world.dual_needs}
    return replace(
        _shipped()[0],
        closure=Closure(world.notice_months, needs),
        exporter_without_evidence=world.exporter_without_evidence,  # type: ignore[arg-type]
    )


def parameters_of(world: World) -> dict[str, object]:
    """What the statements are asked with; the day and its cutoff are the world's, whatever the calendar says."""
    days = {"as_of": world.as_of, "cutoff_on": four_years_before(world.as_of)}
    return {**decision_parameters(_shipped()[1], policy_of(world), Period.parse(world.period)), **days}


def grounds(
    accounts: Sequence[Account],
    world: World,
    *,
    facts: pa.Table | None = None,
    rules: pa.Table | None = None,
    months: pa.Table | None = None,
    needed: pa.Table | None = None,
) -> dict[str, engine.Relation]:
    """Everything that a decision about ``accounts`` rests on; each relation may be given in place of the usual one."""
    if rules is None:
        rules = rules_relation(_shipped()[2].valid_on(world.as_of))
    return {
        "account_facts": account_facts(accounts) if facts is None else facts,
        "clean_up_records": clean_up_records(accounts),
        "coverage": coverage(world) if months is None else months,
        "needed_feeds": needed_feeds(policy_of(world)) if needed is None else needed,
        "program_type_rules": rules,
    }


def run_decisions(accounts: Sequence[Account], world: World = MONTH, **given: pa.Table) -> pa.Table:
    """``derive_account_decisions.sql`` over one month of ``world``; relations may be given as to :func:`grounds`."""
    con = _connection()
    return engine.run_table(con, "derive_account_decisions", grounds(accounts, world, **given), parameters_of(world))


def problems_of(decisions: pa.Table, accounts: Sequence[Account], world: World = MONTH, **given: pa.Table) -> set[str]:
    """What ``check_account_decisions.sql`` finds wrong with ``decisions``, against what is known of ``accounts``."""
    relations = {**grounds(accounts, world, **given), "account_decisions": decisions}
    found = engine.run_table(_connection(), "check_account_decisions", relations, parameters_of(world))
    return set(found["problem"].to_pylist())


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    # Each call replaces its relations, and hundreds of tests share what takes longest: opening a database.
    return engine.connect()


def decisions_of(table: pa.Table) -> list[Decision]:
    names = [field.name for field in fields(Decision)]
    return [Decision(*values) for values in zip(*(table[name].to_pylist() for name in names), strict=True)]


def decide_by_sql(accounts: Sequence[Account], world: World = MONTH, **given: pa.Table) -> list[Decision]:
    return decisions_of(run_decisions(accounts, world, **given))


def changed(table: pa.Table, position: int, **values: object) -> pa.Table:
    """``table`` with other values in one row."""
    rows = table.to_pylist()
    rows[position] |= values
    return pa.Table.from_pylist(rows, schema=table.schema)
