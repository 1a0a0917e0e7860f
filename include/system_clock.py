"""The clock of this machine. Only what stands at the edge may import it: a Dag's task that sends, a command.

What a month computes depends on its period and never on the day on which it runs.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path


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
