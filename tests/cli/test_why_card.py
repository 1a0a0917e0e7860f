"""The cards in docs/why-card.md are what the demo world shows, one of each action; `make golden` writes them anew."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from include.database import write_transaction
from include.demo import fill_demo
from include.explain import explain, explain_lines
from include.workspace import Workspace
from tests.pipeline import apply_month, new_workspace, read

PAGE = Path(__file__).resolve().parents[2] / "docs" / "why-card.md"
MONTH = "2021-12"
GAP = "DELETE FROM export_declarations WHERE reported_on BETWEEN '2020-04-25' AND '2020-05-24'"

# Action, world, which account of it, and what the card shows.
CARDS = (
    (
        "keep",
        "whole",
        "reason == 'active' and activity_seen == 'import' and program_type == 'importer'",
        "It was at work.",
    ),
    ("close", "whole", "last_import_on.notna()", "The account was dormant, and was closed."),
    ("convert", "whole", "program_type == 'importer'", "An importer that only exports became an exporter."),
    ("review", "whole", "reason == 'mixed_activity'", "The rules refer it to a person."),
    ("hold", "whole", "reason == 'balance_not_zero' and proposed_action == 'close'", "Something stands against it."),
    ("unknown", "gap", "reason == 'coverage_incomplete'", "One month of one feed is missing, so nothing is decided."),
    ("candidate", "announced", "last_import_on.notna()", "Where closures are announced, with a month's notice."),
)

HEADING = """# The why-card

`carm explain BN15` shows on one screen why an account got its decision, what would have decided otherwise, and what a
person can do about it; `--json` has the same for programs. *Otherwise* is no text that somebody wrote: the account's
facts are changed in one point and decided again by the statement that decided them.

One card of each action follows, from the demo world with 500 accounts. `make golden` writes this page.
"""


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Workspace]:
    """The same demo world decided and applied thrice: whole, with a month missing in a feed, closures announced."""
    demo = new_workspace(tmp_path_factory.mktemp("demo"))
    fill_demo(demo.source, accounts=500)
    found = {}
    for name in ("whole", "gap", "announced"):
        folder = tmp_path_factory.mktemp(name)
        shutil.copy(demo.data / "source.db", folder / "source.db")
        ws = Workspace.open(folder)
        if name == "gap":
            with write_transaction(ws.operations) as connection:
                assert connection.execute(text(GAP)).rowcount > 0
        if name == "announced":
            closure = replace(ws.policy.closure, notice_months=1)
            ws = replace(ws, policy=replace(ws.policy, closure=closure))
        apply_month(ws, MONTH, effects="live", run_id=f"manual {MONTH}")
        found[name] = ws
    return found


def card_of(ws: Workspace, action: str, which: str) -> list[str]:
    accounts = read(ws, "account_decisions", MONTH).query(f"action == '{action}' and {which}")
    return explain_lines(explain(ws, accounts.sort_values("account_key").iloc[0].bn15))


def test_the_page_shows_one_card_of_each_action(worlds: dict[str, Workspace]) -> None:
    sections = [HEADING]
    for action, world, which, remark in CARDS:
        lines = card_of(worlds[world], action, which)
        sections.append(f"## {action}\n\n{remark}\n\n```text\n" + "\n".join(lines) + "\n```\n")
    page = "\n".join(sections)
    if os.environ.get("CARM_REWRITE_GOLDEN"):
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page, "differs: see the diff, then CARM_REWRITE_GOLDEN=1"


def test_the_actions_of_the_page_are_all_that_there_are(worlds: dict[str, Workspace]) -> None:
    decided = {action for ws in worlds.values() for action in read(ws, "account_decisions", MONTH)["action"]}
    assert decided == {action for action, *_ in CARDS}
