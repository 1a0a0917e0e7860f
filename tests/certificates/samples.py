"""Certificates made up for what they show, as their JSON has them: a good one, and what differs from it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from include.certificate import DOES_NOT_HOLD, HOLDS, NOT_CHECKED


def a_hash(digit: str) -> str:
    return digit * 64


def check(name: str, title: str, result: str = HOLDS, **others: Any) -> dict[str, Any]:
    """A check of the month; one that holds has compared something."""
    row = {
        "check": name,
        "of": None,
        "title": title,
        "compared": f"the one side of {name} with the other",
        "result": result,
        "faults": {HOLDS: 0, DOES_NOT_HOLD: 3, NOT_CHECKED: None}[result],
        "figures": {},
        "note": None,
    }
    return row | others


def margin(limit: str, stratum: str, changes: int, allowed: int) -> dict[str, Any]:
    numbers = {"changes": changes, "allowed": allowed, "margin": allowed - changes}
    return {"limit": limit, "stratum": stratum, **numbers}


PLAN: dict[str, Any] = {
    "plan_hash": a_hash("a"),
    "effects": "live",
    "state": "applied",
    "reason": "15 of 294 open accounts would change (5.1 %); the policy lets up to 29 pass in a run",
    "open_accounts": 294,
    "changes": 15,
    "approval": "not_needed",
    "applied_count": 14,
    "dropped_count": 1,
    "coverage_id": a_hash("b"),
    "rules_version": a_hash("c"),
    "policy_version": a_hash("d"),
    "rules_sha256": a_hash("e"),
    "counts": {"close": {"no_activity_4_years": 15}, "keep": {"active": 279}},
    "margins": [
        margin("max_share", "all", 15, 29),
        margin("max_times_median", "all", 15, 36),
        margin("max_share", "program_type importer", 7, 53),
        margin("max_changes", "province QC", 3, 3),
    ],
    "answer": None,
    "outcomes": {"applied": 14, "dropped": 1},
}

_CONTENT: dict[str, Any] = {
    "schema": "carm certificate 1",
    "period": "2021-12",
    "area": "lake",
    "version": 1,
    "supersedes": None,
    "month": {
        "days": {
            "start": "2021-11-25",
            "end": "2021-12-24",
            "as_of": "2021-12-24",
            "effective_on": "2021-12-25",
            "issued_on": "2021-12-25",
            "due_on": "2021-12-31",
        },
        "effects": "live",
        "issued": True,
        "coverage": {
            "coverage_id": a_hash("b"),
            "window": {"from": "2017-12", "to": "2021-12"},
            "feeds": [
                {"feed": "transactions", "months": 49, "covered": 49, "not_expected": 0, "gaps": []},
                {"feed": "export_declarations", "months": 49, "covered": 0, "not_expected": 49, "gaps": []},
            ],
        },
        "validation": {
            "published": [
                {"feed": "accounts", "rows": 299},
                {"feed": "transactions", "rows": 1305},
                {"feed": "export_declarations", "rows": 32},
                {"feed": "delegations", "rows": 218},
                {"feed": "webinars", "rows": 28},
            ],
            "quarantined": [
                {"feed": "subscribers", "reason": "unusable_address", "rows": 1},
                {"feed": "transactions", "reason": "date_missing", "rows": 3},
                {"feed": "transactions", "reason": "invalid_bn15", "rows": 1},
            ],
        },
        "control_totals": [
            {
                "feed": "transactions",
                "first_period": "2017-12",
                "source_rows": 13_557,
                "published_rows": 12_406,
                "brought_forward_rows": 1_100,
                "quarantined_rows": 51,
                "sum_cents": 450_793_390,
            },
        ],
        "decisions": [
            {"action": "close", "reason": "no_activity_4_years", "accounts": 15},
            {"action": "keep", "reason": "active", "accounts": 270},
            {"action": "keep", "reason": "younger_than_4_years", "accounts": 9},
        ],
        "plan": PLAN,
        "statements": {
            "statements": 121,
            "accounts": 121,
            "line_count": 303,
            "opening_cents": 254_273_065,
            "debits_cents": 67_313_669,
            "credits_cents": 63_033_643,
            "closing_cents": 258_553_091,
            "under_review_cents": 10_074_311,
            "total_payable_cents": 249_958_423,
            "ageing_cents": 258_553_091,
            "parked": [],
            "made_with": [
                {
                    "template_version": a_hash("f"),
                    "locale_version": "Babel 2.18.0, en_CA and fr_CA",
                    "typesetter_version": "typst 0.15.2",
                }
            ],
        },
        "notices": [{"kind": "closure", "messages": 9}, {"kind": "statement", "messages": 198}],
        "checks": [
            check("source_rows", "Source rows = published", of="transactions", figures={"source_rows": 13_557}),
            check("exact_cover", "Every posting on exactly one statement", figures={"postings": 303, "line_cents": -1}),
            check("chain", "Opening = closing of the month before", figures={"accounts": 121}),
        ],
        "files": [{"dataset": "statements", "rows": 121, "sha256": a_hash("0")}],
    },
    "moment": {
        "run_id": "manual__2021-12",
        "outbox": [
            {"kind": "closure", "state": "planned", "messages": 9},
            {"kind": "statement", "state": "planned", "messages": 190},
            {"kind": "statement", "state": "suppressed", "messages": 8},
        ],
        "unreached": {"statement": 3},
        "statement_acts": {},
        "audit_chain": {"head": a_hash("1"), "links": 1_234},
        "versions": {
            "project_version": "0.1.0",
            "python_version": "3.11.7",
            "code_sha256": a_hash("2"),
            "packages_sha256": a_hash("3"),
            "rules_sha256": a_hash("4"),
            "expectations_sha256": a_hash("5"),
            "templates_sha256": a_hash("6"),
        },
        "record": None,
    },
}


def a_certificate(**others: Any) -> dict[str, Any]:
    """The good one, with other values: ``a_certificate(plan={"state": "held"}, version=2)``.

    A name is looked for in ``month``, in ``moment`` and at the top; of a dictionary the parts that are named change.
    """
    content = copy.deepcopy(_CONTENT)
    for name, value in others.items():
        place = next(part for part in (content["month"], content["moment"], content) if name in part)
        is_changed = isinstance(value, Mapping) and isinstance(place[name], Mapping) and name != "unreached"
        place[name] = {**place[name], **value} if is_changed else value
    return content


def held() -> dict[str, Any]:
    """A plan that passed a limit and was approved late: a second version, with a gap and a parked account."""
    gap = {"word": "not_received", "from": "2019-03", "to": "2019-04", "months": 2}
    content = a_certificate(
        version=2,
        supersedes=a_hash("7"),
        plan={
            "approval": "needed",
            "margins": [margin("first_run_max_share", "all", 45, 29), margin("max_share", "province ON", 5, 14)],
            "answer": {"decision": "approved", "decided_by": "checker", "decided_at": "2021-12-25T15:00:00Z"},
        },
        statements={"parked": [{"reason": "account_not_published", "accounts": 2}]},
        outbox=[
            {"kind": "statement", "state": "sent", "messages": 197},
            {"kind": "statement", "state": "called_off", "messages": 1},
        ],
        unreached={},
    )
    content["month"]["coverage"]["feeds"][0] |= {"covered": 47, "gaps": [gap]}
    return content


def beside() -> dict[str, Any]:
    """A run beside the record, before any month that it could be compared with, which finds the month otherwise."""
    content = a_certificate(
        area="shadow",
        effects="shadow",
        plan={"effects": "shadow", "state": "shadow", "outcomes": {}, "margins": []},
        notices=None,
        outbox=[],
        unreached=None,
        record={"version": 2, "sha256": a_hash("8"), "differs_in": ["statements", "files"]},
    )
    content["month"]["checks"][2] |= {"result": NOT_CHECKED, "faults": None, "figures": {}, "note": "nothing before it"}
    return content


def failing() -> dict[str, Any]:
    """Two checks do not hold, and little is known of how the month was made."""
    content = a_certificate(
        plan=None,
        issued=False,
        control_totals=[],
        versions=dict.fromkeys(_CONTENT["moment"]["versions"]),
        audit_chain={"head": None, "links": 0},
    )
    content["month"]["plan"] = None
    for row in content["month"]["checks"][1:]:
        row |= {"result": DOES_NOT_HOLD, "faults": 3}
    content["month"]["validation"]["published"][4]["rows"] = None
    return content


SAMPLES: dict[str, Callable[[], dict[str, Any]]] = {
    "good": a_certificate,
    "held": held,
    "beside": beside,
    "failing": failing,
}
