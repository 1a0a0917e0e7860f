"""The plots of ``docs/performance.md``: each way beside ours, and how stages grow with the months of history."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bench.measure import Entry, Stage

COLOURS = {"ours": "#0b5394", "peer": "#8a6d1d", "floor": "#5f6b76"}
MARKERS = {"ours": "|", "peer": "o", "floor": "s"}
"""A second sign beside the colour, for who does not tell colours apart."""

GROWTH = re.compile(r"growth: (?P<step>.+), month (?P<month>\d+)")
"""The name of a stage of growth: a step in one of the months."""


def write_plots(profile: str, stages: list[Stage], folder: Path) -> list[Path]:
    """Write ``<profile>.svg`` and, where growth was measured, ``<profile>-growth.svg``; returns what was written.

    The same stages give the same bytes.
    """
    beside = [stage for stage in stages if len(stage.entries) > 1 and not GROWTH.fullmatch(stage.name)]
    growing = [stage for stage in stages if GROWTH.fullmatch(stage.name)]
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    if beside:
        written.append(_save(_bars(profile, beside), folder / f"{profile}.svg"))
    if growing:
        written.append(_save(_curves(profile, growing), folder / f"{profile}-growth.svg"))
    return written


def _bars(profile: str, stages: list[Stage]) -> Any:
    """A line for each way, from ours to where it stands: stages of all lengths beside each other."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FormatStrFormatter, LogLocator

    rows: list[tuple[Stage, Entry] | None] = []
    for stage in stages:
        rows += [None, *((stage, entry) for entry in stage.entries if not entry.unlike)]
    figure = Figure(figsize=(10, 0.24 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    labels = []
    for place, row in enumerate(rows):
        if row is None:
            labels.append(stages[rows[:place].count(None)].name)
            continue
        stage, entry = row
        ratio = entry.seconds / stage.ours.seconds
        axes.plot([1, ratio], [place, place], color=COLOURS[entry.role], linewidth=1.2)
        axes.plot([ratio], [place], color=COLOURS[entry.role], marker=MARKERS[entry.role], markersize=6)
        axes.annotate(
            f"{entry.seconds:,.2f} s",
            (max(ratio, 1), place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
        labels.append(f"{entry.name}")
    axes.set_yticks(range(len(rows)), labels, fontsize=7)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if row is None else "normal")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_locator(LogLocator(subs=()))
    axes.margins(x=0.12)
    axes.axvline(1, color=COLOURS["ours"], linewidth=0.8)
    axes.set_xlabel("times as long as ours (logarithmic)", fontsize=8)
    axes.set_title(f"Seconds of each stage beside ours, profile {profile}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        handles=[
            Line2D([], [], color=COLOURS[role], marker=MARKERS[role], linestyle="", label=role) for role in COLOURS
        ],
        loc="outside lower center",
        ncols=len(COLOURS),
        fontsize=7,
    )
    return figure


def _curves(profile: str, stages: list[Stage]) -> Any:
    """A line for each step: seconds by the number of months in the lake."""
    from matplotlib.figure import Figure

    steps: dict[str, list[tuple[int, float]]] = {}
    for stage in stages:
        match = GROWTH.fullmatch(stage.name)
        assert match is not None
        steps.setdefault(match["step"], []).append((int(match["month"]), stage.ours.seconds))
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for (step, points), marker in zip(steps.items(), "os^Dvx*P" * 2, strict=False):
        months, seconds = zip(*sorted(points), strict=True)
        axes.plot(months, seconds, marker=marker, linewidth=1.2, label=step)
    axes.set_ylim(bottom=0)
    axes.set_xticks(sorted({month for points in steps.values() for month, _ in points}))
    axes.set_xlabel("months of history")
    axes.set_ylabel("seconds")
    axes.set_title(f"What a month costs as history grows, profile {profile}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7)
    return figure


def _save(figure: Any, path: Path) -> Path:
    import matplotlib

    # Names of parts would else be drawn by lot, and the day would stand in the file.
    with matplotlib.rc_context({"svg.hashsalt": "carm", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None})
    return path
