"""The suites as files: well formed, readable by Great Expectations alone, of one mind with the rest of the house."""

import copy
import csv
import json
from collections.abc import Callable
from typing import Any

import pytest

from include.carm.errors import UsageError
from include.carm.settings_file import CONFIG_FOLDER
from include.quality import suites
from include.quality.catalogue import CATALOGUE, render_catalogue
from include.quality.judge import Judge
from include.quality.suites import DATASETS, REASONS, Suite, load_suite, read_suite
from tests.quality.staged import AS_OF, batch

Change = Callable[[dict[str, Any]], object]


def _value_set(dataset: str, name: str) -> list[Any]:
    (rule,) = (rule for rule in load_suite(dataset).rules if rule.name == name)
    value_set: list[Any] = rule.kwargs["value_set"]
    return value_set


def _rows(file: str) -> list[dict[str, str]]:
    with (CONFIG_FOLDER / file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_there_is_one_suite_for_each_dataset_and_no_other() -> None:
    assert sorted(path.stem for path in suites.SUITES_FOLDER.iterdir()) == sorted(DATASETS)


@pytest.mark.parametrize("dataset", DATASETS)
def test_great_expectations_reads_the_file_and_writes_the_same_expectations(dataset: str) -> None:
    import great_expectations as gx

    import include.quality.expectations  # noqa: F401 registers our own expectations

    document = json.loads((suites.SUITES_FOLDER / f"{dataset}.json").read_text(encoding="utf-8"))
    written: Any = gx.ExpectationSuite(**document).to_json_dict()
    assert written["name"] == dataset
    for ours, theirs in zip(document["expectations"], written["expectations"], strict=True):
        for part in ("type", "meta", "severity"):
            assert ours[part] == theirs[part]
        assert ours["kwargs"].items() <= theirs["kwargs"].items()


def test_every_reason_is_used_and_every_quarantining_rule_has_one() -> None:
    used = {rule.reason for dataset in DATASETS for rule in load_suite(dataset).rules if rule.is_quarantining}
    assert used == set(REASONS)


@pytest.mark.parametrize("dataset", ["account_decisions", "statements"])
def test_whatever_fails_at_gate_2_stops_the_month(dataset: str) -> None:
    assert all(rule.is_stopping for rule in load_suite(dataset).rules)


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_why_is_a_sentence(dataset: str) -> None:
    suite = load_suite(dataset)
    for rule in (suite.header, *suite.rules):
        assert rule.why[0].isupper() or rule.why[0].isdigit(), rule.name
        assert rule.why.endswith((".", ".)")), rule.name


def test_the_kinds_are_those_of_the_table_of_kinds() -> None:
    assert _value_set("transactions", "kind_is_known") == [row["kind"] for row in _rows("transaction_kinds.csv")]


def test_no_kind_asks_for_a_sign_because_the_suite_does_not_look_at_it() -> None:
    assert {row["sign"] for row in _rows("transaction_kinds.csv")} == {"either"}


def test_a_conversion_passes_exactly_where_the_rule_table_has_an_arrow() -> None:
    arrows = {
        (row["program_type"], row["activity_seen"], row["new_program_type"], row["reason"])
        for row in _rows("program_type_rules.csv")
        if row["action"] == "convert"
    }
    types = ("importer", "exporter", "dual")
    tried = [
        (program_type, seen, new, reason)
        for program_type in types
        for seen in ("none", "import", "export", "both", "unknown")
        for new in types
        for reason in ("only_import_activity", "only_export_activity", "active")
    ]
    rows = [
        dict(zip(("program_type", "activity_seen", "new_program_type", "reason"), case, strict=True), action="convert")
        for case in tried
    ]
    suite = load_suite("account_decisions")
    verdicts = Judge(suite, AS_OF).judge(batch("account_decisions", *rows))
    refused = {int(row_no) for verdict in verdicts for row_no in verdict.row_numbers}
    assert arrows == {case for row_no, case in enumerate(tried) if row_no not in refused}


def test_a_closing_rests_on_the_reason_that_the_rule_table_gives() -> None:
    reasons = {row["reason"] for row in _rows("program_type_rules.csv") if row["action"] == "close"}
    assert reasons == set(_value_set("account_decisions", "closed_account_has_reason_no_activity"))


def test_the_catalogue_is_current() -> None:
    current = CATALOGUE.read_text(encoding="utf-8")
    assert render_catalogue() == current, "write docs/data-quality.md anew: python -m include.quality.catalogue"


def test_the_catalogue_says_every_rule_with_its_why() -> None:
    page = render_catalogue()
    for dataset in DATASETS:
        for rule in load_suite(dataset).rules:
            assert f"| `{rule.name}` | " in page
            assert rule.why.replace("|", "\\|") in page


def _first(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in document["expectations"] if item["meta"]["name"] == name)
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: _first(d, "email_is_present").update(severity="fatal"), "severity is critical, warning or info"),
        (lambda d: _first(d, "email_is_present").pop("severity"), "severity is critical, warning or info"),
        (lambda d: _first(d, "email_is_present")["meta"].update(scope="cell"), "scope is row or table"),
        (lambda d: _first(d, "email_is_present")["meta"].update(why=""), "meta needs a name and a why"),
        (lambda d: _first(d, "email_is_present")["meta"].pop("name"), "meta needs a name and a why"),
        (lambda d: _first(d, "email_is_present")["meta"].update(reason="odd"), "meta.reason must be one of"),
        (lambda d: _first(d, "email_is_present")["meta"].pop("reason"), "meta.reason must be one of"),
        (lambda d: _first(d, "language_is_known")["meta"].update(reason="key_missing"), "only critical row rules"),
        (lambda d: d["expectations"].append(_first(d, "email_is_present")), "two expectations 'email_is_present'"),
        (lambda d: d["expectations"].pop(0), "exactly one critical table rule"),
        (lambda d: _first(d, "columns_are_present").update(severity="warning"), "exactly one critical table rule"),
        (lambda d: _first(d, "columns_are_present")["kwargs"]["column_set"].remove("email"), r"reads \['email'\]"),
    ],
)
def test_a_suite_that_is_not_well_formed_is_refused_by_name(change: Change, message: str) -> None:
    document = copy.deepcopy(load_suite("subscribers").document)
    change(document)
    with pytest.raises(UsageError, match=r"expectations/subscribers\.json") as caught:
        read_suite(document)
    with pytest.raises(UsageError, match=message):
        raise caught.value


def test_a_suite_without_a_rule_notices_less() -> None:
    """What the suite says is what is judged: nothing of it stands in code a second time."""
    document = copy.deepcopy(load_suite("subscribers").document)
    document["expectations"].remove(_first(document, "email_is_present"))
    weaker: Suite = read_suite(document)
    rows = batch("subscribers", {"email": None})
    assert [v for v in Judge(weaker, AS_OF).judge(rows) if len(v.row_numbers)] == []
