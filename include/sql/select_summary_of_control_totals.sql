-- Purpose: All source rows up to the period's end as the lake counts them, for the summary.
-- Grain: one row per feed.
-- Reads: control_totals
-- Writes: nothing, returns counts and sums in cents
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT
    control_totals.dataset,
    CAST(sum(control_totals.row_count) AS BIGINT) AS row_count,
    CAST(sum(control_totals.valid_row_count) AS BIGINT) AS valid_row_count,
    CAST(sum(control_totals.sum_cents) AS BIGINT) AS sum_cents
FROM control_totals
GROUP BY control_totals.dataset
ORDER BY control_totals.dataset
