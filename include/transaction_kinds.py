"""The kinds of ledger transactions, from ``include/config/transaction_kinds.csv``.

One row a kind: whether it is activity, in which section of a statement it stands, and what it is called in both
languages. An alias (AI, K3) has a row of its own, equal to the kind that it stands for.
"""

from __future__ import annotations

import csv
from functools import cache

import pyarrow as pa

from include.carm.settings_file import CONFIG_FOLDER


@cache
def read_transaction_kinds() -> tuple[dict[str, str | None], ...]:
    """The rows of the table, an empty cell as None."""
    path = CONFIG_FOLDER / "transaction_kinds.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return tuple({name: cell or None for name, cell in row.items()} for row in csv.DictReader(file))


def transaction_kinds_relation() -> pa.Table:
    """The relation ``transaction_kinds`` that the SQL joins: all columns as text."""
    rows = read_transaction_kinds()
    return pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in rows[0]})


def kind_labels(language: str) -> dict[str, str]:
    """What each kind is called in ``language`` (``en`` or ``fr``)."""
    return {str(row["kind"]): str(row[f"label_{language}"]) for row in read_transaction_kinds()}
