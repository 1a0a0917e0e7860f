-- Purpose: The transaction numbers under which a row could reverse an item a second time.
-- Grain: one row per number.
-- Reads: read_rows
-- Writes: nothing, is the relation reversing_numbers
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT DISTINCT read_rows.transaction_number
FROM read_rows
WHERE
    -- A blank is no number: it would make one item of all that have none.
    trim(read_rows.transaction_number) <> ''
    AND (read_rows.kind = 'NSF' OR (read_rows.kind = 'PMT' AND read_rows.status IN ('cancelled', 'reversed')))
ORDER BY read_rows.transaction_number
