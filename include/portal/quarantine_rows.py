"""The refused rows as the pages ask for them: counted, a page at a time, one by one, or all for a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from include.carm.errors import DataError
from include.carm.period import Period
from include.quality.data_docs import describe
from include.quality.suites import Rule, load_suite

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from include.feeds import Feed
    from include.workspace import Workspace

PAGE_ROWS = 50

PERSONAL = frozenset({"email", "name", "legal_name", "operating_name"})


def find_feed(name: str) -> Feed:
    """The feed of that name."""
    from include.feeds import LEDGER_FEEDS, SNAPSHOT_FEEDS

    return next(feed for feed in (*LEDGER_FEEDS, *SNAPSHOT_FEEDS) if feed.name == name)


def is_masked(column: str) -> bool:
    """Whether the value of a column is shown only after it was asked for: amounts, and what names a person."""
    return column in PERSONAL or column.endswith("_cents")


@dataclass(frozen=True)
class Filter:
    """Which rows of a month are asked for; None asks for all."""

    dataset: str | None = None
    reason: str | None = None
    expectation: str | None = None
    state: str | None = None


@contextmanager
def _opened(ws: Workspace, period: Period | None) -> Iterator[DuckDBPyConnection]:
    """The relation ``quarantine_rows``, of one month or of all. Raises ``DataError`` for a month that has none."""
    from include import engine

    lake = ws.lake()
    refused = lake.files("quarantine") if period is None else [lake.file("quarantine", period)]
    later = [month for month in lake.periods("quarantine_released") if period is None or month >= period]
    with engine.connect() as con:
        relations = {"quarantine": refused, "quarantine_released": lake.files("quarantine_released", later)}
        engine.create_view(con, "quarantine_rows", "select_quarantine_rows", relations)
        yield con


def count_rows(ws: Workspace, period: Period | None = None) -> list[dict[str, Any]]:
    """``period, dataset, reason, expectation, state, row_count``, of one month or of all, the newest first."""
    from include import engine

    if period is None and not ws.lake().periods("quarantine"):
        return []
    with _opened(ws, period) as con:
        return engine.run_table(con, "select_quarantine_counts").to_pylist()


def page_rows(ws: Workspace, period: Period, which: Filter, page: int) -> list[dict[str, Any]]:
    """The rows of a page, of which the first is 1."""
    from include import engine

    place = {"row_limit": PAGE_ROWS, "row_offset": (page - 1) * PAGE_ROWS}
    with _opened(ws, period) as con:
        return engine.run_table(con, "select_quarantine_page", None, {**asdict(which), **place}).to_pylist()


def read_row(ws: Workspace, period: Period, row_id: str) -> dict[str, Any]:
    """One row with all that it holds. Raises ``DataError`` where the month has none of that name."""
    from include import engine

    with _opened(ws, period) as con:
        parameters = {"row_id": row_id, **asdict(Filter())}
        found = engine.run_table(con, "select_quarantine_content", None, parameters).to_pylist()
    if not found:
        raise DataError(f"the quarantine of {period} has no such row: the month may have been extracted again since")
    return dict(found[0])


def stream_rows(ws: Workspace, period: Period, which: Filter, *, whole: bool) -> Iterator[pa.RecordBatch]:
    """All rows for a file; ``whole`` with their amounts and all that they hold."""
    from include import engine

    with _opened(ws, period) as con:
        if whole:
            parameters: dict[str, Any] = {"row_id": None, **asdict(which)}
            yield from engine.run(con, "select_quarantine_content", None, parameters)
        else:
            place = {"row_limit": _ALL, "row_offset": 0}
            yield from engine.run(con, "select_quarantine_page", None, {**asdict(which), **place})


_ALL = 2**62


def find_rule(dataset: str, expectation: str) -> Rule | None:
    """The rule under which a row was refused; None where the suite does not have it any more."""
    return next((rule for rule in load_suite(dataset).rules if rule.name == expectation), None)


def explain_rule(dataset: str, expectation: str) -> dict[str, Any]:
    """What a rule asks and why, as its suite says."""
    rule = find_rule(dataset, expectation)
    if rule is None:
        return {"asks": "the suite does not have this rule any more", "why": ""}
    return {"asks": describe(rule), "why": rule.why}


def tell_final(ws: Workspace, period: Period) -> bool:
    """Whether the month's extract is final: then nothing is read again."""
    from include.extract import is_final

    return is_final(ws, ws.lake(), period)
