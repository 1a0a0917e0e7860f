"""What a token is: one spelling for one recipient under one key, and nothing else is taken for one."""

from __future__ import annotations

import base64
import hmac
import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from include.carm.errors import UsageError
from include.carm.recipients import SHIPPED_KEY, recipient_key
from include.unsubscribe import make_token, read_token, require_secret
from tests.unsubscribe.outbox import ADDRESS, HASH_KEY, READER

TOKEN = make_token(READER, HASH_KEY)
ALPHABET = string.ascii_letters + string.digits + "-_"

recipients = st.binary(min_size=32, max_size=32).map(bytes.hex)
keys = st.binary(min_size=16, max_size=64)


def is_token(text: str, key: bytes = HASH_KEY) -> bool:
    try:
        read_token(text, key)
    except UsageError:
        return False
    return True


@given(recipients, keys)
def test_a_token_gives_its_recipient_back_and_is_the_same_each_time(recipient: str, key: bytes) -> None:
    token = make_token(recipient, key)
    assert (read_token(token, key), make_token(recipient, key)) == (recipient, token)
    assert len(token) == 86
    assert not set(token) - set(ALPHABET)


@given(recipients, keys, keys)
def test_a_token_of_one_key_is_none_under_another(recipient: str, one: bytes, other: bytes) -> None:
    # HMAC fills a key up with zeros, so keys that differ only in those are one key.
    if one.rstrip(b"\0") != other.rstrip(b"\0"):
        assert not is_token(make_token(recipient, one), other)


@pytest.mark.parametrize("place", range(86))
def test_no_character_can_be_another_one(place: int) -> None:
    """Also not the last, of which four bits say nothing."""
    altered = [TOKEN[:place] + other + TOKEN[place + 1 :] for other in ALPHABET if other != TOKEN[place]]
    assert [] == [text for text in altered if is_token(text)]


@given(st.text(max_size=100))
@example("")
@example(f"{TOKEN}=")
@example(f"{TOKEN}==")
@example(f"{TOKEN}\n")
@example(f" {TOKEN}")
@example(TOKEN[:-1])
@example(f"{TOKEN}A")
@example(TOKEN.replace("-", "+").replace("_", "/") + "+")
@example(READER)
@example("A" * 86)
@example("\ud800" * 86)
@example("ａ" * 86)
def test_no_other_text_is_a_token(text: str) -> None:
    assert not is_token(text)


@given(st.integers(0, 511), st.integers(0, 511))
def test_no_bits_can_be_turned(one: int, other: int) -> None:
    number = int.from_bytes(base64.urlsafe_b64decode(f"{TOKEN}=="), "big") ^ (1 << one) ^ (1 << other)
    altered = base64.urlsafe_b64encode(number.to_bytes(64, "big")).rstrip(b"=").decode()
    assert is_token(altered) == (one == other)


def test_one_sentence_refuses_them_all_so_that_no_log_holds_what_somebody_tried() -> None:
    for text in ("", TOKEN[:-1], f"{TOKEN[:-1]}!", TOKEN.swapcase()):
        with pytest.raises(UsageError) as refused:
            read_token(text, HASH_KEY)
        assert str(refused.value) == ("this is no unsubscribe token of ours: use the link as it stands in the message")


def test_the_other_alphabet_of_base64_is_none() -> None:
    recipient = next(f"{n:064x}" for n in range(1_000) if set("-_") & set(make_token(f"{n:064x}", HASH_KEY)))
    token = make_token(recipient, HASH_KEY)
    assert is_token(token)
    assert not is_token(token.replace("-", "+").replace("_", "/"))


def test_the_signature_is_no_hash_of_an_address() -> None:
    """Whoever could choose an address would else let the program sign a token: its hash is published."""
    plain = hmac.digest(HASH_KEY, bytes.fromhex(READER), "sha256")
    assert not is_token(base64.urlsafe_b64encode(bytes.fromhex(READER) + plain).rstrip(b"=").decode())
    signature = base64.urlsafe_b64decode(f"{TOKEN}==")[32:]
    assert signature != bytes.fromhex(recipient_key(ADDRESS, HASH_KEY))


@pytest.mark.parametrize("text", ["", ADDRESS, READER.upper(), READER[:-1], f"{READER}0", f" {READER[1:]}", "g" * 64])
def test_a_token_is_made_for_a_recipient_key_alone(text: str) -> None:
    with pytest.raises(UsageError, match="64 hex digits"):
        make_token(text, HASH_KEY)


@pytest.mark.parametrize(
    ("url", "is_refused"),
    [
        ("", False),
        ("http://127.0.0.1:8090", False),
        ("http://localhost:8090", False),
        ("https://localhost", False),
        ("https://news.example.org", True),
        ("https://localhost.example.org", True),
        ("https://127.0.0.1.example.org", True),
    ],
)
def test_the_key_that_everybody_can_read_signs_no_link_for_the_world(url: str, is_refused: bool) -> None:
    require_secret(b"a key of one's own, made by chance", url)
    if not is_refused:
        require_secret(SHIPPED_KEY, url)
        return
    with pytest.raises(UsageError, match="is the one that this project is shipped with"):
        require_secret(SHIPPED_KEY, url)


def test_the_shipped_key_is_that_of_the_settings() -> None:
    settings = Path(__file__).parents[2] / "airflow_settings.yaml"
    assert f"recipient_hash_key: {SHIPPED_KEY.decode()}\n" in settings.read_text(encoding="utf-8")
