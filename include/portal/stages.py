"""The stages of a month, and how far each has come: a word first, how urgent it is, and the figures.

The record says what a stage left behind; a run that works or failed says where it stands now, and that comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from include.carm.counts import tell_count
from include.portal.month_records import FEEDS, MonthRecord

STAGES = ("extract", "validate", "plan", "apply", "statements", "notices")

_STAGE_OF_TASK = {
    "open_month": "extract",
    "publish_activity": "plan",
    "clean_up.plan": "plan",
    "clean_up.apply_plan": "apply",
}
"""The tasks of ``carm_month`` that do not stand in a group of their stage's name, nor after the notices."""

_WATCHER = "watcher"  # Fails because another task did.


@dataclass(frozen=True)
class Cell:
    """How far a stage has come: ``tone`` is good, warn, bad or empty; ``figures`` are short texts with counts."""

    word: str
    tone: str = ""
    figures: tuple[str, ...] = ()


NOT_YET = Cell("not yet")


def stage_of(task_id: str) -> str:
    """The stage in which a task of ``carm_month`` works; what comes after the notices belongs to them."""
    group = task_id.partition(".")[0]
    return _STAGE_OF_TASK.get(task_id) or (group if group in STAGES else STAGES[-1])


def cells_of(record: MonthRecord, tasks: Mapping[str, str]) -> dict[str, Cell]:
    """The cell of each stage; ``tasks`` are the states of those that work or failed in the newest run."""
    now = _stages_now(tasks)
    cells = {}
    for stage in STAGES:
        on_record = _ON_RECORD[stage](record)
        if stage in now:
            word, tone = now[stage]
            cells[stage] = Cell(word, tone, on_record.figures)
        else:
            cells[stage] = on_record
    return cells


def _stages_now(tasks: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """What a run does in its stages now; a failure says more than what goes on beside it."""
    states: dict[str, set[str]] = {}
    for task_id, state in tasks.items():
        if task_id != _WATCHER:
            states.setdefault(stage_of(task_id), set()).add(state)
    return {stage: _now(found) for stage, found in states.items()}


def _now(states: Iterable[str]) -> tuple[str, str]:
    found = set(states)
    if "failed" in found:
        return "failed", "bad"
    if "up_for_retry" in found:
        return "tries again", "warn"
    return ("running", "warn") if "running" in found else ("about to run", "warn")


# What is on record


def _extract(record: MonthRecord) -> Cell:
    rows = record.count(*FEEDS)
    return NOT_YET if rows is None else Cell("done", "good", (tell_count(rows, "row"),))


def _validate(record: MonthRecord) -> Cell:
    quarantined = record.count("quarantine")
    if quarantined is None:
        return NOT_YET
    return Cell("done", "good", (f"{quarantined:,} quarantined",))


def _plan(record: MonthRecord) -> Cell:
    plan = record.plan
    if plan is None:
        return Cell("decided", "good") if record.count("account_decisions") is not None else NOT_YET
    figures = (tell_count(plan.changes, "change"),)
    words = {"held": ("held", "warn"), "rejected": ("rejected", "bad"), "superseded": ("superseded", "")}
    return Cell(*words.get(plan.state, ("done", "good")), figures)


def _apply(record: MonthRecord) -> Cell:
    plan = record.plan
    if plan is None:
        return NOT_YET
    if plan.state == "ready":
        return Cell("waits for a person", "warn") if plan.approval == "needed" else NOT_YET
    word, tone = _APPLY_WORDS[plan.state]
    figures = []
    if plan.applied_count is not None:
        figures.append(f"{plan.applied_count:,} applied")
    if plan.dropped_count:
        figures.append(f"{plan.dropped_count:,} dropped")
    return Cell(word, tone, tuple(figures))


_APPLY_WORDS = {
    "applied": ("applied", "good"),
    "handed_over": ("handed over", "good"),
    "undone": ("undone", ""),
    "held": ("waits for a person", "warn"),
    "rejected": ("nothing applied", ""),
    "superseded": ("nothing applied", ""),
    "shadow": ("shadow", ""),
}


def _statements(record: MonthRecord) -> Cell:
    statements = record.count("statements")
    if statements is None:
        return NOT_YET
    parked = record.count("parked") or 0
    figures = (tell_count(statements, "statement"), *([f"{parked:,} parked"] if parked else []))
    if not record.is_issued:
        return Cell("not issued", "", figures)
    return Cell("issued", "warn" if parked else "good", figures)


def _notices(record: MonthRecord) -> Cell:
    messages = record.count("notices")
    if messages is None:
        return NOT_YET
    waiting = sum(record.unsent.get(state, 0) for state in ("planned", "sending"))
    stuck = {state: record.unsent[state] for state in ("failed", "unknown") if record.unsent.get(state)}
    figures = [tell_count(messages, "message")]
    figures += [f"{waiting:,} to be sent"] if waiting else []
    figures += [f"{count:,} {state}" for state, count in stuck.items()]
    figures += [f"{record.owed:,} owed"] if record.owed else []
    if record.owed and record.is_issued:
        return Cell("owed", "bad", tuple(figures))
    if stuck:
        return Cell("see to it", "bad", tuple(figures))
    if waiting:
        return Cell("waiting", "warn", tuple(figures))
    return Cell("done", "good", tuple(figures)) if record.is_issued else Cell("sealed", "", tuple(figures))


_ON_RECORD: Mapping[str, Callable[[MonthRecord], Cell]] = {
    "extract": _extract,
    "validate": _validate,
    "plan": _plan,
    "apply": _apply,
    "statements": _statements,
    "notices": _notices,
}
