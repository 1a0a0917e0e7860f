"""``carm statement``: one statement, found and printed."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from include.cli import carm
from include.statement_reader import read_statement
from tests.statements.ledger import BN15, OTHER_BN15, posting
from tests.statements.months import SealedMonth


@pytest.fixture
def month(tmp_path: Path) -> SealedMonth:
    month = SealedMonth(tmp_path / "data").seal([posting(12_345)])
    month.run()
    return month


def _carm(month: SealedMonth, *arguments: str) -> Result:
    return CliRunner().invoke(carm, ["statement", "--data", str(month.ws.data), *arguments])


@pytest.mark.parametrize("format", ["html", "csv", "json"])
def test_a_statement_is_printed_as_it_was_rendered(month: SealedMonth, format: str) -> None:
    result = _carm(month, BN15, "--period", "2021-12", "--format", format)

    assert 0 == result.exit_code
    assert read_statement(month.ws, month.period, BN15, format) == result.stdout_bytes


def test_without_a_period_it_is_the_newest_and_json_is_a_format(month: SealedMonth) -> None:
    result = _carm(month, BN15, "--json")

    assert "2021-12" == json.loads(result.stdout)["period"]


def test_a_statement_goes_to_a_file_for_its_owner_alone(month: SealedMonth, tmp_path: Path) -> None:
    target = tmp_path / "mine.html"
    target.write_text("an older one, readable by everyone")
    target.chmod(0o644)

    assert 0 == _carm(month, BN15, "--output", str(target)).exit_code
    assert read_statement(month.ws, month.period, BN15) == target.read_bytes()
    assert 0o600 == stat.S_IMODE(target.stat().st_mode)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "line"),
    [
        ([OTHER_BN15], 1, f"account {OTHER_BN15} has no statement for 2021-12"),
        (["12345"], 2, "'12345' is not a BN15 (RM) account number: nine digits, RM"),
        ([BN15, "--period", "2021-13"], 2, "period '2021-13' is not a month"),
        ([BN15, "--period", "2021-11"], 1, "there are no statements for 2021-11: run that month first"),
        ([BN15, "--shadow"], 1, "no shadow run of 2021-12 lies beside its record: make run PERIOD=2021-12"),
        ([BN15, "--output", "/nowhere/at/all.html"], 2, "cannot write /nowhere/at/all.html (No such file"),
    ],
)
def test_what_cannot_be_found_or_written_is_one_clear_line(
    month: SealedMonth, arguments: list[str], exit_code: int, line: str
) -> None:
    result = _carm(month, *arguments)

    assert exit_code == result.exit_code
    assert result.stderr.startswith(line)
    assert 1 == result.stderr.count("\n")
