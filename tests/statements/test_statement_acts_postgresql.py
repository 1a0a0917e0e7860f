"""The acts on PostgreSQL, where two writers are at work at once and a transaction sees what others commit meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from include import statement_acts
from include.carm.errors import CarmError, Refused
from include.demo import fill_demo
from include.known import known_now, known_then
from include.month_locks import lock_month_for_good, unlock_month
from include.operations_statement_tables import STATEMENT_ACTS
from include.statement_act_notices import publish_act_notices
from include.statement_acts import issue_parked, restate, withdraw
from include.statement_history import find_history
from include.statement_reader import read_statement
from include.verify import verify
from include.workspace import Workspace
from tests.database import new_database
from tests.pipeline import new_workspace, run_month
from tests.statements.acts import (
    DECEMBER,
    JANUARY,
    ORDER,
    answer,
    in_debt,
    mend,
    overlap,
    parked_account,
    registry,
    rename,
    statement_accounts,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, postgresql_server: str) -> Iterator[Workspace]:
    """A demo world with two live months, all in one PostgreSQL database, made once."""
    with new_database(postgresql_server) as url:
        yield make_two_issued_months(new_workspace(tmp_path_factory.mktemp("acts") / "data", url))


@pytest.fixture
def ws(made: Workspace, tmp_path: Path, postgresql_server: str) -> Iterator[Workspace]:
    shutil.copytree(made.data, tmp_path / "data")
    with new_database(postgresql_server, like=made.source_url) as url:
        yield Workspace.open(tmp_path / "data", source_url=url)


def make_two_issued_months(ws: Workspace) -> Workspace:
    fill_demo(ws.source, accounts=60, months=51, seed=7, last_period=str(JANUARY))
    run_month(ws, str(DECEMBER), effects="live", run_id="manual december")
    overlap(ws, in_debt(ws))
    run_month(ws, str(JANUARY), effects="live", run_id="manual january")
    return ws


def test_every_act_every_lock_and_every_proof_works_as_on_sqlite(ws: Workspace) -> None:
    one, two = statement_accounts(ws, DECEMBER)[:2]
    parked = parked_account(ws)
    rename(ws, one, legal_name="Put Right Imports Ltd.")
    assert restate(ws, DECEMBER, one, ORDER)["act_no"] == 1
    assert withdraw(ws, DECEMBER, one, ORDER)["act_no"] == 2
    mend(ws, parked)
    assert issue_parked(ws, JANUARY, parked, ORDER)["act_no"] == 3
    rename(ws, two, legal_name="Put Right Too Ltd.")
    assert restate(ws, JANUARY, two, ORDER)["changed"] == ["legal_name"]
    lock_month_for_good(ws, DECEMBER, reason="the books are closed", recorded_by="clerk")
    with pytest.raises(Refused, match="2021-12 is locked"):
        restate(ws, DECEMBER, two, ORDER)
    asked = {"reason": "the name is wrong", "asked_by": "clerk", "also_asked_by": (), "run_id": "unlock"}
    assert unlock_month(ws, DECEMBER, answer("checker"), **asked)["approved_by"] == "checker"
    assert restate(ws, DECEMBER, two, ORDER)["version"] == 2
    told = publish_act_notices(
        ws, DECEMBER, recipient_hash_key="a key for tests only, long enough", run_id="manual restate"
    )
    # Of three acts: a version that was withdrawn before anybody was told of it is announced to nobody.
    assert told["notices"] + sum(told["unreachable"]["statement"].values()) == 2

    facts = verify(ws)["records"]
    assert (facts["carm_statement_acts"], facts["carm_month_locks"]) == (5, 2)
    assert known_then(ws, DECEMBER)["different"] == []
    assert one not in {row["bn15"] for row in known_now(ws, DECEMBER)["accounts"] if row["changed"]}
    assert [row["version"] for row in find_history(ws, one, DECEMBER)["versions"]] == [1, 2]
    assert b"Put Right Too Ltd." in read_statement(ws, JANUARY, two)
    assert run_month(ws, str(JANUARY), effects="live", run_id="manual again")["result"] == "unchanged"
    verify(ws)


def test_of_two_acts_at_once_about_one_statement_the_second_is_refused(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    other = _meanwhile(ws, monkeypatch, lambda: withdraw(ws, DECEMBER, bn15, ORDER))

    assert restate(ws, DECEMBER, bn15, ORDER)["version"] == 2

    other.join()
    assert isinstance(other.outcome, Refused)
    assert "somebody else acted" in str(other.outcome)
    assert [row.withdrawn_by for row in registry(ws, DECEMBER, bn15)] == [None, None]
    verify(ws)


def test_two_acts_at_once_about_two_statements_are_both_done(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = statement_accounts(ws, DECEMBER)[:2]
    for bn15 in (one, two):
        rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    other = _meanwhile(ws, monkeypatch, lambda: restate(ws, DECEMBER, two, ORDER))

    first = restate(ws, DECEMBER, one, ORDER)

    other.join()
    assert (first["act_no"], other.outcome["act_no"]) == (1, 2)
    rows = pq.read_table(ws.lake().file("statement_versions", DECEMBER), partitioning=None).to_pylist()
    assert {row["bn15"] for row in rows} == {one, two}
    verify(ws)


def test_a_month_that_is_locked_while_an_act_is_at_work_is_locked_after_it(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    locking = _meanwhile(
        ws, monkeypatch, lambda: lock_month_for_good(ws, DECEMBER, reason="closed", recorded_by="clerk")
    )

    restate(ws, DECEMBER, bn15, ORDER)

    locking.join()
    assert locking.outcome["is_new"]
    events = [link.event for link in _links(ws)][-2:]
    assert events == ["statement_act", "month_lock"]
    with ws.operations.connect() as connection:
        assert len(connection.execute(select(STATEMENT_ACTS)).all()) == 1


class _Other(Thread):
    """Somebody else at work; ``outcome`` is what came of it, or its error."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self.work, self.outcome = work, None

    def run(self) -> None:
        try:
            self.outcome = self.work()
        except CarmError as error:
            self.outcome = error


def _meanwhile(ws: Workspace, monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> _Other:
    """Somebody else works when the first act has looked and not yet written, until it waits in the database or ends."""
    other, record = _Other(work), statement_acts._record_act

    def begin(*given: Any, **named: Any) -> Any:
        if other.ident is None:
            other.start()
            while other.is_alive() and not _is_anybody_waiting(ws):
                pass
        return record(*given, **named)

    monkeypatch.setattr(statement_acts, "_record_act", begin)
    return other


def _is_anybody_waiting(ws: Workspace) -> bool:
    with ws.operations.connect() as connection:
        return bool(connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar())


def _links(ws: Workspace) -> list[Any]:
    from include.audit import read_links

    with ws.operations.connect() as connection:
        return list(read_links(connection))
