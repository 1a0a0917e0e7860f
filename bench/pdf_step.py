"""The PDFs of statements, tagged by PDF/UA-1.

There is no floor that every way has in common, so a rival stands beside: WeasyPrint makes PDFs, tagged by the same
standard, of the pages of the same statements. Both are given what they can share between documents, and one thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import date
from itertools import islice
from pathlib import Path

from bench.measure import Stage, Target, entry_of, in_turns
from bench.plain_pdf import LEFT_OUT, pdf_maker
from bench.world import World
from include.carm.allocation import AllocationRules
from include.carm.contacts import Contacts
from include.carm.period import Period
from include.carm.statement import COMPONENTS, Statement, StatementHead, StatementLine
from include.statement_page import StatementPages
from include.statement_pdf import StatementPdfs

PERIOD = Period(2021, 12)
ISSUED_ON = date(2021, 12, 25)
TARGET = 0.08
"""What is promised of a statement of eight lines, as most are: twelve times as fast. A long one is shown."""
SIZES = ((8, 10, TARGET), (300, 1, None))
"""Lines of a statement, statements that are made, and what is promised."""


def measure(world: World, folder: Path, rounds: int, say: Callable[[str], None]) -> list[Stage]:
    """Make the same statements both ways in turns; neither the folder nor the size of a register matters here."""
    # Typst would use every core for one document; shards of a month already do.
    os.environ["RAYON_NUM_THREADS"] = "1"
    if (to_pdf := pdf_maker()) is None:
        say(LEFT_OUT)
        return []
    given = (Contacts.load(), ISSUED_ON, AllocationRules.load().disbursement_of(PERIOD))
    pages, pdfs = StatementPages(*given), StatementPdfs(*given)

    found = []
    for lines, count, target in SIZES:
        # A number of its own for each: a statement that comes twice would be known to the compiler.
        statements = (sample_statement(number, lines) for number in range(1, 1_000_000))

        def ours(count: int = count, statements: Iterator[Statement] = statements) -> None:
            for statement in islice(statements, count):
                pdfs.render(statement)

        def theirs(count: int = count, lines: int = lines) -> None:
            for number in range(count):
                to_pdf(pages.render(sample_statement(number, lines)))

        # What runs for the first time also loads fonts and code.
        ours(count=2)
        theirs(count=1)
        seconds, rival_seconds = in_turns(rounds, ours, theirs)
        rival_name = "WeasyPrint, of the HTML page, PDF/UA-1"
        entries = (entry_of("Typst, one compiler", "ours", seconds), entry_of(rival_name, "peer", rival_seconds))
        targets = (Target(rival_name, target),) if target else ()
        found.append(Stage(f"PDF of {lines} lines, one core", "documents", count, entries, targets))
    return found


def sample_statement(number: int, count: int) -> Statement:
    """A statement whose amounts, names and numbers follow from its own number; the seventh of each eight is paid."""
    lines: list[StatementLine] = []
    balance = 0
    for line_no in range(1, count + 1):
        duty = 10_000 + (number * 7_919 + line_no * 104_729) % 5_000_000
        section = "due" if line_no <= count * 5 // 8 else "other" if line_no <= count * 7 // 8 else "payments_credits"
        is_payment = section == "payments_credits"
        amount = -duty if is_payment else duty + duty // 20
        balance += amount
        parts = dict.fromkeys(COMPONENTS, 0)
        if not is_payment:
            parts |= {"customs_duty_cents": duty, "gst_cents": duty // 20}
        lines.append(
            StatementLine(
                line_no=line_no,
                section=section,
                transaction_id=f"T{number:06d}-{line_no}",
                revision=1,
                version=1,
                kind="PMT" if is_payment else ("B3", "CAD", "B2")[line_no % 3],
                transaction_number=None if is_payment else f"12345{number % 10_000:04d}{line_no:05d}",
                activity_on="2021-12-01",
                posted_on=f"2021-12-{1 + line_no % 24:02d}",
                due_on=None if is_payment else "2021-12-31",
                status="accepted",
                arrival="on_time",
                broker_bn9="000000026" if line_no % 8 == 4 else None,
                **parts,
                amount_cents=amount,
                posted_amount_cents=amount,
                running_balance_cents=balance,
            )
        )
    debits = sum(line.amount_cents for line in lines if line.amount_cents > 0)
    head = StatementHead(
        bn15=f"{number:09d}RM0001",
        period=str(PERIOD),
        version=1,
        period_start="2021-11-25",
        period_end="2021-12-24",
        issued_on=ISSUED_ON.isoformat(),
        due_on="2021-12-31",
        language="fr" if number % 4 == 3 else "en",
        opening_cents=0,
        debits_cents=debits,
        credits_cents=debits - balance,
        closing_cents=balance,
        under_review_cents=0,
        total_payable_cents=max(balance, 0),
        line_count=count,
        legal_name=f"Importations {number} ltée",
        operating_name=None,
        program_type="importer",
        account_status="open",
        closed_on=None,
        ageing_current_cents=balance,
        ageing_30_cents=0,
        ageing_60_cents=0,
        ageing_90_cents=0,
        ageing_over_90_cents=0,
        calculated_interest_cents=None,
        missing_rate_quarter=None,
    )
    return Statement(head, tuple(lines))
