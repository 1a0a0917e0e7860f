-- Purpose: The balances that a month opened with beside those that the month before closed with, added up.
-- Grain: one row.
-- Reads: previous_parked, previous_statements, statement_heads
-- Writes: nothing, returns counts and sums in cents
-- Parameters: none
-- Rerun: reads only.
--
-- Over the accounts that check_statement_chain compares: of one that is parked because it does not add up, or because
-- its statement before is outstanding, nothing is asked.
WITH closings AS (
    SELECT
        previous_statements.account_key,
        previous_statements.closing_cents
    FROM previous_statements
    UNION ALL
    SELECT
        previous_parked.account_key,
        previous_parked.closing_cents
    FROM previous_parked
),

openings AS (
    SELECT
        statement_heads.account_key,
        statement_heads.opening_cents,
        statement_heads.parked_reason IS NULL OR statement_heads.parked_reason = 'account_not_published' AS is_proved
    FROM statement_heads
)

SELECT
    count(*) AS accounts,
    CAST(coalesce(sum(openings.opening_cents), 0) AS BIGINT) AS opening_cents,
    CAST(coalesce(sum(closings.closing_cents), 0) AS BIGINT) AS previous_closing_cents
FROM openings
FULL OUTER JOIN closings
    ON openings.account_key = closings.account_key
WHERE coalesce(openings.is_proved, TRUE)
