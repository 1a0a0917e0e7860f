"""What was measured, for a terminal, for ``bench/results.json`` and for a reader of ``docs/performance.md``."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from bench.airflow_step import as_promised
from bench.measure import PROFILES, Entry, Limit, Profile, Stage, Target
from bench.plot import GROWTH, write_plots

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
PICTURES = Path("pictures", "performance")
"""Where the plots lie, beside the page."""
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
OLDER, UNKNOWN, OTHER_WORLD = "†", "‡", "§"


@dataclass(frozen=True)
class Origin:
    """Where a stage was measured, with which code, of which world; what an older file does not say is empty."""

    machine: str = ""
    cpu: str = ""
    commit: str = ""
    committed_at: str = ""
    world: str = ""


def machine() -> str:
    """The machine, as far as a reader of ratios needs it."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def cpu_model() -> str:
    """The name of the processor, as the system tells it: two machines of one description may differ by half."""
    known = Path("/proc/cpuinfo")
    found = re.search(r"(?m)^model name\s*:\s*(.+)$", known.read_text(encoding="utf-8")) if known.exists() else None
    return found[1].strip() if found else platform.processor()


def origin_of(world: str) -> Origin:
    """The origin of what is measured now; no commit where this is no clone, and ``+`` after one that was changed."""
    commit, committed_at = _git("rev-parse", "--short=7", "HEAD"), _git("show", "-s", "--format=%ct", "HEAD")
    if commit and _git("status", "--porcelain", "--", "bench", "dags", "include", "plugins"):
        commit += "+"
    at = datetime.fromtimestamp(int(committed_at), UTC).isoformat() if committed_at else ""
    return Origin(machine(), cpu_model(), commit, at, world)


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=PAGE.parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    # The file of results is written while stages are measured, and is no code.
    return "\n".join(line for line in done.stdout.splitlines() if not line.endswith("bench/results.json")).strip()


def lines(stages: Iterable[Stage]) -> list[str]:
    """The stages as lines for a terminal."""
    found = [
        f"{'stage, and what stands beside it':<58}{'seconds':>9}{'least to most':>18}{'a second':>12}{'MB':>7}  "
        f"{'ours is':<18}promised"
    ]
    for stage in stages:
        found.append(f"{stage.name}: {stage.count:,} {stage.unit}")
        for entry in stage.entries:
            memory = "" if entry.peak_mb is None else f"{entry.peak_mb:,}"
            speed = f"{stage.count / entry.seconds:,.0f}"
            said = "" if entry.role == "ours" else describe_ratio(stage, entry)
            found.append(
                f"  {entry.name:<56}{entry.seconds:>9.2f}{spread(entry):>18}{speed:>12}{memory:>7}  {said:<18}"
                + promise(stage, entry)
                + (f"  ({entry.note})" if entry.note else "")
            )
    return found


def describe_ratio(stage: Stage, entry: Entry) -> str:
    """Ours beside an entry: a floor is passed by some factor, of a peer one is some factor faster."""
    if entry.unlike:
        return f"not compared: {entry.unlike}"
    ratio = stage.ratio(entry.name)
    return f"{ratio:.2f} x the time" if entry.role == "floor" or ratio > 1 else f"{1 / ratio:,.1f} x as fast"


def spread(entry: Entry) -> str:
    """The least and the most of several rounds, and how many they were; an older file does not say that."""
    if entry.rounds == 1 or (entry.rounds is None and entry.least == entry.most):
        return "one round"
    rounds = "" if entry.rounds is None else f" ({entry.rounds})"
    return f"{entry.least:.2f}–{entry.most:.2f}{rounds}"


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
        said += [stage.unanswered] if stage.unanswered else []
        for limit in stage.limits:
            words = f"at most {limit.at_most:,g} {'s' if limit.what == 'seconds' else 'MB'}"
            said.append(words + ("" if getattr(entry, limit.what) <= limit.at_most else " MISSED"))
    return ", ".join(said)


def read_results(path: Path = RESULTS) -> dict[str, Any]:
    """What is on file, by profile."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_results(profile: Profile, found: Sequence[Stage], path: Path = RESULTS, *, world: str = "") -> None:
    """Put stages into the file, in place of what it knew of them; the others of the profile are kept.

    ``world`` is the hash of what makes the data.
    """
    origin = asdict(origin_of(world))
    results = read_results(path)
    measured = {stage.name for stage in found}
    kept = [stage for stage in results.get(profile.name, {}).get("stages", []) if stage["name"] not in measured]
    results[profile.name] = {
        "accounts": profile.accounts,
        "postings_a_month": profile.postings,
        "months": profile.months,
        "changes": profile.changes,
        "stages": [*kept, *({**asdict(stage), **origin} for stage in found)],
    }
    path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def stages_on_file(name: str, path: Path = RESULTS) -> list[Stage]:
    """The stages of a profile as they were written, but for what is promised of a whole month: that is today's."""
    return [
        as_promised(
            Stage(
                stage["name"],
                stage["unit"],
                stage["count"],
                tuple(Entry(**entry) for entry in stage["entries"]),
                tuple(Target(**target) for target in stage["targets"]),
                tuple(Limit(**limit) for limit in stage["limits"]),
                stage.get("unanswered", ""),
            )
        )
        for stage in read_results(path).get(name, {}).get("stages", [])
    ]


