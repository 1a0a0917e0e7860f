"""Airflow executes what lies below ``plugins/`` under its bare name, so only what is named a plugin may count."""

from pathlib import Path
from shutil import copy

PLUGINS = Path(__file__).parents[2] / "plugins"


def test_airflow_loads_only_files_that_are_named_plugins(airflow_home, tmp_path):
    from airflow._shared.module_loading import find_path_from_directory

    copy(PLUGINS / ".airflowignore", tmp_path)
    (tmp_path / "portal").mkdir()
    for name in ("portal_plugin.py", "queries.py", "portal/pages.py", "portal/more_plugin.py"):
        (tmp_path / name).touch()
    found = {
        Path(path).relative_to(tmp_path).as_posix() for path in find_path_from_directory(tmp_path, ".airflowignore")
    }
    assert {path for path in found if path.endswith(".py")} == {"portal_plugin.py", "portal/more_plugin.py"}
