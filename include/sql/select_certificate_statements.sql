-- Purpose: The month's statements added up for the certificate, and how many contradict themselves.
-- Grain: one row.
-- Reads: statements
-- Writes: nothing, returns counts and sums in cents
-- Parameters: none
-- Rerun: reads only.
WITH aged AS (
    SELECT
        statements.account_key,
        statements.line_count,
        statements.opening_cents,
        statements.debits_cents,
        statements.credits_cents,
        statements.closing_cents,
        statements.under_review_cents,
        statements.total_payable_cents,
        statements.ageing_current_cents + statements.ageing_30_cents + statements.ageing_60_cents
        + statements.ageing_90_cents + statements.ageing_over_90_cents AS ageing_cents
    FROM statements
)

SELECT
    count(*) AS statements,
    count(DISTINCT aged.account_key) AS accounts,
    CAST(coalesce(sum(aged.line_count), 0) AS BIGINT) AS line_count,
    CAST(coalesce(sum(aged.opening_cents), 0) AS BIGINT) AS opening_cents,
    CAST(coalesce(sum(aged.debits_cents), 0) AS BIGINT) AS debits_cents,
    CAST(coalesce(sum(aged.credits_cents), 0) AS BIGINT) AS credits_cents,
    CAST(coalesce(sum(aged.closing_cents), 0) AS BIGINT) AS closing_cents,
    CAST(coalesce(sum(aged.under_review_cents), 0) AS BIGINT) AS under_review_cents,
    CAST(coalesce(sum(aged.total_payable_cents), 0) AS BIGINT) AS total_payable_cents,
    CAST(coalesce(sum(aged.ageing_cents), 0) AS BIGINT) AS ageing_cents,
    count(*) FILTER (
        WHERE aged.closing_cents <> aged.opening_cents + aged.debits_cents - aged.credits_cents
    ) AS wrong_closings,
    count(*) FILTER (WHERE aged.closing_cents <> aged.ageing_cents) AS wrong_ages
FROM aged
