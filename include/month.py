"""A month from its first step to its last: may it run, with which effects, and what it left behind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from shutil import rmtree
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select

from include import statement_registry
from include.backfill_approvals import require_approved
from include.carm.counts import tell_count
from include.carm.errors import Refused, UsageError
from include.carm.period import Period
from include.database import write_transaction
from include.month_locks import require_unlocked
from include.operations import migrate
from include.operations_plan_tables import ACCOUNT_CHANGES, PLANS
from include.operations_schema import PERIOD_LOCKS
from include.operations_statement_tables import ISSUED_MONTHS
from include.outbox import count_messages
from include.tellings import count_unreached
from include.working_folders import sweep_spills

if TYPE_CHECKING:
    from include.lake import Lake
    from include.workspace import Workspace

EFFECTS = ("auto", "live", "shadow")


def is_issued(ws: Workspace, period: Period) -> bool:
    """Whether the month's statements were issued by a live run."""
    with ws.operations.connect() as connection:
        return statement_registry.is_issued(connection, period)


def newest_issued(ws: Workspace) -> Period | None:
    """The newest month that was issued, or None before the first live run."""
    with ws.operations.connect() as connection:
        newest = connection.execute(select(func.max(ISSUED_MONTHS.c.period))).scalar()
    return Period.parse(newest) if newest else None


def open_month(
    ws: Workspace,
    period: Period,
    effects: str,
    run_id: str,
    run_type: str,
    is_run_active: Callable[[str], bool],
) -> dict[str, Any]:
    """Decide whether the month may run and with which effects, and lock it for this run.

    Returns ``{"period", "effects", "area", "run_id"}``, which every later step takes. ``effects`` becomes ``live``
    or ``shadow``; ``area`` is ``shadow`` for a month that was issued and closed, whose record is never written again.
    One that was issued by a live run which then ended early is completed by the next live run: it owes its notices.
    ``is_run_active`` tells of a run id whether that run still works: a lock of a dead run is taken over.

    Raises ``Refused`` when another run works on the month, or a live run would come out of order.
    """
    if effects not in EFFECTS:
        raise UsageError(f"effects '{effects}' is none of {', '.join(EFFECTS)}")
    ws.calendar.window(period)
    # Wherever the Dags run, the tables are there: a deployment has no other first step.
    migrate(ws.apply_url)
    resolved = resolve_effects(ws, period, effects, run_type)
    if resolved == "live" and (reason := why_out_of_order(period, newest_issued(ws))):
        raise Refused(reason)
    if not is_issued(ws, period):
        # Of an issued month nothing is extracted anew, and what a run computes of it lies beside the record.
        with ws.operations.connect() as connection:
            require_unlocked(connection, period)
    dead_run = lock_month(ws, period, run_id, is_run_active)
    if dead_run is not None:
        _clear_staging(ws, dead_run, but_of=run_id)
    sweep_spills(ws.data / "work")
    area = "shadow" if _is_on_record(ws, period, resolved) else "lake"
    month = {"period": str(period), "effects": resolved, "area": area, "run_id": run_id}
    folder = ws.staging(run_id, "month")
    folder.mkdir(parents=True, exist_ok=True)
    before = {
        "files": _sealed_hashes(ws.lake(), period),
        "changes": _applied_changes(ws, period),
        "issued": is_issued(ws, period),
    }
    # A cleared first task must not take what its own run wrote for the state before the run.
    if not (folder / "before.json").exists():
        (folder / "before.json").write_text(json.dumps(before), encoding="utf-8")
    return month


def _is_on_record(ws: Workspace, period: Period, effects: str) -> bool:
    """Whether what a run with these ``effects`` makes of the month lies beside the record."""
    with ws.operations.connect() as connection:
        if not statement_registry.is_issued(connection, period):
            return False
        return effects != "live" or statement_registry.is_closed(connection, period)


def resolve_effects(ws: Workspace, period: Period, effects: str, run_type: str) -> str:
    """``live`` or ``shadow``: what was asked for, or where that is ``auto`` what the run and the source call for.

    Raises ``Refused`` for a backfill that is to be live, where nobody approved that.
    """
    if effects == "live" and run_type == "backfill":
        require_approved(ws, period)
    if effects != "auto":
        return effects
    if run_type == "scheduled":
        return "live"
    if run_type == "backfill":
        return "shadow"
    from include.source_schema import demo_world

    newest = newest_issued(ws)
    return "live" if demo_world(ws.source) and (newest is None or newest <= period) else "shadow"


