-- Purpose: How many accounts of the month are parked, by reason, for the summary.
-- Grain: one row per reason.
-- Reads: parked
-- Writes: nothing, returns counts
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT
    parked.reason,
    COUNT(*) AS accounts
FROM parked
GROUP BY parked.reason
ORDER BY parked.reason
