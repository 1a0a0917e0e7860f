"""A month as it was known when it was issued, to the byte, and as it would be with what is known now."""

from __future__ import annotations

from datetime import date

import pyarrow.parquet as pq
import pytest
from sqlalchemy import delete, update

from include.carm.errors import Refused
from include.database import write_transaction
from include.known import known_now, known_then
from include.operations_statement_tables import STATEMENT_REGISTRY
from include.statement_acts import restate
from include.workspace import Workspace
from tests.statements.acts import (
    ACCOUNTS,
    DECEMBER,
    JANUARY,
    ORDER,
    later,
    parked_account,
    rename,
    statement_accounts,
)


def test_as_known_then_every_byte_comes_out_again(ws: Workspace) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    rename(ws, bn15, legal_name="Put Right Imports Ltd.")
    restate(ws, DECEMBER, bn15, ORDER)
    rename(ws, bn15, legal_name="Renamed Since Ltd.")
    issued = ws.lake().seals("statements")[0].rows

    facts = known_then(ws, DECEMBER)

    assert (facts["versions"], facts["same"], facts["different"], facts["made_otherwise"]) == (
        issued + 1,
        issued + 1,
        [],
        0,
    )


def test_as_known_then_tells_what_other_templates_made(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    bn15 = statement_accounts(ws, DECEMBER)[0]
    with write_transaction(ws.operations) as connection:
        of_account = (STATEMENT_REGISTRY.c.period == str(DECEMBER)) & (STATEMENT_REGISTRY.c.bn15 == bn15)
        connection.execute(
            update(STATEMENT_REGISTRY).where(of_account).values(template_version="older", document_sha256="older")
        )

    facts = known_then(ws, DECEMBER)

    assert facts["different"] == [[bn15, 1, "html"]]
    assert facts["made_otherwise"] == 1


def test_of_what_an_earlier_release_issued_the_page_alone_is_compared(ws: Workspace) -> None:
    """It kept no hash of the CSV, and not what made the documents."""
    with write_transaction(ws.operations) as connection:
        unknown = dict.fromkeys(("csv_sha256", "object_sha256", "locale_version", "typesetter_version"))
        connection.execute(update(STATEMENT_REGISTRY).values(unknown))

    facts = known_then(ws, DECEMBER)

    assert (facts["same"], facts["different"], facts["made_otherwise"]) == (facts["versions"], [], facts["versions"])


def test_as_known_now_lists_whose_statement_would_differ_and_in_what(ws: Workspace) -> None:
    one, two, three, four = statement_accounts(ws, DECEMBER)[:4]
    already = {row["bn15"]: row for row in known_now(ws, DECEMBER)["accounts"]}
    # The register has two versions of this one, and nobody can tell which is right.
    assert already.pop(parked_account(ws))["changed"] == ["off_record"]
    assert [(row["changed"], row["later_postings"]) for row in already.values()] == [([], 1), ([], 1)]
    later_known = set(already)
    rename(ws, one, legal_name="Renamed Ltd.", operating_name="Trading As")
    rename(ws, two, language=None)
    with write_transaction(ws.source) as connection:
        connection.execute(delete(ACCOUNTS).where(ACCOUNTS.c.bn15 == three))

    found = {row["bn15"]: row["changed"] for row in known_now(ws, DECEMBER)["accounts"]}

    assert found[one] == ["legal_name", "operating_name"]
    assert found[two] == ["language"]
    assert found[three] == ["off_record"]
    assert (four in found) == (four in later_known)
    # Once it is restated there is nothing to tell but what money tells.
    restate(ws, DECEMBER, one, ORDER)
    after = {row["bn15"]: row["changed"] for row in known_now(ws, DECEMBER)["accounts"]}
    assert after.get(one, []) == []
    assert (one in after) == (one in later_known)
    everyone = later(ws, DECEMBER, date(2022, 1, 7))
    assert len(known_now(everyone, DECEMBER)["accounts"]) >= ws.lake().seals("statements")[0].rows
    with pytest.raises(Refused, match="is not issued"):
        known_now(ws, JANUARY.next())


def test_what_came_late_is_what_the_next_month_prints_as_posted_after_the_last_statement(ws: Workspace) -> None:
    late = known_now(ws, DECEMBER)["accounts"]
    lines = pq.read_table(ws.lake().file("statement_lines", JANUARY)).to_pylist()
    printed: dict[str, int] = {}
    for line in lines:
        if line["posted_on"] <= date(2021, 12, 24) and line["amount_cents"]:
            printed[line["bn15"]] = printed.get(line["bn15"], 0) + line["amount_cents"]
    parked = parked_account(ws)
    told = {row["bn15"]: row["later_effect_cents"] for row in late if row["bn15"] != parked}
    assert printed == told
    assert printed
