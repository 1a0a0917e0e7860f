"""The shape of every dataset in the lake: one pyarrow schema each.

A schema here is the promise that a reader of ``lake/<dataset>/period=P/data.parquet`` can rely on; publishing casts
to it and refuses what does not fit. Money is ``int64`` cents, a day is ``date32``, a count is ``int64``.

No dataset has an address, and so the distribution list is none: ``include.addresses`` reads them from the source. The
one exception is ``quarantine``, which keeps a refused row as it was.
"""

from __future__ import annotations

import pyarrow as pa

COMPONENTS = (
    "customs_duty_cents",
    "excise_duty_cents",
    "excise_tax_cents",
    "gst_cents",
    "anti_dumping_cents",
    "countervailing_cents",
    "surtax_cents",
    "safeguard_cents",
    "provincial_tax_cents",
    "interest_cents",
)
"""What a charge is made of, in the order in which a statement prints it (form BSF945)."""

_text, _day, _int, _flag = pa.string(), pa.date32(), pa.int64(), pa.bool_()


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, type_) for name, type_ in columns.items()])


# What extraction adds to each row of a ledger feed.
_LEDGER = {
    "origin": _text,
    "arrival": _text,
    "is_late": _flag,
    "is_counted": _flag,
    "effect_cents": _int,
    "under_review_effect_cents": _int,
    "under_review_items_effect": _int,
    "row_hash": _text,
}

_TRANSACTIONS = _schema(
    transaction_id=_text,
    revision=_int,
    version=_int,
    bn15=_text,
    account_key=_int,
    kind=_text,
    transaction_number=_text,
    activity_on=_day,
    posted_on=_day,
    due_on=_day,
    status=_text,
    broker_bn9=_text,
    **dict.fromkeys(COMPONENTS, _int),
    amount_cents=_int,
    **_LEDGER,
)

_EXPORT_DECLARATIONS = _schema(
    declaration_id=_text,
    revision=_int,
    version=_int,
    bn15=_text,
    account_key=_int,
    exported_on=_day,
    reported_on=_day,
    status=_text,
    value_cents=_int,
    **_LEDGER,
)

# What a broker secures, for one client or for all of them.
_SECURED = {
    "opening_cents": _int,
    "debits_cents": _int,
    "credits_cents": _int,
    "moved_cents": _int,
    "settled_cents": _int,
    "closing_cents": _int,
    "under_review_cents": _int,
    "ageing_current_cents": _int,
    "ageing_30_cents": _int,
    "ageing_60_cents": _int,
    "ageing_90_cents": _int,
    "ageing_over_90_cents": _int,
}

