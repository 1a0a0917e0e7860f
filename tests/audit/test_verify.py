"""``carm verify``: one byte, a file with its seal, a rule, a row are each named, in one line and with exit code 1."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import delete, update

from include import engine
from include.carm.errors import DataError
from include.carm.period import Period
from include.cli import carm
from include.documents import SUMS_NAME, read_documents, write_pack
from include.lake import Lake, sha256_of
from include.operations_plan_tables import ACCOUNT_CHANGES, AUDIT_CHAIN, PLANS
from include.operations_schema import COVERAGE, FEED_COVERAGE
from include.program_type_rules import RULES_FILE, RuleTable
from include.statement_reader import read_statement
from include.verify import _require_open_items, verify, verify_lines
from include.verify_chain import read_chain
from include.verify_plans import verify_plans
from include.workspace import Workspace
from tests.audit.world import FIRST, OPEN, SECOND, changed, rows_of
from tests.pipeline import run_month

DECEMBER = Period.parse(FIRST)
DATASETS = ("account_decisions", "account_facts", "clean_up_records", "transactions", "statements", "dormancy_horizon")


@contextmanager
def rewritten(path: Path, content: bytes) -> Iterator[None]:
    """A file with other bytes for as long as the context lasts."""
    before = path.read_bytes()
    assert before != content
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def one_byte_of(path: Path) -> bytes:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    return bytes(content)


@contextmanager
def resealed(ws: Workspace, dataset: str, change: Callable[[pa.Table], pa.Table], kept: Path) -> Iterator[None]:
    """A file of December replaced, and its seal with it: whoever can write the one can write the other."""
    path = ws.lake().path(dataset, FIRST)
    pq.write_table(change(pq.read_table(path, partitioning=None)), kept)
    this = (COVERAGE.c.area == "lake") & (COVERAGE.c.dataset == dataset) & (COVERAGE.c.period == FIRST)
    with (
        rewritten(path, kept.read_bytes()),
        changed(ws, COVERAGE, update(COVERAGE).where(this).values(sha256=sha256_of(path))),
    ):
        yield


def with_value(column: str, value: Any) -> Callable[[pa.Table], pa.Table]:
    """A change of the first row's value in a column."""

    def change(table: pa.Table) -> pa.Table:
        position = table.schema.get_field_index(column)
        values = [value, *table.column(column).to_pylist()[1:]]
        return table.set_column(position, table.schema.field(column), pa.array(values, table.schema.field(column).type))

    return change


def run(ws: Workspace, *arguments: str) -> Result:
    where = ["--data", str(ws.data), "--source", ws.source_url]
    return CliRunner().invoke(carm, ["verify", *where, *arguments])


def said(ws: Workspace) -> str:
    """The one line that names what is wrong."""
    result = run(ws)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    return line


def plans_said(ws: Workspace) -> str:
    """What the proof of the plans alone would name."""
    with ws.operations.connect() as connection:
        chain = read_chain(connection)
    with pytest.raises(DataError) as error:
        verify_plans(ws, chain, None)
    return str(error.value)


def plan_of(ws: Workspace, period: str) -> str:
    (row,) = (row for row in rows_of(ws, PLANS) if row["period"] == period and row["effects"] == "live")
    return str(row["plan_hash"])[:12]


def test_a_sound_world_is_ok_and_names_the_head(made: Workspace) -> None:
    head = max(rows_of(made, AUDIT_CHAIN), key=lambda row: row["link_no"])["sha256"]
    result = run(made)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-2:] == [f"Audit chain head: {head}", "OK"]
    facts = json.loads(run(made, "--json").stdout)
    assert facts["chain_head"] == head
    assert facts["plans"] == {"hashed": 2, "decided_again": 1}
    # January was decided by another policy, in which closures are announced.
    assert facts["notes"] == [
        f"plan {plan_of(made, SECOND)} of {SECOND}: the policy has changed since, and would decide otherwise now"
    ]


