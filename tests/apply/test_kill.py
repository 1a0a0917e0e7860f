"""SIGKILL while a plan is applied: all of it happened or nothing, and the next call completes it.

The points are drawn with a fixed seed among everything that the process tells its database, before and after, and some
time after that, so that statements and commits are struck in their middle too. What must hold does not hang on which.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import delete, event, insert, select

from include import journal
from include.apply import apply_plan
from include.decide import publish_decisions
from include.operations_plan_tables import ACCOUNT_CHANGES, AUDIT_CHAIN, CLOSURE_ANNOUNCEMENTS, PLANS
from tests.decide.accounts import AS_OF, an_account, bn15_of
from tests.decide.month import Register, month_of

# A server that has imported once what each process needs, and never had a thread or a connection.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__, "psycopg"])
ACTIVE = an_account(activities=(("import", AS_OF),))
WORLD = [an_account(), an_account(program_type="dual", activities=(("export", AS_OF),)), an_account(), ACTIVE]
LONGEST_DELAY = 0.02
"""In seconds: longer than a statement of so small a world takes."""


def on_every_moment(register: Register, strike: Callable[[], None]) -> None:
    """Call ``strike`` before and after each statement and before each end of a transaction."""
    engine = register.ws.operations
    for name in ("before_cursor_execute", "after_cursor_execute", "begin", "commit", "rollback"):
        event.listen(engine, name, lambda *_: strike())


def apply_until_killed(register: Register, plan_hash: str, moment: int, delay: float) -> None:
    """Runs in a process of its own, which is killed ``delay`` seconds after the moment of that number."""
    journal.BATCH_ROWS = 1
    seen = 0

    def strike() -> None:
        nonlocal seen
        seen += 1
        if seen == moment:
            threading.Thread(target=kill, daemon=True).start() if delay else kill()

    def kill() -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGKILL)

    on_every_moment(register, strike)
    apply_plan(register.ws, month_of(), plan_hash)


def fresh(register: Register) -> Register:
    """The workspace without its open engines, so that it can be handed to another process."""
    return Register(replace(register.ws))


def lay_out(register: Register) -> str:
    """The world as it is before apply, with a closure that was announced and is off again; the plan's hash."""
    for table in (ACCOUNT_CHANGES, AUDIT_CHAIN, CLOSURE_ANNOUNCEMENTS, PLANS):
        register.change(delete(table))
    register.fill(WORLD)
    announced = {"bn15": bn15_of(3), "announced_in": "2021-10", "account_key": 340001, "plan_hash": "earlier"}
    register.change(insert(CLOSURE_ANNOUNCEMENTS).values(**announced))
    publish_decisions(register.ws, month_of())
    return register.record_plan(month_of(), "ready")


def everything(register: Register) -> Any:
    with register.ws.operations.connect() as connection:
        rows = [connection.execute(select(table)).all() for table in (AUDIT_CHAIN, CLOSURE_ANNOUNCEMENTS)]
    return register.everything(), rows


def count_moments(register: Register, plan_hash: str) -> int:
    moments = 0

    def count() -> None:
        nonlocal moments
        moments += 1

    counting = fresh(register)
    on_every_moment(counting, count)
    apply_plan(counting.ws, month_of(), plan_hash)
    return moments


@pytest.mark.timeout(900)
@pytest.mark.parametrize("adapter", ["database", "file"])
def test_a_kill_at_any_point_leaves_all_or_nothing_and_the_next_call_completes(
    tmp_path: Path, database_url: str, adapter: str
) -> None:
    register = Register.make(tmp_path, database_url).with_policy(apply=adapter)
    plan_hash = lay_out(register)
    before = everything(register)
    moments = count_moments(register, plan_hash)
    after = everything(register)
    files = read_files(tmp_path)
    draw = Random(f"{adapter} {database_url[:6]}")
    found = {"before": 0, "after": 0}
    for _ in range(50 if adapter == "database" else 10):
        assert plan_hash == lay_out(register)
        delay = draw.choice([0, 0, draw.uniform(0, LONGEST_DELAY)])
        arguments = (fresh(register), plan_hash, draw.randint(1, moments), delay)
        process = PROCESSES.Process(target=apply_until_killed, args=arguments)
        process.start()
        process.join()
        # Where the delay outlived the work, the process ended by itself.
        assert process.exitcode in (-signal.SIGKILL, 0)
        now = everything(register)
        assert now in (before, after)
        found["before" if now == before else "after"] += 1
        again = apply_plan(register.ws, month_of(), plan_hash)
        assert ("applied" if adapter == "database" else "handed_over") == again["state"]
        assert after == everything(register)
        assert files == read_files(tmp_path)
    assert found["before"]


def read_files(folder: Path) -> dict[str, bytes]:
    """The change files that lie there for the register to fetch."""
    return {path.name: path.read_bytes() for path in folder.glob("changes/*/plan-*.csv")}
