"""Finds, in the log of a failed task, the one line that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from include.carm import errors
from include.carm.errors import CarmError

LONGEST_FOREIGN_TEXT = 300

# Errors that carry their own way out; of all others the reader must also know the kind.
_PLAIN = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, CarmError)}


def error_line(log: Path) -> str | None:
    """The last error that a task's log tells, without its traceback; None when the log is missing or tells none.

    Airflow writes a JSON object a line; an exception is in ``error_detail``, the outermost first.
    """
    last = None
    for event in _read_events(log):
        if details := event.get("error_detail"):
            detail = details[0]
            text = " ".join(str(detail.get("exc_value", "")).split())
            kind = str(detail.get("exc_type", "error")).rpartition(".")[2]
            last = text if kind in _PLAIN and text else f"{kind}: {text[:LONGEST_FOREIGN_TEXT]}".removesuffix(": ")
        elif event.get("level") in ("error", "critical") and event.get("event"):
            last = last or " ".join(str(event["event"]).split())
    return last


def _read_events(log: Path) -> Iterator[dict[str, Any]]:
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, dict):
                    yield event
    except OSError:
        return
