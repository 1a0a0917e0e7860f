-- Purpose: Register the statements of the month: each head with the hashes of its object and of its documents.
-- Grain: one row per statement.
-- Reads: rendered_documents, statement_heads
-- Writes: statements
-- Parameters: none
-- Rerun: the same relations give the same rows in the same order; the period's file is replaced.
--
-- A head without a document keeps an empty hash; the caller refuses to publish such a month.
WITH heads AS (
    SELECT *
    FROM statement_heads
    WHERE parked_reason IS NULL
),

documents AS (
    SELECT
        bn15,
        object_sha256,
        document_sha256,
        csv_sha256,
        pdf_sha256
    FROM rendered_documents
)

SELECT
    heads.bn15,
    heads.account_key,
    heads.period,
    heads.version,
    heads.period_start,
    heads.period_end,
    heads.issued_on,
    heads.due_on,
    heads.language,
    heads.opening_cents,
    heads.debits_cents,
    heads.credits_cents,
    heads.closing_cents,
    heads.under_review_cents,
    heads.total_payable_cents,
    heads.line_count,
    heads.ageing_current_cents,
    heads.ageing_30_cents,
    heads.ageing_60_cents,
    heads.ageing_90_cents,
    heads.ageing_over_90_cents,
    heads.calculated_interest_cents,
    heads.missing_rate_quarter,
    documents.object_sha256,
    documents.document_sha256,
    documents.csv_sha256,
    documents.pdf_sha256
FROM heads
LEFT JOIN documents
    ON heads.bn15 = documents.bn15
ORDER BY heads.account_key