def test_under_its_own_policy_a_plan_is_decided_again(made: Workspace) -> None:
    closure = replace(made.policy.closure, notice_months=1)
    staged = replace(made, policy=replace(made.policy, closure=closure, version="staged"))
    facts = verify(staged)
    assert facts["plans"] == {"hashed": 2, "decided_again": 1}
    assert facts["notes"] == [
        f"plan {plan_of(made, FIRST)} of {FIRST}: the policy has changed since, and would decide otherwise now"
    ]


def test_a_month_alone_can_be_proved(made: Workspace) -> None:
    facts = verify(made, DECEMBER)
    assert (facts["up_to"], facts["plans"]) == (FIRST, {"hashed": 1, "decided_again": 1})
    assert facts["links"] == len(rows_of(made, AUDIT_CHAIN))


def test_a_head_that_was_printed_must_be_in_the_chain(made: Workspace) -> None:
    links = sorted(rows_of(made, AUDIT_CHAIN), key=lambda row: row["link_no"])
    assert run(made, "--head", links[0]["sha256"][:20]).exit_code == 0
    result = run(made, "--head", "f" * 64)
    assert (result.exit_code, "was written anew" in result.stderr) == (1, True)
    for wrong in ("", "abc", "xyz" * 20):
        assert run(made, "--head", wrong).exit_code == 2


@pytest.mark.parametrize("dataset", DATASETS)
def test_one_byte_of_a_file_of_the_lake_is_named(made: Workspace, dataset: str) -> None:
    path = made.lake().path(dataset, FIRST)
    with rewritten(path, one_byte_of(path)):
        assert said(made) == (
            f"lake/{dataset}/period={FIRST}/data.parquet is not the file that was sealed: restore it from a backup"
        )


def test_a_file_that_is_gone_is_named(made: Workspace) -> None:
    path = made.lake().path("account_decisions", FIRST)
    content = path.read_bytes()
    path.unlink()
    try:
        assert said(made).startswith(
            f"lake/account_decisions/period={FIRST}/data.parquet is sealed, but the file is gone"
        )
    finally:
        path.write_bytes(content)


def test_decisions_that_were_replaced_with_their_seal_are_not_the_plans(made: Workspace, tmp_path: Path) -> None:
    with resealed(made, "account_decisions", with_value("balance_cents", 7), tmp_path / "other.parquet"):
        assert f"are not in the data folder: somebody replaced account_decisions of {FIRST}" in plans_said(made)


def test_decisions_of_an_issued_month_that_are_no_longer_sealed_are_named(made: Workspace) -> None:
    this = (COVERAGE.c.area == "lake") & (COVERAGE.c.dataset == "account_decisions") & (COVERAGE.c.period == FIRST)
    with changed(made, COVERAGE, delete(COVERAGE).where(this)):
        assert said(made).startswith(
            f"lake/account_decisions/period={FIRST} is no longer sealed as the file that link "
        )
        assert plans_said(made).startswith(f"account_decisions of {FIRST} are no longer sealed as the file that link ")


@pytest.mark.parametrize("dataset", ["notices", "statement_lines", "control_totals", "quarantine", "activity"])
def test_a_file_of_an_issued_month_that_was_deleted_with_its_seal_is_named(made: Workspace, dataset: str) -> None:
    path = made.lake().path(dataset, FIRST)
    this = (COVERAGE.c.area == "lake") & (COVERAGE.c.dataset == dataset) & (COVERAGE.c.period == FIRST)
    content = path.read_bytes()
    path.unlink()
    try:
        with changed(made, COVERAGE, delete(COVERAGE).where(this)):
            assert said(made).startswith(f"lake/{dataset}/period={FIRST} is no longer sealed as the file that link ")
    finally:
        path.write_bytes(content)


def test_statements_that_were_replaced_with_their_seal_are_not_those_that_were_issued(
    made: Workspace, tmp_path: Path
) -> None:
    with resealed(made, "statements", with_value("document_sha256", "0" * 64), tmp_path / "other.parquet"):
        assert said(made).startswith(f"lake/statements/period={FIRST} is sealed as another file than link ")


