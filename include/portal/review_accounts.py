"""The accounts of a plan: a table to look through, the same as a file, and a sample to open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from include.carm.business_number import normalise
from include.portal.csv_file import send_csv
from include.portal.pages import InWorkspace
from include.portal.review_plans import SHORT_HASH, MonthPlan, PageNumber, show
from include.portal.staff import Reader

router = APIRouter()

Action = Literal["changes", "all", "close", "convert", "candidate", "waiting", "hold", "review", "unknown", "keep"]
Sort = Literal["bn15", "program_type", "province", "action", "reason", "clock_on"]
_Text = Annotated[str, Query(max_length=100)]
SORTS = (
    ("bn15", "Account"),
    ("action", "Action"),
    ("program_type", "Program type"),
    ("province", "Province"),
    ("reason", "Reason"),
    ("clock_on", "Last sign of life"),
)
"""The columns by which the table is put in order, and their names."""


@dataclass(frozen=True)
class Filter:
    """What the form above the table asks for; an empty field is any."""

    plan: Mapping[str, Any]
    action: Action
    program_type: str
    province: str
    reason: str
    bn: str
    sort: Sort
    order: Literal["asc", "desc"]

    def wanted(self) -> Any:
        """The same as the lake is asked for it."""
        from include.plan import CHANGES
        from include.plan_accounts import Wanted, actions_in

        all_actions = tuple(actions_in(self.plan))
        return Wanted(
            actions={"changes": CHANGES, "all": all_actions}.get(self.action, (self.action,)),
            program_type=self.program_type or None,
            province=self.province or None,
            reason=self.reason or None,
            bn_prefix=self.bn,
            sort=self.sort,
            is_descending=self.order == "desc",
        )

    def query(self, **changes: str | int) -> str:
        """The same, but for ``changes``, as the query of an address; what is as usual is left out."""
        usual = {"action": "changes", "sort": "bn15", "order": "asc", "page": 1}
        asked = {name: getattr(self, name) for name in ("action", "program_type", "province", "reason", "bn")}
        asked |= {"sort": self.sort, "order": self.order, **changes}
        said = {name: value for name, value in asked.items() if value != usual.get(name, "")}
        return urlencode({"plan": self.plan["plan_hash"][:SHORT_HASH], **said})


def read_filter(
    plan: MonthPlan,
    action: Action = "changes",
    program_type: _Text = "",
    province: _Text = "",
    reason: _Text = "",
    bn: Annotated[str, Query(pattern=r"^[0-9A-Za-z -]{0,30}$")] = "",
    sort: Sort = "bn15",
    order: Literal["asc", "desc"] = "asc",
) -> Filter:
    """What an address asks for of the accounts of a plan."""
    return Filter(plan, action, program_type, province, reason, normalise(bn), sort, order)


Filtered = Annotated[Filter, Depends(read_filter)]


@router.get("/review/{period}/accounts", response_class=HTMLResponse)
def show_accounts(
    request: Request, staff: Reader, ws: InWorkspace, asked: Filtered, page: PageNumber = 1
) -> HTMLResponse:
    """A page of the accounts that the plan decides about."""
    from include.plan_accounts import PAGE_ROWS, actions_in, find_accounts

    plan = asked.plan
    found = find_accounts(ws, plan, asked.wanted(), page)
    return show(
        request,
        "review_accounts.html",
        staff,
        plan,
        section="accounts",
        asked=asked,
        found=found.found,
        rows=found.rows,
        page=page,
        last_page=max(1, -(-found.found // PAGE_ROWS)),
        sorts=SORTS,
        actions=sorted(actions_in(plan)),
        program_types=sorted(plan["strata"].get("program_type", {})),
        provinces=sorted(plan["strata"].get("province", {})),
        reasons=sorted({reason for of_action in plan["counts"].values() for reason in of_action}),
    )


@router.get("/review/{period}/accounts.csv")
def export_accounts(_: Reader, ws: InWorkspace, asked: Filtered) -> StreamingResponse:
    """All accounts that are asked for as a CSV file: no name, no amount."""
    from include.plan_accounts import COLUMNS, read_accounts
    from include.plans import decisions_of

    plan = asked.plan
    decisions_of(ws, plan)  # Where they are gone, it is said before the file begins.
    name = f"plan-{plan['period']}-{plan['plan_hash'][:SHORT_HASH]}.csv"
    return send_csv(name, COLUMNS, read_accounts(ws, plan, asked.wanted()))


@router.get("/review/{period}/sample", response_class=HTMLResponse)
def show_sample(
    request: Request,
    staff: Reader,
    ws: InWorkspace,
    plan: MonthPlan,
    size: Annotated[int, Query(ge=1, le=10)] = 2,
) -> HTMLResponse:
    """A few changes of each stratum, the same ones for everybody."""
    from include.plan_accounts import draw_sample

    rows = draw_sample(ws, plan, size)
    return show(request, "review_sample.html", staff, plan, section="sample", rows=rows, size=size)
