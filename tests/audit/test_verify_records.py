"""Whatever is changed, taken out or put in beside the program is named by its table, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Column, Integer, Table, and_, delete, insert, select, update

from include.audit import Link, append_link
from include.carm.errors import DataError
from include.database import write_transaction
from include.operations_backfill_tables import BACKFILL_APPROVALS
from include.operations_plan_tables import (
    ACCOUNT_CHANGES,
    APPROVALS,
    AUDIT_CHAIN,
    CLOSURE_ANNOUNCEMENTS,
    HOLDS,
    PLAN_MAKERS,
    PLANS,
    REINSTATEMENTS,
    REVIEW_DECISIONS,
)
from include.operations_statement_tables import (
    DOCUMENT_REGISTRY,
    ISSUED_MONTHS,
    MONTH_LOCKS,
    STATEMENT_ACTS,
    STATEMENT_REGISTRY,
)
from include.verify_chain import read_chain, require_head, verify_records
from include.verify_plans import note_register
from include.workspace import Workspace
from tests.audit.world import ACCOUNTS, SECOND, changed, copied_to, rows_of, undo_second_plan

TOLD = (
    PLANS,
    APPROVALS,
    ACCOUNT_CHANGES,
    REINSTATEMENTS,
    HOLDS,
    REVIEW_DECISIONS,
    STATEMENT_REGISTRY,
    ISSUED_MONTHS,
    STATEMENT_ACTS,
    MONTH_LOCKS,
    BACKFILL_APPROVALS,
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def ws(request: pytest.FixtureRequest, made: Workspace) -> Iterator[Workspace]:
    """The world on each database; every test leaves it as it found it."""
    if request.param == "sqlite":
        yield made
        return
    server: str = request.getfixturevalue("postgresql_server")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE audited")
        try:
            yield copied_to(made, server.replace("/postgres?", "/audited?", 1))
        finally:
            connection.execute("DROP DATABASE audited WITH (FORCE)")


def fault(ws: Workspace) -> str | None:
    """What verify says of the records; None where nothing is wrong."""
    with ws.operations.connect() as connection:
        try:
            verify_records(connection, read_chain(connection))
        except DataError as error:
            return str(error)
    return None


def first_row(ws: Workspace, table: Table) -> Any:
    """A condition that the table's first row meets alone."""
    keys = list(table.primary_key.columns)
    row = min(rows_of(ws, table), key=lambda row: [str(row[key.name]) for key in keys])
    return and_(*(key == row[key.name] for key in keys)), row


def another(column: Column[Any], value: Any) -> Any:
    kind = column.type.python_type
    if kind is date:
        return date(2001, 1, 1) if value is None else value + timedelta(days=1)
    if kind is bool:
        return not value
    if kind is int:
        return 7 if value is None else value + 7
    if value is not None and value[:1] in ("{", "["):
        return json.dumps({"other": 1})
    return "other"


def test_the_whole_world_is_sound_and_counted(ws: Workspace) -> None:
    assert fault(ws) is None
    with ws.operations.connect() as connection:
        counts = verify_records(connection, read_chain(connection))
    assert counts == {
        table.name: len(rows_of(ws, table)) for table in (*TOLD, CLOSURE_ANNOUNCEMENTS) if table is not ISSUED_MONTHS
    } | {ACCOUNT_CHANGES.name: 2}
    assert min(counts.values()) > 0


@pytest.mark.parametrize(
    ("table", "column"),
    [(table, column) for table in (*TOLD, PLAN_MAKERS, DOCUMENT_REGISTRY) for column in table.columns],
    ids=lambda part: part.name,
)
def test_a_value_that_was_changed_is_named_by_its_table(ws: Workspace, table: Table, column: Column[Any]) -> None:
    condition, row = first_row(ws, table)
    with changed(ws, table, update(table).where(condition).values({column: another(column, row[column.name])})):
        said = fault(ws)
    assert said is not None
    assert table.name in said
    assert "\n" not in said


@pytest.mark.parametrize("column", list(STATEMENT_REGISTRY.columns), ids=lambda column: column.name)
@pytest.mark.parametrize("version", [2, 3])
def test_a_value_of_a_version_that_an_act_issued_is_named(ws: Workspace, column: Column[Any], version: int) -> None:
    this = STATEMENT_REGISTRY.c.version == version
    (row,) = [row for row in rows_of(ws, STATEMENT_REGISTRY) if row["version"] == version]
    changed_to = {column: another(column, row[column.name])}
    with changed(ws, STATEMENT_REGISTRY, update(STATEMENT_REGISTRY).where(this).values(changed_to)):
        assert STATEMENT_REGISTRY.name in str(fault(ws))
    with changed(ws, STATEMENT_REGISTRY, delete(STATEMENT_REGISTRY).where(this)):
        assert STATEMENT_REGISTRY.name in str(fault(ws))


