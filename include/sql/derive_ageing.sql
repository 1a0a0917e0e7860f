-- Purpose: How long what is open has been past due on the day of issue.
-- Grain: one row per account with an open item.
-- Reads: open_items
-- Writes: nothing, is the relation ageing
-- Parameters: $issued_on (date)
-- Rerun: same inputs give the same rows in the same order.
--
-- A credit, and what is under review and so has no due date, counts as current: the buckets add up to the closing
-- balance whatever there is.
WITH aged AS (
    SELECT
        open_items.account_key,
        open_items.bn15,
        open_items.remaining_cents,
        CASE
            WHEN open_items.remaining_cents <= 0 THEN 0
            ELSE COALESCE(CAST($issued_on AS DATE) - open_items.due_on, 0)
        END AS days_past_due
    FROM open_items
)

SELECT
    aged.account_key,
    MIN(aged.bn15) AS bn15,
    CAST(COALESCE(SUM(aged.remaining_cents) FILTER (WHERE aged.days_past_due <= 0), 0) AS BIGINT)
        AS ageing_current_cents,
    CAST(COALESCE(SUM(aged.remaining_cents) FILTER (WHERE aged.days_past_due BETWEEN 1 AND 30), 0) AS BIGINT)
        AS ageing_30_cents,
    CAST(COALESCE(SUM(aged.remaining_cents) FILTER (WHERE aged.days_past_due BETWEEN 31 AND 60), 0) AS BIGINT)
        AS ageing_60_cents,
    CAST(COALESCE(SUM(aged.remaining_cents) FILTER (WHERE aged.days_past_due BETWEEN 61 AND 90), 0) AS BIGINT)
        AS ageing_90_cents,
    CAST(COALESCE(SUM(aged.remaining_cents) FILTER (WHERE aged.days_past_due > 90), 0) AS BIGINT)
        AS ageing_over_90_cents
FROM aged
GROUP BY aged.account_key
ORDER BY aged.account_key
