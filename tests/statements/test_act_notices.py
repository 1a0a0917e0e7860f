"""What the acts about statements tell the people whom they concern."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select

from include.carm.notice_policy import NoticePolicy
from include.documents import read_documents
from include.operations_notice_tables import OUTBOX
from include.statement_act_notices import publish_act_notices
from include.statement_acts import restate, withdraw
from include.verify import verify
from include.workspace import Workspace
from tests.statements.acts import (
    DECEMBER,
    ORDER,
    rename,
    statement_accounts,
)


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
    assert dict(read_documents(folder / "reissue-0001.zip")) == before
    assert any(b"is withdrawn" in content for _, content in read_documents(folder / "reissue-0002.zip"))
    verify(ws)
    rows = pq.read_table(ws.lake().file("reissue_notices", DECEMBER)).to_pylist()
    assert {row["kind"] for row in rows} == {"statement"}
    assert len({row["message_key"] for row in rows}) == 2


def test_the_delegates_of_the_last_issued_month_are_told_of_a_version(ws: Workspace) -> None:
    delegations = pq.read_table(ws.lake().file("delegations", DECEMBER)).to_pylist()
    as_of = ws.calendar.as_of(DECEMBER)
    valid = {
        row["bn15"]
        for row in delegations
        if row["valid_from"] <= as_of and (row["valid_to"] is None or row["valid_to"] > as_of)
    }
    number = next(bn15 for bn15 in statement_accounts(ws, DECEMBER) if bn15 in valid)
    rename(ws, number, legal_name="Put Right Imports Ltd.", email="one@example.org")
    restate(ws, DECEMBER, number, ORDER)
    tell = {"recipient_hash_key": "a key for tests only, long enough", "run_id": "manual restate"}
    policy = NoticePolicy.load()
    only_account = replace(policy, recipients={**policy.recipients, "statement": ("account",)})
    told = publish_act_notices(ws, DECEMBER, **tell)["notices"]
    assert told > 1
    withdraw(ws, DECEMBER, number, ORDER)
    assert publish_act_notices(ws, DECEMBER, policy=only_account, **tell)["notices"] == told + 1


def test_an_act_about_one_account_tells_another_account_nothing_again(ws: Workspace) -> None:
    one, two = statement_accounts(ws, DECEMBER)[:2]
    rename(ws, one, legal_name="Put Right Imports Ltd.", email="one@example.org")
    rename(ws, two, legal_name="Put Right Exports Ltd.", email="two@example.org")
    tell = {"recipient_hash_key": "a key for tests only, long enough", "run_id": "manual restate"}
    restate(ws, DECEMBER, one, ORDER)
    before = publish_act_notices(ws, DECEMBER, **tell)["notices"]
    rename(ws, one, email="moved@example.org")
    restate(ws, DECEMBER, two, ORDER)
    publish_act_notices(ws, DECEMBER, **tell)
    with ws.operations.connect() as connection:
        which = OUTBOX.c.version == 2, OUTBOX.c.state == "planned"
        addresses = set(connection.execute(select(OUTBOX.c.address).where(*which)).scalars())
    assert {"one@example.org", "two@example.org"} <= addresses
    assert "moved@example.org" not in addresses
    assert pq.read_table(ws.lake().file("reissue_notices", DECEMBER)).num_rows > before


def waiting(ws: Workspace, about: str, version: int) -> int:
    box = OUTBOX.c
    which = box.kind == "statement", box.about == about, box.version == version, box.state == "planned"
    with ws.operations.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(OUTBOX).where(*which)).scalar_one())


@pytest.mark.parametrize("act", [restate, withdraw])
def test_a_version_that_does_not_hold_any_more_is_not_announced_afterwards(ws: Workspace, act: Any) -> None:
    with ws.operations.connect() as connection:
        box = OUTBOX.c
        which = box.kind == "statement", box.period == str(DECEMBER), box.state == "planned"
        abouts = set(connection.execute(select(box.about).where(*which)).scalars())
    number = next(bn15 for bn15 in statement_accounts(ws, DECEMBER) if f"{bn15}/{DECEMBER}" in abouts)
    rename(ws, number, legal_name="Put Right Imports Ltd.")
    act(ws, DECEMBER, number, ORDER)
    assert waiting(ws, f"{number}/{DECEMBER}", 1) == 0
    tell = {"recipient_hash_key": "a key for tests only, long enough", "run_id": "manual restate"}
    assert publish_act_notices(ws, DECEMBER, **tell)["notices"] > 0
    assert waiting(ws, f"{number}/{DECEMBER}", 1) == 0
    verify(ws)
