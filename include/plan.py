"""A plan: the decisions of one period as text with a hash, and whether it may pass by itself.

The hash is over the decisions and their evidence alone. Two runs that decide the same make the same plan, whoever
started them and however Parquet was written; one decision or one cent more makes another.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import TYPE_CHECKING

from include import engine
from include.carm.period import Period

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from include.carm.policy import Breaker

FORMAT = "carm plan 2"
"""The first word of the text. It changes when a column joins, so that two formats never share a hash by accident."""


def hash_plan(con: DuckDBPyConnection, period: Period, effective_on: date) -> str:
    """SHA-256 of the plan whose decisions are registered on ``con`` as ``account_decisions``.

    The text is a heading and one line for each decision by account key, each line a JSON array and a line feed.
    """
    heading = json.dumps([FORMAT, str(period), effective_on.isoformat()], separators=(",", ":"))
    digest = hashlib.sha256(f"{heading}\n".encode())
    for batch in engine.run(con, "select_plan_lines"):
        digest.update("".join(f"{line}\n" for line in batch.column("line").to_pylist()).encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Verdict:
    """``ready`` or ``held``, and the sentence that says why."""

    state: str
    reason: str


def judge_size(changes: int, open_accounts: int, breaker: Breaker, *, is_first: bool) -> Verdict:
    """Whether a plan may change ``changes`` of ``open_accounts`` by itself; ``is_first``: nothing was applied before.

    A limit may be reached and not passed. A share says nothing of a few accounts, so below the breaker's
    ``min_accounts_for_percent`` only its absolute limit holds.
    """
    would = f"{changes:,} of {open_accounts:,} open accounts would change"
    if breaker.whole.max_changes is not None and changes > breaker.whole.max_changes:
        return Verdict("held", f"{would}; the policy lets {breaker.whole.max_changes:,} pass in a month")
    if open_accounts < breaker.min_accounts_for_percent:
        return Verdict("ready", f"{would}; with so few accounts no share limits them")
    # From the decimal that the policy writes: 0.07 as a binary float is a little more, and would let one pass.
    limit = Fraction(str(breaker.first_run_max_share if is_first else breaker.whole.max_share))
    allowed = int(limit * open_accounts)
    run = "a first live run" if is_first else "a run"
    would = f"{would} ({100 * changes / max(open_accounts, 1):.1f} %)"
    if changes > allowed:
        return Verdict("held", f"{would}; the policy lets {allowed:,} pass in {run}")
    return Verdict("ready", f"{would}; the policy lets up to {allowed:,} pass in {run}")
