-- Purpose: What is unpaid or unused at the month's end: the items of which something is left, or under review.
-- Grain: one row per account and open item.
-- Reads: items, allocated_items
-- Writes: open_items
-- Parameters: $carried_since (text)
-- Rerun: same inputs give the same rows in the same order; the period's file is replaced.
SELECT
    items.bn15,
    items.account_key,
    items.item_id,
    items.kind,
    items.transaction_number,
    items.activity_on,
    items.posted_on,
    items.due_on,
    items.placed_in,
    items.broker_bn9,
    items.is_under_review,
    items.amount_cents,
    items.sima_cents,
    CAST(items.remaining_cents + COALESCE(allocated_items.moved_cents, 0) AS BIGINT) AS remaining_cents,
    $carried_since AS carried_since
FROM items
LEFT JOIN allocated_items
    ON items.account_key = allocated_items.account_key AND items.item_id = allocated_items.item_id
WHERE items.remaining_cents + COALESCE(allocated_items.moved_cents, 0) <> 0 OR items.is_under_review
ORDER BY items.account_key, items.due_on NULLS FIRST, items.posted_on, items.item_id
