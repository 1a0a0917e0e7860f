"""``carm certificate``: the certificate itself, byte by byte, and what has changed since it was written."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import delete, update

from include.carm.period import Period
from include.certificate import FORMATS, require_certificate
from include.cli import carm
from include.database import write_transaction
from include.operations_notice_tables import OUTBOX
from include.operations_plan_tables import AUDIT_CHAIN, PLANS
from include.operations_schema import COVERAGE
from include.workspace import Workspace
from tests.prepared import Prepared, december, shadow_months


@pytest.fixture
def ws(prepared: Prepared, tmp_path: Path) -> Workspace:
    return prepared.copy(tmp_path / "data", december)


def run(ws: Workspace, *arguments: str) -> Result:
    return CliRunner().invoke(carm, ["certificate", "--data", str(ws.data), *arguments], prog_name="carm")


def changed_since(ws: Workspace) -> dict[str, Any]:
    facts = json.loads(run(ws, "--json").stdout)
    return {change["what"]: (change["then"], change["now"]) for change in facts["changed_since"]}


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_is_the_file_itself(ws: Workspace, tmp_path: Path, format: str) -> None:
    written = require_certificate(ws).read(format)
    assert run(ws, "--period", "2021-12", "--format", format).stdout_bytes == written
    target = tmp_path / f"page.{format}"
    assert run(ws, "--format", format, "--output", str(target)).stderr == f"written: {target}\n"
    assert target.read_bytes() == written
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_without_a_format_every_check_is_told_and_that_nothing_has_changed(ws: Workspace) -> None:
    lines = run(ws).stdout.splitlines()
    assert lines[:2] == [
        "Certificate of statement month 2021-12, version 1",
        "10 of 11 checks hold, none fails. 1 check could not be made: the table says why.",
    ]
    assert "  holds          Every posting on exactly one statement, or its account parked" in lines
    place = lines.index("  not checked    Opening = closing of the month before")
    assert lines[place + 1].strip() == "there are no statements of 2021-11 to compare with"
    assert f"SHA-256 of certificate.json: {require_certificate(ws).sha256['json']}" in lines
    assert lines[-2].startswith("Not changed since: issue, coverage, sealed files, plan")
    assert lines[-1].endswith("the head above is still in it")
    facts = json.loads(run(ws, "--json").stdout)
    assert facts["certificate"] == require_certificate(ws).content
    assert facts["changed_since"] == []


def test_what_changed_since_is_told_as_then_and_now(ws: Workspace) -> None:
    closures = next(
        row["messages"] for row in require_certificate(ws).content["moment"]["outbox"] if row["kind"] == "closure"
    )
    this = (COVERAGE.c.dataset == "interest") & (COVERAGE.c.period == "2021-12")
    with write_transaction(ws.operations) as connection:
        connection.execute(update(OUTBOX).where(OUTBOX.c.kind == "closure").values(state="sent"))
        connection.execute(update(PLANS).values(state="undone"))
        connection.execute(update(COVERAGE).where(this).values(sha256="0" * 64))
    lines = run(ws).stdout.splitlines()
    told = lines[lines.index("Changed since:") + 1 : -1]
    plan_hash = require_certificate(ws).content["month"]["plan"]["plan_hash"][:12]
    assert told == [
        "  sealed files: interest",
        f"  plan: {plan_hash} applied -> {plan_hash} undone",
        f"  outbox: closure planned {closures:,} -> 0, closure sent 0 -> {closures:,}",
    ]
    assert set(changed_since(ws)) == {"sealed files", "plan", "outbox"}


def test_another_code_and_other_rules_are_told(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.certificate_since.describe_versions", _versions_elsewhere)
    changed = changed_since(ws)
    assert {"code_sha256", "rules_sha256", "templates_sha256"} <= set(changed)
    assert changed["code_sha256"][1] is None
    assert "project_version" not in changed


def _versions_elsewhere() -> dict[str, str | None]:
    from include.certificate_versions import describe_versions

    return describe_versions(Path("/nowhere"))


def test_a_chain_that_lost_the_head_is_told(ws: Workspace) -> None:
    head = require_certificate(ws).content["moment"]["audit_chain"]["head"]
    with write_transaction(ws.operations) as connection:
        assert connection.execute(delete(AUDIT_CHAIN).where(AUDIT_CHAIN.c.sha256 == head)).rowcount == 1
    assert run(ws).stdout.splitlines()[-1].endswith("the head above is NOT in it any more: run carm verify")


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("--output", "page.html"), 2, "--output takes the certificate itself: say which with --format"),
        (("--period", "2021-13"), 2, "is not a month"),
        (("--period", "2021-11"), 1, "2021-11 has no certificate: 2021-12 has one. A run writes it"),
        (("--shadow",), 1, "no month has a certificate of a run beside the record yet"),
        (("--format", "docx"), 2, "'docx' is not one of"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(
    ws: Workspace, arguments: tuple[str, ...], code: int, error: str
) -> None:
    result = run(ws, *arguments)
    assert result.exit_code == code
    assert error in result.stderr
    assert "Traceback" not in result.stderr


def test_a_changed_file_is_not_handed_out(ws: Workspace) -> None:
    path = require_certificate(ws).path("html")
    path.write_bytes(path.read_bytes() + b" ")
    result = run(ws, "--format", "html")
    assert (result.exit_code, result.stdout) == (1, "")
    shown = "certificates/period=2021-12/certificate.html"
    assert result.stderr.startswith(
        f"the file {shown} is not the certificate that was written: restore it from a backup"
    )


def test_the_newest_certificate_is_shown_unless_a_month_is_named(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "months", shadow_months, "2021-08")
    assert json.loads(run(ws, "--json").stdout)["certificate"]["period"] == "2021-08"
    assert json.loads(run(ws, "--json", "--period", "2021-07").stdout)["certificate"]["period"] == "2021-07"
    assert require_certificate(ws, Period(2021, 7)).content["month"]["effects"] == "shadow"