def why_out_of_order(period: Period, newest: Period | None) -> str | None:
    """Why the month cannot run live while ``newest`` is the newest issued one; None where it can."""
    if newest is None or period in (newest, newest.next()):
        return None
    if period < newest:
        return (
            f"{period} cannot run live: {newest} was issued after it; run it with effects=shadow to compare, and put "
            "right what is wrong by a posting in the open month"
        )
    return f"{period} cannot run live before {newest.next()} is issued: run {newest.next()} first"


def lock_month(ws: Workspace, period: Period, run_id: str, is_run_active: Callable[[str], bool]) -> str | None:
    """Lock the month for a run. Returns the run whose lock was taken over, as it no longer works, if there was one.

    Raises ``Refused`` where another run works on the month.
    """
    # Asked before the transaction: the answer may take a while, and a writer lets nobody else write meanwhile.
    with ws.operations.connect() as connection:
        query = select(PERIOD_LOCKS.c.run_id).where(PERIOD_LOCKS.c.period == str(period))
        holder = connection.execute(query).scalar()
    if holder is not None and holder != run_id and is_run_active(holder):
        raise Refused(f"{period} is being worked on by run {holder}: wait until it ends, then clear this task")
    with write_transaction(ws.operations) as connection:
        now = connection.execute(query).scalar()
        if now not in (None, run_id, holder):
            raise Refused(f"{period} is being worked on by run {now}: wait until it ends, then clear this task")
        connection.execute(delete(PERIOD_LOCKS).where(PERIOD_LOCKS.c.period == str(period)))
        connection.execute(insert(PERIOD_LOCKS).values(period=str(period), run_id=run_id))
    return None if holder == run_id else holder


def _clear_staging(ws: Workspace, run_id: str, *, but_of: str | None = None) -> None:
    """Remove what a run staged, but not what the month was before it.

    That stays for a task of the run that is cleared later, which then gives the same answer. A run ``but_of`` that
    works in the same folder, as its id is written alike, keeps what it has.
    """
    folder = ws.staging(run_id, "month").parent
    if not folder.is_dir() or (but_of is not None and ws.staging(but_of, "month").parent == folder):
        return
    plan = folder / "extract" / "plan.json"
    # It stays too: by it a task that is cleared later is told that others came between, and is no task without work.
    kept = plan.read_bytes() if plan.exists() else None
    for step in folder.iterdir():
        if step.name != "month":
            rmtree(step, ignore_errors=True)
    if kept is not None:
        plan.parent.mkdir()
        plan.write_bytes(kept)


def release_month(ws: Workspace, month: dict[str, Any]) -> None:
    """Give the month's lock back, when this run still holds it."""
    with write_transaction(ws.operations) as connection:
        connection.execute(
            delete(PERIOD_LOCKS).where(
                PERIOD_LOCKS.c.period == month["period"], PERIOD_LOCKS.c.run_id == month["run_id"]
            )
        )


def _sealed_hashes(lake: Lake, period: Period) -> dict[str, str]:
    return {seal.dataset: seal.sha256 for seal in lake.seals() if seal.period == str(period)}


def _applied_changes(ws: Workspace, period: Period) -> int:
    with ws.operations.connect() as connection:
        query = (
            select(func.count())
            .select_from(ACCOUNT_CHANGES)
            .where(ACCOUNT_CHANGES.c.period == str(period), ACCOUNT_CHANGES.c.outcome == "applied")
        )
        return int(connection.execute(query).scalar_one())


def close_month(ws: Workspace, month: dict[str, Any]) -> dict[str, Any]:
    """Write the month's certificate and summary (``summaries/``), release its lock and clear its working files.

    The summary holds counts, sums over all accounts, hashes and places, and nothing about one account. ``result`` is
    ``unchanged`` when the run left every file of the month as it was and changed no account, else ``done``. Raises
    ``DataError`` where a proof of the certificate does not hold: it is written and says so, but the month stays open.
    """
    _refuse_replaced(ws, Period.parse(month["period"]))
    summary = _close(ws, month, summarise(ws, month))
    release_month(ws, month)
    _clear_staging(ws, month["run_id"])
    return summary


