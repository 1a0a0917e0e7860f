-- Purpose: List the accounts that should have a statement for the month and cannot get one, with the reason.
-- Grain: one row per parked account.
-- Reads: statement_heads
-- Writes: parked
-- Parameters: none
-- Rerun: the same relation gives the same rows in the same order; the period's file is replaced.
SELECT
    bn15,
    account_key,
    period,
    parked_reason AS reason,
    opening_cents,
    debits_cents,
    credits_cents,
    closing_cents,
    under_review_cents,
    line_count AS posting_count
FROM statement_heads
WHERE parked_reason IS NOT NULL
ORDER BY account_key
