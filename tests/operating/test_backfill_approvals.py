"""A backfill runs live only where another person approved it, for its months, under the rules that were shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from include.airflow_records import Answer
from include.backfill_approvals import (
    Months,
    approve_by_command,
    require_approved,
    settle_backfill_answer,
    versions_now,
    versions_shown,
)
from include.carm.errors import DataError, Refused
from include.carm.period import Period
from include.database import write_transaction
from include.month import open_month
from include.operations_backfill_tables import BACKFILL_APPROVALS
from include.source_schema import DEMO_WORLD
from include.verify_chain import read_chain, verify_records
from include.workspace import Workspace
from tests.pipeline import new_workspace

MONTHS = Months.of("2022-01", "2022-03")
INSIDE, OUTSIDE = Period(2022, 2), Period(2022, 4)


@pytest.fixture
def ws(tmp_path: Path, database_url: str) -> Workspace:
    return new_workspace(tmp_path / "data", database_url)


def shown(ws: Workspace) -> dict[str, str]:
    """What a question that is asked now shows of the versions."""
    return {name: version[:12] for name, version in versions_now(ws).items()}


def answer(ws: Workspace, chosen: str = "Approve", by: str = "checker", **changed: Any) -> dict[str, Any]:
    """An answer to a question that clerk asked and helper asked again."""
    asked = {"reason": "the schedule was off", "asked_by": "clerk", "also_asked_by": ("helper",), "run_id": "manual__1"}
    at = changed.pop("at", "2022-04-01T10:00:00+00:00")
    return settle_backfill_answer(ws, MONTHS, Answer(chosen, by, at), **{**asked, "shown": shown(ws), **changed})


def rows(ws: Workspace) -> list[tuple[str, str]]:
    with ws.operations.connect() as connection:
        query = select(BACKFILL_APPROVALS).order_by(BACKFILL_APPROVALS.c.approval_no)
        return [(row.decided_by, row.decision) for row in connection.execute(query)]


def opened(ws: Workspace, period: Period, effects: str, run_type: str) -> str:
    """With which effects a run of the month begins."""
    month = open_month(ws, period, effects, f"{run_type}__{period}", run_type, lambda _: False)
    return str(month["effects"])


def test_a_live_backfill_begins_only_with_an_approval_of_its_month(ws: Workspace) -> None:
    first = MONTHS.first
    with pytest.raises(
        Refused, match=r"^a backfill may not run 2022-01 live, for nobody approved it: trigger carm_app"
    ):
        opened(ws, first, "live", "backfill")
    # Neither a shadow backfill nor a run by hand is any of its business.
    assert opened(ws, first, "auto", "backfill") == opened(ws, first, "shadow", "backfill") == "shadow"
    assert opened(ws, first, "live", "manual") == "live"
    answer(ws)
    assert opened(ws, first, "live", "backfill") == "live"


def test_an_approval_is_of_its_months_alone(ws: Workspace) -> None:
    answer(ws)
    for period in (MONTHS.first, INSIDE, MONTHS.last):
        require_approved(ws, period)
    for period in (MONTHS.first.previous(), OUTSIDE):
        with pytest.raises(Refused, match="nobody approved it"):
            require_approved(ws, period)


@pytest.mark.parametrize("by", ["clerk", " CLERK ", "helper"])
def test_who_asked_cannot_approve_and_that_is_on_record(ws: Workspace, by: str) -> None:
    with pytest.raises(Refused, match="the same person started or cleared the run that asks"):
        answer(ws, by=by)
    assert [decision for _, decision in rows(ws)] == ["refused"]
    with pytest.raises(Refused, match="nobody approved it"):
        require_approved(ws, INSIDE)


@pytest.mark.parametrize("changed", [{"by": "unknown"}, {"by": ""}, {"asked_by": "unknown"}, {"asked_by": "schedule"}])
def test_who_is_not_known_cannot_approve(ws: Workspace, changed: dict[str, str]) -> None:
    with pytest.raises(Refused, match="who asked, or who approved, is not known"):
        answer(ws, **changed)
    with pytest.raises(Refused, match="nobody approved it"):
        require_approved(ws, INSIDE)


def test_no_answer_is_no_approval(ws: Workspace) -> None:
    asked: dict[str, Any] = {
        "reason": "the schedule was off",
        "asked_by": "clerk",
        "also_asked_by": (),
        "run_id": "manual__1",
        "shown": {},
    }
    with pytest.raises(Refused, match="nobody answered whether a backfill of 2022-01 to 2022-03 may run live"):
        settle_backfill_answer(ws, MONTHS, None, **asked)
    assert rows(ws) == []


def test_a_later_rejection_takes_an_approval_back(ws: Workspace) -> None:
    answer(ws)
    with pytest.raises(Refused, match="was rejected by boss: it stays shadow"):
        answer(ws, "Reject", "boss", run_id="manual__2", at="2022-04-02T10:00:00+00:00")
    with pytest.raises(Refused, match="for boss rejected it"):
        require_approved(ws, INSIDE)
    # The task of the first run, cleared, says what it said, and approves nothing anew.
    assert answer(ws)["decision"] == "approved"
    assert rows(ws) == [("checker", "approved"), ("boss", "rejected")]
    with pytest.raises(Refused, match="for boss rejected it"):
        require_approved(ws, INSIDE)


def test_an_approval_ends_when_the_policy_changes_and_a_cleared_task_does_not_renew_it(ws: Workspace) -> None:
    answer(ws)
    changed = replace(ws, policy=replace(ws.policy, version="of another day"))
    with pytest.raises(Refused, match="for the policy changed since checker approved it"):
        require_approved(changed, INSIDE)
    with pytest.raises(Refused, match="the policy changed since the question showed them; trigger carm_approve_back"):
        answer(changed, shown=shown(ws))
    with pytest.raises(Refused, match="for the policy changed since checker approved it"):
        require_approved(changed, INSIDE)
    answer(changed, run_id="manual__2", at="2022-04-02T10:00:00+00:00")
    require_approved(changed, INSIDE)


@pytest.mark.parametrize("name", ["rules", "policy"])
def test_an_answer_to_a_question_that_showed_other_versions_is_no_approval(ws: Workspace, name: str) -> None:
    then = shown(ws) | {name: "0123456789ab"}
    with pytest.raises(Refused, match=f"does not count: the {name} changed since the question showed them; trigger"):
        answer(ws, shown=then)
    with ws.operations.connect() as connection:
        (row,) = connection.execute(select(BACKFILL_APPROVALS))
    assert (row.decision, getattr(row, f"{name}_version")) == ("refused", "0123456789ab")
    with pytest.raises(Refused, match="nobody approved it"):
        require_approved(ws, INSIDE)


def test_without_the_versions_that_were_shown_there_is_no_approval(ws: Workspace) -> None:
    with pytest.raises(Refused, match="does not count: which rules and policy were shown is not known"):
        answer(ws, shown={})
    assert rows(ws) == [("checker", "refused")]
    # A no counts, whatever was shown.
    with pytest.raises(Refused, match="was rejected by boss"):
        answer(ws, "Reject", "boss", shown={})
    assert rows(ws)[1:] == [("boss", "rejected")]


def test_a_task_that_is_cleared_makes_no_approval_of_what_was_refused(ws: Workspace) -> None:
    with pytest.raises(Refused, match="is not known"):
        answer(ws, asked_by="unknown")
    with pytest.raises(Refused, match="it was refused before, and stays so; trigger carm_approve_backfill again"):
        answer(ws)
    assert rows(ws) == [("checker", "refused")]


class Records:
    """Airflow's record of one question."""

    def __init__(self, question: dict[str, Any] | None) -> None:
        self.api, self.question, self.asked = self, question, ""

    def get(self, path: str, **_: Any) -> dict[str, Any] | None:
        self.asked = path
        return self.question


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            {"responded_at": "then", "body": "a\n\nholds under these: rules `ab`, policy `cd`."},
            {"rules": "ab", "policy": "cd"},
        ),
        # What whoever asked wrote is above the last line.
        ({"responded_at": "then", "body": "Why: rules `ab`, policy `cd`\n\nThe end."}, {}),
        ({"responded_at": "later", "body": "rules `ab`, policy `cd`"}, {}),
        ({"responded_at": "then", "body": None}, {}),
        (None, {}),
    ],
)
def test_what_was_shown_is_read_from_the_question_that_was_answered(
    question: dict[str, Any] | None, expected: dict[str, str]
) -> None:
    records: Any = Records(question)
    assert versions_shown(records, "a_dag", "run 1", "approval", Answer("Approve", "checker", "then")) == expected
    assert records.asked == "/dags/a_dag/dagRuns/run%201/taskInstances/approval/-1/hitlDetails"
    assert versions_shown(records, "a_dag", "run 1", "approval", None) == {}


