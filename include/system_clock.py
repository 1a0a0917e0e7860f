"""The clock of this machine. Only what stands at the edge may import it: the task that sends, a command.

What a month computes depends on its period and never on the day on which it runs.
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

_TORONTO = ZoneInfo("America/Toronto")


def read_day() -> date:
    """The day that it is in Toronto, whose calendar the programme keeps."""
    return datetime.now(_TORONTO).date()


def boot_of_this_machine() -> str:
    """A name of this machine since it was last started; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


class SystemClock:
    """Tells the time in UTC, and waits."""

    def instant(self) -> datetime:
        """This moment."""
        return datetime.now(UTC)

    def wait(self, seconds: float) -> None:
        """Let so many seconds pass."""
        time.sleep(seconds)
