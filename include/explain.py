"""``carm explain``: the why-card of one account in one month, from what was sealed and recorded.

Everything on the card is read (facts, published rows, coverage, rule cell, records, plan, approval, journal) or decided
again by the statement that decided it (:mod:`include.what_if`); no rule is written here a second time. Amounts stand on
the card, for it goes to the person who asked at the terminal.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from sqlalchemy import Table, select

from include import engine
from include.account_rows import months_of_latest_activity
from include.carm.business_number import account_key, bare_number, require_bn15
from include.carm.counts import tell_count
from include.carm.errors import DataError, Refused
from include.carm.money import format_money
from include.carm.period import Period
from include.decide import decision_parameters, opened, register_grounds
from include.extract import open_quarantine_relations
from include.feeds import LEDGER_FEEDS, LedgerFeed
from include.lake import no_shadow_run
from include.notice_intents import notices_of_account
from include.operations_plan_tables import (
    ACCOUNT_CHANGES,
    APPROVALS,
    HOLDS,
    PLANS,
    REINSTATEMENTS,
    REVIEW_DECISIONS,
)
from include.person_records import first_end_day, tell_known_from
from include.program_type_rules import RuleTable
from include.published import Month, month_files, published_months
from include.reinstate import find_undoable
from include.status import PLAN_STATES
from include.tellings import list_unreached
from include.transaction_kinds import transaction_kinds_relation
from include.what_if import (
    Consequence,
    Supposition,
    decide_suppositions,
    suppose_absence,
    suppose_activity,
    suppose_type,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from sqlalchemy.engine import Connection

    from include.lake import Lake
    from include.workspace import Workspace

WIDTH = 100
_LABEL = 12


def _tell_money(cents: int) -> str:
    return format_money(cents, "en")


def explain(
    ws: Workspace,
    bn15: str,
    period: Period | None = None,
    area: str = "lake",
    *,
    tell_money: Callable[[int], str] = _tell_money,
) -> dict[str, Any]:
    """The decision about one account in a month (default: the newest), and all that it rests on.

    ``tell_money`` writes the amounts that stand in sentences; ``decision`` has them as cents.
    Raises ``UsageError`` for a number that is no BN15, ``DataError`` when the month (for the area ``shadow`` a shadow
    run of it) or the account has no decision.
    """
    number = require_bn15(bn15)
    lake = ws.lake(area)
    month = _decided_month(lake, period)
    table = pq.read_table(lake.file("account_decisions", month), filters=[("bn15", "=", number)])
    if not table.num_rows:
        raise DataError(_why_no_decision(ws, lake, month, number))
    decision = table.to_pylist()[0]
    with opened(ws) as con:
        register_grounds(ws, con, lake, month)
        facts = (
            con.table("account_facts").filter(f"account_key = {account_key(number)}").to_arrow_table().to_pylist()[0]
        )
        coverage = [
            {**row, "missing": row["missing"].split(",") if row["missing"] else []}
            for row in con.table("coverage").to_arrow_table().to_pylist()
        ]
        latest = _latest_activity(ws, con, month, decision)
        quarantined = _quarantined(con, ws.lake(), month, number) if facts["has_open_quarantine"] else []
        persons = _person_records(ws, month, number)
        card = {
            "bn15": number,
            "period": str(month),
            "as_of": ws.calendar.as_of(month),
            "window": [str(ws.calendar.window(month)[0]), str(month)],
            "cutoff_on": decision["cutoff_on"],
            "decision": decision,
            "rule": _rule(ws, decision["rule_id"], month),
            "latest": latest,
            "quarantined": quarantined,
            "coverage": coverage,
            "holds": _register_hold(ws, facts, month) + persons["holds"],
            "reviews": persons["reviews"],
            "undone": persons["undone"],
            "closes_in": _closes_in(ws, decision),
        }
        card["otherwise"] = [asdict(each) for each in _otherwise(ws, con, month, card, facts, tell_money)]
    card |= _what_became(ws, month, number)
    return card | _next_steps(ws, card)


def _decided_month(lake: Lake, period: Period | None) -> Period:
    months = lake.periods("account_decisions")
    if not months:
        raise DataError("no month was decided yet: run one first (make run)")
    if lake.area == "shadow":
        shadow = lake.own_periods("account_decisions")
        month = period or max(shadow, default=months[-1])
        if month not in shadow:
            raise no_shadow_run(month)
        return month
    return period or months[-1]


def _why_no_decision(ws: Workspace, lake: Lake, month: Period, number: str) -> str:
    as_of = ws.calendar.as_of(month)
    in_month = _account_status(lake, month, number)
    if in_month is not None:
        return f"{number} has no decision in {month}: it was not open on {as_of}, but {in_month}"
    if lake.has("quarantine", month):
        refused = pq.read_table(
            lake.file("quarantine", month), columns=["bn15"], filters=[("dataset", "=", "accounts")]
        )
        if number in map(bare_number, refused.column("bn15").drop_null().to_pylist()):
            return f"{number} has no decision in {month}: its row of the register stands in quarantine"
    newest = lake.periods("account_facts")[-1]
    if _account_status(lake, newest, number) is not None:
        return f"{number} has no decision in {month}: it was not in the register on {as_of}, as it is in {newest}"
    looked_in = " or ".join(str(each) for each in dict.fromkeys((month, newest)))
    return f"no account {number} is known in {looked_in}: look at the number again"


def _account_status(lake: Lake, month: Period, number: str) -> str | None:
    """The account's status on the last day of the month; None where the register had no such account."""
    file = lake.file("account_facts", month)
    rows = pq.read_table(file, columns=["status"], filters=[("bn15", "=", number)]).to_pylist()
    return (rows[0]["status"] or "without a status") if rows else None


