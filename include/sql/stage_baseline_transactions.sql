-- Purpose: Rows of the baseline, brought into the form of rows just read, to give them months of their own.
-- Grain: one row per row of the baseline.
-- Reads: baseline_transactions, transaction_kinds
-- Writes: nothing, is staged for the ledger
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT
    baseline_transactions.*,
    FALSE AS is_surplus_copy,
    row_number() OVER (
        ORDER BY baseline_transactions.transaction_id, baseline_transactions.revision
    ) AS row_no,
    baseline_transactions.transaction_id AS item_id,
    baseline_transactions.transaction_id || '#' || CAST(baseline_transactions.revision AS VARCHAR) AS row_key,
    transaction_kinds.activity
FROM baseline_transactions
LEFT JOIN transaction_kinds ON baseline_transactions.kind = transaction_kinds.kind
ORDER BY row_no
