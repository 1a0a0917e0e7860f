-- Purpose: The keys of a feed's rows as numbers, so that a later month finds out whether it has read one of them again.
-- Grain: one row per number.
-- Reads: keyed
-- Writes: transactions_keys and its like of every other ledger dataset
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT DISTINCT key_hash(keyed.item_id) AS key_hash
FROM keyed
ORDER BY key_hash
