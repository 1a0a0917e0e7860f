"""Tells the folders in which somebody works from those that a killed process left.

The sign is a lock of the operating system on the folder. It ends with its process, however that ends, and it is seen
from every container that shares the disk, where process numbers say nothing. A disk that knows no such locks (a folder
on NFS has none) gives no sign, and nothing on it is taken for left.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Make ``folder`` and show, while the block runs, that somebody works in it; any number may at once."""
    descriptor = _occupy(folder)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """Whether it is sure that nobody works in ``folder``; who wants to begin waits for the block to end."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        yield _is_locked(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def _occupy(folder: Path) -> int:
    """A descriptor of ``folder`` that shows, until it is closed, that somebody works there."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue
        if not _is_locked(descriptor, fcntl.LOCK_SH) or _is_in_place(folder, descriptor):
            return descriptor
        # Cleared away between the making and the lock: once more.
        os.close(descriptor)


def _is_locked(descriptor: int, lock: int) -> bool:
    try:
        fcntl.flock(descriptor, lock)
    except OSError:
        return False
    return True


def _is_in_place(folder: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


# The folder for what a database cannot hold in memory.


@dataclass
class _Spill:
    folder: Path
    users: int = 0
    descriptor: int = -1


_spills: dict[Path, _Spill] = {}
_guard = threading.Lock()


def _forget_spills() -> None:
    """A forked process has no part in the folders of its parent."""
    global _spills, _guard
    _spills, _guard = {}, threading.Lock()


os.register_at_fork(after_in_child=_forget_spills)


@contextmanager
def spill_folder(work: Path) -> Iterator[Path]:
    """The folder below ``work`` into which this process spills; it is gone when nobody uses it any more.

    One for all who ask at once, for they share a database too (:func:`include.engine.connect`), and its memory.
    """
    with _guard:
        spill = _spills.setdefault(work, _Spill(work / f"spill-{os.getpid()}-{secrets.token_hex(4)}"))
        if not spill.users:
            spill.descriptor = _occupy(spill.folder)
        spill.users += 1
    try:
        yield spill.folder
    finally:
        with _guard:
            spill.users -= 1
            if not spill.users and _spills.get(work) is spill:
                rmtree(spill.folder, ignore_errors=True)
                os.close(spill.descriptor)


def sweep_spills(work: Path) -> None:
    """Remove the spill folders of processes that were killed."""
    # One named by a process number alone is of an earlier release, which gave no sign that it works.
    for folder in work.glob("spill-*-*"):
        with alone_in(folder) as is_alone:
            if is_alone:
                rmtree(folder, ignore_errors=True)
