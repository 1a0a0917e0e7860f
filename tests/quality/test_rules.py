"""Every rule of every suite at its boundary: a row on each side, and no other rule that speaks up.

All cases of a dataset are rows of one frame, so that Great Expectations is asked once a dataset.
"""

from collections import Counter
from typing import Any

import pytest

from include.quality.frames import to_frame
from include.quality.judge import Judge
from include.quality.suites import DATASETS, load_suite
from tests.quality.staged import AS_OF, GOOD, batch, day, expected_columns

Case = tuple[dict[str, Any], set[str]]

BIG = 2**53 + 1

# An account whose action is not a change, whose evidence is free: the ground for the rules about values alone.
REVIEW = {"action": "review", "reason": "mixed_activity"}
CANDIDATE = {"action": "candidate", "reason": "closure_announced", "announced_in": "2021-12"}
TO_EXPORTER = {
    "action": "convert",
    "program_type": "importer",
    "new_program_type": "exporter",
    "activity_seen": "export",
    "reason": "only_export_activity",
    "rule_id": "importer_export",
}
TO_IMPORTER = {
    "action": "convert",
    "program_type": "exporter",
    "new_program_type": "importer",
    "activity_seen": "import",
    "reason": "only_import_activity",
    "rule_id": "exporter_import",
    "balance_cents": -1,
    "under_review_cents": 1,
}

