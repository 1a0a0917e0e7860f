"""The world of the audit tests, made once; every test leaves it as it found it."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.workspace import Workspace
from tests.audit.world import make_world
from tests.prepared import Prepared


@pytest.fixture(scope="session")
def made(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return prepared.copy(tmp_path_factory.mktemp("audited") / "data", audited)


def audited(prepared: Prepared, data: Path) -> None:
    make_world(data)
