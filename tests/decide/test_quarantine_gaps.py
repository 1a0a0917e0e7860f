"""Which rows in quarantine leave it open whether an account was active: those that may speak of a day in the window."""

from __future__ import annotations

import json
from datetime import date

import pyarrow as pa
import pytest

from include import engine
from include.datasets import schema_of
from tests.decide.accounts import account_facts, an_account, bn15_of

WINDOW_START, AS_OF = date(2017, 11, 25), date(2021, 12, 24)
BEFORE, FIRST = date(2017, 11, 24), WINDOW_START


def refused(dataset: str, posted_on: date | None, **row: str | None) -> dict[str, object]:
    return {
        **dict.fromkeys(schema_of("quarantine").names),
        "dataset": dataset,
        "row_key": "1#1",
        "row_hash": "h",
        "bn15": bn15_of(0),
        "posted_on": posted_on,
        "row_json": json.dumps(row),
        "period": "2021-12",
    }


def has_gap(row: dict[str, object]) -> bool:
    quarantine = schema_of("quarantine").append(pa.field("period", pa.string()))
    key = pa.schema([("account_key", pa.int64())])
    last_days = pa.schema([("account_key", pa.int64()), *((f"last_{kind}_on", pa.date32()) for kind in KINDS)])
    version = account_facts([an_account()]).to_pylist()[0]
    accounts = [{name: version.get(name) for name in schema_of("accounts").names}]
    with engine.connect() as con:
        engine.register(con, "quarantine", pa.Table.from_pylist([row], schema=quarantine))
        engine.register(con, "quarantine_released", [])
        engine.create_table(con, "open_quarantine", "select_open_ledger_quarantine")
        for name in ("activity", "baseline"):
            engine.register(con, name, [])
        engine.register(con, "doubtful", key.empty_table())
        engine.register(con, "exact_activity", last_days.empty_table())
        engine.register(con, "accounts", pa.Table.from_pylist(accounts, schema=schema_of("accounts")))
        (facts,) = engine.run_table(
            con, "derive_account_facts", None, {"window_start": WINDOW_START, "as_of": AS_OF}
        ).to_pylist()
    return bool(facts["has_open_quarantine"])


KINDS = ("import", "export", "other")


@pytest.mark.parametrize(
    ("row", "is_gap"),
    [
        (refused("transactions", None), True),
        (refused("transactions", BEFORE, activity_on="2017-11-20"), False),
        # A transaction speaks of no day after its posting, whatever stands in it.
        (refused("transactions", BEFORE, activity_on=None), False),
        (refused("transactions", FIRST, activity_on="2017-11-20"), True),
        (refused("transactions", AS_OF, activity_on="2021-12-24"), True),
        (refused("transactions", date(2021, 12, 25), activity_on="2021-12-24"), False),
        (refused("export_declarations", BEFORE, exported_on="2017-11-24"), False),
        # Declared before the goods leave.
        (refused("export_declarations", BEFORE, exported_on="2017-11-25"), True),
        (refused("export_declarations", BEFORE, exported_on="soon"), True),
        (refused("export_declarations", BEFORE, exported_on=None), True),
        (refused("export_declarations", FIRST, exported_on="2017-11-20"), True),
    ],
)
def test_a_refused_row_is_a_gap_where_it_may_speak_of_the_window(row, is_gap):
    assert is_gap == has_gap(row)


@pytest.mark.parametrize("number", [f"{bn15_of(0)}\t", f"{bn15_of(0)[:9]}.rm.{bn15_of(0)[11:]}", f"\u200b{bn15_of(0)}"])
def test_a_row_that_was_refused_for_odd_characters_in_its_number_is_a_gap_of_the_account(number):
    assert has_gap({**refused("transactions", AS_OF), "bn15": number})
    assert not has_gap({**refused("transactions", AS_OF), "bn15": f"{number}9"})