def origins_on_file(name: str, path: Path = RESULTS) -> dict[str, Origin]:
    """Where each stage of a profile comes from, by its name."""
    fields = Origin.__dataclass_fields__
    return {
        stage["name"]: Origin(**{field: stage[field] for field in fields if stage.get(field)})
        for stage in read_results(path).get(name, {}).get("stages", [])
    }


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
            origins = origins_on_file(name, path)
            places = _places(origins)
            codes = {stage: _code(origin, origins, places) for stage, origin in origins.items()}
            beside = [stage for stage in stages if not GROWTH.fullmatch(stage.name)]
            growing = [stage for stage in stages if GROWTH.fullmatch(stage.name)]
            tables = [_markdown(beside, codes)] if beside else []
            tables += [_growth(growing, codes)] if growing else []
            told = _told(origins, places)
            parts.append("\n\n".join([title, *pictures, told, *("\n".join(table) for table in tables)]))
    page.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}", encoding="utf-8")


def _described(picture: Path, profile: str) -> str:
    what = "How each stage grows with the months of history" if "growth" in picture.stem else "Each stage beside ours"
    return f"{what}, profile {profile}; the figures stand in the table"


def _newest(origins: dict[str, Origin]) -> Origin:
    # Of several of one commit the one that was written last: stages are put at the end when they are measured.
    return max(reversed(origins.values()), key=lambda origin: origin.committed_at)


def _places(origins: dict[str, Origin]) -> dict[tuple[str, str], str]:
    """The machines, each with the letter by which the table names it."""
    found = dict.fromkeys((origin.machine, origin.cpu) for origin in origins.values())
    return {place: chr(ord("A") + number) for number, place in enumerate(found)}


def _code(origin: Origin, origins: dict[str, Origin], places: Mapping[tuple[str, str], str]) -> str:
    """The commit that a stage was measured with, marked where it is not the newest or its world is another one."""
    newest = _newest(origins)
    code = origin.commit or UNKNOWN
    if origin.commit and origin.commit != newest.commit:
        code += f" {OLDER}"
    if origin.commit and origin.world != newest.world:
        code += f" {OTHER_WORLD}"
    return code + (f", {places[origin.machine, origin.cpu]}" if len(places) > 1 else "")


def _told(origins: dict[str, Origin], places: Mapping[tuple[str, str], str]) -> str:
    """What the last column of a profile's tables says, in a paragraph."""
    machines = [
        f"{letter if len(places) > 1 else 'Machine'}: {machine}, {cpu or 'its processor was not written down'}."
        for (machine, cpu), letter in places.items()
    ]
    newest = _newest(origins)
    marks = [f"*Code*: the commit; {UNKNOWN} it was not written down"]
    if newest.commit:
        marks.append(f"{OLDER} another one than the newest of this profile, {newest.commit}")
        marks.append(f"{OTHER_WORLD} other data than the newest's")
    return " ".join([*machines, "; ".join(marks) + "."])


def _markdown(stages: Iterable[Stage], codes: Mapping[str, str]) -> list[str]:
    found = [
        "| stage | way | seconds | least–most (rounds) | a second | peak MB | ours beside it | promised | code |",
        "|---|---|--:|--:|--:|--:|---|---|---|",
    ]
    for stage in stages:
        for number, entry in enumerate(stage.entries):
            cells = [
                f"**{stage.name}**, {stage.count:,} {stage.unit}" if number == 0 else "",
                (f"**{entry.name}**" if entry.role == "ours" else entry.name)
                + (f" ({entry.note})" if entry.note else ""),
                f"{entry.seconds:.2f}",
                spread(entry),
                f"{stage.count / entry.seconds:,.0f}",
                "" if entry.peak_mb is None else f"{entry.peak_mb:,}",
                "" if entry.role == "ours" else describe_ratio(stage, entry),
                promise(stage, entry),
                codes[stage.name] if number == 0 else "",
            ]
            found.append(f"| {' | '.join(cells)} |")
    return found


def _growth(stages: Iterable[Stage], codes: Mapping[str, str]) -> list[str]:
    """A line a step, a column a month: seconds; the last month is held against what stands beside it."""
    steps: dict[str, dict[int, Stage]] = {}
    for stage in stages:
        match = GROWTH.fullmatch(stage.name)
        assert match is not None
        steps.setdefault(match["step"], {})[int(match["month"])] = stage
    months = sorted({month for of in steps.values() for month in of})
    found = [
        f"| growth: step | {' | '.join(f'month {month}' for month in months)} | the last beside | promised | rounds "
        "| code |",
        f"|---|{'--:|' * len(months)}---|---|---|---|",
    ]
    for step, of in steps.items():
        last = of[max(of)]
        beside = [f"{describe_ratio(last, entry)} of {entry.name}" for entry in last.entries if entry is not last.ours]
        promises = [promise(last, entry) for entry in last.entries]
        cells = [
            f"**{step}**" + (f" ({last.ours.note})" if last.ours.note else ""),
            *(_month_of(of[month], months[-1]) if month in of else "" for month in months),
            ", ".join(beside),
            ", ".join(filter(None, promises)),
            _rounds(last.ours),
            codes[last.name],
        ]
        found.append(f"| {' | '.join(cells)} |")
    return found


def _month_of(stage: Stage, last: int) -> str:
    """Seconds; where a month has a floor of its own, how many times it they are."""
    has_floor = len(stage.entries) > 1 and not stage.name.endswith(f"month {last}")
    return f"{stage.ours.seconds:.2f}" + (f" ({stage.ratio(stage.entries[1].name):.2f} x)" if has_floor else "")


def _rounds(entry: Entry) -> str:
    """How often a month was measured, or as much as an older file tells of it."""
    if entry.rounds is None:
        return "one" if entry.least == entry.most else "several"
    return "one" if entry.rounds == 1 else f"{entry.rounds}"
