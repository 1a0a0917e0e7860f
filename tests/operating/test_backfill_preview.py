"""``carm backfill preview``: what a backfill would do, said before it does anything."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import update

from include.airflow_records import Answer
from include.backfill import approval_form, preview_backfill, require_worth_asking
from include.backfill_approvals import Months, settle_backfill_answer, versions_now, versions_shown
from include.carm.errors import Refused, UsageError
from include.carm.period import Period
from include.cli import carm
from include.database import write_transaction
from include.month import open_month
from include.month_locks import lock_month_for_good
from include.operations_plan_tables import PLANS
from include.workspace import Workspace
from tests.pipeline import hashes
from tests.prepared import Prepared, december, demo, january


def months(ws: Workspace, first: str, last: str, effects: str = "auto", **how: Any) -> dict[str, dict[str, Any]]:
    """The months of a preview by their names."""
    found = preview_backfill(ws, Months.of(first, last), effects, **how)
    return {month["period"]: month for month in found["months"]}


def approve(ws: Workspace, first: str, last: str, by: str = "checker") -> None:
    settle_backfill_answer(
        ws,
        Months.of(first, last),
        Answer("Approve", by, "2022-03-01T10:00:00+00:00"),
        shown={name: version[:12] for name, version in versions_now(ws).items()},
        reason="the schedule was off",
        asked_by="clerk",
        also_asked_by=(),
        run_id="manual__ask",
    )


def test_a_backfill_is_shadow_and_says_where_each_month_would_be_written(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", december)
    before = hashes(ws.data / "lake")
    found = months(ws, "2021-11", "2022-01")
    assert {name: (month["effects"], month["area"]) for name, month in found.items()} == {
        "2021-11": ("shadow", "lake"),
        "2021-12": ("shadow", "shadow"),
        "2022-01": ("shadow", "lake"),
    }
    assert [month["refused"] for month in found.values()] == [None] * 3
    assert found["2021-12"]["issued"]["issued_on"] == "2021-12-25"
    assert found["2021-12"]["plan"]["state"] == "applied"
    assert hashes(ws.data / "lake") == before


@pytest.mark.parametrize(("period", "area"), [("2021-11", "lake"), ("2021-12", "shadow"), ("2022-01", "lake")])
def test_the_preview_says_what_the_first_step_then_does(
    prepared: Prepared, tmp_path: Path, period: str, area: str
) -> None:
    ws = prepared.copy(tmp_path / "data", december)
    (said,) = months(ws, period, period).values()
    done = open_month(ws, Period.parse(period), "auto", "backfill__1", "backfill", lambda _: False)
    assert (done["effects"], done["area"]) == (said["effects"], said["area"]) == ("shadow", area)


def test_live_months_are_refused_without_an_approval_and_go_in_order_with_one(
    prepared: Prepared, tmp_path: Path
) -> None:
    ws = prepared.copy(tmp_path / "data", december)
    found = months(ws, "2021-11", "2022-01", "live")
    assert all("for nobody approved it" in month["refused"] for month in found.values())

    approve(ws, "2021-11", "2022-01")
    found = months(ws, "2021-11", "2022-01", "live")
    assert "2021-12 was issued after it" in found["2021-11"]["refused"]
    assert (found["2021-12"]["refused"], found["2021-12"]["why"]) == (
        None,
        "it is issued and closed: what it holds is compared, and stays",
    )
    # December is the newest issued one, so January may follow it.
    assert (found["2022-01"]["refused"], found["2022-01"]["area"]) == (None, "lake")


def test_after_a_month_that_is_refused_live_none_follows(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", december)
    lock_month_for_good(ws, Period.parse("2022-01"), reason="under inquiry", recorded_by="clerk")
    found = months(ws, "2022-01", "2022-02", "live", as_if_approved=True)
    assert found["2022-01"]["refused"] == "2022-01 is locked (under inquiry, by clerk)"
    assert "the source has nothing posted in 2022-02" in found["2022-02"]["refused"]


def test_what_the_source_cannot_speak_of_is_refused_with_its_reason(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", demo)
    found = months(ws, "2022-01", "2022-03")
    assert found["2022-01"]["refused"] is None
    assert "its last posting is of 2022-01-" in found["2022-03"]["refused"]
    (early,) = months(ws, "1995-01", "1995-01").values()
    assert "ends before the first posting" in early["refused"] or "before the calendar" in early["refused"]


def test_other_rules_or_policy_than_those_of_the_plan_are_named(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", december)
    assert months(ws, "2021-12", "2021-12")["2021-12"]["changed_since"] == []
    with write_transaction(ws.operations) as connection:
        connection.execute(update(PLANS).values(rules_version="of another day"))
    assert months(ws, "2021-12", "2021-12")["2021-12"]["changed_since"] == ["rules"]


def test_effects_that_do_not_exist_are_refused(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="effects 'dry' is none of auto, live, shadow"):
        months(prepared.copy(tmp_path / "data", demo), "2022-01", "2022-01", "dry")


def test_nobody_is_asked_about_months_that_could_not_run_live_anyway(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", december)
    with pytest.raises(Refused, match=r"cannot be approved: 2021-11 cannot run live: 2021-12 was issued after it"):
        require_worth_asking(ws, Months.of("2021-11", "2022-01"))
    assert require_worth_asking(ws, Months.of("2022-01", "2022-01"))["months"] == 1


def test_who_decides_reads_what_would_happen_and_by_which_rules(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", december)
    form = approval_form(ws, Months.of("2022-01", "2022-01"), "the schedule was off")
    assert "The newest issued month is 2021-12." in form
    assert "**Why:** the schedule was off" in form
    assert "| 2022-01 | no | none yet | accounts are changed by what the policy lets pass" in form
    assert f"policy `{ws.policy.version[:12]}`" in form
    # The answer is compared with these, read from the last line.
    question = {"responded_at": "then", "body": form}
    records: Any = SimpleNamespace(api=SimpleNamespace(get=lambda path, accept: question))
    read = versions_shown(records, "a_dag", "a run", "approval", Answer("Approve", "checker", "then"))
    assert read == {name: version[:12] for name, version in versions_now(ws).items()}


def test_people_read_a_line_a_month_and_programs_all_of_it(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = prepared.copy(tmp_path / "data", january)
    monkeypatch.setenv("CARM_DATA", str(ws.data))
    asked = ["backfill", "preview", "--from", "2021-11", "--to", "2022-01"]
    told = CliRunner().invoke(carm, asked, prog_name="carm")
    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    assert lines[0] == (
        "A backfill of 2021-11 to 2022-01 with effects auto: 3 months would run, 0 would be refused; "
        "the newest issued month is 2022-01"
    )
    assert [line.split()[:2] for line in lines if line.startswith("  20")] == [
        ["2021-11", "shadow"],
        ["2021-12", "shadow"],
        ["2022-01", "shadow"],
    ]
    assert lines[-1] == (
        "Nothing is applied, issued or sent. Afterwards: carm backfill differences --from 2021-11 --to 2022-01"
    )
    facts = json.loads(CliRunner().invoke(carm, [*asked, "--json"], prog_name="carm").stdout)
    assert [month["known_now"] is not None for month in facts["months"]] == [False, True, True]


def test_a_slip_in_the_months_is_answered_in_one_line(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARM_DATA", str(prepared.copy(tmp_path / "data", demo).data))
    asked = ["backfill", "preview", "--from", "2022-01", "--to", "2021-12"]
    told = CliRunner().invoke(carm, asked, prog_name="carm")
    expected = "2021-12, the last month, comes before 2022-01, the first: exchange them\n"
    assert (told.exit_code, told.stderr) == (2, expected)
