"""The command line: exit codes, one clear line, text for people and JSON for programs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from include.carm.errors import DataError, Refused, Unavailable, UsageError
from include.cli import ShownProgress, Verbs, carm
from include.database import connect_engine, read_snapshot
from include.source_schema import filled_tables
from tests.source.folders import csv_text, write_folder

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs ``carm`` with the data folder ``tmp_path/data``."""
    monkeypatch.setenv("CARM_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("CARM_SOURCE_URL", raising=False)
    monkeypatch.setenv("CARM_RECIPIENT_HASH_KEY", "a key for tests only, long enough")
    return lambda *arguments: CliRunner().invoke(carm, [str(argument) for argument in arguments], prog_name="carm")


def test_load_tells_what_it_loaded(run: Any, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", transactions=csv_text("transactions", {}))
    result: Result = run("load", folder)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "accounts.csv                           0 rows  loaded",
        "transactions.csv                       1 row   loaded",
        "export_declarations.csv was not delivered: its months will not be covered",
    ]
    assert result.stderr == ""
    assert run("load", folder).stdout.splitlines()[-1] == "nothing changed: these files were loaded before"


def test_load_tells_programs_the_same(run: Any, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", webinars=csv_text("webinars", {}))
    (folder / "other.csv").write_text("x")
    result: Result = run("load", folder, "--json")
    facts = json.loads(result.stdout)
    assert facts["changed"]
    assert [(file["name"], file["rows"], file["state"]) for file in facts["files"]] == [
        ("accounts.csv", 0, "loaded"),
        ("webinars.csv", 1, "loaded"),
    ]
    assert facts["ignored"] == ["other.csv"]
    assert result.stderr == "other.csv was not read: it is no file of the source\n"
    assert not json.loads(run("load", folder, "--json").stdout)["changed"]


def test_load_lists_the_faults_and_leaves_with_1(run: Any, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", transactions=csv_text("transactions", {"amount_cents": "1.0"}))
    result: Result = run("load", folder)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"1 error in {folder}, nothing was loaded:",
        "  transactions.csv, line 2, column amount_cents: '1.0' is not a whole number: "
        "write digits only, money in cents",
    ]


def test_demo_tells_what_it_made_and_that_it_is_there_already(run: Any) -> None:
    first: Result = run("demo", "--accounts", 30, "--months", 2, "--seed", 5)
    assert first.exit_code == 0
    assert first.stdout.splitlines()[0] == "demo world of seed 5: 30 accounts, 2 months to 2021-12"
    again: Result = run("demo", "--accounts", 30, "--months", 2, "--seed", 5)
    assert (
        again.stdout == "nothing changed: the source holds the demo world of seed 5: 30 accounts, 2 months to 2021-12\n"
    )
    other: Result = run("demo", "--accounts", 31, "--months", 2, "--seed", 5, "--json")
    assert (other.exit_code, other.stdout) == (1, "")
    assert "holds another demo world" in other.stderr


def test_one_is_told_in_the_singular(run: Any) -> None:
    assert run("demo", "--accounts", 1, "--months", 2).stdout.startswith("demo world of seed 2021: 1 account, 2 months")


def test_demo_tells_programs_the_same(run: Any) -> None:
    facts = json.loads(run("demo", "--accounts", 30, "--months", 2, "--last-period", "2021-11", "--json").stdout)
    assert {key: facts[key] for key in ("changed", "seed", "accounts", "months", "last_period")} == {
        "changed": True,
        "seed": 2021,
        "accounts": 30,
        "months": 2,
        "last_period": "2021-11",
    }
    assert facts["rows"]["accounts"] >= 30


def test_the_data_folder_can_be_named_in_the_command(run: Any, tmp_path: Path) -> None:
    assert run("demo", "--accounts", 2, "--months", 2, "--data", tmp_path / "elsewhere").exit_code == 0
    assert (tmp_path / "elsewhere" / "source.db").exists()
    assert not (tmp_path / "data").exists()


def test_the_source_can_be_a_postgresql_database(run: Any, postgresql_url: str, tmp_path: Path) -> None:
    assert run("demo", "--accounts", 2, "--months", 2, "--source", postgresql_url).exit_code == 0
    with read_snapshot(connect_engine(postgresql_url)) as connection:
        assert "accounts" in filled_tables(connection)
    assert not (tmp_path / "data" / "source.db").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["load"], "Missing argument 'FOLDER'"),
        (["load", "/no/such/folder"], "cannot read the folder /no/such/folder"),
        (["demo", "--accounts", "many"], "'many' is not a valid integer"),
        (["demo", "--accounts", "0"], "a demo world has from 1 to 5000000 accounts, not 0"),
        (["demo", "--last-period", "2021-13"], "period '2021-13' is not a month: write YYYY-MM"),
        (["demo", "--colour"], "No such option"),
        (["dance"], "No such command 'dance'"),
    ],
)
def test_wrong_usage_leaves_with_2(run: Any, arguments: list[str], message: str) -> None:
    result: Result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [(UsageError("x"), 2), (DataError("x"), 1), (Refused("x"), 1), (Unavailable("x"), 1), (KeyboardInterrupt(), 130)],
)
def test_every_error_has_its_exit_code_and_one_line(error: BaseException, code: int) -> None:
    @click.group(cls=Verbs)
    def group() -> None: ...

    @group.command()
    def verb() -> None:
        raise error

    result = CliRunner().invoke(group, ["verb"])
    assert (result.exit_code, len(result.stderr.splitlines()), result.stdout) == (code, 1, "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["load", "/no/such/folder"], 2, "cannot read the folder /no/such/folder"),
        (["demo", "--accounts", "many"], 2, "'many' is not a valid integer"),
        (["status"], 2, "there is no data folder"),
        (["hold", "000000018RM0001", "--reason", "x", "--by", "\x07"], 2, "cannot be seen"),
        (["plan", "show"], 2, "Missing argument 'PLAN'"),
        (["dance"], 2, "No such command 'dance'"),
    ],
)
def test_programs_get_an_error_as_json(run: Any, arguments: list[str], code: int, message: str) -> None:
    result: Result = run(*arguments, "--json")
    assert (result.exit_code, result.stdout) == (code, "")
    (line,) = result.stderr.splitlines()
    error = json.loads(line)
    assert (sorted(error), error["exit_code"]) == (["error", "exit_code"], code)
    assert message in error["error"]
    plain: Result = run(*arguments)
    assert (plain.exit_code, plain.stderr.splitlines()[-1].removeprefix("Error: ")) == (code, error["error"])


