"""The clean-up decision once more, from the words of the domain and without the rule table or any SQL.

Deliberately slow and plain: one account at a time, raw activities in place of gathered dates. The tests compare it
with ``derive_account_decisions.sql`` over many thousands of accounts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class World:
    """What is the same for all accounts of a month."""

    as_of: date
    transactions_covered: bool = True
    exports_covered: bool = True
    exporter_without_evidence: str = "close"


@dataclass(frozen=True)
class Account:
    """An open account as its evidence lies before a clerk: ``activities`` are pairs of what was moved and when."""

    program_type: str | None = "importer"
    activities: tuple[tuple[str, date], ...] = ()
    opened_on: date | None = None
    reinstated_on: date | None = None
    balance_cents: int | None = 0
    under_review_cents: int | None = 0
    under_review_items: int | None = 0
    hold_reason: str | None = None
    hold_until: date | None = None
    has_open_quarantine: bool = False


@dataclass(frozen=True)
class Decision:
    activity_seen: str
    action: str
    reason: str
    new_program_type: str | None = None


def four_years_before(day: date) -> date:
    """29 February clamps to the 28th, which four years apart happens only around a century like 2100."""
    try:
        return date(day.year - 4, day.month, day.day)
    except ValueError:
        return date(day.year - 4, 2, 28)


def decide(account: Account, world: World) -> Decision:
    cutoff = four_years_before(world.as_of)
    known = [(what, on) for what, on in account.activities if on <= world.as_of]
    recent = {what for what, on in known if on >= cutoff}
    everything_is_there = world.transactions_covered and world.exports_covered and not account.has_open_quarantine
    if {"import", "export"} <= recent:
        seen = "both"
    elif "import" in recent:
        seen = "import"
    elif "export" in recent:
        seen = "export"
    else:
        seen = "none" if everything_is_there else "unknown"

    if account.program_type not in ("importer", "exporter", "dual"):
        return Decision(seen, "review", "unknown_program_type")
    if seen == "both":
        if account.program_type == "dual":
            return Decision(seen, "keep", "active")
        return Decision(seen, "review", "mixed_activity")
    if seen in ("import", "export"):
        fitting = seen + "er"
        if account.program_type == fitting:
            return Decision(seen, "keep", "active")
        return _narrow(account, world, seen, fitting)

    days = [on for _, on in known] + [on for on in (account.opened_on, account.reinstated_on) if on is not None]
    if not days:
        return Decision(seen, "review", "unknown_open_date")
    if recent:
        return Decision(seen, "keep", "active")
    if max(days) >= cutoff:
        return Decision(seen, "keep", "younger_than_4_years")
    return _close(account, world, seen)


def _narrow(account: Account, world: World, seen: str, new_type: str) -> Decision:
    # Only exports were seen: were all imports there to be seen? And the other way round.
    other_feed_covered = world.transactions_covered if new_type == "exporter" else world.exports_covered
    if not other_feed_covered:
        return Decision(seen, "unknown", "coverage_incomplete")
    if account.has_open_quarantine:
        return Decision(seen, "unknown", "row_in_quarantine")
    if new_type == "importer" and world.exporter_without_evidence == "review":
        return Decision(seen, "review", "only_import_activity")
    if _is_on_hold(account, world):
        return Decision(seen, "hold", "on_hold")
    if new_type == "exporter":
        if account.under_review_items != 0:
            return Decision(seen, "hold", "under_review")
        if account.balance_cents != 0:
            return Decision(seen, "hold", "balance_not_zero")
    return Decision(seen, "convert", f"only_{seen}_activity", new_type)


def _close(account: Account, world: World, seen: str) -> Decision:
    if not (world.transactions_covered and world.exports_covered):
        return Decision(seen, "unknown", "coverage_incomplete")
    if account.has_open_quarantine:
        return Decision(seen, "unknown", "row_in_quarantine")
    if account.program_type != "importer" and world.exporter_without_evidence == "review":
        return Decision(seen, "review", "no_activity_4_years")
    if _is_on_hold(account, world):
        return Decision(seen, "hold", "on_hold")
    if account.under_review_items != 0:
        return Decision(seen, "hold", "under_review")
    if account.balance_cents != 0:
        return Decision(seen, "hold", "balance_not_zero")
    return Decision(seen, "close", "no_activity_4_years")


def _is_on_hold(account: Account, world: World) -> bool:
    return account.hold_reason is not None and (account.hold_until is None or account.hold_until >= world.as_of)
