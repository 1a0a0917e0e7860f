-- Purpose: Find accounts whose opening balance is not the closing balance of the month before.
-- Grain: one row per offending account; an empty result means that the chain holds.
-- Reads: previous_parked, previous_statements, statement_heads
-- Writes: none
-- Parameters: none
-- Rerun: reads only.
--
-- `reason` is the word under which an account that stands here is parked. Of an account that is parked because it does
-- not add up, or because its statement before is outstanding, nothing is asked until it is drawn up again. An account
-- that had neither a statement nor a parked row closed at zero, and so must open at zero.
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
        opening_cents,
        parked_reason IS NULL OR parked_reason = 'account_not_published' AS is_proved
    FROM statement_heads
)

SELECT
    'chain_is_broken' AS reason,
    'an opening balance is not the closing balance of the month before' AS problem,
    COALESCE(openings.account_key, closings.account_key) AS account_key,
    COALESCE(openings.bn15, closings.bn15) AS bn15,
    CAST(NULL AS VARCHAR) AS transaction_id
FROM openings
FULL OUTER JOIN closings
    ON openings.account_key = closings.account_key
WHERE
    COALESCE(openings.opening_cents, 0) <> COALESCE(closings.closing_cents, 0)
    AND COALESCE(openings.is_proved, TRUE)
ORDER BY bn15
