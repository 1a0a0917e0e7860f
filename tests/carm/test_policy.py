import hashlib

import pytest
import yaml

from include.carm.errors import UsageError
from include.carm.period import Period
from include.carm.policy import PROGRAM_TYPES, Breaker, Closure, Feed, Limit, Limits, Policy
from include.carm.settings_file import CONFIG_FOLDER

SHIPPED = CONFIG_FOLDER / "policy.yaml"


def test_the_shipped_policy_says_what_the_guide_says():
    policy = Policy.load()
    assert policy.feeds == {
        "transactions": Feed(exists=True, minimum_rows=1, minimum_rows_header_only=0, first_period=None),
        "export_declarations": Feed(exists=True, minimum_rows=1, minimum_rows_header_only=0, first_period=None),
    }
    assert policy.quarantine == Limit(rows=20, share=0.05)
    assert policy.drift == Limit(rows=1000, share=0.01)
    assert policy.parking == Limit(rows=20, share=0.001)
    assert policy.breaker == Breaker(
        whole=Limits(max_share=0.10, max_changes=None, max_times_median=3),
        first_run_max_share=0.10,
        min_accounts_for_percent=50,
        median_months=12,
        min_median_months=3,
        min_changes_for_median=20,
        strata=("program_type", "province"),
        stratum=Limits(max_share=0.25, max_changes=None, max_times_median=5),
    )
    assert policy.approval == "when_held"
    every_feed = ("transactions", "export_declarations")
    assert policy.closure == Closure(notice_months=0, needs_feeds=dict.fromkeys(PROGRAM_TYPES, every_feed))
    assert policy.apply == "database"
    assert policy.exporter_without_evidence == "close"
    assert (policy.strict_rates, policy.pdf) == (False, "on_demand")


@pytest.mark.parametrize("pdf", ["all", "payable", "on_demand"])
def test_pdfs_may_be_made_for_all_or_some_and_unknown_rates_may_stop_the_month(tmp_path, pdf):
    policy = load_changed(tmp_path, strict_rates=True, pdf=pdf)
    assert (policy.strict_rates, policy.pdf) == (True, pdf)


def test_the_version_is_the_hash_of_the_file_and_moves_with_it(tmp_path):
    assert Policy.load().version == hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert load_changed(tmp_path, exporter_without_evidence="review").version != Policy.load().version


@pytest.mark.parametrize(
    ("rows", "of_rows", "too_many"),
    [(20, 21, False), (21, 420, False), (21, 419, True), (5, 5, False), (1000, 20000, False), (1001, 20000, True)],
)
def test_a_limit_is_exceeded_by_more_than_its_number_and_more_than_its_share(rows, of_rows, too_many):
    assert Limit(rows=20, share=0.05).is_exceeded(rows, of_rows) is too_many


def test_a_first_period_is_read_as_a_month(tmp_path):
    policy = load_changed(tmp_path, {"feeds.export_declarations.first_period": "2020-06"})
    assert policy.feeds["export_declarations"].first_period == Period(2020, 6)


def test_a_month_is_enough_for_a_median_and_no_number_of_changes_for_a_comparison(tmp_path):
    smallest = {"median_months": 1, "min_median_months": 1, "min_changes_for_median": 0, "max_times_median": None}
    breaker = load_changed(tmp_path, {f"breaker.{name}": value for name, value in smallest.items()}).breaker
    assert (1, 1, 0) == (breaker.median_months, breaker.min_median_months, breaker.min_changes_for_median)
    assert breaker.whole.max_times_median is None


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("exporter_without_evidence", "maybe", "is 'maybe': write one of close, review"),
        ("quarantine.share", 5, "is 5: write a share from 0 to 1"),
        ("quarantine.share", True, "is True: write a share"),
        ("quarantine.rows", -1, "is -1: write a whole number"),
        ("drift.rows", 1.5, "is 1.5: write a whole number"),
        ("parking.accounts", -1, "is -1: write a whole number"),
        ("parking.rows", 20, "is unknown: write one of share, accounts"),
        ("breaker.max_changes", "many", "is 'many': write a whole number"),
        ("breaker.max_times_median", 0.5, "is 0.5: write a number of at least 1"),
        ("breaker.strata.by", ["colour"], "is ['colour']: write a list of program_type, province"),
        ("breaker.strata.by", ["province", "province"], "is ['province', 'province']: write each word once"),
        ("approval", "sometimes", "is 'sometimes': write one of always, when_held, never"),
        ("apply", "fax", "is 'fax': write one of database, file"),
        ("closure.notice_months", 61, "is 61: write a whole number from 0 to 60"),
        ("closure.needs_feeds.dual", ["export_declarations"], "leaves out transactions: no account may be closed"),
        ("feeds.transactions.exists", "yes please", "is 'yes please': write true or false"),
        ("feeds.transactions.minimum_rows", None, "is None: write a whole number"),
        ("feeds.transactions.first_period", "2020-13", "is wrong: period '2020-13' is not a month"),
        ("feeds.transactions.first_perod", "2020-01", "is unknown: write one of exists,"),
        ("feeds.invoices", {}, "is unknown: write one of transactions, export_declarations"),
        ("breaker.median_months", 0, "is 0: write a whole number of at least 1"),
        ("breaker.min_median_months", 0, "is 0: write a whole number of at least 1"),
        ("closure.needs_feeds.broker", ["transactions"], "is unknown: write one of importer, exporter, dual"),
        *(
            (f"{section}colour", "red", "is unknown: write one of")
            for section in ("", "quarantine.", "drift.", "parking.", "breaker.", "breaker.strata.", "closure.")
        ),
    ],
)
def test_a_wrong_value_is_named_with_file_and_key(tmp_path, key, value, problem):
    with pytest.raises(UsageError) as refused:
        load_changed(tmp_path, {key: value})
    assert f"policy.yaml: {key} {problem}" in str(refused.value)


def test_a_missing_key_is_named(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text("feeds: {transactions: {exists: true}}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"feeds\.transactions\.minimum_rows is missing"):
        Policy.load(file)


@pytest.mark.parametrize("text", ["", "- a list\n", "quarantine: [\n", "\tx: 1\n"])
def test_a_file_that_is_no_mapping_is_refused_in_one_line(tmp_path, text):
    file = tmp_path / "policy.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        Policy.load(file)
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"policy.yaml cannot be read: No such file"):
        Policy.load(tmp_path / "policy.yaml")


def load_changed(folder, changes=None, **top):
    """The shipped policy with some values replaced; keys of inner values are joined by dots."""
    values = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    for key, value in ((changes or {}) | top).items():
        *outer, last = key.split(".")
        inner = values
        for name in outer:
            inner = inner[name]
        inner[last] = value
    file = folder / "policy.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return Policy.load(file)
