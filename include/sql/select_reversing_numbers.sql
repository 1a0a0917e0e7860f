-- Purpose: The transaction numbers under which a row could reverse an item a second time.
-- Grain: one row per number.
-- Reads: staged
-- Writes: nothing, tells what has to be looked for in all months before
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT DISTINCT staged.transaction_number
FROM staged
WHERE
    staged.transaction_number IS NOT NULL
    AND (staged.kind = 'NSF' OR (staged.kind = 'PMT' AND staged.status IN ('cancelled', 'reversed')))
ORDER BY staged.transaction_number
