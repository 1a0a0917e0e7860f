"""Notices that are owed: written with the change that causes them, settled by the step that writes the notices.

So no change can be made, and no statement be issued, of which nobody is told and nobody knows that nobody was told.
Every function takes the connection of the transaction that it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, bindparam, case, cast, exists, func, insert, literal, or_, select, update

from include.carm.errors import DataError
from include.database import in_slices
from include.operations_notice_tables import NOTICE_INTENTS
from include.operations_plan_tables import ACCOUNT_CHANGES, REINSTATEMENTS

if TYPE_CHECKING:
    from datetime import date

    from sqlalchemy.engine import Connection

_ROWS_AT_ONCE = 5_000

Told = tuple[str, str, int]
"""What identifies a notice but for whom it goes to: kind, what it is about, version."""


def about_statement(bn15: str, period: object) -> str:
    """What the notice of a statement is about."""
    return f"{bn15}/{period}"


def about_act(act: str, bn15: str, period: object) -> str:
    """What the notice of an act about a statement is about; a version that it issued is told as any other version."""
    return f"{about_statement(bn15, period)}/withdrawn" if act == "withdraw" else about_statement(bn15, period)


def owe_statements(connection: Connection, period: str, statements: Iterable[tuple[str, int]], run_id: str) -> None:
    """The notices of a month's statements (account and version), owed from the moment they are issued."""
    common = {"kind": "statement", "period": period, "cause": f"issue {period}", "state": "owed", "run_id": run_id}
    rows: list[dict[str, Any]] = []
    for bn15, version in statements:
        rows.append({**common, "about": about_statement(bn15, period), "version": version, "bn15": bn15})
        if len(rows) == _ROWS_AT_ONCE:
            connection.execute(insert(NOTICE_INTENTS), rows)
            rows = []
    if rows:
        connection.execute(insert(NOTICE_INTENTS), rows)


def owe_changes(connection: Connection, plan_hash: str, period: str, effective_on: date, run_id: str) -> None:
    """The notices of what a plan changed, and of the closures that it announced."""
    change = ACCOUNT_CHANGES.c
    came_true = change.outcome.in_(("applied", "announced"))
    _owe_journalled(connection, plan_hash, period, effective_on, run_id, came_true)


def owe_confirmed(connection: Connection, plan_hash: str, period: str, run_id: str) -> None:
    """The notices of changes handed over before, which the register confirmed in ``period``."""
    change = ACCOUNT_CHANGES.c
    of_plan = select(change.effective_on).where(change.plan_hash == plan_hash).limit(1)
    effective_on = connection.execute(of_plan).scalar_one()
    came_true = (change.outcome == "confirmed") & (change.settled_in == period)
    _owe_journalled(connection, plan_hash, period, effective_on, run_id, came_true)


def _owe_journalled(
    connection: Connection, plan_hash: str, period: str, effective_on: date, run_id: str, came_true: Any
) -> None:
    change, intent = ACCOUNT_CHANGES.c, NOTICE_INTENTS.c
    day = effective_on.isoformat()
    about = case(
        (change.action == "convert", change.bn15 + f"/{day}/" + func.coalesce(change.new_program_type, "")),
        (change.action == "candidate", change.bn15 + f"/{period}"),
        else_=change.bn15 + f"/{day}",
    )
    kind = case(
        (change.action == "convert", "conversion"), (change.action == "candidate", "closure_coming"), else_="closure"
    )
    columns = {
        intent.kind: kind.label("kind"),
        intent.about: about.label("about"),
        intent.version: literal(1).label("version"),
        intent.bn15: change.bn15,
        intent.period: literal(period),
        intent.cause: literal(f"plan {plan_hash}"),
        intent.state: literal("owed"),
        intent.run_id: literal(run_id),
    }
    owed = select(*columns.values()).where(change.plan_hash == plan_hash, came_true)
    # Another plan of the same month may have owed it before, and it may have been called off since.
    same = owed.subquery()
    is_same = (same.c.kind == intent.kind) & (same.c.about == intent.about) & (intent.version == 1)
    connection.execute(
        update(NOTICE_INTENTS)
        .where(intent.state == "called_off", exists().where(is_same))
        .values(state="owed", cause=f"plan {plan_hash}", run_id=run_id)
    )
    is_known = exists().where(intent.kind == kind, intent.about == about, intent.version == 1)
    connection.execute(insert(NOTICE_INTENTS).from_select([column.name for column in columns], owed.where(~is_known)))