@pytest.mark.parametrize(
    ("dataset", "column", "value"),
    [("account_facts", "program_type", "broker"), ("account_facts", "hold_reason", "appeal")],
)
def test_facts_that_were_replaced_with_their_seal_no_longer_bear_the_decisions(
    made: Workspace, tmp_path: Path, dataset: str, column: str, value: Any
) -> None:
    decisions = pq.read_table(made.lake().path("account_decisions", FIRST), partitioning=None).to_pylist()
    closed = {row["account_key"] for row in decisions if row["action"] == "close"}

    def change(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        next(row for row in rows if row["account_key"] in closed)[column] = value
        return pa.Table.from_pylist(rows, schema=table.schema)

    with resealed(made, dataset, change, tmp_path / "other.parquet"):
        # The link of the closed month names the file; without it, the plan would.
        assert said(made).startswith(f"lake/{dataset}/period={FIRST} is sealed as another file than link ")
        assert plans_said(made).startswith(
            f"plan {plan_of(made, FIRST)} of {FIRST} does not follow from the facts and records that are sealed"
        )


def test_a_feed_that_was_made_complete_afterwards_is_named(made: Workspace) -> None:
    rows = FEED_COVERAGE.c
    this = (rows.feed == "transactions") & (rows.period == "2019-01") & (rows.known_in == "2019-01")
    with changed(made, FEED_COVERAGE, update(FEED_COVERAGE).where(this).values(rows=1_000_000)):
        assert said(made).startswith(
            f"plan {plan_of(made, FIRST)} of {FIRST} rests on another coverage than carm_feed_coverage shows now"
        )


def test_a_seal_that_counts_other_rows_is_named(made: Workspace) -> None:
    this = (COVERAGE.c.dataset == "statements") & (COVERAGE.c.period == FIRST)
    with changed(made, COVERAGE, update(COVERAGE).where(this).values(rows=COVERAGE.c.rows + 1)):
        assert said(made).startswith(f"lake/statements/period={FIRST}/data.parquet has another number of rows")


def test_open_items_that_do_not_add_up_to_the_balance_are_named(made: Workspace, tmp_path: Path) -> None:
    """Also where the chain of the audit was written anew with the file."""
    items = pq.read_table(made.lake().path("open_items", FIRST), partitioning=None)
    path = tmp_path / "data.parquet"
    pq.write_table(with_value("remaining_cents", items.column("remaining_cents")[0].as_py() + 1)(items), path)
    lake = made.lake()
    real = Lake.files

    def files(self: Lake, dataset: str, months: list[Period]) -> list[Path]:
        return [path] if dataset == "open_items" else real(self, dataset, months)

    with pytest.MonkeyPatch.context() as patch, engine.connect() as con:
        patch.setattr(Lake, "files", files)
        with pytest.raises(DataError, match="the open items of 1 account do not add up to the balance that 2021-12"):
            _require_open_items(lake, con, DECEMBER)


def test_one_row_of_the_journal_is_named_by_the_link(made: Workspace) -> None:
    change = next(row for row in rows_of(made, ACCOUNT_CHANGES) if row["period"] == FIRST)
    this = (ACCOUNT_CHANGES.c.plan_hash == change["plan_hash"]) & (ACCOUNT_CHANGES.c.bn15 == change["bn15"])
    with changed(made, ACCOUNT_CHANGES, update(ACCOUNT_CHANGES).where(this).values(approved_by="intruder")):
        line = said(made)
    assert line.startswith(f"carm_account_changes: the rows of plan {plan_of(made, FIRST)} are not what link ")
    assert change["bn15"] not in line


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Callable[[str], str]], None]:
    """Lets the program read a rule table that somebody edited."""
    load = RuleTable.load

    def edit(change: Callable[[str], str]) -> None:
        path = tmp_path / "rules.csv"
        before = RULES_FILE.read_text(encoding="utf-8")
        path.write_text(change(before), encoding="utf-8")
        assert path.read_text(encoding="utf-8") != before
        monkeypatch.setattr(RuleTable, "load", lambda: load(path))

    return edit


@pytest.mark.parametrize("period", [FIRST, SECOND])
def test_a_rule_that_was_edited_is_named_whatever_the_policy_is_now(made: Workspace, rules: Any, period: str) -> None:
    """January's policy is not the one of now; its rules are."""
    valid_from = "1980-01-01" if period == FIRST else "2022-01-01"
    line = f"importer_none,importer,none,review,,no_activity_4_years,{valid_from},Our own proposal.\n"
    rules(
        lambda text: (
            text.replace("importer_none,importer,none,close,", "importer_none,importer,none,review,")
            if period == FIRST
            else f"{text.rstrip()}\n{line}"
        )
    )
    assert said(made).startswith(
        f"plan {plan_of(made, period)} of {period} was decided by other cells of the rule table than those that hold"
    )


