-- Purpose: Raw transactions read as their types, with what a rule about one row cannot see for itself.
-- Grain: one row per source row that was looked at.
-- Reads: raw_transactions, fetched_ranges, account_states, transaction_kinds
-- Writes: nothing, is staged for the gate
-- Parameters: $last_day (date)
-- Rerun: same inputs give the same rows in the same order.
WITH read_once AS (
    -- A row may have been read by range and again by key: the range wins. An unreadable date has its own reading.
    SELECT
        raw.*,
        iso_day(raw.posted_on) AS posted_day
    FROM raw_transactions AS raw
    WHERE
        CASE raw.fetched_by
            WHEN 'range' THEN iso_day(raw.posted_on) IS NOT NULL
            WHEN 'undated' THEN TRUE
            ELSE
                iso_day(raw.posted_on) <= $last_day
                AND NOT EXISTS (
                    SELECT 1
                    FROM fetched_ranges
                    WHERE iso_day(raw.posted_on) BETWEEN fetched_ranges.start_on AND fetched_ranges.end_on
                )
        END
),

typed AS (
    SELECT
        raw.row_no,
        raw.transaction_id,
        CASE WHEN raw.revision IS NULL THEN 1 ELSE whole_number(raw.revision) END AS revision,
        upper(regexp_replace(raw.bn15, '[ -]', '', 'g')) AS bn15,
        raw.kind,
        raw.transaction_number,
        iso_day(raw.activity_on) AS activity_on,
        raw.posted_day AS posted_on,
        iso_day(raw.due_on) AS due_on,
        raw.status,
        raw.broker_bn9,
        whole_number(raw.customs_duty_cents) AS customs_duty_cents,
        whole_number(raw.excise_duty_cents) AS excise_duty_cents,
        whole_number(raw.excise_tax_cents) AS excise_tax_cents,
        whole_number(raw.gst_cents) AS gst_cents,
        whole_number(raw.anti_dumping_cents) AS anti_dumping_cents,
        whole_number(raw.countervailing_cents) AS countervailing_cents,
        whole_number(raw.surtax_cents) AS surtax_cents,
        whole_number(raw.safeguard_cents) AS safeguard_cents,
        whole_number(raw.provincial_tax_cents) AS provincial_tax_cents,
        whole_number(raw.interest_cents) AS interest_cents,
        whole_number(raw.amount_cents) AS amount_cents,
        CASE
            WHEN raw.revision IS NOT NULL AND whole_number(raw.revision) IS NULL
                THEN 'revision'
            WHEN raw.customs_duty_cents IS NOT NULL AND whole_number(raw.customs_duty_cents) IS NULL
                THEN 'customs_duty_cents'
            WHEN raw.excise_duty_cents IS NOT NULL AND whole_number(raw.excise_duty_cents) IS NULL
                THEN 'excise_duty_cents'
            WHEN raw.excise_tax_cents IS NOT NULL AND whole_number(raw.excise_tax_cents) IS NULL
                THEN 'excise_tax_cents'
            WHEN raw.gst_cents IS NOT NULL AND whole_number(raw.gst_cents) IS NULL
                THEN 'gst_cents'
            WHEN raw.anti_dumping_cents IS NOT NULL AND whole_number(raw.anti_dumping_cents) IS NULL
                THEN 'anti_dumping_cents'
            WHEN raw.countervailing_cents IS NOT NULL AND whole_number(raw.countervailing_cents) IS NULL
                THEN 'countervailing_cents'
            WHEN raw.surtax_cents IS NOT NULL AND whole_number(raw.surtax_cents) IS NULL
                THEN 'surtax_cents'
            WHEN raw.safeguard_cents IS NOT NULL AND whole_number(raw.safeguard_cents) IS NULL
                THEN 'safeguard_cents'
            WHEN raw.provincial_tax_cents IS NOT NULL AND whole_number(raw.provincial_tax_cents) IS NULL
                THEN 'provincial_tax_cents'
            WHEN raw.interest_cents IS NOT NULL AND whole_number(raw.interest_cents) IS NULL
                THEN 'interest_cents'
            WHEN raw.amount_cents IS NOT NULL AND whole_number(raw.amount_cents) IS NULL
                THEN 'amount_cents'
            WHEN raw.activity_on IS NOT NULL AND iso_day(raw.activity_on) IS NULL THEN 'activity_on'
            WHEN raw.posted_on IS NOT NULL AND iso_day(raw.posted_on) IS NULL THEN 'posted_on'
            WHEN raw.due_on IS NOT NULL AND iso_day(raw.due_on) IS NULL THEN 'due_on'
        END AS unreadable,
        md5(CAST(to_json(
            list_value(
                raw.transaction_id,
                coalesce(raw.revision, '1'),
                raw.bn15,
                raw.kind,
                raw.transaction_number,
                raw.activity_on,
                raw.posted_on,
                raw.due_on,
                raw.status,
                raw.broker_bn9,
                raw.customs_duty_cents,
                raw.excise_duty_cents,
                raw.excise_tax_cents,
                raw.gst_cents,
                raw.anti_dumping_cents,
                raw.countervailing_cents,
                raw.surtax_cents,
                raw.safeguard_cents,
                raw.provincial_tax_cents,
                raw.interest_cents,
                raw.amount_cents
            )
        ) AS VARCHAR)) AS row_hash
    FROM read_once AS raw
),

