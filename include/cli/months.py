"""The verbs that look into what the months left behind: ``status``, ``explain``, ``statement`` and others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from include.carm.errors import UsageError
from include.cli.group import carm, in_workspace, show

if TYPE_CHECKING:
    from include.workspace import Workspace


@carm.command("status")
@click.option("--period", metavar="YYYY-MM", help="The month of the grid and the horizon  [default: the newest]")
@in_workspace
def status(ws: Workspace, as_json: bool, period: str | None) -> None:
    """List the months, show what the feeds cover, and how many accounts fall dormant in the next twelve."""
    from include.carm.period import Period
    from include.status import status as find_status
    from include.status import status_lines

    facts = find_status(ws, Period.parse(period) if period else None)
    show(as_json, facts, status_lines(facts))


@carm.command("explain")
@click.argument("bn15")
@click.option("--period", metavar="YYYY-MM", help="The month  [default: the newest that was decided]")
@click.option("--shadow", is_flag=True, help="What a shadow run of an issued month decided, in place of the record.")
@in_workspace
def explain(ws: Workspace, as_json: bool, bn15: str, period: str | None, shadow: bool) -> None:
    """Show why account BN15 got its decision, what would have changed it, and how to undo it."""
    from include.carm.period import Period
    from include.explain import explain as find_reasons
    from include.explain import explain_lines

    facts = find_reasons(ws, bn15, Period.parse(period) if period else None, "shadow" if shadow else "lake")
    show(as_json, facts, explain_lines(facts))


@carm.command("statement")
@click.argument("number", metavar="BN15|BN9")
@click.option("--period", metavar="YYYY-MM", help="The month  [default: the newest with statements]")
@click.option(
    "--format", "format_", type=click.Choice(["html", "pdf", "csv", "json"]), default="html", show_default=True
)
@click.option("--output", metavar="FILE", type=Path, help="Write to FILE, readable by you alone, not to the terminal.")
@click.option("--clients", is_flag=True, help="Of BN9, the index of the statements that were delegated to it.")
@click.option("--shadow", is_flag=True, help="What a shadow run of an issued month computed, in place of the record.")
@click.option(
    "--version", type=click.IntRange(min=1), help="A version of an issued month  [default: the one that stands]"
)
@in_workspace
def statement(
    ws: Workspace,
    as_json: bool,
    number: str,
    period: str | None,
    format_: str,
    output: Path | None,
    clients: bool,
    shadow: bool,
    version: int | None,
) -> None:
    """Print the Statement of Account of account BN15, as it was issued or rendered for the month.

    Of a firm, whose number BN9 is nine digits: the statement of the customs broker, with the debts that it secures; or
    with --clients the index of the service provider, without amounts, as html, csv or json.

    A PDF is made when it is asked for, unless the policy has it made with the month. Of a restated statement the
    version that stands is shown; `carm versions` lists all.
    """
    from include.broker_documents import read_firm_document
    from include.carm.business_number import is_bn9
    from include.carm.period import Period
    from include.statement_reader import newest_statements, read_statement, write_private

    if format_ == "pdf" and output is None and sys.stdout.isatty():
        raise UsageError("a PDF is no text for a terminal: write it to a file with --output FILE")
    area = "shadow" if shadow else "lake"
    month = Period.parse(period) if period else newest_statements(ws, area)
    format_ = "json" if as_json else format_
    if is_bn9(number) or clients:
        if version is not None:
            raise UsageError("documents of firms have one version: leave --version out")
        content = read_firm_document(ws, month, number, format_, area, clients=clients)
    else:
        content = read_statement(ws, month, number, format_, area, version)
    if output is None:
        click.echo(content, nl=False)
    else:
        write_private(output, content)
        click.echo(f"written: {output}", err=True)


@carm.command("quarterly")
@click.argument("quarter", metavar="YYYY-Qn")
@click.option("--output", required=True, metavar="FOLDER", type=Path, help="Write the documents into FOLDER.")
@in_workspace
def quarterly(ws: Workspace, as_json: bool, quarter: str, output: Path) -> None:
    """Write the newsletter of a quarter for a look: HTML and PDF, in English and in French. Nothing is sent.

    Its text is include/newsletter/YYYY-Qn.en.md and .fr.md, or default.en.md and .fr.md where a quarter has none; its
    figures are those of the months that were run, also of months that are not issued.
    """
    from include.carm.quarter import Quarter
    from include.quarterly import preview_lines, write_preview

    facts = write_preview(ws, Quarter.parse(quarter), output)
    show(as_json, facts, preview_lines(facts, output))


@carm.command("versions")
@click.argument("bn15")
@click.option("--period", metavar="YYYY-MM", help="The month  [default: every issued month]")
@in_workspace
def versions(ws: Workspace, as_json: bool, bn15: str, period: str | None) -> None:
    """List the issued versions of the statements of account BN15: when, why, and what replaced or withdrew them."""
    from include.carm.period import Period
    from include.statement_history import find_history, history_lines

    facts = find_history(ws, bn15, Period.parse(period) if period else None)
    show(as_json, facts, history_lines(facts))


@carm.group("known")
def known() -> None:
    """An issued month as it was known then, and as it is known now. Nothing is changed."""


@known.command("then")
@click.argument("period", metavar="YYYY-MM")
@in_workspace
def then(ws: Workspace, as_json: bool, period: str) -> None:
    """Render the statements of a month again, and compare every byte with what was issued. Exit code 1: one differs."""
    from include.carm.period import Period
    from include.known import known_then, known_then_lines

    facts = known_then(ws, Period.parse(period))
    show(as_json, facts, known_then_lines(facts))
    if facts["different"]:
        raise click.exceptions.Exit(1)


@known.command("now")
@click.argument("period", metavar="YYYY-MM")
@in_workspace
def now(ws: Workspace, as_json: bool, period: str) -> None:
    """List the accounts whose statement of a month would differ, with the register and the ledger as they are now."""
    from include.carm.period import Period
    from include.known import known_now, known_now_lines

    facts = known_now(ws, Period.parse(period))
    show(as_json, facts, known_now_lines(facts))


@carm.command("verify")
@click.option("--period", metavar="YYYY-MM", help="Only what was known up to this month.")
@click.option("--head", metavar="HASH", help="An audit chain head that was printed earlier: it must be in the chain.")
@in_workspace
def verify(ws: Workspace, as_json: bool, period: str | None, head: str | None) -> None:
    """Prove lake, plans, journal and audit chain. Exit code 1 names the first thing that is broken.

    Files by their seals, rows by counts and sums, balances by their chain; every table that the audit chain tells of by
    its links; each plan by its hash, and by deciding it again from what was sealed.
    """
    from include.carm.period import Period
    from include.verify import verify as find_faults
    from include.verify import verify_lines

    facts = find_faults(ws, Period.parse(period) if period else None, head=head)
    show(as_json, facts, verify_lines(facts))
