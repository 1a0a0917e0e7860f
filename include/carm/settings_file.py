"""Reading the dated tables and the policy: every wrong value is named with its file and key.

A setting that is misspelt would otherwise be a rule that silently does not hold, so unknown keys are errors too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Self

import yaml

from include.carm.errors import UsageError
from include.carm.period import Period

CONFIG_FOLDER = Path(__file__).resolve().parents[1] / "config"


@dataclass(frozen=True)
class Settings:
    """One mapping of a settings file, with the path of keys that leads to it."""

    file: Path
    keys: tuple[str, ...]
    values: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a YAML file whose top level is a mapping. Raises ``UsageError`` that names the file."""
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"settings file {path} cannot be read: {error.strerror or error}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"settings file {path} is not valid YAML: {reason}") from error
        return cls(path, (), _mapping(values, path, ()))

    def allow(self, *names: str) -> None:
        """Refuse keys that nobody reads."""
        unknown = sorted(str(name) for name in self.values if name not in names)
        if unknown:
            raise self.wrong(unknown[0], f"is unknown: write one of {', '.join(names)}")

    def section(self, name: str) -> Self:
        return type(self)(self.file, (*self.keys, name), _mapping(self._get(name), self.file, (*self.keys, name)))

    def sections(self, name: str) -> Iterator[Self]:
        """The mappings of a list, in the order of the file."""
        rows = self._get(name)
        if not isinstance(rows, list):
            raise self.wrong(name, "is not a list")
        for position, row in enumerate(rows):
            keys = (*self.keys, f"{name}[{position}]")
            yield type(self)(self.file, keys, _mapping(row, self.file, keys))

    def text(self, name: str) -> str:
        value = self._get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(name, f"is {value!r}: write a text")
        return value

    def choice(self, name: str, *choices: str) -> str:
        value = self._get(name)
        if value not in choices:
            raise self.wrong(name, f"is {value!r}: write one of {', '.join(choices)}")
        return str(value)

    def choices(self, name: str, *choices: str) -> tuple[str, ...]:
        """A list of words, each at most once, in the order of the file."""
        values = self._get(name)
        if not isinstance(values, list) or any(value not in choices for value in values):
            raise self.wrong(name, f"is {values!r}: write a list of {', '.join(choices)}")
        if len(set(values)) < len(values):
            raise self.wrong(name, f"is {values!r}: write each word once")
        return tuple(values)

    def flag(self, name: str) -> bool:
        value = self._get(name)
        if not isinstance(value, bool):
            raise self.wrong(name, f"is {value!r}: write true or false")
        return value

    def count(self, name: str, *, least: int = 0, most: int | None = None) -> int:
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least or (most or value) < value:
            bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
            raise self.wrong(name, f"is {value!r}: write a whole number {bounds}")
        return value

    def number(self, name: str, *, least: float = 0) -> float:
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < float("inf"):
            raise self.wrong(name, f"is {value!r}: write a number of at least {least:g}")
        return float(value)

    def share(self, name: str) -> float:
        """A part of a whole, from 0 to 1."""
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise self.wrong(name, f"is {value!r}: write a share from 0 to 1, for example 0.05")
        return float(value)

    def day(self, name: str) -> date:
        value = self._get(name)
        # YAML gives a datetime, which is also a date, for a value with a time of day.
        if type(value) is not date:
            raise self.wrong(name, f"is {value!r}: write a day as YYYY-MM-DD")
        return value

    def period(self, name: str) -> Period:
        value = self._get(name)
        try:
            return Period.parse(value if isinstance(value, str) else str(value))
        except UsageError as error:
            raise self.wrong(name, f"is wrong: {error}") from error

    def is_null(self, name: str) -> bool:
        return self._get(name) is None

    def wrong(self, name: str, problem: str) -> UsageError:
        return UsageError(f"settings file {self.file}: {'.'.join((*self.keys, name))} {problem}")

    def _get(self, name: str) -> Any:
        if name not in self.values:
            raise self.wrong(name, "is missing")
        return self.values[name]


def _mapping(value: object, file: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        place = ".".join(keys) or "its top level"
        raise UsageError(f"settings file {file}: {place} is not a mapping of keys to values")
    return value
