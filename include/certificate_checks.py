"""The proofs of a certificate: what the sealed files of a month add up to, compared when the certificate is written.

Each check is a row that names what was compared, the figures, and whether it holds; one that could not be made says
why. None is taken over from the steps that made the month, but for the comparison with the source, which only the run
that read the source could make.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select

from include import engine
from include.certificate import DOES_NOT_HOLD, HOLDS, NOT_CHECKED
from include.extract import open_quarantine_relations
from include.feeds import LEDGER_FEEDS
from include.operations_schema import FEED_COVERAGE
from include.operations_statement_tables import ISSUED_MONTHS, STATEMENT_REGISTRY
from include.parking import recorded_parking
from include.statement_registry import HASHES

if TYPE_CHECKING:
    from datetime import date

    from duckdb import DuckDBPyConnection
    from sqlalchemy.engine import Connection

    from include.carm.period import Period
    from include.lake import Lake
    from include.workspace import Workspace

Check = dict[str, Any]

_TEXTS = {
    "source_rows": (
        "Source rows = published + brought forward + quarantine",
        "counts and sums up to {end}, by month, kind and status, of the source with those of the extract, by the run "
        "that read it; rows in quarantine, counted anew",
    ),
    "one_decision": (
        "One decision for each open account",
        "the sealed decisions, account by account, with the accounts that the sealed facts call open",
    ),
    "plan": (
        "The plan is what was decided",
        "the counts of the plan's row, by action and reason, with the sealed decisions",
    ),
    "exact_cover": (
        "Every posting on exactly one statement, or its account parked",
        "each posting of the month that counts or changes a balance with the lines of all statements, one by one",
    ),
    "closing": (
        "Closing = opening + debits - credits",
        "the closing balance of each statement with its own opening balance, debits and credits",
    ),
    "chain": (
        "Opening = closing of the month before",
        "the opening balance of each account, parked ones too, with what it closed {before} with",
    ),
    "open_items": (
        "Open items = closing balance",
        "what remains of the open items of each account with its closing balance",
    ),
    "ageing": ("Ages = closing balance", "the five ages of each statement, added up, with its closing balance"),
    "ledger": (
        "Totals for the general ledger = statements",
        "debits and credits of the ledger totals, by kind and component, with those of the statements",
    ),
    "issue": (
        "Registry of what was issued = sealed statements",
        "each row of the month's registry with the sealed statements, in both directions: account, version and hashes "
        "of its documents; number and file's hash in the row of the issued month. The documents are not read",
    ),
}
"""The title of each check and what it compares."""

_REGISTERED = pa.schema(
    [("bn15", pa.string()), ("version", pa.int64()), *((name, pa.string()) for name in HASHES)],
)
_DIFFERENCES = {
    "not_registered": "sealed and not in the registry",
    "not_sealed": "in the registry and not sealed",
    "other_hashes": "with other hashes",
}
_ROWS_A_READ = 10_000


def prove_month(
    ws: Workspace, con: DuckDBPyConnection, lake: Lake, period: Period, facts: Mapping[str, Any]
) -> list[Check]:
    """Every check of the month, in the order in which a certificate shows them.

    ``con`` has the month's relations registered (:func:`register_month`); ``facts`` is what the certificate says so
    far: ``control_totals``, ``plan``, ``decisions``, ``statements``, ``issued``.
    """
    texts = {"end": ws.calendar.end(period).isoformat(), "before": str(period.previous())}
    checks = [
        *_source_rows(ws, con, lake, period, facts, texts),
        _one_decision(con),
        _plan(facts),
        _exact_cover(con),
        _closing(facts),
        _chain(con, lake, period),
        _open_items(con, lake, period),
        _ageing(facts),
        _ledger(con, lake, period, facts),
        _issue(ws, con, lake, period, facts),
    ]
    return [_told(check, texts) for check in checks]


def register_month(con: DuckDBPyConnection, lake: Lake, period: Period) -> None:
    """Make the month's sealed datasets readable by their names, and ``parking``, each proved against its seal."""
    for dataset in (
        "account_decisions",
        "account_facts",
        "accounts",
        "control_totals",
        "statement_heads",
        "statement_lines",
        "statements",
        "transactions",
    ):
        engine.register(con, dataset, [lake.file(dataset, period)])
    engine.register(con, "parking", recorded_parking(lake, period, without=None))


