"""What was measured, for a terminal, for ``bench/results.json`` and for a reader of ``docs/performance.md``."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from bench.measure import PROFILES, Entry, Limit, Profile, Stage, Target
from bench.plot import write_plots

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
PICTURES = Path("pictures", "performance")
"""Where the plots lie, beside the page."""
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def machine() -> str:
    """The machine, as far as a reader of ratios needs it."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def lines(stages: Iterable[Stage]) -> list[str]:
    """The stages as lines for a terminal."""
    found = [
        f"{'stage, and what stands beside it':<58}{'seconds':>9}{'a second':>12}{'MB':>7}  {'ours is':<18}promised"
    ]
    for stage in stages:
        found.append(f"{stage.name}: {stage.count:,} {stage.unit}")
        for entry in stage.entries:
            memory = "" if entry.peak_mb is None else f"{entry.peak_mb:,}"
            speed = f"{stage.count / entry.seconds:,.0f}"
            said = "" if entry.role == "ours" else describe_ratio(stage, entry)
            found.append(
                f"  {entry.name:<56}{entry.seconds:>9.2f}{speed:>12}{memory:>7}  {said:<18}{promise(stage, entry)}"
                + (f"  ({entry.note})" if entry.note else "")
            )
    return found


def describe_ratio(stage: Stage, entry: Entry) -> str:
    """Ours beside an entry: a floor is passed by some factor, of a peer one is some factor faster."""
    ratio = stage.ratio(entry.name)
    return f"{ratio:.2f} x the time" if entry.role == "floor" or ratio > 1 else f"{1 / ratio:,.1f} x as fast"


def promise(stage: Stage, entry: Entry) -> str:
    """What is promised of ours beside an entry, and whether it is kept; of ours itself, its limits."""
    said = []
    for target in stage.targets:
        if target.beside == entry.name:
            words = f"at most {target.at_most:.2f} x"
            if entry.role == "peer" and target.at_most < 1:
                words = f"at least {1 / target.at_most:.3g} x as fast"
            if target.or_a_second is not None:
                words += f" or {target.or_a_second:,.0f} a second"
            said.append(words + ("" if stage.keeps(target) else " MISSED"))
    if entry.role == "ours":
        for limit in stage.limits:
            words = f"at most {limit.at_most:,g} {'s' if limit.what == 'seconds' else 'MB'}"
            said.append(words + ("" if getattr(entry, limit.what) <= limit.at_most else " MISSED"))
    return ", ".join(said)


def read_results(path: Path = RESULTS) -> dict[str, Any]:
    """What is on file, by profile."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_results(profile: Profile, found: Sequence[Stage], path: Path = RESULTS) -> None:
    """Put stages into the file, in place of what it knew of them; the others of the profile are kept."""
    results = read_results(path)
    measured = {stage.name for stage in found}
    kept = [stage for stage in results.get(profile.name, {}).get("stages", []) if stage["name"] not in measured]
    results[profile.name] = {
        "accounts": profile.accounts,
        "postings_a_month": profile.postings,
        "months": profile.months,
        "changes": profile.changes,
        "stages": [*kept, *({**asdict(stage), "machine": machine()} for stage in found)],
    }
    path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def stages_on_file(name: str, path: Path = RESULTS) -> list[Stage]:
    """The stages of a profile as they were written."""
    return [
        Stage(
            stage["name"],
            stage["unit"],
            stage["count"],
            tuple(Entry(**entry) for entry in stage["entries"]),
            tuple(Target(**target) for target in stage["targets"]),
            tuple(Limit(**limit) for limit in stage["limits"]),
        )
        for stage in read_results(path).get(name, {}).get("stages", [])
    ]


def write_page(page: Path = PAGE, path: Path = RESULTS) -> None:
    """Write tables and plots of all profiles between the marks of the page; the text around is written by hand."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    parts = []
    for name in reversed(PROFILES):
        stages = stages_on_file(name, path)
        if stages:
            known = read_results(path)[name]
            size = f"{known['accounts']:,} accounts, {known['postings_a_month']:,} postings a month"
            pictures = [
                f"![{_described(picture, name)}]({picture.relative_to(page.parent)})"
                for picture in write_plots(name, stages, page.parent / PICTURES)
            ]
            title = f"### Profile {name}: {size}, {known['months']} months"
            parts.append("\n\n".join([title, *pictures, "\n".join(_markdown(stages))]))
    page.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}", encoding="utf-8")


def _described(picture: Path, profile: str) -> str:
    what = "How each stage grows with the months of history" if "growth" in picture.stem else "Each stage beside ours"
    return f"{what}, profile {profile}; the figures stand in the table"


def _markdown(stages: Iterable[Stage]) -> list[str]:
    found = [
        "| stage | way | seconds | a second | peak MB | ours beside it | promised |",
        "|---|---|--:|--:|--:|---|---|",
    ]
    for stage in stages:
        for number, entry in enumerate(stage.entries):
            cells = [
                f"**{stage.name}**, {stage.count:,} {stage.unit}" if number == 0 else "",
                (f"**{entry.name}**" if entry.role == "ours" else entry.name)
                + (f" ({entry.note})" if entry.note else ""),
                f"{entry.seconds:.2f}",
                f"{stage.count / entry.seconds:,.0f}",
                "" if entry.peak_mb is None else f"{entry.peak_mb:,}",
                "" if entry.role == "ours" else describe_ratio(stage, entry),
                promise(stage, entry),
            ]
            found.append(f"| {' | '.join(cells)} |")
    return found
