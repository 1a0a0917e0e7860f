"""A month whose plan is held, and the portal over it: the accounts, the policy and who made the plan are known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from include.carm.period import Period
from include.carm.policy import Limits
from include.decide import publish_decisions
from include.operations_statement_tables import ISSUED_MONTHS
from include.plan_step import publish_plan
from tests.decide.accounts import AS_OF, an_account
from tests.decide.month import DECEMBER, NO_LIMIT, Register, month_of
from tests.decide.oracle import Account
from tests.portal.conftest import Portal

DORMANT, ACTIVE = an_account(), an_account(activities=(("import", AS_OF),))
CONVERTED = an_account(program_type="dual", activities=(("export", AS_OF),))
HOSTILE = an_account(program_type='=1+1"><script>alert(1)</script>')
ACCOUNTS = [DORMANT, CONVERTED, ACTIVE, DORMANT, HOSTILE]
"""Two would be closed and one converted; the last one is of no type that there is."""

ONE_CHANGE = replace(NO_LIMIT, whole=Limits(max_share=1, max_changes=1, max_times_median=None))
RUNS = ("GET", "/dags/carm_apply_plan/dagRuns")
START = ("POST", "/dags/carm_apply_plan/dagRuns")


@dataclass
class Held:
    """The register, and the plans of its months by period; ``portal`` is asked by somebody who made none of them."""

    register: Register
    plans: dict[str, str]
    portal: Portal

    @classmethod
    def make(cls, data: Path, url: str) -> Held:
        """A world in which no month was planned yet."""
        register = Register.make(data, url, breaker=ONE_CHANGE)
        portal = Portal(register.ws)
        portal.airflow.answers |= {RUNS: (200, {"dag_runs": []}), START: (200, {"dag_run_id": "manual__1"})}
        return cls(register, {}, portal)

    def plan(self, accounts: list[Account], period: Period = DECEMBER, effects: str = "live") -> str:
        """Decide and plan a month, which analyst started, and let it be issued where it is live; the plan's hash."""
        self.register.fill(accounts, period)
        month = month_of(period, effects=effects)
        publish_decisions(self.register.ws, month)
        plan_hash: str = publish_plan(self.register.ws, month, makers=("analyst",))["plan_hash"]
        if effects == "live":
            issued = {"period": str(period), "issued_on": "2021-12-25", "statements": 0, "statements_sha256": ""}
            self.register.change(insert(ISSUED_MONTHS).values(**issued, run_id="run-1"))
        self.plans[str(period)] = plan_hash
        return plan_hash

    def asked(self, plan_hash: str, state: str, run_id: str = "manual__1") -> None:
        """Airflow tells of one run that asks about the plan."""
        run: dict[str, Any] = {"dag_run_id": run_id, "conf": {"plan_hash": plan_hash}, "state": state}
        self.portal.airflow.answers[RUNS] = (200, {"dag_runs": [run]})