def _told(check: Check, texts: Mapping[str, str]) -> Check:
    title, compared = _TEXTS[check["check"]]
    return {
        "check": check["check"],
        "of": check["of"],
        "title": title,
        "compared": compared.format(**texts),
        "result": check["result"],
        "faults": check["faults"],
        "figures": check["figures"],
        "note": check["note"],
    }


def _made(
    name: str, faults: int, figures: Mapping[str, int], *, of: str | None = None, note: str | None = None
) -> Check:
    result = DOES_NOT_HOLD if faults else HOLDS
    return {"check": name, "of": of, "result": result, "faults": faults, "figures": dict(figures), "note": note}


def _not_made(name: str, why: str, *, of: str | None = None) -> Check:
    return {"check": name, "of": of, "result": NOT_CHECKED, "faults": None, "figures": {}, "note": why}


# Invariant 1


def _source_rows(
    ws: Workspace,
    con: DuckDBPyConnection,
    lake: Lake,
    period: Period,
    facts: Mapping[str, Any],
    texts: Mapping[str, str],
) -> Iterator[Check]:
    totals = {row["feed"]: row for row in facts["control_totals"]}
    row = FEED_COVERAGE.c
    query = select(FEED_COVERAGE).where(row.period == str(period), row.known_in == str(period))
    with ws.operations.connect() as connection:
        extracts = {found.feed: found for found in connection.execute(query)}
    for feed in (feed.name for feed in LEDGER_FEEDS):
        extract, total = extracts.get(feed), totals.get(feed)
        if extract is None:
            yield _not_made("source_rows", "not known: no record of how the month was extracted", of=feed)
        elif extract.state not in ("received", "empty"):
            yield _not_made("source_rows", "the feed was not received, so there is nothing to compare", of=feed)
        elif not extract.reconciled:
            yield _not_made("source_rows", "the extract was not compared with the source", of=feed)
        else:
            figures = {name: total[name] if total else 0 for name in ("source_rows", "quarantined_rows", "sum_cents")}
            anew = _count_open_quarantine(con, lake, period, feed, ws.calendar.end(period))
            note = f"compared with the source by the run of {extract.observed_in}"
            yield _made("source_rows", int(anew != figures["quarantined_rows"]), figures, of=feed, note=note)


def _count_open_quarantine(con: DuckDBPyConnection, lake: Lake, period: Period, feed: str, end: date) -> int:
    relations: dict[str, engine.Relation] = dict(open_quarantine_relations(lake, str(period)))
    days = engine.run_table(con, "select_open_quarantine", relations, {"dataset": feed}).column("posted_on").to_pylist()
    # What is posted later belongs to the totals of a later month.
    return sum(day is None or day <= end for day in days)


# Decisions


def _one_decision(con: DuckDBPyConnection) -> Check:
    (figures,) = engine.run_table(con, "select_certificate_decisions").to_pylist()
    return _made("one_decision", figures.pop("faults"), figures)


def _plan(facts: Mapping[str, Any]) -> Check:
    plan = facts["plan"]
    if plan is None:
        return _not_made("plan", "not known: no plan of the month is on record")
    decided = {(row["action"], row["reason"]): row["accounts"] for row in facts["decisions"]}
    planned = {
        (action, reason): accounts for action, reasons in plan["counts"].items() for reason, accounts in reasons.items()
    }
    faults = sum(decided.get(key) != planned.get(key) for key in decided.keys() | planned.keys())
    return _made("plan", faults, {"planned": sum(planned.values()), "decided": sum(decided.values())})


# Invariants 2 and 3


def _exact_cover(con: DuckDBPyConnection) -> Check:
    (figures,) = engine.run_table(con, "select_certificate_cover").to_pylist()
    return _made("exact_cover", engine.run_table(con, "check_statement_cover").num_rows, figures)


