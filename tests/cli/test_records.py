"""``carm hold`` and ``carm review``: what a person records, under which name, and what is said of it."""

from __future__ import annotations

import json
import os
import pwd
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert, select

from include.audit import read_links
from include.cli import carm
from include.operations_plan_tables import HOLDS, REVIEW_DECISIONS
from include.operations_statement_tables import ISSUED_MONTHS
from tests.decide.accounts import AS_OF, an_account, bn15_of
from tests.decide.month import Register

BN15 = bn15_of(0)
DAY = timedelta(days=1)
LATER = AS_OF + 400 * DAY
SELF = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def register(tmp_path: Path, database_url: str) -> Register:
    register = Register.make(tmp_path, database_url)
    register.fill([an_account()])
    return register


@pytest.fixture
def run(register: Register, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("CARM_DATA", str(register.ws.data))
    monkeypatch.setenv("CARM_SOURCE_URL", register.ws.source_url)
    return lambda *arguments: CliRunner().invoke(carm, [str(argument) for argument in arguments], prog_name="carm")


def rows(register: Register, table: Any) -> list[dict[str, Any]]:
    with register.ws.operations.connect() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def test_a_hold_is_recorded_under_the_log_in_name_and_lifted_under_another(run: Any, register: Register) -> None:
    # These can be set to anything; who the process runs as cannot.
    environment = {"LOGNAME": "somebody", "USER": "somebody"}
    told: Result = CliRunner(env=environment).invoke(
        carm, ["hold", BN15, "--until", str(LATER), "--reason", " an  appeal "]
    )
    assert told.stdout == (
        f"hold 1 of {BN15} until {LATER}, recorded by {SELF}; decisions know of it from the first month on\n"
    )
    (row,) = rows(register, HOLDS)
    assert (row["hold_until"], row["reason"], row["recorded_by"]) == (LATER, "an appeal", SELF)

    register.change(
        insert(ISSUED_MONTHS).values(
            period="2021-12", issued_on="2021-12-25", statements=0, statements_sha256="0", run_id="r"
        )
    )
    lifted = run("hold", BN15, "--lift", "--reason", "settled", "--by", "Clerk Officer")
    assert lifted.stdout == f"hold 1 of {BN15} is lifted from 2022-01 on, by Clerk Officer\n"
    assert rows(register, HOLDS)[0]["lifted_from"] == "2022-01"
    with register.ws.operations.connect() as connection:
        assert [link.event for link in read_links(connection)] == ["hold", "hold"]


def test_a_hold_without_an_end_says_so_and_json_has_the_facts(run: Any) -> None:
    assert "until it is lifted" in run("hold", BN15, "--reason", "x").stdout
    facts = json.loads(run("hold", BN15, "--reason", "x", "--until", LATER, "--json").stdout)
    beside = [{"no": 1, "until": None, "recorded_by": SELF}]
    assert facts == {
        "hold_no": 2,
        "known_from": "0001-01",
        "bn15": BN15,
        "until": str(LATER),
        "is_new": True,
        "beside": beside,
    }


def test_a_second_record_says_what_is_in_force_already_and_a_repeated_one_adds_nothing(
    run: Any, register: Register
) -> None:
    first = ["hold", BN15, "--until", LATER, "--reason", "an appeal", "--by", "analyst"]
    run(*first)
    told = run("hold", BN15, "--reason", "a second appeal", "--by", "clerk").stdout.splitlines()
    assert told[1:] == [f"In force beside it: hold 1 until {LATER}, recorded by analyst"]
    again = run(*first).stdout.splitlines()
    assert again[1:] == [
        "It was recorded before; hold 1 stands, and nothing was added",
        "In force beside it: hold 2 until it is lifted, recorded by clerk",
    ]
    assert len(rows(register, HOLDS)) == 2
    review = ["review", BN15, "--decision", "keep", "--until", LATER, "--reason", "x", "--by", "clerk"]
    run(*review)
    assert run(*review).stdout.splitlines()[1:] == ["It was recorded before; review 1 stands, and nothing was added"]


def test_a_review_is_recorded(run: Any, register: Register) -> None:
    told = run(
        "review", BN15, "--decision", "handled_elsewhere", "--until", LATER, "--reason", "file 12", "--by", "ana"
    )
    assert told.stdout == (
        f"review 1 of {BN15}: handled_elsewhere until {LATER}, recorded by ana; "
        "decisions know of it from the first month on\n"
    )
    (row,) = rows(register, REVIEW_DECISIONS)
    assert (row["decision"], row["valid_until"], row["recorded_by"]) == ("handled_elsewhere", LATER, "ana")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["hold", BN15], 2, "Missing option '--reason'"),
        (["hold", BN15, "--reason", " "], 2, "a record needs its reason"),
        (["hold", BN15, "--reason", "x", "--until", "24/12/2021"], 2, "'24/12/2021' is not a day: write YYYY-MM-DD"),
        (["hold", BN15, "--reason", "x", "--until", "20211224"], 2, "'20211224' is not a day: write YYYY-MM-DD"),
        (["hold", BN15, "--reason", "x", "--lift", "--until", "2022-12-24"], 2, "leave --until out"),
        (["hold", BN15, "--reason", "x", "--lift"], 1, "no hold that a person recorded stands on"),
        (["hold", BN15, "--reason", "\x1b[2Jx"], 2, "the reason has a character that cannot be seen (U+001B)"),
        (["hold", BN15, "--reason", "x", "--by", "an\u202eona"], 2, "the name of who records has a character that"),
        (["hold", BN15, "--reason", "x", "--by", "  "], 2, "nobody is named as who records"),
        (["hold", BN15, "--reason", "x", "--by", "n" * 101], 2, "nobody is named as who records"),
        (["hold", "123", "--reason", "x"], 2, "is not a BN15"),
        (["hold", "123456789RM0001", "--reason", "x"], 2, "the check digit of 123456789 is wrong"),
        (["hold", bn15_of(9), "--reason", "x"], 1, "the register has no account"),
        (["review", BN15, "--decision", "close", "--until", "2022-12-24", "--reason", "x"], 2, "'close' is not one of"),
        (["review", BN15, "--decision", "keep", "--reason", "x"], 2, "Missing option '--until'"),
    ],
)
def test_what_cannot_be_recorded_is_refused_in_words(
    run: Any, register: Register, arguments: list[str], code: int, message: str
) -> None:
    result: Result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert (rows(register, HOLDS), rows(register, REVIEW_DECISIONS)) == ([], [])
