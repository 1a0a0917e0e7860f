-- Purpose: Find accounts whose opening balance is not the closing balance of the month before.
-- Grain: one row per offending account; an empty result means that the chain holds.
-- Reads: previous_parked, previous_statements, statement_heads
-- Writes: none
-- Parameters: none
-- Rerun: reads only.
--
-- An account that had neither a statement nor a parked row closed at zero, and so must open at zero.
WITH closings AS (
    SELECT
        account_key,
        bn15,
        closing_cents
    FROM previous_statements
    UNION ALL
    SELECT
        account_key,
        bn15,
        closing_cents
    FROM previous_parked
),

openings AS (
    SELECT
        account_key,
        bn15,
        opening_cents
    FROM statement_heads
)

SELECT
    'an opening balance is not the closing balance of the month before' AS problem,
    COALESCE(openings.bn15, closings.bn15) AS bn15,
    CAST(NULL AS VARCHAR) AS transaction_id
FROM openings
FULL OUTER JOIN closings
    ON openings.account_key = closings.account_key
WHERE COALESCE(openings.opening_cents, 0) <> COALESCE(closings.closing_cents, 0)
ORDER BY bn15
