"""The figures of Trends: what the months have in common, from what they sealed, recorded and summed up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.carm.period import Period
from include.portal.month_records import FEEDS

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.lake import Seal
    from include.workspace import Workspace


@dataclass(frozen=True)
class MonthTrend:
    """The figures of a month, and the run that closed it; None where the month does not tell.

    ``quarantine_rate`` is in hundredths of a percent.
    """

    period: str
    run_id: str | None = None
    clients: int | None = None
    closed: int = 0
    converted: int = 0
    quarantine_rate: int | None = None
    statements: int | None = None
    closing_cents: int | None = None


@dataclass(frozen=True)
class Trends:
    """The months, the oldest first, and what the newest of them says of those to come."""

    months: Sequence[MonthTrend] = ()
    horizon: Mapping[str, int] = field(default_factory=dict)


def read_trends(ws: Workspace, most_months: int) -> Trends:
    """The figures of the newest months that were run."""
    from include.month import read_summary
    from include.portal.month_records import read_rows, run_periods

    with ws.operations.connect() as connection:
        periods = run_periods(connection)[-most_months:]
        rows = read_rows(connection, periods)
        changes = _count_changes(connection)
    summaries = {period: read_summary(ws, Period.parse(period), "lake") for period in periods}
    clients = _registered_clients(ws, periods)
    months = [
        MonthTrend(
            period=period,
            run_id=(summaries[period] or {}).get("run_id"),
            clients=clients.get(period),
            closed=changes.get((period, "close"), 0),
            converted=changes.get((period, "convert"), 0),
            quarantine_rate=_rate(rows[period], summaries[period]),
            statements=rows[period].get("statements"),
            closing_cents=_closing(summaries[period]),
        )
        for period in periods
    ]
    # A summary of an earlier release says nothing of it.
    horizon = (summaries[periods[-1]] or {}).get("dormancy_horizon", {}) if periods else {}
    return Trends(months, horizon)


def _rate(rows: Mapping[str, int], summary: Mapping[str, Any] | None) -> int | None:
    """Rows of the ledger in quarantine among all that the month brought, in hundredths of a percent.

    Of snapshots every row comes again each month, so they would hide what the new rows are like.
    """
    if summary is None:
        return None
    published = sum(rows.get(feed, 0) for feed in FEEDS)
    quarantined = sum(line["row_count"] for line in summary["quarantine"] if line["dataset"] in FEEDS)
    if published + quarantined == 0:
        return None
    return quarantined * 10_000 // (published + quarantined)


def _closing(summary: Mapping[str, Any] | None) -> int | None:
    if summary is None:
        return None
    closing: int | None = summary["statements"]["closing_cents"]
    return closing


def _count_changes(connection: Connection) -> dict[tuple[str, str], int]:
    from include.journal import count_applied_changes

    return count_applied_changes(connection)


def _registered_clients(ws: Workspace, periods: Sequence[str]) -> dict[str, int]:
    """The clients that had registered on the portal by the end of each month, counted in its sealed accounts."""
    lake = ws.lake()
    found = {}
    for seal in lake.seals("accounts"):
        if seal.period in periods and (file := _file(lake, seal)):
            as_of = ws.calendar.as_of(Period.parse(seal.period))
            found[seal.period] = _count_registered(file, seal.sha256, seal.period, as_of)
    return found


def _file(lake: Any, seal: Seal) -> Path | None:
    path: Path | None = lake.sealed_file(seal)
    return path


@lru_cache(maxsize=200)
def _count_registered(file: Path, sha256: str, period: str, as_of: date) -> int:
    """Counted once a process: the file with this hash never says anything else."""
    from contextlib import closing

    import pyarrow as pa

    from include import engine
    from include.quarterly_figures import MONTHS

    relations: dict[str, engine.Relation] = {
        "accounts": [file],
        "months": pa.Table.from_pylist([{"period": period, "as_of": as_of}], MONTHS),
    }
    with closing(engine.connect()) as con:
        (row,) = engine.run_table(con, "select_registered_clients", relations).to_pylist()
    clients: int = row["clients"]
    return clients
