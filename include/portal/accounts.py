"""Accounts: found by number or name, and everything that is known of one, with its figures and addresses masked.

What is masked is shown as the answer of a form, after it was recorded who sees it.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from include.carm.business_number import is_bn9, is_valid_bn15, normalise
from include.carm.errors import DataError, UsageError
from include.carm.period import Period
from include.portal.accounts_lake import DECISIONS_SHOWN, ITEMS_A_PAGE, OPEN_ITEMS_SHOWN, AccountInLake, FeedName
from include.portal.accounts_records import find_what_to_undo, read_records, read_statements
from include.portal.accounts_register import read_register, tell_force
from include.portal.accounts_search import MOST, find_by_firm, find_by_name
from include.portal.pages import BN15_PATTERN, HEADERS, CheckedForm, InWorkspace, render
from include.portal.staff import Reader, Staff
from include.portal.unmasking import MASK, mask, record_unmasking
from include.workspace import Workspace

router = APIRouter()

Bn15 = Annotated[str, Path(pattern=BN15_PATTERN)]
Page = Annotated[int, Query(ge=1, le=100_000)]

_SHORTEST_NAME = 2
_AMOUNTS = ("balance_cents", "under_review_cents", "amount_cents", "remaining_cents", "total_payable_cents")
_AGEING = ("current", "30", "60", "90", "over_90")
_MASKED = frozenset(
    (*_AMOUNTS, *(f"ageing_{bucket}_cents" for bucket in _AGEING), "calculated_interest_cents", "email", "address")
)


# Looking for one


@router.get("/accounts", response_class=HTMLResponse)
def show_search(request: Request, staff: Reader) -> HTMLResponse:
    """The form in which an account is looked for."""
    return render(request, "accounts.html", staff=staff, asked="", found=None, problem=None, most=MOST)


@router.post("/accounts/search", response_class=HTMLResponse, response_model=None, dependencies=[CheckedForm])
def search(
    request: Request, staff: Reader, ws: InWorkspace, asked: Annotated[str, Form(max_length=100)] = ""
) -> HTMLResponse | RedirectResponse:
    """What was found; an account's own number leads to its page. The name that was asked for stands in no address."""
    text = " ".join(asked.split())
    if is_valid_bn15(text):
        return RedirectResponse(normalise(text), 303, HEADERS)
    found, problem = None, None
    try:
        found = _find(ws, text)
    except UsageError as error:
        problem = str(error)
    return render(request, "accounts.html", staff=staff, asked=text, found=found, problem=problem, most=MOST)


def _find(ws: Workspace, text: str) -> list[dict[str, Any]]:
    if len(text) < _SHORTEST_NAME:
        raise UsageError(f"write a number, or at least {_SHORTEST_NAME} letters of a name")
    return find_by_firm(ws, text) if is_bn9(text) else find_by_name(ws, text)


# One account


@router.get("/accounts/{bn15}", response_class=HTMLResponse)
def show_account(
    request: Request,
    staff: Reader,
    ws: InWorkspace,
    bn15: Bn15,
    decisions: Annotated[Literal["newest", "all"], Query()] = "newest",
    started: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_.:+~-]{1,250}$")] = None,
) -> HTMLResponse:
    """All that is known of the account, masked; ``started`` is the run that a form of this page has just started."""
    account = read_account(ws, bn15, most_decisions=None if decisions == "all" else DECISIONS_SHOWN)
    return _show_account(request, staff, account, is_masked=True, started=started)


@router.post("/accounts/{bn15}/unmask", response_class=HTMLResponse, dependencies=[CheckedForm])
def unmask_account(request: Request, staff: Reader, ws: InWorkspace, bn15: Bn15) -> HTMLResponse:
    """The same with figures and addresses, after it was recorded who sees them."""
    account = read_account(ws, bn15)
    record_unmasking(ws, staff, account["bn15"], "account page")
    return _show_account(request, staff, account, is_masked=False)


