"""Amounts as people read them. Inside the system money is integer cents; no float ever holds an amount.

English ``$1,234.56``, French ``1 234,56 $`` with no-break spaces, as the Translation Bureau and Babel's ``en_CA``
and ``fr_CA`` write them. A credit stands in brackets. Written by hand because a month prints millions of amounts
and Babel takes ten times as long; the tests hold it against Babel.
"""

from operator import index

LOCALE_VERSION = "Babel 2.18.0, en_CA and fr_CA"
"""Whose way of writing numbers this follows; a test holds it against the Babel that is installed."""

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


# Parts of amounts, for looking them up takes half as long as formatting them: cents, up to 999 dollars, and by language
# the same with what stands behind them, and with what stands before them too, as the last three digits of thousands.
_CENTS = [f"{cents:02d}" for cents in range(100)]
_DOLLARS = [str(dollars) for dollars in range(1000)]
_MARKS = {"en": (",", "."), "fr": (NO_BREAK_SPACE, ",")}
_PARTS = {
    language: ([f"{dollars}{point}" for dollars in range(1000)], [f"{group}{part:03d}{point}" for part in range(1000)])
    for language, (group, point) in _MARKS.items()
}


def format_money(cents: int, language: str) -> str:
    """Cents as dollars with the sign of the currency: ``$1,234.56``, a credit ``($123.45)``.

    ``language`` is ``en`` or ``fr`` (``ValueError`` otherwise); anything but whole cents is a ``TypeError``.
    """
    amount = format_amount(abs(index(cents)), language)
    amount = f"${amount}" if language == "en" else f"{amount}{NO_BREAK_SPACE}$"
    return f"({amount})" if cents < 0 else amount


def format_amount(cents: int, language: str) -> str:
    """The same without the currency, for columns whose heading names it: ``1,234.56``, a credit ``(123.45)``."""
    if language not in _PARTS:
        raise ValueError(f"no amounts in language {language!r}: only en and fr")
    below_thousand, last_three = _PARTS[language]
    amount = index(cents)
    if amount < 0:
        return f"({format_amount(-amount, language)})"
    if amount < 1_000_00:
        return below_thousand[amount // 100] + _CENTS[amount % 100]
    if amount < 1_000_000_00:
        return f"{_DOLLARS[amount // 1_000_00]}{last_three[amount // 100 % 1000]}{_CENTS[amount % 100]}"
    group, point = _MARKS[language]
    return f"{amount // 100:,}".replace(",", group) + point + _CENTS[amount % 100]
