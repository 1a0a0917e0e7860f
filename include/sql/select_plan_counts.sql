-- Purpose: Count what a plan decides.
-- Grain: one row per action and reason.
-- Reads: account_decisions
-- Writes: none
-- Parameters: none
-- Rerun: reads only.

SELECT
    action,
    reason,
    COUNT(*) AS accounts
FROM account_decisions
GROUP BY
    action,
    reason
ORDER BY
    action,
    reason
