"""The errors that people meet: one line that says what is wrong and what to do.

The command line prints ``str(error)`` on standard error and leaves with ``error.exit_code``; the Dags'
retry policy asks only for the class. Anything that is not a ``CarmError`` is a fault of the software and keeps
its traceback.
"""

from typing import ClassVar


class CarmError(Exception):
    """The work cannot go on. The message names the thing and the way out."""

    exit_code: ClassVar[int] = 1


class UsageError(CarmError):
    """Somebody asked for something that does not exist: a period, a setting, a folder. Never retried."""

    exit_code: ClassVar[int] = 2


class DataError(CarmError):
    """The data say something that cannot be true. The same data fail again, so it is never retried."""


class Refused(CarmError):
    """A rule forbids the step at this moment. It passes when its reason passes, not by trying again."""


class Unavailable(CarmError):
    """A database is locked or missing, a disk is full: trying again later may help."""
