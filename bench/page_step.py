"""The HTML page of a statement, beside a plain Jinja2 loop: one environment, one template, the same words and figures.

The rival is what a good engineer writes first: a template that formats as it goes. It uses the same function for
amounts, because Babel's takes ten times as long, and both pages are proved to say the same before they are measured.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from bench.measure import Stage, Target, entry_of, in_turns
from bench.pdf_step import PERIOD, sample_statement
from bench.plain_pages import PlainPages, words_of
from bench.world import World
from include.carm.allocation import AllocationRules
from include.carm.contacts import Contacts
from include.carm.statement import Statement, render_csv
from include.statement_page import StatementPages

ISSUED_ON = date(2021, 12, 25)
TARGET = 1 / 3
"""What is promised of eight lines, as most statements have: three times as fast. A long one is shown."""
SIZES = ((8, 400, TARGET), (300, 12, None))
"""Lines of a statement, statements that are made, and what is promised."""


def measure(world: World, folder: Path, rounds: int, say: Callable[[str], None]) -> list[Stage]:
    """Make the same pages both ways in turns, in one thread; neither the folder nor a register matters here."""
    contacts = Contacts.load()
    disbursement = AllocationRules.load().disbursement_of(PERIOD)
    pages, rival = StatementPages(contacts, ISSUED_ON, disbursement), PlainPages(contacts, disbursement)
    found = []
    for lines, count, target in SIZES:
        statements = [sample_statement(number, lines) for number in range(1, count + 1)]
        if words_of(pages.render(statements[0])) != words_of(rival.render(statements[0])):
            raise AssertionError("the two pages do not say the same, so they cannot be compared")

        def ours(statements: list[Statement] = statements) -> None:
            for statement in statements:
                pages.render(statement)

        def theirs(statements: list[Statement] = statements) -> None:
            for statement in statements:
                rival.render(statement)

        def csv(statements: list[Statement] = statements) -> None:
            for statement in statements:
                render_csv(statement)

        seconds, rival_seconds, csv_seconds = in_turns(rounds, ours, theirs, csv)
        entries = (
            entry_of("specialised templates", "ours", seconds),
            entry_of("a plain Jinja2 loop", "peer", rival_seconds),
        )
        targets = (Target("a plain Jinja2 loop", target),) if target else ()
        found.append(Stage(f"HTML of {lines} lines, one core", "pages", count, entries, targets))
        csv_entry = entry_of("rows of CSV", "ours", csv_seconds)
        found.append(Stage(f"CSV of {lines} lines, one core", "files", count, (csv_entry,)))
    return found
