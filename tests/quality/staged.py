"""Builders of staged rows: one good row a dataset, so that a test shows only what it changes."""

import datetime
from typing import Any

import pyarrow as pa

from include.quality.suites import load_suite

AS_OF = datetime.date(2021, 12, 24)


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


GOOD: dict[str, dict[str, Any]] = {
    "transactions": {
        "transaction_id": "T1",
        "revision": 1,
        "bn15": "000000018RM0001",
        "kind": "B3",
        "transaction_number": "12345000000001",
        "activity_on": day("2021-11-30"),
        "posted_on": day("2021-12-01"),
        "due_on": day("2021-12-31"),
        "status": "accepted",
        "broker_bn9": None,
        "amount_cents": 12_345,
        "copies_differ": False,
        "is_surplus_copy": False,
        "account_state": "found",
        "components_sum_cents": 12_345,
        "has_components": True,
        "unreadable": None,
        "is_reversed_twice": False,
    },
    "export_declarations": {
        "declaration_id": "D1",
        "revision": 1,
        "bn15": "000000018RM0001",
        "exported_on": day("2021-12-02"),
        "reported_on": day("2021-12-01"),
        "status": "accepted",
        "value_cents": None,
        "copies_differ": False,
        "is_surplus_copy": False,
        "account_state": "found",
        "unreadable": None,
    },
    "accounts": {
        "bn15": "000000018RM0001",
        "valid_from": day("2010-01-01"),
        "valid_to": None,
        "legal_name": "Northern Pine Imports Ltd.",
        "operating_name": None,
        "program_type": "importer",
        "status": "open",
        "opened_on": day("2010-01-01"),
        "closed_on": None,
        "reinstated_on": None,
        "language": "en",
        "email": "books@example.com",
        "province": "ON",
        "hold_reason": None,
        "hold_until": None,
        "portal_registered_on": None,
        "mfa_registered_on": None,
        "copies_differ": False,
        "is_surplus_copy": False,
        "has_overlap": False,
        "unreadable": None,
    },
    "delegations": {
        "bn15": "000000018RM0001",
        "email": "broker@example.com",
        "name": "A. Broker",
        "role": "editor",
        "provider_bn9": "000000026",
        "valid_from": day("2020-01-01"),
        "valid_to": None,
        "unreadable": None,
    },
    "subscribers": {
        "email": "reader@example.com",
        "language": "fr",
        "subscribed_on": day("2021-12-01"),
        "unsubscribed_on": None,
        "unreadable": None,
    },
    "webinars": {
        "webinar_id": "W1",
        "revision": 1,
        "title_en": "Welcome to the portal",
        "title_fr": "Bienvenue au portail",
        "language": "both",
        "starts_at": "2022-01-12T13:00:00-05:00",
        "duration_minutes": 60,
        "join_url": "https://example.com/join/1",
        "status": "scheduled",
        "unreadable": None,
    },
    "account_decisions": {
        "bn15": "000000018RM0001",
        "program_type": "importer",
        "activity_seen": "none",
        "last_activity_on": day("2017-12-23"),
        "cutoff_on": day("2017-12-24"),
        "clock_on": day("2017-12-23"),
        "balance_cents": 0,
        "under_review_cents": 0,
        "has_open_quarantine": False,
        "action": "close",
        "new_program_type": None,
        "reason": "no_activity_4_years",
        "rule_id": "importer_none",
        "missing": None,
        "announced_in": None,
        "review_no": None,
        "hold_no": None,
        "key_copies": 1,
    },
    "statements": {
        "bn15": "000000018RM0001",
        "period": "2021-12",
        "version": 1,
        "period_start": day("2021-11-25"),
        "period_end": day("2021-12-24"),
        "issued_on": day("2021-12-25"),
        "due_on": day("2021-12-31"),
        "language": "both",
        "opening_cents": 1_000,
        "debits_cents": 500,
        "credits_cents": 200,
        "closing_cents": 1_300,
        "under_review_cents": 300,
        "total_payable_cents": 1_000,
        "line_count": 2,
        "document_sha256": "0a" * 32,
        "key_copies": 1,
    },
}

_DAYS = ("valid_from", "valid_to", "hold_until", "period_start", "period_end")
_COUNTS = ("row_no", "revision", "version", "line_count", "key_copies", "duration_minutes", "review_no", "hold_no")


def _type_of(column: str) -> pa.DataType:
    if column.endswith("_cents") or column in _COUNTS:
        return pa.int64()
    if column.endswith("_on") or column in _DAYS:
        return pa.date32()
    if column.startswith(("has_", "is_")) or column == "copies_differ":
        return pa.bool_()
    return pa.string()


def schema(dataset: str) -> pa.Schema:
    return pa.schema([(column, _type_of(column)) for column in ("row_no", *GOOD[dataset])])


def batch(dataset: str, *changes: dict[str, Any], first_row_no: int = 0) -> pa.RecordBatch:
    """One good row for each ``changes``, with the changes made, numbered from ``first_row_no``."""
    rows = [{"row_no": first_row_no + index, **GOOD[dataset], **change} for index, change in enumerate(changes)]
    for row in rows:
        assert set(row) == {"row_no", *GOOD[dataset]}, "a change names a column that the dataset does not have"
    return pa.RecordBatch.from_pylist(rows, schema=schema(dataset))


def expected_columns(dataset: str) -> set[str]:
    return set(load_suite(dataset).header.kwargs["column_set"])
