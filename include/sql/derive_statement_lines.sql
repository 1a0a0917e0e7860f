-- Purpose: Put every posting of the month on one line of its account's statement, with section and running balance.
-- Grain: one row per printed line: a row of `transactions` that counts or moves a balance.
-- Reads: statement_heads, transaction_kinds, transactions
-- Writes: statement_lines
-- Parameters: none
-- Rerun: the same relations give the same rows in the same order; the period's file is replaced.
--
-- A section is the first that fits: under review, posted after the last statement, payments and credits, off-sets and
-- disbursements, interest, penalties, due on this statement, other. On the page they stand in another order: what is
-- due comes first. `amount_cents` is the effect on the balance, `posted_amount_cents` the amount that the row itself
-- names; they differ where a revision replaces a row that was published before. Components always add up to
-- `amount_cents` or are all zero: a difference between two revisions has no components of its own. `arrival` is part
-- of a line's identity: an item that leaves an account for another leaves a row with the revision that it had there.
WITH heads AS (
    SELECT
        account_key,
        bn15,
        opening_cents,
        due_on AS statement_due_on
    FROM statement_heads
    WHERE parked_reason IS NULL
),

kind_sections AS (
    SELECT
        kind,
        section AS kind_section
    FROM transaction_kinds
),

postings AS (
    SELECT
        *,
        CASE
            WHEN effect_cents = amount_cents THEN 1
            WHEN effect_cents = -amount_cents AND NOT is_counted THEN -1
            ELSE 0
        END AS component_sign
    FROM transactions
    WHERE is_counted OR effect_cents <> 0
),

sectioned AS (
    SELECT
        heads.opening_cents,
        postings.*,
        CASE
            WHEN postings.status = 'under_review' THEN 'under_review'
            WHEN postings.is_late THEN 'late'
            WHEN kind_sections.kind_section = 'payments_credits' OR postings.effect_cents < 0 THEN 'payments_credits'
            WHEN
                kind_sections.kind_section IN ('offsets_disbursements', 'interest', 'penalties')
                THEN kind_sections.kind_section
            WHEN postings.due_on IS NULL OR postings.due_on = heads.statement_due_on THEN 'due'
            ELSE 'other'
        END AS section
    FROM postings
    INNER JOIN heads
        ON postings.account_key = heads.account_key
    LEFT JOIN kind_sections
        ON postings.kind = kind_sections.kind
),

numbered AS (
    SELECT
        *,
        ROW_NUMBER() OVER print_order AS line_no,
        opening_cents + SUM(effect_cents) OVER print_order AS running_balance_cents
    FROM sectioned
    WINDOW print_order AS (
        PARTITION BY account_key
        ORDER BY
            CASE section
                WHEN 'due' THEN 1
                WHEN 'other' THEN 2
                WHEN 'late' THEN 3
                WHEN 'under_review' THEN 4
                WHEN 'payments_credits' THEN 5
                WHEN 'offsets_disbursements' THEN 6
                WHEN 'interest' THEN 7
                WHEN 'penalties' THEN 8
            END,
            posted_on,
            transaction_id,
            revision,
            version,
            arrival
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
)

SELECT
    bn15,
    account_key,
    line_no,
    section,
    transaction_id,
    revision,
    version,
    kind,
    transaction_number,
    activity_on,
    posted_on,
    due_on,
    status,
    arrival,
    broker_bn9,
    component_sign * COALESCE(customs_duty_cents, 0) AS customs_duty_cents,
    component_sign * COALESCE(excise_duty_cents, 0) AS excise_duty_cents,
    component_sign * COALESCE(excise_tax_cents, 0) AS excise_tax_cents,
    component_sign * COALESCE(gst_cents, 0) AS gst_cents,
    component_sign * COALESCE(anti_dumping_cents, 0) AS anti_dumping_cents,
    component_sign * COALESCE(countervailing_cents, 0) AS countervailing_cents,
    component_sign * COALESCE(surtax_cents, 0) AS surtax_cents,
    component_sign * COALESCE(safeguard_cents, 0) AS safeguard_cents,
    component_sign * COALESCE(provincial_tax_cents, 0) AS provincial_tax_cents,
    component_sign * COALESCE(interest_cents, 0) AS interest_cents,
    effect_cents AS amount_cents,
    amount_cents AS posted_amount_cents,
    CAST(running_balance_cents AS BIGINT) AS running_balance_cents
FROM numbered
ORDER BY
    account_key,
    line_no
