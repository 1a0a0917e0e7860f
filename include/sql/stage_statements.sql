-- Purpose: Gather what the second gate judges of the statements before anything is issued.
-- Grain: one row per statement, numbered; key_copies counts the statements of its account.
-- Reads: statements
-- Writes: nothing, is staged for the gate
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT
    bn15,
    period,
    version,
    period_start,
    period_end,
    issued_on,
    due_on,
    language,
    opening_cents,
    debits_cents,
    credits_cents,
    closing_cents,
    under_review_cents,
    total_payable_cents,
    line_count,
    document_sha256,
    COUNT(*) OVER (PARTITION BY bn15) AS key_copies,
    ROW_NUMBER() OVER (ORDER BY account_key, version) AS row_no
FROM statements
ORDER BY row_no
