"""What a person writes into a record: one line that shows everything that is in it."""

import unicodedata

from include.carm.errors import UsageError

_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn")
"""Unicode's categories of what no reader sees: control, format (a change of direction, for one), half a character,
private use, not assigned."""

_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Letters and marks that are drawn as nothing: fillers, joiners, the empty pattern of Braille."""


def require_plain_line(text: str, what: str) -> str:
    """The text in one line, white space collapsed; ``what`` names it where it is refused.

    Raises ``UsageError`` for a character that a terminal obeys or a reader does not see: with it, a record would show
    other words than it holds.
    """
    line = " ".join(text.split())
    for character in line:
        if unicodedata.category(character) in _UNSEEN or character in _BLANK:
            raise UsageError(
                f"{what} has a character that cannot be seen (U+{ord(character):04X}): write letters, digits and "
                "punctuation only"
            )
    return line