def test_a_rule_that_begins_later_is_no_fault(made: Workspace, rules: Any) -> None:
    rules(
        lambda text: f"{text.rstrip()}\ndual_none,dual,none,review,,no_activity_4_years,2030-01-01,Our own proposal.\n"
    )
    result = run(made)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "OK"


def test_what_is_told_to_people_is_short(made: Workspace) -> None:
    facts = verify(made)
    assert max(len(line) for line in verify_lines(facts)) < 260


@pytest.mark.parametrize("period", [Period(2001, 1), Period(2022, 2)])
def test_a_month_that_was_not_extracted_is_not_proved(made: Workspace, period: Period) -> None:
    with pytest.raises(DataError, match=f"{period} was not extracted: there are the months 2017-12 to {SECOND}"):
        verify(made, period)


def pack_of(ws: Workspace) -> Path:
    (pack,) = (ws.documents("lake") / "soa" / f"period={FIRST}").glob("statements-*.zip")
    return pack


def forged(pack: Path, format: str, *, with_sums: bool) -> bytes:
    """The pack with another first document of the format, and where asked for with its own list of hashes."""
    documents = list(read_documents(pack))
    first = next(name for name, _ in documents if name.endswith(format))
    other = [(name, content + b" " if name == first else content) for name, content in documents]
    fresh = pack.with_name("forged.zip")
    write_pack(fresh, other)
    if not with_sums:
        with zipfile.ZipFile(pack) as before, zipfile.ZipFile(fresh) as after:
            content = after.read(first), before.read(SUMS_NAME)
        with zipfile.ZipFile(fresh, "w", zipfile.ZIP_STORED) as archive:
            for name, own in other:
                archive.writestr(name, own)
            archive.writestr(SUMS_NAME, content[1])
    try:
        return fresh.read_bytes()
    finally:
        fresh.unlink()


@pytest.mark.parametrize(("format", "with_sums"), [("html", True), ("html", False), ("csv", True), ("csv", False)])
def test_a_document_that_was_replaced_is_named(made: Workspace, format: str, with_sums: bool) -> None:
    pack = pack_of(made)
    (first, _), *_ = (document for document in read_documents(pack) if document[0].endswith(format))
    content = forged(pack, format, with_sums=with_sums)
    with rewritten(pack, content):
        # Without its hash beside it the pack contradicts itself, which is seen first.
        told = f"{first} of {FIRST} is not the document that was rendered (below "
        assert said(made).startswith(told if with_sums else f"{pack} is not a whole pack of documents")
        if format == "html":
            with pytest.raises(DataError, match="is not the document that was rendered"):
                read_statement(made, DECEMBER, first.removesuffix(".html"))
    assert read_statement(made, DECEMBER, first.removesuffix(f".{format}"), format)


def test_a_pack_that_is_gone_is_named(made: Workspace) -> None:
    pack = pack_of(made)
    first, _ = next(iter(read_documents(pack)))
    content = pack.read_bytes()
    pack.unlink()
    try:
        assert said(made).startswith(f"{first} of {FIRST} is in no pack, and ")
        with pytest.raises(DataError, match=r"is in no pack \(below .*: restore the documents from a backup"):
            read_statement(made, DECEMBER, first.partition(".")[0])
    finally:
        pack.write_bytes(content)


def test_a_csv_that_was_taken_out_of_a_pack_is_named(made: Workspace) -> None:
    pack = pack_of(made)
    documents = list(read_documents(pack))
    gone = next(name for name, _ in documents if name.endswith(".csv"))
    fresh = pack.with_name("without.zip")
    write_pack(fresh, [document for document in documents if document[0] != gone])
    content = fresh.read_bytes()
    fresh.unlink()
    with rewritten(pack, content):
        assert said(made).startswith(f"{gone} of {FIRST} is in no pack (below ")


