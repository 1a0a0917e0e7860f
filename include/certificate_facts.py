"""What a certificate tells of a month: gathered from what is sealed and recorded when a run closes it.

Two parts. ``month`` is what the month is: a later run that finds all of it the same writes no new certificate.
``moment`` is what was so when the certificate was written and goes on to change, or depends on who ran it: the outbox,
the head of the audit chain, the code. Counts, hashes, names of users and sums over all accounts; nothing about one
account.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import func, select

from include import engine
from include.audit import chain_head
from include.carm.period import Period
from include.certificate import find_certificate
from include.certificate_checks import prove_month, register_month
from include.certificate_versions import describe_versions
from include.coverage import COVERED, coverage_grid, coverage_id, gap_stretches
from include.feeds import ACCOUNTS, DELEGATIONS, LEDGER_FEEDS, WEBINARS
from include.journal import count_outcomes
from include.operations_plan_tables import APPROVALS, AUDIT_CHAIN, PLANS
from include.operations_statement_tables import STATEMENT_ACTS, STATEMENT_REGISTRY
from include.outbox import count_messages
from include.statement_registry import GROWING_DATASETS, is_issued
from include.statement_rendering import versions_now
from include.tellings import count_unreached

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from include.lake import Lake, Seal
    from include.workspace import Workspace

PUBLISHED_FEEDS = (ACCOUNTS, *LEDGER_FEEDS, DELEGATIONS, WEBINARS)
"""The feeds whose rows the lake has; of subscribers it has none, for they are addresses."""

SECTIONS = ("coverage", "validation", "control_totals", "decisions", "statements", "notices", "checks", "files")
"""The parts of a month that a run beside the record may find otherwise; its plan and effects are other ones anyhow."""


def describe_month(ws: Workspace, month: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    """The part ``month`` of a certificate, as JSON has it.

    ``month`` is the run's own, as :func:`include.month.open_month` gave it; of ``summary``, the month's, the counts of
    decisions, quarantined rows and parked accounts are taken.
    """
    period, lake = Period.parse(month["period"]), ws.lake(month["area"])
    with ws.operations.connect() as connection:
        facts: dict[str, Any] = {
            "days": _days(ws, period),
            "effects": month["effects"],
            "issued": is_issued(connection, period),
            "coverage": _coverage(ws, period),
            "validation": _validation(ws, period, summary),
            "decisions": summary["decisions"],
            "plan": describe_plan(connection, lake, period, month["effects"]),
            "notices": _notices(lake, period),
            "files": describe_files(ws, period, month["area"]),
        }
    with ws.spill_folder() as spill, closing(engine.connect(spill_folder=spill)) as con:
        register_month(con, lake, period)
        facts["control_totals"] = _control_totals(ws, con)
        (statements,) = engine.run_table(con, "select_certificate_statements").to_pylist()
        facts["statements"] = statements
        facts["checks"] = prove_month(ws, con, lake, period, facts)
    facts["statements"] = {
        **{name: value for name, value in statements.items() if not name.startswith("wrong_")},
        "parked": [{"reason": reason, "accounts": accounts} for reason, accounts in summary["parked"].items()],
        "made_with": _made_with(ws, period, month["area"], is_issued=facts["issued"]),
    }
    found: dict[str, Any] = json.loads(json.dumps({name: facts[name] for name in _ORDER}, default=str))
    return found


_ORDER = (
    *("days", "effects", "issued", "coverage", "validation", "control_totals", "decisions", "plan", "statements"),
    *("notices", "checks", "files"),
)


def describe_moment(ws: Workspace, month: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The part ``moment`` of a certificate; ``found`` is its part ``month``."""
    period = Period.parse(month["period"])
    with ws.operations.connect() as connection:
        moment: dict[str, Any] = {
            "run_id": month["run_id"],
            "outbox": count_messages(connection, str(period)),
            # A shadow run owes nobody a notice.
            "unreached": count_unreached(connection, str(period)) if month["effects"] == "live" else None,
            "statement_acts": count_acts(connection, period),
            "audit_chain": describe_chain(connection),
        }
    moment["versions"] = describe_versions()
    moment["record"] = _compared_with_record(ws, period, found) if month["area"] != "lake" else None
    return moment


