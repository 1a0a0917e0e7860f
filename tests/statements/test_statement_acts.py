"""Restated, withdrawn, issued late: what each act leaves, what it refuses, and what nothing can change any more."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import delete, select, update

from include import statement_acts
from include.carm.errors import CarmError, DataError, Refused, UsageError
from include.carm.period import Period
from include.database import write_transaction
from include.documents import read_documents, write_pack
from include.month_locks import lock_month_for_good
from include.operations import migrate
from include.operations_plan_tables import AUDIT_CHAIN
from include.operations_statement_tables import STATEMENT_ACTS
from include.source_schema import TABLES
from include.statement_acts import Order, issue_parked, perform, restate, withdraw
from include.statement_reader import read_statement
from include.statement_rendering import OBJECTS_NAME
from include.statement_versions import reissue_pack
from include.verify import verify
from include.workspace import Workspace
from tests.pipeline import hashes, run_month
from tests.statements.acts import (
    DECEMBER,
    JANUARY,
    ORDER,
    later,
    mend,
    parked_account,
    registry,
    rename,
    statement_accounts,
)


@pytest.mark.parametrize("period", [DECEMBER, JANUARY])
def test_a_restatement_is_a_further_version_that_says_what_changed_and_leaves_the_first_as_it_was(
    ws: Workspace, period: Period
) -> None:
    bn15 = statement_accounts(ws, period)[0]
    first = {format: read_statement(ws, period, bn15, format) for format in ("html", "csv", "json")}
    rename(ws, bn15, legal_name="Put Right Imports Ltd.", language="fr")

    outcome = restate(ws, period, bn15, ORDER)

    assert outcome == {
        "act_no": 1,
        "act": "restate",
        "period": str(period),
        "bn15": bn15,
        "version": 2,
        "changed": ["legal_name", "language"],
    }
    one, two = registry(ws, period, bn15)
    assert (one.superseded_by, two.superseded_by, two.act_no) == (2, None, 1)
    assert {format: read_statement(ws, period, bn15, format, version=1) for format in first} == first
    page = read_statement(ws, period, bn15).decode()
    assert "Put Right Imports Ltd." in page
    assert 'lang="fr"' in page
    assert "rectifié, version 2" in page
    assert f"Il remplace la version 1, émise le {ws.calendar.issued_on(period)}" in page
    assert "nom du titulaire du compte, langue" in page
    assert "le nom avait été mal consigné" in page
    before, after = json.loads(first["json"]), json.loads(read_statement(ws, period, bn15, "json"))
    assert {name for name in before if before[name] != after[name]} == {"version", "legal_name", "language"}
    assert read_statement(ws, period, bn15, "pdf").startswith(b"%PDF")
    assert hashlib.sha256(read_statement(ws, period, bn15)).hexdigest() == two.document_sha256
    facts = verify(ws)
    assert facts["records"]["carm_statement_acts"] == 1


def test_a_second_restatement_replaces_the_first_and_every_version_stays_to_be_read(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    for number, name in enumerate(("Second Ltd.", "Third Ltd."), start=2):
        rename(ws, bn15, legal_name=name)
        assert restate(ws, DECEMBER, bn15, ORDER)["version"] == number

    assert [row.superseded_by for row in registry(ws, DECEMBER, bn15)] == [2, 3, None]
    names = [json.loads(read_statement(ws, DECEMBER, bn15, "json", version=n))["legal_name"] for n in (1, 2, 3)]
    assert names[1:] == ["Second Ltd.", "Third Ltd."]
    assert b"It replaces version 2, issued on 2022-02-01" in read_statement(ws, DECEMBER, bn15)
    versions = pq.read_table(ws.lake().file("statement_versions", DECEMBER), partitioning=None).to_pylist()
    assert [(row["version"], row["act_no"]) for row in versions] == [(2, 1), (3, 2)]
    assert [row["closing_cents"] for row in versions] == [versions[0]["closing_cents"]] * 2
    with pytest.raises(DataError, match="has no version 4: there are 1 to 3"):
        read_statement(ws, DECEMBER, bn15, version=4)
    verify(ws)


def test_a_deferred_due_date_is_restated_with_all_that_hangs_on_it(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    deferred = later(ws, DECEMBER, date(2022, 1, 7))

    assert restate(deferred, DECEMBER, bn15, ORDER)["changed"] == ["due_on"]

    page = read_statement(ws, DECEMBER, bn15).decode()
    assert "<dd>2022-01-07</dd>" in page


def test_what_the_source_says_today_of_money_does_not_come_into_a_restatement(ws: Workspace) -> None:
    """A posting that is edited belongs to the open month: the extract of an issued one is for ever."""
    bn15 = statement_accounts(ws, JANUARY)[0]
    transactions = TABLES["transactions"]
    with write_transaction(ws.source) as connection:
        edited = update(transactions).where(transactions.c.bn15 == bn15)
        connection.execute(edited.values(amount_cents=transactions.c.amount_cents + 100))

    with pytest.raises(Refused, match="nothing of the statement of"):
        restate(ws, JANUARY, bn15, ORDER)
    assert len(registry(ws, JANUARY, bn15)) == 1


def test_the_last_issued_month_is_restated_with_what_the_tables_make_of_it_now(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pq.read_table(ws.lake().file("statements", JANUARY)).to_pylist()
    overdue = next(row["bn15"] for row in rows if (row["calculated_interest_cents"] or 0) > 0)
    before = json.loads(read_statement(ws, JANUARY, overdue, "json"))
    # The demo world's invented rates are not to be had any more.
    monkeypatch.setattr("include.statements.demo_world", lambda engine: None)

    assert restate(ws, JANUARY, overdue, ORDER)["changed"] == ["interest"]

    after = json.loads(read_statement(ws, JANUARY, overdue, "json"))
    assert after["calculated_interest_cents"] is None
    assert after["missing_rate_quarter"]
    money = ("opening_cents", "debits_cents", "credits_cents", "closing_cents", "total_payable_cents", "lines")
    assert {name: after[name] for name in money} == {name: before[name] for name in money}
    # Of an older month what the tables say today is not asked.
    older = next(
        row["bn15"]
        for row in pq.read_table(ws.lake().file("statements", DECEMBER)).to_pylist()
        if (row["calculated_interest_cents"] or 0) > 0
    )
    with pytest.raises(Refused, match="nothing of the statement"):
        restate(ws, DECEMBER, older, ORDER)
    verify(ws)


@pytest.mark.parametrize("lost", ["amount_cents", "transaction_id"])
def test_a_restatement_that_would_move_money_is_stopped(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    bn15 = statement_accounts(ws, JANUARY)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    derive = statement_acts.derive_statement

    def faulty(*given: Any, **named: Any) -> Any:
        statement = derive(*given, **named)
        first = statement.lines[0]
        return statement._replace(lines=(first._replace(**{lost: getattr(first, lost) * 2}), *statement.lines[1:]))

    monkeypatch.setattr(statement_acts, "derive_statement", faulty)
    with pytest.raises(DataError, match="would come out with other balances"):
        restate(ws, JANUARY, bn15, ORDER)
    assert len(registry(ws, JANUARY, bn15)) == 1


def test_the_next_month_opens_with_the_balance_that_was_restated(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, JANUARY)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    restate(ws, JANUARY, bn15, ORDER)
    again = run_month(ws, str(JANUARY), effects="live", run_id="manual again")
    assert again["result"] == "unchanged"
    assert b"Put Right Imports Ltd." in read_statement(ws, JANUARY, bn15)
    verify(ws)


@pytest.mark.parametrize("name", ["restate", "withdraw"])
def test_a_run_does_its_act_once_whatever_the_register_says_when_it_is_cleared(ws: Workspace, name: str) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    done = perform(ws, name, DECEMBER, bn15, ORDER)

    rename(ws, bn15, legal_name="Renamed Since Ltd.")
    assert perform(ws, name, DECEMBER, f"{bn15[:9]} {bn15[9:]}", ORDER) == done

    with ws.operations.connect() as connection:
        assert len(connection.execute(select(STATEMENT_ACTS)).all()) == 1
    another = replace(ORDER, run_id="manual another")
    assert perform(ws, "restate", DECEMBER, bn15, another)["act_no"] == 2


def test_an_act_or_a_lock_may_be_the_first_that_a_new_release_does(tmp_path: Path) -> None:
    for name in ("act", "lock"):
        ws = Workspace.open(tmp_path / name)
        migrate(ws.apply_url, revision="0002")
        if name == "lock":
            assert lock_month_for_good(ws, DECEMBER, reason="closed", recorded_by="clerk")["is_new"]
        else:
            with pytest.raises(Refused, match="2021-12 is not issued"):
                perform(ws, "restate", DECEMBER, "000000018RM0001", ORDER)


def test_an_act_before_the_month_is_closed_and_another_after_it_leave_it_closed(ws: Workspace) -> None:
    """A run may die after it issued its month and before it closed it."""
    one, two = statement_accounts(ws, JANUARY)[:2]
    for bn15 in (one, two):
        rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    with write_transaction(ws.operations) as connection:
        connection.execute(
            delete(AUDIT_CHAIN).where(AUDIT_CHAIN.c.event == "close", AUDIT_CHAIN.c.subject == "2022-01")
        )
    restate(ws, JANUARY, one, ORDER)
    # It completes the month, which no longer tells of the version that was replaced before its message went out.
    completed = run_month(ws, str(JANUARY), effects="live", run_id="manual close")
    assert (completed["area"], completed["changed_files"]) == ("lake", ["notices"])

    restate(ws, JANUARY, two, ORDER)

    assert run_month(ws, str(JANUARY), effects="live", run_id="manual again")["result"] == "unchanged"


def test_a_withdrawn_statement_is_shown_only_to_who_asks_for_it(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    issued = read_statement(ws, DECEMBER, bn15)

    assert withdraw(ws, DECEMBER, bn15, ORDER)["version"] == 1

    with pytest.raises(Refused, match=f"version 1 of the statement of {bn15} for 2021-12 was withdrawn on 2022-02-01"):
        read_statement(ws, DECEMBER, bn15)
    assert read_statement(ws, DECEMBER, bn15, version=1) == issued
    with pytest.raises(Refused, match="is withdrawn already"):
        withdraw(ws, DECEMBER, bn15, ORDER)
    verify(ws)
    # A withdrawal by mistake is put right by a version that says the same.
    assert restate(ws, DECEMBER, bn15, ORDER) | {"act_no": 0} == {
        "act_no": 0,
        "act": "restate",
        "period": "2021-12",
        "bn15": bn15,
        "version": 2,
        "changed": [],
    }
    assert b"What changed" not in read_statement(ws, DECEMBER, bn15)
    with pytest.raises(Refused, match="nothing of the statement"):
        restate(ws, DECEMBER, bn15, ORDER)
    # What was withdrawn may be issued anew, rightly.
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    assert restate(ws, DECEMBER, bn15, ORDER)["version"] == 3
    assert b"Put Right Imports Ltd." in read_statement(ws, DECEMBER, bn15)
    verify(ws)


def test_what_cannot_be_is_refused_and_leaves_nothing(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    before = hashes(ws.data / "documents") | hashes(ws.data / "lake")
    early = replace(ORDER, acted_on=date(2021, 12, 24))
    late = replace(ORDER, acted_on=date(2122, 2, 1))
    refusals: list[tuple[type[CarmError], str, Any]] = [
        (UsageError, "is before 2021-12-25", lambda: restate(ws, DECEMBER, bn15, early)),
        (UsageError, "lies beyond", lambda: withdraw(ws, DECEMBER, bn15, late)),
        (UsageError, "is not a BN15", lambda: restate(ws, DECEMBER, "123456789RM0001", ORDER)),
        (DataError, "has no statement", lambda: restate(ws, DECEMBER, "000000018RM0099", ORDER)),
        (Refused, "is not issued", lambda: restate(ws, JANUARY.next(), bn15, ORDER)),
        (Refused, "is not parked", lambda: issue_parked(ws, DECEMBER, bn15, ORDER)),
    ]
    for error, message, act in refusals:
        with pytest.raises(error, match=message):
            act()
    for words in ("", " ", "a\x1b[31m", "x" * 501):
        with pytest.raises(UsageError):
            Order.of(words, "pourquoi", ORDER.acted_on, "clerk", "run")
        with pytest.raises(UsageError):
            Order.of("why", words, ORDER.acted_on, "clerk", "run")

    assert hashes(ws.data / "documents") | hashes(ws.data / "lake") == before
    with ws.operations.connect() as connection:
        assert connection.execute(select(STATEMENT_ACTS)).all() == []


def test_who_dies_between_the_pack_and_the_record_leaves_nothing_that_counts(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    first = read_statement(ws, DECEMBER, bn15)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(statement_acts, "append_link", die)
        with pytest.raises(KeyboardInterrupt):
            restate(ws, DECEMBER, bn15, ORDER)
    assert read_statement(ws, DECEMBER, bn15) == first
    verify(ws)
    assert restate(ws, DECEMBER, bn15, ORDER)["act_no"] == 1
    verify(ws)


@pytest.mark.parametrize("format", ["html", "csv", "json", "pdf"])
def test_a_document_that_an_act_issued_cannot_be_exchanged(ws: Workspace, format: str) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    restate(ws, DECEMBER, bn15, ORDER)
    pack = reissue_pack(ws, DECEMBER, 1)
    name = f"{bn15}.{format}"
    forged = [
        (member, content.replace(b"Put Right", b"Put Wrong") + b" x" if member == name else content)
        for member, content in read_documents(pack)
    ]
    write_pack(pack, forged)

    with pytest.raises(DataError, match="is not version 2 as it was issued"):
        read_statement(ws, DECEMBER, bn15, format)
    with pytest.raises(DataError, match="is not version 2 as it was issued"):
        verify(ws)


def test_nothing_is_put_beside_the_documents_that_an_act_issued(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    restate(ws, DECEMBER, bn15, ORDER)
    pack = reissue_pack(ws, DECEMBER, 1)
    write_pack(pack, [*read_documents(pack), ("Z.html", b"never issued")])

    with pytest.raises(DataError, match="is not the pack that act 1 issued"):
        verify(ws)


def test_the_list_of_objects_in_a_pack_is_proved(ws: Workspace) -> None:
    (pack,) = (ws.documents() / "soa" / "period=2021-12").glob("statements-*.zip")
    forged = [
        (name, content[:1].translate(bytes.maketrans(b"0123456789abcdef", b"123456789abcdef0")) + content[1:])
        if name == OBJECTS_NAME
        else (name, content)
        for name, content in read_documents(pack)
    ]
    write_pack(pack, forged)
    with pytest.raises(DataError, match=r"OBJECTS in statements-0001\.zip of 2021-12 does not list"):
        verify(ws)


def test_a_version_of_a_statement_that_was_never_issued_is_told_as_such(ws: Workspace) -> None:
    with pytest.raises(DataError, match="it is parked"):
        read_statement(ws, JANUARY, parked_account(ws), version=1)
    with pytest.raises(DataError, match="has no statement for 2021-12"):
        read_statement(ws, DECEMBER, "000000018RM0099", version=1)


def test_a_parked_account_gets_its_statement_late_once_the_register_is_right(ws: Workspace) -> None:
    bn15 = parked_account(ws)
    with pytest.raises(DataError, match="it is parked"):
        read_statement(ws, JANUARY, bn15)
    with pytest.raises(DataError, match="the register has no version of account"):
        issue_parked(ws, JANUARY, bn15, ORDER)
    for act in (restate, withdraw):
        with pytest.raises(DataError, match="it is parked"):
            act(ws, JANUARY, bn15, ORDER)
    mend(ws, bn15)
    closing = json.loads(read_statement(ws, DECEMBER, bn15, "json"))["closing_cents"]

    assert issue_parked(ws, JANUARY, bn15, ORDER)["version"] == 1

    issued = json.loads(read_statement(ws, JANUARY, bn15, "json"))
    assert issued["opening_cents"] == closing
    assert issued["reissue"]["replaces"] is None
    page = read_statement(ws, JANUARY, bn15).decode()
    assert "late" in page or "retard" in page
    with pytest.raises(Refused, match="was issued already"):
        issue_parked(ws, JANUARY, bn15, ORDER)
    # The month itself comes out as it was issued.
    assert run_month(ws, str(JANUARY), effects="live", run_id="manual again")["result"] == "unchanged"
    verify(ws)
    # What was issued late can be restated as any other.
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    assert restate(ws, JANUARY, bn15, ORDER)["version"] == 2
    verify(ws)


@pytest.mark.parametrize("damage", ["gone", "another month", "no file of Parquet"])
def test_an_object_is_read_only_where_the_lake_still_holds_it(ws: Workspace, damage: str) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    path = ws.lake().path("statement_lines", DECEMBER)
    page = read_statement(ws, DECEMBER, bn15)
    path.unlink()
    if damage == "another month":
        shutil.copy(ws.lake().path("statement_lines", JANUARY), path)
    elif damage == "no file of Parquet":
        path.write_text("nothing")

    with pytest.raises(DataError, match="is not what its lines in the lake make of it"):
        read_statement(ws, DECEMBER, bn15, "json")
    # What was rendered is read from its pack, and proved by the registry.
    assert read_statement(ws, DECEMBER, bn15) == page
