-- Purpose: How many rows the month's validation refused, and why, for the summary.
-- Grain: one row per dataset and reason.
-- Reads: quarantine
-- Writes: nothing, returns counts
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT
    quarantine.dataset,
    quarantine.reason,
    count(*) AS row_count
FROM quarantine
GROUP BY quarantine.dataset, quarantine.reason
ORDER BY quarantine.dataset, quarantine.reason