# What the card shows, one part each.


def _latest_activity(
    ws: Workspace, con: DuckDBPyConnection, month: Period, decision: Mapping[str, Any]
) -> dict[str, Any]:
    lake, key = ws.lake(), decision["account_key"]
    for feed, months in _months_of_latest_activity(con, lake, month, decision):
        engine.register(con, f"published_{feed.name}", month_files(lake, months), like=feed.name)
    engine.register(con, "transaction_kinds", transaction_kinds_relation())
    parameters = {"account_key": key, "as_of": ws.calendar.as_of(month)}
    rows = engine.run_table(con, "select_latest_activity", None, parameters).to_pylist()
    return {
        kind: next((row for row in rows if row["activity"] == kind), None) for kind in ("import", "export", "other")
    }


def _months_of_latest_activity(
    con: DuckDBPyConnection, lake: Lake, month: Period, decision: Mapping[str, Any]
) -> list[tuple[LedgerFeed, list[Month]]]:
    """The months of each feed that hold the rows behind the account's latest activity; to read every one takes long.

    Where a revision took activity away, the rows that it left behind may stand in any month.
    """
    retracted = [label for label in lake.periods("activity_retracted") if label <= month]
    engine.register(con, "activity_retracted", lake.files("activity_retracted", retracted))
    if con.table("activity_retracted").filter(f"account_key = {decision['account_key']}").limit(1).fetchall():
        return [(feed, published_months(lake, feed, str(month))) for feed in LEDGER_FEEDS]
    names = ("account_key", "last_import_on", "last_export_on", "last_other_on")
    return months_of_latest_activity(con, lake, str(month), {name: decision[name] for name in names})


def _quarantined(con: DuckDBPyConnection, lake: Lake, month: Period, number: str) -> list[dict[str, Any]]:
    # A row without a date stands in the month of the run that read it, so every month is looked at.
    last = max(str(month), *(str(label) for label in lake.periods("quarantine")))
    for name, relation in open_quarantine_relations(lake, last).items():
        engine.register(con, name, relation)
    rows = engine.run_table(con, "select_open_ledger_quarantine").to_pylist()
    return [row for row in rows if row["bn15"] == number]


