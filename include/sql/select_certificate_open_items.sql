-- Purpose: What is open at the month's end beside the balances that it closed with, added up.
-- Grain: one row.
-- Reads: open_items, statement_heads
-- Writes: nothing, returns counts and sums in cents
-- Parameters: none
-- Rerun: reads only.
--
-- Over the accounts that check_open_items compares.
WITH items AS (
    SELECT
        open_items.account_key,
        count(*) AS items,
        sum(open_items.remaining_cents) AS remaining_cents
    FROM open_items
    GROUP BY open_items.account_key
)

SELECT
    CAST(coalesce(sum(items.items), 0) AS BIGINT) AS open_items,
    CAST(coalesce(sum(items.remaining_cents), 0) AS BIGINT) AS remaining_cents,
    CAST(coalesce(sum(statement_heads.closing_cents), 0) AS BIGINT) AS closing_cents
FROM items
FULL OUTER JOIN statement_heads
    ON items.account_key = statement_heads.account_key
WHERE coalesce(statement_heads.parked_reason, 'account_not_published') = 'account_not_published'
