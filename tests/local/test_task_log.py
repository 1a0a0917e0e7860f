"""The line that a person needs is found in a task's log, and the traceback is left there."""

import json
from pathlib import Path
from typing import Any

import pytest

from include.local_airflow.task_log import error_line


def failure(kind: str, text: str, **more: Any) -> dict[str, Any]:
    """An event as Airflow writes it when a task raises."""
    detail = {"exc_type": kind, "exc_value": text, "frames": [{"filename": "x.py", "lineno": 1, "name": "f"}]}
    return {"level": "error", "event": "Task failed with exception", "error_detail": [detail], **more}


def log(tmp_path: Path, *events: dict[str, Any] | str) -> Path:
    file = tmp_path / "attempt=1.log"
    lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
    file.write_text("\n".join([*lines, '{"level": "info", "event": "::endgroup::"}']), encoding="utf-8")
    return file


@pytest.mark.parametrize("kind", ["DataError", "Refused", "UsageError", "Unavailable"])
def test_an_error_of_the_house_is_its_own_line(tmp_path, kind):
    assert error_line(log(tmp_path, failure(kind, "the feed is short: mend it"))) == "the feed is short: mend it"


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("ZeroDivisionError", "division by zero", "ZeroDivisionError: division by zero"),
        ("sqlalchemy.exc.OperationalError", "first\n  second", "OperationalError: first second"),
        ("AssertionError", "", "AssertionError"),
        ("ValueError", "x" * 1000, "ValueError: " + "x" * 300),
    ],
)
def test_any_other_error_is_named_and_fits_on_a_line(tmp_path, kind, text, expected):
    assert error_line(log(tmp_path, failure(kind, text))) == expected


def test_the_error_that_the_task_ended_with_counts_and_not_its_cause(tmp_path):
    event = failure("DataError", "the month does not add up")
    event["error_detail"].append({"exc_type": "KeyError", "exc_value": "'a'", "is_cause": True})
    assert error_line(log(tmp_path, event)) == "the month does not add up"


def test_a_task_that_was_killed_has_the_line_of_its_supervisor(tmp_path):
    event = {"level": "critical", "event": "Process terminated by signal.\nFor more information, see", "signal": -9}
    assert error_line(log(tmp_path, event)) == "Process terminated by signal. For more information, see"


def test_lines_that_are_no_events_are_passed_over(tmp_path):
    assert error_line(log(tmp_path, "{not json", "[]", failure("Refused", "not now"))) == "not now"


def test_a_log_without_an_error_tells_none(tmp_path):
    assert error_line(log(tmp_path, {"level": "info", "event": "done"})) is None
    assert error_line(tmp_path / "missing.log") is None
