-- Purpose: The month's statements added up, for the summary.
-- Grain: one row.
-- Reads: statements
-- Writes: nothing, returns counts and sums in cents
-- Parameters: none
-- Rerun: same inputs give the same row.
SELECT
    count(*) AS statements,
    CAST(coalesce(sum(statements.line_count), 0) AS BIGINT) AS line_count,
    CAST(coalesce(sum(statements.opening_cents), 0) AS BIGINT) AS opening_cents,
    CAST(coalesce(sum(statements.debits_cents), 0) AS BIGINT) AS debits_cents,
    CAST(coalesce(sum(statements.credits_cents), 0) AS BIGINT) AS credits_cents,
    CAST(coalesce(sum(statements.closing_cents), 0) AS BIGINT) AS closing_cents
FROM statements