def test_one_byte_of_a_pack_is_named(made: Workspace) -> None:
    pack = pack_of(made)
    with rewritten(pack, one_byte_of(pack)):
        assert said(made).startswith(f"{pack} is not a whole pack of documents: restore it from a backup")


def test_notices_that_were_changed_or_lost_are_named(made: Workspace) -> None:
    pack = sorted((made.documents("lake") / "notices" / f"period={FIRST}").glob("closure-*.zip"))[0]
    documents = list(read_documents(pack))
    fresh = pack.with_name("other.zip")
    write_pack(fresh, [(name, content + b" ") for name, content in documents])
    content, before = fresh.read_bytes(), pack.read_bytes()
    fresh.unlink()
    with rewritten(pack, content):
        assert said(made).startswith(f"{pack} has a notice that is not the one that was rendered: restore")
    pack.unlink()
    try:
        assert f"of the notices of {FIRST} are in no pack below " in said(made)
    finally:
        pack.write_bytes(before)


# Histories in which nothing is wrong, and what must not be forgotten by an ordinary run.


def copied(made: Workspace, folder: Path) -> Workspace:
    """A world of its own, for a test that lets it go on."""
    shutil.copytree(made.data, folder)
    return Workspace.open(folder)


def test_a_world_whose_plan_was_applied_late_and_that_ran_again_in_shadow_is_sound(
    made: Workspace, tmp_path: Path
) -> None:
    closes = [row["subject"] for row in rows_of(made, AUDIT_CHAIN) if row["event"] == "close"]
    assert closes == [FIRST, SECOND]
    assert [row["subject"] for row in rows_of(made, AUDIT_CHAIN) if row["event"] == "notices"] == [
        *(FIRST, FIRST, FIRST),
        SECOND,
    ]
    ws = copied(made, tmp_path / "again")
    run_month(ws, FIRST, effects="shadow", run_id="shadow again")
    assert verify(ws)["ok"]
    assert len([row for row in rows_of(ws, AUDIT_CHAIN) if row["event"] == "close"]) == 2


def test_an_ordinary_run_does_not_forget_that_a_file_was_replaced(made: Workspace, tmp_path: Path) -> None:
    ws = copied(made, tmp_path / "replaced")
    with resealed(ws, "statement_lines", with_value("amount_cents", 7), tmp_path / "other.parquet"):
        expected = f"lake/statement_lines/period={FIRST} is sealed as another file than link "
        assert said(ws).startswith(expected)
        with pytest.raises(DataError, match=f"is not sealed as it was when {FIRST} was closed"):
            run_month(ws, FIRST, effects="shadow", run_id="shadow again")
        assert said(ws).startswith(expected)


def test_a_month_that_was_issued_and_whose_run_died_before_it_was_closed_is_no_fault(
    made: Workspace, tmp_path: Path
) -> None:
    ws = copied(made, tmp_path / "died")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("include.month.close_month", _die)
        with pytest.raises(InterruptedError):
            run_month(ws, OPEN, effects="live", run_id="manual february")
    assert verify(ws)["ok"]


def _die(*_: object) -> None:
    raise InterruptedError


def test_a_rule_that_was_edited_is_named_also_after_a_shadow_run_and_put_back_is_sound(
    made: Workspace, tmp_path: Path, rules: Any
) -> None:
    ws = copied(made, tmp_path / "edited")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RuleTable, "load", RuleTable.load)
        rules(lambda text: text.replace("Our own proposal: keep.", "Our proposal: keep."))
        run_month(ws, FIRST, effects="shadow", run_id="shadow again")
        assert "was decided by other cells of the rule table" in said(ws)
    assert verify(ws)["ok"]


def test_a_new_rule_for_a_month_that_is_open_is_no_fault(made: Workspace, tmp_path: Path, rules: Any) -> None:
    ws = copied(made, tmp_path / "open")
    run_month(ws, OPEN, effects="shadow", run_id="a first look")
    rules(
        lambda text: f"{text.rstrip()}\ndual_none,dual,none,review,,no_activity_4_years,2022-02-01,Our own proposal.\n"
    )
    assert verify(ws)["ok"]
