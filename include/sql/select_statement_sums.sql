-- Purpose: Add up the statements of a month as they are on record, and as a shadow run drew them up.
-- Grain: one row per side, record and shadow.
-- Reads: statements_record, statements_shadow
-- Writes: nothing, returns counts and sums in cents
-- Parameters: none
-- Rerun: the same relations give the same rows in the same order.
WITH both_sides AS (
    SELECT
        'record' AS side,
        line_count,
        opening_cents,
        debits_cents,
        credits_cents,
        closing_cents,
        total_payable_cents
    FROM statements_record
    UNION ALL
    SELECT
        'shadow' AS side,
        line_count,
        opening_cents,
        debits_cents,
        credits_cents,
        closing_cents,
        total_payable_cents
    FROM statements_shadow
)

SELECT
    side,
    COUNT(*) AS statements,
    CAST(SUM(line_count) AS BIGINT) AS line_count,
    CAST(SUM(opening_cents) AS BIGINT) AS opening_cents,
    CAST(SUM(debits_cents) AS BIGINT) AS debits_cents,
    CAST(SUM(credits_cents) AS BIGINT) AS credits_cents,
    CAST(SUM(closing_cents) AS BIGINT) AS closing_cents,
    CAST(SUM(total_payable_cents) AS BIGINT) AS total_payable_cents
FROM both_sides
GROUP BY side
ORDER BY side
