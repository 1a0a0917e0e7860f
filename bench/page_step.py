"""The HTML page of a statement, beside a plain Jinja2 loop: one environment, one template, the same words and figures.

The rival is what a good engineer writes first: a template that formats as it goes. It uses the same function for
amounts, because Babel's takes ten times as long, and both pages are proved to say the same before they are measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from html import unescape
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.measure import Stage, Target, entry_of, in_turns
from bench.pdf_step import PERIOD, sample_statement
from bench.world import World
from include.carm.allocation import AllocationRules
from include.carm.contacts import Contacts
from include.carm.money import NO_BREAK_SPACE, format_amount, format_money
from include.carm.statement import COMPONENTS, Statement, render_csv
from include.statement_page import LANGUAGES, TEMPLATE_FOLDER, StatementPages, read_texts
from include.transaction_kinds import kind_labels

ISSUED_ON = date(2021, 12, 25)
TARGET = 1 / 3
"""What is promised of eight lines, as most statements have: three times as fast. A long one is shown."""
SIZES = ((8, 400, TARGET), (300, 12, None))
"""Lines of a statement, statements that are made, and what is promised."""

_TAGS = re.compile(r"<style>.*?</style>|<[^>]+>", re.DOTALL)


def measure(world: World, folder: Path, rounds: int, say: Callable[[str], None]) -> list[Stage]:
    """Make the same pages both ways in turns, in one thread; neither the folder nor a register matters here."""
    contacts = Contacts.load()
    pages = StatementPages(contacts, ISSUED_ON, AllocationRules.load().disbursement_of(PERIOD))
    rival = PlainPages(contacts)
    found = []
    for lines, count, target in SIZES:
        statements = [sample_statement(number, lines) for number in range(1, count + 1)]
        if _words(pages.render(statements[0])) != _words(rival.render(statements[0])):
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


def _words(page: bytes) -> str:
    """What a page says, without its tags and without white space, which the two templates set differently."""
    return "".join(unescape(_TAGS.sub("", page.decode())).split())


class PlainPages:
    """One environment, one template; every value is formatted where it stands."""

    def __init__(self, contacts: Contacts) -> None:
        environment = Environment(
            autoescape=True,
            undefined=StrictUndefined,
            loader=FileSystemLoader(Path(__file__).parent),
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._template = environment.get_template("plain_statement.html.j2")
        self._texts, self._kinds = read_texts(), {language: kind_labels(language) for language in LANGUAGES}
        self._contacts = contacts
        self._css = (TEMPLATE_FOLDER / "statement.css").read_text(encoding="utf-8")

    def render(self, statement: Statement) -> bytes:
        """The page, in one language, of a statement with a balance to be paid."""
        language = statement.head.language
        texts = self._texts[language]
        return self._template.render(
            head=statement.head,
            sections=list(statement.sections()),
            t=texts,
            kinds=self._kinds[language],
            components=[(texts[name], index) for index, name in enumerate(COMPONENTS)],
            contacts=self._contacts,
            css=self._css,
            money=format_money,
            amount=format_amount,
            space=NO_BREAK_SPACE,
            has_other=any(line.section == "other" for line in statement.lines),
            has_broker=any(line.broker_bn9 for line in statement.lines),
        ).encode()