def _rule(ws: Workspace, rule_id: str | None, month: Period) -> dict[str, Any] | None:
    rules = {rule.rule_id: rule for rule in RuleTable.load().valid_on(ws.calendar.as_of(month))}
    return asdict(rules[rule_id]) if rule_id in rules else None


def _closes_in(ws: Workspace, decision: Mapping[str, Any]) -> str | None:
    """The month in which an announced closure runs its time, by the policy as it is."""
    if decision["action"] != "candidate":
        return None
    return str(Period.parse(decision["announced_in"]).plus(ws.policy.closure.notice_months))


def _register_hold(ws: Workspace, facts: Mapping[str, Any], month: Period) -> list[dict[str, Any]]:
    if facts["hold_reason"] is None:
        return []
    until = facts["hold_until"]
    return [
        {
            "by": "register",
            "no": None,
            "reason": facts["hold_reason"],
            "until": until,
            "recorded_by": None,
            "is_in_force": until is None or until >= ws.calendar.as_of(month),
        }
    ]


def _person_records(ws: Workspace, month: Period, number: str) -> dict[str, list[dict[str, Any]]]:
    """What persons recorded about the account that the month knew of, and what is to be known later."""
    as_of, now = ws.calendar.as_of(month), str(month)

    def rows(table: Table) -> list[dict[str, Any]]:
        query = select(table).where(table.c.bn15 == number).order_by(*table.primary_key.columns)
        return [dict(row) for row in connection.execute(query).mappings()]

    with ws.operations.connect() as connection:
        holds, reviews, undone = rows(HOLDS), rows(REVIEW_DECISIONS), rows(REINSTATEMENTS)
    return {
        "holds": [
            {
                "by": "person",
                "no": row["hold_no"],
                "reason": row["reason"],
                "until": row["hold_until"],
                "recorded_by": row["recorded_by"],
                "known_from": row["known_from"],
                "lifted_from": row["lifted_from"],
                "is_in_force": row["known_from"] <= now
                and (row["lifted_from"] is None or row["lifted_from"] > now)
                and (row["hold_until"] is None or row["hold_until"] >= as_of),
            }
            for row in holds
        ],
        "reviews": [
            {
                "no": row["review_no"],
                "decision": row["decision"],
                "reason": row["reason"],
                "until": row["valid_until"],
                "recorded_by": row["recorded_by"],
                "known_from": row["known_from"],
                "is_in_force": row["known_from"] <= now and row["valid_until"] >= as_of,
            }
            for row in reviews
        ],
        "undone": [
            {
                "no": row["reinstatement_no"],
                "undoes": row["undoes"],
                "rule_id": row["rule_id"],
                "reason": row["reason"],
                "effective_on": row["effective_on"],
                "plan_hash": row["plan_hash"],
                "recorded_by": row["recorded_by"],
                "known_from": row["known_from"],
            }
            for row in undone
        ],
    }


def _otherwise(
    ws: Workspace,
    con: DuckDBPyConnection,
    month: Period,
    card: Mapping[str, Any],
    facts: Mapping[str, Any],
    tell_money: Callable[[int], str],
) -> list[Consequence]:
    """The suppositions under which the decision would be another; what stops a change, one by one and all at once."""
    decision = card["decision"]
    obstacles = _obstacles(card, facts, tell_money)
    supposed = [
        *obstacles,
        *suppose_activity(decision),
        *suppose_absence(decision),
        *suppose_type(decision),
        *_without_persons(decision),
    ]
    if len(obstacles) > 1:
        together = obstacles[0]
        for obstacle in obstacles[1:]:
            together = together.and_also(obstacle)
        supposed.insert(len(obstacles), together)
    parameters = decision_parameters(ws.calendar, ws.policy, month)
    found = decide_suppositions(con, decision["account_key"], parameters, supposed)
    actual = decision["action"], decision["new_program_type"]
    return [each for each in found if (each.action, each.new_program_type) != actual]


