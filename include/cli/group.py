"""The group ``carm`` and what all its verbs share: the workspace, printing, progress, and errors as one line."""

from __future__ import annotations

import functools
import json
import os
import pwd
import sys
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import click

from include.carm.errors import CarmError, UsageError
from include.carm.recipients import checked_key

INTERRUPTED = 130
"""The exit code of a process that Ctrl-C ended."""


class PlainErrors(click.Command):
    """Turns what a command raises into an exit code and its text on standard error, as JSON where ``--json`` asks."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Also an error in the other words of the verb is to be JSON, and then no verb has read the option.
        ctx.obj = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CarmError as error:
            raise _leave(ctx, str(error), error.exit_code) from error
        except click.UsageError as error:
            if not ctx.obj:
                raise
            raise _leave(ctx, error.format_message(), error.exit_code) from error
        except KeyboardInterrupt as error:
            raise _leave(ctx, "interrupted: nothing of the unfinished step was kept", INTERRUPTED) from error
        except BrokenPipeError as error:
            # The reader (head, less) has seen enough. Python would complain again when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(0) from error


class Verbs(PlainErrors, click.Group):
    """The same for a group of verbs."""


def _leave(ctx: click.Context, error: str, exit_code: int) -> click.exceptions.Exit:
    """Print the error, and what to raise then."""
    facts = {"error": error, "exit_code": exit_code}
    click.echo(json.dumps(facts, ensure_ascii=False) if ctx.obj else error, err=True)
    return click.exceptions.Exit(exit_code)


@click.group("carm", cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def carm() -> None:
    """Statement months of BN15 (RM) accounts: fill a source, look into what the months left behind.

    Exit codes: 0 done, 1 the data or a check failed, 2 wrong usage.
    """


def in_workspace(verb: Callable[..., None], *, create: bool = False) -> Callable[..., None]:
    """Give ``verb`` the options that all verbs share, as arguments ``ws`` (Workspace) and ``as_json`` (bool).

    The data folder must be there, unless the verb may ``create`` it.
    """

    @click.option("--json", "as_json", is_flag=True, help="Print JSON for programs in place of text for people.")
    @click.option("--source", metavar="URL", envvar="CARM_SOURCE_URL", help="SQLAlchemy URL of the source database.")
    @click.option(
        "--apply", "apply_", metavar="URL", envvar="CARM_APPLY_URL", help="URL of the database of carm_apply."
    )
    @click.option("--data", metavar="FOLDER", help="Data folder  [default: CARM_DATA, else data]", type=Path)
    @functools.wraps(verb)
    def with_options(data: Path | None, source: str | None, apply_: str | None, as_json: bool, **others: Any) -> None:
        from include.workspace import Workspace

        ws = Workspace.open(data, source_url=source, apply_url=apply_, create=create)
        verb(ws=ws, as_json=as_json, **others)

    return with_options


def in_new_workspace(verb: Callable[..., None]) -> Callable[..., None]:
    """The same for a verb that fills a source: it makes the data folder."""
    return in_workspace(verb, create=True)


def under_a_name(verb: Callable[..., None]) -> Callable[..., None]:
    """Give ``verb``, as ``person``, the name of who records."""

    @click.option("--by", metavar="NAME", help="Who records it  [default: your log-in name]")
    @functools.wraps(verb)
    def with_person(by: str | None, **others: Any) -> None:
        verb(person=_person(by), **others)

    return with_person


def by_a_person(verb: Callable[..., None]) -> Callable[..., None]:
    """Give ``verb`` the required ``reason`` and, as ``person``, the name of who records."""
    with_reason = click.option("--reason", required=True, metavar="TEXT", help="Why, for who reads it in a year.")
    return with_reason(under_a_name(verb))


def _person(by: str | None) -> str:
    from include.person_records import require_person

    if by is not None:
        return require_person(by)
    try:
        # Of the user that the process runs as; LOGNAME and USER can be set to anything.
        return require_person(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:
        raise UsageError("this user has no log-in name here: say who records with --by NAME") from None


class Day(click.ParamType):
    """An option that is a day, written YYYY-MM-DD."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            # The class reads other spellings too; one spelling is what a person finds again.
            day = date.fromisoformat(value)
        except ValueError:
            day = None
        if day is None or day.isoformat() != value:
            self.fail(f"'{value}' is not a day: write YYYY-MM-DD, for example 2021-12-24", param, ctx)
        return day


HASH_KEY_VARIABLE = "CARM_RECIPIENT_HASH_KEY"
"""Where the command line reads the secret, so that it stands in no list of processes and no history."""


def require_hash_key() -> bytes:
    """The key that hashes recipients, from the environment; raises ``UsageError`` where it is missing or too short."""
    key = os.environ.get(HASH_KEY_VARIABLE)
    if not key:
        raise UsageError(
            f"people are known by a keyed hash alone: set {HASH_KEY_VARIABLE} to the recipient_hash_key of the "
            "connection carm_smtp"
        )
    return checked_key(key)


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