# The parts that are also looked at later, to tell what has changed since


def describe_plan(connection: Connection, lake: Lake, period: Period, effects: str) -> dict[str, Any] | None:
    """The plan that was made of the month's sealed decisions, and what became of it; None where none is on record."""
    told = _find_plan_link(connection, lake, period, effects)
    if told is None:
        return None
    plan_hash, facts = told
    this = (PLANS.c.plan_hash == plan_hash) & (PLANS.c.effects == facts["effects"])
    row = connection.execute(select(PLANS).where(this)).mappings().one_or_none()
    if row is None:
        return None
    names = (
        *("plan_hash", "effects", "state", "reason", "open_accounts", "changes", "approval"),
        *("applied_count", "dropped_count", "coverage_id", "rules_version", "policy_version"),
    )
    is_live = facts["effects"] == "live"
    margins = [{**margin, "margin": margin["allowed"] - margin["changes"]} for margin in json.loads(row["margins"])]
    return {
        **{name: row[name] for name in names},
        "rules_sha256": facts["rules_sha256"],
        "counts": json.loads(row["counts"]),
        "margins": margins,
        "answer": _last_answer(connection, plan_hash) if is_live else None,
        "outcomes": count_outcomes(connection, plan_hash) if is_live else {},
    }


def _find_plan_link(
    connection: Connection, lake: Lake, period: Period, effects: str
) -> tuple[str, dict[str, Any]] | None:
    """The plan whose link names the sealed file of decisions: its hash, and what the link told last."""
    sealed = {seal.sha256 for seal in _seals_of(lake, period) if seal.dataset == "account_decisions"}
    query = select(AUDIT_CHAIN.c.subject, AUDIT_CHAIN.c.facts).where(AUDIT_CHAIN.c.event == "plan")
    links = [(row.subject, json.loads(row.facts)) for row in connection.execute(query.order_by(AUDIT_CHAIN.c.link_no))]
    found = [link for link in links if link[1]["period"] == str(period) and link[1]["decisions_sha256"] in sealed]
    return max(enumerate(found), key=lambda each: (each[1][1]["effects"] == effects, each[0]))[1] if found else None


def _last_answer(connection: Connection, plan_hash: str) -> dict[str, str] | None:
    """The last answer that counts: what was decided, by whom and when."""
    answers = select(APPROVALS).where(APPROVALS.c.plan_hash == plan_hash, APPROVALS.c.decision != "refused")
    last = connection.execute(answers.order_by(APPROVALS.c.approval_no.desc()).limit(1)).first()
    if last is None:
        return None
    return {"decision": last.decision, "decided_by": last.decided_by, "decided_at": last.decided_at}


def describe_files(ws: Workspace, period: Period, area: str) -> list[dict[str, Any]]:
    """The sealed files of the month by their names: those of the record, or what a run beside it made in their place.

    Files that may grow after a month is closed are left out: links of their own tell of them (ADR 0080).
    """
    seals = {seal.dataset: seal for seal in _seals_of(ws.lake(area), period)}
    return [
        {"dataset": dataset, "rows": seals[dataset].rows, "sha256": seals[dataset].sha256}
        for dataset in sorted(seals.keys() - set(GROWING_DATASETS))
    ]


def _seals_of(lake: Lake, period: Period) -> list[Seal]:
    """The seals of the month; in a shadow lake those of the record for what it has not computed itself."""
    from include.lake import Lake

    record = Lake(lake.data, lake.engine).seals() if lake.area != "lake" else []
    of_month = {seal.dataset: seal for seal in [*record, *lake.seals()] if seal.period == str(period)}
    return list(of_month.values())


def count_acts(connection: Connection, period: Period) -> dict[str, int]:
    """How many statements of the month persons restated, withdrew, or issued late."""
    acts = STATEMENT_ACTS.c
    query = select(acts.act, func.count().label("statements")).where(acts.period == str(period))
    grouped = query.group_by(acts.act).order_by(acts.act)
    return {row.act: row.statements for row in connection.execute(grouped)}


def describe_chain(connection: Connection) -> dict[str, Any]:
    """The head of the audit chain and how many links it has."""
    links = connection.execute(select(func.count()).select_from(AUDIT_CHAIN)).scalar_one()
    return {"head": chain_head(connection), "links": links}


