"""What persons record about accounts, from which month it counts, and what a month seals of it."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from include.audit import find_broken_link, read_links
from include.carm.business_number import account_key
from include.carm.errors import DataError, Refused, Unavailable, UsageError
from include.carm.period import Period
from include.database import write_transaction
from include.datasets import schema_of
from include.decide import publish_decisions
from include.operations_plan_tables import CLOSURE_ANNOUNCEMENTS, HOLDS, REINSTATEMENTS, REVIEW_DECISIONS
from include.operations_statement_tables import ISSUED_MONTHS
from include.person_records import (
    lift_hold,
    next_number,
    read_records,
    record_hold,
    record_review,
    tell_known_from,
)
from tests.decide.accounts import AS_OF, an_account, bn15_of
from tests.decide.cells import BOTH
from tests.decide.month import DECEMBER, Register, month_of
from tests.pipeline import read

DORMANT, MIXED = bn15_of(0), bn15_of(1)
BY = {"reason": "an appeal is pending", "recorded_by": "clerk"}
ALONE = {"is_new": True, "beside": []}
JANUARY = Period(2022, 1)


@pytest.fixture
def register(tmp_path: Path, database_url: str) -> Register:
    made = Register.make(tmp_path / "data", database_url)
    made.fill([an_account(), an_account(activities=BOTH)])
    return made


def issue(register: Register, period: str) -> None:
    values = {"period": period, "issued_on": "", "statements": 0, "statements_sha256": "", "run_id": ""}
    register.change(insert(ISSUED_MONTHS).values(values))


def rows_of(register: Register, table: Any) -> list[dict[str, Any]]:
    with register.ws.operations.connect() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def links_of(register: Register) -> list[tuple[str, str, dict[str, Any]]]:
    with register.ws.operations.connect() as connection:
        assert find_broken_link(connection) is None
        return [(link.event, link.subject, json.loads(link.facts)) for link in read_links(connection)]


def kinds(register: Register, period: Period = DECEMBER) -> list[tuple[str, int | None]]:
    return [(row["kind"], row["record_no"]) for row in read_records(register.ws, period).to_pylist()]


def decide(register: Register) -> dict[str, dict[str, Any]]:
    publish_decisions(register.ws, month_of())
    return {row["bn15"]: row for row in read(register.ws, "account_decisions", "2021-12").to_dict("records")}


# Recording.


def test_a_hold_is_a_row_and_a_link_and_stops_the_closure(register: Register) -> None:
    assert "close" == decide(register)[DORMANT]["action"]
    made = record_hold(register.ws, DORMANT.lower().replace("rm", " rm "), until=AS_OF, **BY)
    assert {"hold_no": 1, "bn15": DORMANT, "known_from": "0001-01", "until": AS_OF, **ALONE} == made
    (row,) = rows_of(register, HOLDS)
    assert (DORMANT, "an appeal is pending", AS_OF, None, "clerk") == (
        row["bn15"],
        row["reason"],
        row["hold_until"],
        row["lifted_from"],
        row["recorded_by"],
    )
    assert [
        ("hold", DORMANT, {"hold_no": 1, "until": "2021-12-24", "known_from": "0001-01", **BY}),
    ] == links_of(register)
    held = decide(register)[DORMANT]
    assert ("hold", "on_hold", 1) == (held["action"], held["reason"], held["hold_no"])


def test_a_review_is_a_row_and_a_link_and_settles_the_account(register: Register) -> None:
    assert "review" == decide(register)[MIXED]["action"]
    made = record_review(register.ws, MIXED, decision="keep", until=AS_OF, **BY)
    assert {"review_no": 1, "bn15": MIXED, "decision": "keep", "known_from": "0001-01", "until": AS_OF, **ALONE} == made
    (row,) = rows_of(register, REVIEW_DECISIONS)
    assert (MIXED, "keep", AS_OF, "clerk") == (row["bn15"], row["decision"], row["valid_until"], row["recorded_by"])
    facts = {"review_no": 1, "decision": "keep", "until": "2021-12-24", "known_from": "0001-01", **BY}
    assert [("review", MIXED, facts)] == links_of(register)
    settled = decide(register)[MIXED]
    assert ("keep", "mixed_activity", 1) == (settled["action"], settled["reason"], settled["review_no"])


def test_a_review_of_a_dormant_account_lets_nothing_through_and_stops_nothing(register: Register) -> None:
    record_review(register.ws, DORMANT, decision="handled_elsewhere", until=AS_OF, **BY)
    assert "close" == decide(register)[DORMANT]["action"]


def test_lifting_lifts_every_hold_of_persons_on_the_account(register: Register) -> None:
    for until in (None, AS_OF):
        record_hold(register.ws, DORMANT, until=until, **BY)
    record_hold(register.ws, MIXED, until=None, **BY)
    lifted = lift_hold(register.ws, DORMANT, **BY)
    assert {"hold_nos": [1, 2], "bn15": DORMANT, "lifted_from": "0001-01"} == lifted
    assert [("hold", 3)] == kinds(register)
    assert ("hold", DORMANT, {"hold_nos": [1, 2], "lifted_from": "0001-01", **BY}) == links_of(register)[-1]
    assert "close" == decide(register)[DORMANT]["action"]
    with pytest.raises(Refused, match="no hold that a person recorded stands on"):
        lift_hold(register.ws, DORMANT, **BY)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"bn15": "123456789RM0001"}, UsageError, "is not a BN15"),
        ({"bn15": bn15_of(7)}, DataError, "the register has no account"),
        ({"reason": " \n"}, UsageError, "needs its reason"),
        ({"reason": "x" * 501}, UsageError, "500 are the most"),
        ({"reason": "an \x1b[8mappeal"}, UsageError, r"^the reason has a character that cannot be seen \(U\+001B\)"),
        (
            {"recorded_by": "clerk\N{RIGHT-TO-LEFT OVERRIDE}"},
            UsageError,
            r"^the name of who .* \(U\+202E\)",
        ),
        ({"recorded_by": " "}, UsageError, "write a name of 1 to 100 characters"),
        ({"recorded_by": "n" * 101}, UsageError, "write a name of 1 to 100 characters"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    register: Register, wrong: dict[str, str], error: type[Exception], message: str
) -> None:
    given = {"bn15": DORMANT, **BY, **wrong}
    number = given.pop("bn15")
    with pytest.raises(error, match=message):
        record_hold(register.ws, number, until=None, **given)
    with pytest.raises(error, match=message):
        record_review(register.ws, number, decision="keep", until=AS_OF, **given)
    assert ([], [], []) == (rows_of(register, HOLDS), rows_of(register, REVIEW_DECISIONS), links_of(register))


def test_a_review_decides_to_keep_or_says_that_it_is_handled(register: Register) -> None:
    with pytest.raises(UsageError, match="write one of keep, handled_elsewhere"):
        record_review(register.ws, MIXED, decision="close", until=AS_OF, **BY)


def test_reason_and_name_are_one_line_and_may_be_as_long_as_that(register: Register) -> None:
    record_hold(register.ws, DORMANT, until=None, reason="x" * 499 + "y", recorded_by=" the\tclerk ")
    record_review(register.ws, MIXED, decision="keep", until=AS_OF, reason="an\nappeal", recorded_by="n" * 100)
    lift_hold(register.ws, DORMANT, reason="settled\n", recorded_by="the  clerk")
    assert ["the clerk"] == [row["recorded_by"] for row in rows_of(register, HOLDS)]
    assert [("an appeal", "n" * 100)] == [
        (row["reason"], row["recorded_by"]) for row in rows_of(register, REVIEW_DECISIONS)
    ]
    assert ["x" * 499 + "y", "an appeal", "settled"] == [facts["reason"] for _, _, facts in links_of(register)]
    with pytest.raises(UsageError, match="cannot be seen"):
        lift_hold(register.ws, DORMANT, reason="settled\x07", recorded_by="clerk")


def test_the_same_hold_again_is_recorded_once(register: Register) -> None:
    hold = {"until": AS_OF, **BY}
    first = record_hold(register.ws, DORMANT, **hold)
    record_hold(register.ws, MIXED, **hold)
    links = links_of(register)
    assert {**first, "is_new": False} == record_hold(register.ws, DORMANT, **hold)
    issue(register, "2021-11")
    assert {**first, "is_new": False} == record_hold(register.ws, DORMANT, **hold)
    assert (2, links) == (len(rows_of(register, HOLDS)), links_of(register))
    lift_hold(register.ws, DORMANT, **BY)
    again = record_hold(register.ws, DORMANT, **hold)
    assert (3, True, []) == (again["hold_no"], again["is_new"], again["beside"])


@pytest.mark.parametrize("other", [{"until": None}, {"reason": "another file"}, {"recorded_by": "reviewer"}])
def test_another_hold_is_recorded_beside_the_one_that_is_in_force(register: Register, other: dict[str, Any]) -> None:
    record_hold(register.ws, DORMANT, **{"until": AS_OF, **BY})
    second = record_hold(register.ws, DORMANT, **{"until": AS_OF, **BY, **other})
    beside = [{"no": 1, "until": AS_OF, "recorded_by": "clerk"}]
    assert (2, True, beside) == (second["hold_no"], second["is_new"], second["beside"])


def test_the_same_review_again_is_recorded_once_and_another_beside_it(register: Register) -> None:
    review = {"decision": "keep", "until": AS_OF, **BY}
    first = record_review(register.ws, MIXED, **review)
    links = links_of(register)
    assert {**first, "is_new": False} == record_review(register.ws, MIXED, **review)
    assert (1, links) == (len(rows_of(register, REVIEW_DECISIONS)), links_of(register))
    second = record_review(register.ws, MIXED, **{**review, "decision": "handled_elsewhere"})
    beside = [{"no": 1, "until": AS_OF, "recorded_by": "clerk"}]
    assert (2, True, beside) == (second["review_no"], second["is_new"], second["beside"])


def test_a_record_that_ends_before_the_next_month_is_not_beside_a_new_one(register: Register) -> None:
    for until in (AS_OF, register.ws.calendar.as_of(JANUARY)):
        record_hold(register.ws, DORMANT, until=until, **BY)
    issue(register, "2021-12")
    assert [2] == [other["no"] for other in record_hold(register.ws, DORMANT, until=None, **BY)["beside"]]


# From which month a record counts.


def test_an_issued_month_never_takes_notice_of_what_is_recorded_after_it(register: Register) -> None:
    issue(register, "2021-11")
    issue(register, "2021-12")
    january = register.ws.calendar.as_of(JANUARY)
    assert "2022-01" == record_hold(register.ws, DORMANT, until=None, **BY)["known_from"]
    assert "2022-01" == record_review(register.ws, MIXED, decision="keep", until=january, **BY)["known_from"]
    assert [] == kinds(register)
    assert [("hold", 1), ("review", 1)] == kinds(register, JANUARY)


@pytest.mark.parametrize(("known_from", "told"), [("0001-01", "the first month"), ("2022-01", "2022-01")])
def test_the_month_from_which_a_record_is_known_is_told(known_from: str, told: str) -> None:
    assert told == tell_known_from(known_from)


def test_a_hold_that_is_lifted_stays_known_in_the_months_that_it_held(register: Register) -> None:
    record_hold(register.ws, DORMANT, until=None, **BY)
    issue(register, "2021-12")
    assert "2022-01" == lift_hold(register.ws, DORMANT, **BY)["lifted_from"]
    assert [("hold", 1)] == kinds(register)
    assert [] == kinds(register, JANUARY)


def test_a_record_that_could_never_count_is_refused(register: Register) -> None:
    issue(register, "2021-12")
    last_day = register.ws.calendar.as_of(JANUARY)
    for until in (AS_OF, last_day - timedelta(days=1)):
        with pytest.raises(UsageError, match=f"{until} is before {last_day}, the last day of 2022-01"):
            record_hold(register.ws, DORMANT, until=until, **BY)
        with pytest.raises(UsageError, match="would never count"):
            record_review(register.ws, DORMANT, decision="keep", until=until, **BY)
    assert 1 == record_hold(register.ws, DORMANT, until=last_day, **BY)["hold_no"]


# What a month seals.


def undo(register: Register, known_from: str, rule_id: str | None) -> None:
    values = {
        "reinstatement_no": len(rows_of(register, REINSTATEMENTS)) + 1,
        "bn15": DORMANT,
        "account_key": 1,
        "plan_hash": "p",
        "undoes": "close",
        "rule_id": rule_id,
        "reason": "asked for",
        "effective_on": date(2021, 12, 1),
        "known_from": known_from,
        "old_version": "{}",
        "new_version": "{}",
        "recorded_by": "clerk",
        "run_id": "r",
    }
    register.change(insert(REINSTATEMENTS).values(values))


def test_an_undone_change_is_known_from_its_month_on_and_only_where_a_rule_made_it(register: Register) -> None:
    undo(register, "2021-12", "importer_none")
    undo(register, "2022-01", "dual_export")
    undo(register, "2021-12", None)
    assert [("undone", 1)] == kinds(register)
    assert [("undone", 1), ("undone", 2)] == kinds(register, JANUARY)
    (row,) = read_records(register.ws, DECEMBER).to_pylist()
    assert ("importer_none", date(2021, 12, 1)) == (row["rule_id"], row["effective_on"])


@pytest.mark.parametrize(
    ("announced_in", "cleared_in", "is_known"),
    [
        ("2021-11", None, True),
        ("2021-12", None, False),
        ("2022-01", None, False),
        ("2021-09", "2021-11", False),
        # The month that ends it must come out the same when it runs again.
        ("2021-09", "2021-12", True),
        ("2021-09", "2022-01", True),
    ],
)
def test_a_month_knows_the_announcements_before_it_that_no_earlier_month_ended(
    register: Register, announced_in: str, cleared_in: str | None, is_known: bool
) -> None:
    values = {"bn15": DORMANT, "announced_in": announced_in, "account_key": 1, "plan_hash": "p"}
    register.change(insert(CLOSURE_ANNOUNCEMENTS).values({**values, "cleared_in": cleared_in}))
    found = read_records(register.ws, DECEMBER).to_pylist()
    assert ([announced_in] if is_known else []) == [row["announced_in"] for row in found]


def test_a_month_seals_every_kind_of_record_whole_and_in_order(register: Register) -> None:
    later, keys = date(2022, 12, 24), {number: account_key(number) for number in (DORMANT, MIXED)}
    for number, until in ((MIXED, None), (DORMANT, AS_OF), (DORMANT, later)):
        record_hold(register.ws, number, until=until, **BY)
    record_review(register.ws, MIXED, decision="keep", until=AS_OF, **BY)
    for number, months in ((MIXED, ("2021-11",)), (DORMANT, ("2021-11", "2021-10"))):
        for month in months:
            values = {"bn15": number, "announced_in": month, "account_key": keys[number], "plan_hash": "p"}
            register.change(insert(CLOSURE_ANNOUNCEMENTS).values(values))
    empty = dict.fromkeys(schema_of("clean_up_records").names)

    def record(kind: str, number: str, **known: object) -> dict[str, object]:
        return {**empty, "kind": kind, "bn15": number, "account_key": keys[number], **known}

    assert read_records(register.ws, DECEMBER).to_pylist() == [
        record("announced", DORMANT, announced_in="2021-10"),
        record("announced", DORMANT, announced_in="2021-11"),
        record("announced", MIXED, announced_in="2021-11"),
        record("hold", DORMANT, record_no=2, until=AS_OF),
        record("hold", DORMANT, record_no=3, until=later),
        record("hold", MIXED, record_no=1),
        record("review", MIXED, record_no=1, until=AS_OF),
    ]


def test_two_writers_on_postgresql_do_not_take_the_same_number(postgresql_url: str, tmp_path: Path) -> None:
    register = Register.make(tmp_path / "data", postgresql_url)
    engine = register.ws.operations
    with write_transaction(engine) as first, engine.connect() as second:
        assert next_number(first, HOLDS.c.hold_no) == 1
        second.exec_driver_sql("SET lock_timeout = '100ms'")
        with pytest.raises(Unavailable, match="is locked by another session"):
            next_number(second, HOLDS.c.hold_no)


def test_the_records_are_sealed_beside_the_decisions_and_decisions_rest_on_them(register: Register) -> None:
    record_hold(register.ws, DORMANT, until=None, **BY)
    first = publish_decisions(register.ws, month_of())
    lake = register.ws.lake()
    assert {"clean_up_records", "account_decisions", "dormancy_horizon"} <= {seal.dataset for seal in lake.seals()}
    assert schema_of("clean_up_records").names == [
        name for name in read(register.ws, "clean_up_records", "2021-12").columns if name != "period"
    ]
    assert first == publish_decisions(register.ws, month_of(run_id="again"))
    # What is recorded later leaves what is sealed as it is, until the month runs again.
    register.change(update(HOLDS).values(lifted_from="2021-12"))
    assert ["hold"] == list(read(register.ws, "clean_up_records", "2021-12")["kind"])


def test_without_any_record_the_dataset_is_empty_and_there(register: Register) -> None:
    publish_decisions(register.ws, month_of())
    assert 0 == len(read(register.ws, "clean_up_records", "2021-12"))
