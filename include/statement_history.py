"""The versions of an account's statements for people: when each was issued, why, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from include.carm.business_number import require_bn15
from include.carm.errors import DataError
from include.carm.period import Period
from include.operations_statement_tables import ISSUED_MONTHS, STATEMENT_REGISTRY
from include.statement_acts import find_acts

if TYPE_CHECKING:
    from include.workspace import Workspace


def find_history(ws: Workspace, bn15: str, period: Period | None = None) -> dict[str, Any]:
    """Every issued version of the statements of an account, of one month or of all.

    Raises ``UsageError`` for a number that is no BN15, ``DataError`` where nothing was issued. Returns ``{"bn15",
    "versions": [{"period", "version", "issued_on", "act", "changed", "reason_en", "reason_fr", "recorded_by",
    "superseded_by", "withdrawn": {...} or None, hashes and what made it}, ...]}``.
    """
    number = require_bn15(bn15)
    registry = STATEMENT_REGISTRY.c
    query = (
        select(STATEMENT_REGISTRY, ISSUED_MONTHS.c.issued_on)
        .join_from(STATEMENT_REGISTRY, ISSUED_MONTHS, registry.period == ISSUED_MONTHS.c.period)
        # The key of the registry begins with the month: with both it finds the rows, without one it reads them all.
        .where(registry.period.in_(select(ISSUED_MONTHS.c.period)), registry.bn15 == number)
        .order_by(registry.period, registry.version)
    )
    if period is not None:
        query = query.where(registry.period == str(period))
    with ws.operations.connect() as connection:
        rows = list(connection.execute(query).mappings())
        acts = {act["act_no"]: act for act in find_acts(connection, period, number)}
    if not rows:
        when = f" for {period}" if period else ""
        raise DataError(f"no statement of {number} was issued{when}")
    return {"bn15": number, "versions": [_version(dict(row), acts) for row in rows]}


def _version(row: Mapping[str, Any], acts: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    act, withdrawal = acts.get(row["act_no"]), acts.get(row["withdrawn_by"])
    told = {name: row[name] for name in row if name not in ("bn15", "act_no", "withdrawn_by")}
    if act is not None:
        told |= {"issued_on": str(act["acted_on"]), "changed": json.loads(act["changed"])}
        told |= {name: act[name] for name in ("act", "reason_en", "reason_fr", "recorded_by")}
    names = ("acted_on", "reason_en", "reason_fr", "recorded_by")
    told["withdrawn"] = withdrawal and {name: str(withdrawal[name]) for name in names}
    return told


def history_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """What :func:`find_history` found, for people."""
    yield f"Issued statements of {facts['bn15']}"
    for one in facts["versions"]:
        state = f"replaced by version {one['superseded_by']}" if one["superseded_by"] else "stands"
        if one["withdrawn"]:
            state = f"withdrawn on {one['withdrawn']['acted_on']} by {one['withdrawn']['recorded_by']}" + (
                f", {state}" if one["superseded_by"] else ""
            )
        yield f"  {one['period']}  version {one['version']}  issued {one['issued_on']}  {state}"
        if "act" in one:
            changed = f"; changed: {', '.join(one['changed'])}" if one["changed"] else ""
            yield f"      {one['act']} by {one['recorded_by']}: {one['reason_en']}{changed}"
        if one["withdrawn"]:
            yield f"      why it was withdrawn: {one['withdrawn']['reason_en']}"
