"""What a live month tells, from the ledger to the summary, the why-card and the proof: nobody is forgotten."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from include.carm.errors import DataError
from include.carm.period import Period
from include.carm.recipients import recipient_key
from include.database import write_transaction
from include.explain import explain, explain_lines
from include.load import load_folder
from include.month import summary_lines
from include.operations_notice_tables import NOTICE_INTENTS, OUTBOX
from include.reinstate import reinstate_account
from include.reinstatement_notices import publish_reinstatement_notice
from include.verify import verify, verify_lines
from include.workspace import Workspace
from tests.fixtures.hand_written.cases import PERIOD
from tests.pipeline import new_workspace, read, run_month
from tests.source.folders import csv_text

COMPLETE = Path(__file__).parent.parent / "fixtures" / "hand_written" / "complete"
HASH_KEY = "a key for tests only, long enough"
DELEGATE = "delegate@example.org"


@dataclass(frozen=True)
class Told:
    ws: Workspace
    summary: dict[str, Any]

    def intents(self) -> list[Any]:
        with self.ws.operations.connect() as connection:
            return list(connection.execute(select(NOTICE_INTENTS)).all())


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The hand-written world after a live month; every second account has an address, and the first a delegate."""
    folder = tmp_path_factory.mktemp("told")
    shutil.copytree(COMPLETE, folder / "csv")
    with (COMPLETE / "accounts.csv").open(encoding="utf-8", newline="") as file:
        accounts = list(csv.DictReader(file))
    with (folder / "csv" / "accounts.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, accounts[0])
        writer.writeheader()
        for number, row in enumerate(accounts):
            writer.writerow({**row, "email": f"account-{number}@example.org" if number % 2 else ""})
    delegate = {"bn15": accounts[0]["bn15"], "name": "A Delegate", "role": "editor", "email": DELEGATE}
    (folder / "csv" / "delegations.csv").write_text(csv_text("delegations", delegate), encoding="utf-8")
    ws = new_workspace(folder / "data")
    no_limit = replace(ws.policy.breaker, first_run_max_share=1, strata=())
    ws = replace(ws, policy=replace(ws.policy, breaker=no_limit))
    load_folder(ws.source, folder / "csv")
    return Told(ws, run_month(ws, PERIOD, effects="live"))


def test_every_notice_that_a_live_month_owes_is_told_or_known_to_reach_nobody(told: Told) -> None:
    states = {(row.kind, row.state, row.reason) for row in told.intents()}
    assert {state for _, state, _ in states} == {"told", "unreachable"}
    assert {kind for kind, _, _ in states} >= {"statement", "closure", "conversion"}
    assert {reason for _, state, reason in states if state == "unreachable"} == {"no_address"}


def test_the_delegate_of_an_account_without_an_address_is_told(told: Told) -> None:
    key = recipient_key(DELEGATE, HASH_KEY.encode())
    with told.ws.operations.connect() as connection:
        messages = connection.execute(select(OUTBOX).where(OUTBOX.c.recipient_key == key)).all()
    notices = read(told.ws, "notices", PERIOD)
    assert sorted(row.message_key for row in messages) == sorted(notices[notices.recipient_key == key].message_key)
    assert {row.state for row in messages} == {"planned"}
    told_about = {(row.kind, row.about) for row in messages}
    assert told_about
    assert {row.state for row in told.intents() if (row.kind, row.about) in told_about} == {"told"}


def test_the_summary_counts_what_reaches_nobody(told: Told) -> None:
    counted = told.summary["unreachable_notices"]
    closures = [row for row in told.intents() if row.kind == "closure" and row.state == "unreachable"]
    assert counted["closure"] == len(closures) > 0
    (line,) = [line for line in summary_lines(told.summary) if "reaching nobody" in line]
    assert f"closure {len(closures):,}" in line
    # A summary that an earlier release wrote has no such figure.
    earlier = {name: value for name, value in told.summary.items() if name != "unreachable_notices"}
    assert not [line for line in summary_lines(earlier) if "reaching nobody" in line]


def test_the_summary_counts_the_outbox_by_kind_and_state(told: Told) -> None:
    with told.ws.operations.connect() as connection:
        rows = connection.execute(select(OUTBOX.c.kind, OUTBOX.c.state).where(OUTBOX.c.period == PERIOD)).all()
    counted = [(kind, state) for kind, states in told.summary["outbox"].items() for state in states]
    assert sorted(counted) == sorted({(row.kind, row.state) for row in rows})
    assert sum(states["planned"] for states in told.summary["outbox"].values()) == len(rows) > 0
    (line,) = [line for line in summary_lines(told.summary) if line.startswith("Outbox of")]
    assert line == f"Outbox of {PERIOD}: planned {len(rows):,}, sent 0, failed 0, unknown 0, suppressed 0"


def test_the_why_card_says_who_was_told(told: Told) -> None:
    for state, words in (("told", "closure: in the outbox"), ("unreachable", "closure: reaches nobody (no_address)")):
        bn15 = next(row.bn15 for row in told.intents() if (row.kind, row.state) == ("closure", state))
        lines = explain_lines(explain(told.ws, bn15, Period.parse(PERIOD)))
        assert any(words in line for line in lines), lines


def test_an_account_that_is_opened_again_is_told_at_once(told: Told) -> None:
    closed = next(row for row in told.intents() if (row.kind, row.state) == ("closure", "told"))
    effective_on = told.ws.calendar.effective_on(Period.parse(PERIOD)) + timedelta(days=2)
    common = {"reason": "still trading", "recorded_by": "analyst", "run_id": "test"}
    outcome = reinstate_account(told.ws, closed.bn15, effective_on=effective_on, **common)
    now = publish_reinstatement_notice(told.ws, outcome, recipient_hash_key=HASH_KEY, run_id="test")
    assert now["outbox"] == {"planned": 1, "suppressed": 0}
    (intent,) = [row for row in told.intents() if row.kind == "reinstatement"]
    assert (intent.state, intent.about) == ("told", f"{closed.bn15}/{effective_on}")


def test_the_proof_counts_what_was_owed_and_finds_what_contradicts_the_outbox(told: Told) -> None:
    facts = verify(told.ws)
    assert facts["notices_owed"] == len(told.intents())
    assert any("none of which contradicts the outbox" in line for line in verify_lines(facts))
    first = next(row for row in told.intents() if row.state == "told")
    is_first = (NOTICE_INTENTS.c.kind == first.kind) & (NOTICE_INTENTS.c.about == first.about)
    beside = "contradict each other: 0 notices told without a message, 1 notice not"
    owed = f"that nobody was told of yet: {first.kind} 1; carm notices write"
    try:
        for state, words in (("called_off", beside), ("owed", owed)):
            with write_transaction(told.ws.operations) as connection:
                connection.execute(update(NOTICE_INTENTS).where(is_first).values(state=state))
            with pytest.raises(DataError, match=words):
                verify(told.ws)
    finally:
        with write_transaction(told.ws.operations) as connection:
            connection.execute(update(NOTICE_INTENTS).where(is_first).values(state="told"))
