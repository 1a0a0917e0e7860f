"""Restated, withdrawn, issued late: what each act leaves, what it refuses, and what nothing can change any more."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import delete, func, insert, select, update

from include import statement_acts
from include.airflow_records import Answer
from include.carm.calendar import Calendar
from include.carm.errors import CarmError, DataError, Refused, UsageError
from include.carm.period import Period
from include.cli import carm
from include.database import write_transaction
from include.demo import fill_demo
from include.documents import read_documents, write_pack
from include.known import known_now, known_then
from include.month_locks import lock_month_for_good, unlock_month
from include.operations import migrate
from include.operations_plan_tables import AUDIT_CHAIN
from include.operations_statement_tables import STATEMENT_ACTS, STATEMENT_REGISTRY
from include.source_schema import TABLES
from include.statement_act_notices import publish_act_notices
from include.statement_acts import Order, issue_parked, perform, restate, withdraw
from include.statement_reader import read_statement
from include.statement_rendering import OBJECTS_NAME
from include.statement_versions import reissue_pack
from include.verify import verify
from include.workspace import Workspace
from tests.pipeline import extract_only, hashes, new_workspace, run_month

DECEMBER, JANUARY = Period.parse("2021-12"), Period.parse("2022-01")
ACCOUNTS = TABLES["accounts"]
ORDER = Order.of(
    "the name was recorded wrongly", "le nom avait été mal consigné", date(2022, 2, 1), "clerk", "manual restate"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A demo world with two live months, made once."""
    ws = new_workspace(tmp_path_factory.mktemp("acts") / "data")
    fill_demo(ws.source, accounts=120, months=51, seed=7, last_period=str(JANUARY))
    run_month(ws, str(DECEMBER), effects="live", run_id="manual december")
    _overlap(ws, _in_debt(ws))
    _post_late(ws, statement_accounts(ws, DECEMBER)[4:6])
    run_month(ws, str(JANUARY), effects="live", run_id="manual january")
    return ws


def _in_debt(ws: Workspace) -> str:
    rows = pq.read_table(ws.lake().file("statements", DECEMBER)).to_pylist()
    return next(row["bn15"] for row in reversed(rows) if row["closing_cents"] > 0)


def _overlap(ws: Workspace, bn15: str) -> None:
    """A second version of the account that holds on the same days: nobody can tell which one is right."""
    with write_transaction(ws.source) as connection:
        current = select(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15, ACCOUNTS.c.valid_to.is_(None))
        row = dict(connection.execute(current).mappings().one())
        connection.execute(insert(ACCOUNTS).values({**row, "valid_from": row["valid_from"] + timedelta(days=1)}))


def _post_late(ws: Workspace, accounts: Sequence[str]) -> None:
    """Postings of December that the source gets to know only after December was issued."""
    transactions = TABLES["transactions"]
    with write_transaction(ws.source) as connection:
        rows = connection.execute(select(transactions).where(transactions.c.kind == "PMT").limit(len(accounts)))
        late = [
            {
                **row,
                "transaction_id": f"LATE{number}",
                "transaction_number": f"1111100000000{number}",
                "bn15": bn15,
                "activity_on": date(2021, 12, 10),
                "posted_on": date(2021, 12, 10),
                "amount_cents": -5_000 - number,
                "status": "accepted",
            }
            for number, (bn15, row) in enumerate(zip(accounts, rows.mappings(), strict=True))
        ]
        connection.execute(insert(transactions), late)


def _mend(ws: Workspace, bn15: str) -> None:
    with write_transaction(ws.source) as connection:
        newest = select(func.max(ACCOUNTS.c.valid_from)).where(ACCOUNTS.c.bn15 == bn15).scalar_subquery()
        connection.execute(delete(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15, ACCOUNTS.c.valid_from == newest))


def _parked(ws: Workspace) -> str:
    (row,) = pq.read_table(ws.lake().file("parked", JANUARY)).to_pylist()
    return str(row["bn15"])