SCHEMAS: dict[str, pa.Schema] = {
    "transactions": _TRANSACTIONS,
    "export_declarations": _EXPORT_DECLARATIONS,
    # The ledger rows posted before the first extracted month: the ground on which `baseline` stands.
    "baseline_transactions": _TRANSACTIONS,
    "baseline_export_declarations": _EXPORT_DECLARATIONS,
    "accounts": _schema(
        bn15=_text,
        account_key=_int,
        valid_from=_day,
        valid_to=_day,
        legal_name=_text,
        operating_name=_text,
        program_type=_text,
        status=_text,
        opened_on=_day,
        closed_on=_day,
        reinstated_on=_day,
        language=_text,
        province=_text,
        hold_reason=_text,
        hold_until=_day,
        portal_registered_on=_day,
        mfa_registered_on=_day,
    ),
    "delegations": _schema(
        bn15=_text,
        account_key=_int,
        name=_text,
        role=_text,
        provider_bn9=_text,
        valid_from=_day,
        valid_to=_day,
    ),
    "webinars": _schema(
        webinar_id=_text,
        revision=_int,
        title_en=_text,
        title_fr=_text,
        language=_text,
        starts_at=_text,
        duration_minutes=_int,
        join_url=_text,
        status=_text,
    ),
    "quarantine": _schema(
        dataset=_text,
        row_key=_text,
        expectation=_text,
        reason=_text,
        bn15=_text,
        kind=_text,
        status=_text,
        amount_cents=_int,
        posted_on=_day,
        replaces_published=_flag,
        row_hash=_text,
        row_json=_text,
    ),
    "quarantine_released": _schema(dataset=_text, row_key=_text, row_hash=_text, how=_text),
    # Count and sum of all source rows as known at the period, by the month in which they are posted.
    "control_totals": _schema(
        dataset=_text,
        posted_period=_text,
        kind=_text,
        status=_text,
        row_count=_int,
        valid_row_count=_int,
        sum_cents=_int,
    ),
    "baseline": _schema(
        bn15=_text,
        account_key=_int,
        balance_cents=_int,
        under_review_cents=_int,
        under_review_items=_int,
        last_import_on=_day,
        last_export_on=_day,
        last_other_on=_day,
    ),
    "activity": _schema(
        bn15=_text,
        account_key=_int,
        import_count=_int,
        export_count=_int,
        other_count=_int,
        last_import_on=_day,
        last_export_on=_day,
        last_other_on=_day,
        effect_cents=_int,
        under_review_effect_cents=_int,
        under_review_items_effect=_int,
    ),
    # What is unpaid or unused at the month's end; what remains adds up to the closing balance of the account.
    "open_items": _schema(
        bn15=_text,
        account_key=_int,
        item_id=_text,
        kind=_text,
        transaction_number=_text,
        activity_on=_day,
        posted_on=_day,
        due_on=_day,
        placed_in=_text,
        broker_bn9=_text,
        is_under_review=_flag,
        amount_cents=_int,
        sima_cents=_int,
        remaining_cents=_int,
        # The first extracted month, from whose balances all was carried forward.
        carried_since=_text,
    ),
    # Which credit paid which debt, and how much of it, by the order of the month.
    "allocations": _schema(
        bn15=_text,
        account_key=_int,
        debt_id=_text,
        credit_id=_text,
        allocated_on=_day,
        pass_no=_int,
        amount_cents=_int,
    ),
    # What overdue debts bore in the month by the rule; NULL where a rate of a quarter is not known.
    "interest": _schema(
        bn15=_text,
        account_key=_int,
        item_id=_text,
        overdue_cents=_int,
        due_on=_day,
        first_on=_day,
        last_on=_day,
        interest_cents=_int,
        missing_quarter=_text,
    ),
    # Activity that a later revision took away: what it was, so that the account's dates are looked at again.
    "activity_retracted": _schema(bn15=_text, account_key=_int, activity=_text, activity_on=_day),
    "account_facts": _schema(
        bn15=_text,
        account_key=_int,
        valid_from=_day,
        program_type=_text,
        status=_text,
        province=_text,
        opened_on=_day,
        reinstated_on=_day,
        closed_on=_day,
        hold_reason=_text,
        hold_until=_day,
        balance_cents=_int,
        under_review_cents=_int,
        under_review_items=_int,
        last_import_on=_day,
        last_export_on=_day,
        last_other_on=_day,
        has_open_quarantine=_flag,
    ),
    # What persons and earlier months had said about accounts when the month was decided.
    "clean_up_records": _schema(
        kind=_text,
        account_key=_int,
        bn15=_text,
        record_no=_int,
        rule_id=_text,
        effective_on=_day,
        until=_day,
        announced_in=_text,
    ),
    "account_decisions": _schema(
        bn15=_text,
        account_key=_int,
        valid_from=_day,
        program_type=_text,
        province=_text,
        activity_seen=_text,
        last_import_on=_day,
        last_export_on=_day,
        last_other_on=_day,
        last_activity_on=_day,
        opened_on=_day,
        reinstated_on=_day,
        clock_on=_day,
        cutoff_on=_day,
        balance_cents=_int,
        under_review_cents=_int,
        under_review_items=_int,
        has_open_quarantine=_flag,
        rule_id=_text,
        proposed_action=_text,
        proposed_program_type=_text,
        action=_text,
        new_program_type=_text,
        reason=_text,
        missing=_text,
        announced_in=_text,
        review_no=_int,
        hold_no=_int,
    ),
    # The lines of the clients' statements that a broker secured: the same lines, in the order of the brokers.
    "broker_lines": _schema(
        bn9=_text,
        firm_key=_int,
        bn15=_text,
        account_key=_int,
        line_no=_int,
        transaction_id=_text,
        revision=_int,
        version=_int,
        kind=_text,
        transaction_number=_text,
        activity_on=_day,
        posted_on=_day,
        due_on=_day,
        status=_text,
        arrival=_text,
        **dict.fromkeys(COMPONENTS, _int),
        amount_cents=_int,
        posted_amount_cents=_int,
    ),
    # The open items that a broker secured, in the order of the brokers.
    "broker_items": _schema(
        bn9=_text,
        firm_key=_int,
        bn15=_text,
        account_key=_int,
        item_id=_text,
        kind=_text,
        transaction_number=_text,
        activity_on=_day,
        posted_on=_day,
        due_on=_day,
        is_under_review=_flag,
        amount_cents=_int,
        remaining_cents=_int,
        days_past_due=_int,
    ),
    # What a broker secures for one account: closing = opening + debits - credits + moved - settled.
    "broker_clients": _schema(
        bn9=_text,
        firm_key=_int,
        bn15=_text,
        account_key=_int,
        period=_text,
        legal_name=_text,
        **_SECURED,
        line_count=_int,
        item_count=_int,
    ),
    "broker_heads": _schema(
        bn9=_text,
        firm_key=_int,
        period=_text,
        period_start=_day,
        period_end=_day,
        issued_on=_day,
        legal_name=_text,
        language=_text,
        clients=_int,
        **_SECURED,
        line_count=_int,
        item_count=_int,
    ),
    # The accounts with a statement that delegated to a provider of services; it opens what it may open, so no amounts.
    "provider_clients": _schema(
        bn9=_text,
        firm_key=_int,
        bn15=_text,
        account_key=_int,
        period=_text,
        legal_name=_text,
        version=_int,
        issued_on=_day,
        due_on=_day,
        language=_text,
    ),
    "provider_heads": _schema(
        bn9=_text,
        firm_key=_int,
        period=_text,
        period_start=_day,
        period_end=_day,
        issued_on=_day,
        legal_name=_text,
        language=_text,
        clients=_int,
    ),
    # How many open accounts reach four years without activity in each of the next months if nothing more happens.
    "dormancy_horizon": _schema(month=_text, program_type=_text, accounts=_int),
}


def schema_of(dataset: str) -> pa.Schema:
    """The schema of ``dataset``; a name without one is a programmer's mistake and raises ``KeyError``."""
    return SCHEMAS[dataset]