def _obstacles(
    card: Mapping[str, Any], facts: Mapping[str, Any], tell_money: Callable[[int], str]
) -> list[Supposition]:
    """What may stand between a proposed change and the account, each taken away."""
    decision = card["decision"]
    if decision["proposed_action"] not in ("close", "convert", "unknown"):
        return []
    found = []
    gaps = [f"{row['feed']} {_some(row['missing'])}" for row in card["coverage"] if not row["covered"]]
    if gaps:
        found.append(Supposition("covered", f"if {' and '.join(gaps)} were covered", is_covered=True))
    if facts["has_open_quarantine"]:
        words = "if no row of it stood in quarantine"
        found.append(Supposition("no_quarantine", words, {"has_open_quarantine": False}))
    held = [hold for hold in card["holds"] if hold["is_in_force"]]
    if held:
        words = f"if its {'hold' if len(held) == 1 else 'holds'} had ended before {card['as_of']}"
        register: dict[str, Any] = {"hold_reason": None} if any(hold["by"] == "register" for hold in held) else {}
        found.append(Supposition("no_hold", words, register, ("hold",)))
    if facts["under_review_items"]:
        words = "if no item of it were under review"
        # Items that are settled stop counting beside the balance, whose amount they are part of.
        found.append(Supposition("no_review_items", words, {"under_review_items": 0, "under_review_cents": 0}))
    if facts["balance_cents"]:
        words = f"if its balance of {tell_money(facts['balance_cents'])} were zero"
        found.append(Supposition("balance_zero", words, {"balance_cents": 0}))
    return found


def _without_persons(decision: Mapping[str, Any]) -> list[Supposition]:
    """The account without what a person said of it, where that decided."""
    found = []
    if decision["review_no"] is not None:
        words = f"without a person's decision about it (review {decision['review_no']})"
        found.append(Supposition("no_review", words, {}, ("review",)))
    if decision["reason"] == "undone_by_person":
        found.append(Supposition("not_undone", "if no person had undone that change before", {}, ("undone",)))
    return found


def _what_became(ws: Workspace, month: Period, number: str) -> dict[str, Any]:
    """The plan that the decision stands in, who answered for it, what happened to the account, and who was told."""
    with ws.operations.connect() as connection:
        notices = _notices_of(connection, number, str(month))
        plans = connection.execute(select(PLANS).where(PLANS.c.period == str(month))).mappings().all()
        plan = min(plans, key=lambda row: (PLAN_STATES.index(row["state"]), row["plan_hash"]), default=None)
        if plan is None:
            return {"plan": None, "approval": None, "change": None, "notices": notices}
        approvals = select(APPROVALS).where(APPROVALS.c.plan_hash == plan["plan_hash"])
        approval = connection.execute(approvals.order_by(APPROVALS.c.approval_no.desc()).limit(1)).mappings().first()
        changes = select(ACCOUNT_CHANGES).where(
            ACCOUNT_CHANGES.c.plan_hash == plan["plan_hash"], ACCOUNT_CHANGES.c.bn15 == number
        )
        change = connection.execute(changes).mappings().first()
    names = ("plan_hash", "effects", "state", "reason", "open_accounts", "changes", "approval", "effective_on")
    return {
        "plan": {name: plan[name] for name in names},
        "approval": approval and dict(approval),
        "change": change and dict(change),
        "notices": notices,
    }


def _notices_of(connection: Connection, number: str, month: str) -> list[dict[str, Any]]:
    """What the month has to tell about the account; what is told and reaches nobody is *unreachable*."""
    unreached = {(row["kind"], row["about"], row["version"]): row for row in list_unreached(connection, month, number)}
    notices = notices_of_account(connection, number, month)
    for row in notices:
        found = unreached.get((row["kind"], row["about"], row["version"]))
        if row["state"] in ("told", "unreachable"):
            # What was sent again after all is told.
            row |= {"state": "unreachable", "reason": found["reason"]} if found else {"state": "told", "reason": None}
    return notices


