"""What the pages of the outbox have in common: the form of a key, the states, and how a message stands in a list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path

from include.outbox import AFTER_THE_NEW

MONTH = r"\d{4}-(?:0[1-9]|1[0-2])"
KEY = "[0-9a-f]{32}"
PAGE_ROWS = 50

STATES = ("planned", "sending", "sent", "unknown", "failed", "suppressed", "called_off", "sealed")
_CLASSES = {"sent": "good", "unknown": "bad", "failed": "bad", "suppressed": "warn"}
MEANINGS = {
    "planned": "It waits to be sent.",
    "sending": "A sender has it in hand.",
    "sent": "The mail server took it.",
    "unknown": "It was handed over and no answer came: whether the server took it is in the server's own log.",
    "failed": "The mail server did not take it, and no further attempt is made.",
    "suppressed": "Its recipient is not written to any more.",
    "called_off": "What it tells was undone, or its address was given up, before the server was given it.",
    "sealed": "A shadow run or a backfill wrote it: it is never sent.",
}

MessageKey = Annotated[str, Path(pattern=f"^{KEY}$")]


def state_class(state: str) -> str:
    """How urgent a state is, as a class of the style sheet."""
    return _CLASSES.get(state, "")


def listed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A message as a list shows it: when something last became of it, and by which id the server's log knows it."""
    return {
        **row,
        "state_class": state_class(row["state"]),
        "changed_at": instant(row["changed_at"]),
        "due_at": None if row["next_attempt_at"] == AFTER_THE_NEW else instant(row["next_attempt_at"]),
        "message_id": message_id(row),
    }


def message_id(row: Mapping[str, Any]) -> str | None:
    """The Message-ID under which the server was given the mail; None where it was given none."""
    if not row["headers"]:
        return None
    _, _, domain = json.loads(row["headers"])["from"].rpartition("@")
    return f"<{row['message_key']}@{domain}>"


def instant(written: str | None) -> datetime | None:
    """A moment as the outbox writes it."""
    return datetime.fromisoformat(written) if written else None
