"""Who may decide about a plan, what is recorded of the answer, and what a person is shown, on both databases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import insert, select, update

from include.airflow_records import Answer
from include.apply import apply_plan
from include.approvals import (
    approval_form,
    approver_of,
    describe_plan,
    makers_of,
    record_answer,
    renew_makers,
    require_decidable,
    settle_answer,
)
from include.audit import find_broken_link, read_links
from include.carm.errors import Refused, UsageError
from include.decide import publish_decisions
from include.operations_plan_tables import APPROVALS, PLAN_MAKERS, PLANS
from include.operations_statement_tables import ISSUED_MONTHS
from tests.decide.accounts import an_account
from tests.decide.month import DECEMBER, Register, month_of

AT = "2022-01-04T15:02:11+00:00"
OTHER_PLAN = "0" * 64


@pytest.fixture
def register(tmp_path: Path, database_url: str) -> Register:
    register = Register.make(tmp_path, database_url)
    register.fill([an_account(), an_account()])
    return register


@pytest.fixture
def held(register: Register) -> str:
    """A held plan that analyst made; its hash."""
    publish_decisions(register.ws, month_of())
    plan_hash = register.record_plan(month_of(), "held")
    set_state(register, plan_hash, approval="needed")
    made_by(register, plan_hash, "analyst")
    return plan_hash


def made_by(register: Register, plan_hash: str, *makers: str, run_id: str = "run-1") -> None:
    rows = [{"plan_hash": plan_hash, "run_id": run_id, "maker": maker} for maker in makers]
    register.change(insert(PLAN_MAKERS).values(rows))


def set_state(register: Register, plan_hash: str, **values: str) -> None:
    register.change(update(PLANS).where(PLANS.c.plan_hash == plan_hash).values(**values))


def issue(register: Register) -> None:
    values = {column.name: 0 if column.type.python_type is int else "" for column in ISSUED_MONTHS.columns}
    register.change(insert(ISSUED_MONTHS).values(**{**values, "period": str(DECEMBER)}))


def answer(register: Register, plan_hash: str, decided_by: str = "reviewer", **changes: Any) -> dict[str, Any]:
    facts = {"decision": "approved", "decided_at": AT, "asked_by": "requester", "run_id": "ask-1"}
    return record_answer(register.ws, plan_hash, decided_by=decided_by, **{**facts, **changes})


def approver(register: Register, plan_hash: str) -> str | None:
    with register.ws.operations.connect() as connection:
        return approver_of(connection, plan_hash)


def answers(register: Register) -> list[tuple[str, str, str]]:
    with register.ws.operations.connect() as connection:
        rows = connection.execute(select(APPROVALS).order_by(APPROVALS.c.approval_no)).all()
    return [(row.plan_hash, row.decided_by, row.decision) for row in rows]


def links(register: Register) -> list[tuple[str, dict[str, Any]]]:
    with register.ws.operations.connect() as connection:
        assert find_broken_link(connection) is None
        return [(link.subject, json.loads(link.facts)) for link in read_links(connection) if link.event == "approval"]


# --- An approval ------------------------------------------------------------------------------------------------


def test_the_approval_of_another_person_is_recorded_under_the_hash(register: Register, held: str) -> None:
    assert {"plan_hash": held, "decision": "approved", "decided_by": "reviewer", "approval_no": 1} == answer(
        register, held
    )
    assert [(held, "reviewer", "approved")] == answers(register)
    assert approver(register, held) == "reviewer"
    assert approver(register, OTHER_PLAN) is None
    assert [row["state"] for row in register.plans()] == ["held"]


def test_each_answer_is_a_link_of_the_chain_with_the_makers(register: Register, held: str) -> None:
    answer(register, held)
    assert links(register) == [
        (
            held,
            {
                "approval_no": 1,
                "asked_by": "requester",
                "decided_at": AT,
                "decided_by": "reviewer",
                "decision": "approved",
                "makers": ["analyst"],
                "refused_because": None,
                "run_id": "ask-1",
            },
        )
    ]


def test_the_same_answer_again_is_recorded_once_even_after_the_plan_was_applied(register: Register, held: str) -> None:
    first = answer(register, held)
    set_state(register, held, state="applied")
    assert first == answer(register, held)
    assert len(answers(register)) == len(links(register)) == 1


def test_a_ready_plan_is_approved_where_the_policy_asks_for_it(register: Register, held: str) -> None:
    set_state(register, held, state="ready")
    answer(register, held)
    assert approver(register, held) == "reviewer"


def test_the_last_answer_counts(register: Register, held: str) -> None:
    answer(register, held)
    answer(register, held, "operator", decision="rejected")
    assert approver(register, held) is None
    assert [row["state"] for row in register.plans()] == ["rejected"]
    answer(register, held, "second_reviewer")
    assert approver(register, held) == "second_reviewer"
    assert [row["state"] for row in register.plans()] == ["held"]


# --- Who may not ------------------------------------------------------------------------------------------------


def refuse(register: Register, plan_hash: str, why: str, decided_by: str = "reviewer", **changes: Any) -> None:
    """The answer is refused for this reason, is recorded as refused, and nothing else comes of it."""
    before, told, known = register.everything(), answers(register), approver(register, plan_hash)
    with pytest.raises(Refused, match=why) as refusal:
        answer(register, plan_hash, decided_by, **changes)
    assert "\n" not in str(refusal.value)
    assert [*told, (plan_hash, decided_by, "refused")] == answers(register)
    assert approver(register, plan_hash) == known
    assert register.everything() == before
    subject, facts = links(register)[-1]
    assert (subject, facts["decision"]) == (plan_hash, "refused")
    assert facts["refused_because"] in str(refusal.value)


@pytest.mark.parametrize("person", ["analyst", "Analyst", " ANALYST "])
def test_who_made_the_plan_cannot_approve_it(register: Register, held: str, person: str) -> None:
    refuse(register, held, "the same person started or cleared a run that made the plan", person)


def test_who_made_it_in_another_run_cannot_either(register: Register, held: str) -> None:
    made_by(register, held, "operator", run_id="run-2")
    refuse(register, held, "a run that made the plan", "operator")


@pytest.mark.parametrize(("asked_by", "also"), [("reviewer", ()), ("requester", ("requester", "reviewer"))])
def test_who_asked_cannot_approve(register: Register, held: str, asked_by: str, also: tuple[str, ...]) -> None:
    refuse(register, held, "started or cleared the run that asks", asked_by=asked_by, also_asked_by=also)


def test_an_unknown_maker_is_refused_with_the_way_out(register: Register, held: str) -> None:
    made_by(register, held, "unknown", run_id="run-2")
    refuse(register, held, "connection carm_airflow")


def test_a_plan_without_any_maker_on_record_is_refused(register: Register, held: str) -> None:
    register.change(PLAN_MAKERS.delete())
    refuse(register, held, "somebody who made it is not known")


def test_a_scheduled_run_has_no_maker_and_anybody_may_approve(register: Register, held: str) -> None:
    register.change(update(PLAN_MAKERS).values(maker="schedule"))
    answer(register, held, "analyst")
    assert approver(register, held) == "analyst"


@pytest.mark.parametrize("asked_by", ["unknown", "schedule"])
def test_an_unknown_asker_is_refused(register: Register, held: str, asked_by: str) -> None:
    refuse(register, held, "who asked for the approval is not known", asked_by=asked_by)


@pytest.mark.parametrize("person", ["", " ", "unknown", "UNKNOWN ", "schedule"])
@pytest.mark.parametrize("decision", ["approved", "rejected"])
def test_an_answer_of_nobody_does_not_count(register: Register, held: str, person: str, decision: str) -> None:
    refuse(register, held, "Airflow does not tell who answered", person, decision=decision)


@pytest.mark.parametrize("state", ["applied", "superseded", "handed_over", "undone"])
@pytest.mark.parametrize("decision", ["approved", "rejected"])
def test_a_plan_that_does_not_wait_takes_no_answer(register: Register, held: str, state: str, decision: str) -> None:
    set_state(register, held, state=state)
    refuse(register, held, f"it is {state} and does not wait for an approval", decision=decision)


def test_a_plan_that_passed_by_itself_takes_no_answer(register: Register, held: str) -> None:
    set_state(register, held, state="ready", approval="not_needed")
    refuse(register, held, "it is ready and does not wait for an approval")


def test_a_plan_that_was_held_under_a_policy_without_approvals_takes_none(register: Register, held: str) -> None:
    set_state(register, held, approval="not_allowed")
    refuse(register, held, "the policy lets no plan be approved")


@pytest.mark.parametrize("state", ["held", "rejected"])
def test_a_plan_is_not_approved_once_a_later_month_has_one(register: Register, held: str, state: str) -> None:
    set_state(register, held, state=state)
    (plan,) = register.plans()
    register.change(insert(PLANS).values(**{**plan, "plan_hash": OTHER_PLAN, "period": "2022-01"}))
    refuse(register, held, "2022-01 has a plan already")


def test_where_the_policy_lets_no_plan_be_approved_none_is(register: Register, held: str) -> None:
    refuse(register.with_policy(approval="never"), held, "the policy lets no plan be approved")


def test_a_refused_answer_does_not_undo_an_approval(register: Register, held: str) -> None:
    answer(register, held)
    refuse(register, held, "made the plan", "analyst", run_id="ask-2")
    assert approver(register, held) == "reviewer"


def test_decisions_that_changed_cannot_be_approved_but_rejected(register: Register, held: str) -> None:
    register.fill([an_account()])
    publish_decisions(register.ws, month_of(run_id="run-2"))
    refuse(register, held, "the decisions of 2021-12 are other ones now")
    answer(register, held, decision="rejected")
    assert answers(register)[-1] == (held, "reviewer", "rejected")


def test_a_decision_that_was_edited_in_its_file_cannot_be_approved(register: Register, held: str) -> None:
    file = register.ws.lake().path("account_decisions", DECEMBER)
    pq.write_table(pq.read_table(file).slice(1), file)
    refuse(register, held, "is not the file that was sealed")


def test_a_maker_may_reject(register: Register, held: str) -> None:
    answer(register, held, "analyst", decision="rejected")
    assert answers(register) == [(held, "analyst", "rejected")]


def test_a_shadow_plan_and_an_unknown_hash_take_no_answer(register: Register) -> None:
    publish_decisions(register.ws, month_of(effects="shadow"))
    shadow = register.record_plan(month_of(effects="shadow"), "held")
    for plan_hash in (shadow, OTHER_PLAN):
        with pytest.raises(Refused, match=f"there is no live plan {plan_hash[:12]}"):
            answer(register, plan_hash)
    assert answers(register) == links(register) == []


def test_a_third_kind_of_answer_is_wrong_usage(register: Register, held: str) -> None:
    with pytest.raises(UsageError, match="the answer 'maybe' is neither approved nor rejected"):
        answer(register, held, decision="maybe")


# --- Asked again ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_record", "now", "expected"),
    [
        (("analyst",), ("analyst",), ("analyst",)),
        (("analyst",), ("analyst", "reviewer"), ("analyst", "reviewer")),  # reviewer cleared a task since
        (("analyst",), ("reviewer",), ("analyst", "reviewer")),  # who was a maker stays one
        (("unknown",), ("analyst",), ("analyst",)),  # Airflow could not be asked then
        (("schedule",), ("schedule",), ("schedule",)),
        (("schedule",), ("reviewer",), ("reviewer",)),
        (("analyst",), ("unknown",), ("analyst", "unknown")),
    ],
)
def test_the_makers_are_asked_for_again(
    register: Register, held: str, on_record: tuple[str, ...], now: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    register.change(PLAN_MAKERS.delete())
    made_by(register, held, *on_record)
    assert renew_makers(register.ws, held, {"run-1": now}.__getitem__) == expected
    with register.ws.operations.connect() as connection:
        assert makers_of(connection, held) == expected


def test_each_run_that_made_the_plan_is_asked_about(register: Register, held: str) -> None:
    made_by(register, held, "unknown", run_id="run-2")
    now = {"run-1": ("analyst",), "run-2": ("operator",)}
    assert renew_makers(register.ws, held, now.__getitem__) == ("analyst", "operator")


def test_where_the_policy_lets_nobody_approve_an_earlier_approval_does_not_count(register: Register, held: str) -> None:
    answer(register, held)
    strict = register.with_policy(approval="never")
    with pytest.raises(Refused, match="the policy lets nobody approve it: nothing was changed"):
        apply_plan(strict.ws, month_of(), held)
    assert register.journal() == []


# --- Before and after the question ------------------------------------------------------------------------------


def test_what_can_be_approved_is_asked_about(register: Register, held: str) -> None:
    issue(register)
    assert require_decidable(register.ws, held) == {"plan_hash": held, "period": "2021-12", "changes": 0}


def test_a_month_that_is_not_closed_is_not_asked_about(register: Register, held: str) -> None:
    with pytest.raises(Refused, match="2021-12 is not issued yet; let carm_month finish it first"):
        require_decidable(register.ws, held)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda register, held: made_by(register, held, "unknown", run_id="run-2"), "is not known"),
        (lambda register, held: set_state(register, held, state="applied"), "it is applied"),
        (
            lambda register, held: register.ws.lake().path("account_decisions", DECEMBER).unlink(),
            "is not the file that was sealed",
        ),
    ],
)
def test_what_would_be_refused_afterwards_is_not_asked_about(
    register: Register, held: str, spoil: Any, why: str
) -> None:
    issue(register)
    spoil(register, held)
    with pytest.raises(Refused, match=rf"^plan {held[:12]} of 2021-12 cannot be approved: .*{why}"):
        require_decidable(register.ws, held)


def settle(register: Register, plan_hash: str, given: Answer | None) -> dict[str, Any]:
    return settle_answer(
        register.ws, plan_hash, given, asked_by="requester", also_asked_by=("requester",), run_id="ask-1"
    )


def test_only_an_approval_goes_on(register: Register, held: str) -> None:
    assert settle(register, held, Answer("Approve", "reviewer", AT))["decision"] == "approved"


def test_a_rejection_is_recorded_and_ends_the_run(register: Register, held: str) -> None:
    with pytest.raises(Refused, match=rf"^plan {held[:12]} was rejected by reviewer: nothing was changed$"):
        settle(register, held, Answer("Reject", "reviewer", AT))
    assert answers(register) == [(held, "reviewer", "rejected")]


def test_no_answer_is_no_approval(register: Register, held: str) -> None:
    with pytest.raises(Refused, match="nobody answered"):
        settle(register, held, None)
    assert answers(register) == []


# --- What a person is shown -------------------------------------------------------------------------------------


def test_the_form_shows_counts_strata_margins_hash_and_makers(register: Register, held: str) -> None:
    set_state(
        register,
        held,
        counts=json.dumps({"keep": {"active": 1200}, "close": {"no_activity_4_years": 2}}),
        strata=json.dumps({"program_type": {}, "province": {"ON": {"close": 2, "keep": 700}, "QC": {"keep": 1}}}),
        margins=json.dumps(
            [
                {"limit": "max_share", "stratum": "all", "changes": 2, "allowed": 1},
                {"limit": "max_share", "stratum": "province ON", "changes": 2, "allowed": 3},
            ]
        ),
        reason="too many",
    )
    form = approval_form(describe_plan(register.ws, held), {"the run": "http://airflow.example/runs/run-1"})
    for told in (
        held,
        "too many",
        "made by analyst",
        "| close | no_activity_4_years | 2 |",
        "| keep | active | 1,200 |",
        "| max_share | all | 2 | 1 |",
        "| max_share | province ON | 2 | 3 |",
        "| stratum | close | keep |",
        "| province ON | 2 | 700 |",
        "| province QC | 0 | 1 |",
        "[the run](http://airflow.example/runs/run-1)",
    ):
        assert told in form


def test_the_form_names_no_account(register: Register, held: str) -> None:
    form = approval_form(describe_plan(register.ws, held), {})
    for version in register.versions():
        assert version["bn15"] not in form
        assert version["legal_name"] not in form
