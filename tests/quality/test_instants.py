"""What the gate passes as an instant is what the notices of webinars read as one, and nothing else."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from itertools import product

import pyarrow as pa
import pytest

from include import engine
from include.datasets import SCHEMAS
from include.quality.expectations import is_instant

DAYS = ("2022-01-19", "2022-02-30", "9999-12-31", "0001-01-01", "1979-12-31", "1980-01-01", "2199-12-31", "2200-01-01")
HOURS = ("13", "13:00", "13:00:00", "13:00:00.5", "13:00:00.1234567", "23:59:59", "24:00:00", "13:00:60", "00:00")
OFFSETS = ("", "Z", "z", "-05", "-0500", "-05:00", "+05:00", "+15:59", "+23:59", "+24:00", "-05:60", "+05:00:00")


@pytest.mark.parametrize("separator", ["T", " ", "t", ""])
def test_the_gate_passes_what_is_read_later(separator: str) -> None:
    texts = [f"{day}{separator}{hour}{offset}" for day, hour, offset in product(DAYS, HOURS, OFFSETS)]
    schema = SCHEMAS["webinars"]
    row = {"revision": 1, "language": "en", "status": "scheduled"}
    rows = [{**dict.fromkeys(schema.names), **row, "webinar_id": text, "starts_at": text} for text in texts]
    now = datetime(2022, 1, 1, tzinfo=UTC)
    bounds = dict.fromkeys(("month_starts_at", "month_ends_at", "concerned_from"), now)
    with closing(engine.connect()) as con:
        relations = {"webinars": pa.Table.from_pylist(rows, schema)}
        read = engine.run_table(con, "derive_webinar_notice_sessions", relations, bounds).to_pylist()
    assert {row["webinar_id"] for row in read if row["starts_at"]} == {text for text in texts if is_instant(text)}


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("2022-01-19T13:00-05:00", True),
        ("1980-01-01T00:00:00Z", True),
        ("1980-01-01T04:59:59+05:00", False),
        ("2199-12-31T23:59:59Z", True),
        ("2199-12-31T23:59:59-00:01", False),
        ("2022-01-19T13:00-05", False),
        ("٢٠٢٢-01-19T13:00Z", False),
    ],
)
def test_an_instant_lies_between_1980_and_2200(text: str, is_one: bool) -> None:
    assert is_instant(text) == is_one