def close_again(ws: Workspace, month: dict[str, Any]) -> dict[str, Any]:
    """Write certificate and summary of a closed month anew, after its plan was applied late, and give its lock back.

    It stays the summary of the run that made the month, with what has come of its plan since.
    """
    _refuse_replaced(ws, Period.parse(month["period"]))
    before = read_summary(ws, Period.parse(month["period"]), month["area"])
    summary = summarise(ws, {**month, "run_id": before["run_id"] if before else month["run_id"]})
    summary = _close(ws, month, summary)
    release_month(ws, month)
    return summary


def _refuse_replaced(ws: Workspace, period: Period) -> None:
    """Raise ``DataError`` where a file of a month that was closed before is another one now."""
    with ws.operations.connect() as connection:
        if statement_registry.is_closed(connection, period):
            statement_registry.tell_seals(connection, str(period))


def _close(ws: Workspace, month: dict[str, Any], summary: dict[str, Any]) -> dict[str, Any]:
    """Write the certificate, close an issued month, and write the summary, which names the head that tells of both.

    The certificate comes first: a run that dies before the month is closed is completed by the next one.
    """
    from include.certificate_step import publish_certificate, require_proved

    certificate = publish_certificate(ws, month, summary)
    require_proved(certificate, month["period"])
    with write_transaction(ws.operations) as connection:
        if statement_registry.is_issued(connection, Period.parse(month["period"])):
            statement_registry.tell_seals(connection, month["period"])
    whole = {**summary, "certificate": certificate, "audit_chain_head": _chain_head(ws)}
    _write_summary(ws, whole)
    return whole


def _write_summary(ws: Workspace, summary: dict[str, Any]) -> None:
    folder = ws.data / "summaries" if summary["area"] == "lake" else ws.data / "shadow" / "summaries"
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{summary['period']}.{os.getpid()}.json"
    fresh.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(folder / f"period={summary['period']}.json")


def summarise(ws: Workspace, month: dict[str, Any]) -> dict[str, Any]:
    """What :func:`close_month` writes: see there."""
    from include import engine

    period = Period.parse(month["period"])
    record, lake = ws.lake(), ws.lake(month["area"])
    before_file = ws.staging(month["run_id"], "month") / "before.json"
    before = json.loads(before_file.read_text(encoding="utf-8")) if before_file.exists() else {"files": {}}
    files = _sealed_hashes(record, period)
    if month["area"] == "shadow":
        # What was told is no question of what a run comes to: a message that was called off is told beside the record.
        beside = _sealed_hashes(lake, period)
        files |= {name: beside[name] for name in beside.keys() - set(statement_registry.GROWING_DATASETS)}
    changed = sorted(name for name in files if before["files"].get(name) != files[name])
    applied = _applied_changes(ws, period)
    acts_before = (before.get("changes"), before.get("issued"))
    is_unchanged = bool(before["files"]) and not changed and acts_before == (applied, is_issued(ws, period))
    # Where nothing changed, the record is what a person should open, not this run's copy.
    place = lake if changed else record
    with engine.connect() as con:
        read = (
            "account_decisions",
            "statements",
            "statement_lines",
            "interest",
            "parked",
            "quarantine",
            "control_totals",
        )
        for dataset in read:
            engine.register(con, dataset, [lake.file(dataset, period)])
        figures = {
            name: engine.run_table(con, f"select_summary_of_{name}").to_pylist()
            for name in ("decisions", "statements", "interest", "parked", "quarantine", "control_totals")
        }
    return {
        "period": month["period"],
        "effects": month["effects"],
        "area": month["area"],
        "run_id": month["run_id"],
        "result": "unchanged" if is_unchanged else "done",
        "changed_files": changed,
        "as_of": ws.calendar.as_of(period).isoformat(),
        "decisions": figures["decisions"],
        "quarantine": figures["quarantine"],
        "statements": figures["statements"][0],
        "interest": figures["interest"][0],
        "parked": {row["reason"]: row["accounts"] for row in figures["parked"]},
        "control_totals": figures["control_totals"],
        "notices": _notice_counts(lake, period),
        "unreachable_notices": _unreachable_counts(ws, month),
        # When the month was closed: what is sent is sent after it.
        "outbox": count_outbox(ws, period),
        "plan": _plan_of(ws, month),
        "applied_changes": applied,
        "dormancy_horizon": _horizon(lake, period),
        "issued": is_issued(ws, period),
        # Printed, so that a copy lies outside the database: a chain that was written anew has another head.
        "audit_chain_head": _chain_head(ws),
        "hashes": files,
        "places": {
            "lake": str(place.root),
            "documents": str(ws.documents(place.area)),
            "data_docs": str(ws.data / "data_docs" / "index.html"),
        },
    }


