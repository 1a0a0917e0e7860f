"""The certificate that a run leaves: its figures by other ways, when a new one is written, and which one counts."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pypdf import PdfReader
from sqlalchemy import select, text, update

from include import certificate as certificate_module
from include.audit import read_links
from include.carm.errors import DataError
from include.carm.period import Period
from include.certificate import (
    EVENT,
    FORMATS,
    certificate_folder,
    certified_months,
    find_certificate,
    require_certificate,
)
from include.certificate_facts import describe_month
from include.certificate_page import TEMPLATE_FOLDER
from include.database import write_transaction
from include.month import close_month, read_summary
from include.operations_plan_tables import PLANS
from include.operations_schema import FEED_COVERAGE, PERIOD_LOCKS
from include.operations_statement_tables import ISSUED_MONTHS, STATEMENT_REGISTRY
from include.statement_registry import HASHES
from include.verify_certificates import verify_certificates
from include.verify_chain import read_chain
from include.workspace import Workspace
from tests.audit.conftest import audited
from tests.pipeline import hashes, read, run_month
from tests.prepared import Prepared, december, january, shadow_months

DECEMBER, JULY, AUGUST = Period(2021, 12), Period(2021, 7), Period(2021, 8)
AGAIN = {"period": str(AUGUST), "effects": "shadow", "area": "lake", "run_id": "again"}


@pytest.fixture(scope="module")
def issued(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """December, issued; no test changes it."""
    return prepared.copy(tmp_path_factory.mktemp("certified") / "data", december)


def content_of(ws: Workspace, period: Period, area: str = "lake") -> dict[str, Any]:
    return require_certificate(ws, period, area).content


def results(content: dict[str, Any]) -> dict[str, set[str]]:
    """The names of the checks by what they came to."""
    found: dict[str, set[str]] = {}
    for check in content["month"]["checks"]:
        found.setdefault(check["result"], set()).add(check["check"])
    return found


def certificate_links(ws: Workspace) -> list[tuple[str, int]]:
    with ws.operations.connect() as connection:
        links = [link for link in read_links(connection) if link.event == EVENT]
    return [(link.subject, json.loads(link.facts)["version"]) for link in links]


def notes_of(ws: Workspace) -> list[str]:
    """What verify notes about the certificates, though it is no fault, as far as the first comma."""
    with ws.operations.connect() as connection:
        chain = read_chain(connection)
    return [note.partition(",")[0] for note in verify_certificates(ws, chain, None).notes]


# What it tells


def test_a_month_leaves_a_certificate_as_the_schema_describes_it(issued: Workspace) -> None:
    certificate = require_certificate(issued)
    assert (certificate.period, certificate.version) == (DECEMBER, 1)
    schema = json.loads((TEMPLATE_FOLDER / "schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(certificate.content, schema)
    summary = read_summary(issued, DECEMBER, "lake")
    assert summary is not None
    # The world was made elsewhere, and copied here.
    assert Path(summary["certificate"].pop("folder")).parts[-2:] == certificate.folder.parts[-2:]
    assert summary["certificate"] == {
        "version": 1,
        "sha256": certificate.sha256["json"],
        "is_new": True,
        "checks": {"holds": 10, "does_not_hold": 0, "not_checked": 1},
    }


def test_every_check_holds_but_the_one_that_has_nothing_to_compare_with(issued: Workspace) -> None:
    content = content_of(issued, DECEMBER)
    held = {"source_rows", "one_decision", "plan", "exact_cover", "closing", "open_items", "ageing", "ledger", "issue"}
    assert results(content) == {"holds": held, "not_checked": {"chain"}}
    for check in content["month"]["checks"]:
        assert bool(check["figures"]) == (check["result"] == "holds")
        assert check["compared"]
        assert check["note"] or check["result"] == "holds"


def test_a_month_after_another_opens_with_what_that_closed_with(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", january)
    content = content_of(ws, Period(2022, 1))
    assert set(results(content)) == {"holds"}
    chain = next(check for check in content["month"]["checks"] if check["check"] == "chain")
    closed = read(ws, "statements", "2021-12").closing_cents.sum()
    assert closed > 0
    assert chain["figures"]["previous_closing_cents"] == chain["figures"]["opening_cents"] == closed
    assert certified_months(ws) == [DECEMBER, Period(2022, 1)]


def test_figures_are_those_that_other_ways_give(issued: Workspace) -> None:
    month = content_of(issued, DECEMBER)["month"]
    statements, lines = read(issued, "statements", "2021-12"), read(issued, "statement_lines", "2021-12")
    for name in ("opening_cents", "debits_cents", "credits_cents", "closing_cents", "total_payable_cents"):
        assert month["statements"][name] == statements[name].sum() != 0
    assert month["statements"]["statements"] == len(statements) > 0

    cover = next(check for check in month["checks"] if check["check"] == "exact_cover")["figures"]
    postings = read(issued, "transactions", "2021-12").query("is_counted or effect_cents != 0")
    assert cover["postings"] == len(postings) == len(lines) + cover["parked_postings"]
    assert cover["posting_cents"] == postings.effect_cents.sum() == lines.amount_cents.sum() + cover["parked_cents"]

    decisions = read(issued, "account_decisions", "2021-12")
    told = {(row["action"], row["reason"]): row["accounts"] for row in month["decisions"]}
    assert told == Counter(zip(decisions.action, decisions.reason, strict=True))

    quarantine = read(issued, "quarantine", "2021-12")
    refused = {(row["feed"], row["reason"]): row["rows"] for row in month["validation"]["quarantined"]}
    assert refused == Counter(zip(quarantine.dataset, quarantine.reason, strict=True))


@pytest.mark.parametrize(("feed", "posted"), [("transactions", "posted_on"), ("export_declarations", "reported_on")])
def test_control_totals_are_all_rows_of_the_source(issued: Workspace, feed: str, posted: str) -> None:
    total = next(row for row in content_of(issued, DECEMBER)["month"]["control_totals"] if row["feed"] == feed)
    query = f"SELECT count(*) FROM {feed} WHERE {posted} IS NULL OR {posted} <= '2021-12-24'"
    with issued.source.connect() as connection:
        rows = connection.execute(text(query)).scalar_one()
    assert total["source_rows"] == rows
    parts = ("published_rows", "brought_forward_rows", "quarantined_rows")
    assert all(total[name] > 0 for name in parts)
    assert sum(total[name] for name in parts) == rows


def test_margins_and_outbox_are_those_on_record(issued: Workspace) -> None:
    content = content_of(issued, DECEMBER)
    with issued.operations.connect() as connection:
        plan = connection.execute(select(PLANS)).mappings().one()
        counted = connection.execute(text("SELECT kind, state, count(*) FROM carm_outbox GROUP BY kind, state")).all()
    assert content["month"]["plan"]["plan_hash"] == plan["plan_hash"]
    assert [
        {**margin, "margin": margin["allowed"] - margin["changes"]} for margin in json.loads(plan["margins"])
    ] == content["month"]["plan"]["margins"]
    told = {(row["kind"], row["state"], row["messages"]) for row in content["moment"]["outbox"]}
    assert told == {tuple(row) for row in counted}


def test_it_has_nothing_about_one_account_and_is_for_its_owner_alone(issued: Workspace) -> None:
    certificate = require_certificate(issued)
    numbers = set(read(issued, "accounts", "2021-12").bn15) | set(read(issued, "accounts", "2021-12").legal_name)
    sheets = PdfReader(io.BytesIO(certificate.read("pdf"))).pages
    texts = [certificate.read(format).decode() for format in ("json", "html")]
    for shown in (*texts, "\n".join(sheet.extract_text() for sheet in sheets)):
        # The style sheet, which has no figure, has signs of its own.
        assert "@" not in shown.partition("</style>")[2 if "</style>" in shown else 0]
        assert [number for number in numbers if number in shown] == []
    for path in certificate.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


# When a new one is written


def test_a_run_that_finds_the_month_the_same_writes_nothing(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", shadow_months, "2021-08")
    before, links = hashes(ws.data / "certificates"), certificate_links(ws)
    assert links == [("2021-07", 1), ("2021-08", 1)]
    summary = run_month(ws, "2021-08", run_id="another run")
    assert not summary["certificate"]["is_new"]
    assert before == hashes(ws.data / "certificates")
    assert links == certificate_links(ws)


def test_a_month_that_is_issued_after_it_was_looked_at_gets_its_second_version(
    prepared: Prepared, tmp_path: Path
) -> None:
    ws = prepared.copy(tmp_path / "data", shadow_months, "2021-07")
    first = require_certificate(ws)
    first_text = first.read("json")
    assert not first.content["month"]["issued"]
    assert results(first.content)["not_checked"] == {"chain", "issue"}

    run_month(ws, str(JULY), effects="live", run_id="live")

    second = require_certificate(ws)
    assert (second.version, second.content["supersedes"]) == (2, first.sha256["json"])
    assert second.content["month"]["issued"]
    assert certificate_links(ws) == [("2021-07", 1), ("2021-07", 2)]
    (kept,) = (ws.data / "superseded" / "lake" / "certificates" / "period=2021-07").iterdir()
    assert (kept / "certificate.json").read_bytes() == first_text


def test_a_plan_that_is_approved_late_gets_its_second_version(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", audited)
    certificate = require_certificate(ws, DECEMBER)
    plan = certificate.content["month"]["plan"]
    answer = {"decision": "approved", "decided_by": "checker", "decided_at": "2021-12-25T15:00:00Z"}
    assert (certificate.version, plan["state"], plan["answer"]) == (2, "applied", answer)
    assert plan["outcomes"]["applied"] > 1
    (kept,) = (ws.data / "superseded" / "lake" / "certificates" / "period=2021-12").iterdir()
    before = json.loads((kept / "certificate.json").read_text(encoding="utf-8"))["month"]["plan"]
    assert (before["state"], before["answer"], before["outcomes"]) == ("held", None, {})


def test_a_run_beside_the_record_says_whether_it_finds_the_same(prepared: Prepared, tmp_path: Path) -> None:
    # The last month that the source knows: of an account that moved since, a shadow run would tell otherwise.
    ws = prepared.copy(tmp_path / "data", january)
    period = Period(2022, 1)
    record, links = hashes(ws.data / "certificates"), certificate_links(ws)
    run_month(ws, str(period), effects="shadow", run_id="shadow")

    beside = require_certificate(ws, period, "shadow")
    assert beside.content["moment"]["record"] == {
        "version": 1,
        "sha256": require_certificate(ws, period).sha256["json"],
        "differs_in": [],
    }
    assert results(beside.content)["not_checked"] == {"issue"}
    assert certified_months(ws, "shadow") == [period]
    written = hashes(ws.data / "shadow" / "certificates")
    run_month(ws, str(period), effects="shadow", run_id="shadow again")
    assert written == hashes(ws.data / "shadow" / "certificates")
    assert (record, links) == (hashes(ws.data / "certificates"), certificate_links(ws))


def test_a_run_beside_the_record_names_what_it_finds_otherwise(prepared: Prepared, tmp_path: Path) -> None:
    """December again, after its plan closed accounts: their decisions and notices are other ones now."""
    ws = prepared.copy(tmp_path / "data", december)
    with write_transaction(ws.source) as connection:
        query = "UPDATE carm_feed_coverage SET first_day = '2020-01-01' WHERE feed = 'export_declarations'"
        connection.execute(text(query))
    run_month(ws, "2021-12", effects="shadow", run_id="shadow")
    record = content_of(ws, DECEMBER, "shadow")["moment"]["record"]
    assert {"coverage", "decisions", "files"} <= set(record["differs_in"])
    assert not {"control_totals", "validation", "statements"} & set(record["differs_in"])


# Which one counts


def test_a_run_that_dies_before_its_link_leaves_the_certificate_that_counts(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", shadow_months, "2021-07")
    first = require_certificate(ws)
    first_content = first.content
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificate_module, "append_link", _die)
        with pytest.raises(InterruptedError):
            run_month(ws, str(JULY), effects="live", run_id="killed")
    assert b'"issued": true' in certificate_folder(ws, JULY).joinpath("certificate.json").read_bytes()

    counts = require_certificate(ws)
    assert (counts.version, counts.sha256, counts.content) == (1, first.sha256, first_content)
    assert notes_of(ws) == [f"{certificate_folder(ws, JULY)} holds a certificate that does not count"]

    run_month(ws, str(JULY), effects="live", run_id="again")
    assert require_certificate(ws).version == 2
    assert notes_of(ws) == []


def test_a_run_that_finds_the_month_as_before_puts_the_certificate_back(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", shadow_months, "2021-08")
    before = hashes(certificate_folder(ws, AUGUST))
    counts = require_certificate(ws, AUGUST)
    kept = certificate_module.kept_folder(ws, AUGUST, "lake", counts.sha256["json"])
    shutil.copytree(counts.folder, kept)
    (counts.folder / "certificate.json").write_text("{}", encoding="utf-8")
    run_month(ws, str(AUGUST), run_id="again")
    assert hashes(certificate_folder(ws, AUGUST)) == before


def test_a_certificate_that_is_damaged_is_not_taken_for_one_that_says_the_same(
    prepared: Prepared, tmp_path: Path
) -> None:
    ws = prepared.copy(tmp_path / "data", shadow_months, "2021-08")
    (certificate_folder(ws, AUGUST) / "certificate.json").write_text("{}", encoding="utf-8")
    assert run_month(ws, str(AUGUST), run_id="again")["certificate"]["version"] == 2
    assert require_certificate(ws, AUGUST).content["month"]["plan"] is not None
    # What was lost stays lost, and is told of.
    with pytest.raises(DataError, match="is not the certificate that was written"):
        notes_of(ws)


def _die(*_: object) -> None:
    raise InterruptedError


def test_who_asks_for_what_is_not_there_is_told_what_there_is(issued: Workspace, tmp_path: Path) -> None:
    assert find_certificate(issued, JULY) is None
    with pytest.raises(DataError, match="2021-07 has no certificate: 2021-12 has one"):
        require_certificate(issued, JULY)
    with pytest.raises(DataError, match="no month has a certificate of a run beside the record yet"):
        require_certificate(issued, None, "shadow")


# A proof that does not hold


def with_first(column: str, change: Callable[[Any], Any]) -> Callable[[pa.Table], pa.Table]:
    """A change of the first row that has a value in the column."""

    def changed(table: pa.Table) -> pa.Table:
        values = table.column(column).to_pylist()
        place = next(number for number, value in enumerate(values) if value)
        values[place] = change(values[place])
        position = table.schema.get_field_index(column)
        return table.set_column(position, table.schema.field(column), pa.array(values, table.schema.field(column).type))

    return changed


def one_more(column: str) -> Callable[[pa.Table], pa.Table]:
    return with_first(column, lambda value: value + 1)


def without_first(table: pa.Table) -> pa.Table:
    return table.slice(1)


@pytest.fixture
def looked_at(prepared: Prepared, tmp_path: Path) -> Workspace:
    """July and August, looked at in shadow; each test breaks August in its own way."""
    return prepared.copy(tmp_path / "data", shadow_months, "2021-08")


@pytest.mark.parametrize(
    ("dataset", "change", "failing"),
    [
        ("open_items", one_more("remaining_cents"), {"open_items"}),
        ("statement_lines", one_more("amount_cents"), {"exact_cover"}),
        ("statement_lines", without_first, {"exact_cover"}),
        ("statements", one_more("closing_cents"), {"closing", "ageing"}),
        ("statements", one_more("ageing_current_cents"), {"ageing"}),
        ("ledger_totals", one_more("debit_cents"), {"ledger"}),
        ("statement_heads", one_more("opening_cents"), {"chain"}),
        ("account_decisions", without_first, {"one_decision"}),
        ("control_totals", one_more("valid_row_count"), {"source_rows"}),
        ("transactions", one_more("effect_cents"), {"exact_cover"}),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_sealed_file_that_contradicts_the_others_makes_its_check_fail(
    looked_at: Workspace, dataset: str, change: Callable[[pa.Table], pa.Table], failing: set[str]
) -> None:
    lake = looked_at.lake()
    table = pq.read_table(lake.file(dataset, AUGUST), partitioning=None)
    lake.publish_and_seal(dataset, AUGUST, change(table), run_id="forged")
    with pytest.raises(DataError, match=rf"the certificate of 2021-08 says that {len(failing)} checks? do"):
        close_month(looked_at, AGAIN)
    assert results(content_of(looked_at, AUGUST))["does_not_hold"] == failing


def test_a_plan_that_counts_otherwise_than_was_decided_makes_its_check_fail(looked_at: Workspace) -> None:
    with write_transaction(looked_at.operations) as connection:
        connection.execute(update(PLANS).where(PLANS.c.period == "2021-08").values(counts='{"keep": {"active": 1}}'))
    with pytest.raises(DataError, match="1 check does not hold"):
        close_month(looked_at, AGAIN)
    assert results(content_of(looked_at, AUGUST))["does_not_hold"] == {"plan"}


def test_a_month_with_a_failing_proof_is_not_closed(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", shadow_months, "2021-07")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("include.certificate_checks._closing", lambda _: _failing_check())
        with pytest.raises(DataError, match="run carm verify, and keep the log"):
            run_month(ws, str(JULY), effects="live", run_id="red")
    with ws.operations.connect() as connection:
        assert [link.event for link in read_links(connection) if link.event == "close"] == []
        assert connection.execute(select(PERIOD_LOCKS.c.run_id)).scalars().all() == ["red"]
    assert results(content_of(ws, JULY))["does_not_hold"] == {"closing"}
    run_month(ws, str(JULY), effects="live", run_id="mended")
    assert "does_not_hold" not in results(content_of(ws, JULY))
    assert notes_of(ws) == []


def _failing_check() -> dict[str, Any]:
    return {"check": "closing", "of": None, "result": "does_not_hold", "faults": 1, "figures": {}, "note": None}


@pytest.mark.parametrize(
    ("values", "result", "why"),
    [
        ({"state": "not_received"}, "not_checked", "was not received"),
        ({"reconciled": False}, "not_checked", "was not compared with the source"),
        ({"observed_in": "2021-09"}, "holds", "by the run of 2021-09"),
        ({"known_in": "2021-09"}, "not_checked", "not known"),
    ],
)
def test_the_comparison_with_the_source_is_told_as_it_was_made(
    looked_at: Workspace, values: dict[str, Any], result: str, why: str
) -> None:
    row = FEED_COVERAGE.c
    this = (row.feed == "export_declarations") & (row.period == "2021-08") & (row.known_in == "2021-08")
    with write_transaction(looked_at.operations) as connection:
        assert connection.execute(update(FEED_COVERAGE).where(this).values(values)).rowcount == 1
    close_month(looked_at, AGAIN)
    checks = {check["of"]: check for check in content_of(looked_at, AUGUST)["month"]["checks"] if check["of"]}
    assert checks["export_declarations"]["result"] == result
    assert why in checks["export_declarations"]["note"]
    assert checks["transactions"]["result"] == "holds"


# What was issued


def issue_check(ws: Workspace) -> dict[str, Any]:
    """The check of December's registry, made anew."""
    month = {"period": str(DECEMBER), "effects": "live", "area": "lake", "run_id": "again"}
    summary = read_summary(ws, DECEMBER, "lake")
    assert summary is not None
    return next(check for check in describe_month(ws, month, summary)["checks"] if check["check"] == "issue")


