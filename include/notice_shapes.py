"""Messages that differ by an account's number and name alone are rendered once and filled in from then on.

A month tells a quarter of a million statements in sentences that are all the same. So a template is rendered with
places for number and name (:mod:`include.page_shapes`), and what comes out is a message with gaps. Lines of plain text
are broken when the gaps are filled, for where they break depends on what stands in them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from textwrap import fill

from include.page_shapes import EDGE, Place, Shape, harmless

TEXT_WIDTH = 72
_BEGIN, _BETWEEN, _END = "\1", "\2", "\3"
_LATER = re.compile(f"{_BEGIN}([^{_END}]*){_END}")


def wrapped(text: str, indent: int = 0, first: str = "") -> str:
    """``text`` in lines of at most 72 characters; a date, a number or a link is never broken."""
    if EDGE in text:
        return f"{_BEGIN}{indent}{_BETWEEN}{first}{_BETWEEN}{text}{_END}"
    return _wrap(text, indent, first)


def _wrap(text: str, indent: int, first: str) -> str:
    begin = first or " " * indent
    # Most lines that have a name in them are short, and breaking a line takes longer than all else of a message.
    is_plain = text.isascii() and text.isprintable() and text == text.strip()
    if text and is_plain and len(begin) + len(text) <= TEXT_WIDTH:
        return begin + text
    return fill(
        text,
        TEXT_WIDTH,
        initial_indent=begin,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


class TextShape:
    """Plain text with gaps, as a template printed it."""

    def __init__(self, text: str) -> None:
        pieces = _LATER.split(text)
        self._fillers: list[Callable[[Sequence[str]], str]] = []
        for number, piece in enumerate(pieces):
            self._fillers.append(_breaker(piece) if number % 2 else Shape(piece).fill)

    def fill(self, values: Sequence[str]) -> str:
        """The text with ``values``, its lines broken."""
        return "".join([filler(values) for filler in self._fillers])


def _breaker(piece: str) -> Callable[[Sequence[str]], str]:
    indent, first, text = piece.split(_BETWEEN)
    shape, spaces = Shape(text), int(indent)
    return lambda values: _wrap(shape.fill(values), spaces, first)


class MessageShape:
    """A message but for an account's number and name."""

    places = (Place(0), Place(1))

    def __init__(self, text: str, html: str) -> None:
        self._text, self._html = TextShape(text), Shape(html)

    def fill(self, bn15: str, legal_name: str) -> tuple[bytes, bytes]:
        """Plain text and HTML, as UTF-8."""
        values = (bn15, legal_name)
        return self._text.fill(values).encode(), self._html.fill(harmless(values)).encode()
