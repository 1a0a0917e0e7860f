"""With what a certificate was made: hashes over the code, the rules and the templates of this installation."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = "carm-statements"

# By name: the folders and files that are hashed together, and the endings of the names that count (none: all).
_PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "code_sha256": (("dags", "include", "plugins"), (".py", ".sql")),
    "packages_sha256": (("requirements.lock",), ()),
    "rules_sha256": (("include/config",), ()),
    "expectations_sha256": (("expectations",), ()),
    "templates_sha256": (
        ("include/templates", "include/locale", "include/newsletter", "include/quality/templates"),
        (),
    ),
}
NAMES = ("project_version", "python_version", *_PARTS)


def describe_versions(root: Path = ROOT) -> dict[str, str | None]:
    """The version of the project and of Python, and the hashes; None for what is not there to be hashed."""
    try:
        project = version(PACKAGE)
    except PackageNotFoundError:
        project = None
    hashes = {name: _hash_files(root, places, endings) for name, (places, endings) in _PARTS.items()}
    return {"project_version": project, "python_version": platform.python_version(), **hashes}


def changed_versions(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The names of what is another one now."""
    return [name for name in NAMES if then.get(name) != now.get(name)]


def _hash_files(root: Path, places: tuple[str, ...], endings: tuple[str, ...]) -> str | None:
    """SHA-256 over names and bytes of the files below ``places``, in the order of their names; None without any."""
    digest, has_any = hashlib.sha256(), False
    for path in sorted(_files(root, places), key=lambda path: path.relative_to(root).as_posix()):
        if not endings or path.suffix in endings:
            has_any = True
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest() if has_any else None


def _files(root: Path, places: tuple[str, ...]) -> Iterator[Path]:
    for place in places:
        found = [root / place] if (root / place).is_file() else (root / place).rglob("*")
        # What an editor or a desktop leaves beside them is no part of the project.
        yield from (path for path in found if path.is_file() and not _is_left_behind(path))


def _is_left_behind(path: Path) -> bool:
    return path.name.startswith(".") or "__pycache__" in path.parts
