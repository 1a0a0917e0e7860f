"""``carm verify``: proves what lies in the data folder, by other ways than those that made it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from include import engine
from include.broker_documents import count_true_firm_documents
from include.brokers import verify_brokers
from include.carm.counts import tell_count
from include.carm.errors import DataError
from include.carm.period import Period
from include.change_file import change_file_path
from include.database import read_snapshot
from include.feeds import LEDGER_FEEDS, TRANSACTIONS, LedgerFeed
from include.lake import Lake, Seal, sha256_of
from include.ledger import count_image
from include.month import newest_issued
from include.notice_intents import count_intents
from include.notices import count_true_notices
from include.owed_months import owed_by_month, owed_lines
from include.published import published_files, register_published
from include.source_totals import source_totals
from include.statement_reader import count_true_documents
from include.statement_versions import count_true_reissues
from include.tellings import count_contradictions
from include.verify_certificates import verify_certificates
from include.verify_chain import Chain, describe_link, read_chain, require_head, verify_records
from include.verify_plans import AREAS, note_register, verify_plans

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from sqlalchemy.engine import Connection

    from include.audit import Link
    from include.workspace import Workspace


def verify(ws: Workspace, period: Period | None = None, *, head: str | None = None) -> dict[str, Any]:
    """Check the lake against its seals, its counts, its effects and its chain of balances, and all against the audit.

    The audit chain is proved first, then every table that it tells of, then each plan: hashed anew, and decided again
    where what it rests on is still what it was. With ``period`` only months up to it are looked at in the lake; the
    chain is always proved whole. ``head`` is a hash that was printed earlier, or its beginning, and must be in it.

    Returns what was checked, in figures; ``moved``, the posting months in which the source is no longer what was
    extracted, which the next run publishes (looked for up to the newest month only); and ``notes``, what a person
    should know though nothing is wrong. Raises ``DataError`` naming the first thing that is wrong.
    """
    lake = ws.lake()
    extracted = lake.periods("transactions")
    if not extracted:
        raise DataError("nothing was extracted yet: run a month first (make run)")
    last = period or extracted[-1]
    if last not in extracted:
        raise DataError(f"{last} was not extracted: there are the months {extracted[0]} to {extracted[-1]}")
    months = [month for month in extracted if month <= last]
    with read_snapshot(ws.operations) as connection:
        chain = read_chain(connection)
        if head is not None:
            require_head(chain, head)
        records = verify_records(connection, chain)
        notes = note_register(connection) if ws.policy.apply == "database" else []
        intents = _verify_intents(connection)
        # Of the same moment as the chain: a run may seal while this reads.
        seals = lake.seals(connection=connection)
    _verify_seals(seals, chain)
    _verify_change_files(ws, chain)
    files = sum(_verify_files(ws.lake(area), period) for area in AREAS)
    documents = sum(count_true_documents(ws, area, period) for area in AREAS)
    documents += sum(count_true_firm_documents(ws, area, period) for area in AREAS)
    documents += count_true_reissues(ws, period)
    notices = sum(count_true_notices(ws, area, period) for area in AREAS)
    plans = verify_plans(ws, chain, period)
    certificates = verify_certificates(ws, chain, period)
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        rows = sum(_verify_ledger(ws, lake, con, feed, last) for feed in LEDGER_FEEDS)
        statements = _verify_chain(lake, con, months)
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        brokers = verify_brokers(ws, con, lake, months)
    newest = newest_issued(ws)
    return {
        "ok": True,
        "up_to": str(last),
        "months": len(months),
        "files": files,
        "documents": documents,
        "notices": notices,
        "rows": rows,
        "statements": statements,
        "broker_statements": brokers,
        "links": len(chain.links),
        "records": records,
        "notices_owed": intents,
        "plans": {"hashed": plans.hashed, "decided_again": plans.decided_again},
        # An older month knows nothing of what was posted, or loaded, since.
        "moved": _moved(ws, lake, last) if last == extracted[-1] else {},
        "certificates": {"told": certificates.told, "beside": certificates.beside},
        "notes": [*plans.notes, *certificates.notes, *notes],
        "newest_issued": str(newest) if newest else None,
        "chain_head": chain.head,
    }


def _verify_seals(seals: Iterable[Seal], chain: Chain) -> None:
    """The files of an issued month are sealed as its links tell: nobody sealed others, or took a seal away."""
    told: dict[tuple[str, str], tuple[Link, str]] = {}
    for link, facts in chain.of("issue", "close", "notices", "statement_act"):
        if link.event == "notices":
            told[facts["dataset"], link.subject] = link, facts["sha256"]
            continue
        if link.event == "statement_act":
            # The last word counts: each act adds its version to those before.
            if facts["act"] != "withdraw":
                told["statement_versions", facts["period"]] = link, facts["versions_sha256"]
            continue
        of_month = {"statements": facts["statements_sha256"]} if link.event == "issue" else facts["seals"]
        for dataset, sha256 in of_month.items():
            # The first word counts: what was issued and closed is never replaced.
            told.setdefault((dataset, link.subject), (link, sha256))
    sealed = {(seal.dataset, seal.period): seal.sha256 for seal in seals}
    for (dataset, period), (link, sha256) in told.items():
        found = sealed.get((dataset, period))
        if found != sha256:
            how = "is no longer sealed as the file that" if found is None else "is sealed as another file than"
            raise DataError(
                f"lake/{dataset}/period={period} {how} {describe_link(link)} tells: restore the lake and the "
                "database from a backup"
            )


def _verify_intents(connection: Connection) -> int:
    """Closed months owe nothing, and what was to be told agrees with the outbox; returns how much was to be told."""
    for line in owed_lines([month | {"of_acts": 0} for month in owed_by_month(connection) if month["is_closed"]]):
        raise DataError(line)
    contradictions = count_contradictions(connection)
    if contradictions:
        without, beside = (
            tell_count(contradictions.get(name, 0), "notice")
            for name in ("told_without_message", "message_without_telling")
        )
        raise DataError(
            f"carm_notice_intents and carm_outbox contradict each other: {without} told without a message, {beside} "
            "not told though there is one; restore the database from a backup"
        )
    return count_intents(connection)


def _verify_change_files(ws: Workspace, chain: Chain) -> None:
    """A change file that still lies where it was put is the one that was handed over."""
    periods = {link.subject: facts["period"] for link, facts in chain.of("plan")}
    for link, facts in chain.of("apply"):
        if "change_file_sha256" not in facts:
            continue
        path = change_file_path(ws, periods[link.subject], link.subject)
        if path.exists() and sha256_of(path) != facts["change_file_sha256"]:
            raise DataError(
                f"{path} is not the change file that {describe_link(link)} tells of: have it handed over anew"
            )


def _verify_files(lake: Lake, up_to: Period | None) -> int:
    seals = [seal for seal in lake.seals() if up_to is None or seal.period <= str(up_to)]
    for seal in seals:
        name = f"{lake.area}/{seal.dataset}/period={seal.period}/data.parquet"
        file = lake.sealed_file(seal)
        if file is None:
            is_gone = not lake.path(seal.dataset, seal.period).exists()
            what = "is sealed, but the file is gone" if is_gone else "is not the file that was sealed"
            raise DataError(f"{name} {what}: restore it from a backup")
        if pq.read_metadata(file).num_rows != seal.rows:
            raise DataError(f"{name} has another number of rows than its seal says: restore the database from a backup")
    return len(seals)


def _verify_ledger(ws: Workspace, lake: Lake, con: DuckDBPyConnection, feed: LedgerFeed, last: Period) -> int:
    """Count and sum all published and quarantined rows anew, and add every item's state up to the balances."""
    files = published_files(lake, feed, str(last))
    if lake.has("control_totals", last):
        table = pq.read_table(lake.file("control_totals", last))
        known = table.filter(pc.equal(table.column("dataset"), feed.name))
        counted = count_image(ws, lake, con, feed, str(last))
        offenders = engine.run_table(
            con, "check_reconciliation", {"source_totals": counted, "control_totals": known}, {"dataset": feed.name}
        ).to_pylist()
        if offenders:
            raise DataError(
                f"{feed.name} posted in {offenders[0]['posted_period']}: the rows in the lake are not those that its "
                "control totals count: restore the lake from a backup"
            )
    register_published(con, feed, files)
    if feed is TRANSACTIONS:
        engine.register(con, "effects", files, like=feed.name)
        at_fault = engine.run_table(con, "check_account_states").num_rows
        if at_fault:
            raise DataError(f"{at_fault:,} accounts have effects that do not add up to their items: restore the lake")
    return sum(pq.read_metadata(path).num_rows for path in files)