def test_an_error_of_several_lines_is_one_line_of_json(run: Any, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", transactions=csv_text("transactions", {"amount_cents": "1.0"}))
    (line,) = run("load", folder, "--json").stderr.splitlines()
    assert json.loads(line)["error"].splitlines() == run("load", folder).stderr.splitlines()
    assert json.loads(line)["exit_code"] == 1


REPORTS = "reports.mbox"
"""In the place of a mailbox with a report."""

READING = [
    ["status"],
    ["explain", "000000018RM0001"],
    ["statement", "000000018RM0001"],
    ["verify"],
    ["plan", "list"],
    ["plan", "show", "2021-12"],
    ["plan", "diff", "2021-11", "2021-12"],
    ["plan", "undo", "abcd", "--effective-on", "2021-12-28", "--reason", "x"],
    ["hold", "000000018RM0001", "--reason", "x"],
    ["review", "000000018RM0001", "--decision", "keep", "--until", "2022-12-24", "--reason", "x"],
    ["reinstate", "000000018RM0001", "--effective-on", "2021-12-28", "--reason", "x"],
    ["versions", "000000018RM0001"],
    ["known", "then", "2021-12"],
    ["known", "now", "2021-12"],
    ["lock", "2021-12", "--reason", "x"],
    ["certificate"],
    ["backfill", "preview", "--from", "2021-11", "--to", "2021-12"],
    ["backfill", "differences", "--from", "2021-11", "--to", "2021-12"],
    ["outbox", "list"],
    ["outbox", "show", "abcd"],
    ["outbox", "resend", "abcd", "--reason", "x"],
    ["outbox", "sent", "abcd", "--reason", "x"],
    ["notices", "preview", "--period", "2021-12"],
    ["notices", "write"],
    ["notices", "letters", "--period", "2021-12"],
    ["list", "show"],
    ["list", "subscribe", "a@example.com", "--language", "en", "--consent", "x"],
    ["list", "unsubscribe", "a@example.com"],
    ["list", "suppress", "a@example.com"],
    ["list", "lift", "a@example.com"],
    ["bounces", REPORTS],
    ["quarterly", "2021-Q4", "--output", "newsletter"],
]


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_slip_in_the_data_folder_makes_no_folder(
    run: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, arguments: list[str]
) -> None:
    mailbox = tmp_path_factory.mktemp("mail") / REPORTS
    mailbox.write_text("From mailer Thu Dec 30 00:00:00 2021\nSubject: Undelivered\n\nx\n", encoding="ascii")
    arguments = [str(mailbox) if argument == REPORTS else argument for argument in arguments]
    for folder in (tmp_path / "slip", tmp_path / "a file"):
        (tmp_path / "a file").touch()
        result: Result = run(*arguments, "--data", folder)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(f"there is no data folder {folder}: name the right one with --data FOLDER")
        assert len(result.stderr.splitlines()) == 1
    (tmp_path / "empty").mkdir()
    result = run(*arguments, "--data", tmp_path / "empty")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"there is no database at {tmp_path / 'empty' / 'source.db'}: fill one with")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a file", "empty"]


