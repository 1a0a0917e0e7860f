"""What the statements of a month add up to, for the general ledger: every cent once, debits and credits apart."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from include.carm.errors import DataError
from tests.statements.ledger import OTHER_BN15, Row, account, posting
from tests.statements.months import SealedMonth

POSTINGS: list[Row] = [
    posting(100_00, transaction_id="T1", customs_duty_cents=90_00, gst_cents=10_00),
    posting(50_00, transaction_id="T2", gst_cents=50_00, bn15=OTHER_BN15),
    posting(-30_00, transaction_id="T3", kind="B2", customs_duty_cents=-40_00, gst_cents=10_00),
    posting(-20_00, transaction_id="T4", kind="PMT"),
    posting(7_00, transaction_id="T5", bn15="000000034RM0001"),
]


@pytest.fixture
def month(tmp_path: Path) -> SealedMonth:
    # The third account has no row of its own, so it is parked and stands in no total.
    return SealedMonth(tmp_path).seal(POSTINGS, [account(), account(OTHER_BN15)])


def test_every_cent_of_every_statement_stands_in_one_row(month: SealedMonth) -> None:
    month.run()
    rows = {(row["kind"], row["section"], row["component"]): row for row in month.rows("ledger_totals")}
    assert {key: (row["debit_cents"], row["credit_cents"], row["line_count"]) for key, row in rows.items()} == {
        ("B3", "due", "customs_duty"): (90_00, 0, 1),
        ("B3", "due", "gst"): (60_00, 0, 2),
        # A credit as a whole: its GST goes the other way.
        ("B2", "payments_credits", "customs_duty"): (0, 40_00, 1),
        ("B2", "payments_credits", "gst"): (0, -10_00, 1),
        ("PMT", "payments_credits", "unallocated"): (0, 20_00, 1),
    }
    heads = month.rows()
    assert sum(row["debits_cents"] for row in heads) == sum(row["debit_cents"] for row in rows.values())
    assert sum(row["credits_cents"] for row in heads) == sum(row["credit_cents"] for row in rows.values())


def test_the_files_say_what_the_dataset_says(month: SealedMonth) -> None:
    month.run()
    folder = month.ws.documents("lake") / "ledger" / "period=2021-12"
    whole = json.loads((folder / "ledger-totals.json").read_text(encoding="utf-8"))
    assert whole["totals"] == month.rows("ledger_totals")
    assert (whole["debit_cents"], whole["credit_cents"]) == (150_00, 50_00)
    with (folder / "ledger-totals.csv").open(encoding="utf-8", newline="") as file:
        assert [{**row, "period": "2021-12"} for row in whole["totals"]] == [
            {name: int(cell) if name.endswith(("_cents", "_count")) else cell for name, cell in row.items()}
            for row in csv.DictReader(file)
        ]
    assert (folder / "ledger-totals.csv").stat().st_mode & 0o077 == 0


def test_totals_that_are_not_those_of_the_statements_stop_the_month(
    month: SealedMonth, monkeypatch: pytest.MonkeyPatch
) -> None:
    from include import engine

    load = engine.load_statement

    def wrong(name: str) -> str:
        text = load(name)
        return text.replace("sum(parts.cents) FILTER (WHERE parts.line_cents > 0)", "1") if "totals" in name else text

    monkeypatch.setattr(engine, "load_statement", wrong)
    with pytest.raises(DataError, match="the totals for the general ledger are not those of the statements"):
        month.render()
    assert not month.ws.lake().has("statement_heads", month.period)
