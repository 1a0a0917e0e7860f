"""What holds for every test: reproducible property tests, the databases, and who shares a worker."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.database import (  # noqa: F401  (fixtures are found by being here)
    database_url,
    engine,
    postgresql_server,
    postgresql_url,
    sqlite_url,
)

TESTS = Path(__file__).parent

# The same examples on every machine, so that a red run can be repeated; no deadline, because a busy machine is not
# a wrong result.
settings.register_profile("house", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("house")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests in one worker, for its fixtures; and all of Airflow in one, because it starts slowly."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            folder = item.path.relative_to(TESTS).parts[0]
            group = "airflow" if folder == "dags" else str(item.path.relative_to(TESTS))
            item.add_marker(pytest.mark.xdist_group(group))