def _next_steps(ws: Workspace, card: Mapping[str, Any]) -> dict[str, Any]:
    """What the person who reads the card can do: ``commands`` to copy, and ``refused``, why a change is not undone."""
    change = card["change"]
    if not change or change["outcome"] != "applied":
        return {"commands": _commands(card, first_end_day(ws)), "refused": None}
    if any(row["plan_hash"] == change["plan_hash"] for row in card["undone"]):
        return {"commands": [], "refused": None}
    refused = _why_not_undone(ws, change)
    command = f'carm reinstate {card["bn15"]} --reason "..." --effective-on {change["effective_on"]}'
    return {"commands": [] if refused else [{"to": "undo it", "command": command}], "refused": refused}


def _why_not_undone(ws: Workspace, change: Mapping[str, Any]) -> str | None:
    """Why ``carm reinstate`` would not undo this change; None where it would."""
    try:
        found = find_undoable(ws, change["bn15"])
    except (DataError, Refused) as error:
        return str(error)
    if found["plan_hash"] != change["plan_hash"]:
        return f"a later plan changed it too, see carm explain {change['bn15']} --period {found['period']}"
    return None


def _commands(card: Mapping[str, Any], first_day: date) -> list[dict[str, str]]:
    decision, year = card["decision"], timedelta(days=365)
    number, until = card["bn15"], card["as_of"] + year
    if until < first_day:
        until = first_day + year
    reason = '--reason "..."'
    if decision["action"] in ("close", "convert", "candidate"):
        command = f"carm hold {number} --until {until} {reason}"
        return [{"to": "hold it back", "command": command}]
    if decision["action"] in ("review", "unknown"):
        command = f"carm review {number} --decision keep --until {until} {reason}"
        return [{"to": "settle it", "command": command}]
    if any(hold["by"] == "person" and hold["is_in_force"] and not hold["lifted_from"] for hold in card["holds"]):
        return [{"to": "lift the hold", "command": f"carm hold {number} --lift {reason}"}]
    return []


# For people: one screen.


def explain_lines(card: dict[str, Any]) -> list[str]:
    """What :func:`explain` found, for people."""
    lines = [f"{card['bn15']} in {card['period']}, as of {card['as_of']}: {_outcome(card['decision'])}"]
    for label, texts in (*card_parts(card), *_command_parts(card)):
        for number, text in enumerate(texts):
            lines += textwrap.wrap(
                text,
                WIDTH,
                initial_indent=f"{label if number == 0 else '':<{_LABEL}}",
                subsequent_indent=" " * (_LABEL + 2),
                break_long_words=False,
                break_on_hyphens=False,
            )
    return lines


def card_parts(
    card: Mapping[str, Any], tell_money: Callable[[int], str] = _tell_money
) -> Iterator[tuple[str, Sequence[str]]]:
    """The card's parts in their order: what each is about, and its sentences; ``tell_money`` writes the balance."""
    decision = card["decision"]
    yield "Registered", [_registered(decision)]
    yield "Window", [f"{card['window'][0]} to {card['window'][1]}; what is dated {card['cutoff_on']} or later counts"]
    yield "Seen", [f"{_SEEN[decision['activity_seen']]} in the window", *_activity(card)]
    yield "Clock", [_clock(decision)]
    yield "Coverage", [*_coverage(card["coverage"])]
    if card["quarantined"]:
        yield "Quarantine", [f"{row['dataset']} {row['row_key']}: {row['reason']}" for row in card["quarantined"]]
    balance, items = tell_money(decision["balance_cents"]), decision["under_review_items"]
    yield "Money", [f"balance {balance}, {tell_count(items, 'item') if items else 'no items'} under review"]
    yield "Holds", [_hold(row) + _force(row, card["period"]) for row in card["holds"]] or ["none"]
    if card["reviews"]:
        yield "Reviews", [_review(row) + _force(row, card["period"]) for row in card["reviews"]]
    rule = card["rule"]
    yield "Rule", [f"{rule['rule_id']}: {rule['source_en']}" if rule else "none: the rule table has no such type"]
    yield "Decision", [_because(decision), *_closing(card)]
    yield "Otherwise", [*_told_otherwise(card)] or ["no single fact would have changed it"]
    yield "Plan", [*_plan(card)]
    if card["notices"]:
        yield "Notices", [_notice(row) for row in card["notices"]]
    if card["undone"]:
        yield "Undone", [_undone(row) for row in card["undone"]]


