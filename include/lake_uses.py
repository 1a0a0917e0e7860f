"""Which datasets of the lake this process has read, and which it has sealed: what lineage is drawn from.

Noted where every reading and every sealing passes, so that nobody has to write down a second time what a step reads.
"""

from __future__ import annotations

_read: set[tuple[str, str]] = set()
_sealed: set[tuple[str, str]] = set()


def note_read(area: str, dataset: str) -> None:
    """A file of ``dataset`` in ``area`` was asked for, and was there."""
    _read.add((area, dataset))


def note_sealed(area: str, dataset: str) -> None:
    """A file of ``dataset`` in ``area`` counts from now on, or was found to be the one that counts."""
    _sealed.add((area, dataset))


def take_uses() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """What was read and what was sealed since this was last asked, each as ``(area, dataset)`` in a fixed order.

    What a step both read and sealed is told as sealed alone: it carried it on from the month before, or looked at what
    it had made.
    """
    read, sealed = sorted(_read - _sealed), sorted(_sealed)
    _read.clear()
    _sealed.clear()
    return read, sealed