@pytest.mark.parametrize("mark", ["superseded_by", "withdrawn_by", "act_no"])
def test_a_mark_of_an_act_that_was_made_or_wiped_out_beside_the_program_is_named(ws: Workspace, mark: str) -> None:
    column = STATEMENT_REGISTRY.c[mark]
    for row in rows_of(ws, STATEMENT_REGISTRY)[:6]:
        key = and_(*(name == row[name.name] for name in STATEMENT_REGISTRY.primary_key.columns))
        value = 1 if row[mark] is None else None
        with changed(ws, STATEMENT_REGISTRY, update(STATEMENT_REGISTRY).where(key).values({column: value})):
            assert STATEMENT_REGISTRY.name in str(fault(ws))


@pytest.mark.parametrize("table", [*TOLD, PLAN_MAKERS, DOCUMENT_REGISTRY], ids=lambda table: table.name)
def test_a_row_that_was_taken_out_is_named_by_its_table(ws: Workspace, table: Table) -> None:
    with changed(ws, table, delete(table).where(first_row(ws, table)[0])):
        said = fault(ws)
    assert said is not None
    assert table.name in said


@pytest.mark.parametrize("table", [*TOLD, PLAN_MAKERS, DOCUMENT_REGISTRY], ids=lambda table: table.name)
def test_a_row_that_was_put_in_is_named_by_its_table(ws: Workspace, table: Table) -> None:
    _, row = first_row(ws, table)
    key = next(iter(table.primary_key.columns))
    forged = {**row, key.name: 99 if isinstance(key.type, Integer) else "f" * 64}
    with changed(ws, table, insert(table).values(forged)):
        said = fault(ws)
    assert said is not None
    assert table.name in said


@pytest.mark.parametrize("column", ["bn15", "announced_in", "account_key", "plan_hash"])
def test_an_announcement_that_no_journal_bears_is_named(ws: Workspace, column: str) -> None:
    condition, row = first_row(ws, CLOSURE_ANNOUNCEMENTS)
    value = another(CLOSURE_ANNOUNCEMENTS.c[column], row[column])
    with changed(ws, CLOSURE_ANNOUNCEMENTS, update(CLOSURE_ANNOUNCEMENTS).where(condition).values({column: value})):
        assert CLOSURE_ANNOUNCEMENTS.name in str(fault(ws))
    with changed(ws, CLOSURE_ANNOUNCEMENTS, delete(CLOSURE_ANNOUNCEMENTS).where(condition)):
        assert "lacks an announcement of 2022-01" in str(fault(ws))


def test_an_announcement_that_was_ended_beside_the_program_is_named(ws: Workspace) -> None:
    condition, _ = first_row(ws, CLOSURE_ANNOUNCEMENTS)
    with changed(ws, CLOSURE_ANNOUNCEMENTS, update(CLOSURE_ANNOUNCEMENTS).where(condition).values(cleared_in=SECOND)):
        assert str(fault(ws)).startswith("carm_closure_announcements: when the announcements were made, or ended, is")


def test_a_maker_who_was_not_known_and_got_a_name_beside_the_program_is_named(ws: Workspace) -> None:
    unknown = PLAN_MAKERS.c.maker == "unknown"
    with changed(ws, PLAN_MAKERS, update(PLAN_MAKERS).where(unknown).values(maker="schedule")):
        assert PLAN_MAKERS.name in str(fault(ws))


def test_a_maker_who_was_struck_off_is_named(ws: Workspace) -> None:
    maker = PLAN_MAKERS.c.maker == "clerk"
    for statement in (delete(PLAN_MAKERS).where(maker), update(PLAN_MAKERS).where(maker).values(maker="schedule")):
        with changed(ws, PLAN_MAKERS, statement):
            assert PLAN_MAKERS.name in str(fault(ws))


@pytest.mark.parametrize("number", [1, 5])
def test_a_link_that_was_taken_out_or_changed_is_named(ws: Workspace, number: int) -> None:
    this = AUDIT_CHAIN.c.link_no == number
    with changed(ws, AUDIT_CHAIN, delete(AUDIT_CHAIN).where(this)):
        assert str(fault(ws)).startswith(f"link {number + 1} of the audit chain")
    with changed(ws, AUDIT_CHAIN, update(AUDIT_CHAIN).where(this).values(facts="{}")):
        assert str(fault(ws)).startswith(f"link {number} of the audit chain")


def test_the_end_of_the_chain_cannot_be_cut_off_unseen(ws: Workspace) -> None:
    """The chain itself would hold; what the last link told of has no link any more."""
    last = max(row["link_no"] for row in rows_of(ws, AUDIT_CHAIN))
    with changed(ws, AUDIT_CHAIN, delete(AUDIT_CHAIN).where(AUDIT_CHAIN.c.link_no == last)):
        assert "no link of the audit chain tells that 2022-01 was closed" in str(fault(ws))


def rewritten(rows: list[dict[str, Any]], change: Any) -> list[dict[str, Any]]:
    """All links with ``change`` made to their facts, hashed anew from the first to the last: a forger's work."""
    previous, found = "0" * 64, []
    for row in sorted(rows, key=lambda row: row["link_no"]):
        facts = json.dumps(change(row["event"], json.loads(row["facts"])), sort_keys=True, separators=(",", ":"))
        link = Link(row["link_no"], row["event"], row["subject"], facts, previous, "")
        previous = link.expected_sha256()
        found.append({**row, "facts": facts, "previous_sha256": link.previous_sha256, "sha256": previous})
    return found