# The other parts


def _days(ws: Workspace, period: Period) -> dict[str, str]:
    calendar = ws.calendar
    days = {
        "start": calendar.start(period),
        "end": calendar.end(period),
        "as_of": calendar.as_of(period),
        "effective_on": calendar.effective_on(period),
        "issued_on": calendar.issued_on(period),
        "due_on": calendar.due_on(period),
    }
    return {name: day.isoformat() for name, day in days.items()}


def _coverage(ws: Workspace, period: Period) -> dict[str, Any]:
    grid = coverage_grid(ws, period)
    feeds = []
    for feed in dict.fromkeys(row["feed"] for row in grid):
        months = [row for row in grid if row["feed"] == feed]
        words = Counter(row["word"] for row in months)
        feeds.append(
            {
                "feed": feed,
                "months": len(months),
                **{word: words[word] for word in COVERED},
                "gaps": [_gap(stretch) for stretch in gap_stretches(months)],
            }
        )
    return {
        "coverage_id": coverage_id(ws, period),
        "window": {"from": grid[0]["period"], "to": grid[-1]["period"]},
        "feeds": feeds,
    }


def _gap(stretch: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first, last = stretch[0], stretch[-1]
    return {"word": first["word"], "from": first["period"], "to": last["period"], "months": len(stretch)}


def _validation(ws: Workspace, period: Period, summary: Mapping[str, Any]) -> dict[str, Any]:
    rows = {seal.dataset: seal.rows for seal in ws.lake().seals() if seal.period == str(period)}
    return {
        "published": [{"feed": feed.name, "rows": rows.get(feed.name)} for feed in PUBLISHED_FEEDS],
        "quarantined": [
            {"feed": row["dataset"], "reason": row["reason"], "rows": row["row_count"]} for row in summary["quarantine"]
        ],
    }


def _control_totals(ws: Workspace, con: Any) -> list[dict[str, Any]]:
    first = ws.lake().periods("transactions")[0]
    rows = engine.run_table(con, "select_certificate_totals", None, {"first_period": str(first)}).to_pylist()
    totals = {row.pop("dataset"): row for row in rows}
    names = [feed.name for feed in LEDGER_FEEDS if feed.name in totals]
    return [{"feed": name, "first_period": str(first), **totals[name]} for name in names]


def _made_with(ws: Workspace, period: Period, area: str, *, is_issued: bool) -> list[dict[str, Any]]:
    """Which templates, texts and typesetter made the documents: of an issued month as its registry tells."""
    if area != "lake" or not is_issued:
        return [dict(versions_now())]
    registry = STATEMENT_REGISTRY.c
    columns = (registry.template_version, registry.locale_version, registry.typesetter_version)
    query = select(*columns).distinct().where(registry.period == str(period), registry.act_no.is_(None))
    with ws.operations.connect() as connection:
        return [dict(row) for row in connection.execute(query.order_by(*columns)).mappings()]


def _notices(lake: Lake, period: Period) -> list[dict[str, Any]] | None:
    """How many notices of the month were rendered, by kind; None where the month has none on record."""
    if not lake.has("notices", period):
        return None
    kinds = pq.read_table(lake.file("notices", period), columns=["kind"]).column("kind")
    counts = {row["values"]: row["counts"] for row in pc.value_counts(kinds).to_pylist()}
    return [{"kind": kind, "messages": counts[kind]} for kind in sorted(counts)]


def _compared_with_record(ws: Workspace, period: Period, found: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record's certificate, and the parts in which a run beside it finds the month otherwise; None without one."""
    record = find_certificate(ws, period)
    if record is None:
        return None
    told = record.content["month"]
    return {
        "version": record.version,
        "sha256": record.sha256["json"],
        "differs_in": [name for name in SECTIONS if _comparable(name, found) != _comparable(name, told)],
    }


def _comparable(name: str, month: Mapping[str, Any]) -> Any:
    if name == "checks":
        # Whether anything was issued is no question of what was found.
        return [check for check in month[name] if check["check"] != "issue"]
    if name == "statements":
        return {key: value for key, value in month[name].items() if key != "made_with"}
    return month[name]