def _command_parts(card: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[str]]]:
    for row in card["commands"]:
        yield f"To {row['to'].split()[0]}", [row["command"]]
    if card["refused"]:
        yield "To undo", [f"not with carm reinstate: {card['refused']}"]


_SEEN = {
    "none": "nothing",
    "import": "imports",
    "export": "exports",
    "both": "imports and exports",
    "unknown": "nothing, but not everything is known,",
}


def _outcome(decision: Mapping[str, Any]) -> str:
    action, to = decision["action"], decision["new_program_type"]
    return f"convert to {to}" if to else str(action)


def _registered(decision: Mapping[str, Any]) -> str:
    kind = decision["program_type"] or "no type"
    opened_on = f"opened {decision['opened_on']}" if decision["opened_on"] else "without an opening date"
    again = f", reinstated {decision['reinstated_on']}" if decision["reinstated_on"] else ""
    return f"{kind}, {opened_on}{again}"


def _activity(card: Mapping[str, Any]) -> Iterator[str]:
    for kind, words in (("import", "import"), ("export", "export"), ("other", "drawback claim")):
        row, last = card["latest"][kind], card["decision"][f"last_{kind}_on"]
        if row is not None and row["activity_on"] == last:
            yield f"latest {words} {last}: {row['kind']} {row['item_id']}, posted {row['posted_on']}"
        elif last is not None:
            yield f"latest {words} {last}"
        elif kind != "other":
            yield f"latest {words}: none"


def _clock(decision: Mapping[str, Any]) -> str:
    clock, cutoff = decision["clock_on"], decision["cutoff_on"]
    if clock is None:
        return "unknown: no activity, no opening and no reinstatement is on record"
    verdict = f"before {cutoff}, so dormant" if clock < cutoff else f"not before {cutoff}, so not dormant"
    verdict += " as far as is known" if decision["activity_seen"] == "unknown" and clock < cutoff else ""
    return f"{clock}, the latest of activity, opening and reinstatement: {verdict}"


