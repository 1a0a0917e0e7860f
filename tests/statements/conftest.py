"""What most tests of acts about issued statements begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.workspace import Workspace
from tests.prepared import Prepared
from tests.statements.acts import two_issued_months


@pytest.fixture
def ws(prepared: Prepared, tmp_path: Path) -> Workspace:
    """A world of two issued months, the test's own; a file about something else has a ``ws`` of its own."""
    return prepared.copy(tmp_path / "data", two_issued_months)
