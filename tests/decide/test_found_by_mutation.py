"""What no test held before mutants of the decision were made (see docs/mutation-testing.md)."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from include.coverage import needed_feeds
from include.program_type_rules import RuleTable, rules_relation
from tests.decide.accounts import AS_OF, MONTH, an_account, decide_by_sql, policy_of, run_decisions
from tests.decide.cells import CELLS, CHANGES, account_in
from tests.decide.oracle import Account

NEEDED = needed_feeds(policy_of(MONTH))


# What a change needs must be written down: where it is not, nothing is covered.


@pytest.mark.parametrize("cell", CHANGES)
def test_a_type_of_which_nobody_says_what_its_changes_need_does_not_change(cell: tuple[str, str]) -> None:
    others = NEEDED.filter(pa.compute.not_equal(NEEDED["program_type"], cell[0]))
    (decision,) = decide_by_sql([account_in(*cell)], needed=others)
    assert ("unknown", "coverage_incomplete", None) == (decision.action, decision.reason, decision.new_program_type)


def test_a_type_of_which_it_is_said_changes_beside_one_of_which_it_is_not() -> None:
    importers = NEEDED.filter(pa.compute.equal(NEEDED["program_type"], "importer"))
    accounts = [account_in("importer", "none"), account_in("dual", "none")]
    assert ["close", "unknown"] == [decision.action for decision in decide_by_sql(accounts, needed=importers)]


def test_where_nobody_says_what_any_change_needs_the_absence_of_activity_is_not_told() -> None:
    accounts = [account_in("importer", "none"), an_account(program_type="broker")]
    assert ["unknown", "unknown"] == [d.activity_seen for d in decide_by_sql(accounts, needed=NEEDED.slice(0, 0))]


# The rule table refuses a new type beside another action; if one stood there all the same, nobody would get it.


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell not in CHANGES])
def test_a_new_type_beside_another_action_is_not_proposed(cell: tuple[str, str]) -> None:
    rules = RuleTable.load().valid_on(AS_OF)
    changed = [replace(rule, new_program_type="exporter") if rule.cell == cell else rule for rule in rules]
    account: Account = account_in(*cell, has_open_quarantine=cell[1] == "unknown")
    (row,) = run_decisions([account], rules=rules_relation(changed)).to_pylist()
    assert (f"{cell[0]}_{cell[1]}", None, None) == (
        row["rule_id"],
        row["proposed_program_type"],
        row["new_program_type"],
    )
