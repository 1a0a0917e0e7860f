"""A person is asked about a plan: what is in the way, who may not answer, and where the question stands in Airflow.

The question itself is Airflow's (Dag ``carm_apply_plan``): here it is only asked for, and found again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Form, HTTPException
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from include.carm.errors import Refused, UsageError
from include.portal.pages import HASH_PATTERN, CheckedForm, InWorkspace
from include.portal.review_plans import APPLY_DAG, SHORT_HASH, Month, go_to
from include.portal.staff import Reader, Staff
from include.portal.started_runs import post_run
from include.workspace import Workspace

router = APIRouter()

_QUESTION_TASK = "approval"
_OPEN = ("queued", "running")
_MOST_RUNS = 100
_MOST_TRIES = 20
"""Names of runs that are tried where Airflow knows the first ones already, of questions too old to be listed."""


@dataclass(frozen=True)
class Question:
    """A run of ``carm_apply_plan``: it asks a person about the plan ``plan_hash``."""

    run_id: str
    plan_hash: str | None
    state: str

    @property
    def is_open(self) -> bool:
        """Whether the run still goes on; only then may the question wait for an answer."""
        return self.state in _OPEN

    @property
    def page(self) -> str:
        """Where it is answered, below the address of Airflow; once it is over, the run's page."""
        run = f"dags/{APPLY_DAG}/runs/{quote(self.run_id, safe='')}"
        return f"{run}/tasks/{_QUESTION_TASK}/required_actions" if self.is_open else run


@dataclass(frozen=True)
class Questions:
    """The newest questions about all plans; ``problem`` says why they are not known, where they are not."""

    asked: tuple[Question, ...] = ()
    problem: str | None = None

    def about(self, plan_hash: str) -> list[Question]:
        """Those about one plan, the newest first."""
        return [question for question in self.asked if question.plan_hash == plan_hash]


async def list_questions(staff: Reader) -> Questions:
    """What Airflow tells of the newest runs of ``carm_apply_plan``."""
    query = urlencode({"limit": _MOST_RUNS, "order_by": "-run_after"})
    status, answer = await staff.ask_airflow("GET", f"/dags/{APPLY_DAG}/dagRuns?{query}", None)
    if status != 200:
        return Questions(problem=f"Airflow does not tell of the runs of {APPLY_DAG} (status {status})")
    return Questions(
        tuple(
            Question(entry["dag_run_id"], (entry.get("conf") or {}).get("plan_hash"), entry["state"])
            for entry in answer["dag_runs"]
        )
    )


AskedQuestions = Annotated[Questions, Depends(list_questions)]


def tell_approval(ws: Workspace, staff: Staff, plan: Mapping[str, Any], questions: Questions) -> dict[str, Any]:
    """What the page says of a plan's approval.

    ``obstacle`` is why nobody can be asked (None: somebody can), ``may_ask`` whether this person can ask, ``is_maker``
    whether this person made the plan and so may not approve it; ``asked`` are the questions about it.
    """
    from include.airflow_records import UNKNOWN
    from include.approvals import why_not_asked

    is_live = plan["effects"] == "live"
    return {
        "obstacle": why_not_asked(ws, plan["plan_hash"]) if is_live else "a shadow run applies nothing",
        "may_ask": staff.may_start(APPLY_DAG),
        "is_maker": staff.name.strip().casefold() in (maker.strip().casefold() for maker in plan["makers"]),
        "has_unknown_maker": UNKNOWN in plan["makers"],
        "asked": questions.about(plan["plan_hash"])[:5],
        "problem": questions.problem,
        "dag_id": APPLY_DAG,
    }


@router.post("/review/{period}/approval", dependencies=[CheckedForm])
async def ask_for_approval(
    staff: Reader,
    ws: InWorkspace,
    period: Month,
    plan_hash: Annotated[str, Form(pattern=HASH_PATTERN)],
) -> RedirectResponse:
    """Start the Dag that asks a person about a plan, unless it asks already."""
    staff.require_start(APPLY_DAG)
    await run_in_threadpool(_require_askable, ws, period, plan_hash)
    number = 0
    for _ in range(_MOST_TRIES):
        asked = (await list_questions(staff)).about(plan_hash)
        if any(question.is_open for question in asked):
            raise Refused(f"a person is asked about plan {plan_hash[:SHORT_HASH]} already: answer that question")
        # Named for how often it was asked, so that of two who ask at once Airflow takes one.
        number = max(number, len(asked)) + 1
        run_id = f"portal__{plan_hash[:SHORT_HASH]}__{number}"
        status, _ = await post_run(staff, APPLY_DAG, {"plan_hash": plan_hash}, run_id=run_id)
        if status != 409:
            break
    if status == 403:
        raise HTTPException(403, f"Airflow does not let you start {APPLY_DAG}: ask who administers it")
    if status not in (200, 201):
        raise HTTPException(503, f"Airflow did not start {APPLY_DAG} (status {status}): try again, or start it there")
    return go_to(f"../{period}", plan=plan_hash[:SHORT_HASH], asked="yes")


def _require_askable(ws: Workspace, period: str, plan_hash: str) -> None:
    from include.approvals import why_not_asked
    from include.plans import find_plan

    obstacle = why_not_asked(ws, plan_hash)
    if obstacle:
        raise Refused(f"nobody can be asked about plan {plan_hash[:SHORT_HASH]}: {obstacle}")
    if find_plan(ws, plan_hash)["period"] != period:
        raise UsageError(f"plan {plan_hash[:SHORT_HASH]} is not of {period}")
