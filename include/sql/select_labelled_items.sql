-- Purpose: The items for which any of their rows names a broker: all that brokers are told of.
-- Grain: one row per account and item.
-- Reads: carried_items, transactions
-- Writes: nothing, is the relation labelled_items
-- Parameters: none
-- Rerun: same inputs give the same rows, in no order.
SELECT
    carried_items.account_key,
    carried_items.item_id
FROM carried_items
WHERE carried_items.broker_bn9 IS NOT NULL
UNION
SELECT
    transactions.account_key,
    transactions.transaction_id AS item_id
FROM transactions
WHERE transactions.broker_bn9 IS NOT NULL