@pytest.fixture
def ws(made: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(made.data, tmp_path / "data")
    return Workspace.open(tmp_path / "data")


def statement_accounts(ws: Workspace, period: Period) -> list[str]:
    rows = pq.read_table(ws.lake().file("statements", period), columns=["bn15", "line_count", "language"])
    return [row["bn15"] for row in rows.to_pylist() if row["line_count"] and row["language"] == "en"]


def rename(ws: Workspace, bn15: str, **values: Any) -> None:
    """The register is put right, in every version of the account."""
    with write_transaction(ws.source) as connection:
        connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.bn15 == bn15).values(values))


def registry(ws: Workspace, period: Period, bn15: str) -> list[Any]:
    where = (STATEMENT_REGISTRY.c.period == str(period)) & (STATEMENT_REGISTRY.c.bn15 == bn15)
    with ws.operations.connect() as connection:
        return list(connection.execute(select(STATEMENT_REGISTRY).where(where).order_by(STATEMENT_REGISTRY.c.version)))


def later(ws: Workspace, period: Period, day: date) -> Workspace:
    """The same place with another due date of a month, as the dated table would give it."""

    class Deferred(Calendar):
        def due_on(self, asked: Period) -> date:
            return day if asked == period else super().due_on(asked)

    return replace(ws, calendar=Deferred(**vars(ws.calendar)))


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
    assert run_month(ws, str(JANUARY), effects="live", run_id="manual close")["result"] == "unchanged"

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


