"""What is malformed is refused with file, line and column, and the source stays as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import inspect
from sqlalchemy.engine import Engine

from include.database import connect_engine, read_snapshot
from include.load import LONGEST_LINE, MAXIMUM_PROBLEMS, MalformedFiles, load_folder
from tests.source.folders import columns_of, csv_lines, csv_text, write_folder

HEADER = csv_text("subscribers")
GOOD = "reader@example.org,fr,2021-10-01,\n"


@pytest.fixture
def sqlite(sqlite_url: str) -> Engine:
    return connect_engine(sqlite_url, create=True)


def problems(engine: Engine, folder: Path, *, append: bool = False) -> list[str]:
    """The faults that a load names; it must have changed nothing."""
    with pytest.raises(MalformedFiles) as caught:
        load_folder(engine, folder, append=append)
    with read_snapshot(engine) as connection:
        assert inspect(connection).get_table_names() == []
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("subscribers", "expected"),
    [
        pytest.param(b"", ["line 1: is empty: write at least the header"], id="empty file"),
        pytest.param(b"\xef\xbb\xbf", ["line 1: is empty: write at least the header"], id="only a mark"),
        pytest.param(b"\n", ["line 1: is empty: write at least the header"], id="only a line end"),
        pytest.param(
            HEADER.replace("language", "lang"),
            [
                "line 1, column lang: is not a column of subscribers",
                "line 1, column language: is missing in the header",
            ],
            id="misspelt column",
        ),
        pytest.param(
            HEADER.replace("language", "Language"),
            [
                "line 1, column Language: is not a column of subscribers",
                "line 1, column language: is missing in the header",
            ],
            id="capital letter",
        ),
        pytest.param(
            HEADER.replace("language", "email"),
            ["line 1, column email: stands twice in the header", "line 1, column language: is missing in the header"],
            id="column twice",
        ),
        pytest.param(
            "email,language\nreader@example.org,fr\n",
            [
                "line 1, column subscribed_on: is missing in the header",
                "line 1, column unsubscribed_on: is missing in the header",
            ],
            id="missing columns",
        ),
        pytest.param(
            HEADER.replace(",", ";"),
            [
                "line 1, column email;language;subscribed_on;unsubscr...: is not a column of subscribers: "
                "separate columns by commas"
            ],
            id="semicolons",
        ),
        pytest.param(GOOD, ["line 1, column reader@example.org: is not a column of subscribers"], id="no header"),
        pytest.param(HEADER + "a,b,2021-10-01\n", ["line 2: has 3 fields where the header has 4"], id="too few fields"),
        pytest.param(
            HEADER + GOOD + "a,b,2021-10-01,,\n", ["line 3: has 5 fields where the header has 4"], id="too many fields"
        ),
        pytest.param(HEADER + GOOD + "\n" + GOOD, ["line 3: is blank: remove the line"], id="blank line"),
        pytest.param(
            HEADER + GOOD + '"a"b,fr,2021-10-01,\n',
            ["line 3: closes a quoted field before its end: write a double quote inside a field twice"],
            id="quote inside a quoted field",
        ),
        pytest.param(
            HEADER + GOOD + '"a,fr,2021-10-01,\n' + GOOD,
            ["line 3: begins a quoted field that never ends: close it with a double quote"],
            id="unclosed quote",
        ),
        pytest.param(
            HEADER + GOOD + "x" * 140_000 + ",fr,2021-10-01,\n",
            ["line 3: is too long (a field holds at most 131072 characters): is a double quote missing?"],
            id="field too long",
        ),
        pytest.param(
            HEADER + GOOD + "x" * LONGEST_LINE + ",fr,2021-10-01,\n",
            ["line 3: is too long (a field holds at most 131072 characters): is a double quote missing?"],
            id="line too long",
        ),
        pytest.param(
            HEADER + GOOD + "x," * LONGEST_LINE + "\n",
            ["line 3: is too long (a field holds at most 131072 characters): is a double quote missing?"],
            id="line of many fields too long",
        ),
        pytest.param(
            HEADER.replace("\n", "\r") + GOOD,
            ["line 1: holds a lone carriage return: end lines with LF or CRLF"],
            id="lines end with CR",
        ),
        pytest.param(
            HEADER.encode() + b"a\0b,fr,2021-10-01,\n",
            ["line 2: holds a NUL byte at byte 2: write text only"],
            id="NUL byte",
        ),
        pytest.param(HEADER.encode("utf-16"), ["line 1: is UTF-16: save the file as UTF-8"], id="UTF-16"),
        pytest.param(
            HEADER.encode() + "café@example.org,fr,2021-10-01,\n".encode("latin-1") + GOOD.encode(),
            ["line 2: is not UTF-8 at byte 4: save the file as UTF-8"],
            id="Latin-1",
        ),
        pytest.param(
            HEADER + GOOD + '"a\nb\n",fr,2021-10-01,\nc,fr,2021-10-32,\n',
            ["line 6, column subscribed_on: '2021-10-32' is not a date: write YYYY-MM-DD"],
            id="line count goes on behind quoted line ends",
        ),
        pytest.param(
            HEADER + '"a\nb",fr,x,\n',
            ["line 2, column subscribed_on: 'x' is not a date: write YYYY-MM-DD"],
            id="line on which the record begins",
        ),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(
    sqlite: Engine, tmp_path: Path, subscribers: str | bytes, expected: list[str]
) -> None:
    found = problems(sqlite, write_folder(tmp_path / "in", subscribers=subscribers))
    # Where no column is known, those that are missing are named too.
    assert found[: len(expected)] == [f"subscribers.csv, {text}" for text in expected]


_NO_DAYS = (
    "2021-13-01", "2021-02-29", "2021-1-1", "20211201", "2021-12-01T00:00", " 2021-12-01", "2021-W48-3", "0000-01-01",
    "01/12/2021", "٢٠٢١-١٢-٠١", "2021-12-01\n",
)  # fmt: skip


@pytest.mark.parametrize("value", _NO_DAYS)
def test_what_is_no_day_of_the_calendar_is_refused(sqlite: Engine, tmp_path: Path, value: str) -> None:
    (found,) = problems(
        sqlite, write_folder(tmp_path / "in", transactions=csv_text("transactions", {"posted_on": value}))
    )
    assert found == f"transactions.csv, line 2, column posted_on: {value!r} is not a date: write YYYY-MM-DD"


@pytest.mark.parametrize("value", ["0001-01-01", "9999-12-31", "2020-02-29"])
def test_every_day_of_the_calendar_is_taken(engine: Engine, tmp_path: Path, value: str) -> None:
    assert load_folder(
        engine, write_folder(tmp_path / "in", transactions=csv_text("transactions", {"due_on": value}))
    ).changed


@pytest.mark.parametrize("value", ["1.0", "1e3", "1,000", "$1", "+1", "0x10", "1_000", " 1", "١", "-", "--1", "one"])
def test_what_is_no_whole_number_is_refused(sqlite: Engine, tmp_path: Path, value: str) -> None:
    folder = write_folder(tmp_path / "in", transactions=csv_text("transactions", {"amount_cents": value}))
    assert problems(sqlite, folder) == [
        f"transactions.csv, line 2, column amount_cents: {value!r} is not a whole number: "
        "write digits only, money in cents"
    ]


@pytest.mark.parametrize("value", ["9223372036854775808", "-9223372036854775809", "9" * 30])
def test_a_number_that_64_bits_do_not_hold_is_refused(sqlite: Engine, tmp_path: Path, value: str) -> None:
    folder = write_folder(tmp_path / "in", transactions=csv_text("transactions", {"amount_cents": value}))
    assert problems(sqlite, folder) == [
        f"transactions.csv, line 2, column amount_cents: {value!r} is too large a number: "
        "64 bits hold at most 9223372036854775807"
    ]


@pytest.mark.parametrize("value", ["2022-01-11T13:00:00", "2022-01-11", "13:00", "2022-01-32T13:00:00-05:00", "soon"])
def test_a_session_without_an_offset_is_refused(sqlite: Engine, tmp_path: Path, value: str) -> None:
    folder = write_folder(tmp_path / "in", webinars=csv_text("webinars", {"starts_at": value}))
    assert problems(sqlite, folder) == [
        f"webinars.csv, line 2, column starts_at: {value!r} is not a time with offset: "
        "write it like 2022-01-11T13:00:00-05:00"
    ]


def test_only_revision_may_be_absent(engine: Engine, tmp_path: Path) -> None:
    for table in ("transactions", "export_declarations"):
        columns = [name for name in columns_of(table) if name != "revision"]
        folder = write_folder(tmp_path / table, **{table: csv_text(table, {}, columns=columns)})
        assert load_folder(engine, folder, append=True).changed


@pytest.mark.parametrize("column", ["due_on", "broker_bn9", "interest_cents"])
def test_other_columns_may_not_be_absent(sqlite: Engine, tmp_path: Path, column: str) -> None:
    columns = [name for name in columns_of("transactions") if name != column]
    folder = write_folder(tmp_path / "in", transactions=csv_text("transactions", {}, columns=columns))
    assert problems(sqlite, folder) == [f"transactions.csv, line 1, column {column}: is missing in the header"]


def test_columns_may_stand_in_any_order_and_the_last_lines_may_be_blank(engine: Engine, tmp_path: Path) -> None:
    columns = columns_of("subscribers")[::-1]
    folder = write_folder(tmp_path / "in", subscribers=csv_text("subscribers", {}, columns=columns) + "\n\n")
    assert [file.rows for file in load_folder(engine, folder).files] == [0, 1]


def test_a_last_line_without_an_end_is_a_record(engine: Engine, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", subscribers=csv_text("subscribers", {}, {}).rstrip("\n"))
    assert [file.rows for file in load_folder(engine, folder).files] == [0, 2]


def test_well_typed_but_wrong_rows_are_loaded_for_validation_to_judge(engine: Engine, tmp_path: Path) -> None:
    wrong = csv_text(
        "transactions",
        {},
        {},
        {"bn15": "123456789RM0001", "kind": "ZZ", "status": "lost", "amount_cents": "7", "activity_on": "1066-10-14"},
        {"transaction_id": "", "bn15": "", "posted_on": "", "amount_cents": ""},
    )
    assert [file.rows for file in load_folder(engine, write_folder(tmp_path / "in", transactions=wrong)).files] == [
        0,
        4,
    ]


def test_all_faults_of_all_files_are_listed_together(engine: Engine, tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "in",
        accounts=csv_text("accounts", {"opened_on": "x"}),
        transactions=csv_text("transactions", {"posted_on": "y", "amount_cents": "z"}, {}, {"gst_cents": "1.5"}),
    )
    with pytest.raises(MalformedFiles) as caught:
        load_folder(engine, folder)
    assert str(caught.value).splitlines() == [
        f"4 errors in {folder}, nothing was loaded:",
        "  accounts.csv, line 2, column opened_on: 'x' is not a date: write YYYY-MM-DD",
        "  transactions.csv, line 2, column posted_on: 'y' is not a date: write YYYY-MM-DD",
        "  transactions.csv, line 2, column amount_cents: 'z' is not a whole number: write digits only, money in cents",
        "  transactions.csv, line 4, column gst_cents: '1.5' is not a whole number: write digits only, money in cents",
    ]
    with read_snapshot(engine) as connection:
        assert inspect(connection).get_table_names() == []


@pytest.mark.parametrize(("faults", "head"), [(1, "1 error in"), (20, "20 errors in"), (21, "more than 20 errors in")])
def test_up_to_twenty_faults_are_listed(sqlite: Engine, tmp_path: Path, faults: int, head: str) -> None:
    rows = ({"subscribed_on": f"day {number}"} for number in range(faults))
    folder = write_folder(tmp_path / "in", subscribers=csv_text("subscribers", *rows))
    with pytest.raises(MalformedFiles, match=head) as caught:
        load_folder(sqlite, folder)
    assert [problem.line for problem in caught.value.problems] == list(range(2, 2 + min(faults, MAXIMUM_PROBLEMS)))


def test_a_fault_in_the_last_file_leaves_nothing_of_the_first(engine: Engine, tmp_path: Path) -> None:
    accounts = csv_lines([columns_of("accounts"), *([f"{n}", *[""] * 16] for n in range(30_000))])
    folder = write_folder(
        tmp_path / "in", accounts=accounts, export_declarations=csv_text("export_declarations", {"value_cents": "x"})
    )
    assert problems(engine, folder) == [
        "export_declarations.csv, line 2, column value_cents: 'x' is not a whole number: write digits only, "
        "money in cents"
    ]


def test_what_is_not_a_readable_file_is_named(sqlite: Engine, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in")
    (folder / "transactions.csv").mkdir()
    (folder / "webinars.csv").symlink_to("nowhere")
    found = problems(sqlite, folder)
    assert found == [
        "webinars.csv: cannot be read: No such file or directory",
        "transactions.csv: is not a file: put a CSV file in its place",
    ]
    if os.geteuid() != 0:
        (folder / "accounts.csv").chmod(0)
        assert problems(sqlite, folder)[0] == "accounts.csv: cannot be read: Permission denied"


def test_a_folder_without_accounts_is_refused_unless_it_is_appended(sqlite: Engine, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", transactions=csv_text("transactions", {}))
    (folder / "accounts.csv").unlink()
    assert problems(sqlite, folder) == [
        "accounts.csv: is missing: every other row needs its account (a header is enough)"
    ]
    assert load_folder(sqlite, folder, append=True).changed


def test_a_file_that_changes_while_it_is_read_is_refused(sqlite: Engine, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", subscribers=csv_text("subscribers", {}), webinars=csv_text("webinars", {}))

    def change(*_: object) -> None:
        (folder / "webinars.csv").write_text(csv_text("webinars", {}, {}))

    with pytest.raises(MalformedFiles, match=r"webinars.csv: was changed while it was read"):
        load_folder(sqlite, folder, progress=change)
