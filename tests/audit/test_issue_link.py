"""An issued month and its link stand in one transaction: neither is there without the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from include.audit import Link, read_links
from include.database import write_transaction
from include.operations_statement_tables import ISSUED_MONTHS
from include.statement_registry import issue_facts
from tests.statements.ledger import posting
from tests.statements.months import SealedMonth


@pytest.fixture
def live(tmp_path: Path, database_url: str) -> SealedMonth:
    month = SealedMonth(tmp_path / "data", apply_url=database_url, effects="live")
    return month.seal([posting(12_345)])


def links(month: SealedMonth) -> list[Link]:
    with month.ws.operations.connect() as connection:
        return list(read_links(connection))


def test_an_issued_month_is_linked_once_with_what_its_registry_holds(live: SealedMonth) -> None:
    issued = live.run()
    assert live.run()["newly_issued"] == 0
    (link,) = links(live)
    assert (link.event, link.subject) == ("issue", "2021-12")
    facts = json.loads(link.facts)
    with live.ws.operations.connect() as connection:
        assert facts == issue_facts(connection, "2021-12")
    assert {
        "period": "2021-12",
        "issued_on": "2021-12-25",
        "statements": 1,
        "statements_sha256": issued["sha256"],
        "run_id": "manual__2021-12",
    } == {name: value for name, value in facts.items() if name not in ("registry_sha256", "documents_sha256")}


def test_a_shadow_month_is_not_linked(live: SealedMonth) -> None:
    live.facts["effects"] = "shadow"
    live.run()
    assert links(live) == []


def test_a_month_whose_link_cannot_be_written_is_not_issued(tmp_path: Path, sqlite_url: str) -> None:
    month = SealedMonth(tmp_path / "data", apply_url=sqlite_url, effects="live").seal([posting(12_345)])
    with write_transaction(month.ws.operations) as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON carm_audit_chain BEGIN SELECT RAISE(ABORT, 'no more links'); END"
        )
    with pytest.raises(Exception, match="no more links"):
        month.run()
    with month.ws.operations.connect() as connection:
        assert connection.execute(ISSUED_MONTHS.select()).all() == []
    assert not month.ws.lake().has("statements", month.period)