def test_nothing_of_a_locked_month_is_restated_withdrawn_or_issued(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    assert lock_month_for_good(ws, DECEMBER, reason="the books are closed", recorded_by="clerk")["is_new"]
    assert not lock_month_for_good(ws, DECEMBER, reason="again", recorded_by="clerk")["is_new"]

    for act in (restate, withdraw, issue_parked):
        with pytest.raises(Refused, match="2021-12 is locked"):
            act(ws, DECEMBER, bn15, ORDER)
    # The other months are free.
    assert restate(ws, JANUARY, bn15, ORDER)["version"] == 2
    verify(ws)


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
        read_statement(ws, JANUARY, _parked(ws), version=1)
    with pytest.raises(DataError, match="has no statement for 2021-12"):
        read_statement(ws, DECEMBER, "000000018RM0099", version=1)


def test_a_parked_account_gets_its_statement_late_once_the_register_is_right(ws: Workspace) -> None:
    bn15 = _parked(ws)
    with pytest.raises(DataError, match="it is parked"):
        read_statement(ws, JANUARY, bn15)
    with pytest.raises(DataError, match="the register has no version of account"):
        issue_parked(ws, JANUARY, bn15, ORDER)
    for act in (restate, withdraw):
        with pytest.raises(DataError, match="it is parked"):
            act(ws, JANUARY, bn15, ORDER)
    _mend(ws, bn15)
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


# Locks, notices, and what is known then and now


def answer(by: str, chosen: str = "Approve") -> Answer:
    return Answer(chosen=chosen, by=by, at="2022-02-01T12:00:00Z")


def test_a_month_is_unlocked_by_two_persons_and_locked_again_by_one(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    asked = {"reason": "the name is wrong", "asked_by": "clerk", "also_asked_by": ("helper",), "run_id": "unlock"}
    with pytest.raises(Refused, match="2021-12 is not locked"):
        unlock_month(ws, DECEMBER, answer("checker"), **asked)
    lock_month_for_good(ws, DECEMBER, reason="the books are closed", recorded_by="clerk")
    for given, message in (
        (None, "nobody answered"),
        (answer("checker", "Reject"), "checker said no"),
        (answer("CLERK "), "asked for it, so another person"),
        (answer("helper"), "asked for it, so another person"),
        (answer("unknown"), "is not known"),
    ):
        with pytest.raises(Refused, match=message):
            unlock_month(ws, DECEMBER, given, **asked)
        with pytest.raises(Refused, match="is locked"):
            restate(ws, DECEMBER, bn15, ORDER)

    assert unlock_month(ws, DECEMBER, answer("checker"), **asked)["approved_by"] == "checker"

    assert restate(ws, DECEMBER, bn15, ORDER)["version"] == 2
    lock_month_for_good(ws, DECEMBER, reason="closed again", recorded_by="clerk")
    with pytest.raises(Refused, match="closed again, by clerk"):
        restate(ws, DECEMBER, bn15, ORDER)
    assert verify(ws)["records"]["carm_month_locks"] == 3


def test_an_answer_unlocks_once_and_a_run_that_unlocked_already_says_so(ws: Workspace) -> None:
    asked = {"reason": "the name is wrong", "asked_by": "clerk", "also_asked_by": (), "run_id": "unlock"}
    lock_month_for_good(ws, DECEMBER, reason="the books are closed", recorded_by="clerk")
    first = unlock_month(ws, DECEMBER, answer("checker"), **asked)

    # Its worker died before it could say so, or somebody cleared it.
    assert unlock_month(ws, DECEMBER, answer("checker"), **asked) == first

    lock_month_for_good(ws, DECEMBER, reason="closed again", recorded_by="clerk")
    with pytest.raises(Refused, match="2021-12 stays locked: an answer counts once"):
        unlock_month(ws, DECEMBER, answer("checker"), **asked)
    assert unlock_month(ws, DECEMBER, answer("checker"), **{**asked, "run_id": "unlock 2"})["lock_no"] == 4
    verify(ws)


def test_a_run_that_would_fill_in_a_locked_month_is_refused(ws: Workspace) -> None:
    coming, transactions = JANUARY.next(), TABLES["transactions"]
    with write_transaction(ws.source) as connection:
        row = dict(connection.execute(select(transactions).limit(1)).mappings().one())
        days = {"M1": date(2022, 2, 3), "M2": date(2022, 3, 1)}
        connection.execute(
            insert(transactions),
            [{**row, "transaction_id": name, "activity_on": day, "posted_on": day} for name, day in days.items()],
        )
    lock_month_for_good(ws, coming, reason="closed", recorded_by="clerk")
    with pytest.raises(Refused, match=f"{coming} is locked"):
        extract_only(ws, str(coming.next()))
    assert not ws.lake().has("transactions", coming)


def test_a_locked_month_that_is_not_issued_is_not_extracted_and_an_issued_one_runs_in_shadow(ws: Workspace) -> None:
    coming = JANUARY.next()
    for period in (JANUARY, coming):
        lock_month_for_good(ws, period, reason="closed", recorded_by="clerk")
    with pytest.raises(Refused, match=f"{coming} is locked"):
        run_month(ws, str(coming), effects="shadow")
    assert run_month(ws, str(JANUARY), effects="shadow")["area"] == "shadow"


def test_each_act_has_its_notice_without_an_amount_and_a_further_act_changes_none(ws: Workspace) -> None:
    one, two = statement_accounts(ws, DECEMBER)[:2]
    rename(ws, one, legal_name="Put Right Imports Ltd.", email="one@example.org")
    rename(ws, two, email=None)
    tell = {"recipient_hash_key": "a key for tests only, long enough", "run_id": "manual restate"}
    restate(ws, DECEMBER, one, ORDER)
    first = publish_act_notices(ws, DECEMBER, **tell)
    assert (first["notices"], first["unreachable"]) == (1, {"statement": {}})
    assert publish_act_notices(ws, DECEMBER, **tell)["sha256"] == first["sha256"]
    folder = ws.documents() / "notices" / "period=2021-12"
    (page, text) = [content.decode() for _, content in read_documents(folder / "reissue-0001.zip")]
    assert "Put Right Imports Ltd." in page
    assert "version 2" in text
    assert "the name was recorded wrongly" in text
    assert "$" not in text
    before = dict(read_documents(folder / "reissue-0001.zip"))

    withdraw(ws, DECEMBER, one, ORDER)
    withdraw(ws, DECEMBER, two, ORDER)
    second = publish_act_notices(ws, DECEMBER, **tell)

    assert (second["notices"], second["unreachable"]) == (2, {"statement": {"no_address": 1}})
    after = dict(read_documents(folder / "reissue-0001.zip"))
    assert before.items() < after.items()
    assert any(b"is withdrawn" in content for content in after.values())
    verify(ws)
    rows = pq.read_table(ws.lake().file("reissue_notices", DECEMBER)).to_pylist()
    assert {row["kind"] for row in rows} == {"statement"}
    assert len({row["message_key"] for row in rows}) == 2


def test_as_known_then_every_byte_comes_out_again(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    restate(ws, DECEMBER, bn15, ORDER)
    rename(ws, bn15, legal_name="Renamed Since Ltd.")
    issued = ws.lake().seals("statements")[0].rows

    facts = known_then(ws, DECEMBER)

    assert (facts["versions"], facts["same"], facts["different"], facts["made_otherwise"]) == (
        issued + 1,
        issued + 1,
        [],
        0,
    )


def test_as_known_then_tells_what_other_templates_made(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    with write_transaction(ws.operations) as connection:
        of_account = (STATEMENT_REGISTRY.c.period == str(DECEMBER)) & (STATEMENT_REGISTRY.c.bn15 == bn15)
        connection.execute(
            update(STATEMENT_REGISTRY).where(of_account).values(template_version="older", document_sha256="older")
        )

    facts = known_then(ws, DECEMBER)

    assert facts["different"] == [[bn15, 1, "html"]]
    assert facts["made_otherwise"] == 1


def test_of_what_an_earlier_release_issued_the_page_alone_is_compared(ws: Workspace) -> None:
    """It kept no hash of the CSV, and not what made the documents."""
    with write_transaction(ws.operations) as connection:
        unknown = dict.fromkeys(("csv_sha256", "object_sha256", "locale_version", "typesetter_version"))
        connection.execute(update(STATEMENT_REGISTRY).values(unknown))

    facts = known_then(ws, DECEMBER)

    assert (facts["same"], facts["different"], facts["made_otherwise"]) == (facts["versions"], [], facts["versions"])


def test_as_known_now_lists_whose_statement_would_differ_and_in_what(ws: Workspace) -> None:
    one, two, three, four = statement_accounts(ws, DECEMBER)[:4]
    already = {row["bn15"]: row for row in known_now(ws, DECEMBER)["accounts"]}
    # The register has two versions of this one, and nobody can tell which is right.
    assert already.pop(_parked(ws))["changed"] == ["off_record"]
    assert [(row["changed"], row["later_postings"]) for row in already.values()] == [([], 1), ([], 1)]
    later_known = set(already)
    rename(ws, one, legal_name="Renamed Ltd.", operating_name="Trading As")
    rename(ws, two, language=None)
    with write_transaction(ws.source) as connection:
        connection.execute(delete(ACCOUNTS).where(ACCOUNTS.c.bn15 == three))

    found = {row["bn15"]: row["changed"] for row in known_now(ws, DECEMBER)["accounts"]}

    assert found[one] == ["legal_name", "operating_name"]
    assert found[two] == ["language"]
    assert found[three] == ["off_record"]
    assert (four in found) == (four in later_known)
    # Once it is restated there is nothing to tell but what money tells.
    restate(ws, DECEMBER, one, ORDER)
    after = {row["bn15"]: row["changed"] for row in known_now(ws, DECEMBER)["accounts"]}
    assert after.get(one, []) == []
    assert (one in after) == (one in later_known)
    everyone = later(ws, DECEMBER, date(2022, 1, 7))
    assert len(known_now(everyone, DECEMBER)["accounts"]) >= ws.lake().seals("statements")[0].rows
    with pytest.raises(Refused, match="is not issued"):
        known_now(ws, JANUARY.next())


def test_what_came_late_is_what_the_next_month_prints_as_posted_after_the_last_statement(ws: Workspace) -> None:
    late = known_now(ws, DECEMBER)["accounts"]
    lines = pq.read_table(ws.lake().file("statement_lines", JANUARY)).to_pylist()
    printed: dict[str, int] = {}
    for line in lines:
        if line["posted_on"] <= date(2021, 12, 24) and line["amount_cents"]:
            printed[line["bn15"]] = printed.get(line["bn15"], 0) + line["amount_cents"]
    parked = _parked(ws)
    told = {row["bn15"]: row["later_effect_cents"] for row in late if row["bn15"] != parked}
    assert printed == told
    assert printed


# The command line


def carm_on(ws: Workspace, *arguments: str) -> Result:
    return CliRunner().invoke(carm, [*arguments, "--data", str(ws.data)])


def test_the_versions_of_a_statement_are_listed_with_what_became_of_them(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    restate(ws, DECEMBER, bn15, ORDER)
    withdraw(ws, DECEMBER, bn15, ORDER)

    told = carm_on(ws, "versions", bn15, "--period", "2021-12")

    assert told.stdout.splitlines() == [
        f"Issued statements of {bn15}",
        "  2021-12  version 1  issued 2021-12-25  replaced by version 2",
        "  2021-12  version 2  issued 2022-02-01  withdrawn on 2022-02-01 by clerk",
        "      restate by clerk: the name was recorded wrongly; changed: legal_name",
        "      why it was withdrawn: the name was recorded wrongly",
    ]
    facts = json.loads(carm_on(ws, "versions", bn15, "--json").stdout)["versions"]
    assert {(one["period"], one["version"]) for one in facts} >= {("2021-12", 1), ("2021-12", 2)}
    assert all(len(one["object_sha256"]) == 64 and one["typesetter_version"].startswith("typst ") for one in facts)
    assert "Put Right" not in json.dumps(facts)
    nothing = carm_on(ws, "versions", "000000018RM0099")
    assert (nothing.exit_code, nothing.stderr) == (1, "no statement of 000000018RM0099 was issued\n")


def test_the_version_that_stands_is_printed_unless_another_is_asked_for(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    restate(ws, DECEMBER, bn15, ORDER)
    ask = ("statement", bn15, "--period", "2021-12", "--json")
    assert json.loads(carm_on(ws, *ask).stdout)["version"] == 2
    assert json.loads(carm_on(ws, *ask, "--version", "1").stdout)["version"] == 1
    assert carm_on(ws, *ask, "--version", "3").exit_code == 1
    assert carm_on(ws, *ask, "--version", "0").exit_code == 2


def test_then_and_now_are_told_and_a_difference_then_is_a_failed_check(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    same = carm_on(ws, "known", "then", "2021-12")
    assert (same.exit_code, "with every byte as it was issued" in same.stdout) == (0, True)
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    now = carm_on(ws, "known", "now", "2021-12")
    assert now.exit_code == 0
    assert f"  {bn15}: legal name" in now.stdout.splitlines()
    assert "Put Right" not in now.stdout
    with write_transaction(ws.operations) as connection:
        connection.execute(update(STATEMENT_REGISTRY).values(csv_sha256="other"))
    other = carm_on(ws, "known", "then", "2021-12")
    assert (other.exit_code, "the csv comes out different" in other.stdout) == (1, True)


def test_a_month_is_locked_at_the_command_line_with_its_reason(ws: Workspace) -> None:
    locked = carm_on(ws, "lock", "2021-12", "--reason", "the books are closed", "--by", "clerk")
    assert locked.stdout == "2021-12 is locked, by clerk: the books are closed\n"
    again = carm_on(ws, "lock", "2021-12", "--reason", "again", "--by", "another")
    assert again.stdout == "2021-12 was locked already, by clerk: the books are closed\n"
    assert carm_on(ws, "lock", "2021-12").exit_code == 2
    assert carm_on(ws, "lock", "21-12", "--reason", "no such month").exit_code == 2
