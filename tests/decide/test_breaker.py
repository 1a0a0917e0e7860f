"""The breaker: every limit at its boundary, for the plan as a whole and for a stratum, with and without a history."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from include.breaker import History, Margin, PastMonth, PlanSize, Size, Verdict, judge
from include.carm.policy import Breaker, Policy
from tests.decide.month import NO_LIMIT

CHANGED_BEFORE = History(has_changed=True)


def limited(stratum: dict[str, Any] | None = None, **limits: Any) -> Breaker:
    """No limit but those of ``limits`` for the whole, and of ``stratum`` for each program type."""
    return replace(
        NO_LIMIT,
        whole=replace(NO_LIMIT.whole, **limits),
        strata=("program_type",),
        stratum=replace(NO_LIMIT.stratum, **(stratum or {})),
    )


def whole(changes: int, accounts: int) -> PlanSize:
    return PlanSize(Size(changes, accounts))


def of_type(changes: int, accounts: int) -> PlanSize:
    """A plan that changes importers alone, among many exporters."""
    types = {"importer": Size(changes, accounts), "exporter": Size(0, 100_000)}
    return PlanSize(Size(changes, accounts + 100_000), {"program_type": types})


def months(*changes: int, importers: bool = False) -> History:
    """Past months, the newest first; with ``importers`` their changes were importers'."""
    past = [PastMonth(n, {"program_type": {"importer": n}} if importers else {}) for n in changes]
    return History(past, has_changed=True)


def state(size: PlanSize, breaker: Breaker, history: History = CHANGED_BEFORE) -> str:
    return judge(size, history, breaker).state


# A share of the open accounts.


