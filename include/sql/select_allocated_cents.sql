-- Purpose: What allocation has moved on each item so far: less of a debt, less of a credit.
-- Grain: one row per account and item that was allocated.
-- Reads: allocations
-- Writes: nothing, is the relation allocated_items
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
WITH sides AS (
    SELECT
        allocations.account_key,
        allocations.debt_id AS item_id,
        -allocations.amount_cents AS moved_cents
    FROM allocations
    UNION ALL
    SELECT
        allocations.account_key,
        allocations.credit_id AS item_id,
        allocations.amount_cents AS moved_cents
    FROM allocations
)

SELECT
    sides.account_key,
    sides.item_id,
    CAST(SUM(sides.moved_cents) AS BIGINT) AS moved_cents
FROM sides
GROUP BY sides.account_key, sides.item_id
ORDER BY sides.account_key, sides.item_id
