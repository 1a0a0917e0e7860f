-- Purpose: Published transactions in the words that all ledger feeds share.
-- Grain: one row per published row.
-- Reads: published_transactions, transaction_kinds
-- Writes: nothing, is the relation published_items of the feed transactions
-- Parameters: none
-- Rerun: same inputs give the same rows, in no order.
SELECT
    published_transactions.transaction_id AS item_id,
    published_transactions.revision,
    published_transactions.version,
    published_transactions.arrival,
    published_transactions.is_counted,
    published_transactions.account_key,
    published_transactions.bn15,
    published_transactions.kind,
    published_transactions.status,
    published_transactions.activity_on,
    published_transactions.posted_on,
    published_transactions.amount_cents,
    published_transactions.row_hash,
    published_transactions.period AS placed_in,
    transaction_kinds.activity
FROM published_transactions
LEFT JOIN transaction_kinds ON published_transactions.kind = transaction_kinds.kind
