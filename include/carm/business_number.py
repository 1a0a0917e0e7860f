"""Business numbers: the BN15 of an import/export account, such as ``000000018RM0001``.

A BN15 is a BN9, the program identifier RM and a four-digit reference. The BN9 passes the Luhn check, which
python-stdnum knows; what that package also accepts (other programs, reference 0000, a BN9 of zeros) is refused
here. A digit is never repaired: an invalid number goes to quarantine with its reason.
"""

import re

from stdnum import luhn

from include.carm.errors import DataError, UsageError

_ODD = re.compile(r"[^0-9A-Za-z]+")
_SEPARATORS = re.compile(r"[\s-]+")
# [0-9] and not \d: other scripts' digits look right to a person and are no business number.
_BN15 = re.compile(r"([0-9]{9})RM([0-9]{4})")
_BN9 = re.compile(r"[0-9]{9}")
_EIGHT_DIGITS = re.compile(r"[0-9]{8}")

_ALL_ZEROS = "no business number and no reference is all zeros"


def normalise(text: str) -> str:
    """Upper case, without spaces and hyphens: how a number is compared, never a judgement of it."""
    return _SEPARATORS.sub("", text).upper()


def bare_number(text: str) -> str:
    """Letters and digits alone, in upper case: the account that a number with odd characters in it may mean."""
    return _ODD.sub("", text).upper()


def is_valid_bn15(text: str) -> bool:
    """Whether the text, in any spelling, is the number of an RM account with a right check digit."""
    return _find_fault(normalise(text)) is None


def require_bn15(text: str) -> str:
    """The BN15 in its one spelling; raises ``UsageError``, saying what is wrong, for a text that is none."""
    number = normalise(text)
    fault = _find_fault(number)
    if fault is not None:
        raise UsageError(f"'{text}' is not a BN15 (RM) account number: {fault}")
    return number


def is_bn9(text: str) -> bool:
    """Whether the text is nine digits when it is normalised: the number of a firm, be it right or wrong."""
    return _BN9.fullmatch(normalise(text)) is not None


def is_written_bn9(text: str) -> bool:
    """Whether the text is the valid number of a firm in its one spelling, ``000000026``."""
    return _BN9.fullmatch(text) is not None and _find_fault_of_bn9(text) is None


def require_bn9(text: str) -> str:
    """The BN9 in its one spelling; raises ``UsageError``, saying what is wrong, for a text that is none."""
    number = normalise(text)
    fault = _find_fault_of_bn9(number) if is_bn9(text) else "nine digits"
    if fault is not None:
        raise UsageError(f"'{text}' is not a business number (BN9) of a firm: {fault}")
    return number


def _find_fault(number: str) -> str | None:
    """What keeps a normalised text from being the number of an RM account."""
    parts = _BN15.fullmatch(number)
    if parts is None:
        return "nine digits, RM and four digits"
    bn9, reference = parts.groups()
    if reference == "0000":
        return _ALL_ZEROS
    return _find_fault_of_bn9(bn9)


def _find_fault_of_bn9(bn9: str) -> str | None:
    """What keeps nine digits from being the number of a firm."""
    if bn9 == "000000000":
        return _ALL_ZEROS
    if not luhn.is_valid(bn9):
        return f"the check digit of {bn9} is wrong, so a digit of it is; look at the number again"
    return None


def bn9_with_check_digit(first_eight: str) -> str:
    """The BN9 that begins with these eight digits. For made-up numbers: real ones are given, not computed.

    Raises ``DataError`` where the text is not eight digits.
    """
    if _EIGHT_DIGITS.fullmatch(first_eight) is None:
        raise DataError(f"'{first_eight}' is not eight digits: a check digit completes exactly eight")
    return first_eight + luhn.calc_check_digit(first_eight)


def account_key(bn15: str) -> int:
    """The BN15 as an integer, BN9 times 10,000 plus the reference; grouping by it costs a quarter of the text.

    The same in SQL, for a ``bn15`` that validation let pass:
    ``CAST(substr(bn15, 1, 9) AS BIGINT) * 10000 + CAST(substr(bn15, 12, 4) AS BIGINT)``.
    Raises ``DataError`` for a text that has not the form of a BN15; the check digit is not looked at.
    """
    number = _BN15.fullmatch(normalise(bn15))
    if number is None:
        raise DataError("this text has not the form of a BN15 (nine digits, RM, four digits), so it has no key")
    return int(number[1]) * 10000 + int(number[2])
