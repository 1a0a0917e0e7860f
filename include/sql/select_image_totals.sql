-- Purpose: What the lake holds of the source, counted as the source counts itself, for the posting months asked for.
-- Grain: one row per posting month, kind and status.
-- Reads: standing_items, posting_months
-- Writes: nothing, is part of control_totals
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT
    posting_months.posted_period,
    coalesce(standing_items.kind, '') AS kind,
    coalesce(standing_items.status, '') AS status,
    count(*) AS row_count,
    count(*) FILTER (WHERE standing_items.is_valid) AS valid_row_count,
    CAST(sum(standing_items.amount_cents) AS BIGINT) AS sum_cents
FROM standing_items
INNER JOIN posting_months
    ON
        standing_items.posted_on BETWEEN posting_months.start_on AND posting_months.end_on
        OR (standing_items.posted_on IS NULL AND posting_months.posted_period = 'undated')
GROUP BY posting_months.posted_period, coalesce(standing_items.kind, ''), coalesce(standing_items.status, '')
ORDER BY posting_months.posted_period, coalesce(standing_items.kind, ''), coalesce(standing_items.status, '')
