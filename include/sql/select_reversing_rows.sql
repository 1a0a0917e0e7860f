-- Purpose: The staged rows on which it depends whether an item is reversed twice, to be judged before all others.
-- Grain: one row per staged row, with all of its columns.
-- Reads: staged, reversing_numbers, known_payments
-- Writes: nothing, is the relation reversing_rows
-- Parameters: none
-- Rerun: same inputs give the same rows, in no order.
WITH concerned AS (
    SELECT staged.transaction_id
    FROM staged
    SEMI JOIN reversing_numbers ON staged.transaction_number = reversing_numbers.transaction_number
    WHERE staged.kind IN ('PMT', 'NSF')
    UNION
    SELECT known_payments.transaction_id
    FROM known_payments
)

-- All revisions: the last one counts, also where it bears another number.
SELECT staged.*
FROM staged
SEMI JOIN concerned ON staged.transaction_id = concerned.transaction_id