@pytest.mark.parametrize(
    ("changes", "accounts", "share", "expected"),
    [
        (250, 5000, 0.05, "ready"),
        (251, 5000, 0.05, "held"),
        # As exact fractions: 0.07 and 0.29 are not what a binary float makes of them.
        (7, 100, 0.07, "ready"),
        (29, 100, 0.29, "ready"),
        (30, 100, 0.29, "held"),
        (8, 107, 0.07, "held"),
        (0, 5000, 0, "ready"),
        (1, 5000, 0, "held"),
        (5000, 5000, 1, "ready"),
        # Percentages count from 50 accounts up.
        (49, 49, 0.05, "ready"),
        (3, 50, 0.05, "held"),
        (2, 50, 0.05, "ready"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_share_may_be_reached_and_not_passed(
    changes: int, accounts: int, share: float, expected: str, is_first: bool, is_whole: bool
) -> None:
    if is_whole:
        other = {"max_share": share} if not is_first else {"max_share": 0}
        breaker = replace(limited(**other), first_run_max_share=share if is_first else 0)
        size = whole(changes, accounts)
    else:
        breaker, size = limited({"max_share": share}), of_type(changes, accounts)
    assert expected == state(size, breaker, History(has_changed=not is_first))


def test_fewer_accounts_than_the_policy_counts_shares_from_have_none() -> None:
    breaker = replace(limited(max_share=0), min_accounts_for_percent=0)
    assert "ready" == state(whole(0, 0), breaker)
    assert "held" == state(whole(1, 1), breaker)


def test_a_run_is_the_first_until_one_changed_an_account() -> None:
    breaker = replace(limited(max_share=0.10), first_run_max_share=0)
    months_without_changes = History((PastMonth(0), PastMonth(0)), has_changed=False)
    assert "held" == state(whole(6, 60), breaker, months_without_changes)
    assert "ready" == state(whole(6, 60), breaker, months(0, 0, 1))


# A number of changes.


@pytest.mark.parametrize(("changes", "expected"), [(0, "ready"), (3, "ready"), (4, "held"), (40, "held")])
@pytest.mark.parametrize("accounts", [40, 5000])
def test_a_number_of_changes_may_be_reached_and_not_passed(changes: int, expected: str, accounts: int) -> None:
    assert expected == state(whole(changes, accounts), limited(max_changes=3))
    assert expected == state(of_type(changes, accounts), limited({"max_changes": 3}))


def test_no_change_may_be_allowed() -> None:
    assert ["ready", "held"] == [state(whole(changes, 5000), limited(max_changes=0)) for changes in (0, 1)]


# The median of past months.


@pytest.mark.parametrize(
    ("changes", "past", "expected"),
    [
        # Three times the median of 20, 30 and 40.
        (90, (40, 20, 30), "ready"),
        (91, (40, 20, 30), "held"),
        # Of an even number of months the median lies between: three times 25 and a half.
        (76, (21, 30, 10, 40), "ready"),
        (77, (21, 30, 10, 40), "held"),
        # Fewer months than three say nothing.
        (5000, (40, 20), "ready"),
        (5000, (), "ready"),
        # So few are never too many, whatever the months before did.
        (20, (0, 0, 0), "ready"),
        (21, (0, 0, 0), "held"),
        (21, (7, 7, 7), "ready"),
        (22, (7, 7, 7), "held"),
        # One month of a backlog does not lift the median.
        (21, (5, 5, 2900, 5), "held"),
        # Only the last twelve months count: thirteen months ago everything was larger.
        (30, (10,) * 6 + (11,) * 6 + (9000,) * 20, "ready"),
        (32, (10,) * 6 + (11,) * 6 + (9000,) * 20, "held"),
    ],
)
def test_a_multiple_of_the_median_may_be_reached_and_not_passed(
    changes: int, past: tuple[int, ...], expected: str
) -> None:
    assert expected == state(whole(changes, 90_000), limited(max_times_median=3.0), months(*past))
    of_stratum = limited({"max_times_median": 3.0})
    assert expected == state(of_type(changes, 90_000), of_stratum, months(*past, importers=True))


def test_a_multiple_is_exact_too() -> None:
    breaker = replace(limited(max_times_median=1.1), min_changes_for_median=0)
    assert ["ready", "held"] == [state(whole(changes, 5000), breaker, months(10, 10, 10)) for changes in (11, 12)]


def test_a_stratum_is_compared_with_its_own_months() -> None:
    past = PastMonth(900, {"program_type": {"exporter": 900}})
    history = History((past, past, past), has_changed=True)
    breaker = limited({"max_times_median": 3.0}, max_times_median=3.0)
    assert "held" == state(of_type(21, 90_000), breaker, history)
    assert "ready" == state(of_type(20, 90_000), breaker, history)


def test_a_month_that_did_not_count_a_stratum_says_nothing_of_it() -> None:
    counted = PastMonth(5, {"program_type": {"importer": 5}})
    breaker = limited({"max_times_median": 3.0})
    two = History((counted, counted, PastMonth(5, {})), has_changed=True)
    three = History((counted, counted, PastMonth(5, {}), counted), has_changed=True)
    assert ["ready", "held"] == [state(of_type(21, 90_000), breaker, history) for history in (two, three)]


# Strata.


def test_one_stratum_that_passes_its_limit_holds_the_whole_plan() -> None:
    types = {"importer": Size(10, 1000), "exporter": Size(26, 100), "dual": Size(0, 1000)}
    size = PlanSize(Size(36, 2100), {"program_type": types, "province": {"QC": Size(36, 40)}})
    assert "ready" == state(size, limited(max_share=0.10))
    assert "held" == state(size, limited({"max_share": 0.25}, max_share=0.10))
    assert "ready" == state(size, limited({"max_share": 0.26}, max_share=0.10))
    without = replace(limited({"max_share": 0.25}), strata=("province",))
    assert "ready" == state(size, without)
    assert "held" == state(size, replace(without, min_accounts_for_percent=40))


def test_every_limit_of_the_shipped_policy_is_looked_at() -> None:
    size = PlanSize(Size(10, 1000), {"program_type": {"importer": Size(10, 1000)}, "province": {"QC": Size(10, 1000)}})
    past = PastMonth(10, {"program_type": {"importer": 10}, "province": {"QC": 10}})
    verdict = judge(size, History((past,) * 3, has_changed=True), Policy.load().breaker)
    assert [
        Margin("max_share", "all", 10, 100),
        Margin("max_times_median", "all", 10, 30),
        Margin("max_share", "program type importer", 10, 250),
        Margin("max_times_median", "program type importer", 10, 50),
        Margin("max_share", "province QC", 10, 250),
        Margin("max_times_median", "province QC", 10, 50),
    ] == list(verdict.margins)
    assert {"limit": "max_share", "stratum": "all", "changes": 10, "allowed": 100} == verdict.margin_rows()[0]


# The reason.


def reason(size: PlanSize, breaker: Breaker, history: History = CHANGED_BEFORE) -> str:
    return judge(size, history, breaker).reason


def test_the_reason_is_one_sentence_with_the_numbers() -> None:
    ten_percent = replace(limited(max_share=0.05), first_run_max_share=0.10)
    assert "600 of 5,000 open accounts would change (12.0 %); the policy lets 500 pass in a first live run" == reason(
        whole(600, 5000), ten_percent, History()
    )
    assert "40 of 5,000 open accounts would change (0.8 %); the policy lets up to 250 pass in a run" == reason(
        whole(40, 5000), ten_percent
    )
    assert "12 of 30 open accounts would change (40.0 %); with so few accounts no share limits them" == reason(
        whole(12, 30), ten_percent
    )
    assert "12 of 30 open accounts would change (40.0 %); the policy lets 9 pass in a month" == reason(
        whole(12, 30), limited(max_changes=9)
    )
    assert (
        "91 of 5,000 open accounts would change (1.8 %); the policy lets 90 pass after months like the last ones, "
        "3.0 times their median"
    ) == reason(whole(91, 5000), limited(max_times_median=3.0), months(20, 30, 40))
    assert "0 of 0 open accounts would change; with so few accounts no share limits them" == reason(
        whole(0, 0), ten_percent
    )


def test_the_reason_names_the_first_limit_and_counts_the_others() -> None:
    told = "30 of 100 open accounts of program type importer would change (30.0 %); the policy lets 25 pass in a run"
    size = of_type(30, 100)
    assert told == reason(size, limited({"max_share": 0.25}))
    assert f"{told}, and 1 more limit is passed" == reason(
        replace(size, strata={**size.strata, "province": {"QC": Size(30, 100)}}),
        replace(limited({"max_share": 0.25}), strata=("program_type", "province")),
    )
    both = limited({"max_share": 0.25, "max_changes": 3}, max_changes=3)
    assert reason(size, both) == (
        "30 of 100,100 open accounts would change (0.0 %); the policy lets 3 pass in a month, and 2 more limits are "
        "passed"
    )


def test_a_stratum_is_told_with_its_own_median() -> None:
    breaker = limited({"max_times_median": 5.0}, max_times_median=100.0)
    assert reason(of_type(101, 5000), breaker, months(20, 20, 20, importers=True)) == (
        "101 of 5,000 open accounts of program type importer would change (2.0 %); the policy lets 100 pass after "
        "months like the last ones, 5.0 times their median"
    )


def test_a_ready_plan_is_told_with_the_share_of_the_whole_alone() -> None:
    breaker = replace(limited({"max_share": 0.25}, max_share=0.05, max_changes=90), first_run_max_share=0.10)
    told = "40 of 5,000 open accounts would change (0.8 %); the policy lets up to "
    size = PlanSize(Size(40, 5000), {"program_type": {"importer": Size(40, 4000)}})
    assert reason(size, breaker) == f"{told}250 pass in a run"
    assert reason(size, breaker, History()) == f"{told}500 pass in a first live run"
    # Below the number from which shares count for the whole, a share of a stratum is not told as the whole's.
    small = PlanSize(Size(1, 40), {"program_type": {"importer": Size(1, 60)}})
    assert reason(small, breaker).endswith("with so few accounts no share limits them")


def test_a_month_without_changes_of_a_stratum_counts_as_none() -> None:
    breaker = limited({"max_times_median": 30.0})
    past = History((PastMonth(5, {"program_type": {"exporter": 5}}),) * 3, has_changed=True)
    assert state(of_type(20, 5000), breaker, past) == "ready"
    assert state(of_type(21, 5000), breaker, past) == "held"


def test_a_first_run_has_a_share_of_its_own_and_every_other_limit() -> None:
    breaker = replace(limited(max_share=0.05, max_changes=3), first_run_max_share=0.10)
    verdict = judge(whole(4, 1000), History(), breaker)
    assert verdict.margins == (Margin("max_changes", "all", 4, 3), Margin("first_run_max_share", "all", 4, 100))
    assert verdict.state == "held"


def test_a_verdict_without_margins_has_no_rows() -> None:
    assert [] == Verdict("ready", "").margin_rows()
