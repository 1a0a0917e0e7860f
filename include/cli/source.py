"""The verbs that fill a source: ``load`` and ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from include.carm.counts import inflect, tell_count
from include.cli.group import ShownProgress, carm, in_new_workspace, show

if TYPE_CHECKING:
    from include.workspace import Workspace


@carm.command("load")
@click.argument("folder", type=Path)
@click.option("--append", is_flag=True, help="Add the rows to what the source holds already.")
@in_new_workspace
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
    lines = [f"{file.name:<26}{file.rows:>14,} {inflect(file.rows, 'row'):<4}  {file.state}" for file in report.files]
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
@click.option(
    "--broken-dates",
    type=int,
    default=0,
    show_default=True,
    metavar="PERCENT",
    help="Of so many accounts of a hundred no date is later than early 2016, as from a broken feed: a plan to rehearse "
    "on, which is held.",
)
@in_new_workspace
def demo(
    ws: Workspace, as_json: bool, accounts: int, months: int, seed: int, last_period: str, broken_dates: int
) -> None:
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
            broken_dates=broken_dates,
            calendar=ws.calendar,
            progress=progress,
        )
    finally:
        progress.close()
    made_from = f"seed {seed}: {tell_count(accounts, 'account')}, {tell_count(months, 'month')} to {last_period}"
    made_from += f", broken dates in {broken_dates} %" if broken_dates else ""
    facts = {
        "changed": report.changed,
        "seed": seed,
        "accounts": accounts,
        "months": months,
        "last_period": last_period,
        "broken_dates": broken_dates,
        "rows": report.rows,
    }
    if report.changed:
        lines = [f"demo world of {made_from}"]
        lines += [f"{name:<22}{rows:>14,} {inflect(rows, 'row')}" for name, rows in report.rows.items()]
    else:
        lines = [f"nothing changed: the source holds the demo world of {made_from}"]
    show(as_json, facts, lines)
