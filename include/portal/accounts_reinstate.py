"""Undoes what the clean-up did to an account, by starting the Dag that does it."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse

from include.portal.accounts import Bn15
from include.portal.pages import HEADERS, CheckedForm
from include.portal.staff import Reader
from include.portal.started_runs import post_run

router = APIRouter()

REINSTATE_DAG = "carm_reinstate_account"


@router.post("/accounts/{bn15}/reinstate", dependencies=[CheckedForm])
async def reinstate(
    request: Request,
    staff: Reader,
    bn15: Bn15,
    reason: Annotated[str, Form(min_length=3, max_length=500)],
    effective_on: Annotated[date, Form()],
) -> RedirectResponse:
    """Start a run that reinstates the account, in the name of who fills the form in; the Dag says what it refuses."""
    from include.person_records import require_reason

    staff.require_start(REINSTATE_DAG)
    conf = {"bn15": bn15, "reason": require_reason(reason), "effective_on": effective_on.isoformat()}
    status, answer = await post_run(staff, REINSTATE_DAG, conf)
    if status != 200:
        raise HTTPException(status if status in (403, 404, 409) else 400, f"no run was started: {_why(status, answer)}")
    return RedirectResponse(f"../{bn15}?started={quote(answer['dag_run_id'], safe='')}", 303, HEADERS)


def _why(status: int, answer: Any) -> str:
    """What Airflow says against it, in one line."""
    detail = answer.get("detail") if isinstance(answer, dict) else None
    line = detail.strip().splitlines()[0] if isinstance(detail, str) and detail.strip() else "it does not say why"
    return f"Airflow answered {status}, {line}"