def owe(connection: Connection, notice: Told, *, bn15: str, period: str, cause: str, run_id: str) -> None:
    """One notice: of an act about a statement, of an account that was opened again."""
    kind, about, version = notice
    row = {"kind": kind, "about": about, "version": version, "bn15": bn15, "period": period}
    connection.execute(insert(NOTICE_INTENTS).values(**row, cause=cause, state="owed", run_id=run_id))


def owe_reinstatements(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """The notices of counter-actions, told with the first month whose decisions know of them.

    ``rows`` are those of ``carm_reinstatements``. One account may be opened, and opened again, on the same day: the
    second is a further version.
    """
    intents = []
    for row in rows:
        about = f"{row['bn15']}/{row['effective_on'].isoformat()}"
        known = select(func.count()).where(NOTICE_INTENTS.c.kind == "reinstatement", NOTICE_INTENTS.c.about == about)
        intents.append(
            {
                "kind": "reinstatement",
                "about": about,
                "version": connection.execute(known).scalar_one() + 1,
                "bn15": row["bn15"],
                "period": row["known_from"],
                "cause": f"reinstatement {row['reinstatement_no']}",
                "state": "owed",
                "run_id": row["run_id"],
            }
        )
    for batch in in_slices(intents, _ROWS_AT_ONCE):
        connection.execute(insert(NOTICE_INTENTS), list(batch))


def record_state(connection: Connection, notices: Iterable[Told], state: str, *, was: Sequence[str]) -> None:
    """Record a state, without a reason, of those of ``notices`` that are in one of the states ``was``."""
    # One by one, for a statement that runs many times takes no list of values.
    is_one_of = or_(*(NOTICE_INTENTS.c.state == before for before in was))
    _settle(connection, update(NOTICE_INTENTS).where(_is_this(), is_one_of).values(state=state, reason=None), notices)


def settle_unreached(connection: Connection, reasons: Mapping[Told, str]) -> None:
    """Record of notices that were told, and reached nobody, why that is so."""
    for reason in sorted(set(reasons.values())):
        of_reason = [notice for notice, why in reasons.items() if why == reason]
        is_told = update(NOTICE_INTENTS).where(_is_this(), NOTICE_INTENTS.c.state == "told")
        _settle(connection, is_told.values(state="unreachable", reason=reason), of_reason)


def settle(connection: Connection, told: Iterable[Told], unreachable: Mapping[Told, str]) -> None:
    """Record of notices that are owed that they are told, or why they cannot be; of others nothing is recorded."""
    intent, is_this, told = NOTICE_INTENTS.c, _is_this(), set(told)
    is_open = update(NOTICE_INTENTS).where(is_this, intent.state != "called_off")
    _settle(connection, is_open.values(state="told", reason=None), told)
    for reason in sorted(set(unreachable.values())):
        of_reason = {notice for notice, why in unreachable.items() if why == reason and notice not in told}
        values = {"state": "unreachable", "reason": reason}
        _settle(connection, update(NOTICE_INTENTS).where(is_this, intent.state == "owed").values(**values), of_reason)


def _is_this() -> Any:
    intent = NOTICE_INTENTS.c
    return (
        (intent.kind == bindparam("its_kind"))
        & (intent.about == bindparam("its_about"))
        & (intent.version == bindparam("its_version"))
    )


def _settle(connection: Connection, statement: Any, notices: Iterable[Told]) -> None:
    rows = [{"its_kind": kind, "its_about": about, "its_version": version} for kind, about, version in sorted(notices)]
    for batch in in_slices(rows, _ROWS_AT_ONCE):
        connection.execute(statement, list(batch))


def owed_events(connection: Connection, period: str, which: Any = None) -> list[dict[str, Any]]:
    """Closures that are to come and accounts that are open again, which the month tells.

    Told ones are among them, so that the month says the same when it is run again, and those that were called off, for
    some people may have been told before (:func:`called_off_in` names them). Rows of ``kind, about, version,
    bn15, effective_on, undoes, program_type, new_program_type``; of an account that is open again ``program_type`` is
    what it was before the clean-up, and ``new_program_type`` what it had become. ``which`` is a further condition.
    """
    intent, undo, change = NOTICE_INTENTS.c, REINSTATEMENTS.c, ACCOUNT_CHANGES.c
    is_cause = intent.cause == literal("reinstatement ") + cast(undo.reinstatement_no, Text)
    of_change = (change.plan_hash == undo.plan_hash) & (change.bn15 == undo.bn15)
    columns = (intent.kind, intent.about, intent.version, intent.bn15)
    details = (undo.effective_on, undo.undoes, change.program_type, change.new_program_type)
    query = (
        select(*columns, *details)
        .outerjoin_from(NOTICE_INTENTS, REINSTATEMENTS, (undo.bn15 == intent.bn15) & is_cause)
        .outerjoin(ACCOUNT_CHANGES, of_change)
        .where(intent.kind.in_(("closure_coming", "reinstatement")))
        .where(intent.period == period if which is None else which)
        .order_by(intent.kind, intent.about, intent.version)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def require_settled(connection: Connection, period: str) -> None:
    """Prove that nothing that the month has to tell is still owed; raises ``DataError`` naming kinds and counts.

    What an act about an issued statement causes does not count: the Dag that does it tells it.
    """
    owed = still_owed(connection, period)
    if owed:
        counts = ", ".join(f"{kind} {count:,}" for kind, count in owed.items())
        raise DataError(
            f"notices of {period} are owed, and neither told nor known to reach nobody: {counts}. None of "
            "the month was put into the outbox; look in carm_notice_intents for what caused them, then run it again"
        )


def called_off_in(connection: Connection, period: str) -> frozenset[Told]:
    """The notices of the month that are not told any more, to anybody who was not told before."""
    return _notices_in(connection, period, "called_off")


def owed_in(connection: Connection, period: str) -> frozenset[Told]:
    """The notices of the month that are owed."""
    return _notices_in(connection, period, "owed")


def _notices_in(connection: Connection, period: str, state: str) -> frozenset[Told]:
    intent = NOTICE_INTENTS.c
    query = select(intent.kind, intent.about, intent.version).where(intent.period == period, intent.state == state)
    return frozenset((row.kind, row.about, row.version) for row in connection.execute(query))


def untold_causes(connection: Connection, period: str) -> frozenset[str]:
    """The causes of notices of the month that nobody was told of."""
    intent = NOTICE_INTENTS.c
    query = select(intent.cause).where(intent.period == period, intent.state.in_(("owed", "unreachable")))
    return frozenset(connection.execute(query.distinct()).scalars())


def about_change(action: str, bn15: str, effective_on: date, new_program_type: str | None) -> Told:
    """The notice of an account that a plan closed or converted, as :func:`owe_changes` writes it."""
    about = f"{bn15}/{effective_on.isoformat()}"
    if action == "convert":
        return "conversion", f"{about}/{new_program_type or ''}", 1
    return "closure", about, 1


def count_intents(connection: Connection) -> int:
    """How many notices were ever owed."""
    return int(connection.execute(select(func.count()).select_from(NOTICE_INTENTS)).scalar_one())


def notices_of_account(connection: Connection, bn15: str, period: str) -> list[dict[str, Any]]:
    """``kind, about, version, state, reason`` of what the month has to tell about one account."""
    intent = NOTICE_INTENTS.c
    columns = (intent.kind, intent.about, intent.version, intent.state, intent.reason)
    query = select(*columns).where(intent.period == period, intent.bn15 == bn15)
    ordered = query.order_by(intent.kind, intent.about, intent.version)
    return [dict(row) for row in connection.execute(ordered).mappings()]


def count_owed_of_acts(connection: Connection, period: str) -> int:
    """How many notices acts about statements of the month owe."""
    intent = NOTICE_INTENTS.c
    which = intent.period == period, intent.state == "owed", intent.cause.startswith("act ")
    return int(connection.execute(select(func.count()).select_from(NOTICE_INTENTS).where(*which)).scalar_one())


def still_owed(connection: Connection, period: str) -> dict[str, int]:
    """How many notices of the month are still owed, by kind, without those that an act about a statement causes."""
    intent = NOTICE_INTENTS.c
    is_of_act = intent.cause.startswith("act ")
    query = select(intent.kind, func.count()).where(intent.period == period, intent.state == "owed", ~is_of_act)
    return {row[0]: row[1] for row in connection.execute(query.group_by(intent.kind).order_by(intent.kind))}
