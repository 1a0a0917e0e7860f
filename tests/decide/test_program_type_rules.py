"""The rule table: whole, dated, and refused where it says what must never be a matter of configuration."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import pytest

from include.carm.errors import UsageError
from include.program_type_rules import ACTIVITY_SEEN, PROGRAM_TYPES, RULES_FILE, RuleTable, rules_relation

HEADER = "rule_id,program_type,activity_seen,action,new_program_type,reason,valid_from,source_en"
TODAY = date(2021, 12, 24)


def write(tmp_path: Path, *rows: str, header: str = HEADER) -> Path:
    path = tmp_path / "rules.csv"
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return path


def shipped_rows() -> list[str]:
    return RULES_FILE.read_text(encoding="utf-8").splitlines()[1:]


def test_the_table_has_15_cells_and_each_names_its_source() -> None:
    rules = RuleTable.load().valid_on(TODAY)
    assert cells() == [rule.cell for rule in rules]
    assert 15 == len({rule.rule_id for rule in rules})
    for rule in rules:
        is_from_newsletter = rule.action in ("close", "convert")
        assert rule.source_en.startswith("CARM Quarterly" if is_from_newsletter else "Our own proposal")


def test_the_four_arrows_are_those_of_the_newsletter() -> None:
    arrows = {rule.cell: rule.new_program_type for rule in RuleTable.load().valid_on(TODAY) if rule.action == "convert"}
    assert {
        ("importer", "export"): "exporter",
        ("exporter", "import"): "importer",
        ("dual", "export"): "exporter",
        ("dual", "import"): "importer",
    } == arrows


def test_months_before_the_newsletter_have_rules_too() -> None:
    assert 15 == len(RuleTable.load().valid_on(date(1980, 1, 1)))


def test_a_later_row_holds_from_its_day_on_and_not_before(tmp_path: Path) -> None:
    later = "dual_both,dual,both,review,,mixed_activity,2022-01-01,A decision of the programme"
    table = RuleTable.load(write(tmp_path, later, *shipped_rows()))

    def action_on(day: date) -> str:
        return next(rule.action for rule in table.valid_on(day) if rule.cell == ("dual", "both"))

    assert ["keep", "review"] == [action_on(date(2021, 12, 31)), action_on(date(2022, 1, 1))]


def test_the_version_is_the_files_hash(tmp_path: Path) -> None:
    same = RuleTable.load(write(tmp_path, *shipped_rows()))
    assert RuleTable.load().version == same.version
    other = RuleTable.load(write(tmp_path, *shipped_rows()[::-1]))
    assert same.version != other.version


def test_a_missing_cell_is_refused_for_the_days_on_which_it_is_missing(tmp_path: Path) -> None:
    table = RuleTable.load(write(tmp_path, *shipped_rows()[:-1]))
    with pytest.raises(UsageError, match="no cell for program type dual and activity unknown on 2021-12-24"):
        table.valid_on(TODAY)


def test_the_relation_has_a_row_a_cell_and_null_where_nothing_is_converted() -> None:
    rows = rules_relation(RuleTable.load().valid_on(TODAY)).to_pylist()
    assert 15 == len(rows)
    assert {None, "importer", "exporter"} == {row["new_program_type"] for row in rows}
    assert all((row["new_program_type"] is not None) == (row["action"] == "convert") for row in rows)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,importer,import,close,,active,1980-01-01,s", "where import is seen the action is one of"),
        ("x,importer,both,convert,exporter,r,1980-01-01,s", "where both is seen the action is one of"),
        ("x,importer,none,convert,exporter,r,1980-01-01,s", "where none is seen the action is one of"),
        ("x,importer,unknown,close,,r,1980-01-01,s", "where unknown is seen the action is one of"),
        ("x,importer,export,convert,dual,r,1980-01-01,s", "becomes exporter"),
        ("x,importer,export,convert,,r,1980-01-01,s", "becomes exporter"),
        ("x,dual,import,convert,exporter,r,1980-01-01,s", "becomes importer"),
        ("x,importer,import,convert,importer,r,1980-01-01,s", "becomes importer"),
        ("x,importer,import,keep,exporter,r,1980-01-01,s", "new_program_type is set"),
        ("x,importer,import,drop,,r,1980-01-01,s", "not 'drop'"),
        ("x,broker,import,keep,,r,1980-01-01,s", "program_type is 'broker'"),
        ("x,importer,imports,keep,,r,1980-01-01,s", "activity_seen is 'imports'"),
        ("x,importer,import,keep,,r,1980-13-01,s", "valid_from is '1980-13-01'"),
        ("x,importer,import,keep,,r,,s", "valid_from is ''"),
        (",importer,import,keep,,r,1980-01-01,s", "rule_id is empty"),
        ("x,importer,import,keep,,,1980-01-01,s", "reason is empty"),
        ("x,importer,import,keep,,r,1980-01-01,", "source_en is empty"),
        ("x,importer,import,keep,,r,1980-01-01", "8 fields"),
        ("x,importer,import,keep,,r,1980-01-01,s,more", "8 fields"),
        ("importer_none,importer,import,keep,,r,1990-01-01,s", "stands in two cells"),
        ("importer_none,importer,none,close,,r,1980-01-01,s", "two rows that are valid from 1980-01-01"),
    ],
)
def test_a_wrong_row_is_named_by_file_and_line(tmp_path: Path, row: str, message: str) -> None:
    path = write(tmp_path, *shipped_rows(), row)
    with pytest.raises(UsageError) as raised:
        RuleTable.load(path)
    assert f"{path}, line 17: " in str(raised.value)
    assert message in str(raised.value)


ACCEPTED = {
    "none": {"close", "review", "keep"},
    "import": {"convert", "review", "keep"},
    "export": {"convert", "review", "keep"},
    "both": {"review", "keep"},
    "unknown": {"unknown", "review", "keep"},
}
ACTIONS = ("close", "convert", "review", "keep", "unknown", "hold", "candidate")


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("seen", ACTIVITY_SEEN)
def test_a_cell_may_have_these_actions_and_no_others(tmp_path: Path, seen: str, action: str) -> None:
    target = {"import": "importer", "export": "exporter"}.get(seen, "importer") if action == "convert" else ""
    path = write(tmp_path, f"x,dual,{seen},{action},{target},a reason,1999-01-01,a source")
    if action in ACCEPTED[seen]:
        assert RuleTable.load(path).rules[0].action == action
    else:
        with pytest.raises(UsageError, match=f"where {seen} is seen the action is one of "):
            RuleTable.load(path)


def test_a_line_that_is_no_csv_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"rules\.csv is not CSV \(RFC 4180\)"):
        RuleTable.load(write(tmp_path, *shipped_rows(), '"x"y,importer,import,keep,,r,1980-01-01,s'))


def test_the_cells_of_a_day_have_one_hash_for_ever(tmp_path: Path) -> None:
    """Spelled out by hand: who writes it otherwise breaks with every plan that was ever made."""
    rows = [f"r{n},{type_},{seen},keep,,é,1990-01-01,s" for n, (type_, seen) in enumerate(cells())]
    table = RuleTable.load(write(tmp_path, *rows))
    spelled = ",".join(
        f'["r{n}","{type_}","{seen}","keep","","é","1990-01-01","s"]' for n, (type_, seen) in enumerate(cells())
    )
    assert table.valid_sha256(TODAY) == hashlib.sha256(f"[{spelled}]".encode()).hexdigest()
    later = "dual_both,dual,both,review,,mixed_activity,2022-01-01,A decision of the programme"
    with_later = RuleTable.load(write(tmp_path, *shipped_rows(), later))
    assert with_later.valid_sha256(TODAY) == RuleTable.load().valid_sha256(TODAY)
    assert with_later.valid_sha256(date(2022, 1, 1)) != with_later.valid_sha256(TODAY)


def cells() -> list[tuple[str, str]]:
    return [(program_type, seen) for program_type in PROGRAM_TYPES for seen in ACTIVITY_SEEN]


def test_other_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="its columns must be rule_id, "):
        RuleTable.load(write(tmp_path, *shipped_rows(), header=HEADER.replace("valid_from", "since")))


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        RuleTable.load(tmp_path / "none.csv")
    (tmp_path / "rules.csv").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="cannot be read"):
        RuleTable.load(tmp_path / "rules.csv")
