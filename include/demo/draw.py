"""Chance without a sequence: a value is a hash of the seed, of its purpose and of its keys, in whole numbers only."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
_Words = NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


class Draw:
    """Draws from one seed. ``purpose`` keeps draws apart; ``keys`` are integers or arrays of one shape."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def below(self, purpose: str, limit: int | Integers, *keys: int | Integers) -> Integers:
        """Integers from 0 to ``limit`` - 1, all as likely; ``limit`` is at least 1 and below 2**31."""
        upper = self._words(purpose, keys) >> np.uint64(32)
        return ((upper * np.asarray(limit, dtype=np.uint64)) >> np.uint64(32)).astype(np.int64)

    def between(self, purpose: str, least: int | Integers, most: int | Integers, *keys: int | Integers) -> Integers:
        """Integers from ``least`` to ``most``, both included, all as likely."""
        return least + self.below(purpose, np.maximum(np.asarray(most) - least + 1, 1), *keys)

    def happens(self, purpose: str, of_10000: int | Integers, *keys: int | Integers) -> Flags:
        """Whether something happens that does so ``of_10000`` times in ten thousand."""
        return self.below(purpose, 10_000, *keys) < of_10000

    def _words(self, purpose: str, keys: tuple[int | Integers, ...]) -> _Words:
        label = hashlib.sha256(f"{self._seed}/{purpose}".encode()).digest()
        words = np.full(1, int.from_bytes(label[:8], "little"), dtype=np.uint64)
        for key in keys:
            words = _mix(words + np.asarray(key).astype(np.uint64) * _STEP)
        return _mix(words)


def _mix(words: _Words) -> _Words:
    # The finaliser of SplitMix64 (Steele, Lea, Flood, 2014): every bit of the input moves every bit of the result.
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))
