"""Counts as people read them in English: ``1 account``, ``4,890 accounts``."""


def tell_count(count: int, noun: str) -> str:
    """The count and its noun: ``1 account``, ``2 accounts``."""
    return f"{count:,} {inflect(count, noun)}"


def inflect(count: int, noun: str) -> str:
    """The noun, with an s unless there is one of it."""
    return noun if count == 1 else f"{noun}s"
