from __future__ import annotations

import pytest
from sqlalchemy.engine import Engine

from include.database import connect_engine
from tests.unsubscribe.outbox import create_tables


@pytest.fixture
def tables(sqlite_url: str) -> Engine:
    """An SQLite database with the tables of the pipeline, and nothing in them."""
    return create_tables(connect_engine(sqlite_url, create=True, wait_seconds=1))
