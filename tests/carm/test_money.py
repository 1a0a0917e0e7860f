from decimal import Decimal

import babel
import pytest
from babel.numbers import format_currency, format_decimal
from hypothesis import given
from hypothesis import strategies as st

from include.carm.money import LOCALE_VERSION, NO_BREAK_SPACE, format_amount, format_money

cents = st.integers(-(10**15), 10**15)


@pytest.mark.parametrize(
    ("amount", "english", "french"),
    [
        (123456, "$1,234.56", "1~234,56~$"),
        (0, "$0.00", "0,00~$"),
        (1, "$0.01", "0,01~$"),
        (-1, "($0.01)", "(0,01~$)"),
        (-12345, "($123.45)", "(123,45~$)"),
        (99, "$0.99", "0,99~$"),
        (100, "$1.00", "1,00~$"),
        (99999, "$999.99", "999,99~$"),
        (100000, "$1,000.00", "1~000,00~$"),
        (-100701, "($1,007.01)", "(1~007,01~$)"),
        (99999999, "$999,999.99", "999~999,99~$"),
        (100000000, "$1,000,000.00", "1~000~000,00~$"),
        (123456789012, "$1,234,567,890.12", "1~234~567~890,12~$"),
    ],
)
def test_an_amount_reads_as_each_language_writes_it(amount, english, french):
    assert format_money(amount, "en") == english
    assert format_money(amount, "fr") == french.replace("~", NO_BREAK_SPACE)


def test_a_column_that_names_its_currency_prints_the_amount_alone():
    assert format_amount(-123456, "en") == "(1,234.56)"
    assert format_amount(-123456, "fr") == f"(1{NO_BREAK_SPACE}234,56)"


def test_the_version_that_the_registry_keeps_is_that_of_the_babel_which_the_amounts_are_held_against():
    assert f"Babel {babel.__version__}," in LOCALE_VERSION


@given(cents)
def test_babel_writes_the_same(amount):
    dollars = Decimal(abs(amount)) / 100
    for language in ("en", "fr"):
        currency = format_currency(dollars, "CAD", locale=f"{language}_CA")
        plain = format_decimal(dollars, format="#,##0.00", locale=f"{language}_CA")
        assert format_money(abs(amount), language) == currency
        assert format_money(-abs(amount) - 1, language).startswith("(")
        assert format_amount(abs(amount), language) == plain


@pytest.mark.parametrize("amount", [1.0, Decimal(1), "1", None])
def test_only_whole_cents_are_money(amount):
    with pytest.raises(TypeError):
        format_money(amount, "en")


def test_a_third_language_is_refused():
    with pytest.raises(ValueError, match="only en and fr"):
        format_money(1, "de")
