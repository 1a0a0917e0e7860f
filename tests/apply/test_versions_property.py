"""Whatever is applied, undone and reinstated in whatever order: an account has exactly one version on every day."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from include.apply import apply_plan
from include.carm.errors import Refused, UsageError
from include.carm.period import Period
from include.decide import publish_decisions
from include.reinstate import reinstate_account, undo_plan
from tests.decide.accounts import account_facts, an_account, bn15_of
from tests.decide.month import DECEMBER, Register, month_of

ACCOUNTS = 4
DAY = timedelta(days=1)
WORLD = [an_account(), an_account(program_type="dual"), an_account(program_type="exporter"), an_account()]
BY_HAND = {"reason": "a test", "recorded_by": "clerk", "run_id": "by hand"}

# What each account was seen to do in a month: with nothing it is closed, else perhaps converted.
months = st.tuples(
    st.just("month"), st.lists(st.sampled_from(["import", "export", None]), min_size=ACCOUNTS, max_size=ACCOUNTS)
)
undos = st.tuples(st.just("undo"), st.tuples(st.integers(0, 5), st.integers(0, 70)))
reinstatements = st.tuples(st.just("reinstate"), st.tuples(st.integers(0, ACCOUNTS - 1), st.integers(0, 70)))
sequences = st.lists(st.one_of(months, months, undos, reinstatements), min_size=2, max_size=9)


def run_month(register: Register, period: Period, activities: list[str | None]) -> str:
    """Decide about the accounts as the register has them on the month's last day, and apply the plan."""
    as_of = register.ws.calendar.as_of(period)
    rows = account_facts(WORLD).to_pylist()
    for number, row in enumerate(rows):
        (version,) = [found for found in register.versions(row["bn15"]) if is_valid(found, as_of)]
        names = ("valid_from", "program_type", "status", "reinstated_on", "closed_on")
        row |= {name: version[name] for name in names}
        if activities[number] is not None:
            row[f"last_{activities[number]}_on"] = as_of
    register.seal_facts(pa.Table.from_pylist(rows, schema=account_facts(WORLD).schema), period)
    month = month_of(period)
    publish_decisions(register.ws, month)
    plan_hash = register.record_plan(month, "ready")
    apply_plan(register.ws, month, plan_hash)
    return plan_hash


def is_valid(version: dict[str, Any], day: date) -> bool:
    return bool(version["valid_from"] <= day and (version["valid_to"] is None or day < version["valid_to"]))


def require_one_version_a_day(register: Register) -> None:
    by_account = defaultdict(list)
    for version in register.versions():
        by_account[version["bn15"]].append(version)
    assert ACCOUNTS == len(by_account)
    for versions in by_account.values():
        # Nothing changes but on these days, so they and their eves stand for all others.
        turns = {day for version in versions for day in (version["valid_from"], version["valid_to"]) if day}
        first = min(turns)
        for day in sorted(turns | {turn - DAY for turn in turns} | {max(turns) + 10_000 * DAY}):
            assert int(day >= first) == sum(is_valid(version, day) for version in versions)
        assert len(versions) == len({version["valid_from"] for version in versions})


@settings(max_examples=25)
@given(sequences)
def test_every_account_has_exactly_one_version_on_every_day(sequence: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        register = Register.make(Path(folder), f"sqlite:///{folder}/source.db")
        register.fill(WORLD)
        plans: list[str] = []
        period = DECEMBER
        for what, values in sequence:
            try:
                if what == "month":
                    plans.append(run_month(register, period, values))
                    period = period.next()
                elif what == "undo" and plans:
                    # Up to ten weeks after the last month that was run.
                    effective_on = register.ws.calendar.effective_on(period.previous()) + values[1] * DAY
                    undo_plan(register.ws, plans[values[0] % len(plans)], effective_on=effective_on, **BY_HAND)
                elif what == "reinstate":
                    effective_on = register.ws.calendar.effective_on(period.previous()) + values[1] * DAY
                    reinstate_account(register.ws, bn15_of(values[0]), effective_on=effective_on, **BY_HAND)
            except (Refused, UsageError):
                pass
            require_one_version_a_day(register)
