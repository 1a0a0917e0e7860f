"""What holds for every test: reproducible property tests, the databases, and disks that are not waited for."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.database import (  # noqa: F401  (fixtures are found by being here)
    database_url,
    engine,
    postgresql_server,
    postgresql_url,
    sqlite_url,
)
from tests.prepared import prepared  # noqa: F401

# The same examples on every machine, so that a red run can be repeated; no deadline, because a busy machine is not
# a wrong result.
settings.register_profile("house", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("house")

# The folders with the files that take longest.
LONG = [Path(__file__).parent / name for name in ("integration", "local", "statements")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first: of two workers, none waits long for the other at the end."""
    items.sort(key=lambda item: not any(folder in item.path.parents for folder in LONG))


@pytest.fixture(scope="session", autouse=True)
def helpers_of_multiprocessing_end_with_the_tests() -> Iterator[None]:
    """They would notice the end only a moment after it, and a test run leaves nothing running."""
    yield
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()


@pytest.fixture(scope="session", autouse=True)
def nothing_has_to_outlive_a_power_cut() -> Iterator[None]:
    """What a test writes ends with it, so nobody waits until it is on the disk; a killed process loses nothing so."""

    def hurry(connection: Any, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            # A file that is no database, or locked for good, is for the test to find.
            with suppress(sqlite3.Error):
                connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", hurry)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: None)
        yield
    event.remove(Engine, "connect", hurry)
