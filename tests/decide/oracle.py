"""The clean-up decision once more, from the words of the domain and without the rule table or any SQL.

Deliberately slow and plain: one account at a time, raw activities in place of gathered dates. The tests compare it
with ``derive_account_decisions.sql`` over many thousands of accounts, and with the rule table cell by cell.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

BOTH_FEEDS = ("export_declarations", "transactions")
GAP = "2019-01, 2020-05"
"""The months that are missing in a feed that is not covered."""


@dataclass(frozen=True)
class World:
    """What is the same for all accounts of a month."""

    as_of: date
    transactions_covered: bool = True
    exports_covered: bool = True
    exporter_without_evidence: str = "close"
    period: str = "2021-12"
    notice_months: int = 0
    importer_needs: tuple[str, ...] = BOTH_FEEDS
    exporter_needs: tuple[str, ...] = BOTH_FEEDS
    dual_needs: tuple[str, ...] = BOTH_FEEDS

    def is_covered(self, feed: str) -> bool:
        return self.transactions_covered if feed == "transactions" else self.exports_covered

    def needs(self, program_type: str | None) -> tuple[str, ...]:
        by_type = {"importer": self.importer_needs, "exporter": self.exporter_needs, "dual": self.dual_needs}
        return by_type.get(program_type or "", BOTH_FEEDS)


@dataclass(frozen=True)
class Account:
    """An open account as its evidence lies before a clerk: ``activities`` are pairs of what was moved and when.

    What persons recorded: ``holds`` and ``reviews`` are pairs of a number and the last day; ``undone`` says of each
    change that was undone which type the account had, what had been seen, and from when the undoing held;
    ``announced`` names the months in which its closure was announced.
    """

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
    holds: tuple[tuple[int, date | None], ...] = ()
    reviews: tuple[tuple[int, date], ...] = ()
    undone: tuple[tuple[str, str, date], ...] = ()
    announced: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    activity_seen: str
    action: str
    reason: str
    new_program_type: str | None = None
    missing: str | None = None
    announced_in: str | None = None
    review_no: int | None = None
    hold_no: int | None = None


def four_years_before(day: date) -> date:
    """29 February clamps to the 28th, which four years apart happens only around a century like 2100."""
    try:
        return date(day.year - 4, day.month, day.day)
    except ValueError:
        return date(day.year - 4, 2, 28)


def months_between(earlier: str, later: str) -> int:
    """Statement months from one to the other, both written ``YYYY-MM``."""
    return 12 * (int(later[:4]) - int(earlier[:4])) + int(later[5:]) - int(earlier[5:])


def decide(account: Account, world: World) -> Decision:
    """What the machine decides, and then what a person has already settled of it."""
    decision = _decide_alone(account, world)
    if decision.action not in ("review", "unknown"):
        return decision
    valid = [number for number, until in account.reviews if until >= world.as_of]
    if not valid:
        return decision
    return replace(decision, action="keep", missing=None, review_no=max(valid))


def _decide_alone(account: Account, world: World) -> Decision:
    cutoff = four_years_before(world.as_of)
    known = [(what, on) for what, on in account.activities if on <= world.as_of]
    recent = {what for what, on in known if on >= cutoff}
    can_tell = not _missing(account.program_type, world) and not account.has_open_quarantine
    if {"import", "export"} <= recent:
        seen = "both"
    elif "import" in recent:
        seen = "import"
    elif "export" in recent:
        seen = "export"
    else:
        seen = "none" if can_tell else "unknown"

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
    return _close(account, world, seen, max(days))


def _narrow(account: Account, world: World, seen: str, new_type: str) -> Decision:
    # Only exports were seen: were all imports there to be seen? And the other way round.
    other_feed = "transactions" if new_type == "exporter" else "export_declarations"
    if not world.is_covered(other_feed):
        return Decision(seen, "unknown", "coverage_incomplete", missing=f"{other_feed} {GAP}")
    if account.has_open_quarantine:
        return Decision(seen, "unknown", "row_in_quarantine")
    if new_type == "importer" and world.exporter_without_evidence == "review":
        return Decision(seen, "review", "only_import_activity")
    # A person put the old type back. What would be new is an activity of the kind that is taken away.
    taken_away = "import" if new_type == "exporter" else "export"
    since = [on for what, on in account.activities if what == taken_away and on <= world.as_of]
    if _is_undone(account, seen, max(since, default=None)):
        return Decision(seen, "review", "undone_by_person")
    held = _held(account, world, seen, is_costly=new_type == "exporter")
    return held or Decision(seen, "convert", f"only_{seen}_activity", new_type)


def _close(account: Account, world: World, seen: str, clock: date) -> Decision:
    missing = _missing(account.program_type, world)
    if missing:
        return Decision(seen, "unknown", "coverage_incomplete", missing=missing)
    if account.has_open_quarantine:
        return Decision(seen, "unknown", "row_in_quarantine")
    if account.program_type != "importer" and world.exporter_without_evidence == "review":
        return Decision(seen, "review", "no_activity_4_years")
    # A person opened it again. The clock began anew that day; only if it has run out since, the closure is a new one.
    if _is_undone(account, seen, clock):
        return Decision(seen, "review", "undone_by_person")
    held = _held(account, world, seen, is_costly=True)
    if held:
        return held
    if world.notice_months == 0:
        return Decision(seen, "close", "no_activity_4_years")
    announced_in = max(account.announced, default=world.period)
    if months_between(announced_in, world.period) >= world.notice_months:
        return Decision(seen, "close", "no_activity_4_years", announced_in=announced_in)
    return Decision(seen, "candidate", "closure_announced", announced_in=announced_in)


def _missing(program_type: str | None, world: World) -> str:
    return "; ".join(f"{feed} {GAP}" for feed in sorted(world.needs(program_type)) if not world.is_covered(feed))


def _is_undone(account: Account, seen: str, last_sign: date | None) -> bool:
    days = [on for program_type, what, on in account.undone if (program_type, what) == (account.program_type, seen)]
    return bool(days) and (last_sign is None or last_sign < max(days))


def _held(account: Account, world: World, seen: str, *, is_costly: bool) -> Decision | None:
    def runs(until: date | None) -> bool:
        return until is None or until >= world.as_of

    if account.hold_reason is not None and runs(account.hold_until):
        return Decision(seen, "hold", "on_hold")
    holds = [number for number, until in account.holds if runs(until)]
    if holds:
        return Decision(seen, "hold", "on_hold", hold_no=max(holds))
    # Who loses the account, or the right to import, must owe nothing and be owed nothing.
    if is_costly and account.under_review_items != 0:
        return Decision(seen, "hold", "under_review")
    if is_costly and account.balance_cents != 0:
        return Decision(seen, "hold", "balance_not_zero")
    return None
