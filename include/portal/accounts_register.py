"""What the register says of an account now: its versions, and who may see it. Read from the source, with addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import date

    from include.workspace import Workspace


def read_register(ws: Workspace, bn15: str) -> dict[str, list[dict[str, Any]]]:
    """``versions``, the newest first, and ``delegations``, as texts: the source's rows as they stand, right or wrong.

    Raises ``Unavailable`` where the source cannot be reached, ``DataError`` where it has no accounts.
    """
    from include.feeds import ACCOUNTS, DELEGATIONS
    from include.source_rows import read_texts, source_snapshot

    with source_snapshot(ws) as connection:
        versions = read_texts(connection, ACCOUNTS, ACCOUNTS.columns, bn15=bn15).to_pylist()
        delegations = read_texts(connection, DELEGATIONS, DELEGATIONS.columns, bn15=bn15).to_pylist()
    versions.sort(key=lambda row: row["valid_from"] or "", reverse=True)
    delegations.sort(key=lambda row: [row[name] or "" for name in ("provider_bn9", "role", "name", "valid_from")])
    return {"versions": versions, "delegations": delegations}


def tell_force(row: Mapping[str, Any], on: date | None) -> str:
    """Whether a delegation holds on a day: its first day counts, the day on which it ends does not."""
    if on is None:
        return "unknown"
    first, end, day = row["valid_from"], row["valid_to"], on.isoformat()
    if first is None or first > day:
        return "not yet"
    return "in force" if end is None or end > day else "ended"
