"""The world of the audit tests, made once; every test leaves it as it found it."""

from __future__ import annotations

import pytest

from include.workspace import Workspace
from tests.audit.world import make_world


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_world(tmp_path_factory.mktemp("audited"))