def _notice_counts(lake: Lake, period: Period) -> dict[str, int]:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    counts: dict[str, int] = {}
    for dataset in ("notices", "webinar_notices", "quarterly_notices"):
        if lake.has(dataset, period):
            kinds = pq.read_table(lake.file(dataset, period), columns=["kind"]).column("kind")
            counts |= {row["values"]: row["counts"] for row in pc.value_counts(kinds).to_pylist()}
    return dict(sorted(counts.items()))


def _unreachable_counts(ws: Workspace, month: dict[str, Any]) -> dict[str, int]:
    """How many notices that the month owed reach nobody, by kind; a shadow run owes none."""
    if month["effects"] != "live":
        return {}
    with ws.operations.connect() as connection:
        return count_unreached(connection, month["period"])


def count_outbox(ws: Workspace, period: Period | None) -> dict[str, dict[str, int]]:
    """How many messages of a month, or of all, are in which state, by kind."""
    counts: dict[str, dict[str, int]] = {}
    with ws.operations.connect() as connection:
        for row in count_messages(connection, None if period is None else str(period)):
            counts.setdefault(row["kind"], {})[row["state"]] = row["messages"]
    return counts


def outbox_states(outbox: dict[str, dict[str, int]]) -> dict[str, int]:
    """How many messages of all kinds are in which state; the states that a person looks for are there even with 0."""
    states = dict.fromkeys(("planned", "sent", "failed", "unknown", "suppressed"), 0)
    for by_state in outbox.values():
        for state, messages in by_state.items():
            states[state] = states.get(state, 0) + messages
    return states


def _horizon(lake: Lake, period: Period) -> dict[str, int]:
    """Open accounts that reach four years without activity in each of the next months, all program types together."""
    import pyarrow.parquet as pq

    accounts: dict[str, int] = {}
    if lake.has("dormancy_horizon", period):
        for row in pq.read_table(lake.file("dormancy_horizon", period), partitioning=None).to_pylist():
            accounts[row["month"]] = accounts.get(row["month"], 0) + row["accounts"]
    return accounts


def _chain_head(ws: Workspace) -> str | None:
    from include.audit import chain_head

    with ws.operations.connect() as connection:
        return chain_head(connection)


def _plan_of(ws: Workspace, month: dict[str, Any]) -> dict[str, Any] | None:
    plan = PLANS.c
    columns = (plan.plan_hash, plan.state, plan.reason, plan.open_accounts, plan.changes, plan.approval)
    with ws.operations.connect() as connection:
        query = select(*columns).where(PLANS.c.period == month["period"], PLANS.c.effects == month["effects"])
        # The plan that this run made, or made again: the last one written for the month.
        row = connection.execute(query.order_by(PLANS.c.run_id == month["run_id"])).mappings().all()
    return dict(row[-1]) if row else None


