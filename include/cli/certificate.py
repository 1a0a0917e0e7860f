"""The verb ``certificate``: the certificate of a month, and what has changed since it was written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from include.carm.errors import UsageError
from include.cli.group import carm, in_workspace, show

if TYPE_CHECKING:
    from include.workspace import Workspace


@carm.command("certificate")
@click.option("--period", metavar="YYYY-MM", help="The month  [default: the newest that has a certificate]")
@click.option("--format", "format_", type=click.Choice(["html", "pdf", "json"]), help="Print the certificate itself.")
@click.option("--output", metavar="FILE", type=Path, help="Write to FILE, readable by you alone, not to the terminal.")
@click.option("--shadow", is_flag=True, help="What a run beside the record found, in place of the record.")
@in_workspace
def certificate(
    ws: Workspace, as_json: bool, period: str | None, format_: str | None, output: Path | None, shadow: bool
) -> None:
    """Show the certificate of a month: every proof, and what has changed since a run wrote it.

    With --format the file itself: html and pdf are made of json. Its SHA-256 stands on it and in the audit chain, and
    `carm verify` holds the files against it.
    """
    from include.carm.period import Period
    from include.certificate import require_certificate

    if output is not None and format_ is None:
        raise UsageError("--output takes the certificate itself: say which with --format html, pdf or json")
    if format_ == "pdf" and output is None and sys.stdout.isatty():
        raise UsageError("a PDF is no text for a terminal: write it to a file with --output FILE")
    found = require_certificate(ws, Period.parse(period) if period else None, "shadow" if shadow else "lake")
    if format_ is None:
        from include.certificate_since import change_lines, find_changes, find_head
        from include.certificate_words import certificate_lines

        changes, chain = find_changes(ws, found), find_head(ws, found)
        facts = {
            "certificate": found.content,
            "sha256": found.sha256["json"],
            "folder": str(found.folder),
            "changed_since": changes,
            "audit_chain": chain,
        }
        lines = [*certificate_lines(found.content, found.sha256["json"]), f"Files: {found.folder}"]
        show(as_json, facts, [*lines, *change_lines(changes, chain)])
        return
    content = found.read(format_)
    if output is None:
        click.echo(content, nl=False)
    else:
        from include.statement_reader import write_private

        write_private(output, content)
        click.echo(f"written: {output}", err=True)
