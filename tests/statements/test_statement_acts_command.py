"""Versions, locks, then and now at the command line."""

from __future__ import annotations

import json

from sqlalchemy import update

from include.database import write_transaction
from include.operations_statement_tables import STATEMENT_REGISTRY
from include.statement_acts import restate, withdraw
from include.workspace import Workspace
from tests.statements.acts import (
    DECEMBER,
    ORDER,
    carm_on,
    rename,
    statement_accounts,
)


def test_the_versions_of_a_statement_are_listed_with_what_became_of_them(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    restate(ws, DECEMBER, bn15, ORDER)
    withdraw(ws, DECEMBER, bn15, ORDER)

    told = carm_on(ws, "versions", bn15, "--period", "2021-12")

    assert told.stdout.splitlines() == [
        f"Issued statements of {bn15}",
        "  2021-12  version 1  issued 2021-12-25  replaced by version 2",
        "  2021-12  version 2  issued 2022-02-01  withdrawn on 2022-02-01 by clerk",
        "      restate by clerk: the name was recorded wrongly; changed: legal_name",
        "      why it was withdrawn: the name was recorded wrongly",
    ]
    facts = json.loads(carm_on(ws, "versions", bn15, "--json").stdout)["versions"]
    assert {(one["period"], one["version"]) for one in facts} >= {("2021-12", 1), ("2021-12", 2)}
    assert all(len(one["object_sha256"]) == 64 and one["typesetter_version"].startswith("typst ") for one in facts)
    assert "Put Right" not in json.dumps(facts)
    nothing = carm_on(ws, "versions", "000000018RM0099")
    assert (nothing.exit_code, nothing.stderr) == (1, "no statement of 000000018RM0099 was issued\n")


def test_the_version_that_stands_is_printed_unless_another_is_asked_for(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    restate(ws, DECEMBER, bn15, ORDER)
    ask = ("statement", bn15, "--period", "2021-12", "--json")
    assert json.loads(carm_on(ws, *ask).stdout)["version"] == 2
    assert json.loads(carm_on(ws, *ask, "--version", "1").stdout)["version"] == 1
    assert carm_on(ws, *ask, "--version", "3").exit_code == 1
    assert carm_on(ws, *ask, "--version", "0").exit_code == 2


def test_then_and_now_are_told_and_a_difference_then_is_a_failed_check(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    same = carm_on(ws, "known", "then", "2021-12")
    assert (same.exit_code, "with every byte as it was issued" in same.stdout) == (0, True)
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    now = carm_on(ws, "known", "now", "2021-12")
    assert now.exit_code == 0
    assert f"  {bn15}: legal name" in now.stdout.splitlines()
    assert "Put Right" not in now.stdout
    with write_transaction(ws.operations) as connection:
        connection.execute(update(STATEMENT_REGISTRY).values(csv_sha256="other"))
    other = carm_on(ws, "known", "then", "2021-12")
    assert (other.exit_code, "the csv comes out different" in other.stdout) == (1, True)


def test_a_month_is_locked_at_the_command_line_with_its_reason(ws: Workspace) -> None:
    locked = carm_on(ws, "lock", "2021-12", "--reason", "the books are closed", "--by", "clerk")
    assert locked.stdout == "2021-12 is locked, by clerk: the books are closed\n"
    again = carm_on(ws, "lock", "2021-12", "--reason", "again", "--by", "another")
    assert again.stdout == "2021-12 was locked already, by clerk: the books are closed\n"
    assert carm_on(ws, "lock", "2021-12").exit_code == 2
    assert carm_on(ws, "lock", "21-12", "--reason", "no such month").exit_code == 2
