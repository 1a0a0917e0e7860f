"""What the first release recorded, before there was a chain, is adopted once and proved from then on."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import insert, text, update

from include.audit import append_link, read_links
from include.carm.errors import DataError
from include.database import connect_engine, write_transaction
from include.operations import migrate
from include.operations_plan_tables import PLANS
from include.operations_statement_tables import ISSUED_MONTHS, STATEMENT_REGISTRY
from include.verify_chain import read_chain, verify_records

OLD_PLAN = (
    "INSERT INTO carm_plans (plan_hash, effects, period, as_of, effective_on, state, reason, open_accounts, changes,"
    " counts, rules_version, policy_version, run_id) VALUES ('aaaa', 'live', '2021-12', '2021-12-24', '2021-12-25',"
    " 'applied', 'a reason', 10, 1, '{}', 'r', 'p', 'run')"
)
OLD_CHANGE = (
    "INSERT INTO carm_account_changes (plan_hash, bn15, account_key, period, effective_on, action, rule_id, reason,"
    " valid_from, program_type, old_version, outcome, run_id) VALUES ('aaaa', '000000018RM0001', 180001, '2021-12',"
    " '2021-12-25', 'close', 'importer_none', 'no_activity_4_years', '2005-06-01', 'importer', '{}', 'applied', 'run')"
)
ISSUED = {"period": "2021-12", "issued_on": "2021-12-25", "statements": 1, "statements_sha256": "s", "run_id": "run"}
STATEMENT = {
    "period": "2021-12",
    "bn15": "000000018RM0001",
    "version": 1,
    "document_sha256": "d",
    "template_version": "t",
}


def links(url: str) -> list[tuple[str, str]]:
    with connect_engine(url).connect() as connection:
        return [(link.event, link.subject) for link in read_links(connection)]


def test_records_of_the_first_release_are_adopted_once(database_url: str) -> None:
    migrate(database_url, revision="0001")
    engine = connect_engine(database_url)
    with write_transaction(engine) as connection:
        for statement in (OLD_PLAN, OLD_CHANGE):
            connection.execute(text(statement))
        connection.execute(insert(ISSUED_MONTHS).values(ISSUED))
        connection.execute(insert(STATEMENT_REGISTRY).values(STATEMENT))
    migrate(database_url)
    migrate(database_url)
    assert links(database_url) == [("adoption", "first release"), ("issue", "2021-12"), ("close", "2021-12")]
    with engine.connect() as connection:
        assert json.loads(next(read_links(connection)).facts) == {"plans": ["aaaa"]}
        assert verify_records(connection, read_chain(connection))["carm_statements"] == 1
    # What becomes of a plan that no link began is told by links all the same, and is no fault.
    with write_transaction(engine) as connection:
        facts = {"undone": 0, "withdrawn": 1, "reinstatements": [], "effects": "live"}
        append_link(connection, "reinstatement", "aaaa", facts)
        connection.execute(update(PLANS).values(state="undone"))
    with engine.connect() as connection:
        verify_records(connection, read_chain(connection))
    with write_transaction(engine) as connection:
        connection.execute(update(STATEMENT_REGISTRY).values(document_sha256="other"))
    with engine.connect() as connection, pytest.raises(DataError, match="carm_statements, 2021-12"):
        verify_records(connection, read_chain(connection))


@pytest.mark.parametrize("revision", [None, "0001"])
def test_an_empty_database_has_nothing_to_adopt(database_url: str, revision: str | None) -> None:
    if revision:
        migrate(database_url, revision=revision)
    migrate(database_url)
    assert links(database_url) == []
