"""Folders of CSV files: one good default, so that a test shows only what it is about."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from include.load import FEEDS

GOOD_ROW: dict[str, dict[str, str]] = {
    "accounts": {
        "bn15": "000000018RM0001",
        "valid_from": "2015-03-02",
        "legal_name": "Amber Acorn Toys Ltd.",
        "program_type": "importer",
        "status": "open",
    },
    "transactions": {
        "transaction_id": "T1",
        "bn15": "000000018RM0001",
        "kind": "B3",
        "activity_on": "2021-12-01",
        "posted_on": "2021-12-02",
        "status": "accepted",
        "customs_duty_cents": "100",
        "amount_cents": "100",
    },
    "export_declarations": {
        "declaration_id": "E1",
        "bn15": "000000018RM0001",
        "exported_on": "2021-12-01",
        "reported_on": "2021-12-02",
        "status": "accepted",
    },
    "delegations": {"bn15": "000000018RM0001", "email": "desk@example.com", "valid_from": "2021-06-01"},
    "subscribers": {"email": "reader@example.org", "language": "fr", "subscribed_on": "2021-10-01"},
    "webinars": {"webinar_id": "W1", "revision": "1", "starts_at": "2022-01-11T13:00:00-05:00"},
}


def columns_of(table: str) -> list[str]:
    """The columns of the table's file."""
    return list(FEEDS[f"{table}.csv"].columns)


def csv_text(table: str, *rows: dict[str, str], columns: Sequence[str] | None = None) -> str:
    """A file of the table: each row is the good one but for what it names. No row: a header alone."""
    columns = columns or columns_of(table)
    return csv_lines([columns, *([(GOOD_ROW[table] | row).get(name, "") for name in columns] for row in rows)])


def csv_lines(records: Iterable[Sequence[Any]], line_end: str = "\r\n") -> str:
    """Records as CSV; None is an empty field."""
    text = io.StringIO()
    if line_end == "\r\n":
        writer = csv.writer(text)
    else:
        # Python's writer would leave a carriage return unquoted, which is no CSV that can be read.
        writer = csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows(records)
    return text.getvalue()


def write_folder(folder: Path, **files: str | bytes) -> Path:
    """Write ``table=content`` as ``table.csv``; accounts are a header alone where nothing else is said."""
    folder.mkdir(parents=True, exist_ok=True)
    for table, content in ({"accounts": csv_text("accounts")} | files).items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / f"{table}.csv").write_bytes(data)
    return folder
