"""Whom a message goes to: what an address may be, and the keyed hashes by which people and messages are known."""

from __future__ import annotations

import hashlib
import hmac
import re

from include.carm.errors import UsageError

LEAST_KEY_BYTES = 16
SHIPPED_KEY = b"demo-only-not-a-secret"
"""The key of ``airflow_settings.yaml``: everybody can read it, so whatever is signed with it proves nothing."""

# One @ between two parts without spaces, control characters or what would start another address in a header.
_ADDRESS = re.compile(r"[^\s\x00-\x1f\x7f@,;:<>()\[\]\"\\]{1,64}@[^\s\x00-\x1f\x7f@,;:<>()\[\]\"\\]{3,253}")
_LONGEST_ADDRESS = 254


def address_problem(address: str | None) -> str | None:
    """Why nothing can be sent to ``address``: ``no_address``, ``unusable_address``, or None where it can.

    An address of other letters than ASCII is unusable: not every server on the way carries it (RFC 6531), and a letter
    of another alphabet that looks the same makes it somebody else's. A domain may be written in its ASCII form (xn--…).
    """
    if address is None or not address.strip():
        return "no_address"
    host = address.rpartition("@")[2]
    usable = (
        address.isascii()
        and _ADDRESS.fullmatch(address)
        and len(address) <= _LONGEST_ADDRESS
        and "." in host
        and not host.startswith((".", "-"))
        and not host.endswith((".", "-"))
        and ".." not in address
    )
    return None if usable else "unusable_address"


def recipient_key(address: str, hash_key: bytes) -> str:
    """HMAC-SHA256 of an address in lower case, as 64 hex digits: the same person, not readable without the key."""
    return hmac.digest(hash_key, address.lower().encode(), "sha256").hex()


def message_key(kind: str, recipient: str, subject_of_notice: str, version: int) -> str:
    """The business key of a message, 32 hex digits: never the same for two messages, always the same for one.

    ``subject_of_notice`` is what the notice is about (an account and its statement, its closure, a month of webinars).
    """
    return hashlib.sha256(f"{kind}|{recipient}|{subject_of_notice}|{version}".encode()).hexdigest()[:32]


def checked_key(hash_key: bytes | str) -> bytes:
    """The key that hashes recipients; raises ``UsageError`` for one that is too short."""
    key = hash_key.encode() if isinstance(hash_key, str) else hash_key
    if len(key) < LEAST_KEY_BYTES:
        raise UsageError(
            f"the key that hashes recipients has {len(key)} bytes: give one of at least {LEAST_KEY_BYTES}, "
            "made by chance and kept for ever"
        )
    return key