def change_registry(ws: Workspace, *, of_all: bool = False, **values: Any) -> int:
    """Write other values into the rows of December's registry, or into its first row alone; returns how many."""
    registry = STATEMENT_REGISTRY.c
    with write_transaction(ws.operations) as connection:
        first = connection.execute(select(registry.bn15).order_by(registry.bn15).limit(1)).scalar_one()
        this = registry.period == str(DECEMBER)
        if not of_all:
            this &= registry.bn15 == first
        return connection.execute(update(STATEMENT_REGISTRY).where(this).values(values)).rowcount


@pytest.mark.parametrize(
    ("values", "faults", "note"),
    [
        *(({name: "0" * 64}, 1, "1 with other hashes") for name in HASHES),
        ({"object_sha256": None}, 1, "1 with other hashes"),
        ({"bn15": "000000000RM9999"}, 2, "1 sealed and not in the registry, 1 in the registry and not sealed"),
        ({"version": 2}, 2, "1 sealed and not in the registry, 1 in the registry and not sealed"),
        ({"act_no": 1}, 1, "1 sealed and not in the registry"),
    ],
    ids=str,
)
def test_a_row_of_the_registry_that_is_not_what_is_sealed_is_counted(
    prepared: Prepared, tmp_path: Path, values: dict[str, Any], faults: int, note: str
) -> None:
    ws = prepared.copy(tmp_path / "data", december)
    assert (issue_check(ws)["result"], issue_check(ws)["note"]) == ("holds", None)
    assert change_registry(ws, **values) == 1
    check = issue_check(ws)
    assert (check["result"], check["faults"], check["note"]) == ("does_not_hold", faults, note)


