"""A plan: the decisions of one period as text with a hash.

The hash is over the decisions and their evidence alone. Two runs that decide the same make the same plan, whoever
started them and however Parquet was written; one decision or one cent more makes another.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from typing import TYPE_CHECKING

from include import engine
from include.carm.period import Period

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FORMAT = "carm plan 2"
"""The first word of the text. It changes when a column joins, so that two formats never share a hash by accident."""

CHANGES = ("close", "convert", "candidate")
"""The actions that touch a client: two change its account, the third tells it that the account will be closed."""

LIVE_FOR_GOOD = ("applied", "handed_over", "undone")
"""The states of a plan that had its effect; making the same plan again changes nothing about it."""


def hash_plan(con: DuckDBPyConnection, period: Period, effective_on: date) -> str:
    """SHA-256 of the plan whose decisions are registered on ``con`` as ``account_decisions``.

    The text is a heading and one line for each decision by account key, each line a JSON array and a line feed.
    """
    heading = json.dumps([FORMAT, str(period), effective_on.isoformat()], separators=(",", ":"))
    digest = hashlib.sha256(f"{heading}\n".encode())
    for batch in engine.run(con, "select_plan_lines"):
        digest.update("".join(f"{line}\n" for line in batch.column("line").to_pylist()).encode())
    return digest.hexdigest()
