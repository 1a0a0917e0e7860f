-- Purpose: How many rows each rule refused, and how many of them still stand in quarantine.
-- Grain: one row per period, dataset, reason, rule and state.
-- Reads: quarantine_rows
-- Writes: nothing, returns counts
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT
    quarantine_rows.period,
    quarantine_rows.dataset,
    quarantine_rows.reason,
    quarantine_rows.expectation,
    quarantine_rows.state,
    count(*) AS row_count
FROM quarantine_rows
GROUP BY
    quarantine_rows.period,
    quarantine_rows.dataset,
    quarantine_rows.reason,
    quarantine_rows.expectation,
    quarantine_rows.state
ORDER BY
    quarantine_rows.period DESC,
    quarantine_rows.dataset,
    quarantine_rows.reason,
    quarantine_rows.expectation,
    quarantine_rows.state