def test_the_rows_are_what_the_audit_chain_tells(ws: Workspace) -> None:
    answer(ws)
    with ws.operations.connect() as connection:
        assert verify_records(connection, read_chain(connection))["carm_backfill_approvals"] == 1
    with write_transaction(ws.operations) as connection:
        connection.execute(update(BACKFILL_APPROVALS).values(last_period="2030-12"))
    with ws.operations.connect() as connection, pytest.raises(DataError, match="last_period is not what link 1"):
        verify_records(connection, read_chain(connection))


def test_over_the_demo_world_the_command_is_the_approval(tmp_path: Path, sqlite_url: str) -> None:
    from include.demo import fill_demo

    ws = new_workspace(tmp_path / "data", sqlite_url)
    fill_demo(ws.source, accounts=20, months=51)
    approve_by_command(ws, MONTHS, person="operator")
    require_approved(ws, INSIDE)
    approve_by_command(ws, MONTHS, person="operator")
    assert rows(ws) == [("operator", "approved")]

    with write_transaction(ws.source) as connection:
        connection.execute(delete(DEMO_WORLD))
    approve_by_command(ws, MONTHS, person="operator")  # It is approved already.
    with pytest.raises(Refused, match="over data of your own takes two people: make ui, trigger carm_approve_backfill"):
        approve_by_command(ws, Months(OUTSIDE, OUTSIDE), person="operator")
    assert rows(ws) == [("operator", "approved")]
