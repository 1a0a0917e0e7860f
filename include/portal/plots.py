"""Plots as inline SVG: points in whole units, each of which leads to a page, and what they show as a sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

WIDTH, HEIGHT = 360, 150
LEFT, RIGHT, TOP, FOOT = 12, 348, 22, 122
"""Where the points lie: above the foot stand the figures, below it the names."""


@dataclass(frozen=True)
class Point:
    """A figure with its name and the page that it leads to; of Airflow where ``is_airflow``."""

    name: str
    value: int
    href: str
    is_airflow: bool = False


@dataclass(frozen=True)
class Mark:
    """A point where it is drawn."""

    x: int
    y: int
    point: Point
    text: str


@dataclass(frozen=True)
class Plot:
    """A figure through the months, the oldest first; ``write`` says a value as people read it."""

    title: str
    about: str
    column: str
    points: Sequence[Point]
    write: Callable[[int], str]

    @property
    def summary(self) -> str:
        """What the plot shows, in words."""
        first, last = self.points[0], self.points[-1]
        if first is last:
            return f"{first.name}: {self.write(first.value)}."
        if len({point.value for point in self.points}) == 1:
            return f"{last.name}: {self.write(last.value)}, as in every month since {first.name}."
        least, most = min(self.points, key=_value), max(self.points, key=_value)
        return (
            f"{last.name}: {self.write(last.value)}. From {first.name} on between {self.write(least.value)} "
            f"({least.name}) and {self.write(most.value)} ({most.name})."
        )

    @cached_property
    def marks(self) -> list[Mark]:
        """The points, placed; zero is always in sight, so that a small change never looks like a great one."""
        span = max(self.highest - self.lowest, 1)
        steps = max(len(self.points) - 1, 1)
        return [
            Mark(
                x=(LEFT + RIGHT) // 2 if len(self.points) == 1 else LEFT + (RIGHT - LEFT) * place // steps,
                y=FOOT - (FOOT - TOP) * (point.value - self.lowest) // span,
                point=point,
                text=self.write(point.value),
            )
            for place, point in enumerate(self.points)
        ]

    @property
    def highest(self) -> int:
        """The upper edge: the greatest value, or zero."""
        return max(0, *(point.value for point in self.points))

    @property
    def lowest(self) -> int:
        """The lower edge: zero, or the least value where that is below."""
        return min(0, *(point.value for point in self.points))

    @property
    def zero(self) -> int:
        """Where the line of zero lies."""
        return FOOT - (FOOT - TOP) * (0 - self.lowest) // max(self.highest - self.lowest, 1)

    @property
    def path(self) -> str:
        """The line through the points, as SVG has it."""
        return " ".join(f"{mark.x},{mark.y}" for mark in self.marks)


def _value(point: Point) -> int:
    return point.value
