-- Purpose: What a feed's rows are asked for by, as numbers: a later month finds out whether a row of it is here.
-- Grain: one row per number.
-- Reads: keyed
-- Writes: transactions_key_hashes and its like of every other ledger dataset
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT DISTINCT key_hash(keyed.asked_for) AS key_hash
FROM keyed
ORDER BY key_hash
