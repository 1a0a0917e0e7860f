"""What our own tables say of an account: statements issued, what was told, what was changed and undone, and holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, select

from include.carm.errors import DataError, Refused
from include.carm.period import Period
from include.carm.quarter import Quarter

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.workspace import Workspace


def read_records(ws: Workspace, bn15: str) -> dict[str, Any]:
    """``issued`` (months), ``notices``, ``changes``, ``reinstatements``, ``holds``, ``reviews``, the newest first."""
    from include.operations_plan_tables import ACCOUNT_CHANGES, HOLDS, REINSTATEMENTS, REVIEW_DECISIONS
    from include.operations_statement_tables import ISSUED_MONTHS

    def rows(table: Table) -> list[dict[str, Any]]:
        query = select(table).where(table.c.bn15 == bn15)
        return [dict(row) for row in connection.execute(query).mappings()]

    with ws.operations.connect() as connection:
        issued = list(connection.execute(select(ISSUED_MONTHS.c.period)).scalars())
        changes = sorted(rows(ACCOUNT_CHANGES), key=lambda row: (row["period"], row["plan_hash"]), reverse=True)
        return {
            "issued": issued,
            "notices": _read_notices(connection, bn15, issued),
            "changes": changes,
            "reinstatements": sorted(rows(REINSTATEMENTS), key=lambda row: -row["reinstatement_no"]),
            "holds": sorted(rows(HOLDS), key=lambda row: -row["hold_no"]),
            "reviews": sorted(rows(REVIEW_DECISIONS), key=lambda row: -row["review_no"]),
        }


def read_statements(ws: Workspace, bn15: str) -> list[dict[str, Any]]:
    """Every issued version of the account's statements, the newest month first; none where nothing was issued."""
    from include.statement_history import find_history

    try:
        versions = find_history(ws, bn15)["versions"]
    except DataError:
        return []
    return sorted(versions, key=lambda row: (row["period"], row["version"]), reverse=True)


def find_what_to_undo(ws: Workspace, bn15: str) -> dict[str, Any]:
    """What a reinstatement would undo (``action``, and ``begins``, its first possible day), or ``refused``, why not."""
    from include.reinstate import find_undoable

    try:
        change = find_undoable(ws, bn15)
    except (DataError, Refused) as error:
        return {"refused": str(error)}
    begins = change["effective_on"] if change["effective_on"] is not None else change["valid_from"]
    return {"refused": None, "action": change["action"], "plan_hash": change["plan_hash"], "begins": begins}


# Notices


def _read_notices(connection: Connection, bn15: str, issued: Iterable[str]) -> list[dict[str, Any]]:
    """What was to be told: ``kind, about, version, period, state, reason``, and the ``messages`` that tell it.

    A reminder of multi-factor authentication is owed by nobody, so it is found by its messages alone.
    """
    from include.operations_notice_tables import NOTICE_INTENTS

    intent = NOTICE_INTENTS.c
    columns = (intent.kind, intent.about, intent.version, intent.period, intent.state, intent.reason)
    query = select(*columns).where(intent.bn15 == bn15)
    notices = {
        (row["kind"], row["about"], row["version"]): {**row, "messages": []}
        for row in connection.execute(query).mappings()
    }
    reminders = {f"{bn15}/{Quarter.of(Period.parse(period))}" for period in issued}
    for message in _read_messages(connection, {about for _, about, _ in notices} | reminders):
        telling = (message["tells"], message["about"], message["version"])
        nobody_owes = dict(zip(("kind", "about", "version"), telling, strict=True))
        nobody_owes |= {"period": message["period"], "state": "told", "reason": None, "messages": []}
        notices.setdefault(telling, nobody_owes)["messages"].append(message)
    return sorted(notices.values(), key=lambda row: (row["period"], row["kind"], row["version"]), reverse=True)


def _read_messages(connection: Connection, abouts: Collection[str]) -> list[Mapping[str, Any]]:
    """The messages that tell of these things, alone or as a digest; ``tells`` is the kind of what is told."""
    from include.database import in_slices
    from include.operations_notice_tables import DIGEST_TELLINGS, OUTBOX

    box, line = OUTBOX.c, DIGEST_TELLINGS.c
    shown = [box[name] for name in ("message_key", "period", "address", "language", "state", "changed_at")]
    found: list[Mapping[str, Any]] = []
    for some in in_slices(sorted(abouts), 500):
        alone = select(box.kind.label("tells"), box.about, box.version, *shown).where(box.about.in_(some))
        by_digest = (
            select(line.kind.label("tells"), line.about, line.version, *shown)
            .join_from(DIGEST_TELLINGS, OUTBOX, line.message_key == box.message_key)
            .where(line.about.in_(some))
        )
        for query in (alone.where(box.kind != "digest"), by_digest):
            found += [dict(row) for row in connection.execute(query).mappings()]
    return sorted(found, key=lambda row: row["message_key"])
