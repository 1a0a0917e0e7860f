"""The data folder as a whole: it can be used, it has room, and one command at a time works in it."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.carm.errors import Refused, Unavailable

LOCK_FILE = ".lock"
LEAST_FREE_BYTES = 200_000_000
"""A month of the demo world leaves about a third of this behind; with less room it would stop in the middle."""


@contextmanager
def hold_data_folder(folder: Path, command: str) -> Iterator[None]:
    """Make ``folder`` for its owner alone and keep other commands out of it while the block runs.

    The lock belongs to this process and ends with it, however it ends. Raises ``Unavailable`` for a folder that cannot
    be written or has no room, ``Refused`` where another command works in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / LOCK_FILE).open("a+", encoding="utf-8")
    except OSError as error:
        raise _unusable(folder, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "another command"
            raise Refused(
                f"{holder} works in the data folder {folder}: wait for it or stop it, or name another with DATA=folder"
            ) from None
        try:
            require_room(folder)
            lock.truncate(0)
            lock.write(f"make {command} (process {os.getpid()})\n")
            lock.flush()
        except OSError as error:
            raise _unusable(folder, error) from error
        yield


def require_room(folder: Path) -> None:
    """Raises ``Unavailable`` when the disk of ``folder`` is nearly full."""
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise Unavailable(
            f"the disk of the data folder {folder} is full ({free // 1_000_000} MB free, "
            f"{LEAST_FREE_BYTES // 1_000_000} MB needed): make room, or name a folder on another disk with DATA=folder"
        )


def _unusable(folder: Path, error: OSError) -> Unavailable:
    if error.errno == errno.ENOSPC:
        reason, way_out = "its disk is full", "make room, or name a folder on another disk"
    else:
        reason, way_out = error.strerror or str(error), "name another"
    return Unavailable(f"cannot write to the data folder {folder} ({reason}): {way_out} with DATA=folder")
