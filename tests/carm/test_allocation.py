"""The dated table of allocation: what it says, and what it refuses to say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from include.carm.allocation import AllocationPass, AllocationRules, Disbursement
from include.carm.errors import UsageError
from include.carm.period import Period
from include.carm.settings_file import CONFIG_FOLDER

RULES = AllocationRules.load()


def test_release_1_takes_the_newest_debt_of_the_cycle_first_and_release_2_the_oldest() -> None:
    assert RULES.passes_of(Period.parse("2024-10")) == (
        AllocationPass("offsets", in_cycle=True, newest_first=True),
        AllocationPass("offsets", in_cycle=False, newest_first=True),
        AllocationPass("payments", in_cycle=False, newest_first=False),
    )
    assert RULES.passes_of(Period.parse("2024-11")) == (AllocationPass("all", in_cycle=False, newest_first=False),)


def test_the_rule_of_disbursement_is_known_for_release_1_alone() -> None:
    assert RULES.disbursement_of(Period.parse("2021-12")) == Disbursement(1_000_00, 2)
    assert RULES.disbursement_of(Period.parse("2024-11")) == Disbursement(None, None)


PASS = {"credits": "all", "debts": "all", "order": "oldest_first"}


@pytest.mark.parametrize(
    ("key", "rows", "said"),
    [
        ("allocation", [], "must have at least one row"),
        ("allocation", [{"first_period": "2021-02", "passes": [PASS]}] * 2, "the oldest first_period first"),
        (
            "allocation",
            [{"first_period": "2021-01", "passes": [PASS | {"debts": "cycle"}]}],
            "of 2021-01 has no pass in which offsets meet all debts",
        ),
        (
            "allocation",
            [{"first_period": "2021-01", "passes": [PASS | {"credits": "offsets"}]}],
            "of 2021-01 has no pass in which payments meet all debts",
        ),
        ("allocation", [{"first_period": "2021-01", "passes": [PASS | {"order": "largest"}]}], "order is 'largest'"),
        ("disbursement", [{"first_period": "2021-01", "over_cents": -1, "after_months": 2}], "over_cents is -1"),
        ("disbursement", [{"first_period": "2021-01", "over_cents": 1, "after_months": 0}], "after_months is 0"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, key: str, rows: list[object], said: str) -> None:
    values = yaml.safe_load((CONFIG_FOLDER / "allocation.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "allocation.yaml"
    path.write_text(yaml.safe_dump(values | {key: rows}), encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        AllocationRules.load(path)


def test_a_month_before_the_table_has_no_rule(tmp_path: Path) -> None:
    values = {"allocation": [{"first_period": "2021-02", "passes": [PASS]}]}
    values["disbursement"] = [{"first_period": "2021-02", "over_cents": None, "after_months": None}]
    path = tmp_path / "allocation.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(UsageError, match="no row holds for 2021-01"):
        AllocationRules.load(path).passes_of(Period.parse("2021-01"))