keyed AS (
    SELECT
        typed.*,
        coalesce(typed.transaction_id, '~' || typed.row_hash) AS item_id
    FROM typed
),

compared AS (
    SELECT
        keyed.*,
        count(*) OVER same_key AS key_copies,
        (min(keyed.row_hash) OVER same_key) <> (max(keyed.row_hash) OVER same_key) AS copies_differ,
        row_number() OVER (
            PARTITION BY keyed.item_id, keyed.revision ORDER BY keyed.row_hash, keyed.row_no
        ) AS copy_no
    FROM keyed
    WINDOW same_key AS (PARTITION BY keyed.item_id, keyed.revision)
)

SELECT
    compared.row_no,
    compared.transaction_id,
    compared.revision,
    compared.bn15,
    compared.kind,
    compared.transaction_number,
    compared.activity_on,
    compared.posted_on,
    compared.due_on,
    compared.status,
    compared.broker_bn9,
    coalesce(compared.customs_duty_cents, 0) AS customs_duty_cents,
    coalesce(compared.excise_duty_cents, 0) AS excise_duty_cents,
    coalesce(compared.excise_tax_cents, 0) AS excise_tax_cents,
    coalesce(compared.gst_cents, 0) AS gst_cents,
    coalesce(compared.anti_dumping_cents, 0) AS anti_dumping_cents,
    coalesce(compared.countervailing_cents, 0) AS countervailing_cents,
    coalesce(compared.surtax_cents, 0) AS surtax_cents,
    coalesce(compared.safeguard_cents, 0) AS safeguard_cents,
    coalesce(compared.provincial_tax_cents, 0) AS provincial_tax_cents,
    coalesce(compared.interest_cents, 0) AS interest_cents,
    compared.amount_cents,
    compared.key_copies,
    compared.copies_differ,
    NOT compared.copies_differ AND compared.copy_no > 1 AS is_surplus_copy,
    coalesce(account_states.state, 'missing') AS account_state,
    coalesce(compared.customs_duty_cents, 0)
    + coalesce(compared.excise_duty_cents, 0)
    + coalesce(compared.excise_tax_cents, 0)
    + coalesce(compared.gst_cents, 0)
    + coalesce(compared.anti_dumping_cents, 0)
    + coalesce(compared.countervailing_cents, 0)
    + coalesce(compared.surtax_cents, 0)
    + coalesce(compared.safeguard_cents, 0)
    + coalesce(compared.provincial_tax_cents, 0)
    + coalesce(compared.interest_cents, 0) AS components_sum_cents,
    coalesce(compared.customs_duty_cents, 0) <> 0
    OR coalesce(compared.excise_duty_cents, 0) <> 0
    OR coalesce(compared.excise_tax_cents, 0) <> 0
    OR coalesce(compared.gst_cents, 0) <> 0
    OR coalesce(compared.anti_dumping_cents, 0) <> 0
    OR coalesce(compared.countervailing_cents, 0) <> 0
    OR coalesce(compared.surtax_cents, 0) <> 0
    OR coalesce(compared.safeguard_cents, 0) <> 0
    OR coalesce(compared.provincial_tax_cents, 0) <> 0
    OR coalesce(compared.interest_cents, 0) <> 0 AS has_components,
    compared.unreadable,
    compared.item_id,
    compared.item_id || '#' || coalesce(CAST(compared.revision AS VARCHAR), '?')
    || CASE WHEN compared.copy_no > 1 THEN '~' || CAST(compared.copy_no AS VARCHAR) ELSE '' END AS row_key,
    compared.row_hash,
    account_key(compared.bn15) AS account_key,
    compared.status IN ('accepted', 'under_review') AS is_counted,
    transaction_kinds.activity
FROM compared
LEFT JOIN account_states ON compared.bn15 = account_states.bn15
LEFT JOIN transaction_kinds ON compared.kind = transaction_kinds.kind
ORDER BY compared.row_no
