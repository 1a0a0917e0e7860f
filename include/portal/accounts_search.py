"""Finds accounts: by the number of a firm, or by a part of a name whatever its capitals, accents and apostrophes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from include.carm.business_number import require_bn9
from include.carm.errors import DataError
from include.carm.plain_text import require_plain_line

if TYPE_CHECKING:
    from include.workspace import Workspace

MOST = 50
"""How many accounts are shown; whoever finds more asks for less."""

_SHOWN = ("bn15", "legal_name", "operating_name", "program_type", "status", "province")
_LATIN = (*range(0xC0, 0x250), *range(0x1E00, 0x1F00))
_PAIRS = {"oe": "œŒ", "ae": "æÆ", "ss": "ßẞ"}
_APOSTROPHES = "'’ʼ‘`"
_MARKS = "[\u0300-\u036f]*"
_BLANKS = "[\\s\u00a0\u202f]+"


def find_by_name(ws: Workspace, text: str) -> list[dict[str, Any]]:
    """The accounts of the newest extract with ``text`` in their legal or operating name, one more than :data:`MOST`.

    Rows of ``bn15, legal_name, operating_name, program_type, status, province``, in the order of their numbers. Raises
    ``UsageError`` for a text with what cannot be seen, ``DataError`` where no month was extracted yet.
    """
    from include import engine

    pattern = name_pattern(require_plain_line(text, "the name"))
    with engine.connect() as con:
        engine.register(con, "accounts", [_newest_accounts(ws)])
        parameters = {"pattern": pattern, "most": MOST + 1}
        return engine.run_table(con, "select_accounts_by_name", None, parameters).to_pylist()


def find_by_firm(ws: Workspace, text: str) -> list[dict[str, Any]]:
    """The accounts of a firm by its BN9, as :func:`find_by_name`; raises ``UsageError`` for a text that is none."""
    from include import engine

    first = int(require_bn9(text)) * 10_000
    with engine.connect() as con:
        engine.register(con, "accounts", [_newest_accounts(ws)])
        found = con.table("accounts").filter(f"account_key BETWEEN {first} AND {first + 9_999}").order("account_key")
        return found.limit(MOST + 1).select(*_SHOWN).to_arrow_table().to_pylist()


def _newest_accounts(ws: Workspace) -> Any:
    lake = ws.lake()
    months = lake.periods("accounts")
    if not months:
        raise DataError("no month was extracted yet, so no account can be looked for: run one first (make run)")
    return lake.file("accounts", months[-1])


# Names


def name_pattern(text: str) -> str:
    """A regular expression that finds ``text`` in names as they are written: letters with any accent, any capitals.

    Folding a million names costs seconds, a pattern that knows the spellings of each letter a fraction of one.
    """
    return "".join(_spelt(part) for part in re.findall(r"oe|ae|ss|\s+|.", fold(text)))


def fold(text: str) -> str:
    """Small letters without accents, ligatures as two letters."""
    parts = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each)).casefold()
    for pair, ligatures in _PAIRS.items():
        parts = parts.replace(ligatures[0], pair)
    return parts


def _spelt(part: str) -> str:
    if part.isspace():
        return _BLANKS
    if part in _APOSTROPHES:
        return f"[{_APOSTROPHES}]"
    if part in _PAIRS:
        return f"(?:{''.join(map(_spelt, part))}|[{_PAIRS[part]}])"
    return f"[{part}{_variants().get(part, part.upper())}]{_MARKS}" if part.isalpha() else re.escape(part)


@cache
def _variants() -> dict[str, str]:
    """By small letter: its capital, and all that are it with an accent."""
    return {letter: letter.upper() + "".join(_accented(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"}


def _accented(letter: str) -> Iterator[str]:
    return (chr(code) for code in _LATIN if fold(chr(code)) == letter)