def _verify_chain(lake: Lake, con: DuckDBPyConnection, months: list[Period]) -> int:
    """Every opening balance is the closing balance of the month before, where both months have statements.

    And what is open at the month's end adds up to its closing balance.
    """
    statements = 0
    for month in months:
        if not lake.has("statements", month):
            continue
        heads = lake.files("statements", [month])
        statements += pq.read_metadata(heads[0]).num_rows
        _require_open_items(lake, con, month)
        before = month.previous()
        if not lake.has("statements", before):
            continue
        engine.register(con, "statements_now", heads)
        engine.register(con, "parked_now", lake.files("parked", [month]), like="parked")
        con.execute(
            "CREATE OR REPLACE TEMP VIEW statement_heads AS "
            "SELECT account_key, bn15, opening_cents, NULL AS parked_reason FROM statements_now "
            "UNION ALL SELECT account_key, bn15, opening_cents, reason FROM parked_now"
        )
        engine.register(con, "previous_statements", lake.files("statements", [before]))
        engine.register(con, "previous_parked", lake.files("parked", [before]), like="parked")
        broken = engine.run_table(con, "check_statement_chain").num_rows
        if broken:
            raise DataError(f"{broken:,} accounts open {month} with another balance than they closed {before} with")
    return statements


def _require_open_items(lake: Lake, con: DuckDBPyConnection, month: Period) -> None:
    # Months that were closed before open items were kept have none.
    if not lake.has("open_items", month):
        return
    engine.register(con, "open_items", lake.files("open_items", [month]))
    engine.register(con, "statement_heads", lake.files("statement_heads", [month]))
    wrong = engine.run_table(con, "check_open_items").num_rows
    if wrong:
        raise DataError(
            f"the open items of {tell_count(wrong, 'account')} do not add up to the balance that {month} closed with: "
            "restore the lake from a backup"
        )


