"""What holds for every test: reproducible property tests, and the databases."""

from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker

import pytest
from hypothesis import settings

from tests.database import (  # noqa: F401  (fixtures are found by being here)
    database_url,
    engine,
    postgresql_server,
    postgresql_url,
    sqlite_url,
)

# The same examples on every machine, so that a red run can be repeated; no deadline, because a busy machine is not
# a wrong result.
settings.register_profile("house", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("house")


@pytest.fixture(scope="session", autouse=True)
def helpers_of_multiprocessing_end_with_the_tests() -> Iterator[None]:
    """They would notice the end only a moment after it, and a test run leaves nothing running."""
    yield
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()
