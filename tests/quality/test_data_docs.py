"""The pages that a person opens after a run: offline, private, the same each time."""

import html.parser
import json
import multiprocessing
import stat
from pathlib import Path

import pytest

from include.carm.errors import DataError
from include.quality.data_docs import publish_page
from include.quality.suites import DATASETS, load_suite

COUNTS = {"email_is_present": 2, "language_is_known": 1}


def _publish(
    folder: Path, dataset: str = "subscribers", run_name: str = "2021-12", counts: dict[str, int] | None = None
) -> Path:
    suite = load_suite(dataset)
    failed = counts or {}
    return publish_page(
        folder,
        run_name,
        suite,
        missing=[],
        counts={rule.name: failed.get(rule.name, 0) for rule in suite.rules},
        evaluated_rows=12_345,
    )


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [(tag, value or "") for name, value in attrs if name in {"href", "src", "action", "srcset"}]


def _read(page: Path) -> _Links:
    links = _Links()
    links.feed(page.read_text(encoding="utf-8"))
    return links


def test_a_page_says_what_was_judged_and_what_failed(tmp_path: Path) -> None:
    text = _publish(tmp_path, counts=COUNTS).read_text(encoding="utf-8")
    assert "12,345 rows judged by 7 rules" in text
    assert '<td>email_is_present<br><code>email is present</code></td><td class="number">2</td>' in text
    assert "quarantine: key_missing" in text
    assert "The list is made of addresses." in text


def test_what_failed_stands_above_what_did_not(tmp_path: Path) -> None:
    text = _publish(tmp_path, counts=COUNTS).read_text(encoding="utf-8")
    places = [
        text.index(words) for words in ("What failed", "language_is_known", "What did not", "subscribed_on_is_present")
    ]
    assert sorted(places) == places


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ({}, "passed"),
        ({"language_is_known": 1}, "noted"),
        ({"language_is_known": 1, "email_is_present": 1}, "set apart"),
    ],
)
def test_a_page_carries_the_gravest_outcome_of_its_rules(tmp_path: Path, counts: dict[str, int], state: str) -> None:
    page = _publish(tmp_path, counts=counts)
    assert json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))["state"] == state


def test_a_stopped_month_is_marked_as_such(tmp_path: Path) -> None:
    page = _publish(tmp_path, "statements", counts={"bn15_is_unique": 2})
    assert json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))["state"] == "stopped"


def test_a_missing_column_leaves_every_other_rule_unjudged(tmp_path: Path) -> None:
    suite = load_suite("subscribers")
    counts = {rule.name: 0 for rule in suite.rules}
    page = publish_page(tmp_path, "r", suite, missing=["email"], counts=counts, evaluated_rows=0)
    facts = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert [rule["state"] for rule in facts["rules"]] == ["stopped"] + ["not judged"] * len(suite.rules)
    assert "columns are missing: email" in page.read_text(encoding="utf-8")


def test_the_pages_open_offline_and_call_nobody(tmp_path: Path) -> None:
    for dataset in DATASETS:
        _publish(tmp_path, dataset)
    for page in tmp_path.rglob("*.html"):
        links = _read(page)
        assert not links.tags & {"script", "link", "img", "iframe", "form", "object", "embed", "base"}
        for _, target in links.found:
            assert (page.parent / target).is_file(), f"{page.name} points to {target}"
        assert "url(" not in page.read_text(encoding="utf-8")
        assert "@import" not in page.read_text(encoding="utf-8")


def test_the_index_lists_every_run_and_dataset_the_latest_run_first(tmp_path: Path) -> None:
    _publish(tmp_path, "subscribers", "2021-11")
    _publish(tmp_path, "subscribers", "2021-12")
    _publish(tmp_path, "webinars", "2021-12")
    assert [target for tag, target in _read(tmp_path / "index.html").found if tag == "a"] == [
        "2021-12/subscribers.html",
        "2021-12/webinars.html",
        "2021-11/subscribers.html",
    ]


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    def read_all() -> dict[str, bytes]:
        return {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*.*")}

    for dataset in DATASETS:
        _publish(tmp_path, dataset)
    first = read_all()
    for dataset in reversed(DATASETS):
        _publish(tmp_path, dataset)
    assert first == read_all()


def test_files_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data_docs"
    _publish(folder)
    modes = {path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {
        "data_docs": 0o700,
        "data_docs/.lock": 0o600,
        "data_docs/index.html": 0o600,
        "data_docs/2021-12": 0o700,
        "data_docs/2021-12/subscribers.html": 0o600,
        "data_docs/2021-12/subscribers.json": 0o600,
    }


@pytest.mark.parametrize("run_name", ["", ".", "..", "a/b", "../x", "a b", "<b>", "a\nb"])
def test_a_run_name_that_cannot_be_a_folder_is_refused(tmp_path: Path, run_name: str) -> None:
    with pytest.raises(DataError, match="cannot name a folder"):
        _publish(tmp_path / "docs", run_name=run_name)
    assert not (tmp_path / "docs").exists()


def test_a_run_id_of_airflow_can_name_the_run(tmp_path: Path) -> None:
    _publish(tmp_path, run_name="manual__2021-12-25T06:00:00+00:00")
    ((_, target),) = _read(tmp_path / "index.html").found
    assert target == "manual__2021-12-25T06%3A00%3A00%2B00%3A00/subscribers.html"


def _publish_runs(folder: Path, dataset: str) -> None:
    for month in range(1, 9):
        _publish(folder, dataset, f"2021-{month:02}")


def test_two_tasks_that_finish_at_once_both_stand_in_the_index(tmp_path: Path) -> None:
    # Not forked: a copy of this process would hold the locks of threads that it does not have.
    context = multiprocessing.get_context("spawn")
    tasks = [
        context.Process(target=_publish_runs, args=(tmp_path, dataset), daemon=True)
        for dataset in ("subscribers", "webinars")
    ]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join(60)
        assert task.exitcode == 0
    links = [target for _, target in _read(tmp_path / "index.html").found]
    assert len(links) == 16