def _moved(ws: Workspace, lake: Lake, last: Period) -> dict[str, list[str]]:
    """Posting months in which the source is no longer what the lake knows of it."""
    if not lake.has("control_totals", last):
        return {}
    known: dict[str, dict[tuple[str, str, str], tuple[int, int]]] = {feed.name: {} for feed in LEDGER_FEEDS}
    for row in pq.read_table(lake.file("control_totals", last)).to_pylist():
        key = (row["posted_period"], row["kind"], row["status"])
        known[row["dataset"]][key] = (row["row_count"], row["sum_cents"])
    moved = {}
    for name, found in source_totals(ws, last).items():
        keys = {key for key in {*found, *known[name]} if found.get(key) != known[name].get(key)}
        if keys:
            moved[name] = sorted({key[0] for key in keys})
    return moved


def verify_lines(facts: dict[str, Any]) -> list[str]:
    """What :func:`verify` found, for people."""
    records, plans, certificates = facts["records"], facts["plans"], facts["certificates"]
    told = (
        ("carm_plans", "plan"),
        ("carm_approvals", "answer"),
        ("carm_reinstatements", "counter-action"),
        ("carm_holds", "hold"),
        ("carm_review_decisions", "review"),
        ("carm_statements", "issued statement"),
        ("carm_statement_acts", "statement act"),
        ("carm_month_locks", "month lock"),
    )
    in_tables = ", ".join(tell_count(records[table], noun) for table, noun in told)
    lines = [
        f"Files, each as it was sealed: {facts['files']:,}",
        f"Documents of statements, each the one that was rendered: {facts['documents']:,}; of notices: "
        f"{facts['notices']:,}",
        f"Published rows up to {facts['up_to']}, counted, summed and added up to the balances: {facts['rows']:,}",
        f"Statements that open with what the month before closed with: {facts['statements']:,}",
        f"Statements of brokers, each line one of a client's statement: {facts['broker_statements']:,}",
        f"Links of the audit chain, each after the one before: {facts['links']:,}; the tables are what they tell: "
        f"{in_tables}",
        f"Notices that were to be told, none of which contradicts the outbox: {facts['notices_owed']:,}",
        f"Plans that hash to their decisions: {plans['hashed']:,}; decided again from what is sealed, and the same: "
        f"{plans['decided_again']:,}",
        f"Certificates of months, each as the chain tells: {certificates['told']:,}; of runs beside the record, each "
        f"as it was written: {certificates['beside']:,}",
    ]
    for name, months in facts["moved"].items():
        lines.append(f"{name}: the source moved in {', '.join(months)}; the next run publishes the difference")
    lines += [f"Note: {note}" for note in facts["notes"]]
    if facts["chain_head"]:
        lines.append(f"Audit chain head: {facts['chain_head']}")
    lines.append("OK")
    return lines