def test_a_chain_that_was_hashed_anew_is_told_by_the_head_that_was_printed(ws: Workspace) -> None:
    with ws.operations.connect() as connection:
        head = read_chain(connection).head
        require_head(read_chain(connection), str(head))
        require_head(read_chain(connection), str(head)[:16])
    before = rows_of(ws, AUDIT_CHAIN)

    def rename(event: str, facts: dict[str, Any]) -> dict[str, Any]:
        return facts | {"decided_by": "intruder"} if event == "approval" else facts

    with write_transaction(ws.operations) as connection:
        connection.execute(delete(AUDIT_CHAIN))
        connection.execute(insert(AUDIT_CHAIN), rewritten(before, rename))
    try:
        assert APPROVALS.name in str(fault(ws))
        with ws.operations.connect() as connection, pytest.raises(DataError, match="was written anew"):
            require_head(read_chain(connection), str(head))
    finally:
        with write_transaction(ws.operations) as connection:
            connection.execute(delete(AUDIT_CHAIN))
            connection.execute(insert(AUDIT_CHAIN), before)


def test_an_apply_without_the_approvers_word_is_named(ws: Workspace) -> None:
    """Even where the forger also wrote the chain anew, and the approvals with it."""
    links, answers = rows_of(ws, AUDIT_CHAIN), rows_of(ws, APPROVALS)

    def reject(event: str, facts: dict[str, Any]) -> dict[str, Any]:
        return facts | {"decision": "refused"} if event == "approval" else facts

    with write_transaction(ws.operations) as connection:
        connection.execute(delete(AUDIT_CHAIN))
        connection.execute(insert(AUDIT_CHAIN), rewritten(links, reject))
        connection.execute(update(APPROVALS).values(decision="refused"))
    try:
        assert "was applied, and not on its approver's word" in str(fault(ws))
    finally:
        with write_transaction(ws.operations) as connection:
            for table, rows in ((AUDIT_CHAIN, links), (APPROVALS, answers)):
                connection.execute(delete(table))
                connection.execute(insert(table), rows)


def test_a_link_that_tells_of_what_nobody_began_is_named(ws: Workspace) -> None:
    before = rows_of(ws, AUDIT_CHAIN)
    with write_transaction(ws.operations) as connection:
        append_link(connection, "hold", "000000018RM0001", {"hold_nos": [99], "lifted_from": "2022-02"})
    try:
        assert "tells of something that no link before it began" in str(fault(ws))
    finally:
        with write_transaction(ws.operations) as connection:
            connection.execute(delete(AUDIT_CHAIN))
            connection.execute(insert(AUDIT_CHAIN), before)


def test_an_account_that_another_hand_changed_is_noted_and_no_fault(ws: Workspace) -> None:
    def notes() -> list[str]:
        with ws.operations.connect() as connection:
            return note_register(connection)

    change = next(row for row in rows_of(ws, ACCOUNT_CHANGES) if row["outcome"] == "applied")
    assert notes() == []
    this = and_(ACCOUNTS.c.bn15 == change["bn15"], ACCOUNTS.c.valid_from == change["effective_on"])
    with changed(ws, ACCOUNTS, update(ACCOUNTS).where(this).values(status="other")):
        assert notes() == [
            f"plan {change['plan_hash'][:12]} of {change['period']}: 1 accounts no longer stand in the register as it "
            "left them"
        ]
        assert fault(ws) is None


def test_a_plan_that_was_undone_is_told_by_the_chain(ws: Workspace) -> None:
    tables = (PLANS, REINSTATEMENTS, CLOSURE_ANNOUNCEMENTS, AUDIT_CHAIN, ACCOUNTS)
    before = {table.name: rows_of(ws, table) for table in tables}
    january = next(row for row in before[PLANS.name] if row["period"] == "2022-01" and row["effects"] == "live")
    try:
        undone = undo_second_plan(ws, january["plan_hash"])
        assert undone["withdrawn"] > 0
        assert fault(ws) is None
        with changed(ws, PLANS, update(PLANS).where(PLANS.c.state == "undone").values(state="applied")):
            assert f"{PLANS.name}, row {january['plan_hash'][:12]} live: state is not what" in str(fault(ws))
        if undone["undone"]:
            row = REINSTATEMENTS.c.plan_hash == january["plan_hash"]
            first = select(REINSTATEMENTS.c.reinstatement_no).where(row).limit(1).scalar_subquery()
            this = REINSTATEMENTS.c.reinstatement_no == first
            with changed(ws, REINSTATEMENTS, update(REINSTATEMENTS).where(this).values(recorded_by="intruder")):
                assert REINSTATEMENTS.name in str(fault(ws))
    finally:
        with write_transaction(ws.operations) as connection:
            for table in tables:
                connection.execute(delete(table))
                if before[table.name]:
                    connection.execute(insert(table), before[table.name])