def test_every_row_of_the_registry_is_held_against_what_is_sealed(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", december)
    rows = change_registry(ws, of_all=True, document_sha256="0" * 64)
    with write_transaction(ws.operations) as connection:
        connection.execute(update(ISSUED_MONTHS).values(statements=rows + 1))
    check = issue_check(ws)
    assert rows > 1
    assert check["figures"] == {"registered": rows, "sealed": rows}
    assert (check["faults"], check["note"]) == (
        rows + 1,
        f"{rows} with other hashes, 1 in the row of the issued month",
    )


def test_of_what_an_earlier_release_issued_the_hash_of_the_page_alone_is_held(
    prepared: Prepared, tmp_path: Path
) -> None:
    ws = prepared.copy(tmp_path / "data", december)
    change_registry(ws, of_all=True, object_sha256=None, csv_sha256=None, pdf_sha256=None)
    assert issue_check(ws)["result"] == "holds"
    change_registry(ws, document_sha256="0" * 64)
    assert issue_check(ws)["note"] == "1 with other hashes"


def test_a_statement_that_is_sealed_twice_is_told(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", december)
    table = pq.read_table(ws.lake().file("statements", DECEMBER), partitioning=None)
    ws.lake().publish_and_seal("statements", DECEMBER, pa.concat_tables([table, table.slice(0, 1)]), run_id="forged")
    assert issue_check(ws)["note"] == "1 sealed more than once, 2 in the row of the issued month"


def test_what_an_act_did_to_a_statement_later_is_no_difference(prepared: Prepared, tmp_path: Path) -> None:
    ws = prepared.copy(tmp_path / "data", december)
    change_registry(ws, superseded_by=2)
    change_registry(ws, of_all=True, withdrawn_by=1)
    assert issue_check(ws)["result"] == "holds"


def test_the_check_of_the_registry_does_not_claim_to_have_read_documents(issued: Workspace) -> None:
    check = issue_check(issued)
    assert check["title"] == "Registry of what was issued = sealed statements"
    assert check["compared"].endswith("The documents are not read")


# A list of hashes that is damaged


@pytest.mark.parametrize(
    "sums",
    [
        "broken\n",
        "/../../../../../x  certificate.json\na  certificate.html\nb  certificate.pdf\n",
        "".join(f"{'A' * 64}  certificate.{format}\n" for format in FORMATS),
        "".join(f"{'a' * 63}  certificate.{format}\n" for format in FORMATS),
        "".join(f"{'a' * 64}  certificate.{format}\n" for format in ("json", "json", "html", "pdf")),
        "",
        "\udcff\udcfe",
    ],
    ids=["words", "a way out of the folder", "capitals", "too short", "one twice", "empty", "no text"],
)
def test_a_list_of_hashes_that_is_none_is_named_by_its_place_in_the_data_folder(issued: Workspace, sums: str) -> None:
    place = certificate_folder(issued, DECEMBER, "shadow")
    place.mkdir(parents=True, exist_ok=True)
    (place / "SHA256SUMS").write_bytes(sums.encode(errors="surrogateescape"))
    try:
        with pytest.raises(DataError) as caught:
            find_certificate(issued, DECEMBER, "shadow")
    finally:
        shutil.rmtree(place.parent)
    assert str(caught.value) == (
        "the file shadow/certificates/period=2021-12/SHA256SUMS does not list the files of a certificate, each after "
        "the 64 hex digits of its hash: run 2021-12 in shadow again"
    )


@pytest.mark.parametrize("content", [b"{}", b"[]", b"not JSON", b'{"version": "x"}', b"\xff"])
def test_a_certificate_beside_the_record_that_does_not_say_its_version_is_named(
    issued: Workspace, content: bytes
) -> None:
    place = certificate_folder(issued, DECEMBER, "shadow")
    place.mkdir(parents=True, exist_ok=True)
    (place / "certificate.json").write_bytes(content)
    sums = certificate_module.sums_text(dict.fromkeys(FORMATS, hashlib.sha256(content).hexdigest()))
    (place / "SHA256SUMS").write_text(sums, encoding="utf-8")
    try:
        with pytest.raises(
            DataError, match=r"^the file shadow/certificates/period=2021-12/certificate\.json does not say which"
        ):
            find_certificate(issued, DECEMBER, "shadow")
    finally:
        shutil.rmtree(place.parent)


# The chain


def test_the_chain_takes_the_hashes_of_all_three_files(issued: Workspace) -> None:
    with issued.operations.connect() as connection:
        (link,) = [link for link in read_links(connection) if link.event == EVENT]
        events = [link.event for link in read_links(connection)]
    facts = json.loads(link.facts)
    files = hashes(certificate_folder(issued, DECEMBER))
    assert {f"certificate.{format}": facts[f"{format}_sha256"] for format in FORMATS}.items() <= files.items()
    # A run that dies before the month is closed is completed: so the certificate comes before.
    assert events.index(EVENT) < events.index("close")
