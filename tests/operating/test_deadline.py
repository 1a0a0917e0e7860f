"""Whether the month that was due is issued is asked of the record, and not of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import delete

from include.carm.errors import Refused
from include.carm.period import Period
from include.database import write_transaction
from include.deadline import require_issued
from include.operations_plan_tables import AUDIT_CHAIN
from tests.pipeline import new_workspace
from tests.prepared import Prepared, december, shadow_months

DECEMBER = Period(2021, 12)


def test_an_issued_month_passes_and_the_next_one_does_not(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", december)
    assert require_issued(ws, DECEMBER) == {"period": "2021-12", "issued_on": "2021-12-25"}
    with pytest.raises(
        Refused, match=r"^2022-01 was due on 2022-01-25 and is not issued, the newest issued month is 2021-12: "
    ):
        require_issued(ws, DECEMBER.next())


def test_a_month_that_nothing_ever_ran_for_does_not_pass(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no month was ever issued: see whether carm_month started"):
        require_issued(new_workspace(tmp_path / "data"), DECEMBER)


def test_a_shadow_run_is_no_issue(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="2021-07 was due on 2021-07-25 and is not issued"):
        require_issued(prepared.copy(tmp_path / "data", shadow_months, "2021-07"), Period(2021, 7))


def test_a_month_whose_run_ended_early_does_not_pass(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", december)
    with write_transaction(ws.operations) as connection:
        connection.execute(delete(AUDIT_CHAIN).where(AUDIT_CHAIN.c.event == "close"))
    with pytest.raises(Refused, match="2021-12 is issued, and its run has not come to its end"):
        require_issued(ws, DECEMBER)
