"""Templates that are rendered once for each *shape* of their values, and filled in from then on.

What a template makes of a statement depends on which values there are, not on what they say: two statements that both
have a credit and lines in the same two sections differ by nothing but words and figures. So the template is rendered
with a place instead of each value, and what comes out is text with gaps, which Python fills in a tenth of the time.
``docs/adr/0041-statement-page.md`` tells what that gave.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from jinja2 import Environment
from markupsafe import escape

# HTML forbids this character, so nothing else on a page can be taken for a place; the letters show a change of case.
EDGE = "\0"
_PLACE = re.compile(f"{EDGE}aZ([0-9]+){EDGE}")


class Place(str):
    """What a template is given instead of the value at ``position``: it may print it, and ask whether it is there."""

    __slots__ = ()

    def __new__(cls, position: int) -> Place:
        return super().__new__(cls, f"{EDGE}aZ{position}{EDGE}")

    def __eq__(self, other: object) -> bool:
        raise TypeError("a template may ask whether a value is there, and not what it is: make it a flag of its own")

    __ne__ = __eq__
    __hash__ = str.__hash__


class Shape:
    """Text with gaps, made from what a template printed; ``fill`` puts values into the gaps by their positions.

    Raises ``ValueError`` where the template changed a place instead of printing it.
    """

    __slots__ = ("_fill", "_pick")

    def __init__(self, text: str) -> None:
        pieces = _PLACE.split(text)
        if any(EDGE in piece for piece in pieces[::2]):
            raise ValueError("a template may print a value, and not change it: change it where the values are made")
        self._fill = "%s".join([piece.replace("%", "%%") for piece in pieces[::2]])
        positions = [int(piece) for piece in pieces[1::2]]
        self._pick: Callable[[Any], Any] = itemgetter(*positions) if positions else lambda values: ()

    def fill(self, values: Sequence[Any]) -> str:
        """The text with ``values``, which are printed as they come: see :func:`harmless`."""
        return self._fill % self._pick(values)


def harmless(values: Sequence[Any]) -> Sequence[Any]:
    """The values with every text escaped for HTML; others are left as they are.

    Hardly a statement has anything to escape, and to look at all texts at once takes a tenth of escaping each.
    """
    if is_harmless("".join([value for value in values if isinstance(value, str)])):
        return values
    return [str(escape(value)) if isinstance(value, str) else value for value in values]


def is_harmless(text: str) -> bool:
    """Whether a text, or all the texts that it was joined from, stands in HTML as it is."""
    return not ("<" in text or "&" in text or ">" in text or '"' in text or "'" in text)


class Frame:
    """What stands around the bodies of a page: the same for all documents but for two words, so it is rendered once."""

    def __init__(self, environment: Environment, language: str, *, has_language_choice: bool) -> None:
        frame = environment.get_template(f"page.{language}").render(
            title=Place(0), page_label=Place(1), has_language_choice=has_language_choice, bodies=Place(2)
        )
        self._pieces = [piece.encode() for piece in _PLACE.split(frame)[::2]]
        if _PLACE.findall(frame) != ["0", "1", "2"]:
            raise ValueError("the frame of a page holds its title, its label and its bodies once each, in this order")

    def around(self, title: str, page_label: str) -> tuple[bytes, bytes]:
        """What comes before the bodies, and what comes after."""
        before, between, body, after = self._pieces
        return b"".join((before, str(escape(title)).encode(), between, str(escape(page_label)).encode(), body)), after
