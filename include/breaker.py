"""The breaker: whether a plan may pass by itself, or changes so much that a person must look at it first.

Three kinds of limits, each for the plan as a whole and again for each stratum (each program type, each province): a
number of changes, a share of the open accounts, and a multiple of the median of past months. A limit may be reached and
not passed. Numbers only: nothing here reads a database or a clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from include.carm.policy import Breaker, Limits

WHOLE = "all"
"""What the margins call the plan as a whole, where they name a stratum."""


@dataclass(frozen=True)
class Size:
    """How many of ``accounts`` open accounts would change; an announced closure counts as a change."""

    changes: int
    accounts: int


@dataclass(frozen=True)
class PlanSize:
    """A plan's size as a whole and by stratum: column (``program_type``, ``province``), then value."""

    whole: Size
    strata: Mapping[str, Mapping[str, Size]] = field(default_factory=dict)


@dataclass(frozen=True)
class PastMonth:
    """The changes of one past month whose plan was applied, as a whole and by stratum.

    A column that is not there was not counted in that month; a value that is not there had no account.
    """

    changes: int
    strata: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """The months that were applied, the newest first, and whether any of them changed an account."""

    months: Sequence[PastMonth] = ()
    has_changed: bool = False


@dataclass(frozen=True)
class Margin:
    """One limit of the policy: how many changes it was held against, and how many it allows."""

    limit: str  # first_run_max_share, max_share, max_changes, max_times_median
    stratum: str  # all, or a column and its value: province QC
    changes: int
    allowed: int

    @property
    def is_passed(self) -> bool:
        """Whether there are more changes than allowed; as many as allowed are not too many."""
        return self.changes > self.allowed


@dataclass(frozen=True)
class Verdict:
    """``ready`` or ``held``, the sentence that says why, and every limit that was looked at."""

    state: str
    reason: str
    margins: tuple[Margin, ...] = ()

    def margin_rows(self) -> list[dict[str, Any]]:
        """The margins as rows for JSON: ``limit, stratum, changes, allowed``."""
        return [asdict(margin) for margin in self.margins]


def judge(size: PlanSize, history: History, breaker: Breaker) -> Verdict:
    """Hold the plan when it passes any limit; the reason names the first one, and how many more there are.

    Shares are compared as exact fractions. A share of a few accounts says nothing, so below the breaker's
    ``min_accounts_for_percent`` only the numbers hold; with fewer months than ``min_median_months`` no median does.
    """
    sizes = {WHOLE: size.whole}
    margins = list(_margins_of_whole(size.whole, history, breaker))
    for column in breaker.strata:
        # A month whose plan was recorded without this column is no month without changes.
        past = [month.strata[column] for month in history.months if column in month.strata]
        for value, of_stratum in sorted(size.strata.get(column, {}).items()):
            name = f"{column.replace('_', ' ')} {value}"
            sizes[name] = of_stratum
            changes = [month.get(value, 0) for month in past]
            margins += _margins(name, of_stratum, breaker.stratum, breaker, changes)
    passed = [margin for margin in margins if margin.is_passed]
    if not passed:
        return Verdict("ready", _tell_ready(size.whole, margins), tuple(margins))
    reason = _tell(passed[0], sizes[passed[0].stratum], breaker)
    if further := len(passed) - 1:
        reason += f", and {further} more {'limits are' if further > 1 else 'limit is'} passed"
    return Verdict("held", reason, tuple(margins))


def _margins_of_whole(size: Size, history: History, breaker: Breaker) -> Iterator[Margin]:
    changes = [month.changes for month in history.months]
    for margin in _margins(WHOLE, size, breaker.whole, breaker, changes):
        if margin.limit == "max_share" and not history.has_changed:
            # The first month closes the dormant accounts of years, so it has a share of its own.
            allowed = _share(breaker.first_run_max_share, size.accounts)
            yield Margin("first_run_max_share", WHOLE, size.changes, allowed)
        else:
            yield margin


def _margins(name: str, size: Size, limits: Limits, breaker: Breaker, past: Sequence[int]) -> Iterator[Margin]:
    if limits.max_changes is not None:
        yield Margin("max_changes", name, size.changes, limits.max_changes)
    if size.accounts >= breaker.min_accounts_for_percent:
        yield Margin("max_share", name, size.changes, _share(limits.max_share, size.accounts))
    months = past[: breaker.median_months]
    if limits.max_times_median is not None and len(months) >= breaker.min_median_months:
        allowed = int(_exact(limits.max_times_median) * median(map(Fraction, months)))
        yield Margin("max_times_median", name, size.changes, max(allowed, breaker.min_changes_for_median))


def _share(share: float, accounts: int) -> int:
    return int(_exact(share) * accounts)


def _exact(number: float) -> Fraction:
    # From the decimal that the policy writes: 0.07 as a binary float is a little more, and would let one pass.
    return Fraction(str(number))


def _tell(margin: Margin, size: Size, breaker: Breaker) -> str:
    limits = breaker.whole if margin.stratum == WHOLE else breaker.stratum
    in_what = {
        "first_run_max_share": "in a first live run",
        "max_share": "in a run",
        "max_changes": "in a month",
        "max_times_median": f"after months like the last ones, {limits.max_times_median} times their median",
    }
    return f"{_would(margin.stratum, size)}; the policy lets {margin.allowed:,} pass {in_what[margin.limit]}"


def _tell_ready(size: Size, margins: Sequence[Margin]) -> str:
    shares = [margin for margin in margins if margin.stratum == WHOLE and margin.limit.endswith("max_share")]
    if not shares:
        return f"{_would(WHOLE, size)}; with so few accounts no share limits them"
    run = "a first live run" if shares[0].limit == "first_run_max_share" else "a run"
    return f"{_would(WHOLE, size)}; the policy lets up to {shares[0].allowed:,} pass in {run}"


def _would(stratum: str, size: Size) -> str:
    of_stratum = "" if stratum == WHOLE else f" of {stratum}"
    share = f" ({100 * size.changes / size.accounts:.1f} %)" if size.accounts else ""
    return f"{size.changes:,} of {size.accounts:,} open accounts{of_stratum} would change{share}"
