-- Purpose: Say of which accounts a shadow run of an issued month drew up another statement than the one on record.
-- Grain: one row per account with another statement, or with a statement on one side alone.
-- Reads: statements_record, statements_shadow
-- Writes: nothing, returns the accounts with what differs
-- Parameters: none
-- Rerun: the same relations give the same rows in the same order.
--
-- `difference` is the first that holds: added and missing (on one side alone), amounts, lines, document: the figures
-- are the same, and something else that is printed is not.
WITH paired AS (
    SELECT
        COALESCE(statements_record.bn15, statements_shadow.bn15) AS bn15,
        statements_record.bn15 IS NULL AS is_added,
        statements_shadow.bn15 IS NULL AS is_missing,
        (statements_record.opening_cents IS DISTINCT FROM statements_shadow.opening_cents)
        OR (statements_record.debits_cents IS DISTINCT FROM statements_shadow.debits_cents)
        OR (statements_record.credits_cents IS DISTINCT FROM statements_shadow.credits_cents)
        OR (statements_record.closing_cents IS DISTINCT FROM statements_shadow.closing_cents)
        OR (statements_record.under_review_cents IS DISTINCT FROM statements_shadow.under_review_cents)
        OR (statements_record.total_payable_cents IS DISTINCT FROM statements_shadow.total_payable_cents)
            AS has_other_amounts,
        (statements_record.line_count IS DISTINCT FROM statements_shadow.line_count) AS has_other_lines,
        (statements_record.document_sha256 IS DISTINCT FROM statements_shadow.document_sha256) AS has_other_document
    FROM statements_record
    FULL OUTER JOIN statements_shadow
        ON statements_record.bn15 = statements_shadow.bn15
)

SELECT
    bn15,
    CASE
        WHEN is_added THEN 'added'
        WHEN is_missing THEN 'missing'
        WHEN has_other_amounts THEN 'amounts'
        WHEN has_other_lines THEN 'lines'
        ELSE 'document'
    END AS difference
FROM paired
WHERE
    is_added
    OR is_missing
    OR has_other_amounts
    OR has_other_lines
    OR has_other_document
ORDER BY bn15
