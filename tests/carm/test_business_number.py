import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.carm.business_number import (
    account_key,
    bn9_with_check_digit,
    is_bn9,
    is_valid_bn15,
    is_written_bn9,
    normalise,
    require_bn9,
    require_bn15,
)
from include.carm.errors import DataError, UsageError

eight_digits = st.integers(1, 99_999_999).map("{:08d}".format)
references = st.integers(1, 9999).map("{:04d}".format)


@pytest.mark.parametrize(
    "text",
    ["123026635RM0001", "123026635RM9999", "123 026 635 RM 0001", "123026635-rm-0001", "000000018RM0001"],
)
def test_a_business_number_of_an_import_export_account_is_valid_in_any_spelling(text):
    assert is_valid_bn15(text)


@pytest.mark.parametrize(
    "text",
    [
        "123456789RM0001",  # the check digit is wrong
        "123026634RM0001",
        "123026635RM0000",  # no account has reference 0
        "000000000RM0001",  # passes the check digit and is no number
        "123026635RC0001",
        "123026635RT0001",
        "123026635",
        "123026635RM001",
        "123026635RM00011",
        "12302663ORM0001",  # the letter O
        "١٢٣٠٢٦٦٣٥RM0001",
        "",
    ],
)
def test_what_is_no_such_number_is_invalid_and_never_repaired(text):
    assert not is_valid_bn15(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("123456789RM0001", "the check digit of 123456789 is wrong"),
        ("123456789RM001", "nine digits, RM and four digits"),
        ("123026635RC0001", "nine digits, RM and four digits"),
        ("123026635RM0000", "all zeros"),
        ("000000000RM0001", "all zeros"),
    ],
)
def test_a_person_is_told_what_is_wrong_with_a_number(text, fault):
    with pytest.raises(UsageError, match=f"^'{text}' is not a BN15 .RM. account number: .*{fault}"):
        require_bn15(text)


def test_a_number_that_is_required_comes_back_in_its_one_spelling():
    assert require_bn15(" 123 026 635 rm-0001") == "123026635RM0001"


@given(eight_digits, references)
def test_one_wrong_digit_is_always_found(first_eight, reference):
    bn9 = bn9_with_check_digit(first_eight)
    assert is_valid_bn15(f"{bn9}RM{reference}")
    wrong = f"{(int(bn9[-1]) + 1) % 10}"
    assert not is_valid_bn15(f"{bn9[:-1]}{wrong}RM{reference}")


@pytest.mark.parametrize(
    ("first_eight", "bn9"), [("00000001", "000000018"), ("00000002", "000000026"), ("12302663", "123026635")]
)
def test_the_check_digit_completes_eight_digits(first_eight, bn9):
    assert bn9_with_check_digit(first_eight) == bn9


@pytest.mark.parametrize("text", ["1234567", "123456789", "1234567x", "１２３４５６７８"])
def test_only_eight_digits_can_be_completed(text):
    with pytest.raises(DataError, match="eight digits"):
        bn9_with_check_digit(text)


def test_a_number_is_compared_without_spaces_and_hyphens():
    assert normalise(" 123 026-635 rm\t0001 ") == "123026635RM0001"


@pytest.mark.parametrize(
    ("bn15", "key"),
    [("123026635RM0001", 1230266350001), ("000000018RM9999", 189999), ("000000018 rm 0001", 180001)],
)
def test_the_account_key_is_the_number_without_its_letters(bn15, key):
    assert account_key(bn15) == key


@given(eight_digits, references, eight_digits, references)
def test_keys_sort_as_numbers_do(first, first_reference, second, second_reference):
    one = f"{bn9_with_check_digit(first)}RM{first_reference}"
    two = f"{bn9_with_check_digit(second)}RM{second_reference}"
    assert (account_key(one) < account_key(two)) == (one < two)
    assert (account_key(one) == account_key(two)) == (one == two)


def test_a_text_without_the_form_has_no_key_and_is_not_repeated_in_the_message():
    with pytest.raises(DataError) as refused:
        account_key("123026635RC0001")
    assert "123026635" not in str(refused.value)


@pytest.mark.parametrize("text", ["123026635", "123 026 635", "123-026-635"])
def test_the_number_of_a_firm_is_found_in_any_spelling(text):
    assert is_bn9(text)
    assert require_bn9(text) == "123026635"
    assert is_written_bn9(text) == (text == "123026635")


@pytest.mark.parametrize(
    ("text", "is_nine_digits", "fault"),
    [
        ("123026634", True, "the check digit of 123026634 is wrong"),
        ("000000000", True, "no business number and no reference is all zeros"),
        ("12302663", False, "nine digits"),
        ("1230266350", False, "nine digits"),
        ("123026635RM0001", False, "nine digits"),
        ("١٢٣٠٢٦٦٣٥", False, "nine digits"),
        ("", False, "nine digits"),
    ],
)
def test_what_is_no_number_of_a_firm_says_why(text, is_nine_digits, fault):
    assert is_bn9(text) == is_nine_digits
    assert not is_written_bn9(text)
    with pytest.raises(UsageError, match=fault):
        require_bn9(text)
