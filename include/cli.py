"""The command line ``carm``: for people, beside the UI of Airflow.

A verb is one function below. ``@carm.command`` names it, ``@in_workspace`` gives it the workspace and ``--json``;
it prints through :func:`show` and raises a ``CarmError`` for whatever a person can put right. Exit codes: 0 done,
1 the data or a check failed, 2 wrong usage. Heavy imports stand inside the verbs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from include.carm.errors import CarmError

if TYPE_CHECKING:
    from include.workspace import Workspace

INTERRUPTED = 130
"""The exit code of a process that Ctrl-C ended."""


class Verbs(click.Group):
    """Turns what a verb raises into one line on standard error and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CarmError as error:
            click.echo(str(error), err=True)
            raise click.exceptions.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            click.echo("interrupted: nothing of the unfinished step was kept", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:
            # The reader (head, less) has seen enough. Python would complain again when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(0) from error


@click.group("carm", cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def carm() -> None:
    """Statement months of BN15 (RM) accounts: fill a source, look into what the months left behind.

    Exit codes: 0 done, 1 the data or a check failed, 2 wrong usage.
    """


def main() -> None:
    """Run the command line; the console script ``carm`` calls it."""
    carm(prog_name="carm")


def in_workspace(verb: Callable[..., None]) -> Callable[..., None]:
    """Give ``verb`` the options that all verbs share, as arguments ``ws`` (Workspace) and ``as_json`` (bool)."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON for programs in place of text for people.")
    @click.option("--source", metavar="URL", envvar="CARM_SOURCE_URL", help="SQLAlchemy URL of the source database.")
    @click.option("--data", metavar="FOLDER", help="Data folder  [default: CARM_DATA, else data]", type=Path)
    @functools.wraps(verb)
    def with_options(data: Path | None, source: str | None, as_json: bool, **others: Any) -> None:
        from include.workspace import Workspace

        verb(ws=Workspace.open(data, source_url=source), as_json=as_json, **others)

    return with_options


def show(as_json: bool, facts: dict[str, Any], lines: Iterable[str]) -> None:
    """Print ``facts`` as JSON, or else ``lines``."""
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False, indent=2, default=str))
    else:
        for line in lines:
            click.echo(line)


class ShownProgress:
    """Shows how far long work is, on standard error: one moving line on a terminal, else a line every tenth."""

    LEAST_ROWS = 100_000
    """Shorter work is over before a line about it is read."""

    def __init__(self) -> None:
        self._tenth = 0
        self._what = ""
        self._is_open = False

    def __call__(self, what: str, rows: int, share: float) -> None:
        """Take note of ``rows`` done of ``what``, which is ``share`` (0 to 1) of all."""
        if what != self._what:
            self.close()
            self._what, self._tenth = what, 0
        if rows < self.LEAST_ROWS:
            return
        line = f"{what}: {rows:,} rows ({share:.0%})"
        if sys.stderr.isatty():
            click.echo(f"\r{line}\x1b[K", err=True, nl=False)
            self._is_open = True
        elif int(share * 10) > self._tenth:
            self._tenth = int(share * 10)
            click.echo(line, err=True)

    def close(self) -> None:
        """End a moving line, so that what comes next begins on its own."""
        if self._is_open:
            click.echo(err=True)
        self._is_open = False


@carm.command("load")
@click.argument("folder", type=Path)
@click.option("--append", is_flag=True, help="Add the rows to what the source holds already.")
@in_workspace
def load(ws: Workspace, as_json: bool, folder: Path, append: bool) -> None:
    """Load the CSV files of FOLDER into the source, all of them or nothing.

    accounts.csv, transactions.csv, export_declarations.csv, delegations.csv, subscribers.csv, webinars.csv: UTF-8 with
    a header, ISO dates, money in integer cents, an empty field is NULL. The same files again change nothing.
    """
    from include.database import connect_engine
    from include.load import load_folder

    progress = ShownProgress()
    try:
        report = load_folder(connect_engine(ws.source_url, create=True), folder, append=append, progress=progress)
    finally:
        progress.close()
    for name in report.ignored:
        click.echo(f"{name} was not read: it is no file of the source", err=True)
    facts = {
        "changed": report.changed,
        "files": [
            {"name": file.name, "rows": file.rows, "state": file.state, "sha256": file.sha256} for file in report.files
        ],
        "missing": report.missing,
        "ignored": report.ignored,
    }
    lines = [f"{file.name:<26}{file.rows:>14,} rows  {file.state}" for file in report.files]
    if not append and "export_declarations.csv" in report.missing:
        lines.append("export_declarations.csv was not delivered: its months will not be covered")
    if not report.changed:
        lines.append("nothing changed: these files were loaded before")
    show(as_json, facts, lines)


@carm.command("demo")
@click.option("--accounts", type=int, default=5_000, show_default=True, help="How many accounts.")
@click.option("--months", type=int, default=55, show_default=True, help="How many statement months.")
@click.option("--seed", type=int, default=2021, show_default=True, help="The same seed gives the same rows.")
@click.option("--last-period", default="2021-12", show_default=True, metavar="YYYY-MM", help="The last month.")
@in_workspace
def demo(ws: Workspace, as_json: bool, accounts: int, months: int, seed: int, last_period: str) -> None:
    """Fill an empty source with an invented world. The same world again changes nothing."""
    from include.database import connect_engine
    from include.demo import fill_demo

    progress = ShownProgress()
    try:
        report = fill_demo(
            connect_engine(ws.source_url, create=True),
            accounts=accounts,
            months=months,
            seed=seed,
            last_period=last_period,
            calendar=ws.calendar,
            progress=progress,
        )
    finally:
        progress.close()
    made_from = f"seed {seed}: {accounts:,} accounts, {months} months to {last_period}"
    facts = {
        "changed": report.changed,
        "seed": seed,
        "accounts": accounts,
        "months": months,
        "last_period": last_period,
        "rows": report.rows,
    }
    if report.changed:
        lines = [f"demo world of {made_from}", *(f"{name:<22}{rows:>14,} rows" for name, rows in report.rows.items())]
    else:
        lines = [f"nothing changed: the source holds the demo world of {made_from}"]
    show(as_json, facts, lines)


@carm.command("status")
@in_workspace
def status(ws: Workspace, as_json: bool) -> None:
    """List the months: what was decided, issued and planned, and which months of a feed are not covered."""
    from include.status import status as find_status
    from include.status import status_lines

    facts = find_status(ws)
    show(as_json, facts, status_lines(facts))


@carm.command("explain")
@click.argument("bn15")
@click.option("--period", metavar="YYYY-MM", help="The month  [default: the newest that was decided]")
@in_workspace
def explain(ws: Workspace, as_json: bool, bn15: str, period: str | None) -> None:
    """Say why account BN15 got its decision."""
    from include.carm.period import Period
    from include.status import explain as find_reasons
    from include.status import explain_lines

    facts = find_reasons(ws, bn15, Period.parse(period) if period else None)
    show(as_json, facts, explain_lines(facts))


@carm.command("statement")
@click.argument("bn15")
@click.option("--period", metavar="YYYY-MM", help="The month  [default: the newest with statements]")
@click.option("--format", "format_", type=click.Choice(["html", "csv", "json"]), default="html", show_default=True)
@click.option("--output", metavar="FILE", type=Path, help="Write to FILE, readable by you alone, not to the terminal.")
@click.option("--shadow", is_flag=True, help="What a shadow run of an issued month computed, in place of the record.")
@in_workspace
def statement(
    ws: Workspace, as_json: bool, bn15: str, period: str | None, format_: str, output: Path | None, shadow: bool
) -> None:
    """Print the Statement of Account of account BN15, as it was rendered for the month."""
    from include.carm.period import Period
    from include.statements import newest_statements, read_statement, write_private

    area = "shadow" if shadow else "lake"
    month = Period.parse(period) if period else newest_statements(ws, area)
    content = read_statement(ws, month, bn15, "json" if as_json else format_, area)
    if output is None:
        click.echo(content, nl=False)
    else:
        write_private(output, content)
        click.echo(f"written: {output}", err=True)


@carm.command("verify")
@click.option("--period", metavar="YYYY-MM", help="Only what was known up to this month.")
@in_workspace
def verify(ws: Workspace, as_json: bool, period: str | None) -> None:
    """Prove the lake: seals, counts, effects and the chain of balances. Exit code 1 names what is broken."""
    from include.carm.period import Period
    from include.verify import verify as find_faults
    from include.verify import verify_lines

    facts = find_faults(ws, Period.parse(period) if period else None)
    show(as_json, facts, verify_lines(facts))


if __name__ == "__main__":
    main()
