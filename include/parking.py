"""Parked accounts: who gets no statement for a month, why, and until when; so that one account stops no other.

An account is parked where its own row of the register was not published, where what the month derived for it does not
add up, and where its statement of the month before is still outstanding. It has its balances in ``parked``, and neither
a line nor a document. The statement of a month that is not issued is retried by running that month again; one of an
issued month is issued late (``carm_restate``, act ``issue_parked``), and the month after it may then have its own.
``docs/adr/0040-statement-heads-lines-and-parked-accounts.md`` says why.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import select

from include import engine, statement_registry
from include.carm.counts import tell_count
from include.carm.errors import DataError
from include.operations_statement_tables import STATEMENT_REGISTRY

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from sqlalchemy.engine import Connection

    from include.carm.period import Period
    from include.carm.policy import Limit
    from include.lake import Lake
    from include.workspace import Workspace

log = logging.getLogger(__name__)

PREVIOUS_MONTH = "previous_month_parked"


class Reason(NamedTuple):
    """What a word of ``parked.reason`` means, and what has to be mended before the statement is retried."""

    meaning: str
    mend: str


_OF_THE_LAKE = "find what is wrong in the month's rows of that account in the lake"

REASONS = {
    "account_not_published": Reason(
        "its own row of the register was not published", "mend the row that stands in quarantine"
    ),
    "posting_not_on_one_line": Reason("a posting does not stand on exactly one line", _OF_THE_LAKE),
    "not_one_statement": Reason("it would have two statements, or one without its row", _OF_THE_LAKE),
    "chain_is_broken": Reason("it does not open with what the month before closed with", _OF_THE_LAKE),
    "balance_does_not_add_up": Reason("its balance is not what its postings add up to", _OF_THE_LAKE),
    "open_items_do_not_add_up": Reason("its open items do not add up to its balance", _OF_THE_LAKE),
    "lines_do_not_add_up": Reason("the lines of its statement do not add up to its balance", _OF_THE_LAKE),
    PREVIOUS_MONTH: Reason("its statement of the month before is outstanding", "see to the month before"),
}
"""Every reason to park an account. The words stand in the lake and never change their meaning."""

RELATION = pa.schema({"bn15": pa.string(), "account_key": pa.int64(), "reason": pa.string()})
"""The columns of the relation ``parking``: accounts that are to be parked though their own row may be published."""

_RELEASED = pa.schema({"bn15": pa.string(), "account_key": pa.int64(), "period": pa.string()})
_NUMBERS_A_QUERY = 500


# Outstanding and released


def outstanding_accounts(ws: Workspace, lake: Lake, month: Mapping[str, Any], period: Period) -> pa.Table:
    """The accounts whose statement of the month before is outstanding, as the relation ``parking``.

    Only the month right before counts, and only if it has statements: a month after a gap begins anew, as its balances
    do (:func:`prove_statements`). A month that was issued keeps those that it was issued with, whatever was issued late
    since, for the same month again must be the same month; in shadow it is drawn up as it would be now.
    """
    with ws.operations.connect() as connection:
        is_record = month["effects"] == "live" or month["area"] == "lake"
        if is_record and statement_registry.is_issued(connection, period):
            parked = _read_parked(ws.lake(), period)
            return parked.filter(pc.equal(parked.column("reason"), PREVIOUS_MONTH))
        still = still_outstanding(connection, lake, period.previous())
    reasons = pa.array([PREVIOUS_MONTH] * still.num_rows, pa.string())
    return pa.table([still.column("bn15"), still.column("account_key"), reasons], schema=RELATION)


def still_outstanding(connection: Connection, lake: Lake, period: Period) -> pa.Table:
    """The accounts (``bn15``, ``account_key``) that wait for a statement of ``period``, or of a month before it.

    One that was parked for the month before alone, and of which the period has nothing to state, has no statement of
    the period to wait for: it waits as long as the month before does. None where the period has no statements.
    """
    if not lake.has("statements", period):
        return RELATION.empty_table().select(["bn15", "account_key"])
    parked = _read_parked(lake, period)
    released = released_accounts(connection, period, parked)
    still = parked.join(released.select(["account_key"]), "account_key", join_type="left anti").sort_by("account_key")
    idle = _with_nothing_to_state(lake, period) if PREVIOUS_MONTH in still.column("reason").to_pylist() else set()
    if idle:
        waiting = still_outstanding(connection, lake, period.previous()).column("account_key").to_pylist()
        settled = pa.array(sorted(idle - set(waiting)), pa.int64())
        still = still.filter(pc.invert(pc.is_in(still.column("account_key"), value_set=settled)))
    return still.select(["bn15", "account_key"])


def _with_nothing_to_state(lake: Lake, period: Period) -> set[int]:
    """The accounts that ``period`` would have neither a statement of nor parked, but for the month before."""
    before = period.previous()
    if not lake.has("parked", before):
        return set()
    columns = ["account_key", "opening_cents", "closing_cents", "line_count", "closed_on", "period_start", "period_end"]
    is_waiting = pc.field("parked_reason") == PREVIOUS_MONTH
    heads = pq.read_table(lake.file("statement_heads", period), columns=columns, filters=is_waiting).to_pylist()
    parked = pq.read_table(lake.file("parked", before), columns=["account_key", "closing_cents"])
    closings = dict(zip(*(column.to_pylist() for column in parked.columns), strict=True))
    return {
        head["account_key"]
        for head in heads
        if not (head["opening_cents"] or head["closing_cents"] or head["line_count"])
        # What the month before left is stated, even where the month lost it.
        and closings.get(head["account_key"]) == 0
        and not (head["closed_on"] and head["period_start"] <= head["closed_on"] <= head["period_end"])
    }


def released_accounts(connection: Connection, period: Period, parked: pa.Table) -> pa.Table:
    """Those of ``parked`` (``bn15``, ``account_key``) whose statement of ``period`` was issued since.

    One row an account: ``bn15``, ``account_key``, ``period``. The registry tells: an account that the month parked has
    a row there if and only if its statement was issued late.
    """
    keys = dict(zip(parked.column("bn15").to_pylist(), parked.column("account_key").to_pylist(), strict=True))
    registry, numbers = STATEMENT_REGISTRY.c, sorted(keys)
    found: set[str] = set()
    for start in range(0, len(numbers), _NUMBERS_A_QUERY):
        some = numbers[start : start + _NUMBERS_A_QUERY]
        query = select(registry.bn15).where(registry.period == str(period), registry.bn15.in_(some))
        found |= set(connection.execute(query).scalars())
    issued = sorted(found)
    columns = [issued, [keys[bn15] for bn15 in issued], [str(period)] * len(issued)]
    return pa.table(columns, schema=_RELEASED)


def recorded_parking(lake: Lake, period: Period, *, without: str | None) -> pa.Table:
    """The relation ``parking`` as a month has it on record, but for one account."""
    parked = _read_parked(lake, period)
    is_other = pc.not_equal(parked.column("bn15"), without or "")
    # Who is not in the register is parked without being named.
    is_named = pc.not_equal(parked.column("reason"), "account_not_published")
    return parked.filter(pc.and_(is_other, is_named))


def parked_reason(lake: Lake, period: Period, bn15: str) -> str | None:
    """The word for which the account was parked in the month; None where it was not."""
    parked = pq.read_table(lake.file("parked", period), columns=["reason"], filters=[("bn15", "==", bn15)])
    return parked.column("reason")[0].as_py() if parked.num_rows else None


def _read_parked(lake: Lake, period: Period) -> pa.Table:
    return pq.read_table(lake.file("parked", period), columns=RELATION.names).cast(RELATION)


# Proving a month


def prove_statements(
    con: DuckDBPyConnection, lake: Lake, period: Period, limit: Limit, draw_up: Callable[[], None]
) -> None:
    """Check what the month derived, and park the accounts that fail: the month is drawn up once more without them.

    ``draw_up`` derives heads, lines, ``parked`` and totals from the relation ``parking``, as the caller did before.
    Then every check must be clean. Raises ``DataError`` where a fault belongs to no account, where it stays though its
    account is parked, and where more accounts fail than ``limit``: then the fault is not in the accounts.
    """
    offenders = _find_offenders(con, lake, period)
    if offenders.num_rows:
        failing = _accounts_that_fail(period, offenders)
        _refuse_too_many(con, period, failing, limit)
        engine.register(con, "parking", _with(con.table("parking").to_arrow_table(), failing))
        draw_up()
        _refuse(period, _find_offenders(con, lake, period))
    _refuse(period, engine.run_table(con, "check_ledger_totals"))
    counts = count_parked(con.table("parked").project("reason").to_arrow_table())
    if counts:
        log.warning(
            "%s: %s parked and without a statement: %s",
            period,
            tell_count(sum(counts.values()), "account"),
            tell_reasons(counts),
        )


def _find_offenders(con: DuckDBPyConnection, lake: Lake, period: Period) -> pa.Table:
    """What the checks of single accounts find, one after the other; a table, for a fault of the code meets millions."""
    found = [engine.run_table(con, "check_statement_cover")]
    before = period.previous()
    if lake.has("statements", before):
        closings: dict[str, engine.Relation] = {
            "previous_statements": [lake.file("statements", before)],
            "previous_parked": [lake.file("parked", before)],
        }
        found.append(engine.run_table(con, "check_statement_chain", closings))
    found.append(engine.run_table(con, "check_statement_balances", parameters={"period": str(period)}))
    return pa.concat_tables(found)


def require_sound(con: DuckDBPyConnection, lake: Lake, period: Period, bn15: str) -> None:
    """Raise ``DataError`` where a check finds a fault of this account in what the month derived, or of none."""
    offenders = _find_offenders(con, lake, period)
    numbers = offenders.column("bn15")
    _refuse(period, offenders.filter(pc.is_null(numbers)))
    own = offenders.filter(pc.equal(numbers, bn15))
    if own.num_rows:
        reason = own.column("reason")[0].as_py()
        known = REASONS[reason]
        raise DataError(
            f"account {bn15} cannot have a statement for {period} ({reason}): {known.meaning}; {known.mend}"
        )


def _accounts_that_fail(period: Period, offenders: pa.Table) -> pa.Table:
    """The accounts of the offenders, each with the reason that was found first."""
    of_none = pc.or_(pc.is_null(offenders.column("account_key")), pc.is_null(offenders.column("bn15")))
    _refuse(period, offenders.filter(of_none))
    # One thread keeps the order of the checks, which names a reason: a posting that is missing from the page breaks the
    # sum of the lines too.
    first = offenders.group_by("account_key", use_threads=False).aggregate([("bn15", "first"), ("reason", "first")])
    return pa.table(
        [first.column(name) for name in ("bn15_first", "account_key", "reason_first")], schema=RELATION
    ).sort_by("account_key")


def _with(parking: pa.Table, failing: pa.Table) -> pa.Table:
    """Both, an account once. One that was parked already keeps its reason, and the month stops if it fails even so."""
    new = failing.join(parking.select(["account_key"]), "account_key", join_type="left anti")
    return pa.concat_tables([parking, new.select(RELATION.names)]).sort_by("account_key")


def _refuse_too_many(con: DuckDBPyConnection, period: Period, failing: pa.Table, limit: Limit) -> None:
    drawn_up = con.table("statement_heads").filter("parked_reason IS NULL").project("account_key")
    statements = drawn_up.to_arrow_table().num_rows
    if not limit.is_exceeded(failing.num_rows, statements):
        return
    raise DataError(
        f"the statements of {period} are not published: {tell_count(failing.num_rows, 'account')} of {statements:,} "
        f"would be parked ({tell_reasons(count_parked(failing))}), more than policy.yaml allows; the fault is in the "
        "data or the code of the month and not in them: run carm verify, and keep the log"
    )


def _refuse(period: Period, offenders: pa.Table) -> None:
    if not offenders.num_rows:
        return
    first = offenders.slice(0, 1).to_pylist()[0]
    if first["bn15"] is None:
        raise DataError(f"the statements of {period} are not published: {first['problem']}; run the month again")
    place = f"transaction {first['transaction_id']}" if first["transaction_id"] else f"account {first['bn15']}"
    more = f", and {offenders.num_rows - 1:,} more" if offenders.num_rows > 1 else ""
    raise DataError(
        f"the statements of {period} are not published: {first['problem']} ({place}{more}), though its account was "
        "parked; look at the month's rows of that account in the lake"
    )


# Telling


def count_parked(accounts: pa.Table) -> dict[str, int]:
    """How many accounts there are by ``reason``, in the order of the words."""
    return dict(sorted(Counter(accounts.column("reason").to_pylist()).items()))


def parked_in(lake: Lake, period: Period) -> dict[str, int]:
    """How many accounts a month parked, by reason."""
    return count_parked(pq.read_table(lake.file("parked", period), columns=["reason"]))


def tell_reasons(counts: Mapping[str, int]) -> str:
    """Words and numbers in one line: ``account_not_published 2, chain_is_broken 1``."""
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.items())


def retry(period: Period, *, is_issued: bool) -> str:
    """How the parked accounts of a month get their statements once what was wrong is mended."""
    if is_issued:
        return f"trigger carm_restate for {period} with the act issue_parked"
    return f"run {period} again"


def why_parked(bn15: str, period: Period, reason: str, *, is_issued: bool) -> str:
    """Why the account has no statement for the month, and what to do, in one sentence."""
    known = REASONS[reason]
    return (
        f"account {bn15} has no statement for {period}: it is parked ({reason}), for {known.meaning}; {known.mend}, "
        f"then {retry(period, is_issued=is_issued)}"
    )


def parked_lines(period: str, counts: Mapping[str, int], again: str) -> Iterable[str]:
    """What a month says about its parked accounts, in 100 columns; nothing where there is none."""
    if not counts:
        return
    yield f"Parked in {period}, without a statement: {tell_count(sum(counts.values()), 'account')}"
    for reason, count in counts.items():
        yield f"  {reason:<25} {count:>9,}  {REASONS[reason].meaning}"
    yield f"  What to mend is told by carm statement BN15 --period {period}"
    yield f"  Then {again}"