def read_summary(ws: Workspace, period: Period, area: str) -> dict[str, Any] | None:
    """The summary that the last run of the month wrote in ``area``, or None."""
    folder = ws.data / "summaries" if area == "lake" else ws.data / "shadow" / "summaries"
    path = folder / f"period={period}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """The summary as a person reads it at the end of ``make run``, one text line each."""
    from include.carm.money import format_money
    from include.parking import parked_lines, retry

    def cents(value: int) -> str:
        return format_money(value, "en")

    statements, plan = summary["statements"], summary["plan"]
    lines = [f"Statement month {summary['period']} as of {summary['as_of']}, effects {summary['effects']}"]
    lines.append("Decisions")
    lines += [f"  {row['action']:<10} {row['reason']:<24} {row['accounts']:>9,}" for row in summary["decisions"]]
    quarantined = sum(row["row_count"] for row in summary["quarantine"])
    lines.append(f"Quarantined rows of the month: {quarantined:,}")
    lines += [f"  {row['dataset']:<20} {row['reason']:<24} {row['row_count']:>9,}" for row in summary["quarantine"]]
    lines.append(
        f"Statements: {statements['statements']:,} with {statements['line_count']:,} lines; opening "
        f"{cents(statements['opening_cents'])} + debits {cents(statements['debits_cents'])} - credits "
        f"{cents(statements['credits_cents'])} = closing {cents(statements['closing_cents'])}"
    )
    again = retry(Period.parse(summary["period"]), is_issued=summary["issued"])
    # A summary of an earlier release says nothing of them.
    lines += parked_lines(summary["period"], summary.get("parked", {}), again)
    interest = summary["interest"]
    lines.append(
        f"Interest on overdue amounts: calculated {cents(interest['calculated_cents'])} for "
        f"{tell_count(interest['accounts'], 'account')}, posted {cents(interest['posted_cents'])}, difference "
        f"{cents(interest['difference_cents'])}"
    )
    if interest["missing_quarters"]:
        lines.append(
            f"  Left out for want of a prescribed rate ({interest['missing_quarters']}): "
            f"{tell_count(interest['accounts_without_rate'], 'account')}; add it to include/config/interest.yaml"
        )
    notices = ", ".join(f"{kind} {count:,}" for kind, count in summary["notices"].items())
    lines.append(f"Notices: {notices or 'none'}")
    # A summary of an earlier release says nothing of them.
    unreachable = summary.get("unreachable_notices", {})
    if unreachable:
        told = ", ".join(f"{kind} {count:,}" for kind, count in unreachable.items())
        folder = f"{summary['places']['documents']}/notices/period={summary['period']}"
        lines.append(f"  Owed, and reaching nobody: {told}; see {folder}/unreachable.csv")
    if "outbox" in summary:
        states = ", ".join(f"{state} {count:,}" for state, count in outbox_states(summary["outbox"]).items())
        lines.append(f"Outbox of {summary['period']}: {states}")
    lines.append("Control totals: source rows up to the period's end = published + quarantined + brought forward")
    lines += [
        f"  {row['dataset']:<20} {row['row_count']:>12,} rows  {cents(row['sum_cents']):>22}"
        for row in summary["control_totals"]
    ]
    if plan is not None:
        lines.append(
            f"Plan {plan['plan_hash'][:12]}: {plan['changes']:,} changes of {plan['open_accounts']:,} open accounts, "
            f"{plan['state']} ({summary['applied_changes']:,} applied). {plan['reason']}"
        )
        if plan["state"] == "held" or (plan["state"] == "ready" and plan["approval"] == "needed"):
            lines.append(f"  It waits for a person: carm plan show {plan['plan_hash'][:12]}, then carm_apply_plan")
    if summary["dormancy_horizon"]:
        months = ", ".join(f"{month} {accounts:,}" for month, accounts in summary["dormancy_horizon"].items())
        lines.append(f"Dormancy horizon, if nothing more happens: {months}")
    issued = "issued" if summary["issued"] else "not issued (shadow)"
    lines.append(f"Statements are {issued}. Documents: {summary['places']['documents']}")
    lines.append(f"Data: {summary['places']['lake']}  Data Docs: {summary['places']['data_docs']}")
    # A summary of an earlier release says nothing of it.
    if certificate := summary.get("certificate"):
        lines.append(_certificate_line(certificate))
    if summary["audit_chain_head"]:
        lines.append(f"Audit chain head: {summary['audit_chain_head']}")
    return lines


def _certificate_line(certificate: dict[str, Any]) -> str:
    checks = ", ".join(f"{number} {_CHECK_WORDS[result]}" for result, number in certificate["checks"].items() if number)
    as_before = "" if certificate["is_new"] else ", as it was"
    return (
        f"Certificate, version {certificate['version']}{as_before}: of its checks {checks}; "
        f"{certificate['folder']}/certificate.html"
    )


_CHECK_WORDS = {"holds": "hold", "does_not_hold": "do not hold", "not_checked": "could not be made"}