# What the row changes, and the rules that must fail; an empty set says that the row passes.
CASES: dict[str, list[Case]] = {
    "transactions": [
        ({}, set()),
        ({"copies_differ": None}, {"copies_differ_is_gathered"}),
        ({"is_surplus_copy": None}, {"is_surplus_copy_is_gathered"}),
        ({"account_state": None}, {"account_state_is_gathered"}),
        ({"account_state": "elsewhere"}, {"account_state_is_known"}),
        ({"has_components": None}, {"has_components_is_gathered"}),
        ({"components_sum_cents": None}, {"components_sum_cents_is_gathered"}),
        ({"is_reversed_twice": None}, {"is_reversed_twice_is_gathered"}),
        ({"unreadable": "amount_cents"}, {"values_are_readable"}),
        ({"transaction_id": None}, {"transaction_id_is_present"}),
        ({"transaction_id": ""}, {"transaction_id_is_not_blank"}),
        ({"transaction_id": " \t"}, {"transaction_id_is_not_blank"}),
        ({"transaction_id": " x"}, set()),
        ({"revision": None}, {"revision_is_present"}),
        ({"copies_differ": True}, {"copies_agree"}),
        ({"is_surplus_copy": True}, {"is_no_surplus_copy"}),
        ({"bn15": None}, {"bn15_is_present"}),
        ({"bn15": ""}, {"bn15_is_valid"}),
        ({"bn15": "000000018RM9999"}, set()),
        ({"bn15": "000000018RM0000"}, {"bn15_is_valid"}),
        ({"bn15": "000000019RM0001"}, {"bn15_is_valid"}),
        ({"bn15": "000000000RM0001"}, {"bn15_is_valid"}),
        ({"bn15": "000000018RC0001"}, {"bn15_is_valid"}),
        ({"bn15": "000000018rm0001"}, {"bn15_is_valid"}),
        ({"bn15": "000000018 RM 0001"}, {"bn15_is_valid"}),
        ({"bn15": "000000018RM0001\n"}, {"bn15_is_valid"}),
        ({"kind": None}, {"kind_is_present"}),
        ({"kind": "AI"}, set()),
        ({"kind": "b3"}, {"kind_is_known"}),
        ({"kind": ""}, {"kind_is_known"}),
        ({"status": None}, {"status_is_present"}),
        ({"status": "under_review"}, set()),
        ({"status": "open"}, {"status_is_known"}),
        ({"posted_on": None}, {"posted_on_is_present"}),
        ({"activity_on": None}, {"activity_on_is_present"}),
        ({"posted_on": None, "activity_on": None}, {"posted_on_is_present", "activity_on_is_present"}),
        ({"posted_on": AS_OF}, set()),
        ({"posted_on": day("2021-12-25")}, {"posted_on_is_plausible"}),
        ({"posted_on": day("9999-12-31")}, {"posted_on_is_plausible"}),
        ({"posted_on": day("1980-01-01"), "activity_on": day("1980-01-01")}, set()),
        (
            {"posted_on": day("1979-12-31"), "activity_on": day("1979-12-31")},
            {"posted_on_is_plausible", "activity_on_is_plausible"},
        ),
        ({"activity_on": day("1980-01-01")}, set()),
        ({"activity_on": day("1979-12-31")}, {"activity_on_is_plausible"}),
        ({"activity_on": day("0001-01-01")}, {"activity_on_is_plausible"}),
        ({"activity_on": day("2021-12-01")}, set()),
        ({"activity_on": day("2021-12-02")}, {"activity_precedes_posting"}),
        ({"activity_on": day("9999-12-31")}, {"activity_precedes_posting"}),
        ({"amount_cents": None}, {"amount_cents_is_present"}),
        ({"amount_cents": 0, "components_sum_cents": 0, "has_components": False}, set()),
        ({"amount_cents": -5, "components_sum_cents": -5}, set()),
        ({"components_sum_cents": 12_344}, {"components_add_up"}),
        ({"components_sum_cents": 12_346}, {"components_add_up"}),
        ({"components_sum_cents": 0, "has_components": False}, set()),
        # Parts that cancel each other out are parts all the same.
        ({"components_sum_cents": 0}, {"components_add_up"}),
        ({"amount_cents": BIG, "components_sum_cents": BIG}, set()),
        ({"amount_cents": BIG, "components_sum_cents": BIG - 1}, {"components_add_up"}),
        ({"amount_cents": -BIG, "components_sum_cents": -BIG - 1}, {"components_add_up"}),
        ({"account_state": "missing"}, {"account_is_found"}),
        ({"account_state": "quarantined"}, {"account_is_not_quarantined"}),
        ({"is_reversed_twice": True}, {"is_reversed_once"}),
        ({"due_on": None}, set()),
        ({"due_on": day("1980-01-01")}, set()),
        ({"due_on": day("1979-12-31")}, {"due_on_is_plausible"}),
        ({"due_on": day("2199-12-31")}, set()),
        ({"due_on": day("2200-01-01")}, {"due_on_is_plausible"}),
        ({"due_on": day("9999-12-31")}, {"due_on_is_plausible"}),
        ({"broker_bn9": "000000026"}, set()),
        ({"broker_bn9": "000000027"}, {"broker_bn9_is_valid"}),
        ({"broker_bn9": "000000018RM0001"}, {"broker_bn9_is_valid"}),
        ({"transaction_number": None}, set()),
        ({"transaction_number": "1234500000001"}, {"transaction_number_has_14_digits"}),
        ({"transaction_number": "12345000000001\n"}, {"transaction_number_has_14_digits"}),
        ({"transaction_number": "123450000000012"}, {"transaction_number_has_14_digits"}),
    ],
    "export_declarations": [
        ({}, set()),
        ({"copies_differ": None}, {"copies_differ_is_gathered"}),
        ({"is_surplus_copy": None}, {"is_surplus_copy_is_gathered"}),
        ({"account_state": None}, {"account_state_is_gathered"}),
        ({"account_state": "elsewhere"}, {"account_state_is_known"}),
        ({"unreadable": "reported_on"}, {"values_are_readable"}),
        ({"declaration_id": None}, {"declaration_id_is_present"}),
        ({"declaration_id": " "}, {"declaration_id_is_not_blank"}),
        ({"revision": None}, {"revision_is_present"}),
        ({"copies_differ": True}, {"copies_agree"}),
        ({"is_surplus_copy": True}, {"is_no_surplus_copy"}),
        ({"bn15": None}, {"bn15_is_present"}),
        ({"bn15": "123456789RM0001"}, {"bn15_is_valid"}),
        ({"status": None}, {"status_is_present"}),
        ({"status": "rejected"}, set()),
        ({"status": "reversed"}, {"status_is_known"}),
        ({"reported_on": None}, {"reported_on_is_present"}),
        ({"exported_on": None}, {"exported_on_is_present"}),
        ({"reported_on": AS_OF}, set()),
        ({"reported_on": day("2021-12-25")}, {"reported_on_is_plausible"}),
        ({"reported_on": day("1980-01-01")}, set()),
        ({"reported_on": day("1979-12-31")}, {"reported_on_is_plausible"}),
        ({"exported_on": day("1980-01-01")}, set()),
        ({"exported_on": day("1979-12-31")}, {"exported_on_is_plausible"}),
        ({"exported_on": day("2199-12-31")}, set()),
        ({"exported_on": day("2200-01-01")}, {"exported_on_is_plausible"}),
        ({"account_state": "missing"}, {"account_is_found"}),
        ({"account_state": "quarantined"}, {"account_is_not_quarantined"}),
        ({"value_cents": 0}, set()),
        ({"value_cents": -1}, {"value_cents_is_not_negative"}),
    ],
    "accounts": [
        ({}, set()),
        ({"copies_differ": None}, {"copies_differ_is_gathered"}),
        ({"is_surplus_copy": None}, {"is_surplus_copy_is_gathered"}),
        ({"has_overlap": None}, {"has_overlap_is_gathered"}),
        ({"unreadable": "reinstated_on"}, {"values_are_readable"}),
        ({"bn15": None}, {"bn15_is_present"}),
        ({"bn15": "000000019RM0001"}, {"bn15_is_valid"}),
        ({"valid_from": None}, {"valid_from_is_present"}),
        ({"copies_differ": True}, {"copies_agree"}),
        ({"is_surplus_copy": True}, {"is_no_surplus_copy"}),
        ({"has_overlap": True}, {"versions_do_not_overlap"}),
        ({"valid_to": day("2010-01-02")}, set()),
        ({"valid_to": day("2010-01-01")}, {"valid_to_is_after_valid_from"}),
        ({"valid_to": day("9999-12-31")}, set()),
        ({"legal_name": None}, {"legal_name_is_present"}),
        ({"program_type": None}, {"program_type_is_present"}),
        ({"program_type": "dual"}, set()),
        ({"program_type": "broker"}, {"program_type_is_known"}),
        ({"status": None}, {"status_is_present"}),
        ({"status": "dormant"}, {"status_is_known"}),
        ({"opened_on": None}, {"opened_on_is_present"}),
        ({"status": "closed", "closed_on": day("2020-01-01")}, set()),
        ({"status": "closed"}, {"closed_account_has_closed_on"}),
        ({"language": None}, set()),
        ({"language": "de"}, {"language_is_known"}),
        ({"email": None}, set()),
        ({"email": "nobody"}, {"email_has_a_form"}),
    ],
    "delegations": [
        ({}, set()),
        ({"unreadable": "valid_to"}, {"values_are_readable"}),
        ({"bn15": None}, {"bn15_is_present"}),
        ({"bn15": "000000019RM0001"}, {"bn15_is_valid"}),
        ({"email": None}, {"email_is_present"}),
        ({"email": "a@b"}, set()),
        ({"email": ""}, {"email_has_a_form"}),
        ({"email": "@b"}, {"email_has_a_form"}),
        ({"email": "a@b@c"}, {"email_has_a_form"}),
        ({"email": "a@example.com\n"}, {"email_has_a_form"}),
        ({"email": "a@example.com\r\nBcc: b@example.com"}, {"email_has_a_form"}),
        ({"role": None}, {"role_is_present"}),
        ({"role": "business_account_manager"}, set()),
        ({"role": "owner"}, {"role_is_known"}),
        ({"valid_from": None}, {"valid_from_is_present"}),
        ({"valid_to": day("2020-01-02")}, set()),
        ({"valid_to": day("2020-01-01")}, {"valid_to_is_after_valid_from"}),
        ({"name": None}, {"name_is_present"}),
        ({"provider_bn9": None}, set()),
        ({"provider_bn9": "000000027"}, {"provider_bn9_is_valid"}),
    ],
    "subscribers": [
        ({}, set()),
        ({"unreadable": "unsubscribed_on"}, {"values_are_readable"}),
        ({"email": None}, {"email_is_present"}),
        ({"email": "reader at example.com"}, {"email_has_a_form"}),
        ({"subscribed_on": None}, {"subscribed_on_is_present"}),
        ({"language": None}, {"language_is_present"}),
        ({"language": "both"}, {"language_is_known"}),
    ],
    "webinars": [
        ({}, set()),
        ({"unreadable": "duration_minutes"}, {"values_are_readable"}),
        ({"webinar_id": None}, {"webinar_id_is_present"}),
        ({"webinar_id": ""}, {"webinar_id_is_not_blank"}),
        ({"revision": None}, {"revision_is_present"}),
        ({"status": None}, {"status_is_present"}),
        ({"status": "cancelled"}, set()),
        ({"status": "moved"}, {"status_is_known"}),
        ({"language": None}, {"language_is_present"}),
        ({"language": "de"}, {"language_is_known"}),
        ({"starts_at": None}, {"starts_at_is_present"}),
        ({"starts_at": "2022-01-12T18:00:00Z"}, set()),
        ({"starts_at": "2022-01-12T13:00:00"}, {"starts_at_is_an_instant"}),
        ({"starts_at": "2022-01-12"}, {"starts_at_is_an_instant"}),
        ({"starts_at": "2022-02-30T13:00:00-05:00"}, {"starts_at_is_an_instant"}),
        ({"starts_at": "soon"}, {"starts_at_is_an_instant"}),
        ({"duration_minutes": None}, {"duration_is_present"}),
        ({"duration_minutes": 1}, set()),
        ({"duration_minutes": 0}, {"duration_is_plausible"}),
        ({"duration_minutes": 1440}, set()),
        ({"duration_minutes": 1441}, {"duration_is_plausible"}),
        ({"join_url": None}, {"join_url_is_present"}),
        ({"join_url": "http://example.com/join"}, {"join_url_is_https"}),
        ({"join_url": "javascript:alert(1)//https://example.com"}, {"join_url_is_https"}),
        ({"join_url": 'https://example.com/"onclick="'}, {"join_url_is_https"}),
        ({"join_url": "https://example.com/join\n"}, {"join_url_is_https"}),
        ({"title_en": None}, {"title_en_is_present"}),
        ({"title_en": None, "language": "fr"}, set()),
        ({"title_en": None, "language": "en"}, {"title_en_is_present"}),
        ({"title_fr": None}, {"title_fr_is_present"}),
        ({"title_fr": None, "language": "en"}, set()),
        ({"title_fr": None, "language": "fr"}, {"title_fr_is_present"}),
    ],
    "account_decisions": [
        ({}, set()),
        (REVIEW, set()),
        (TO_EXPORTER, set()),
        (TO_IMPORTER, set()),
        ({**TO_EXPORTER, "program_type": "dual"}, set()),
        ({**TO_IMPORTER, "program_type": "dual"}, set()),
        ({"key_copies": None}, {"key_copies_is_gathered"}),
        ({"key_copies": 2}, {"bn15_is_unique"}),
        ({"bn15": None}, {"bn15_is_present"}),
        ({"bn15": "000000019RM0001"}, {"bn15_is_valid"}),
        ({"action": None}, {"action_is_present"}),
        ({"action": "delete"}, {"action_is_known"}),
        ({**REVIEW, "reason": None}, {"reason_is_present"}),
        ({**REVIEW, "reason": "because"}, {"reason_is_known"}),
        ({"rule_id": None}, {"changed_account_has_a_rule"}),
        ({**REVIEW, "rule_id": None, "program_type": None, "reason": "unknown_program_type"}, set()),
        ({**REVIEW, "cutoff_on": None}, {"cutoff_on_is_present"}),
        ({**REVIEW, "balance_cents": None}, {"balance_cents_is_present"}),
        ({**REVIEW, "under_review_cents": None}, {"under_review_cents_is_present"}),
        ({**REVIEW, "has_open_quarantine": None}, {"has_open_quarantine_is_present"}),
        ({**REVIEW, "activity_seen": None}, {"activity_seen_is_present"}),
        ({**REVIEW, "activity_seen": "some"}, {"activity_seen_is_known"}),
        ({"program_type": None}, {"changed_account_has_a_program_type"}),
        ({"program_type": "broker"}, {"changed_account_has_a_known_program_type"}),
        ({"has_open_quarantine": True}, {"changed_account_has_no_open_quarantine"}),
        ({**TO_IMPORTER, "has_open_quarantine": True}, {"changed_account_has_no_open_quarantine"}),
        ({**REVIEW, "has_open_quarantine": True}, set()),
        ({"activity_seen": "import"}, {"closed_account_has_no_activity"}),
        ({"activity_seen": "unknown"}, {"closed_account_has_no_activity"}),
        ({"reason": "active"}, {"closed_account_has_reason_no_activity"}),
        ({"clock_on": None}, {"closed_account_has_a_clock"}),
        ({"clock_on": day("2017-12-24")}, {"closed_account_clock_is_before_cutoff"}),
        ({"clock_on": day("2017-12-25")}, {"closed_account_clock_is_before_cutoff"}),
        ({"clock_on": day("1999-01-01"), "last_activity_on": None}, set()),
        ({"last_activity_on": day("2017-12-24")}, {"closed_account_last_activity_is_before_cutoff"}),
        ({"balance_cents": 1}, {"closed_account_balance_is_zero"}),
        ({"balance_cents": -1}, {"closed_account_balance_is_zero"}),
        ({"under_review_cents": 1}, {"closed_account_has_nothing_under_review"}),
        ({"new_program_type": "exporter"}, {"closed_account_has_no_new_program_type"}),
        ({"action": "keep", "reason": "active"}, set()),
        ({"action": "keep", "reason": "active", "new_program_type": "dual"}, {"kept_account_has_no_new_program_type"}),
        ({**TO_EXPORTER, "new_program_type": None}, {"conversion_has_a_new_program_type"}),
        ({**TO_IMPORTER, "program_type": "importer"}, {"importer_becomes_exporter_only"}),
        ({**TO_EXPORTER, "program_type": "exporter"}, {"exporter_becomes_importer_only"}),
        ({**TO_IMPORTER, "program_type": "dual", "new_program_type": "dual"}, {"dual_becomes_importer_or_exporter"}),
        ({**TO_EXPORTER, "activity_seen": "both"}, {"new_exporter_showed_only_exports"}),
        ({**TO_IMPORTER, "activity_seen": "both"}, {"new_importer_showed_only_imports"}),
        ({**TO_EXPORTER, "balance_cents": -1}, {"new_exporter_balance_is_zero"}),
        ({**TO_EXPORTER, "under_review_cents": 1}, {"new_exporter_has_nothing_under_review"}),
        ({**TO_EXPORTER, "reason": "active"}, {"new_exporter_has_reason_only_exports"}),
        ({**TO_IMPORTER, "reason": "active"}, {"new_importer_has_reason_only_imports"}),
        ({"action": "hold", "reason": "on_hold", "balance_cents": 5}, set()),
        ({"action": "hold", "reason": "active"}, {"hold_has_a_reason_to_hold"}),
        ({"action": "unknown", "reason": "row_in_quarantine", "has_open_quarantine": True}, set()),
        ({"action": "unknown", "reason": "active"}, {"unknown_has_a_gap_as_reason"}),
        ({"action": "unknown", "reason": "coverage_incomplete", "missing": "transactions 2020-05"}, set()),
        ({"action": "unknown", "reason": "coverage_incomplete"}, {"incomplete_coverage_names_what_is_missing"}),
        (CANDIDATE, set()),
        ({**CANDIDATE, "reason": "no_activity_4_years"}, {"candidate_has_reason_closure_announced"}),
        ({"reason": "closure_announced"}, {"closed_account_has_reason_no_activity"}),
        ({**CANDIDATE, "announced_in": None}, {"candidate_has_the_month_of_its_announcement"}),
        ({**CANDIDATE, "rule_id": None}, {"changed_account_has_a_rule"}),
        ({**CANDIDATE, "program_type": None}, {"changed_account_has_a_program_type"}),
        ({**CANDIDATE, "program_type": "broker"}, {"changed_account_has_a_known_program_type"}),
        ({**CANDIDATE, "has_open_quarantine": True}, {"changed_account_has_no_open_quarantine"}),
        ({**CANDIDATE, "activity_seen": "unknown"}, {"closed_account_has_no_activity"}),
        ({**CANDIDATE, "clock_on": None}, {"closed_account_has_a_clock"}),
        ({**CANDIDATE, "clock_on": day("2017-12-24")}, {"closed_account_clock_is_before_cutoff"}),
        ({**CANDIDATE, "last_activity_on": day("2017-12-24")}, {"closed_account_last_activity_is_before_cutoff"}),
        ({**CANDIDATE, "balance_cents": 1}, {"closed_account_balance_is_zero"}),
        ({**CANDIDATE, "under_review_cents": 1}, {"closed_account_has_nothing_under_review"}),
        ({**CANDIDATE, "new_program_type": "exporter"}, {"closed_account_has_no_new_program_type"}),
        ({"announced_in": "2021-09"}, set()),
        ({**TO_EXPORTER, "announced_in": "2021-09"}, {"only_a_closure_is_announced"}),
        ({"action": "keep", "reason": "mixed_activity", "review_no": 1}, set()),
        ({**REVIEW, "review_no": 1}, {"a_review_keeps_and_does_nothing_else"}),
        ({"review_no": 1}, {"a_review_keeps_and_does_nothing_else"}),
        ({**CANDIDATE, "review_no": 1}, {"a_review_keeps_and_does_nothing_else"}),
        ({"action": "hold", "reason": "on_hold", "hold_no": 1}, set()),
        ({"hold_no": 1}, {"only_a_held_account_names_a_hold"}),
        ({"action": "keep", "reason": "active", "hold_no": 1}, {"only_a_held_account_names_a_hold"}),
    ],
    "statements": [
        ({}, set()),
        ({"key_copies": None}, {"key_copies_is_gathered"}),
        ({"key_copies": 0}, {"bn15_is_unique"}),
        ({"key_copies": 2}, {"bn15_is_unique"}),
        ({"bn15": None}, {"bn15_is_present"}),
        ({"bn15": "000000019RM0001"}, {"bn15_is_valid"}),
        ({"period": None}, {"period_is_present"}),
        ({"period": "2021-13"}, {"period_is_a_month"}),
        ({"period": "2021-12\n"}, {"period_is_a_month"}),
        ({"version": None}, {"version_is_present"}),
        ({"version": 0}, {"version_is_positive"}),
        ({"period_start": None}, {"period_start_is_present"}),
        ({"period_end": None}, {"period_end_is_present"}),
        ({"issued_on": None}, {"issued_on_is_present"}),
        ({"due_on": None}, {"due_on_is_present"}),
        ({"period_start": day("2021-12-24")}, set()),
        ({"period_start": day("2021-12-25")}, {"period_ends_after_it_starts"}),
        ({"issued_on": day("2021-12-24")}, {"issued_after_period_end"}),
        ({"due_on": day("2021-12-25")}, set()),
        ({"due_on": day("2021-12-24")}, {"due_after_period_end", "due_not_before_issue"}),
        ({"issued_on": day("2022-01-01")}, {"due_not_before_issue"}),
        ({"language": None}, {"language_is_present"}),
        ({"language": "fr"}, set()),
        ({"language": "de"}, {"language_is_known"}),
        ({"opening_cents": None}, {"opening_cents_is_present"}),
        ({"debits_cents": None}, {"debits_cents_is_present"}),
        ({"credits_cents": None}, {"credits_cents_is_present"}),
        ({"closing_cents": None}, {"closing_cents_is_present"}),
        ({"under_review_cents": None}, {"under_review_cents_is_present"}),
        ({"total_payable_cents": None}, {"total_payable_cents_is_present"}),
        ({"debits_cents": 0, "closing_cents": 800, "total_payable_cents": 500}, set()),
        ({"debits_cents": -1, "closing_cents": 799, "total_payable_cents": 499}, {"debits_are_not_negative"}),
        ({"credits_cents": 0, "closing_cents": 1_500, "total_payable_cents": 1_200}, set()),
        ({"credits_cents": -1, "closing_cents": 1_501, "total_payable_cents": 1_201}, {"credits_are_not_negative"}),
        ({"opening_cents": 999}, {"closing_follows_from_opening"}),
        (
            {"opening_cents": BIG, "debits_cents": 0, "credits_cents": 0, "closing_cents": BIG}
            | {"under_review_cents": 0, "total_payable_cents": BIG},
            set(),
        ),
        (
            {"opening_cents": BIG, "debits_cents": 0, "credits_cents": 0, "closing_cents": BIG - 1}
            | {"under_review_cents": 0, "total_payable_cents": BIG - 1},
            {"closing_follows_from_opening"},
        ),
        ({"total_payable_cents": 999}, {"total_payable_follows_from_closing"}),
        ({"under_review_cents": 1_300, "total_payable_cents": 0}, set()),
        ({"under_review_cents": 1_301, "total_payable_cents": 0}, set()),
        ({"under_review_cents": 1_301, "total_payable_cents": -1}, {"total_payable_follows_from_closing"}),
        ({"under_review_cents": 1_299, "total_payable_cents": 0}, {"total_payable_follows_from_closing"}),
        ({"line_count": None}, {"line_count_is_present"}),
        ({"line_count": 0}, set()),
        ({"line_count": -1}, {"line_count_is_not_negative"}),
        ({"document_sha256": None}, {"document_sha256_is_present"}),
        ({"document_sha256": "0A" * 32}, {"document_sha256_is_a_hash"}),
        ({"document_sha256": "0a" * 31}, {"document_sha256_is_a_hash"}),
    ],
}

