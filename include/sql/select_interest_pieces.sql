-- Purpose: Which part of each overdue debt bore interest in the month, and on which days.
-- Grain: one row per debt and fate: each part that a credit paid, and the part that is unpaid at the month's end.
-- Reads: items, allocations, open_items, transaction_kinds
-- Writes: nothing, returns the pieces
-- Parameters: $period (text), $period_start (date), $period_end (date)
-- Rerun: same inputs give the same rows in the same order.
--
-- Interest runs from the day after the due date to the day of payment. A debt that came with this month bears what it
-- would have borne since it was due; one that was carried had its earlier days in earlier months. Interest itself, what
-- is under review, and a balance whose parts nobody observed bear none.
WITH bearing AS (
    SELECT
        items.account_key,
        items.bn15,
        items.item_id,
        items.amount_cents,
        items.sima_cents,
        items.due_on,
        CASE WHEN items.placed_in = $period THEN items.due_on + 1 ELSE GREATEST(items.due_on + 1, $period_start) END
            AS first_on
    FROM items
    INNER JOIN transaction_kinds ON items.kind = transaction_kinds.kind
    WHERE
        transaction_kinds.bears_interest = 'yes'
        AND NOT items.is_under_review
        AND items.due_on < $period_end
        AND items.item_id <> 'brought forward'
),

parts AS (
    SELECT
        allocations.account_key,
        allocations.debt_id AS item_id,
        allocations.amount_cents AS part_cents,
        LEAST(allocations.allocated_on, $period_end) AS last_on
    FROM allocations
    UNION ALL
    SELECT
        open_items.account_key,
        open_items.item_id,
        open_items.remaining_cents AS part_cents,
        $period_end AS last_on
    FROM open_items
    WHERE open_items.remaining_cents > 0
)

SELECT
    bearing.bn15,
    bearing.account_key,
    bearing.item_id,
    bearing.amount_cents,
    bearing.sima_cents,
    bearing.due_on,
    bearing.first_on,
    parts.last_on,
    CAST(SUM(parts.part_cents) AS BIGINT) AS part_cents
FROM bearing
INNER JOIN parts ON bearing.account_key = parts.account_key AND bearing.item_id = parts.item_id
WHERE parts.last_on >= bearing.first_on
GROUP BY ALL
ORDER BY bearing.account_key, bearing.item_id, parts.last_on
