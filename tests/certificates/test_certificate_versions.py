"""With what a certificate was made: every file that shapes a month is in one of the hashes, and nothing else is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from include.certificate_versions import NAMES, ROOT, changed_versions, describe_versions

PLACES = {
    "code_sha256": ("dags/carm_month.py", "include/month.py", "include/sql/check_open_items.sql", "plugins/new.py"),
    "packages_sha256": ("requirements.lock",),
    "rules_sha256": ("include/config/policy.yaml", "include/config/program_type_rules.csv"),
    "expectations_sha256": ("expectations/transactions.json",),
    "templates_sha256": (
        *("include/templates/statement/statement.css", "include/locale/fr/LC_MESSAGES/notices.po"),
        *("include/newsletter/default.en.md", "include/quality/templates/suite.html.j2"),
    ),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What is hashed of this project, copied."""
    for name in ("dags", "include", "plugins", "expectations"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    return tmp_path


def test_the_same_files_have_the_same_hashes_wherever_they_lie(project: Path) -> None:
    assert describe_versions(project) == describe_versions()
    assert tuple(describe_versions()) == NAMES
    assert None not in describe_versions().values()


@pytest.mark.parametrize(
    ("name", "place"), [(name, place) for name, places in PLACES.items() for place in places], ids=str
)
def test_a_changed_file_changes_its_hash_and_no_other(project: Path, name: str, place: str) -> None:
    before = describe_versions(project)
    path = project / place
    path.write_bytes((path.read_bytes() if path.exists() else b"") + b"\n")
    assert changed_versions(before, describe_versions(project)) == [name]


def test_a_file_that_was_renamed_is_another_one(project: Path) -> None:
    before = describe_versions(project)
    (project / "include" / "month.py").rename(project / "include" / "months.py")
    assert changed_versions(before, describe_versions(project)) == ["code_sha256"]


@pytest.mark.parametrize("place", ["include/__pycache__/month.pyc", "include/config/.policy.yaml.swp", "README.md"])
def test_what_is_left_behind_beside_the_project_changes_nothing(project: Path, place: str) -> None:
    before = describe_versions(project)
    (project / place).parent.mkdir(exist_ok=True)
    (project / place).write_text("left behind", encoding="utf-8")
    assert describe_versions(project) == before


def test_what_is_not_there_is_not_known(tmp_path: Path) -> None:
    found = describe_versions(tmp_path)
    assert {name for name, value in found.items() if value is None} == set(PLACES)