_FOUND: dict[str, list[set[str]]] = {}


def _find(dataset: str) -> list[set[str]]:
    """The rules that failed, for each case of the dataset in turn."""
    if dataset not in _FOUND:
        suite = load_suite(dataset)
        frame = to_frame(batch(dataset, *(changes for changes, _ in CASES[dataset])), suite.columns)
        found: list[set[str]] = [set() for _ in CASES[dataset]]
        for verdict in Judge(suite, AS_OF).judge(frame):
            for row_no in verdict.row_numbers:
                found[row_no].add(verdict.rule.name)
        _FOUND[dataset] = found
    return _FOUND[dataset]


@pytest.mark.parametrize(
    ("dataset", "index"),
    [
        pytest.param(dataset, index, id=f"{dataset}-{index}-{'+'.join(sorted(failing)) or 'passes'}")
        for dataset, cases in CASES.items()
        for index, (_, failing) in enumerate(cases)
    ],
)
def test_a_row_fails_exactly_the_rules_that_it_breaks(dataset: str, index: int) -> None:
    changes, expected = CASES[dataset][index]
    assert expected == _find(dataset)[index], changes


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_rule_has_a_row_that_fails_it_alone(dataset: str) -> None:
    alone = Counter(name for _, failing in CASES[dataset] if len(failing) == 1 for name in failing)
    untried = [rule.name for rule in load_suite(dataset).rules if rule.name not in alone]
    # What is due by the period's end is due before the issue as well, which comes after it.
    assert untried == {"statements": ["due_after_period_end"]}.get(dataset, [])
    assert {name for _, failing in CASES[dataset] for name in failing} == {
        rule.name for rule in load_suite(dataset).rules
    }


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_good_row_has_every_column_that_the_suite_expects(dataset: str) -> None:
    assert expected_columns(dataset) == {"row_no", *GOOD[dataset]}
