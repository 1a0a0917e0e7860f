-- Purpose: All published rows of the items asked for, with what a last activity is read from.
-- Grain: one row per published row.
-- Reads: published_items, asked_items
-- Writes: nothing, is kept as the relations transactions_again and export_declarations_again
-- Parameters: none
-- Rerun: same inputs give the same rows, in no order.
SELECT
    published_items.item_id,
    published_items.revision,
    published_items.version,
    published_items.arrival,
    published_items.account_key,
    published_items.is_counted,
    published_items.activity,
    published_items.activity_on
FROM published_items
SEMI JOIN asked_items ON published_items.item_id = asked_items.item_id
WHERE published_items.arrival NOT IN ('moved', 'restored')
