-- Purpose: The source's rows up to the period's end, by where they are: published, brought forward, in quarantine.
-- Grain: one row per feed.
-- Reads: control_totals
-- Writes: nothing, returns counts and sums in cents
-- Parameters: $first_period (text)
-- Rerun: same inputs give the same rows in the same order.
--
-- What was posted before the first extracted month is the ground of the balances that were brought forward. A row
-- without a date is never valid.
WITH totals AS (
    SELECT
        control_totals.dataset,
        control_totals.row_count,
        control_totals.valid_row_count,
        control_totals.sum_cents,
        control_totals.posted_period < $first_period OR starts_with(control_totals.posted_period, 'before ')
            AS is_before
    FROM control_totals
)

SELECT
    totals.dataset,
    CAST(sum(totals.row_count) AS BIGINT) AS source_rows,
    CAST(coalesce(sum(totals.valid_row_count) FILTER (WHERE NOT totals.is_before), 0) AS BIGINT) AS published_rows,
    CAST(coalesce(sum(totals.valid_row_count) FILTER (WHERE totals.is_before), 0) AS BIGINT) AS brought_forward_rows,
    CAST(sum(totals.row_count - totals.valid_row_count) AS BIGINT) AS quarantined_rows,
    CAST(sum(totals.sum_cents) AS BIGINT) AS sum_cents
FROM totals
GROUP BY totals.dataset
ORDER BY totals.dataset