def test_every_verb_but_those_that_fill_a_source_only_reads_the_folder() -> None:
    verbs = {tuple(words) for words, _ in each_verb()}
    reading = {tuple(words) for words in verbs for arguments in READING if arguments[: len(words)] == list(words)}
    assert verbs - reading == {("load",), ("demo",)}


def test_a_fault_of_the_software_keeps_its_traceback() -> None:
    @click.group(cls=Verbs)
    def group() -> None: ...

    @group.command()
    def verb() -> None:
        raise ZeroDivisionError

    assert isinstance(CliRunner().invoke(group, ["verb"]).exception, ZeroDivisionError)


def each_verb(group: click.Group = carm, *before: str) -> Iterator[tuple[list[str], click.Command]]:
    for name, verb in group.commands.items():
        if isinstance(verb, click.Group):
            yield from each_verb(verb, *before, name)
        else:
            yield [*before, name], verb


@pytest.mark.parametrize(
    ("words", "verb"), list(each_verb()), ids=lambda part: " ".join(part) if isinstance(part, list) else ""
)
def test_every_verb_has_help_and_json(words: list[str], verb: click.Command) -> None:
    result = CliRunner().invoke(carm, [*words, "--help"])
    assert result.exit_code == 0
    assert "--json" in result.stdout
    assert verb.help


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    code = (
        "import sys; from include.cli import carm, show\n"
        "@carm.command()\ndef much(): show(False, {}, (str(number) for number in range(1_000_000)))\n"
        "carm(prog_name='carm', args=['much'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"0\n"
    process.stdout.close()
    assert (process.wait(timeout=60), process.stderr.read()) == (0, b"")
    process.stderr.close()


def test_help_answers_without_loading_a_database_or_numpy() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from include.cli import carm\n"
        "assert CliRunner().invoke(carm, ['demo', '--help']).exit_code == 0\n"
        "print(sorted({'sqlalchemy', 'numpy', 'pyarrow', 'airflow'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_long_work_shows_a_line_every_tenth_and_short_work_none(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ShownProgress()
    for share in range(101):
        progress("transactions.csv", share * 10_000, share / 100)
        progress.close()
    progress("webinars.csv", 30, 1.0)
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"transactions.csv: {share * 100_000:,} rows ({share * 10}%)" for share in range(1, 11)]


def test_a_terminal_sees_one_moving_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress = ShownProgress()
    progress("demo world", 150_000, 0.5)
    progress("demo world", 300_000, 1.0)
    progress.close()
    assert capsys.readouterr().err == (
        "\rdemo world: 150,000 rows (50%)\x1b[K\rdemo world: 300,000 rows (100%)\x1b[K\n"
    )
