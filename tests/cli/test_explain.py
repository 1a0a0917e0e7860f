"""The why-card: what is said of an account, and what would have decided otherwise, action by action."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import insert

from include.carm.errors import DataError, UsageError
from include.carm.period import Period
from include.datasets import schema_of
from include.decide import publish_decisions
from include.explain import WIDTH, explain, explain_lines
from include.operations_plan_tables import HOLDS, REINSTATEMENTS, REVIEW_DECISIONS
from include.operations_statement_tables import ISSUED_MONTHS
from include.person_records import record_hold
from tests.decide.accounts import AS_OF, CUTOFF, LONG_AGO, account_facts, an_account, bn15_of
from tests.decide.month import DECEMBER, Register, month_of
from tests.decide.oracle import Account

DAY = timedelta(days=1)
BN15 = bn15_of(0)
DORMANT = an_account()
ACTIVE = an_account(activities=(("import", AS_OF),))
JANUARY = Period(2022, 1)


@pytest.fixture
def register(tmp_path: Path, sqlite_url: str) -> Register:
    return Register.make(tmp_path, sqlite_url)


def card_of(register: Register, account: Account, *, missing: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    register.fill([account], missing=missing)
    publish_decisions(register.ws, month_of())
    return explain(register.ws, BN15)


def otherwise(card: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {row["name"]: (row["action"], row["new_program_type"]) for row in card["otherwise"]}


KEEP, CLOSE, REVIEW, HOLD = (("keep", None), ("close", None), ("review", None), ("hold", None))
TO_EXPORTER, TO_IMPORTER = ("convert", "exporter"), ("convert", "importer")
IF_ACTIVE = {"import_on_cutoff": KEEP, "export_on_cutoff": TO_EXPORTER, "other_on_cutoff": KEEP}


@pytest.mark.parametrize(
    ("account", "action", "expected"),
    [
        (DORMANT, "close", IF_ACTIVE),
        (an_account(activities=(("import", CUTOFF - DAY),)), "close", IF_ACTIVE),
        (
            an_account(activities=(("import", CUTOFF),)),
            "keep",
            {"no_import": CLOSE, "export_on_cutoff": REVIEW},
        ),
        (an_account(opened_on=CUTOFF), "keep", {"opened_before": CLOSE, "export_on_cutoff": TO_EXPORTER}),
        (
            an_account(opened_on=LONG_AGO, reinstated_on=CUTOFF),
            "keep",
            {"opened_before": CLOSE, "export_on_cutoff": TO_EXPORTER},
        ),
        (
            an_account(opened_on=None, activities=()),
            "review",
            {**IF_ACTIVE, "opened_before": CLOSE, "opened_since": KEEP},
        ),
        (
            an_account(program_type="dual", activities=(("export", CUTOFF),)),
            "convert",
            {"no_export": CLOSE, "import_on_cutoff": KEEP},
        ),
        (
            an_account(program_type="exporter", activities=(("import", AS_OF),)),
            "convert",
            {"no_import": CLOSE, "export_on_cutoff": REVIEW},
        ),
        (
            an_account(activities=(("import", AS_OF), ("export", AS_OF))),
            "review",
            {"no_import": TO_EXPORTER, "no_export": KEEP},
        ),
        (
            an_account(program_type="broker"),
            "review",
            {"as_importer": CLOSE, "as_exporter": CLOSE, "as_dual": CLOSE},
        ),
        (replace(DORMANT, balance_cents=-1), "hold", {"balance_zero": CLOSE, **IF_ACTIVE, "export_on_cutoff": HOLD}),
        (replace(DORMANT, hold_reason="appeal"), "hold", {"no_hold": CLOSE, **IF_ACTIVE, "export_on_cutoff": HOLD}),
        (
            replace(DORMANT, hold_reason="appeal", balance_cents=5, under_review_items=1, under_review_cents=5),
            "hold",
            # One by one none of them helps; all at once do.
            {
                "no_hold+no_review_items+balance_zero": CLOSE,
                "import_on_cutoff": KEEP,
                "other_on_cutoff": KEEP,
                "export_on_cutoff": HOLD,
            },
        ),
        (
            replace(DORMANT, has_open_quarantine=True),
            "unknown",
            {"no_quarantine": CLOSE, "import_on_cutoff": KEEP, "other_on_cutoff": KEEP},
        ),
    ],
)
def test_what_would_decide_otherwise_is_what_the_rules_say_of_it(
    register: Register, account: Account, action: str, expected: dict[str, tuple[str, str | None]]
) -> None:
    card = card_of(register, account)
    assert card["decision"]["action"] == action
    # A consequence that is the decision itself is none.
    assert otherwise(card) == {
        name: outcome for name, outcome in expected.items() if outcome != (action, card["decision"]["new_program_type"])
    }


def test_an_unknown_account_names_the_missing_months_and_would_be_closed_were_they_covered(register: Register) -> None:
    missing = [("export_declarations", "2020-05"), ("export_declarations", "2020-06")]
    card = card_of(register, DORMANT, missing=missing)
    assert (card["decision"]["action"], card["decision"]["reason"]) == ("unknown", "coverage_incomplete")
    assert otherwise(card)["covered"] == CLOSE
    assert [row["missing"] for row in card["coverage"]] == [[], ["2020-05", "2020-06"]]
    lines = "\n".join(explain_lines(card))
    assert "export_declarations: not covered in 2020-05, 2020-06" in lines
    assert "would be closed if export_declarations 2020-05, 2020-06 were covered" in lines


def test_holds_of_the_register_and_of_persons_are_told_apart(register: Register) -> None:
    hold = {"bn15": BN15, "account_key": 180001, "recorded_by": "clerk", "known_from": "0001-01"}
    for number, until, lifted in ((1, AS_OF - DAY, None), (2, None, "2021-12"), (3, AS_OF, None)):
        register.change(
            insert(HOLDS).values(**hold, hold_no=number, hold_until=until, lifted_from=lifted, reason="they called")
        )
    card = card_of(register, replace(DORMANT, hold_reason="appeal", hold_until=AS_OF - DAY))
    assert [(row["by"], row["no"], row["is_in_force"]) for row in card["holds"]] == [
        ("register", None, False),
        ("person", 1, False),
        ("person", 2, False),
        ("person", 3, True),
    ]
    assert card["decision"]["hold_no"] == 3
    assert otherwise(card)["no_hold"] == CLOSE
    assert card["commands"] == [{"to": "lift the hold", "command": f'carm hold {BN15} --lift --reason "..."'}]
    lines = explain_lines(card)
    assert "            no. 3, clerk, until 2021-12-24: they called" in lines
    assert "            no. 1, clerk, until 2021-12-23: they called - not in force" in lines


def test_a_review_that_settled_the_account_is_named_and_taken_away_in_thought(register: Register) -> None:
    register.change(
        insert(REVIEW_DECISIONS).values(
            review_no=7,
            bn15=BN15,
            account_key=180001,
            decision="keep",
            reason="a broker's own goods",
            valid_until=AS_OF,
            known_from="0001-01",
            recorded_by="clerk",
        )
    )
    card = card_of(register, an_account(activities=(("import", AS_OF), ("export", AS_OF))))
    assert (card["decision"]["action"], card["decision"]["review_no"]) == ("keep", 7)
    assert otherwise(card)["no_review"] == REVIEW
    assert "Reviews     no. 7, clerk, until 2021-12-24: keep, a broker's own goods" in explain_lines(card)


def test_a_change_that_a_person_undid_is_named(register: Register) -> None:
    register.change(
        insert(REINSTATEMENTS).values(
            reinstatement_no=1,
            bn15=BN15,
            account_key=180001,
            plan_hash="f" * 64,
            undoes="close",
            rule_id="importer_none",
            reason="still in business",
            effective_on=AS_OF,
            known_from="0001-01",
            old_version="{}",
            new_version="{}",
            recorded_by="clerk",
            run_id="r",
        )
    )
    card = card_of(register, DORMANT)
    assert (card["decision"]["action"], card["decision"]["reason"]) == ("review", "undone_by_person")
    assert otherwise(card)["not_undone"] == CLOSE
    assert card["undone"][0]["no"] == 1


def test_a_candidate_says_when_it_was_announced(register: Register) -> None:
    policy = register.ws.policy
    staged = register.with_policy(closure=replace(policy.closure, notice_months=2))
    card = card_of(staged, DORMANT)
    assert (card["decision"]["action"], card["decision"]["announced_in"]) == ("candidate", "2021-12")
    assert otherwise(card) == IF_ACTIVE
    lines = "\n".join(explain_lines(card))
    assert "candidate, because closure_announced, announced in 2021-12" in lines
    assert "will be closed in 2022-02 if it is still dormant then" in lines


@pytest.mark.parametrize(
    ("account", "to"), [(DORMANT, "hold it back"), (an_account(program_type=None), "settle it"), (ACTIVE, None)]
)
def test_the_card_ends_with_what_a_person_can_do(register: Register, account: Account, to: str | None) -> None:
    assert [row["to"] for row in card_of(register, account)["commands"]] == ([to] if to else [])


def test_the_card_fits_a_screen_of_a_hundred_columns(register: Register) -> None:
    account = replace(DORMANT, hold_reason="appeal", balance_cents=-123_456_789_00, under_review_items=2)
    months = [("export_declarations", str(month)) for month in register.ws.calendar.window(Period(2021, 12))]
    lines = explain_lines(card_of(register, account, missing=months))
    assert max(len(line) for line in lines) <= WIDTH
    assert len(lines) <= 40
    assert "and 43 more months" in "\n".join(lines)


def test_a_number_that_is_none_and_an_account_without_a_decision_are_told(register: Register) -> None:
    with pytest.raises(DataError, match="no month was decided yet"):
        explain(register.ws, BN15)
    card_of(register, ACTIVE)
    with pytest.raises(UsageError, match="is not a BN15"):
        explain(register.ws, "12345")
    with pytest.raises(DataError, match="2021-11"):
        explain(register.ws, BN15, Period(2021, 11))
    assert explain(register.ws, f" {BN15.lower()} ")["bn15"] == BN15
    assert date(2021, 12, 24) == AS_OF


def facts_of(accounts: Sequence[Account], **last: Any) -> Any:
    """The facts about ``accounts``; ``last`` are values of the last one."""
    facts = account_facts(accounts)
    rows = facts.to_pylist()
    rows[-1] |= last
    return facts.from_pylist(rows, schema=facts.schema)


def test_an_account_without_a_decision_was_closed_or_came_later_or_is_in_quarantine_or_is_not_known(
    register: Register,
) -> None:
    register.fill([ACTIVE])
    register.seal_facts(facts_of([ACTIVE, ACTIVE], status="closed"))
    publish_decisions(register.ws, month_of())
    register.seal_facts(facts_of([ACTIVE] * 3), JANUARY)
    publish_decisions(register.ws, month_of(JANUARY))
    row = {"dataset": "accounts", "bn15": bn15_of(3)}
    quarantine = pa.Table.from_pylist([row], schema=schema_of("quarantine"))
    register.ws.lake().publish_and_seal("quarantine", DECEMBER, quarantine, run_id="r")
    for position, why in (
        (1, f"{bn15_of(1)} has no decision in 2021-12: it was not open on 2021-12-24, but closed"),
        (2, f"{bn15_of(2)} has no decision in 2021-12: it was not in the register on 2021-12-24, as it is in 2022-01"),
        (3, f"{bn15_of(3)} has no decision in 2021-12: its row of the register stands in quarantine"),
        (4, f"no account {bn15_of(4)} is known in 2021-12 or 2022-01: look at the number again"),
    ):
        with pytest.raises(DataError) as told:
            explain(register.ws, bn15_of(position), DECEMBER)
        assert str(told.value) == why
    with pytest.raises(DataError, match="is known in 2022-01: look at the number again"):
        explain(register.ws, bn15_of(4))


def test_a_shadow_run_that_is_not_there_is_said_and_the_record_not_shown_for_it(register: Register) -> None:
    card_of(register, ACTIVE)
    for period in (None, DECEMBER):
        with pytest.raises(
            DataError,
            match=r"^no shadow run of 2021-12 lies beside its record: make run PERIOD=2021-12 EFFECTS=shadow makes one",
        ):
            explain(register.ws, BN15, period, "shadow")
    publish_decisions(register.ws, month_of(effects="shadow", area="shadow", run_id="run-2"))
    assert explain(register.ws, BN15, None, "shadow")["period"] == "2021-12"
    register.seal_facts(account_facts([ACTIVE]), JANUARY)
    publish_decisions(register.ws, month_of(JANUARY))
    assert explain(register.ws, BN15, None, "shadow")["period"] == "2021-12"
    with pytest.raises(DataError, match="no shadow run of 2022-01"):
        explain(register.ws, BN15, JANUARY, "shadow")


def test_a_record_that_a_later_month_will_know_says_from_when(register: Register) -> None:
    common = {"bn15": BN15, "account_key": 180001, "recorded_by": "clerk", "known_from": "2022-01"}
    register.change(insert(HOLDS).values(**common, hold_no=1, hold_until=AS_OF + 400 * DAY, reason="an appeal"))
    register.change(
        insert(REVIEW_DECISIONS).values(
            **common, review_no=1, decision="keep", reason="a broker's", valid_until=AS_OF + 400 * DAY
        )
    )
    lines = explain_lines(card_of(register, DORMANT))
    later = "- not in force, known from 2022-01 on"
    assert f"Holds       no. 1, clerk, until 2023-01-28: an appeal {later}" in lines
    assert f"Reviews     no. 1, clerk, until 2023-01-28: keep, a broker's {later}" in lines


def test_a_hold_that_is_lifted_already_is_not_offered_to_be_lifted(register: Register) -> None:
    hold = {"bn15": BN15, "account_key": 180001, "recorded_by": "clerk", "known_from": "0001-01", "hold_no": 1}
    register.change(insert(HOLDS).values(**hold, lifted_from="2022-01", reason="they called"))
    card = card_of(register, DORMANT)
    assert (card["holds"][0]["is_in_force"], card["commands"]) == (True, [])


def test_the_card_of_an_old_month_offers_a_day_that_still_counts(register: Register) -> None:
    card_of(register, DORMANT)
    issued = {"issued_on": "2023-06-25", "statements": 0, "statements_sha256": "0", "run_id": "r"}
    register.change(insert(ISSUED_MONTHS).values(period="2023-06", **issued))
    (step,) = explain(register.ws, BN15)["commands"]
    until = date.fromisoformat(step["command"].split()[4])
    assert until > register.ws.calendar.as_of(Period(2023, 7))
    assert record_hold(register.ws, BN15, until=until, reason="x", recorded_by="clerk")["is_new"]