def _coverage(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    whole = [row["feed"] for row in rows if row["covered"]]
    if whole:
        yield f"{' and '.join(whole)}: every month of the window"
    for row in rows:
        if not row["covered"]:
            yield f"{row['feed']}: not covered in {_some(row['missing'])}"


def _some(months: Sequence[str]) -> str:
    """Up to six months by name, and how many more."""
    return ", ".join(months[:6]) + (f" and {tell_count(len(months) - 6, 'more month')}" if len(months) > 6 else "")


def _hold(row: Mapping[str, Any]) -> str:
    until = f"until {row['until']}" if row["until"] else "without an end"
    if row["by"] == "register":
        return f"in the register: {row['reason']}, {until}"
    lifted = f" (lifted from {row['lifted_from']} on)" if row["lifted_from"] else ""
    return f"no. {row['no']}, {row['recorded_by']}, {until}: {row['reason']}{lifted}"


def _review(row: Mapping[str, Any]) -> str:
    return f"no. {row['no']}, {row['recorded_by']}, until {row['until']}: {row['decision']}, {row['reason']}"


def _force(row: Mapping[str, Any], period: str) -> str:
    """What is added to a record that the month does not go by."""
    if row["is_in_force"]:
        return ""
    known_from = row.get("known_from")
    later = f", known from {known_from} on" if known_from is not None and known_from > period else ""
    return f" - not in force{later}"


def _because(decision: Mapping[str, Any]) -> str:
    told = f"{_outcome(decision)}, because {decision['reason']}"
    if decision["missing"]:
        told += f" ({decision['missing']})"
    if decision["hold_no"] is not None:
        told += f" (hold {decision['hold_no']})"
    if decision["review_no"] is not None:
        told += f" (review {decision['review_no']})"
    if decision["announced_in"]:
        told += f", announced in {decision['announced_in']}"
    return told


def _closing(card: Mapping[str, Any]) -> Iterator[str]:
    if card["closes_in"]:
        yield f"will be closed in {card['closes_in']} if it is still dormant then"


def _told_otherwise(card: Mapping[str, Any]) -> Iterator[str]:
    """One sentence an outcome; what leads to the same stands together."""
    by_outcome: dict[str, list[str]] = {}
    for row in card["otherwise"]:
        by_outcome.setdefault(_would(card["decision"], row), []).append(row["words"])
    day = f" dated on or after {card['cutoff_on']}"
    for would, words in by_outcome.items():
        # "with an import dated ... or with an export dated ..." is said shorter.
        dated = [text.removeprefix("with ").removesuffix(day) for text in words if text.startswith("with ")]
        others = [text for text in words if not text.startswith("with ")]
        told = [f"with {' or '.join(dated)}{day}", *others] if dated else others
        yield f"would {would} {', or '.join(told)}"


def _would(decision: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    action = row["action"]
    if action == "keep":
        closes = decision["proposed_action"] in ("close", "unknown")
        return "stay open" if closes else "stay as it is"
    if action == "convert":
        article = "an" if row["new_program_type"][0] in "aeiou" else "a"
        return f"become {article} {row['new_program_type']}"
    return {
        "close": "be closed",
        "candidate": "be announced for closure",
        "hold": f"be held ({row['reason']})",
        "review": f"be referred to a person ({row['reason']})",
        "unknown": f"stay undecided ({row['reason']})",
    }[action]


def _plan(card: Mapping[str, Any]) -> Iterator[str]:
    plan, approval, change = card["plan"], card["approval"], card["change"]
    if plan is None:
        yield "none was made of these decisions yet"
        return
    yield f"{plan['plan_hash'][:12]} ({plan['effects']}), {plan['state']}: {plan['reason']}"
    if approval is not None:
        yield f"{approval['decision']} by {approval['decided_by']} at {approval['decided_at']}"
    elif plan["approval"] == "not_needed":
        yield "no approval: the policy let it pass"
    else:
        yield "not approved"
    if change is not None:
        why = f" ({change['outcome_reason']})" if change["outcome_reason"] else ""
        if change["outcome"] == "announced":
            yield "the closure was announced, and no account was changed"
        else:
            yield f"{change['action']} {change['outcome'].replace('_', ' ')}{why}, effective {change['effective_on']}"


_TOLD = {
    "owed": "owed, not written yet",
    "told": "in the outbox",
    "unreachable": "reaches nobody",
    "called_off": "called off before it went out to everybody",
}


def _notice(row: Mapping[str, Any]) -> str:
    kind = row["kind"].replace("_", " ")
    again = f", version {row['version']}" if row["version"] > 1 else ""
    why = f" ({row['reason']})" if row["state"] == "unreachable" else ""
    return f"{kind}{again}: {_TOLD[row['state']]}{why}"


def _undone(row: Mapping[str, Any]) -> str:
    return (
        f"no. {row['no']}, {row['recorded_by']}: {row['undoes']} undone from {row['effective_on']}, {row['reason']} "
        f"(decisions know of it from {tell_known_from(row['known_from'])} on)"
    )
