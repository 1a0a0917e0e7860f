"""Notices that are owed: closures to come, accounts open again, reminders; and that nothing owed is forgotten."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from include.carm.errors import DataError
from include.carm.notice_policy import NoticePolicy
from include.carm.period import Period
from include.carm.quarter import Quarter
from include.database import write_transaction
from include.notice_intents import owe, owe_reinstatements, owe_statements
from include.notices import publish_notices
from include.operations_notice_tables import NOTICE_INTENTS, OUTBOX
from include.operations_plan_tables import ACCOUNT_CHANGES, REINSTATEMENTS
from include.person_records import BEFORE_ANY_MONTH
from include.reinstatement_notices import publish_reinstatement_notice
from include.tellings import call_off_coming, count_contradictions
from tests.notices.months import HASH_KEY, Month, account, decision, statement
from tests.notices.samples import figures

A, B = "000000018RM0001", "000000026RM0001"
POLICY = NoticePolicy.load()


@pytest.fixture
def live(tmp_path: Path) -> Month:
    month = Month(tmp_path, effects="live")
    month.hold("accounts", [account(A), account(B, language="fr")])
    return month


def run(month: Month) -> dict[str, Any]:
    return publish_notices(month.ws, month.facts, recipient_hash_key=HASH_KEY)


def intents(month: Month) -> dict[str, tuple[str, str | None]]:
    with month.ws.operations.connect() as connection:
        rows = connection.execute(select(NOTICE_INTENTS)).all()
    return {f"{row.kind} {row.about} {row.version}": (row.state, row.reason) for row in rows}


def owe_coming(month: Month, bn15: str = A, plan: str = "p1") -> None:
    with write_transaction(month.ws.operations) as connection:
        about = ("closure_coming", f"{bn15}/{month.period}", 1)
        owe(connection, about, bn15=bn15, period=str(month.period), cause=f"plan {plan}", run_id="test")


def undo(month: Month, number: int = 1, bn15: str = A, **changed: Any) -> dict[str, Any]:
    """A counter-action as ``reinstate_account`` records it; returns what that returns."""
    fillers = {int: 0, str: "-", date: date(2022, 1, 10)}
    columns = REINSTATEMENTS.columns
    row = {column.name: fillers[column.type.python_type] for column in columns if not column.nullable}
    row |= {"reinstatement_no": number, "bn15": bn15, "undoes": "close", "known_from": "2021-12", "plan_hash": None}
    row |= changed
    with write_transaction(month.ws.operations) as connection:
        connection.execute(insert(REINSTATEMENTS).values(row))
        owe_reinstatements(connection, [row])
    return {name: row[name] for name in ("reinstatement_no", "bn15", "known_from")}


def corrected(month: Month, bn15: str = A) -> None:
    """The change of a plan that corrected the program type from dual to exporter."""
    fillers = {int: 0, str: "-", date: date(2021, 11, 25)}
    columns = ACCOUNT_CHANGES.columns
    row = {column.name: fillers[column.type.python_type] for column in columns if not column.nullable}
    row |= {"bn15": bn15, "plan_hash": "p0", "period": "2021-11", "action": "convert", "outcome": "applied"}
    row |= {"program_type": "dual", "new_program_type": "exporter"}
    with write_transaction(month.ws.operations) as connection:
        connection.execute(insert(ACCOUNT_CHANGES).values(row))


# Closures to come


@pytest.mark.parametrize(("announced_in", "is_told"), [("2021-11", False), ("2021-12", True), (None, False)])
def test_a_shadow_run_tells_what_this_month_would_announce(
    tmp_path: Path, announced_in: str | None, is_told: bool
) -> None:
    month = Month(tmp_path)
    month.hold("accounts", [account(A)])
    month.seal("account_decisions", [decision(A, "candidate", announced_in=announced_in)])
    run(month)
    assert ["closure_coming"] * is_told == [row["kind"] for row in month.rows()]


def test_a_live_run_tells_the_announcement_that_is_owed_and_no_candidate_beside_it(live: Month) -> None:
    live.seal("account_decisions", [decision(A, "candidate", announced_in="2021-12")])
    assert run(live)["notices"] == 0
    owe_coming(live)
    assert run(live)["by_kind"]["closure_coming"] == {"en": 1}
    assert intents(live) == {f"closure_coming {A}/2021-12 1": ("told", None)}


@pytest.mark.parametrize(("months", "day"), [(1, "2022-01-25"), (3, "2022-03-25"), (12, "2022-12-25")])
def test_a_closure_to_come_names_its_first_possible_day(
    live: Month, months: int, day: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    closure = replace(live.ws.policy.closure, notice_months=months)
    live.ws = replace(live.ws, policy=replace(live.ws.policy, closure=closure))
    owe_coming(live)
    owe_coming(live, B)
    run(live)
    english, french = sorted(live.texts("closure_coming"), key=lambda text: "Avis" in text)
    assert f"Will be closed, at the earliest, on: {day}" in english
    assert {figure: n for figure, n in figures(english).items() if figure != A[:9]} == {
        figure: n for figure, n in figures(french).items() if figure != B[:9]
    }


def test_an_announcement_that_was_called_off_is_not_told(live: Month) -> None:
    owe_coming(live)
    with write_transaction(live.ws.operations) as connection:
        call_off_coming(connection, "p1")
    assert run(live)["notices"] == 0
    assert intents(live) == {f"closure_coming {A}/2021-12 1": ("called_off", None)}


def test_an_announcement_that_went_out_stays_told(live: Month) -> None:
    owe_coming(live)
    run(live)
    left = live.files()
    with write_transaction(live.ws.operations) as connection:
        connection.execute(update(OUTBOX).values(state="sent"))
        call_off_coming(connection, "p1")
    assert run(live)["outbox"] == {"planned": 0, "suppressed": 0}
    assert left == live.files()


# Accounts that are open again


def test_a_month_tells_what_was_undone_and_is_known_from_it_on(live: Month) -> None:
    undo(live)
    undo(live, 2, B, known_from="2022-01")
    assert run(live)["by_kind"]["reinstatement"] == {"en": 1}
    (text,) = live.texts("reinstatement")
    assert "Open again from: 2022-01-10" in text
    assert "Notice of 2021-12-25" in text
    assert intents(live)[f"reinstatement {B}/2022-01-10 1"] == ("owed", None)


def test_a_program_type_that_is_put_back_is_named_with_what_it_was(live: Month) -> None:
    corrected(live)
    undo(live, undoes="convert", plan_hash="p0")
    run(live)
    (text,) = live.texts("reinstatement")
    assert "Program type until now: exporter" in text
    assert "Program type again: importer/exporter" in text


def test_an_account_that_is_opened_twice_on_a_day_is_told_twice(live: Month) -> None:
    undo(live)
    undo(live, 2)
    assert run(live)["by_kind"]["reinstatement"] == {"en": 2}


def test_what_was_undone_before_any_month_is_told_with_the_first(live: Month) -> None:
    outcome = undo(live, known_from=BEFORE_ANY_MONTH)
    told = publish_reinstatement_notice(live.ws, outcome, recipient_hash_key=HASH_KEY, run_id="test")
    assert told == {"notices": 0, "told_with": "the first month"}
    assert run(live)["by_kind"]["reinstatement"] == {"en": 1}
    assert intents(live) == {f"reinstatement {A}/2022-01-10 1": ("told", None)}
    live.facts["period"], live.period = "2022-01", Period(2022, 1)
    prepare(live)
    assert run(live)["notices"] == 0


def prepare(month: Month) -> None:
    """Seal what notices read in a further month."""
    month.hold("accounts", [account(A), account(B, language="fr")])
    for dataset in ("statements", "account_decisions", "delegations", "quarantine"):
        month.seal(dataset, [])


def tell_now(month: Month, outcome: dict[str, Any]) -> dict[str, Any]:
    return publish_reinstatement_notice(month.ws, outcome, recipient_hash_key=HASH_KEY, run_id="test")


def test_what_its_dag_tells_at_once_the_month_does_not_tell_again(live: Month) -> None:
    run(live)
    now = tell_now(live, undo(live, known_from="2022-01"))
    assert now["by_kind"] == {"reinstatement": {"en": 1}}
    assert len(live.rows("reinstatement_notices")) == 1
    assert intents(live) == {f"reinstatement {A}/2022-01-10 1": ("told", None)}
    (text,) = live.texts("reinstated")
    assert "Notice of 2022-01-10" in text
    live.facts["period"], live.period = "2022-01", Period(2022, 1)
    prepare(live)
    assert run(live)["notices"] == 0


def test_a_further_reinstatement_adds_its_notice_and_changes_none(live: Month) -> None:
    run(live)
    tell_now(live, undo(live, known_from="2022-01"))
    before = live.documents("reinstated")
    second = undo(live, 2, B, known_from="2022-01", effective_on=date(2022, 1, 12))
    assert tell_now(live, second)["outbox"]["planned"] == 1
    assert before.items() < live.documents("reinstated").items()
    left = live.files()
    assert tell_now(live, second)["outbox"]["planned"] == 0
    assert left == live.files()


def test_what_the_command_line_undid_waits_for_its_month_though_the_dag_tells_another(live: Month) -> None:
    run(live)
    undo(live, 1, B, known_from="2022-01")
    tell_now(live, undo(live, 2, A, known_from="2022-01"))
    assert intents(live)[f"reinstatement {B}/2022-01-10 1"] == ("owed", None)
    live.facts["period"], live.period = "2022-01", Period(2022, 1)
    prepare(live)
    assert run(live)["by_kind"]["reinstatement"] == {"fr": 1}


def test_what_a_month_told_is_not_told_again_when_the_task_of_the_dag_is_cleared(live: Month) -> None:
    run(live)
    outcome = undo(live, known_from="2022-01")
    live.facts["period"], live.period = "2022-01", Period(2022, 1)
    prepare(live)
    assert run(live)["by_kind"]["reinstatement"] == {"en": 1}
    live.enter("accounts", [account(A, email="moved@example.org"), account(B)])
    assert tell_now(live, outcome)["outbox"] == {"planned": 0, "suppressed": 0}


def test_the_notices_of_a_month_and_of_a_dag_lie_beside_each_other(live: Month) -> None:
    run(live)
    tell_now(live, undo(live, known_from="2022-01"))
    undo(live, 2, B)
    run(live)
    assert (len(live.texts("reinstated")), len(live.texts("reinstatement"))) == (1, 1)


# Multi-factor authentication


def clients_of_portal(month: Month, **changed: Any) -> None:
    registered = {"portal_registered_on": date(2021, 6, 14), "mfa_registered_on": None}
    month.hold("accounts", [account(A, **registered | changed)])


def reminded(month: Month) -> int:
    run(month)
    return sum(row["kind"] == "mfa" for row in month.rows())


@pytest.mark.parametrize(
    ("changed", "is_reminded"),
    [
        ({}, True),
        ({"portal_registered_on": None}, False),
        ({"portal_registered_on": date(2021, 12, 24)}, True),
        ({"portal_registered_on": date(2021, 12, 25)}, False),
        ({"mfa_registered_on": date(2021, 12, 24)}, False),
        ({"mfa_registered_on": date(2021, 12, 25)}, True),
        ({"status": "closed"}, False),
    ],
)
def test_who_uses_the_portal_without_a_second_factor_is_reminded(
    tmp_path: Path, changed: dict[str, Any], is_reminded: bool
) -> None:
    month = Month(tmp_path)
    clients_of_portal(month, **changed)
    assert reminded(month) == is_reminded


def test_nobody_is_reminded_of_an_account_that_is_being_closed(tmp_path: Path) -> None:
    month = Month(tmp_path)
    clients_of_portal(month)
    month.seal("account_decisions", [decision(A)])
    assert reminded(month) == 0


@pytest.mark.parametrize(("last_day", "is_reminded"), [(date(2021, 11, 8), False), (date(2021, 11, 9), True)])
def test_nobody_is_reminded_before_the_portals_ask(
    tmp_path: Path, last_day: date, is_reminded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from include.carm.calendar import Calendar

    month = Month(tmp_path, period="2021-11")
    monkeypatch.setattr(Calendar, "as_of", lambda self, period: last_day)
    clients_of_portal(month)
    assert reminded(month) == is_reminded


@pytest.mark.parametrize(("period", "is_reminded"), [("2021-10", False), ("2021-11", True)])
def test_november_2021_is_the_first_month_with_a_reminder(tmp_path: Path, period: str, is_reminded: bool) -> None:
    month = Month(tmp_path, period=period)
    clients_of_portal(month)
    assert reminded(month) == is_reminded


def test_the_policy_can_leave_the_reminder_to_others(tmp_path: Path) -> None:
    from dataclasses import replace

    month = Month(tmp_path)
    clients_of_portal(month)
    policy = replace(POLICY, reminds_of_mfa=False)
    outcome = publish_notices(month.ws, month.facts, recipient_hash_key=HASH_KEY, policy=policy)
    assert outcome["notices"] == 0


@pytest.mark.parametrize(
    ("period", "quarter"),
    [("2021-01", "2021-Q1"), ("2021-03", "2021-Q1"), ("2021-04", "2021-Q2"), ("2021-12", "2021-Q4")],
)
def test_a_quarter_has_three_statement_months(period: str, quarter: str) -> None:
    assert str(Quarter.of(Period.parse(period))) == quarter


def test_an_account_is_reminded_once_a_quarter(tmp_path: Path) -> None:
    found = []
    for period in ("2021-11", "2021-12", "2022-01", "2022-02", "2022-03", "2022-04"):
        month = Month(tmp_path, period=period, effects="live")
        clients_of_portal(month)
        # The second run of the month says what the first said.
        found.append((reminded(month), reminded(month)))
    assert found == [(1, 1), (0, 0), (1, 1), (0, 0), (0, 0), (1, 1)]


def test_a_reminder_in_a_digest_is_the_one_of_its_quarter(tmp_path: Path) -> None:
    for period, expected in (("2021-11", {"digest": 1}), ("2021-12", {})):
        month = Month(tmp_path, period=period, effects="live")
        numbers = [f"000000018RM{number:04d}" for number in range(1, 6)]
        registered = {"portal_registered_on": date(2021, 6, 14), "email": "desk@example.org"}
        month.hold("accounts", [account(bn15, **registered) for bn15 in numbers])
        run(month)
        assert expected == {row["kind"]: 1 for row in month.rows()}


def test_a_reminder_of_a_shadow_run_was_told_to_nobody(tmp_path: Path) -> None:
    for period, effects in (("2021-11", "shadow"), ("2021-12", "live")):
        month = Month(tmp_path, period=period, effects=effects)
        clients_of_portal(month)
        assert reminded(month) == 1


# Nothing that is owed is forgotten


def test_a_month_that_still_owes_a_notice_stops_and_plans_none(live: Month) -> None:
    live.seal("statements", [statement(A)])
    with write_transaction(live.ws.operations) as connection:
        owe_statements(connection, "2021-12", [(A, 1), (B, 1)], "test")
    with pytest.raises(DataError, match=r"notices of 2021-12 are owed, .*: statement 1\. None of the month"):
        run(live)
    with live.ws.operations.connect() as connection:
        assert connection.execute(select(OUTBOX)).all() == []
    assert set(intents(live).values()) == {("owed", None)}
    live.seal("statements", [statement(A), statement(B)])
    run(live)
    assert set(intents(live).values()) == {("told", None)}


def test_a_shadow_run_owes_nothing(tmp_path: Path) -> None:
    month = Month(tmp_path)
    with write_transaction(month.ws.operations) as connection:
        owe_statements(connection, "2021-12", [(A, 1)], "test")
    run(month)
    assert set(intents(month).values()) == {("owed", None)}


def test_what_another_month_or_an_act_owes_does_not_stop_this_one(live: Month) -> None:
    with write_transaction(live.ws.operations) as connection:
        owe_statements(connection, "2022-01", [(A, 1)], "test")
        act = ("statement", f"{A}/2021-12", 2)
        owe(connection, act, bn15=A, period="2021-12", cause="act 1", run_id="test")
    assert run(live)["notices"] == 0


def test_what_reaches_nobody_is_settled_with_its_reason_and_told_once_it_can_be(live: Month) -> None:
    live.hold("accounts", [account(A, email=None)])
    owe_coming(live)
    run(live)
    assert intents(live) == {f"closure_coming {A}/2021-12 1": ("unreachable", "no_address")}
    live.enter("accounts", [account(A)])
    run(live)
    assert intents(live)[f"closure_coming {A}/2021-12 1"][0] == "told"


# What is owed and what the outbox says


def contradictions(month: Month) -> dict[str, int]:
    with month.ws.operations.connect() as connection:
        return count_contradictions(connection)


def settle_as(month: Month, state: str) -> None:
    with write_transaction(month.ws.operations) as connection:
        connection.execute(update(NOTICE_INTENTS).values(state=state))


@pytest.mark.parametrize("accounts", [1, 5])
def test_what_is_owed_agrees_with_the_outbox_or_is_counted(tmp_path: Path, accounts: int) -> None:
    month = Month(tmp_path, effects="live")
    numbers = [f"000000018RM{number:04d}" for number in range(1, accounts + 1)]
    month.hold("accounts", [account(bn15, email="desk@example.org") for bn15 in numbers])
    month.seal("statements", [statement(bn15) for bn15 in numbers])
    with write_transaction(month.ws.operations) as connection:
        owe_statements(connection, "2021-12", [(bn15, 1) for bn15 in numbers], "test")
    run(month)
    assert contradictions(month) == {}
    for state in ("owed", "unreachable", "called_off"):
        settle_as(month, state)
        assert contradictions(month) == {"message_without_telling": accounts}
    settle_as(month, "told")
    with write_transaction(month.ws.operations) as connection:
        connection.execute(update(OUTBOX).values(state="sealed"))
    assert contradictions(month) == {"told_without_message": accounts}
    settle_as(month, "unreachable")
    with write_transaction(month.ws.operations) as connection:
        connection.execute(update(OUTBOX).values(state="suppressed"))
    assert contradictions(month) == {}
