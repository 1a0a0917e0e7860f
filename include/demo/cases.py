"""The accounts of the demo world by case: of every 500 accounts so many of each, the rest ordinary.

``outcome`` and ``reason`` are what the rules must say of an account of the case as of the world's last period, where
the extracts cover the whole window; tests hold the pipeline to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from include.demo.draw import Integers

CYCLE = 500
# Coprime to the cycle, so each number of it comes once; far apart, so that a small world has some of everything.
_STRIDE = 283

Reach = Literal["none", "before", "window", "by_type"]
"""When an account is active: never, only before the window, in the window too, or as its program type says."""


@dataclass(frozen=True)
class Case:
    """What sets the accounts of one case apart; the defaults are a long-standing account without any activity."""

    name: str
    count: int  # of CYCLE accounts
    outcome: str  # keep, close, convert, hold, review, unknown; closed where the account is closed already
    reason: str
    program_type: str | None = "importer"  # "drawn": by the shares of the field
    imports: Reach = "none"
    exports: Reach = "none"
    opened: Literal[
        "long_ago", "drawn", "last_months", "on_cutoff", "day_before_cutoff", "day_after_cutoff", "missing"
    ] = "long_ago"
    residual_cents: int = 0  # what payments leave standing
    hold: Literal["", "open", "future", "today", "past"] = ""
    event: str = ""  # one special row, see include.demo.ledger and include.demo.exports
    history: str = ""  # special account versions, see include.demo.accounts


_ACTIVE = {"imports": "by_type", "exports": "by_type", "program_type": "drawn", "opened": "drawn"}

CASES: tuple[Case, ...] = (
    Case("ordinary", 0, "keep", "active", **_ACTIVE),  # type: ignore[arg-type]
    # Dormant, and nothing stands against closing.
    Case("quiet_importer", 4, "close", "no_activity_4_years", imports="before"),
    Case("never_active", 3, "close", "no_activity_4_years"),
    Case("quiet_exporter", 2, "close", "no_activity_4_years", "exporter", exports="before"),
    Case("quiet_dual", 1, "close", "no_activity_4_years", "dual", imports="before", exports="before"),
    Case("only_paid_a_penalty", 2, "close", "no_activity_4_years", event="penalty_paid"),
    Case("entry_cancelled", 1, "close", "no_activity_4_years", event="entry_cancelled"),
    Case("declaration_rejected", 1, "close", "no_activity_4_years", "exporter", event="declaration_rejected"),
    Case("entry_posted_late", 1, "close", "no_activity_4_years", event="entry_posted_late"),
    Case("entry_day_before_cutoff", 1, "close", "no_activity_4_years", event="entry_day_before_cutoff"),
    Case("opened_day_before_cutoff", 1, "close", "no_activity_4_years", opened="day_before_cutoff"),
    Case("reinstated_long_ago", 1, "close", "no_activity_4_years", history="reinstated_long_ago"),
    Case("hold_ran_out", 1, "close", "no_activity_4_years", hold="past"),
    # Dormant, but something stands against closing.
    Case("dormant_debt", 2, "hold", "balance_not_zero", imports="before", residual_cents=48_215),
    Case("dormant_credit", 1, "hold", "balance_not_zero", imports="before", residual_cents=-15_940),
    Case("dormant_cent", 1, "hold", "balance_not_zero", residual_cents=1),
    Case("dormant_minus_cent", 1, "hold", "balance_not_zero", residual_cents=-1),
    Case("dormant_under_review", 1, "hold", "under_review", event="penalty_under_review"),
    Case("dormant_hold_open", 1, "hold", "on_hold", hold="open"),
    Case("dormant_hold_future", 1, "hold", "on_hold", imports="before", hold="future"),
    Case("dormant_hold_today", 1, "hold", "on_hold", hold="today"),
    Case("dormant_quarantined_row", 1, "unknown", "row_in_quarantine", event="entry_does_not_add_up"),
    Case("no_open_date", 1, "review", "unknown_open_date", opened="missing"),
    # Looks dormant and is not.
    Case("entry_on_cutoff", 1, "keep", "active", event="entry_on_cutoff"),
    Case("opened_on_cutoff", 1, "keep", "younger_than_4_years", opened="on_cutoff"),
    Case("opened_day_after_cutoff", 1, "keep", "younger_than_4_years", opened="day_after_cutoff"),
    Case("reinstated", 1, "keep", "younger_than_4_years", history="reinstated"),
    Case("just_opened", 4, "keep", "younger_than_4_years", "drawn", opened="last_months"),
    Case("no_open_date_active", 1, "keep", "active", imports="window", opened="missing"),
    # The four arrows of the program-type rule, and what holds them up.
    Case("importer_only_exports", 3, "convert", "only_export_activity", imports="before", exports="window"),
    Case("dual_only_exports", 2, "convert", "only_export_activity", "dual", imports="before", exports="window"),
    Case("exporter_only_imports", 2, "convert", "only_import_activity", "exporter", "window", "before"),
    Case("dual_only_imports", 3, "convert", "only_import_activity", "dual", "window", "before"),
    Case("importer_only_exports_debt", 1, "hold", "balance_not_zero", exports="window", residual_cents=50_000),
    Case("dual_only_imports_on_hold", 1, "hold", "on_hold", "dual", imports="window", hold="open"),
    Case("importer_mixed", 2, "review", "mixed_activity", imports="window", exports="window"),
    Case("exporter_mixed", 1, "review", "mixed_activity", "exporter", imports="window", exports="window"),
    Case("unknown_type", 1, "review", "unknown_program_type", "broker", imports="window"),
    Case("missing_type", 1, "review", "unknown_program_type", None, imports="window"),
    # Active, with something to see.
    Case("active_cent", 1, "keep", "active", imports="window", residual_cents=1),
    Case("active_minus_cent", 1, "keep", "active", imports="window", residual_cents=-1),
    Case("renamed", 8, "keep", "active", imports="window", history="renamed"),
    Case("renamed_often", 3, "keep", "active", imports="window", history="renamed_often"),
    Case("renamed_tomorrow", 1, "keep", "active", imports="window", history="renamed_tomorrow"),
    Case("type_corrected", 1, "keep", "active", imports="window", history="type_corrected"),
    # Closed before the last period's end, so nothing is decided.
    Case("closed", 8, "closed", "", imports="before", history="closed"),
    Case("closed_in_last_period", 1, "closed", "", imports="before", history="closed_in_last_period"),
    Case("closed_with_credit", 1, "closed", "", history="closed", residual_cents=-7_325),
    # Dirty account rows. The first is quarantined with its postings, so nothing is decided.
    Case("overlapping_versions", 1, "quarantined", "", imports="window", history="overlapping"),
    Case("identical_copy", 1, "keep", "active", imports="window", history="copied"),
)

_OF_NUMBER = np.zeros(CYCLE, dtype=np.int64)
_special = [index for index, case in enumerate(CASES) for _ in range(case.count)]
# From 1 on: the world's first account (number 0) is ordinary, and so is the second, which the stride takes to 283.
_OF_NUMBER[1 : 1 + len(_special)] = _special


def case_of(numbers: Integers) -> Integers:
    """The position in :data:`CASES` for each account number."""
    return _OF_NUMBER[numbers * _STRIDE % CYCLE]
