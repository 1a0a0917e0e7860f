import csv

import pytest

from include.carm.settings_file import CONFIG_FOLDER

SECTIONS = {"by_due_date", "payments_credits", "offsets_disbursements", "interest", "penalties"}


@pytest.fixture(scope="module")
def kinds():
    with (CONFIG_FOLDER / "transaction_kinds.csv").open(encoding="utf-8", newline="") as file:
        return {row["kind"]: row for row in csv.DictReader(file)}


def test_every_kind_of_the_ledger_is_there_once(kinds):
    expected = ("AI", "AMPS", "B2", "B3", "BFW", "CAD", "DSB", "INT", "K23", "K3", "K32", "K9", "LAP", "LVS", "NPA")
    assert sorted(kinds) == sorted((*expected, "NSF", "OFS", "PMT", "RS"))


@pytest.mark.parametrize(("activity", "expected"), [("import", {"B3", "CAD", "RS", "LVS", "B2"}), ("other", {"K32"})])
def test_only_trade_is_activity_and_a_drawback_says_nothing_about_the_type(kinds, activity, expected):
    assert {kind for kind, row in kinds.items() if row["activity"] == activity} == expected


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("payments_credits", {"PMT", "NSF", "NPA", "K32"}),
        ("offsets_disbursements", {"OFS", "DSB"}),
        ("interest", {"INT"}),
        ("penalties", {"LAP", "AMPS", "AI"}),
    ],
)
def test_the_sections_of_the_statement_hold_their_kinds(kinds, section, expected):
    assert {kind for kind, row in kinds.items() if row["section"] == section} == expected


def test_an_alias_is_its_kind_under_another_name(kinds):
    aliases = {kind: row["alias_of"] for kind, row in kinds.items() if row["alias_of"]}
    assert aliases == {"AI": "AMPS", "K3": "K23"}
    for alias, kind in aliases.items():
        assert kinds[alias] == kinds[kind] | {"kind": alias, "alias_of": kind}


def test_every_value_is_one_of_its_column(kinds):
    for row in kinds.values():
        assert row["activity"] in {"import", "other", "none"}
        assert row["section"] in SECTIONS
        assert row["sign"] in {"debit", "credit", "either"}
        assert row["label_en"]
        assert row["label_fr"]
