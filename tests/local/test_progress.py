"""What a person reads while Airflow works."""

import io

import pytest

from include.local_airflow.progress import Progress, describe_counts, label_task


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"transactions": 1234, "accounts": 5}, "transactions 1,234, accounts 5"),
        ({"rows": {"quarantine": 80}, "by_kind": {"closure": {"en": 7}}}, "rows quarantine 80, closure en 7"),
        ({"closing_cents": 99, "plan_hash": "abc", "is_final": True, "lines": 3}, "lines 3"),
        ({f"n{number}": number for number in range(9)}, "n0 0, n1 1, n2 2, n3 3, n4 4, n5 5 …"),
        ([{"shard": "0001"}, {"shard": "0002"}], "2 parts"),
        (None, ""),
        ({}, ""),
    ],
)
def test_a_result_is_told_by_its_counts(result, expected):
    assert describe_counts(result) == expected


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        ({"task_id": "clean_up.plan", "map_index": -1, "rendered_map_index": None}, "clean_up.plan"),
        ({"task_id": "render_shard", "map_index": 0, "rendered_map_index": "0001"}, "render_shard 0001"),
        ({"task_id": "render_shard", "map_index": 0, "rendered_map_index": None}, "render_shard 0"),
    ],
)
def test_a_task_is_called_as_in_the_grid(instance, expected):
    assert label_task(instance) == expected


def test_through_a_pipe_there_are_only_whole_lines():
    output = io.StringIO()
    progress = Progress(output)
    progress.show("working")
    progress.say("done")
    assert output.getvalue().endswith(" s  done\n")
    assert "working" not in output.getvalue()


def test_on_a_terminal_the_passing_line_is_wiped_before_the_next():
    output = Terminal()
    progress = Progress(output)
    progress.show("working")
    progress.write("RESULT: done")
    assert output.getvalue() == "working\r\x1b[KRESULT: done\n"


def test_what_went_wrong_goes_to_the_errors():
    output, errors = io.StringIO(), io.StringIO()
    Progress(output, errors).complain("the feed is short")
    assert (output.getvalue(), errors.getvalue()) == ("", "the feed is short\n")
