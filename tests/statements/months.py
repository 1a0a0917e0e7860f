"""A sealed month in a folder of its own, with what the statements read; and a run of their four steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from include import statements
from include.broker_documents import render_brokers
from include.carm.period import Period
from include.operations import migrate
from include.workspace import Workspace
from tests.statements.ledger import Row, account, activity_of, table


class SealedMonth:
    """A month (December 2021) in ``folder``: :meth:`seal` what extraction would have published, then :meth:`run`."""

    def __init__(
        self, folder: Path, *, apply_url: str | None = None, effects: str = "shadow", period: str = "2021-12"
    ) -> None:
        self.ws = Workspace.open(folder, source_url=apply_url)
        self.period = Period.parse(period)
        self.facts = {"period": period, "effects": effects, "area": "lake", "run_id": f"manual__{period}"}
        migrate(self.ws.apply_url)

    @property
    def folder(self) -> Path:
        return self.ws.documents(self.facts["area"]) / "soa" / f"period={self.period}"

    def seal(
        self, postings: Sequence[Row], accounts: Sequence[Row] | None = None, baseline: Sequence[Row] = ()
    ) -> SealedMonth:
        given = {
            "transactions": sorted(postings, key=lambda row: row["account_key"]),
            "accounts": [account()] if accounts is None else accounts,
            "activity": activity_of(postings),
            "baseline": baseline,
        }
        for dataset, rows in given.items():
            self.publish(dataset, rows)
        return self

    def publish(self, dataset: str, rows: Sequence[Row]) -> None:
        self.ws.lake().publish_and_seal(dataset, self.period, table(dataset, rows), run_id="test")

    def render(self) -> list[dict[str, Any]]:
        statements.publish_statement_lines(self.ws, self.facts)
        render_brokers(self.ws, self.facts)
        shards = statements.list_shards(self.ws, self.facts)
        return [statements.render_shard(self.ws, self.facts, shard) for shard in shards]

    def run(self) -> dict[str, Any]:
        return statements.register_statements(self.ws, self.facts, self.render())

    def rows(self, dataset: str = "statements") -> list[Row]:
        path = self.ws.lake(self.facts["area"]).file(dataset, self.period)
        rows: list[Row] = pq.read_table(path).to_pylist()
        return rows

    def files(self) -> dict[str, bytes]:
        """Every file of the lake and of the documents, by its place."""
        places = [*self.ws.data.glob("**/lake/**/*"), *self.ws.data.glob("**/documents/**/*")]
        return {str(path.relative_to(self.ws.data)): path.read_bytes() for path in places if path.is_file()}