def read_account(ws: Workspace, bn15: str, *, most_decisions: int | None = DECISIONS_SHOWN) -> dict[str, Any]:
    """Everything that the page shows, unmasked. Raises ``DataError`` for an account that nobody knows."""
    from include import engine

    lake = AccountInLake(ws, bn15)
    register, records, statements = read_register(ws, lake.bn15), read_records(ws, lake.bn15), read_statements(ws, bn15)
    with engine.connect() as con:
        standing, open_items = lake.read_standing(con), lake.read_open_items(con)
        decisions = lake.read_decisions(con, most_decisions)
        rendered, brokers = lake.read_rendered(con, records["issued"]), lake.read_brokers(con)
        firms = lake.read_firm_names(con, (row["provider_bn9"] for row in register["delegations"]))
    if not (register["versions"] or standing or statements):
        raise DataError(f"neither the register nor any month has an account {bn15}: look at the number again")
    as_of = ws.calendar.as_of(Period.parse(standing["period"])) if standing else None
    return {
        "bn15": lake.bn15,
        "versions": register["versions"],
        "delegations": [_delegation(row, firms, as_of) for row in register["delegations"]],
        "as_of": as_of,
        "brokers": brokers,
        "standing": standing,
        "open_items": open_items,
        "decisions": decisions,
        "has_more_decisions": most_decisions is not None and len(lake.months("account_decisions")) > most_decisions,
        "statements": statements,
        "rendered": rendered,
        **records,
        "undo": find_what_to_undo(ws, lake.bn15),
    }


def _delegation(row: dict[str, Any], firms: Any, as_of: date | None) -> dict[str, Any]:
    return {**row, "firm": firms.get(row["provider_bn9"]), "force": tell_force(row, as_of)}


def _show_account(
    request: Request, staff: Staff, account: dict[str, Any], *, is_masked: bool, started: str | None = None
) -> HTMLResponse:
    from include.person_records import tell_known_from

    return render(
        request,
        "account.html",
        staff=staff,
        account=masked(account) if is_masked else account,
        is_masked=is_masked,
        may_reinstate=staff.may_start("carm_reinstate_account"),
        started=started,
        tell_known_from=tell_known_from,
        most_items=OPEN_ITEMS_SHOWN,
        ageing=_AGEING,
    )


def masked(account: dict[str, Any]) -> dict[str, Any]:
    """What :func:`read_account` gives, without figures, addresses and names of people: no template can show them."""
    shown = dict(account)
    for name in ("versions", "open_items"):
        shown[name] = [mask(row, _MASKED) for row in account[name]]
    # The names of an account's versions are those of firms; those of its delegates are of people.
    shown["delegations"] = [mask(row, {*_MASKED, "name"}) for row in account["delegations"]]
    if account["standing"]:
        head = account["standing"]["head"]
        shown["standing"] = {**mask(account["standing"], _MASKED), "head": head and mask(head, _MASKED)}
    shown["notices"] = [
        {**notice, "messages": [mask(message, _MASKED) for message in notice["messages"]]}
        for notice in account["notices"]
    ]
    return shown


# Its transactions


@router.get("/accounts/{bn15}/{feed}", response_class=HTMLResponse)
def show_items(
    request: Request, staff: Reader, ws: InWorkspace, bn15: Bn15, feed: FeedName, page: Page = 1
) -> HTMLResponse:
    """A page of the account's transactions or export declarations, as they are now, with masked amounts."""
    items = [{**row, "amount_cents": MASK} for row in _read_items(ws, bn15, feed, page)]
    return _show_items(request, staff, bn15, feed, page, items, is_masked=True)


@router.post("/accounts/{bn15}/{feed}/unmask", response_class=HTMLResponse, dependencies=[CheckedForm])
def unmask_items(
    request: Request,
    staff: Reader,
    ws: InWorkspace,
    bn15: Bn15,
    feed: FeedName,
    page: Annotated[int, Form(ge=1, le=100_000)] = 1,
) -> HTMLResponse:
    """The same page with its amounts, after it was recorded who sees them."""
    items = _read_items(ws, bn15, feed, page)
    record_unmasking(ws, staff, bn15, f"{feed.replace('_', ' ')}, page {page}")
    return _show_items(request, staff, bn15, feed, page, items, is_masked=False)


def _read_items(ws: Workspace, bn15: str, feed: FeedName, page: int) -> list[dict[str, Any]]:
    from include import engine
    from include.feeds import LEDGER_FEEDS

    (ledger_feed,) = (each for each in LEDGER_FEEDS if each.name == feed)
    with engine.connect() as con:
        return AccountInLake(ws, bn15).read_items(con, ledger_feed, page)


def _show_items(
    request: Request,
    staff: Staff,
    bn15: str,
    feed: FeedName,
    page: int,
    items: list[dict[str, Any]],
    *,
    is_masked: bool,
) -> HTMLResponse:
    count = items[0]["items"] if items else 0
    return render(
        request,
        "account_items.html",
        staff=staff,
        bn15=bn15,
        feed=feed,
        items=items,
        count=count,
        page=page,
        pages=-(-count // ITEMS_A_PAGE),
        first=(page - 1) * ITEMS_A_PAGE + 1,
        is_masked=is_masked,
    )
