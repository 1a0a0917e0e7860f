"""A month in a folder of its own: sealed datasets, and a source with the addresses; every row has one good default."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pyarrow as pa

from include.carm.business_number import account_key
from include.carm.period import Period
from include.database import write_transaction
from include.datasets import SCHEMAS
from include.operations import migrate
from include.source_schema import TABLES, create_tables
from include.workspace import Workspace

HASH_KEY = b"a key for the tests, of no account"

# Datasets whose schema is the business of others: only what the notices read of them.
_READ = {
    "statements": {
        "bn15": pa.string(),
        "version": pa.int64(),
        "period_start": pa.date32(),
        "period_end": pa.date32(),
        "issued_on": pa.date32(),
        "due_on": pa.date32(),
        "closing_cents": pa.int64(),
    },
    "account_decisions": {
        "bn15": pa.string(),
        "action": pa.string(),
        "program_type": pa.string(),
        "new_program_type": pa.string(),
        "announced_in": pa.string(),
    },
}


def account(bn15: str = "000000018RM0001", **changed: Any) -> dict[str, Any]:
    row = {
        "bn15": bn15,
        "account_key": account_key(bn15),
        "valid_from": date(2015, 1, 1),
        "legal_name": "Example Trading Ltd.",
        "program_type": "importer",
        "status": "open",
        "language": "en",
        "email": f"{bn15.lower()}@example.org",
    }
    return row | changed


def statement(bn15: str = "000000018RM0001", **changed: Any) -> dict[str, Any]:
    row = {
        "bn15": bn15,
        "version": 1,
        "period_start": date(2021, 11, 25),
        "period_end": date(2021, 12, 24),
        "issued_on": date(2021, 12, 25),
        "due_on": date(2021, 12, 31),
        "closing_cents": 0,
    }
    return row | changed


def decision(bn15: str = "000000018RM0001", action: str = "close", **changed: Any) -> dict[str, Any]:
    row = {"bn15": bn15, "action": action, "program_type": "importer", "new_program_type": None}
    if action == "convert":
        row |= {"program_type": "dual", "new_program_type": "exporter"}
    return row | changed


def delegation(bn15: str = "000000018RM0001", **changed: Any) -> dict[str, Any]:
    row = {
        "bn15": bn15,
        "account_key": account_key(bn15),
        "email": "delegate@example.org",
        "name": "A Delegate",
        "role": "editor",
        "provider_bn9": None,
        "valid_from": date(2021, 1, 1),
        "valid_to": None,
    }
    return row | changed


def subscriber(email: str = "reader@example.org", **changed: Any) -> dict[str, Any]:
    return {"email": email, "language": "en", "subscribed_on": date(2021, 6, 1), "unsubscribed_on": None} | changed


def webinar(webinar_id: str = "W1", starts_at: str = "2022-01-12T13:00:00-05:00", **changed: Any) -> dict[str, Any]:
    row = {
        "webinar_id": webinar_id,
        "revision": 1,
        "title_en": f"English title of {webinar_id}",
        "title_fr": f"Titre français de {webinar_id}",
        "language": "both",
        "starts_at": starts_at,
        "duration_minutes": 60,
        "join_url": f"https://example.org/{webinar_id}",
        "status": "scheduled",
    }
    return row | changed


class Month:
    """One statement month in ``folder``: hold what it is about, publish its notices, read them back."""

    def __init__(self, folder: Path, period: str = "2021-12", effects: str = "shadow", area: str = "lake") -> None:
        self.folder, self.period = folder, Period.parse(period)
        self.ws = Workspace.open(folder)
        self.facts = {"period": period, "effects": effects, "area": area, "run_id": f"manual__{period}"}
        migrate(self.ws.apply_url)
        self.enter("accounts", [])
        self.enter("subscribers", [])
        for dataset in ("accounts", "statements", "account_decisions", "delegations", "quarantine", "webinars"):
            self.seal(dataset, [])

    def hold(self, table: str, rows: Iterable[dict[str, Any]]) -> None:
        """Let ``rows`` be all that the source has in ``table``, and let the month have published them."""
        rows = list(rows)
        self.enter(table, rows)
        if table in SCHEMAS:
            self.seal(table, rows)

    def enter(self, table: str, rows: Iterable[dict[str, Any]]) -> None:
        """Let ``rows`` be all that the source has in ``table``."""
        columns = TABLES[table].columns.keys()
        with write_transaction(self.ws.source) as connection:
            create_tables(connection, [table])
            connection.execute(TABLES[table].delete())
            if found := [{name: row.get(name) for name in columns} for row in rows]:
                connection.execute(TABLES[table].insert(), found)

    def seal(self, dataset: str, rows: Iterable[dict[str, Any]]) -> None:
        """Let ``rows`` be the dataset of the month, as far as its columns go."""
        schema = SCHEMAS.get(dataset) or pa.schema(_READ[dataset])
        table = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)
        self.ws.lake().publish_and_seal(dataset, self.period, table, run_id="test")

    def documents(self, kind: str) -> dict[str, str]:
        """Every member of every pack of ``kind`` by its name, without the lists of hashes."""
        folder = self.ws.documents(self.facts["area"]) / "notices" / f"period={self.period}"
        found: dict[str, str] = {}
        for path in sorted(folder.glob(f"{kind}-*.zip")):
            with ZipFile(path) as pack:
                assert pack.testzip() is None
                found |= {name: pack.read(name).decode() for name in pack.namelist() if name != "SHA256SUMS"}
        return found

    def texts(self, kind: str) -> list[str]:
        return [content for name, content in self.documents(kind).items() if name.endswith(".txt")]

    def rows(self, dataset: str = "notices") -> list[dict[str, Any]]:
        import pyarrow.parquet as pq

        rows: list[dict[str, Any]] = pq.read_table(
            self.ws.lake(self.facts["area"]).file(dataset, self.period)
        ).to_pylist()
        return rows

    def files(self) -> dict[str, bytes]:
        """Every file that the notices left, by its place."""
        places = [*self.folder.glob("**/documents/**/*"), *self.folder.glob("**/lake/*notices/**/*")]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in places if path.is_file()}
