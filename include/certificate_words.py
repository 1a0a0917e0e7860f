"""A certificate in words: what its page and its PDF show, made of the JSON alone, so both say the same.

Everything is text in the end. A table has the kind of each of its columns, and a row may have a tone, which is shown by
a colour beside the word, never in its place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from include.carm.counts import tell_count
from include.carm.money import format_money
from include.certificate import DOES_NOT_HOLD, HOLDS, NOT_CHECKED

NOT_KNOWN = "not known"
GAPS_SHOWN = 4
RESULT_WORDS = {HOLDS: "holds", DOES_NOT_HOLD: "does not hold", NOT_CHECKED: "not checked"}
_TONES = {HOLDS: "good", DOES_NOT_HOLD: "bad", NOT_CHECKED: "open"}
_GAPS = {
    "not_extracted": "not extracted",
    "not_received": "not received",
    "not_validated": "not validated",
    "not_reconciled": "not reconciled",
    "not_sealed": "not the file that was counted",
    "before_first_period": "before the feed's first month",
    "too_few_rows": "too few rows",
}
_STATES_ALWAYS = ("planned", "sent", "failed", "unknown", "suppressed")
_LIMITS = {
    "first_run_max_share": "Share of accounts",
    "max_share": "Share of accounts",
    "max_changes": "Number",
    "max_times_median": "Times the median",
}
_VERSIONS = {
    "project_version": "Project",
    "python_version": "Python",
    "code_sha256": "Code (dags, include, plugins)",
    "packages_sha256": "Packages (requirements.lock)",
    "rules_sha256": "Rules (include/config)",
    "expectations_sha256": "Expectations",
    "templates_sha256": "Templates and texts",
}

_FIGURES = {
    "posting_cents": "their sum",
    "line_count": "on lines",
    "line_cents": "their sum",
    "parked_postings": "of parked accounts",
    "parked_cents": "their sum",
}
"""What figures are called where the name alone does not say it."""
HASH_SHOWN = 16

Fact = dict[str, Any]
Row = dict[str, Any]
Section = dict[str, Any]


def tell_certificate(content: Mapping[str, Any], sha256: str) -> dict[str, Any]:
    """What is shown of a certificate, ``sha256`` being that of its JSON file.

    ``{"title", "language", "verdict", "facts", "wide", "left", "right", "last", "foot"}``: the sections as they stand
    on a sheet, each ``{"id", "title", "notes", "facts", "table"}``.
    """
    month, moment = content["month"], content["moment"]
    return {
        "title": f"Certificate of statement month {content['period']}",
        "language": "en",
        "day": month["days"]["issued_on"],
        "verdict": _verdict(month["checks"]),
        "facts": _head(content),
        "wide": [_checks(month["checks"])],
        "left": [_decisions(month["decisions"]), _plan(month["plan"]), _statements(month["statements"])],
        "right": [
            _coverage(month["coverage"]),
            _validation(month["validation"]),
            _totals(month["control_totals"]),
            _outbox(month, moment),
        ],
        "last": [_made_with(month, moment)],
        "foot": _foot(content, sha256),
    }


# Parts


def _section(
    name: str,
    title: str,
    *,
    notes: Iterable[str] = (),
    facts: Iterable[Fact] = (),
    table: dict[str, Any] | None = None,
) -> Section:
    return {"id": name, "title": title, "notes": list(notes), "facts": list(facts), "table": table}


def _table(heads: Sequence[tuple[str, str]], rows: Iterable[Row]) -> dict[str, Any] | None:
    """A table of columns (head and kind: ``name``, ``text``, ``number``, ``state``); None without rows."""
    found = list(rows)
    return (
        {"heads": [head for head, _ in heads], "kinds": [kind for _, kind in heads], "rows": found} if found else None
    )


def _row(*cells: str, tone: str = "") -> Row:
    return {"cells": list(cells), "tone": tone}


def _fact(label: str, value: str, *, is_hash: bool = False) -> Fact:
    return {"label": label, "value": value, "is_hash": is_hash}


def _hash(label: str, value: str | None) -> Fact:
    return _fact(label, value, is_hash=True) if value else _fact(label, NOT_KNOWN)


def _short_hash(label: str, value: str | None) -> Fact:
    """Enough of a hash to see that it is another one; the JSON has it whole."""
    return _hash(label, value[:HASH_SHOWN] if value else None)


def _count(number: int | None) -> str:
    return NOT_KNOWN if number is None else f"{number:,}"


def _money(cents: int) -> str:
    return format_money(cents, "en")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _listed(pairs: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{_words(name)} {number:,}" for name, number in pairs)


# The head


def _verdict(checks: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    numbers = {result: sum(check["result"] == result for check in checks) for result in RESULT_WORDS}
    failed, open_, held = numbers[DOES_NOT_HOLD], numbers[NOT_CHECKED], numbers[HOLDS]
    rest = f"{tell_count(open_, 'check')} could not be made: the table says why." if open_ else ""
    if failed:
        word = f"{tell_count(failed, 'check')} {'does' if failed == 1 else 'do'} not hold"
        return {
            "tone": "bad",
            "word": word,
            "text": f"{tell_count(held, 'check')} of {len(checks)} hold. {rest}".strip(),
        }
    word = f"All {len(checks)} checks hold" if not open_ else f"{held} of {len(checks)} checks hold, none fails"
    return {"tone": "open" if open_ else "good", "word": word, "text": rest}


def _head(content: Mapping[str, Any]) -> list[Fact]:
    month, moment = content["month"], content["moment"]
    days = month["days"]
    return [
        _fact("Period", f"{days['start']} to {days['end']}"),
        _fact("Statements", _issue(month)),
        _fact("Stands for", _area(content)),
        _fact("Version", _version(content)),
        _fact("Written by run", moment["run_id"]),
        _fact("Approver", _approver(month["plan"])),
    ]


def _issue(month: Mapping[str, Any]) -> str:
    days = month["days"]
    if month["issued"]:
        return f"issued {days['issued_on']}, due {days['due_on']}"
    return f"not issued (a {month['effects']} run); the day of issue would be {days['issued_on']}"


def _area(content: Mapping[str, Any]) -> str:
    if content["area"] == "lake":
        return "the record of the month"
    record = content["moment"]["record"]
    beside = "what a run beside the record found; it changes nothing"
    if record is None:
        return f"{beside}. The record has no certificate"
    differs = ", ".join(map(_words, record["differs_in"]))
    what = f"differs in: {differs}" if differs else "says the same of the month"
    return f"{beside}. The record's certificate, version {record['version']}, {what}"


def _version(content: Mapping[str, Any]) -> str:
    before = content["supersedes"]
    told = f", in place of the one with SHA-256 {before[:12]}" if before else ""
    return f"{content['version']}{told}"


def _approver(plan: Mapping[str, Any] | None) -> str:
    if plan is None:
        return NOT_KNOWN
    if answer := plan["answer"]:
        return f"{answer['decision']} by {answer['decided_by']}, {answer['decided_at']}"
    if plan["state"] == "shadow":
        return "nobody was asked: a shadow run applies nothing"
    return {
        "needed": "nobody has answered yet: the plan is held",
        "not_needed": "not needed: the policy let the plan pass by itself",
        "not_allowed": "the policy lets no held plan be approved",
    }[plan["approval"]]


# Sections


def _checks(checks: Iterable[Mapping[str, Any]]) -> Section:
    heads = (("Check", "name"), ("Result", "state"), ("What was compared", "text"), ("Figures", "text"))
    rows = []
    for check in checks:
        of = f" ({_words(check['of'])})" if check["of"] else ""
        faults = f"{check['faults']:,} differ" if check["faults"] else ""
        told = "; ".join(filter(None, (faults, _figures(check["figures"]), check["note"])))
        word = RESULT_WORDS[check["result"]]
        rows.append(_row(f"{check['title']}{of}", word, check["compared"], told, tone=_TONES[check["result"]]))
    return _section("checks", "Proofs", table=_table(heads, rows))


def _figures(figures: Mapping[str, int]) -> str:
    parts = []
    for name, value in figures.items():
        shown = _money(value) if name.endswith("_cents") else _count(value)
        parts.append(f"{_FIGURES.get(name) or _words(name.removesuffix('_cents'))} {shown}")
    return ", ".join(parts)


def _decisions(decisions: Iterable[Mapping[str, Any]]) -> Section:
    by_action: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row in decisions:
        by_action[row["action"]].append((row["reason"], row["accounts"]))
    heads = (("Action", "name"), ("Accounts", "number"), ("Reasons", "text"))
    rows = [_row(action, _count(sum(n for _, n in of)), _listed(of)) for action, of in sorted(by_action.items())]
    total = _count(sum(n for of in by_action.values() for _, n in of))
    return _section("decisions", f"Decisions about {total} open accounts", table=_table(heads, rows))


def _statements(statements: Mapping[str, Any]) -> Section:
    heads = (("Over all accounts", "name"), ("Figure", "number"))
    parked = statements["parked"]
    rows = [
        _row("Statements", _count(statements["statements"])),
        _row("Lines", _count(statements["line_count"])),
        _row("Opening balances", _money(statements["opening_cents"])),
        _row("+ debits", _money(statements["debits_cents"])),
        _row("- credits", _money(statements["credits_cents"])),
        _row("= closing balances", _money(statements["closing_cents"])),
        _row("Under review", _money(statements["under_review_cents"])),
        _row("Total payable", _money(statements["total_payable_cents"])),
        _row("Accounts parked, without a statement", _count(sum(row["accounts"] for row in parked))),
    ]
    notes = [f"Parked for: {_listed((row['reason'], row['accounts']) for row in parked)}."] if parked else []
    return _section("statements", "Statements", notes=notes, table=_table(heads, rows))


def _coverage(coverage: Mapping[str, Any]) -> Section:
    window = coverage["window"]
    heads = (("Feed", "name"), ("Months", "number"), ("Covered", "number"), ("Gaps", "text"))
    rows = []
    for feed in coverage["feeds"]:
        gaps = [_gap(gap) for gap in feed["gaps"]]
        more = [f"and {tell_count(len(gaps) - GAPS_SHOWN, 'more gap')}"] if len(gaps) > GAPS_SHOWN else []
        without = [f"{feed['not_expected']:,} without the feed, as the policy says"] if feed["not_expected"] else []
        told = "; ".join([*gaps[:GAPS_SHOWN], *more, *without]) or "none"
        tone = "open" if gaps else "good"
        rows.append(_row(_words(feed["feed"]), _count(feed["months"]), _count(feed["covered"]), told, tone=tone))
    return _section("coverage", f"Coverage, {window['from']} to {window['to']}", table=_table(heads, rows))


def _gap(gap: Mapping[str, Any]) -> str:
    months = gap["from"] if gap["months"] == 1 else f"{gap['from']} to {gap['to']} ({gap['months']} months)"
    return f"{months} {_GAPS[gap['word']]}"


def _validation(validation: Mapping[str, Any]) -> Section:
    refused: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row in validation["quarantined"]:
        refused[row["feed"]].append((row["reason"], row["rows"]))
    published = {row["feed"]: row["rows"] for row in validation["published"]}
    heads = (("Feed", "name"), ("Published", "number"), ("Quarantine", "number"), ("Reasons", "text"))
    rows = []
    for feed in dict.fromkeys([*published, *refused]):
        # Subscribers are addresses: they are looked at, and published nowhere.
        told = _count(published[feed]) if feed in published else "none kept"
        reasons = refused.get(feed, [])
        rows.append(_row(_words(feed), told, _count(sum(n for _, n in reasons)), _listed(reasons) or "-"))
    return _section("validation", "Validation: rows of this month", table=_table(heads, rows))


def _totals(totals: Sequence[Mapping[str, Any]]) -> Section:
    if not totals:
        return _section("totals", "Control totals", notes=[f"{NOT_KNOWN}: no row of any feed is on record."])
    heads = [("Up to the period's end", "name"), *((_words(row["feed"]), "number") for row in totals)]
    lines = (
        ("Source rows", "source_rows"),
        (f"= published since {totals[0]['first_period']}", "published_rows"),
        ("+ brought forward from before", "brought_forward_rows"),
        ("+ in quarantine", "quarantined_rows"),
    )
    rows = [_row(label, *(_count(row[name]) for row in totals)) for label, name in lines]
    rows.append(_row("Sum of the source rows", *(_money(row["sum_cents"]) for row in totals)))
    return _section("totals", "Control totals", table=_table(heads, rows))


def _plan(plan: Mapping[str, Any] | None) -> Section:
    if plan is None:
        return _section("plan", "Plan and breaker", notes=[f"{NOT_KNOWN}: no plan of these decisions is on record."])
    facts = [
        _hash("Plan", plan["plan_hash"]),
        _fact("State", f"{_words(plan['state'])}: {plan['reason']}"),
        _fact("What became of it", _outcomes(plan)),
    ]
    margins = plan["margins"]
    notes = [] if margins else ["No limit was weighed: so few accounts have no share, and so few months no median."]
    return _section("plan", "Plan and breaker", notes=notes, facts=facts, table=_margins(margins))


def _outcomes(plan: Mapping[str, Any]) -> str:
    if plan["effects"] != "live":
        return "nothing: a shadow plan is not applied"
    told = _listed(sorted(plan["outcomes"].items()))
    return told or f"no account was changed; {tell_count(plan['changes'], 'change')} planned"


def _margins(margins: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """A row for the plan as a whole and for each stratum; two columns for each kind of limit that was weighed."""
    kinds = list(dict.fromkeys(_LIMITS[margin["limit"]] for margin in margins))
    heads = [("Of", "name"), ("Result", "state"), ("Changes", "number")]
    for kind in kinds:
        heads += [(f"{kind}: limit", "number"), ("margin", "number")]
    strata: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for margin in margins:
        strata[margin["stratum"]].append(margin)
    return _table(heads, (_margin_row(stratum, of, kinds) for stratum, of in strata.items()))


def _margin_row(stratum: str, margins: Sequence[Mapping[str, Any]], kinds: Sequence[str]) -> Row:
    by_kind = {_LIMITS[margin["limit"]]: margin for margin in margins}
    cells = []
    for kind in kinds:
        margin = by_kind.get(kind)
        cells += [_count(margin["allowed"]), _count(margin["margin"])] if margin else ["-", "-"]
    is_passed = any(margin["margin"] < 0 for margin in margins)
    is_first = any(margin["limit"] == "first_run_max_share" for margin in margins)
    name = "all accounts" if stratum == "all" else stratum
    name += " (share of a first live run)" if is_first else ""
    word, tone = ("passed", "bad") if is_passed else ("within", "good")
    return _row(name, word, _count(margins[0]["changes"]), *cells, tone=tone)


def _outbox(month: Mapping[str, Any], moment: Mapping[str, Any]) -> Section:
    states: dict[str, list[tuple[str, int]]] = defaultdict(list)
    totals: dict[str, int] = dict.fromkeys(_STATES_ALWAYS, 0)
    for row in moment["outbox"]:
        states[row["kind"]].append((row["state"], row["messages"]))
        totals[row["state"]] = totals.get(row["state"], 0) + row["messages"]
    rendered = {row["kind"]: row["messages"] for row in month["notices"] or ()}
    nothing = None if month["notices"] is None else 0
    heads = (("Kind", "name"), ("Rendered", "number"), ("In the outbox", "text"))
    rows = []
    for kind in sorted({*states, *rendered}):
        rows.append(_row(_words(kind), _count(rendered.get(kind, nothing)), _listed(states[kind]) or "none"))
    total = None if month["notices"] is None else sum(rendered.values())
    rows.append(_row("all kinds", _count(total), _listed(totals.items())))
    unreached = moment["unreached"]
    if unreached is None:
        note = "A shadow run owes nobody a notice."
    else:
        note = f"Notices that reach nobody: {_listed(unreached.items()) or 'none'}."
    return _section("outbox", "Notices and outbox when this was written", notes=[note], table=_table(heads, rows))


def _made_with(month: Mapping[str, Any], moment: Mapping[str, Any]) -> Section:
    plan, versions = month["plan"], moment["versions"]
    facts = []
    for name, label in _VERSIONS.items():
        value = versions[name]
        facts.append(_short_hash(label, value) if name.endswith("_sha256") else _fact(label, value or NOT_KNOWN))
    if plan is not None:
        facts.append(_short_hash("Rule cells that held", plan["rules_sha256"]))
        facts.append(_short_hash("Policy of the plan", plan["policy_version"]))
    facts.append(_short_hash("Coverage", month["coverage"]["coverage_id"]))
    for made in month["statements"]["made_with"]:
        facts.append(_short_hash("Statement templates", made["template_version"]))
        others = (made["typesetter_version"], made["locale_version"])
        facts.append(_fact("Statements set by", ", ".join(filter(None, others)) or NOT_KNOWN))
    facts.append(_fact("Sealed files", f"{len(month['files']):,}"))
    note = (
        f"Hashes by their first {HASH_SHOWN} characters; certificate.json has them whole, and that of each sealed file."
    )
    return _section("versions", "Made with", notes=[note], facts=facts)


def _foot(content: Mapping[str, Any], sha256: str) -> list[Fact]:
    chain = content["moment"]["audit_chain"]
    return [
        _hash(f"Audit chain head, {tell_count(chain['links'], 'link')}", chain["head"]),
        _hash("SHA-256 of certificate.json", sha256),
    ]


def certificate_lines(content: Mapping[str, Any], sha256: str) -> Iterator[str]:
    """The short of a certificate for a terminal: what it stands for, and every check."""
    told = tell_certificate(content, sha256)
    verdict = told["verdict"]
    yield f"{told['title']}, version {content['version']}"
    yield f"{verdict['word']}. {verdict['text']}".strip()
    for check in content["month"]["checks"]:
        of = f" ({_words(check['of'])})" if check["of"] else ""
        yield f"  {RESULT_WORDS[check['result']]:<14} {check['title']}{of}"
        if check["note"] and check["result"] != HOLDS:
            yield f"  {'':<14} {check['note']}"
    for fact in told["facts"]:
        yield f"{fact['label']}: {fact['value']}"
    for fact in told["foot"]:
        yield f"{fact['label']}: {fact['value']}"
