"""What holds for every test: reproducible property tests, and the databases."""

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