def _closing(facts: Mapping[str, Any]) -> Check:
    statements = facts["statements"]
    names = ("statements", "opening_cents", "debits_cents", "credits_cents", "closing_cents")
    # Summed up once more: what holds for each must hold for all.
    rest = statements["closing_cents"] - (
        statements["opening_cents"] + statements["debits_cents"] - statements["credits_cents"]
    )
    faults = statements["wrong_closings"] + int(rest != 0)
    return _made("closing", faults, {name: statements[name] for name in names})


def _chain(con: DuckDBPyConnection, lake: Lake, period: Period) -> Check:
    before = period.previous()
    if not lake.has("statements", before):
        return _not_made("chain", f"there are no statements of {before} to compare with")
    engine.register(con, "previous_statements", [lake.file("statements", before)])
    engine.register(con, "previous_parked", [lake.file("parked", before)])
    (figures,) = engine.run_table(con, "select_certificate_chain").to_pylist()
    return _made("chain", engine.run_table(con, "check_statement_chain").num_rows, figures)


def _open_items(con: DuckDBPyConnection, lake: Lake, period: Period) -> Check:
    if not lake.has("open_items", period):
        return _not_made("open_items", "the release that ran the month kept no open items")
    engine.register(con, "open_items", [lake.file("open_items", period)])
    (figures,) = engine.run_table(con, "select_certificate_open_items").to_pylist()
    return _made("open_items", engine.run_table(con, "check_open_items").num_rows, figures)


def _ageing(facts: Mapping[str, Any]) -> Check:
    statements = facts["statements"]
    figures = {name: statements[name] for name in ("ageing_cents", "closing_cents")}
    return _made("ageing", statements["wrong_ages"], figures)


def _ledger(con: DuckDBPyConnection, lake: Lake, period: Period, facts: Mapping[str, Any]) -> Check:
    if not lake.has("ledger_totals", period):
        return _not_made("ledger", "the release that ran the month made no totals for the general ledger")
    file = lake.file("ledger_totals", period)
    engine.register(con, "ledger_totals", [file])
    rows = pq.read_table(file, columns=["debit_cents", "credit_cents"]).to_pylist()
    figures = {name: sum(row[name] for row in rows) for name in ("debit_cents", "credit_cents")}
    return _made("ledger", engine.run_table(con, "check_ledger_totals").num_rows, figures)


def _issue(ws: Workspace, con: DuckDBPyConnection, lake: Lake, period: Period, facts: Mapping[str, Any]) -> Check:
    if lake.area != "lake":
        return _not_made("issue", "a run beside the record issues nothing")
    if not facts["issued"]:
        return _not_made("issue", "the month is not issued")
    with ws.operations.connect() as connection:
        issued = connection.execute(select(ISSUED_MONTHS).where(ISSUED_MONTHS.c.period == str(period))).one()
        rows = _registered(connection, period)
    (found,) = engine.run_table(con, "select_certificate_issue", {"registered": rows}).to_pylist()
    sealed = next(seal for seal in lake.seals("statements") if seal.period == str(period))
    differ = {what: found[name] for name, what in _DIFFERENCES.items() if found[name]}
    if not differ and rows.num_rows != sealed.rows:
        # Every one has its row: the sealed file names some of them twice.
        differ["sealed more than once"] = abs(rows.num_rows - sealed.rows)
    if wrong := int(issued.statements != sealed.rows) + int(issued.statements_sha256 != sealed.sha256):
        differ["in the row of the issued month"] = wrong
    note = ", ".join(f"{count:,} {what}" for what, count in differ.items()) or None
    return _made("issue", sum(differ.values()), {"registered": rows.num_rows, "sealed": sealed.rows}, note=note)


def _registered(connection: Connection, period: Period) -> pa.Table:
    """The rows of the registry that were issued with the month, by what the sealed statements have of them too."""
    registry = STATEMENT_REGISTRY.c
    query = select(*(registry[name] for name in _REGISTERED.names))
    query = query.where(registry.period == str(period), registry.act_no.is_(None))
    found = connection.execute(query.execution_options(yield_per=_ROWS_A_READ))
    batches = [
        pa.record_batch(
            [pa.array(values, field.type) for values, field in zip(columns, _REGISTERED, strict=True)],
            schema=_REGISTERED,
        )
        for columns in (tuple(zip(*rows, strict=True)) for rows in found.partitions())
    ]
    return pa.Table.from_batches(batches, _REGISTERED)
