"""What accounts did, month by month, and the facts about each account that a month's decisions rest on."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from include import engine
from include.account_rows import keep_items_of_accounts, keep_no_items, register_activity
from include.carm.period import Period
from include.extract import open_quarantine_relations
from include.feeds import LEDGER_FEEDS
from include.lake import Lake, Seal
from include.month import is_issued
from include.operations_schema import FEED_COVERAGE
from include.transaction_kinds import transaction_kinds_relation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from include.workspace import Workspace


def publish_activity(ws: Workspace, month: dict[str, Any]) -> dict[str, Any]:
    """Write ``activity`` for every month up to the run's that lacks it, the baseline, and ``account_facts``.

    Cost follows the new rows: each month's activity is derived once, and the facts fold one small row per account
    and month. Only accounts from which a later revision took their last activity are read again from the rows.
    """
    period = Period.parse(month["period"])
    lake = ws.lake()
    with ws.spill_folder() as spill, engine.connect(spill_folder=spill) as con:
        seals = _publish_missing(ws, con, lake, period)
        lake.seal(seals, run_id=month["run_id"])
        reader = _account_facts(ws, con, lake, period)
        facts = ws.lake(month["area"]).publish_and_seal("account_facts", period, reader, run_id=month["run_id"])
    return {"period": str(period), "months": len(seals), "accounts": facts.rows}


def _publish_missing(ws: Workspace, con: DuckDBPyConnection, lake: Lake, period: Period) -> list[Seal]:
    kinds = transaction_kinds_relation()
    known = set(lake.periods("activity"))
    seals = []
    for label in lake.periods("transactions"):
        # The run's own month may have been extracted anew, unless it was issued; the same rows leave its file as it is.
        if label > period or (label in known and (label != period or is_issued(ws, period))):
            continue
        relations: dict[str, engine.Relation] = {feed.name: lake.files(feed.name, [label]) for feed in LEDGER_FEEDS}
        reader = engine.run(con, "derive_activity", {**relations, "transaction_kinds": kinds})
        seals.append(lake.publish("activity", label, reader))
    for label in lake.periods("baseline_transactions"):
        if not lake.has("baseline", label):
            relations = {feed.name: lake.files(f"baseline_{feed.name}", [label]) for feed in LEDGER_FEEDS}
            engine.create_table(con, "before", "derive_activity", {**relations, "transaction_kinds": kinds})
            con.execute("CREATE OR REPLACE TEMP VIEW activity AS SELECT * FROM before")
            seals.append(lake.publish("baseline", label, engine.run(con, "derive_baseline")))
            con.execute("DROP VIEW activity")
    return seals


def _account_facts(ws: Workspace, con: DuckDBPyConnection, lake: Lake, period: Period) -> Any:
    up_to, as_of = str(period), {"as_of": ws.calendar.as_of(period)}

    register_activity(con, lake, up_to)
    retracted = [label for label in lake.periods("activity_retracted") if label <= period]
    engine.register(con, "activity_retracted", lake.files("activity_retracted", retracted))
    engine.create_table(con, "doubtful", "select_doubtful_accounts", None, as_of)
    _find_exact_activity(con, lake, up_to, as_of)
    # A refused account row speaks of its own month only; refused ledger rows stay until they are mended. One without
    # a date stands in the month of the run that read it, and is a gap for every month that this run loaded.
    for relation_name, relation in open_quarantine_relations(lake, max(up_to, _observed_in(ws, period))).items():
        engine.register(con, relation_name, relation)
    engine.create_table(con, "open_quarantine", "select_open_ledger_quarantine")
    engine.register(con, "accounts", [lake.file("accounts", period)])
    return engine.run(
        con, "derive_account_facts", None, {"window_start": ws.calendar.start(ws.calendar.window(period)[0]), **as_of}
    )


def _find_exact_activity(con: DuckDBPyConnection, lake: Lake, up_to: str, as_of: dict[str, date]) -> None:
    """Leave ``exact_activity``: the last activity up to the day of the accounts in ``doubtful``, read from their rows.

    What counts lies in a month whose activity says that it has any, and no later than that says. So the most promising
    months are looked at first, and no others once none of them can hold a later day than was found: for most accounts
    that is one month more than those in doubt. Twice as many each time, so that few rounds are enough for anyone.
    """
    con.execute("CREATE OR REPLACE TEMP VIEW asked_accounts AS SELECT account_key FROM doubtful")
    engine.create_table(con, "activity_bounds", "select_activity_bounds", None, as_of)
    con.execute("CREATE OR REPLACE TEMP TABLE looked_in (dataset VARCHAR, period VARCHAR)")
    for feed in LEDGER_FEEDS:
        keep_no_items(con, feed)
    months = 1
    while True:
        engine.create_table(con, "exact_activity", "select_last_activity", None, as_of)
        engine.create_table(con, "in_question", "select_months_in_question", None, {"months": months})
        found = con.execute("SELECT dataset, period FROM in_question").fetchall()
        if not found:
            return
        for feed in LEDGER_FEEDS:
            keep_items_of_accounts(con, lake, feed, up_to, found)
        con.execute("INSERT INTO looked_in SELECT * FROM in_question")
        months *= 2


def _observed_in(ws: Workspace, period: Period) -> str:
    """The month of the run that read the month's rows: later than the month itself, when a first run loaded it."""
    query = select(func.max(FEED_COVERAGE.c.observed_in)).where(
        FEED_COVERAGE.c.period == str(period), FEED_COVERAGE.c.known_in == str(period)
    )
    with ws.operations.connect() as connection:
        return connection.execute(query).scalar() or str(period)
