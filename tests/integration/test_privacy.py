"""Where addresses are after a month: in the source and in quarantine, and nowhere else."""

from __future__ import annotations

import csv
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pyarrow.parquet as pq
import pytest
from sqlalchemy import inspect, text

from include.carm.recipients import recipient_key
from include.load import load_folder
from include.webinar_notices import publish_webinar_notices
from include.workspace import Workspace
from tests.fixtures.hand_written.cases import PERIOD
from tests.pipeline import new_workspace, read, run_month
from tests.source.folders import csv_text

COMPLETE = Path(__file__).parent.parent / "fixtures" / "hand_written" / "complete"
CANARY = "canary"
HASH_KEY = "a key for tests only, long enough"
REFUSED = "canary-refused@canary.invalid"


@dataclass(frozen=True)
class Left:
    """What two runs of a month left: the live one, and a shadow run of the month that it issued."""

    ws: Workspace
    said: list[str]

    def files(self) -> dict[str, str]:
        """The content of every file below the data folder, unpacked, by its place."""
        files = (path for path in sorted(self.ws.data.rglob("*")) if path.is_file())
        return {str(path.relative_to(self.ws.data)): content_of(path) for path in files}


def content_of(path: Path) -> str:
    if path.suffix == ".parquet":
        return repr((pq.read_schema(path), pq.read_table(path).to_pylist()))
    if path.suffix == ".zip":
        with ZipFile(path) as pack:
            return "\n".join(name + pack.read(name).decode("utf-8", "replace") for name in pack.namelist())
    return path.read_bytes().decode("utf-8", "replace")


def planted(folder: Path) -> Path:
    """The hand-written world with an address in every place of the source that takes one."""
    shutil.copytree(COMPLETE, folder)
    with (folder / "accounts.csv").open(encoding="utf-8", newline="") as file:
        accounts = list(csv.DictReader(file))
    with (folder / "accounts.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, accounts[0])
        writer.writeheader()
        writer.writerows({**row, "email": f"canary-{number}@canary.invalid"} for number, row in enumerate(accounts))
    delegate = {"bn15": accounts[0]["bn15"], "name": "A Delegate", "role": "editor"}
    tables: dict[str, list[dict[str, str]]] = {
        "delegations": [
            {**delegate, "email": "canary-delegate@canary.invalid"},
            # Refused for its number, and kept in quarantine as it is.
            {**delegate, "email": "canary-nobody@canary.invalid", "bn15": "000000001RM0001"},
        ],
        "subscribers": [
            {"email": "canary-reader@canary.invalid"},
            # Refused for the space; mail could use what is left without it.
            {"email": f" {REFUSED}"},
        ],
        "webinars": [
            {"title_en": "Open mic", "title_fr": "Micro ouvert", "language": "both", "status": "scheduled"}
            | {"duration_minutes": "60", "join_url": "https://example.org/join"}
        ],
    }
    for name, rows in tables.items():
        (folder / f"{name}.csv").write_text(csv_text(name, *rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    folder = tmp_path_factory.mktemp("privacy")
    ws = new_workspace(folder / "data")
    # Without a limit, so that the plan is applied and its closures are told.
    no_limit = replace(ws.policy.breaker, first_run_max_share=1, strata=())
    ws = replace(ws, policy=replace(ws.policy, breaker=no_limit))
    load_folder(ws.source, planted(folder / "csv"))
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    listener, root = Listener(), logging.getLogger()
    level = root.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    try:
        for effects, area in (("live", "lake"), ("shadow", "shadow")):
            said.append(repr(run_month(ws, PERIOD, effects=effects, run_id=effects)))
            month = {"period": PERIOD, "effects": effects, "area": area, "run_id": f"webinars {effects}"}
            said.append(repr(publish_webinar_notices(ws, month, recipient_hash_key=HASH_KEY)))
    finally:
        root.removeHandler(listener)
        root.setLevel(level)
    return Left(ws, said)


def test_addresses_are_in_the_source_and_in_quarantine_and_nowhere_else(left: Left) -> None:
    files = left.files()
    places = {place for place, content in files.items() if CANARY in content.lower()}
    assert {f"lake/quarantine/period={PERIOD}/data.parquet", "source.db"} == {
        place for place in places if not place.startswith("source.db-")
    }
    # What the sentence above is about was written: notices of both Dags, statements, Data Docs, the summary.
    written = "\n".join(files)
    for part in (
        f"documents/notices/period={PERIOD}/closure-0001.zip",
        f"documents/notices/period={PERIOD}/webinar-0001.zip",
        f"documents/soa/period={PERIOD}/",
        f"shadow/documents/notices/period={PERIOD}/statement-0001.zip",
        f"data_docs/{PERIOD}/subscribers.html",
        f"summaries/period={PERIOD}.json",
        "outbox/closure-0001-",
    ):
        assert part in written


def test_no_parquet_file_but_quarantine_has_an_at_sign(left: Left) -> None:
    found = {place: "@" in content for place, content in left.files().items() if place.endswith(".parquet")}
    datasets = {Path(place).parts[-3] for place in found}
    assert {"accounts", "delegations", "notices", "webinar_notices", "statements"} <= datasets
    assert "subscribers" not in datasets
    assert {"quarantine"} == {Path(place).parts[-3] for place, has_one in found.items() if has_one}
    assert [place for place in found if place.startswith("shadow/lake/")]


def test_no_table_of_the_pipeline_but_the_outbox_has_an_address(left: Left) -> None:
    with left.ws.operations.connect() as connection:
        tables = [name for name in inspect(connection).get_table_names() if name.startswith("carm_")]
        rows = {name: repr(connection.execute(text(f"SELECT * FROM {name}")).all()) for name in tables}
    assert rows["carm_account_changes"] != "[]"
    assert ["carm_outbox"] == [name for name, content in rows.items() if CANARY in content.lower()]
    # The delegate is written to as well; who was refused is not.
    assert "canary-delegate@canary.invalid" in rows["carm_outbox"]
    assert "canary-nobody@canary.invalid" not in rows["carm_outbox"]


def test_no_log_and_no_result_of_a_step_has_an_address(left: Left) -> None:
    assert any("rows read" in line for line in left.said)
    assert [] == [line for line in left.said if CANARY in line.lower()]


def test_delegates_are_published_without_their_address(left: Left) -> None:
    delegations = read(left.ws, "delegations", PERIOD)
    assert ["A Delegate"] == delegations["name"].tolist()
    assert "email" not in delegations


def test_who_was_refused_on_the_list_is_in_quarantine_and_gets_no_notice(left: Left) -> None:
    quarantine = read(left.ws, "quarantine", PERIOD)
    (kept,) = quarantine[quarantine.dataset == "subscribers"].row_json
    assert REFUSED in kept
    told: list[Any] = read(left.ws, "webinar_notices", PERIOD).recipient_key.tolist()
    assert [recipient_key("canary-reader@canary.invalid", HASH_KEY.encode())] == told
