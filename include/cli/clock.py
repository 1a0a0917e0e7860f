"""The one place that asks what day it is: a person at the command line, or at the unsubscribe page, acts today.

What a month computes never comes here: its time is its period (``tests/test_architecture.py`` holds both).
"""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

_TORONTO = ZoneInfo("America/Toronto")


def read_day() -> date:
    """The day that it is in Toronto, whose calendar the programme keeps."""
    return datetime.now(_TORONTO).date()
