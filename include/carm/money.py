"""Amounts as people read them. Inside the system money is integer cents; no float ever holds an amount.

English ``$1,234.56``, French ``1 234,56 $`` with no-break spaces, as the Translation Bureau and Babel's ``en_CA``
and ``fr_CA`` write them. A credit stands in brackets. Written by hand because a month prints millions of amounts
and Babel takes ten times as long; the tests hold it against Babel.
"""

from operator import index

LOCALE_VERSION = "Babel 2.18.0, en_CA and fr_CA"
"""Whose way of writing numbers this follows; a test holds it against the Babel that is installed."""

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


def format_money(cents: int, language: str) -> str:
    """Cents as dollars with the sign of the currency: ``$1,234.56``, a credit ``($123.45)``.

    ``language`` is ``en`` or ``fr`` (``ValueError`` otherwise); anything but whole cents is a ``TypeError``.
    """
    amount = _digits(cents, language)
    amount = f"${amount}" if language == "en" else f"{amount}{NO_BREAK_SPACE}$"
    return f"({amount})" if cents < 0 else amount


def format_amount(cents: int, language: str) -> str:
    """The same without the currency, for columns whose heading names it: ``1,234.56``, a credit ``(123.45)``."""
    amount = _digits(cents, language)
    return f"({amount})" if cents < 0 else amount


def _digits(cents: int, language: str) -> str:
    dollars, rest = divmod(abs(index(cents)), 100)
    if language == "en":
        return f"{dollars:,}.{rest:02d}"
    if language == "fr":
        return f"{dollars:,}".replace(",", NO_BREAK_SPACE) + f",{rest:02d}"
    raise ValueError(f"no amounts in language {language!r}: only en and fr")
