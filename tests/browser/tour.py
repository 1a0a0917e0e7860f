"""The tour of ``docs/tour.md``, walked by a browser: its steps in their order, and every word of the screen it names.

In the page a word that stands on the screen is printed bold. A step that was walked has looked at the screen at least
once; each bold word of its section must have been seen in one of those looks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page

from tests.browser.pictures import take_picture

TOUR = Path(__file__).parents[2] / "docs" / "tour.md"


@dataclass(frozen=True)
class Step:
    """A numbered section of the page: its heading without the number, and the words of the screen that it names."""

    heading: str
    words: tuple[str, ...]

    @classmethod
    def read_all(cls) -> list[Step]:
        sections = re.split(r"^## \d+\. ", TOUR.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
        return [cls(text.partition("\n")[0], tuple(re.findall(r"\*\*([^*]+)\*\*", text))) for text in sections]


@dataclass
class Look:
    """What was on the screen during a step."""

    step: Step
    seen: list[str] = field(default_factory=list)

    def at(self, page: Page, picture: str = "") -> None:
        """Read the page and the frames in it; with a name, make a picture of it when pictures are made."""
        self.seen += [" ".join(frame.locator("body").inner_text().split()) for frame in page.frames]
        self.seen += [
            str(label) for frame in page.frames for label in frame.locator("[aria-label]").evaluate_all(_LABELS)
        ]
        if picture:
            take_picture(page, f"tour/{picture}")

    def missing(self) -> list[str]:
        """The words of the step that nobody saw."""
        return [word for word in self.step.words if not any(word in text for text in self.seen)]


_LABELS = "elements => elements.map(element => element.getAttribute('aria-label'))"
