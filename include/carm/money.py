"""Amounts as people read them. Inside the system money is integer cents; no float ever holds an amount.

English ``$1,234.56``, French ``1 234,56 $`` with no-break spaces, as the Translation Bureau and Babel's ``en_CA``
and ``fr_CA`` write them. A credit stands in brackets. Written by hand because a month prints millions of amounts
and Babel takes ten times as long; the tests hold it against Babel.
"""

from operator import index

LOCALE_VERSION = "Babel 2.18.0, en_CA and fr_CA"
"""Whose way of writing numbers this follows; a test holds it against the Babel that is installed."""

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


_CENTS = [f"{cents:02d}" for cents in range(100)]
_DOLLARS = [str(dollars) for dollars in range(1000)]
_THOUSANDTHS = [f"{dollars:03d}" for dollars in range(1000)]
# Between thousands, and before the cents.
_MARKS = {"en": (",", "."), "fr": (NO_BREAK_SPACE, ",")}


def format_money(cents: int, language: str) -> str:
    """Cents as dollars with the sign of the currency: ``$1,234.56``, a credit ``($123.45)``.

    ``language`` is ``en`` or ``fr`` (``ValueError`` otherwise); anything but whole cents is a ``TypeError``.
    """
    amount = format_amount(abs(index(cents)), language)
    amount = f"${amount}" if language == "en" else f"{amount}{NO_BREAK_SPACE}$"
    return f"({amount})" if cents < 0 else amount


def format_amount(cents: int, language: str) -> str:
    """The same without the currency, for columns whose heading names it: ``1,234.56``, a credit ``(123.45)``."""
    if language not in _MARKS:
        raise ValueError(f"no amounts in language {language!r}: only en and fr")
    group, point = _MARKS[language]
    dollars, rest = divmod(abs(index(cents)), 100)
    # Nearly all amounts are below a million dollars, and looking parts up takes half as long as formatting them.
    if dollars < 1000:
        amount = f"{_DOLLARS[dollars]}{point}{_CENTS[rest]}"
    elif dollars < 1_000_000:
        amount = f"{_DOLLARS[dollars // 1000]}{group}{_THOUSANDTHS[dollars % 1000]}{point}{_CENTS[rest]}"
    else:
        amount = f"{dollars:,}".replace(",", group) + point + _CENTS[rest]
    return f"({amount})" if cents < 0 else amount
