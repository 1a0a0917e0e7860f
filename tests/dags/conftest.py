"""The Dags as Airflow reads them. Airflow is imported once for all tests here, over an empty home."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DAGS = Path(__file__).parents[2] / "dags"


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Set before the first import, after which it is too late."""
    home = tmp_path_factory.mktemp("airflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(home))
        patch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", f"sqlite:///{home / 'airflow.db'}")
        patch.delenv("CARM_SCHEDULE", raising=False)
        yield home


def read_dags() -> Any:
    from airflow.dag_processing.dagbag import BundleDagBag

    return BundleDagBag(DAGS, bundle_path=DAGS, bundle_name="dags")


def serialised(dag: Any) -> Any:
    """The Dag as the scheduler sees it."""
    from airflow.serialization.serialized_objects import DagSerialization

    return DagSerialization.from_dict(DagSerialization.to_dict(dag))


@pytest.fixture(scope="session")
def dag_bag(airflow_home: Path) -> Any:
    return read_dags()


@pytest.fixture
def scheduled_dag_bag(dag_bag: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The Dags where the schedule is on."""
    monkeypatch.setenv("CARM_SCHEDULE", "on")
    monkeypatch.delitem(sys.modules, "task_settings")
    return read_dags()


@pytest.fixture
def run_context(dag_bag: Any) -> ModuleType:
    """What the Dag files share. Airflow puts their folder on the path; nothing else imports from there."""
    return sys.modules["run_context"]


@pytest.fixture
def notifiers(dag_bag: Any) -> ModuleType:
    """Who is told what of a run."""
    return sys.modules["notifiers"]


@pytest.fixture
def month_dag(dag_bag: Any) -> Any:
    return dag_bag.dags["carm_month"]
